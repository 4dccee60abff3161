//! What notifications shows of itself on the status page.

use host::{Column, Overview};

use crate::store;

/// Rows of the table, at most.
const MOST: usize = 24;

/// Endpoints that do not get what is for them.
pub(crate) const TROUBLED: Overview = Overview {
    title: "Webhook endpoints",
    about: "Those that fail are tried again by themselves; those that are paused or gone wait for a person.",
    none: "All of them get what is for them.",
    columns: &[Column::Text("Endpoint"), Column::Text("Status"), Column::Text("Why")],
    rows: |read| {
        let troubled = store::every(read)?.into_iter().map(|record| record.endpoint);
        let troubled = troubled.filter(|endpoint| !matches!(endpoint.status(), "active" | "disabled"));
        let row = |endpoint: crate::domain::Endpoint| {
            vec![endpoint.name.to_string(), endpoint.status().to_owned(), endpoint.reason().unwrap_or_default()]
        };
        Ok(troubled.take(MOST).map(row).collect())
    },
};

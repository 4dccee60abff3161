//! What orders shows of itself on the status page.

use host::{Column, Overview};

use super::STATES;
use crate::store;

/// How many orders there are of each status.
pub(crate) const BY_STATUS: Overview = Overview {
    title: "Orders",
    about: "By status; those that need attention wait for a person.",
    none: "Nobody has ordered yet.",
    columns: &[Column::Text("Status"), Column::Number("Orders")],
    rows: |read| {
        let counts = store::by_status(read)?;
        let row = |status: &str| {
            let (_, count) = counts.iter().find(|(counted, _)| counted == status)?;
            Some(vec![status.to_owned(), count.to_string()])
        };
        Ok(STATES.into_iter().filter_map(row).collect())
    },
};

//! What inventory shows of itself on the status page.

use host::{Column, Overview};

use crate::store;

/// Promises that a stock-take took pieces from, and of which nobody has decided what becomes.
pub(crate) const SHORTFALLS: Overview = Overview {
    title: "Shortfalls",
    about: "Promises that a stock-take took pieces from, and that wait for somebody to decide: the first 20 by SKU and \
            warehouse. `POST /v1/shortfalls/resolve` releases, moves or lets wait.",
    none: "Nothing that was promised is missing.",
    columns: &[
        Column::Text("SKU"),
        Column::Text("Warehouse"),
        Column::Text("Reservation"),
        Column::Text("Owner"),
        Column::Number("Missing"),
    ],
    rows: |read| {
        let owed = store::owed_after(read, true, None, 20)?;
        let reservations = store::reservations(read, owed.iter().map(|owed| owed.reservation))?;
        let row = |owed: &store::Owed| {
            let of = reservations.get(&owed.reservation)?;
            let (sku, warehouse, missing) = (owed.sku.to_string(), owed.warehouse.to_string(), owed.missing);
            Some(vec![sku, warehouse, of.name.to_string(), of.owner.clone(), missing.to_string()])
        };
        Ok(owed.iter().filter_map(row).collect())
    },
};

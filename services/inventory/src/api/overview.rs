//! What inventory shows of itself on the status page.

use host::{Column, Overview};

use crate::store;

/// Stock that is owed: promised, and not there.
pub(crate) const SHORTFALLS: Overview = Overview {
    title: "Shortfalls",
    about: "Stock that was promised and is not there: the first 20 by SKU and warehouse.",
    none: "Nothing that was promised is missing.",
    columns: &[Column::Text("SKU"), Column::Text("Warehouse"), Column::Number("Owed")],
    rows: |read| {
        let row = |(sku, warehouse, owed): (String, String, i64)| vec![sku, warehouse, owed.to_string()];
        Ok(store::owed(read, 20)?.into_iter().map(row).collect())
    },
};

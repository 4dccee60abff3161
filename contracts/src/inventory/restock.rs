//! What is said when a shelf runs low.

use ids::{Sku, Warehouse};
use serde::{Deserialize, Serialize};

use super::Level;

/// When more of a SKU is wanted in a warehouse has changed; each event says all of it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestockPointChanged {
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Below so many pieces more is wanted; nothing is asked for where there is none.
    pub threshold: Option<i64>,
    /// So many pieces there should be then; none where there is no threshold.
    pub target: Option<i64>,
}

/// There is less than the threshold; it is said once, until there is enough again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestockNeeded {
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// The threshold.
    pub threshold: i64,
    /// Pieces that would reach the target, those on their way and those owed counted in; at least 1.
    pub quantity: i64,
    /// The level that is too low.
    pub level: Level,
}

/// There is as much as the threshold again, of what had fallen below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReplenished {
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// The level that is enough.
    pub level: Level,
}

//! What is said of warehouses, and of how promises may use them.

use ids::{Name, Warehouse};
use serde::{Deserialize, Serialize};

/// What is said of a warehouse has changed; each event says all of it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarehouseChanged {
    /// The warehouse.
    pub warehouse: Warehouse,
    /// What people call it.
    pub name: Option<String>,
    /// Its place in the order in which warehouses are emptied, the lowest first; those without one come last.
    pub priority: Option<i64>,
    /// The markets that it serves; every market where there are none.
    pub markets: Vec<Name>,
    /// Whether anything is newly promised from it.
    pub active: bool,
}

/// By which rule the warehouses are chosen that a reservation is served from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllocateBy {
    /// They are emptied in their order.
    #[default]
    Priority,
    /// Few warehouses together serve all of it.
    FewestParcels,
}

/// How a reservation may be served, as far as whoever asked for it has said; the operator says the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// By which rule its warehouses are chosen.
    pub allocation: Option<AllocateBy>,
    /// Whether a line may come from several warehouses.
    pub split: Option<bool>,
    /// The market that it is for: only warehouses serve it that serve this market.
    pub market: Option<Name>,
    /// Whether pieces may be promised that are not there, as far as the SKU allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backorder: Option<bool>,
}

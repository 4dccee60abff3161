//! What is said of promises without stock: how many there may be, and how they come to an end.

use ids::{Name, Sku, Warehouse};
use serde::{Deserialize, Serialize};
use world::Moment;

/// How much of a SKU may be promised without stock has changed; each event says all of it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuBackorderChanged {
    /// The SKU.
    pub sku: Sku,
    /// Pieces that may be owed in all warehouses together when something is newly promised; 0 where
    /// nothing is promised without stock.
    pub limit: i64,
    /// When goods are expected, where that is known.
    pub available_from: Option<Moment>,
}

/// Pieces of a promise are not there any more: a stock-take has not found them. They are owed, and somebody
/// has to decide what becomes of the promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromiseFellShort {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The stock-take.
    pub movement: Name,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces of this promise that were not found; at least 1.
    pub quantity: i64,
    /// Whether the promise is a firm one.
    pub firm: bool,
}

/// Goods have come in for a promise that was owed them: of all who are owed pieces of that SKU in that
/// warehouse, for the one that was promised them first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackorderServed {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces that are there for it now and were not before; at least 1.
    pub quantity: i64,
    /// Pieces that the whole reservation is still owed, of any SKU; 0 where it can be shipped now.
    pub still_owed: i64,
    /// Whether the promise is a firm one.
    pub firm: bool,
}

/// What becomes of a promise that a stock-take took pieces from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The reservation is given up.
    Release,
    /// Its pieces come from another warehouse.
    Move,
    /// It waits until goods come in.
    Wait,
}

/// Somebody has decided what becomes of a promise that is owed pieces; what follows from it is said by the
/// events after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortfallSettled {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces that it was owed there; at least 1.
    pub owed: i64,
    /// What becomes of it.
    pub settlement: Settlement,
    /// Why.
    pub reason: String,
}

/// What a promise was owed in one warehouse it has in another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromiseMoved {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse in which it was owed.
    pub from: Warehouse,
    /// The warehouse in which it is there.
    pub to: Warehouse,
    /// Pieces; at least 1.
    pub quantity: i64,
    /// Whether the promise is a firm one.
    pub firm: bool,
}

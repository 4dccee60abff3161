//! What inventory says: every movement of stock and every promise of it.
//!
//! These events are inventory's journal: its rows can be rebuilt from them to the same values, so
//! each says exactly what it did to which SKU in which warehouse.

use ids::{Name, Sku, Warehouse};
use serde::{Deserialize, Serialize};
use world::Moment;

crate::events! {
    /// An event of inventory.
    "inventory" {
        /// Goods came in.
        SupplierShipmentReceived = 1,
        /// Somebody counted what is there.
        StockCounted = 1,
        /// Stock was corrected by a quantity.
        StockLevelAdjusted = 1,
        /// A correction was refused; its name stays refused.
        StockMovementRejected = 1,
        /// A stock-take found less than had been promised.
        StockShortfallFound = 1,
        /// All lines of a reservation are held.
        StockReserved = 1,
        /// A reservation was refused; its name stays refused.
        StockReservationRejected = 1,
        /// A hold lasts longer.
        StockReservationExtended = 1,
        /// A hold became a firm promise.
        StockCommitted = 1,
        /// A hold could not become firm: it had lapsed, or was released before.
        StockCommitRejected = 1,
        /// Committed goods left the shelf.
        StockShipped = 1,
        /// A hold was given back; its name stays released.
        StockReleased = 1,
        /// A hold lapsed.
        StockReservationExpired = 1,
        /// Committed goods went back to the shelf.
        StockReturned = 1,
    }
}

/// Stock of one SKU in one warehouse. Sold only from `on_hand - reserved - committed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Pieces on the shelf.
    pub on_hand: i64,
    /// Pieces on the shelf that live holds keep.
    pub reserved: i64,
    /// Pieces on the shelf that are firmly promised.
    pub committed: i64,
    /// Pieces that are promised by holds or firmly, and are not on the shelf.
    pub owed: i64,
}

/// Where the pieces of a line come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces from it; at least 1.
    pub quantity: i64,
}

/// A line of a reservation; each SKU stands in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedLine {
    /// The SKU.
    pub sku: Sku,
    /// Pieces of it.
    pub quantity: i64,
    /// Where they come from; the quantities add up.
    pub allocations: Vec<Allocation>,
}

/// A SKU of which there is less than was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Short {
    /// The SKU.
    pub sku: Sku,
    /// Pieces wanted, all lines of that SKU together.
    pub wanted: i64,
    /// Pieces that could have been had.
    pub available: i64,
}

/// Goods came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupplierShipmentReceived {
    /// The movement's name.
    pub movement: Name,
    /// What the caller sent, by meaning: the same name with another content is refused.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces; at least 1.
    pub quantity: i64,
    /// The caller's own reference, such as a delivery note.
    pub reference: Option<String>,
    /// The level after it.
    pub level: Level,
}

/// Somebody counted what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCounted {
    /// The movement's name.
    pub movement: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces that were counted.
    pub counted: i64,
    /// Counted less what the books said before.
    pub difference: i64,
    /// Why it was counted.
    pub reason: Option<String>,
    /// What the caller calls it elsewhere, such as the external id of an import.
    pub reference: Option<String>,
    /// The level after it.
    pub level: Level,
}

/// Stock was corrected by a quantity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLevelAdjusted {
    /// The movement's name.
    pub movement: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces added, or taken away where negative.
    pub quantity: i64,
    /// Why.
    pub reason: String,
    /// The level after it.
    pub level: Level,
}

/// A correction was refused: it would have taken what is promised; its name stays refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockMovementRejected {
    /// The movement's name.
    pub movement: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces that were to be taken away.
    pub wanted: i64,
    /// Pieces that could have been.
    pub available: i64,
}

/// A stock-take found less than had been promised; somebody has to decide who goes without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockShortfallFound {
    /// The stock-take.
    pub movement: Name,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces that this stock-take took from promises.
    pub newly_owed: i64,
    /// The level after it.
    pub level: Level,
}

/// All lines of a reservation are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReserved {
    /// The reservation's name.
    pub reservation: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The attempt of that order; 0 without an order.
    pub attempt: i64,
    /// What is held, by SKU.
    pub lines: Vec<ReservedLine>,
    /// When the hold lapses.
    pub expires_at: Moment,
}

/// A reservation was refused; nothing is held, and its name stays refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReservationRejected {
    /// The reservation's name.
    pub reservation: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The attempt of that order; 0 without an order.
    pub attempt: i64,
    /// What fell short.
    pub short: Vec<Short>,
}

/// A hold lasts longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReservationExtended {
    /// The reservation's name.
    pub reservation: Name,
    /// When the hold lapses now.
    pub expires_at: Moment,
}

/// A hold became a firm promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCommitted {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The attempt of that order; 0 without an order.
    pub attempt: i64,
    /// What is promised; another allocation than before where a lapsed hold was taken anew.
    pub lines: Vec<ReservedLine>,
    /// Whether the hold had lapsed and its stock was taken anew.
    pub retaken: bool,
    /// Whether the goods left the shelf with it.
    pub shipped: bool,
}

/// A hold could not become firm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCommitRejected {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for.
    pub order: Option<Name>,
    /// The attempt of that order.
    pub attempt: i64,
    /// What fell short when the stock of a lapsed hold was to be taken anew; empty where the
    /// reservation was released or refused before.
    pub short: Vec<Short>,
}

/// Committed goods left the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockShipped {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// What left the shelf.
    pub lines: Vec<ReservedLine>,
}

/// A hold was given back, or will never come into being: its name stays released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReleased {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The attempt of that order; 0 without an order.
    pub attempt: i64,
    /// What was held; empty where the release came before the reserve, or after the hold had lapsed.
    pub lines: Vec<ReservedLine>,
}

/// A hold lapsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReservationExpired {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The attempt of that order; 0 without an order.
    pub attempt: i64,
    /// What was held.
    pub lines: Vec<ReservedLine>,
}

/// Committed goods went back to the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReturned {
    /// The reservation's name.
    pub reservation: Name,
    /// The order that it is for, where there is one.
    pub order: Option<Name>,
    /// The attempt of that order; 0 without an order.
    pub attempt: i64,
    /// What went back.
    pub lines: Vec<ReservedLine>,
    /// Whether the goods had left the shelf before.
    pub was_shipped: bool,
}

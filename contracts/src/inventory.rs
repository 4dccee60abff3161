//! What inventory says: every movement of stock and every promise of it.
//!
//! These events are inventory's journal: its rows can be rebuilt from them to the same values, so
//! each says exactly what it did to which SKU in which warehouse.

mod backorders;
mod lines;
mod restock;
mod warehouses;

use ids::{Name, Sku, Warehouse};
use serde::{Deserialize, Serialize};
use world::Moment;

pub use self::backorders::{
    BackorderServed, PromiseFellShort, PromiseMoved, Settlement, ShortfallSettled, SkuBackorderChanged,
};
pub use self::lines::{Allocation, LINES_LIMIT_BYTES, Level, LinesTooLarge, ReservedLine, Short, check_lines};
pub use self::restock::{RestockNeeded, RestockPointChanged, StockReplenished};
pub use self::warehouses::{AllocateBy, Terms, WarehouseChanged};

crate::events! {
    /// An event of inventory.
    "inventory" {
        /// Goods came in.
        SupplierShipmentReceived = 2,
        /// Somebody counted what is there.
        StockCounted = 2,
        /// Stock was corrected by a quantity.
        StockLevelAdjusted = 2,
        /// Goods went from one warehouse to another, at once.
        StockTransferred = 1,
        /// Goods left a warehouse and are on their way to another.
        StockTransferStarted = 1,
        /// Goods that were on their way have arrived.
        StockTransferArrived = 1,
        /// Goods that were on their way did not arrive.
        StockLostInTransit = 1,
        /// A correction or a transfer was refused; its name stays refused.
        StockMovementRejected = 1,
        /// A stock-take found less than had been promised.
        StockShortfallFound = 2,
        /// All lines of a reservation are held.
        StockReserved = 2,
        /// A reservation was refused; its name stays refused.
        StockReservationRejected = 2,
        /// A hold lasts longer.
        StockReservationExtended = 1,
        /// A hold became a firm promise.
        StockCommitted = 1,
        /// A hold could not become firm: it had lapsed, or was released before.
        StockCommitRejected = 1,
        /// Committed goods left the shelf.
        StockShipped = 1,
        /// A hold was given back; its name stays released.
        StockReleased = 2,
        /// A hold lapsed.
        StockReservationExpired = 1,
        /// Committed goods went back to the shelf.
        StockReturned = 1,
        /// A SKU is sold no more.
        SkuDiscontinued = 1,
        /// A SKU is sold again.
        SkuReinstated = 1,
        /// From when on there are few of a SKU has changed.
        SkuSignalChanged = 1,
        /// What is said of a warehouse has changed.
        WarehouseChanged = 1,
        /// When more of a SKU is wanted in a warehouse has changed.
        RestockPointChanged = 1,
        /// There is less of a SKU in a warehouse than its threshold.
        RestockNeeded = 1,
        /// There is as much as the threshold again.
        StockReplenished = 1,
        /// How much of a SKU may be promised without stock has changed.
        SkuBackorderChanged = 1,
        /// Pieces of a promise are not there any more: a stock-take has not found them.
        PromiseFellShort = 1,
        /// Goods have come in for a promise that was owed them.
        BackorderServed = 1,
        /// Somebody has decided what becomes of a promise that a stock-take took pieces from.
        ShortfallSettled = 1,
        /// What a promise was owed in one warehouse it has in another.
        PromiseMoved = 1,
    }
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
    /// The level after it, once what is owed was served from it.
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
    /// The level after it, once what is owed was served from it.
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
    /// The level after it, once what is owed was served from it.
    pub level: Level,
}

/// Goods went from one warehouse to another, at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockTransferred {
    /// The movement's name.
    pub movement: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse that they left.
    pub from: Warehouse,
    /// The warehouse in which they are now.
    pub to: Warehouse,
    /// Pieces; at least 1.
    pub quantity: i64,
    /// The level of the one that they left, after it.
    pub from_level: Level,
    /// The level of the other, after it.
    pub to_level: Level,
}

/// Goods left a warehouse and are on their way to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockTransferStarted {
    /// The movement's name.
    pub movement: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse that they left.
    pub from: Warehouse,
    /// The warehouse to which they travel.
    pub to: Warehouse,
    /// Pieces; at least 1.
    pub quantity: i64,
    /// The level of the one that they left, after it.
    pub from_level: Level,
    /// The level of the other, after it.
    pub to_level: Level,
}

/// Goods that were on their way have arrived; what of them has not is lost and said beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockTransferArrived {
    /// The movement's name.
    pub movement: Name,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse that they left.
    pub from: Warehouse,
    /// The warehouse in which they are now.
    pub to: Warehouse,
    /// Pieces that were sent.
    pub sent: i64,
    /// Pieces that arrived; 0 where all are lost.
    pub quantity: i64,
    /// The level after it, once what is owed was served from it.
    pub level: Level,
}

/// Goods that were on their way did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLostInTransit {
    /// The movement's name.
    pub movement: Name,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse that they left.
    pub from: Warehouse,
    /// The warehouse that they did not reach.
    pub to: Warehouse,
    /// Pieces that are lost; at least 1.
    pub quantity: i64,
    /// The level of the warehouse that they did not reach, after it.
    pub level: Level,
}

/// A correction or a transfer was refused: it would have taken what is promised; its name stays refused.
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
    /// The level after it, once what is owed was served from it.
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
    /// How it may be served, where whoever asked for it has said so.
    #[serde(default)]
    pub terms: Option<Terms>,
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
    /// What fell short; empty where there was enough, but more of it (long SKUs, many warehouses) than
    /// an event can name.
    pub short: Vec<Short>,
    /// Whether that is because it is sold no more.
    #[serde(default)]
    pub discontinued: bool,
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
    /// What is promised; another allocation than before where a lapsed hold was taken anew. None where it was
    /// firm before, and its order that asked again is told again.
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
    /// reservation was released or refused before, and where an event cannot name all of it.
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
    /// The reservation that was made in its place, where one was.
    #[serde(default)]
    pub replaced_by: Option<Name>,
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

/// A SKU is sold no more: nothing of it is newly promised, and what is promised stays so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuDiscontinued {
    /// The SKU.
    pub sku: Sku,
}

/// A SKU is sold again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuReinstated {
    /// The SKU.
    pub sku: Sku,
}

/// Up to how many pieces there are few of a SKU has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuSignalChanged {
    /// The SKU.
    pub sku: Sku,
    /// Pieces; none where it is as of every other SKU.
    pub low_upto: Option<i64>,
}

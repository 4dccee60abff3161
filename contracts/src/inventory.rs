//! What inventory says: every movement of stock and every promise of it.
//!
//! These events are inventory's journal: its rows can be rebuilt from them to the same values, so
//! each says exactly what it did to which SKU in which warehouse.

mod backorders;
mod restock;
mod warehouses;

use std::fmt;

use ids::{Name, Sku, Warehouse};
use serde::{Deserialize, Serialize};
use world::Moment;

pub use self::backorders::{
    BackorderServed, PromiseFellShort, PromiseMoved, Settlement, ShortfallSettled, SkuBackorderChanged,
};
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

/// Stock of one SKU in one warehouse.
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
    /// Pieces on their way here from another warehouse; nobody is promised them.
    #[serde(default)]
    pub in_transit: i64,
}

impl Level {
    /// Pieces that can be promised: those on the shelf that nobody has been given, once nobody waits for any.
    pub fn available(&self) -> i64 {
        if self.owed > 0 { 0 } else { self.on_hand - self.reserved - self.committed }
    }
}

/// Where the pieces of a line come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Pieces from it; at least 1.
    pub quantity: i64,
    /// Those of them that are not on the shelf, and are served when goods come in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub owed: i64,
    /// Those of what is owed that were there once: a stock-take has not found them, and nobody has decided
    /// yet what becomes of the promise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: i64,
}

impl Allocation {
    /// Pieces that are on the shelf of this warehouse.
    pub fn on_the_shelf(warehouse: Warehouse, quantity: i64) -> Self {
        Self { warehouse, quantity, owed: 0, missing: 0 }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(quantity: &i64) -> bool {
    *quantity == 0
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
    /// When goods were expected for what of it is owed, as was known when it was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_from: Option<Moment>,
}

/// Most bytes that the lines of a reservation, or of the order that it is for, may take, as
/// [`check_lines`] and [`ReservedLine::bytes`] count them. An event has at most 256 KiB, and 4 KiB are
/// left for what it says beside its lines; so whoever keeps to this is answered, whatever the answer.
pub const LINES_LIMIT_BYTES: i64 = 252 * 1024;

/// Bytes of a line of an event beside its SKU and its allocations, with the longest number.
const BESIDE_SKU_BYTES: i64 = 50;
/// Bytes of an allocation beside its warehouse, with the longest numbers, also if all of it becomes owed.
const BESIDE_WAREHOUSE_BYTES: i64 = 78;
/// Bytes of the time from which goods are expected for a line.
const AVAILABLE_FROM_BYTES: i64 = 47;
/// What a line takes beside its SKU, if its pieces come from one warehouse with the longest name. What
/// falls short of it, and the line of an order with its price, take less.
const LINE_BYTES: i64 = BESIDE_SKU_BYTES + BESIDE_WAREHOUSE_BYTES + 64;

/// Lines that no event could name; the message is fit to be shown to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinesTooLarge;

impl fmt::Display for LinesTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "events of at most 256 KiB have to name all lines: each counts as the bytes of its SKU in JSON and \
             {LINE_BYTES} more, and together they may have {LINES_LIMIT_BYTES}"
        )
    }
}

impl std::error::Error for LinesTooLarge {}

/// Whether every event that has to can name lines of these SKUs, as long as each comes from one warehouse.
pub fn check_lines<'a>(skus: impl IntoIterator<Item = &'a Sku>) -> Result<(), LinesTooLarge> {
    let bytes: i64 = skus.into_iter().map(|sku| sku_bytes(sku) + LINE_BYTES).sum();
    if bytes > LINES_LIMIT_BYTES { Err(LinesTooLarge) } else { Ok(()) }
}

impl ReservedLine {
    /// Pieces of it that are not on the shelf.
    pub fn owed(&self) -> i64 {
        self.allocations.iter().map(|allocation| allocation.owed).sum()
    }

    /// What it takes at most in an event.
    pub fn bytes(&self) -> i64 {
        let of = |allocation: &Allocation| bytes(allocation.warehouse.as_str()) + BESIDE_WAREHOUSE_BYTES;
        let available_from = if self.available_from.is_some() { AVAILABLE_FROM_BYTES } else { 0 };
        sku_bytes(&self.sku) + BESIDE_SKU_BYTES + available_from + self.allocations.iter().map(of).sum::<i64>()
    }
}

/// A SKU in JSON, where quotes and backslashes take two bytes; control characters it has none.
fn sku_bytes(sku: &Sku) -> i64 {
    bytes(sku.as_str()) + sku.as_str().bytes().map(|byte| i64::from(matches!(byte, b'"' | b'\\'))).sum::<i64>()
}

fn bytes(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// A SKU of which there is less than was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Short {
    /// The SKU.
    pub sku: Sku,
    /// Pieces wanted, all lines of that SKU together.
    pub wanted: i64,
    /// Pieces that could have been had, with those that may be promised without stock.
    pub available: i64,
    /// Pieces on their way from another warehouse.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_transit: i64,
    /// When more is expected, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_from: Option<Moment>,
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

#[cfg(test)]
mod tests {
    use world::Moment;

    use super::{Allocation, LinesTooLarge, ReservedLine, Short, bytes, check_lines};
    use crate::orders::OrderLine;

    /// SKUs of 64 characters: of one byte, of four, and of those that JSON writes with two.
    fn longest_skus() -> [ids::Sku; 3] {
        ["x", "\u{1f375}", "\""].map(|character| character.repeat(64).parse().unwrap())
    }

    fn reserved(sku: &ids::Sku, warehouses: i64) -> ReservedLine {
        let warehouse = |place| format!("{place:064}").parse().unwrap();
        let allocation = |place| Allocation {
            warehouse: warehouse(place),
            quantity: 1_000_000_000,
            owed: 1_000_000_000,
            missing: 1_000_000_000,
        };
        let allocations = (0..warehouses).map(allocation).collect();
        let available_from = Some(Moment::from_micros(1_767_225_600_000_001));
        ReservedLine { sku: sku.clone(), quantity: 1_000_000_000, allocations, available_from }
    }

    /// Its bytes in a list.
    fn written(line: &impl serde::Serialize) -> i64 {
        bytes(&serde_json::to_string(line).unwrap()) + 1
    }

    #[test]
    fn no_line_takes_more_than_is_counted_for_it() {
        for sku in longest_skus() {
            for warehouses in [1, 2, 100] {
                let line = reserved(&sku, warehouses);
                assert_eq!(line.bytes(), written(&line) + 1, "its last allocation has no comma");
            }
            let counted = reserved(&sku, 1).bytes();
            let (sku_, wanted, available) = (sku.clone(), 1_000_000_000, i64::MAX);
            let available_from = Some(Moment::from_micros(1_767_225_600_000_001));
            let short = Short { sku: sku_, wanted, available, in_transit: 1_000_000_000_000, available_from };
            assert!(written(&short) < counted);
            let unit_price = money::Money::new(money::MAX_MINOR_UNITS, money::Currency::GBP).unwrap();
            assert!(written(&OrderLine { sku, quantity: 1_000_000, unit_price }) < counted);
        }
    }

    #[test]
    fn a_thousand_lines_of_the_longest_skus_in_ascii_are_not_too_large() {
        let [ascii, four_bytes, quotes] = longest_skus();
        assert_eq!(check_lines(vec![&ascii; 1_000]), Ok(()));
        assert_eq!(check_lines(vec![&four_bytes; 576]), Ok(()));
        assert_eq!(check_lines(vec![&four_bytes; 577]), Err(LinesTooLarge));
        assert_eq!(check_lines(vec![&quotes; 1_000]), Err(LinesTooLarge));
        assert!(LinesTooLarge.to_string().contains("SKU in JSON and 192 more, and together they may have 258048"));
    }
}

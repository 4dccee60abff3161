//! What stands in many events: a level, the lines of a reservation, and how large those may be together.

use std::fmt;

use ids::{Sku, Warehouse};
use serde::{Deserialize, Serialize};
use world::Moment;

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

//! What is shown of the stock of a SKU, in few bytes: most of it waits in memory to be asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::inventory::Level;
use ids::{Sku, Warehouse};
use world::Moment;

use crate::domain::{Offer, Pool, SkuSettings, WarehouseSettings};

/// What is shown of the stock of a SKU: what is said of it, and each level with its warehouse and whether that is
/// active, in the order of their names.
///
/// It is kept as flags, what is said of the SKU, then each level as a flag, the length and the text of its warehouse,
/// and its numbers in LEB128. Source: <https://en.wikipedia.org/wiki/LEB128>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown(Arc<[u8]>);

impl Shown {
    pub(crate) fn of<'a>(offer: Offer, levels: impl IntoIterator<Item = (&'a Warehouse, bool, Level)>) -> Self {
        let mut bytes = Vec::with_capacity(128);
        let Offer { discontinued, backorder_limit, available_from, low_upto } = offer;
        bytes
            .push(u8::from(discontinued) | u8::from(available_from.is_some()) << 1 | u8::from(low_upto.is_some()) << 2);
        for number in [Some(backorder_limit), available_from.map(Moment::micros), low_upto].into_iter().flatten() {
            push_number(&mut bytes, number.cast_unsigned());
        }
        for (warehouse, is_active, level) in levels {
            bytes.push(is_active.into());
            let text = warehouse.as_str().as_bytes();
            push_number(&mut bytes, text.len() as u64);
            bytes.extend_from_slice(text);
            let Level { on_hand, reserved, committed, owed, in_transit } = level;
            for number in [on_hand, reserved, committed, owed, in_transit] {
                push_number(&mut bytes, number.cast_unsigned());
            }
        }
        Self(bytes.into())
    }

    /// What is said of the SKU, and its levels.
    pub(crate) fn open(&self) -> (Offer, Levels<'_>) {
        let mut rest = &self.0[..];
        let flags = take(&mut rest, 1).first().copied().unwrap_or(0);
        let backorder_limit = take_number(&mut rest).cast_signed();
        let available_from = (flags & 2 != 0).then(|| Moment::from_micros(take_number(&mut rest).cast_signed()));
        let low_upto = (flags & 4 != 0).then(|| take_number(&mut rest).cast_signed());
        (Offer { discontinued: flags & 1 != 0, backorder_limit, available_from, low_upto }, Levels(rest))
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// Levels, each with its warehouse and whether that is active, in the order of their names.
#[derive(Clone, Debug)]
pub(crate) struct Levels<'a>(&'a [u8]);

impl<'a> Iterator for Levels<'a> {
    type Item = (&'a str, bool, Level);

    fn next(&mut self) -> Option<Self::Item> {
        let is_active = *take(&mut self.0, 1).first()? != 0;
        let length = usize::try_from(take_number(&mut self.0)).unwrap_or(usize::MAX);
        let warehouse = std::str::from_utf8(take(&mut self.0, length)).unwrap_or_default();
        let mut number = || take_number(&mut self.0).cast_signed();
        let (on_hand, reserved, committed) = (number(), number(), number());
        let level = Level { on_hand, reserved, committed, owed: number(), in_transit: number() };
        Some((warehouse, is_active, level))
    }
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// The first so many bytes; all of them where there are fewer, which is never so of what was packed here.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (first, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    first
}

fn take_number(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut place = 0;
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << place;
        place += 7;
        if byte & 0x80 == 0 || place > 63 {
            break;
        }
    }
    number
}

/// The stock of SKUs from their levels, which stand in the order of their keys, and from what was said of them.
pub(crate) fn shown(
    levels: &[(Sku, Warehouse, Pool)],
    settings: &BTreeMap<Sku, SkuSettings>,
    sites: &BTreeMap<Warehouse, WarehouseSettings>,
) -> Vec<(Sku, Shown)> {
    let offer = |sku: &Sku| settings.get(sku).map(|settings| settings.offer).unwrap_or_default();
    let is_active = |warehouse: &Warehouse| sites.get(warehouse).is_none_or(|known| known.site.active);
    let of_one = |levels: &[(Sku, Warehouse, Pool)]| {
        let sku = &levels[0].0;
        let levels = levels.iter().map(|(_, warehouse, pool)| (warehouse, is_active(warehouse), pool.level()));
        (sku.clone(), Shown::of(offer(sku), levels))
    };
    let mut stock: Vec<(Sku, Shown)> = levels.chunk_by(|(one, ..), (other, ..)| one == other).map(of_one).collect();
    // Of some that are known by what was said of them nothing lies anywhere.
    let is_there = |sku: &Sku| stock.binary_search_by(|(there, _)| there.cmp(sku)).is_ok();
    let others = settings.iter().filter(|(sku, _)| !is_there(sku));
    let others: Vec<_> = others.map(|(sku, settings)| (sku.clone(), Shown::of(settings.offer, []))).collect();
    if !others.is_empty() {
        stock.extend(others);
        stock.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    stock
}

#[cfg(test)]
mod tests {
    use contracts::inventory::Level;
    use ids::Warehouse;
    use world::Moment;

    use super::Shown;
    use crate::domain::Offer;

    #[test]
    fn what_was_packed_is_unpacked() {
        let most = Level { on_hand: i64::MAX, reserved: 127, committed: 128, owed: 16_384, in_transit: 0 };
        let names: [Warehouse; 2] = ["a".parse().unwrap(), "w".repeat(64).parse().unwrap()];
        let levels = [(&names[0], true, Level::default()), (&names[1], false, most)];
        let available_from = Some(Moment::from_micros(i64::MAX));
        let offer = Offer { discontinued: true, backorder_limit: 300, available_from, low_upto: Some(20) };
        let few = Offer { low_upto: Some(0), ..Offer::default() };
        for (offer, levels) in [(few, &levels[..0]), (offer, &levels[..]), (Offer::default(), &levels[..1])] {
            let shown = Shown::of(offer, levels.iter().copied());
            let (unpacked, found) = shown.open();
            assert_eq!(unpacked, offer);
            assert!(found.eq(levels.iter().map(|(name, is_active, level)| (name.as_str(), *is_active, *level))));
        }
        let level = Level { on_hand: 1_000, reserved: 3, committed: 1, owed: 0, in_transit: 200 };
        let main = "main".parse().unwrap();
        assert_eq!(Shown::of(Offer::default(), [(&main, true, level)]).bytes(), 15);
    }
}

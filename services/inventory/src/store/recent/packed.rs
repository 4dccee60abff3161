//! Stock in few bytes.

use std::sync::Arc;

use contracts::inventory::Level;
use ids::Warehouse;
use world::Moment;

use super::Shown;
use crate::domain::Offer;

/// Flags, what is said of the SKU, then each level as a flag, the length and the text of its warehouse, and its
/// numbers in LEB128. Source: <https://en.wikipedia.org/wiki/LEB128>.
pub(super) fn packed(shown: &Shown) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(1 + shown.levels.len() * 24);
    let Offer { discontinued, backorder_limit, available_from, low_upto } = shown.offer;
    bytes.push(u8::from(discontinued) | u8::from(available_from.is_some()) << 1 | u8::from(low_upto.is_some()) << 2);
    for number in [Some(backorder_limit), available_from.map(Moment::micros), low_upto].into_iter().flatten() {
        push_number(&mut bytes, number.cast_unsigned());
    }
    for (warehouse, is_active, level) in &shown.levels {
        bytes.push((*is_active).into());
        let text = warehouse.as_str().as_bytes();
        push_number(&mut bytes, text.len() as u64);
        bytes.extend_from_slice(text);
        let Level { on_hand, reserved, committed, owed, in_transit } = *level;
        for number in [on_hand, reserved, committed, owed, in_transit] {
            push_number(&mut bytes, number.cast_unsigned());
        }
    }
    bytes.into()
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// The stock of what was packed here; none of anything else.
pub(super) fn unpacked(packed: &[u8]) -> Option<Shown> {
    let (flags, mut rest) = packed.split_first()?;
    let backorder_limit = take_number(&mut rest)?.cast_signed();
    let available_from = match flags & 2 {
        0 => None,
        _ => Some(Moment::from_micros(take_number(&mut rest)?.cast_signed())),
    };
    let low_upto = match flags & 4 {
        0 => None,
        _ => Some(take_number(&mut rest)?.cast_signed()),
    };
    let offer = Offer { discontinued: flags & 1 != 0, backorder_limit, available_from, low_upto };
    let mut levels = Vec::with_capacity(4);
    while let Some((is_active, after)) = rest.split_first() {
        rest = after;
        let length = usize::try_from(take_number(&mut rest)?).ok()?;
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        let warehouse = Warehouse::from_column(std::str::from_utf8(text).ok()?.to_owned());
        let mut number = || take_number(&mut rest).map(u64::cast_signed);
        let (on_hand, reserved, committed) = (number()?, number()?, number()?);
        let level = Level { on_hand, reserved, committed, owed: number()?, in_transit: number()? };
        levels.push((warehouse, *is_active != 0, level));
    }
    Some(Shown { offer, levels })
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use contracts::inventory::Level;
    use world::Moment;

    use super::super::tests::shown;
    use super::{Shown, packed, unpacked};
    use crate::domain::Offer;

    #[test]
    fn what_was_packed_is_unpacked() {
        let most = Level { on_hand: i64::MAX, reserved: 127, committed: 128, owed: 16_384, in_transit: 0 };
        let longest = "w".repeat(64).parse().unwrap();
        let levels = vec![("a".parse().unwrap(), true, Level::default()), (longest, false, most)];
        let available_from = Some(Moment::from_micros(i64::MAX));
        let offer = Offer { discontinued: true, backorder_limit: 300, available_from, low_upto: Some(20) };
        let few = Shown { offer: Offer { low_upto: Some(0), ..Offer::default() }, levels: Vec::new() };
        for shown in [few, Shown { offer, levels }, Shown { offer: Offer::default(), levels: Vec::new() }] {
            assert_eq!(unpacked(&packed(&shown)), Some(shown));
        }
        assert_eq!(packed(&shown(1_000)).len(), 15);
    }
}

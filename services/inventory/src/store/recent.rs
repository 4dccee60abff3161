//! Stock as it was read last, kept in memory until it changes.
//!
//! ```text
//! a read:    get ─▶ nothing ─▶ stamp ─▶ a view of the database ─▶ keep, if the stamp is still the same
//! a change:  changing ─▶ COMMIT ─▶ on the disk, and answered ─▶ the guard is dropped
//! ```
//!
//! After a start all stock is read through once (`api::stock::read_through`), as far as there is room. Where there is
//! not enough for all, what nobody asks for goes first (S3-FIFO, `quick_cache`).
//!
//! **Invariant:** nobody is given what is not committed; and whoever has been told of a change is never
//! given what was before it.
//!
//! That holds because each SKU has a stamp that a change replaces before its commit, and that no read may
//! use until the change has been told. It takes that all changes go through this process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::inventory::Level;
use ids::{Sku, Warehouse};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use world::Moment;

use crate::domain::{Books, Offer};

/// What is shown of the stock of a SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) offer: Offer,
    /// Each level with its warehouse and whether that is active, in the order of their names.
    pub(crate) levels: Vec<(Warehouse, bool, Level)>,
}

/// The state of a SKU, without a look at it: as long as it is the same, so is the stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    slot: usize,
    of_sku: u64,
    of_warehouses: u64,
}

/// Stock of SKUs that were asked for, as much as there is room for.
pub(crate) struct Recent {
    /// The stamps of SKUs, a few of which share one: changes that were ever begun, and in the lowest
    /// bits how many of them are under way.
    stamps: Box<[AtomicU64]>,
    /// The same of what was said of warehouses, which concerns every SKU.
    of_warehouses: AtomicU64,
    kept: Cache<Sku, Kept, Bytes>,
}

/// Stamps of SKUs: half a MiB.
const STAMPS: usize = 65_536;
/// One change that was begun and is under way.
const BEGUN: u64 = (1 << 16) + 1;
/// Where changes are counted that are under way.
const UNDER_WAY: u64 = (1 << 16) - 1;
/// What a SKU takes beside its name and its levels, about.
const ENTRY_BYTES: usize = 128;

#[derive(Clone)]
struct Kept {
    stamp: Stamp,
    packed: Arc<[u8]>,
}

/// Weighs what is kept in bytes.
#[derive(Clone)]
struct Bytes;

impl Weighter<Sku, Kept> for Bytes {
    fn weight(&self, sku: &Sku, kept: &Kept) -> u64 {
        (ENTRY_BYTES + sku.as_str().len() + kept.packed.len()) as u64
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

impl Recent {
    /// Room for about so many bytes.
    pub(crate) fn with_room_for(bytes: usize) -> Self {
        Self {
            stamps: (0..STAMPS).map(|_| AtomicU64::new(0)).collect(),
            of_warehouses: AtomicU64::new(0),
            kept: Cache::with_weighter(bytes / (2 * ENTRY_BYTES), bytes as u64, Bytes),
        }
    }

    /// The stamp of a SKU; none while it changes.
    pub(crate) fn stamp(&self, sku: &Sku) -> Option<Stamp> {
        let slot = slot(sku);
        let of_sku = self.stamps[slot].load(Ordering::SeqCst);
        let of_warehouses = self.of_warehouses.load(Ordering::SeqCst);
        let stands = of_sku & UNDER_WAY == 0 && of_warehouses & UNDER_WAY == 0;
        stands.then_some(Stamp { slot, of_sku, of_warehouses })
    }

    /// The stock of a SKU as it is, where it is known, and the stamp that says so.
    pub(crate) fn get(&self, sku: &Sku) -> Option<(Shown, Stamp)> {
        let stamp = self.stamp(sku)?;
        let kept = self.kept.get(sku).filter(|kept| kept.stamp == stamp)?;
        Some((unpacked(&kept.packed)?, stamp))
    }

    /// Whether all of these are as they were.
    pub(crate) fn all_stand(&self, stamps: &[Stamp]) -> bool {
        let of_warehouses = self.of_warehouses.load(Ordering::SeqCst);
        stamps.iter().all(|stamp| {
            stamp.of_warehouses == of_warehouses && stamp.of_sku == self.stamps[stamp.slot].load(Ordering::SeqCst)
        })
    }

    /// Keeps what was read in a view that was opened after its stamp was taken.
    pub(crate) fn keep(&self, sku: &Sku, stamp: Stamp, shown: &Shown) {
        self.kept.insert(sku.clone(), Kept { stamp, packed: packed(shown) });
    }

    /// Says what a transaction is about to change, if anything; what is returned is dropped once that has
    /// been told, or was taken back.
    pub(crate) fn changing(self: &Arc<Self>, books: &Books) -> Option<Changing> {
        let of_stock = books.changed_pools().map(|(sku, ..)| slot(sku));
        let mut slots: Vec<usize> = of_stock.chain(books.changed_skus().map(|(sku, ..)| slot(sku))).collect();
        slots.sort_unstable();
        slots.dedup();
        let all = books.changed_warehouses().next().is_some();
        if slots.is_empty() && !all {
            return None;
        }
        let changing = Changing { recent: self.clone(), slots, all };
        for counter in changing.counters() {
            counter.fetch_add(BEGUN, Ordering::SeqCst);
        }
        Some(changing)
    }

    /// How many SKUs are kept, those that have changed since included.
    pub(crate) fn skus(&self) -> usize {
        self.kept.len()
    }

    /// Whether whatever comes next may soon take the place of something else.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.kept.weight() > self.kept.capacity() / 8 * 7
    }
}

fn slot(sku: &Sku) -> usize {
    usize::try_from(world::stable_hash(sku.as_str().as_bytes()) % STAMPS as u64).unwrap_or(0)
}

/// What a transaction changes, until that has been told.
pub(crate) struct Changing {
    recent: Arc<Recent>,
    slots: Vec<usize>,
    all: bool,
}

impl Changing {
    fn counters(&self) -> impl Iterator<Item = &AtomicU64> {
        let of_warehouses = self.all.then_some(&self.recent.of_warehouses);
        self.slots.iter().map(|slot| &self.recent.stamps[*slot]).chain(of_warehouses)
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        for counter in self.counters() {
            counter.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// In few bytes: flags, what is said of the SKU, then each level as a flag, the length and the text of its warehouse, and its
/// numbers in LEB128. Source: <https://en.wikipedia.org/wiki/LEB128>.
fn packed(shown: &Shown) -> Arc<[u8]> {
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
fn unpacked(packed: &[u8]) -> Option<Shown> {
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
    use std::sync::Arc;

    use contracts::inventory::Level;
    use ids::{Number, Sku};

    use world::Moment;

    use super::{Recent, Shown, packed, unpacked};
    use crate::domain::{Books, Command, Offer, Policy, Pool, WarehouseSettings};

    fn sku(text: &str) -> Sku {
        text.parse().unwrap()
    }

    fn shown(on_hand: i64) -> Shown {
        let level = Level { on_hand, reserved: 3, committed: 1, owed: 0, in_transit: 200 };
        Shown { offer: Offer::default(), levels: vec![("main".parse().unwrap(), true, level)] }
    }

    fn room() -> Arc<Recent> {
        Arc::new(Recent::with_room_for(1024 * 1024))
    }

    fn keep(recent: &Recent, name: &str, on_hand: i64) {
        recent.keep(&sku(name), recent.stamp(&sku(name)).unwrap(), &shown(on_hand));
    }

    fn on_hand(recent: &Recent, name: &str) -> Option<i64> {
        recent.get(&sku(name)).map(|(shown, _)| shown.levels[0].2.on_hand)
    }

    /// Books in which the settings of a SKU were changed.
    fn changed(name: &str) -> Books {
        let mut books = Books::default();
        let command =
            Command::SetSku { sku: sku(name), offer: Offer { discontinued: true, ..Offer::default() }, seen: None };
        let now = Moment::from_micros(0);
        books.carry_out("o", &command, &Policy::default(), now, &|| Number::from_column(1)).unwrap();
        books
    }

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

    #[test]
    fn what_is_kept_is_given_until_a_change_begins_and_never_again() {
        let recent = room();
        assert_eq!(on_hand(&recent, "a"), None);
        keep(&recent, "a", 5);
        keep(&recent, "b", 6);
        assert_eq!((on_hand(&recent, "a"), on_hand(&recent, "b")), (Some(5), Some(6)));
        let before = recent.stamp(&sku("a")).unwrap();
        let changing = recent.changing(&changed("a")).unwrap();
        assert_eq!((on_hand(&recent, "a"), recent.stamp(&sku("a"))), (None, None));
        // Who read before the commit, and comes to keep it only now.
        recent.keep(&sku("a"), before, &shown(5));
        assert_eq!(on_hand(&recent, "a"), None);
        drop(changing);
        recent.keep(&sku("a"), before, &shown(5));
        assert_eq!((on_hand(&recent, "a"), on_hand(&recent, "b")), (None, Some(6)));
        keep(&recent, "a", 4);
        assert_eq!(on_hand(&recent, "a"), Some(4));
    }

    #[test]
    fn of_two_changes_the_first_that_ends_does_not_end_the_other() {
        let recent = room();
        let (one, other) = (recent.changing(&changed("a")), recent.changing(&changed("a")));
        drop(other);
        assert_eq!(recent.stamp(&sku("a")), None);
        drop(one);
        assert!(recent.stamp(&sku("a")).is_some());
    }

    #[test]
    fn what_is_said_of_a_warehouse_concerns_every_sku() {
        let recent = room();
        keep(&recent, "a", 5);
        let (_, stamp) = recent.get(&sku("a")).unwrap();
        assert!(recent.all_stand(&[stamp]));
        let mut books = Books::default();
        books.load_warehouse("main".parse().unwrap(), WarehouseSettings::default());
        let command = Command::SetWarehouse {
            warehouse: "main".parse().unwrap(),
            site: crate::domain::Site { active: false, ..crate::domain::Site::default() },
            seen: None,
        };
        let now = Moment::from_micros(0);
        books.carry_out("o", &command, &Policy::default(), now, &|| Number::from_column(1)).unwrap();
        drop(recent.changing(&books));
        assert_eq!((on_hand(&recent, "a"), recent.all_stand(&[stamp])), (None, false));
    }

    #[test]
    fn levels_that_a_batch_has_loaded_and_left_as_they_were_stay_known() {
        let recent = room();
        keep(&recent, "b", 5);
        let mut books = changed("a");
        books.load_pool(sku("b"), "main".parse().unwrap(), Pool { on_hand: 5, ..Pool::default() });
        let _changing = recent.changing(&books).unwrap();
        assert_eq!(on_hand(&recent, "b"), Some(5));
    }

    #[test]
    fn there_is_room_for_so_much_and_what_is_asked_for_stays() {
        // Some 140 bytes each.
        let recent = Recent::with_room_for(1024 * 1024);
        keep(&recent, "asked", 1);
        for number in 0..5_000 {
            keep(&recent, &format!("{number}"), number);
        }
        assert!(recent.skus() == 5_001 && !recent.is_nearly_full(), "{} SKUs", recent.skus());
        // What fits in as a whole stays, however often and in whatever order it is asked for.
        for number in (0..5_000).chain((0..5_000).rev()).chain(0..5_000) {
            assert_eq!(on_hand(&recent, &format!("{number}")), Some(number));
        }
        for number in 5_000..50_000 {
            keep(&recent, &format!("{number}"), number);
            assert_eq!(on_hand(&recent, "asked"), Some(1));
        }
        assert!((6_000..7_600).contains(&recent.skus()) && recent.is_nearly_full(), "{} SKUs", recent.skus());
        // What is kept anew counts once.
        for _ in 0..50_000 {
            keep(&recent, "asked", i64::MAX);
            keep(&recent, "asked", 1);
        }
        assert!((6_000..7_600).contains(&recent.skus()), "{} SKUs", recent.skus());
        keep(&Recent::with_room_for(0), "a", 1);
    }
}

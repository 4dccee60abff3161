//! Stock that changes only through this process.
//!
//! ```text
//! a read:    get ─▶ nothing ─▶ stamp ─▶ a view of the database ─▶ keep, if the stamp is still the same
//! a change:  changing ─▶ COMMIT ─▶ on the disk, and answered ─▶ the guard is dropped
//! ```
//!
//! **Invariant:** each SKU has a stamp that a change replaces before its commit, and that no read may use until
//! the change has been told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ids::Sku;

use super::super::Shown;
use super::{Kept, SLOTS, slot};
use crate::domain::Books;

/// The state of a SKU, without a look at it: as long as it is the same, so is the stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    slot: usize,
    of_sku: u64,
    of_warehouses: u64,
}

/// Stock of SKUs that were asked for, each with its stamp.
#[derive(Debug)]
pub(crate) struct Stamped {
    /// The stamps of SKUs, a few of which share one: changes that were ever begun, and in the lowest
    /// bits how many of them are under way.
    stamps: Box<[AtomicU64]>,
    /// The same of what was said of warehouses, which concerns every SKU.
    of_warehouses: AtomicU64,
    pub(super) kept: Kept<Stamp>,
}

/// One change that was begun and is under way.
const BEGUN: u64 = (1 << 16) + 1;
/// Where changes are counted that are under way.
const UNDER_WAY: u64 = (1 << 16) - 1;

impl Stamped {
    /// Room for about so many bytes.
    pub(super) fn with_room_for(bytes: usize) -> Self {
        Self {
            stamps: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            of_warehouses: AtomicU64::new(0),
            kept: Kept::with_room_for(bytes),
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
        Some((self.kept.get(sku, |kept| kept == stamp)?, stamp))
    }

    /// Whether all of these are as they were.
    pub(crate) fn all_stand(&self, stamps: &[Stamp]) -> bool {
        let of_warehouses = self.of_warehouses.load(Ordering::SeqCst);
        stamps.iter().all(|stamp| {
            stamp.of_warehouses == of_warehouses && stamp.of_sku == self.stamps[stamp.slot].load(Ordering::SeqCst)
        })
    }

    /// Keeps what was read in a view that was opened after its stamp was taken.
    pub(crate) fn keep(&self, sku: Sku, stamp: Stamp, shown: Shown) {
        self.kept.keep(sku, stamp, shown);
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
        let changing = Changing { stamped: self.clone(), slots, all };
        for counter in changing.counters() {
            counter.fetch_add(BEGUN, Ordering::SeqCst);
        }
        Some(changing)
    }
}

/// What a transaction changes, until that has been told.
pub(crate) struct Changing {
    stamped: Arc<Stamped>,
    slots: Vec<usize>,
    all: bool,
}

impl Changing {
    fn counters(&self) -> impl Iterator<Item = &AtomicU64> {
        let of_warehouses = self.all.then_some(&self.stamped.of_warehouses);
        self.slots.iter().map(|slot| &self.stamped.stamps[*slot]).chain(of_warehouses)
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        for counter in self.counters() {
            counter.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ids::Number;
    use world::Moment;

    use super::super::tests::{on_hand as pieces, shown, sku};
    use super::Stamped;
    use crate::domain::{Books, Command, Offer, Policy, Pool, WarehouseSettings};

    fn room() -> Arc<Stamped> {
        Arc::new(Stamped::with_room_for(1024 * 1024))
    }

    fn keep(recent: &Stamped, name: &str, on_hand: i64) {
        recent.keep(sku(name), recent.stamp(&sku(name)).unwrap(), shown(on_hand));
    }

    fn on_hand(recent: &Stamped, name: &str) -> Option<i64> {
        recent.get(&sku(name)).map(|(shown, _)| pieces(&shown))
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
        recent.keep(sku("a"), before, shown(5));
        assert_eq!(on_hand(&recent, "a"), None);
        drop(changing);
        recent.keep(sku("a"), before, shown(5));
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
}

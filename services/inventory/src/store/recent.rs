//! Stock as it was read last, kept in memory until it changes.
//!
//! ```text
//! Stamped    all changes go through this process: each says what it is about to change
//! Followed   other processes change it too: each look first reads in the journal what they have changed
//! ```
//!
//! After a start all stock is read through once (`api::lookup::read_through`), as far as there is room. Where there is
//! not enough for all, what nobody asks for goes first (S3-FIFO, `quick_cache`).
//!
//! **Invariant:** nobody is given what is not committed; and whoever has been told of a change is never
//! given what was before it.

mod followed;
mod stamped;

use std::fmt;
use std::sync::Arc;

use ids::Sku;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

pub(crate) use self::followed::Followed;
pub(crate) use self::stamped::{Stamp, Stamped};
use super::Shown;

/// Stock of SKUs that were asked for, as much as there is room for.
#[derive(Clone, Debug)]
pub(crate) enum Recent {
    /// All changes go through this process.
    Stamped(Arc<Stamped>),
    /// Other processes change it too.
    Followed(Arc<Followed>),
}

impl Recent {
    /// Room for about so many bytes of stock that is ours alone to change, or that others change too.
    pub(crate) fn with_room_for(bytes: usize, is_ours_alone: bool) -> Self {
        if is_ours_alone {
            Self::Stamped(Arc::new(Stamped::with_room_for(bytes)))
        } else {
            Self::Followed(Arc::new(Followed::with_room_for(bytes)))
        }
    }

    /// What has to be told before a change.
    pub(crate) fn stamped(&self) -> Option<Arc<Stamped>> {
        match self {
            Self::Stamped(stamped) => Some(stamped.clone()),
            Self::Followed(_) => None,
        }
    }

    /// How many SKUs are kept, those that have changed since included.
    pub(crate) fn skus(&self) -> usize {
        match self {
            Self::Stamped(stamped) => stamped.kept.skus(),
            Self::Followed(followed) => followed.kept.skus(),
        }
    }

    /// Whether whatever comes next may soon take the place of something else.
    pub(crate) fn is_nearly_full(&self) -> bool {
        match self {
            Self::Stamped(stamped) => stamped.kept.is_nearly_full(),
            Self::Followed(followed) => followed.kept.is_nearly_full(),
        }
    }
}

/// What a SKU takes beside its name and its levels, about.
const ENTRY_BYTES: usize = 128;
/// Places in which changes of SKUs are noted, a few of which share one: half a MiB.
const SLOTS: usize = 65_536;

/// The place in which changes of a SKU are noted.
fn slot(sku: &Sku) -> usize {
    usize::try_from(world::stable_hash(sku.as_str().as_bytes()) % SLOTS as u64).unwrap_or(0)
}

/// Stock with a mark that says until when it may be given.
struct Kept<M>(Cache<Sku, (M, Shown), Bytes>);

impl<M: Copy> Kept<M> {
    fn with_room_for(bytes: usize) -> Self {
        Self(Cache::with_weighter(bytes / (2 * ENTRY_BYTES), bytes as u64, Bytes))
    }

    /// The stock of a SKU, if its mark is good.
    fn get(&self, sku: &Sku, is_good: impl FnOnce(M) -> bool) -> Option<Shown> {
        self.0.get(sku).filter(|(mark, _)| is_good(*mark)).map(|(_, shown)| shown)
    }

    fn keep(&self, sku: Sku, mark: M, shown: Shown) {
        self.0.insert(sku, (mark, shown));
    }

    fn skus(&self) -> usize {
        self.0.len()
    }

    fn is_nearly_full(&self) -> bool {
        self.0.weight() > self.0.capacity() / 8 * 7
    }
}

impl<M> fmt::Debug for Kept<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// Weighs what is kept in bytes.
#[derive(Clone)]
struct Bytes;

impl<M> Weighter<Sku, (M, Shown)> for Bytes {
    fn weight(&self, sku: &Sku, (_, shown): &(M, Shown)) -> u64 {
        (ENTRY_BYTES + sku.as_str().len() + shown.bytes()) as u64
    }
}

#[cfg(test)]
mod tests {
    use contracts::inventory::Level;
    use ids::Sku;

    use super::super::Shown;
    use super::Kept;
    use crate::domain::Offer;

    pub(super) fn sku(text: &str) -> Sku {
        text.parse().unwrap()
    }

    pub(super) fn shown(on_hand: i64) -> Shown {
        let level = Level { on_hand, reserved: 3, committed: 1, owed: 0, in_transit: 200 };
        Shown::of(Offer::default(), [(&"main".parse().unwrap(), true, level)])
    }

    pub(super) fn on_hand(shown: &Shown) -> i64 {
        shown.open().1.map(|(.., level)| level.on_hand).sum()
    }

    #[test]
    fn there_is_room_for_so_much_and_what_is_asked_for_stays() {
        // Some 140 bytes each.
        let kept = Kept::<()>::with_room_for(1024 * 1024);
        let keep = |name: &str, on_hand| kept.keep(sku(name), (), shown(on_hand));
        let on_hand = |name: &str| kept.get(&sku(name), |()| true).map(|shown| on_hand(&shown));
        keep("asked", 1);
        for number in 0..5_000 {
            keep(&format!("{number}"), number);
        }
        assert!(kept.skus() == 5_001 && !kept.is_nearly_full(), "{} SKUs", kept.skus());
        // What fits in as a whole stays, however often and in whatever order it is asked for.
        for number in (0..5_000).chain((0..5_000).rev()).chain(0..5_000) {
            assert_eq!(on_hand(&format!("{number}")), Some(number));
        }
        for number in 5_000..50_000 {
            keep(&format!("{number}"), number);
            assert_eq!(on_hand("asked"), Some(1));
        }
        assert!((6_000..7_600).contains(&kept.skus()) && kept.is_nearly_full(), "{} SKUs", kept.skus());
        // What is kept anew counts once.
        for _ in 0..50_000 {
            keep("asked", i64::MAX);
            keep("asked", 1);
        }
        assert!((6_000..7_600).contains(&kept.skus()), "{} SKUs", kept.skus());
        Kept::with_room_for(0).keep(sku("a"), (), shown(1));
    }
}

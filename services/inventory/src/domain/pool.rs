//! Stock of one SKU in one warehouse, and the claims on it.

use contracts::inventory::Level;

use super::change::Change;

/// Stock of one SKU in one warehouse.
///
/// A promise is a claim on the pool: of a live hold, or firm once it is committed. A piece of a claim is on
/// the shelf or owed: promised without stock, or not found by a stock-take. Which claims are owed how much
/// stands in their reservations; here are the sums.
///
/// **Invariant:** no number is negative, and `reserved + committed <= on_hand`; between two commands, for within
/// one they may be broken.
///
/// **Invariant:** as long as anything is owed there is nothing available: what is free is for those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Pieces on the shelf.
    pub on_hand: i64,
    /// Pieces on the shelf that live holds keep.
    pub reserved: i64,
    /// Pieces on the shelf that are firmly promised.
    pub committed: i64,
    /// Pieces that live holds were promised and that are not on the shelf.
    pub owed_to_holds: i64,
    /// Pieces that are firmly promised and not on the shelf.
    pub owed_firmly: i64,
    /// Pieces on their way here; nobody is promised them, and nobody is served from them.
    pub in_transit: i64,
}

impl Pool {
    /// Pieces on the shelf that nobody has been given; negative while a stock-take is being entered that found less
    /// than is promised.
    pub fn free(&self) -> i64 {
        self.on_hand - self.reserved - self.committed
    }

    /// Pieces that can be promised.
    pub fn available(&self) -> i64 {
        self.level().available()
    }

    /// Whether pieces are free that somebody is owed: so many are that not all could be served at once.
    pub fn is_unserved(&self) -> bool {
        self.owed() > 0 && self.free() > 0
    }

    /// Pieces that are promised and not on the shelf.
    pub fn owed(&self) -> i64 {
        self.owed_to_holds + self.owed_firmly
    }

    /// As others see it.
    pub fn level(&self) -> Level {
        Level {
            on_hand: self.on_hand,
            reserved: self.reserved,
            committed: self.committed,
            owed: self.owed(),
            in_transit: self.in_transit,
        }
    }

    /// Whether it is as it may be left.
    pub fn is_sound(&self) -> bool {
        let Self { on_hand, reserved, committed, owed_to_holds, owed_firmly, in_transit } = *self;
        let is_negative = [on_hand, reserved, committed, owed_to_holds, owed_firmly, in_transit].iter().any(|n| *n < 0);
        !is_negative && self.free() >= 0
    }

    /// Enters what happened to it.
    pub fn enter(&mut self, change: Change) {
        self.add(change, 1);
    }

    /// As it was before all this happened to it.
    #[must_use]
    pub fn before(mut self, since: Change) -> Self {
        self.add(since, -1);
        self
    }

    fn add(&mut self, change: Change, times: i64) {
        self.on_hand += times * change.on_hand;
        self.reserved += times * (change.held - change.owed_to_holds);
        self.committed += times * (change.firm - change.owed_firmly);
        self.owed_to_holds += times * change.owed_to_holds;
        self.owed_firmly += times * change.owed_firmly;
        self.in_transit += times * change.in_transit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_of_which_pieces_are_owed_counts_whole_as_promised() {
        let mut pool = Pool { on_hand: 3, ..Pool::default() };
        let change = Change { held: 5, owed_to_holds: 2, ..Change::default() };
        pool.enter(change);
        assert_eq!(pool, Pool { on_hand: 3, reserved: 3, owed_to_holds: 2, ..Pool::default() });
        assert_eq!((pool.available(), pool.owed()), (0, 2));
        assert_eq!(pool.before(change), Pool { on_hand: 3, ..Pool::default() });
    }

    #[test]
    fn what_is_free_is_not_available_as_long_as_somebody_is_owed_pieces() {
        let pool = Pool { on_hand: 3, reserved: 2, ..Pool::default() };
        assert_eq!((pool.available(), pool.is_unserved()), (1, false));
        let owed = Pool { owed_firmly: 4, ..pool };
        assert_eq!((owed.free(), owed.available(), owed.is_unserved()), (1, 0, true));
        assert!(!Pool { on_hand: 2, ..owed }.is_unserved(), "nothing is there to serve them");
    }

    #[test]
    fn a_pool_is_not_left_with_goods_that_are_promised_twice() {
        let sound = Pool { on_hand: 3, reserved: 2, committed: 1, owed_firmly: 1, ..Pool::default() };
        assert!(sound.is_sound());
        assert!(!Pool { committed: 2, ..sound }.is_sound(), "more is promised than is there");
        assert!(!Pool { in_transit: -1, ..sound }.is_sound());
    }
}

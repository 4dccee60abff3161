//! Stock of one SKU in one warehouse, and the claims on it.

use contracts::inventory::Level;

/// Stock of one SKU in one warehouse.
///
/// A promise is a claim on the pool: of a live hold, or firm once it is committed. What a stock-take
/// takes from promises is owed to one kind or the other until goods come in; firm claims are served
/// first.
///
/// **Invariant:** no number is negative, `reserved + committed <= on_hand`, and as long as anything
/// is owed there is nothing available.
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
    /// Pieces that can be promised.
    pub fn available(&self) -> i64 {
        self.on_hand - self.reserved - self.committed
    }

    /// As others see it.
    pub fn level(&self) -> Level {
        Level {
            on_hand: self.on_hand,
            reserved: self.reserved,
            committed: self.committed,
            owed: self.owed_to_holds + self.owed_firmly,
            in_transit: self.in_transit,
        }
    }

    /// Puts pieces on the shelf; what is owed is served from them first.
    pub fn put(&mut self, quantity: i64) {
        self.on_hand += quantity;
        self.serve();
    }

    /// Takes available pieces away.
    pub fn take(&mut self, quantity: i64) {
        debug_assert!(quantity <= self.available(), "only what is available is taken");
        self.on_hand -= quantity;
    }

    /// Counts pieces that are on their way here.
    pub fn announce(&mut self, quantity: i64) {
        self.in_transit += quantity;
        #[cfg(feature = "planted-bugs")]
        if world::planted::is(world::planted::Bug::TransferCountedTwice) {
            self.put(quantity);
        }
    }

    /// Puts pieces on the shelf that were on their way.
    pub fn arrive(&mut self, quantity: i64) {
        self.lose(quantity);
        self.put(quantity);
    }

    /// Gives up pieces that were on their way.
    pub fn lose(&mut self, quantity: i64) {
        debug_assert!(quantity <= self.in_transit, "only what is on its way arrives or is lost");
        self.in_transit -= quantity;
    }

    /// Sets what is on the shelf; what no longer covers a promise becomes owed, from holds first.
    pub fn count(&mut self, counted: i64) {
        // Every promise is looked at anew, and served from what is there.
        self.on_hand = counted;
        self.owed_to_holds += std::mem::take(&mut self.reserved);
        self.owed_firmly += std::mem::take(&mut self.committed);
        self.serve();
    }

    /// Holds pieces.
    pub fn reserve(&mut self, quantity: i64) {
        debug_assert!(quantity <= self.available(), "only what is available is held");
        self.reserved += quantity;
    }

    /// Lets a hold go.
    pub fn release(&mut self, quantity: i64) {
        let unserved = quantity.min(self.owed_to_holds);
        self.owed_to_holds -= unserved;
        self.reserved -= quantity - unserved;
        self.serve();
    }

    /// Makes a hold firm.
    pub fn commit(&mut self, quantity: i64) {
        let served = quantity.min(self.reserved);
        self.reserved -= served;
        self.committed += served;
        self.owed_to_holds -= quantity - served;
        self.owed_firmly += quantity - served;
        self.serve();
    }

    /// Whether this many firmly promised pieces can leave the shelf.
    pub fn can_ship(&self, quantity: i64) -> bool {
        quantity <= self.committed
    }

    /// Takes firmly promised pieces off the shelf.
    pub fn ship(&mut self, quantity: i64) {
        debug_assert!(self.can_ship(quantity), "only what is there is shipped");
        self.committed -= quantity;
        self.on_hand -= quantity;
    }

    /// Lets a firm promise go.
    pub fn uncommit(&mut self, quantity: i64) {
        let unserved = quantity.min(self.owed_firmly);
        self.owed_firmly -= unserved;
        self.committed -= quantity - unserved;
        self.serve();
    }

    /// Covers what is owed with what has become free: firm promises first.
    fn serve(&mut self) {
        let firmly = self.available().min(self.owed_firmly);
        self.owed_firmly -= firmly;
        self.committed += firmly;
        let to_holds = self.available().min(self.owed_to_holds);
        self.owed_to_holds -= to_holds;
        self.reserved += to_holds;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pool;

    fn pool(on_hand: i64, reserved: i64, committed: i64) -> Pool {
        Pool { on_hand, reserved, committed, ..Pool::default() }
    }

    #[test]
    fn a_stock_take_takes_from_holds_before_it_takes_from_firm_promises() {
        let mut pool = pool(10, 4, 3);
        pool.count(5);
        assert_eq!(
            pool,
            Pool { on_hand: 5, reserved: 2, committed: 3, owed_to_holds: 2, owed_firmly: 0, ..Pool::default() }
        );
        pool.count(1);
        assert_eq!(
            pool,
            Pool { on_hand: 1, reserved: 0, committed: 1, owed_to_holds: 4, owed_firmly: 2, ..Pool::default() }
        );
    }

    #[test]
    fn goods_that_come_in_serve_firm_promises_first() {
        let mut pool =
            Pool { on_hand: 1, reserved: 0, committed: 1, owed_to_holds: 4, owed_firmly: 2, ..Pool::default() };
        pool.put(3);
        assert_eq!(
            pool,
            Pool { on_hand: 4, reserved: 1, committed: 3, owed_to_holds: 3, owed_firmly: 0, ..Pool::default() }
        );
        pool.put(10);
        assert_eq!((pool.available(), pool.level().owed), (7, 0));
    }

    #[test]
    fn a_hold_that_goes_serves_another_that_is_owed() {
        let mut pool =
            Pool { on_hand: 2, reserved: 2, committed: 0, owed_to_holds: 3, owed_firmly: 0, ..Pool::default() };
        pool.release(4);
        assert_eq!(
            pool,
            Pool { on_hand: 2, reserved: 1, committed: 0, owed_to_holds: 0, owed_firmly: 0, ..Pool::default() }
        );
    }

    /// What claims are open, beside the pool that should cover them.
    #[derive(Default)]
    struct Claims {
        held: Vec<i64>,
        firm: Vec<i64>,
    }

    fn step(pool: &mut Pool, claims: &mut Claims, act: u8, quantity: i64) {
        match act {
            0 => pool.put(quantity),
            1 => pool.count(quantity),
            2 if quantity <= pool.available() => {
                pool.reserve(quantity);
                claims.held.push(quantity);
            }
            3 => claims.held.pop().into_iter().for_each(|held| pool.release(held)),
            4 => {
                if let Some(held) = claims.held.pop() {
                    pool.commit(held);
                    claims.firm.push(held);
                }
            }
            5 if claims.firm.last().is_some_and(|firm| pool.can_ship(*firm)) => {
                claims.firm.pop().into_iter().for_each(|firm| pool.ship(firm));
            }
            6 => claims.firm.pop().into_iter().for_each(|firm| pool.uncommit(firm)),
            7 if quantity <= pool.available() => pool.take(quantity),
            8 => pool.announce(quantity),
            9 => pool.arrive(quantity.min(pool.in_transit)),
            10 => pool.lose(quantity.min(pool.in_transit)),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_every_claim_is_covered_or_owed(
            acts in prop::collection::vec((0_u8..11, 0_i64..20), 0..200)
        ) {
            let (mut pool, mut claims) = (Pool::default(), Claims::default());
            for (act, quantity) in acts {
                step(&mut pool, &mut claims, act, quantity);
                let Pool { on_hand, reserved, committed, owed_to_holds, owed_firmly, in_transit } = pool;
                let numbers = [on_hand, reserved, committed, owed_to_holds, owed_firmly, in_transit];
                prop_assert!(numbers.iter().all(|number| *number >= 0));
                prop_assert!(pool.available() >= 0);
                prop_assert!(owed_to_holds + owed_firmly == 0 || pool.available() == 0);
                prop_assert_eq!(reserved + owed_to_holds, claims.held.iter().sum::<i64>());
                prop_assert_eq!(committed + owed_firmly, claims.firm.iter().sum::<i64>());
            }
        }
    }
}

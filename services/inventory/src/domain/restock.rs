//! When more of a SKU is wanted in a warehouse.

use contracts::inventory::{Event, RestockNeeded, RestockPointChanged, StockReplenished};
use ids::{Number, Sku, Warehouse};

use super::pool::Pool;

/// Below how many pieces more is wanted, and how many there should be then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorder {
    /// Below so many more is wanted; at least 1.
    pub threshold: i64,
    /// So many there should be then; no less than the threshold.
    pub target: i64,
}

/// What was said about a SKU in a warehouse, and whether it has run low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestockPoint {
    /// Our number for it.
    pub number: Number,
    /// When more is wanted; never, where there is none.
    pub reorder: Option<Reorder>,
    /// Whether it was said that more is needed, and there is not enough yet.
    pub is_low: bool,
    /// How many events it has had; 0 as long as nobody has said anything about it.
    pub version: i64,
}

impl Default for RestockPoint {
    fn default() -> Self {
        Self { number: Number::from_column(0), reorder: None, is_low: false, version: 0 }
    }
}

/// Pieces that will be there for new promises: what is owed is taken off, and what is on its way counts.
fn position(pool: Pool) -> i64 {
    pool.free() + pool.in_transit - pool.owed()
}

impl RestockPoint {
    /// Pieces that would reach the target, where less than the threshold is there.
    pub fn needed(self, pool: Pool) -> Option<i64> {
        let reorder = self.reorder.filter(|reorder| position(pool) < reorder.threshold)?;
        Some(reorder.target - position(pool))
    }

    /// Decides what it means to say when more is wanted.
    pub(super) fn decide(self, sku: &Sku, warehouse: &Warehouse, reorder: Option<Reorder>) -> Option<Event> {
        let (sku, warehouse) = (sku.clone(), warehouse.clone());
        let (threshold, target) = (reorder.map(|reorder| reorder.threshold), reorder.map(|reorder| reorder.target));
        (self.reorder != reorder).then(|| RestockPointChanged { sku, warehouse, threshold, target }.into())
    }

    /// What is to be said of a level as it is now: that it has crossed the threshold, down or up.
    pub(super) fn crossed(self, sku: &Sku, warehouse: &Warehouse, pool: Pool) -> Option<Event> {
        let (sku, warehouse, level) = (sku.clone(), warehouse.clone(), pool.level());
        match (self.is_low, self.reorder, self.needed(pool)) {
            (false, Some(Reorder { threshold, .. }), Some(quantity)) => {
                Some(RestockNeeded { sku, warehouse, threshold, quantity, level }.into())
            }
            (true, _, None) => Some(StockReplenished { sku, warehouse, level }.into()),
            (false, _, _) | (true, _, Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(threshold: i64, target: i64) -> RestockPoint {
        RestockPoint { reorder: Some(Reorder { threshold, target }), version: 1, ..RestockPoint::default() }
    }

    fn said(point: RestockPoint, pool: Pool) -> Option<Event> {
        point.crossed(&"a".parse().unwrap(), &"leeds".parse().unwrap(), pool)
    }

    fn on_hand(on_hand: i64) -> Pool {
        Pool { on_hand, ..Pool::default() }
    }

    #[test]
    fn what_falls_below_the_threshold_is_said_once_and_so_is_that_it_is_reached_again() {
        let point = of(5, 20);
        assert_eq!(said(point, on_hand(5)), None);
        let Some(Event::RestockNeeded(needed)) = said(point, on_hand(4)) else { panic!() };
        assert_eq!((needed.threshold, needed.quantity, needed.level.on_hand), (5, 16, 4));
        let low = RestockPoint { is_low: true, ..point };
        assert_eq!((said(low, on_hand(4)), said(low, on_hand(0))), (None, None));
        assert!(matches!(said(low, on_hand(5)), Some(Event::StockReplenished(_))));
    }

    #[test]
    fn what_is_promised_or_owed_is_not_there_and_what_travels_is_as_good_as_there() {
        let promised = Pool { on_hand: 9, reserved: 2, committed: 3, in_transit: 1, ..Pool::default() };
        assert_eq!(of(5, 20).needed(promised), None);
        assert_eq!(of(6, 20).needed(promised), Some(15));
        let owed = Pool { owed_to_holds: 1, owed_firmly: 2, ..Pool::default() };
        assert_eq!(of(1, 4).needed(owed), Some(7));
    }

    #[test]
    fn what_nobody_watches_any_more_is_not_low() {
        let low = RestockPoint { is_low: true, ..of(5, 20) };
        assert!(matches!(said(RestockPoint { reorder: None, ..low }, on_hand(0)), Some(Event::StockReplenished(_))));
        assert_eq!(said(RestockPoint::default(), on_hand(0)), None);
        let (sku, leeds) = ("a".parse().unwrap(), "leeds".parse().unwrap());
        assert_eq!(low.decide(&sku, &leeds, low.reorder), None, "it is so already");
        let Some(Event::RestockPointChanged(e)) = low.decide(&sku, &leeds, None) else { panic!() };
        assert_eq!((e.threshold, e.target), (None, None));
    }
}

//! What holds for a SKU in every warehouse.

use contracts::inventory::{self as say, Event, Short};
use ids::{Number, Sku};
use world::Moment;

use super::command::Rejection;

/// What is said of a SKU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Whether it is sold no more.
    pub discontinued: bool,
    /// Pieces that may be owed in all warehouses together when something is newly promised.
    pub backorder_limit: i64,
    /// When goods are expected, where that is known.
    pub available_from: Option<Moment>,
    /// Up to so many pieces there are few of it; what the settings say where none is said.
    pub low_upto: Option<i64>,
}

impl Offer {
    /// Takes over what an event says of it.
    pub fn enter(&mut self, event: &Event) {
        match event {
            Event::SkuDiscontinued(_) => self.discontinued = true,
            Event::SkuReinstated(_) => self.discontinued = false,
            Event::SkuBackorderChanged(e) => (self.backorder_limit, self.available_from) = (e.limit, e.available_from),
            Event::SkuSignalChanged(e) => self.low_upto = e.low_upto,
            _ => {}
        }
    }
}

/// What holds for a SKU in every warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkuSettings {
    /// Our number for it.
    pub number: Number,
    /// What is said of it.
    pub offer: Offer,
    /// How many events it has had; 0 as long as nobody has said anything about it.
    pub version: i64,
}

impl Default for SkuSettings {
    fn default() -> Self {
        Self { number: Number::from_column(0), offer: Offer::default(), version: 0 }
    }
}

impl SkuSettings {
    /// Decides what it means to say this of a SKU; `seen` is the version that the caller has seen.
    pub(super) fn decide(self, sku: &Sku, offer: Offer, seen: Option<i64>) -> Result<Vec<Event>, Rejection> {
        if seen.is_some_and(|seen| seen != self.version) {
            return Err(Rejection::ChangedMeanwhile);
        }
        let is_sold = match (self.offer.discontinued, offer.discontinued) {
            (false, true) => Some(say::SkuDiscontinued { sku: sku.clone() }.into()),
            (true, false) => Some(say::SkuReinstated { sku: sku.clone() }.into()),
            (false, false) | (true, true) => None,
        };
        let Offer { backorder_limit: limit, available_from, low_upto, .. } = offer;
        let is_same = (self.offer.backorder_limit, self.offer.available_from) == (limit, available_from);
        let backorder = (!is_same).then(|| say::SkuBackorderChanged { sku: sku.clone(), limit, available_from }.into());
        let signal =
            (self.offer.low_upto != low_upto).then(|| say::SkuSignalChanged { sku: sku.clone(), low_upto }.into());
        Ok([is_sold, backorder, signal].into_iter().flatten().collect())
    }
}

/// As something of which nothing can be had: the pieces that are wanted of a SKU that is sold no more.
pub(super) fn sold_no_more<'a>(wanted: impl Iterator<Item = (&'a Sku, i64)>) -> Vec<Short> {
    let mut short: Vec<Short> = Vec::new();
    for (sku, quantity) in wanted {
        if let Some(short) = short.iter_mut().find(|short| short.sku == *sku) {
            short.wanted += quantity;
            continue;
        }
        short.push(Short { sku: sku.clone(), wanted: quantity, available: 0, in_transit: 0, available_from: None });
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_sku_is_said_once() {
        let sku: Sku = "a".parse().unwrap();
        let (sold, not_sold) = (Offer::default(), Offer { discontinued: true, ..Offer::default() });
        let (new, ended) =
            (SkuSettings::default(), SkuSettings { offer: not_sold, version: 1, ..SkuSettings::default() });
        assert!(matches!(new.decide(&sku, not_sold, None).as_deref(), Ok([Event::SkuDiscontinued(_)])));
        assert_eq!((new.decide(&sku, sold, None), ended.decide(&sku, not_sold, Some(1))), (Ok(vec![]), Ok(vec![])));
        assert!(matches!(ended.decide(&sku, sold, Some(1)).as_deref(), Ok([Event::SkuReinstated(_)])));
        assert_eq!(ended.decide(&sku, sold, Some(0)), Err(Rejection::ChangedMeanwhile));
        let both = Offer { backorder_limit: 5, available_from: Some(Moment::from_micros(1)), ..not_sold };
        let said = new.decide(&sku, both, None);
        let Ok([Event::SkuDiscontinued(_), Event::SkuBackorderChanged(e)]) = said.as_deref() else {
            panic!("{said:?}")
        };
        assert_eq!((e.limit, e.available_from), (5, both.available_from));
        assert!(matches!(ended.decide(&sku, both, None).as_deref(), Ok([Event::SkuBackorderChanged(_)])));
        let few = Offer { low_upto: Some(20), ..not_sold };
        let said = ended.decide(&sku, few, None).unwrap();
        assert!(matches!(said.as_slice(), [Event::SkuSignalChanged(e)] if e.low_upto == Some(20)), "{said:?}");
        let mut entered = not_sold;
        for event in &said {
            entered.enter(event);
        }
        assert_eq!(entered, few);
    }

    #[test]
    fn pieces_of_one_sku_are_summed() {
        let (a, b): (Sku, Sku) = ("a".parse().unwrap(), "b".parse().unwrap());
        let short = sold_no_more([(&b, 1), (&a, 2), (&b, 3)].into_iter());
        let wanted: Vec<_> = short.iter().map(|short| (short.sku.as_str(), short.wanted, short.available)).collect();
        assert_eq!(wanted, [("b", 4, 0), ("a", 2, 0)]);
    }
}

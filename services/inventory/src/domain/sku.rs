//! What holds for a SKU in every warehouse.

use contracts::inventory::{self as say, Event, Short};
use ids::{Number, Sku};

use super::command::Rejection;

/// What holds for a SKU in every warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkuSettings {
    /// Our number for it.
    pub number: Number,
    /// Whether it is sold no more.
    pub discontinued: bool,
    /// How many events it has had; 0 as long as nobody has said anything about it.
    pub version: i64,
}

impl Default for SkuSettings {
    fn default() -> Self {
        Self { number: Number::from_column(0), discontinued: false, version: 0 }
    }
}

impl SkuSettings {
    /// Decides what it means to say that a SKU is, or is not, sold any more; `seen` is the version that
    /// the caller has seen.
    pub(super) fn decide(self, sku: &Sku, discontinued: bool, seen: Option<i64>) -> Result<Option<Event>, Rejection> {
        if seen.is_some_and(|seen| seen != self.version) {
            return Err(Rejection::ChangedMeanwhile);
        }
        let sku = sku.clone();
        Ok(match (self.discontinued, discontinued) {
            (false, true) => Some(say::SkuDiscontinued { sku }.into()),
            (true, false) => Some(say::SkuReinstated { sku }.into()),
            (false, false) | (true, true) => None,
        })
    }
}

/// As something of which nothing can be had: the pieces that are wanted of a SKU that is sold no more.
pub(super) fn sold_no_more<'a>(wanted: impl Iterator<Item = (&'a Sku, i64)>) -> Vec<Short> {
    let mut short: Vec<Short> = Vec::new();
    for (sku, quantity) in wanted {
        match short.iter_mut().find(|short| short.sku == *sku) {
            Some(short) => short.wanted += quantity,
            None => short.push(Short { sku: sku.clone(), wanted: quantity, available: 0 }),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_discontinued_once_and_sold_again_once() {
        let sku: Sku = "a".parse().unwrap();
        let sold = SkuSettings::default();
        let not_sold = SkuSettings { discontinued: true, version: 1, ..sold };
        assert!(matches!(sold.decide(&sku, true, None), Ok(Some(Event::SkuDiscontinued(_)))));
        assert_eq!((sold.decide(&sku, false, None), not_sold.decide(&sku, true, Some(1))), (Ok(None), Ok(None)));
        assert!(matches!(not_sold.decide(&sku, false, Some(1)), Ok(Some(Event::SkuReinstated(_)))));
        assert_eq!(not_sold.decide(&sku, false, Some(0)), Err(Rejection::ChangedMeanwhile));
    }

    #[test]
    fn pieces_of_one_sku_are_summed() {
        let (a, b): (Sku, Sku) = ("a".parse().unwrap(), "b".parse().unwrap());
        let short = sold_no_more([(&b, 1), (&a, 2), (&b, 3)].into_iter());
        let wanted: Vec<_> = short.iter().map(|short| (short.sku.as_str(), short.wanted, short.available)).collect();
        assert_eq!(wanted, [("b", 4, 0), ("a", 2, 0)]);
    }
}

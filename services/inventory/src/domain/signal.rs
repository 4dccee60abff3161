//! How much there is of a SKU, for those who should not be told how many.

use serde::Serialize;

use super::sku::Offer;

/// How much there is of a SKU, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// More than anybody will ask for.
    Plenty,
    /// Enough.
    InStock,
    /// A few.
    Low,
    /// One.
    LastOne,
    /// None, or it is sold no more.
    Gone,
}

impl Signal {
    /// The words for all of them.
    pub const WORDS: [&'static str; 5] = ["plenty", "in_stock", "low", "last_one", "gone"];
}

/// Up to how many pieces there are a few, and from how many on there is plenty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Up to so many there are a few.
    pub low_upto: i64,
    /// From so many on there is plenty.
    pub plenty_from: i64,
}

impl Thresholds {
    /// The word for so many pieces that can be promised, of a SKU of which this is said: what it says of a
    /// few takes precedence.
    pub fn signal(self, available: i64, offer: Offer) -> Signal {
        match available {
            _ if offer.discontinued => Signal::Gone,
            ..=0 => Signal::Gone,
            1 => Signal::LastOne,
            some if some <= offer.low_upto.unwrap_or(self.low_upto) => Signal::Low,
            many if many >= self.plenty_from => Signal::Plenty,
            _ => Signal::InStock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Offer, Signal, Thresholds};

    #[test]
    fn the_last_one_is_said_whatever_a_few_is() {
        let word =
            |low_upto, plenty_from, available| Thresholds { low_upto, plenty_from }.signal(available, Offer::default());
        let words = [0, 1, 2, 5, 6, 99, 100].map(|available| word(5, 100, available));
        assert_eq!(
            words,
            [Signal::Gone, Signal::LastOne, Signal::Low, Signal::Low, Signal::InStock, Signal::InStock, Signal::Plenty]
        );
        assert_eq!([0, 1, 2].map(|available| word(0, 2, available)), [Signal::Gone, Signal::LastOne, Signal::Plenty]);
    }

    #[test]
    fn nothing_can_be_had_of_what_is_sold_no_more() {
        let offer = Offer { discontinued: true, ..Offer::default() };
        assert_eq!(Thresholds { low_upto: 5, plenty_from: 100 }.signal(1_000, offer), Signal::Gone);
    }

    #[test]
    fn a_sku_may_have_a_few_of_its_own() {
        let thresholds = Thresholds { low_upto: 5, plenty_from: 100 };
        let word =
            |low_upto, available| thresholds.signal(available, Offer { low_upto: Some(low_upto), ..Offer::default() });
        assert_eq!([1, 2, 5].map(|available| word(0, available)), [Signal::LastOne, Signal::InStock, Signal::InStock]);
        assert_eq!([6, 200, 201].map(|available| word(200, available)), [Signal::Low, Signal::Low, Signal::Plenty]);
    }

    #[test]
    fn the_words_are_those_that_are_written() {
        let all = [Signal::Plenty, Signal::InStock, Signal::Low, Signal::LastOne, Signal::Gone];
        let written = all.map(|signal| serde_json::to_value(signal).unwrap());
        assert_eq!(written, Signal::WORDS.map(serde_json::Value::from));
    }
}

//! Money: whole minor units of one currency, and arithmetic that cannot go wrong in silence.
//!
//! ```text
//! {"amount": 1999, "currency": "GBP"}  ◀──▶  Money  ──▶  "19.99 GBP"
//!                                              └── Currency: a code of ISO 4217 and its decimals
//! ```
//!
//! **Invariant:** an amount lies within [`MAX_MINOR_UNITS`] of zero, so that every JSON client reads
//! it as it was written; what would lie beyond is an error and never another amount.
//!
//! **Invariant:** amounts of two currencies meet only in an error.

mod currency;

use std::fmt;

pub use currency::Currency;
use serde::{Deserialize, Serialize};

/// The largest amount, in minor units, in either direction: 2^53, where a double ends to be exact.
pub const MAX_MINOR_UNITS: i64 = 1 << 53;

/// An amount of one currency, in whole minor units (pence, cents, fils).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Money {
    amount: i64,
    currency: Currency,
}

/// Why an amount cannot be; the message is fit to be shown to a caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is no code of a currency that has minor units.
    #[error("{0:?} is no currency of ISO 4217; write its code of three capital letters, like \"GBP\"")]
    UnknownCurrency(String),
    /// Two currencies stand where only one can.
    #[error("{0} and {1} are two currencies; amounts of both cannot be added or taken from each other")]
    TwoCurrencies(Currency, Currency),
    /// The amount lies beyond [`MAX_MINOR_UNITS`].
    #[error("an amount is at most {MAX_MINOR_UNITS} minor units of its currency, up or down")]
    TooMuch,
}

impl Money {
    /// An amount in minor units of a currency.
    pub const fn new(amount: i64, currency: Currency) -> Result<Self, MoneyError> {
        if amount.unsigned_abs() > MAX_MINOR_UNITS.unsigned_abs() {
            return Err(MoneyError::TooMuch);
        }
        Ok(Self { amount, currency })
    }

    /// Nothing, in a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self { amount: 0, currency }
    }

    /// The amount in minor units.
    pub const fn amount(self) -> i64 {
        self.amount
    }

    /// The currency that the amount is in.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// This and another amount of the same currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Self::within(i128::from(self.amount) + i128::from(other.amount), self.currency)
    }

    /// This without another amount of the same currency; it may go below zero.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Self::within(i128::from(self.amount) - i128::from(other.amount), self.currency)
    }

    /// This amount so many times, as a line of an order has a price so many times.
    pub fn checked_mul(self, quantity: i64) -> Result<Self, MoneyError> {
        Self::within(i128::from(self.amount) * i128::from(quantity), self.currency)
    }

    /// The sum of amounts of one currency, whatever their order; zero of none.
    pub fn total(currency: Currency, amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        let mut sum = 0;
        for money in amounts {
            Self::zero(currency).same_currency(money)?;
            // Only the end is measured: what goes beyond on the way may come back.
            sum += i128::from(money.amount);
        }
        Self::within(sum, currency)
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::TwoCurrencies(self.currency, other.currency))
        }
    }

    fn within(amount: i128, currency: Currency) -> Result<Self, MoneyError> {
        Self::new(i64::try_from(amount).map_err(|_| MoneyError::TooMuch)?, currency)
    }
}

/// Writes `19.99 GBP`, with as many decimals as the currency has.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.currency.decimals();
        let one = 10_u64.pow(decimals);
        let (whole, rest) = (self.amount.unsigned_abs() / one, self.amount.unsigned_abs() % one);
        let sign = if self.amount < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}")?;
        if decimals > 0 {
            write!(f, ".{rest:0width$}", width = decimals as usize)?;
        }
        write!(f, " {}", self.currency)
    }
}

/// Money as it stands in JSON, before its amount has been measured.
#[derive(Deserialize)]
#[serde(rename = "Money", deny_unknown_fields)]
struct Written {
    amount: i64,
    currency: Currency,
}

impl TryFrom<Written> for Money {
    type Error = MoneyError;

    fn try_from(written: Written) -> Result<Self, MoneyError> {
        Self::new(written.amount, written.currency)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample;

    use super::{Currency, MAX_MINOR_UNITS, Money, MoneyError};

    fn gbp(amount: i64) -> Money {
        Money::new(amount, Currency::GBP).unwrap()
    }

    fn any_amount() -> impl Strategy<Value = i64> {
        prop_oneof![-MAX_MINOR_UNITS..=MAX_MINOR_UNITS, -100_i64..=100, Just(MAX_MINOR_UNITS), Just(-MAX_MINOR_UNITS)]
    }

    #[test]
    fn money_is_written_with_the_decimals_of_its_currency() {
        let written =
            |amount, code: &str| Money::new(amount, code.parse().unwrap()).map(|money| money.to_string()).unwrap();
        assert_eq!(written(1999, "GBP"), "19.99 GBP");
        assert_eq!(written(-5, "GBP"), "-0.05 GBP");
        assert_eq!(written(0, "EUR"), "0.00 EUR");
        assert_eq!(written(1999, "JPY"), "1999 JPY");
        assert_eq!(written(1999, "KWD"), "1.999 KWD");
        assert_eq!(written(1, "CLF"), "0.0001 CLF");
    }

    #[test]
    fn money_is_read_and_written_as_json() {
        let json = r#"{"amount":1999,"currency":"GBP"}"#;
        assert_eq!(serde_json::from_str::<Money>(json).unwrap(), gbp(1999));
        assert_eq!(serde_json::to_string(&gbp(1999)).unwrap(), json);
    }

    #[test]
    fn what_is_no_money_is_not_read() {
        for bad in [
            r#"{"amount":1999,"currency":"gbp"}"#,
            r#"{"amount":1999,"currency":"GBP","decimals":2}"#,
            r#"{"amount":19.99,"currency":"GBP"}"#,
            r#"{"amount":"1999","currency":"GBP"}"#,
            r#"{"amount":9007199254740993,"currency":"GBP"}"#,
            r#"{"amount":1999}"#,
        ] {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_currencies_meet_only_in_an_error() {
        let (pounds, euros) = (gbp(1), Money::zero(Currency::EUR));
        let error = MoneyError::TwoCurrencies(Currency::GBP, Currency::EUR);
        assert_eq!(pounds.checked_add(euros), Err(error.clone()));
        assert_eq!(pounds.checked_sub(euros), Err(error.clone()));
        assert_eq!(Money::total(Currency::GBP, [pounds, euros]), Err(error));
    }

    #[test]
    fn the_sum_of_nothing_is_zero() {
        assert_eq!(Money::total(Currency::JPY, []), Ok(Money::zero(Currency::JPY)));
    }

    #[test]
    fn an_amount_ends_at_the_ceiling() {
        assert!(Money::new(MAX_MINOR_UNITS, Currency::GBP).is_ok());
        for beyond in [MAX_MINOR_UNITS + 1, -MAX_MINOR_UNITS - 1, i64::MAX, i64::MIN] {
            assert_eq!(Money::new(beyond, Currency::GBP), Err(MoneyError::TooMuch), "{beyond}");
        }
    }

    proptest! {
        #[test]
        fn arithmetic_is_exact_or_an_error(a in any_amount(), b in any_amount(), quantity: i64) {
            let exact = |amount: i128| {
                let amount = i64::try_from(amount).ok().filter(|amount| amount.abs() <= MAX_MINOR_UNITS);
                amount.map(gbp).ok_or(MoneyError::TooMuch)
            };
            prop_assert_eq!(gbp(a).checked_add(gbp(b)), exact(i128::from(a) + i128::from(b)));
            prop_assert_eq!(gbp(a).checked_sub(gbp(b)), exact(i128::from(a) - i128::from(b)));
            prop_assert_eq!(gbp(a).checked_mul(quantity), exact(i128::from(a) * i128::from(quantity)));
        }

        #[test]
        fn a_total_does_not_depend_on_the_order(amounts in proptest::collection::vec(any_amount(), 0..9)) {
            let forward = Money::total(Currency::GBP, amounts.iter().copied().map(gbp));
            let backward = Money::total(Currency::GBP, amounts.iter().rev().copied().map(gbp));
            prop_assert_eq!(forward, backward);
        }

        #[test]
        fn what_is_written_is_read_again(amount in any_amount(), code in sample::select(vec!["GBP", "JPY", "KWD"])) {
            let money = Money::new(amount, code.parse().unwrap()).unwrap();
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }
    }
}

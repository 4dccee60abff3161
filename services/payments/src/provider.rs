//! The port to whoever moves the money.
//!
//! ```text
//! perform ─▶ COMMIT ─▶ calls ─▶ Provider: authorize · inquire · capture · void · refund ─▶ Standing ─▶ perform
//! ```
//!
//! Every call is about one try, named by its [`Key`], and every answer says how that try stands
//! after the call. To say the same thing twice is to say it once: a provider that needs keys for
//! more than the authorization derives them from the try's (`{key}.capture`).
//!
//! **Invariant:** a key that was voided is refused forever, also where it was never heard of before;
//! so a request that arrives late cannot take money for a try that was given up.
//!
//! **Invariant:** no provider is called while a transaction is open.

mod book;
mod kept;
pub mod test;

use std::fmt;
use std::str::FromStr;

use futures_util::future::BoxFuture;
use money::Money;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use book::{Book, Charge, Method, Totals};

/// The name of a try at the provider: its idempotency key, `{payment}.{number}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key {
    payment: String,
    number: i64,
}

/// A text that is no key of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key of a try is its payment's name, a dot and the try's number, like pay-1.2")
    }
}

impl std::error::Error for NotAKey {}

impl Key {
    /// The key of a payment's try.
    pub fn new(payment: &str, number: i64) -> Self {
        Self { payment: payment.to_owned(), number }
    }

    /// The payment, as the provider knows it.
    pub fn payment(&self) -> &str {
        &self.payment
    }

    /// The number of the try, from 1.
    pub fn number(&self) -> i64 {
        self.number
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.payment, self.number)
    }
}

/// Characters of a key, at most: an owner's name, a payment's and a number.
const LONGEST_KEY: usize = 160;

impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (payment, number) = text.rsplit_once('.').ok_or(NotAKey)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-/".contains(&byte);
        let number_reads_back = number.parse::<i64>().is_ok_and(|n| n > 0 && n.to_string() == number);
        if payment.is_empty() || text.len() > LONGEST_KEY || !payment.bytes().all(allowed) || !number_reads_back {
            return Err(NotAKey);
        }
        Ok(Self { payment: payment.to_owned(), number: number.parse().map_err(|_| NotAKey)? })
    }
}

impl TryFrom<String> for Key {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

/// A request to hold money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorize {
    /// The try.
    pub key: Key,
    /// What is to be held.
    pub amount: Money,
    /// How it is paid: a token of the provider's, never a card number.
    pub method: String,
}

/// How a try stands at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Standing {
    /// The provider has never heard of it.
    NotFound,
    /// The customer has to do something first.
    ActionRequired {
        /// Where.
        url: String,
    },
    /// The money is held.
    Authorized,
    /// It was refused, for good.
    Declined {
        /// The provider's word, such as `insufficient_funds`.
        reason: String,
    },
    /// The money may still be held, but it can never be taken.
    CaptureRefused {
        /// The provider's word.
        reason: String,
    },
    /// The money was taken.
    Captured,
    /// Nothing is held, nothing was taken, and neither will ever be.
    Voided,
    /// The money was taken and given back in full.
    Refunded,
}

/// Why a call did not say how the try stands.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProviderError {
    /// The provider was not reached: surely nothing was done.
    #[error("the provider is not available: {0}")]
    Unavailable(String),
    /// No answer came: it may be done or not.
    #[error("the provider gave no answer: {0}")]
    NoAnswer(String),
}

/// What a call gives: how the try stands after it.
pub type Answer<'a> = BoxFuture<'a, Result<Standing, ProviderError>>;

/// Whoever moves the money.
///
/// Amounts are whole: a try is captured and given back in full or not at all.
pub trait Provider: Send + Sync {
    /// Holds money. The same key again is the same try; a key that was voided is refused.
    fn authorize(&self, request: Authorize) -> Answer<'_>;

    /// Says how a try stands, without changing anything.
    fn inquire(&self, key: Key) -> Answer<'_>;

    /// Takes what is held.
    fn capture(&self, key: Key) -> Answer<'_>;

    /// Lets go of what is held, and refuses the key from now on; what was taken stays taken.
    fn void(&self, key: Key) -> Answer<'_>;

    /// Gives back what was taken.
    fn refund(&self, key: Key) -> Answer<'_>;
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        for text in ["pay-1.1", "a.b:c_d.12", "client-7/pay.3"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for bad in ["", "pay", "pay.", ".1", "pay.0", "pay.-1", "pay.01", "pay.+1", "pay.x", "p y.1", "pay.1\n"] {
            assert!(bad.parse::<Key>().is_err(), "{bad:?}");
        }
    }
}

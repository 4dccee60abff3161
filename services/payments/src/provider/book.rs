//! What a provider writes down: a charge for every key that it has ever heard of.
//!
//! ```text
//!                     ┌▶ declined
//! authorize ─▶ action_required ─▶ authorized ─▶ captured ─▶ refunded
//!                     └──────────────┴▶ voided   (also of a key that is new: a tombstone)
//! ```
//!
//! The book is pure: no clock, no file, no faults. Whoever plays the provider puts those around it,
//! and may hand it the one charge that is asked for: nothing but the sums looks at another one.
//!
//! **Invariant:** of a charge, what was voided and what was captured is together at most what was
//! authorized, and what was refunded at most what was captured.

use std::collections::BTreeMap;

use money::{Currency, Money};
use serde::{Deserialize, Serialize};

use crate::provider::{Authorize, Key, Standing};

/// How a test method behaves; the names of the first five are Stripe's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `pm_card_visa`: approves.
    Approves,
    /// `pm_card_chargeDeclined` and its kind: declines with this word.
    Declines(&'static str),
    /// `pm_card_authenticationRequired`: asks for a 3-D Secure step.
    AsksForAction,
    /// `pm_test_timeout_before`: of a payment's first try nothing is heard and nothing booked.
    SilentBefore,
    /// `pm_test_timeout_after_charge`: a payment's first try is booked, and nothing is heard of it.
    SilentAfter,
    /// `pm_test_slow`: approves after about two seconds.
    Slow,
    /// `pm_test_unavailable`: cannot be reached.
    Unavailable,
    /// `pm_test_capture_refused`: approves, and refuses to capture for good.
    RefusesCapture,
}

impl Method {
    /// The behaviour that a method's name stands for; an unknown one is declined.
    pub fn of(name: &str) -> Self {
        match name {
            "pm_card_visa" => Self::Approves,
            "pm_card_chargeDeclined" => Self::Declines("generic_decline"),
            "pm_card_chargeDeclinedInsufficientFunds" => Self::Declines("insufficient_funds"),
            "pm_card_authenticationRequired" => Self::AsksForAction,
            "pm_test_timeout_before" => Self::SilentBefore,
            "pm_test_timeout_after_charge" => Self::SilentAfter,
            "pm_test_slow" => Self::Slow,
            "pm_test_unavailable" => Self::Unavailable,
            "pm_test_capture_refused" => Self::RefusesCapture,
            _ => Self::Declines("unknown_method"),
        }
    }
}

/// What the provider has written down of one try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The try.
    pub key: Key,
    /// How it stands.
    pub standing: Standing,
    /// What was asked for; none where the key was voided before anything was asked.
    pub amount: Option<Money>,
    /// How it is paid; none where the key was voided before anything was asked.
    pub method: Option<String>,
    /// Whether the money was ever held.
    pub was_authorized: bool,
}

impl Charge {
    /// What was held at some time, in minor units.
    pub fn authorized(&self) -> i64 {
        if self.was_authorized { self.minor_units() } else { 0 }
    }

    /// What is held at present, in minor units.
    pub fn held(&self) -> i64 {
        match self.standing {
            Standing::Authorized | Standing::CaptureRefused { .. } => self.minor_units(),
            _ => 0,
        }
    }

    /// What was taken at some time, in minor units.
    pub fn captured(&self) -> i64 {
        match self.standing {
            Standing::Captured | Standing::Refunded => self.minor_units(),
            _ => 0,
        }
    }

    /// What was held and let go, in minor units.
    pub fn voided(&self) -> i64 {
        if self.standing == Standing::Voided { self.authorized() } else { 0 }
    }

    /// What was given back, in minor units.
    pub fn refunded(&self) -> i64 {
        if self.standing == Standing::Refunded { self.minor_units() } else { 0 }
    }

    fn minor_units(&self) -> i64 {
        self.amount.map_or(0, Money::amount)
    }
}

/// The sums of all charges in one currency, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// What was held at some time.
    pub authorized: i64,
    /// What is held at present.
    pub held: i64,
    /// What was taken at some time.
    pub captured: i64,
    /// What was held and let go.
    pub voided: i64,
    /// What was given back.
    pub refunded: i64,
}

/// All charges of a provider, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    charges: BTreeMap<Key, Charge>,
}

impl Book {
    /// Holds money as the method behaves; faults are for whoever plays the provider.
    pub fn authorize(&mut self, request: &Authorize) -> Standing {
        if let Some(charge) = self.charges.get(&request.key) {
            return charge.standing.clone();
        }
        let standing = match Method::of(&request.method) {
            Method::Declines(reason) => Standing::Declined { reason: reason.to_owned() },
            Method::AsksForAction => Standing::ActionRequired {
                url: web::path(["v1", "test-provider", "challenges", &request.key.to_string()]),
            },
            _ => Standing::Authorized,
        };
        self.charges.insert(
            request.key.clone(),
            Charge {
                key: request.key.clone(),
                was_authorized: standing == Standing::Authorized,
                standing: standing.clone(),
                amount: Some(request.amount),
                method: Some(request.method.clone()),
            },
        );
        standing
    }

    /// Says how a try stands.
    pub fn inquire(&self, key: &Key) -> Standing {
        self.charges.get(key).map_or(Standing::NotFound, |charge| charge.standing.clone())
    }

    /// Takes what is held.
    pub fn capture(&mut self, key: &Key) -> Standing {
        self.change(key, |charge| {
            if charge.standing == Standing::Authorized {
                let refuses = charge.method.as_deref().map(Method::of) == Some(Method::RefusesCapture);
                charge.standing = if refuses {
                    Standing::CaptureRefused { reason: "capture_refused".to_owned() }
                } else {
                    Standing::Captured
                };
            }
        })
    }

    /// Lets go of what is held, and refuses the key from now on.
    pub fn void(&mut self, key: &Key) -> Standing {
        let tombstone = || Charge {
            key: key.clone(),
            standing: Standing::Voided,
            amount: None,
            method: None,
            was_authorized: false,
        };
        let charge = self.charges.entry(key.clone()).or_insert_with(tombstone);
        match charge.standing {
            Standing::ActionRequired { .. } | Standing::Authorized | Standing::CaptureRefused { .. } => {
                charge.standing = Standing::Voided;
            }
            Standing::NotFound
            | Standing::Declined { .. }
            | Standing::Captured
            | Standing::Voided
            | Standing::Refunded => {}
        }
        charge.standing.clone()
    }

    /// Gives back what was taken.
    pub fn refund(&mut self, key: &Key) -> Standing {
        self.change(key, |charge| {
            if charge.standing == Standing::Captured {
                charge.standing = Standing::Refunded;
            }
        })
    }

    /// Ends a 3-D Secure step the way the customer did; later ones change nothing.
    pub fn challenge(&mut self, key: &Key, succeeded: bool) -> Standing {
        self.change(key, |charge| {
            if matches!(charge.standing, Standing::ActionRequired { .. }) {
                charge.was_authorized = succeeded;
                charge.standing = if succeeded {
                    Standing::Authorized
                } else {
                    Standing::Declined { reason: "authentication_failed".to_owned() }
                };
            }
        })
    }

    fn change(&mut self, key: &Key, change: impl FnOnce(&mut Charge)) -> Standing {
        self.charges.get_mut(key).map_or(Standing::NotFound, |charge| {
            change(charge);
            charge.standing.clone()
        })
    }

    /// What is written down of a try.
    pub fn charge(&self, key: &Key) -> Option<&Charge> {
        self.charges.get(key)
    }

    /// Every charge after a key, in the order of keys; all of them after none.
    pub fn charges(&self, after: Option<&Key>) -> impl Iterator<Item = &Charge> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.charges.range((after.map_or(Unbounded, Excluded), Unbounded)).map(|(_, charge)| charge)
    }

    /// The sums in each currency, by its code.
    pub fn totals(&self) -> BTreeMap<&'static str, Totals> {
        let mut totals: BTreeMap<&'static str, Totals> = BTreeMap::new();
        for charge in self.charges.values() {
            let Some(currency) = charge.amount.map(Money::currency).map(Currency::code) else { continue };
            let total = totals.entry(currency).or_default();
            total.authorized += charge.authorized();
            total.held += charge.held();
            total.captured += charge.captured();
            total.voided += charge.voided();
            total.refunded += charge.refunded();
        }
        totals
    }
}

impl FromIterator<Charge> for Book {
    fn from_iter<T: IntoIterator<Item = Charge>>(charges: T) -> Self {
        Self { charges: charges.into_iter().map(|charge| (charge.key.clone(), charge)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use money::{Currency, Money};

    use super::{Book, Totals};
    use crate::provider::{Authorize, Key, Standing};

    fn key(number: i64) -> Key {
        Key::new("pay", number)
    }

    fn request(number: i64, method: &str) -> Authorize {
        let amount = Money::new(1999, Currency::GBP).unwrap();
        Authorize { key: key(number), amount, method: method.to_owned() }
    }

    #[test]
    fn the_same_key_again_is_the_same_charge() {
        let mut book = Book::default();
        for _ in 0..3 {
            assert_eq!(book.authorize(&request(1, "pm_card_visa")), Standing::Authorized);
        }
        for _ in 0..3 {
            assert_eq!(book.capture(&key(1)), Standing::Captured);
        }
        assert_eq!(book.totals()["GBP"], Totals { authorized: 1999, captured: 1999, ..Totals::default() });
        for _ in 0..3 {
            assert_eq!(book.refund(&key(1)), Standing::Refunded);
        }
        assert_eq!(book.totals()["GBP"].refunded, 1999);
    }

    #[test]
    fn a_key_that_was_voided_before_it_was_heard_of_is_refused_forever() {
        let mut book = Book::default();
        assert_eq!(book.void(&key(1)), Standing::Voided);
        assert_eq!(book.authorize(&request(1, "pm_card_visa")), Standing::Voided);
        assert_eq!(book.capture(&key(1)), Standing::Voided);
        assert!(book.totals().is_empty());
    }

    #[test]
    fn what_was_taken_is_not_voided_and_what_is_held_is_not_refunded() {
        let mut book = Book::default();
        book.authorize(&request(1, "pm_card_visa"));
        assert_eq!(book.refund(&key(1)), Standing::Authorized);
        book.capture(&key(1));
        assert_eq!(book.void(&key(1)), Standing::Captured);
        assert_eq!(book.refund(&key(2)), Standing::NotFound);
    }

    #[test]
    fn a_challenge_ends_once() {
        let mut book = Book::default();
        let asked = book.authorize(&request(1, "pm_card_authenticationRequired"));
        assert_eq!(asked, Standing::ActionRequired { url: "/v1/test-provider/challenges/pay.1".into() });
        assert_eq!(book.challenge(&key(1), true), Standing::Authorized);
        assert_eq!(book.challenge(&key(1), false), Standing::Authorized);
        assert_eq!(book.void(&key(1)), Standing::Voided);
        assert_eq!(book.totals()["GBP"].voided, 1999);
    }

    #[test]
    fn an_unknown_method_is_declined() {
        let declined = Book::default().authorize(&request(1, "4242"));
        assert_eq!(declined, Standing::Declined { reason: "unknown_method".into() });
    }
}

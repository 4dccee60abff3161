//! A payment as its events tell it.

use std::fmt;
use std::str::FromStr;

use contracts::payments::Event;
use ids::Name;
use money::Money;
use serde::{Deserialize, Serialize};
use world::Moment;

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The provider is asked to authorize.
    Authorizing,
    /// The customer has to do something.
    ActionRequired,
    /// The provider did not say; it is asked.
    Unknown,
    /// The money is held.
    Authorized,
    /// The provider is asked to capture.
    Capturing,
    /// The money is there.
    Captured,
    /// The money cannot be captured, for good.
    CaptureFailed,
    /// What is held is being let go.
    Voiding,
    /// Nothing is held, and nothing was taken.
    Voided,
    /// The money will not be had.
    Declined,
    /// What was taken is being given back.
    Refunding,
    /// What was taken was given back.
    Refunded,
}

impl Status {
    /// Every status, in the order of a payment's life.
    pub const ALL: [Self; 12] = [
        Self::Authorizing,
        Self::ActionRequired,
        Self::Unknown,
        Self::Authorized,
        Self::Capturing,
        Self::Captured,
        Self::CaptureFailed,
        Self::Voiding,
        Self::Voided,
        Self::Declined,
        Self::Refunding,
        Self::Refunded,
    ];

    /// The word that stands for it in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorizing => "authorizing",
            Self::ActionRequired => "action_required",
            Self::Unknown => "unknown",
            Self::Authorized => "authorized",
            Self::Capturing => "capturing",
            Self::Captured => "captured",
            Self::CaptureFailed => "capture_failed",
            Self::Voiding => "voiding",
            Self::Voided => "voided",
            Self::Declined => "declined",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
        }
    }

    /// Whether it still waits for its first yes or no.
    pub const fn awaits_authorization(self) -> bool {
        matches!(self, Self::Authorizing | Self::ActionRequired | Self::Unknown)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAStatus;

impl FromStr for Status {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(NotAStatus)
    }
}

/// How a try at the provider stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TryStatus {
    /// The provider is asked.
    Asked,
    /// The customer has to do something.
    ActionRequired,
    /// The provider did not say, or said something that contradicts what it said before.
    Unknown,
    /// It is being given up.
    Voiding,
    /// It holds money.
    Authorized,
    /// Its money was taken.
    Captured,
    /// The provider refused it.
    Declined,
    /// It was given up: it holds no money and never will.
    Abandoned,
    /// Its money was taken and given back.
    Refunded,
}

impl TryStatus {
    /// Whether it is open what becomes of it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Asked | Self::ActionRequired | Self::Unknown | Self::Voiding)
    }
}

/// One try at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// From 1; part of its key at the provider.
    pub number: i64,
    /// How it stands.
    pub status: TryStatus,
    /// Why it was declined.
    pub reason: Option<String>,
    /// Where the customer has to do something.
    pub url: Option<String>,
    /// When it began.
    pub started_at: Moment,
    /// When it was settled.
    pub ended_at: Option<Moment>,
}

/// What is to be paid, how and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What is to be paid.
    pub amount: Money,
    /// How it is paid.
    pub method: String,
    /// After this moment an authorization is of no use.
    pub until: Moment,
}

/// A payment: one intent to be paid for one attempt of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its name.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt that asked for it.
    pub attempt: i64,
    /// What was agreed; none where it was voided before it was ever asked for.
    pub terms: Option<Terms>,
    /// How it stands.
    pub status: Status,
    /// Why it was declined, or could not be captured.
    pub reason: Option<String>,
    /// Its tries at the provider, in their order.
    pub tries: Vec<Try>,
    /// The attempt that last asked to capture.
    pub capture_attempt: Option<i64>,
    /// The attempt that last asked to void or to give back.
    pub undo_attempt: Option<i64>,
    /// When it became known.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
}

impl Payment {
    /// The payment after an event that happened at a moment; none where the event can begin none.
    pub fn apply(payment: Option<Self>, event: &Event, at: Moment) -> Option<Self> {
        let mut payment = match (payment, event) {
            (Some(payment), _) => payment,
            (None, Event::PaymentRequested(asked)) => Self::new(&asked.payment, &asked.order, asked.attempt, at),
            (None, Event::PaymentVoided(voided)) => Self::new(&voided.payment, &voided.order, voided.attempt, at),
            (None, _) => return None,
        };
        payment.fold(event, at);
        payment.updated_at = at;
        Some(payment)
    }

    fn new(payment: &Name, order: &Name, attempt: i64, at: Moment) -> Self {
        Self {
            payment: payment.clone(),
            order: order.clone(),
            attempt,
            terms: None,
            // Whatever makes it known goes on to say how it stands.
            status: Status::Authorizing,
            reason: None,
            tries: Vec::new(),
            capture_attempt: None,
            undo_attempt: None,
            created_at: at,
            updated_at: at,
        }
    }

    fn fold(&mut self, event: &Event, at: Moment) {
        match event {
            Event::PaymentRequested(e) => {
                let (amount, method, until) = (e.amount, e.method.clone(), e.until);
                self.terms = Some(Terms { amount, method, until });
            }
            Event::AuthorizationStarted(e) => {
                self.status = Status::Authorizing;
                let (status, started_at) = (TryStatus::Asked, at);
                self.tries.push(Try { number: e.number, status, reason: None, url: None, started_at, ended_at: None });
            }
            Event::PaymentActionRequired(e) => {
                self.status = Status::ActionRequired;
                self.set(e.number, TryStatus::ActionRequired, at);
                self.tries.iter_mut().filter(|t| t.number == e.number).for_each(|t| t.url = Some(e.url.clone()));
            }
            Event::PaymentOutcomeUnknown(e) => self.doubt(e.number, TryStatus::Unknown, at),
            Event::AttemptVoidStarted(e) => self.doubt(e.number, TryStatus::Voiding, at),
            Event::PaymentAttemptAbandoned(e) => self.set(e.number, TryStatus::Abandoned, at),
            Event::PaymentAuthorized(e) => {
                self.status = Status::Authorized;
                self.set(e.number, TryStatus::Authorized, at);
            }
            Event::PaymentDeclined(e) => self.decline(&e.reason, at),
            Event::CaptureStarted(e) => {
                self.status = Status::Capturing;
                self.capture_attempt = Some(e.attempt);
            }
            Event::PaymentCaptured(_) => {
                self.status = Status::Captured;
                self.set(self.holder(), TryStatus::Captured, at);
            }
            Event::PaymentCaptureFailed(e) => self.fail_capture(e.attempt, &e.reason),
            Event::VoidStarted(e) => {
                // While a capture is in flight its outcome comes first.
                if self.status != Status::Capturing {
                    self.status = Status::Voiding;
                }
                self.undo_attempt = Some(e.attempt);
            }
            Event::PaymentVoided(e) => {
                self.status = Status::Voided;
                self.undo_attempt = Some(e.attempt);
                for number in self.unsettled() {
                    self.set(number, TryStatus::Abandoned, at);
                }
            }
            Event::RefundStarted(e) => {
                self.status = Status::Refunding;
                self.undo_attempt = Some(e.attempt);
            }
            Event::PaymentRefunded(e) => {
                self.status = Status::Refunded;
                self.undo_attempt = Some(e.attempt);
                self.set(self.holder(), TryStatus::Refunded, at);
            }
        }
    }

    fn doubt(&mut self, number: i64, status: TryStatus, at: Moment) {
        if self.status.awaits_authorization() && self.current().is_some_and(|t| t.number == number) {
            self.status = Status::Unknown;
        }
        self.set(number, status, at);
    }

    fn decline(&mut self, reason: &str, at: Moment) {
        self.status = Status::Declined;
        self.reason = Some(reason.to_owned());
        if let Some(t) = self.tries.last_mut().filter(|t| t.status.is_open()) {
            t.status = TryStatus::Declined;
            t.reason = Some(reason.to_owned());
            t.ended_at = Some(at);
        }
    }

    fn fail_capture(&mut self, attempt: i64, reason: &str) {
        self.capture_attempt = Some(attempt);
        // Said of a payment that had ended before, it is an answer and changes nothing else.
        if self.status == Status::Capturing {
            self.reason = Some(reason.to_owned());
            self.status = if self.undo_attempt.is_some() { Status::Voiding } else { Status::CaptureFailed };
        }
    }

    fn set(&mut self, number: i64, status: TryStatus, at: Moment) {
        for t in self.tries.iter_mut().filter(|t| t.number == number) {
            t.status = status;
            let ended = matches!(status, TryStatus::Abandoned | TryStatus::Declined | TryStatus::Refunded);
            t.ended_at = ended.then_some(at);
        }
    }

    /// The try of this number.
    pub fn try_of(&self, number: i64) -> Option<&Try> {
        self.tries.iter().find(|t| t.number == number)
    }

    /// The latest try.
    pub fn current(&self) -> Option<&Try> {
        self.tries.last()
    }

    /// The number of the try whose money this payment is about: the one that holds or held it,
    /// else the latest; 0 where there is none.
    pub fn holder(&self) -> i64 {
        let holds = |t: &&Try| matches!(t.status, TryStatus::Authorized | TryStatus::Captured | TryStatus::Refunded);
        self.tries.iter().rev().find(holds).or(self.tries.last()).map_or(0, |t| t.number)
    }

    /// Until when an authorization is of use; none where none is waited for.
    pub fn authorized_until(&self) -> Option<Moment> {
        self.terms.as_ref().filter(|_| self.status.awaits_authorization()).map(|terms| terms.until)
    }

    /// The tries that may hold money though the payment is to hold none.
    pub fn unsettled(&self) -> Vec<i64> {
        let to_settle = |t: &&Try| match t.status {
            TryStatus::Authorized => self.status == Status::Voiding || self.status == Status::Voided,
            status => status.is_open() && !(self.status.awaits_authorization() && Some(*t) == self.current()),
        };
        self.tries.iter().filter(to_settle).map(|t| t.number).collect()
    }

    /// Whether nothing is to be done about it until somebody asks for something.
    pub fn is_at_rest(&self) -> bool {
        let at_rest = matches!(
            self.status,
            Status::Authorized
                | Status::Captured
                | Status::CaptureFailed
                | Status::Voided
                | Status::Declined
                | Status::Refunded
        );
        at_rest && self.unsettled().is_empty()
    }
}

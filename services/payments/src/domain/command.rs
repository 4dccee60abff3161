//! What can be asked of a payment, and what a decision says.

use contracts::payments::Event;
use ids::Name;
use money::Money;
use thiserror::Error;
use world::Moment;

use crate::provider::Standing;

/// What can be asked of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Get the money authorized.
    Request {
        /// The payment.
        payment: Name,
        /// The order that it is for.
        order: Name,
        /// The attempt that the answer is to carry.
        attempt: i64,
        /// What is to be paid.
        amount: Money,
        /// How it is paid.
        method: String,
        /// After this moment an authorization is of no use.
        until: Moment,
    },
    /// Take the money that is held.
    Capture {
        /// The order that asks.
        order: Name,
        /// The attempt that the answer is to carry.
        attempt: i64,
    },
    /// Let go of what is held, and give back what was taken.
    Void {
        /// The payment; it need not be known yet.
        payment: Name,
        /// The order that asks.
        order: Name,
        /// The attempt that the answer is to carry.
        attempt: i64,
    },
    /// Give back what was taken.
    Refund,
    /// Ask the provider how a try stands; the one under way where none is named.
    Look {
        /// The try.
        number: Option<i64>,
    },
    /// What was due is due now.
    Wake,
    /// Take in what the provider said.
    Learn {
        /// The try that it was asked about.
        number: i64,
        /// What it was asked to do.
        doing: Doing,
        /// What it said.
        said: Said,
    },
}

/// What the provider is asked to do with a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doing {
    /// Hold the money.
    Authorize,
    /// Say how it stands.
    Inquire,
    /// Take what is held.
    Capture,
    /// Let go of what is held, and refuse the try from now on.
    Void,
    /// Give back what was taken.
    Refund,
}

/// What came of asking the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It said how the try stands.
    Stands(Standing),
    /// It was surely not done.
    NotDone(String),
    /// No answer came; it may be done or not.
    NoAnswer(String),
}

/// When a decision is made, and under which rules.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The time.
    pub now: Moment,
    /// Whether the provider is still to be asked for the first time about the latest try.
    pub unasked: bool,
    /// Tries of one payment, at most.
    pub max_tries: i64,
}

/// What a command does to a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happened; none where it is so already.
    pub events: Vec<Event>,
    /// What is to be done about it next.
    pub next: Next,
}

/// What is to be done about a payment next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// What was to be done anyway.
    Keep,
    /// Ask the provider, after the commit.
    Call(Doing, i64),
    /// Look again a little later, and later each time.
    Later,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Rejection {
    /// Nobody has asked for this payment.
    #[error("there is no such payment")]
    UnknownPayment,
    /// The payment has no try of that number.
    #[error("the payment has no such try")]
    UnknownTry,
    /// The payment was asked for before, for something else, or belongs to another order.
    #[error("the payment stands for something else")]
    DifferentContent,
    /// There is nothing to capture yet.
    #[error("the money is not authorized yet")]
    NotAuthorizedYet,
    /// There is nothing to give back.
    #[error("nothing was captured")]
    NotCaptured,
}

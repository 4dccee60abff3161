//! What payments says: what became of the money of each payment.
//!
//! The subject of every event is the payment's name. An answer to an order carries the order and the
//! attempt that was asked for.

use ids::Name;
use money::Money;
use serde::{Deserialize, Serialize};
use world::Moment;

crate::events! {
    /// An event of payments.
    "payments" {
        /// A payment was asked for.
        PaymentRequested = 1,
        /// The provider is about to be asked to authorize.
        AuthorizationStarted = 1,
        /// The customer has to do something, such as a 3-D Secure step.
        PaymentActionRequired = 1,
        /// The provider did not say how an attempt ended; it is asked.
        PaymentOutcomeUnknown = 1,
        /// An attempt is being given up; the provider is about to be asked to void it.
        AttemptVoidStarted = 1,
        /// An attempt was given up: it holds no money and never will.
        PaymentAttemptAbandoned = 1,
        /// The money is authorized.
        PaymentAuthorized = 1,
        /// The money will not be had.
        PaymentDeclined = 1,
        /// The provider is about to be asked to capture.
        CaptureStarted = 1,
        /// The money is there.
        PaymentCaptured = 1,
        /// The authorized money cannot be captured, for good.
        PaymentCaptureFailed = 1,
        /// The provider is about to be asked to void.
        VoidStarted = 1,
        /// Nothing is held any more, and nothing was taken.
        PaymentVoided = 1,
        /// The provider is about to be asked to give the money back.
        RefundStarted = 1,
        /// What was taken was given back, in full.
        PaymentRefunded = 1,
    }
}

/// The reason of a decline that nobody but time has caused.
pub const TIMED_OUT: &str = "timed_out";

/// A payment was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequested {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt of the order.
    pub attempt: i64,
    /// What is to be paid.
    pub amount: Money,
    /// How it is paid.
    pub method: String,
    /// After this moment an authorization is of no use.
    pub until: Moment,
}

/// The provider is about to be asked to authorize.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationStarted {
    /// The payment.
    pub payment: Name,
    /// The try at the provider, from 1: its idempotency key.
    pub number: i64,
}

/// The customer has to do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentActionRequired {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The try at the provider.
    pub number: i64,
    /// Where the customer does it.
    pub url: String,
}

/// The provider did not say how a try ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentOutcomeUnknown {
    /// The payment.
    pub payment: Name,
    /// The try at the provider.
    pub number: i64,
    /// What happened instead of an answer.
    pub cause: String,
}

/// A try is being given up: whatever the provider still says of it, it is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptVoidStarted {
    /// The payment.
    pub payment: Name,
    /// The try at the provider.
    pub number: i64,
}

/// A try was given up: it holds no money and never will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAttemptAbandoned {
    /// The payment.
    pub payment: Name,
    /// The try at the provider.
    pub number: i64,
}

/// The money is authorized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAuthorized {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt of the order.
    pub attempt: i64,
    /// The try at the provider that authorized it.
    pub number: i64,
    /// What is authorized.
    pub amount: Money,
}

/// The money will not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDeclined {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt of the order.
    pub attempt: i64,
    /// The provider's word, such as `insufficient_funds`.
    pub reason: String,
}

/// The provider is about to be asked to capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureStarted {
    /// The payment.
    pub payment: Name,
    /// The attempt of the order.
    pub attempt: i64,
}

/// The money is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCaptured {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt of the order.
    pub attempt: i64,
    /// What was captured.
    pub amount: Money,
}

/// The authorized money cannot be captured, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCaptureFailed {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt of the order.
    pub attempt: i64,
    /// The provider's word.
    pub reason: String,
}

/// The provider is about to be asked to void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidStarted {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt of the order.
    pub attempt: i64,
}

/// Nothing is held any more, and nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentVoided {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt of the order.
    pub attempt: i64,
}

/// The provider is about to be asked to give the money back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundStarted {
    /// The payment.
    pub payment: Name,
    /// The attempt of the order that asked for it; 0 where somebody else did.
    pub attempt: i64,
}

/// What was taken was given back, in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The payment.
    pub payment: Name,
    /// The order that it is for.
    pub order: Name,
    /// The attempt of the order that asked for it; 0 where somebody else did.
    pub attempt: i64,
    /// What was given back.
    pub amount: Money,
}

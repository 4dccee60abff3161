//! What orders says: the story of each order, told so that others can do their part of it.
//!
//! The subject of every event is the order's name. An event that asks somebody for something ends in
//! `Due`; the answer comes as an event of theirs and carries the same attempt.

use ids::{Name, Sku};
use money::Money;
use serde::{Deserialize, Serialize};
use world::Moment;

crate::events! {
    /// An event of orders.
    "orders" {
        /// An order came in; inventory is to reserve every line or none.
        OrderPlaced = 1,
        /// The stock is held; payments is to authorize the amount.
        PaymentDue = 1,
        /// The money is authorized; inventory is to make the hold firm.
        StockCommitDue = 1,
        /// The stock is firm; payments is to capture the money.
        CaptureDue = 1,
        /// The order is complete.
        OrderConfirmed = 1,
        /// Somebody wants the order cancelled.
        OrderCancelRequested = 1,
        /// Whatever is held of the money is to be let go, and whatever was taken given back.
        PaymentVoidDue = 1,
        /// The hold is to be given back.
        StockReleaseDue = 1,
        /// The stock is to be given back, also where it is already firm.
        StockReturnDue = 1,
        /// The order has ended without goods and without money.
        OrderCancelled = 1,
        /// A person has to decide.
        OrderNeedsAttention = 1,
        /// A step takes longer than it should; its owner was asked again.
        OrderStepOverdue = 1,
    }
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The SKU.
    pub sku: Sku,
    /// Pieces; at least 1.
    pub quantity: i64,
    /// The price of one piece.
    pub unit_price: Money,
}

/// An order came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The order's name.
    pub order: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The lines as they were given; a SKU may stand in several.
    pub lines: Vec<OrderLine>,
    /// The sum of quantity times price over all lines.
    pub total: Money,
    /// A token for how it is paid; never a card number.
    pub method: String,
    /// The customer, as the shop names them.
    pub customer: Option<String>,
    /// The caller's own reference.
    pub reference: Option<String>,
    /// The name that its reservation will have.
    pub reservation: Name,
    /// The name that its payment will have.
    pub payment: Name,
    /// The attempt that the answers are to carry.
    pub attempt: i64,
    /// How long the stock is to be held.
    pub hold_secs: i64,
}

/// Why an order was cancelled or needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There was not enough stock.
    OutOfStock,
    /// The stock was not reserved in time.
    ReservationTimedOut,
    /// The provider declined.
    PaymentDeclined,
    /// The payment was not authorized in time.
    PaymentTimedOut,
    /// The authorized money could not be captured.
    CaptureFailed,
    /// Somebody asked for it.
    Requested,
    /// The money is authorized, and the stock is gone.
    PaidButNoStock,
    /// The stock is committed, and the money cannot be had.
    StockButNoMoney,
}

impl Reason {
    /// The word that stands for it in columns and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::ReservationTimedOut => "reservation_timed_out",
            Self::PaymentDeclined => "payment_declined",
            Self::PaymentTimedOut => "payment_timed_out",
            Self::CaptureFailed => "capture_failed",
            Self::Requested => "requested",
            Self::PaidButNoStock => "paid_but_no_stock",
            Self::StockButNoMoney => "stock_but_no_money",
        }
    }
}

/// Payments is to authorize.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDue {
    /// The order.
    pub order: Name,
    /// The name that the payment is to have.
    pub payment: Name,
    /// The attempt that the answer is to carry.
    pub attempt: i64,
    /// What is to be paid.
    pub amount: Money,
    /// How it is paid.
    pub method: String,
    /// The customer, as the shop names them.
    pub customer: Option<String>,
    /// After this moment an authorization is of no use: the hold less a margin.
    pub until: Moment,
    /// When the hold lapses.
    pub held_until: Moment,
}

/// Inventory is to make the hold firm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCommitDue {
    /// The order.
    pub order: Name,
    /// Its reservation.
    pub reservation: Name,
    /// The attempt that the answer is to carry.
    pub attempt: i64,
}

/// Payments is to capture what it authorized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureDue {
    /// The order.
    pub order: Name,
    /// Its payment.
    pub payment: Name,
    /// The attempt that the answer is to carry.
    pub attempt: i64,
}

/// The order is complete: the goods are firm and the money is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderConfirmed {
    /// The order.
    pub order: Name,
    /// What was paid.
    pub total: Money,
}

/// Somebody wants the order cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelRequested {
    /// The order.
    pub order: Name,
    /// Why, in their words.
    pub reason: String,
}

/// Money is to be let go or given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentVoidDue {
    /// The order.
    pub order: Name,
    /// Its payment.
    pub payment: Name,
    /// The attempt that the answer is to carry.
    pub attempt: i64,
    /// Why the order ends.
    pub reason: Reason,
}

/// The hold is to be given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReleaseDue {
    /// The order.
    pub order: Name,
    /// Its reservation.
    pub reservation: Name,
    /// The attempt that the answer is to carry.
    pub attempt: i64,
    /// Why the order ends.
    pub reason: Reason,
}

/// The stock is to be given back, also where it is already firm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReturnDue {
    /// The order.
    pub order: Name,
    /// Its reservation.
    pub reservation: Name,
    /// The attempt that the answer is to carry.
    pub attempt: i64,
    /// Why the order ends.
    pub reason: Reason,
}

/// The order has ended without goods and without money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order.
    pub order: Name,
    /// Why.
    pub reason: Reason,
}

/// A person has to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderNeedsAttention {
    /// The order.
    pub order: Name,
    /// What happened.
    pub reason: Reason,
}

/// A step takes longer than it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStepOverdue {
    /// The order.
    pub order: Name,
    /// The attempt that waits.
    pub attempt: i64,
    /// The step that waits.
    pub step: String,
}

//! What each message does to an order: the table of its steps.

use std::time::Duration;

use contracts::orders::{self as say, Event, OrderLine, Reason};
use ids::{Name, Number};
use money::Money;
use world::Moment;
#[cfg(feature = "planted-bugs")]
use world::planted::{self, Bug};

use super::order::{Order, Status, Step};

/// What can be asked of orders, or told to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new order.
    Place(Box<Place>),
    /// Somebody wants it cancelled.
    Cancel {
        /// The order.
        order: Name,
        /// Why, in their words.
        reason: String,
    },
    /// Inventory or payments has answered.
    Hear {
        /// The order.
        order: Name,
        /// The reservation or the payment that it is about. Names of orders belong to their owners, and two may
        /// have the same; these are ours.
        about: Name,
        /// The attempt that the answer belongs to.
        attempt: i64,
        /// The answer.
        heard: Heard,
    },
    /// A waiting state has lasted until its deadline.
    Overdue {
        /// The order.
        number: Number,
    },
}

/// An order as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub order: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// Its lines.
    pub lines: Vec<OrderLine>,
    /// The sum of quantity times price over all lines.
    pub total: Money,
    /// A token for how it is paid.
    pub method: String,
    /// The customer, as the shop names them.
    pub customer: Option<String>,
    /// The caller's own reference.
    pub reference: Option<String>,
}

/// What others have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Every line is held until then.
    StockReserved {
        /// When the hold lapses.
        until: Moment,
    },
    /// There is too little.
    StockRefused,
    /// The hold is firm.
    StockCommitted,
    /// The hold could not be made firm.
    StockNotCommitted,
    /// Nothing is held any more.
    StockReleased,
    /// The money is authorized.
    PaymentAuthorized,
    /// The money will not be had.
    PaymentDeclined {
        /// Whether that is because nobody did anything in time.
        timed_out: bool,
    },
    /// The money is there.
    PaymentCaptured,
    /// The authorized money cannot be captured, for good.
    CaptureFailed,
    /// Nothing is held, and nothing was taken or all of it given back.
    PaymentVoided,
}

/// What the operator chose about the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long the stock of an order is held.
    pub hold: Duration,
    /// How long before the end of the hold an authorization must be there.
    pub pay_margin: Duration,
    /// How long a step may take before its owner is asked again, or asked to give up; longer where it was asked
    /// often already.
    pub patience: Duration,
    /// Whether a person decides when the stock of a paid order is gone.
    pub lost_stock_needs_a_person: bool,
    /// Whether a person decides when the money of a committed order cannot be captured.
    pub lost_money_needs_a_person: bool,
}

/// How often a step is found overdue before the time until it is asked again begins to grow.
const EVENLY: i64 = 4;
/// The longest time until it is asked again, unless the operator is more patient from the first.
const LONGEST_PATIENCE: Duration = Duration::from_secs(60 * 60);

impl Policy {
    /// When a waiting order is looked at again.
    pub fn deadline(&self, order: &Order, now: Moment) -> Option<Moment> {
        match order.status {
            // Payments gives up by itself then; a little later it is asked to.
            Status::Pending(Step::Authorizing) => Some(order.pay_until.unwrap_or(now).max(now) + self.patience),
            Status::Pending(_) => Some(now + self.patience_after(order.overdue)),
            Status::Confirmed | Status::Cancelled | Status::Attention => None,
        }
    }

    /// How long to wait for an answer that was asked for again so often. Whoever owes it may be away for
    /// hours, and has to read every question when it is back: from the fifth time on it is asked half as often
    /// each time.
    fn patience_after(&self, overdue: i64) -> Duration {
        let doublings = (overdue - EVENLY).clamp(0, 20);
        self.patience.saturating_mul(1 << doublings).min(LONGEST_PATIENCE.max(self.patience))
    }
}

/// Why a rule says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The name stands for another order already.
    DifferentContent,
    /// There is no order of that name, or none with that reservation or payment.
    UnknownOrder,
    /// The order is complete; what follows is a return.
    AlreadyConfirmed,
}

/// Decides what a command does to an order; no events means that it is so already, or that the
/// message belongs to a step that is over.
pub fn decide(order: &Order, command: &Command, policy: &Policy) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::Place(place) if place.fingerprint == order.fingerprint => Ok(vec![]),
        Command::Place(_) => Err(Rejection::DifferentContent),
        Command::Cancel { reason, .. } => cancel(order, reason),
        Command::Hear { about, .. } if *about != order.reservation && *about != order.payment => {
            Err(Rejection::UnknownOrder)
        }
        Command::Hear { attempt, .. } if *attempt != order.attempt => Ok(vec![]),
        Command::Hear { heard, .. } => Ok(hear(order, *heard, policy)),
        Command::Overdue { .. } => Ok(overdue(order)),
    }
}

/// The event that begins an order.
pub fn place(place: &Place, number: Number, policy: &Policy) -> say::OrderPlaced {
    say::OrderPlaced {
        order: place.order.clone(),
        fingerprint: place.fingerprint.clone(),
        lines: place.lines.clone(),
        total: place.total,
        method: place.method.clone(),
        customer: place.customer.clone(),
        reference: place.reference.clone(),
        reservation: ours("res", number),
        payment: ours("pay", number),
        attempt: 1,
        hold_secs: i64::try_from(policy.hold.as_secs()).unwrap_or(i64::MAX),
    }
}

/// A name of ours: nobody else would choose it.
fn ours(kind: &str, number: Number) -> Name {
    Name::from_column(format!("{kind}_{number}"))
}

fn hear(order: &Order, heard: Heard, policy: &Policy) -> Vec<Event> {
    let step = match (order.status, heard) {
        (Status::Pending(step), _) => step,
        // People gave up what was promised, for a stock-take has not found it.
        (Status::Confirmed, Heard::StockReleased) => return vec![stock_is_lost(order, policy)],
        _ => return vec![],
    };
    #[cfg(feature = "planted-bugs")]
    match (step, heard) {
        (Step::Authorizing, Heard::PaymentDeclined { .. }) if planted::is(Bug::OrphanOrder) => {
            return vec![cancelled(order, Reason::PaymentDeclined)];
        }
        (Step::Committing, Heard::StockCommitted) if planted::is(Bug::ConfirmedTooEarly) => {
            let confirmed = say::OrderConfirmed { order: order.name.clone(), total: order.total };
            return vec![capture_due(order), confirmed.into()];
        }
        _ => {}
    }
    match (step, heard) {
        (Step::Reserving, Heard::StockReserved { until }) => vec![payment_due(order, until, policy)],
        (Step::Reserving, Heard::StockRefused) => vec![cancelled(order, Reason::OutOfStock)],
        (Step::Authorizing, Heard::PaymentAuthorized) => vec![commit_due(order)],
        (Step::Authorizing, Heard::PaymentDeclined { timed_out: true }) => {
            vec![release_due(order, Reason::PaymentTimedOut)]
        }
        (Step::Authorizing, Heard::PaymentDeclined { timed_out: false }) => {
            vec![release_due(order, Reason::PaymentDeclined)]
        }
        (Step::Committing, Heard::StockCommitted) => vec![capture_due(order)],
        (Step::Committing, Heard::StockNotCommitted) => vec![stock_is_lost(order, policy)],
        // Whatever payments has taken by now, it gives back.
        (Step::Capturing, Heard::StockReleased) => vec![void_due(order, Reason::OutOfStock)],
        (Step::Capturing, Heard::PaymentCaptured) => {
            vec![say::OrderConfirmed { order: order.name.clone(), total: order.total }.into()]
        }
        (Step::Capturing, Heard::CaptureFailed) if policy.lost_money_needs_a_person => {
            vec![attention(order, Reason::StockButNoMoney)]
        }
        // What cannot be taken may still be held.
        (Step::Capturing, Heard::CaptureFailed) => vec![void_due(order, Reason::CaptureFailed)],
        (Step::Voiding, Heard::PaymentVoided) => vec![release_due(order, why(order))],
        (Step::Releasing, Heard::StockReleased) => vec![cancelled(order, why(order))],
        // The answer to a step that is over: said twice, or overtaken by a cancellation.
        _ => vec![],
    }
}

/// What follows if the stock of an order that is paid, or about to be, is gone.
fn stock_is_lost(order: &Order, policy: &Policy) -> Event {
    if policy.lost_stock_needs_a_person {
        attention(order, Reason::PaidButNoStock)
    } else {
        void_due(order, Reason::OutOfStock)
    }
}

fn cancel(order: &Order, reason: &str) -> Result<Vec<Event>, Rejection> {
    let undo = match order.status {
        Status::Confirmed => return Err(Rejection::AlreadyConfirmed),
        Status::Cancelled | Status::Pending(Step::Voiding | Step::Releasing) => return Ok(vec![]),
        Status::Pending(Step::Reserving) => release_due(order, Reason::Requested),
        // Payments knows whether anything was held or taken; whatever it was, it gives it back.
        Status::Pending(Step::Authorizing | Step::Committing | Step::Capturing) | Status::Attention => {
            void_due(order, Reason::Requested)
        }
    };
    let requested = say::OrderCancelRequested { order: order.name.clone(), reason: reason.to_owned() };
    Ok(vec![requested.into(), undo])
}

/// Silence decides nothing: the owner of the fact is asked to give up where a customer waits, and
/// asked again where the answer must come.
fn overdue(order: &Order) -> Vec<Event> {
    let Status::Pending(step) = order.status else { return vec![] };
    #[cfg(feature = "planted-bugs")]
    if step == Step::Authorizing && planted::is(Bug::DeadlineDecides) {
        return vec![release_due(order, Reason::PaymentTimedOut)];
    }
    let ask = match step {
        Step::Reserving => release_due(order, Reason::ReservationTimedOut),
        Step::Authorizing => void_due(order, Reason::PaymentTimedOut),
        Step::Committing => commit_due(order),
        Step::Capturing => capture_due(order),
        Step::Voiding => void_due(order, why(order)),
        Step::Releasing => release_due(order, why(order)),
    };
    let overdue =
        say::OrderStepOverdue { order: order.name.clone(), attempt: order.attempt, step: step.as_str().to_owned() };
    vec![overdue.into(), ask]
}

fn why(order: &Order) -> Reason {
    order.reason.unwrap_or(Reason::Requested)
}

fn payment_due(order: &Order, held_until: Moment, policy: &Policy) -> Event {
    say::PaymentDue {
        order: order.name.clone(),
        payment: order.payment.clone(),
        attempt: order.attempt,
        amount: order.total,
        method: order.method.clone(),
        customer: order.customer.clone(),
        until: held_until - policy.pay_margin,
        held_until,
    }
    .into()
}

fn commit_due(order: &Order) -> Event {
    let (order_name, reservation) = (order.name.clone(), order.reservation.clone());
    say::StockCommitDue { order: order_name, reservation, attempt: order.attempt }.into()
}

fn capture_due(order: &Order) -> Event {
    let (order_name, payment) = (order.name.clone(), order.payment.clone());
    say::CaptureDue { order: order_name, payment, attempt: order.attempt }.into()
}

fn void_due(order: &Order, reason: Reason) -> Event {
    let (order_name, payment) = (order.name.clone(), order.payment.clone());
    say::PaymentVoidDue { order: order_name, payment, attempt: order.attempt, reason }.into()
}

/// Asks for the stock back: also where it may be firm, if inventory was ever asked to make it so.
fn release_due(order: &Order, reason: Reason) -> Event {
    let (order_name, reservation) = (order.name.clone(), order.reservation.clone());
    if order.may_be_committed {
        say::StockReturnDue { order: order_name, reservation, attempt: order.attempt, reason }.into()
    } else {
        say::StockReleaseDue { order: order_name, reservation, attempt: order.attempt, reason }.into()
    }
}

fn cancelled(order: &Order, reason: Reason) -> Event {
    say::OrderCancelled { order: order.name.clone(), reason }.into()
}

fn attention(order: &Order, reason: Reason) -> Event {
    say::OrderNeedsAttention { order: order.name.clone(), reason }.into()
}

//! What an order is, and how its events make it.

use std::fmt;
use std::str::FromStr;

use contracts::orders::{Event, OrderLine, OrderPlaced, Reason};
use ids::{Name, Number};
use money::Money;
use world::Moment;

/// An order as its events have made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Our number for it.
    pub number: Number,
    /// Whose name it is.
    pub owner: String,
    /// What the caller calls it.
    pub name: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The lines as they were given.
    pub lines: Vec<OrderLine>,
    /// The sum of quantity times price over all lines.
    pub total: Money,
    /// A token for how it is paid.
    pub method: String,
    /// The customer, as the shop names them.
    pub customer: Option<String>,
    /// The caller's own reference.
    pub reference: Option<String>,
    /// The name of its reservation.
    pub reservation: Name,
    /// What is known of its reservation.
    pub reservation_status: ReservationStatus,
    /// The name of its payment.
    pub payment: Name,
    /// What is known of its payment.
    pub payment_status: PaymentStatus,
    /// The attempt that answers carry.
    pub attempt: i64,
    /// Where the story stands.
    pub status: Status,
    /// Why it ended, or is about to.
    pub reason: Option<Reason>,
    /// Whether inventory was ever asked to make the stock firm; then it may be.
    pub may_be_committed: bool,
    /// Until when an authorization is of use.
    pub pay_until: Option<Moment>,
    /// How often the step at which it stands was found overdue.
    pub overdue: i64,
    /// When it was placed.
    pub placed_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
    /// How many events it has had.
    pub version: i64,
}

/// Where an order's story stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits for somebody's answer.
    Pending(Step),
    /// The goods are firm and the money is there.
    Confirmed,
    /// It ended without goods and without money.
    Cancelled,
    /// A person has to decide.
    Attention,
}

/// What a pending order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Inventory is to hold every line or none.
    Reserving,
    /// Payments is to authorize.
    Authorizing,
    /// Inventory is to make the hold firm.
    Committing,
    /// Payments is to capture.
    Capturing,
    /// Payments is to let go whatever it holds or took.
    Voiding,
    /// Inventory is to let go whatever it holds.
    Releasing,
}

impl Status {
    /// The word that stands for it in columns and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Attention => "attention",
        }
    }

    /// What it waits for.
    pub const fn step(self) -> Option<Step> {
        match self {
            Self::Pending(step) => Some(step),
            _ => None,
        }
    }

    /// Whether somebody who waits for the story can be told how it ended.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Pending(_))
    }
}

impl Step {
    /// The word that stands for it in columns and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserving => "reserving",
            Self::Authorizing => "authorizing",
            Self::Committing => "committing",
            Self::Capturing => "capturing",
            Self::Voiding => "voiding",
            Self::Releasing => "releasing",
        }
    }
}

/// Writes the words of an enumeration, and reads them again.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $variant),+ }

        impl $name {
            /// Every word.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word that stands for it in columns and JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = NoSuchWord;

            fn from_str(text: &str) -> Result<Self, NoSuchWord> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(NoSuchWord) }
            }
        }
    };
}

/// A text that is none of the words of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchWord;

impl fmt::Display for NoSuchWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is none of the words that are expected here")
    }
}

impl std::error::Error for NoSuchWord {}

words! {
    /// What an order knows of its reservation.
    ReservationStatus {
        /// It was asked for.
        Pending = "pending",
        /// Every line is held.
        Reserved = "reserved",
        /// There was too little.
        Refused = "refused",
        /// It is firm.
        Committed = "committed",
        /// It was let go.
        Released = "released",
    }
}

words! {
    /// What an order knows of its payment.
    PaymentStatus {
        /// It was not asked for, or the answer is not there yet.
        Pending = "pending",
        /// The money is authorized.
        Authorized = "authorized",
        /// The money will not be had.
        Declined = "declined",
        /// The money is there.
        Captured = "captured",
        /// The authorized money could not be captured.
        CaptureFailed = "capture_failed",
        /// Nothing is held, and nothing was taken or all of it given back.
        Voided = "voided",
    }
}

impl FromStr for Status {
    type Err = NoSuchWord;

    /// Reads a status as columns hold it: a step stands for pending with that step.
    fn from_str(text: &str) -> Result<Self, NoSuchWord> {
        let steps =
            [Step::Reserving, Step::Authorizing, Step::Committing, Step::Capturing, Step::Voiding, Step::Releasing];
        match text {
            "confirmed" => Ok(Self::Confirmed),
            "cancelled" => Ok(Self::Cancelled),
            "attention" => Ok(Self::Attention),
            step => steps.into_iter().find(|known| known.as_str() == step).map(Self::Pending).ok_or(NoSuchWord),
        }
    }
}

impl Order {
    /// The order that this event begins.
    pub fn placed(number: Number, owner: &str, at: Moment, placed: &OrderPlaced) -> Self {
        Self {
            number,
            owner: owner.to_owned(),
            name: placed.order.clone(),
            fingerprint: placed.fingerprint.clone(),
            lines: placed.lines.clone(),
            total: placed.total,
            method: placed.method.clone(),
            customer: placed.customer.clone(),
            reference: placed.reference.clone(),
            reservation: placed.reservation.clone(),
            reservation_status: ReservationStatus::Pending,
            payment: placed.payment.clone(),
            payment_status: PaymentStatus::Pending,
            attempt: placed.attempt,
            status: Status::Pending(Step::Reserving),
            reason: None,
            may_be_committed: false,
            pay_until: None,
            overdue: 0,
            placed_at: at,
            updated_at: at,
            version: 1,
        }
    }

    /// Takes the next event over.
    pub fn apply(&mut self, at: Moment, event: &Event) {
        self.version += 1;
        self.updated_at = at;
        let before = self.status;
        match event {
            Event::OrderPlaced(_) | Event::OrderCancelRequested(_) => {}
            Event::OrderStepOverdue(_) => self.overdue += 1,
            Event::PaymentDue(due) => {
                self.status = Status::Pending(Step::Authorizing);
                self.reservation_status = ReservationStatus::Reserved;
                self.pay_until = Some(due.until);
            }
            Event::StockCommitDue(_) => {
                self.status = Status::Pending(Step::Committing);
                self.payment_status = PaymentStatus::Authorized;
                self.may_be_committed = true;
            }
            Event::CaptureDue(_) => {
                self.status = Status::Pending(Step::Capturing);
                self.reservation_status = ReservationStatus::Committed;
            }
            Event::OrderConfirmed(_) => {
                self.status = Status::Confirmed;
                self.payment_status = PaymentStatus::Captured;
            }
            Event::PaymentVoidDue(due) => {
                self.status = Status::Pending(Step::Voiding);
                self.reason = Some(due.reason);
            }
            Event::StockReleaseDue(due) => self.release(due.reason),
            Event::StockReturnDue(due) => self.release(due.reason),
            Event::OrderCancelled(cancelled) => {
                self.status = Status::Cancelled;
                self.reason = Some(cancelled.reason);
                self.reservation_status = match self.reservation_status {
                    ReservationStatus::Pending if cancelled.reason == Reason::OutOfStock => ReservationStatus::Refused,
                    _ => ReservationStatus::Released,
                };
            }
            Event::OrderNeedsAttention(attention) => {
                self.status = Status::Attention;
                self.reason = Some(attention.reason);
                match attention.reason {
                    Reason::PaidButNoStock => self.reservation_status = ReservationStatus::Released,
                    _ => self.payment_status = PaymentStatus::CaptureFailed,
                }
            }
        }
        if self.status != before {
            self.overdue = 0;
        }
    }

    /// The money is settled, one way or another; the stock goes back.
    fn release(&mut self, reason: Reason) {
        self.payment_status = match (self.status, reason) {
            (Status::Pending(Step::Voiding), _) => PaymentStatus::Voided,
            (_, Reason::PaymentDeclined | Reason::PaymentTimedOut) => PaymentStatus::Declined,
            (_, Reason::CaptureFailed) => PaymentStatus::CaptureFailed,
            _ => self.payment_status,
        };
        self.status = Status::Pending(Step::Releasing);
        self.reason = Some(reason);
    }
}

/// The order that these events make, the first of which must have placed it.
pub fn fold<'a>(number: Number, owner: &str, events: impl IntoIterator<Item = (Moment, &'a Event)>) -> Option<Order> {
    let mut events = events.into_iter();
    let (at, Event::OrderPlaced(placed)) = events.next()? else { return None };
    let mut order = Order::placed(number, owner, at, placed);
    events.for_each(|(at, event)| order.apply(at, event));
    Some(order)
}

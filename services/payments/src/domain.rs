//! The rules of a payment: what a command does to it, and what its events make of it.
//!
//! ```text
//! Command ──▶ decide(payment, command, at) ──▶ Decision { events, next }     pure and total
//! Event   ──▶ Payment::apply                ──▶ the payment as it is now      the only way it changes
//! ```
//!
//! ```text
//!              ┌▶ action_required ┐                     ┌▶ capture_failed
//! authorizing ─┼▶ unknown ────────┼▶ authorized ─▶ capturing ─▶ captured ─▶ refunding ─▶ refunded
//!              │                  ├▶ declined
//!              └──────────────────┴▶ voiding ─▶ voided
//! ```
//!
//! A payment is tried at the provider one try after another, numbered from 1. A try is *settled* once
//! it is known to hold no money and never will: declined, voided or given back.
//!
//! `attempt` in commands and events is the order's: which of its attempts to be paid an answer belongs to (orders
//! makes one). A try is meant where the word stands in a name that others read: in [`Event::AttemptVoidStarted`],
//! [`Event::PaymentAttemptAbandoned`], and the `attempts` of the API.
//!
//! **Invariant:** a try is asked for once, and no other is begun before it is settled; so at most
//! one of them holds money.
//!
//! **Invariant:** what the provider says of a try is believed of that try only; where it says that a
//! settled one holds money, that try and no other is undone.
//!
//! **Invariant:** silence decides nothing: when the time is over the provider is asked to void, and
//! only its answer ends the payment.
//!
//! Reading order: `payment` (what it is, and `apply`), `command`, `decide`.

mod command;
mod decide;
mod payment;
#[cfg(test)]
mod tests;

pub use command::{At, Command, Decision, Doing, Next, Rejection, Said};
pub use contracts::payments::Event;
pub use decide::decide;
pub use payment::{Payment, Status, Terms, Try, TryStatus};

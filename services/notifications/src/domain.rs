//! The rules of webhooks: who wants what, how it is signed, and what comes of an answer.
//!
//! ```text
//! Filter     which messages an endpoint wants
//! sign       the signature of a message, as Standard Webhooks has it
//! Delivery   waiting ─▶ retrying ─▶ delivered, or failed          one message for one endpoint
//! Endpoint   active ─▶ paused (failed for days), gone (410)        resumed by a person
//! ```
//!
//! **Invariant:** a delivery that is not delivered has a moment at which it is due, until every try of
//! [`SCHEDULE`] has failed or nothing is kept for its endpoint any more.
//!
//! **Invariant:** an endpoint that fails again and again is asked ever more rarely, one message at a
//! time; what is for it waits, and is not lost.
//!
//! Reading order: `filter`, `signature`, `delivery`, `endpoint`.

mod delivery;
mod endpoint;
mod filter;
mod signature;

pub use delivery::{Attempt, Delivery, Outcome, SCHEDULE, Status};
pub use endpoint::{Endpoint, Failing, Patience, Settings, Standing};
pub use filter::Filter;
pub(crate) use signature::seconds;
pub use signature::{Secret, sign};

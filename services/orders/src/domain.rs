//! The rules of an order's story: what each message does to it. No SQL, no clock, no HTTP.
//!
//! ```text
//!             StockReserved      PaymentAuthorized     StockCommitted      PaymentCaptured
//! reserving ───────────▶ authorizing ───────────▶ committing ───────────▶ capturing ───────▶ confirmed
//!     │ rejected             │ declined   │ overdue,      │ rejected          │ failed
//!     ▼                      │            ▼ cancelled     ▼                   ▼
//! cancelled ◀── releasing ◀──┴──────── voiding ◀──────────┴──────── or attention, by policy
//! ```
//!
//! Reading order: `order` (what an order is, and how events make it), `story` (what a message does).
//!
//! **Invariant:** every waiting state ends with the answer of whoever owns the fact; a deadline only
//! asks them.
//!
//! **Invariant:** an order is cancelled only when its money and its stock are known to be let go.

mod order;
mod story;
#[cfg(test)]
mod tests;

pub use order::{Order, PaymentStatus, ReservationStatus, Status, Step, fold};
pub use story::{Command, Heard, Place, Policy, Rejection, decide, place};

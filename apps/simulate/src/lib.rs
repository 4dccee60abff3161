//! The whole platform under a seed: the same services as `banyan up`, on one thread, with everything
//! going wrong that can go wrong.
//!
//! ```text
//! shoppers ──requests──▶ platform (services, disks, feeds that lose and double) ──▶ events, answers
//!                            ▲ turns, crashes, time: the seed chooses                  │
//!                         provider, receivers of webhooks (with books of their own)   auditors
//! ```
//!
//! It owns the clock, chance, delivery, the payment provider and the receivers of webhooks, and nothing
//! else; no service knows that it is simulated. The same seed gives the same run, to the byte.
//!
//! Three ways to look for what is wrong: at random ([`run()`]: one seed from begin to end), step by
//! step as a test says ([`Script`]), and everywhere once (`tests/every_crash.rs`).
//!
//! Reading order: `run`, `days`, `calm`, `script`, `platform`, `delivery`, `provider`, `receivers`, `requests`,
//! `shoppers`, `subscribers`, `auditors`, `coverage`.
//!
//! **Invariant:** auditors see requests, answers, published events and the books of others. They read
//! no table and use no code of a service.

mod auditors;
mod calm;
mod coverage;
mod days;
mod delivery;
mod journal;
mod platform;
mod provider;
mod receivers;
mod requests;
mod run;
mod script;
mod shoppers;
mod subscribers;

pub use auditors::Finding;
pub use coverage::Coverage;
pub use journal::Journal;
pub use platform::{Backup, Settings, Stopped};
pub use run::{Outcome, Scenario, run};
pub use script::{Asked, Ended, Script};

//! The whole platform under a seed: the same services as `banyan up`, on one thread, with everything
//! going wrong that can go wrong.
//!
//! ```text
//! shoppers ──requests──▶ platform (services, disks, feeds that lose and double) ──▶ events, answers
//!                            ▲ turns, crashes, time: the seed chooses                  │
//!                         provider (with its own book)                             auditors
//! ```
//!
//! It owns the clock, chance, delivery and the payment provider, and nothing else; no service knows
//! that it is simulated. The same seed gives the same run, to the byte.
//!
//! Three ways to look for what is wrong: at random ([`run()`]: one seed from begin to end), step by
//! step as a test says ([`Script`]), and everywhere once (`tests/every_crash.rs`).
//!
//! Reading order: `run`, `calm`, `script`, `platform`, `delivery`, `provider`, `requests`, `shoppers`,
//! `auditors`, `coverage`.
//!
//! **Invariant:** auditors see requests, answers, published events and the provider's book. They read
//! no table and use no code of a service.

mod auditors;
mod calm;
mod coverage;
mod delivery;
mod journal;
mod platform;
mod provider;
mod requests;
mod run;
mod script;
mod shoppers;

pub use auditors::Finding;
pub use coverage::Coverage;
pub use journal::Journal;
pub use platform::{Backup, Settings, Stopped};
pub use run::{Outcome, Scenario, run};
pub use script::{Asked, Ended, Script};

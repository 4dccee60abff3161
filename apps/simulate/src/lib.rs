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
//! Reading order: `run` (one seed from begin to end), `platform`, `delivery`, `provider`, `shoppers`,
//! `auditors`.
//!
//! **Invariant:** auditors see requests, answers, published events and the provider's book. They read
//! no table and use no code of a service.

pub mod auditors;
mod delivery;
mod journal;
mod platform;
mod provider;
mod run;
mod shoppers;

pub use auditors::Finding;
pub use journal::Journal;
pub use run::{Outcome, Scenario, run};

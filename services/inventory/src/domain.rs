//! The rules of stock: what a command does to levels and promises. No SQL, no clock, no HTTP.
//!
//! ```text
//! Command ──▶ Books::carry_out ──▶ events ──▶ Books::apply ──▶ levels, reservations, movements
//!                                                 ▲
//!                       the journal, when the rows are rebuilt from it
//! ```
//!
//! Reading order: `pool` (stock of a SKU in a warehouse), `change` (what an event does to it), `signal`
//! (how much there is, in a word), `reservation`, `allocation` (which warehouse a line takes from) with
//! `parcels`, `command`, `movement`, `sku`, `warehouse`, `restock`, `books` (all of it together).
//!
//! **Invariant:** rows change through [`Books::apply`] and nothing else, so the journal suffices to
//! rebuild them.

mod allocation;
mod books;
mod change;
mod command;
mod movement;
mod parcels;
mod pool;
mod reservation;
mod restock;
mod signal;
mod sku;
#[cfg(test)]
mod tests;
mod warehouse;

pub use books::{Books, News, Policy, key};
pub use change::{Change, Changed, changes, skus_changed};
pub use command::{Act, Command, ForOrder, Line, Movement, Rejection, Reserve, Settle, Settled, Way};
pub use movement::{MovementRecord, Outcome};
pub use pool::Pool;
pub use reservation::{Reservation, Status};
pub use restock::{Reorder, RestockPoint};
pub use signal::{Signal, Thresholds};
pub use sku::{Offer, SkuSettings};
pub use warehouse::{Site, WarehouseSettings};

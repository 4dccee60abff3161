//! Names and numbers: what things are called, by callers and by us.
//!
//! ```text
//! caller ──▶ Name, Sku, Warehouse      checked text, kept as given
//! us     ──▶ Number                    time-ordered, the key of every table
//! ```
//!
//! **Invariant:** a value of these types has passed its check; nothing behind the door checks again.
//!
//! Callers choose random names, and random keys scatter every index they stand in. So a caller's
//! name stands in one unique index only, and all else is keyed by our [`Number`]
//! (`docs/decisions/0004-names-and-numbers.md`).

mod number;
mod text;

pub use number::Number;
pub use text::{Invalid, Name, Sku, Warehouse};

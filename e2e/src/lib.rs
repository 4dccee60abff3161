//! The running program from outside: real processes, real databases, `kill -9`.
//!
//! ```text
//! Shop (a process of `banyan up`) ◀── Client (one kept connection) ── shoppers on threads
//!   └─ killed, started again on the same data
//! ```
//!
//! Read [`Shop`], then [`Client`], then [`books`], which says whether everything balances.

pub mod books;
mod client;
mod shop;

pub use client::{Client, Route};
pub use shop::{On, Shop};

use serde_json::{Value, json};

/// An order of these lines: SKU, quantity and price in pence.
pub fn order(lines: &[(&str, i64, i64)], method: &str) -> Value {
    let line = |(sku, quantity, price): &(&str, i64, i64)| json!({"sku": sku, "quantity": quantity, "unit_price": {"amount": price, "currency": "GBP"}});
    json!({"lines": lines.iter().map(line).collect::<Vec<_>>(), "payment": {"method": method}})
}

/// Goods that come in.
pub fn receive(sku: &str, quantity: i64) -> Value {
    json!({"type": "receive", "sku": sku, "warehouse": "main", "quantity": quantity})
}

//! Where an audit reads.

use ::events::Envelope;
use inventory::Comparison;
use serde::Deserialize;

use crate::stop::Stop;

/// What an audit compares, wherever it stands.
pub(super) trait Source {
    /// What is read, in words.
    fn name(&self) -> String;

    /// The events of a service that follow those that were given before; none where there are no more.
    fn news(&mut self, service: &'static str) -> Result<Vec<Envelope>, Trouble>;

    /// The levels of these SKUs; those that nobody has seen may be left out.
    fn levels(&mut self, skus: &[String]) -> Result<Vec<Level>, Trouble>;

    /// All orders.
    fn orders(&mut self) -> Result<Vec<Order>, Trouble>;

    /// All charges in the provider's book.
    fn charges(&mut self) -> Result<Vec<Charge>, Trouble>;

    /// The rows of inventory beside those that its events give; none where the rows cannot be seen.
    fn rows(&mut self) -> Result<Option<Comparison>, Trouble>;

    /// Says no where what was read together may not belong together.
    fn is_still_the_same(&self) -> Result<(), Stop>;
}

/// Why a part of an audit has no end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What stands there cannot be: a finding.
    Wrong(String),
    /// It cannot be read.
    Stop(Stop),
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Pieces of a SKU in all warehouses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Level {
    pub(super) sku: String,
    pub(super) on_hand: i64,
    pub(super) reserved: i64,
    pub(super) committed: i64,
    pub(super) owed: i64,
}

/// How an order stands, and what it costs in minor units.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) total: i64,
    pub(super) payment: String,
}

/// What the provider holds and has kept of one try, in minor units.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) key: String,
    pub(super) held: i64,
    pub(super) kept: i64,
}

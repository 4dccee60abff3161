//! The port through which a consumer reads what a producer published.

use std::fmt;
use std::sync::Arc;

use db::{Bell, Envelope, Position};
use ids::Number;
use thiserror::Error;

/// Reads the events of one producer for one consumer. All carriers keep the same promise and pass
/// the same suite (`kernel/host/tests/carriers`).
pub trait Feed: Send + Sync {
    /// The producer.
    fn source(&self) -> &str;

    /// Rings this bell when something new may be there.
    fn listen(&self, bell: &Arc<Bell>);

    /// What is there after a position, without waiting; where it first has to be fetched, nothing
    /// comes now and the bell rings once it is there.
    ///
    /// Events of one subject come in their order. The same event may come again. Who reads on has
    /// dealt with all that was handed over before; who wants nothing (0) only asks what is there.
    fn read(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError>;
}

/// Some events of a feed.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The life of the producer's database.
    pub incarnation: Number,
    /// The events.
    pub events: Vec<Arc<Envelope>>,
    /// All events of the asked partitions up to here have been handed over, now or before. A carrier
    /// that hands events over in another order than that of their positions counts only what it
    /// handed over before.
    pub upto: Position,
    /// The newest event that the producer is known to have; it may have more.
    pub newest: Position,
}

/// Why a feed cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FeedError {
    /// The producer does not answer; reading goes on by itself.
    #[error("{0}")]
    Unavailable(String),
    /// The producer knows fewer events than were read from it before.
    #[error(
        "the producer's newest event is {newest}, but {read} were read from it before: it was restored from a backup"
    )]
    WentBack {
        /// The newest event that it knows.
        newest: Position,
        /// How far it was read before.
        read: Position,
    },
}

/// A set of partitions; written as 16 hexadecimal digits, the lowest bit for partition 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions(u64);

impl Partitions {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// None of them.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub fn with(self, partition: u8) -> Self {
        Self(self.0 | (1 << (partition % db::PARTITIONS)))
    }

    /// Whether a partition is among them.
    pub fn contains(self, partition: u8) -> bool {
        self.0 & (1 << (partition % db::PARTITIONS)) != 0
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

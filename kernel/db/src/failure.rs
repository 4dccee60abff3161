//! What can go wrong at the door: inside a transaction ([`Failure`]) and for the one who asked
//! ([`Refused`]).

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Something did not work inside a transaction; nothing of it stays.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// It has to run again, and alone it may succeed: another transaction was faster (a unique key, a deadlock), or it
    /// is too much for one transaction with others.
    #[error("it has to run again: {0}")]
    Conflict(String),
    /// A lock or a statement took longer than its time-out.
    #[error("the database took too long: {0}")]
    TimedOut(String),
    /// The database cannot be reached, or the connection broke before the commit was sent.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// The disk is full.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// A row is not what the code believes: a `CHECK` refused it, or it cannot be read.
    #[error("a row is not as it must be: {0}")]
    Corrupt(String),
    /// The code that ran in the transaction panicked.
    #[error("a panic: {0}")]
    Panicked(String),
    /// Any other error of the database.
    #[error("the database answered: {0}")]
    Database(String),
}

impl Failure {
    /// The same failure, naming the row that cannot be read.
    #[must_use]
    pub fn of(self, row: impl fmt::Display) -> Self {
        match self {
            Self::Corrupt(what) => Self::Corrupt(format!("{row}: {what}")),
            other => other,
        }
    }

    /// Whether the same command, run again a little later, may succeed.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::TimedOut(_) | Self::Unavailable(_) | Self::DiskFull(_))
    }
}

/// Why a command got no answer of its service.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// Too much waits already; nothing was done.
    #[error("too many commands wait; try again in {} s", retry_after.as_secs())]
    Full {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Its time was over before it ran; nothing was done.
    #[error("the time for this request was over before it could run; nothing was done")]
    Expired,
    /// The program is going down; nothing was done.
    #[error("the program is stopping; nothing was done")]
    Stopping,
    /// It ran and failed; nothing was done.
    #[error(transparent)]
    Failed(Failure),
    /// The connection broke during the commit and the database cannot say how it ended.
    #[error("whether it was done is not known; ask again under the same name")]
    OutcomeUnknown,
}

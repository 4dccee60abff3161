//! What `PostgreSQL` and its client say went wrong, in our words.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use crate::Failure;

pub(super) fn closed() -> Failure {
    Failure::Unavailable("the connection is closed".into())
}

/// The error with its causes, in one line.
pub(super) fn explain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

pub(super) fn failure(error: &tokio_postgres::Error) -> Failure {
    let text = explain(error);
    let Some(code) = error.code() else {
        // Without an answer of the server it is the connection.
        return if error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>) {
            Failure::Unavailable(text)
        } else {
            Failure::Database(text)
        };
    };
    match *code {
        SqlState::UNIQUE_VIOLATION | SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => {
            Failure::Conflict(text)
        }
        _ if is_outdated(error) => Failure::Conflict(text),
        SqlState::CHECK_VIOLATION | SqlState::NOT_NULL_VIOLATION | SqlState::FOREIGN_KEY_VIOLATION => {
            Failure::Corrupt(text)
        }
        SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => Failure::TimedOut(text),
        SqlState::DISK_FULL => Failure::DiskFull(text),
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        | SqlState::TOO_MANY_CONNECTIONS
        // It has become a standby, or was one: another connection finds the one that is written to.
        | SqlState::READ_ONLY_SQL_TRANSACTION => Failure::Unavailable(text),
        _ => Failure::Database(text),
    }
}

/// Whether a statement was prepared for tables that have changed since, or the server has forgotten
/// it: the same on a new connection works.
pub(super) fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return false };
    *error.code() == SqlState::INVALID_SQL_STATEMENT_NAME
        || (*error.code() == SqlState::FEATURE_NOT_SUPPORTED && error.message().contains("cached plan"))
}

//! What becomes due in payments: whatever waits for an answer that does not come.

use std::time::Duration;

use db::{Asked, Due};

use crate::config::Config;
use crate::domain::Command;
use crate::perform::On;
use crate::store;

/// Finds payments that are due: calls without an answer, questions to repeat, times that are over.
pub(crate) fn due_payments(config: &Config) -> Due<On> {
    let find = |tx: &mut db::Tx<'_>, most: usize| {
        let due = store::due(tx, most)?.into_iter();
        let wake = |account, by| Asked::new(On { account, command: Command::Wake }, by);
        Ok(due.map(|(account, by, from)| (wake(account, by), Some(from))).collect())
    };
    Due::new(Duration::from_millis(config.due_every_ms.max(1)), Box::new(find))
}

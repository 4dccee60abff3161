//! What becomes due in notifications: messages that are old enough to be forgotten. What has to be sent
//! again is the courier's.

use std::time::Duration;

use db::{Asked, Context, Due, Trace};

use crate::config::Config;
use crate::perform::Command;
use crate::store;

/// How often it is looked whether the oldest message is to be forgotten.
const EVERY: Duration = Duration::from_millis(500);

/// Finds whether there is something to forget, and lets a piece of it be forgotten.
pub(crate) fn old_messages(config: &Config) -> Due<Command> {
    let keep = Duration::from_secs(config.keep_hours.saturating_mul(3_600));
    let find = move |tx: &mut db::Tx<'_>, _most: usize| {
        let before = tx.now() - keep;
        let is_old = store::oldest_message(tx)?.is_some_and(|recorded_at| recorded_at < before);
        let by = Context::system("messages are old", Trace { trace_id: 1, span_id: 1, is_sampled: true });
        Ok(is_old.then(|| (Asked::new(Command::Forget, by), None)).into_iter().collect())
    };
    Due::new(EVERY, Box::new(find))
}

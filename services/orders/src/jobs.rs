//! What becomes due in orders: steps that take longer than they should.

use std::time::Duration;

use db::{Asked, Context, Due};

use crate::NAME;
use crate::domain::Command;
use crate::store::{self, Overdue};

/// How often overdue orders are looked for.
const EVERY: Duration = Duration::from_millis(250);
/// Why they are acted on.
const CAUSE: &str = "the step's time has passed";

/// Finds orders whose deadline has passed, and has their owners of facts asked.
pub(crate) fn overdue_orders() -> Due<Command> {
    let find = |tx: &mut db::Tx<'_>, most: usize| {
        let overdue = store::overdue(tx, most)?;
        Ok(overdue.iter().map(|overdue| (asked(overdue), Some(overdue.trace))).collect())
    };
    Due::new(EVERY, Box::new(find))
}

/// A deadline belongs to the story that it is a part of, and each is a step of its own.
fn asked(overdue: &Overdue) -> Asked<Command> {
    let Overdue { number, name, version, trace } = overdue;
    let trace = trace.step_for(NAME, &format!("{CAUSE}, after event {version}"));
    let by = Context { correlation: name.as_str().into(), ..Context::system(CAUSE, trace) };
    Asked::new(Command::Overdue { number: *number }, by)
}

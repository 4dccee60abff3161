//! What becomes due in orders: steps that take longer than they should.

use std::time::Duration;

use db::{Asked, Context, Due, Trace};
use world::World;

use crate::domain::Command;
use crate::store;

/// How often overdue orders are looked for.
const EVERY: Duration = Duration::from_millis(250);

/// Finds orders whose deadline has passed, and has their owners of facts asked.
pub(crate) fn overdue_orders(world: &World) -> Due<Command> {
    let mut chance = world.chance("orders traces");
    let find = move |tx: &mut db::Tx<'_>, most: usize| {
        let numbers = store::overdue(tx, most)?;
        let by = Context::system("the step's time has passed", Trace::begin(&mut chance));
        Ok(numbers.into_iter().map(|number| Asked::new(Command::Overdue { number }, by.clone())).collect())
    };
    Due::new(EVERY, Box::new(find))
}

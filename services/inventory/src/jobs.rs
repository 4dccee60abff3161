//! What becomes due in inventory: holds that lapse.

use std::time::Duration;

use db::{Asked, Context, Due, Trace};
use world::World;

use crate::domain::Command;
use crate::store;

/// How often lapsed holds are looked for. Nobody is refused for the sake of one in between: a
/// refusal looks for those of its own SKUs first.
const EVERY: Duration = Duration::from_millis(100);

/// Finds holds whose time has passed, and lets them lapse.
pub(crate) fn lapsed_holds(world: &World) -> Due<Command> {
    let mut chance = world.chance("inventory traces");
    let find = move |tx: &mut db::Tx<'_>, most: usize| {
        let numbers = store::lapsed(tx, most)?;
        let by = Context::system("the hold's time has passed", Trace::begin(&mut chance));
        Ok(numbers.into_iter().map(|number| Asked::new(Command::Expire { number }, by.clone())).collect())
    };
    Due::new(EVERY, Box::new(find))
}

//! What becomes due in inventory: holds that lapse, and promises that wait for their turn to be served.

use std::time::Duration;

use db::{Asked, Context, Due, Trace};
use world::Chance;

use crate::NAME;
use crate::domain::Command;
use crate::store::{self, Story};

/// How often lapsed holds are looked for. Nobody is refused for the sake of one in between: a
/// refusal looks for those of its own SKUs first.
const EVERY: Duration = Duration::from_millis(100);
/// How often those are served who had to wait for others. Between two turns whoever asks for something else is
/// answered.
const SERVE_EVERY: Duration = Duration::from_millis(50);
/// Why holds are let go.
const CAUSE: &str = "the hold's time has passed";

/// Finds holds whose time has passed, and lets them lapse.
pub(crate) fn lapsed_holds() -> Due<Command> {
    let find = |tx: &mut db::Tx<'_>, most: usize| {
        let lapsed = store::lapsed(tx, most)?.into_iter();
        let expire = |(number, levels, story): (_, _, Story)| {
            (Asked::new(Command::Expire { number, levels }, lapse_of(&story)), Some(story.trace))
        };
        Ok(lapsed.map(expire).collect())
    };
    Due::new(EVERY, Box::new(find))
}

/// Finds where pieces are free that somebody is owed, and lets some more of them be served.
pub(crate) fn unserved_promises(mut chance: Chance) -> Due<Command> {
    let find = move |tx: &mut db::Tx<'_>, most: usize| {
        let serve = |(sku, warehouse)| {
            let by = Context::system("goods that came in", Trace::begin(&mut chance));
            (Asked::new(Command::Serve { sku, warehouse }, by), None)
        };
        Ok(store::unserved(tx, most)?.into_iter().map(serve).collect())
    };
    Due::new(SERVE_EVERY, Box::new(find))
}

/// In whose name a hold lapses: the platform's, as a step of the story that the hold belongs to.
pub(crate) fn lapse_of(story: &Story) -> Context {
    let by = Context::system(CAUSE, story.trace.step_for(NAME, CAUSE));
    Context { correlation: story.correlation.as_str().into(), ..by }
}

//! Panics in the log.

use std::panic::{PanicHookInfo, set_hook};
use std::sync::Once;
use std::thread;

/// Says every panic of this process in the log, as one line with its place, instead of on the error
/// output in a form of its own. Whoever catches it says what became of the work.
pub fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| set_hook(Box::new(log)));
}

fn log(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let cause = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("it said nothing");
    tracing::error!(place, cause, thread = thread.name().unwrap_or("without a name"), "A panic; this is a bug");
}

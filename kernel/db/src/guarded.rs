//! Work of others that must not take the thread with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Failure;

/// Runs what waited for a commit.
pub(crate) fn run_after_commit(after: Vec<Box<dyn FnOnce() + Send>>) {
    after.into_iter().for_each(run_guarded);
}

/// Runs something that follows a commit; what fails there cannot take anything back.
pub(crate) fn run_guarded(work: Box<dyn FnOnce() + Send>) {
    let done = guarded(|| {
        work();
        Ok(())
    });
    if let Err(failure) = done {
        tracing::error!(%failure, "What was to follow a commit failed");
    }
}

/// Turns a panic into a failure.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        Err(Failure::Panicked(text.to_owned()))
    })
}

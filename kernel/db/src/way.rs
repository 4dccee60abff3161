//! Which threads go first where there are more than processors.

/// How much less a thread that gives way weighs than others: about a tenth as much.
const NICER_BY: i32 = 10;

/// From now on this thread takes the processor time that others leave, and a small share where they
/// leave none; so does each thread that it starts.
pub fn give_way() {
    if let Err(cause) = rustix::process::nice(NICER_BY) {
        tracing::warn!(%cause, "A thread that should let others go first cannot");
    }
}

//! What tests need of the world outside: a database, a bad network, a full disk, a frozen process.
//!
//! ```text
//! Postgres   a real PostgreSQL, thrown away with the test process
//! Proxy      a network that stands between a client and a server, and breaks when told
//! Tmpfs      a disk that is soon full
//! Frozen     a process that neither works nor ends
//! ```
//!
//! **Invariant:** what is absent fails the test and says what to install; nothing is skipped.
//!
//! **Invariant:** nothing that a test starts outlives the test process, however that ends.

mod afterwards;
mod freeze;
mod postgres;
mod process;
mod proxy;
mod tmpfs;

use std::thread::sleep;
use std::time::Duration;

pub use freeze::{Frozen, kill};
pub use postgres::Postgres;
pub use proxy::{Proxy, Trap};
pub use tmpfs::Tmpfs;

const POLL: Duration = Duration::from_millis(10);
const PATIENCE_POLLS: u32 = 3_000;

/// Waits until a condition holds, looking every 10 ms for 30 s.
///
/// # Panics
/// When it still does not hold then; the message names what was waited for.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..PATIENCE_POLLS {
        if holds() {
            return;
        }
        sleep(POLL);
    }
    panic!("waited 30 s in vain: {what}");
}

//! Copies `SQLite`'s log into its file beside the writer, so that no request waits for it.
//!
//! A passive checkpoint alone never lets the log begin anew while writes go on; so this thread copies
//! the bulk, and the writer the small rest between two batches ([`Checkpoints::little_is_left`]).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::ring::Bell;

/// Pages that the log gains before a checkpoint is worth its fsyncs at once (64 MiB): the longer the
/// log, the more often the same page stands in it, and only its latest state is copied.
const PAGES_BETWEEN: usize = 16_384;
/// Rounds of a second after which the little that was written is copied all the same, so that the
/// log of a quiet service does not grow for hours.
const ROUNDS_BETWEEN: usize = 10;
/// Pages that the writer copies itself: a millisecond or two.
const FEW_PAGES: i64 = 250;
/// Each pass leaves what was written while it ran, which is less and less.
const MOST_PASSES: usize = 8;

/// What the writer and the thread beside it know of each other.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// Pages in the log, as of the latest commit.
    in_log: AtomicUsize,
    /// Pages that were in it when it was last copied.
    copied: AtomicUsize,
    little_is_left: AtomicBool,
    stop: AtomicBool,
    bell: Bell,
}

impl Checkpoints {
    /// Learns how many pages a commit has left in the log.
    pub(crate) fn log_has(&self, pages: i32) {
        self.in_log.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
        if self.gained() >= PAGES_BETWEEN {
            self.bell.ring();
        }
    }

    /// Pages that the log has gained since it was last copied, or since it began anew.
    fn gained(&self) -> usize {
        let (in_log, copied) = (self.in_log.load(Ordering::Relaxed), self.copied.load(Ordering::Relaxed));
        in_log.checked_sub(copied).unwrap_or(in_log)
    }

    /// Whether the writer should copy the rest now; true once after each bulk.
    pub(crate) fn little_is_left(&self) -> bool {
        self.little_is_left.swap(false, Ordering::Relaxed)
    }

    /// Starts the thread; it ends with the last owner of the handle that is returned.
    #[expect(clippy::disallowed_methods, reason = "the database's own threads are started here")]
    pub(crate) fn start(path: &Path) -> (Arc<Self>, StopOnDrop) {
        let checkpoints = Arc::new(Self::default());
        let (shared, path) = (checkpoints.clone(), path.to_owned());
        let thread = std::thread::spawn(move || shared.run(&path));
        let stop = StopOnDrop { checkpoints: checkpoints.clone(), thread: Some(thread) };
        (checkpoints, stop)
    }

    fn run(&self, path: &Path) {
        let connection = match Connection::open(path) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::error!(%error, "No checkpoints: the log will grow until the next start");
                return;
            }
        };
        let mut rounds = 0;
        while !self.stop.load(Ordering::Relaxed) {
            self.bell.wait(Duration::from_secs(1));
            rounds += 1;
            let worth_it = if rounds < ROUNDS_BETWEEN { PAGES_BETWEEN } else { 1 };
            if self.gained() < worth_it {
                continue;
            }
            rounds = 0;
            self.copy(&connection);
        }
    }

    /// Copies what is there, then what came meanwhile, until the writer can do the rest.
    fn copy(&self, connection: &Connection) {
        for _ in 0..MOST_PASSES {
            let pages = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            });
            match pages {
                Ok((in_log, copied)) => {
                    self.copied.store(usize::try_from(copied).unwrap_or(0), Ordering::Relaxed);
                    if in_log - copied < FEW_PAGES {
                        return self.little_is_left.store(true, Ordering::Relaxed);
                    }
                }
                Err(error) => return tracing::warn!(%error, "A checkpoint failed; the next one tries again"),
            }
        }
    }
}

/// Ends the thread when the database is closed.
#[derive(Debug)]
pub(crate) struct StopOnDrop {
    checkpoints: Arc<Checkpoints>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.checkpoints.stop.store(true, Ordering::Relaxed);
        self.checkpoints.bell.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

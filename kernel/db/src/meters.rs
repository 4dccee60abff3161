//! What a desk measures of itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::outbox::Envelope;

/// Batches, waits, failures and events of one service's desk.
#[derive(Debug)]
pub struct Meters {
    batches: Counter,
    batch_size: Histogram,
    batch_seconds: Histogram,
    commit_seconds: Histogram,
    wait_seconds: Histogram,
    failed_batches: Counter,
    unknown_commits: Counter,
    replayed_answers: Counter,
    published: Family<[(&'static str, String); 1], Counter>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            batches: Counter::default(),
            batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            batch_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            wait_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            failed_batches: Counter::default(),
            unknown_commits: Counter::default(),
            replayed_answers: Counter::default(),
            published: Family::default(),
        }
    }
}

impl Meters {
    /// Shows them under their names in a registry, which may carry a label for the service.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("desk_batch_commands", "Commands in a batch", self.batch_size.clone());
        let help = "Time of a batch from its begin until its commit was written";
        registry.register_with_unit("desk_batch", help, Unit::Seconds, self.batch_seconds.clone());
        let help = "Time from the first change of a batch, or of a command alone, until its commit is on the disk";
        registry.register_with_unit("desk_commit", help, Unit::Seconds, self.commit_seconds.clone());
        let help = "Time that a command waited for its batch";
        registry.register_with_unit("desk_queue_wait", help, Unit::Seconds, self.wait_seconds.clone());
        registry.register("desk_failed_batches", "Batches that failed as a whole", self.failed_batches.clone());
        let help = "Commits of which the database could not say how they ended";
        registry.register("desk_unknown_commits", help, self.unknown_commits.clone());
        let help = "Commands that were not performed again, because their answer was stored under their key";
        registry.register("desk_replayed_answers", help, self.replayed_answers.clone());
        registry.register("events_published", "Events of a service by their type", self.published.clone());
    }

    /// Batches that were committed since the start.
    pub fn batches(&self) -> u64 {
        self.batches.get()
    }

    /// Commands that were answered with what is stored under their key since the start.
    pub fn replayed_answers(&self) -> u64 {
        self.replayed_answers.get()
    }

    pub(crate) fn batch(&self, commands: usize, took: Duration) {
        self.batches.inc();
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most a few hundred commands")]
        self.batch_size.observe(commands as f64);
        self.batch_seconds.observe(took.as_secs_f64());
    }

    /// Counts what a commit has published; of one that could only be found out later nobody knows it.
    pub(crate) fn published(&self, news: Option<&[Envelope]>) {
        let mut by_type: BTreeMap<&str, u64> = BTreeMap::new();
        for event in news.unwrap_or_default() {
            *by_type.entry(&event.kind).or_default() += 1;
        }
        for (kind, count) in by_type {
            self.published.get_or_create(&[("type", kind.to_owned())]).inc_by(count);
        }
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn waited(&self, waited: Duration) {
        self.wait_seconds.observe(waited.as_secs_f64());
    }

    pub(crate) fn failed(&self) {
        self.failed_batches.inc();
    }

    pub(crate) fn unknown(&self) {
        self.unknown_commits.inc();
    }

    pub(crate) fn replayed(&self) {
        self.replayed_answers.inc();
    }
}

/// What the databases of this process were made to do since it began, for benches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Statements that were run; one for each row where a database takes them in a loop.
    pub statements: u64,
    /// Waits for the disk.
    pub flushes: u64,
}

static STATEMENTS: AtomicU64 = AtomicU64::new(0);
static FLUSHES: AtomicU64 = AtomicU64::new(0);

/// What the databases of this process were made to do since it began.
pub fn spent() -> Spent {
    Spent { statements: STATEMENTS.load(Ordering::Relaxed), flushes: FLUSHES.load(Ordering::Relaxed) }
}

pub(crate) fn count_statements(statements: usize) {
    STATEMENTS.fetch_add(statements as u64, Ordering::Relaxed);
}

pub(crate) fn count_flush() {
    FLUSHES.fetch_add(1, Ordering::Relaxed);
}

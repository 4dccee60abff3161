//! What the program knows of itself, for those who ask: health, metrics, events, problems.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use db::{Database, Position};
use events::{EventDocument, Status};
use telemetry::Meters;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use web::{Limits, ProblemKind, Slot};
use world::{Moment, World};

use crate::broadcast::Broadcast;
use crate::service::Overview;
use crate::trend::Trend;

/// Tells in a few words what an event says beside its type and subject.
pub(crate) type Details = fn(&EventDocument) -> String;

/// The program as its own routes see it.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) parts: Vec<Part>,
    pub(crate) meters: Meters,
    pub(crate) details: Details,
    /// When it began.
    pub(crate) since: Moment,
    /// How the last minutes went.
    pub(crate) trend: Trend,
    pub(crate) world: World,
    /// True from the moment in which the program was told to stop.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) listening: Listening,
}

/// How many may listen to events, and how.
#[derive(Debug)]
pub(crate) struct Listening {
    streams: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    pub(crate) heartbeat: Duration,
}

impl Listening {
    pub(crate) fn within(limits: &Limits) -> Self {
        let room = || Arc::new(Semaphore::new(limits.streams.min(Semaphore::MAX_PERMITS)));
        Self { streams: room(), waits: room(), heartbeat: Duration::from_secs(limits.heartbeat_secs.max(1)) }
    }

    /// Room for one more stream, if there is some.
    pub(crate) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().ok()
    }

    /// Room for one more request that waits for events, which leaves the place it has; none where it is full.
    /// Neither streams nor those who wait for anything else take it, for services in other processes wait like this.
    pub(crate) fn wait(&self, slot: &Slot) -> Option<OwnedSemaphorePermit> {
        slot.leave_for(&self.waits)
    }
}

/// One service as it runs.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) database: Database,
    pub(crate) listens: Vec<(&'static str, Arc<Status>)>,
    pub(crate) kinds: &'static [&'static ProblemKind],
    pub(crate) overviews: Vec<Overview>,
    pub(crate) tell: Box<dyn Fn(&Meters) + Send + Sync>,
    pub(crate) waiting: Box<dyn Fn() -> usize + Send + Sync>,
    pub(crate) workers: Arc<Workers>,
    /// Who listens to its events in a stream.
    pub(crate) streams: Arc<Broadcast>,
    /// Who waits for its next events. They are told apart from the streams, and so without delay.
    pub(crate) waits: Arc<Broadcast>,
}

/// How many workers a service has, and how many of them run.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) all: usize,
    running: AtomicUsize,
}

impl Workers {
    pub(crate) fn new(all: usize) -> Self {
        Self { all, running: AtomicUsize::new(all) }
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn one_ended(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Part {
    /// Whether it can do its work, given whether its database answers.
    pub(crate) fn is_ready(&self, answers: bool) -> bool {
        let listens = || self.listens.iter().all(|(_, status)| status.stopped().is_none());
        answers && self.workers.running() == self.workers.all && listens()
    }
}

impl Board {
    /// A program with these services, which begins now.
    pub(crate) fn of(
        parts: Vec<Part>,
        meters: &Meters,
        details: Details,
        world: &World,
        limits: &Limits,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let since = world.now();
        let trend = Trend::since(since, newest_events(&parts));
        Self {
            parts,
            meters: meters.clone(),
            details,
            since,
            trend,
            world: world.clone(),
            stopping,
            listening: Listening::within(limits),
        }
    }

    /// The service of this name, if it runs here.
    pub(crate) fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// How many events all services have, as far as is known here.
    pub(crate) fn newest_events(&self) -> Position {
        newest_events(&self.parts)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

fn newest_events(parts: &[Part]) -> Position {
    parts.iter().map(|part| *part.database.ring().newest().borrow()).sum()
}

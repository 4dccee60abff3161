//! The threads of a database that read for whoever asks, several in one view.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use world::World;

use crate::ring::lock;
use crate::session::Session;
use crate::tx::Read;
use crate::way::give_way;
use crate::{Failure, Options, Refused};

/// Reads in a view; says whether the view is still good: on `PostgreSQL` a statement that fails spoils it.
type Reading = Box<dyn FnOnce(&mut View<'_>) -> bool + Send>;

/// A view that is opened when it is first needed, or why there is none.
pub(crate) struct View<'s> {
    closed: Option<(&'s mut Session, &'s World)>,
    opened: Option<Result<Read<'s>, Failure>>,
}

impl<'s> View<'s> {
    fn of(session: &'s mut Session, world: &'s World) -> Self {
        Self { closed: Some((session, world)), opened: None }
    }

    pub(crate) fn open(&mut self) -> Result<&mut Read<'s>, Failure> {
        if let Some((session, world)) = self.closed.take() {
            self.opened = Some(Read::begin(session, world));
        }
        let opened = self.opened.as_mut().expect("it was closed, or it is open");
        opened.as_mut().map_err(|failure| failure.clone())
    }

    /// Whether nothing can be read at present, which other reads that wait need not find out by themselves.
    fn is_away(&self) -> bool {
        matches!(self.opened, Some(Err(_)))
    }

    fn end(self) {
        if let Some(Ok(read)) = self.opened {
            read.end();
        }
    }
}

/// Work for the threads that read.
pub(crate) enum Job {
    Read(Reading),
    /// Writes on the connection for that.
    Write(Box<dyn FnOnce() + Send>),
}

impl Job {
    fn run(self, view: &mut View<'_>) -> bool {
        match self {
            Self::Read(read) => read(view),
            Self::Write(write) => {
                write();
                true
            }
        }
    }
}

/// The threads that read; or, in memory, the caller's own.
pub(crate) enum Readers {
    Threads(SyncSender<Job>),
    Inline(Mutex<Session>, World),
}

/// Reads that may wait; more are refused at once.
const WAITING_READS: usize = 4_096;
/// Reads that share a view, at most: what waits when a thread has time. Opening a view for each costs as
/// much as a short read itself; and no read waits for many others.
const READS_TOGETHER: usize = 16;

impl Readers {
    pub(crate) fn inline(session: Session, world: &World) -> Self {
        Self::Inline(Mutex::new(session), world.clone())
    }

    #[expect(clippy::disallowed_methods, reason = "the database's own threads are started here")]
    pub(crate) fn start(
        options: &Options,
        world: &World,
        open: impl Fn() -> Result<Session, Failure>,
    ) -> Result<Self, Failure> {
        let (submit, waiting) = sync_channel::<Job>(WAITING_READS);
        let waiting = Arc::new(Mutex::new(waiting));
        let gives_way = options.gives_way;
        for _ in 0..options.readers.max(1) {
            let (mut session, world, waiting) = (open()?, world.clone(), waiting.clone());
            std::thread::spawn(move || {
                if gives_way {
                    give_way();
                }
                while let Some(jobs) = next(&waiting) {
                    read_all(&mut session, &world, jobs);
                }
            });
        }
        Ok(Self::Threads(submit))
    }

    pub(crate) fn submit(&self, job: Job) -> Result<(), Refused> {
        match (self, job) {
            (Self::Inline(..), Job::Write(write)) => {
                write();
                Ok(())
            }
            (Self::Inline(session, world), read) => {
                read_all(&mut lock(session), world, vec![read]);
                Ok(())
            }
            (Self::Threads(submit), job) => submit.try_send(job).map_err(|error| match error {
                TrySendError::Full(_) => Refused::Full { retry_after: Duration::from_secs(1) },
                TrySendError::Disconnected(_) => Refused::Stopping,
            }),
        }
    }
}

/// Reads in one view, which was opened after all of it was asked; in another one after what spoils it.
fn read_all(session: &mut Session, world: &World, jobs: Vec<Job>) {
    let mut jobs = jobs.into_iter().peekable();
    while jobs.peek().is_some() {
        let mut view = View::of(session, world);
        for job in jobs.by_ref() {
            let is_good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run(&mut view)));
            if !is_good.unwrap_or(false) && !view.is_away() {
                break;
            }
        }
        view.end();
    }
}

/// What waits, in its order, as soon as there is something; none once nobody can ask any more.
fn next(waiting: &Mutex<Receiver<Job>>) -> Option<Vec<Job>> {
    let waiting = lock(waiting);
    let first = waiting.recv().ok()?;
    Some(std::iter::once(first).chain(waiting.try_iter().take(READS_TOGETHER - 1)).collect())
}

//! One service's database: where it lies, how it is opened, and how it is read.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ids::Number;
use thiserror::Error;
use tokio::sync::oneshot;
use world::World;

use crate::checkpoint::{self, Checkpoints};
use crate::flush::{self, Flusher, Ticket};
use crate::guarded::{guarded, run_after_commit};
use crate::keyed::{Keyed, KeyedAnswer, write_once};
use crate::migrate::Migration;
use crate::opening::{newest_event, on_own_thread, prepare, reader};
use crate::outbox::Source;
use crate::postgres::Postgres;
use crate::readers::{Job, Readers};
use crate::ring::{Ring, lock};
use crate::session::{Link, Session};
use crate::sqlite::{Durability, MemoryDisk, Sqlite};
use crate::tx::{Committed, Ended, Read, Tx};
use crate::{Context, Failure, Refused};

/// Where a service's database lies.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file of `SQLite`.
    File(PathBuf),
    /// A `PostgreSQL` database; the service gets a schema and a role of its own in it.
    Postgres(String),
    /// Memory, for simulations and tests.
    Memory(MemoryDisk),
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Postgres(_) => f.write_str("Postgres(…)"), // the URL may hold a password
            Self::Memory(_) => f.write_str("Memory"),
        }
    }
}

impl PartialEq for MemoryDisk {
    fn eq(&self, other: &Self) -> bool {
        self.same_as(other)
    }
}

impl Eq for MemoryDisk {}

/// What an operator may choose about a database.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that write; only `PostgreSQL` takes more than one. All but the first help it when it is
    /// behind.
    pub writers: usize,
    /// Threads that read.
    pub readers: usize,
    /// Commands that may wait; more are refused at once.
    pub queue_limit: usize,
    /// Whether commits wait for the disk.
    pub durability: Durability,
    /// Whether to work on a `PostgreSQL` that runs with `fsync=off`.
    pub allow_fsync_off: bool,
    /// Whether the files were just restored from a backup: then a new incarnation begins, so that
    /// consumers learn that they may have heard of events that this database no longer knows.
    pub restored: bool,
    /// Whether its threads, and the tasks of its service, let those of others go first.
    pub gives_way: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            writers: 1,
            readers: 2,
            queue_limit: 8_192,
            durability: Durability::Full,
            allow_fsync_off: false,
            restored: false,
            gives_way: false,
        }
    }
}

/// Why a database cannot be used.
#[derive(Clone, Debug, Error)]
#[error("the database of {service} cannot be opened: {cause}")]
pub struct CannotOpen {
    service: &'static str,
    cause: Failure,
}

/// One service's database; cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    service: &'static str,
    world: World,
    location: Location,
    options: Options,
    source: Source,
    ring: Arc<Ring>,
    readers: Readers,
    /// The connection for transactions beside the desk's.
    aside: Mutex<Option<Session>>,
    /// How many of those transactions run or wait for their turn.
    asides: AtomicUsize,
    checkpoints: Option<(Arc<Checkpoints>, checkpoint::StopOnDrop)>,
    /// Waits for the disk, where that is not done by each commit itself.
    flusher: Option<(Arc<Flusher>, flush::StopOnDrop)>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("service", &self.0.service).field("location", &self.0.location).finish()
    }
}

impl Database {
    /// Opens the database of a service, making and migrating it as needed.
    pub fn open(
        service: &'static str,
        location: Location,
        options: Options,
        world: World,
        migrations: &[Migration],
    ) -> Result<Self, CannotOpen> {
        let opened = on_own_thread(|| {
            let source = prepare(service, &location, &options, &world, migrations)?;
            Ok((newest_event(service, &location, &options, &source)?, source))
        });
        let (newest, source) = opened.map_err(|cause| CannotOpen { service, cause })?;
        let ring = Arc::new(Ring::default());
        ring.learn(newest);
        let readers = match &location {
            Location::Memory(disk) => {
                Readers::inline(Session::new(Link::Sqlite(Sqlite::in_memory(disk)), source.clone()), &world)
            }
            location => {
                let open = || reader(service, location, &source);
                Readers::start(&options, &world, open).map_err(|cause| CannotOpen { service, cause })?
            }
        };
        let checkpoints = match &location {
            Location::File(path) => Some(Checkpoints::start(path)),
            _ => None,
        };
        let flusher = match &location {
            Location::File(path) if options.durability == Durability::Full => Some(Flusher::of_log(path).start()),
            _ => None,
        };
        Ok(Self(Arc::new(Inner {
            service,
            world,
            location,
            options,
            source,
            ring,
            readers,
            aside: Mutex::default(),
            asides: AtomicUsize::new(0),
            checkpoints,
            flusher,
        })))
    }

    /// The service that it belongs to.
    pub fn service(&self) -> &'static str {
        self.0.service
    }

    /// The life of this database: another number after it was restored from a backup.
    pub fn incarnation(&self) -> Number {
        self.0.source.incarnation
    }

    /// The latest events, in memory.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.0.ring
    }

    /// Where time, numbers and chance come from.
    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// What the operator chose.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// What it is and where, for people; a server's address is not told.
    pub fn place(&self) -> String {
        match &self.0.location {
            Location::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                format!("SQLite, {}", name.to_string_lossy())
            }
            Location::Postgres(_) => format!("PostgreSQL, schema {}", self.0.service),
            Location::Memory(_) => "memory".to_owned(),
        }
    }

    /// Whether another process may write to the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.0.location, Location::Postgres(_))
    }

    /// Whether nobody else writes to it: a file, whose folder the program keeps to itself. A memory may have
    /// several writers, as in a simulation of several processes, unless it is said to have one.
    pub fn is_ours_alone(&self) -> bool {
        match &self.0.location {
            Location::File(_) => true,
            Location::Postgres(_) => false,
            Location::Memory(disk) => disk.has_one_writer(),
        }
    }

    /// Reads in one consistent view, on a thread of the database's own.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Read<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        self.submit(answer, |answer| !answer.is_closed(), work, |answer, result| drop(answer.send(result)))?;
        answered.await.unwrap_or(Err(Failure::Panicked("while reading".into()))).map_err(Refused::Failed)
    }

    /// Reads like [`Database::read`] and hands the result over on the reading thread.
    pub fn read_then<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Read<'_>) -> Result<T, Failure> + Send + 'static,
        then: impl FnOnce(Result<T, Failure>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.submit(then, |_| true, work, |then, result| then(result))
    }

    /// Reads for somebody who waits, unless they wait no more when it is their turn.
    fn submit<T: Send + 'static, W: Send + 'static>(
        &self,
        who: W,
        waits: fn(&W) -> bool,
        work: impl FnOnce(&mut Read<'_>) -> Result<T, Failure> + Send + 'static,
        tell: fn(W, Result<T, Failure>),
    ) -> Result<(), Refused> {
        let flusher = self.0.flusher.as_ref().map(|(flusher, _)| flusher.clone());
        self.0.readers.submit(Job::Read(Box::new(move |view| {
            if !waits(&who) {
                return true;
            }
            let result = view.open().and_then(|read| guarded(|| work(read)));
            let is_good = result.is_ok();
            match flusher {
                Some(flusher) => flusher.when_durable(move || tell(who, result)),
                None => tell(who, result),
            }
            is_good
        })))
    }

    /// Runs one transaction beside the desk's, for the rare change that is no command.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        let database = self.clone();
        self.0.readers.submit(Job::Write(Box::new(move || drop(answer.send(database.write_now(work))))))?;
        answered.await.unwrap_or(Err(Refused::Failed(Failure::Panicked("while writing".into()))))
    }

    /// Runs one transaction beside the desk's under a key of its caller's, like [`crate::Desk::ask_keyed`].
    pub async fn write_keyed<T: 'static>(
        &self,
        by: &Context,
        keyed: Keyed<T>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<KeyedAnswer, Refused> {
        let by = by.clone();
        self.write(move |tx| write_once(tx, &by, &keyed, work)).await
    }

    fn write_now<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T, Failure>) -> Result<T, Refused> {
        self.0.asides.fetch_add(1, Ordering::Relaxed);
        let written = self.write_aside(work);
        self.0.asides.fetch_sub(1, Ordering::Relaxed);
        let (value, committed) = written?;
        self.tell_when_durable(committed);
        Ok(value)
    }

    fn write_aside<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T, Failure>) -> Result<(T, Committed), Refused> {
        let mut aside = lock(&self.0.aside);
        let session = match &mut *aside {
            Some(session) => session,
            none => none.insert(self.writer().map_err(Refused::Failed)?),
        };
        let mut tx = Tx::begin(session, &self.0.world, None).map_err(Refused::Failed)?;
        match guarded(|| work(&mut tx)) {
            Ok(value) => match tx.commit() {
                Ended::Committed(committed) => Ok((value, committed)),
                Ended::Failed(failure) => Err(Refused::Failed(failure)),
                Ended::Unknown => Err(Refused::OutcomeUnknown),
            },
            Err(failure) => {
                tx.rollback();
                Err(Refused::Failed(failure))
            }
        }
    }

    /// Lets a transaction beside the desk's go first where one waits and only one can run: `SQLite` has no
    /// queue, and whoever begins again at once leaves others no moment.
    pub(crate) fn give_asides_their_turn(&self) {
        if self.0.asides.load(Ordering::Relaxed) > 0 && !self.is_shared() {
            drop(lock(&self.0.aside));
        }
    }

    /// Learns of events that another process has committed.
    pub async fn learn_of_news(&self) -> Result<(), Refused> {
        let newest = self.read(newest).await?;
        self.0.ring.learn(newest);
        Ok(())
    }

    /// Learns that the table holds events up to here.
    pub fn learned(&self, newest: crate::Position) {
        self.0.ring.learn(newest);
    }

    /// A connection that writes.
    pub(crate) fn writer(&self) -> Result<Session, Failure> {
        let link = match &self.0.location {
            Location::File(path) => {
                let mut link = Sqlite::open(path, self.0.options.durability)?;
                if let Some((checkpoints, _)) = &self.0.checkpoints {
                    link = link.with_checkpoints(checkpoints)?;
                }
                if let Some((flusher, _)) = &self.0.flusher {
                    link = link.with_flusher(flusher)?;
                }
                Link::Sqlite(link)
            }
            Location::Postgres(url) => Link::Postgres(Box::new(Postgres::new(url, self.0.service)?)),
            Location::Memory(disk) => Link::Sqlite(Sqlite::in_memory(disk)),
        };
        Ok(Session::new(link, self.0.source.clone()))
    }

    /// Does this once a commit is durable: at once where it is; else while it waits for the disk
    /// itself, if the caller has the time and nobody else waits, or when somebody else has waited.
    pub(crate) fn once_durable(&self, ticket: Option<Ticket>, has_time: bool, work: impl FnOnce() + Send + 'static) {
        match (ticket, &self.0.flusher) {
            (Some(ticket), Some((flusher, _))) => flusher.then(ticket, has_time, Box::new(work)),
            _ => work(),
        }
    }

    /// Waits until a commit is durable, then tells readers and does what waited for it.
    fn tell_when_durable(&self, committed: Committed) {
        if let (Some(ticket), Some((flusher, _))) = (committed.ticket, &self.0.flusher) {
            flusher.wait(ticket);
        }
        self.tell(committed.news);
        run_after_commit(committed.after);
    }

    /// Tells readers what was committed.
    pub(crate) fn tell(&self, news: Option<Vec<crate::Envelope>>) {
        let Some(news) = news else {
            // The commit has happened, and nobody knows at which positions: the table says.
            let ring = self.0.ring.clone();
            let learn = move |newest: Result<_, Failure>| match newest {
                Ok(newest) => ring.learn(newest),
                Err(failure) => tracing::warn!(%failure, "News will be heard of with the next event"),
            };
            if let Err(refused) = self.read_then(newest, learn) {
                tracing::warn!(%refused, "News will be heard of with the next event");
            }
            return;
        };
        self.0.ring.push(news);
    }
}

fn newest(read: &mut Read<'_>) -> Result<crate::Position, Failure> {
    read.newest_event()
}

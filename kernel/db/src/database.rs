//! One service's database: where it lies, how it is opened, and how it is read.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ids::Number;
use thiserror::Error;
use tokio::sync::oneshot;
use world::World;

use crate::checkpoint::{self, Checkpoints};
use crate::flush::{self, Flusher, Ticket};
use crate::keyed::{Keyed, KeyedAnswer, write_once};
use crate::migrate::{self, Dialect, Migration};
use crate::outbox::Source;
use crate::postgres::{self, Postgres};
use crate::ring::{Ring, lock};
use crate::session::{Commit, Link, Session};
use crate::sqlite::{Durability, MemoryDisk, Sqlite};
use crate::table::{Query, Write, int};
use crate::tx::{Committed, Ended, Read, Tx};
use crate::way::give_way;
use crate::worker::{guarded, run_after_commit};
use crate::{Context, Failure, Refused, Table};

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

/// Runs on a thread where no other runtime is at work, which `PostgreSQL`'s client would not stand.
fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|_| Err(Failure::Panicked("while opening the database".into())))
}

static INCARNATION: Table = Table { name: "incarnation", key: &[int("number")], rest: &[] };

/// Makes the schema, runs the migrations, and reads whose events these are.
fn prepare(
    service: &'static str,
    location: &Location,
    options: &Options,
    world: &World,
    migrations: &[Migration],
) -> Result<Source, Failure> {
    let nobody = Source { service: service.into(), incarnation: Number::from_column(0) };
    let (link, dialect) = match location {
        Location::File(path) => (Link::Sqlite(Sqlite::open(path, options.durability)?), Dialect::Sqlite),
        Location::Memory(disk) => (Link::Sqlite(Sqlite::in_memory(disk)), Dialect::Sqlite),
        Location::Postgres(url) => {
            postgres::make_schema(url, service, options.allow_fsync_off)?;
            (Link::Postgres(Box::new(Postgres::new(url, service)?)), Dialect::Postgres)
        }
    };
    let mut session = Session::new(link, nobody);
    session.begin(None)?;
    if dialect == Dialect::Postgres {
        // Another process may be at it for a while; after that no migration waits long for a table,
        // because all who come later would wait behind it.
        session.script(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10min';
             SELECT pg_advisory_xact_lock(hashtextextended('migrations of ' || current_schema(), 0));
             SET LOCAL lock_timeout = '3s'",
        )?;
    }
    let migrated = migrate::run(&mut session, dialect, "kernel", migrate::KERNEL, world.now())
        .and_then(|()| migrate::run(&mut session, dialect, service, migrations, world.now()))
        .and_then(|()| incarnation(&mut session, world, options.restored));
    let incarnation = match migrated {
        Ok(incarnation) => incarnation,
        Err(failure) => {
            session.rollback();
            return Err(failure);
        }
    };
    match session.commit(&[], Vec::new()) {
        Commit::Done { .. } => Ok(Source { service: service.into(), incarnation }),
        Commit::Failed(failure) => Err(failure),
        Commit::Unknown => Err(Failure::Unavailable("the connection broke while migrating; start again".into())),
    }
}

fn incarnation(session: &mut Session, world: &World, restored: bool) -> Result<Number, Failure> {
    let answers = session.ask(&[Query::sql("SELECT max(number) FROM incarnation", [])])?;
    let latest = answers.into_iter().flatten().next().map_or(Ok(None), |row| row.columns().maybe_int())?;
    if let (Some(latest), false) = (latest, restored) {
        return Ok(Number::from_column(latest));
    }
    // The clock may be behind the one by which the latest was made.
    let number = latest.map_or_else(|| world.number(), |latest| world.number().max(Number::from_column(latest + 1)));
    session.write_now(&Write::Insert(&INCARNATION, vec![vec![number.into()]]))?;
    Ok(number)
}

fn newest_event(service: &str, location: &Location, options: &Options, source: &Source) -> Result<i64, Failure> {
    let mut session = match location {
        Location::File(path) => Session::new(Link::Sqlite(Sqlite::open(path, options.durability)?), source.clone()),
        location => reader(service, location, source)?,
    };
    session.begin_reading()?;
    let answers = session.ask(&[Query::sql("SELECT coalesce(max(position), 0) FROM event", [])]);
    session.end_reading();
    answers?.into_iter().flatten().next().map_or(Ok(0), |row| row.columns().int())
}

fn reader(service: &str, location: &Location, source: &Source) -> Result<Session, Failure> {
    let link = match location {
        Location::File(path) => Link::Sqlite(Sqlite::open_to_read(path)?),
        Location::Postgres(url) => Link::Postgres(Box::new(Postgres::new(url, service)?)),
        Location::Memory(disk) => Link::Sqlite(Sqlite::in_memory(disk)),
    };
    Ok(Session::new(link, source.clone()))
}

/// Reads in a view; says whether the view is still good: on `PostgreSQL` a statement that fails spoils it.
type Reading = Box<dyn FnOnce(&mut View<'_>) -> bool + Send>;

/// A view that is opened when it is first needed, or why there is none.
struct View<'s> {
    closed: Option<(&'s mut Session, &'s World)>,
    opened: Option<Result<Read<'s>, Failure>>,
}

impl<'s> View<'s> {
    fn of(session: &'s mut Session, world: &'s World) -> Self {
        Self { closed: Some((session, world)), opened: None }
    }

    fn open(&mut self) -> Result<&mut Read<'s>, Failure> {
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
enum Job {
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
enum Readers {
    Threads(SyncSender<Job>),
    Inline(Mutex<Session>, World),
}

/// Reads that may wait; more are refused at once.
const WAITING_READS: usize = 4_096;
/// Reads that share a view, at most: what waits when a thread has time. Opening a view for each costs as
/// much as a short read itself; and no read waits for many others.
const READS_TOGETHER: usize = 16;

impl Readers {
    fn inline(session: Session, world: &World) -> Self {
        Self::Inline(Mutex::new(session), world.clone())
    }

    #[expect(clippy::disallowed_methods, reason = "the database's own threads are started here")]
    fn start(options: &Options, world: &World, open: impl Fn() -> Result<Session, Failure>) -> Result<Self, Failure> {
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

    fn submit(&self, job: Job) -> Result<(), Refused> {
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

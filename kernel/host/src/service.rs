//! A service as it is put together: what it stands on, and what it gives to run.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;

use db::{Database, Desk, Failure, Meters, Plan, Read, Turn, Worker};
use events::{Feed, Status};
use web::{ProblemKind, Routes};

/// What a service is built on.
#[derive(Clone)]
pub struct Ground {
    /// Its own database.
    pub database: Database,
    /// The events of the services that it listens to.
    pub feeds: Feeds,
    /// What its desk measures.
    pub meters: Arc<Meters>,
}

impl Ground {
    /// A ground whose meters stand on a page, under the name of the service.
    pub fn metered(database: Database, feeds: Feeds, page: &telemetry::Meters) -> Self {
        let meters = Arc::new(Meters::default());
        let service = ("service".into(), database.service().into());
        page.register(|registry| meters.register(registry.sub_registry_with_label(service)));
        Self { database, feeds, meters }
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("database", &self.database).finish_non_exhaustive()
    }
}

/// Makes a feed for one consumer.
type MakeFeed = Arc<dyn Fn() -> Arc<dyn Feed> + Send + Sync>;

/// Where the events of other services come from; which carrier brings them is no business of the
/// service that reads them.
#[derive(Clone, Default)]
pub struct Feeds(BTreeMap<&'static str, MakeFeed>);

impl Feeds {
    /// Says how the feed of a service is read.
    #[must_use]
    pub fn with(mut self, source: &'static str, make: impl Fn() -> Arc<dyn Feed> + Send + Sync + 'static) -> Self {
        self.0.insert(source, Arc::new(make));
        self
    }

    /// A feed of this service for one consumer.
    ///
    /// # Panics
    /// When nobody has said how that service is read.
    pub fn of(&self, source: &str) -> Arc<dyn Feed> {
        self.0.get(source).unwrap_or_else(|| panic!("no feed of {source}: say where it is read"))()
    }
}

/// A service, ready to run.
pub struct Service {
    /// Its name: of its settings, its schema and its metrics.
    pub name: &'static str,
    /// Its own database.
    pub database: Database,
    /// The requests that it answers.
    pub routes: Routes,
    /// The problems of its own with which it says no.
    pub kinds: &'static [&'static ProblemKind],
    /// What performs its commands.
    pub workers: Vec<Box<dyn Work>>,
    /// What runs beside that, such as calls to a provider.
    pub tasks: Vec<Task>,
    /// The feeds that it listens to.
    pub listens: Vec<(&'static str, Arc<Status>)>,
    /// What it shows of itself on the status page.
    pub overviews: Vec<Overview>,
    /// Enters on the page of metrics what it measures beside its desk, each time that the page is read.
    pub tell: Box<dyn Fn(&telemetry::Meters) + Send + Sync>,
    /// How many commands wait at its desk.
    pub waiting: Box<dyn Fn() -> usize + Send + Sync>,
    /// Closes its desk: what waits is finished, and nothing more is taken in.
    pub close: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Service {
    /// A service with a desk; tasks, listeners and problems are added by whoever has some.
    pub fn new<C: Send + 'static, A: Send + 'static>(
        database: &Database,
        routes: Routes,
        desk: &Desk<C, A>,
        workers: Vec<Worker<C, A>>,
    ) -> Self {
        let (desk, queue) = (desk.clone(), desk.clone());
        Self {
            name: database.service(),
            database: database.clone(),
            routes,
            kinds: &[],
            workers: workers.into_iter().map(|worker| Box::new(worker) as Box<dyn Work>).collect(),
            tasks: Vec::new(),
            listens: Vec::new(),
            overviews: Vec::new(),
            tell: Box::new(|_| {}),
            waiting: Box::new(move || queue.waiting()),
            close: Box::new(move || desk.close()),
        }
    }
}

/// A table of its own things that a service shows on the status page.
#[derive(Clone, Copy, Debug)]
pub struct Overview {
    /// What it is a table of, such as `Orders`.
    pub title: &'static str,
    /// What one has to know to read it.
    pub about: &'static str,
    /// Said in place of the table where it has no rows.
    pub none: &'static str,
    /// Its columns; the first names the row.
    pub columns: &'static [Column],
    /// Its rows, a few dozen at most, with a text for each column. It is read each time that the page is
    /// asked for, so it has to be quick.
    pub rows: fn(&mut Read<'_>) -> Result<Vec<Vec<String>>, Failure>,
}

/// A column of a table, by its heading.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Of words.
    Text(&'static str),
    /// Of figures, which stand under each other.
    Number(&'static str),
}

/// Something that runs as long as its service does.
pub struct Task {
    /// What it is, for the log.
    pub name: &'static str,
    /// What it does.
    pub run: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A desk's worker, whatever its commands are.
pub trait Work: Send {
    /// Performs what waits, as far as the plan goes.
    fn turn(&mut self, plan: &Plan) -> Turn;

    /// Performs on this thread until the desk is closed.
    fn run(self: Box<Self>);

    /// Performs on a thread of its own until the desk is closed.
    fn start(self: Box<Self>) -> JoinHandle<()>;
}

impl<C: Send + 'static, A: Send + 'static> Work for Worker<C, A> {
    fn turn(&mut self, plan: &Plan) -> Turn {
        Worker::turn(self, plan)
    }

    fn run(self: Box<Self>) {
        Worker::run(*self);
    }

    fn start(self: Box<Self>) -> JoinHandle<()> {
        Worker::start(*self)
    }
}

//! The program: services at work together, from the first thread to the last.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use db::Database;
use events::EventDocument;
use telemetry::Meters;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use web::{Gate, Limits, Port, Routes};
use world::World;

use crate::board::{Board, Details, Part, Workers};
use crate::broadcast::Broadcast;
use crate::otlp::{self, Otlp};
use crate::service::{Service, Task, Work};
use crate::{aside, docs, feed_route, health, key_routes, metrics, openapi, problems, sign_in, status_page, trend};

/// Services that run as one program.
#[derive(Debug)]
pub struct Program {
    world: World,
    gate: Gate,
    limits: Limits,
    meters: Meters,
    news_every: Duration,
    details: Details,
    services: Vec<Service>,
    otlp: Option<Otlp>,
}

/// Why the program ended before it was told to, or not as it should.
#[derive(Debug, Error)]
pub enum Broken {
    /// A desk's thread ended while its desk was open.
    #[error("the worker of {0} ended although nobody had closed its desk; the log says why")]
    Worker(&'static str),
    /// A task of a service ended while the service was at work.
    #[error("the task {0} ended although nobody had stopped it; the log says why")]
    Task(String),
    /// A thread cannot be started.
    #[error("no thread can be started for {what}: {cause}")]
    NoThread {
        /// What was to run on it.
        what: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// The desks did not finish what waited.
    #[error(
        "{workers} desks had not finished after {secs} s; what waited there was not done, and nobody was told that it was"
    )]
    NotDrained {
        /// Desks whose threads still ran.
        workers: usize,
        /// How long they had.
        secs: u64,
    },
}

/// How often a database that others write to as well is asked for news, unless something else is said.
const NEWS_EVERY: Duration = Duration::from_millis(20);

impl Program {
    /// A program without services. What it measures, it enters on this page.
    pub fn new(world: &World, gate: Gate, limits: Limits, meters: &Meters) -> Self {
        let (world, meters) = (world.clone(), meters.clone());
        let details = |_: &_| String::new();
        Self { world, gate, limits, meters, news_every: NEWS_EVERY, details, services: Vec::new(), otlp: None }
    }

    /// Says how often a database that other processes write to as well is asked for news.
    #[must_use]
    pub fn asking_for_news_every(self, news_every: Duration) -> Self {
        Self { news_every, ..self }
    }

    /// Says how the status page tells in a few words what an event says beside its type and subject.
    #[must_use]
    pub fn telling_details(self, details: fn(&EventDocument) -> String) -> Self {
        Self { details, ..self }
    }

    /// Sends what it tells of itself to a collector of `OpenTelemetry`, where there is one.
    #[must_use]
    pub fn telling(self, otlp: Option<Otlp>) -> Self {
        Self { otlp, ..self }
    }

    /// Adds a service.
    #[must_use]
    pub fn with(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Runs until it is asked to stop, or until something breaks that it cannot do without; either
    /// way it takes nothing more in, finishes what is open, closes the desks and joins their threads.
    ///
    /// # Panics
    /// When two services answer the same route.
    pub async fn run(self, port: impl Into<Port>, asked_to_stop: impl Future<Output = ()>) -> Result<(), Broken> {
        let port = port.into();
        let Self { world, gate, limits, meters, news_every, details, services, otlp } = self;
        let (stop, stopping) = watch::channel(false);
        let mut crew = Crew::new();
        let (mut routes, mut parts, mut closes) = (Routes::default(), Vec::new(), Vec::new());
        let mut answering = BTreeMap::new();
        for service in services {
            let (taken_on, of_service, close) =
                crew.take_on(service, news_every, limits.backlog_bytes, &meters, &stopping)?;
            answering.extend(of_service.templates().map(|template| (template.to_owned(), taken_on.name)));
            routes = routes.merge(of_service);
            parts.push(taken_on);
            closes.push(close);
        }
        if let Some(tls) = port.tls() {
            crew.start_task("certificate", tls.clone().keep_up());
        }
        let keyring = gate.keyring().cloned();
        if let Some(keyring) = &keyring {
            crew.start_task("keys", keyring.clone().keep_up());
            routes = routes.merge(key_routes::routes(keyring));
        }
        if let Some(sign_in) = gate.sign_in() {
            routes = routes.merge(sign_in::routes(sign_in));
        }
        let board = Arc::new(Board::of(parts, &meters, details, &world, &limits, stopping));
        crew.start_task("trend", trend::keep(board.clone()));
        let (all_ended, ended) = watch::channel(());
        let telling = otlp.map(|otlp| otlp::start(&otlp, &board, &ended));
        let routes = routes.merge(own_routes(&board)).with_schemas(openapi::schemas());
        let observe = metrics::observe(&board, answering);
        let guarded = web::guard(docs::with_description(routes), gate, &world, &limits, observe);
        let mut broken = None;
        let until = async {
            tokio::select! {
                () = asked_to_stop => {}
                cause = crew.somebody_ends() => broken = Some(cause),
            }
            stop.send_replace(true);
        };
        web::serve(port, guarded, &limits, until).await;
        if let Some(keyring) = keyring
            && let Err(refused) = keyring.note_uses().await
        {
            tracing::warn!(%refused, "It could not be written when keys were last used");
        }
        for close in &closes {
            close();
        }
        let drained = crew.go_home(limits.drain_secs).await;
        drop(all_ended);
        if let Some(telling) = telling {
            telling.join_all().await;
        }
        broken.map_or(drained, Err)
    }
}

/// Closes the desk of a service.
type Close = Box<dyn Fn() + Send + Sync>;

/// The threads and tasks of a program.
struct Crew {
    tasks: JoinSet<&'static str>,
    /// The thread of those tasks that let others go first, once there are some.
    giving_way: Option<Runtime>,
    threads: Vec<std::thread::JoinHandle<()>>,
    end: mpsc::UnboundedSender<&'static str>,
    ended: mpsc::UnboundedReceiver<&'static str>,
}

impl Crew {
    fn new() -> Self {
        let (end, ended) = mpsc::unbounded_channel();
        Self { tasks: JoinSet::new(), giving_way: None, threads: Vec::new(), end, ended }
    }

    /// Starts the threads and tasks of a service; what the program has of it from now on.
    fn take_on(
        &mut self,
        service: Service,
        news_every: Duration,
        backlog_bytes: usize,
        meters: &Meters,
        stopping: &watch::Receiver<bool>,
    ) -> Result<(Part, Routes, Close), Broken> {
        let Service { name, database, routes, kinds, workers, tasks, listens, overviews, tell, waiting, close } =
            service;
        let running = Arc::new(Workers::new(workers.len()));
        for (place, worker) in workers.into_iter().enumerate() {
            self.start_worker(name, place, worker, running.clone())?;
        }
        for Task { name, run } in tasks {
            if database.options().gives_way {
                self.start_task_that_gives_way(name, run)?;
            } else {
                self.start_task(name, run);
            }
        }
        if database.is_shared() {
            self.start_task("news", hear_of_news(database.clone(), news_every));
        }
        let mut broadcast = || self.start_broadcast(&database, backlog_bytes, meters, stopping);
        let (streams, waits) = (broadcast(), broadcast());
        let workers = running;
        let part = Part { name, database, listens, kinds, overviews, tell, waiting, workers, streams, waits };
        Ok((part, routes, close))
    }

    fn start_worker(
        &mut self,
        service: &'static str,
        place: usize,
        worker: Box<dyn Work>,
        running: Arc<Workers>,
    ) -> Result<(), Broken> {
        let farewell = Farewell { service, running, end: self.end.clone() };
        let work = move || {
            let _farewell = farewell;
            worker.run();
        };
        let thread = std::thread::Builder::new().name(format!("{service}-desk-{place}")).spawn(work);
        self.threads.push(thread.map_err(|cause| Broken::NoThread { what: service, cause })?);
        Ok(())
    }

    fn start_task(&mut self, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(named(name, run));
    }

    fn start_task_that_gives_way(
        &mut self,
        name: &'static str,
        run: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Broken> {
        let runtime = match self.giving_way.take() {
            Some(runtime) => runtime,
            None => Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("gives-way")
                .on_thread_start(db::give_way)
                .enable_all()
                .build()
                .map_err(|cause| Broken::NoThread { what: name, cause })?,
        };
        self.tasks.spawn_on(named(name, run), runtime.handle());
        self.giving_way = Some(runtime);
        Ok(())
    }

    /// Starts to tell some of those who listen to a service's events.
    fn start_broadcast(
        &mut self,
        database: &Database,
        backlog_bytes: usize,
        meters: &Meters,
        stopping: &watch::Receiver<bool>,
    ) -> Arc<Broadcast> {
        let meters = meters.labelled("service", database.service());
        let cut_off =
            meters.counter("event_streams_cut_off", "Streams and waiting requests that were ended as too slow");
        let broadcast = Broadcast::of(database, backlog_bytes, cut_off);
        self.start_task("broadcast of events", broadcast.clone().run(stopping.clone()));
        broadcast
    }

    /// Waits for the first who ends.
    async fn somebody_ends(&mut self) -> Broken {
        tokio::select! {
            Some(service) = self.ended.recv() => {
                tracing::error!(service, "The worker of a desk has ended; the program stops");
                Broken::Worker(service)
            }
            Some(ended) = self.tasks.join_next() => {
                let task = ended.map_or_else(|fault: JoinError| fault.to_string(), str::to_owned);
                tracing::error!(task, "A task has ended; the program stops");
                Broken::Task(task)
            }
        }
    }

    /// Waits until the threads, whose desks are closed, have finished what waits; then ends the tasks.
    async fn go_home(mut self, secs: u64) -> Result<(), Broken> {
        drop(self.end);
        // The channel ends with the last thread that holds its other end.
        let all = async { while self.ended.recv().await.is_some() {} };
        let drained = timeout(Duration::from_secs(secs), all).await;
        self.tasks.shutdown().await;
        if let Some(runtime) = self.giving_way.take() {
            runtime.shutdown_background();
        }
        let running = self.threads.iter().filter(|thread| !thread.is_finished()).count();
        if drained.is_err() && running > 0 {
            return Err(Broken::NotDrained { workers: running, secs });
        }
        for thread in self.threads {
            // It has said farewell already; a panic in it stands in the log.
            let _ = thread.join();
        }
        Ok(())
    }
}

/// Says, however the thread that holds it ends, that it has ended.
struct Farewell {
    service: &'static str,
    running: Arc<Workers>,
    end: mpsc::UnboundedSender<&'static str>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.running.one_ended();
        // Nobody listens once the program has gone without waiting.
        let _ = self.end.send(self.service);
    }
}

/// The routes of the program itself.
fn own_routes(board: &Arc<Board>) -> Routes {
    feed_route::routes(board)
        .merge(aside::routes(board))
        .merge(health::routes(board))
        .merge(metrics::routes(board))
        .merge(problems::routes(board))
        .merge(status_page::routes(board))
}

/// Runs a task, and says which it was.
async fn named(name: &'static str, run: impl Future<Output = ()>) -> &'static str {
    run.await;
    name
}

/// Asks a database that other processes write to as well whether they have published something.
async fn hear_of_news(database: Database, every: Duration) {
    let mut answers = true;
    loop {
        sleep(every).await;
        let asked = database.learn_of_news().await;
        if let (Err(refused), true) = (&asked, answers) {
            tracing::warn!(service = database.service(), %refused, "News of other processes cannot be asked for now");
        }
        answers = asked.is_ok();
    }
}

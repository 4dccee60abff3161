//! A program on a thread of its own, and services for it.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use db::{Context, Database, Location, MemoryDisk, NewEvent, Options, Trace};
use futures_util::FutureExt;
use host::{Broken, Program, Service};
use ids::Number;
use telemetry::Meters;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use web::{Gate, Limits, Routes};
use world::{Moment, World};

/// A program at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Broken>>>,
}

impl Running {
    pub(crate) fn of(services: Vec<Service>) -> Self {
        Self::metered(services, &Meters::new())
    }

    pub(crate) fn metered(services: Vec<Service>, meters: &Meters) -> Self {
        Self::within(services, meters, Limits { drain_secs: 5, ..Limits::default() })
    }

    pub(crate) fn within(services: Vec<Service>, meters: &Meters, limits: Limits) -> Self {
        Self::behind(Gate::open(), services, meters, limits)
    }

    #[expect(clippy::disallowed_methods, reason = "a test runs the program beside itself")]
    pub(crate) fn behind(gate: Gate, services: Vec<Service>, meters: &Meters, limits: Limits) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let program = Program::new(&World::real(), gate, limits, meters);
        let program = services.into_iter().fold(program, Program::with);
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
                tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
                program.run(listener, async { drop(stopped.await) }).await
            })
        });
        let address = told.recv().expect("the program listens");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Asks it to stop.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Result<(), Broken> {
        self.thread.take().expect("it is waited for once").join().expect("the program does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An empty database in memory.
pub(crate) fn memory(name: &'static str) -> Database {
    on(name, MemoryDisk::empty(), Options::default())
}

pub(crate) fn on(name: &'static str, disk: MemoryDisk, options: Options) -> Database {
    Database::open(name, Location::Memory(disk), options, World::real(), &[]).expect("a database")
}

/// A service that only says things.
pub(crate) fn producer(database: &Database) -> Service {
    Service {
        name: database.service(),
        database: database.clone(),
        routes: Routes::default(),
        kinds: &[],
        workers: Vec::new(),
        tasks: Vec::new(),
        listens: Vec::new(),
        overviews: Vec::new(),
        tell: Box::new(|_| {}),
        waiting: Box::new(|| 0),
        close: Box::new(|| {}),
    }
}

/// Says things of these kinds about these subjects, in one transaction.
pub(crate) fn say(database: &Database, things: &[(&'static str, &str)]) {
    let newest = *database.ring().newest().borrow();
    let event = |(place, (kind, subject)): (i64, &(&'static str, &str))| NewEvent {
        stream: Number::from_column(newest + place + 1),
        version: 1,
        subject: (*subject).to_owned(),
        kind,
        schema: 1,
        occurred_at: Moment::from_micros(0),
        by: Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }),
        body: "{\"a\":1}".to_owned(),
    };
    let events: Vec<_> = (0..).zip(things).map(event).collect();
    let said = database.write(move |tx| {
        for event in events {
            tx.publish(event);
        }
        Ok(())
    });
    said.now_or_never().expect("memory answers at once").expect("the events are published");
}

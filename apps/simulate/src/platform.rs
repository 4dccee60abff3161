//! The platform as it is assembled for a run: disks that last, processes that die.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use contracts::inventory::AllocateBy;
use db::{Crash, Database, LOCAL_OWNER, Location, MemoryDisk, Meters, Migration, Options, Plan, Turn};
use events::{Envelope, Feed, Status};
use host::{Feeds, Ground, Service, Work};
use http_body_util::BodyExt;
use ids::Number;
use serde_json::Value;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use world::{Chance, World};

use crate::delivery::{RoughFeed, View, Weather};
use crate::provider::RoughProvider;
use crate::receivers::Receivers;
use crate::shoppers::Trade;

/// The services of the platform, with how their tables came to be.
const SERVICES: [(&str, &[Migration]); 4] = [
    (inventory::NAME, inventory::MIGRATIONS),
    (notifications::NAME, notifications::MIGRATIONS),
    (orders::NAME, orders::MIGRATIONS),
    (payments::NAME, payments::MIGRATIONS),
];

/// What the operator of a platform chose.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// About inventory.
    pub inventory: inventory::Config,
    /// About notifications; its receivers are played, and lie in no network.
    pub notifications: notifications::Config,
    /// About orders.
    pub orders: orders::Config,
    /// About payments.
    pub payments: payments::Config,
}

impl Settings {
    /// What some operator chose: holds that lapse soon as well as late, people who decide or not, a
    /// provider that is asked patiently or in haste. In a sale holds lapse before banks have answered.
    pub(crate) fn of_some_operator(chance: &mut Chance, trade: Trade) -> Self {
        let mut settings = Self::default();
        let on_loss = |chance: &mut Chance| {
            if chance.once_in(2) { orders::OnLoss::Attention } else { orders::OnLoss::Cancel }
        };
        let terms = [(900, 60, 30), (900, 60, 30), (120, 30, 20), (45, 10, 15), (20, 4, 5), (8, 2, 3), (900, 60, 2)];
        let terms_in_a_sale = [(5, 0, 60), (8, 0, 60), (12, 0, 120)];
        let (hold_secs, pay_margin_secs, patience_secs) = match trade {
            Trade::Usual => one_of(chance, terms),
            Trade::Sale => one_of(chance, terms_in_a_sale),
        };
        settings.orders = orders::Config {
            hold_secs,
            pay_margin_secs,
            patience_secs,
            on_lost_stock: on_loss(chance),
            on_lost_money: on_loss(chance),
        };
        settings.inventory.allow_split = !chance.once_in(3);
        settings.inventory.ship_on_commit = !chance.once_in(3);
        if chance.once_in(3) {
            settings.inventory.allocation = AllocateBy::FewestParcels;
        }
        if chance.once_in(2) {
            let order = ["west", "main"].map(|name| name.parse().expect("a warehouse has such a name"));
            settings.inventory.warehouses = order.to_vec();
        }
        settings.payments = payments::Config {
            provider_timeout_ms: one_of(chance, [10_000, 10_000, 3_000, 700]),
            calls_at_once: one_of(chance, [64, 64, 8, 1]),
            max_tries: one_of(chance, [4, 4, 7, 1]),
            retry_ms: one_of(chance, [500, 500, 5_000, 40]),
            retry_at_most_ms: one_of(chance, [30_000, 30_000, 1_000, 200]),
            due_every_ms: one_of(chance, [250, 250, 4_000, 10]),
        };
        settings.notifications = notifications::Config {
            timeout_ms: one_of(chance, [15_000, 15_000, 3_000, 300]),
            calls_at_once: one_of(chance, [256, 256, 4, 1]),
            calls_at_once_each: one_of(chance, [8, 8, 2, 1]),
            pause_after_hours: one_of(chance, [72, 12, 1, 100]),
            keep_hours: one_of(chance, [72, 72, 12, 1]),
            due_every_ms: one_of(chance, [250, 250, 4_000, 20]),
            ..notifications::Config::default()
        };
        settings
    }
}

fn one_of<T: Copy, const N: usize>(chance: &mut Chance, choices: [T; N]) -> T {
    choices[chance.below(N)]
}

/// A copy of a disk, as it was at one time.
#[derive(Clone, Debug)]
pub struct Backup {
    service: &'static str,
    disk: MemoryDisk,
}

impl Backup {
    /// The service whose disk it is of.
    pub(crate) fn service(&self) -> &'static str {
        self.service
    }
}

/// A consumer that has stopped for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The service that listened.
    pub reader: &'static str,
    /// The service that it listened to.
    pub source: &'static str,
    /// Why it has stopped.
    pub why: String,
}

/// What a client hears: a status and a document, or nothing at all.
pub(crate) type Heard = Option<(u16, Value)>;

pub(crate) struct Platform {
    pub(crate) world: World,
    pub(crate) weather: Weather,
    pub(crate) provider: RoughProvider,
    pub(crate) receivers: Receivers,
    settings: Settings,
    disks: BTreeMap<&'static str, MemoryDisk>,
    /// The carriers' own view of each disk.
    views: BTreeMap<&'static str, View>,
    processes: Vec<Process>,
    lives: u64,
}

/// One running process of one service.
struct Process {
    service: &'static str,
    /// The way in of each owner.
    routers: BTreeMap<&'static str, Router>,
    workers: Vec<Box<dyn Work>>,
    tasks: Vec<JoinHandle<()>>,
    listens: Vec<(&'static str, Arc<Status>)>,
    /// Requests that it is answering; they end with it.
    open: Vec<JoinHandle<()>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        for task in self.tasks.iter().chain(&self.open) {
            task.abort();
        }
    }
}

impl Platform {
    /// The platform on empty disks; `doubled` services run as two processes each.
    pub(crate) fn start(world: &World, weather: &Weather, settings: &Settings, doubled: &[&'static str]) -> Self {
        let disk = |name: &str| {
            let disk = MemoryDisk::empty();
            if doubled.contains(&name) { disk } else { disk.of_one_process() }
        };
        let disks: BTreeMap<_, _> = SERVICES.iter().map(|(name, _)| (*name, disk(name))).collect();
        let view = |(name, _): &(&'static str, _)| (*name, View::of(open(world, name, &disks[name], false)));
        let views = SERVICES.iter().map(view).collect();
        let provider = RoughProvider::new(world.chance("provider"), weather);
        let receivers = Receivers::new(world, weather);
        let (world, weather, settings) = (world.clone(), weather.clone(), settings.clone());
        let processes = Vec::new();
        let mut platform = Self { world, weather, provider, receivers, settings, disks, views, processes, lives: 0 };
        for (service, _) in SERVICES {
            platform.start_process(service);
            if doubled.contains(&service) {
                platform.start_process(service);
            }
        }
        platform
    }

    #[expect(clippy::disallowed_methods, reason = "the simulation hosts the services, so it spawns their tasks")]
    fn process_of(&mut self, service: &'static str) -> Process {
        let Service { routes, workers, tasks, listens, .. } = self.assemble(service);
        let guarded = |owner| {
            let gate = web::Gate::open_for(owner);
            (owner, web::guard(routes.clone(), gate, &self.world, &web::Limits::default(), Arc::new(|_| {})))
        };
        let routers = [SHOP, STOCKROOM].map(guarded).into();
        let tasks = tasks.into_iter().map(|task| tokio::spawn(task.run)).collect();
        Process { service, routers, workers, tasks, listens, open: Vec::new() }
    }

    fn start_process(&mut self, service: &'static str) {
        let process = self.process_of(service);
        self.processes.push(process);
    }

    fn assemble(&mut self, service: &'static str) -> Service {
        self.lives += 1;
        let database = open(&self.world, service, &self.disks[service], false);
        let mut feeds = Feeds::default();
        for (source, view) in &self.views {
            let (source, view, weather) = (*source, view.clone(), self.weather.clone());
            let chance = self.world.chance(&format!("feed of {source} to {service}, life {}", self.lives));
            let feed =
                move || Arc::new(RoughFeed::of(source, service, &view, chance.clone(), &weather)) as Arc<dyn Feed>;
            feeds = feeds.with(source, feed);
        }
        let ground = Ground { database, feeds, meters: Arc::new(Meters::default()) };
        let assembled = match service {
            inventory::NAME => inventory::assemble(&self.settings.inventory, &ground),
            notifications::NAME => {
                let config =
                    notifications::Config { allow_private_targets: true, ..self.settings.notifications.clone() };
                notifications::assemble_with(&config, &ground, Arc::new(self.receivers.clone()))
            }
            orders::NAME => orders::assemble(&self.settings.orders, &ground),
            _ => payments::assemble(&self.settings.payments, &ground, Arc::new(self.provider.clone())),
        };
        assembled.expect("a service is assembled in memory")
    }

    /// How many processes run.
    pub(crate) fn processes(&self) -> usize {
        self.processes.len()
    }

    /// The service that a process runs.
    pub(crate) fn service_of(&self, process: usize) -> &'static str {
        self.processes[process].service
    }

    /// Lets one process take a turn; if it dies in it, another takes its place.
    pub(crate) fn turn(&mut self, process: usize, plan: &Plan) -> Turn {
        let mut last = Turn::Idle;
        for worker in &mut self.processes[process].workers {
            last = worker.turn(plan);
            if last == Turn::Crashed {
                break;
            }
        }
        if last != Turn::Idle {
            self.views[self.processes[process].service].stirs();
        }
        if last == Turn::Crashed {
            self.replace(process);
        }
        last
    }

    /// Ends a process as `kill -9` does, and starts another on the same disk.
    pub(crate) fn replace(&mut self, process: usize) {
        let service = self.processes.remove(process).service;
        let other = self.process_of(service);
        self.processes.insert(process, other);
    }

    /// Copies the disk of a service as it is now.
    pub(crate) fn back_up(&self, service: &'static str) -> Backup {
        Backup { service, disk: self.disks[service].copy() }
    }

    /// Ends all processes of a service and starts them anew on a copy of its disk from before: as a
    /// restored one that knows of it, or as bare files that do not.
    pub(crate) fn put_back(&mut self, backup: &Backup, knows: bool) {
        let service = backup.service;
        let before = self.processes.len();
        self.processes.retain(|process| process.service != service);
        let ended = before - self.processes.len();
        self.disks.insert(service, backup.disk.copy());
        self.views[service].replace(open(&self.world, service, &self.disks[service], knows));
        for _ in 0..ended {
            self.start_process(service);
        }
    }

    /// Tries of one payment at the provider, at most.
    pub(crate) fn max_tries(&self) -> usize {
        self.settings.payments.max_tries as usize
    }

    /// The life that a service's database is in.
    pub(crate) fn incarnation(&self, service: &str) -> Number {
        self.views[service].database().incarnation()
    }

    /// The consumers that have stopped for good.
    pub(crate) fn stopped(&self) -> Vec<Stopped> {
        let of = |process: &Process| {
            let reader = process.service;
            let stopped = process
                .listens
                .iter()
                .filter_map(move |(source, status)| status.stopped().map(|why| Stopped { reader, source, why }));
            stopped.collect::<Vec<_>>()
        };
        self.processes.iter().flat_map(of).collect()
    }

    /// How many consumers listen to a service.
    pub(crate) fn listeners_of(&self, source: &str) -> usize {
        self.processes.iter().flat_map(|process| &process.listens).filter(|(of, _)| *of == source).count()
    }

    /// Sends a request to one of the processes of a service; what is heard of it lands in `heard`.
    #[expect(clippy::disallowed_methods, reason = "a request ends with the process that answers it")]
    pub(crate) fn send(&mut self, choose: usize, request: &Sent, heard: Rc<RefCell<Option<Heard>>>) {
        let of_service: Vec<usize> =
            (0..self.processes.len()).filter(|place| self.processes[*place].service == request.service).collect();
        let process = &mut self.processes[of_service[choose % of_service.len()]];
        process.open.retain(|open| !open.is_finished());
        let router = process.routers[request.owner].clone();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let sent = request.http();
        process.open.push(tokio::spawn(async move {
            let response = router.oneshot(sent).await.expect("a router always answers");
            let status = response.status().as_u16();
            let body =
                response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            drop(answer.send((status, serde_json::from_slice(&body).unwrap_or(Value::Null))));
        }));
        tokio::task::spawn_local(async move {
            let answer = answered.await.ok();
            *heard.borrow_mut() = Some(answer);
        });
    }

    /// Moves time, for the services and for what waits on timers.
    pub(crate) async fn advance(&self, by: Duration) {
        self.world.advance(by);
        tokio::time::advance(by).await;
    }

    /// Everything that a service has published after a position.
    pub(crate) async fn events_after(&self, service: &str, position: i64) -> Vec<Envelope> {
        let read = self.views[service].database().read(move |read| read.events_after(position, 10_000_000)).await;
        read.expect("a disk in memory is read")
    }

    /// The services, by name.
    pub(crate) fn services() -> impl Iterator<Item = &'static str> {
        SERVICES.iter().map(|(name, _)| *name)
    }
}

fn open(world: &World, service: &'static str, disk: &MemoryDisk, restored: bool) -> Database {
    let migrations = SERVICES.iter().find(|(name, _)| *name == service).expect("a known service").1;
    let options = Options { restored, ..Options::default() };
    let location = Location::Memory(disk.clone());
    Database::open(service, location, options, world.clone(), migrations).expect("a disk in memory is opened")
}

/// A request as a client sends it; it can be sent again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) service: &'static str,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
    /// The key under which it is sent.
    pub(crate) key: Option<String>,
    /// Whose client sends it: names and keys belong to their owner.
    pub(crate) owner: &'static str,
}

/// Whose the orders and the reservations are, and all else that nobody says more of.
pub(crate) const SHOP: &str = LOCAL_OWNER;
/// Who looks after the shelves, and after everybody's promises.
pub(crate) const STOCKROOM: &str = "stockroom";

impl Sent {
    /// Something under a name of the client's.
    pub(crate) fn put(service: &'static str, path: String, body: Value) -> Self {
        Self { service, method: Method::PUT, path, body, key: None, owner: SHOP }
    }

    /// A question.
    pub(crate) fn get(service: &'static str, path: String) -> Self {
        Self { service, method: Method::GET, path, body: Value::Null, key: None, owner: SHOP }
    }

    /// Something to be done.
    pub(crate) fn post(service: &'static str, path: String, body: Value) -> Self {
        Self { service, method: Method::POST, path, body, key: None, owner: SHOP }
    }

    fn http(&self) -> Request<Body> {
        let body = if self.body.is_null() { Body::empty() } else { Body::from(self.body.to_string()) };
        let request = Request::builder().method(self.method.clone()).uri(&self.path);
        let request = self.key.iter().fold(request, |request, key| request.header("idempotency-key", key));
        request.header("content-type", "application/json").body(body).expect("a request of ours is well formed")
    }
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.method, self.path, self.body)?;
        if self.owner != SHOP {
            write!(f, " of {}", self.owner)?;
        }
        self.key.iter().try_for_each(|key| write!(f, " under {key}"))
    }
}

/// All points at which a process can die in a turn.
pub(crate) const CRASHES: [Crash; 3] = [Crash::BeforeCommit, Crash::AfterCommit, Crash::AfterAnswer];

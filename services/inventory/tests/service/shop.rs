//! Inventory at work on every database, as a caller sees it.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use db::{Database, Location, MemoryDisk, Meters, Options};
use events::TableFeed;
use host::{Feeds, Ground, Service, Task};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use world::World;

/// Inventory at work, with an empty feed of orders.
pub(crate) struct Running {
    pub(crate) database: Database,
    pub(crate) router: Router,
    tell: Box<dyn Fn(&telemetry::Meters) + Send + Sync>,
    /// What runs beside its desk, once somebody lets it.
    tasks: Mutex<Vec<Task>>,
    close: Box<dyn Fn() + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
    _orders: Database,
}

impl Running {
    pub(crate) fn on(location: Location, config: &inventory::Config) -> Self {
        Self::behind(web::Gate::open(), location, config)
    }

    /// The same, where not everybody is let in.
    pub(crate) fn behind(gate: web::Gate, location: Location, config: &inventory::Config) -> Self {
        let world = World::real();
        let open = |name, location, migrations| {
            Database::open(name, location, Options::default(), world.clone(), migrations).expect("a database")
        };
        let orders = open("orders", Location::Memory(MemoryDisk::empty()), &[]);
        let database = open(inventory::NAME, location, inventory::MIGRATIONS);
        let producer = orders.clone();
        let feeds = Feeds::default().with("orders", move || Arc::new(TableFeed::of(&producer)));
        let ground = Ground { database: database.clone(), feeds, meters: Arc::new(Meters::default()) };
        let service = inventory::assemble(config, &ground).expect("inventory");
        let Service { routes, workers, tasks, tell, close, .. } = service;
        let router = web::guard(routes, gate, &world, &web::Limits::default(), Arc::new(|_| {}));
        let threads = workers.into_iter().map(host::Work::start).collect();
        Self { database, router, tell, tasks: tasks.into(), close, threads, _orders: orders }
    }

    /// Lets its tasks run until the page of metrics shows this line.
    pub(crate) fn runs_until(&self, line: &str) {
        let shows = || {
            let meters = telemetry::Meters::new();
            (self.tell)(&meters);
            meters.render().lines().any(|shown| shown == line)
        };
        wait(async {
            let tasks = self.tasks.lock().expect("tasks").drain(..).map(|task| task.run).collect::<Vec<_>>();
            let until = async {
                while !shows() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let beside = futures_util::future::join_all(tasks);
            tokio::select! {
                () = until => {}
                _ = beside => panic!("a task has ended"),
                () = tokio::time::sleep(Duration::from_secs(60)) => panic!("the page never shows `{line}`"),
            }
        });
    }

    pub(crate) fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let told = wait(self.tell(method, path, body, None));
        (told.status, serde_json::from_slice(&told.body).unwrap_or(Value::Null))
    }

    pub(crate) async fn tell(&self, method: Method, path: &str, body: &Value, key: Option<&str>) -> Told {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        let response = self.router.clone().oneshot(request.body(body).expect("a request")).await.expect("an answer");
        let (head, body) = response.into_parts();
        Told {
            status: head.status.as_u16(),
            is_replayed: head.headers.get("idempotent-replayed").is_some_and(|replayed| replayed == "true"),
            content_type: head.headers["content-type"].to_str().expect("a type").to_owned(),
            body: body.collect().await.expect("a body").to_bytes().to_vec(),
        }
    }

    /// Sends one request under a key five times at once.
    pub(crate) fn five_times(&self, path: &str, body: &Value, key: &str) -> [Told; 5] {
        let once = || self.tell(Method::POST, path, body, Some(key));
        wait(async { tokio::join!(once(), once(), once(), once(), once()) }).into()
    }

    pub(crate) fn under_key(&self, path: &str, body: &Value, key: &str) -> Told {
        wait(self.tell(Method::POST, path, body, Some(key)))
    }

    /// Says anew what holds for a thing, if it is still as the caller has seen it.
    pub(crate) fn edit(&self, path: &str, tag: &str, body: &Value) -> (u16, Value) {
        let request = Request::put(path).header("content-type", "application/json").header("if-match", tag);
        let request = request.body(Body::from(body.to_string())).expect("a request");
        wait(async {
            let response = self.router.clone().oneshot(request).await.expect("an answer");
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
        })
    }

    /// How often this was said.
    pub(crate) fn said(&self, kind: &str) -> usize {
        let events = wait(self.database.read(|read| read.events_after(0, 10_000))).expect("events");
        events.iter().filter(|event| event.kind.as_ref() == kind).count()
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(Method::PUT, path, body)
    }

    pub(crate) fn post(&self, path: &str) -> (u16, Value) {
        self.ask(Method::POST, path, &Value::Null)
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, &Value::Null)
    }

    pub(crate) fn receive(&self, name: &str, sku: &str, warehouse: &str, quantity: i64) {
        let body = json!({"type": "receive", "sku": sku, "warehouse": warehouse, "quantity": quantity});
        assert_eq!(self.put(&format!("/v1/stock-movements/{name}"), &body).0, 201);
    }

    pub(crate) fn level(&self, sku: &str) -> Value {
        let (_, mut level) = self.get(&format!("/v1/stock/{sku}"));
        level.as_object_mut().expect("a level").retain(|_, value| value.is_i64());
        level
    }

    pub(crate) fn books_follow_from_the_journal(&self) {
        let comparison = wait(inventory::rebuild(&self.database)).expect("a comparison");
        assert!(comparison.is_same(), "{comparison:#?}");
    }
}

/// An answer as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) is_replayed: bool,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

pub(crate) fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(answer)
}

/// One of them was performed; the others were told the same.
pub(crate) fn one_and_its_replays(told: &[Told]) -> &Told {
    let replayed = told.iter().filter(|told| told.is_replayed).count();
    assert_eq!(replayed, told.len() - 1, "{told:?}");
    let first = told.iter().find(|told| !told.is_replayed).expect("one was performed");
    for again in told.iter().filter(|told| told.is_replayed) {
        assert_eq!(*again, Told { is_replayed: true, ..first.clone() });
    }
    first
}

impl Drop for Running {
    fn drop(&mut self) {
        (self.close)();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

pub(crate) fn everywhere(test: impl Fn(&Running)) {
    everywhere_with(&inventory::Config::default(), test);
}

pub(crate) fn everywhere_with(config: &inventory::Config, test: impl Fn(&Running)) {
    let folder = tempfile::tempdir().expect("a folder");
    let places = [
        ("memory", Location::Memory(MemoryDisk::empty())),
        ("sqlite", Location::File(folder.path().join("inventory.db"))),
        ("postgres", Location::Postgres(testkit::Postgres::shared().database())),
    ];
    for (place, location) in places {
        println!("on {place}");
        let running = Running::on(location, config);
        test(&running);
        running.books_follow_from_the_journal();
    }
}

pub(crate) fn lines(lines: &[(&str, i64)]) -> Value {
    json!({"lines": lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect::<Vec<_>>()})
}

//! Notifications at work between a feed of orders that the test writes and receivers on this machine.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use db::{Context, Database, Envelope, Location, MemoryDisk, Meters, NewEvent, Options, Trace};
use events::TableFeed;
use host::{Feeds, Ground, Service, Work};
use http_body_util::BodyExt;
use notifications::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle as TaskHandle;
use tokio::time::sleep;
use tower::ServiceExt;
use world::World;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// The subjects in the order in which they came.
pub(crate) fn subjects(received: &[Received]) -> Vec<String> {
    received.iter().map(Received::subject).collect()
}

/// The shop around notifications.
pub(crate) struct Shop {
    pub(crate) world: World,
    config: Config,
    location: Location,
    producers: Vec<Database>,
    running: Option<Running>,
    _folder: tempfile::TempDir,
}

/// Notifications as it runs: desk and courier as in the program.
struct Running {
    database: Database,
    router: Router,
    tell: Box<dyn Fn(&telemetry::Meters) + Send + Sync>,
    close: Box<dyn Fn() + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
    courier: TaskHandle<()>,
}

/// Settings under which receivers on this machine may be asked, and nobody waits for long.
pub(crate) fn here() -> Config {
    Config { allow_private_targets: true, due_every_ms: 5, timeout_ms: 2_000, ..Config::default() }
}

impl Shop {
    /// A shop on a file of its own, in a world whose clock the test moves.
    pub(crate) fn simulated() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::File(folder.path().join("notifications.db"));
        Self::open(World::simulated(1), here(), location, folder)
    }

    /// A shop on `PostgreSQL`.
    pub(crate) fn on_postgres() -> Self {
        Self::on_postgres_with(here())
    }

    /// The same with other settings.
    pub(crate) fn on_postgres_with(config: Config) -> Self {
        let location = Location::Postgres(testkit::Postgres::shared().database());
        Self::open(World::simulated(1), config, location, tempfile::tempdir().expect("a folder"))
    }

    fn open(world: World, config: Config, location: Location, folder: tempfile::TempDir) -> Self {
        let producer = |service| {
            let memory = Location::Memory(MemoryDisk::empty());
            Database::open(service, memory, Options::default(), world.clone(), &[]).expect("a database")
        };
        let producers = ["inventory", "orders", "payments"].map(producer).into();
        let mut shop = Self { world, config, location, producers, running: None, _folder: folder };
        shop.start();
        shop
    }

    /// Another process over the same database.
    pub(crate) fn beside(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (world, config, location) = (self.world.clone(), self.config.clone(), self.location.clone());
        let mut shop =
            Self { world, config, location, producers: self.producers.clone(), running: None, _folder: folder };
        shop.start();
        shop
    }

    /// Dies on the spot, whatever is under way, and comes up again over the same database.
    pub(crate) fn restart(&mut self) {
        self.restart_with(self.config.clone());
    }

    /// The same with other settings.
    pub(crate) fn restart_with(&mut self, config: Config) {
        self.config = config;
        self.running = None;
        self.start();
    }

    #[expect(clippy::disallowed_methods, reason = "a test runs the courier beside itself")]
    fn start(&mut self) {
        let options = Options::default();
        let migrations = notifications::MIGRATIONS;
        let opened =
            Database::open(notifications::NAME, self.location.clone(), options, self.world.clone(), migrations);
        let database = opened.expect("a database");
        let mut feeds = Feeds::default();
        for producer in &self.producers {
            let producer = producer.clone();
            feeds = feeds.with(producer.service(), move || Arc::new(TableFeed::of(&producer)));
        }
        let ground = Ground { database: database.clone(), feeds, meters: Arc::new(Meters::default()) };
        let service = notifications::assemble(&self.config, &ground).expect("notifications");
        let Service { routes, workers, mut tasks, close, tell, .. } = service;
        let router = web::guard(routes, web::Gate::open(), &self.world, &web::Limits::default(), Arc::new(|_| {}));
        let threads = workers.into_iter().map(Work::start).collect();
        let courier = tokio::spawn(tasks.remove(0).run);
        self.running = Some(Running { database, router, tell, close, threads, courier });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// Orders says something about a subject.
    pub(crate) async fn say(&self, kind: &'static str, subject: &str) {
        self.say_all(kind, &[subject]).await;
    }

    /// Orders says something about each of these subjects, in one transaction.
    pub(crate) async fn say_all(&self, kind: &'static str, subjects: &[&str]) {
        let now = self.world.now();
        let event = |subject: &&str| NewEvent {
            stream: self.world.number(),
            version: 1,
            subject: (*subject).to_owned(),
            kind,
            schema: 1,
            occurred_at: now,
            by: Context::system("the test", Trace { trace_id: 7, span_id: 7, is_sampled: true }),
            body: json!({"order": subject}).to_string(),
        };
        let news: Vec<_> = subjects.iter().map(event).collect();
        let said = self.producers[1].write(move |tx| {
            for event in news {
                tx.publish(event);
            }
            Ok(())
        });
        said.await.expect("orders can write");
    }

    /// Registers an endpoint, and gives its secret.
    pub(crate) async fn register(&self, name: &str, url: &str, more: Value) -> String {
        let mut endpoint = json!({"url": url});
        for (member, value) in more.as_object().expect("an object") {
            endpoint[member] = value.clone();
        }
        let (status, document) = self.put(&format!("/v1/webhook-endpoints/{name}"), &endpoint).await;
        assert_eq!(status, 201, "{document}");
        document["secret"].as_str().expect("a secret").to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("PUT", path, body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, body).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let sent = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let answer = self.running().router.clone().oneshot(request.body(sent).expect("a request")).await;
        let response = answer.expect("an answer");
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Asks for something under a key, and where a tag is given of an endpoint that is as it says.
    pub(crate) async fn under_key(&self, path: &str, body: &Value, key: &str, tag: Option<&str>) -> Told {
        let request = Request::builder().method("POST").uri(path).header("content-type", "application/json");
        let request = request.header("idempotency-key", key);
        let request = tag.into_iter().fold(request, |request, tag| request.header("if-match", tag));
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.running().router.clone().oneshot(request.body(body).expect("a request")).await;
        let (head, body) = response.expect("an answer").into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        Told {
            status: head.status.as_u16(),
            is_replayed: head.headers.get("idempotent-replayed").is_some_and(|replayed| replayed == "true"),
            body: String::from_utf8(bytes.to_vec()).expect("a text"),
        }
    }

    /// Asks for something about an endpoint that is still as its tag says: the status, its tag now, and the answer.
    pub(crate) async fn edit(&self, method: &str, path: &str, tag: &str, body: &Value) -> (u16, String, Value) {
        self.under(("if-match", tag), method, path, body).await
    }

    /// Asks for something under a condition: the status, the tag, and the answer.
    pub(crate) async fn under(
        &self,
        (condition, tag): (&str, &str),
        method: &str,
        path: &str,
        body: &Value,
    ) -> (u16, String, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header(condition, tag).body(Body::from(body.to_string())).expect("a request");
        let response = self.running().router.clone().oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let tag = response.headers().get("etag").map_or("", |tag| tag.to_str().expect("a tag")).to_owned();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, tag, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The deliveries of an endpoint, the newest first.
    pub(crate) async fn deliveries(&self, name: &str) -> Vec<Value> {
        let (status, page) = self.get(&format!("/v1/webhook-endpoints/{name}/deliveries?limit=500")).await;
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().expect("items").clone()
    }

    /// Waits until an endpoint stands so.
    pub(crate) async fn until_status(&self, name: &str, status: &str) -> Value {
        for _ in 0..2_000 {
            let (_, document) = self.get(&format!("/v1/webhook-endpoints/{name}")).await;
            if document["status"] == status {
                return document;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("{name} is not {status}: {:?}", self.get(&format!("/v1/webhook-endpoints/{name}")).await)
    }

    /// Waits until so many deliveries of an endpoint stand so.
    pub(crate) async fn until(&self, name: &str, count: usize, status: &str) -> Vec<Value> {
        for _ in 0..2_000 {
            let deliveries = self.deliveries(name).await;
            if deliveries.iter().filter(|delivery| delivery["status"] == status).count() == count {
                return deliveries;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("no {count} deliveries of {name} are {status}: {:#?}", self.deliveries(name).await)
    }

    /// Lets time pass in steps, each long enough for what becomes due to be done.
    pub(crate) async fn pass(&self, steps: u32, step: Duration) {
        for _ in 0..steps {
            self.world.advance(step);
            sleep(Duration::from_millis(40)).await;
        }
    }

    /// Lets hours pass until an endpoint stands so: on a busy machine what is due in one hour may be done in a later one.
    pub(crate) async fn pass_until_status(&self, name: &str, status: &str) -> Value {
        for _ in 0..500 {
            let (_, document) = self.get(&format!("/v1/webhook-endpoints/{name}")).await;
            if document["status"] == status {
                return document;
            }
            self.pass(1, Duration::from_secs(3_600)).await;
        }
        panic!("{name} is not {status}: {:?}", self.get(&format!("/v1/webhook-endpoints/{name}")).await)
    }

    /// Lets hours pass until so many deliveries of an endpoint stand so.
    pub(crate) async fn pass_until(&self, name: &str, count: usize, status: &str) {
        for _ in 0..500 {
            if self.deliveries(name).await.iter().filter(|delivery| delivery["status"] == status).count() == count {
                return;
            }
            self.pass(1, Duration::from_secs(3_600)).await;
        }
        panic!("no {count} deliveries of {name} are {status}: {:#?}", self.deliveries(name).await)
    }

    /// Everything that was published.
    pub(crate) async fn events(&self) -> Vec<Envelope> {
        self.running().database.read(|read| read.events_after(0, 10_000)).await.expect("events")
    }

    /// The rows, read beside the service.
    pub(crate) fn database(&self) -> &Database {
        &self.running().database
    }

    /// The page of metrics, as far as notifications writes it.
    pub(crate) fn metrics(&self) -> String {
        let meters = telemetry::Meters::new();
        (self.running().tell)(&meters);
        meters.render()
    }
}

/// An answer as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) is_replayed: bool,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Whether this is the answer that was given before, to the byte.
    pub(crate) fn is_again(&self, first: &Self) -> bool {
        self.is_replayed && !first.is_replayed && (self.status, &self.body) == (first.status, &first.body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.courier.abort();
        (self.close)();
        self.threads.drain(..).for_each(|thread| thread.join().expect("the worker ends"));
    }
}

/// A request as a receiver got it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map_or_else(|| panic!("no header {name}: {:?}", self.headers), |(_, value)| value)
    }

    pub(crate) fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    /// Where the event stands in its feed.
    pub(crate) fn position(&self) -> i64 {
        self.id().rsplit('-').next().expect("a position").parse().expect("a number")
    }

    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(crate) fn subject(&self) -> String {
        self.document()["subject"].as_str().expect("a subject").to_owned()
    }
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// Answers with this status.
    Answer(u16),
    /// Answers with this head, and nothing after it.
    Head(String),
    /// Answers after a while.
    Late(Duration, u16),
    /// Answers 200 with a body of so many bytes.
    Huge(usize),
    /// Closes the connection without an answer.
    Close,
    /// Closes it in the middle of the body of a 200.
    CloseInBody,
}

type Decide = Box<dyn FnMut(&Received) -> How + Send>;

/// A receiver on this machine.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    decide: Arc<Mutex<Decide>>,
    /// Bytes of bodies that the other side has taken.
    pub(crate) taken: Arc<AtomicUsize>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::with(|_| How::Answer(204)).await
    }

    /// One that decides about each request.
    #[expect(clippy::disallowed_methods, reason = "a test runs the receiver beside itself")]
    pub(crate) async fn with(decide: impl FnMut(&Received) -> How + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
        let decide: Decide = Box::new(decide);
        let receiver =
            Self { url, received: Arc::default(), decide: Arc::new(Mutex::new(decide)), taken: Arc::default() };
        let serves = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serves = serves.clone();
                tokio::spawn(async move { drop(serves.serve(stream).await) });
            }
        });
        receiver
    }

    /// Decides otherwise from now on.
    pub(crate) fn now(&self, decide: impl FnMut(&Received) -> How + Send + 'static) {
        *self.decide.lock().expect("nobody panics with it") = Box::new(decide);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("nobody panics with it").clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn until(&self, count: usize) -> Vec<Received> {
        for _ in 0..2_000 {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("{} requests instead of {count}: {:#?}", self.received().len(), self.received())
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut read = Vec::new();
        loop {
            let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
                if stream.read_buf(&mut read).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let headers: Vec<(String, String)> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize = length.map_or(0, |(_, length)| length.parse().expect("a length"));
            while read.len() < end + 4 + length {
                stream.read_buf(&mut read).await?;
            }
            let body = String::from_utf8_lossy(&read[end + 4..end + 4 + length]).into_owned();
            read.drain(..end + 4 + length);
            let received = Received { headers, body };
            let how = (self.decide.lock().expect("nobody panics with it"))(&received);
            self.received.lock().expect("nobody panics with it").push(received);
            if !self.answer(&mut stream, how).await? {
                return Ok(());
            }
        }
    }

    /// Answers; whether the connection goes on.
    async fn answer(&self, stream: &mut TcpStream, how: How) -> io::Result<bool> {
        let plain = |status: u16| format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n");
        match how {
            How::Answer(status) => stream.write_all(plain(status).as_bytes()).await?,
            How::Head(head) => stream.write_all(format!("{head}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?,
            How::Late(wait, status) => {
                sleep(wait).await;
                stream.write_all(plain(status).as_bytes()).await?;
            }
            How::Huge(bytes) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                let piece = vec![b'x'; 64 * 1024];
                for _ in 0..bytes / piece.len() {
                    stream.write_all(&piece).await?;
                    self.taken.fetch_add(piece.len(), Ordering::Relaxed);
                }
            }
            How::Close => return Ok(false),
            How::CloseInBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

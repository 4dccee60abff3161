//! Payments at work between a feed of orders that the test writes and the test provider.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use contracts::orders::{self, CaptureDue, PaymentDue, PaymentVoidDue, Reason};
use db::{Context, Crash, Database, Envelope, Location, MemoryDisk, Meters, NewEvent, Options, Plan, Trace, Turn};
use events::TableFeed;
use host::{Feeds, Ground, Service, Work};
use http_body_util::BodyExt;
use ids::Name;
use money::{Currency, Money};
use payments::provider::test::TestProvider;
use serde_json::Value;
use tower::ServiceExt;
use world::World;

/// A step of simulated time.
const STEP: Duration = Duration::from_millis(10);

/// The shop around payments.
pub(crate) struct Shop {
    pub(crate) world: World,
    config: payments::Config,
    pub(crate) provider: TestProvider,
    location: Location,
    orders: Database,
    running: Running,
}

/// Payments as it runs: turn by turn in a simulated world, or on threads.
struct Running {
    database: Database,
    router: Router,
    workers: Vec<Box<dyn Work>>,
    tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    tell: Box<dyn Fn(&telemetry::Meters) + Send + Sync>,
    close: Box<dyn Fn() + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
}

impl Shop {
    /// A shop in memory, whose time passes only when it is told to.
    pub(crate) fn simulated() -> Self {
        Self::simulated_with(payments::Config::default())
    }

    /// The same with other settings.
    pub(crate) fn simulated_with(config: payments::Config) -> Self {
        Self::open(World::simulated(1), config, Location::Memory(MemoryDisk::empty()), true)
    }

    /// A shop on this database, on threads and in real time.
    pub(crate) fn on(location: Location) -> Self {
        Self::open(World::real(), payments::Config::default(), location, false)
    }

    fn open(world: World, config: payments::Config, location: Location, simulated: bool) -> Self {
        let orders = Location::Memory(MemoryDisk::empty());
        let orders = Database::open("orders", orders, Options::default(), world.clone(), &[]).expect("a database");
        let provider = TestProvider::in_memory();
        let running = Running::start(&world, &config, location.clone(), &orders, &provider, simulated);
        Self { world, config, provider, location, orders, running }
    }

    /// Dies on the spot, and comes up again over the same database and the same provider.
    pub(crate) fn restart(&mut self) {
        let again =
            Running::start(&self.world, &self.config, self.location.clone(), &self.orders, &self.provider, true);
        self.running = again;
    }

    /// Performs what waits, and dies at this point.
    pub(crate) async fn crash(&mut self, at: Crash) {
        let plan = Plan { crash: Some(at), ..Plan::ALL };
        assert_eq!(self.running.workers[0].turn(&plan), Turn::Crashed);
        // What was handed out before the end still goes its way.
        self.running.poll_tasks().await;
        self.restart();
    }

    /// Performs what waits, and makes the calls that follow; what the provider says of them waits.
    pub(crate) async fn turn(&mut self) {
        assert!(matches!(self.running.workers[0].turn(&Plan::ALL), Turn::Performed(_)));
        self.running.poll_tasks().await;
    }

    /// Orders asks for a payment of 19.99 GBP.
    pub(crate) async fn payment_due(&self, payment: &str, method: &str, within: Duration) {
        let due = self.due(payment, method, within);
        self.say(due.into()).await;
    }

    pub(crate) fn due(&self, payment: &str, method: &str, within: Duration) -> PaymentDue {
        let until = self.world.now() + within;
        PaymentDue {
            order: order(payment),
            payment: name(payment),
            attempt: 1,
            amount: Money::new(1999, Currency::GBP).expect("an amount"),
            method: method.to_owned(),
            customer: None,
            until,
            held_until: until,
        }
    }

    pub(crate) async fn capture_due(&self, payment: &str) {
        let due = CaptureDue { order: order(payment), payment: name(payment), attempt: 1 };
        self.say(due.into()).await;
    }

    pub(crate) async fn void_due(&self, payment: &str) {
        let reason = Reason::Requested;
        let due = PaymentVoidDue { order: order(payment), payment: name(payment), attempt: 1, reason };
        self.say(due.into()).await;
    }

    pub(crate) async fn say(&self, event: orders::Event) {
        let (stream, now) = (self.world.number(), self.world.now());
        let subject = match &event {
            orders::Event::PaymentDue(due) => due.order.to_string(),
            orders::Event::CaptureDue(due) => due.order.to_string(),
            orders::Event::PaymentVoidDue(due) => due.order.to_string(),
            _ => unreachable!("no other event concerns payments"),
        };
        let news = NewEvent {
            stream,
            version: 1,
            subject,
            kind: event.kind(),
            schema: event.schema(),
            occurred_at: now,
            by: Context::system("the test", Trace { trace_id: 7, span_id: 7, is_sampled: true }),
            body: event.body(),
        };
        let said = self.orders.write(move |tx| {
            tx.publish(news);
            Ok(())
        });
        said.await.expect("orders can write");
    }

    /// Lets everything happen that can without time passing.
    pub(crate) async fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 3 {
            let mut worked = false;
            for worker in &mut self.running.workers {
                worked |= matches!(worker.turn(&Plan::ALL), Turn::Performed(_));
            }
            self.running.poll_tasks().await;
            tokio::task::yield_now().await;
            quiet = if worked { 0 } else { quiet + 1 };
        }
    }

    /// Lets time pass.
    pub(crate) async fn pass(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            self.settle().await;
            let step = STEP.min(left);
            if self.running.threads.is_empty() {
                self.world.advance(step);
            }
            tokio::time::sleep(step).await;
            left -= step;
        }
        self.settle().await;
    }

    /// Lets time pass until the payment has this status, as the API has it.
    pub(crate) async fn until(&mut self, payment: &str, status: &str) -> Value {
        for _ in 0..6_000 {
            let (_, document) = self.get(&format!("/v1/payments/{payment}")).await;
            if document["status"] == status {
                return document;
            }
            self.pass(STEP).await;
        }
        panic!("waited a minute for {payment} to be {status}: {:?}", self.get(&format!("/v1/payments/{payment}")).await)
    }

    pub(crate) async fn get(&mut self, path: &str) -> (u16, Value) {
        self.ask(Request::get(path), &Value::Null).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(Request::post(path), body).await
    }

    /// Posts, and waits for what comes of it.
    pub(crate) async fn post_and_wait(&mut self, path: &str) -> (u16, Value) {
        self.ask(Request::post(path).header("prefer", "wait=20"), &Value::Null).await
    }

    pub(crate) async fn post_under_key(&mut self, path: &str, key: &str) -> (u16, Value) {
        self.ask(Request::post(path).header("idempotency-key", key), &Value::Null).await
    }

    async fn ask(&mut self, request: Builder, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = request.header("content-type", "application/json");
        let router = self.running.router.clone();
        let mut answer = Box::pin(router.oneshot(request.body(body).expect("a request")));
        let response = loop {
            let mut ready = None;
            poll_fn(|cx| {
                if let Poll::Ready(response) = answer.as_mut().poll(cx) {
                    ready = Some(response);
                }
                Poll::Ready(())
            })
            .await;
            match ready {
                Some(response) => break response.expect("an answer"),
                None if self.running.threads.is_empty() => self.settle().await,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Everything that was published.
    pub(crate) async fn events(&self) -> Vec<Envelope> {
        self.running.database.read(|read| read.events_after(0, 10_000)).await.expect("events")
    }

    /// The types of what was published about a payment.
    pub(crate) async fn said(&self, payment: &str) -> Vec<String> {
        let events = self.events().await.into_iter();
        events.filter(|event| &*event.subject == payment).map(|event| event.kind.to_string()).collect()
    }

    /// The page of metrics, as far as payments writes it.
    pub(crate) fn metrics(&self) -> String {
        let meters = telemetry::Meters::new();
        (self.running.tell)(&meters);
        meters.render()
    }

    /// The rows, read beside the service.
    pub(crate) fn database(&self) -> &Database {
        &self.running.database
    }
}

impl Running {
    fn start(
        world: &World,
        config: &payments::Config,
        location: Location,
        orders: &Database,
        provider: &TestProvider,
        simulated: bool,
    ) -> Self {
        let options = Options::default();
        let database =
            Database::open(payments::NAME, location, options, world.clone(), payments::MIGRATIONS).expect("a database");
        let producer = orders.clone();
        let feeds = Feeds::default().with("orders", move || Arc::new(TableFeed::of(&producer)));
        let ground = Ground { database: database.clone(), feeds, meters: Arc::new(Meters::default()) };
        let service = payments::assemble_with_test_provider(config, &ground, provider).expect("payments");
        let Service { routes, workers, tasks, close, tell, .. } = service;
        let router = web::guard(routes, web::Gate::open(), world, &web::Limits::default(), Arc::new(|_| {}));
        let tasks = tasks.into_iter().map(|task| task.run).collect();
        let (workers, threads) = if simulated {
            (workers, Vec::new())
        } else {
            (Vec::new(), workers.into_iter().map(Work::start).collect())
        };
        Self { database, router, workers, tasks, tell, close, threads }
    }

    async fn poll_tasks(&mut self) {
        poll_fn(|cx| {
            self.tasks.retain_mut(|task| task.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            (self.close)();
            self.threads.drain(..).for_each(|thread| thread.join().expect("the worker ends"));
        }
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn order(payment: &str) -> Name {
    name(&format!("order-of-{payment}"))
}

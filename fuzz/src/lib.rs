//! What the fuzz targets ask: inventory, orders, payments and notifications in memory, behind the doors that the program has.
//!
//! Nothing runs beside the request: it is polled, and the desks are turned in between, until it is answered. So the
//! same bytes take the same way each time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use db::{Database, Location, MemoryDisk, Meters, Options, Plan, Turn};
use events::TableFeed;
use host::{Feeds, Ground, Service, Work};
use http_body_util::BodyExt;
use payments::provider::test::TestProvider;
use serde_json::Value;
use tower::ServiceExt;
use web::{Gate, Limits, Routes};
use world::World;

/// Turns without an answer after which a request counts as forgotten.
const PATIENCE: usize = 10_000;

/// The shop that is asked.
pub struct Shop {
    router: Router,
    workers: Vec<Box<dyn Work>>,
    runtime: tokio::runtime::Runtime,
}

/// An answer, read to its end.
pub struct Told {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Shop {
    /// An empty shop behind this gate.
    ///
    /// # Panics
    /// When it cannot be put together.
    pub fn behind(gate: impl FnOnce(&World, &Limits) -> Gate) -> Self {
        let world = World::simulated(1);
        let open = |name, migrations| {
            let memory = Location::Memory(MemoryDisk::empty());
            Database::open(name, memory, Options::default(), world.clone(), migrations).expect("a database")
        };
        let [inventory, orders, payments, notifications] = [
            open(inventory::NAME, inventory::MIGRATIONS),
            open(orders::NAME, orders::MIGRATIONS),
            open(payments::NAME, payments::MIGRATIONS),
            open(notifications::NAME, notifications::MIGRATIONS),
        ];
        let feeds = [&inventory, &orders, &payments].into_iter().fold(Feeds::default(), |feeds, database| {
            let producer = database.clone();
            feeds.with(database.service(), move || Arc::new(TableFeed::of(&producer)))
        });
        let ground =
            |database: Database| Ground { database, feeds: feeds.clone(), meters: Arc::new(Meters::default()) };
        let services = [
            inventory::assemble(&inventory::Config::default(), &ground(inventory.clone())),
            orders::assemble(&orders::Config::default(), &ground(orders.clone())),
            payments::assemble_with_test_provider(
                &payments::Config::default(),
                &ground(payments.clone()),
                &TestProvider::in_memory(),
            ),
            notifications::assemble(&notifications::Config::default(), &ground(notifications.clone())),
        ];
        let mut routes = Routes::default();
        let mut workers = Vec::new();
        for service in services {
            let Service { routes: own, workers: desks, .. } = service.expect("a service");
            routes = routes.merge(own);
            workers.extend(desks);
        }
        let limits = Limits::default();
        let router = web::guard(routes, gate(&world, &limits), &world, &limits, Arc::new(|_| {}));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { router, workers, runtime }
    }

    /// Sends a request and holds the answer to what every answer has to be.
    ///
    /// # Panics
    /// When it is forgotten, when the server failed, or when it says no without a problem document.
    pub fn ask(&mut self, request: Request<Body>) -> Told {
        let Self { router, workers, runtime } = self;
        let answered = router.clone().oneshot(request);
        let read = async {
            let (head, body) = answered.await.expect("no route fails").into_parts();
            (head, body.collect().await.expect("a body that ends").to_bytes().to_vec())
        };
        let mut read = pin!(read);
        let mut turns = 0;
        let (head, body) = runtime.block_on(poll_fn(|cx| {
            loop {
                if let Poll::Ready(answer) = read.as_mut().poll(cx) {
                    return Poll::Ready(answer);
                }
                let performs = |worker: &mut Box<dyn Work>| matches!(worker.turn(&Plan::ALL), Turn::Performed(_));
                let busy = workers.iter_mut().fold(false, |busy, worker| performs(worker) || busy);
                turns += 1;
                assert!(turns < PATIENCE, "the request is not answered");
                if !busy {
                    return Poll::Pending;
                }
            }
        }));
        let status = head.status.as_u16();
        assert!(status < 500, "{status}: {}", String::from_utf8_lossy(&body));
        if status >= 400 {
            assert_eq!(head.headers[header::CONTENT_TYPE], "application/problem+json", "{status}");
            let problem: Value = serde_json::from_slice(&body).expect("a problem is a document");
            assert_eq!(problem["status"], status, "{problem}");
            assert!(problem["code"].is_string() && problem["detail"].is_string(), "{problem}");
        }
        Told { status, body }
    }
}

/// Runs with the shop of this process.
pub fn with<T>(gate: fn(&World, &Limits) -> Gate, ask: impl FnOnce(&mut Shop) -> T) -> T {
    thread_local!(static SHOP: RefCell<Option<Shop>> = const { RefCell::new(None) });
    SHOP.with_borrow_mut(|shop| ask(shop.get_or_insert_with(|| Shop::behind(gate))))
}

//! Orders through its router and its feeds, on every database.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use contracts::inventory;
use db::{BODY_LIMIT_BYTES, Context, Database, Location, MemoryDisk, Meters, NewEvent, Options, Query, Trace};
use events::TableFeed;
use host::{Feeds, Ground, Service};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use world::World;

/// Orders at work, between an inventory and payments that say what the test lets them say.
struct Running {
    world: World,
    database: Database,
    inventory: Database,
    router: Router,
    close: Box<dyn Fn() + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
    _payments: Database,
}

/// An answer as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    status: u16,
    is_replayed: bool,
    body: Vec<u8>,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Running {
    fn on(location: Location) -> Self {
        Self::within(World::real(), location)
    }

    fn within(world: World, location: Location) -> Self {
        Self::limited(world, location, &web::Limits::default())
    }

    fn limited(world: World, location: Location, limits: &web::Limits) -> Self {
        let open = |name, location, migrations| {
            Database::open(name, location, Options::default(), world.clone(), migrations).expect("a database")
        };
        let neighbour = |name| open(name, Location::Memory(MemoryDisk::empty()), &[]);
        let (inventory, payments) = (neighbour("inventory"), neighbour("payments"));
        let database = open(orders::NAME, location, orders::MIGRATIONS);
        let (stock, money) = (inventory.clone(), payments.clone());
        let feeds = Feeds::default()
            .with("inventory", move || Arc::new(TableFeed::of(&stock)))
            .with("payments", move || Arc::new(TableFeed::of(&money)));
        let ground = Ground { database: database.clone(), feeds, meters: Arc::new(Meters::default()) };
        let service = orders::assemble(&orders::Config::default(), &ground).expect("orders");
        let Service { routes, workers, close, .. } = service;
        let router = web::guard(routes, web::Gate::open(), &world, limits, Arc::new(|_| {}));
        let threads = workers.into_iter().map(host::Work::start).collect();
        Self { world, database, inventory, router, close, threads, _payments: payments }
    }

    async fn tell(&self, method: Method, path: &str, body: &Value, key: Option<&str>) -> Told {
        self.tell_with(method, path, body, key.map(|key| ("idempotency-key", key))).await
    }

    async fn tell_with(&self, method: Method, path: &str, body: &Value, header: Option<(&str, &str)>) -> Told {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let response = self.router.clone().oneshot(request.body(body).expect("a request")).await.expect("an answer");
        let (head, body) = response.into_parts();
        Told {
            status: head.status.as_u16(),
            is_replayed: head.headers.get("idempotent-replayed").is_some_and(|replayed| replayed == "true"),
            body: body.collect().await.expect("a body").to_bytes().to_vec(),
        }
    }

    fn put(&self, order: &str, body: &Value) -> (u16, Value) {
        let told = wait(self.tell(Method::PUT, &format!("/v1/orders/{order}"), body, None));
        (told.status, told.json())
    }

    fn place(&self, order: &str) {
        let told = wait(self.place_with(order, None));
        assert_eq!(told.status, 202, "{told:?}");
    }

    async fn place_with(&self, order: &str, header: Option<(&str, &str)>) -> Told {
        let price = json!({"amount": 500, "currency": "GBP"});
        let line = json!({"sku": "a", "quantity": 2, "unit_price": price});
        let body = json!({"lines": [line], "payment": {"method": "pm_card_visa"}});
        self.tell_with(Method::PUT, &format!("/v1/orders/{order}"), &body, header).await
    }

    fn cancel(&self, order: &str, reason: &str, key: Option<&str>) -> Told {
        let path = format!("/v1/orders/{order}/cancel");
        wait(self.tell(Method::POST, &path, &json!({"reason": reason}), key))
    }

    fn cancel_five_times(&self, order: &str, key: &str) -> [Told; 5] {
        let (path, body) = (format!("/v1/orders/{order}/cancel"), json!({"reason": "changed my mind"}));
        let once = || self.tell(Method::POST, &path, &body, Some(key));
        wait(async { tokio::join!(once(), once(), once(), once(), once()) }).into()
    }

    /// Inventory says that an order's stock is released; comes back once the order has heard it.
    fn stock_is_released(&self, order: &str) {
        let document = self.order(order);
        let name = |value: &Value| value.as_str().expect("a name").parse().expect("a name");
        let event = inventory::Event::from(inventory::StockReleased {
            reservation: name(&document["reservation"]["id"]),
            order: Some(name(&document["id"])),
            attempt: 1,
            lines: Vec::new(),
            replaced_by: None,
        });
        let news = NewEvent {
            stream: self.world.number(),
            version: 1,
            subject: order.to_owned(),
            kind: event.kind(),
            schema: event.schema(),
            occurred_at: self.world.now(),
            by: Context::system("the test", Trace { trace_id: 7, span_id: 7, is_sampled: true }),
            body: event.body(),
        };
        let said = self.inventory.write(move |tx| {
            tx.publish(news);
            Ok(())
        });
        wait(said).expect("inventory can write");
        testkit::eventually("the order is cancelled", || self.order(order)["status"] == "cancelled");
    }

    fn order(&self, name: &str) -> Value {
        wait(self.tell(Method::GET, &format!("/v1/orders/{name}"), &Value::Null, None)).json()
    }

    /// How long after its last event an order is looked at.
    fn waits(&self, name: &str) -> Duration {
        let sql = "SELECT due_at - updated_at FROM orders WHERE name = $1";
        let name = format!("local/{name}");
        let rows = wait(self.database.read(move |read| read.rows(Query::sql(sql, [name.into()])))).expect("rows");
        let micros = rows.into_iter().next().expect("the order").columns().int().expect("it waits");
        Duration::from_micros(micros.unsigned_abs())
    }

    /// How often this was said.
    fn said(&self, kind: &str) -> usize {
        let events = wait(self.database.read(|read| read.events_after(0, 10_000))).expect("events");
        events.iter().filter(|event| event.kind.as_ref() == kind).count()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        (self.close)();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(answer)
}

fn everywhere(test: impl Fn(&Running)) {
    let folder = tempfile::tempdir().expect("a folder");
    let places = [
        ("memory", Location::Memory(MemoryDisk::empty())),
        ("sqlite", Location::File(folder.path().join("orders.db"))),
        ("postgres", Location::Postgres(testkit::Postgres::shared().database())),
    ];
    for (place, location) in places {
        println!("on {place}");
        test(&Running::on(location));
    }
}

/// One of them was performed; the others were told the same.
fn one_and_its_replays(told: &[Told]) -> &Told {
    let replayed = told.iter().filter(|told| told.is_replayed).count();
    assert_eq!(replayed, told.len() - 1, "{told:?}");
    let first = told.iter().find(|told| !told.is_replayed).expect("one was performed");
    for again in told.iter().filter(|told| told.is_replayed) {
        assert_eq!(*again, Told { is_replayed: true, ..first.clone() });
    }
    first
}

#[test]
fn a_cancellation_under_a_key_happens_once_and_is_told_as_it_was_then() {
    everywhere(|shop| {
        shop.place("o-1");
        let told = shop.cancel_five_times("o-1", "k");
        let first = one_and_its_replays(&told);
        assert_eq!((first.status, first.json()["step"].clone()), (202, json!("releasing")));
        assert_eq!(shop.said("OrderCancelRequested"), 1);
        shop.stock_is_released("o-1");
        let again = shop.cancel("o-1", "changed my mind", Some("k"));
        assert_eq!(again, Told { is_replayed: true, ..first.clone() });
        let now = shop.cancel("o-1", "changed my mind", None);
        assert_eq!((now.status, now.is_replayed, now.json()["status"].clone()), (200, false, json!("cancelled")));
    });
}

#[test]
fn a_key_that_stands_for_another_cancellation_is_refused() {
    everywhere(|shop| {
        shop.place("o-1");
        shop.place("o-2");
        assert_eq!(shop.cancel("o-1", "changed my mind", Some("k")).status, 202);
        for (order, reason) in [("o-1", "too late"), ("o-2", "changed my mind")] {
            let no = shop.cancel(order, reason, Some("k"));
            assert_eq!((no.status, no.json()["code"].clone()), (422, json!("different-content")), "{order}");
            assert!(!no.is_replayed, "{order}");
        }
        assert_eq!(shop.order("o-2")["step"], "reserving");
    });
}

#[test]
fn a_refused_cancellation_stays_refused_under_its_key() {
    everywhere(|shop| {
        let told = shop.cancel_five_times("o-1", "k");
        let first = one_and_its_replays(&told);
        assert_eq!((first.status, first.json()["code"].clone()), (404, json!("unknown-order")));
        shop.place("o-1");
        let again = shop.cancel("o-1", "changed my mind", Some("k"));
        assert_eq!(again, Told { is_replayed: true, ..first.clone() });
        assert_eq!(shop.order("o-1")["step"], "reserving");
        assert_eq!(shop.cancel("o-1", "changed my mind", Some("k-2")).status, 202);
    });
}

#[test]
fn who_waits_for_an_order_keeps_nobody_out_and_where_too_many_wait_is_answered_at_once() {
    let limits = web::Limits { open_requests: 1, streams: 1, ..web::Limits::default() };
    let shop = Running::limited(World::real(), Location::Memory(MemoryDisk::empty()), &limits);
    let patiently = Some(("prefer", "wait=60"));
    let others = async {
        let mut told = shop.tell(Method::GET, "/v1/orders/o-1", &Value::Null, None).await;
        for _ in 0..1_000 {
            if told.status == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            told = shop.tell(Method::GET, "/v1/orders/o-1", &Value::Null, None).await;
        }
        assert_eq!(told.status, 200, "the only place is taken by one who waits: {}", told.json());
        let second = tokio::time::timeout(Duration::from_secs(30), shop.place_with("o-2", patiently)).await;
        let second = second.expect("it is answered as if it did not wait");
        assert_eq!((second.status, second.json()["step"].clone()), (202, json!("reserving")));
    };
    wait(async {
        tokio::select! {
            told = shop.place_with("o-1", patiently) => panic!("inventory is silent, and the order has ended: {told:?}"),
            () = others => {}
        }
    });
}

#[test]
fn all_that_is_wrong_with_an_order_is_said_at_once() {
    let shop = Running::on(Location::Memory(MemoryDisk::empty()));
    let price = json!({"amount": 500, "currency": "GBP"});
    let line = |sku, quantity, price| json!({"sku": sku, "quantity": quantity, "unit_price": price});
    let lines = [line("", 0, json!(5)), line("a", 1, price), json!(7), line("a", 1, json!([500, "GBP"]))];
    let body = json!({"lines": lines, "payment": {"method": "", "card": "x"}, "refernce": "x"});
    let (status, no) = shop.put("o-1", &body);
    let mut said: Vec<_> = no["errors"].as_array().expect("errors").iter().map(|error| &error["pointer"]).collect();
    said.sort_by_key(|pointer| pointer.as_str());
    let all = [
        "/lines/0/quantity",
        "/lines/0/sku",
        "/lines/0/unit_price",
        "/lines/2",
        "/lines/3/unit_price",
        "/payment/card",
        "/payment/method",
        "/refernce",
    ];
    assert_eq!((status, said), (422, all.map(|pointer| json!(pointer)).iter().collect()), "{no}");
}

#[test]
fn an_order_whose_answer_stays_away_is_asked_for_ever_more_rarely_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = Location::File(folder.path().join("orders.db"));
    for location in [file, Location::Postgres(testkit::Postgres::shared().database())] {
        let world = World::simulated(1);
        let asked_again = |shop: &Running, times, after| {
            world.advance(Duration::from_secs(after));
            testkit::eventually("it is asked for again", || shop.said("OrderStepOverdue") == times);
        };
        let shop = Running::within(world.clone(), location.clone());
        shop.place("o-1");
        shop.cancel("o-1", "changed my mind", None);
        for times in 1..=5 {
            asked_again(&shop, times, 30);
        }
        assert_eq!(shop.waits("o-1"), Duration::from_secs(60));
        drop(shop);
        let shop = Running::within(world.clone(), location);
        asked_again(&shop, 6, 60);
        assert_eq!(shop.waits("o-1"), Duration::from_secs(120));
    }
}

/// An order of these SKUs with all else as long as it may be.
fn longest_order(skus: &[String]) -> Value {
    let price = json!({"amount": 9_007_199_254_740_i64, "currency": "GBP"});
    let line = |sku: &String| json!({"sku": sku, "quantity": 1, "unit_price": price});
    let (method, label) = ("m".repeat(100), "\u{1f375}".repeat(200));
    json!({
        "lines": skus.iter().map(line).collect::<Vec<_>>(),
        "payment": {"method": method}, "customer": label, "reference": label,
    })
}

/// So many SKUs of 64 characters of four bytes each, and one of so many bytes.
fn longest_skus(count: usize, bytes_of_last: usize) -> Vec<String> {
    let longest = "\u{1f375}".repeat(64);
    let last = format!("{}{}", &longest[..bytes_of_last / 4 * 4], &"xxx"[..bytes_of_last % 4]);
    [vec![longest; count], vec![last]].concat()
}

#[test]
fn an_order_has_as_many_lines_as_events_can_name_and_more_are_refused_before_anything_happens() {
    everywhere(|shop| {
        // 576 lines of 256 + 192 bytes would be 252 KiB to the byte; the last is shorter here.
        let (status, no) = shop.put("o-1", &longest_order(&longest_skus(576, 1)));
        let pointer = &no["errors"][0]["pointer"];
        assert_eq!((status, &no["code"], pointer), (422, &json!("invalid-request"), &json!("/lines")));
        let detail = no["errors"][0]["detail"].as_str().expect("a detail");
        assert!(detail.contains("192 more") && detail.ends_with("258048"), "{detail}");
        assert_eq!(shop.said("OrderPlaced"), 0, "nothing has happened");
        let name = "o".repeat(64);
        let (status, order) = shop.put(&name, &longest_order(&longest_skus(575, 252)));
        assert_eq!((status, &order["status"]), (202, &json!("pending")), "{}", order["detail"]);
        let placed = wait(shop.database.read(|read| read.events_after(0, 1))).expect("an event");
        let bytes = placed[0].body.len();
        assert!(bytes <= BODY_LIMIT_BYTES, "{bytes}");
        let ascii: Vec<_> = (0..1_000).map(|number| format!("{number:064}")).collect();
        assert_eq!(shop.put("o-2", &longest_order(&ascii)).0, 202, "a thousand lines in ASCII");
    });
}

//! Inventory through its router, its desk and its feed, on every database.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use db::{Asked, Context, Database, Location, MemoryDisk, Meters, Options, Plan, Trace, Turn};
use events::TableFeed;
use futures_util::future::join_all;
use host::{Feeds, Ground, Service};
use http_body_util::BodyExt;
use ids::Name;
use inventory::domain::{Act, Command, ForOrder, Line, Movement, Rejection, Reserve};
use serde_json::{Value, json};
use tower::ServiceExt;
use world::World;

/// Inventory at work, with an empty feed of orders.
struct Running {
    database: Database,
    router: Router,
    close: Box<dyn Fn() + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
    _orders: Database,
}

impl Running {
    fn on(location: Location, config: &inventory::Config) -> Self {
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
        let Service { routes, workers, close, .. } = service;
        let router = web::guard(routes, web::Gate::open(), &world, &web::Limits::default(), Arc::new(|_| {}));
        let threads = workers.into_iter().map(host::Work::start).collect();
        Self { database, router, close, threads, _orders: orders }
    }

    fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let told = wait(self.tell(method, path, body, None));
        (told.status, serde_json::from_slice(&told.body).unwrap_or(Value::Null))
    }

    async fn tell(&self, method: Method, path: &str, body: &Value, key: Option<&str>) -> Told {
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
    fn five_times(&self, path: &str, body: &Value, key: &str) -> [Told; 5] {
        let once = || self.tell(Method::POST, path, body, Some(key));
        wait(async { tokio::join!(once(), once(), once(), once(), once()) }).into()
    }

    fn under_key(&self, path: &str, body: &Value, key: &str) -> Told {
        wait(self.tell(Method::POST, path, body, Some(key)))
    }

    /// How often this was said.
    fn said(&self, kind: &str) -> usize {
        let events = wait(self.database.read(|read| read.events_after(0, 10_000))).expect("events");
        events.iter().filter(|event| event.kind.as_ref() == kind).count()
    }

    fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(Method::PUT, path, body)
    }

    fn post(&self, path: &str) -> (u16, Value) {
        self.ask(Method::POST, path, &Value::Null)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, &Value::Null)
    }

    fn receive(&self, name: &str, sku: &str, warehouse: &str, quantity: i64) {
        let body = json!({"type": "receive", "sku": sku, "warehouse": warehouse, "quantity": quantity});
        assert_eq!(self.put(&format!("/v1/stock-movements/{name}"), &body).0, 201);
    }

    fn level(&self, sku: &str) -> Value {
        let (_, mut level) = self.get(&format!("/v1/stock/{sku}"));
        level.as_object_mut().expect("a level").retain(|_, value| value.is_i64());
        level
    }

    fn books_follow_from_the_journal(&self) {
        let comparison = wait(inventory::rebuild(&self.database)).expect("a comparison");
        assert!(comparison.is_same(), "{comparison:#?}");
    }
}

/// An answer as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    status: u16,
    is_replayed: bool,
    content_type: String,
    body: Vec<u8>,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(answer)
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

impl Drop for Running {
    fn drop(&mut self) {
        (self.close)();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Waits for what comes at once.
fn now<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(what)
}

fn everywhere(test: impl Fn(&Running)) {
    everywhere_with(&inventory::Config::default(), test);
}

fn everywhere_with(config: &inventory::Config, test: impl Fn(&Running)) {
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

/// Takes stock in, many movements at once; their names begin with this.
fn receive_all(shop: &Running, name: &str, levels: &[(String, String, i64)]) {
    let request = |(number, (sku, warehouse, quantity)): (usize, &(String, String, i64))| {
        let body = json!({"type": "receive", "sku": sku, "warehouse": warehouse, "quantity": quantity});
        let path = format!("/v1/stock-movements/{name}-{number}");
        let request = Request::builder().method(Method::PUT).uri(path).header("content-type", "application/json");
        shop.router.clone().oneshot(request.body(Body::from(body.to_string())).expect("a request"))
    };
    for piece in levels.iter().enumerate().collect::<Vec<_>>().chunks(256) {
        let answers = now(join_all(piece.iter().copied().map(request)));
        let all_are_in = answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 201));
        assert!(all_are_in, "{answers:?}");
    }
}

/// So many SKUs of 64 characters, each of four bytes, and one of so many bytes.
fn longest_skus(count: u32, bytes_of_last: usize) -> Vec<String> {
    let filler = "\u{1f375}".repeat(63);
    let first = |number| char::from_u32(0x2_0000 + number).expect("a character of four bytes");
    let mut skus: Vec<_> = (0..count).map(|number| format!("{}{filler}", first(number))).collect();
    skus.push(format!("{}{}", &filler[..bytes_of_last / 4 * 4], &"xxx"[..bytes_of_last % 4]));
    skus
}

#[test]
fn lines_are_held_up_to_what_an_event_can_name_and_more_are_refused_before_anything_happens() {
    everywhere(|shop| {
        // 630 lines of 256 + 153 bytes, and one of 225 + 153: 252 KiB to the byte.
        let skus = longest_skus(630, 225);
        let warehouse = "w".repeat(64);
        let levels: Vec<_> = skus.iter().map(|sku| (sku.clone(), warehouse.clone(), 1_000_000)).collect();
        receive_all(shop, "m", &levels);
        let events = || now(shop.database.read(|read| read.events_after(0, 10_000))).expect("events").len();
        let before = events();
        let lines = |skus: &[String]| lines(&skus.iter().map(|sku| (sku.as_str(), 1_000_000)).collect::<Vec<_>>());
        let (status, no) = shop.put("/v1/reservations/r-1", &lines(&longest_skus(630, 226)));
        assert_eq!((status, &no["errors"][0]["pointer"]), (422, &json!("/lines")), "{no}");
        let detail = no["errors"][0]["detail"].as_str().expect("a detail");
        assert!(detail.contains("153 more") && detail.ends_with("258048"), "{detail}");
        assert_eq!(events(), before, "nothing has happened");
        let name = "r".repeat(64);
        let (status, held) = shop.put(&format!("/v1/reservations/{name}"), &lines(&skus));
        assert_eq!((status, &held["status"]), (201, &json!("reserved")), "{}", held["detail"]);
        assert_eq!(shop.post(&format!("/v1/reservations/{name}/commit")).1["status"], "committed");
        let (status, no) = shop.put("/v1/reservations/r-2", &lines(&skus));
        let short = no["short"].as_array().map(Vec::len);
        assert_eq!((status, &no["code"], short), (409, &json!("out-of-stock"), Some(631)));
        // A thousand lines of the longest names in ASCII.
        let many: Vec<_> = (0..1_000).map(|number| format!("{number:064}")).collect();
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&many)).1["code"], "out-of-stock");
    });
}

#[test]
fn stock_in_more_warehouses_than_an_event_can_name_is_refused_and_nothing_is_held() {
    everywhere(|shop| {
        // 51 bytes for the line and 103 for each warehouse: 2,504 are within 252 KiB.
        let levels: Vec<_> = (0..2_505).map(|place| ("a".to_owned(), format!("{place:064}"), 1)).collect();
        receive_all(shop, "m", &levels);
        for _ in 0..2 {
            let (status, no) = shop.put("/v1/reservations/r-1", &lines(&[("a", 2_505)]));
            assert_eq!((status, &no["code"]), (422, &json!("reservation-too-large")), "{no}");
        }
        assert_eq!(shop.post("/v1/reservations/r-1/commit").1["code"], "reservation-too-large");
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "refused");
        assert_eq!(shop.level("a")["available"], 2_505);
        let (status, held) = shop.put("/v1/reservations/r-2", &lines(&[("a", 2_504)]));
        assert_eq!((status, &held["status"]), (201, &json!("reserved")));
        assert_eq!(shop.post("/v1/reservations/r-2/release").1["status"], "released");
        assert_eq!(shop.level("a")["available"], 2_505);
    });
}

fn lines(lines: &[(&str, i64)]) -> Value {
    json!({"lines": lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect::<Vec<_>>()})
}

#[test]
fn a_movement_is_entered_once_under_its_name() {
    everywhere(|shop| {
        let body = json!({"type": "receive", "sku": "A b/é", "warehouse": "main", "quantity": 10, "reference": "r"});
        let (status, first) = shop.put("/v1/stock-movements/m-1", &body);
        assert_eq!((status, &first["level"]["on_hand"], &first["level"]["available"]), (201, &json!(10), &json!(10)));
        assert_eq!(shop.put("/v1/stock-movements/m-1", &body), (200, first));
        let other = json!({"type": "receive", "sku": "A b/é", "warehouse": "main", "quantity": 11, "reference": "r"});
        let (status, no) = shop.put("/v1/stock-movements/m-1", &other);
        assert_eq!((status, &no["code"]), (422, &json!("different-content")));
        let level = shop.level("A%20b%2F%C3%A9");
        assert_eq!(
            level,
            json!({"on_hand": 10, "reserved": 0, "committed": 0, "owed": 0, "in_transit": 0, "available": 10})
        );
        assert_eq!(shop.get("/v1/stock/never").1["code"], "unknown-sku");
    });
}

#[test]
fn a_correction_cannot_take_what_is_promised_and_its_name_stays_refused() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 8)])).0, 201);
        let take = json!({"type": "adjust", "sku": "a", "warehouse": "main", "quantity": -3, "reason": "broken"});
        let (status, no) = shop.put("/v1/stock-movements/m-2", &take);
        assert_eq!((status, &no["code"], &no["available"]), (409, &json!("not-available"), &json!(2)));
        assert_eq!(shop.post("/v1/reservations/r-1/release").0, 200);
        assert_eq!(shop.put("/v1/stock-movements/m-2", &take).0, 409, "the name stays refused");
        assert_eq!(shop.put("/v1/stock-movements/m-3", &take).0, 201);
        assert_eq!(shop.level("a")["on_hand"], 7);
    });
}

#[test]
fn a_transfer_takes_what_is_available_to_the_other_warehouse_at_once() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 3)])).0, 201);
        let transfer = json!({"type": "transfer", "sku": "a", "from": "leeds", "to": "bristol", "quantity": 7});
        let (status, moved) = shop.put("/v1/stock-movements/m-2", &transfer);
        let levels = json!([
            {"warehouse": "leeds", "on_hand": 3, "reserved": 3, "committed": 0, "owed": 0, "in_transit": 0, "available": 0},
            {"warehouse": "bristol", "on_hand": 7, "reserved": 0, "committed": 0, "owed": 0, "in_transit": 0, "available": 7},
        ]);
        assert_eq!((status, &moved["status"], &moved["levels"]), (201, &json!("arrived"), &levels));
        assert_eq!(shop.put("/v1/stock-movements/m-2", &transfer), (200, moved));
        let (status, no) = shop.put("/v1/stock-movements/m-3", &transfer);
        let refused = (status, &no["code"], &no["warehouse"], &no["available"]);
        assert_eq!(refused, (409, &json!("not-available"), &json!("leeds"), &json!(0)));
        assert_eq!(shop.level("a")["available"], 7);
        assert_eq!(shop.post("/v1/stock-movements/m-2/arrive").1["code"], "not-in-transit");
        assert_eq!(shop.post("/v1/stock-movements/none/arrive").1["code"], "unknown-movement");
        let nowhere =
            json!({"type": "transfer", "sku": "a", "from": "leeds", "to": "leeds", "quantity": 1, "warehouse": "w"});
        let (status, no) = shop.put("/v1/stock-movements/m-4", &nowhere);
        let pointers = json!([no["errors"][0]["pointer"], no["errors"][1]["pointer"]]);
        assert_eq!((status, pointers), (422, json!(["/to", "/warehouse"])));
    });
}

#[test]
fn goods_that_travel_are_nobodys_until_they_arrive_and_what_does_not_arrive_is_lost() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 10);
        let transfer = json!({
            "type": "transfer", "sku": "a", "from": "leeds", "to": "bristol", "quantity": 6, "in_transit": true,
        });
        let (status, sent) = shop.put("/v1/stock-movements/m-2", &transfer);
        assert_eq!((status, &sent["status"]), (201, &json!("in_transit")));
        let (_, stock) = shop.get("/v1/stock/a");
        assert_eq!((&stock["on_hand"], &stock["in_transit"], &stock["available"]), (&json!(4), &json!(6), &json!(4)));
        let bristol = json!({
            "warehouse": "bristol", "on_hand": 0, "reserved": 0, "committed": 0, "owed": 0, "in_transit": 6, "available": 0,
        });
        assert_eq!(stock["warehouses"][0], bristol);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 5)])).1["short"][0]["available"], 4);
        let arrive =
            |quantity| shop.ask(Method::POST, "/v1/stock-movements/m-2/arrive", &json!({"quantity": quantity}));
        let (status, no) = arrive(7);
        assert_eq!((status, &no["code"], &no["sent"]), (422, &json!("more-than-sent"), &json!(6)));
        let (status, arrived) = arrive(5);
        assert_eq!((status, &arrived["status"], &arrived["quantity"]), (200, &json!("arrived"), &json!(6)));
        assert_eq!((&arrived["arrived"], &arrived["lost"]), (&json!(5), &json!(1)));
        assert_eq!(arrived["levels"][0]["on_hand"], 5);
        assert_eq!(arrive(5), (200, arrived.clone()), "it has arrived once");
        assert_eq!(shop.post("/v1/stock-movements/m-2/arrive"), (200, arrived.clone()));
        assert_eq!(shop.put("/v1/stock-movements/m-2", &transfer), (200, arrived));
        assert_eq!(arrive(4).1["code"], "different-content");
        assert_eq!((&shop.level("a")["on_hand"], &shop.level("a")["in_transit"]), (&json!(9), &json!(0)));
    });
}

#[test]
fn a_lapsed_hold_does_not_keep_goods_from_being_moved() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 5);
        let hold = json!({"lines": [{"sku": "a", "quantity": 5}], "hold_secs": 1});
        assert_eq!(shop.put("/v1/reservations/r-1", &hold).0, 201);
        let transfer = json!({"type": "transfer", "sku": "a", "from": "leeds", "to": "bristol", "quantity": 5});
        assert_eq!(shop.put("/v1/stock-movements/m-2", &transfer).0, 409);
        std::thread::sleep(std::time::Duration::from_millis(1_001));
        assert_eq!(shop.put("/v1/stock-movements/m-3", &transfer).0, 201);
    });
}

#[test]
fn a_stock_take_is_always_accepted_and_says_what_is_owed() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 8)])).0, 201);
        let count = json!({"type": "count", "sku": "a", "warehouse": "main", "counted": 5, "reason": "yearly"});
        let (status, counted) = shop.put("/v1/stock-movements/m-2", &count);
        let level = json!({"on_hand": 5, "reserved": 5, "committed": 0, "owed": 3, "in_transit": 0, "available": 0});
        assert_eq!((status, &counted["level"]), (201, &level));
        shop.receive("m-3", "a", "main", 4);
        assert_eq!(
            shop.level("a"),
            json!({"on_hand": 9, "reserved": 8, "committed": 0, "owed": 0, "in_transit": 0, "available": 1})
        );
    });
}

#[test]
fn all_lines_are_held_or_none_and_lines_of_one_sku_are_summed() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        shop.receive("m-2", "b", "main", 1);
        let (status, held) = shop.put("/v1/reservations/r-1", &lines(&[("a", 2), ("a", 2), ("b", 1)]));
        assert_eq!((status, &held["status"]), (201, &json!("reserved")));
        let a = json!({"sku": "a", "quantity": 4, "allocations": [{"warehouse": "main", "quantity": 4}]});
        assert_eq!(held["lines"][0], a);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 2), ("a", 2), ("b", 1)])), (200, held));
        let (status, no) = shop.put("/v1/reservations/r-2", &lines(&[("a", 7), ("c", 1)]));
        assert_eq!((status, &no["code"]), (409, &json!("out-of-stock")));
        let short = json!([{"sku": "a", "wanted": 7, "available": 6}, {"sku": "c", "wanted": 1, "available": 0}]);
        assert_eq!(no["short"], short);
        shop.receive("m-3", "c", "main", 1);
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 7), ("c", 1)])).0, 409, "the name stays refused");
        assert_eq!(shop.get("/v1/reservations/r-2").1["status"], "refused");
        assert_eq!(shop.level("a")["available"], 6);
    });
}

#[test]
fn a_reservation_goes_its_way_and_saying_it_twice_is_saying_it_once() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        for _ in 0..2 {
            let (status, committed) = shop.post("/v1/reservations/r-1/commit");
            assert_eq!((status, &committed["status"]), (200, &json!("committed")));
            assert_eq!(shop.level("a")["on_hand"], 6, "the goods leave with the commit");
        }
        assert_eq!(shop.post("/v1/reservations/r-1/release").1["code"], "already-committed");
        for _ in 0..2 {
            assert_eq!(shop.post("/v1/reservations/r-1/ship").1["status"], "shipped");
        }
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 6)])).0, 201);
        for _ in 0..2 {
            assert_eq!(shop.post("/v1/reservations/r-2/release").1["status"], "released");
        }
        assert_eq!(shop.post("/v1/reservations/r-2/commit").1["code"], "already-released");
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 6)])).1["status"], "released");
        assert_eq!(shop.post("/v1/reservations/none/commit").1["code"], "unknown-reservation");
    });
}

#[test]
fn without_ship_on_commit_the_goods_stay_until_they_are_shipped() {
    let config = inventory::Config { ship_on_commit: false, ..inventory::Config::default() };
    everywhere_with(&config, |shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        assert_eq!(shop.post("/v1/reservations/r-1/ship").1["code"], "not-committed");
        assert_eq!(shop.post("/v1/reservations/r-1/commit").0, 200);
        let level = json!({"on_hand": 10, "reserved": 0, "committed": 4, "owed": 0, "in_transit": 0, "available": 6});
        assert_eq!(shop.level("a"), level);
        let count = json!({"type": "count", "sku": "a", "warehouse": "main", "counted": 3});
        assert_eq!(shop.put("/v1/stock-movements/m-2", &count).0, 201);
        assert_eq!(shop.post("/v1/reservations/r-1/ship").1["code"], "goods-missing");
        shop.receive("m-3", "a", "main", 1);
        assert_eq!(shop.post("/v1/reservations/r-1/ship").1["status"], "shipped");
        assert_eq!(shop.level("a")["on_hand"], 0);
    });
}

#[test]
fn a_release_that_comes_before_the_reserve_keeps_the_name_released() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.post("/v1/reservations/r-1/release").1["status"], "released");
        let (status, no) = shop.put("/v1/reservations/r-1", &lines(&[("a", 1)]));
        assert_eq!((status, &no["code"]), (409, &json!("already-released")));
        assert_eq!(shop.level("a")["available"], 10);
    });
}

#[test]
fn a_lapsed_hold_stands_in_nobodys_way() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 5);
        let hold = json!({"lines": [{"sku": "a", "quantity": 5}], "hold_secs": 1});
        assert_eq!(shop.put("/v1/reservations/r-1", &hold).0, 201);
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 1)])).0, 409);
        std::thread::sleep(std::time::Duration::from_millis(1_001));
        assert_eq!(shop.post("/v1/reservations/r-1/commit").1["code"], "reservation-expired");
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&[("a", 5)])).0, 201);
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "expired");
        let extension = json!({"hold_secs": 60});
        assert_eq!(shop.ask(Method::POST, "/v1/reservations/r-1/extend", &extension).1["code"], "reservation-expired");
        assert_eq!(shop.ask(Method::POST, "/v1/reservations/r-3/extend", &extension).0, 200);
    });
}

/// Inventory in memory, whose time passes only when it is told to and which performs only what is asked.
struct Driven {
    world: World,
    database: Database,
    desk: inventory::InventoryDesk,
    workers: Vec<Box<dyn host::Work>>,
}

impl Driven {
    fn new() -> Self {
        let world = World::simulated(1);
        let open = |name, migrations| {
            let memory = Location::Memory(MemoryDisk::empty());
            Database::open(name, memory, Options::default(), world.clone(), migrations).expect("a database")
        };
        let (orders, database) = (open("orders", &[]), open(inventory::NAME, inventory::MIGRATIONS));
        let feeds = Feeds::default().with("orders", move || Arc::new(TableFeed::of(&orders)));
        let ground = Ground { database: database.clone(), feeds, meters: Arc::default() };
        let (service, desk) = inventory::assemble_with_desk(&inventory::Config::default(), &ground).expect("inventory");
        Self { world, database, desk, workers: service.workers }
    }

    /// Performs commands that belong to this story, as many at once as go together; nothing that is due
    /// comes between.
    fn ask_all(&mut self, story: &str, trace_id: u128, commands: Vec<Command>) -> Vec<inventory::Answer> {
        let by = Context::system(story, Trace { trace_id, span_id: 1 });
        let asked = commands.into_iter().map(|command| self.desk.ask(Asked::new(command, by.clone())));
        let answered: Vec<_> = asked.collect();
        while self.workers[0].turn(&Plan { from_inlets: 0, ..Plan::ALL }) != Turn::Idle {}
        now(join_all(answered)).into_iter().map(|answer| answer.expect("it does not fail")).collect()
    }

    fn ask(&mut self, story: &str, trace_id: u128, command: Command) -> inventory::Answer {
        self.ask_all(story, trace_id, vec![command]).remove(0)
    }

    /// Takes pieces of one SKU in.
    fn receive(&mut self, sku: &str, levels: &[(String, i64)]) {
        let movement = |(number, (warehouse, quantity)): (usize, &(String, i64))| {
            let (name, sku) = (format!("{number}-of-{}", levels.len()), sku.parse().expect("a SKU"));
            let (name, warehouse) = (name.parse().expect("a name"), warehouse.parse().expect("a name"));
            let act = Act::Receive { quantity: *quantity, reference: None };
            Command::Move(Movement { name, fingerprint: String::new(), sku, warehouse, act })
        };
        let answers = self.ask_all("delivery", 1, levels.iter().enumerate().map(movement).collect());
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    fn events_after(&self, position: i64) -> Vec<db::Envelope> {
        now(self.database.read(move |read| read.events_after(position, 10_000))).expect("events")
    }
}

/// A wish for so many pieces of one SKU for a second, on behalf of an order of the same name.
fn reserve(reservation: &str, sku: &str, quantity: i64) -> Command {
    let name: Name = reservation.parse().expect("a name");
    let lines = vec![Line { sku: sku.parse().expect("a SKU"), quantity, warehouse: None }];
    let order = Some(ForOrder { order: name.clone(), attempt: 1 });
    Command::Reserve(Reserve { name, fingerprint: reservation.to_owned(), lines, hold_secs: 1, order, replaces: None })
}

#[test]
fn a_hold_that_lapses_for_the_sake_of_another_lapses_in_its_own_story() {
    let mut shop = Driven::new();
    shop.receive("a", &[("main".to_owned(), 5)]);
    shop.ask("first", 2, reserve("r-1", "a", 5)).expect("it is held");
    shop.world.advance(Duration::from_secs(2));
    shop.ask("second", 3, reserve("r-2", "a", 5)).expect("it is held");
    let events = shop.events_after(2);
    let told: Vec<_> = events.iter().map(|e| (&*e.kind, e.by.trace.trace_id, &*e.by.correlation)).collect();
    assert_eq!(told, [("StockReservationExpired", 2, "first"), ("StockReserved", 3, "second")]);
}

#[test]
fn a_lapsed_hold_that_no_event_could_name_anew_is_not_taken_anew() {
    let mut shop = Driven::new();
    shop.receive("a", &[("main".to_owned(), 2_505)]);
    shop.ask("first", 2, reserve("r-1", "a", 2_505)).expect("it is held");
    shop.world.advance(Duration::from_secs(2));
    shop.ask("second", 3, reserve("r-2", "a", 2_505)).expect("the lapsed hold stands in nobody's way");
    shop.receive("a", &(0..2_505).map(|place| (format!("{place:064}"), 1)).collect::<Vec<_>>());
    let before = shop.events_after(0).len();
    let name: Name = "r-1".parse().expect("a name");
    let order = Some(ForOrder { order: name.clone(), attempt: 1 });
    assert_eq!(shop.ask("first", 2, Command::Commit { name, order, retake: true }), Err(Rejection::TooLarge));
    let told = shop.events_after(i64::try_from(before).expect("a position"));
    assert_eq!(told.iter().map(|event| &*event.kind).collect::<Vec<_>>(), ["StockCommitRejected"]);
    assert!(told[0].body.contains("\"short\":[]"), "{}", told[0].body);
}

#[test]
fn a_reservation_is_not_in_the_way_of_the_one_that_replaces_it() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 5);
        let replacing =
            |quantity: i64, old: &str| json!({"lines": [{"sku": "a", "quantity": quantity}], "replaces": old});
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        let (status, no) = shop.put("/v1/reservations/r-2", &replacing(6, "r-1"));
        let short = json!([{"sku": "a", "wanted": 6, "available": 5}]);
        assert_eq!((status, &no["code"], &no["short"]), (409, &json!("out-of-stock"), &short));
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "reserved", "it stays as it was");
        for status in [201, 200] {
            assert_eq!(shop.put("/v1/reservations/r-3", &replacing(5, "r-1")).0, status);
            assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "released");
            assert_eq!(shop.level("a")["reserved"], 5);
        }
        assert_eq!(shop.put("/v1/reservations/r-4", &replacing(1, "r-1")).0, 409, "what has ended gives nothing");
        assert_eq!(shop.put("/v1/reservations/r-5", &replacing(2, "r-3")).0, 201);
        assert_eq!(shop.put("/v1/reservations/r-6", &replacing(3, "late")).0, 201);
        assert_eq!(shop.put("/v1/reservations/late", &lines(&[("a", 1)])).1["code"], "already-released");
        assert_eq!(shop.post("/v1/reservations/r-5/commit").0, 200);
        assert_eq!(shop.put("/v1/reservations/r-7", &replacing(1, "r-5")).1["code"], "already-committed");
        assert_eq!(shop.put("/v1/reservations/r-7", &replacing(3, "r-6")).0, 201, "its name is not used up");
        assert_eq!(shop.put("/v1/reservations/r-8", &replacing(1, "r-8")).1["errors"][0]["pointer"], "/replaces");
    });
}

#[test]
fn a_lapsed_hold_is_taken_anew_only_if_that_is_asked_for_and_all_of_it_is_there() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 5);
        let hold = |quantity| json!({"lines": [{"sku": "a", "quantity": quantity}], "hold_secs": 1});
        let retake = |name: &str| {
            let path = format!("/v1/reservations/{name}/commit");
            shop.ask(Method::POST, &path, &json!({"if_expired": "retake"}))
        };
        assert_eq!(shop.put("/v1/reservations/r-1", &hold(3)).0, 201);
        assert_eq!(shop.put("/v1/reservations/r-2", &hold(2)).0, 201);
        std::thread::sleep(std::time::Duration::from_millis(1_001));
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&[("a", 3)])).0, 201, "somebody else takes of it");
        assert_eq!(shop.post("/v1/reservations/r-2/commit").1["code"], "reservation-expired");
        let (status, no) = retake("r-1");
        let short = json!([{"sku": "a", "wanted": 3, "available": 2}]);
        assert_eq!((status, &no["code"], &no["short"]), (409, &json!("out-of-stock"), &short));
        assert_eq!((retake("r-2").0, retake("r-2").0), (200, 200));
        assert_eq!(
            shop.level("a"),
            json!({
                "on_hand": 3, "reserved": 3, "committed": 0, "owed": 0, "in_transit": 0, "available": 0,
            })
        );
        shop.receive("m-2", "a", "main", 3);
        assert_eq!(retake("r-1").1["status"], "committed", "asked again, it may be there");
        let wrong = shop.ask(Method::POST, "/v1/reservations/r-1/commit", &json!({"if_expired": "maybe"}));
        assert_eq!(wrong.1["errors"][0]["pointer"], "/if_expired");
    });
}

#[test]
fn nothing_is_newly_promised_of_what_is_discontinued_and_what_is_promised_stays_so() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 5);
        shop.receive("m-2", "b", "main", 5);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 2)])).0, 201);
        assert_eq!(shop.get("/v1/skus/a"), (200, json!({"sku": "a", "discontinued": false})));
        for _ in 0..2 {
            let (status, said) = shop.put("/v1/skus/a", &json!({"discontinued": true}));
            assert_eq!((status, said), (200, json!({"sku": "a", "discontinued": true})));
        }
        let (_, stock) = shop.get("/v1/stock/a");
        assert_eq!((&stock["discontinued"], &stock["available"]), (&json!(true), &json!(3)));
        for _ in 0..2 {
            let (status, no) = shop.put("/v1/reservations/r-2", &lines(&[("a", 1), ("b", 1), ("a", 1)]));
            let short = json!([{"sku": "a", "wanted": 2, "available": 0}]);
            assert_eq!((status, &no["code"], &no["short"]), (409, &json!("discontinued"), &short));
        }
        assert_eq!(shop.post("/v1/reservations/r-2/commit").1["code"], "discontinued");
        assert_eq!(shop.post("/v1/reservations/r-1/commit").0, 200);
        shop.receive("m-3", "a", "main", 1);
        assert_eq!(shop.put("/v1/skus/a", &json!({"discontinued": false})).0, 200);
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&[("a", 4)])).0, 201);
        assert_eq!(shop.put("/v1/skus/a", &json!({"discontinued": 1})).1["errors"][0]["pointer"], "/discontinued");
    });
}

#[test]
fn an_edit_of_a_sku_that_has_changed_meanwhile_is_refused() {
    everywhere(|shop| {
        let edit = |tag: &str, discontinued: bool| {
            let body = json!({"discontinued": discontinued}).to_string();
            let request = Request::put("/v1/skus/a").header("content-type", "application/json").header("if-match", tag);
            let request = request.body(Body::from(body)).expect("a request");
            wait(async {
                let response = shop.router.clone().oneshot(request).await.expect("an answer");
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
            })
        };
        assert_eq!(edit("\"0\"", true).0, 200);
        let (status, no) = edit("\"0\"", false);
        assert_eq!((status, &no["code"]), (412, &json!("precondition-failed")));
        assert_eq!((edit("\"1\"", false).0, edit("*", true).0), (200, 200));
    });
}

#[test]
fn every_fault_of_a_request_is_named_in_one_answer() {
    everywhere(|shop| {
        let body = json!({"lines": [{"sku": "", "quantity": 0}, {"sku": "a", "quantity": 1.5}], "hold_secs": -1});
        let (status, no) = shop.put("/v1/reservations/r-1", &body);
        let pointers: Vec<_> = no["errors"].as_array().expect("faults").iter().map(|e| &e["pointer"]).collect();
        assert_eq!(status, 422);
        assert_eq!(pointers, ["/lines/0/sku", "/lines/0/quantity", "/lines/1/quantity", "/hold_secs"]);
        assert_eq!(shop.put("/v1/reservations/r-1", &json!({"lines": []})).0, 422);
        assert_eq!(shop.put("/v1/reservations/r-1", &json!({"linse": []})).0, 422);
        let both = json!({"type": "receive", "sku": "a", "warehouse": "w", "quantity": 1, "counted": 1});
        assert_eq!(shop.put("/v1/stock-movements/m-1", &both).1["errors"][0]["pointer"], "/counted");
    });
}

#[test]
fn many_levels_are_read_at_once_in_the_order_asked() {
    everywhere(|shop| {
        shop.receive("m-1", "b", "main", 1);
        shop.receive("m-2", "a", "east", 2);
        shop.receive("m-3", "a", "main", 3);
        let (status, levels) = shop.get("/v1/stock?sku=b&sku=none&sku=a");
        assert_eq!(status, 200);
        let items = levels["items"].as_array().expect("items");
        assert_eq!((&items[0]["sku"], &items[0]["available"]), (&json!("b"), &json!(1)));
        assert_eq!(items[1], json!({"sku": "none", "unknown": true}));
        assert_eq!((&items[2]["available"], &items[2]["warehouses"][0]["warehouse"]), (&json!(5), &json!("east")));
        let (_, same) = shop.ask(Method::POST, "/v1/stock/query", &json!({"skus": ["b", "none", "a"]}));
        assert_eq!(same, levels);
        assert_eq!(shop.get("/v1/stock").0, 400);
    });
}

impl Running {
    /// Sends a table; gives back the status, and the lines of the answer or the problem.
    fn import(&self, path: &str, content_type: &str, table: &str) -> (u16, Vec<Value>) {
        let request = Request::builder().method(Method::PUT).uri(path).header("content-type", content_type);
        let (status, text) = self.text(request.body(Body::from(table.to_owned())).expect("a request"));
        (status, text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
    }

    fn text(&self, request: Request<Body>) -> (u16, String) {
        let answer = async {
            let response = self.router.clone().oneshot(request).await.expect("an answer");
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.expect("a body").to_bytes();
            (status, String::from_utf8(bytes.to_vec()).expect("UTF-8"))
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(answer)
    }
}

fn done(rows: u64, counted: u64, counted_before: u64, refused: u64) -> Value {
    json!({"done": {
        "rows": rows, "counted": counted, "counted_before": counted_before, "refused": refused, "dry_run": false
    }})
}

#[test]
fn a_table_is_counted_row_by_row_and_what_is_wrong_is_said_with_its_row() {
    everywhere(|shop| {
        let table = "sku,warehouse,counted,external_id\nA,main,5,4711\nA,main,6,\n,main,1,\nB,main,-1,\nB,no place,1,\nC,north,0,\nD,main,1\n";
        let (status, lines) = shop.import("/v1/stock-imports/monday", "text/csv", table);
        assert_eq!(status, 200);
        let refused: Vec<_> = lines.iter().filter_map(|line| line["refused"]["row"].as_u64()).collect();
        assert_eq!(refused, [3, 4, 5, 6, 8], "{lines:?}");
        let details: Vec<_> = lines.iter().filter_map(|line| line["refused"]["detail"].as_str()).collect();
        for (detail, says) in details.iter().zip(["row 2", "the SKU is missing", "counted:", "warehouse:", "3 fields"])
        {
            assert!(detail.contains(says), "{detail}");
        }
        assert_eq!(lines.last(), Some(&done(7, 2, 0, 5)));
        assert_eq!(shop.level("A")["on_hand"], 5);
        assert_eq!(shop.level("C")["on_hand"], 0);
        shop.books_follow_from_the_journal();
    });
}

#[test]
fn a_table_that_is_sent_again_counts_nothing_again_and_goes_on_where_it_was() {
    everywhere(|shop| {
        let row = |number: u64| format!("SKU-{number},{number}\n");
        let some: String = (1..=300).map(row).collect();
        let all: String = (1..=1_000).map(row).collect();
        let path = "/v1/stock-imports/first?in=main";
        let header = "sku,counted\n";
        let (_, lines) = shop.import(path, "text/csv", &format!("{header}{some}"));
        assert_eq!(lines.last(), Some(&done(300, 300, 0, 0)));
        // Somebody sells in between; a row that was counted before does not undo it.
        let sold = json!({"type": "adjust", "sku": "SKU-7", "warehouse": "main", "quantity": -2, "reason": "sold"});
        assert_eq!(shop.put("/v1/stock-movements/sold", &sold).0, 201);
        let (_, lines) = shop.import(path, "text/csv", &format!("{header}{all}"));
        assert_eq!(lines.last(), Some(&done(1_000, 700, 300, 0)));
        assert_eq!(shop.level("SKU-7")["on_hand"], 5);
        assert_eq!(shop.level("SKU-1000")["on_hand"], 1_000);
        let (_, lines) = shop.import(path, "text/csv", "sku,counted\nSKU-1,2\n");
        assert!(lines[0]["refused"]["detail"].as_str().unwrap().contains("another name"), "{lines:?}");
        assert_eq!(shop.level("SKU-1")["on_hand"], 1);
    });
}

#[test]
fn a_dry_run_says_what_is_wrong_and_counts_nothing() {
    everywhere(|shop| {
        let table = "{\"Artikel\":\"A\",\"Lager\":\"main\",\"Bestand\":5}\n{\"Artikel\":\"B\",\"Lager\":\"main\",\"Bestand\":\"many\"}\n";
        let path = "/v1/stock-imports/dry?dry_run=true&sku=Artikel&warehouse=Lager&counted=Bestand";
        let (_, lines) = shop.import(path, "application/x-ndjson", table);
        assert_eq!(lines[0]["refused"]["row"], 2);
        let sums = &lines[1]["done"];
        assert_eq!((&sums["rows"], &sums["counted"], &sums["dry_run"]), (&json!(2), &json!(1), &json!(true)));
        assert_eq!(shop.get("/v1/stock/A").0, 404);
        // In earnest, under the same name: a dry run has taken none.
        let (_, lines) = shop.import(&path.replace("dry_run=true&", ""), "application/x-ndjson", table);
        assert_eq!(lines.last(), Some(&done(2, 1, 0, 1)));
    });
}

#[test]
fn a_table_without_the_columns_is_refused_as_a_whole() {
    everywhere(|shop| {
        let (status, problem) = shop.import("/v1/stock-imports/x", "text/csv", "article,stock\nA,5\n");
        assert_eq!((status, problem[0]["code"].as_str()), (422, Some("invalid-request")));
        assert!(problem[0]["errors"][0]["detail"].as_str().unwrap().contains("?sku="), "{problem:?}");
        assert_eq!(shop.import("/v1/stock-imports/x", "text/plain", "sku\n").0, 415);
        assert_eq!(shop.import("/v1/stock-imports/x?colour=red", "text/csv", "sku\n").0, 400);
        assert_eq!(shop.import(&format!("/v1/stock-imports/{}", "x".repeat(41)), "text/csv", "sku\n").0, 422);
    });
}

#[test]
fn what_is_exported_can_be_imported() {
    everywhere(|shop| {
        for number in 0..1_001 {
            shop.receive(&format!("m-{number}"), &format!("SKU-{:04}", number / 2), ["main", "north"][number % 2], 3);
        }
        assert_eq!(shop.put("/v1/reservations/r", &json!({"lines": [{"sku": "SKU-0000", "quantity": 2}]})).0, 201);
        let get = |accept: &str| Request::get("/v1/stock-export").header("accept", accept).body(Body::empty()).unwrap();
        let (status, table) = shop.text(get("text/csv"));
        assert_eq!((status, table.lines().count()), (200, 1_002));
        assert_eq!(table.lines().next(), Some("sku,warehouse,counted,reserved,committed,owed,available"));
        assert_eq!(table.lines().nth(1), Some("SKU-0000,main,3,2,0,0,1"));
        let (_, lines) = shop.import("/v1/stock-imports/back", "text/csv", &table);
        assert_eq!(lines.last(), Some(&done(1_001, 1_001, 0, 0)));
        let (_, json_lines) = shop.text(get("application/x-ndjson"));
        assert_eq!(json_lines.lines().count(), 1_001);
    });
}

#[test]
fn what_is_asked_five_times_at_once_under_a_key_happens_once() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        let told = shop.five_times("/v1/reservations/r-1/extend", &json!({"hold_secs": 3_600}), "k-1");
        let first = one_and_its_replays(&told);
        assert_eq!((first.status, first.content_type.as_str()), (200, "application/json"));
        assert_eq!(first.json()["status"], "reserved");
        assert_eq!(shop.said("StockReservationExtended"), 1);

        let told = shop.five_times("/v1/reservations/r-1/commit", &Value::Null, "k-2");
        assert_eq!(one_and_its_replays(&told).json()["status"], "committed");
        assert_eq!(shop.post("/v1/reservations/r-1/ship").1["status"], "shipped");
        let again = shop.under_key("/v1/reservations/r-1/commit", &Value::Null, "k-2");
        assert_eq!((again.is_replayed, again.json()["status"].clone()), (true, json!("committed")), "as it was then");
        let told = shop.five_times("/v1/reservations/r-1/ship", &Value::Null, "k-3");
        assert_eq!(one_and_its_replays(&told).json()["status"], "shipped");
        let told = shop.five_times("/v1/reservations/never/release", &Value::Null, "k-4");
        assert_eq!(one_and_its_replays(&told).json()["status"], "released");
        assert_eq!(shop.level("a")["on_hand"], 6);
    });
}

#[test]
fn a_key_that_stands_for_something_else_is_refused() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        for name in ["r-1", "r-2"] {
            assert_eq!(shop.put(&format!("/v1/reservations/{name}"), &lines(&[("a", 4)])).0, 201);
        }
        let minute = json!({"hold_secs": 60});
        assert_eq!(shop.under_key("/v1/reservations/r-1/extend", &minute, "k").status, 200);
        let same = shop.under_key("/v1/reservations/%72-1/extend", &json!({"hold_secs": 60}), "\"k\"");
        assert!(same.is_replayed, "{same:?}");
        for (path, body) in [
            ("/v1/reservations/r-1/extend", &json!({"hold_secs": 61})),
            ("/v1/reservations/r-2/extend", &minute),
            ("/v1/reservations/r-1/commit", &Value::Null),
        ] {
            let no = shop.under_key(path, body, "k");
            assert_eq!((no.status, no.json()["code"].clone()), (422, json!("different-content")), "{path}");
            assert!(!no.is_replayed, "{path}");
        }
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "reserved");
        let no = shop.under_key("/v1/reservations/r-1/extend", &minute, "a b");
        assert_eq!((no.status, no.json()["errors"][0]["pointer"].clone()), (422, json!("Idempotency-Key:")));
        // A body with a fault is no request yet; the key is free for the right one.
        assert_eq!(shop.under_key("/v1/reservations/r-1/extend", &json!({"hold_secs": 0}), "k-2").status, 422);
        assert_eq!(shop.under_key("/v1/reservations/r-1/extend", &minute, "k-2").status, 200);
    });
}

#[test]
fn a_refusal_is_told_again_under_its_key_whatever_has_changed() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        let told = shop.five_times("/v1/reservations/r-1/commit", &Value::Null, "k");
        let first = one_and_its_replays(&told);
        assert_eq!((first.status, first.content_type.as_str()), (404, "application/problem+json"));
        assert_eq!(first.json()["code"], "unknown-reservation");
        assert_eq!(first.json()["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        let again = shop.under_key("/v1/reservations/r-1/commit", &Value::Null, "k");
        assert_eq!(again, Told { is_replayed: true, ..first.clone() });
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "reserved");
        assert_eq!(shop.under_key("/v1/reservations/r-1/commit", &Value::Null, "k-2").status, 200);
    });
}

#[test]
fn a_put_is_safe_to_repeat_by_its_name_and_knows_no_key() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        let put = |name: &str| {
            let path = format!("/v1/reservations/{name}");
            wait(shop.tell(Method::PUT, &path, &lines(&[("a", 1)]), Some("k")))
        };
        let told = [put("r-1"), put("r-1"), put("r-2")];
        assert_eq!(told.map(|told| (told.status, told.is_replayed)), [(201, false), (200, false), (201, false)]);
    });
}

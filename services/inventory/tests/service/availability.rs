//! Stock as others see it and keep it: signals, tags, and copies.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use db::{Location, MemoryDisk};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use world::{Chance, World};

use crate::shop::{Running, everywhere, everywhere_with, lines, wait};

/// An answer with its tag.
struct Answered {
    status: u16,
    tag: Option<String>,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Asks with headers of its own.
fn ask(shop: &Running, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answered {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Body::from(body)).expect("a request");
    wait(async {
        let response = shop.router.clone().oneshot(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let tag = head.headers.get("etag").map(|tag| tag.to_str().expect("a tag").to_owned());
        let body = body.collect().await.expect("a body").to_bytes();
        Answered { status: head.status.as_u16(), tag, body: String::from_utf8(body.to_vec()).expect("text") }
    })
}

impl Running {
    /// Says of a SKU that it is sold no more.
    async fn said_of(&self, sku: String) {
        let path = format!("/v1/skus/{sku}");
        assert_eq!(self.tell(Method::PUT, &path, &json!({"discontinued": true}), None).await.status, 200);
    }
}

fn get(shop: &Running, path: &str, headers: &[(&str, &str)]) -> Answered {
    ask(shop, Method::GET, path, headers, String::new())
}

/// Stock by SKU, as somebody else keeps it.
type Copy = BTreeMap<String, Value>;

fn take(copy: &mut Copy, stock: &Value) {
    copy.insert(stock["sku"].as_str().expect("a SKU").to_owned(), stock.clone());
}

/// All stock, and the place from which to go on; of a snapshot that broke off after so many lines, nothing.
fn snapshot(shop: &Running, breaks_off_after: Option<usize>) -> Option<(Copy, String)> {
    let told = get(shop, "/v1/availability-snapshot", &[]);
    assert_eq!(told.status, 200);
    let mut copy = Copy::new();
    for line in told.body.lines().take(breaks_off_after.unwrap_or(usize::MAX)) {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let Some(done) = line.get("done") else {
            take(&mut copy, &line);
            continue;
        };
        assert_eq!(done["skus"], copy.len());
        return Some((copy, done["next"].as_str().expect("a cursor").to_owned()));
    }
    None
}

/// One page of changes, taken over; gives back the place from which to go on.
fn follow(shop: &Running, copy: &mut Copy, after: &str, limit: usize) -> String {
    let (status, page) = shop.get(&format!("/v1/availability?limit={limit}&after={after}"));
    assert_eq!(status, 200, "{page:#}");
    page["items"].as_array().expect("items").iter().for_each(|stock| take(copy, stock));
    page["next"].as_str().expect("a cursor").to_owned()
}

/// Stock of all SKUs as it is.
fn truth(shop: &Running, skus: &[String]) -> Copy {
    let mut truth = Copy::new();
    for some in skus.chunks(500) {
        let (_, page) = shop.ask(Method::POST, "/v1/stock/query", &json!({"skus": some}));
        let known = page["items"].as_array().expect("items").iter().filter(|stock| stock.get("unknown").is_none());
        known.for_each(|stock| take(&mut truth, stock));
    }
    truth
}

/// Something that changes stock, or tries to.
fn act(shop: &Running, chance: &mut Chance, name: &str, skus: &[String]) {
    let sku = skus[chance.below(skus.len())].as_str();
    let warehouse = ["main", "north"][chance.below(2)];
    match chance.below(6) {
        0 | 1 => {
            let delivery = json!({"type": "receive", "sku": sku, "warehouse": warehouse, "quantity": 3});
            shop.put(&format!("/v1/stock-movements/{name}"), &delivery);
        }
        2 => {
            shop.put(&format!("/v1/skus/{sku}"), &json!({"discontinued": chance.once_in(2)}));
        }
        _ => {
            let other = skus[chance.below(skus.len())].as_str();
            shop.put(&format!("/v1/reservations/{name}"), &lines(&[(sku, 1), (other, 1)]));
            let end = ["commit", "release"][chance.below(2)];
            shop.post(&format!("/v1/reservations/{name}/{end}"));
        }
    }
}

#[test]
fn a_copy_that_is_kept_while_stock_moves_comes_to_be_the_truth_also_after_crashes() {
    everywhere(|shop| {
        let skus: Vec<String> = (0..40).map(|number| format!("sku-{number}")).collect();
        let mut chance = World::simulated(7).chance("copier");
        for (number, sku) in skus.iter().take(20).enumerate() {
            shop.receive(&format!("first-{number}"), sku, "main", 2);
        }
        std::thread::scope(|scope| {
            let writers = ["a", "b"].map(|writer| {
                let (skus, shop) = (&skus, &*shop);
                scope.spawn(move || {
                    let mut chance = World::simulated(7).chance(writer);
                    for number in 0..120 {
                        act(shop, &mut chance, &format!("{writer}-{number}"), skus);
                    }
                })
            });
            assert_eq!(snapshot(shop, Some(3)), None, "what broke off gives no place to go on from");
            let (mut copy, mut next) = snapshot(shop, None).expect("all of it");
            // What was last brought to safety.
            let mut saved = (copy.clone(), next.clone());
            let mut quiet = 0;
            while quiet < 2 {
                let is_over = writers.iter().all(std::thread::ScopedJoinHandle::is_finished);
                let before = next.clone();
                next = follow(shop, &mut copy, &next, 1 + chance.below(30));
                match chance.below(8) {
                    // It crashes: some of what it took over after it last saved its place is there, some not.
                    0 => {
                        let (old, place) = saved.clone();
                        let half: Vec<_> = old.into_iter().filter(|_| chance.once_in(2)).collect();
                        copy.extend(half);
                        next = place;
                    }
                    1 => saved = (copy.clone(), next.clone()),
                    _ => {}
                }
                quiet = if is_over && next == before { quiet + 1 } else { 0 };
            }
            assert_eq!(copy, truth(shop, &skus));
            assert!(copy.len() > 20, "some SKUs came in after the snapshot");
        });
        let (fresh, _) = snapshot(shop, None).expect("all of it");
        assert_eq!(fresh, truth(shop, &skus));
    });
}

/// Counts a SKU in so many warehouses each, by way of a table.
fn count(shop: &Running, name: &str, skus: &[String], warehouses: usize) {
    let row = |sku: &String, warehouse: usize| format!("{sku},w{warehouse:04},7\n");
    let rows = skus.iter().flat_map(|sku| (0..warehouses).map(move |warehouse| row(sku, warehouse)));
    let table: String = std::iter::once("sku,warehouse,counted\n".to_owned()).chain(rows).collect();
    let import = format!("/v1/stock-imports/{name}");
    let told = ask(shop, Method::PUT, &import, &[("content-type", "text/csv")], table);
    assert!(told.body.contains(r#""refused":0"#), "{}", told.body);
}

#[test]
fn a_snapshot_has_every_level_of_every_sku_however_many_there_are() {
    everywhere(|shop| {
        let skus: Vec<String> = (0..500).map(|number| format!("s-{number:03}")).collect();
        count(shop, "many", &skus, 9);
        count(shop, "wide", &["p-wide".to_owned()], 2_500);
        let (copy, next) = snapshot(shop, None).expect("all of it");
        assert_eq!(copy.len(), 501);
        let all: Vec<String> = copy.keys().cloned().collect();
        assert_eq!(copy, truth(shop, &all));
        assert_eq!(copy["p-wide"]["warehouses"].as_array().map(Vec::len), Some(2_500));
        assert_eq!(follow(shop, &mut Copy::new(), &next, 500), next, "nothing has changed since");
    });
}

#[test]
fn what_one_event_changes_comes_together_also_where_it_is_more_than_a_page() {
    everywhere(|shop| {
        for sku in ["a", "b", "c", "d"] {
            shop.receive(&format!("of-{sku}"), sku, "main", 1);
        }
        let (mut copy, next) = snapshot(shop, None).expect("all of it");
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 1)])).0, 201);
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("b", 1), ("c", 1), ("d", 1)])).0, 201);
        let mut pages = Vec::new();
        let mut after = next;
        loop {
            let (_, page) = shop.get(&format!("/v1/availability?limit=2&after={after}"));
            let next = page["next"].as_str().expect("a cursor").to_owned();
            let items = page["items"].as_array().expect("items");
            for stock in items {
                take(&mut copy, stock);
            }
            pages.push(items.len());
            if next == after {
                break;
            }
            after = next;
        }
        assert_eq!(pages, [1, 3, 0]);
        assert!(copy.values().all(|stock| stock["signal"] == "gone"), "{copy:#?}");
    });
}

#[test]
fn a_question_for_changes_waits_until_there_are_some() {
    everywhere(|shop| {
        shop.receive("first", "a", "main", 1);
        let (_, next) = snapshot(shop, None).expect("all of it");
        let path = format!("/v1/availability?after={next}");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| get(shop, &path, &[("prefer", "wait=30")]));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waits.is_finished());
            shop.receive("second", "b", "main", 4);
            let told = waits.join().expect("it ends").json();
            assert_eq!((&told["items"][0]["sku"], &told["items"][0]["signal"]), (&json!("b"), &json!("low")));
        });
        let told = get(shop, "/v1/availability?after=AVsiNyIsM10", &[]).json();
        assert_eq!(told["code"], "cursor-of-another-life");
        let beyond = web::Cursor::new(&(shop.database.incarnation(), 1_000));
        let told = get(shop, &format!("/v1/availability?after={beyond}"), &[]).json();
        assert_eq!((&told["code"], &told["newest"]), (&json!("cursor-beyond-the-end"), &json!(2)));
    });
}

#[test]
fn stock_that_is_as_it_was_is_not_sent_again() {
    everywhere(|shop| {
        shop.receive("first", "a", "main", 2);
        for path in ["/v1/stock/a", "/v1/stock?sku=a&sku=unknown"] {
            let told = get(shop, path, &[]);
            let tag = told.tag.clone().expect("a tag");
            let again = get(shop, path, &[("if-none-match", &tag)]);
            assert_eq!((again.status, again.body.len(), again.tag), (304, 0, Some(tag.clone())), "{path}");
            assert_eq!(shop.put(&format!("/v1/reservations/r-{}", path.len()), &lines(&[("a", 1)])).0, 201);
            let other = get(shop, path, &[("if-none-match", &tag)]);
            assert_eq!(other.status, 200, "{path}");
            assert_ne!(other.tag, Some(tag), "{path}");
        }
    });
}

#[test]
fn a_signal_says_how_much_there_is_without_saying_how_many() {
    let config = inventory::Config { low_upto: 3, plenty_from: 6, ..inventory::Config::default() };
    everywhere_with(&config, |shop| {
        let signal = || shop.get("/v1/stock/a").1["signal"].clone();
        shop.receive("first", "a", "main", 5);
        shop.receive("second", "a", "north", 1);
        let mut said = vec![signal()];
        for number in 0..6 {
            assert_eq!(shop.put(&format!("/v1/reservations/r-{number}"), &lines(&[("a", 1)])).0, 201);
            said.push(signal());
        }
        assert_eq!(said, ["plenty", "in_stock", "in_stock", "low", "low", "last_one", "gone"]);
        shop.receive("third", "a", "main", 50);
        assert_eq!(signal(), "plenty");
        let (_, next) = snapshot(shop, None).expect("all of it");
        let (_, few) = shop.put("/v1/skus/a", &json!({"discontinued": false, "low_upto": 50}));
        assert_eq!((&few["low_upto"], signal()), (&json!(50), json!("low")));
        let list = || shop.get("/v1/stock?sku=a").1["items"][0]["signal"].clone();
        assert_eq!([list(), list()], ["low", "low"], "also where it was read lately");
        let (_, changes) = shop.get(&format!("/v1/availability?after={next}"));
        assert_eq!(changes["items"][0]["signal"], "low", "{changes:#}");
        assert_eq!(snapshot(shop, None).expect("all of it").0["a"]["signal"], "low");
        shop.put("/v1/skus/a", &json!({"discontinued": false}));
        assert_eq!((signal(), list(), shop.said("SkuSignalChanged")), (json!("plenty"), json!("plenty"), 2));
        shop.put("/v1/skus/a", &json!({"discontinued": true}));
        assert_eq!(signal(), "gone", "nothing of it can be promised");
    });
}

#[test]
fn who_was_answered_finds_what_he_was_answered_while_others_change_the_same() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 1_000);
        shop.receive("m-2", "b", "main", 1_000);
        std::thread::scope(|scope| {
            let reserving = (0..4).map(|thread| {
                scope.spawn(move || {
                    for number in 1..=50 {
                        let wish = lines(&[("a", 1), ("b", 1)]);
                        assert_eq!(shop.put(&format!("/v1/reservations/r-{thread}-{number}"), &wish).0, 201);
                        let reserved = shop.get("/v1/stock/a").1["reserved"].as_i64().expect("a number");
                        assert!((number..=200).contains(&reserved), "{reserved} after {number} of its own");
                    }
                })
            });
            let reserving: Vec<_> = reserving.collect();
            // Whoever reads between a change and its commit is not to be believed later.
            for _ in 0..3 {
                scope.spawn(|| (0..1_000).for_each(|_| drop(shop.level("a"))));
            }
            let mut before = 0;
            while reserving.iter().any(|thread| !thread.is_finished()) {
                let stock = shop.ask(Method::POST, "/v1/stock/query", &json!({"skus": ["b", "a"]})).1;
                let [b, a] = [0, 1].map(|place| stock["items"][place]["reserved"].as_i64().expect("a number"));
                assert_eq!(a, b, "both are held by the same commits");
                assert!(before <= a, "{a} after {before}");
                before = a;
            }
        });
        assert_eq!(shop.level("a")["reserved"], 200);
    });
}

#[test]
fn a_snapshot_of_more_than_a_page_knows_what_was_said_of_skus_at_its_ends_and_between() {
    everywhere(|shop| {
        let rows: Vec<String> = (0..2_050).map(|number| format!("s-{number:04},main,{}\n", number % 7)).collect();
        let table = format!("sku,warehouse,counted\n{}", rows.concat());
        let counted = ask(shop, Method::PUT, "/v1/stock-imports/all", &[("content-type", "text/csv")], table);
        assert_eq!(counted.status, 200);
        // A page holds 2,000; of those with a letter nothing lies anywhere.
        let said = ["r", "s-0000", "s-0000a", "s-0001", "s-1998", "s-1999", "s-1999a", "s-2000", "s-2000a", "s-2001"];
        let said = said.into_iter().chain(["s-2049", "s-2049a", "t"]);
        for sku in said.clone() {
            assert_eq!(shop.put(&format!("/v1/skus/{sku}"), &json!({"discontinued": true})).0, 200, "{sku}");
        }
        let mut skus: Vec<String> = (0..2_050).map(|number| format!("s-{number:04}")).collect();
        skus.extend(said.filter(|sku| sku.len() != 6).map(str::to_owned));
        let (copy, _) = snapshot(shop, None).expect("all of it");
        let truth = truth(shop, &skus);
        assert_eq!((copy.len(), truth.len()), (2_056, 2_056));
        for (sku, stock) in &truth {
            assert_eq!(copy.get(sku), Some(stock), "{sku}");
        }
    });
}

#[test]
fn a_page_of_a_snapshot_has_an_end_however_much_was_said_of_skus_without_stock() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 1);
        shop.receive("m-2", "z", "main", 1);
        let said = |number: i32| shop.said_of(format!("m-{number:04}"));
        for hundred in 0..41 {
            wait(futures_util::future::join_all((hundred * 100..).take(100).map(said)));
        }
        let lines: Vec<usize> = wait(async {
            let request = Request::get("/v1/availability-snapshot").body(Body::empty()).expect("a request");
            let mut body = shop.router.clone().oneshot(request).await.expect("an answer").into_body();
            let mut lines = Vec::new();
            while let Some(piece) = body.frame().await {
                let piece = piece.expect("a piece").into_data().expect("data");
                lines.push(String::from_utf8(piece.to_vec()).expect("text").lines().count());
            }
            lines
        });
        assert_eq!(lines, [2_001, 2_000, 101, 1], "of `a` nothing was said");
        let mut skus: Vec<String> = (0..4_100).map(|number| format!("m-{number:04}")).collect();
        skus.extend(["a".to_owned(), "z".to_owned()]);
        assert_eq!(snapshot(shop, None).expect("all of it").0, truth(shop, &skus));
    });
}

#[test]
fn all_stock_is_in_memory_soon_after_a_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || Running::on(Location::File(folder.path().join("inventory.db")), &inventory::Config::default());
    let skus: Vec<String> = (0..450).map(|number| format!("SKU-{number}")).collect();
    let before = {
        let shop = start();
        for sku in &skus {
            shop.receive(sku, sku, "main", 7);
        }
        truth(&shop, &skus)
    };
    let shop = start();
    shop.runs_until("banyan_stock_kept_in_memory_skus{} 450");
    assert_eq!(truth(&shop, &skus), before);
    // What is kept is no longer given once it has changed.
    shop.receive("more", "SKU-7", "main", 1);
    assert_eq!(shop.level("SKU-7")["on_hand"], 8);
}

type Change = Box<dyn Fn(&Running)>;

/// Two processes on one database, on each that may have them.
fn by_two(test: impl Fn(&Running, &Running)) {
    let config = inventory::Config::default();
    for place in [Location::Memory(MemoryDisk::empty()), Location::Postgres(testkit::Postgres::shared().database())] {
        test(&Running::on(place.clone(), &config), &Running::on(place, &config));
    }
}

#[test]
fn what_one_process_changes_the_other_shows_at_once() {
    by_two(|one, other| {
        one.receive("m-1", "a", "main", 10);
        one.receive("m-2", "b", "main", 10);
        let stock = |shop: &Running| shop.ask(Method::POST, "/v1/stock/query", &json!({"skus": ["a", "b"]})).1;
        let put = |path: &'static str, body: Value| move |shop: &Running| drop(shop.put(path, &body));
        let changes: [(&str, Change); 9] = [
            ("goods", Box::new(|shop| shop.receive("m-3", "a", "main", 1))),
            ("goods elsewhere", Box::new(|shop| shop.receive("m-4", "a", "north", 1))),
            ("a hold", Box::new(put("/v1/reservations/r-1", lines(&[("a", 2)])))),
            ("a commit, with which the goods leave", Box::new(|shop| drop(shop.post("/v1/reservations/r-1/commit")))),
            ("another hold", Box::new(put("/v1/reservations/r-2", lines(&[("b", 3)])))),
            ("its release", Box::new(|shop| drop(shop.post("/v1/reservations/r-2/release")))),
            ("what is said of a SKU", Box::new(put("/v1/skus/a", json!({"discontinued": false, "low_upto": 50})))),
            ("what is said of a warehouse", Box::new(put("/v1/warehouses/main", json!({"active": false})))),
            (
                "more than is looked at one by one",
                Box::new(|shop| {
                    for number in 0..501 {
                        shop.receive(&format!("more-{number}"), "b", "main", 1);
                    }
                }),
            ),
        ];
        for (changed, change) in changes {
            // All of it is kept by both.
            let before = [stock(one), stock(other), stock(one), stock(other)];
            assert!(before.iter().all(|stock| *stock == before[0]), "before {changed}: {before:#?}");
            change(one);
            let after = [stock(other), stock(one)];
            assert_ne!(after[0], before[0], "{changed} is not shown by the other");
            assert_eq!(after[0], after[1], "{changed}");
        }
    });
}

#[test]
fn of_two_processes_that_change_the_same_each_shows_what_both_have_answered() {
    by_two(|one, other| {
        one.receive("m-1", "a", "main", 1_000);
        one.receive("m-2", "b", "main", 1_000);
        std::thread::scope(|scope| {
            let reserving: Vec<_> = [(one, other), (other, one)]
                .into_iter()
                .enumerate()
                .map(|(number, (shop, reader))| {
                    scope.spawn(move || {
                        for wish in 1..=50 {
                            let both = lines(&[("a", 1), ("b", 1)]);
                            assert_eq!(shop.put(&format!("/v1/reservations/r-{number}-{wish}"), &both).0, 201);
                            let reserved = reader.level("a")["reserved"].as_i64().expect("a number");
                            assert!((wish..=100).contains(&reserved), "{reserved} after {wish} of its own");
                        }
                    })
                })
                .collect();
            for shop in [one, other] {
                scope.spawn(move || (0..500).for_each(|_| drop(shop.level("a"))));
            }
            let mut before = 0;
            for shop in [one, other].into_iter().cycle() {
                if reserving.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                    break;
                }
                let stock = shop.ask(Method::POST, "/v1/stock/query", &json!({"skus": ["b", "a"]})).1;
                let [b, a] = [0, 1].map(|place| stock["items"][place]["reserved"].as_i64().expect("a number"));
                assert_eq!(a, b, "both are held by the same commits");
                assert!(before <= a, "{a} after {before}");
                before = a;
            }
        });
        assert_eq!([one, other].map(|shop| shop.level("a")["reserved"].clone()), [json!(100), json!(100)]);
    });
}

//! Two processes on one `PostgreSQL` that want the same stock at the same moment.
//!
//! Somebody else holds a row until both wait, in the order that a test wants; whoever came first is then done
//! before the other sees anything.

use std::sync::mpsc::{Sender, channel};
use std::thread::{Scope, ScopedJoinHandle, scope};
use std::time::Duration;

use db::{Database, Location, Options, Query, Read, Table, text};
use inventory::domain::{Command, Settled};
use serde_json::{Value, json};
use testkit::{Postgres, Proxy, eventually};
use world::World;

use crate::driven::Driven;
use crate::shop::{Running, lines, wait};

static STOCK: Table = Table { name: "stock", key: &[text("sku"), text("warehouse")], rest: &[] };

/// Two processes, and somebody who holds what they want.
struct Two {
    url: String,
    one: Running,
    other: Running,
    holder: Database,
}

impl Two {
    fn new() -> Self {
        let url = Postgres::shared().database();
        let location = Location::Postgres(url.clone());
        let config = inventory::Config::default();
        let start = || Running::on(location.clone(), &config);
        let (one, other) = (start(), start());
        let options = Options { readers: 4, ..Options::default() };
        let holder = Database::open(inventory::NAME, location, options, World::real(), inventory::MIGRATIONS);
        Self { url, one, other, holder: holder.expect("a database") }
    }

    /// Waits until so many transactions wait for somebody else.
    fn until_waiting(&self, many: i64) {
        self.until(
            "they wait",
            "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE datname = current_database() AND NOT granted",
            many,
        );
    }

    /// Waits until a question is answered with so many.
    fn until(&self, what: &str, sql: &'static str, many: i64) {
        let count = move |read: &mut Read<'_>| read.rows(Query::sql(sql, []))?.remove(0).columns().int();
        eventually(what, || wait(self.holder.read(count)).expect("a number") >= many);
    }

    /// Both books say the same as the journal.
    fn books_follow_from_the_journal(&self) {
        self.one.books_follow_from_the_journal();
    }
}

/// What somebody holds until it is let go.
struct Held<'scope> {
    release: Sender<()>,
    holding: ScopedJoinHandle<'scope, ()>,
}

impl Held<'_> {
    fn let_go(self) {
        drop(self.release);
        self.holding.join().expect("it was held");
    }
}

/// Holds what this question locks.
fn hold<'scope>(scope: &'scope Scope<'scope, '_>, holder: &Database, question: Query) -> Held<'scope> {
    let ((release, released), (say, held)) = (channel::<()>(), channel());
    let holder = holder.clone();
    let holding = scope.spawn(move || {
        let holding = holder.write(move |tx| {
            tx.rows(question)?;
            say.send(()).expect("somebody waits for it");
            let _ = released.recv();
            Ok(())
        });
        wait(holding).expect("it is held");
    });
    held.recv().expect("it is held");
    Held { release, holding }
}

/// The stock of a SKU.
fn stock_of(sku: &str) -> Query {
    Query::by(&STOCK, "sku", [sku.into()]).locked()
}

/// The right to number events: who waits for it has decided.
fn positions() -> Query {
    let sql = "SELECT CAST(pg_advisory_xact_lock(hashtextextended('positions of ' || current_schema(), 0)) AS TEXT)";
    Query::sql(sql, [])
}

fn transfer(sku: &str, from: &str, to: &str, quantity: i64) -> Value {
    json!({"type": "transfer", "sku": sku, "from": from, "to": to, "quantity": quantity})
}

fn bound(sku: &str, warehouse: &str, quantity: i64) -> Value {
    json!({"lines": [{"sku": sku, "warehouse": warehouse, "quantity": quantity}]})
}

#[test]
fn goods_that_go_where_none_ever_lay_are_promised_by_whoever_waited_for_them() {
    let two = Two::new();
    two.one.receive("m-1", "a", "x", 10);
    scope(|scope| {
        let held = hold(scope, &two.holder, stock_of("a"));
        let moved = scope.spawn(|| two.one.put("/v1/stock-movements/t-1", &transfer("a", "x", "leeds", 10)));
        two.until_waiting(1);
        let reserved = scope.spawn(|| two.other.put("/v1/reservations/r-1", &lines(&[("a", 5)])));
        two.until_waiting(2);
        held.let_go();
        assert_eq!(moved.join().expect("an answer").0, 201);
        let (status, reserved) = reserved.join().expect("an answer");
        assert_eq!(
            (status, &reserved["lines"][0]["allocations"][0]["warehouse"]),
            (201, &json!("leeds")),
            "{reserved}"
        );
    });
    two.books_follow_from_the_journal();
}

#[test]
fn no_more_is_owed_than_may_be_also_where_some_is_owed_in_a_new_place_meanwhile() {
    let two = Two::new();
    two.one.receive("m-1", "a", "x", 1);
    assert_eq!(two.one.put("/v1/skus/a", &json!({"discontinued": false, "backorder_limit": 5})).0, 200);
    scope(|scope| {
        let held = hold(scope, &two.holder, stock_of("a"));
        let first = scope.spawn(|| two.one.put("/v1/reservations/r-1", &bound("a", "leeds", 5)));
        two.until_waiting(1);
        let second = scope.spawn(|| two.other.put("/v1/reservations/r-2", &bound("a", "x", 6)));
        two.until_waiting(2);
        held.let_go();
        assert_eq!(first.join().expect("an answer").0, 201);
        let (status, no) = second.join().expect("an answer");
        assert_eq!(
            (status, &no["code"], &no["short"][0]["available"]),
            (409, &json!("out-of-stock"), &json!(1)),
            "{no}"
        );
    });
    assert_eq!(two.one.level("a")["owed"], 5);
    two.books_follow_from_the_journal();
}

#[test]
fn no_more_is_owed_than_may_be_of_what_never_lay_anywhere() {
    let two = Two::new();
    assert_eq!(two.one.put("/v1/skus/a", &json!({"discontinued": false, "backorder_limit": 5})).0, 200);
    scope(|scope| {
        let held = hold(scope, &two.holder, positions());
        let first = scope.spawn(|| two.one.put("/v1/reservations/r-1", &bound("a", "leeds", 5)));
        two.until_waiting(1);
        let second = scope.spawn(|| two.other.put("/v1/reservations/r-2", &bound("a", "x", 5)));
        two.until_waiting(2);
        held.let_go();
        assert_eq!(first.join().expect("an answer").0, 201);
        let (status, no) = second.join().expect("an answer");
        assert_eq!((status, &no["code"]), (409, &json!("out-of-stock")), "{no}");
    });
    assert_eq!(two.one.level("a")["owed"], 5);
    two.books_follow_from_the_journal();
}

#[test]
fn nothing_is_promised_from_a_warehouse_that_was_closed_while_somebody_waited() {
    let two = Two::new();
    two.one.receive("m-1", "a", "x", 10);
    scope(|scope| {
        let held = hold(scope, &two.holder, stock_of("a"));
        let reserved = scope.spawn(|| two.other.put("/v1/reservations/r-1", &lines(&[("a", 5)])));
        two.until_waiting(1);
        assert_eq!(two.one.put("/v1/warehouses/x", &json!({"active": false})).0, 200);
        held.let_go();
        let (status, no) = reserved.join().expect("an answer");
        assert_eq!((status, &no["code"]), (409, &json!("out-of-stock")), "{no}");
    });
    two.books_follow_from_the_journal();
}

#[test]
fn what_comes_into_being_while_it_is_looked_for_is_let_go_all_the_same() {
    let two = Two::new();
    two.one.receive("m-1", "a", "x", 5);
    let (proxy, url) = Proxy::before(&two.url);
    let mut slow = Driven::on(Location::Postgres(url), &inventory::Config::default());
    let release = |name: &str| Command::Release { name: name.parse().expect("a name"), order: None };
    // By now it is connected, and nothing but what is asked will be in a batch.
    slow.ask("first", 1, release("r-0")).expect("it will never hold anything");
    slow.rest();
    proxy.delay(Duration::from_millis(300));
    let released = scope(|scope| {
        let reserved = scope.spawn(|| {
            // It has looked for the reservation, and not yet for the stock of its SKUs.
            let looked = "SELECT count(*) FROM pg_locks AS looked JOIN pg_locks AS writes USING (pid)
                          WHERE looked.relation = CAST('reservation' AS regclass)
                            AND writes.locktype = 'transactionid' AND writes.mode = 'ExclusiveLock'";
            two.until("it is looked for", looked, 1);
            two.one.put("/v1/reservations/r-1", &lines(&[("a", 5)]))
        });
        let released = slow.ask("release", 2, release("r-1"));
        assert_eq!(reserved.join().expect("an answer").0, 201);
        released
    });
    assert!(matches!(released, Ok(Settled::Reservation { is_new: false, .. })), "{released:?}");
    assert_eq!((two.one.level("a")["available"].clone(), two.one.said("StockReleased")), (json!(5), 2));
    two.books_follow_from_the_journal();
}

#[test]
fn whoever_promises_edits_and_takes_in_waits_for_others_and_never_in_a_circle() {
    const SKUS: [&str; 5] = ["a", "b", "c", "d", "e"];
    let two = Two::new();
    for (number, sku) in SKUS.iter().enumerate() {
        two.one.receive(&format!("first-{number}"), sku, "main", 2);
    }
    let world = World::simulated(3);
    scope(|scope| {
        for client in 0..8 {
            let (two, mut chance) = (&two, world.chance(&client.to_string()));
            scope.spawn(move || {
                for round in 0..40 {
                    let shop = [&two.one, &two.other][chance.below(2)];
                    let (name, place) = (format!("{client}-{round}"), format!("at-{}", chance.below(200)));
                    let sku = SKUS[chance.below(5)];
                    let (status, said) = match chance.below(6) {
                        0 => {
                            let offer = json!({"discontinued": false, "backorder_limit": chance.below(3) * 20});
                            shop.put(&format!("/v1/skus/{sku}"), &offer)
                        }
                        1 => shop.put("/v1/warehouses/main", &json!({"priority": chance.below(9)})),
                        2 => shop.put(&format!("/v1/stock-movements/{name}"), &transfer(sku, "main", &place, 1)),
                        3 => {
                            let more = json!({"type": "receive", "sku": sku, "warehouse": place, "quantity": 1});
                            shop.put(&format!("/v1/stock-movements/{name}"), &more)
                        }
                        _ => {
                            let wish = [0; 3].map(|_| (SKUS[chance.below(5)], 1));
                            shop.put(&format!("/v1/reservations/{name}"), &lines(&wish))
                        }
                    };
                    assert!(matches!(status, 200 | 201 | 409), "{said}");
                }
            });
        }
    });
    two.books_follow_from_the_journal();
    let database = two.url.rsplit('/').next().expect("a name");
    let log = Postgres::shared().log();
    let met = log.lines().filter(|line| line.contains(&format!(" {database} ")) && line.contains("deadlock")).count();
    assert_eq!(met, 0, "{log}");
}

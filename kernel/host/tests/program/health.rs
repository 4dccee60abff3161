use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use db::{Database, Location, Options};
use events::TableFeed;
use host::{Service, Work};
use ids::Number;
use telemetry::Meters;
use world::World;

use crate::asking::get;
use crate::listening::{Fickle, Mood, listening};
use crate::running::{Running, memory, producer, say};

#[test]
fn a_program_that_can_do_its_work_is_ready_and_says_of_what_it_consists() {
    let (orders, shop) = (memory("orders"), memory("shop"));
    let feed = orders.clone();
    let shop = listening(&shop, "orders", move || Arc::new(TableFeed::of(&feed)), &Mood::default(), &Meters::new());
    let running = Running::of(vec![producer(&orders), shop]);
    assert_eq!(get(running.address, "/health/live").json()["status"], "live");
    let ready = get(running.address, "/health/ready");
    assert_eq!((ready.status, &ready.json()["status"]), (200, &"ready".into()));
    let shop = &ready.json()["services"]["shop"];
    assert_eq!(shop["database"], "answers");
    assert_eq!(shop["workers"], serde_json::json!({"running": 1, "of": 1}));
    assert_eq!(shop["listens"]["orders"]["lag"], 0);
}

#[test]
fn a_consumer_that_has_stopped_for_good_makes_it_not_ready() {
    let (orders, shop) = (memory("orders"), memory("shop"));
    let (feed, life) = (orders.clone(), Arc::new(Mutex::new(None)));
    let shown = life.clone();
    let feed = move || Arc::new(Fickle { feed: Arc::new(TableFeed::of(&feed)), life: shown.clone() }) as _;
    let mood = Mood::default();
    let shop = listening(&shop, "orders", feed, &mood, &Meters::new());
    let running = Running::of(vec![producer(&orders), shop]);
    say(&orders, &[("Said", "a")]);
    testkit::eventually("the event was dealt with", || mood.done.load(Ordering::Relaxed) == 1);
    assert_eq!(get(running.address, "/health/ready").status, 200);
    *life.lock().expect("nobody panics") = Some(Number::from_column(7));
    testkit::eventually("the program is not ready", || get(running.address, "/health/ready").status == 503);
    let answer = get(running.address, "/health/ready");
    assert_eq!(answer.code(), "not-ready");
    let stopped = answer.json()["services"]["shop"]["listens"]["orders"]["stopped"].to_string();
    assert!(stopped.contains("it was restored"), "{stopped}");
    assert_eq!(answer.json()["services"]["orders"]["ready"], true);
    assert_eq!(get(running.address, "/health/live").status, 200);
}

#[test]
fn a_database_that_is_gone_makes_it_not_ready_until_it_is_back() {
    let postgres = testkit::Postgres::own();
    let location = Location::Postgres(postgres.database());
    let database = Database::open("shop", location, Options::default(), World::real(), &[]).expect("a database");
    let running = Running::of(vec![producer(&database), producer(&memory("orders"))]);
    assert_eq!(get(running.address, "/health/ready").status, 200);
    postgres.stop();
    let answer = get(running.address, "/health/ready");
    assert_eq!((answer.status, answer.code()), (503, "not-ready".to_owned()));
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    assert_eq!(answer.json()["services"]["shop"]["database"], "does_not_answer");
    assert_eq!(answer.json()["services"]["orders"]["database"], "answers");
    postgres.start();
    testkit::eventually("the database is back", || get(running.address, "/health/ready").status == 200);
}

/// A worker that does nothing, and nobody looks after.
struct Idle;

impl Work for Idle {
    fn turn(&mut self, _: &db::Plan) -> db::Turn {
        db::Turn::Idle
    }

    fn run(self: Box<Self>) {}

    fn start(self: Box<Self>) -> std::thread::JoinHandle<()> {
        unreachable!("a program runs its workers on threads of its own")
    }
}

#[test]
fn a_worker_that_ends_by_itself_ends_the_program_with_its_name() {
    let service = Service { workers: vec![Box::new(Idle)], ..producer(&memory("shop")) };
    let ended = Running::of(vec![service]).end();
    assert!(matches!(ended, Err(host::Broken::Worker("shop"))), "{ended:?}");
}

#[test]
fn a_task_that_ends_by_itself_ends_the_program_with_its_name() {
    let task = host::Task { name: "calls", run: Box::pin(async {}) };
    let service = Service { tasks: vec![task], ..producer(&memory("shop")) };
    let ended = Running::of(vec![service]).end();
    assert!(matches!(&ended, Err(host::Broken::Task(name)) if name == "calls"), "{ended:?}");
}

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use db::{Database, Location, MemoryDisk, Options, Plan};
use events::{Feed, TableFeed};
use host::Service;
use ids::Number;
use telemetry::Meters;
use world::World;

use crate::asking::get;
use crate::listening::{Fickle, Mood, listening};
use crate::running::{Running, memory, producer, say};

#[test]
fn the_page_tells_of_requests_desks_feeds_and_what_was_put_aside() {
    let (orders, shop, mood, meters) = (memory("orders"), memory("shop"), Mood::default(), Meters::new());
    let (feed, second) = (orders.clone(), memory("second"));
    let shop = listening(&shop, "orders", move || Arc::new(TableFeed::of(&feed)), &mood, &meters);
    let feed = orders.clone();
    let second = listening(&second, "orders", move || Arc::new(TableFeed::of(&feed)), &mood, &meters);
    let running = Running::metered(vec![producer(&orders), shop, second], &meters);
    say(&orders, &[("Said", "a"), ("Said", "b")]);
    testkit::eventually("both services have dealt with both", || mood.done.load(Ordering::Relaxed) == 4);
    mood.gives_up();
    say(&orders, &[("Said", "c")]);
    testkit::eventually("it is given up", || get(running.address, "/v1/dead-letters").body.contains("not ever"));
    assert_eq!(get(running.address, "/v1/events/none").status, 404);
    testkit::eventually("the consumers are up to date", || {
        get(running.address, "/metrics").body.contains("banyan_dead_letters{service=\"second\",source=\"orders\"} 1\n")
    });
    let page = get(running.address, "/metrics");
    assert!(page.head.contains("content-type: application/openmetrics-text"), "{}", page.head);
    let page = page.body;
    for line in [
        "banyan_http_requests_total{method=\"GET\",problem=\"unknown-service\",route=\"/v1/events/{service}\",status=\"404\"} 1",
        "banyan_http_request_seconds_count{method=\"GET\",route=\"/v1/events/{service}\"} 1",
        "banyan_desk_batch_commands_count{service=\"shop\"} ",
        "banyan_desk_batch_seconds_sum{service=\"second\"} ",
        "banyan_desk_queue_wait_seconds_count{service=\"shop\"} ",
        "banyan_desk_waiting_commands{service=\"shop\"} 0",
        "banyan_desk_running_workers{service=\"shop\"} 1",
        "banyan_events_newest_position{service=\"orders\"} 3",
        "banyan_consumer_lag_events{service=\"shop\",source=\"orders\"} ",
        "banyan_consumer_stopped{service=\"shop\",source=\"orders\"} 0",
        "banyan_outbox_age_seconds{service=\"shop\",source=\"orders\"} 0.0",
        "banyan_parked_events{service=\"shop\",source=\"orders\"} 0",
        "banyan_parked_subjects{service=\"shop\",source=\"orders\"} 0",
        "process_resident_memory_bytes ",
    ] {
        assert!(page.contains(line), "{line} is missing: {page}");
    }
    let bound = format!("counted up to {}.\n", events::MOST_COUNTED);
    assert_eq!(
        page.matches(&bound).count(),
        2,
        "it is said how far parked events and dead letters are counted: {page}"
    );
    let described: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let mut once = described.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), described.len(), "a name is described once: {page}");
    assert!(page.ends_with("# EOF\n"));
}

/// The age of the oldest event of orders that the shop has not dealt with.
fn age(running: &Running) -> f64 {
    let page = get(running.address, "/metrics").body;
    let line = page.lines().find_map(|line| line.strip_prefix(AGE)).unwrap_or_else(|| panic!("no age: {page}"));
    line.trim().parse().expect("seconds")
}

const AGE: &str = "banyan_outbox_age_seconds{service=\"shop\",source=\"orders\"} ";

#[test]
fn an_event_ages_until_the_consumer_has_dealt_with_it_or_given_it_up() {
    let folder = tempfile::tempdir().expect("a folder");
    for location in
        [Location::File(folder.path().join("shop.db")), Location::Postgres(testkit::Postgres::shared().database())]
    {
        let (orders, mood, meters) = (memory("orders"), Mood::default(), Meters::new());
        let shop = Database::open("shop", location, Options::default(), World::real(), &[]).expect("a database");
        let (feed, life) = (orders.clone(), Arc::new(Mutex::new(None)));
        let other_life = life.clone();
        let fickle = move || -> Arc<dyn Feed> {
            Arc::new(Fickle { feed: Arc::new(TableFeed::of(&feed)), life: other_life.clone() })
        };
        let shop = listening(&shop, "orders", fickle, &mood, &meters);
        let running = Running::metered(vec![producer(&orders), shop], &meters);
        assert!(age(&running) <= 0.0);
        mood.stands_still();
        say(&orders, &[("Said", "a")]);
        testkit::eventually("it waits in the midst of a batch", || age(&running) > 0.2);
        mood.is_well();
        testkit::eventually("it is dealt with", || age(&running) <= 0.0);
        mood.tries_again();
        say(&orders, &[("Said", "b")]);
        testkit::eventually("it is parked, and waits there", || age(&running) > 0.2);
        mood.gives_up();
        testkit::eventually("it is given up", || age(&running) <= 0.0);
        *life.lock().expect("no test panics in here") = Some(Number::from_column(7));
        testkit::eventually("a consumer that has stopped hears of nothing", || age(&running) > 0.2);
    }
}

#[test]
fn of_several_events_the_oldest_that_is_left_counts() {
    let world = World::simulated(1);
    let open = |name| {
        let memory = Location::Memory(MemoryDisk::empty());
        Database::open(name, memory, Options::default(), world.clone(), &[]).expect("a database")
    };
    let (orders, shop) = (open("orders"), open("shop"));
    let feed = orders.clone();
    let shop = listening(&shop, "orders", move || Arc::new(TableFeed::of(&feed)), &Mood::default(), &Meters::new());
    let Service { mut workers, listens, .. } = shop;
    let since = || listens[0].1.waits_since();
    let mut moments = Vec::new();
    for subject in ["a", "b"] {
        world.advance(Duration::from_secs(1));
        moments.push(world.now());
        say(&orders, &[("Said", subject)]);
    }
    let mut one = |from_inlets| workers[0].turn(&Plan { from_inlets, ..Plan::ALL });
    one(0);
    assert_eq!(since(), Some(moments[0]));
    one(1);
    assert_eq!(since(), Some(moments[1]));
    one(1);
    assert_eq!(since(), None);
}

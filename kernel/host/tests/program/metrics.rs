use std::sync::Arc;
use std::sync::atomic::Ordering;

use events::TableFeed;
use telemetry::Meters;

use crate::asking::get;
use crate::listening::{Mood, listening};
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
        "banyan_parked_events{service=\"shop\",source=\"orders\"} 0",
        "banyan_parked_subjects{service=\"shop\",source=\"orders\"} 0",
        "process_resident_memory_bytes ",
    ] {
        assert!(page.contains(line), "{line} is missing: {page}");
    }
    let described: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let mut once = described.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), described.len(), "a name is described once: {page}");
    assert!(page.ends_with("# EOF\n"));
}

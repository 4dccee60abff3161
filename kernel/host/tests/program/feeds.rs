use std::thread::sleep;
use std::time::{Duration, Instant};

use db::{Database, Location, MemoryDisk, Options};
use serde_json::json;
use world::World;

use crate::asking::{Answer, ask, get};
use crate::running::{Running, memory, on, producer, say};

fn positions(answer: &Answer) -> Vec<i64> {
    let answer = answer.json();
    answer["items"].as_array().expect("items").iter().filter_map(|event| event["position"].as_i64()).collect()
}

fn next(answer: &Answer) -> String {
    answer.json()["next"].as_str().expect("there is always a next").to_owned()
}

#[test]
fn a_feed_is_read_page_by_page_and_the_last_cursor_goes_on_to_what_is_new() {
    let database = memory("shop");
    say(&database, &[("Said", "a"), ("Said", "b"), ("Asked", "a"), ("Said", "c"), ("Said", "a")]);
    let running = Running::of(vec![producer(&database)]);
    let first = get(running.address, "/v1/events/shop?limit=2");
    assert_eq!((first.status, positions(&first), &first.json()["newest"]), (200, vec![1, 2], &json!(5)));
    let event = &first.json()["items"][0];
    assert_eq!((&event["type"], &event["subject"], &event["data"]), (&json!("Said"), &json!("a"), &json!({"a": 1})));
    let second = get(running.address, &format!("/v1/events/shop?limit=4&after={}", next(&first)));
    assert_eq!(positions(&second), [3, 4, 5]);
    let end = get(running.address, &format!("/v1/events/shop?after={}", next(&second)));
    assert_eq!((positions(&end), next(&end)), (vec![], next(&second)));
    say(&database, &[("Said", "d")]);
    assert_eq!(positions(&get(running.address, &format!("/v1/events/shop?after={}", next(&end)))), [6]);
}

#[test]
fn an_empty_feed_has_a_cursor_as_well() {
    let database = memory("shop");
    let running = Running::of(vec![producer(&database)]);
    let empty = get(running.address, "/v1/events/shop");
    assert_eq!(positions(&empty), Vec::<i64>::new());
    say(&database, &[("Said", "a")]);
    assert_eq!(positions(&get(running.address, &format!("/v1/events/shop?after={}", next(&empty)))), [1]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself")]
fn who_asks_after_the_latest_begins_with_what_is_said_next() {
    let database = memory("shop");
    say(&database, &[("Said", "a"), ("Asked", "b"), ("Said", "a")]);
    let running = Running::of(vec![producer(&database)]);
    let address = running.address;
    let end = get(address, "/v1/events/shop?after=latest&subject=a");
    assert_eq!((positions(&end), next(&end)), (vec![], next(&get(address, "/v1/events/shop"))));
    let path = "/v1/events/shop?after=latest&subject=a";
    let open = std::thread::spawn(move || ask(address, "GET", path, "prefer: wait=30\r\n", ""));
    sleep(Duration::from_millis(200));
    say(&database, &[("Said", "b"), ("Said", "a")]);
    assert_eq!(positions(&open.join().expect("an answer")), [5]);
    assert_eq!(positions(&get(address, &format!("/v1/events/shop?after={}", next(&end)))), [4, 5]);
    for bad in ["after=Latest", "after=latest&after=latest", "after=latest&limit=0"] {
        assert_eq!(get(address, &format!("/v1/events/shop?{bad}")).code(), "invalid-request", "{bad}");
    }
}

#[test]
fn types_and_a_subject_are_picked_out_and_the_cursor_moves_over_the_rest() {
    let database = memory("shop");
    say(&database, &[("Said", "a"), ("Asked", "b"), ("Asked", "a"), ("Sung", "a"), ("Said", "b")]);
    let running = Running::of(vec![producer(&database)]);
    let of = |query: &str| get(running.address, &format!("/v1/events/shop?{query}"));
    assert_eq!(positions(&of("type=Said")), [1, 5]);
    assert_eq!(positions(&of("type=Said&type=Sung")), [1, 4, 5]);
    assert_eq!(positions(&of("subject=a&type=Asked")), [3]);
    assert_eq!(next(&of("type=Nothing")), next(&of("limit=5")));
    assert_eq!(of("tpye=Said").status, 400);
}

#[test]
fn a_request_looks_at_so_many_events_and_then_gives_the_place_where_it_stopped() {
    let database = memory("shop");
    for _ in 0..24 {
        say(&database, &[("Said", "a"); 500]);
    }
    say(&database, &[("Asked", "a")]);
    let running = Running::of(vec![producer(&database)]);
    let first = get(running.address, "/v1/events/shop?type=Asked");
    assert_eq!(positions(&first), Vec::<i64>::new());
    let second = get(running.address, &format!("/v1/events/shop?type=Asked&after={}", next(&first)));
    assert_eq!(positions(&second), [12_001]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself")]
fn who_waits_hears_of_what_is_wanted_as_soon_as_it_is_said() {
    let database = memory("shop");
    let running = Running::of(vec![producer(&database)]);
    let address = running.address;
    let path = "/v1/events/shop?type=Asked";
    let open = std::thread::spawn(move || ask(address, "GET", path, "prefer: wait=30\r\n", ""));
    sleep(Duration::from_millis(200));
    say(&database, &[("Said", "a")]);
    sleep(Duration::from_millis(200));
    assert!(!open.is_finished(), "what is not wanted ends no wait");
    say(&database, &[("Asked", "a")]);
    assert_eq!(positions(&open.join().expect("an answer")), [2]);
    let none = ask(address, "GET", "/v1/events/shop?type=Sung", "prefer: wait=1\r\n", "");
    assert_eq!(positions(&none), Vec::<i64>::new());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself, and measures how long it takes")]
fn a_stream_brings_each_event_with_its_cursor_and_is_resumed_after_the_last_one() {
    let database = memory("shop");
    let mut running = Running::of(vec![producer(&database)]);
    let address = running.address;
    say(&database, &[("Said", "a"), ("Asked", "a")]);
    let stream =
        |headers: String| std::thread::spawn(move || ask(address, "GET", "/v1/events/shop?subject=a", &headers, ""));
    let open = stream("accept: text/event-stream\r\n".to_owned());
    sleep(Duration::from_millis(200));
    say(&database, &[("Said", "b"), ("Sung", "a")]);
    let second = next(&get(address, "/v1/events/shop?limit=2"));
    let resumed = stream(format!("accept: text/event-stream\r\nlast-event-id: {second}\r\n"));
    sleep(Duration::from_millis(200));
    running.stop();
    let began = Instant::now();
    let told = open.join().expect("a stream that ends with the program");
    assert!(told.head.contains("content-type: text/event-stream"), "{}", told.head);
    let of = |body: &str, name: &str| -> Vec<String> {
        body.lines().filter_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned()).collect()
    };
    assert_eq!(of(&told.body, "event:"), ["Said", "Asked", "Sung", "end"]);
    assert_eq!(of(&told.body, "id:")[1], second);
    assert!(of(&told.body, "data:")[0].contains("\"position\":1,"));
    assert_eq!(of(&resumed.join().expect("a stream").body, "event:"), ["Sung", "end"]);
    running.end().expect("a good end");
    assert!(began.elapsed() < Duration::from_secs(3), "streams end by themselves, in {:?}", began.elapsed());
}

#[test]
fn a_cursor_from_before_a_restore_is_refused() {
    let disk = MemoryDisk::empty();
    let database = on("shop", disk.clone(), Options::default());
    say(&database, &[("Said", "a"), ("Said", "b")]);
    let cursor = {
        let running = Running::of(vec![producer(&database)]);
        next(&get(running.address, "/v1/events/shop"))
    };
    let restored = on("shop", disk.copy(), Options { restored: true, ..Options::default() });
    let running = Running::of(vec![producer(&restored)]);
    let answer = get(running.address, &format!("/v1/events/shop?after={cursor}"));
    assert_eq!((answer.status, answer.code()), (410, "cursor-of-another-life".to_owned()));
    // Restored, and nobody said so: the same life, but less of it.
    let less = on("shop", MemoryDisk::empty(), Options::default());
    let running = Running::of(vec![producer(&less)]);
    let answer = get(running.address, &format!("/v1/events/shop?after={cursor}"));
    assert_eq!(answer.status, 410);
    assert_eq!(get(running.address, "/v1/events/shop?after=nonsense").code(), "invalid-request");
}

#[test]
fn a_cursor_beyond_the_newest_event_is_refused() {
    let disk = MemoryDisk::empty();
    let database = on("shop", disk.clone(), Options::default());
    let backup = disk.copy();
    say(&database, &[("Said", "a"), ("Said", "b")]);
    let cursor = {
        let running = Running::of(vec![producer(&database)]);
        next(&get(running.address, "/v1/events/shop"))
    };
    let running = Running::of(vec![producer(&on("shop", backup, Options::default()))]);
    let answer = get(running.address, &format!("/v1/events/shop?after={cursor}"));
    assert_eq!((answer.code(), &answer.json()["newest"]), ("cursor-beyond-the-end".to_owned(), &json!(0)));
}

#[test]
fn a_service_that_does_not_run_here_is_said_to_be_unknown_with_those_that_do() {
    let running = Running::of(vec![producer(&memory("shop"))]);
    let answer = get(running.address, "/v1/events/orders");
    assert_eq!((answer.status, answer.code()), (404, "unknown-service".to_owned()));
    assert_eq!(answer.json()["services"], json!(["shop"]));
    assert_eq!(get(running.address, "/v1/events").json()["items"], json!([{"service": "shop", "newest": 0}]));
}

#[test]
fn what_another_process_has_said_is_heard_here_soon() {
    let url = testkit::Postgres::shared().database();
    let open = || {
        let location = Location::Postgres(url.clone());
        Database::open("shop", location, Options::default(), World::real(), &[]).expect("a database")
    };
    let (here, there) = (open(), open());
    let running = Running::of(vec![producer(&here)]);
    assert_eq!(get(running.address, "/v1/events").json()["items"][0]["newest"], 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let said = there.write(|tx| {
        tx.publish(db::NewEvent {
            stream: tx.number(),
            version: 1,
            subject: "a".to_owned(),
            kind: "Said",
            schema: 1,
            occurred_at: tx.now(),
            by: db::Context::system("test", db::Trace { trace_id: 1, span_id: 1, is_sampled: true }),
            body: "{}".to_owned(),
        });
        Ok(())
    });
    runtime.block_on(said).expect("it is said");
    testkit::eventually("the news has come", || get(running.address, "/v1/events").json()["items"][0]["newest"] == 1);
}

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use events::TableFeed;
use serde_json::{Value, json};
use telemetry::Meters;

use crate::asking::{ask, get, post};
use crate::listening::{Mood, listening};
use crate::running::{Running, memory, producer, say};

/// A shop that listens to orders and has given up on two of them.
fn with_two_dead_letters(mood: &Mood) -> Running {
    let (orders, shop) = (memory("orders"), memory("shop"));
    let feed = orders.clone();
    mood.gives_up();
    let shop = listening(&shop, "orders", move || Arc::new(TableFeed::of(&feed)), mood, &Meters::new());
    let running = Running::of(vec![producer(&orders), shop]);
    say(&orders, &[("Said", "a"), ("Said", "b")]);
    testkit::eventually("both are given up", || items(running.address, "/v1/dead-letters").len() == 2);
    running
}

fn items(address: SocketAddr, path: &str) -> Vec<Value> {
    get(address, path).json()["items"].as_array().expect("items").clone()
}

#[test]
fn a_dead_letter_is_listed_with_its_event_and_its_cause() {
    let running = with_two_dead_letters(&Mood::default());
    let letters = items(running.address, "/v1/dead-letters");
    let letter = &letters[0];
    assert_eq!(
        (&letter["service"], &letter["source"], &letter["position"]),
        (&json!("shop"), &json!("orders"), &json!(1))
    );
    assert_eq!((&letter["cause"], &letter["event"]["subject"]), (&json!("not ever"), &json!("a")));
    let page = get(running.address, "/v1/dead-letters?limit=1").json();
    let next = page["next"].as_str().expect("there is a second page");
    let second = items(running.address, &format!("/v1/dead-letters?limit=1&after={next}"));
    assert_eq!((second.len(), &second[0]["position"]), (1, &json!(2)));
    assert!(items(running.address, "/v1/dead-letters?service=orders").is_empty());
}

#[test]
fn a_dead_letter_that_is_replayed_is_dealt_with_once_its_cause_is_mended() {
    let mood = Mood::default();
    let running = with_two_dead_letters(&mood);
    mood.is_well();
    let replay = "/v1/dead-letters/shop/orders/1/replay";
    assert_eq!(post(running.address, replay, &json!({})).status, 422, "a reason is asked for");
    let nowhere = post(running.address, "/v1/dead-letters/shop/ord%00ers/1/replay", &json!({"reason": "mended"}));
    assert_eq!(nowhere.code(), "unknown-dead-letter");
    let answer = post(running.address, replay, &json!({"reason": "mended"}));
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("replayed")));
    testkit::eventually("the event was dealt with", || mood.done.load(Ordering::Relaxed) == 1);
    assert_eq!(items(running.address, "/v1/dead-letters").len(), 1);
    assert_eq!(post(running.address, replay, &json!({"reason": "again"})).code(), "unknown-dead-letter");
}

#[test]
fn a_dead_letter_that_is_replayed_again_under_its_key_is_replayed_once() {
    let mood = Mood::default();
    let running = with_two_dead_letters(&mood);
    let headers = "content-type: application/json\r\nidempotency-key: k-1\r\n";
    let replay = |position: i64, reason: &str| {
        let path = format!("/v1/dead-letters/shop/orders/{position}/replay");
        ask(running.address, "POST", &path, headers, &json!({"reason": reason}).to_string())
    };
    let first = replay(1, "mended");
    assert_eq!((first.status, &first.json()["status"]), (200, &json!("replayed")));
    assert!(!first.head.contains("idempotent-replayed"), "{}", first.head);
    testkit::eventually("it is given up once more", || items(running.address, "/v1/dead-letters").len() == 2);
    mood.is_well();
    let again = replay(1, "mended");
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert!(again.head.contains("idempotent-replayed: true"), "{}", again.head);
    assert_eq!(replay(1, "another").code(), "different-content");
    assert_eq!(replay(2, "mended").code(), "different-content");
    assert_eq!(items(running.address, "/v1/dead-letters").len(), 2);
    assert_eq!(mood.done.load(Ordering::Relaxed), 0);
}

#[test]
fn a_dead_letter_that_is_discarded_is_gone() {
    let mood = Mood::default();
    let running = with_two_dead_letters(&mood);
    mood.is_well();
    let answer = post(running.address, "/v1/dead-letters/shop/orders/2/discard", &json!({"reason": "a test order"}));
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("discarded")));
    assert_eq!(items(running.address, "/v1/dead-letters").len(), 1);
    let settled = items(running.address, "/v1/settled-letters");
    let told: Vec<_> = ["service", "source", "subject", "cause", "status", "actor", "reason"]
        .map(|name| settled[0][name].clone())
        .into();
    assert_eq!(told, ["shop", "orders", "b", "not ever", "discarded", "local", "a test order"]);
    assert_eq!((settled.len(), &settled[0]["position"]), (1, &json!(2)));
    assert!(items(running.address, "/v1/settled-letters?service=orders").is_empty());
    assert_eq!(mood.done.load(Ordering::Relaxed), 0);
    let unknown = post(running.address, "/v1/dead-letters/none/orders/1/discard", &json!({"reason": "x"}));
    assert_eq!(unknown.code(), "unknown-service");
}

#[test]
fn what_is_tried_again_is_listed_until_it_is_dealt_with() {
    let (orders, shop, mood) = (memory("orders"), memory("shop"), Mood::default());
    let feed = orders.clone();
    mood.tries_again();
    let shop = listening(&shop, "orders", move || Arc::new(TableFeed::of(&feed)), &mood, &Meters::new());
    let running = Running::of(vec![producer(&orders), shop]);
    say(&orders, &[("Said", "a")]);
    testkit::eventually("it is parked", || items(running.address, "/v1/parked-events").len() == 1);
    let parked = &items(running.address, "/v1/parked-events?service=shop")[0];
    assert_eq!((&parked["cause"], parked["due_at"].is_string()), (&json!("not now"), true));
    mood.is_well();
    testkit::eventually("it was dealt with", || items(running.address, "/v1/parked-events").is_empty());
    assert_eq!(mood.done.load(Ordering::Relaxed), 1);
}

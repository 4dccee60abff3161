use std::sync::Arc;

use events::TableFeed;
use serde_json::{Value, json};
use telemetry::Meters;

use crate::asking::{ask, get, post};
use crate::listening::{Mood, listening};
use crate::running::{Running, memory, producer, say};

#[test]
fn the_page_of_the_requests_needs_nothing_from_elsewhere_and_runs_only_what_stands_in_it() {
    let running = Running::of(vec![producer(&memory("shop"))]);
    let page = get(running.address, "/docs");
    assert!(page.status == 200 && page.head.contains("text/html"), "{}", page.head);
    assert!(page.head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"), "{}", page.head);
    for outside in ["https://", "src=", "@import", "url(", " style=", "onclick", "onload"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
    let document = get(running.address, "/openapi.json").json();
    let operations = document["paths"].as_object().expect("paths").values().filter_map(|path| path.as_object());
    let ids: Vec<_> = operations
        .flat_map(|methods| methods.values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    assert!(ids.len() >= 12, "{ids:?}");
    for id in ids {
        assert!(page.body.contains(&format!("<article id=\"{id}\">")), "{id} is missing");
        assert!(page.body.contains(&format!("href=\"#{id}\"")), "nothing leads to {id}");
    }
}

#[test]
fn a_document_that_has_not_changed_is_not_sent_again() {
    let running = Running::of(vec![producer(&memory("shop"))]);
    let first = get(running.address, "/openapi.json");
    let tag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    // The head is told in lower case, and a tag is not.
    assert_eq!(first.status, 200, "{tag}");
    let again = ask(running.address, "GET", "/openapi.json", "if-none-match: *\r\n", "");
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}

#[test]
fn what_is_said_of_settling_a_dead_letter_is_so() {
    let (orders, shop, mood) = (memory("orders"), memory("shop"), Mood::default());
    let feed = orders.clone();
    mood.gives_up();
    let shop = listening(&shop, "orders", move || Arc::new(TableFeed::of(&feed)), &mood, &Meters::new());
    let running = Running::of(vec![producer(&orders), shop]);
    say(&orders, &[("Said", "a"), ("Said", "b")]);
    let letters = || get(running.address, "/v1/dead-letters").json()["items"].as_array().map_or(0, Vec::len);
    testkit::eventually("both are given up", || letters() == 2);
    let document = get(running.address, "/openapi.json").json();
    mood.is_well();
    for (position, action) in [(1, "replay"), (2, "discard")] {
        let operation =
            &document["paths"][format!("/v1/dead-letters/{{service}}/{{source}}/{{position}}/{action}")]["post"];
        let shown = |at: &Value| at["examples"]["mended"]["value"].clone();
        let body = shown(&operation["requestBody"]["content"]["application/json"]);
        let answer = post(running.address, &format!("/v1/dead-letters/shop/orders/{position}/{action}"), &body).json();
        let mut expected = shown(&operation["responses"]["200"]["content"]["application/json"]);
        (expected["service"], expected["source"], expected["position"]) =
            ("shop".into(), "orders".into(), json!(position));
        assert_eq!(answer, expected, "{action}");
    }
}

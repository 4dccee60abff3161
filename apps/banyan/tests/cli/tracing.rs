use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::binary::{Server, ask, banyan};
use crate::serving::addresses;

/// The trace of the caller, and the step in it.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const STEP: &str = "b7ad6b7169203331";

/// Settings under which a hold lapses soon, and payments is soon asked to give up.
const SOON: [(&str, &str); 3] =
    [("BANYAN_ORDERS__HOLD_SECS", "1"), ("BANYAN_ORDERS__PAY_MARGIN_SECS", "0"), ("BANYAN_ORDERS__PATIENCE_SECS", "1")];

fn server(words: &[&str], data: &Path, more: &[(&str, String)]) -> Server {
    let mut command: Command = banyan(words);
    command.arg("--data").arg(data).env("BANYAN_LOG", "debug");
    Server::start(command.envs(more.iter().map(|(name, value)| (name, value))))
}

/// Places an order as a part of the caller's trace; gives back how it stands after the wait.
fn order(server: &Server, name: &str, method: &str, wait_secs: u32) -> Value {
    let line = json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
    let order = json!({"lines": [line], "payment": {"method": method}});
    let headers =
        format!("traceparent: 00-{TRACE}-{STEP}-01\r\nx-request-id: request-of-{name}\r\nprefer: wait={wait_secs}\r\n");
    ask(server.address, "PUT", &format!("/v1/orders/{name}"), &headers, &order).1
}

/// The events of a service but the movements of stock, which are nobody's story.
fn events(server: &Server, service: &str) -> Vec<Value> {
    let (status, page) = server.get(&format!("/v1/events/{service}?limit=500"));
    assert_eq!(status, 200, "{page}");
    let events = page["items"].as_array().expect("items").iter();
    events.filter(|event| event["type"] != "SupplierShipmentReceived").cloned().collect()
}

fn kinds(events: &[Value]) -> BTreeSet<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

/// All events are part of the caller's trace and of the order's story; those of one step, and no
/// others, have one cause.
fn are_one_story(events: &[Value], order: &str) {
    let mut causes_of_steps = BTreeSet::new();
    for event in events {
        let parts: Vec<_> = event["traceparent"].as_str().expect("a trace").split('-').collect();
        assert_eq!((parts[1], &event["correlation"]), (TRACE, &order.into()), "{event}");
        assert_ne!(parts[2], STEP, "a step of ours is a new one: {event}");
        causes_of_steps.insert((parts[2].to_owned(), event["causation"].to_string()));
    }
    let steps: BTreeSet<_> = causes_of_steps.iter().map(|(step, _)| step).collect();
    assert_eq!(steps.len(), causes_of_steps.len(), "a step has one cause: {causes_of_steps:#?}");
}

/// Each cause is known: the request, an event, or what a service does by itself.
fn causes_are_known(all: &[Value], request: &str) {
    let ids: Vec<_> = all.iter().map(|event| &event["id"]).collect();
    for event in all {
        let is_known = match event["actor"].as_str().expect("an actor") {
            "local" => event["causation"] == request,
            "system" => true,
            _ => ids.contains(&&event["causation"]),
        };
        assert!(is_known, "{event}");
    }
}

/// The log of a program as it is now: the lines of this trace.
fn lines(server: &Server) -> Vec<Value> {
    let said = server.said();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["fields"]["trace_id"] == TRACE).collect()
}

/// Every event that was acted on has a line, which names the step that the events which follow bear.
fn the_log_tells_of_every_step(servers: &[&Server], all: &[Value]) {
    let told = || servers.iter().flat_map(|server| lines(server)).collect::<Vec<_>>();
    for event in all.iter().filter(|event| event["actor"].as_str().is_some_and(|actor| actor.starts_with("service:"))) {
        let (source, cause) = (&event["source"], &event["causation"]);
        let is_its = |line: &Value| line["fields"]["event"] == *cause && line["fields"]["service"] == *source;
        testkit::eventually("the log tells of it", || told().iter().any(is_its));
        let line = told().into_iter().find(is_its).expect("it is told");
        let (fields, trace) = (&line["fields"], event["traceparent"].as_str().expect("a trace"));
        assert_eq!((&line["level"], &fields["request_id"]), (&json!("DEBUG"), &event["correlation"]), "{line}");
        assert!(fields["span_id"].as_str().is_some_and(|step| trace.contains(step)), "{line} {event}");
    }
}

#[test]
fn one_trace_goes_through_a_checkout_in_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(&["up", "--listen", "127.0.0.1:0"], folder.path(), &[]);
    server.receive(5);
    assert_eq!(order(&server, "o-1", "pm_test_timeout_before", 20)["status"], "confirmed");
    let all = ["inventory", "orders", "payments"].map(|service| events(&server, service)).concat();
    assert!(kinds(&all).contains("PaymentAttemptAbandoned"), "also what payments does by itself is part of it");
    are_one_story(&all, "o-1");
    causes_are_known(&all, "request-of-o-1");
    the_log_tells_of_every_step(&[&server], &all);
    let request = lines(&server).into_iter().find(|line| line["message"] == "a request was answered");
    let fields = request.expect("the request has a line").get("fields").cloned().expect("fields");
    assert_eq!((&fields["request_id"], &fields["status"]), (&json!("request-of-o-1"), &json!(201)));
    assert_eq!(fields["route"], "/v1/orders/{id}");
}

#[test]
fn one_trace_goes_through_a_checkout_apart() {
    let (folder, all) = (tempfile::tempdir().expect("a folder"), addresses());
    let services = ["inventory", "orders", "payments"];
    let urls: Vec<_> = [("BANYAN_INVENTORY__URL", 0), ("BANYAN_ORDERS__URL", 1), ("BANYAN_PAYMENTS__URL", 2)]
        .map(|(name, place)| (name, format!("http://{}", all[place])))
        .into();
    let start = |place: usize| server(&["serve", services[place], "--listen", &all[place]], folder.path(), &urls);
    let servers = [start(0), start(1), start(2)];
    servers[0].receive(5);
    assert_eq!(order(&servers[1], "o-1", "pm_card_chargeDeclined", 20)["reason"], "payment_declined");
    let said: Vec<_> = services.iter().zip(&servers).map(|(service, server)| events(server, service)).collect();
    for (service, of_service) in services.iter().zip(&said) {
        assert!(of_service.len() > 1, "{service} has its part in it");
    }
    let said = said.concat();
    are_one_story(&said, "o-1");
    causes_are_known(&said, "request-of-o-1");
    the_log_tells_of_every_step(&servers.each_ref(), &said);
}

#[test]
fn what_becomes_due_is_part_of_the_story_that_waits() {
    let on_postgres = ("BANYAN_DATABASE_URL", testkit::Postgres::shared().database());
    for database in [None, Some(on_postgres)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = vec![("BANYAN_PAYMENTS__URL", "http://127.0.0.1:1".to_owned())];
        settings.extend(SOON.map(|(name, secs)| (name, secs.to_owned())));
        settings.extend(database);
        let words = ["serve", "inventory", "orders", "--listen", "127.0.0.1:0"];
        let server = server(&words, folder.path(), &settings);
        server.receive(5);
        assert_eq!(order(&server, "o-1", "pm_card_visa", 0)["status"], "pending");
        let all = || ["inventory", "orders"].map(|service| events(&server, service)).concat();
        let due = ["StockReservationExpired", "OrderStepOverdue"];
        let is_over = || due.iter().all(|kind| kinds(&all()).contains(kind));
        testkit::eventually("the hold has lapsed, and payments was asked to give up", is_over);
        are_one_story(&all(), "o-1");
        causes_are_known(&all(), "request-of-o-1");
    }
}

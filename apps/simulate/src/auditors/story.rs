//! Every order ends, once, and nothing is announced that is later found not to exist.

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;

/// What is wrong with the stories.
pub(super) fn audit(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    if !evidence.has_ended {
        found.push("something did not come to its end".to_owned());
    }
    for (service, events) in &evidence.events {
        for (place, event) in (1..).zip(events) {
            if event.position != place {
                found.push(format!("{service}: position {} stands in place {place}", event.position));
                break;
            }
        }
        let mut versions: BTreeMap<_, i64> = BTreeMap::new();
        for event in events {
            let last = versions.entry(event.stream).or_default();
            *last += 1;
            if event.version != *last {
                found.push(format!("{}: version {} where {last} follows", event.id(), event.version));
            }
        }
    }
    found.extend(each_order_ends_once(evidence));
    found.extend(what_is_said_exists(evidence));
    found
}

fn each_order_ends_once(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let mut ends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in &evidence.events["orders"] {
        let ended = ends.entry(&event.subject).or_default();
        match event.kind.as_ref() {
            kind @ ("OrderConfirmed" | "OrderCancelled") => ended.push(kind),
            "OrderStepOverdue" | "OrderCancelRequested" => {}
            kind if !ended.is_empty() => found.push(format!("{}: {kind} after {ended:?}", event.subject)),
            _ => {}
        }
    }
    for (name, ended) in ends {
        let answer = &evidence.orders[name];
        let status = answer["status"].as_str().unwrap_or("missing");
        let said = match ended.as_slice() {
            ["OrderConfirmed"] => "confirmed",
            ["OrderCancelled"] => "cancelled",
            [] => "attention",
            _ => "ended twice",
        };
        if status != said {
            found.push(format!("{name} is told to be {status}; the events say {said}"));
        }
    }
    found
}

/// Every order that anybody speaks of was placed, and every one that was placed can be read.
fn what_is_said_exists(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let placed: BTreeSet<&str> = evidence.orders.keys().map(String::as_str).collect();
    for (name, answer) in &evidence.orders {
        if answer["id"].as_str() != Some(name) {
            found.push(format!("{name} was announced and cannot be read: {answer}"));
        }
    }
    for service in ["inventory", "payments"] {
        for event in &evidence.events[service] {
            let body: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
            if let Some(order) = body["order"].as_str()
                && !placed.contains(order)
            {
                found.push(format!("{}: speaks of {order}, which nobody placed", event.id()));
            }
        }
    }
    found
}

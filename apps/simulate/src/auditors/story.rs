//! Every order ends, once, and nothing is announced that is later found not to exist.

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;
use crate::platform::SHOP;

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
    found.extend(promises_belong_to_the_shop(evidence));
    found
}

/// Whoever does something to a promise, it stays the one of the shop that it was made to.
fn promises_belong_to_the_shop(evidence: &Evidence) -> Vec<String> {
    let of_a_promise = evidence.events["inventory"].iter().filter(|event| event.body.contains("\"reservation\":"));
    let strange = of_a_promise.filter(|event| *event.by.owner != *SHOP);
    strange.map(|event| format!("{}: is said to be of {}", event.id(), event.by.owner)).collect()
}

/// An order ends once. One that is confirmed goes on only where people give up what was promised of it.
fn each_order_ends_once(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let given_up: BTreeSet<String> = evidence.events["inventory"]
        .iter()
        .filter(|event| event.kind.as_ref() == "StockReturned")
        .filter_map(|event| {
            serde_json::from_str::<serde_json::Value>(&event.body).ok()?["order"].as_str().map(Into::into)
        })
        .collect();
    let mut ends: BTreeMap<&str, &str> = BTreeMap::new();
    for event in &evidence.events["orders"] {
        let ended = ends.entry(&event.subject).or_insert("missing");
        let kind = event.kind.as_ref();
        let goes_on = match *ended {
            "confirmed" => given_up.contains(&*event.subject) && kind != "OrderConfirmed",
            "cancelled" => false,
            _ => true,
        };
        if !goes_on && !matches!(kind, "OrderStepOverdue" | "OrderCancelRequested") {
            found.push(format!("{}: {kind}, though it was {ended}", event.subject));
        }
        match kind {
            "OrderConfirmed" => *ended = "confirmed",
            "OrderCancelled" => *ended = "cancelled",
            "OrderNeedsAttention" => *ended = "attention",
            _ => {}
        }
    }
    for (name, said) in ends {
        let status = evidence.orders[name]["status"].as_str().unwrap_or("missing");
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

//! An order ends as it may: as its method of payment, its stock and its shopper allow.

use std::collections::BTreeSet;

use axum::http::Method;
use contracts::orders::Event;

use super::Evidence;

/// How a payment method behaves at the provider.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Approves,
    MayDecline,
    Declines,
    RefusesCapture,
}

impl Manner {
    fn of(method: &str) -> Self {
        match method {
            "pm_test_capture_refused" => Self::RefusesCapture,
            "pm_card_authenticationRequired" => Self::MayDecline,
            "pm_card_visa" | "pm_test_slow" | "pm_test_timeout_before" | "pm_test_timeout_after_charge" => {
                Self::Approves
            }
            _ => Self::Declines,
        }
    }
}

/// What is wrong with how orders ended.
pub(super) fn audit(evidence: &Evidence) -> Vec<String> {
    let (asked, accepted) = cancellations(evidence);
    let (refused, given_up) = (short_of_stock(evidence), given_up(evidence));
    let mut found = Vec::new();
    for envelope in &evidence.events["orders"] {
        let Ok(Some(Event::OrderPlaced(placed))) = Event::read(&envelope.kind, &envelope.body) else { continue };
        let name = placed.order.as_str();
        let order = &evidence.orders[name];
        let (status, reason) = (order["status"].as_str().unwrap_or("-"), order["reason"].as_str().unwrap_or("-"));
        let manner = Manner::of(&placed.method);
        let tries = evidence.payments[name]["attempts"].as_array().map_or(0, Vec::len);
        let may_be = match (status, reason) {
            ("confirmed", _) => manner != Manner::Declines && manner != Manner::RefusesCapture,
            ("cancelled", "payment_declined") => {
                matches!(manner, Manner::Declines | Manner::MayDecline) || tries >= evidence.max_tries
            }
            ("cancelled", "capture_failed") | ("attention", "stock_but_no_money") => manner == Manner::RefusesCapture,
            ("cancelled", "out_of_stock") | ("attention", "paid_but_no_stock") => {
                refused.contains(placed.reservation.as_str()) || given_up.contains(placed.reservation.as_str())
            }
            ("cancelled", "requested") => asked.contains(name),
            ("cancelled", "payment_timed_out" | "reservation_timed_out") => true,
            _ => false,
        };
        if !may_be {
            found.push(format!("{name}, to be paid with {}, is {status} ({reason})", placed.method));
        }
        if accepted.contains(name) && status != "cancelled" {
            found.push(format!("the cancellation of {name} was accepted, and it is {status}"));
        }
    }
    found
}

/// The orders that somebody wanted cancelled, and those of which somebody was told that they are.
fn cancellations(evidence: &Evidence) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut asked, mut accepted) = (BTreeSet::new(), BTreeSet::new());
    for (sent, answers) in evidence.exchanges.iter().filter(|(sent, _)| sent.method == Method::POST) {
        let name = sent.path.strip_prefix("/v1/orders/").and_then(|path| path.strip_suffix("/cancel"));
        let Some(name) = name else { continue };
        asked.insert(name);
        if answers.iter().any(|(status, _)| matches!(status, 200..=299)) {
            accepted.insert(name);
        }
    }
    (asked, accepted)
}

/// The reservations that people gave up, because pieces of them were missing.
fn given_up(evidence: &Evidence) -> BTreeSet<String> {
    use contracts::inventory::{Event, Settlement};
    let mut given_up = BTreeSet::new();
    for envelope in &evidence.events["inventory"] {
        if let Ok(Some(Event::ShortfallSettled(e))) = Event::read(&envelope.kind, &envelope.body)
            && e.settlement == Settlement::Release
        {
            given_up.insert(e.reservation.to_string());
        }
    }
    given_up
}

/// The reservations for which there was too little.
fn short_of_stock(evidence: &Evidence) -> BTreeSet<String> {
    use contracts::inventory::Event;
    let mut short = BTreeSet::new();
    for envelope in &evidence.events["inventory"] {
        match Event::read(&envelope.kind, &envelope.body) {
            Ok(Some(Event::StockReservationRejected(e))) => short.insert(e.reservation.to_string()),
            Ok(Some(Event::StockCommitRejected(e))) if !e.short.is_empty() => short.insert(e.reservation.to_string()),
            _ => false,
        };
    }
    short
}

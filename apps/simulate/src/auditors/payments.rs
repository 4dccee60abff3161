//! What payments answers about a payment is what the provider's book says of it, and it gives no try up whose answer is
//! on its way.

use std::collections::{BTreeMap, BTreeSet};

use contracts::payments::Event;
use payments::provider::Charge;
use serde_json::Value;

use super::Evidence;

/// The sums of a payment's charges in the book, in minor units.
#[derive(Debug, Default)]
struct Sums {
    held: i64,
    captured: i64,
    refunded: i64,
    latest: i64,
}

/// What is wrong with the answers of payments.
pub(super) fn audit(evidence: &Evidence) -> Vec<String> {
    let mut book: BTreeMap<&str, Sums> = BTreeMap::new();
    for charge in &evidence.charges {
        let payment = charge.key.payment().rsplit('/').next().unwrap_or_default();
        let sums = book.entry(payment).or_default();
        sums.held += charge.held();
        sums.captured += Charge::captured(charge);
        sums.refunded += charge.refunded();
        sums.latest = sums.latest.max(charge.key.number());
    }
    let mut found = Vec::new();
    for (order, answer) in &evidence.payments {
        let payment = evidence.orders[order]["payment"]["id"].as_str().unwrap_or_default();
        let sums = book.remove(payment).unwrap_or_default();
        if !agree(answer, &sums) {
            found.push(format!("payments says {answer} of {order}; the book says {sums:?}"));
        }
        let tries = answer["attempts"].as_array().map_or(0, Vec::len);
        if usize::try_from(sums.latest).is_ok_and(|latest| latest > tries) {
            found.push(format!("payments knows {tries} tries of {order}; the book knows number {}", sums.latest));
        }
    }
    found.extend(given_up_too_early(evidence));
    found
}

/// The tries that were given up although their own call might still be answered, and there was time.
fn given_up_too_early(evidence: &Evidence) -> Vec<String> {
    let (mut until, mut in_doubt, mut found) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for envelope in &evidence.events["payments"] {
        let stream = envelope.stream;
        match Event::read(&envelope.kind, &envelope.body) {
            Ok(Some(Event::PaymentRequested(e))) => drop(until.insert(stream, e.until)),
            Ok(Some(Event::PaymentActionRequired(e))) => drop(in_doubt.insert((stream, e.number))),
            Ok(Some(Event::PaymentOutcomeUnknown(e))) => drop(in_doubt.insert((stream, e.number))),
            Ok(Some(Event::AttemptVoidStarted(e))) => {
                let is_over = until.get(&stream).is_none_or(|until| envelope.occurred_at >= *until);
                if !is_over && !in_doubt.contains(&(stream, e.number)) {
                    let try_of = format!("try {} of {}", e.number, e.payment);
                    found.push(format!("{}: {try_of} was given up while its answer was on its way", envelope.id()));
                }
            }
            _ => {}
        }
    }
    found
}

fn agree(answer: &Value, sums: &Sums) -> bool {
    let amount = answer["amount"]["amount"].as_i64().unwrap_or(0);
    let (held, captured, refunded) = match answer["status"].as_str() {
        Some("authorized") => (amount, 0, 0),
        Some("captured") => (0, amount, 0),
        Some("refunded") => (0, amount, amount),
        // What can never be taken may be held until it is let go.
        Some("capture_failed") => (sums.held, 0, 0),
        Some("voided" | "declined") => (0, 0, 0),
        // Payments was never asked; else the story of its order has not ended.
        _ => return answer["code"] == "unknown-payment" && sums.latest == 0,
    };
    (sums.held, sums.captured, sums.refunded) == (held, captured, refunded)
}

//! Money in is money out: what the provider's book holds for each order is what became of the order.

use std::collections::{BTreeMap, BTreeSet};

use contracts::payments::Event;
use payments::provider::Charge;

use super::Evidence;

/// What is wrong with the money.
pub(super) fn audit(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let mut charges: BTreeMap<&str, Vec<&Charge>> = BTreeMap::new();
    for charge in &evidence.charges {
        charges.entry(charge.key.payment().rsplit('/').next().unwrap_or_default()).or_default().push(charge);
    }
    let given_back = given_back(evidence);
    for (name, order) in &evidence.orders {
        let payment = order["payment"]["id"].as_str().unwrap_or_default();
        let total = order["total"]["amount"].as_i64().unwrap_or(-1);
        let tries = charges.remove(payment).unwrap_or_default();
        let kept: i64 = tries.iter().map(|charge| charge.captured() - charge.refunded()).sum();
        let held: i64 = tries.iter().map(|charge| charge.held()).sum();
        let taken = tries.iter().filter(|charge| charge.captured() > 0).count();
        let (due, may_be_held) = match (order["status"].as_str(), order["reason"].as_str()) {
            (Some("confirmed"), _) if given_back.contains(payment) => (0, false),
            (Some("confirmed"), _) => (total, false),
            // Until a person has decided; the money may have been taken before its stock was given up.
            (Some("attention"), Some("paid_but_no_stock")) if kept == total => (total, false),
            (Some("attention"), Some("stock_but_no_money" | "paid_but_no_stock")) => (0, true),
            _ => (0, false),
        };
        let status = &order["status"];
        if kept != due {
            found.push(format!("{name} is {status} and costs {total}; the provider has kept {kept}"));
        }
        if held != 0 && !may_be_held {
            found.push(format!("{name} is {status}; the provider still holds {held}"));
        }
        if taken > 1 {
            found.push(format!("{name} was charged {taken} times"));
        }
    }
    for (payment, tries) in charges {
        found.push(format!("the provider knows {} charges of {payment}, which belongs to no order", tries.len()));
    }
    found.extend(said_but_not_so(evidence));
    found.extend(said_more_than_once(evidence));
    found
}

/// The payments whose money somebody asked to be given back, if they were told that it will be, or
/// if it was: the answer may be lost.
fn given_back(evidence: &Evidence) -> BTreeSet<&str> {
    let refunded = evidence.events["payments"].iter().filter(|event| event.kind.as_ref() == "PaymentRefunded");
    let refunded: BTreeSet<&str> = refunded.map(|event| event.subject.as_ref()).collect();
    let mut given_back = BTreeSet::new();
    for (sent, answers) in &evidence.exchanges {
        let payment = sent.path.strip_prefix("/v1/payments/").and_then(|path| path.strip_suffix("/refund"));
        let Some(payment) = payment else { continue };
        if refunded.contains(payment) || answers.iter().any(|(status, _)| matches!(status, 200..=299)) {
            given_back.insert(payment);
        }
    }
    given_back
}

/// Money is authorized, and captured, once for each payment.
fn said_more_than_once(evidence: &Evidence) -> Vec<String> {
    let mut times: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in &evidence.events["payments"] {
        if matches!(
            event.kind.as_ref(),
            "PaymentRequested" | "PaymentAuthorized" | "PaymentDeclined" | "PaymentCaptured"
        ) {
            *times.entry((&event.subject, &event.kind)).or_default() += 1;
        }
    }
    let often = times.into_iter().filter(|(_, times)| *times > 1);
    often.map(|((payment, kind), times)| format!("{kind} was said {times} times of {payment}")).collect()
}

/// What payments has said is what the book says.
fn said_but_not_so(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let key = |payment: &str, number: i64| (payment.to_owned(), number);
    let book: BTreeMap<_, _> = evidence
        .charges
        .iter()
        .map(|charge| (key(charge.key.payment().rsplit('/').next().unwrap_or_default(), charge.key.number()), charge))
        .collect();
    for envelope in &evidence.events["payments"] {
        let id = envelope.id();
        match Event::read(&envelope.kind, &envelope.body) {
            Ok(Some(Event::PaymentAuthorized(e))) => {
                let authorized = book.get(&key(e.payment.as_str(), e.number)).map_or(0, |charge| charge.authorized());
                if authorized != e.amount.amount() {
                    found.push(format!("{id}: {} authorized, the book says {authorized}", e.amount));
                }
            }
            Ok(Some(Event::PaymentCaptured(e))) => {
                let of_payment = book.iter().filter(|((payment, _), _)| payment == e.payment.as_str());
                let captured: i64 = of_payment.map(|(_, charge)| charge.captured()).sum();
                if captured != e.amount.amount() {
                    found.push(format!("{id}: {} captured, the book says {captured}", e.amount));
                }
            }
            Ok(Some(_)) => {}
            other => found.push(format!("event {id} cannot be read: {other:?}")),
        }
    }
    found
}

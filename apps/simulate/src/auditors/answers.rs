//! What was answered is so: a name stands for one thing, a key has one answer, and what was accepted is
//! there at the end.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::Value;

use super::Evidence;
use crate::platform::Sent;

/// What is wrong with the answers.
pub(super) fn audit(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let mut contents: BTreeMap<&str, &Value> = BTreeMap::new();
    for (sent, answers) in &evidence.exchanges {
        for (status, answer) in answers {
            if *status >= 500 && answer["code"] == "internal" {
                found.push(format!("{sent} was answered {status} {answer}"));
            }
            let accepted = matches!(status, 200..=202);
            // What holds for a SKU, a warehouse or an endpoint is edited, and no name that stands for one thing.
            let edited = ["/v1/skus/", "/v1/warehouses/", "/v1/webhook-endpoints/"];
            let is_edited = edited.iter().any(|edited| sent.path.starts_with(edited));
            if sent.method == Method::PUT && accepted && !is_edited {
                let content = contents.entry(&sent.path).or_insert(&sent.body);
                if **content != sent.body {
                    found.push(format!("{} stands for two things: {content} and {}", sent.path, sent.body));
                }
            }
            if let Some(order) =
                sent.path.strip_prefix("/v1/orders/").filter(|_| sent.method == Method::PUT && accepted)
                && !evidence.orders.contains_key(order)
            {
                found.push(format!("{order} was accepted and is lost"));
            }
        }
    }
    found.extend(movements_are_entered_once(evidence));
    found.extend(released_stays_released(evidence));
    found.extend(a_key_has_one_answer(evidence));
    found
}

/// Whoever asks under a key is told the same each time, or that it stands for something else.
fn a_key_has_one_answer(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    let mut first = BTreeMap::<_, (&Sent, &(u16, Value))>::new();
    for (sent, answers) in &evidence.exchanges {
        let Some(key) = &sent.key else { continue };
        let settled = answers.iter().filter(|(status, answer)| *status < 500 && answer["code"] != "different-content");
        for told in settled {
            let (was_sent, was_told) = *first.entry((sent.service, sent.owner, key.as_str())).or_insert((sent, told));
            if (&was_sent.path, &was_sent.body) != (&sent.path, &sent.body) {
                found.push(format!("{key} of {} stands for {was_sent} and for {sent}", sent.service));
            }
            if was_told != told {
                let ((was_status, was), (status, now)) = (was_told, told);
                found.push(format!("{sent} was told {was_status} {was}, and {status} {now}"));
            }
        }
    }
    found
}

/// A name that somebody was told is released holds nothing ever after.
fn released_stays_released(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    for (sent, answers) in &evidence.exchanges {
        let name = sent.path.strip_prefix("/v1/reservations/").and_then(|path| path.strip_suffix("/release"));
        let Some(name) = name else { continue };
        let told = answers.iter().any(|(_, answer)| answer["status"] == "released");
        let is = &evidence.reservations[name]["status"];
        if told && is != "released" {
            found.push(format!("{name} was told to be released, and is {is}"));
        }
    }
    found
}

/// Every movement and every arrival that was accepted stands in the events once, and none that was not
/// asked for.
fn movements_are_entered_once(evidence: &Evidence) -> Vec<String> {
    let mut entered: BTreeMap<String, usize> = BTreeMap::new();
    for event in &evidence.events["inventory"] {
        let act = match event.kind.as_ref() {
            "SupplierShipmentReceived"
            | "StockCounted"
            | "StockLevelAdjusted"
            | "StockTransferred"
            | "StockTransferStarted" => "",
            "StockTransferArrived" => "/arrive",
            _ => continue,
        };
        let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
        *entered.entry(format!("{}{act}", body["movement"].as_str().unwrap_or_default())).or_default() += 1;
    }
    let mut found = Vec::new();
    for (sent, answers) in &evidence.exchanges {
        let Some(name) = sent.path.strip_prefix("/v1/stock-movements/") else { continue };
        let accepted = answers.iter().any(|(status, _)| matches!(status, 200 | 201));
        let count = entered.remove(name).unwrap_or(0);
        if accepted && count != 1 || count > 1 {
            found.push(format!("movement {name} was accepted and is entered {count} times"));
        }
    }
    found.extend(entered.keys().map(|name| format!("movement {name} was entered and never asked for")));
    found
}

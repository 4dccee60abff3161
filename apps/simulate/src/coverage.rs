//! What runs have reached, and how often: what is hardly ever reached is hardly tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::auditors::Evidence;

/// How the lines begin that tell of what went wrong.
const WENT_WRONG: &str = "went wrong: ";

/// How often each kind of thing has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// What happened in a run, and what went wrong in it.
    pub(crate) fn of(evidence: &Evidence, faults: BTreeMap<&'static str, u64>) -> Self {
        let faults = faults.into_iter().map(|(what, times)| (format!("{WENT_WRONG}{what}"), times));
        let mut coverage = Self(faults.collect());
        for (service, events) in &evidence.events {
            for event in events {
                coverage.count(format!("{service}: {}", event.kind));
                if event.kind.as_ref() == "StockCommitted" {
                    let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
                    for what in ["retaken", "shipped"].into_iter().filter(|what| body[*what] == true) {
                        coverage.count(format!("{service}: {} {what}", event.kind));
                    }
                }
            }
        }
        let mut confirmed = BTreeSet::new();
        for event in &evidence.events["orders"] {
            match event.kind.as_ref() {
                "OrderConfirmed" => drop(confirmed.insert(event.stream)),
                _ if confirmed.remove(&event.stream) => coverage.count("a confirmed order goes on".to_owned()),
                _ => {}
            }
        }
        for order in evidence.orders.values() {
            let word = |name: &str| order[name].as_str().unwrap_or("-").to_owned();
            coverage.count(format!("an order ends: {} {}", word("status"), word("reason")));
        }
        for payment in evidence.payments.values() {
            let tries = payment["attempts"].as_array().map_or(0, Vec::len);
            let status = payment["status"].as_str().unwrap_or("unknown to payments");
            coverage.count(format!("a payment ends: {status}"));
            coverage.count(format!("a payment has had {tries} tries"));
        }
        for reservation in evidence.reservations.values() {
            let status = reservation["status"].as_str().unwrap_or("never made");
            coverage.count(format!("a shop's own reservation ends: {status}"));
        }
        coverage.0.insert("a webhook was posted".to_owned(), evidence.tries.len() as u64);
        for endpoint in evidence.endpoints.values() {
            let status = |document: &Value| document["status"].as_str().unwrap_or("taken back").to_owned();
            coverage.count(format!("an endpoint ends: {}", status(&endpoint.document)));
            for delivery in &endpoint.deliveries {
                coverage.count(format!("a webhook ends: {}", status(delivery)));
            }
        }
        for (sent, answers) in &evidence.exchanges {
            let kind: Vec<&str> = sent.path.split('/').skip(2).step_by(2).take(2).collect();
            for (status, _) in answers {
                coverage.count(format!("answered: {} {} {status}", sent.method, kind.join(" … ")));
            }
        }
        coverage
    }

    fn count(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Counts another run in.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what.clone()).or_default() += times;
        }
    }

    /// How often anything went wrong on the way.
    pub fn faults(&self) -> u64 {
        self.0.iter().filter(|(what, _)| what.starts_with(WENT_WRONG)).map(|(_, times)| times).sum()
    }

    /// How often something has happened.
    pub fn times(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(f, "{times:>10}  {what}"))
    }
}

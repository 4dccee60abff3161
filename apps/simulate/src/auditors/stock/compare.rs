//! What is told of stock and of orders at the end, beside what the events say.

use std::collections::BTreeMap;

use contracts::inventory::Event;
use world::Moment;

use super::shelf::Shelf;
use super::{Auditor, Promise};
use crate::auditors::Evidence;

impl Auditor {
    /// What has run low at the end was said, and what was said has.
    pub(super) fn compare_with_what_runs_low(&mut self) {
        let mut found = Vec::new();
        for (place, point) in &self.watched {
            let there = self.shelves.get(place).map_or(0, Shelf::there);
            if point.threshold.is_some_and(|threshold| there < threshold) != point.was_said {
                let ((sku, warehouse), was_said) = (place, point.was_said);
                found.push(format!("{there} of {sku} are in {warehouse}; that it runs low was said: {was_said}"));
            }
        }
        self.found.extend(found);
    }

    /// What is answered about stock is what the events add up to.
    pub(super) fn compare_with_answers(&mut self, evidence: &Evidence) {
        for (sku, answer) in &evidence.stock {
            let of_sku = || self.shelves.iter().filter(|((of, _), _)| of == sku).map(|(_, shelf)| shelf);
            let on_hand: i64 = of_sku().map(|shelf| shelf.on_hand).sum();
            let held: i64 = of_sku().map(|shelf| shelf.held).sum();
            let promised: i64 = of_sku().map(|shelf| shelf.held + shelf.firm).sum();
            let in_transit: i64 = of_sku().map(|shelf| shelf.in_transit).sum();
            let number = |name: &str| answer[name].as_i64().unwrap_or(i64::MIN);
            let owed: i64 = of_sku().map(Shelf::owes).sum();
            let said = number("reserved") + number("committed") + number("owed");
            let fits = number("on_hand") == on_hand
                && said == promised
                && number("owed") == owed
                && number("in_transit") == in_transit;
            self.check(fits, || {
                format!("{sku}: the events say {on_hand} on hand, {promised} promised, {owed} owed, {in_transit} on the way; told was {answer}")
            });
            self.check(held == 0, || format!("{sku}: {held} are still held although every hold has lapsed"));
        }
    }

    /// A confirmed order has left the shelf with exactly what was ordered; a cancelled one with nothing.
    pub(super) fn compare_with_orders(&mut self, evidence: &Evidence) {
        for (name, order) in &evidence.orders {
            let mut ordered: BTreeMap<String, i64> = BTreeMap::new();
            for line in order["lines"].as_array().into_iter().flatten() {
                let quantity = line["quantity"].as_i64().unwrap_or(0);
                *ordered.entry(line["sku"].as_str().unwrap_or_default().to_owned()).or_default() += quantity;
            }
            let reservation = order["reservation"]["id"].as_str().unwrap_or_default();
            let promised: BTreeMap<String, i64> = match self.promises.get(reservation) {
                Some(Promise::Firm(lines) | Promise::Left(lines) | Promise::Held(lines)) => {
                    lines.iter().map(|line| (line.sku.to_string(), line.quantity)).collect()
                }
                _ => BTreeMap::new(),
            };
            let fits = match order["status"].as_str() {
                Some("confirmed") => promised == ordered,
                Some("attention") if order["reason"] == "stock_but_no_money" => promised == ordered,
                Some("cancelled" | "attention") => promised.is_empty(),
                _ => false,
            };
            let status = &order["status"];
            self.check(fits, || format!("{name} is {status}; ordered were {ordered:?}, promised are {promised:?}"));
        }
    }
}

/// An order that is cancelled has given its stock back before.
pub(super) fn cancelled_while_held(evidence: &Evidence) -> Vec<String> {
    let mut held: BTreeMap<String, (Moment, Option<Moment>)> = BTreeMap::new();
    for envelope in &evidence.events["inventory"] {
        let at = envelope.recorded_at;
        match Event::read(&envelope.kind, &envelope.body) {
            Ok(Some(Event::StockReserved(e))) => {
                held.insert(e.reservation.to_string(), (at, None));
            }
            Ok(Some(Event::StockCommitted(e))) if e.retaken => {
                held.insert(e.reservation.to_string(), (at, None));
            }
            Ok(Some(Event::StockReleased(_) | Event::StockReservationExpired(_) | Event::StockReturned(_))) => {
                if let Some((_, until)) = held.get_mut(envelope.subject.as_ref()) {
                    // A release that is asked for again is answered again, and holds nothing by then.
                    until.get_or_insert(at);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for event in evidence.events["orders"].iter().filter(|event| event.kind.as_ref() == "OrderCancelled") {
        let reservation = evidence.orders[event.subject.as_ref()]["reservation"]["id"].as_str().unwrap_or_default();
        if let Some((since, until)) = held.get(reservation)
            && *since <= event.recorded_at
            && until.is_none_or(|until| until > event.recorded_at)
        {
            found.push(format!("{} was cancelled while its stock was still held", event.subject));
        }
    }
    found
}

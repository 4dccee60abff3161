//! Stock is conserved: received + counted differences + adjusted = on hand + in transit + shipped,
//! promises never exceed it, and what is told about it is what the events say.
//!
//! Reading order: here every event is entered, then `shelf`, `promises`, `owed`, and `compare`, where what came of
//! them is held against the answers.

mod compare;
mod owed;
mod promises;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory::{self as say, Event, ReservedLine, Terms, WarehouseChanged};
use events::Envelope;

use self::compare::cancelled_while_held;
use self::shelf::{Shelf, Watched};
use super::Evidence;

/// How a reservation stands.
#[derive(Clone, PartialEq)]
enum Promise {
    Held(Vec<ReservedLine>),
    Firm(Vec<ReservedLine>),
    Left(Vec<ReservedLine>),
    Over,
}

#[derive(Default)]
struct Auditor {
    shelves: BTreeMap<(String, String), Shelf>,
    promises: BTreeMap<String, Promise>,
    /// What has neither arrived nor been lost, of each transfer.
    travelling: BTreeMap<String, i64>,
    /// What is sold no more.
    discontinued: BTreeSet<String>,
    /// What was said last of warehouses; one of which nothing was said serves every market.
    sites: BTreeMap<String, WarehouseChanged>,
    /// Who wants to know when there is less than this, up to how many pieces, and whether that was said.
    watched: BTreeMap<(String, String), Watched>,
    /// How reservations may be served, where that was said.
    terms: BTreeMap<String, Terms>,
    /// Reservations in the order in which they were promised something.
    promised: BTreeMap<String, usize>,
    /// How much may be promised without stock, where that was said.
    limits: BTreeMap<String, i64>,
    /// The pieces of stock-takes that were missing, less those of which was said whose they are.
    unaccounted: i64,
    found: Vec<String>,
}

/// What is wrong with the stock.
pub(super) fn audit(evidence: &Evidence) -> Vec<String> {
    let mut auditor = Auditor::default();
    for envelope in &evidence.events["inventory"] {
        match Event::read(&envelope.kind, &envelope.body) {
            Ok(Some(event)) => auditor.enter(envelope, event),
            other => auditor.found.push(format!("event {} cannot be read: {other:?}", envelope.id())),
        }
    }
    auditor.found.extend(cancelled_while_held(evidence));
    auditor.everybody_is_served_as_far_as_there_is_stock();
    auditor.compare_with_what_runs_low();
    auditor.compare_with_answers(evidence);
    auditor.compare_with_orders(evidence);
    auditor.found
}

impl Auditor {
    fn enter(&mut self, envelope: &Envelope, event: Event) {
        let id = envelope.id();
        match event {
            Event::SupplierShipmentReceived(e) => self.shelf(&e.sku, &e.warehouse).on_hand += e.quantity,
            Event::StockCounted(e) => self.counted(&id, &e),
            Event::StockLevelAdjusted(e) => self.shelf(&e.sku, &e.warehouse).on_hand += e.quantity,
            Event::StockTransferred(e) => self.transferred(&id, &e),
            Event::StockTransferStarted(e) => self.sent(&id, &e),
            Event::StockTransferArrived(e) => self.arrived(&id, &e),
            Event::StockLostInTransit(e) => self.lost(&id, &e),
            Event::StockReserved(e) => self.reserved(&id, &e),
            Event::StockReservationExpired(e) => self.expired(&id, &e),
            Event::StockReleased(e) => self.released(&id, &e),
            Event::StockCommitted(e) if e.lines.is_empty() => self.committed_again(&id, &e),
            Event::StockCommitted(e) => self.committed(&id, &e),
            Event::StockShipped(e) => self.shipped(&id, &e),
            Event::StockReturned(e) => self.returned(&id, &e),
            Event::SkuDiscontinued(e) => {
                self.discontinued.insert(e.sku.to_string());
            }
            Event::SkuReinstated(e) => {
                self.discontinued.remove(e.sku.as_str());
            }
            Event::WarehouseChanged(e) => {
                self.sites.insert(e.warehouse.to_string(), e);
            }
            Event::RestockPointChanged(e) => {
                let point = self.watched.entry((e.sku.to_string(), e.warehouse.to_string())).or_default();
                (point.threshold, point.target) = (e.threshold, e.target);
            }
            Event::RestockNeeded(e) => self.ran_low(&id, &e),
            Event::StockReplenished(e) => self.replenished(&id, &e),
            Event::StockReservationRejected(_)
            | Event::StockReservationExtended(_)
            | Event::StockCommitRejected(_)
            | Event::StockMovementRejected(_)
            | Event::SkuSignalChanged(_) => {}
            Event::SkuBackorderChanged(e) => {
                self.limits.insert(e.sku.to_string(), e.limit);
            }
            Event::StockShortfallFound(e) => self.unaccounted += e.newly_owed,
            Event::PromiseFellShort(e) => self.fell_short(&id, &e),
            Event::BackorderServed(e) => self.served(&id, &e),
            Event::ShortfallSettled(e) => self.settled(&id, &e),
            Event::PromiseMoved(e) => self.moved(&id, &e),
        }
        let least = |shelf: &Shelf| shelf.on_hand.min(shelf.held).min(shelf.firm).min(shelf.in_transit);
        let negative = self.shelves.iter().find(|(_, shelf)| least(shelf) < 0);
        if let Some(((sku, warehouse), shelf)) = negative {
            let Shelf { on_hand, held, firm, in_transit, .. } = shelf;
            self.found.push(format!(
                "{id}: {sku} in {warehouse} is negative: {on_hand} on hand, {held} held, {firm} firm, {in_transit} on the way"
            ));
        }
    }

    fn counted(&mut self, id: &str, e: &say::StockCounted) {
        let place = self.shelf(&e.sku, &e.warehouse);
        place.on_hand += e.difference;
        let (on_hand, counted) = (place.on_hand, e.counted);
        self.check(on_hand == counted, || format!("{id}: {counted} counted, the books say {on_hand}"));
    }

    fn transferred(&mut self, id: &str, e: &say::StockTransferred) {
        self.shelf(&e.sku, &e.from).on_hand -= e.quantity;
        self.shelf(&e.sku, &e.to).on_hand += e.quantity;
        self.not_taken_from_promises(id, &e.sku, &e.from);
    }

    fn sent(&mut self, id: &str, e: &say::StockTransferStarted) {
        self.shelf(&e.sku, &e.from).on_hand -= e.quantity;
        self.shelf(&e.sku, &e.to).in_transit += e.quantity;
        self.travelling.insert(e.movement.to_string(), e.quantity);
        self.not_taken_from_promises(id, &e.sku, &e.from);
    }

    fn arrived(&mut self, id: &str, e: &say::StockTransferArrived) {
        let place = self.shelf(&e.sku, &e.to);
        place.in_transit -= e.quantity;
        place.on_hand += e.quantity;
        let sent = self.travelling.insert(e.movement.to_string(), e.sent - e.quantity);
        self.check(sent == Some(e.sent), || format!("{id}: {} arrive of {sent:?} on their way", e.sent));
    }

    fn lost(&mut self, id: &str, e: &say::StockLostInTransit) {
        self.shelf(&e.sku, &e.to).in_transit -= e.quantity;
        let missing = self.travelling.insert(e.movement.to_string(), 0);
        let fits = missing == Some(e.quantity);
        self.check(fits, || format!("{id}: {} are lost of {missing:?} that are missing", e.quantity));
    }

    /// It is said once, when there is too little, and with what would reach the target.
    fn ran_low(&mut self, id: &str, e: &say::RestockNeeded) {
        let there = self.shelf(&e.sku, &e.warehouse).there();
        let point = self.watched.entry((e.sku.to_string(), e.warehouse.to_string())).or_default();
        let was_said = std::mem::replace(&mut point.was_said, true);
        let is_low = point.threshold.is_some_and(|threshold| there < threshold);
        let fits = !was_said && is_low && point.target == Some(there + e.quantity);
        self.check(fits, || {
            format!("{id}: {} of {} are needed in {}, where {there} are", e.quantity, e.sku, e.warehouse)
        });
    }

    /// It is said once, of what had run low.
    fn replenished(&mut self, id: &str, e: &say::StockReplenished) {
        let there = self.shelf(&e.sku, &e.warehouse).there();
        let point = self.watched.entry((e.sku.to_string(), e.warehouse.to_string())).or_default();
        let was_said = std::mem::take(&mut point.was_said);
        let is_enough = point.threshold.is_none_or(|threshold| there >= threshold);
        self.check(was_said && is_enough, || format!("{id}: {there} of {} in {} are not enough", e.sku, e.warehouse));
    }

    fn shelf(&mut self, sku: &ids::Sku, warehouse: &ids::Warehouse) -> &mut Shelf {
        self.shelves.entry((sku.to_string(), warehouse.to_string())).or_default()
    }

    fn each(&mut self, lines: &[ReservedLine], change: impl Fn(&mut Shelf, i64)) {
        for line in lines {
            for allocation in &line.allocations {
                change(self.shelf(&line.sku, &allocation.warehouse), allocation.quantity);
            }
        }
    }

    /// What leaves for another warehouse was promised to nobody.
    fn not_taken_from_promises(&mut self, id: &str, sku: &ids::Sku, warehouse: &ids::Warehouse) {
        let place = self.shelf(sku, warehouse);
        let (promised, on_hand) = (place.held + place.firm, place.on_hand);
        self.check(promised <= on_hand, || {
            format!("{id}: {sku} left {warehouse}, where {promised} are promised of {on_hand}")
        });
    }

    fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.found.push(otherwise());
        }
    }
}

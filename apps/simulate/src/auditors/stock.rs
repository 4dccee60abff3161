//! Stock is conserved: received + counted differences + adjusted = on hand + in transit + shipped,
//! promises never exceed it, and what is told about it is what the events say.

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory::{self as say, Allocation, Event, ReservedLine, Terms, WarehouseChanged};
use events::Envelope;
use world::Moment;

use super::Evidence;

/// One SKU in one warehouse, as the events tell of it.
#[derive(Default)]
struct Shelf {
    /// Received, found and adjusted, less what has left.
    on_hand: i64,
    /// What live holds keep.
    held: i64,
    /// What is firm and has not left.
    firm: i64,
    /// What is on its way here.
    in_transit: i64,
    /// Who is owed pieces, in the order in which they were promised them: promised without stock, or not
    /// found by a stock-take.
    owed: BTreeMap<usize, (String, i64)>,
}

/// When somebody wants to know that a SKU runs low in a warehouse.
#[derive(Default)]
struct Watched {
    threshold: Option<i64>,
    target: Option<i64>,
    /// Whether it was said that more is needed, and not yet that there is enough.
    was_said: bool,
}

impl Shelf {
    fn owes(&self) -> i64 {
        self.owed.values().map(|(_, quantity)| quantity).sum()
    }

    /// A reservation is owed more pieces, or fewer.
    fn owe(&mut self, promised: usize, reservation: &str, quantity: i64) {
        self.owed.entry(promised).or_insert_with(|| (reservation.to_owned(), 0)).1 += quantity;
        self.owed.retain(|_, (_, quantity)| *quantity != 0);
    }

    /// Pieces for new promises, once what is on its way is there.
    fn there(&self) -> i64 {
        self.on_hand - self.held - self.firm + self.in_transit
    }
}

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

/// An order that is cancelled has given its stock back before.
fn cancelled_while_held(evidence: &Evidence) -> Vec<String> {
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
            Event::StockReservationExpired(e) => {
                let held = self.promises.insert(e.reservation.to_string(), Promise::Over);
                self.check(held == Some(Promise::Held(e.lines.clone())), || format!("{id}: it was not held like this"));
                self.each(&e.lines, |shelf, quantity| shelf.held -= quantity);
                self.owed_no_more(e.reservation.as_str());
            }
            Event::StockReleased(e) => {
                let held = self.promises.insert(e.reservation.to_string(), Promise::Over);
                let fits = match held {
                    Some(Promise::Held(lines)) => lines == e.lines,
                    None | Some(Promise::Over) => e.lines.is_empty(),
                    Some(Promise::Firm(_) | Promise::Left(_)) => false,
                };
                self.check(fits, || format!("{id}: what is released is not what was held"));
                self.each(&e.lines, |shelf, quantity| shelf.held -= quantity);
                self.owed_no_more(e.reservation.as_str());
            }
            Event::StockCommitted(e) if e.lines.is_empty() => {
                let promise = self.promises.get(e.reservation.as_str());
                let is_firm = matches!(promise, Some(Promise::Firm(_) | Promise::Left(_)));
                self.check(is_firm && e.order.is_some(), || format!("{id}: it is said again, and was not so"));
            }
            Event::StockCommitted(e) => {
                let now = if e.shipped { Promise::Left(e.lines.clone()) } else { Promise::Firm(e.lines.clone()) };
                let held = self.promises.insert(e.reservation.to_string(), now);
                let fits = match held {
                    Some(Promise::Held(lines)) => !e.retaken && lines == e.lines,
                    Some(Promise::Over) => e.retaken,
                    _ => false,
                };
                self.check(fits, || format!("{id}: what is committed is not what was held"));
                let (retaken, shipped) = (e.retaken, e.shipped);
                if retaken {
                    self.still_sold(&id, &e.lines);
                    self.served_as_it_may(&id, e.reservation.as_str(), &e.lines);
                }
                self.each(&e.lines, |shelf, quantity| {
                    shelf.held -= if retaken { 0 } else { quantity };
                    shelf.on_hand -= if shipped { quantity } else { 0 };
                    shelf.firm += if shipped { 0 } else { quantity };
                });
                self.not_oversold(&id, &e.lines);
            }
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

    /// At the end nobody is owed anything where something is left, and all that was missing was somebody's.
    fn everybody_is_served_as_far_as_there_is_stock(&mut self) {
        let mut found = Vec::new();
        for ((sku, warehouse), shelf) in &self.shelves {
            let left = shelf.on_hand - (shelf.held + shelf.firm - shelf.owes());
            if shelf.owes() > 0 && left > 0 {
                found.push(format!("{left} of {sku} are left in {warehouse}, where {} are owed", shelf.owes()));
            }
        }
        if self.unaccounted != 0 {
            found.push(format!("of {} pieces that were missing nobody knows whose they were", self.unaccounted));
        }
        self.found.extend(found);
    }

    /// What has run low at the end was said, and what was said has.
    fn compare_with_what_runs_low(&mut self) {
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

    fn shipped(&mut self, id: &str, e: &say::StockShipped) {
        let firm = self.promises.insert(e.reservation.to_string(), Promise::Left(e.lines.clone()));
        if firm == Some(Promise::Firm(e.lines.clone())) {
            self.each(&e.lines, |shelf, quantity| {
                shelf.firm -= quantity;
                shelf.on_hand -= quantity;
            });
        } else {
            let had_left = matches!(firm, Some(Promise::Left(_))) && e.lines.is_empty();
            self.check(had_left, || format!("{id}: what is shipped was not committed"));
        }
    }

    fn returned(&mut self, id: &str, e: &say::StockReturned) {
        let was = self.promises.insert(e.reservation.to_string(), Promise::Over);
        self.owed_no_more(e.reservation.as_str());
        let fits =
            was == Some(if e.was_shipped { Promise::Left(e.lines.clone()) } else { Promise::Firm(e.lines.clone()) });
        self.check(fits, || format!("{id}: what is returned is not what was committed"));
        let was_shipped = e.was_shipped;
        self.each(&e.lines, |shelf, quantity| {
            shelf.on_hand += if was_shipped { quantity } else { 0 };
            shelf.firm -= if was_shipped { 0 } else { quantity };
        });
    }

    fn reserved(&mut self, id: &str, e: &say::StockReserved) {
        let wanted: i64 = e.lines.iter().map(|line| line.quantity).sum();
        let given: i64 = e.lines.iter().flat_map(|line| &line.allocations).map(|allocation| allocation.quantity).sum();
        self.check(wanted == given, || format!("{id}: {wanted} wanted, {given} allocated"));
        let known = self.promises.insert(e.reservation.to_string(), Promise::Held(e.lines.clone()));
        self.check(known.is_none(), || format!("{id}: {} is reserved under a name that was used", e.reservation));
        self.each(&e.lines, |shelf, quantity| shelf.held += quantity);
        self.still_sold(id, &e.lines);
        self.owed_as_allowed(id, e);
        if let Some(terms) = &e.terms {
            self.terms.insert(e.reservation.to_string(), terms.clone());
        }
        self.served_as_it_may(id, e.reservation.as_str(), &e.lines);
        self.not_oversold(id, &e.lines);
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

    /// What is promised lies there, or somebody is owed it.
    fn not_oversold(&mut self, id: &str, lines: &[ReservedLine]) {
        for line in lines {
            for allocation in &line.allocations {
                let place = self.shelf(&line.sku, &allocation.warehouse);
                let (covered, on_hand) = (place.held + place.firm - place.owes(), place.on_hand);
                self.check(covered <= on_hand, || {
                    format!("{id}: {} in {} is oversold: {covered} of {on_hand}", line.sku, allocation.warehouse)
                });
            }
        }
    }

    /// What is promised without stock is no more than was allowed, and nothing was there to be had.
    fn owed_as_allowed(&mut self, id: &str, e: &say::StockReserved) {
        let next = self.promised.len();
        let promised = *self.promised.entry(e.reservation.to_string()).or_insert(next);
        for line in &e.lines {
            for of in line.allocations.iter().filter(|of| of.owed > 0) {
                let place = self.shelf(&line.sku, &of.warehouse);
                place.owe(promised, e.reservation.as_str(), of.owed);
                let left = place.on_hand - (place.held + place.firm - place.owes());
                self.check(left <= 0, || format!("{id}: {} of {} are owed where {left} are left", of.owed, line.sku));
            }
            if line.owed() > 0 {
                let of_sku = self.shelves.iter().filter(|((sku, _), _)| *sku == line.sku.as_str());
                let all: i64 = of_sku.map(|(_, shelf)| shelf.owes()).sum();
                let limit = self.limits.get(line.sku.as_str()).copied().unwrap_or(0);
                self.check(all <= limit, || format!("{id}: {all} of {} are owed, {limit} may be", line.sku));
                let wanted_it = self.terms.get(e.reservation.as_str()).and_then(|terms| terms.backorder) != Some(false);
                self.check(wanted_it, || format!("{id}: {} is owed, and only what is there was wanted", line.sku));
            }
        }
    }

    fn fell_short(&mut self, id: &str, e: &say::PromiseFellShort) {
        self.unaccounted -= e.quantity;
        let promised = self.promised.get(e.reservation.as_str()).copied();
        self.check(promised.is_some(), || format!("{id}: {} was promised nothing", e.reservation));
        self.shelf(&e.sku, &e.warehouse).owe(promised.unwrap_or(0), e.reservation.as_str(), e.quantity);
        self.change_promise(e.reservation.as_str(), &e.sku, |line| {
            for of in line.allocations.iter_mut().filter(|of| of.warehouse == e.warehouse) {
                (of.owed, of.missing) = (of.owed + e.quantity, of.missing + e.quantity);
            }
        });
    }

    /// Goods serve whoever was promised them first.
    fn served(&mut self, id: &str, e: &say::BackorderServed) {
        let place = self.shelf(&e.sku, &e.warehouse);
        let first = place.owed.first_key_value().map(|(place, (name, owed))| (*place, name.clone(), *owed));
        let (promised, name, owed) = first.unwrap_or_default();
        place.owe(promised, &name, -e.quantity);
        let fits = name == e.reservation.as_str() && e.quantity <= owed;
        self.check(fits, || {
            format!("{id}: {} is served {}, and {name} is owed {owed} before", e.reservation, e.quantity)
        });
        self.change_promise(e.reservation.as_str(), &e.sku, |line| {
            for of in line.allocations.iter_mut().filter(|of| of.warehouse == e.warehouse) {
                of.owed -= e.quantity;
                of.missing = of.missing.min(of.owed);
            }
        });
    }

    fn settled(&mut self, id: &str, e: &say::ShortfallSettled) {
        let promised = self.promised.get(e.reservation.as_str()).copied();
        let owed = self.shelf(&e.sku, &e.warehouse).owed.get(&promised.unwrap_or(usize::MAX)).map(|(_, owed)| *owed);
        self.check(owed == Some(e.owed), || format!("{id}: {} are owed, and not {owed:?}", e.owed));
        self.change_promise(e.reservation.as_str(), &e.sku, |line| {
            line.allocations.iter_mut().filter(|of| of.warehouse == e.warehouse).for_each(|of| of.missing = 0);
        });
    }

    fn moved(&mut self, id: &str, e: &say::PromiseMoved) {
        let promised = self.promised.get(e.reservation.as_str()).copied().unwrap_or(usize::MAX);
        let from = self.shelf(&e.sku, &e.from);
        from.owe(promised, e.reservation.as_str(), -e.quantity);
        *if e.firm { &mut from.firm } else { &mut from.held } -= e.quantity;
        let to = self.shelf(&e.sku, &e.to);
        *if e.firm { &mut to.firm } else { &mut to.held } += e.quantity;
        let mut lines = Vec::new();
        self.change_promise(e.reservation.as_str(), &e.sku, |line| {
            for of in line.allocations.iter_mut().filter(|of| of.warehouse == e.from) {
                (of.quantity, of.owed) = (of.quantity - e.quantity, of.owed - e.quantity);
            }
            match line.allocations.iter_mut().find(|of| of.warehouse == e.to) {
                Some(of) => of.quantity += e.quantity,
                None => line.allocations.push(Allocation::on_the_shelf(e.to.clone(), e.quantity)),
            }
            line.allocations.retain(|of| of.quantity > 0);
            lines.push(line.clone());
        });
        self.not_oversold(id, &lines);
    }

    /// What a live promise consists of has changed.
    fn change_promise(&mut self, reservation: &str, sku: &ids::Sku, change: impl FnOnce(&mut ReservedLine)) {
        if let Some(Promise::Held(lines) | Promise::Firm(lines)) = self.promises.get_mut(reservation)
            && let Some(line) = lines.iter_mut().find(|line| line.sku == *sku)
        {
            change(line);
        }
    }

    /// A promise that has come to an end is owed nothing.
    fn owed_no_more(&mut self, reservation: &str) {
        for shelf in self.shelves.values_mut() {
            shelf.owed.retain(|_, (of, _)| of != reservation);
        }
    }

    /// Nothing is newly promised of what is sold no more.
    fn still_sold(&mut self, id: &str, lines: &[ReservedLine]) {
        for line in lines {
            let is_sold = !self.discontinued.contains(line.sku.as_str());
            self.check(is_sold, || format!("{id}: {} is promised, and is sold no more", line.sku));
        }
    }

    /// A new promise comes from warehouses that are active and serve its market, and no line from several
    /// that may come from one only. No line of a run is bound to a warehouse.
    fn served_as_it_may(&mut self, id: &str, reservation: &str, lines: &[ReservedLine]) {
        let Terms { split, market, .. } = self.terms.get(reservation).cloned().unwrap_or_default();
        for line in lines {
            for allocation in &line.allocations {
                let site = self.sites.get(allocation.warehouse.as_str());
                let serves_it = site.is_none_or(|site| {
                    let for_all = site.markets.is_empty();
                    site.active && market.as_ref().is_none_or(|market| for_all || site.markets.contains(market))
                });
                self.check(serves_it, || {
                    format!("{id}: {} is promised from {}, which does not serve it", line.sku, allocation.warehouse)
                });
            }
            let is_whole = split != Some(false) || line.allocations.len() <= 1;
            self.check(is_whole, || format!("{id}: {} comes in parts, and may not", line.sku));
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

    /// What is answered about stock is what the events add up to.
    fn compare_with_answers(&mut self, evidence: &Evidence) {
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
    fn compare_with_orders(&mut self, evidence: &Evidence) {
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

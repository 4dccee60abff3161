//! A promise from its making to its end: it is kept as it was made, from where it may be, and never beyond the stock.

use contracts::inventory::{self as say, ReservedLine, Terms};

use super::{Auditor, Promise};

impl Auditor {
    pub(super) fn reserved(&mut self, id: &str, e: &say::StockReserved) {
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

    pub(super) fn expired(&mut self, id: &str, e: &say::StockReservationExpired) {
        let held = self.promises.insert(e.reservation.to_string(), Promise::Over);
        self.check(held == Some(Promise::Held(e.lines.clone())), || format!("{id}: it was not held like this"));
        self.each(&e.lines, |shelf, quantity| shelf.held -= quantity);
        self.owed_no_more(e.reservation.as_str());
    }

    pub(super) fn released(&mut self, id: &str, e: &say::StockReleased) {
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

    pub(super) fn committed_again(&mut self, id: &str, e: &say::StockCommitted) {
        let promise = self.promises.get(e.reservation.as_str());
        let is_firm = matches!(promise, Some(Promise::Firm(_) | Promise::Left(_)));
        self.check(is_firm && e.order.is_some(), || format!("{id}: it is said again, and was not so"));
    }

    pub(super) fn committed(&mut self, id: &str, e: &say::StockCommitted) {
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
            self.still_sold(id, &e.lines);
            self.served_as_it_may(id, e.reservation.as_str(), &e.lines);
        }
        self.each(&e.lines, |shelf, quantity| {
            shelf.held -= if retaken { 0 } else { quantity };
            shelf.on_hand -= if shipped { quantity } else { 0 };
            shelf.firm += if shipped { 0 } else { quantity };
        });
        self.not_oversold(id, &e.lines);
    }

    pub(super) fn shipped(&mut self, id: &str, e: &say::StockShipped) {
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

    pub(super) fn returned(&mut self, id: &str, e: &say::StockReturned) {
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

    /// What a live promise consists of has changed.
    pub(super) fn change_promise(&mut self, reservation: &str, sku: &ids::Sku, change: impl FnOnce(&mut ReservedLine)) {
        if let Some(Promise::Held(lines) | Promise::Firm(lines)) = self.promises.get_mut(reservation)
            && let Some(line) = lines.iter_mut().find(|line| line.sku == *sku)
        {
            change(line);
        }
    }

    /// Nothing is newly promised of what is sold no more.
    pub(super) fn still_sold(&mut self, id: &str, lines: &[ReservedLine]) {
        for line in lines {
            let is_sold = !self.discontinued.contains(line.sku.as_str());
            self.check(is_sold, || format!("{id}: {} is promised, and is sold no more", line.sku));
        }
    }

    /// A new promise comes from warehouses that are active and serve its market, and no line from several
    /// that may come from one only. No line of a run is bound to a warehouse.
    pub(super) fn served_as_it_may(&mut self, id: &str, reservation: &str, lines: &[ReservedLine]) {
        let Terms { split, .. } = self.terms.get(reservation).cloned().unwrap_or_default();
        for line in lines {
            for allocation in &line.allocations {
                self.served_from_where_it_may(id, reservation, line.sku.as_str(), allocation.warehouse.as_str());
            }
            let is_whole = split != Some(false) || line.allocations.len() <= 1;
            self.check(is_whole, || format!("{id}: {} comes in parts, and may not", line.sku));
        }
    }

    /// What is newly promised from a warehouse comes from one that is active and serves its market.
    pub(super) fn served_from_where_it_may(&mut self, id: &str, reservation: &str, sku: &str, warehouse: &str) {
        let market = self.terms.get(reservation).and_then(|terms| terms.market.as_ref());
        let serves_it = self.sites.get(warehouse).is_none_or(|site| {
            let for_all = site.markets.is_empty();
            site.active && market.is_none_or(|market| for_all || site.markets.contains(market))
        });
        self.check(serves_it, || format!("{id}: {sku} is promised from {warehouse}, which does not serve it"));
    }

    /// What is promised lies there, or somebody is owed it.
    pub(super) fn not_oversold(&mut self, id: &str, lines: &[ReservedLine]) {
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
}

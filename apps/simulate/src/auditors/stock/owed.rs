//! What is owed: promised without stock as far as that was allowed, or not found by a stock-take, and served in
//! the order in which it was promised.

use contracts::inventory::{self as say, Allocation};

use super::Auditor;

impl Auditor {
    /// What is promised without stock is no more than was allowed, and nothing was there to be had.
    pub(super) fn owed_as_allowed(&mut self, id: &str, e: &say::StockReserved) {
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

    pub(super) fn fell_short(&mut self, id: &str, e: &say::PromiseFellShort) {
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
    pub(super) fn served(&mut self, id: &str, e: &say::BackorderServed) {
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

    pub(super) fn settled(&mut self, id: &str, e: &say::ShortfallSettled) {
        let promised = self.promised.get(e.reservation.as_str()).copied();
        let owed = self.shelf(&e.sku, &e.warehouse).owed.get(&promised.unwrap_or(usize::MAX)).map(|(_, owed)| *owed);
        self.check(owed == Some(e.owed), || format!("{id}: {} are owed, and not {owed:?}", e.owed));
        self.change_promise(e.reservation.as_str(), &e.sku, |line| {
            line.allocations.iter_mut().filter(|of| of.warehouse == e.warehouse).for_each(|of| of.missing = 0);
        });
    }

    pub(super) fn moved(&mut self, id: &str, e: &say::PromiseMoved) {
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
        self.served_from_where_it_may(id, e.reservation.as_str(), e.sku.as_str(), e.to.as_str());
        self.not_oversold(id, &lines);
    }

    /// A promise that has come to an end is owed nothing.
    pub(super) fn owed_no_more(&mut self, reservation: &str) {
        for shelf in self.shelves.values_mut() {
            shelf.owed.retain(|_, (of, _)| of != reservation);
        }
    }

    /// At the end nobody is owed anything where something is left, and all that was missing was somebody's.
    pub(super) fn everybody_is_served_as_far_as_there_is_stock(&mut self) {
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
}

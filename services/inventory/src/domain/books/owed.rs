//! Promises that are owed pieces: who falls short when a stock-take finds less, who is served when goods come
//! in, and what people decide.
//!
//! There is one order for all of it, that in which promises were made, and numbers follow it.

use std::cmp::Reverse;

use contracts::inventory::{self as say, Allocation, Event, Level, Settlement};
use ids::{Number, Sku, Warehouse};
use world::Moment;

use super::promises::{as_it_is, released};
use super::{Books, Decision, Policy, key, nothing_but};
use crate::domain::change::levels_mut;
use crate::domain::command::{Act, Movement, Rejection, Settle, Way};
use crate::domain::movement::MovementRecord;
use crate::domain::reservation::Reservation;

impl Books {
    /// The promises of pieces of a SKU in a warehouse that have not left it, in the order in which they were made.
    fn promises_in<'a>(
        &'a self,
        sku: &'a Sku,
        warehouse: &'a Warehouse,
    ) -> impl Iterator<Item = (&'a Reservation, &'a Allocation)> {
        let live = self.reservations.values().filter(|reservation| reservation.is_live());
        live.filter_map(move |reservation| Some((reservation, reservation.allocation(sku, warehouse)?)))
    }

    /// What a stock-take takes from promises: from holds before firm ones, and from those first that were
    /// made last.
    pub(super) fn falls_short(&self, movement: &Movement, number: Number) -> Vec<(Number, Event)> {
        let Act::Count { counted, .. } = movement.act else { return Vec::new() };
        let (sku, warehouse) = (&movement.sku, &movement.warehouse);
        let pool = self.pool(sku, warehouse);
        let newly_owed = pool.reserved + pool.committed - counted;
        if newly_owed <= 0 {
            return Vec::new();
        }
        let (of, sku, warehouse, level) = (movement.name.clone(), sku.clone(), warehouse.clone(), Level::default());
        let found = say::StockShortfallFound { movement: of, sku, warehouse, newly_owed, level };
        let mut events = vec![(number, found.into())];
        let mut promises: Vec<_> = self.promises_in(&movement.sku, &movement.warehouse).collect();
        promises.sort_by_key(|(reservation, _)| (reservation.is_firm(), Reverse(reservation.number)));
        let mut left = newly_owed;
        for (reservation, allocation) in promises {
            let quantity = left.min(allocation.quantity - allocation.owed);
            if quantity > 0 {
                left -= quantity;
                let short = say::PromiseFellShort {
                    reservation: reservation.name.clone(),
                    order: reservation.order.clone(),
                    movement: movement.name.clone(),
                    sku: movement.sku.clone(),
                    warehouse: movement.warehouse.clone(),
                    quantity,
                    firm: reservation.is_firm(),
                };
                events.push((reservation.number, short.into()));
            }
        }
        debug_assert_eq!(left, 0, "every piece that was promised is some reservation's");
        events
    }

    /// The next to be served with pieces of a SKU in a warehouse, as many as may be, and what they are owed.
    fn next_in_line(&self, sku: &Sku, warehouse: &Warehouse) -> Vec<(Number, i64)> {
        let last = self.last_in_line.get(&(sku.clone(), warehouse.clone()));
        let owed = self.promises_in(sku, warehouse).filter(|(_, allocation)| allocation.owed > 0);
        let known = owed.take_while(|(of, _)| last.is_none_or(|last| of.number <= *last));
        known
            .take(self.left_to_serve.unwrap_or(usize::MAX))
            .map(|(of, allocation)| (of.number, allocation.owed))
            .collect()
    }

    /// Lets those be served next who are owed pieces of a level and were left for later, whatever the database knows
    /// of it.
    pub(super) fn serve_some_more(&mut self, sku: &Sku, warehouse: &Warehouse) {
        if let Some(entry) = self.stock.get_mut(sku).and_then(|pools| pools.get_mut(warehouse)) {
            entry.was_unserved = true;
        }
        self.owing.insert((sku.clone(), warehouse.clone()));
    }

    /// Serves those who are owed pieces from what has become free, as many as may be, and lets goods leave that
    /// were only waiting for them.
    pub(super) fn serve(&mut self, asker: &str, policy: &Policy, now: Moment) {
        while let Some((sku, warehouse)) = self.owing.pop_first() {
            let mut free = self.pool(&sku, &warehouse).free();
            if free <= 0 {
                continue;
            }
            let owed = self.next_in_line(&sku, &warehouse);
            #[cfg(feature = "planted-bugs")]
            let owed: Vec<_> = if world::planted::is(world::planted::Bug::WrongPromiseServed) {
                owed.into_iter().rev().collect()
            } else {
                owed
            };
            for (number, owed) in owed {
                let quantity = owed.min(free);
                if quantity == 0 {
                    break;
                }
                free -= quantity;
                self.left_to_serve = self.left_to_serve.map(|left| left - 1);
                let reservation = &self.reservations[&number];
                let served = say::BackorderServed {
                    reservation: reservation.name.clone(),
                    order: reservation.order.clone(),
                    sku: sku.clone(),
                    warehouse: warehouse.clone(),
                    quantity,
                    still_owed: reservation.owed() - quantity,
                    firm: reservation.is_firm(),
                };
                self.say(number, asker, now, served.into());
            }
        }
        for number in std::mem::take(&mut self.served) {
            let reservation = &self.reservations[&number];
            if policy.ship_on_commit && reservation.is_firm() && reservation.owed() == 0 {
                let (name, order) = (reservation.name.clone(), reservation.order.clone());
                let shipped = say::StockShipped { reservation: name, order, lines: reservation.lines.clone() };
                self.say(number, asker, now, shipped.into());
            }
        }
    }

    pub(super) fn decide_settle(&self, settle: &Settle, policy: &Policy, now: Moment) -> Decision {
        let Settle { owner, reservation, sku, warehouse, way, reason } = settle;
        let live = self.find(owner, reservation).filter(|reservation| reservation.is_live());
        let live = live.filter(|reservation| !reservation.has_lapsed(now));
        let promise = live.and_then(|reservation| Some((reservation, reservation.allocation(sku, warehouse)?)));
        let Some((reservation, allocation)) = promise.filter(|(_, allocation)| allocation.owed > 0) else {
            return nothing_but(Err(Rejection::NotOwed));
        };
        let owed = allocation.owed;
        let decided = |settlement| say::ShortfallSettled {
            reservation: reservation.name.clone(),
            order: reservation.order.clone(),
            sku: sku.clone(),
            warehouse: warehouse.clone(),
            owed,
            settlement,
            reason: reason.clone(),
        };
        let events: Vec<Event> = match way {
            Way::Wait if allocation.missing == 0 => Vec::new(),
            Way::Wait => vec![decided(Settlement::Wait).into()],
            Way::Move { to } => {
                let serves = self.sources(policy, reservation.terms.as_ref(), now).serves(to);
                let available = if serves { self.pool(sku, to).available() } else { 0 };
                // Where pieces are owed none are available, so this is also said of the warehouse itself.
                if available < owed {
                    let (sku, warehouse) = (sku.clone(), to.clone());
                    return nothing_but(Err(Rejection::NotAvailable { sku, warehouse, wanted: owed, available }));
                }
                let moved = say::PromiseMoved {
                    reservation: reservation.name.clone(),
                    order: reservation.order.clone(),
                    sku: sku.clone(),
                    from: warehouse.clone(),
                    to: to.clone(),
                    quantity: owed,
                    firm: reservation.is_firm(),
                };
                vec![decided(Settlement::Move).into(), moved.into()]
            }
            Way::Release => {
                let (order, attempt) = (reservation.order.clone(), reservation.attempt);
                // By then somebody has decided about what is missing.
                let mut settled = reservation.clone();
                if let Some(allocation) = settled.allocation_mut(sku, warehouse) {
                    allocation.missing = 0;
                }
                let lines = settled.lines;
                let given_up = if reservation.is_firm() {
                    let (reservation, was_shipped) = (reservation.name.clone(), false);
                    say::StockReturned { reservation, order, attempt, lines, was_shipped }.into()
                } else {
                    released(&reservation.name, reservation.for_order().as_ref(), lines).into()
                };
                vec![decided(Settlement::Release).into(), given_up]
            }
        };
        (events.into_iter().map(|event| (reservation.number, event)).collect(), Ok(as_it_is(reservation)))
    }

    /// Says in the movements that are told of now how their levels are once everything has happened.
    pub(super) fn settle_levels(&mut self, owner: &str) {
        for news in &mut self.news {
            let Some((movement, levels)) = levels_mut(&mut news.event) else { continue };
            let level_of = |sku: &Sku, warehouse: &Warehouse| {
                let entry = self.stock.get(sku).and_then(|pools| pools.get(warehouse));
                entry.map(|entry| entry.pool.level()).unwrap_or_default()
            };
            for (sku, warehouse, level) in levels {
                *level = level_of(sku, warehouse);
            }
            if let Some(record) = self.movements.get_mut(&key(owner, movement)) {
                let MovementRecord { sku, warehouse, outcome, .. } = record;
                outcome.settle(warehouse, |warehouse| level_of(sku, warehouse));
            }
        }
    }
}

//! What each event changes in the books.

use contracts::inventory::{self as say, Allocation, Event};
use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

use super::{Books, blank, key};
use crate::domain::change::{Changed, changes};
use crate::domain::movement::{MovementRecord, Outcome};
use crate::domain::pool::Pool;
use crate::domain::reservation::{Reservation, Status};
use crate::domain::warehouse::{Site, WarehouseSettings};

/// Of whose thing an event tells, and when it happened.
#[derive(Clone, Copy)]
struct Of<'a> {
    stream: Number,
    owner: &'a str,
    at: Moment,
}

impl Of<'_> {
    /// A movement as it enters the books.
    fn movement(self, name: &Name, fingerprint: &str, sku: &Sku, warehouse: &Warehouse, to: Outcome) -> MovementRecord {
        MovementRecord {
            number: self.stream,
            owner: self.owner.to_owned(),
            name: name.clone(),
            fingerprint: fingerprint.to_owned(),
            sku: sku.clone(),
            warehouse: warehouse.clone(),
            outcome: to,
            version: 1,
        }
    }
}

impl Books {
    /// Enters an event into the books; gives back its place among the events of that thing.
    ///
    /// All rows follow from this: those of a running service, and those that are rebuilt.
    ///
    /// # Panics
    /// When something becomes of a movement of which the events before said nothing.
    pub fn apply(&mut self, stream: Number, owner: &str, at: Moment, event: &Event) -> i64 {
        for Changed { sku, warehouse, change, .. } in changes(event) {
            let pool = self.pool_mut(sku, warehouse);
            pool.enter(change);
            if pool.owed() > 0 {
                self.owing.insert((sku.clone(), warehouse.clone()));
            }
        }
        let of = Of { stream, owner, at };
        match event {
            Event::SupplierShipmentReceived(e) => self.received(of, e),
            Event::StockCounted(e) => self.counted(of, e),
            Event::StockLevelAdjusted(e) => self.adjusted(of, e),
            Event::StockTransferred(e) => self.transferred(of, e),
            Event::StockTransferStarted(e) => self.transfer_started(of, e),
            Event::StockTransferArrived(e) => self.transfer_arrived(of, e),
            Event::StockLostInTransit(e) => self.lost_in_transit(of, e),
            Event::StockMovementRejected(e) => self.movement_rejected(of, e),
            Event::StockShortfallFound(e) => self.shortfall_found(of, e),
            Event::StockReserved(e) => self.reserved(of, e),
            Event::StockReservationRejected(e) => self.reservation_rejected(of, e),
            Event::StockReservationExtended(e) => self.reservation_extended(of, e),
            Event::StockCommitted(e) => self.committed(of, e),
            Event::StockCommitRejected(e) => self.commit_rejected(of, e),
            Event::StockShipped(e) => self.shipped(of, e),
            Event::StockReleased(e) => self.released(of, e),
            Event::StockReservationExpired(e) => self.reservation_expired(of, e),
            Event::StockReturned(e) => self.returned(of, e),
            Event::PromiseFellShort(e) => self.promise_fell_short(of, e),
            Event::BackorderServed(e) => self.backorder_served(of, e),
            Event::ShortfallSettled(e) => self.shortfall_settled(of, e),
            Event::PromiseMoved(e) => self.promise_moved(of, e),
            Event::SkuDiscontinued(say::SkuDiscontinued { sku })
            | Event::SkuReinstated(say::SkuReinstated { sku })
            | Event::SkuSignalChanged(say::SkuSignalChanged { sku, .. })
            | Event::SkuBackorderChanged(say::SkuBackorderChanged { sku, .. }) => {
                self.offer_changed(stream, sku, event)
            }
            Event::WarehouseChanged(e) => self.warehouse_changed(of, e),
            Event::RestockPointChanged(e) => self.restock_point_changed(stream, e),
            Event::RestockNeeded(e) => self.ran_low(&e.sku, &e.warehouse, true),
            Event::StockReplenished(e) => self.ran_low(&e.sku, &e.warehouse, false),
        }
    }

    fn received(&mut self, of: Of<'_>, e: &say::SupplierShipmentReceived) -> i64 {
        let outcome = Outcome::Entered { level: e.level };
        self.record(of.movement(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
    }

    fn counted(&mut self, of: Of<'_>, e: &say::StockCounted) -> i64 {
        let outcome = Outcome::Entered { level: e.level };
        self.record(of.movement(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
    }

    fn adjusted(&mut self, of: Of<'_>, e: &say::StockLevelAdjusted) -> i64 {
        let outcome = Outcome::Entered { level: e.level };
        self.record(of.movement(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
    }

    fn transferred(&mut self, of: Of<'_>, e: &say::StockTransferred) -> i64 {
        let (to, from_level, to_level) = (e.to.clone(), e.from_level, e.to_level);
        let outcome = Outcome::Transferred { to, from_level, to_level };
        self.record(of.movement(&e.movement, &e.fingerprint, &e.sku, &e.from, outcome))
    }

    fn transfer_started(&mut self, of: Of<'_>, e: &say::StockTransferStarted) -> i64 {
        let (to, from_level, to_level) = (e.to.clone(), e.from_level, e.to_level);
        let outcome = Outcome::InTransit { to, sent: e.quantity, from_level, to_level };
        self.record(of.movement(&e.movement, &e.fingerprint, &e.sku, &e.from, outcome))
    }

    fn transfer_arrived(&mut self, of: Of<'_>, e: &say::StockTransferArrived) -> i64 {
        let (to, sent, arrived, level) = (e.to.clone(), e.sent, e.quantity, e.level);
        self.record_outcome(of.owner, &e.movement, Outcome::Arrived { to, sent, arrived, level })
    }

    fn lost_in_transit(&mut self, of: Of<'_>, e: &say::StockLostInTransit) -> i64 {
        let (to, lost, level) = (e.to.clone(), e.quantity, e.level);
        let sent = match self.movements.get(&key(of.owner, &e.movement)).map(|movement| &movement.outcome) {
            Some(Outcome::Arrived { sent, .. }) => *sent,
            _ => lost,
        };
        self.record_outcome(of.owner, &e.movement, Outcome::Arrived { to, sent, arrived: sent - lost, level })
    }

    fn movement_rejected(&mut self, of: Of<'_>, e: &say::StockMovementRejected) -> i64 {
        let outcome = Outcome::Refused { wanted: e.wanted, available: e.available };
        self.record(of.movement(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
    }

    fn shortfall_found(&mut self, of: Of<'_>, e: &say::StockShortfallFound) -> i64 {
        let movement = self.movements.get_mut(&key(of.owner, &e.movement)).expect("a stock-take found it");
        movement.version += 1;
        movement.version
    }

    fn reserved(&mut self, of: Of<'_>, e: &say::StockReserved) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        reservation.fingerprint.clone_from(&e.fingerprint);
        reservation.status = Status::Reserved;
        reservation.lines.clone_from(&e.lines);
        reservation.expires_at = e.expires_at;
        reservation.order.clone_from(&e.order);
        reservation.attempt = e.attempt;
        reservation.terms.clone_from(&e.terms);
        reservation.version
    }

    fn reservation_rejected(&mut self, of: Of<'_>, e: &say::StockReservationRejected) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        reservation.fingerprint.clone_from(&e.fingerprint);
        reservation.status = Status::Refused;
        reservation.expires_at = of.at;
        reservation.short.clone_from(&e.short);
        reservation.discontinued = e.discontinued;
        reservation.order.clone_from(&e.order);
        reservation.attempt = e.attempt;
        reservation.version
    }

    fn reservation_extended(&mut self, of: Of<'_>, e: &say::StockReservationExtended) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        reservation.expires_at = e.expires_at;
        reservation.version
    }

    fn committed(&mut self, of: Of<'_>, e: &say::StockCommitted) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        // Its order was told again.
        if e.lines.is_empty() {
            return reservation.version;
        }
        reservation.status = Status::Committed;
        reservation.lines.clone_from(&e.lines);
        reservation.has_left = e.shipped;
        reservation.version
    }

    fn commit_rejected(&mut self, of: Of<'_>, e: &say::StockCommitRejected) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        // Whoever heard of it has given up; stock that comes in later must not be taken for them.
        if reservation.status == Status::Expired {
            reservation.status = Status::Released;
        }
        reservation.version
    }

    fn shipped(&mut self, of: Of<'_>, e: &say::StockShipped) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        reservation.status = Status::Shipped;
        reservation.has_left = true;
        reservation.version
    }

    fn released(&mut self, of: Of<'_>, e: &say::StockReleased) -> i64 {
        let is_new = !self.reservations.contains_key(&of.stream);
        let reservation = self.reservation_mut(of, &e.reservation);
        if is_new || reservation.status == Status::Reserved {
            reservation.status = Status::Released;
            reservation.order.clone_from(&e.order);
            reservation.attempt = e.attempt;
        }
        if is_new {
            reservation.expires_at = of.at;
        }
        reservation.version
    }

    fn reservation_expired(&mut self, of: Of<'_>, e: &say::StockReservationExpired) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        reservation.status = Status::Expired;
        reservation.version
    }

    fn returned(&mut self, of: Of<'_>, e: &say::StockReturned) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        reservation.status = Status::Returned;
        reservation.has_left = false;
        reservation.version
    }

    fn promise_fell_short(&mut self, of: Of<'_>, e: &say::PromiseFellShort) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        if let Some(allocation) = reservation.allocation_mut(&e.sku, &e.warehouse) {
            allocation.owed += e.quantity;
            allocation.missing += e.quantity;
        }
        reservation.version
    }

    fn backorder_served(&mut self, of: Of<'_>, e: &say::BackorderServed) -> i64 {
        self.served.insert(of.stream);
        let reservation = self.reservation_mut(of, &e.reservation);
        if let Some(allocation) = reservation.allocation_mut(&e.sku, &e.warehouse) {
            allocation.owed -= e.quantity;
            allocation.missing = allocation.missing.min(allocation.owed);
        }
        reservation.version
    }

    fn shortfall_settled(&mut self, of: Of<'_>, e: &say::ShortfallSettled) -> i64 {
        let reservation = self.reservation_mut(of, &e.reservation);
        if let Some(allocation) = reservation.allocation_mut(&e.sku, &e.warehouse) {
            allocation.missing = 0;
        }
        reservation.version
    }

    fn promise_moved(&mut self, of: Of<'_>, e: &say::PromiseMoved) -> i64 {
        self.served.insert(of.stream);
        let reservation = self.reservation_mut(of, &e.reservation);
        if let Some(line) = reservation.lines.iter_mut().find(|line| line.sku == e.sku) {
            if let Some(left) = line.allocations.iter_mut().find(|allocation| allocation.warehouse == e.from) {
                left.quantity -= e.quantity;
                left.owed -= e.quantity;
            }
            match line.allocations.iter_mut().find(|allocation| allocation.warehouse == e.to) {
                Some(there) => there.quantity += e.quantity,
                None => line.allocations.push(Allocation::on_the_shelf(e.to.clone(), e.quantity)),
            }
            line.allocations.retain(|allocation| allocation.quantity > 0);
        }
        reservation.version
    }

    fn warehouse_changed(&mut self, of: Of<'_>, e: &say::WarehouseChanged) -> i64 {
        let is_known = self.warehouses.contains_key(&e.warehouse);
        self.changed_warehouses.entry(e.warehouse.clone()).or_insert(is_known);
        let settings = self.warehouses.entry(e.warehouse.clone()).or_default();
        let (number, site) = (of.stream, Site::from(e.clone()));
        *settings = WarehouseSettings { number, site, version: settings.version + 1 };
        settings.version
    }

    fn pool_mut(&mut self, sku: &Sku, warehouse: &Warehouse) -> &mut Pool {
        self.watch(sku, warehouse);
        let entry = self.stock.entry(sku.clone()).or_default().entry(warehouse.clone()).or_default();
        entry.is_changed = true;
        &mut entry.pool
    }

    fn reservation_mut(&mut self, of: Of<'_>, name: &Name) -> &mut Reservation {
        let Of { stream, owner, .. } = of;
        let known = self.reservations.get(&stream);
        self.before.entry(stream).or_insert_with(|| known.cloned());
        if known.is_none() {
            self.names.insert(key(owner, name), stream);
        }
        let reservation = self.reservations.entry(stream).or_insert_with(|| blank(stream, owner, name));
        reservation.version += 1;
        reservation
    }

    /// Enters what is said of a SKU; gives back the place of that among its events.
    fn offer_changed(&mut self, number: Number, sku: &Sku, event: &Event) -> i64 {
        self.changed_skus.entry(sku.clone()).or_insert_with(|| self.skus.contains_key(sku));
        let settings = self.skus.entry(sku.clone()).or_default();
        settings.offer.enter(event);
        (settings.number, settings.version) = (number, settings.version + 1);
        settings.version
    }

    fn record(&mut self, record: MovementRecord) -> i64 {
        let name = key(&record.owner, &record.name);
        let version = record.version;
        self.movements.insert(name.clone(), record);
        self.new_movements.push(name);
        version
    }

    /// Enters what became of a movement; gives back the place of that among its events.
    fn record_outcome(&mut self, owner: &str, name: &Name, outcome: Outcome) -> i64 {
        let name = key(owner, name);
        let movement = self.movements.get_mut(&name).expect("what arrives has been sent");
        movement.outcome = outcome;
        movement.version += 1;
        let version = movement.version;
        if !self.new_movements.contains(&name) {
            self.changed_movements.insert(name);
        }
        version
    }
}

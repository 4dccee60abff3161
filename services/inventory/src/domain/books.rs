//! What a command does to levels, reservations and movements: decide, then apply.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::inventory::{self as say, Event, Level, ReservedLine};
use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

use super::allocation::{Entry, Stock, allocate};
use super::command::{Command, ForOrder, Movement, Rejection, Reserve, Settled};
use super::movement::{MovementRecord, Outcome};
use super::pool::Pool;
use super::reservation::{Reservation, Status};
use super::sku::{SkuSettings, sold_no_more};

/// What the operator chose about promising stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Warehouses in the order in which they are emptied; those not named follow by name.
    pub warehouses: Vec<Warehouse>,
    /// Whether a line may come from several warehouses.
    pub allow_split: bool,
    /// Whether committed goods leave the shelf at once.
    pub ship_on_commit: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { warehouses: Vec::new(), allow_split: true, ship_on_commit: true }
    }
}

impl Policy {
    /// Warehouses in the order in which they are emptied.
    pub(super) fn in_order<'a>(&self, warehouses: impl Iterator<Item = &'a Warehouse>) -> Vec<&'a Warehouse> {
        let rank = |warehouse: &Warehouse| self.warehouses.iter().position(|named| named == warehouse);
        let mut ordered: Vec<_> = warehouses.collect();
        ordered.sort_by_key(|warehouse| (rank(warehouse).unwrap_or(usize::MAX), *warehouse));
        ordered
    }
}

/// Levels, reservations and movements as far as a batch touches them, and what it changed.
#[derive(Debug, Default)]
pub struct Books {
    stock: Stock,
    skus: BTreeMap<Sku, SkuSettings>,
    reservations: BTreeMap<Number, Reservation>,
    movements: BTreeMap<String, MovementRecord>,
    names: BTreeMap<String, Number>,
    /// How changed reservations were before; none for new ones.
    before: BTreeMap<Number, Option<Reservation>>,
    /// SKUs whose settings were changed, and whether they were in the database before.
    changed_skus: BTreeMap<Sku, bool>,
    /// Names of movements that are new, in the order in which they came.
    new_movements: Vec<String>,
    /// Names of movements that were there before, and changed.
    changed_movements: BTreeSet<String>,
    news: Vec<News>,
}

/// An event together with what it happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The number of the reservation or movement.
    pub stream: Number,
    /// The how-many-eth event of it.
    pub version: i64,
    /// What happened.
    pub event: Event,
}

/// What a command comes to: events, and the answer.
type Decision = (Vec<(Number, Event)>, Result<Settled, Rejection>);

fn nothing_but(answer: Result<Settled, Rejection>) -> Decision {
    (Vec::new(), answer)
}

impl Books {
    /// Takes over a level as it was loaded.
    pub fn load_pool(&mut self, sku: Sku, warehouse: Warehouse, pool: Pool) {
        let entry = Entry { pool, is_known: true, is_changed: false };
        self.stock.entry(sku).or_default().insert(warehouse, entry);
    }

    /// Takes over the settings of a SKU as they were loaded.
    pub fn load_sku(&mut self, sku: Sku, settings: SkuSettings) {
        self.skus.insert(sku, settings);
    }

    /// Takes over a reservation as it was loaded.
    pub fn load_reservation(&mut self, reservation: Reservation) {
        self.names.insert(key(&reservation.owner, &reservation.name), reservation.number);
        self.reservations.insert(reservation.number, reservation);
    }

    /// Takes over a movement as it was loaded.
    pub fn load_movement(&mut self, movement: MovementRecord) {
        self.movements.insert(key(&movement.owner, &movement.name), movement);
    }

    /// Does what is asked, as far as the rules allow it.
    pub fn carry_out(
        &mut self,
        owner: &str,
        command: &Command,
        policy: &Policy,
        now: Moment,
        new_number: &dyn Fn() -> Number,
    ) -> Result<Settled, Rejection> {
        let (events, answer) = match command {
            Command::Move(movement) => self.decide_movement(owner, movement, new_number),
            Command::Arrive { name, quantity } => self.decide_arrival(owner, name, *quantity),
            Command::Reserve(reserve) => self.decide_reserve(owner, reserve, policy, now, new_number),
            Command::Extend { name, hold_secs } => self.decide_extend(owner, name, *hold_secs, now),
            Command::Commit { name, order: Some(order), .. } if self.find(owner, name).is_none() => {
                commit_of_nothing(name, order, new_number)
            }
            Command::Commit { name, order, retake } => {
                self.decide_commit(owner, name, order.as_ref(), *retake, policy, now)
            }
            Command::Ship { name } => self.decide_ship(owner, name),
            Command::Release { name, order } => self.decide_release(owner, name, order.as_ref(), new_number),
            Command::Return { name, order } => self.decide_return(owner, name, order, new_number),
            Command::SetSku { sku, discontinued, seen } => self.decide_sku(sku, *discontinued, *seen, new_number),
            Command::Expire { number } => (self.expiry(*number, now), Ok(Settled::Nothing)),
        };
        for (stream, event) in events {
            let version = self.apply(stream, owner, now, &event);
            self.news.push(News { stream, version, event });
        }
        match answer {
            // The answer shows the thing as it is after the events.
            Ok(Settled::Reservation { is_new, reservation }) => {
                let reservation = self.reservations.get(&reservation.number).cloned().unwrap_or(*reservation);
                Ok(Settled::Reservation { is_new, reservation: Box::new(reservation) })
            }
            Ok(Settled::Moved { is_new, movement }) => {
                let now = self.movements.get(&key(owner, &movement.name)).cloned().unwrap_or(*movement);
                Ok(Settled::Moved { is_new, movement: Box::new(now) })
            }
            other => other,
        }
    }

    /// Lets holds lapse that a refusal would otherwise stumble over.
    pub fn expire(&mut self, number: Number, now: Moment) {
        for (stream, event) in self.expiry(number, now) {
            let version = self.apply(stream, "", now, &event);
            self.news.push(News { stream, version, event });
        }
    }

    fn expiry(&self, number: Number, now: Moment) -> Vec<(Number, Event)> {
        let lapsed = self.reservations.get(&number).filter(|reservation| reservation.has_lapsed(now));
        let event = lapsed.map(|reservation| say::StockReservationExpired {
            reservation: reservation.name.clone(),
            order: reservation.order.clone(),
            attempt: reservation.attempt,
            lines: reservation.lines.clone(),
        });
        event.into_iter().map(|event| (number, event.into())).collect()
    }

    fn find(&self, owner: &str, name: &Name) -> Option<&Reservation> {
        self.names.get(&key(owner, name)).and_then(|number| self.reservations.get(number))
    }

    fn decide_movement(&self, owner: &str, movement: &Movement, new_number: &dyn Fn() -> Number) -> Decision {
        if let Some(known) = self.movements.get(&key(owner, &movement.name)) {
            return nothing_but(known.answer(&movement.fingerprint));
        }
        let number = new_number();
        let (events, answer) = movement.decide(|warehouse| self.pool(&movement.sku, warehouse));
        let blank = MovementRecord {
            number,
            owner: owner.to_owned(),
            name: movement.name.clone(),
            fingerprint: movement.fingerprint.clone(),
            sku: movement.sku.clone(),
            warehouse: movement.warehouse.clone(),
            outcome: Outcome::Entered { level: Level::default() },
            version: 0,
        };
        let events = events.into_iter().map(|event| (number, event)).collect();
        (events, answer.map(|()| Settled::Moved { is_new: true, movement: Box::new(blank) }))
    }

    fn decide_arrival(&self, owner: &str, name: &Name, quantity: Option<i64>) -> Decision {
        let Some(movement) = self.movements.get(&key(owner, name)) else {
            return nothing_but(Err(Rejection::UnknownMovement));
        };
        match movement.arrive(quantity, |warehouse| self.pool(&movement.sku, warehouse)) {
            Ok(events) => {
                let events = events.into_iter().map(|event| (movement.number, event)).collect();
                (events, Ok(movement.as_it_is()))
            }
            Err(no) => nothing_but(Err(no)),
        }
    }

    fn decide_reserve(
        &self,
        owner: &str,
        reserve: &Reserve,
        policy: &Policy,
        now: Moment,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        if let Some(known) = self.find(owner, &reserve.name) {
            return nothing_but(match known.status {
                Status::Released if known.fingerprint.is_empty() => Err(Rejection::AlreadyReleased),
                _ if known.fingerprint != reserve.fingerprint => Err(Rejection::DifferentContent),
                Status::Refused => Err(refusal(known)),
                _ => Ok(as_it_is(known)),
            });
        }
        let replaced = match &reserve.replaces {
            Some(old) => self.replaced(owner, old, &reserve.name, now, new_number),
            None => Ok(None),
        };
        let replaced = match replaced {
            Ok(replaced) => replaced,
            Err(no) => return nothing_but(Err(no)),
        };
        let (reservation, fingerprint) = (reserve.name.clone(), reserve.fingerprint.clone());
        let (order, attempt) = for_order(reserve.order.as_ref());
        let number = new_number();
        let discontinued = self.discontinued(reserve.lines.iter().map(|line| (&line.sku, line.quantity)));
        if !discontinued.is_empty() {
            let (short, no) = (discontinued.clone(), Rejection::Discontinued { short: discontinued });
            let discontinued = true;
            let refused =
                say::StockReservationRejected { reservation, fingerprint, order, attempt, short, discontinued };
            return (vec![(number, refused.into())], Err(no));
        }
        let without = replaced.as_ref().map(|(_, released)| self.stock_without(&released.lines, &reserve.lines));
        match allocate(without.as_ref().unwrap_or(&self.stock), &reserve.lines, policy) {
            Ok(lines) => {
                let expires_at = now + seconds(reserve.hold_secs);
                let held = say::StockReserved { reservation, fingerprint, order, attempt, lines, expires_at };
                let answer =
                    Settled::Reservation { is_new: true, reservation: Box::new(blank(number, owner, &reserve.name)) };
                let replaced = replaced.map(|(old, released)| (old, released.into()));
                let events = replaced.into_iter().chain([(number, held.into())]);
                (events.collect(), Ok(answer))
            }
            Err(unmet) => {
                let (short, discontinued) = (unmet.short().to_vec(), false);
                let refused =
                    say::StockReservationRejected { reservation, fingerprint, order, attempt, short, discontinued };
                (vec![(number, refused.into())], Err(unmet.into()))
            }
        }
    }

    /// How the reservation is let go in whose place another is made; nothing where it has ended.
    ///
    /// One that was never seen will never hold anything, as after a release: its reserve may be late.
    fn replaced(
        &self,
        owner: &str,
        name: &Name,
        by: &Name,
        now: Moment,
        new_number: &dyn Fn() -> Number,
    ) -> Result<Option<(Number, say::StockReleased)>, Rejection> {
        let (number, order, lines) = match self.find(owner, name) {
            None => (new_number(), None, Vec::new()),
            Some(old) => match old.status_at(now) {
                Status::Reserved => (old.number, old.for_order(), old.lines.clone()),
                Status::Committed | Status::Shipped => return Err(Rejection::AlreadyCommitted),
                Status::Released | Status::Expired | Status::Refused | Status::Returned => return Ok(None),
            },
        };
        let mut released = released(name, order.as_ref(), lines);
        released.replaced_by = Some(by.clone());
        Ok(Some((number, released)))
    }

    /// The stock of the SKUs that are wanted, as it is once these lines are let go.
    fn stock_without(&self, lines: &[ReservedLine], wanted: &[super::command::Line]) -> Stock {
        let mut stock = Stock::new();
        for line in wanted {
            if let Some(pools) = self.stock.get(&line.sku) {
                stock.entry(line.sku.clone()).or_insert_with(|| pools.clone());
            }
        }
        for line in lines {
            let Some(pools) = stock.get_mut(&line.sku) else { continue };
            for allocation in &line.allocations {
                pools.entry(allocation.warehouse.clone()).or_default().pool.release(allocation.quantity);
            }
        }
        stock
    }

    fn settings(&self, sku: &Sku) -> SkuSettings {
        self.skus.get(sku).copied().unwrap_or_default()
    }

    fn decide_sku(
        &self,
        sku: &Sku,
        discontinued: bool,
        seen: Option<i64>,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        let settings = self.settings(sku);
        match settings.decide(sku, discontinued, seen) {
            Ok(None) => nothing_but(Ok(Settled::Sku(settings))),
            Ok(Some(event)) => {
                let number = if settings.version == 0 { new_number() } else { settings.number };
                let after = SkuSettings { number, discontinued, version: settings.version + 1 };
                (vec![(number, event)], Ok(Settled::Sku(after)))
            }
            Err(no) => nothing_but(Err(no)),
        }
    }

    /// Of what is wanted, that which is sold no more.
    fn discontinued<'a>(&self, wanted: impl Iterator<Item = (&'a Sku, i64)>) -> Vec<say::Short> {
        sold_no_more(wanted.filter(|(sku, _)| self.settings(sku).discontinued))
    }

    fn decide_extend(&self, owner: &str, name: &Name, hold_secs: i64, now: Moment) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            return nothing_but(Err(Rejection::UnknownReservation));
        };
        let expires_at = now + seconds(hold_secs);
        match reservation.status_at(now) {
            Status::Reserved if expires_at <= reservation.expires_at => nothing_but(Ok(as_it_is(reservation))),
            Status::Reserved => {
                let extended = say::StockReservationExtended { reservation: name.clone(), expires_at };
                (vec![(reservation.number, extended.into())], Ok(as_it_is(reservation)))
            }
            status => nothing_but(Err(no_longer_held(reservation, status))),
        }
    }

    fn decide_commit(
        &self,
        owner: &str,
        name: &Name,
        order: Option<&ForOrder>,
        retake: bool,
        policy: &Policy,
        now: Moment,
    ) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            return nothing_but(Err(Rejection::UnknownReservation));
        };
        let number = reservation.number;
        let commit = |lines: Vec<ReservedLine>, retaken: bool| {
            let shipped = policy.ship_on_commit && (retaken || self.all_are_there(&lines));
            let (order, attempt) = (reservation.order.clone(), reservation.attempt);
            let event = say::StockCommitted { reservation: name.clone(), order, attempt, lines, retaken, shipped };
            (vec![(number, event.into())], Ok(as_it_is(reservation)))
        };
        let refuse = |no: Rejection, short: &[say::Short]| match order {
            Some(order) => (vec![(number, not_committed(name, order, short))], Err(no)),
            None => nothing_but(Err(no)),
        };
        match reservation.status_at(now) {
            Status::Reserved => commit(reservation.lines.clone(), false),
            Status::Committed | Status::Shipped => nothing_but(Ok(as_it_is(reservation))),
            // A lapsed hold that nobody has taken anything from yet is still there.
            Status::Expired if retake && reservation.status == Status::Reserved => {
                commit(reservation.lines.clone(), false)
            }
            Status::Expired if retake => {
                let discontinued = self.discontinued(reservation.lines.iter().map(|line| (&line.sku, line.quantity)));
                if !discontinued.is_empty() {
                    return refuse(Rejection::Discontinued { short: discontinued.clone() }, &discontinued);
                }
                match allocate(&self.stock, &reservation.wishes(), policy) {
                    Ok(lines) => commit(lines, true),
                    Err(unmet) => refuse(unmet.clone().into(), unmet.short()),
                }
            }
            status => refuse(no_longer_held(reservation, status), &[]),
        }
    }

    /// Whether all that a hold promises lies on the shelf.
    fn all_are_there(&self, lines: &[ReservedLine]) -> bool {
        let mut pools: BTreeMap<(&Sku, &Warehouse), i64> = BTreeMap::new();
        for line in lines {
            for allocation in &line.allocations {
                *pools.entry((&line.sku, &allocation.warehouse)).or_default() += allocation.quantity;
            }
        }
        pools.into_iter().all(|((sku, warehouse), quantity)| {
            let mut pool = self.pool(sku, warehouse);
            pool.commit(quantity);
            pool.can_ship(quantity)
        })
    }

    fn decide_ship(&self, owner: &str, name: &Name) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            return nothing_but(Err(Rejection::UnknownReservation));
        };
        match reservation.status {
            Status::Shipped => nothing_but(Ok(as_it_is(reservation))),
            Status::Committed if !reservation.has_left && !self.can_ship(&reservation.lines) => {
                nothing_but(Err(Rejection::GoodsMissing))
            }
            Status::Committed => {
                let lines = if reservation.has_left { Vec::new() } else { reservation.lines.clone() };
                let shipped = say::StockShipped { reservation: name.clone(), order: reservation.order.clone(), lines };
                (vec![(reservation.number, shipped.into())], Ok(as_it_is(reservation)))
            }
            Status::Reserved => nothing_but(Err(Rejection::NotCommitted)),
            status => nothing_but(Err(no_longer_held(reservation, status))),
        }
    }

    fn can_ship(&self, lines: &[ReservedLine]) -> bool {
        lines.iter().all(|line| {
            let can = |allocation: &say::Allocation| {
                self.pool(&line.sku, &allocation.warehouse).can_ship(allocation.quantity)
            };
            line.allocations.iter().all(can)
        })
    }

    fn decide_release(
        &self,
        owner: &str,
        name: &Name,
        order: Option<&ForOrder>,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            let number = new_number();
            let reservation = Box::new(blank(number, owner, name));
            #[cfg(feature = "planted-bugs")]
            if world::planted::is(world::planted::Bug::ReleaseForgotten) {
                return nothing_but(Ok(Settled::Reservation { is_new: true, reservation }));
            }
            let events = vec![(number, released(name, order, Vec::new()).into())];
            return (events, Ok(Settled::Reservation { is_new: true, reservation }));
        };
        let number = reservation.number;
        match reservation.status {
            Status::Reserved => {
                let order = order.cloned().or_else(|| reservation.for_order());
                let released = released(name, order.as_ref(), reservation.lines.clone());
                (vec![(number, released.into())], Ok(as_it_is(reservation)))
            }
            Status::Committed | Status::Shipped => nothing_but(Err(Rejection::AlreadyCommitted)),
            // Nothing is held; an order that waits for the answer gets it all the same.
            Status::Released | Status::Expired | Status::Refused | Status::Returned => {
                let again = order.map(|order| (number, released(name, Some(order), Vec::new()).into()));
                (again.into_iter().collect(), Ok(as_it_is(reservation)))
            }
        }
    }

    fn decide_return(&self, owner: &str, name: &Name, order: &ForOrder, new_number: &dyn Fn() -> Number) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            return self.decide_release(owner, name, Some(order), new_number);
        };
        match reservation.status {
            Status::Committed | Status::Shipped => {
                let event = say::StockReturned {
                    reservation: name.clone(),
                    order: Some(order.order.clone()),
                    attempt: order.attempt,
                    lines: reservation.lines.clone(),
                    was_shipped: reservation.has_left,
                };
                (vec![(reservation.number, event.into())], Ok(as_it_is(reservation)))
            }
            _ => self.decide_release(owner, name, Some(order), new_number),
        }
    }

    fn pool(&self, sku: &Sku, warehouse: &Warehouse) -> Pool {
        self.stock.get(sku).and_then(|pools| pools.get(warehouse)).map(|entry| entry.pool).unwrap_or_default()
    }

    fn pool_mut(&mut self, sku: &Sku, warehouse: &Warehouse) -> &mut Pool {
        let entry = self.stock.entry(sku.clone()).or_default().entry(warehouse.clone()).or_default();
        entry.is_changed = true;
        &mut entry.pool
    }

    /// For each allocation of the lines, in their order.
    fn each_pool(&mut self, lines: &[ReservedLine], mut change: impl FnMut(&mut Pool, i64)) {
        for line in lines {
            for allocation in &line.allocations {
                change(self.pool_mut(&line.sku, &allocation.warehouse), allocation.quantity);
            }
        }
    }

    fn reservation_mut(&mut self, number: Number, owner: &str, name: &Name) -> &mut Reservation {
        let known = self.reservations.get(&number);
        self.before.entry(number).or_insert_with(|| known.cloned());
        if known.is_none() {
            self.names.insert(key(owner, name), number);
        }
        let reservation = self.reservations.entry(number).or_insert_with(|| blank(number, owner, name));
        reservation.version += 1;
        reservation
    }

    /// Enters whether a SKU is sold; gives back the how-many-eth event of it this is.
    fn sku_mut(&mut self, number: Number, sku: &Sku, discontinued: bool) -> i64 {
        self.changed_skus.entry(sku.clone()).or_insert_with(|| self.skus.contains_key(sku));
        let settings = self.skus.entry(sku.clone()).or_default();
        *settings = SkuSettings { number, discontinued, version: settings.version + 1 };
        settings.version
    }

    fn record(&mut self, record: MovementRecord) -> i64 {
        let name = key(&record.owner, &record.name);
        let version = record.version;
        self.movements.insert(name.clone(), record);
        self.new_movements.push(name);
        version
    }

    /// Enters what became of a movement; gives back the how-many-eth event of it this is.
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

    /// Enters an event into the books; gives back the how-many-eth event of its thing it is.
    ///
    /// All rows follow from this: those of a running service, and those that are rebuilt.
    ///
    /// # Panics
    /// When something becomes of a movement of which the events before said nothing.
    #[expect(clippy::too_many_lines, reason = "one arm for each event, each as short as it can be")]
    pub fn apply(&mut self, stream: Number, owner: &str, at: Moment, event: &Event) -> i64 {
        let moved = |movement: &Name, fingerprint: &str, sku: &Sku, warehouse: &Warehouse, outcome| MovementRecord {
            number: stream,
            owner: owner.to_owned(),
            name: movement.clone(),
            fingerprint: fingerprint.to_owned(),
            sku: sku.clone(),
            warehouse: warehouse.clone(),
            outcome,
            version: 1,
        };
        match event {
            Event::SupplierShipmentReceived(e) => {
                self.pool_mut(&e.sku, &e.warehouse).put(e.quantity);
                let outcome = Outcome::Entered { level: e.level };
                self.record(moved(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
            }
            Event::StockCounted(e) => {
                self.pool_mut(&e.sku, &e.warehouse).count(e.counted);
                let outcome = Outcome::Entered { level: e.level };
                self.record(moved(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
            }
            Event::StockLevelAdjusted(e) => {
                let pool = self.pool_mut(&e.sku, &e.warehouse);
                if e.quantity > 0 {
                    pool.put(e.quantity);
                } else {
                    pool.take(-e.quantity);
                }
                let outcome = Outcome::Entered { level: e.level };
                self.record(moved(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
            }
            Event::StockTransferred(e) => {
                self.pool_mut(&e.sku, &e.from).take(e.quantity);
                self.pool_mut(&e.sku, &e.to).put(e.quantity);
                let (to, from_level, to_level) = (e.to.clone(), e.from_level, e.to_level);
                let outcome = Outcome::Transferred { to, from_level, to_level };
                self.record(moved(&e.movement, &e.fingerprint, &e.sku, &e.from, outcome))
            }
            Event::StockTransferStarted(e) => {
                self.pool_mut(&e.sku, &e.from).take(e.quantity);
                self.pool_mut(&e.sku, &e.to).announce(e.quantity);
                let (to, from_level, to_level) = (e.to.clone(), e.from_level, e.to_level);
                let outcome = Outcome::InTransit { to, sent: e.quantity, from_level, to_level };
                self.record(moved(&e.movement, &e.fingerprint, &e.sku, &e.from, outcome))
            }
            Event::StockTransferArrived(e) => {
                self.pool_mut(&e.sku, &e.to).arrive(e.quantity);
                let (to, sent, arrived, level) = (e.to.clone(), e.sent, e.quantity, e.level);
                self.record_outcome(owner, &e.movement, Outcome::Arrived { to, sent, arrived, level })
            }
            Event::StockLostInTransit(e) => {
                self.pool_mut(&e.sku, &e.to).lose(e.quantity);
                let (to, lost, level) = (e.to.clone(), e.quantity, e.level);
                let sent = match self.movements.get(&key(owner, &e.movement)).map(|movement| &movement.outcome) {
                    Some(Outcome::Arrived { sent, .. }) => *sent,
                    _ => lost,
                };
                self.record_outcome(owner, &e.movement, Outcome::Arrived { to, sent, arrived: sent - lost, level })
            }
            Event::StockMovementRejected(e) => {
                let outcome = Outcome::Refused { wanted: e.wanted, available: e.available };
                self.record(moved(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
            }
            Event::StockShortfallFound(e) => {
                let movement = self.movements.get_mut(&key(owner, &e.movement)).expect("a stock-take found it");
                movement.version += 1;
                movement.version
            }
            Event::StockReserved(e) => {
                self.each_pool(&e.lines, Pool::reserve);
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                reservation.fingerprint.clone_from(&e.fingerprint);
                reservation.status = Status::Reserved;
                reservation.lines.clone_from(&e.lines);
                reservation.expires_at = e.expires_at;
                reservation.order.clone_from(&e.order);
                reservation.attempt = e.attempt;
                reservation.version
            }
            Event::StockReservationRejected(e) => {
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                reservation.fingerprint.clone_from(&e.fingerprint);
                reservation.status = Status::Refused;
                reservation.expires_at = at;
                reservation.short.clone_from(&e.short);
                reservation.discontinued = e.discontinued;
                reservation.order.clone_from(&e.order);
                reservation.attempt = e.attempt;
                reservation.version
            }
            Event::StockReservationExtended(e) => {
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                reservation.expires_at = e.expires_at;
                reservation.version
            }
            Event::StockCommitted(e) => {
                let shipped = e.shipped;
                let retaken = e.retaken;
                self.each_pool(&e.lines, |pool, quantity| {
                    if retaken {
                        pool.reserve(quantity);
                    }
                    pool.commit(quantity);
                    if shipped {
                        pool.ship(quantity);
                    }
                });
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                reservation.status = Status::Committed;
                reservation.lines.clone_from(&e.lines);
                reservation.has_left = e.shipped;
                reservation.version
            }
            Event::StockCommitRejected(e) => {
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                // Whoever heard of it has given up; stock that comes in later must not be taken for them.
                if reservation.status == Status::Expired {
                    reservation.status = Status::Released;
                }
                reservation.version
            }
            Event::StockShipped(e) => {
                self.each_pool(&e.lines, Pool::ship);
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                reservation.status = Status::Shipped;
                reservation.has_left = true;
                reservation.version
            }
            Event::StockReleased(e) => {
                self.each_pool(&e.lines, Pool::release);
                let is_new = !self.reservations.contains_key(&stream);
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                if is_new || reservation.status == Status::Reserved {
                    reservation.status = Status::Released;
                    reservation.order.clone_from(&e.order);
                    reservation.attempt = e.attempt;
                }
                if is_new {
                    reservation.expires_at = at;
                }
                reservation.version
            }
            Event::StockReservationExpired(e) => {
                self.each_pool(&e.lines, Pool::release);
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                reservation.status = Status::Expired;
                reservation.version
            }
            Event::SkuDiscontinued(e) => self.sku_mut(stream, &e.sku, true),
            Event::SkuReinstated(e) => self.sku_mut(stream, &e.sku, false),
            Event::StockReturned(e) => {
                let was_shipped = e.was_shipped;
                self.each_pool(
                    &e.lines,
                    |pool, quantity| {
                        if was_shipped { pool.put(quantity) } else { pool.uncommit(quantity) }
                    },
                );
                let reservation = self.reservation_mut(stream, owner, &e.reservation);
                reservation.status = Status::Returned;
                reservation.has_left = false;
                reservation.version
            }
        }
    }

    /// The SKUs of which a batch might want more than there is, in one way or another.
    pub fn may_fall_short<'a>(&self, wanted: impl Iterator<Item = (&'a Sku, i64)>, policy: &Policy) -> Vec<Sku> {
        let mut by_sku: BTreeMap<&Sku, i64> = BTreeMap::new();
        for (sku, quantity) in wanted {
            *by_sku.entry(sku).or_default() += quantity;
        }
        let plenty = |(sku, wanted): &(&Sku, i64)| {
            let Some(pools) = self.stock.get(*sku) else { return true }; // nothing was ever there, so nothing is held
            // Beyond one warehouse a wish may be bound to one, or not be splittable: the least counts.
            let least = if policy.allow_split && pools.len() == 1 {
                pools.values().map(Entry::available).sum()
            } else {
                pools.values().map(Entry::available).min().unwrap_or(0)
            };
            *wanted <= least
        };
        by_sku.into_iter().filter(|wish| !plenty(wish)).map(|(sku, _)| sku.clone()).collect()
    }

    /// What the batch has to say, and lets go of it.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Levels that were changed, and whether they were in the database before.
    pub fn changed_pools(&self) -> impl Iterator<Item = (&Sku, &Warehouse, Pool, bool)> {
        self.stock.iter().flat_map(|(sku, pools)| {
            let changed = pools.iter().filter(|(_, entry)| entry.is_changed);
            changed.map(move |(warehouse, entry)| (sku, warehouse, entry.pool, entry.is_known))
        })
    }

    /// SKUs whose settings were changed, and whether they were in the database before.
    pub fn changed_skus(&self) -> impl Iterator<Item = (&Sku, SkuSettings, bool)> {
        self.changed_skus.iter().map(|(sku, is_known)| (sku, self.skus[sku], *is_known))
    }

    /// Reservations that were changed, with how they were before.
    pub fn changed_reservations(&self) -> impl Iterator<Item = (Option<&Reservation>, &Reservation)> {
        self.before.iter().map(|(number, before)| (before.as_ref(), &self.reservations[number]))
    }

    /// Movements that are new.
    pub fn new_movements(&self) -> impl Iterator<Item = &MovementRecord> {
        self.new_movements.iter().map(|name| &self.movements[name])
    }

    /// Movements that were there before, and changed.
    pub fn changed_movements(&self) -> impl Iterator<Item = &MovementRecord> {
        self.changed_movements.iter().map(|name| &self.movements[name])
    }
}

impl Reservation {
    fn for_order(&self) -> Option<ForOrder> {
        self.order.clone().map(|order| ForOrder { order, attempt: self.attempt })
    }

    /// What it promised, as a wish to have it again from anywhere.
    fn wishes(&self) -> Vec<super::command::Line> {
        let line = |line: &ReservedLine| super::command::Line {
            sku: line.sku.clone(),
            quantity: line.quantity,
            warehouse: None,
        };
        self.lines.iter().map(line).collect()
    }
}

/// Whose name it is, and the name: the one key under which it is found.
pub fn key(owner: &str, name: &Name) -> String {
    [owner, "/", name.as_str()].concat()
}

fn blank(number: Number, owner: &str, name: &Name) -> Reservation {
    Reservation {
        number,
        owner: owner.to_owned(),
        name: name.clone(),
        fingerprint: String::new(),
        status: Status::Released,
        expires_at: Moment::from_micros(0),
        lines: Vec::new(),
        short: Vec::new(),
        discontinued: false,
        order: None,
        attempt: 0,
        has_left: false,
        version: 0,
    }
}

fn as_it_is(reservation: &Reservation) -> Settled {
    Settled::Reservation { is_new: false, reservation: Box::new(reservation.clone()) }
}

fn for_order(order: Option<&ForOrder>) -> (Option<Name>, i64) {
    (order.map(|order| order.order.clone()), order.map_or(0, |order| order.attempt))
}

fn released(name: &Name, order: Option<&ForOrder>, lines: Vec<ReservedLine>) -> say::StockReleased {
    let (order, attempt) = for_order(order);
    say::StockReleased { reservation: name.clone(), order, attempt, lines, replaced_by: None }
}

/// An order wants to commit what was never reserved: it gets an answer, and nothing may be held under
/// this name any more.
fn commit_of_nothing(name: &Name, order: &ForOrder, new_number: &dyn Fn() -> Number) -> Decision {
    let number = new_number();
    let released = released(name, Some(order), Vec::new()).into();
    (vec![(number, released), (number, not_committed(name, order, &[]))], Err(Rejection::UnknownReservation))
}

fn not_committed(name: &Name, order: &ForOrder, short: &[say::Short]) -> Event {
    let (order, attempt) = (Some(order.order.clone()), order.attempt);
    say::StockCommitRejected { reservation: name.clone(), order, attempt, short: short.to_vec() }.into()
}

/// Why it was refused when it was asked for.
fn refusal(reservation: &Reservation) -> Rejection {
    let short = reservation.short.clone();
    match () {
        () if reservation.discontinued => Rejection::Discontinued { short },
        () if short.is_empty() => Rejection::TooLarge,
        () => Rejection::OutOfStock { short },
    }
}

/// Why something that needs a hold cannot be done.
fn no_longer_held(reservation: &Reservation, status: Status) -> Rejection {
    match status {
        Status::Committed | Status::Shipped => Rejection::AlreadyCommitted,
        Status::Refused => refusal(reservation),
        Status::Expired => Rejection::Expired,
        Status::Released | Status::Returned | Status::Reserved => Rejection::AlreadyReleased,
    }
}

fn seconds(secs: i64) -> Duration {
    Duration::from_secs(u64::try_from(secs).unwrap_or(0))
}

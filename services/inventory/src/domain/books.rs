//! What a command does to levels, reservations and movements: decide, then apply.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::inventory::{self as say, Event, Level, ReservedLine};
use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

use super::allocation::{Entry, Stock, allocate};
use super::command::{Act, Command, ForOrder, Movement, Rejection, Reserve, Settled};
use super::pool::Pool;
use super::reservation::{Reservation, Status};

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
    reservations: BTreeMap<Number, Reservation>,
    movements: BTreeMap<String, MovementRecord>,
    names: BTreeMap<String, Number>,
    /// How changed reservations were before; none for new ones.
    before: BTreeMap<Number, Option<Reservation>>,
    new_movements: Vec<String>,
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

/// A movement as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementRecord {
    /// Our number for it.
    pub number: Number,
    /// Whose name it is.
    pub owner: String,
    /// What the caller calls it.
    pub name: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// The level after it, or what was wanted and what was available when it was refused.
    pub outcome: Result<Level, (i64, i64)>,
}

/// No level goes beyond this, so that no sum of levels overflows.
const MOST_ON_HAND: i64 = 1_000_000_000_000;

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
            Command::Reserve(reserve) => self.decide_reserve(owner, reserve, policy, now, new_number),
            Command::Extend { name, hold_secs } => self.decide_extend(owner, name, *hold_secs, now),
            Command::Commit { name, order } => self.decide_commit(owner, name, order.as_ref(), policy, now, new_number),
            Command::Ship { name } => self.decide_ship(owner, name),
            Command::Release { name, order } => self.decide_release(owner, name, order.as_ref(), new_number),
            Command::Return { name, order } => self.decide_return(owner, name, order, new_number),
            Command::Expire { number } => (self.expiry(*number, now), Ok(Settled::Nothing)),
        };
        for (stream, event) in events {
            let version = self.apply(stream, owner, now, &event);
            self.news.push(News { stream, version, event });
        }
        match answer {
            // The answer shows the reservation as it is after the events.
            Ok(Settled::Reservation { is_new, reservation }) => {
                let reservation = self.reservations.get(&reservation.number).cloned().unwrap_or(*reservation);
                Ok(Settled::Reservation { is_new, reservation: Box::new(reservation) })
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
        let Movement { name, fingerprint, sku, warehouse, act } = movement;
        if let Some(known) = self.movements.get(&key(owner, name)) {
            return nothing_but(known.answer(fingerprint));
        }
        let number = new_number();
        let pool = self.pool(sku, warehouse);
        let mut after = pool;
        let (movement, fingerprint) = (name.clone(), fingerprint.clone());
        let (sku, warehouse) = (sku.clone(), warehouse.clone());
        let event: Event = match act {
            Act::Receive { quantity, reference } => {
                after.put(*quantity);
                let (quantity, reference, level) = (*quantity, reference.clone(), after.level());
                let received =
                    say::SupplierShipmentReceived { movement, fingerprint, sku, warehouse, quantity, reference, level };
                received.into()
            }
            Act::Count { counted, reason, reference } => {
                after.count(*counted);
                let (difference, reason, level) = (counted - pool.on_hand, reason.clone(), after.level());
                let newly_owed = level.owed - pool.level().owed;
                let (of_sku, at) = (sku.clone(), warehouse.clone());
                let taken_by = movement.clone();
                let counted = say::StockCounted {
                    movement,
                    fingerprint,
                    sku,
                    warehouse,
                    counted: *counted,
                    difference,
                    reason,
                    reference: reference.clone(),
                    level,
                };
                if newly_owed > 0 {
                    let shortfall =
                        say::StockShortfallFound { movement: taken_by, sku: of_sku, warehouse: at, newly_owed, level };
                    let events = vec![(number, counted.into()), (number, shortfall.into())];
                    return (events, Ok(Settled::Moved { is_new: true, level }));
                }
                counted.into()
            }
            Act::Adjust { quantity, .. } if -quantity > pool.available() => {
                let (wanted, available) = (-quantity, pool.available());
                let no = Rejection::NotAvailable { sku: sku.clone(), warehouse: warehouse.clone(), wanted, available };
                let rejected = say::StockMovementRejected { movement, fingerprint, sku, warehouse, wanted, available };
                return (vec![(number, rejected.into())], Err(no));
            }
            Act::Adjust { quantity, reason } => {
                if *quantity > 0 {
                    after.put(*quantity);
                } else {
                    after.take(-quantity);
                }
                let (quantity, reason, level) = (*quantity, reason.clone(), after.level());
                say::StockLevelAdjusted { movement, fingerprint, sku, warehouse, quantity, reason, level }.into()
            }
        };
        if after.on_hand > MOST_ON_HAND {
            return nothing_but(Err(Rejection::TooMany));
        }
        (vec![(number, event)], Ok(Settled::Moved { is_new: true, level: after.level() }))
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
                Status::Refused if known.short.is_empty() => Err(Rejection::TooLarge),
                Status::Refused => Err(Rejection::OutOfStock { short: known.short.clone() }),
                _ => Ok(as_it_is(known)),
            });
        }
        let (reservation, fingerprint) = (reserve.name.clone(), reserve.fingerprint.clone());
        let (order, attempt) = for_order(reserve.order.as_ref());
        let number = new_number();
        match allocate(&self.stock, &reserve.lines, policy) {
            Ok(lines) => {
                let expires_at = now + seconds(reserve.hold_secs);
                let held = say::StockReserved { reservation, fingerprint, order, attempt, lines, expires_at };
                let answer =
                    Settled::Reservation { is_new: true, reservation: Box::new(blank(number, owner, &reserve.name)) };
                (vec![(number, held.into())], Ok(answer))
            }
            Err(unmet) => {
                let short = unmet.short().to_vec();
                let refused = say::StockReservationRejected { reservation, fingerprint, order, attempt, short };
                (vec![(number, refused.into())], Err(unmet.into()))
            }
        }
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
        policy: &Policy,
        now: Moment,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            let Some(order) = order else { return nothing_but(Err(Rejection::UnknownReservation)) };
            // The order waits for an answer; and nothing may be held under this name any more.
            let number = new_number();
            let events =
                vec![(number, released(name, Some(order), Vec::new())), (number, not_committed(name, order, &[]))];
            return (events, Err(Rejection::UnknownReservation));
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
        match (reservation.status_at(now), order) {
            (Status::Reserved, _) => commit(reservation.lines.clone(), false),
            (Status::Committed | Status::Shipped, _) => nothing_but(Ok(as_it_is(reservation))),
            // A lapsed hold that nobody has taken anything from yet is still there.
            (Status::Expired, Some(_)) if reservation.status == Status::Reserved => {
                commit(reservation.lines.clone(), false)
            }
            (Status::Expired, Some(_)) => match allocate(&self.stock, &reservation.wishes(), policy) {
                Ok(lines) => commit(lines, true),
                Err(unmet) => refuse(Rejection::Expired, unmet.short()),
            },
            (status, _) => refuse(no_longer_held(reservation, status), &[]),
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
            let events = vec![(number, released(name, order, Vec::new()))];
            return (events, Ok(Settled::Reservation { is_new: true, reservation }));
        };
        let number = reservation.number;
        match reservation.status {
            Status::Reserved => {
                let order = order.cloned().or_else(|| reservation.for_order());
                (vec![(number, released(name, order.as_ref(), reservation.lines.clone()))], Ok(as_it_is(reservation)))
            }
            Status::Committed | Status::Shipped => nothing_but(Err(Rejection::AlreadyCommitted)),
            // Nothing is held; an order that waits for the answer gets it all the same.
            Status::Released | Status::Expired | Status::Refused | Status::Returned => {
                let again = order.map(|order| (number, released(name, Some(order), Vec::new())));
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

    fn record(&mut self, number: Number, owner: &str, record: MovementRecord) -> i64 {
        let name = key(owner, &record.name);
        debug_assert_eq!(record.number, number, "a movement is recorded under its own number");
        self.movements.insert(name.clone(), record);
        self.new_movements.push(name);
        1
    }

    /// Enters an event into the books; gives back the how-many-eth event of its thing it is.
    ///
    /// All rows follow from this: those of a running service, and those that are rebuilt.
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
        };
        match event {
            Event::SupplierShipmentReceived(e) => {
                self.pool_mut(&e.sku, &e.warehouse).put(e.quantity);
                self.record(stream, owner, moved(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, Ok(e.level)))
            }
            Event::StockCounted(e) => {
                self.pool_mut(&e.sku, &e.warehouse).count(e.counted);
                self.record(stream, owner, moved(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, Ok(e.level)))
            }
            Event::StockLevelAdjusted(e) => {
                let pool = self.pool_mut(&e.sku, &e.warehouse);
                if e.quantity > 0 {
                    pool.put(e.quantity);
                } else {
                    pool.take(-e.quantity);
                }
                self.record(stream, owner, moved(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, Ok(e.level)))
            }
            Event::StockMovementRejected(e) => {
                let outcome = Err((e.wanted, e.available));
                self.record(stream, owner, moved(&e.movement, &e.fingerprint, &e.sku, &e.warehouse, outcome))
            }
            Event::StockShortfallFound(_) => 2,
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

    /// Reservations that were changed, with how they were before.
    pub fn changed_reservations(&self) -> impl Iterator<Item = (Option<&Reservation>, &Reservation)> {
        self.before.iter().map(|(number, before)| (before.as_ref(), &self.reservations[number]))
    }

    /// Movements that are new.
    pub fn new_movements(&self) -> impl Iterator<Item = &MovementRecord> {
        self.new_movements.iter().map(|name| &self.movements[name])
    }
}

impl MovementRecord {
    fn answer(&self, fingerprint: &str) -> Result<Settled, Rejection> {
        if self.fingerprint != fingerprint {
            return Err(Rejection::DifferentContent);
        }
        let (sku, warehouse) = (self.sku.clone(), self.warehouse.clone());
        self.outcome
            .map(|level| Settled::Moved { is_new: false, level })
            .map_err(|(wanted, available)| Rejection::NotAvailable { sku, warehouse, wanted, available })
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

fn released(name: &Name, order: Option<&ForOrder>, lines: Vec<ReservedLine>) -> Event {
    let (order, attempt) = for_order(order);
    say::StockReleased { reservation: name.clone(), order, attempt, lines }.into()
}

fn not_committed(name: &Name, order: &ForOrder, short: &[say::Short]) -> Event {
    let (order, attempt) = (Some(order.order.clone()), order.attempt);
    say::StockCommitRejected { reservation: name.clone(), order, attempt, short: short.to_vec() }.into()
}

/// Why something that needs a hold cannot be done.
fn no_longer_held(reservation: &Reservation, status: Status) -> Rejection {
    match status {
        Status::Committed | Status::Shipped => Rejection::AlreadyCommitted,
        Status::Refused if reservation.short.is_empty() => Rejection::TooLarge,
        Status::Refused => Rejection::WasRefused { short: reservation.short.clone() },
        Status::Expired => Rejection::Expired,
        Status::Released | Status::Returned | Status::Reserved => Rejection::AlreadyReleased,
    }
}

fn seconds(secs: i64) -> Duration {
    Duration::from_secs(u64::try_from(secs).unwrap_or(0))
}

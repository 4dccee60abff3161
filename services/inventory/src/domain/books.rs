//! What a command does to levels, reservations and movements: decide, then apply.
//!
//! Reading order: here what the books are, then `movements`, `skus`, `warehouses`, `restock`, `promises` and
//! `owed` (what is decided of each), and `apply` (what each event changes).

mod apply;
mod movements;
mod owed;
mod promises;
mod restock;
mod skus;
mod warehouses;

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory::{self as say, AllocateBy, Event};
use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

use self::promises::commit_of_nothing;
use super::allocation::{Entry, Stock};
use super::command::{Command, Rejection, Settled};
use super::movement::MovementRecord;
use super::pool::Pool;
use super::reservation::{Reservation, Status};
use super::restock::RestockPoint;
use super::sku::SkuSettings;
use super::warehouse::{WarehouseSettings, Warehouses};

/// What the operator chose about promising stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Warehouses in the order in which they are emptied; those not named follow by name.
    pub warehouses: Vec<Warehouse>,
    /// By which rule the warehouses of a reservation are chosen that does not say it.
    pub allocation: AllocateBy,
    /// Whether a line may come from several warehouses, where the reservation does not say it.
    pub allow_split: bool,
    /// Whether committed goods leave the shelf at once.
    pub ship_on_commit: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let (warehouses, allocation) = (Vec::new(), AllocateBy::default());
        Self { warehouses, allocation, allow_split: true, ship_on_commit: true }
    }
}

/// Levels, reservations and movements as far as a batch touches them, and what it changed.
#[derive(Debug, Default)]
pub struct Books {
    stock: Stock,
    skus: BTreeMap<Sku, SkuSettings>,
    warehouses: Warehouses,
    restock: BTreeMap<Sku, BTreeMap<Warehouse, RestockPoint>>,
    reservations: BTreeMap<Number, Reservation>,
    movements: BTreeMap<String, MovementRecord>,
    names: BTreeMap<String, Number>,
    /// How changed reservations were before; none for new ones.
    before: BTreeMap<Number, Option<Reservation>>,
    /// SKUs whose settings were changed, and whether they were in the database before.
    changed_skus: BTreeMap<Sku, bool>,
    /// Warehouses of which something new was said, and whether they were in the database before.
    changed_warehouses: BTreeMap<Warehouse, bool>,
    /// Restock points that were changed, and whether they were in the database before.
    changed_restock: BTreeMap<(Sku, Warehouse), bool>,
    /// Levels that have changed and that somebody watches; what has crossed is not said yet.
    watched: BTreeSet<(Sku, Warehouse)>,
    /// Levels that have changed and where somebody is owed pieces; nobody is served yet from what is free.
    owing: BTreeSet<(Sku, Warehouse)>,
    /// How many promises may still be served; all where it is not said.
    left_to_serve: Option<usize>,
    /// Where not all are loaded who are owed pieces: the last of those who are. Who comes after it waits, for
    /// others may stand before.
    last_in_line: BTreeMap<(Sku, Warehouse), Number>,
    /// Reservations that have got pieces that they were owed; what is complete has not left yet.
    served: BTreeSet<Number>,
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
    /// Its place among the events of that thing, from 1.
    pub version: i64,
    /// Whose thing it is, whoever asked: a clerk may decide about everybody's promises, and goods that one
    /// takes in serve another.
    pub owner: String,
    /// What happened.
    pub event: Event,
}

/// What a command comes to: events, and the answer.
type Decision = (Vec<(Number, Event)>, Result<Settled, Rejection>);

fn nothing_but(answer: Result<Settled, Rejection>) -> Decision {
    (Vec::new(), answer)
}

impl Books {
    /// Serves no more promises than this, with all that is carried out; the rest is left to [`Command::Serve`].
    pub fn serve_at_most(&mut self, promises: usize) {
        self.left_to_serve = Some(promises);
    }

    /// Takes over a level as it was loaded. Where pieces are free that somebody is owed, nobody is served before
    /// it is known who is first.
    pub fn load_pool(&mut self, sku: Sku, warehouse: Warehouse, pool: Pool) {
        let was_unserved = pool.is_unserved();
        if was_unserved {
            self.last_in_line.insert((sku.clone(), warehouse.clone()), Number::from_column(0));
        }
        let entry = Entry { pool, own: 0, is_known: true, is_changed: false, was_unserved };
        self.stock.entry(sku).or_default().insert(warehouse, entry);
    }

    /// Takes over the settings of a SKU as they were loaded.
    pub fn load_sku(&mut self, sku: Sku, settings: SkuSettings) {
        self.skus.insert(sku, settings);
    }

    /// Takes over what was said of a warehouse, as it was loaded.
    pub fn load_warehouse(&mut self, warehouse: Warehouse, settings: WarehouseSettings) {
        self.warehouses.insert(warehouse, settings);
    }

    /// Takes over a restock point as it was loaded.
    pub fn load_restock(&mut self, sku: Sku, warehouse: Warehouse, point: RestockPoint) {
        self.restock.entry(sku).or_default().insert(warehouse, point);
    }

    /// Takes over a reservation as it was loaded.
    pub fn load_reservation(&mut self, reservation: Reservation) {
        self.names.insert(key(&reservation.owner, &reservation.name), reservation.number);
        self.reservations.insert(reservation.number, reservation);
    }

    /// All who are owed pieces of what is loaded are loaded too; but where a line goes on after one of them.
    pub fn load_lines(&mut self, last: impl IntoIterator<Item = (Sku, Warehouse, Number)>) {
        self.last_in_line = last.into_iter().map(|(sku, warehouse, number)| ((sku, warehouse), number)).collect();
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
            Command::Settle(settle) => self.decide_settle(settle, policy, now),
            Command::SetSku { sku, offer, seen } => self.decide_sku(sku, *offer, *seen, new_number),
            Command::SetWarehouse { warehouse, site, seen } => {
                self.decide_warehouse(warehouse, site, *seen, new_number)
            }
            Command::SetRestock { sku, points } => self.decide_restock(sku, points, new_number),
            Command::Serve { sku, warehouse } => {
                self.serve_some_more(sku, warehouse);
                nothing_but(Ok(Settled::Nothing))
            }
            Command::Expire { number, .. } => (self.expiry(*number, now), Ok(Settled::Nothing)),
        };
        for (stream, event) in events {
            self.say(stream, owner, now, event);
        }
        self.serve(owner, policy, now);
        self.say_what_crossed(owner, now);
        self.settle_levels(owner);
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
            Ok(Settled::Sku { sku, settings }) => {
                let settings = self.skus.get(&sku).copied().unwrap_or(settings);
                Ok(Settled::Sku { sku, settings })
            }
            Ok(Settled::Restock { sku, .. }) => {
                let points = self.restock_of(&sku);
                Ok(Settled::Restock { sku, points })
            }
            other => other,
        }
    }

    /// Lets a hold lapse that a refusal would otherwise stumble over.
    pub fn expire(&mut self, owner: &str, number: Number, policy: &Policy, now: Moment) {
        for (stream, event) in self.expiry(number, now) {
            self.say(stream, owner, now, event);
        }
        self.serve(owner, policy, now);
    }

    /// Enters an event, and has it told: of a reservation under its own owner, of all else under whoever asked.
    fn say(&mut self, stream: Number, asker: &str, now: Moment, event: Event) {
        let owner = self.reservations.get(&stream).map_or(asker, |reservation| &reservation.owner).to_owned();
        let version = self.apply(stream, &owner, now, &event);
        self.news.push(News { stream, version, owner, event });
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
        self.reservation(&key(owner, name))
    }

    /// The reservation of this owner and name, if it is loaded.
    pub fn reservation(&self, key: &str) -> Option<&Reservation> {
        self.names.get(key).and_then(|number| self.reservations.get(number))
    }

    /// The movement of this owner and name, if it is loaded.
    pub fn movement(&self, key: &str) -> Option<&MovementRecord> {
        self.movements.get(key)
    }

    /// Whether what was said of this SKU is loaded.
    pub fn knows_sku(&self, sku: &Sku) -> bool {
        self.skus.contains_key(sku)
    }

    /// Whether a reservation of this number is loaded.
    pub fn knows(&self, number: Number) -> bool {
        self.reservations.contains_key(&number)
    }

    /// The SKUs of firm promises that wait for goods, as far as their levels are not loaded.
    pub fn unloaded_skus_of_firm_promises(&self) -> BTreeSet<Sku> {
        let firm = self.reservations.values().filter(|of| of.is_live() && of.is_firm() && of.owed() > 0);
        let skus = firm.flat_map(|of| &of.lines).map(|line| &line.sku);
        skus.filter(|sku| !self.stock.contains_key(*sku)).cloned().collect()
    }

    /// The SKUs of which somebody is owed pieces.
    pub fn owing_skus(&self) -> Vec<Sku> {
        let owing = self.stock.iter().filter(|(_, pools)| pools.values().any(|entry| entry.pool.owed() > 0));
        owing.map(|(sku, _)| sku.clone()).collect()
    }

    /// Pieces that are free where somebody is owed some.
    pub fn unserved_pieces(&self) -> i64 {
        let pools = self.stock.values().flat_map(BTreeMap::values).map(|entry| entry.pool);
        pools.filter(Pool::is_unserved).map(|pool| pool.free()).sum()
    }

    /// The level of a SKU in a warehouse.
    pub fn pool(&self, sku: &Sku, warehouse: &Warehouse) -> Pool {
        self.stock.get(sku).and_then(|pools| pools.get(warehouse)).map(|entry| entry.pool).unwrap_or_default()
    }

    /// The SKUs of which a batch might want more than there is, in one way or another.
    pub fn may_fall_short<'a>(&self, wanted: impl Iterator<Item = (&'a Sku, i64)>) -> Vec<Sku> {
        let mut by_sku: BTreeMap<&Sku, i64> = BTreeMap::new();
        for (sku, quantity) in wanted {
            *by_sku.entry(sku).or_default() += quantity;
        }
        let plenty = |(sku, wanted): &(&Sku, i64)| {
            let Some(pools) = self.stock.get(*sku) else { return true }; // nothing was ever there, so nothing is held
            // A wish may be bound to one warehouse, or not be splittable: the least counts.
            *wanted <= pools.values().map(Entry::available).min().unwrap_or(0)
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

    /// Levels of which it has changed whether somebody is owed what is free.
    pub fn changed_unserved(&self) -> impl Iterator<Item = (&Sku, &Warehouse, bool)> {
        self.stock.iter().flat_map(|(sku, pools)| {
            let changed = pools.iter().filter(|(_, entry)| entry.was_unserved != entry.pool.is_unserved());
            changed.map(move |(warehouse, entry)| (sku, warehouse, entry.pool.is_unserved()))
        })
    }

    /// SKUs whose settings were changed, and whether they were in the database before.
    pub fn changed_skus(&self) -> impl Iterator<Item = (&Sku, SkuSettings, bool)> {
        self.changed_skus.iter().map(|(sku, is_known)| (sku, self.skus[sku], *is_known))
    }

    /// Warehouses of which something new was said, and whether they were in the database before.
    pub fn changed_warehouses(&self) -> impl Iterator<Item = (&Warehouse, &WarehouseSettings, bool)> {
        self.changed_warehouses.iter().map(|(warehouse, is_known)| (warehouse, &self.warehouses[warehouse], *is_known))
    }

    /// Restock points that were changed, and whether they were in the database before.
    pub fn changed_restock(&self) -> impl Iterator<Item = (&Sku, &Warehouse, RestockPoint, bool)> {
        let changed = self.changed_restock.iter();
        changed.map(|((sku, warehouse), is_known)| (sku, warehouse, self.restock[sku][warehouse], *is_known))
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
        terms: None,
        version: 0,
    }
}

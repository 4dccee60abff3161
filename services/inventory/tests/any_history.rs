//! What holds whatever happens: commands in any order, said twice, while holds lapse and shelves are counted.
//!
//! A history is drawn from a seed, in a shop so small that everything meets everything: two SKUs, two
//! warehouses, a handful of names.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::inventory::{AllocateBy, Allocation, Event, Level, ReservedLine, Terms};
use ids::{Name, Number, Sku, Warehouse};
use inventory::domain::{
    Act, Books, Change, Changed, Command, ForOrder, Line, Movement, MovementRecord, News, Offer, Outcome, Policy, Pool,
    Rejection, Reorder, Reservation, Reserve, RestockPoint, Settle, Settled, Site, SkuSettings, Status,
    WarehouseSettings, Way, changes,
};
use world::{Chance, Moment, World};

/// Histories that are tried.
const HISTORIES: u64 = 5_000;
const SKUS: [&str; 2] = ["a", "b"];
const WAREHOUSES: [&str; 2] = ["main", "west"];
const OWNERS: [&str; 2] = ["local", "shop"];

type Place = (Sku, Warehouse);

/// All rows that the books keep.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rows {
    pools: BTreeMap<Place, Pool>,
    skus: BTreeMap<Sku, SkuSettings>,
    warehouses: BTreeMap<Warehouse, WarehouseSettings>,
    restock: BTreeMap<Place, RestockPoint>,
    reservations: BTreeMap<Number, Reservation>,
    movements: BTreeMap<Number, MovementRecord>,
    unserved: BTreeSet<Place>,
}

impl Rows {
    /// Takes over what the books have changed.
    fn save(&mut self, books: &Books) {
        for (sku, warehouse, pool, was_known) in books.changed_pools() {
            let before = self.pools.insert((sku.clone(), warehouse.clone()), pool);
            assert_eq!(before.is_some(), was_known, "{sku} in {warehouse}");
        }
        for (sku, settings, was_known) in books.changed_skus() {
            assert_eq!(self.skus.insert(sku.clone(), settings).is_some(), was_known, "{sku}");
        }
        for (warehouse, settings, was_known) in books.changed_warehouses() {
            let before = self.warehouses.insert(warehouse.clone(), settings.clone());
            assert_eq!(before.is_some(), was_known, "{warehouse}");
        }
        for (sku, warehouse, point, was_known) in books.changed_restock() {
            let before = self.restock.insert((sku.clone(), warehouse.clone()), point);
            assert_eq!(before.is_some(), was_known, "{sku} in {warehouse}");
        }
        for (before, after) in books.changed_reservations() {
            let known = self.reservations.insert(after.number, after.clone());
            assert_eq!(known.as_ref(), before, "a row is as it was loaded");
        }
        for (sku, warehouse, is_unserved) in books.changed_unserved() {
            let place = (sku.clone(), warehouse.clone());
            let was_other = if is_unserved { self.unserved.insert(place) } else { self.unserved.remove(&place) };
            assert!(was_other, "{sku} in {warehouse}");
        }
        for movement in books.changed_movements() {
            let known = self.movements.insert(movement.number, movement.clone());
            assert!(known.is_some_and(|known| known.version < movement.version), "what arrives was sent before");
        }
        for movement in books.new_movements() {
            assert_eq!(self.movements.insert(movement.number, movement.clone()), None, "a movement is entered once");
        }
    }

    /// The books as a batch loads them.
    fn load(&self) -> Books {
        let mut books = Books::default();
        for ((sku, warehouse), pool) in &self.pools {
            books.load_pool(sku.clone(), warehouse.clone(), *pool);
        }
        self.skus.iter().for_each(|(sku, settings)| books.load_sku(sku.clone(), *settings));
        let warehouses = self.warehouses.iter();
        warehouses.for_each(|(warehouse, settings)| books.load_warehouse(warehouse.clone(), settings.clone()));
        for ((sku, warehouse), point) in &self.restock {
            books.load_restock(sku.clone(), warehouse.clone(), *point);
        }
        self.reservations.values().for_each(|reservation| books.load_reservation(reservation.clone()));
        self.movements.values().for_each(|movement| books.load_movement(movement.clone()));
        books.load_lines([]);
        books
    }
}

struct History {
    chance: Chance,
    now: Moment,
    policy: Policy,
    numbers: Cell<i64>,
    rows: Rows,
    /// Everything that was said, and when.
    journal: Vec<(Moment, News)>,
    /// How much of it had been said after each command.
    ends: BTreeSet<usize>,
}

impl History {
    fn new(seed: u64) -> Self {
        let world = World::simulated(seed);
        let mut chance = world.chance("history");
        let policy = Policy {
            warehouses: if chance.once_in(2) { vec![parse("west")] } else { vec![] },
            allocation: if chance.once_in(2) { AllocateBy::FewestParcels } else { AllocateBy::Priority },
            allow_split: chance.once_in(2),
            ship_on_commit: chance.once_in(2),
        };
        let (rows, journal, ends) = (Rows::default(), Vec::new(), BTreeSet::new());
        Self { chance, now: world.now(), policy, numbers: Cell::new(0), rows, journal, ends }
    }

    fn step(&mut self) {
        if self.chance.once_in(4) {
            self.now = self.now + Duration::from_secs(self.chance.between(1, 40).unsigned_abs());
        }
        let owner = OWNERS[self.chance.below(OWNERS.len())];
        let mut books = self.rows.load();
        if self.chance.once_in(2) {
            books.serve_at_most(self.chance.below(3));
        }
        let unserved: Vec<_> = self.rows.unserved.iter().cloned().collect();
        if let Some((sku, warehouse)) = self.chance.pick(&unserved).filter(|_| self.chance.once_in(3)).cloned() {
            let _ = self.tell(&mut books, owner, &Command::Serve { sku, warehouse });
        }
        for _ in 0..=self.chance.below(3) {
            let command = self.command();
            self.tell_twice(&mut books, owner, &command);
        }
        self.rows.save(&books);
        self.check();
    }

    /// Serves all whom earlier batches left waiting.
    fn serve_all(&mut self) {
        let mut books = self.rows.load();
        for (sku, warehouse) in self.rows.unserved.clone() {
            let _ = self.tell(&mut books, OWNERS[0], &Command::Serve { sku, warehouse });
        }
        self.rows.save(&books);
        self.check();
        assert_eq!(self.rows.unserved, BTreeSet::new());
    }

    fn tell(&mut self, books: &mut Books, owner: &'static str, command: &Command) -> (Answer, Vec<Event>) {
        let number = || {
            self.numbers.set(self.numbers.get() + 1);
            Number::from_column(self.numbers.get())
        };
        let answer = books.carry_out(owner, command, &self.policy, self.now, &number);
        let news = books.take_news();
        let events = news.iter().map(|news| news.event.clone()).collect();
        self.journal.extend(news.into_iter().map(|news| (self.now, news)));
        self.ends.insert(self.journal.len());
        (answer, events)
    }

    /// Says something once and then again: what was done is done, and what was refused stays refused.
    fn tell_twice(&mut self, books: &mut Books, owner: &'static str, command: &Command) {
        let (first, said) = self.tell(books, owner, command);
        let then = levels(books);
        if let (Ok(Settled::Moved { movement, .. }), false) = (&first, said.is_empty()) {
            for (warehouse, level) in levels_after(movement) {
                let is_there = then.get(&(movement.sku.clone(), warehouse.clone())).map(Pool::level);
                assert_eq!(Some(level), is_there, "{command:?}: {said:?}");
            }
        }
        for event in &said {
            if let Event::StockShortfallFound(e) = event {
                let is_there = then.get(&(e.sku.clone(), e.warehouse.clone())).map(Pool::level);
                assert_eq!(Some(e.level), is_there, "{command:?}: {said:?}");
            }
        }
        let (second, said) = self.tell(books, owner, command);
        assert_eq!(levels(books), then, "{command:?} was said twice and moved something twice");
        // An order that waits for an answer gets it each time.
        let answers_again = |event: &Event| match event {
            Event::StockReleased(e) => e.lines.is_empty() && e.order.is_some(),
            Event::StockCommitted(e) => e.lines.is_empty() && e.order.is_some(),
            Event::StockCommitRejected(_) => true,
            _ => false,
        };
        assert!(said.iter().all(answers_again), "{command:?} was said twice: {said:?}");
        match (first, second) {
            (Ok(Settled::Reservation { reservation, .. }), Ok(Settled::Reservation { is_new, reservation: again })) => {
                assert_eq!((is_new, again.status, again.lines), (false, reservation.status, reservation.lines));
            }
            (Ok(Settled::Moved { movement, .. }), Ok(Settled::Moved { is_new, movement: again })) => {
                assert_eq!((is_new, again), (false, movement));
            }
            // What was settled is owed no more.
            (Ok(Settled::Reservation { .. }), Err(Rejection::NotOwed)) if matches!(command, Command::Settle(_)) => {}
            // The first commit ended what the second would have to commit.
            (
                Err(Rejection::OutOfStock { .. } | Rejection::Discontinued { .. } | Rejection::UnknownReservation),
                Err(Rejection::AlreadyReleased),
            ) => {}
            (first, second) => assert_eq!(first, second, "{command:?}"),
        }
    }

    fn command(&mut self) -> Command {
        let name: Name = parse(["r-1", "r-2", "r-3", "r-4"][self.chance.below(4)]);
        match self.chance.below(26) {
            0..=3 => Command::Move(self.movement()),
            4..=7 => Command::Reserve(self.reserve(name)),
            8 | 19 => Command::Extend { name, hold_secs: self.chance.between(1, 60) },
            9..=10 => {
                let order = self.order(&name);
                // Orders always take a lapsed hold anew.
                let retake = order.is_some() || self.chance.once_in(2);
                Command::Commit { name, order, retake }
            }
            11 | 21 => Command::Ship { name },
            12 | 13 => {
                let order = self.order(&name);
                Command::Release { name, order }
            }
            14 | 15 => {
                let quantity = self.chance.once_in(2).then(|| self.chance.between(0, 4));
                Command::Arrive { name: self.name_of_transfer(), quantity }
            }
            16 => {
                let discontinued = self.chance.once_in(4);
                let backorder_limit = self.chance.between(0, 6);
                let available_from = self.chance.once_in(2).then_some(self.now);
                let low_upto = self.chance.once_in(2).then(|| self.chance.between(0, 9));
                let offer = Offer { discontinued, backorder_limit, available_from, low_upto };
                Command::SetSku { sku: self.sku(), offer, seen: None }
            }
            18 => {
                let mut points = BTreeMap::new();
                for warehouse in WAREHOUSES {
                    if self.chance.once_in(2) {
                        let threshold = self.chance.between(1, 6);
                        let reorder = Reorder { threshold, target: threshold + self.chance.between(0, 9) };
                        points.insert(parse(warehouse), reorder);
                    }
                }
                Command::SetRestock { sku: self.sku(), points }
            }
            17 => {
                let (warehouse, priority) =
                    (self.warehouse(), self.chance.once_in(2).then(|| self.chance.between(0, 2)));
                let markets = if self.chance.once_in(12) { vec![parse("GB")] } else { vec![] };
                let site = Site { name: None, priority, markets, active: !self.chance.once_in(12) };
                Command::SetWarehouse { warehouse, site, seen: None }
            }
            22..=25 => Command::Settle(self.decision(name)),
            _ => Command::Expire { number: Number::from_column(self.chance.between(1, 1 + self.numbers.get())) },
        }
    }

    fn movement(&mut self) -> Movement {
        let (sku, warehouse) = (self.sku(), self.warehouse());
        let act = match self.chance.below(8) {
            0..=2 => Act::Receive { quantity: self.chance.between(1, 9), reference: None },
            3 => Act::Count { counted: self.chance.between(0, 12), reason: None, reference: None },
            4 | 5 => {
                let other = WAREHOUSES.iter().find(|other| **other != warehouse.as_str()).expect("two warehouses");
                let (quantity, travels) = (self.chance.between(1, 6), !self.chance.once_in(3));
                Act::Transfer { to: parse(other), quantity, travels }
            }
            _ => {
                Act::Adjust { quantity: self.chance.between(1, 6) - 7 * self.chance.between(0, 1), reason: "x".into() }
            }
        };
        let fingerprint = format!("{sku} {warehouse} {act:?}");
        Movement { name: self.name_of_movement(), fingerprint, sku, warehouse, act }
    }

    fn name_of_movement(&mut self) -> Name {
        parse(&format!("m-{}", self.chance.below(40)))
    }

    /// One whose goods are on their way, where there is one.
    fn name_of_transfer(&mut self) -> Name {
        let under_way = |movement: &&MovementRecord| matches!(movement.outcome, Outcome::InTransit { .. });
        let under_way: Vec<_> = self.rows.movements.values().filter(under_way).map(|movement| &movement.name).collect();
        self.chance.pick(&under_way).map_or_else(|| parse("m-0"), |name| (*name).clone())
    }

    fn reserve(&mut self, name: Name) -> Reserve {
        let mut lines = Vec::new();
        for _ in 0..=self.chance.below(2) {
            let warehouse = if self.chance.once_in(3) { Some(self.warehouse()) } else { None };
            lines.push(Line { sku: self.sku(), quantity: self.chance.between(1, 5), warehouse });
        }
        let order = self.order(&name);
        let other = parse(["r-1", "r-2", "r-3", "r-4"][self.chance.below(4)]);
        let replaces = (order.is_none() && name != other && self.chance.once_in(2)).then_some(other);
        let terms = self.chance.once_in(3).then(|| self.terms());
        let fingerprint = format!("{lines:?} {replaces:?} {terms:?}");
        Reserve { name, fingerprint, lines, hold_secs: self.chance.between(1, 60), order, replaces, terms }
    }

    /// What somebody decides about a promise that may be owed pieces.
    fn decision(&mut self, name: Name) -> Settle {
        let mut owed = Vec::new();
        for reservation in self.rows.reservations.values().filter(|reservation| reservation.is_live()) {
            each_part(&reservation.lines, |sku, part| {
                if part.owed > 0 {
                    owed.push((reservation, sku, &part.warehouse));
                }
            });
        }
        let (owner, reservation, sku, warehouse) = match self.chance.pick(&owed) {
            Some((of, sku, warehouse)) => (of.owner.clone(), of.name.clone(), (*sku).clone(), (*warehouse).clone()),
            None => (OWNERS[0].to_owned(), name, self.sku(), self.warehouse()),
        };
        let other = WAREHOUSES.iter().find(|other| **other != warehouse.as_str()).expect("two warehouses");
        let way = match self.chance.below(4) {
            0 => Way::Release,
            1 => Way::Wait,
            _ => Way::Move { to: parse(other) },
        };
        Settle { owner, reservation, sku, warehouse, way, reason: "x".into() }
    }

    fn terms(&mut self) -> Terms {
        let allocation =
            self.chance.pick(&[None, Some(AllocateBy::Priority), Some(AllocateBy::FewestParcels)]).copied();
        let market = self.chance.pick(&[None, Some("GB"), Some("FR")]).copied().flatten().map(parse);
        Terms {
            allocation: allocation.flatten(),
            split: self.chance.once_in(2).then_some(false),
            market,
            backorder: self.chance.once_in(4).then_some(false),
        }
    }

    /// Whether an order asks: mostly about the same names.
    fn order(&mut self, name: &Name) -> Option<ForOrder> {
        let attempt = self.chance.between(1, 2);
        let is_orders = ["r-1", "r-2"].contains(&name.as_str());
        (self.chance.once_in(8) != is_orders).then(|| ForOrder { order: parse("o-1"), attempt })
    }

    fn sku(&mut self) -> Sku {
        parse(SKUS[self.chance.below(SKUS.len())])
    }

    fn warehouse(&mut self) -> Warehouse {
        parse(WAREHOUSES[self.chance.below(WAREHOUSES.len())])
    }

    /// Every level is what was brought and what is promised.
    fn check(&self) {
        let mut promised: BTreeMap<Place, (i64, i64)> = BTreeMap::new();
        for reservation in self.rows.reservations.values() {
            let (held, firm) = match reservation.status {
                Status::Reserved => (1, 0),
                Status::Committed if !reservation.has_left => (0, 1),
                _ => (0, 0),
            };
            each(&reservation.lines, |place, quantity| {
                let promised = promised.entry(place).or_default();
                *promised = (promised.0 + held * quantity, promised.1 + firm * quantity);
            });
        }
        let (brought, in_transit) = (self.brought(), self.in_transit());
        for (place, pool) in &self.rows.pools {
            let Pool { on_hand, reserved, committed, owed_to_holds, owed_firmly, .. } = *pool;
            let (held, firm) = promised.get(place).copied().unwrap_or_default();
            assert!([on_hand, reserved, committed, owed_to_holds, owed_firmly].iter().all(|n| *n >= 0), "{pool:?}");
            assert!(pool.is_sound(), "{pool:?}");
            assert_eq!(self.rows.unserved.contains(place), pool.is_unserved(), "{place:?}: {pool:?}");
            assert_eq!((reserved + owed_to_holds, committed + owed_firmly), (held, firm), "{place:?}: {pool:?}");
            assert_eq!(on_hand, brought.get(place).copied().unwrap_or_default(), "{place:?}: {pool:?}");
            let on_its_way = in_transit.get(place).copied().unwrap_or_default();
            assert_eq!(pool.in_transit, on_its_way, "{place:?}: {pool:?}");
        }
        self.who_is_owed_is_known();
        self.who_was_promised_first_is_served_first();
        self.all_that_was_sent_is_somewhere();
        self.nothing_is_promised_of_what_is_sold_no_more();
        self.nothing_is_promised_from_where_it_may_not_come();
        self.what_runs_low_is_said();
    }

    /// What levels owe is what reservations are owed.
    fn who_is_owed_is_known(&self) {
        let mut owed: BTreeMap<Place, (i64, i64)> = BTreeMap::new();
        for reservation in self.rows.reservations.values().filter(|reservation| reservation.is_live()) {
            for line in &reservation.lines {
                for part in &line.allocations {
                    assert!(0 <= part.missing && part.missing <= part.owed && part.owed <= part.quantity, "{part:?}");
                    let owed = owed.entry((line.sku.clone(), part.warehouse.clone())).or_default();
                    let (held, firm) = if reservation.is_firm() { (0, part.owed) } else { (part.owed, 0) };
                    *owed = (owed.0 + held, owed.1 + firm);
                }
            }
        }
        for (place, pool) in &self.rows.pools {
            let (held, firm) = owed.get(place).copied().unwrap_or_default();
            assert_eq!((pool.owed_to_holds, pool.owed_firmly), (held, firm), "{place:?}");
        }
    }

    /// When pieces are served, nobody who was promised them before is still owed any there, and nobody takes some from
    /// the shelf who is promised them later; and no more is
    /// promised without stock than was allowed.
    fn who_was_promised_first_is_served_first(&self) {
        let mut owed: BTreeMap<Place, BTreeMap<Number, i64>> = BTreeMap::new();
        let mut limits: BTreeMap<&Sku, i64> = BTreeMap::new();
        let mut in_place_of = None;
        for (_, News { stream, event, .. }) in &self.journal {
            let mut more: Vec<(&Sku, &Warehouse, i64)> = Vec::new();
            if let Event::StockReleased(e) = event {
                in_place_of = e.replaced_by.as_ref();
            }
            match event {
                Event::SkuBackorderChanged(e) => drop(limits.insert(&e.sku, e.limit)),
                Event::StockReserved(e) => {
                    each_part(&e.lines, |sku, part| {
                        let nobody_waits =
                            owed.get(&(sku.clone(), part.warehouse.clone())).is_none_or(BTreeMap::is_empty);
                        let has_them_already = in_place_of == Some(&e.reservation);
                        assert!(nobody_waits || part.owed == part.quantity || has_them_already, "{event:?}");
                    });
                    each_part(&e.lines, |sku, part| more.push((sku, &part.warehouse, part.owed)));
                }
                Event::PromiseFellShort(e) => more.push((&e.sku, &e.warehouse, e.quantity)),
                Event::PromiseMoved(e) => more.push((&e.sku, &e.from, -e.quantity)),
                Event::BackorderServed(e) => {
                    let first = owed[&(e.sku.clone(), e.warehouse.clone())].keys().next().copied();
                    assert_eq!(first, Some(*stream), "somebody was promised them before: {event:?}");
                    more.push((&e.sku, &e.warehouse, -e.quantity));
                }
                Event::StockReleased(_) | Event::StockReservationExpired(_) | Event::StockReturned(_) => {
                    for of in owed.values_mut() {
                        of.retain(|number, _| number != stream);
                    }
                }
                _ => {}
            }
            for (sku, warehouse, quantity) in more {
                let of = owed.entry((sku.clone(), warehouse.clone())).or_default();
                *of.entry(*stream).or_default() += quantity;
                of.retain(|_, owed| *owed > 0);
            }
            let Event::StockReserved(e) = event else { continue };
            for line in e.lines.iter().filter(|line| line.owed() > 0) {
                let all = owed.iter().filter(|((sku, _), _)| *sku == line.sku).flat_map(|(_, of)| of.values());
                let (all, limit) = (all.sum::<i64>(), limits.get(&line.sku).copied().unwrap_or(0));
                assert!(all <= limit, "{all} are owed of at most {limit}: {event:?}");
            }
        }
    }

    /// What was said last of each level that somebody watches is so.
    fn what_runs_low_is_said(&self) {
        for (place, point) in &self.rows.restock {
            let pool = self.rows.pools.get(place).copied().unwrap_or_default();
            let there = pool.free() - pool.owed() + pool.in_transit;
            let is_low = point.reorder.is_some_and(|reorder| there < reorder.threshold);
            assert_eq!(point.is_low, is_low, "{place:?}: {pool:?}, {point:?}");
        }
    }

    /// What lies there by all that was said: brought and found, less what has left.
    fn brought(&self) -> BTreeMap<Place, i64> {
        let mut brought: BTreeMap<Place, i64> = BTreeMap::new();
        for (_, news) in &self.journal {
            let mut add = |place, quantity: i64| *brought.entry(place).or_default() += quantity;
            match &news.event {
                Event::SupplierShipmentReceived(e) => add((e.sku.clone(), e.warehouse.clone()), e.quantity),
                Event::StockCounted(e) => add((e.sku.clone(), e.warehouse.clone()), e.difference),
                Event::StockLevelAdjusted(e) => add((e.sku.clone(), e.warehouse.clone()), e.quantity),
                Event::StockTransferred(e) => {
                    add((e.sku.clone(), e.from.clone()), -e.quantity);
                    add((e.sku.clone(), e.to.clone()), e.quantity);
                }
                Event::StockTransferStarted(e) => add((e.sku.clone(), e.from.clone()), -e.quantity),
                Event::StockTransferArrived(e) => add((e.sku.clone(), e.to.clone()), e.quantity),
                Event::StockCommitted(e) if e.shipped => each(&e.lines, |place, quantity| add(place, -quantity)),
                Event::StockShipped(e) => each(&e.lines, |place, quantity| add(place, -quantity)),
                Event::StockReturned(e) if e.was_shipped => each(&e.lines, add),
                _ => {}
            }
        }
        brought
    }

    /// What is on its way to where, by the movements.
    fn in_transit(&self) -> BTreeMap<Place, i64> {
        let mut in_transit: BTreeMap<Place, i64> = BTreeMap::new();
        for movement in self.rows.movements.values() {
            if let Outcome::InTransit { to, sent, .. } = &movement.outcome {
                *in_transit.entry((movement.sku.clone(), to.clone())).or_default() += sent;
            }
        }
        in_transit
    }

    /// What was sent has arrived, is lost, or is on its way.
    fn all_that_was_sent_is_somewhere(&self) {
        let mut on_their_way = 0;
        for (_, news) in &self.journal {
            match &news.event {
                Event::StockTransferStarted(e) => on_their_way += e.quantity,
                Event::StockTransferArrived(e) => on_their_way -= e.quantity,
                Event::StockLostInTransit(e) => on_their_way -= e.quantity,
                _ => {}
            }
        }
        assert_eq!(on_their_way, self.in_transit().values().sum::<i64>());
    }

    /// Between the two that a SKU is discontinued and reinstated nothing of it is newly promised.
    fn nothing_is_promised_of_what_is_sold_no_more(&self) {
        let mut discontinued = BTreeSet::new();
        let sold = |discontinued: &BTreeSet<&Sku>, lines: &[ReservedLine]| {
            assert!(lines.iter().all(|line| !discontinued.contains(&line.sku)), "{lines:?} of {discontinued:?}");
        };
        for (_, news) in &self.journal {
            match &news.event {
                Event::SkuDiscontinued(e) => assert!(discontinued.insert(&e.sku), "{} is discontinued once", e.sku),
                Event::SkuReinstated(e) => assert!(discontinued.remove(&e.sku), "{} was discontinued", e.sku),
                Event::StockReserved(e) => sold(&discontinued, &e.lines),
                Event::StockCommitted(e) if e.retaken => sold(&discontinued, &e.lines),
                _ => {}
            }
        }
    }

    /// New promises come from warehouses that are active and serve the market; as long as nothing else
    /// was said of one, it does.
    fn nothing_is_promised_from_where_it_may_not_come(&self) {
        let mut closed = BTreeMap::new();
        let mut markets = BTreeMap::new();
        for (_, News { stream, event, .. }) in &self.journal {
            let promised = match event {
                Event::WarehouseChanged(e) => {
                    closed.insert(&e.warehouse, (!e.active, &e.markets));
                    continue;
                }
                Event::StockReserved(e) => {
                    markets.insert(stream, e.terms.as_ref().and_then(|terms| terms.market.as_ref()));
                    &e.lines
                }
                Event::StockCommitted(e) if e.retaken => &e.lines,
                _ => continue,
            };
            let market = markets.get(stream).copied().flatten();
            for place in promised.iter().flat_map(|line| &line.allocations) {
                let Some((is_closed, serves)) = closed.get(&place.warehouse) else { continue };
                let serves_it = market.is_none_or(|market| serves.is_empty() || serves.contains(market));
                assert!(!is_closed && serves_it, "{event:?}");
            }
        }
    }

    /// The journal alone gives the same rows, numbers the events of each thing from one, and says of each reservation
    /// whose it is.
    fn end(&self) {
        let mut books = Books::default();
        let mut versions: BTreeMap<Number, i64> = BTreeMap::new();
        for (at, News { stream, version, owner, event }) in &self.journal {
            let reservation = self.rows.reservations.get(stream);
            assert!(reservation.is_none_or(|of| of.owner == *owner), "{event:?} of {owner}");
            let last = versions.entry(*stream).or_default();
            *last += 1;
            assert_eq!((books.apply(*stream, owner, *at, event), *version), (*last, *last), "{event:?}");
        }
        let mut rebuilt = Rows::default();
        rebuilt.save(&books);
        assert_eq!(rebuilt, self.rows, "the journal gives the rows");
        self.each_entry_says_what_it_changes();
    }

    /// What each event says of its changes adds up to the levels, and to the one that it names.
    fn each_entry_says_what_it_changes(&self) {
        let mut pools: BTreeMap<Place, Pool> = BTreeMap::new();
        let mut sums: BTreeMap<Place, Change> = BTreeMap::new();
        let mut named: Vec<(Place, Level)> = Vec::new();
        for (at, (_, News { event, .. })) in self.journal.iter().enumerate() {
            for Changed { sku, warehouse, change, level } in changes(event) {
                let place = (sku.clone(), warehouse.clone());
                *sums.entry(place.clone()).or_default() += change;
                let pool = pools.entry(place.clone()).or_default();
                let before = *pool;
                pool.enter(change);
                assert_eq!(pool.before(change), before, "{event:?} left {pool:?}");
                named.extend(level.map(|level| (place, level)));
            }
            if self.ends.contains(&(at + 1)) {
                for (place, level) in named.drain(..) {
                    assert_eq!(level, pools[&place].level(), "a level is as it is once all has happened");
                }
            }
        }
        assert_eq!(pools, self.rows.pools);
        for (place, pool) in pools {
            assert_eq!(pool.before(sums[&place]), Pool::default(), "{place:?}");
            let Pool { on_hand, reserved, committed, owed_to_holds, owed_firmly, in_transit } = pool;
            let (held, firm) = (reserved + owed_to_holds, committed + owed_firmly);
            let change = Change { on_hand, held, firm, owed_to_holds, owed_firmly, in_transit };
            assert_eq!(sums[&place], change, "{place:?}");
        }
    }
}

type Answer = Result<Settled, Rejection>;

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name of this kind")
}

fn each(lines: &[ReservedLine], mut change: impl FnMut(Place, i64)) {
    for line in lines {
        assert_eq!(line.quantity, line.allocations.iter().map(|part| part.quantity).sum::<i64>(), "{line:?}");
        for part in &line.allocations {
            change((line.sku.clone(), part.warehouse.clone()), part.quantity);
        }
    }
}

fn each_part<'l>(lines: &'l [ReservedLine], mut tell: impl FnMut(&'l Sku, &'l Allocation)) {
    for line in lines {
        for part in &line.allocations {
            tell(&line.sku, part);
        }
    }
}

fn levels(books: &Books) -> BTreeMap<Place, Pool> {
    let pools = books.changed_pools();
    pools.map(|(sku, warehouse, pool, _)| ((sku.clone(), warehouse.clone()), pool)).collect()
}

/// The levels that a movement is answered with, and where.
fn levels_after(movement: &MovementRecord) -> Vec<(&Warehouse, Level)> {
    match &movement.outcome {
        Outcome::Entered { level } => vec![(&movement.warehouse, *level)],
        Outcome::Transferred { to, from_level, to_level } | Outcome::InTransit { to, from_level, to_level, .. } => {
            vec![(&movement.warehouse, *from_level), (to, *to_level)]
        }
        Outcome::Arrived { to, level, .. } => vec![(to, *level)],
        Outcome::Refused { .. } => vec![],
    }
}

#[test]
fn whatever_happens_stock_is_conserved_and_the_journal_gives_the_rows() {
    let mut said: BTreeMap<&'static str, usize> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let told = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            for _ in 0..30 {
                history.step();
            }
            history.serve_all();
            history.end();
            history.journal
        });
        match told {
            Ok(journal) => journal.iter().for_each(|(_, news)| *said.entry(news.event.kind()).or_default() += 1),
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    // A check that never meets a case says nothing about it.
    for (kind, _) in Event::KINDS {
        assert!(said.get(kind).is_some_and(|times| *times > 100), "{kind} was hardly ever said: {said:?}");
    }
}

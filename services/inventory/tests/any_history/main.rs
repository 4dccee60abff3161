//! What holds whatever happens: commands in any order, said twice, while holds lapse and shelves are counted.
//!
//! A history is drawn from a seed, in a shop so small that everything meets everything: two SKUs, two
//! warehouses, a handful of names. What is checked of it stands in `checks`.

mod checks;

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
            _ => {
                let number = Number::from_column(self.chance.between(1, 1 + self.numbers.get()));
                Command::Expire { number, levels: 1 }
            }
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

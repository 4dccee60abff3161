//! What holds whatever happens: commands in any order, said twice, while holds lapse and shelves are counted.
//!
//! A history is drawn from a seed, in a shop so small that everything meets everything: two SKUs, two
//! warehouses, a handful of names.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use contracts::inventory::{Event, Level, ReservedLine};
use ids::{Name, Number, Sku, Warehouse};
use inventory::domain::{
    Act, Books, Command, ForOrder, Line, Movement, MovementRecord, News, Policy, Pool, Rejection, Reservation, Reserve,
    Settled, Status,
};
use world::{Chance, Moment, World};

/// Histories that are tried.
const HISTORIES: u64 = 2_000;
const SKUS: [&str; 2] = ["a", "b"];
const WAREHOUSES: [&str; 2] = ["main", "west"];
const OWNERS: [&str; 2] = ["local", "shop"];

type Place = (Sku, Warehouse);

/// All rows that the books keep.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rows {
    pools: BTreeMap<Place, Pool>,
    reservations: BTreeMap<Number, Reservation>,
    movements: BTreeMap<Number, MovementRecord>,
}

impl Rows {
    /// Takes over what the books have changed.
    fn save(&mut self, books: &Books) {
        for (sku, warehouse, pool, was_known) in books.changed_pools() {
            let before = self.pools.insert((sku.clone(), warehouse.clone()), pool);
            assert_eq!(before.is_some(), was_known, "{sku} in {warehouse}");
        }
        for (before, after) in books.changed_reservations() {
            let known = self.reservations.insert(after.number, after.clone());
            assert_eq!(known.as_ref(), before, "a row is as it was loaded");
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
        self.reservations.values().for_each(|reservation| books.load_reservation(reservation.clone()));
        self.movements.values().for_each(|movement| books.load_movement(movement.clone()));
        books
    }
}

struct History {
    chance: Chance,
    now: Moment,
    policy: Policy,
    numbers: Cell<i64>,
    rows: Rows,
    /// Everything that was said: when, and of whose things.
    journal: Vec<(Moment, &'static str, News)>,
}

impl History {
    fn new(seed: u64) -> Self {
        let world = World::simulated(seed);
        let mut chance = world.chance("history");
        let policy = Policy {
            warehouses: if chance.once_in(2) { vec![parse("west")] } else { vec![] },
            allow_split: chance.once_in(2),
            ship_on_commit: chance.once_in(2),
        };
        let (rows, journal) = (Rows::default(), Vec::new());
        Self { chance, now: world.now(), policy, numbers: Cell::new(0), rows, journal }
    }

    fn step(&mut self) {
        if self.chance.once_in(4) {
            self.now = self.now + Duration::from_secs(self.chance.between(1, 40).unsigned_abs());
        }
        let owner = OWNERS[self.chance.below(OWNERS.len())];
        let mut books = self.rows.load();
        for _ in 0..=self.chance.below(3) {
            let command = self.command();
            self.tell_twice(&mut books, owner, &command);
        }
        self.rows.save(&books);
        self.check();
    }

    fn tell(&mut self, books: &mut Books, owner: &'static str, command: &Command) -> (Answer, Vec<Event>) {
        let number = || {
            self.numbers.set(self.numbers.get() + 1);
            Number::from_column(self.numbers.get())
        };
        let answer = books.carry_out(owner, command, &self.policy, self.now, &number);
        let news = books.take_news();
        let events = news.iter().map(|news| news.event.clone()).collect();
        self.journal.extend(news.into_iter().map(|news| (self.now, owner, news)));
        (answer, events)
    }

    /// Says something once and then again: what was done is done, and what was refused stays refused.
    fn tell_twice(&mut self, books: &mut Books, owner: &'static str, command: &Command) {
        let (first, said) = self.tell(books, owner, command);
        let then = levels(books);
        if let (Ok(Settled::Moved { level, .. }), Command::Move(Movement { sku, warehouse, .. })) = (&first, command) {
            let is_there = then.get(&(sku.clone(), warehouse.clone())).map(Pool::level);
            let told = said.iter().map(level_of).chain([Some(*level)]);
            assert!(said.is_empty() || told.into_iter().all(|told| told == is_there), "{command:?}: {said:?}");
        }
        let (second, said) = self.tell(books, owner, command);
        assert_eq!(levels(books), then, "{command:?} was said twice and moved something twice");
        // An order that waits for an answer gets it each time.
        let answers_again = |event: &Event| match event {
            Event::StockReleased(e) => e.lines.is_empty() && e.order.is_some(),
            Event::StockCommitRejected(_) => true,
            _ => false,
        };
        assert!(said.iter().all(answers_again), "{command:?} was said twice: {said:?}");
        match (first, second) {
            (Ok(Settled::Reservation { reservation, .. }), Ok(Settled::Reservation { is_new, reservation: again })) => {
                assert_eq!((is_new, again.status, again.lines), (false, reservation.status, reservation.lines));
            }
            (Ok(Settled::Moved { level, .. }), Ok(Settled::Moved { is_new, level: again })) => {
                assert_eq!((is_new, again), (false, level));
            }
            // The first commit ended what the second would have to commit.
            (Err(Rejection::Expired | Rejection::UnknownReservation), Err(Rejection::AlreadyReleased)) => {}
            (first, second) => assert_eq!(first, second, "{command:?}"),
        }
    }

    fn command(&mut self) -> Command {
        let name: Name = parse(["r-1", "r-2", "r-3", "r-4"][self.chance.below(4)]);
        match self.chance.below(16) {
            0..=3 => Command::Move(self.movement()),
            4..=7 => Command::Reserve(self.reserve(name)),
            8 => Command::Extend { name, hold_secs: self.chance.between(1, 60) },
            9..=10 => Command::Commit { name, order: self.order() },
            11 => Command::Ship { name },
            12 => Command::Release { name, order: self.order() },
            13 => Command::Return { name, order: ForOrder { order: parse("o-1"), attempt: 1 } },
            _ => Command::Expire { number: Number::from_column(self.chance.between(1, 1 + self.numbers.get())) },
        }
    }

    fn movement(&mut self) -> Movement {
        let act = match self.chance.below(4) {
            0 | 1 => Act::Receive { quantity: self.chance.between(1, 9), reference: None },
            2 => Act::Count { counted: self.chance.between(0, 12), reason: None, reference: None },
            _ => {
                Act::Adjust { quantity: self.chance.between(1, 6) - 7 * self.chance.between(0, 1), reason: "x".into() }
            }
        };
        let (sku, warehouse) = (self.sku(), self.warehouse());
        let fingerprint = format!("{sku} {warehouse} {act:?}");
        Movement { name: parse(&format!("m-{}", self.chance.below(40))), fingerprint, sku, warehouse, act }
    }

    fn reserve(&mut self, name: Name) -> Reserve {
        let mut lines = Vec::new();
        for _ in 0..=self.chance.below(2) {
            let warehouse = if self.chance.once_in(3) { Some(self.warehouse()) } else { None };
            lines.push(Line { sku: self.sku(), quantity: self.chance.between(1, 5), warehouse });
        }
        let fingerprint = format!("{lines:?}");
        Reserve { name, fingerprint, lines, hold_secs: self.chance.between(1, 60), order: self.order() }
    }

    fn order(&mut self) -> Option<ForOrder> {
        let attempt = self.chance.between(1, 2);
        self.chance.once_in(2).then(|| ForOrder { order: parse("o-1"), attempt })
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
        let brought = self.brought();
        for (place, pool) in &self.rows.pools {
            let Pool { on_hand, reserved, committed, owed_to_holds, owed_firmly } = *pool;
            let (held, firm) = promised.get(place).copied().unwrap_or_default();
            assert!([on_hand, reserved, committed, owed_to_holds, owed_firmly].iter().all(|n| *n >= 0), "{pool:?}");
            assert!(reserved + committed <= on_hand, "{pool:?}");
            assert_eq!((reserved + owed_to_holds, committed + owed_firmly), (held, firm), "{place:?}: {pool:?}");
            assert_eq!(on_hand, brought.get(place).copied().unwrap_or_default(), "{place:?}: {pool:?}");
        }
    }

    /// What lies there by all that was said: brought and found, less what has left.
    fn brought(&self) -> BTreeMap<Place, i64> {
        let mut brought: BTreeMap<Place, i64> = BTreeMap::new();
        for (_, _, news) in &self.journal {
            let mut add = |place, quantity: i64| *brought.entry(place).or_default() += quantity;
            match &news.event {
                Event::SupplierShipmentReceived(e) => add((e.sku.clone(), e.warehouse.clone()), e.quantity),
                Event::StockCounted(e) => add((e.sku.clone(), e.warehouse.clone()), e.difference),
                Event::StockLevelAdjusted(e) => add((e.sku.clone(), e.warehouse.clone()), e.quantity),
                Event::StockCommitted(e) if e.shipped => each(&e.lines, |place, quantity| add(place, -quantity)),
                Event::StockShipped(e) => each(&e.lines, |place, quantity| add(place, -quantity)),
                Event::StockReturned(e) if e.was_shipped => each(&e.lines, add),
                _ => {}
            }
        }
        brought
    }

    /// The journal alone gives the same rows, and numbers the events of each thing from one.
    fn end(&self) {
        let mut books = Books::default();
        let mut versions: BTreeMap<Number, i64> = BTreeMap::new();
        for (at, owner, News { stream, version, event }) in &self.journal {
            let last = versions.entry(*stream).or_default();
            *last += 1;
            assert_eq!((books.apply(*stream, owner, *at, event), *version), (*last, *last), "{event:?}");
        }
        let mut rebuilt = Rows::default();
        rebuilt.save(&books);
        assert_eq!(rebuilt, self.rows, "the journal gives the rows");
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

fn levels(books: &Books) -> BTreeMap<Place, Pool> {
    let pools = books.changed_pools();
    pools.map(|(sku, warehouse, pool, _)| ((sku.clone(), warehouse.clone()), pool)).collect()
}

fn level_of(event: &Event) -> Option<Level> {
    match event {
        Event::SupplierShipmentReceived(e) => Some(e.level),
        Event::StockCounted(e) => Some(e.level),
        Event::StockLevelAdjusted(e) => Some(e.level),
        Event::StockShortfallFound(e) => Some(e.level),
        _ => None,
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
            history.end();
            history.journal
        });
        match told {
            Ok(journal) => journal.iter().for_each(|(_, _, news)| *said.entry(news.event.kind()).or_default() += 1),
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

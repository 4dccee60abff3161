//! The rules, told as stories: given these books, when something is asked, then this follows.
//!
//! Here stands what is told of movements and of batches; in `promises` what is told of reservations, in `owed` of
//! those that are owed pieces.

mod owed;
mod promises;

use std::cell::Cell;
use std::time::Duration;

use contracts::inventory::{Allocation, Event, Level, ReservedLine, Short};
use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

use super::{
    Act, Books, Command, ForOrder, Line, Movement, MovementRecord, Offer, Outcome, Policy, Pool, Rejection,
    Reservation, Reserve, Settle, Settled, Status, Way,
};

/// Books, whoever asks of them, and the time.
struct Shop {
    books: Books,
    policy: Policy,
    now: Moment,
    numbers: Cell<i64>,
    said: Vec<Event>,
}

type Answer = Result<Settled, Rejection>;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn sku(text: &str) -> Sku {
    text.parse().expect("a SKU")
}

fn main() -> Warehouse {
    "main".parse().expect("a warehouse")
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A shop with so much of `a` in its one warehouse, whose goods leave when they are shipped.
fn shop(on_hand: i64) -> Shop {
    let policy = Policy { ship_on_commit: false, ..Policy::default() };
    let now = Moment::from_micros(1_767_225_600_000_000);
    let mut shop = Shop { books: Books::default(), policy, now, numbers: Cell::new(0), said: Vec::new() };
    shop.receive("delivery", on_hand).expect("goods come in");
    shop
}

fn for_order(attempt: i64) -> ForOrder {
    ForOrder { order: name("o-1"), attempt }
}

impl Shop {
    fn tell_as(&mut self, owner: &str, command: &Command) -> Answer {
        let number = || {
            self.numbers.set(self.numbers.get() + 1);
            Number::from_column(self.numbers.get())
        };
        let answer = self.books.carry_out(owner, command, &self.policy, self.now, &number);
        self.said = self.books.take_news().into_iter().map(|news| news.event).collect();
        answer
    }

    fn tell(&mut self, command: &Command) -> Answer {
        self.tell_as("local", command)
    }

    fn movement(&mut self, movement: &str, act: Act) -> Answer {
        let (sku, warehouse, fingerprint) = (sku("a"), main(), format!("{act:?}"));
        self.tell(&Command::Move(Movement { name: name(movement), fingerprint, sku, warehouse, act }))
    }

    fn receive(&mut self, movement: &str, quantity: i64) -> Answer {
        self.movement(movement, Act::Receive { quantity, reference: None })
    }

    fn count(&mut self, movement: &str, counted: i64) -> Answer {
        self.movement(movement, Act::Count { counted, reason: None, reference: None })
    }

    fn adjust(&mut self, movement: &str, quantity: i64) -> Answer {
        self.movement(movement, Act::Adjust { quantity, reason: "broken".into() })
    }

    fn reserve_for(&mut self, reservation: &str, quantity: i64, order: Option<ForOrder>) -> Answer {
        let lines = vec![Line { sku: sku("a"), quantity, warehouse: None }];
        let fingerprint = format!("{quantity}");
        self.tell(&Command::Reserve(Reserve {
            name: name(reservation),
            fingerprint,
            lines,
            hold_secs: 60,
            order,
            replaces: None,
            terms: None,
        }))
    }

    fn replace(&mut self, old: &str, reservation: &str, quantity: i64) -> Answer {
        let lines = vec![Line { sku: sku("a"), quantity, warehouse: None }];
        let (fingerprint, replaces) = (format!("{quantity}"), Some(name(old)));
        let name = name(reservation);
        self.tell(&Command::Reserve(Reserve {
            name,
            fingerprint,
            lines,
            hold_secs: 60,
            order: None,
            replaces,
            terms: None,
        }))
    }

    fn reserve(&mut self, reservation: &str, quantity: i64) -> Answer {
        self.reserve_for(reservation, quantity, None)
    }

    fn set(&mut self, discontinued: bool) {
        self.offer(Offer { discontinued, ..Offer::default() });
    }

    fn offer(&mut self, offer: Offer) {
        let said = self.tell(&Command::SetSku { sku: sku("a"), offer, seen: None });
        assert!(matches!(said, Ok(Settled::Sku { settings, .. }) if settings.offer == offer), "{said:?}");
    }

    fn extend(&mut self, reservation: &str, hold_secs: i64) -> Answer {
        self.tell(&Command::Extend { name: name(reservation), hold_secs })
    }

    fn commit(&mut self, reservation: &str, order: Option<ForOrder>) -> Answer {
        let retake = order.is_some();
        self.tell(&Command::Commit { name: name(reservation), order, retake })
    }

    fn ship(&mut self, reservation: &str) -> Answer {
        self.tell(&Command::Ship { name: name(reservation) })
    }

    fn release(&mut self, reservation: &str, order: Option<ForOrder>) -> Answer {
        self.tell(&Command::Release { name: name(reservation), order })
    }

    fn give_back(&mut self, reservation: &str, attempt: i64) -> Answer {
        self.release(reservation, Some(for_order(attempt)))
    }

    /// Time passes until every hold has lapsed.
    fn wait(&mut self) {
        self.now = self.now + secs(60);
    }

    /// The sweep comes by.
    fn sweep(&mut self, reservation: &str) {
        let number = self.reservation(reservation).number;
        assert_eq!(self.tell(&Command::Expire { number, levels: 1 }), Ok(Settled::Nothing));
    }

    fn reservation(&self, reservation: &str) -> Reservation {
        let all = self.books.changed_reservations().map(|(_, reservation)| reservation);
        all.into_iter().find(|known| known.name == name(reservation)).expect("a reservation").clone()
    }

    fn status(&self, reservation: &str) -> Status {
        self.reservation(reservation).status
    }

    /// Pieces of `a` on the shelf, reserved, committed and owed.
    fn level(&self) -> (i64, i64, i64, i64) {
        let (_, _, pool, _) = self.books.changed_pools().next().expect("a level");
        let Level { on_hand, reserved, committed, owed, .. } = pool.level();
        (on_hand, reserved, committed, owed)
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.said.iter().map(Event::kind).collect()
    }
}

/// Whether an answer shows a reservation that is new, and how that stands.
fn shown(answer: Answer) -> (bool, Status) {
    match answer {
        Ok(Settled::Reservation { is_new, reservation }) => (is_new, reservation.status),
        other => panic!("no reservation: {other:?}"),
    }
}

/// Whether an answer shows a movement that is new, and the level after it.
fn moved(answer: Answer) -> (bool, Level) {
    match answer {
        Ok(Settled::Moved { is_new, movement }) => match movement.outcome {
            Outcome::Entered { level } => (is_new, level),
            other => panic!("it came to {other:?}"),
        },
        other => panic!("no movement: {other:?}"),
    }
}

fn short(wanted: i64, available: i64) -> Vec<Short> {
    vec![Short { sku: sku("a"), wanted, available, in_transit: 0, available_from: None }]
}

fn lines(quantity: i64) -> Vec<ReservedLine> {
    let allocations = vec![Allocation::on_the_shelf(main(), quantity)];
    vec![ReservedLine { sku: sku("a"), quantity, allocations, available_from: None }]
}

#[test]
fn a_movement_is_entered_once_and_shows_the_level_after_it_also_when_it_is_said_again() {
    let mut shop = shop(10);
    let level = Level { on_hand: 13, ..Level::default() };
    assert_eq!(moved(shop.receive("m", 3)), (true, level));
    assert_eq!(shop.receive("more", 5).map(|_| shop.level().0), Ok(18));
    assert_eq!(moved(shop.receive("m", 3)), (false, level), "as it was then");
    assert_eq!(shop.said, []);
    assert_eq!(shop.level().0, 18);
    assert_eq!(shop.receive("m", 4), Err(Rejection::DifferentContent));
}

#[test]
fn a_name_belongs_to_whoever_chose_it() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 4));
    let release = Command::Release { name: name("r"), order: None };
    assert_eq!(shown(shop.tell_as("other", &release)), (true, Status::Released));
    assert_eq!(shop.level(), (10, 4, 0, 0), "nothing of ours");
    assert_eq!(shop.tell_as("third", &Command::Ship { name: name("r") }), Err(Rejection::UnknownReservation));
}

#[test]
fn a_stock_take_says_what_it_changed_and_what_it_took_from_promises() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 8));
    assert_eq!(
        moved(shop.count("c-1", 7)),
        (true, Level { on_hand: 7, reserved: 7, committed: 0, owed: 1, in_transit: 0 })
    );
    let [Event::StockCounted(counted), Event::StockShortfallFound(found), Event::PromiseFellShort(_)] = &shop.said[..]
    else {
        panic!("{:?}", shop.said);
    };
    assert_eq!((counted.counted, counted.difference, found.newly_owed), (7, -3, 1));
    assert_eq!(shop.count("c-2", 5).map(|_| shop.level()), Ok((5, 5, 0, 3)));
    let [Event::StockCounted(counted), Event::StockShortfallFound(found), Event::PromiseFellShort(_)] = &shop.said[..]
    else {
        panic!("{:?}", shop.said);
    };
    assert_eq!((counted.difference, found.newly_owed), (-2, 2), "since the last one");
    assert_eq!(shop.count("c-3", 5).map(|_| shop.kinds()), Ok(vec!["StockCounted"]), "nothing more is owed");
    assert_eq!(shop.count("c-4", 9).map(|_| shop.kinds()), Ok(vec!["StockCounted", "BackorderServed"]), "all is there");
}

#[test]
fn a_correction_takes_all_that_is_free_and_no_piece_of_what_is_promised() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 7));
    let no = Rejection::NotAvailable { sku: sku("a"), warehouse: main(), wanted: 4, available: 3 };
    assert_eq!(shop.adjust("a-1", -4), Err(no.clone()));
    assert_eq!(shop.kinds(), ["StockMovementRejected"]);
    assert_eq!(shop.adjust("a-2", -3).map(|_| shop.level()), Ok((7, 7, 0, 0)));
    let [Event::StockLevelAdjusted(adjusted)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((adjusted.quantity, adjusted.level.on_hand), (-3, 7));
    assert_eq!(shop.adjust("a-3", 5).map(|_| shop.level()), Ok((12, 7, 0, 0)));
    assert_eq!(shop.adjust("a-1", -4), Err(no), "its name stays refused, whatever has come in since");
    assert_eq!(shop.said, []);
}

#[test]
fn what_a_correction_finds_serves_what_is_owed() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 8));
    moved(shop.count("c", 5));
    moved(shop.adjust("a", 2));
    assert_eq!(shop.level(), (7, 7, 0, 1));
}

#[test]
fn no_level_goes_beyond_what_sums_of_levels_can_bear() {
    const MOST: i64 = 1_000_000_000_000;
    let mut shop = shop(1);
    moved(shop.receive("all", MOST - 1));
    assert_eq!(shop.receive("one-more", 1), Err(Rejection::TooMany));
    assert_eq!(shop.count("counted", MOST + 1), Err(Rejection::TooMany));
    assert_eq!((shop.said.len(), shop.level().0), (0, MOST));
}

#[test]
fn only_skus_that_a_batch_wants_more_of_than_one_warehouse_surely_has_may_fall_short() {
    let mut books = Books::default();
    let on_hand = |on_hand| Pool { on_hand, ..Pool::default() };
    for (of, warehouse, pieces) in [("a", "main", 5), ("b", "main", 5), ("b", "west", 3)] {
        books.load_pool(sku(of), warehouse.parse().expect("a warehouse"), on_hand(pieces));
    }
    let (a, b, never) = (sku("a"), sku("b"), sku("never"));
    for (wanted, scarce) in [
        (vec![(&a, 5)], vec![]),
        (vec![(&a, 3), (&a, 3)], vec![&a]),
        (vec![(&a, 6), (&b, 1)], vec![&a]),
        (vec![(&b, 3)], vec![]),
        // It may be bound to the warehouse that has less, or not be splittable.
        (vec![(&b, 4)], vec![&b]),
        (vec![(&never, 99)], vec![]),
    ] {
        let found = books.may_fall_short(wanted.iter().copied());
        assert_eq!(found.iter().collect::<Vec<_>>(), scarce, "{wanted:?}");
    }
}

#[test]
fn a_batch_says_what_it_changed_and_how_that_was_before() {
    let mut before = shop(10);
    shown(before.reserve("r", 4));
    shown(before.reserve("untouched", 1));
    let mut shop = shop(0);
    shop.books = Books::default();
    shop.books.load_pool(sku("a"), main(), Pool { on_hand: 10, reserved: 5, ..Pool::default() });
    shop.books.load_reservation(before.reservation("r"));
    shop.books.load_reservation(before.reservation("untouched"));
    shop.numbers.set(100);
    shown(shop.release("r", None));
    shown(shop.release("new", None));
    moved(shop.receive("m", 1));
    let pools: Vec<_> = shop.books.changed_pools().map(|(sku, _, pool, known)| (sku.as_str(), pool, known)).collect();
    assert_eq!(pools, [("a", Pool { on_hand: 11, reserved: 1, ..Pool::default() }, true)]);
    let changed: Vec<_> = shop
        .books
        .changed_reservations()
        .map(|(before, after)| (before.map(|before| before.status), after.name.as_str(), after.status, after.version))
        .collect();
    let released = [(Some(Status::Reserved), "r", Status::Released, 2), (None, "new", Status::Released, 1)];
    assert_eq!(changed, released);
    let moved: Vec<_> = shop.books.new_movements().map(|movement| movement.name.as_str()).collect();
    assert_eq!(moved, ["m"]);
}

#[test]
fn what_was_loaded_is_known() {
    let mut first = shop(10);
    let kept: Vec<MovementRecord> = first.books.new_movements().cloned().collect();
    let mut shop = shop(0);
    shop.books = Books::default();
    for movement in kept {
        shop.books.load_movement(movement);
    }
    assert_eq!(shop.receive("delivery", 10), first.receive("delivery", 10), "the name stands in the books");
    assert_eq!(shop.receive("delivery", 11), Err(Rejection::DifferentContent));
    let (sku, warehouse) = (sku("new"), main());
    let act = Act::Receive { quantity: 1, reference: None };
    let movement = Movement { name: name("m"), fingerprint: "1".into(), sku, warehouse, act };
    moved(shop.tell(&Command::Move(movement)));
    let known: Vec<_> = shop.books.changed_pools().map(|(_, _, _, was_known)| was_known).collect();
    assert_eq!(known, [false], "a level that no database has yet");
}

#[test]
fn a_status_is_read_as_it_is_written() {
    use Status::{Committed, Expired, Refused, Released, Reserved, Returned, Shipped};
    for status in [Reserved, Committed, Shipped, Released, Expired, Refused, Returned] {
        assert_eq!(status.as_str().parse(), Ok(status));
    }
    assert!("".parse::<Status>().is_err() && "xyzzy".parse::<Status>().is_err());
}

#[test]
fn events_of_one_thing_are_numbered_from_one() {
    let mut shop = shop(10);
    let mut versions = |command: &Command| {
        let number = Cell::new(shop.numbers.get());
        let next = || {
            number.set(number.get() + 1);
            Number::from_column(number.get())
        };
        drop(shop.books.carry_out("local", command, &shop.policy, shop.now, &next));
        shop.numbers = number;
        shop.books.take_news().into_iter().map(|news| news.version).collect::<Vec<_>>()
    };
    let movement = |movement: &str, act| {
        let (sku, warehouse) = (sku("a"), main());
        Command::Move(Movement { name: name(movement), fingerprint: String::new(), sku, warehouse, act })
    };
    let wish = vec![Line { sku: sku("a"), quantity: 4, warehouse: None }];
    let reserve = Reserve {
        name: name("r"),
        fingerprint: "f".into(),
        lines: wish,
        hold_secs: 60,
        order: None,
        replaces: None,
        terms: None,
    };
    assert_eq!(versions(&Command::Reserve(reserve)), [1]);
    assert_eq!(versions(&Command::Extend { name: name("r"), hold_secs: 61 }), [2]);
    assert_eq!(versions(&movement("count", Act::Count { counted: 2, reason: None, reference: None })), [1, 2, 3]);
    assert_eq!(versions(&movement("adjust", Act::Adjust { quantity: -1, reason: "broken".into() })), [1]);
    assert_eq!(versions(&Command::Commit { name: name("r"), order: None, retake: false }), [4]);
    let unknown = Command::Commit { name: name("none"), order: Some(for_order(1)), retake: true };
    assert_eq!(versions(&unknown), [1, 2]);
}

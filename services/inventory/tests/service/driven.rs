//! What is performed turn by turn, while time stands.

use std::sync::Arc;
use std::time::Duration;

use contracts::inventory::{Event, Terms};
use db::{Actor, Asked, Context, Database, Location, MemoryDisk, Options, Plan, Trace, Turn};
use events::TableFeed;
use futures_util::future::join_all;
use host::{Feeds, Ground};
use ids::Name;
use inventory::domain::{Act, Command, ForOrder, Line, Movement, Offer, Rejection, Reserve, Settle, Site, Way};
use world::World;

use crate::shop::wait;

/// Inventory whose time passes only when it is told to and which performs only what is asked.
pub(crate) struct Driven {
    world: World,
    database: Database,
    desk: inventory::InventoryDesk,
    workers: Vec<Box<dyn host::Work>>,
    meters: Arc<db::Meters>,
}

impl Driven {
    fn new() -> Self {
        Self::with(&inventory::Config::default())
    }

    fn with(config: &inventory::Config) -> Self {
        Self::on(Location::Memory(MemoryDisk::empty()), config)
    }

    pub(crate) fn on(location: Location, config: &inventory::Config) -> Self {
        let world = World::simulated(1);
        let open = |name, location, migrations| {
            Database::open(name, location, Options::default(), world.clone(), migrations).expect("a database")
        };
        let orders = open("orders", Location::Memory(MemoryDisk::empty()), &[]);
        let database = open(inventory::NAME, location, inventory::MIGRATIONS);
        let feeds = Feeds::default().with("orders", move || Arc::new(TableFeed::of(&orders)));
        let meters = Arc::<db::Meters>::default();
        let ground = Ground { database: database.clone(), feeds, meters: meters.clone() };
        let (service, desk) = inventory::assemble_with_desk(config, &ground).expect("inventory");
        Self { world, database, desk, workers: service.workers, meters }
    }

    /// Performs commands that belong to this story, as many at once as go together; nothing that is due
    /// comes between.
    fn ask_all(&mut self, story: &str, trace_id: u128, commands: Vec<Command>) -> Vec<inventory::Answer> {
        self.ask_all_by(&by(story, trace_id), commands)
    }

    fn ask_all_by(&mut self, by: &Context, commands: Vec<Command>) -> Vec<inventory::Answer> {
        let asked = commands.into_iter().map(|command| self.desk.ask(Asked::new(command, by.clone())));
        let answered: Vec<_> = asked.collect();
        while self.workers[0].turn(&Plan { from_inlets: 0, ..Plan::ALL }) != Turn::Idle {}
        wait(join_all(answered)).into_iter().map(|answer| answer.expect("it does not fail")).collect()
    }

    pub(crate) fn ask(&mut self, story: &str, trace_id: u128, command: Command) -> inventory::Answer {
        self.ask_all(story, trace_id, vec![command]).remove(0)
    }

    /// The key of somebody asks.
    fn ask_as(&mut self, key: &str, command: Command) {
        let by = Context { actor: Actor::Client(key.into()), owner: key.into(), ..by(key, 1) };
        self.ask_all_by(&by, vec![command]).remove(0).expect("it is done");
    }

    /// Takes pieces of one SKU in.
    fn receive(&mut self, sku: &str, levels: &[(String, i64)]) {
        let movement = |(number, (warehouse, quantity)): (usize, &(String, i64))| {
            let (name, sku) = (format!("{number}-of-{}", levels.len()), sku.parse().expect("a SKU"));
            let (name, warehouse) = (name.parse().expect("a name"), warehouse.parse().expect("a name"));
            let act = Act::Receive { quantity: *quantity, reference: None };
            Command::Move(Movement { name, fingerprint: String::new(), sku, warehouse, act })
        };
        let answers = self.ask_all("delivery", 1, levels.iter().enumerate().map(movement).collect());
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    /// So many pieces of `a` may be promised without stock.
    fn backorders(&mut self, backorder_limit: i64) {
        let offer = Offer { backorder_limit, ..Offer::default() };
        let set = Command::SetSku { sku: "a".parse().expect("a SKU"), offer, seen: None };
        self.ask("offer", 1, set).expect("it is offered");
    }

    /// What was taken from which promises.
    fn fell_short(&self) -> Vec<(String, i64)> {
        let events = self.events_after(0);
        let read = events.iter().map(|event| Event::read(&event.kind, &event.body).expect("an event"));
        let short = read.filter_map(|event| match event {
            Some(Event::PromiseFellShort(e)) => Some((e.reservation.to_string(), e.quantity)),
            _ => None,
        });
        short.collect()
    }

    /// Who was served, in this order.
    fn served(&self) -> Vec<String> {
        let events = self.events_after(0);
        let served = events.iter().filter(|event| &*event.kind == "BackorderServed");
        served.map(|event| event.subject.to_string()).collect()
    }

    /// Deals with all that is due, so that nothing is until time passes.
    pub(crate) fn rest(&mut self) {
        while self.workers[0].turn(&Plan::ALL) != Turn::Idle {}
    }

    fn events_after(&self, position: i64) -> Vec<db::Envelope> {
        wait(self.database.read(move |read| read.events_after(position, 10_000))).expect("events")
    }
}

fn by(story: &str, trace_id: u128) -> Context {
    Context::system(story, Trace { trace_id, span_id: 1, is_sampled: true })
}

/// The order of this name, which has a reservation of the same name.
fn order(name: &str) -> ForOrder {
    ForOrder { order: name.parse().expect("a name"), attempt: 1 }
}

/// A wish for so many pieces of one SKU for a second, on behalf of an order of the same name.
fn reserve(reservation: &str, sku: &str, quantity: i64) -> Command {
    let name: Name = reservation.parse().expect("a name");
    let lines = vec![Line { sku: sku.parse().expect("a SKU"), quantity, warehouse: None }];
    let order = Some(order(reservation));
    let (fingerprint, replaces, terms) = (reservation.to_owned(), None, None);
    Command::Reserve(Reserve { name, fingerprint, lines, hold_secs: 1, order, replaces, terms })
}

fn movement(name: &str, warehouse: &str, act: Act) -> Command {
    let (name, warehouse) = (name.parse().expect("a name"), warehouse.parse().expect("a warehouse"));
    Command::Move(Movement { name, fingerprint: String::new(), sku: "a".parse().expect("a SKU"), warehouse, act })
}

fn count(warehouse: &str, counted: i64) -> Command {
    movement("count", warehouse, Act::Count { counted, reason: None, reference: None })
}

#[test]
fn a_hold_that_lapses_for_the_sake_of_another_lapses_in_its_own_story() {
    let mut shop = Driven::new();
    shop.receive("a", &[("main".to_owned(), 5)]);
    shop.ask("first", 2, reserve("r-1", "a", 5)).expect("it is held");
    shop.world.advance(Duration::from_secs(2));
    shop.ask("second", 3, reserve("r-2", "a", 5)).expect("it is held");
    let events = shop.events_after(2);
    let told: Vec<_> = events.iter().map(|e| (&*e.kind, e.by.trace.trace_id, &*e.by.correlation)).collect();
    assert_eq!(told, [("StockReservationExpired", 2, "first"), ("StockReserved", 3, "second")]);
}

#[test]
fn a_stock_take_takes_nothing_from_holds_that_have_lapsed() {
    let mut shop = Driven::new();
    shop.receive("a", &[("main".to_owned(), 5)]);
    shop.ask("hold", 2, reserve("r-1", "a", 5)).expect("it is held");
    shop.world.advance(Duration::from_secs(2));
    shop.ask("count", 3, count("main", 2)).expect("a stock-take is always accepted");
    let kinds: Vec<_> = shop.events_after(2).iter().map(|event| event.kind.to_string()).collect();
    assert_eq!(kinds, ["StockReservationExpired", "StockCounted"], "nobody is short of anything");
}

#[test]
fn lapsed_holds_in_one_warehouse_keep_nobody_from_what_lapsed_in_another() {
    let mut shop = Driven::new();
    shop.receive("a", &[("north".to_owned(), 300), ("west".to_owned(), 1)]);
    let holds = (0..301).map(|number| reserve(&format!("r-{number}"), "a", 1)).collect();
    assert!(shop.ask_all("holds", 2, holds).iter().all(Result::is_ok), "north is emptied first");
    shop.world.advance(Duration::from_secs(2));
    let Command::Reserve(mut wish) = reserve("bound", "a", 1) else { panic!("it is a wish") };
    wish.lines[0].warehouse = Some("west".parse().expect("a warehouse"));
    shop.ask("bound", 3, Command::Reserve(wish)).expect("the hold there has lapsed");
}

#[test]
fn a_lapsed_hold_that_no_event_could_name_anew_is_not_taken_anew() {
    let mut shop = Driven::new();
    shop.receive("a", &[("main".to_owned(), 2_505)]);
    shop.ask("first", 2, reserve("r-1", "a", 2_505)).expect("it is held");
    shop.world.advance(Duration::from_secs(2));
    shop.ask("second", 3, reserve("r-2", "a", 2_505)).expect("the lapsed hold stands in nobody's way");
    shop.receive("a", &(0..2_505).map(|place| (format!("{place:064}"), 1)).collect::<Vec<_>>());
    let before = shop.events_after(0).len();
    let name: Name = "r-1".parse().expect("a name");
    let commit = Command::Commit { name, order: Some(order("r-1")), retake: true };
    assert_eq!(shop.ask("first", 2, commit), Err(Rejection::TooLarge));
    let told = shop.events_after(i64::try_from(before).expect("a position"));
    assert_eq!(told.iter().map(|event| &*event.kind).collect::<Vec<_>>(), ["StockCommitRejected"]);
    assert!(told[0].body.contains("\"short\":[]"), "{}", told[0].body);
}

#[test]
fn a_stock_take_takes_from_holds_first_also_where_others_were_served_just_before() {
    let mut shop = Driven::new();
    shop.backorders(5);
    shop.receive("a", &[("main".to_owned(), 2)]);
    shop.ask("hold", 2, reserve("hold", "a", 2)).expect("it is held");
    shop.ask("firm", 3, reserve("firm", "a", 5)).expect("it is promised without stock");
    let commit = Command::Commit { name: "firm".parse().expect("a name"), order: Some(order("firm")), retake: false };
    shop.ask("firm", 3, commit).expect("it is firm");
    let goods = movement("goods", "main", Act::Receive { quantity: 4, reference: None });
    let answers = shop.ask_all("both", 4, vec![goods, count("main", 3)]);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(shop.fell_short(), [("hold".to_owned(), 2), ("firm".to_owned(), 1)]);
}

#[test]
fn a_stock_take_takes_from_the_last_promise_first_also_where_another_was_moved_just_before() {
    let mut shop = Driven::new();
    shop.backorders(4);
    shop.receive("a", &[("main".to_owned(), 1)]);
    shop.ask("early", 2, reserve("early", "a", 5)).expect("it is promised without stock");
    let goods = movement("goods", "west", Act::Receive { quantity: 6, reference: None });
    shop.ask("goods", 1, goods).expect("they come in");
    shop.ask("late", 3, reserve("late", "a", 2)).expect("it is held");
    let (owner, reservation) = (by("both", 4).owner.to_string(), "early".parse().expect("a name"));
    let (sku, warehouse, reason) = ("a".parse().expect("a SKU"), "main".parse().expect("a warehouse"), String::new());
    let way = Way::Move { to: "west".parse().expect("a warehouse") };
    let moved = Command::Settle(Settle { owner, reservation, sku, warehouse, way, reason });
    let answers = shop.ask_all("both", 4, vec![moved, count("west", 3)]);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(shop.fell_short(), [("late".to_owned(), 2), ("early".to_owned(), 1)]);
}

#[test]
fn a_stock_take_takes_from_holds_first_also_where_somebody_new_was_promised_firmly_just_before() {
    let mut shop = Driven::with(&inventory::Config { ship_on_commit: false, ..inventory::Config::default() });
    shop.receive("a", &[("main".to_owned(), 5)]);
    shop.ask("hold", 2, reserve("hold", "a", 2)).expect("it is held");
    let commit = Command::Commit { name: "firm".parse().expect("a name"), order: Some(order("firm")), retake: false };
    let answers = shop.ask_all("both", 3, vec![reserve("firm", "a", 3), commit, count("main", 2)]);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(shop.fell_short(), [("hold".to_owned(), 2), ("firm".to_owned(), 1)]);
}

#[test]
fn nothing_that_is_firm_or_has_ended_ever_becomes_due() {
    let mut shop = Driven::with(&inventory::Config { ship_on_commit: false, ..inventory::Config::default() });
    shop.receive("a", &[("main".to_owned(), 5)]);
    for reservation in ["firm", "ended", "lapsed"] {
        shop.ask(reservation, 2, reserve(reservation, "a", 1)).expect("it is held");
    }
    let name = |name: &str| name.parse::<Name>().expect("a name");
    let commit = Command::Commit { name: name("firm"), order: Some(order("firm")), retake: false };
    shop.ask("firm", 2, commit).expect("it is firm");
    shop.ask("ended", 2, Command::Release { name: name("ended"), order: Some(order("ended")) }).expect("it is let go");
    shop.world.advance(Duration::from_secs(2));
    for _ in 0..9 {
        shop.workers[0].turn(&Plan::ALL);
    }
    let holds = "SELECT expires_at FROM hold ORDER BY expires_at";
    let left = wait(shop.database.read(move |read| read.rows(db::Query::sql(holds, [])))).expect("holds");
    let until: Vec<i64> = left.into_iter().map(|row| row.columns().int().expect("a moment")).collect();
    assert_eq!(until, [i64::MAX], "the firm one, for ever");
}

#[test]
fn what_is_said_of_a_reservation_carries_its_owner_whoever_did_it() {
    let mut shop = Driven::with(&inventory::Config { ship_on_commit: true, ..inventory::Config::default() });
    shop.backorders(9);
    let commit =
        || Command::Commit { name: "res-1".parse().expect("a name"), order: Some(order("res-1")), retake: false };
    let site = Site { priority: Some(1), ..Site::default() };
    shop.ask_as("shop", Command::SetWarehouse { warehouse: "main".parse().expect("a name"), site, seen: None });
    for key in ["shop", "stockroom"] {
        shop.ask_as(key, reserve("res-1", "a", 1));
        shop.ask_as(key, commit());
    }
    let settle = |owner: &str, reservation: &str| {
        let (owner, reservation) = (owner.to_owned(), reservation.parse().expect("a name"));
        let (sku, warehouse) = ("a".parse().expect("a SKU"), "main".parse().expect("a warehouse"));
        Command::Settle(Settle { owner, reservation, sku, warehouse, way: Way::Release, reason: "lost".into() })
    };
    shop.ask_as("stockroom", settle("shop", "res-1"));
    shop.ask_as("driver", movement("goods", "main", Act::Receive { quantity: 1, reference: None }));
    shop.ask_as("shop", reserve("held", "a", 1));
    shop.world.advance(Duration::from_secs(2));
    shop.workers[0].turn(&Plan::ALL);
    let events = shop.events_after(0);
    let after = events.iter().rposition(|event| &*event.kind == "StockCommitted").expect("it was committed") + 1;
    let told = events[after..].iter().map(|event| {
        let actor = match &event.by.actor {
            Actor::Client(key) => &**key,
            _ => "",
        };
        (&*event.kind, actor, &*event.by.owner)
    });
    let expected = [
        ("ShortfallSettled", "stockroom", "shop"),
        ("StockReturned", "stockroom", "shop"),
        ("SupplierShipmentReceived", "driver", "driver"),
        ("BackorderServed", "driver", "stockroom"),
        ("StockShipped", "driver", "stockroom"),
        ("StockReserved", "shop", "shop"),
        ("StockReservationExpired", "", "shop"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(wait(inventory::rebuild(&shop.database)).expect("a comparison").is_same());
}

#[test]
fn more_promises_than_one_batch_serves_are_served_in_turn_and_nobody_comes_between() {
    let mut shop = Driven::new();
    shop.backorders(1_000);
    shop.receive("a", &[("main".to_owned(), 1)]);
    let first: Vec<_> = (0..600).map(|number| reserve(&format!("r-{number}"), "a", 1)).collect();
    for piece in first.chunks(200) {
        assert!(shop.ask_all("preorders", 2, piece.to_vec()).iter().all(Result::is_ok));
    }
    let goods = |quantity| movement("goods", "main", Act::Receive { quantity, reference: None });
    shop.ask("goods", 3, goods(610)).expect("they come in");
    assert_eq!(shop.served().len(), 256, "as many as one batch serves");
    let Command::Reserve(mut late) = reserve("late", "a", 1) else { panic!("it is a wish") };
    let release = Command::Release { name: "r-300".parse().expect("a name"), order: Some(order("r-300")) };
    let answers = shop.ask_all("late", 4, vec![release, Command::Reserve(late.clone())]);
    assert!(answers.iter().all(Result::is_ok), "it is promised, behind all others: {answers:?}");
    assert_eq!(shop.served().len(), 511, "whoever changes something of it serves some more");
    late.name = "only-what-is-there".parse().expect("a name");
    late.terms = Some(Terms { backorder: Some(false), ..Terms::default() });
    let out = movement("out", "main", Act::Adjust { quantity: -1, reason: "lost".into() });
    let taken = shop.ask_all("late", 4, vec![out]);
    assert!(matches!(taken[..], [Err(Rejection::NotAvailable { available: 0, .. })]), "{taken:?}");
    shop.world.advance(Duration::from_millis(50));
    while shop.workers[0].turn(&Plan::ALL) != Turn::Idle {}
    let waited = (1..600).filter(|number| *number != 300).map(|number| format!("r-{number}"));
    let in_their_order: Vec<_> = waited.chain(["late".to_owned()]).collect();
    assert_eq!(shop.served(), in_their_order);
    shop.ask("late", 4, Command::Reserve(late)).expect("something is left");
    let left =
        wait(shop.database.read(|read| read.rows(db::Query::sql("SELECT sku FROM unserved", [])))).expect("rows");
    assert!(left.is_empty() && wait(inventory::rebuild(&shop.database)).expect("a comparison").is_same());
}

/// A wish of so many lines, a piece each.
fn large(reservation: &str, lines: i64) -> Command {
    let Command::Reserve(mut wish) = reserve(reservation, "a", 1) else { panic!("it is a wish") };
    let line = |number| Line { sku: format!("s-{number}").parse().expect("a SKU"), quantity: 1, warehouse: None };
    wish.lines = (0..lines).map(line).collect();
    Command::Reserve(wish)
}

impl Driven {
    /// So many reservations of a thousand lines each are held.
    fn hold_large(&mut self, many: usize) -> Vec<String> {
        let receive = |number| {
            let (name, sku) = (format!("m-{number}").parse().expect("a name"), format!("s-{number}"));
            let (sku, warehouse) = (sku.parse().expect("a SKU"), "main".parse().expect("a warehouse"));
            let act = Act::Receive { quantity: 1_000, reference: None };
            Command::Move(Movement { name, fingerprint: String::new(), sku, warehouse, act })
        };
        self.ask_all("goods", 1, (0..1_000).map(receive).collect());
        let names: Vec<String> = (0..many).map(|number| format!("large-{number}")).collect();
        let answers = self.ask_all("holds", 2, names.iter().map(|name| large(name, 1_000)).collect());
        assert!(answers.iter().all(Result::is_ok));
        names
    }
}

#[test]
fn holds_of_many_lines_that_lapse_at_once_lapse_in_pieces() {
    let mut shop = Driven::new();
    shop.hold_large(5);
    shop.rest();
    shop.world.advance(Duration::from_secs(2));
    let turns: Vec<Turn> = (0..6).map(|_| shop.workers[0].turn(&Plan::ALL)).collect();
    let [once, idle] = [Turn::Performed(1), Turn::Idle];
    assert_eq!(turns, [once, once, once, once, once, idle]);
    let left = wait(shop.database.read(|read| read.rows(db::Query::sql("SELECT sku FROM hold", [])))).expect("holds");
    assert_eq!(left.len(), 0);
}

#[test]
fn reservations_of_many_lines_that_are_committed_at_once_do_not_share_one_transaction() {
    let mut shop = Driven::new();
    let names = shop.hold_large(17);
    let commit = |name: &String| {
        let (name, order) = (name.parse().expect("a name"), Some(order(name)));
        Command::Commit { name, order, retake: false }
    };
    let before = shop.meters.batches();
    let answers = shop.ask_all("commits", 3, names[..16].iter().map(commit).collect());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(shop.meters.batches() - before, 1, "so many lines go together");
    let release = |name: &String| {
        let (name, order) = (name.parse().expect("a name"), Some(order(name)));
        Command::Release { name, order }
    };
    let before = shop.meters.batches();
    let answers = shop.ask_all("releases", 4, names.iter().map(release).collect());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(shop.meters.batches() - before, 17, "and no more");
}

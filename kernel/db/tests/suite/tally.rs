//! The smallest service there can be: named tallies that never fall below zero.

use std::sync::Arc;

use db::{
    Asked, Context, Database, Desk, Durability, Failure, Inlet, Kind, Location, MemoryDisk, Meters, Migration,
    NewEvent, Options, Perform, Query, Table, Trace, Tx, Worker, int, open_desk, text,
};
use world::World;

pub const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "tallies",
    sql: "CREATE TABLE tally (\n    name TEXT PRIMARY KEY,\n    number BIGINT NOT NULL,\n    value BIGINT NOT NULL CHECK (value >= 0),\n    version BIGINT NOT NULL\n);",
}];

static TALLY: Table =
    Table { name: "tally", key: &[text("name")], rest: &[int("number"), int("value"), int("version")] };

/// What can be asked of a tally.
#[derive(Clone, Debug)]
pub enum Command {
    /// Adds to some tallies, all or none; each becomes at least `by`.
    Add { names: Vec<String>, by: i64 },
    /// Is refused by the rules.
    Reject,
    /// Breaks the rule that the database guards.
    BreakCheck { name: String },
    /// Panics.
    Panic,
}

/// The value of the first tally after the command, or that the rules said no.
pub type Answer = Result<i64, &'static str>;

#[derive(Clone)]
struct Tally {
    number: ids::Number,
    value: i64,
    version: i64,
    is_new: bool,
    changed: bool,
}

pub fn perform(tx: &mut Tx<'_>, commands: &[Asked<Command>]) -> Result<Vec<Answer>, Failure> {
    let names = |asked: &Asked<Command>| match &asked.command {
        Command::Add { names, .. } => names.clone(),
        Command::BreakCheck { name } => vec![name.clone()],
        Command::Reject | Command::Panic => Vec::new(),
    };
    let all: std::collections::BTreeSet<String> = commands.iter().flat_map(names).collect();
    let rows = tx.rows(Query::by(&TALLY, "name", all.iter().map(|name| name.as_str().into())).locked())?;
    let mut tallies = std::collections::BTreeMap::new();
    for row in rows {
        let mut row = row.columns();
        let (name, number, value, version) = (row.text()?, row.number()?, row.int()?, row.int()?);
        tallies.insert(name, Tally { number, value, version, is_new: false, changed: false });
    }
    for name in all {
        let number = tx.number();
        tallies.entry(name).or_insert(Tally { number, value: 0, version: 0, is_new: true, changed: false });
    }
    let mut answers = Vec::new();
    for asked in commands {
        answers.push(match &asked.command {
            Command::Add { names, by } => {
                for name in names {
                    let tally = tallies.get_mut(name).expect("loaded");
                    tally.value += by;
                    tally.version += 1;
                    tally.changed = true;
                    tx.publish(NewEvent {
                        stream: tally.number,
                        version: tally.version,
                        subject: name.clone(),
                        kind: "Added",
                        schema: 1,
                        occurred_at: tx.now(),
                        by: asked.by.clone(),
                        body: format!("{{\"by\":{by}}}"),
                    });
                }
                Ok(names.first().map_or(0, |name| tallies[name].value))
            }
            Command::Reject => Err("rejected"),
            Command::BreakCheck { name } => {
                let tally = tallies.get_mut(name).expect("loaded");
                tally.value = -1;
                tally.changed = true;
                Ok(-1)
            }
            Command::Panic => panic!("a poisoned command"),
        });
    }
    let row = |(name, tally): (String, Tally)| {
        vec![name.into(), tally.number.into(), tally.value.into(), tally.version.into()]
    };
    let changed = tallies.into_iter().filter(|(_, tally)| tally.changed);
    let (new, old): (Vec<_>, Vec<_>) = changed.partition(|(_, tally)| tally.is_new);
    tx.insert(&TALLY, new.into_iter().map(row).collect());
    tx.update(&TALLY, old.into_iter().map(row).collect());
    Ok(answers)
}

/// A database of tallies with its desk.
pub struct Tallies {
    pub database: Database,
    pub desk: Desk<Command, Answer>,
    pub workers: Vec<Worker<Command, Answer>>,
}

pub fn open(location: Location, options: Options) -> Tallies {
    open_with(location, options, World::real(), Vec::new())
}

pub fn open_with(
    location: Location,
    options: Options,
    world: World,
    inlets: Vec<Box<dyn Inlet<Command, Answer>>>,
) -> Tallies {
    let database = Database::open("tally", location, options, world, MIGRATIONS).expect("the database opens");
    let kind = Kind {
        key_of: |command| match command {
            Command::Add { names, .. } => names.first().map_or(0, |name| world::stable_hash(name.as_bytes())),
            _ => 0,
        },
        weigh: |_| 1,
    };
    let perform: Perform<Command, Answer> = Arc::new(perform);
    let (desk, workers) = open_desk(&database, &kind, &perform, inlets, &Arc::new(Meters::default())).expect("a desk");
    Tallies { database, desk, workers }
}

pub fn add(name: &str, by: i64) -> Asked<Command> {
    asked(Command::Add { names: vec![name.into()], by })
}

pub fn asked(command: Command) -> Asked<Command> {
    Asked::new(command, Context::system("test", Trace { trace_id: 1, span_id: 1 }))
}

/// Waits for an answer; the desk's worker may run on this same thread in between.
pub fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(answer)
}

/// What the table says.
pub fn value(database: &Database, name: &str) -> i64 {
    let query = Query::sql("SELECT value FROM tally WHERE name = $1", [name.into()]);
    let rows = wait(database.read(|read| read.rows(query))).expect("a read");
    rows.into_iter().next().map_or(0, |row| row.columns().int().expect("a value"))
}

/// How many events the table holds, after checking that their positions have no gaps.
pub fn events(database: &Database) -> usize {
    let events = wait(database.read(|read| read.events_after(0, 1_000_000))).expect("a read");
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event.position, place as i64 + 1, "positions have no gaps");
    }
    events.len()
}

/// Every kind of database, each empty; the folder holds the files while they are used.
pub fn everywhere() -> (Vec<(&'static str, Location)>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let places = vec![
        ("memory", Location::Memory(MemoryDisk::empty())),
        ("sqlite", Location::File(folder.path().join("tally.db"))),
        ("postgres", Location::Postgres(testkit::Postgres::shared().database())),
    ];
    (places, folder)
}

/// Options of the tests.
pub fn options() -> Options {
    Options { durability: Durability::Full, ..Options::default() }
}

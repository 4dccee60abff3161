//! The smallest service there can be: named tallies that never fall below zero.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use db::{
    Asked, Context, Database, Desk, Durability, Failure, Inlet, Kind, Location, MemoryDisk, Meters, Migration,
    NewEvent, Options, Perform, Plan, Query, Refused, Table, Trace, Turn, Tx, Worker, int, open_desk, text,
};
use world::World;

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "tallies",
        sql: "CREATE TABLE tally (\n    name TEXT PRIMARY KEY,\n    number BIGINT NOT NULL,\n    value BIGINT NOT NULL CHECK (value >= 0),\n    version BIGINT NOT NULL\n);",
    },
    Migration {
        number: 2,
        name: "notes",
        sql: "CREATE TABLE note (\n    name TEXT PRIMARY KEY,\n    text TEXT,\n    number BIGINT\n);",
    },
];

pub(crate) static TALLY: Table =
    Table { name: "tally", key: &[text("name")], rest: &[int("number"), int("value"), int("version")] };
pub(crate) static NOTE: Table = Table { name: "note", key: &[text("name")], rest: &[text("text"), int("number")] };

/// What can be asked of a tally.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Adds to some tallies, all or none; each becomes at least `by`.
    Add { names: Vec<String>, by: i64 },
    /// Is refused by the rules.
    Reject,
    /// Breaks the rule that the database guards.
    BreakCheck { name: String },
    /// Panics.
    Panic,
    /// Panics in what was to follow the commit.
    PanicAfterwards,
    /// Tells which thread does what follows the commit.
    TellThread { to: Sender<ThreadId> },
    /// Fails with the next of these, as long as there is one.
    Fail { with: Failures },
    /// Says something of so many bytes.
    Say { bytes: usize },
    /// Says something as the first event of this thing.
    SayFirst { stream: i64 },
    /// Takes a while, by the clock of this world.
    TakeTime { world: World, by: Duration },
    /// Deletes a note.
    Finish { name: String },
}

/// With what a command fails, one try after the other.
pub(crate) type Failures = Arc<Mutex<VecDeque<Failure>>>;

/// The value of the first tally after the command, or that the rules said no.
pub(crate) type Answer = Result<i64, &'static str>;

#[derive(Clone)]
struct Tally {
    number: ids::Number,
    value: i64,
    version: i64,
    is_new: bool,
    changed: bool,
}

pub(crate) fn perform(tx: &mut Tx<'_>, commands: &[Asked<Command>]) -> Result<Vec<Answer>, Failure> {
    let mut tallies = load(tx, commands)?;
    let mut answers = Vec::new();
    for asked in commands {
        answers.push(match &asked.command {
            Command::Add { names, by } => {
                for name in names {
                    let tally = tallies.get_mut(name).expect("loaded");
                    tally.value += by;
                    tally.version += 1;
                    tally.changed = true;
                    let event = event(tx, asked, tally.number, tally.version);
                    tx.publish(NewEvent { subject: name.clone(), body: format!("{{\"by\":{by}}}"), ..event });
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
            Command::PanicAfterwards => {
                tx.after_commit(|| panic!("a poisoned wake-up"));
                Ok(0)
            }
            Command::TellThread { to } => {
                let to = to.clone();
                tx.after_commit(move || to.send(thread::current().id()).expect("the test is there"));
                Ok(0)
            }
            Command::Fail { with } => match with.lock().expect("no panic").pop_front() {
                Some(failure) => return Err(failure),
                None => Ok(0),
            },
            Command::Say { bytes } => {
                let event = event(tx, asked, tx.number(), 1);
                tx.publish(NewEvent { body: "x".repeat(*bytes), ..event });
                Ok(0)
            }
            Command::SayFirst { stream } => {
                tx.publish(event(tx, asked, ids::Number::from_column(*stream), 1));
                Ok(0)
            }
            Command::TakeTime { world, by } => {
                world.advance(*by);
                Ok(0)
            }
            Command::Finish { name } => {
                tx.delete(&NOTE, vec![vec![name.as_str().into()]]);
                Ok(0)
            }
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

/// The tallies that commands name, locked; a new one where there is none.
fn load(tx: &mut Tx<'_>, commands: &[Asked<Command>]) -> Result<BTreeMap<String, Tally>, Failure> {
    let names = |asked: &Asked<Command>| match &asked.command {
        Command::Add { names, .. } => names.clone(),
        Command::BreakCheck { name } => vec![name.clone()],
        _ => Vec::new(),
    };
    let all: BTreeSet<String> = commands.iter().flat_map(names).collect();
    let rows = tx.rows(Query::by(&TALLY, "name", all.iter().map(|name| name.as_str().into())).locked())?;
    let mut tallies = BTreeMap::new();
    for row in rows {
        let mut row = row.columns();
        let (name, number, value, version) = (row.text()?, row.number()?, row.int()?, row.int()?);
        tallies.insert(name, Tally { number, value, version, is_new: false, changed: false });
    }
    for name in all {
        let number = tx.number();
        tallies.entry(name).or_insert(Tally { number, value: 0, version: 0, is_new: true, changed: false });
    }
    Ok(tallies)
}

fn event(tx: &Tx<'_>, asked: &Asked<Command>, stream: ids::Number, version: i64) -> NewEvent {
    NewEvent {
        stream,
        version,
        subject: "tally".into(),
        kind: "Added",
        schema: 1,
        occurred_at: tx.now(),
        by: asked.by.clone(),
        body: "{}".into(),
    }
}

/// A database of tallies with its desk.
pub(crate) struct Tallies {
    pub(crate) database: Database,
    pub(crate) desk: Desk<Command, Answer>,
    pub(crate) workers: Vec<Worker<Command, Answer>>,
    pub(crate) meters: Arc<Meters>,
}

pub(crate) fn open(location: Location, options: Options) -> Tallies {
    open_with(location, options, World::real(), Vec::new())
}

pub(crate) fn open_with(
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
        weigh: |command| match command {
            Command::Add { names, .. } => names.len(),
            Command::Finish { name } if name.starts_with("heavy") => 300,
            _ => 1,
        },
    };
    let perform: Perform<Command, Answer> = Arc::new(perform);
    let meters = Arc::new(Meters::default());
    let (desk, workers) = open_desk(&database, &kind, &perform, inlets, &meters).expect("a desk");
    Tallies { database, desk, workers, meters }
}

impl Tallies {
    /// Asks for all of them, performs them in one turn, and says how it ended.
    pub(crate) fn at_once(&mut self, commands: Vec<Asked<Command>>) -> (Turn, Vec<Result<Answer, Refused>>) {
        let waiting: Vec<_> = commands.into_iter().map(|command| self.desk.ask(command)).collect();
        let turn = self.workers[0].turn(&Plan::ALL);
        (turn, waiting.into_iter().map(wait).collect())
    }

    /// The answer to a command that is alone in its turn.
    pub(crate) fn one(&mut self, command: Asked<Command>) -> Result<Answer, Refused> {
        self.at_once(vec![command]).1.remove(0)
    }

    /// Lets the workers perform on threads of their own, until the value is dropped.
    pub(crate) fn start(self) -> Running {
        let threads = self.workers.into_iter().map(Worker::start).collect();
        Running { database: self.database, desk: self.desk, threads }
    }
}

/// A database of tallies whose workers run.
pub(crate) struct Running {
    pub(crate) database: Database,
    pub(crate) desk: Desk<Command, Answer>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.desk.close();
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the desk's thread ends in peace");
        }
    }
}

pub(crate) fn add(name: &str, by: i64) -> Asked<Command> {
    asked(Command::Add { names: vec![name.into()], by })
}

/// A command that fails with these, one try after the other, and what is left of them.
pub(crate) fn fail(with: impl IntoIterator<Item = Failure>) -> (Asked<Command>, Failures) {
    let with: Failures = Arc::new(Mutex::new(with.into_iter().collect()));
    (asked(Command::Fail { with: with.clone() }), with)
}

pub(crate) fn asked(command: Command) -> Asked<Command> {
    Asked::new(command, Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }))
}

/// Waits for an answer; the desk's worker may run on this same thread in between.
pub(crate) fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(answer)
}

/// What the table says.
pub(crate) fn value(database: &Database, name: &str) -> i64 {
    let query = Query::sql("SELECT value FROM tally WHERE name = $1", [name.into()]);
    let rows = wait(database.read(|read| read.rows(query))).expect("a read");
    rows.into_iter().next().map_or(0, |row| row.columns().int().expect("a value"))
}

/// How many events the table holds, after checking that their positions have no gaps.
pub(crate) fn events(database: &Database) -> usize {
    let events = wait(database.read(|read| read.events_after(0, 1_000_000))).expect("a read");
    for (position, event) in (1..).zip(&events) {
        assert_eq!(event.position, position, "positions have no gaps");
    }
    events.len()
}

/// What a note holds as a number; none where there is no such note.
pub(crate) fn note(database: &Database, name: &str) -> Option<i64> {
    let query = Query::by(&NOTE, "name", [name.into()]);
    let rows = wait(database.read(|read| read.rows(query))).expect("a read");
    let mut row = rows.into_iter().next()?.columns();
    let (_name, _text, number) = (row.text(), row.maybe_text(), row.int());
    Some(number.expect("a number"))
}

/// Every kind of database, each empty; the folder holds the files while they are used.
pub(crate) fn everywhere() -> (Vec<(&'static str, Location)>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let places = vec![
        ("memory", Location::Memory(MemoryDisk::empty())),
        ("sqlite", Location::File(folder.path().join("tally.db"))),
        ("postgres", Location::Postgres(testkit::Postgres::shared().database())),
    ];
    (places, folder)
}

/// Options of the tests.
pub(crate) fn options() -> Options {
    Options { durability: Durability::Full, ..Options::default() }
}

//! A consumer in memory, with a clock that the test moves, and the feed that it listens to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::{
    Asked, Bell, Context, Database, Desk, Envelope, Failure, Kind, Location, MemoryDisk, Meters, Migration, Options,
    Perform, Plan, Position, Query, Read, Table, Trace, Turn, Tx, Worker, int, open_desk, partition_of, text,
};
use events::{
    DeadLetter, EventDocument, Feed, FeedError, Listener, Listening, ParkedEvent, Partitions, PutAside, Slice, Status,
    Understood, Verdict, put_aside,
};
use futures_util::FutureExt;
use ids::Number;
use world::{Moment, World};

/// The producer that is listened to.
pub(crate) const SOURCE: &str = "producer";

/// A feed that says what a test wrote down.
pub(crate) struct Written(Mutex<Pages>);

struct Pages {
    incarnation: Number,
    events: Vec<Arc<Envelope>>,
    /// The newest event that the producer says it has, where that is not the last one written.
    newest: Option<Position>,
    fails: Option<FeedError>,
    /// Events that are handed over once more in front of each slice.
    doubled: usize,
    /// After which positions it was read, and how much was wanted.
    reads: Vec<(Position, usize)>,
}

impl Written {
    pub(crate) fn new() -> Arc<Self> {
        let incarnation = Number::from_column(1);
        let (events, reads) = (Vec::new(), Vec::new());
        Arc::new(Self(Mutex::new(Pages { incarnation, events, newest: None, fails: None, doubled: 0, reads })))
    }

    /// Says the next thing about a subject: its name is the subject with a number, such as `a-1`.
    pub(crate) fn says(&self, subject: &str, kind: &str) {
        let mut pages = lock(&self.0);
        let number = 1 + pages.events.iter().filter(|event| event.subject.as_ref() == subject).count();
        let position = 1 + Position::try_from(pages.events.len()).expect("few events");
        pages.events.push(Arc::new(Envelope {
            source: SOURCE.into(),
            incarnation: Number::from_column(1),
            position,
            partition: partition_of(subject),
            stream: Number::from_column(1),
            version: position,
            subject: subject.into(),
            kind: kind.into(),
            schema: 1,
            occurred_at: Moment::from_micros(0),
            recorded_at: Moment::from_micros(0),
            by: Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }),
            body: format!("\"{subject}-{number}\"").into(),
        }));
    }

    /// Says the next thing about each of these subjects.
    pub(crate) fn tells_of(&self, subjects: &[&str]) {
        for subject in subjects {
            self.says(subject, "Said");
        }
    }

    pub(crate) fn hands_over_again(&self, events: usize) {
        lock(&self.0).doubled = events;
    }

    pub(crate) fn fails(&self, error: Option<FeedError>) {
        lock(&self.0).fails = error;
    }

    pub(crate) fn becomes(&self, incarnation: i64) {
        lock(&self.0).incarnation = Number::from_column(incarnation);
    }

    pub(crate) fn knows_up_to(&self, newest: Option<Position>) {
        lock(&self.0).newest = newest;
    }

    pub(crate) fn reads(&self) -> Vec<(Position, usize)> {
        std::mem::take(&mut lock(&self.0).reads)
    }
}

impl Feed for Written {
    fn source(&self) -> &str {
        SOURCE
    }

    fn listen(&self, _bell: &Arc<Bell>) {}

    fn read(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        let mut pages = lock(&self.0);
        pages.reads.push((after, most));
        if let Some(error) = &pages.fails {
            return Err(error.clone());
        }
        let newest = pages.newest.unwrap_or(Position::try_from(pages.events.len()).expect("few events"));
        let place = usize::try_from(after).expect("a position").min(pages.events.len());
        let upto = newest.min(after + Position::try_from(most).expect("a few")).max(after);
        let known = &pages.events[..usize::try_from(upto).expect("a position").min(pages.events.len())];
        let again = if most > 0 { pages.doubled.min(place) } else { 0 };
        let is_asked = |event: &&Arc<Envelope>| partitions.contains(event.partition);
        let events = known.get(place - again..).unwrap_or_default().iter().filter(is_asked).cloned().collect();
        Ok(Slice { incarnation: pages.incarnation, events, upto, newest })
    }
}

/// How the service answers, by what it is asked: `Done` unless the test wills something else.
#[derive(Clone, Default)]
struct Will(Arc<Mutex<BTreeMap<String, Answer>>>);

#[derive(Clone)]
enum Answer {
    Says(Verdict),
    Fails(Failure),
}

/// What was performed and kept, in its order.
type Log = Arc<Mutex<Vec<String>>>;
/// Each try that was kept, whatever came of it, with the step of its trace.
type Tries = Arc<Mutex<Vec<(String, u64)>>>;

/// A consumer, driven turn by turn.
pub(crate) struct Consumer {
    world: World,
    disk: MemoryDisk,
    database: Database,
    pub(crate) status: Arc<Status>,
    worker: Worker<String, Verdict>,
    _desk: Desk<String, Verdict>,
    will: Will,
    heard: Log,
    tries: Tries,
}

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "heard",
    sql: "CREATE TABLE heard (\n    name TEXT PRIMARY KEY,\n    attempt BIGINT NOT NULL\n);",
}];

static PARKED: Table = Table {
    name: "parked_event",
    key: &[text("source"), int("position")],
    rest: &[text("subject"), int("attempts"), int("due_at"), text("cause"), text("envelope")],
};

static HEARD: Table = Table { name: "heard", key: &[text("name")], rest: &[int("attempt")] };

fn understand(event: &Envelope) -> Understood<String> {
    match event.kind.as_ref() {
        "Said" => Understood::Command(event.body.trim_matches('"').to_owned()),
        "Garbled" => Understood::Unreadable("it is garbled".to_owned()),
        _ => Understood::Nothing,
    }
}

const LISTENING: Listening<String, Verdict> = Listening { understand, judge: Clone::clone };

fn perform(
    tx: &mut Tx<'_>,
    names: &[Asked<String>],
    will: &Will,
    heard: &Log,
    tries: &Tries,
) -> Result<Vec<Verdict>, Failure> {
    // What it does is in the database, and so is not done where the batch is taken back.
    let known = tx.rows(Query::by(&HEARD, "name", names.iter().map(|asked| asked.command.as_str().into())).locked())?;
    assert!(known.is_empty(), "{known:?} was performed before");
    let mut verdicts = Vec::new();
    for asked in names {
        let answer = lock(&will.0).get(&asked.command).cloned();
        verdicts.push(match answer {
            Some(Answer::Fails(failure)) => return Err(failure),
            Some(Answer::Says(verdict)) => verdict,
            None => Verdict::Done,
        });
    }
    let done = names.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Done);
    for (asked, _) in done {
        tx.insert(&HEARD, vec![vec![asked.command.as_str().into(), 1.into()]]);
        let (heard, name) = (heard.clone(), asked.command.clone());
        tx.after_commit(move || lock(&heard).push(name));
    }
    for asked in names {
        let (tries, this) = (tries.clone(), (asked.command.clone(), asked.by.trace.span_id));
        tx.after_commit(move || lock(&tries).push(this));
    }
    Ok(verdicts)
}

impl Consumer {
    /// A consumer on an empty database.
    pub(crate) fn of(feed: &Arc<Written>) -> Self {
        Self::on(World::simulated(1), MemoryDisk::empty(), feed, Partitions::ALL, Will::default(), Log::default())
    }

    fn on(world: World, disk: MemoryDisk, feed: &Arc<Written>, partitions: Partitions, will: Will, heard: Log) -> Self {
        let location = Location::Memory(disk.clone());
        let database = Database::open("consumer", location, Options::default(), world.clone(), MIGRATIONS);
        let database = database.expect("a database");
        let listener = Listener::to(feed.clone(), LISTENING).for_partitions(partitions);
        let status = listener.status();
        let tries = Tries::default();
        let (answers, log, all) = (will.clone(), heard.clone(), tries.clone());
        let perform: Perform<String, Verdict> = Arc::new(move |tx, names| perform(tx, names, &answers, &log, &all));
        let kind = Kind { key_of: |_| 0, weigh: |name: &String| if name.starts_with("heavy") { 300 } else { 1 } };
        let opened = open_desk(&database, &kind, &perform, vec![Box::new(listener)], &Arc::new(Meters::default()));
        let (counter, mut workers) = opened.expect("a desk");
        let worker = workers.pop().expect("a worker");
        Self { world, disk, database, status, worker, _desk: counter, will, heard, tries }
    }

    /// The same consumer in another process.
    pub(crate) fn restarted(self, feed: &Arc<Written>) -> Self {
        self.restarted_for(feed, Partitions::ALL)
    }

    /// The same consumer in another process, for some of the partitions.
    pub(crate) fn restarted_for(self, feed: &Arc<Written>, partitions: Partitions) -> Self {
        let Self { world, disk, will, heard, .. } = self;
        Self::on(world, disk, feed, partitions, will, heard)
    }

    /// Another consumer on the same database.
    pub(crate) fn beside(&self, feed: &Arc<Written>) -> Self {
        let (world, disk, will) = (self.world.clone(), self.disk.clone(), self.will.clone());
        Self::on(world, disk, feed, Partitions::ALL, will, self.heard.clone())
    }

    /// From now on the answer to this is another.
    pub(crate) fn answers(&self, name: &str, verdict: Verdict) {
        lock(&self.will.0).insert(name.to_owned(), Answer::Says(verdict));
    }

    /// From now on performing this fails.
    pub(crate) fn fails_at(&self, name: &str, failure: Failure) {
        lock(&self.will.0).insert(name.to_owned(), Answer::Fails(failure));
    }

    /// This is dealt with from now on.
    pub(crate) fn deals_with(&self, name: &str) {
        lock(&self.will.0).remove(name);
    }

    /// Takes one turn.
    pub(crate) fn turn(&mut self) -> Turn {
        self.worker.turn(&Plan::ALL)
    }

    /// Takes one turn that takes at most so many from the feed.
    pub(crate) fn turn_of(&mut self, most: usize) -> Turn {
        self.worker.turn(&Plan { from_inlets: most, ..Plan::ALL })
    }

    /// Takes turns until nothing is left to do without time passing.
    pub(crate) fn rests(&mut self) {
        for _ in 0..1_000 {
            if self.turn() == Turn::Idle {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Lets time pass, and then takes turns until nothing is left to do.
    pub(crate) fn waits(&mut self, time: Duration) {
        self.world.advance(time);
        self.rests();
    }

    /// Lets time pass, and does nothing.
    pub(crate) fn passes(&self, time: Duration) {
        self.world.advance(time);
    }

    /// Parks the event at this position, as a release did that understood it.
    pub(crate) fn parks(&self, feed: &Written, position: Position) {
        let event = lock(&feed.0).events[usize::try_from(position - 1).expect("a position")].clone();
        let envelope = serde_json::to_string(&EventDocument::try_from(event.as_ref()).expect("a document"));
        let envelope = envelope.expect("a document has a JSON form");
        let due_at = self.now();
        self.write(move |tx| {
            let subject = event.subject.as_ref();
            let row = vec![
                SOURCE.into(),
                position.into(),
                subject.into(),
                1.into(),
                due_at.into(),
                "".into(),
                envelope.as_str().into(),
            ];
            tx.insert(&PARKED, vec![row]);
            Ok(())
        });
    }

    pub(crate) fn now(&self) -> Moment {
        self.world.now()
    }

    /// What was dealt with, in its order.
    pub(crate) fn heard(&self) -> Vec<String> {
        lock(&self.heard).clone()
    }

    /// The steps in which this process tried this.
    pub(crate) fn steps(&self, name: &str) -> Vec<u64> {
        lock(&self.tries).iter().filter(|(tried, _)| tried == name).map(|(_, step)| *step).collect()
    }

    pub(crate) fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Read<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> T {
        self.database.read(what).now_or_never().expect("memory answers at once").expect("it is read")
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> T {
        self.database.write(what).now_or_never().expect("memory answers at once").expect("it is written")
    }

    /// What waits for another attempt: its subject, how often it was tried, and when it is due.
    pub(crate) fn parked(&self) -> Vec<(String, i64, Duration)> {
        let now = self.now();
        let due_in = |parked: &ParkedEvent| parked.due_at.map_or(Duration::ZERO, |due_at| due_at.since(now));
        let shown = |parked: ParkedEvent| (parked.event.subject.to_string(), parked.attempts, due_in(&parked));
        self.read(|read| events::parked_events(read, 100)).into_iter().map(shown).collect()
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.read(|read| events::dead_letters(read, 100))
    }

    /// How much is put aside of the producer's events.
    pub(crate) fn put_aside(&self) -> PutAside {
        self.read(|read| put_aside(read, &[SOURCE]))[SOURCE]
    }

    /// What the database says of a table of positions, such as `feed_start`.
    pub(crate) fn positions(&self, sql: &'static str) -> Vec<(String, Position)> {
        self.read(move |read| {
            let rows = read.rows(Query::sql(sql, []))?;
            let position = |row: db::Row| {
                let mut row = row.columns();
                Ok((row.text()?, row.int()?))
            };
            rows.into_iter().map(position).collect()
        })
    }
}

pub(crate) fn again() -> Verdict {
    Verdict::Retry("not yet".to_owned())
}

pub(crate) fn never() -> Verdict {
    Verdict::DeadLetter("never".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

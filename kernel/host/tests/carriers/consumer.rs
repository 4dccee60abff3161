//! Somebody who counts what is said, and notes what comes twice or out of order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use db::{
    Asked, Crash, Database, Desk, Envelope, Failure, Kind, Location, MemoryDisk, Meters, Migration, Options, Perform,
    Plan, Query, Table, Turn, Tx, Worker, int, open_desk, text,
};
use events::{Feed, Listener, Listening, Partitions, Status, Understood, Verdict};
use futures_util::FutureExt;
use world::World;

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "heard",
    sql: "CREATE TABLE heard (\n    subject TEXT PRIMARY KEY,\n    count BIGINT NOT NULL,\n    last BIGINT NOT NULL,\n    in_disorder BIGINT NOT NULL\n);",
}];

static HEARD: Table =
    Table { name: "heard", key: &[text("subject")], rest: &[int("count"), int("last"), int("in_disorder")] };

/// Something that was said, as a command.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    subject: String,
    number: i64,
}

/// What was heard in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) count: usize,
    pub(crate) subjects: usize,
    /// Things that did not follow the one before them.
    pub(crate) in_disorder: usize,
}

/// A consumer, driven turn by turn.
pub(crate) struct Consumer {
    disk: MemoryDisk,
    database: Database,
    partitions: Partitions,
    status: Arc<Status>,
    worker: Worker<Said, ()>,
    _desk: Desk<Said, ()>,
    refuses: Arc<AtomicBool>,
}

/// What a consumer cannot deal with while it refuses: this thing about this subject.
const REFUSED: (&str, i64) = ("subject-3", 5);

const KIND: Kind<Said> = Kind { key_of: |_| 0, weigh: |_| 1 };

const LISTENING: Listening<Said, ()> = Listening { understand, judge: |()| Verdict::Done };

fn understand(event: &Envelope) -> Understood<Said> {
    let number = event.body.trim_start_matches("{\"number\":").trim_end_matches('}').parse();
    match number {
        Ok(number) => Understood::Command(Said { subject: event.subject.to_string(), number }),
        Err(_) => Understood::Unreadable(event.body.to_string()),
    }
}

fn perform(tx: &mut Tx<'_>, said: &[Asked<Said>]) -> Result<Vec<()>, Failure> {
    let subjects = said.iter().map(|asked| asked.command.subject.as_str().into());
    let rows = tx.rows(Query::by(&HEARD, "subject", subjects).locked())?;
    let mut heard: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    for row in rows {
        let mut row = row.columns();
        heard.insert(row.text()?, (row.int()?, row.int()?, row.int()?));
    }
    for Asked { command: Said { subject, number }, .. } in said {
        let (count, last, in_disorder) = heard.entry(subject.clone()).or_default();
        *in_disorder += i64::from(*number != *last + 1);
        (*count, *last) = (*count + 1, *number);
    }
    let rows = heard.into_iter().map(|(subject, (count, last, in_disorder))| {
        vec![subject.into(), count.into(), last.into(), in_disorder.into()]
    });
    tx.upsert(&HEARD, rows.collect());
    Ok(vec![(); said.len()])
}

impl Consumer {
    pub(crate) fn on(disk: &MemoryDisk, feed: Arc<dyn Feed>, partitions: Partitions) -> Self {
        let location = Location::Memory(disk.clone());
        let database = Database::open("consumer", location, Options::default(), World::real(), MIGRATIONS);
        let database = database.expect("a database");
        let listener = Listener::to(feed, LISTENING).for_partitions(partitions);
        let status = listener.status();
        let switch = Arc::<AtomicBool>::default();
        let refusing = switch.clone();
        let perform: Perform<Said, ()> = Arc::new(move |tx, said| {
            let is_refusing =
                |asked: &Asked<Said>| asked.command.subject == REFUSED.0 && asked.command.number == REFUSED.1;
            if refusing.load(Ordering::Relaxed) && said.iter().any(is_refusing) {
                return Err(Failure::Corrupt("it cannot be dealt with now".into()));
            }
            perform(tx, said)
        });
        let opened = open_desk(&database, &KIND, &perform, vec![Box::new(listener)], &Arc::new(Meters::default()));
        let (counter, mut workers) = opened.expect("a desk");
        let worker = workers.pop().expect("a worker");
        Self { disk: disk.clone(), database, partitions, status, worker, _desk: counter, refuses: switch }
    }

    /// The same consumer in another process.
    pub(crate) fn restarted(self, feed: Arc<dyn Feed>) -> Self {
        Self::on(&self.disk, feed, self.partitions)
    }

    /// Whether it cannot deal with [`REFUSED`] from now on.
    pub(crate) fn refuses(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    pub(crate) fn heard(&self) -> Heard {
        let read = self.database.read(|read| {
            let sql = "SELECT coalesce(sum(count), 0), count(*), coalesce(sum(in_disorder), 0) FROM heard";
            let row = read.rows(Query::sql(sql, []))?.pop().expect("sums have a row");
            let mut row = row.columns();
            Ok((row.int()?, row.int()?, row.int()?))
        });
        let (count, subjects, in_disorder) = read.now_or_never().expect("memory answers at once").expect("the sums");
        let number = |number: i64| usize::try_from(number).expect("it was counted up");
        Heard { count: number(count), subjects: number(subjects), in_disorder: number(in_disorder) }
    }

    /// Why it has stopped, if it has.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.status.stopped()
    }

    /// Takes turns until something holds of what was heard.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Heard) -> bool) {
        testkit::eventually(what, || {
            while matches!(self.worker.turn(&Plan::ALL), Turn::Performed(_)) && !holds(&self.heard()) {}
            holds(&self.heard())
        });
    }

    /// Takes turns until nothing comes for a while.
    pub(crate) fn rests(&mut self) {
        let mut quiet = 0;
        while quiet < 25 {
            quiet = if matches!(self.worker.turn(&Plan::ALL), Turn::Performed(n) if n > 0) { 0 } else { quiet + 1 };
            sleep(Duration::from_millis(5));
        }
    }

    /// Deals with at most so many events of what it has read.
    pub(crate) fn deals_with(&mut self, events: usize) {
        self.worker.turn(&Plan { from_inlets: events, ..Plan::ALL });
    }

    /// Takes turns until it has stopped for good.
    pub(crate) fn until_it_stops(&mut self) {
        testkit::eventually("the consumer stops", || {
            self.worker.turn(&Plan::ALL);
            self.stopped().is_some()
        });
    }

    /// Dies in its next transaction, if there is one soon.
    pub(crate) fn dies(mut self, crash: Crash) {
        for _ in 0..10 {
            if self.worker.turn(&Plan { from_inlets: 7, crash: Some(crash), ..Plan::ALL }) == Turn::Crashed {
                return;
            }
            sleep(Duration::from_millis(1));
        }
    }
}

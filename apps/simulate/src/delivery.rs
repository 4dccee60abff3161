//! Delivery that loses, doubles and delays: a feed between two services, under a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use db::{Bell, Database, Position};
use events::{Feed, FeedError, Partitions, Slice};
use world::Chance;

/// How things go between services, and between payments and its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Everything arrives at once, and once.
    Calm,
    /// Whatever the seed wills is lost, late or doubled.
    Rough,
    /// Every event comes late, and comes again.
    Echoing,
}

/// Whether things go wrong on the way; calm at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather(Arc<Sky>);

#[derive(Debug, Default)]
struct Sky {
    kind: AtomicU8,
    /// The feeds that bring nothing for now: of whom, and to whom.
    withheld: Mutex<BTreeSet<(&'static str, &'static str)>>,
    /// What has gone wrong so far, and how often.
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

impl Weather {
    pub(crate) fn turn_rough(&self) {
        self.0.kind.store(Kind::Rough as u8, Ordering::Relaxed);
    }

    pub(crate) fn turn_calm(&self) {
        self.0.kind.store(Kind::Calm as u8, Ordering::Relaxed);
    }

    /// From now on every event comes late, and comes again.
    pub(crate) fn turn_echoing(&self) {
        self.0.kind.store(Kind::Echoing as u8, Ordering::Relaxed);
    }

    fn is(&self, kind: Kind) -> bool {
        self.0.kind.load(Ordering::Relaxed) == kind as u8
    }

    pub(crate) fn is_rough(&self) -> bool {
        self.is(Kind::Rough)
    }

    /// From now on a reader hears nothing of a source, or hears of it again.
    pub(crate) fn withhold(&self, source: &'static str, reader: &'static str, does: bool) {
        let mut withheld = lock(&self.0.withheld);
        if does {
            withheld.insert((source, reader));
        } else {
            withheld.remove(&(source, reader));
        }
    }

    /// Counts something that went wrong.
    pub(crate) fn went_wrong(&self, what: &'static str) {
        *lock(&self.0.faults).entry(what).or_default() += 1;
    }

    /// What has gone wrong so far, and how often.
    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0.faults).clone()
    }
}

/// The carriers' view of a service's disk: another one once a backup was put back.
#[derive(Clone, Debug)]
pub(crate) struct View(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    database: Database,
    /// The newest event, where nothing has moved since it was looked for: most readers find nothing new.
    newest: Option<Position>,
}

impl View {
    pub(crate) fn of(database: Database) -> Self {
        Self(Arc::new(Mutex::new(Seen { database, newest: None })))
    }

    pub(crate) fn database(&self) -> Database {
        lock(&self.0).database.clone()
    }

    pub(crate) fn replace(&self, database: Database) {
        *lock(&self.0) = Seen { database, newest: None };
    }

    /// The service has done something, and may have said something.
    pub(crate) fn stirs(&self) {
        lock(&self.0).newest = None;
    }
}

/// A feed whose deliveries are late, doubled and cut short as the seed wills.
#[derive(Debug)]
pub(crate) struct RoughFeed {
    source: &'static str,
    reader: &'static str,
    view: View,
    chance: Mutex<Chance>,
    weather: Weather,
    /// How often it was read while every event came twice.
    echoes: AtomicU8,
}

/// How many events are at most handed over again.
const MOST_DOUBLED: i64 = 12;

impl RoughFeed {
    /// What a reader hears of a source.
    pub(crate) fn of(
        source: &'static str,
        reader: &'static str,
        view: &View,
        chance: Chance,
        weather: &Weather,
    ) -> Self {
        let (view, weather) = (view.clone(), weather.clone());
        Self { source, reader, view, chance: Mutex::new(chance), weather, echoes: AtomicU8::new(0) }
    }

    /// Reads what the producer's disk holds, whoever has written it.
    fn honest(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        let (producer, known) = {
            let seen = lock(&self.view.0);
            (seen.database.clone(), seen.newest)
        };
        if let Some(newest) = known.filter(|newest| *newest == after || most == 0 && *newest > after) {
            return Ok(Slice { incarnation: producer.incarnation(), events: Vec::new(), upto: after, newest });
        }
        let read = Arc::new(Mutex::new(None));
        let found = read.clone();
        let reading =
            producer.read_then(move |read| read.news_after(after, most), move |result| *lock(&found) = Some(result));
        reading.map_err(|refused| FeedError::Unavailable(refused.to_string()))?;
        let (newest, events) = match lock(&read).take() {
            Some(Ok(read)) => read,
            Some(Err(failure)) => return Err(FeedError::Unavailable(failure.to_string())),
            None => return Err(FeedError::Unavailable("a disk in memory is read at once".into())),
        };
        lock(&self.view.0).newest = Some(newest);
        if newest < after {
            return Err(FeedError::WentBack { newest, read: after });
        }
        let upto = events.last().map_or(after, |event| event.position);
        let events = events.into_iter().filter(|event| partitions.contains(event.partition)).map(Arc::new).collect();
        Ok(Slice { incarnation: producer.incarnation(), events, upto, newest })
    }

    /// Hands over what comes after, and before it some that were handed over already.
    fn doubled(&self, partitions: Partitions, after: Position, doubled: i64, most: usize) -> Result<Slice, FeedError> {
        let mut slice = self.honest(partitions, (after - doubled).max(0), most)?;
        slice.upto = slice.upto.max(after);
        Ok(slice)
    }

    /// Counts what a slice that goes to a reader wants of all that is there.
    fn count_faults(&self, slice: &Slice, after: Position, late: bool) {
        if slice.upto < slice.newest {
            self.weather.went_wrong(if late { "events came late" } else { "a slice of events was cut short" });
        }
        if slice.events.first().is_some_and(|event| event.position <= after) {
            self.weather.went_wrong("events came again");
        }
    }
}

impl Feed for RoughFeed {
    fn source(&self) -> &str {
        self.source
    }

    fn listen(&self, _bell: &Arc<Bell>) {}

    fn read(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        if lock(&self.weather.0.withheld).contains(&(self.source, self.reader)) {
            return self.honest(partitions, after, 0);
        }
        if self.weather.is(Kind::Echoing) {
            let is_late = self.echoes.fetch_add(1, Ordering::Relaxed) % 3 != 2;
            let most = if is_late { 0 } else { most };
            return self.doubled(partitions, after, if is_late { 0 } else { MOST_DOUBLED }, most);
        }
        if !self.weather.is_rough() {
            return self.honest(partitions, after, most);
        }
        let (late, doubled, most) = {
            let mut chance = lock(&self.chance);
            let doubled = if chance.once_in(6) { chance.between(1, MOST_DOUBLED) } else { 0 };
            (chance.once_in(4), doubled, 1 + chance.below(most.min(16)))
        };
        // Lost or late is the same to a reader: it asks again after the same position.
        let slice =
            if late { self.honest(partitions, after, 0) } else { self.doubled(partitions, after, doubled, most) };
        slice.inspect(|slice| self.count_faults(slice, after, late))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

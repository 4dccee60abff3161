//! Somebody who says numbered things about subjects.

use std::sync::Mutex;

use db::{Context, Database, Location, MemoryDisk, NewEvent, Options, Trace};
use futures_util::FutureExt;
use ids::Number;
use world::World;

/// The database of a producer, with how far it has counted for each subject.
pub(crate) struct Producer {
    disk: MemoryDisk,
    pub(crate) database: Database,
    said: Mutex<Vec<i64>>,
}

impl Producer {
    pub(crate) fn new() -> Self {
        Self::on(MemoryDisk::empty(), Options::default(), Vec::new())
    }

    fn on(disk: MemoryDisk, options: Options, said: Vec<i64>) -> Self {
        let location = Location::Memory(disk.clone());
        let database = Database::open("producer", location, options, World::real(), &[]).expect("a database");
        Self { disk, database, said: Mutex::new(said) }
    }

    /// The same producer in another process.
    pub(crate) fn restarted(&self) -> Self {
        Self::on(self.disk.clone(), Options::default(), self.counted())
    }

    /// A copy of its disk, not opened yet by anybody who knows that it is one.
    pub(crate) fn backup(&self) -> Self {
        Self::on(self.disk.copy(), Options::default(), self.counted())
    }

    /// The producer that this backup becomes, in a life of its own.
    pub(crate) fn restored(&self) -> Self {
        Self::on(self.disk.clone(), Options { restored: true, ..Options::default() }, self.counted())
    }

    fn counted(&self) -> Vec<i64> {
        self.said.lock().expect("no test panics in here").clone()
    }

    /// Says the next so many things about each of so many subjects, a few in each transaction.
    pub(crate) fn say(&self, subjects: usize, times: usize) {
        let mut said = self.said.lock().expect("no test panics in here");
        let known = said.len().max(subjects);
        said.resize(known, 0);
        for _ in 0..times {
            let mut events = Vec::new();
            for (subject, counted) in said.iter_mut().enumerate().take(subjects) {
                *counted += 1;
                events.push(event(subject, *counted));
            }
            let publish = self.database.write(move |tx| {
                let now = tx.now();
                for event in events {
                    tx.publish(NewEvent { occurred_at: now, ..event });
                }
                Ok(())
            });
            publish.now_or_never().expect("memory answers at once").expect("the events are published");
        }
    }
}

fn event(subject: usize, number: i64) -> NewEvent {
    NewEvent {
        stream: Number::from_column(i64::try_from(subject).expect("a few subjects") + 1),
        version: number,
        subject: format!("subject-{subject}"),
        kind: "Said",
        schema: 1,
        occurred_at: world::Moment::from_micros(0),
        by: Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }),
        body: format!("{{\"number\":{number}}}"),
    }
}

//! The carrier within a process: memory first, and the table where memory does not reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use db::{Bell, Context, Database, Location, MemoryDisk, NewEvent, Options, Table, Trace, int, text};
use events::{Feed, FeedError, Partitions, Slice, TableFeed, partition_of};
use futures_util::FutureExt;
use ids::Number;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use world::{Moment, World};

fn producer(disk: &MemoryDisk) -> Database {
    let location = Location::Memory(disk.clone());
    Database::open("producer", location, Options::default(), World::simulated(1), &[]).expect("a database")
}

fn say(producer: &Database, version: i64, subject: &'static str) {
    let event = move |now: Moment| NewEvent {
        stream: Number::from_column(1),
        version,
        subject: subject.to_owned(),
        kind: "Said",
        schema: 1,
        occurred_at: now,
        by: Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }),
        body: "{}".to_owned(),
    };
    let said = producer.write(move |tx| {
        tx.publish(event(tx.now()));
        Ok(())
    });
    said.now_or_never().expect("memory answers at once").expect("it is said");
}

fn positions(slice: &Slice) -> Vec<i64> {
    slice.events.iter().map(|event| event.position).collect()
}

#[test]
fn what_memory_holds_is_read_from_there_as_far_as_it_is_wanted() {
    let producer = producer(&MemoryDisk::empty());
    let feed = TableFeed::of(&producer);
    assert_eq!(feed.source(), "producer");
    let nothing = feed.read(Partitions::ALL, 0, 10).expect("a slice");
    assert_eq!((positions(&nothing), nothing.upto, nothing.newest), (vec![], 0, 0));
    (1..=3).for_each(|version| say(&producer, version, "a"));
    let some = feed.read(Partitions::ALL, 0, 2).expect("a slice");
    assert_eq!((positions(&some), some.upto, some.newest), (vec![1, 2], 2, 3));
    assert_eq!(some.incarnation, producer.incarnation());
    let rest = feed.read(Partitions::ALL, 2, 10).expect("a slice");
    assert_eq!((positions(&rest), rest.upto, rest.newest), (vec![3], 3, 3));
}

#[test]
fn what_only_the_table_holds_is_read_from_there() {
    let disk = MemoryDisk::empty();
    let before = producer(&disk);
    (1..=3).for_each(|version| say(&before, version, "a"));
    let after = producer(&disk);
    let feed = TableFeed::of(&after);
    let some = feed.read(Partitions::ALL, 0, 2).expect("a slice");
    assert_eq!((positions(&some), some.upto, some.newest), (vec![1, 2], 2, 3));
    assert_eq!(*after.ring().newest().borrow(), 3, "and the process knows of them from now on");
    let rest = feed.read(Partitions::ALL, 2, 10).expect("a slice");
    assert_eq!((positions(&rest), rest.upto), (vec![3], 3));
    // Another process of the producer has written, and this one has not heard of it.
    say(&before, 4, "a");
    let unknown = feed.read(Partitions::ALL, 3, 10).expect("a slice");
    assert_eq!((positions(&unknown), unknown.newest), (vec![], 3));
    after.learn_of_news().now_or_never().expect("memory answers at once").expect("it learns");
    assert_eq!(positions(&feed.read(Partitions::ALL, 3, 10).expect("a slice")), [4]);
}

#[test]
fn partitions_that_nobody_asked_for_are_left_out_and_read_over() {
    let producer = producer(&MemoryDisk::empty());
    let feed = TableFeed::of(&producer);
    say(&producer, 1, "a");
    say(&producer, 2, "b");
    assert_ne!(partition_of("a"), partition_of("b"));
    let of_a = feed.read(Partitions::NONE.with(partition_of("a")), 0, 10).expect("a slice");
    assert_eq!((positions(&of_a), of_a.upto), (vec![1], 2));
    let none = feed.read(Partitions::NONE, 0, 10).expect("a slice");
    assert_eq!((positions(&none), none.upto), (vec![], 2));
}

#[test]
fn a_producer_that_knows_less_than_was_read_went_back() {
    let producer = producer(&MemoryDisk::empty());
    let feed = TableFeed::of(&producer);
    say(&producer, 1, "a");
    assert_eq!(feed.read(Partitions::ALL, 2, 10).unwrap_err(), FeedError::WentBack { newest: 1, read: 2 });
    assert!(feed.read(Partitions::ALL, 1, 10).expect("a slice").events.is_empty());
}

/// Waits until a bell rings, which it must do soon.
fn rings(bell: &Bell) {
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| bell.wait(Duration::from_secs(40)));
        testkit::eventually("the bell rings", || waits.is_finished());
    });
}

#[test]
fn who_listens_is_rung_for_when_something_is_said_and_when_the_table_was_read() {
    let disk = MemoryDisk::empty();
    say(&producer(&disk), 1, "a");
    let producer = producer(&disk);
    let feed = TableFeed::of(&producer);
    let bell = Arc::new(Bell::default());
    feed.listen(&bell);
    say(&producer, 2, "a");
    rings(&bell);
    assert_eq!(positions(&feed.read(Partitions::ALL, 0, 1).expect("a slice")), [1]);
    rings(&bell);
}

/// Writes who said the first event as it stands here.
fn said_by(producer: &Database, actor: &'static str) {
    static ROW: Table = Table { name: "event", key: &[int("position")], rest: &[text("actor")] };
    let written = producer.write(move |tx| {
        tx.update(&ROW, vec![vec![1.into(), actor.into()]]);
        Ok(())
    });
    written.now_or_never().expect("memory answers at once").expect("it is written");
}

/// Counts what is said in the log at the level that people look at.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, said: &Metadata<'_>) -> bool {
        *said.level() <= Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_table_that_cannot_be_read_is_told_of_once_each_time_and_wakes_nobody() {
    let disk = MemoryDisk::empty();
    say(&producer(&disk), 1, "a");
    let producer = producer(&disk);
    let (feed, bell, warnings) = (TableFeed::of(&producer), Arc::new(Bell::default()), Warnings::default());
    feed.listen(&bell);
    tracing::subscriber::with_default(warnings.clone(), || {
        for round in 1..=2 {
            said_by(&producer, "nobody that is known");
            for _ in 0..3 {
                let refused = feed.read(Partitions::ALL, 0, 10).unwrap_err();
                assert!(matches!(refused, FeedError::Unavailable(_)), "{refused}");
            }
            assert_eq!(warnings.0.load(Ordering::Relaxed), round);
            let (world, moment) = (World::real(), Duration::from_millis(50));
            let begun = world.now();
            bell.wait(moment);
            assert!(world.now().since(begun) >= moment, "who is woken looks again at once, and is woken again");
            said_by(&producer, "local");
            assert_eq!(positions(&feed.read(Partitions::ALL, 0, 10).expect("a slice")), [1]);
            rings(&bell);
        }
    });
}

#[test]
fn a_set_of_partitions_holds_what_was_put_into_it_and_is_written_as_digits() {
    let some = Partitions::NONE.with(0).with(5).with(63);
    let held: Vec<u8> = (0..events::PARTITIONS).filter(|partition| some.contains(*partition)).collect();
    assert_eq!(held, [0, 5, 63]);
    assert_eq!(some.to_string(), "8000000000000021");
    assert_eq!(some.with(5), some);
    assert!((0..events::PARTITIONS).all(|partition| Partitions::ALL.contains(partition)));
    assert!((0..events::PARTITIONS).all(|partition| !Partitions::NONE.contains(partition)));
}

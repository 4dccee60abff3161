//! One suite for all carriers of events: what a consumer may rely on, whoever brings them.
//!
//! ```text
//! producer's database ──▶ table | HTTP | Kafka-shaped fake ──▶ Listener ──▶ consumer's database
//! ```
//!
//! The consumer counts what it hears, by subject, and notes whatever comes out of order or twice.
//! It is driven turn by turn, so that it can be made to die at each point of a transaction.

mod consumer;
mod http;
mod kafka;
mod producer;
mod table;

use std::sync::Arc;

use db::{Crash, MemoryDisk};
use events::{Feed, Partitions};

use consumer::Consumer;
use http::Http;
use kafka::Kafka;
use producer::Producer;
use table::Table;

/// A way from a producer to its consumers, under test.
trait Carrier {
    /// Opens a feed for one more consumer.
    fn feed(&self) -> Arc<dyn Feed>;

    /// What reaches consumers from now on is what this producer says: the same one after a restart,
    /// or one that was restored.
    fn carry(&mut self, producer: &Producer);

    /// The producer's process is gone.
    fn lose_producer(&mut self);

    /// Whether consumers run in the producer's process, and so end with it.
    fn is_in_process(&self) -> bool {
        false
    }

    /// Whether the carrier spreads partitions over consumers, so that none asks for some of them.
    fn shares_by_itself(&self) -> bool {
        false
    }
}

fn each_carrier(test: impl Fn(&mut dyn Carrier, Producer)) {
    let carriers: [(&str, Box<dyn Carrier>); 3] =
        [("table", Box::<Table>::default()), ("http", Box::<Http>::default()), ("kafka", Box::<Kafka>::default())];
    for (name, mut carrier) in carriers {
        println!("over {name}");
        let producer = Producer::new();
        carrier.carry(&producer);
        test(&mut *carrier, producer);
    }
}

const SUBJECTS: usize = 23;

#[test]
fn everything_is_heard_once_and_each_subject_in_its_order() {
    each_carrier(|carrier, producer| {
        producer.say(SUBJECTS, 40);
        let mut consumer = Consumer::on(&MemoryDisk::empty(), carrier.feed(), Partitions::ALL);
        consumer.until("the first half was heard", |heard| heard.count == 40 * SUBJECTS);
        producer.say(SUBJECTS, 40);
        consumer.until("all was heard", |heard| heard.count == 80 * SUBJECTS);
        assert_eq!(consumer.heard().in_disorder, 0);
        assert_eq!(consumer.heard().subjects, SUBJECTS);
    });
}

#[test]
fn a_consumer_that_dies_at_any_point_goes_on_where_it_was() {
    each_carrier(|carrier, producer| {
        let disk = MemoryDisk::empty();
        let mut consumer = Consumer::on(&disk, carrier.feed(), Partitions::ALL);
        for round in 1..=12 {
            producer.say(SUBJECTS, 5);
            consumer.until("a part was heard", |heard| heard.count > (round - 1) * 5 * SUBJECTS);
            let crash = [Crash::BeforeCommit, Crash::AfterCommit, Crash::AfterAnswer][round % 3];
            consumer.dies(crash);
            consumer = Consumer::on(&disk, carrier.feed(), Partitions::ALL);
        }
        consumer.until("all was heard", |heard| heard.count >= 60 * SUBJECTS);
        consumer.rests();
        assert_eq!((consumer.heard().count, consumer.heard().in_disorder), (60 * SUBJECTS, 0));
    });
}

#[test]
fn a_long_way_behind_is_caught_up_after_a_restart() {
    each_carrier(|carrier, producer| {
        let disk = MemoryDisk::empty();
        // More than memory holds, and more than one page, also where reading is begun anew.
        producer.say(100, 95);
        let mut consumer = Consumer::on(&disk, carrier.feed(), Partitions::ALL);
        consumer.until("something was heard", |heard| heard.count > 3_000);
        drop(consumer);
        let mut consumer = Consumer::on(&disk, carrier.feed(), Partitions::ALL);
        consumer.until("all was heard", |heard| heard.count == 9_500);
        assert_eq!(consumer.heard().in_disorder, 0);
    });
}

#[test]
fn two_consumers_of_one_service_share_the_partitions_and_each_restarts_where_it_was() {
    each_carrier(|carrier, producer| {
        if carrier.shares_by_itself() {
            return; // see the test of partitions that change hands
        }
        let disk = MemoryDisk::empty();
        let (mut even, mut odd) = (Partitions::NONE, Partitions::NONE);
        for partition in 0..events::PARTITIONS {
            if partition % 2 == 0 { even = even.with(partition) } else { odd = odd.with(partition) }
        }
        producer.say(SUBJECTS, 10);
        let mut one = Consumer::on(&disk, carrier.feed(), even);
        one.rests();
        let only_even = one.heard().count;
        assert!(only_even > 0 && only_even < 10 * SUBJECTS, "{only_even}");
        // The other one comes later, and begins at its own beginning.
        let mut other = Consumer::on(&disk, carrier.feed(), odd);
        other.until("the rest was heard", |heard| heard.count == 10 * SUBJECTS);
        for _ in 0..3 {
            producer.say(SUBJECTS, 1_000 / SUBJECTS);
            one.rests();
            drop(other);
            other = Consumer::on(&disk, carrier.feed(), odd);
            other.rests();
        }
        let all = (10 + 3 * (1_000 / SUBJECTS)) * SUBJECTS;
        assert_eq!((other.heard().count, other.heard().in_disorder), (all, 0));
    });
}

#[test]
fn a_restart_of_the_producer_is_waited_for_and_loses_nothing() {
    each_carrier(|carrier, mut producer| {
        let mut consumer = Consumer::on(&MemoryDisk::empty(), carrier.feed(), Partitions::ALL);
        producer.say(SUBJECTS, 10);
        consumer.until("the first part was heard", |heard| heard.count == 10 * SUBJECTS);
        carrier.lose_producer();
        producer.say(SUBJECTS, 10);
        consumer.rests();
        producer = producer.restarted();
        producer.say(SUBJECTS, 10);
        carrier.carry(&producer);
        if carrier.is_in_process() {
            consumer = consumer.restarted(carrier.feed());
        }
        consumer.until("all was heard", |heard| heard.count == 30 * SUBJECTS);
        assert_eq!((consumer.heard().in_disorder, consumer.stopped()), (0, None));
    });
}

#[test]
fn a_producer_of_another_life_stops_its_consumer_loudly() {
    each_carrier(|carrier, producer| {
        let mut consumer = Consumer::on(&MemoryDisk::empty(), carrier.feed(), Partitions::ALL);
        producer.say(SUBJECTS, 10);
        consumer.until("all was heard", |heard| heard.count == 10 * SUBJECTS);
        let backup = producer.backup();
        producer.say(SUBJECTS, 5);
        consumer.until("all was heard", |heard| heard.count == 15 * SUBJECTS);
        carrier.lose_producer();
        let restored = backup.restored();
        restored.say(SUBJECTS, 20);
        carrier.carry(&restored);
        if carrier.is_in_process() {
            consumer = consumer.restarted(carrier.feed());
        }
        consumer.until_it_stops();
        let why = consumer.stopped().unwrap_or_default();
        assert!(why.contains("it was restored"), "{why}");
        assert_eq!(consumer.heard().count, 15 * SUBJECTS, "nothing of the other life was taken");
    });
}

#[test]
fn a_producer_that_knows_less_than_was_read_stops_its_consumer_loudly() {
    each_carrier(|carrier, producer| {
        let mut consumer = Consumer::on(&MemoryDisk::empty(), carrier.feed(), Partitions::ALL);
        producer.say(SUBJECTS, 10);
        let backup = producer.backup();
        producer.say(SUBJECTS, 5);
        consumer.until("all was heard", |heard| heard.count == 15 * SUBJECTS);
        carrier.lose_producer();
        // Nobody said that it is a backup.
        carrier.carry(&backup.restarted());
        if carrier.is_in_process() {
            consumer = consumer.restarted(carrier.feed());
        }
        consumer.until_it_stops();
        let why = consumer.stopped().unwrap_or_default();
        assert!(why.contains("restored from a backup"), "{why}");
    });
}

#[test]
fn partitions_that_change_hands_in_the_middle_of_a_batch_are_dealt_with_once() {
    let mut kafka = Kafka::default();
    let producer = Producer::new();
    kafka.carry(&producer);
    let disk = MemoryDisk::empty();
    let mut one = Consumer::on(&disk, kafka.feed(), Partitions::ALL);
    producer.say(SUBJECTS, 20);
    kafka.pump();
    // It has read a slice, and dealt with a few of it.
    one.until("a few were heard", |heard| heard.count > 0);
    one.deals_with(3);
    let mut other = Consumer::on(&disk, kafka.feed(), Partitions::ALL);
    for round in 0..20 {
        other.deals_with(7);
        one.deals_with(5);
        if round % 4 == 3 {
            kafka.rebalance();
        }
        producer.say(SUBJECTS, 2);
        kafka.pump();
    }
    for _ in 0..10 {
        one.rests();
        other.rests();
    }
    assert_eq!((one.heard().count, one.heard().in_disorder), (60 * SUBJECTS, 0));
    assert!(kafka.redelivered() > 0, "the fake has delivered nothing twice");
}

#[test]
fn two_processes_that_read_all_of_a_feed_deal_with_each_event_once_whoever_comes_first() {
    each_carrier(|carrier, producer| {
        if carrier.shares_by_itself() {
            return;
        }
        let disk = MemoryDisk::empty();
        let mut one = Consumer::on(&disk, carrier.feed(), Partitions::ALL);
        let mut other = Consumer::on(&disk, carrier.feed(), Partitions::ALL);
        for round in 1..=6 {
            // Who came first last time believes to know how far everything is, and is wrong the next time.
            producer.say(SUBJECTS, 1);
            one.until("the first has heard", |heard| heard.count == round * SUBJECTS);
            std::mem::swap(&mut one, &mut other);
        }
        one.rests();
        other.rests();
        assert_eq!((one.heard().count, one.heard().in_disorder), (6 * SUBJECTS, 0));
    });
}

#[test]
fn what_follows_a_parked_event_of_its_subject_waits_behind_it_also_where_nobody_looked() {
    each_carrier(|carrier, producer| {
        let mut consumer = Consumer::on(&MemoryDisk::empty(), carrier.feed(), Partitions::ALL);
        producer.say(SUBJECTS, 4);
        consumer.until("the first were heard", |heard| heard.count == 4 * SUBJECTS);
        consumer.refuses(true);
        producer.say(SUBJECTS, 1);
        consumer.until("all but one were heard", |heard| heard.count == 5 * SUBJECTS - 1);
        for number in 6..=8 {
            producer.say(SUBJECTS, 1);
            consumer.until("its subject waits", |heard| heard.count == number * SUBJECTS - (number - 4));
        }
        consumer.refuses(false);
        consumer.until("all was heard", |heard| heard.count == 8 * SUBJECTS);
        assert_eq!(consumer.heard().in_disorder, 0);
    });
}

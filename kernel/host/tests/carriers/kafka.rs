//! A carrier of the shape of Kafka: a log for each of a few partitions, members of a group that share
//! them, offsets that are committed now and then.
//!
//! What is not promised is not given: order holds within a log only; a connector writes some events
//! twice; a member that takes a log over begins at an older offset; and logs change hands while a
//! member still holds what it has read. Chance comes from a seed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use db::{Bell, Database, Envelope, Position};
use events::{Feed, FeedError, Partitions, Slice};
use futures_util::FutureExt;
use ids::Number;
use world::{Chance, World};

use crate::Carrier;
use crate::producer::Producer;

/// Partitions of the topic: fewer than ours, each of ours in one of them.
const LOGS: usize = 6;
const SEED: u64 = 7;

/// The broker, the group and the connector in one.
#[derive(Clone)]
pub(crate) struct Kafka(Arc<Mutex<Broker>>);

struct Broker {
    chance: Chance,
    producer: Option<Database>,
    logs: [Vec<Arc<Envelope>>; LOGS],
    /// How far the connector has read the producer.
    pumped: (Option<Number>, Position),
    went_back: Option<(Position, Position)>,
    /// The offset of each log that the group has committed.
    committed: [usize; LOGS],
    /// How far each log was ever handed over.
    furthest: [usize; LOGS],
    /// Which member has each log.
    owners: [usize; LOGS],
    members: Vec<usize>,
    next_member: usize,
    /// Grows with every rebalance.
    generation: u64,
    redelivered: usize,
    bells: Vec<Arc<Bell>>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Broker {
            chance: World::simulated(SEED).chance("kafka"),
            producer: None,
            logs: Default::default(),
            pumped: (None, 0),
            went_back: None,
            committed: [0; LOGS],
            furthest: [0; LOGS],
            owners: [0; LOGS],
            members: Vec::new(),
            next_member: 1,
            generation: 0,
            redelivered: 0,
            bells: Vec::new(),
        })))
    }
}

impl Kafka {
    fn broker(&self) -> MutexGuard<'_, Broker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what the producer has said into the logs.
    pub(crate) fn pump(&self) {
        self.broker().pump();
    }

    /// Spreads the logs anew over the members.
    pub(crate) fn rebalance(&self) {
        self.broker().rebalance();
    }

    /// Events that a log has given more than once.
    pub(crate) fn redelivered(&self) -> usize {
        self.broker().redelivered
    }
}

impl Broker {
    fn pump(&mut self) {
        let Some(producer) = self.producer.clone() else { return };
        let (life, mut after) = self.pumped;
        if life.is_some_and(|life| life != producer.incarnation()) {
            after = 0; // a connector that finds another life reads it from its beginning
        }
        let read = producer.read(move |read| read.news_after(after, 100_000));
        let (newest, events) = read.now_or_never().expect("memory answers at once").expect("the events");
        if newest < after {
            self.went_back = Some((newest, after));
        }
        for event in events {
            let (log, event) = (usize::from(event.partition) % LOGS, Arc::new(event));
            self.pumped = (Some(event.incarnation), event.position);
            self.logs[log].push(event);
            // A producer of Kafka that got no answer writes the last few again.
            if self.chance.once_in(50) {
                let again = self.logs[log].len().saturating_sub(3);
                let again: Vec<_> = self.logs[log][again..].to_vec();
                self.logs[log].extend(again);
            }
        }
        for bell in &self.bells {
            bell.ring();
        }
    }

    fn rebalance(&mut self) {
        self.generation += 1;
        for log in 0..LOGS {
            self.owners[log] = self.chance.pick(&self.members).copied().unwrap_or(0);
            // Commits of offsets lag behind; what lies between comes again.
            self.committed[log] -= self.chance.below(5).min(self.committed[log]);
        }
    }

    /// Up to where everything lies before the committed offsets, for who has all logs.
    fn upto(&self) -> Position {
        let first_ahead = |log: usize| self.logs[log].get(self.committed[log]).map(|event| event.position - 1);
        (0..LOGS).filter_map(first_ahead).min().unwrap_or(self.pumped.1)
    }
}

/// What a member of the group reads.
struct Member {
    kafka: Kafka,
    number: usize,
    handed: Mutex<Handed>,
}

/// What was handed over since the last commit of offsets.
#[derive(Default)]
struct Handed {
    generation: u64,
    offsets: [usize; LOGS],
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut broker = self.kafka.broker();
        broker.members.retain(|member| *member != self.number);
        broker.rebalance();
    }
}

impl Feed for Member {
    fn source(&self) -> &'static str {
        "producer"
    }

    fn listen(&self, bell: &Arc<Bell>) {
        self.kafka.broker().bells.push(bell.clone());
    }

    /// The consumer reads on once it has dealt with what it was given, so that is committed first.
    fn read(&self, partitions: Partitions, _: Position, most: usize) -> Result<Slice, FeedError> {
        let mut broker = self.kafka.broker();
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        broker.pump();
        if let Some((newest, read)) = broker.went_back {
            return Err(FeedError::WentBack { newest, read });
        }
        let mine = |broker: &Broker, log: usize| broker.owners[log] == self.number;
        if handed.generation == broker.generation {
            for log in 0..LOGS {
                if mine(&broker, log) {
                    broker.committed[log] = broker.committed[log].max(handed.offsets[log]);
                }
            }
        }
        *handed = Handed { generation: broker.generation, offsets: broker.committed };
        // With some of the logs nobody can say up to where all has come.
        let all_mine = (0..LOGS).all(|log| mine(&broker, log));
        let upto = if all_mine { broker.upto() } else { 0 };
        let (mut incarnation, newest) = (None, broker.pumped.1);
        let mut events = Vec::new();
        let first = broker.chance.below(LOGS);
        for log in (0..LOGS).map(|log| (log + first) % LOGS) {
            if !mine(&broker, log) {
                continue;
            }
            while let Some(event) = broker.logs[log].get(handed.offsets[log]).cloned() {
                if events.len() >= most || *incarnation.get_or_insert(event.incarnation) != event.incarnation {
                    break;
                }
                events.push(event);
                handed.offsets[log] += 1;
                if handed.offsets[log] > broker.furthest[log] {
                    broker.furthest[log] = handed.offsets[log];
                } else {
                    broker.redelivered += 1;
                }
            }
        }
        let incarnation = incarnation.or(broker.pumped.0);
        let incarnation = incarnation.ok_or_else(|| FeedError::Unavailable("nothing was said yet".to_owned()))?;
        events.retain(|event| partitions.contains(event.partition));
        Ok(Slice { incarnation, events, upto, newest })
    }
}

impl Carrier for Kafka {
    fn feed(&self) -> Arc<dyn Feed> {
        let mut broker = self.broker();
        let number = broker.next_member;
        broker.next_member += 1;
        broker.members.push(number);
        broker.rebalance();
        let handed = Mutex::new(Handed { generation: broker.generation, offsets: broker.committed });
        drop(broker);
        Arc::new(Member { kafka: self.clone(), number, handed })
    }

    fn carry(&mut self, producer: &Producer) {
        self.broker().producer = Some(producer.database.clone());
        self.pump();
    }

    fn lose_producer(&mut self) {
        self.pump();
        self.broker().producer = None;
    }

    fn shares_by_itself(&self) -> bool {
        true
    }
}

//! The carrier within one process: the producer's ring, and behind it its table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use db::{Bell, Database, Envelope, InMemory, Position};

use crate::feed::{Feed, FeedError, Partitions, Slice};

/// Reads a producer's events from its memory, and from its table where memory does not reach.
/// Each consumer has one of its own.
#[derive(Debug)]
pub struct TableFeed {
    producer: Database,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    fetch: Mutex<Fetch>,
    bells: Mutex<Vec<Arc<Bell>>>,
    /// Whether the table could not be read when it was last tried.
    is_away: AtomicBool,
}

#[derive(Debug, Default)]
enum Fetch {
    #[default]
    Idle,
    Underway,
    Done {
        after: Position,
        result: Result<Fetched, String>,
    },
}

#[derive(Debug)]
struct Fetched {
    events: Vec<Arc<Envelope>>,
    newest: Position,
}

impl TableFeed {
    /// The events of this producer.
    pub fn of(producer: &Database) -> Self {
        Self { producer: producer.clone(), shared: Arc::default() }
    }

    /// Reads the table on a thread of the producer's; in a simulation, at once.
    fn fetch(&self, after: Position, most: usize) -> Result<(), FeedError> {
        {
            let mut fetch = lock(&self.shared.fetch);
            if matches!(*fetch, Fetch::Underway) {
                return Ok(());
            }
            *fetch = Fetch::Underway;
        }
        let shared = self.shared.clone();
        let read = self.producer.read_then(
            move |read| {
                let newest = read.newest_event()?;
                let events = read.events_after(after, most)?.into_iter().map(Arc::new).collect();
                Ok(Fetched { events, newest })
            },
            move |result| {
                let is_there = result.is_ok();
                *lock(&shared.fetch) = Fetch::Done { after, result: result.map_err(|failure| failure.to_string()) };
                // Whoever is woken for a failure reads again at once, fails and is woken again: that can wait
                // until it looks by itself.
                if is_there {
                    for bell in lock(&shared.bells).iter() {
                        bell.ring();
                    }
                }
            },
        );
        read.map_err(|refused| {
            *lock(&self.shared.fetch) = Fetch::Idle;
            self.unavailable(refused.to_string())
        })
    }

    /// Says so in the log too, once for each time that the table goes away.
    fn unavailable(&self, cause: String) -> FeedError {
        if !self.shared.is_away.swap(true, Ordering::Relaxed) {
            let source = self.source();
            tracing::warn!(source, cause, "The events of a service cannot be read; its table is asked until they can");
        }
        FeedError::Unavailable(cause)
    }

    fn fetched(&self, after: Position) -> Option<Result<Fetched, String>> {
        let mut fetch = lock(&self.shared.fetch);
        match std::mem::take(&mut *fetch) {
            Fetch::Done { after: fetched, result } if fetched == after => Some(result),
            Fetch::Underway => {
                *fetch = Fetch::Underway;
                None
            }
            Fetch::Idle | Fetch::Done { .. } => None,
        }
    }

    fn slice(&self, events: Vec<Arc<Envelope>>, after: Position, newest: Position, partitions: Partitions) -> Slice {
        let upto = events.last().map_or(after, |event| event.position);
        let events = events.into_iter().filter(|event| partitions.contains(event.partition)).collect();
        Slice { incarnation: self.producer.incarnation(), events, upto, newest }
    }
}

impl Feed for TableFeed {
    fn source(&self) -> &str {
        self.producer.service()
    }

    fn listen(&self, bell: &Arc<Bell>) {
        self.producer.ring().add_bell(bell.clone());
        lock(&self.shared.bells).push(bell.clone());
    }

    fn read(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        let ring = self.producer.ring();
        let newest = *ring.newest().borrow();
        if let InMemory::All(events) = ring.after(after, most) {
            return Ok(self.slice(events, after, newest, partitions));
        }
        let mut fetched = self.fetched(after);
        if fetched.is_none() {
            self.fetch(after, most)?;
            fetched = self.fetched(after);
        }
        match fetched {
            None => Ok(self.slice(Vec::new(), after, newest, partitions)),
            Some(Err(cause)) => Err(self.unavailable(cause)),
            Some(Ok(fetched)) if fetched.newest < after => {
                Err(FeedError::WentBack { newest: fetched.newest, read: after })
            }
            Some(Ok(fetched)) => {
                self.shared.is_away.store(false, Ordering::Relaxed);
                self.producer.learned(fetched.newest);
                Ok(self.slice(fetched.events, after, fetched.newest, partitions))
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Delivery that loses, doubles and delays: a feed between two services, under a seed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use db::{Bell, Database, Position};
use events::{Feed, FeedError, Partitions, Slice};
use world::Chance;

/// Whether things go wrong; turned off when a run comes to its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather(Arc<AtomicBool>);

impl Weather {
    pub(crate) fn turn_rough(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn turn_calm(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_rough(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A feed whose deliveries are late, doubled and cut short as the seed wills.
#[derive(Debug)]
pub(crate) struct RoughFeed {
    producer: Database,
    chance: Mutex<Chance>,
    weather: Weather,
}

impl RoughFeed {
    pub(crate) fn of(producer: &Database, chance: Chance, weather: &Weather) -> Self {
        Self { producer: producer.clone(), chance: Mutex::new(chance), weather: weather.clone() }
    }

    /// Reads what the producer's disk holds, whoever has written it.
    fn honest(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        let read = Arc::new(Mutex::new(None));
        let found = read.clone();
        let reading = self.producer.read_then(
            move |read| Ok((read.events_after(after, most)?, read.newest_event()?)),
            move |result| *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(result),
        );
        reading.map_err(|refused| FeedError::Unavailable(refused.to_string()))?;
        let read = read.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (events, newest) = match read {
            Some(Ok(read)) => read,
            Some(Err(failure)) => return Err(FeedError::Unavailable(failure.to_string())),
            None => return Err(FeedError::Unavailable("a disk in memory is read at once".into())),
        };
        if newest < after {
            return Err(FeedError::WentBack { newest, read: after });
        }
        let upto = events.last().map_or(after, |event| event.position);
        let events = events.into_iter().filter(|event| partitions.contains(event.partition)).map(Arc::new).collect();
        Ok(Slice { incarnation: self.producer.incarnation(), events, upto, newest })
    }
}

impl Feed for RoughFeed {
    fn source(&self) -> &str {
        self.producer.service()
    }

    fn listen(&self, _bell: &Arc<Bell>) {}

    fn read(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        if !self.weather.is_rough() {
            return self.honest(partitions, after, most);
        }
        let (late, doubled, most) = {
            let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
            let doubled = if chance.once_in(6) { chance.between(1, 12) } else { 0 };
            (chance.once_in(4), doubled, 1 + chance.below(most.min(16)))
        };
        if late {
            // Lost or late is the same to a reader: it asks again after the same position.
            return self.honest(partitions, after, 0);
        }
        let mut slice = self.honest(partitions, (after - doubled).max(0), most)?;
        slice.upto = slice.upto.max(after);
        Ok(slice)
    }
}

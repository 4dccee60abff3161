//! How a consumer gets on, as others see it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use db::Position;
use world::Moment;

/// How a consumer gets on, for metrics and the health of its service.
#[derive(Debug, Default)]
pub struct Status {
    read: AtomicI64,
    newest: AtomicI64,
    /// When the oldest event that waits was recorded, in microseconds; 0 where none waits.
    waiting_since: AtomicI64,
    /// The same of those that are parked.
    parked_since: AtomicI64,
    stopped: Mutex<Option<String>>,
}

impl Status {
    /// Events that the producer has and this consumer has not dealt with.
    pub fn lag(&self) -> i64 {
        (self.newest.load(Ordering::Relaxed) - self.read.load(Ordering::Relaxed)).max(0)
    }

    /// When the oldest event was recorded that the consumer knows of and has not dealt with. Of a
    /// consumer that has stopped: at the latest when it stopped, for it hears of nothing any more.
    pub fn waits_since(&self) -> Option<Moment> {
        let oldest = [&self.waiting_since, &self.parked_since].map(|oldest| oldest.load(Ordering::Relaxed));
        oldest.into_iter().filter(|micros| *micros != 0).min().map(Moment::from_micros)
    }

    /// Why the consumer has stopped for good, if it has.
    pub fn stopped(&self) -> Option<String> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns from the consumer's database when the oldest event was recorded that is parked there.
    pub fn parked_since(&self, oldest: Option<Moment>) {
        self.parked_since.store(oldest.map_or(0, Moment::micros), Ordering::Relaxed);
    }

    /// The oldest event that was read and is not dealt with was recorded then.
    pub(crate) fn waiting_since(&self, oldest: Option<Moment>) {
        self.waiting_since.store(oldest.map_or(0, Moment::micros), Ordering::Relaxed);
    }

    /// All up to here is dealt with.
    pub(crate) fn has_read(&self, position: Position) {
        self.read.store(position, Ordering::Relaxed);
    }

    /// The producer has events up to here.
    pub(crate) fn knows(&self, newest: Position) {
        self.newest.fetch_max(newest, Ordering::Relaxed);
    }

    /// It stops for good, and what was recorded from then on waits.
    pub(crate) fn stops(&self, why: String, since: Moment) {
        self.waiting_since(Some(since));
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

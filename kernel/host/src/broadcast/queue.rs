//! What waits for one who listens.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use db::Position;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::message::{Interest, Wave};
use super::{Broadcast, lock};

/// Why somebody is told nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The program stops.
    Stopping,
    /// Too much was waiting to be read.
    TooSlow,
}

/// What has been handed out and not yet taken.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    waves: VecDeque<Arc<Wave>>,
    bytes: usize,
    end: Option<End>,
}

impl Queue {
    /// Hands a wave over. False where so much waits already that nothing more will come.
    pub(super) fn push(&self, wave: &Arc<Wave>, backlog_bytes: usize) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.end.is_some() {
            return true;
        }
        let has_room = waiting.bytes <= backlog_bytes;
        if has_room {
            waiting.bytes += wave.weight();
            waiting.waves.push_back(wave.clone());
        } else {
            *waiting = Waiting { end: Some(End::TooSlow), ..Waiting::default() };
        }
        drop(waiting);
        self.told.notify_one();
        has_room
    }

    pub(super) fn end(&self, end: End) {
        lock(&self.waiting).end.get_or_insert(end);
        self.told.notify_one();
    }

    fn take(&self) -> Option<Next> {
        let mut waiting = lock(&self.waiting);
        match waiting.waves.pop_front() {
            Some(wave) => {
                waiting.bytes -= wave.weight();
                Some(Next::Wave(wave))
            }
            None => waiting.end.map(Next::End),
        }
    }
}

/// What somebody who listens gets next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Events.
    Wave(Arc<Wave>),
    /// Nothing within the time, and nothing that was wanted up to here.
    Nothing(Position),
    /// Nothing any more.
    End(End),
}

/// Somebody who listens; no longer once it is dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(super) broadcast: Arc<Broadcast>,
    pub(super) interest: Interest,
    pub(super) number: u64,
    pub(super) queue: Arc<Queue>,
    pub(super) upto: Position,
}

impl Subscription {
    /// What comes next, within a time.
    pub(crate) async fn next(&mut self, within: Duration) -> Next {
        let next = async {
            loop {
                match self.queue.take() {
                    Some(next) => return next,
                    None => self.queue.told.notified().await,
                }
            }
        };
        let next = timeout(within, next).await.unwrap_or_else(|_| {
            // Read before the queue is looked at: whatever was delivered up to there lies in it.
            let delivered = self.broadcast.delivered.load(Ordering::Acquire);
            self.queue.take().unwrap_or(Next::Nothing(delivered.max(self.upto)))
        });
        match &next {
            Next::Wave(wave) => self.upto = wave.last(),
            Next::Nothing(upto) => self.upto = *upto,
            Next::End(_) => {}
        }
        next
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.broadcast.leave(&self.interest, self.number);
    }
}

//! The latest committed events of a service in this process, in memory before the table.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::outbox::{Envelope, Position};

/// Wakes one thread that waits for work.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Wakes the thread that waits, or the next one to wait.
    pub fn ring(&self) {
        let mut rung = lock(&self.rung);
        if !*rung {
            *rung = true;
            self.changed.notify_one();
        }
    }

    /// Waits until the bell has rung since the last wait, or the time is over.
    pub fn wait(&self, at_most: Duration) {
        let rung = lock(&self.rung);
        let waited = self.changed.wait_timeout_while(rung, at_most, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// What a reader finds in memory.
#[derive(Debug, PartialEq, Eq)]
pub enum InMemory {
    /// The events after the position, as many as were asked for; none when there is nothing newer.
    All(Vec<Arc<Envelope>>),
    /// Some events after the position are only in the table.
    OnlyInTable,
}

/// Committed events, the newest few thousand of them.
///
/// **Invariant:** what is kept has no gaps; where one would arise (another process has written in
/// between), all that was kept is let go.
#[derive(Debug)]
pub struct Ring {
    kept: Mutex<Kept>,
    bells: Mutex<Vec<Arc<Bell>>>,
    newest: watch::Sender<Position>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<Envelope>>,
    bytes: usize,
}

const MOST_EVENTS: usize = 8_192;
const MOST_BYTES: usize = 8 * 1024 * 1024;

impl Default for Ring {
    fn default() -> Self {
        Self { kept: Mutex::default(), bells: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl Ring {
    /// Rings this bell whenever something was committed.
    pub fn add_bell(&self, bell: Arc<Bell>) {
        lock(&self.bells).push(bell);
    }

    /// Tells when something newer was committed, and the position of the newest known event.
    pub fn newest(&self) -> watch::Receiver<Position> {
        self.newest.subscribe()
    }

    /// The events after a position, if all of them are in memory.
    pub fn after(&self, position: Position, limit: usize) -> InMemory {
        let kept = lock(&self.kept);
        if position == *self.newest.borrow() {
            return InMemory::All(Vec::new());
        }
        let Some(first) = kept.events.front().map(|event| event.position) else { return InMemory::OnlyInTable };
        let Ok(skip) = usize::try_from(position + 1 - first) else { return InMemory::OnlyInTable };
        // None of a position behind the newest: another process wrote what this one has not heard of yet.
        let events: Vec<_> = kept.events.iter().skip(skip).take(limit).cloned().collect();
        if events.is_empty() { InMemory::OnlyInTable } else { InMemory::All(events) }
    }

    /// Takes over what a transaction of this process has just committed.
    pub(crate) fn push(&self, events: Vec<Envelope>) {
        let Some(last) = events.last().map(|event| event.position) else { return };
        let mut kept = lock(&self.kept);
        if last <= *self.newest.borrow() {
            return; // another writer of this process has told of later ones; the table has these
        }
        if kept.events.back().is_some_and(|newest| newest.position + 1 != events[0].position) {
            *kept = Kept::default();
        }
        for event in events {
            kept.bytes += event.body.len() + 512;
            kept.events.push_back(Arc::new(event));
        }
        while kept.events.len() > MOST_EVENTS || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.events.pop_front() else { break };
            kept.bytes -= oldest.body.len() + 512;
        }
        self.newest.send_replace(last);
        drop(kept);
        self.wake();
    }

    /// Learns that the table holds events up to here, which this process has not kept.
    pub(crate) fn learn(&self, newest: Position) {
        let kept = lock(&self.kept);
        let raised = self.newest.send_if_modified(|known| {
            let newer = newest > *known;
            *known = newest.max(*known);
            newer
        });
        drop(kept);
        if raised {
            self.wake();
        }
    }

    fn wake(&self) {
        for bell in lock(&self.bells).iter() {
            bell.ring();
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Bell, InMemory, MOST_EVENTS, Ring, lock};
    use crate::outbox::Envelope;

    fn event(position: i64) -> Envelope {
        Envelope {
            source: "s".into(),
            incarnation: ids::Number::from_column(1),
            position,
            partition: 0,
            stream: ids::Number::from_column(1),
            version: position,
            subject: "x".into(),
            kind: "Happened".into(),
            schema: 1,
            occurred_at: world::Moment::from_micros(0),
            recorded_at: world::Moment::from_micros(0),
            by: crate::Context::system("test", crate::Trace { trace_id: 1, span_id: 1, is_sampled: true }),
            body: "{}".into(),
        }
    }

    fn large(position: i64) -> Envelope {
        Envelope { body: "x".repeat(1024 * 1024).into(), ..event(position) }
    }

    fn is_rung(bell: &Bell) -> bool {
        *lock(&bell.rung)
    }

    fn positions(ring: &Ring, after: i64) -> Option<Vec<i64>> {
        match ring.after(after, 100) {
            InMemory::All(events) => Some(events.iter().map(|event: &Arc<Envelope>| event.position).collect()),
            InMemory::OnlyInTable => None,
        }
    }

    #[test]
    fn what_is_kept_is_given_from_any_position_in_it() {
        let ring = Ring::default();
        ring.learn(4);
        ring.push(vec![event(5), event(6)]);
        ring.push(vec![event(7)]);
        assert_eq!(positions(&ring, 4), Some(vec![5, 6, 7]));
        assert_eq!(positions(&ring, 6), Some(vec![7]));
        assert_eq!(positions(&ring, 7), Some(vec![]));
        assert_eq!(positions(&ring, 3), None, "what was before it is only in the table");
    }

    #[test]
    fn as_many_are_given_as_are_wanted() {
        let ring = Ring::default();
        ring.push((1..=5).map(event).collect());
        let InMemory::All(some) = ring.after(1, 2) else { panic!("they are in memory") };
        assert_eq!(some.iter().map(|event| event.position).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(ring.after(1, 0), InMemory::OnlyInTable, "who wants none learns nothing");
        assert_eq!(positions(&ring, 9), None, "another process wrote what this one has not heard of");
    }

    #[test]
    fn only_so_many_are_kept() {
        let ring = Ring::default();
        let most = i64::try_from(MOST_EVENTS).expect("some thousands");
        ring.push((1..=most).map(event).collect());
        assert_eq!(positions(&ring, 0).map(|all| all[0]), Some(1));
        ring.push(vec![event(most + 1)]);
        assert_eq!(positions(&ring, 0), None, "the first is only in the table now");
        assert_eq!(positions(&ring, 1).map(|all| all[0]), Some(2));
    }

    #[test]
    fn only_so_much_is_kept() {
        let ring = Ring::default();
        ring.push((1..=7).map(large).collect());
        assert_eq!(positions(&ring, 0).map(|all| all.len()), Some(7), "8 MiB have room for seven of a little over 1");
        ring.push(vec![large(8)]);
        assert_eq!((positions(&ring, 0), positions(&ring, 1).map(|all| all.len())), (None, Some(7)));
        // What was let go counts no more: there is room for as many again.
        ring.push((9..=15).map(large).collect());
        assert_eq!((positions(&ring, 7), positions(&ring, 8).map(|all| all.len())), (None, Some(7)));
        // Beside these there is room for 2,033 small ones, each of which has its weight too.
        ring.push((16..=2_048).map(event).collect());
        assert_eq!(positions(&ring, 8).map(|all| all[0]), Some(9));
        ring.push(vec![event(2_049)]);
        assert_eq!((positions(&ring, 8), positions(&ring, 9).map(|all| all[0])), (None, Some(10)));
        // What fills it to the byte has room, and a byte more has not.
        let filling =
            |bytes: usize| Envelope { body: "x".repeat(8 * 1024 * 1024 - 2 * 512 - 2 + bytes).into(), ..event(1) };
        for (more, kept) in [(0, Some(vec![1, 2])), (1, None)] {
            let ring = Ring::default();
            ring.push(vec![filling(more), event(2)]);
            assert_eq!(positions(&ring, 0), kept);
        }
    }

    #[test]
    fn what_another_writer_tells_late_is_in_the_table() {
        let ring = Ring::default();
        ring.push((1..=4).map(event).collect());
        ring.push(vec![event(2), event(3)]);
        assert_eq!(*ring.newest().borrow(), 4);
        ring.push(Vec::new());
        assert_eq!((*ring.newest().borrow(), positions(&ring, 4)), (4, Some(vec![])));
    }

    #[test]
    fn readers_are_woken_by_what_is_newer_and_by_nothing_else() {
        let ring = Ring::default();
        let bell = Arc::new(Bell::default());
        ring.add_bell(bell.clone());
        let mut newest = ring.newest();
        for (learned, wakes) in [(0, false), (3, true), (3, false), (2, false), (4, true)] {
            ring.learn(learned);
            assert_eq!((is_rung(&bell), newest.has_changed().ok()), (wakes, Some(wakes)), "{learned}");
            bell.wait(Duration::ZERO);
            newest.mark_unchanged();
        }
        assert_eq!(*newest.borrow(), 4);
        ring.push(vec![event(5)]);
        assert!(is_rung(&bell) && *newest.borrow() == 5);
        bell.wait(Duration::ZERO);
        ring.push(vec![event(5)]);
        assert!(!is_rung(&bell));
    }

    #[test]
    fn a_bell_that_has_rung_is_waited_for_once() {
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        // Longer than any test may take.
        bell.wait(Duration::from_secs(3_600));
        assert!(!is_rung(&bell));
        bell.wait(Duration::from_millis(1));
        assert!(!is_rung(&bell), "nobody rang, and the time is over");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| bell.wait(Duration::from_secs(3_600)));
            while !waits.is_finished() {
                bell.ring();
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn a_gap_left_by_another_process_sends_readers_to_the_table() {
        let ring = Ring::default();
        ring.push(vec![event(1)]);
        ring.push(vec![event(3)]);
        assert_eq!(positions(&ring, 1), None);
        assert_eq!(positions(&ring, 2), Some(vec![3]));
        ring.learn(4);
        assert_eq!(positions(&ring, 3), None, "an event that this process did not write");
        ring.push(vec![event(5)]);
        assert_eq!(positions(&ring, 3), None);
        assert_eq!(positions(&ring, 4), Some(vec![5]));
    }
}

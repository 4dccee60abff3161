//! A second way into the desk: commands that nobody asks for over the wire.
//!
//! Events of other services come in through one (`events::Listener`), and what becomes due through
//! another ([`Due`]). What an inlet brings is performed together with the requests that wait, and the
//! mark that it was done is written by the same transaction.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use world::Moment;

use crate::desk::{INLET_LIMIT, INLET_WEIGHT_LIMIT};
use crate::ring::Bell;
use crate::tx::Tx;
use crate::{Asked, Failure, Trace};

/// Commands that come from elsewhere than a request.
///
/// In each batch: `take`, then `settle` with the answers to what was taken, then `ended`. When a batch
/// fails, each command runs alone, `take` being asked for one; when that fails as well, `condemn`
/// puts it aside in a transaction of its own, followed by `ended`. An inlet that fails to bring, or to
/// put aside, rests for a second.
pub trait Inlet<C, A>: Send {
    /// Rings this bell when something new may wait.
    fn listen(&self, bell: &Arc<Bell>);

    /// Whether something may wait; asked before a transaction is begun, so it must be cheap. After a
    /// `take` that found nothing it says no until something has changed.
    fn is_ready(&mut self, now: Moment) -> bool;

    /// Reads what it needs to know within the transaction, and brings the commands that find room.
    fn take(&mut self, tx: &mut Tx<'_>, room: Room<C>) -> Result<Vec<Asked<C>>, Failure>;

    /// Marks as done what it brought; the answers are in the same order.
    fn settle(&mut self, tx: &mut Tx<'_>, answers: &[A]) -> Result<(), Failure>;

    /// Puts aside the first command that it would bring, because that fails also when it is alone.
    fn condemn(&mut self, tx: &mut Tx<'_>, failure: &Failure) -> Result<(), Failure>;

    /// Learns whether the transaction was kept; if not, it brings the same again.
    fn ended(&mut self, kept: bool);
}

/// What one inlet may bring to a batch: so many commands, of so much weight.
pub struct Room<C> {
    commands: usize,
    weight: usize,
    weigh: fn(&C) -> usize,
}

impl<C> fmt::Debug for Room<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("commands", &self.commands).field("weight", &self.weight).finish_non_exhaustive()
    }
}

impl<C> Room<C> {
    pub(crate) fn for_commands(commands: usize, weigh: fn(&C) -> usize) -> Self {
        Self { commands: commands.min(INLET_LIMIT), weight: INLET_WEIGHT_LIMIT, weigh }
    }

    /// Commands that find room if they weigh little.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Takes room for one more command, however heavy it is; false if there is none left.
    pub fn takes(&mut self, command: &C) -> bool {
        let has_room = self.commands > 0 && self.weight > 0;
        if has_room {
            self.commands -= 1;
            self.weight = self.weight.saturating_sub((self.weigh)(command));
        }
        has_room
    }
}

/// Finds what has become due, at most this many, in an order that stays the same: oldest first; each with
/// the step of a trace that it follows from, where it is part of a story.
pub type FindDue<C> = Box<dyn FnMut(&mut Tx<'_>, usize) -> Result<Vec<(Asked<C>, Option<Trace>)>, Failure> + Send>;

/// Work that becomes due with time, found by a query every little while.
///
/// It takes a piece at a time and waits behind requests and events without starving: a full piece
/// is followed by another with the next batch. What fails also when it is alone stays due and is
/// passed over until the next look.
pub struct Due<C> {
    every: Duration,
    find: FindDue<C>,
    next_at: Option<Moment>,
    /// Commands in front that have failed since the last look.
    failed: usize,
}

impl<C> fmt::Debug for Due<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Due").field("every", &self.every).field("next_at", &self.next_at).finish_non_exhaustive()
    }
}

/// Due commands in one batch, at most.
const PIECE: usize = 64;
/// What has failed is not tried again sooner.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

impl<C> Due<C> {
    /// Looks for due work this often.
    pub fn new(every: Duration, find: FindDue<C>) -> Self {
        Self { every, find, next_at: None, failed: 0 }
    }

    /// How long it is until the next look where something has failed.
    fn longest_pause(&self) -> Duration {
        self.every.max(SHORTEST_PAUSE)
    }
}

impl<C: Send, A> Inlet<C, A> for Due<C> {
    fn listen(&self, _bell: &Arc<Bell>) {}

    fn is_ready(&mut self, now: Moment) -> bool {
        // A clock that was set back says nothing of how long ago the last look was.
        let is_time = self.next_at.is_none_or(|next| next <= now || next.since(now) > self.longest_pause());
        if is_time && self.next_at.take().is_some() {
            self.failed = 0; // a new look
        }
        is_time
    }

    fn take(&mut self, tx: &mut Tx<'_>, mut room: Room<C>) -> Result<Vec<Asked<C>>, Failure> {
        let most = self.failed + room.commands().min(PIECE);
        let mut found = (self.find)(tx, most)?;
        if found.len() < most {
            let pause = if self.failed == 0 { self.every } else { self.longest_pause() };
            self.next_at = Some(tx.now() + pause);
        }
        let mut commands = Vec::new();
        for (asked, from) in found.split_off(self.failed.min(found.len())) {
            if !room.takes(&asked.command) {
                self.next_at = None; // the rest is due still
                break;
            }
            if let Some(from) = from {
                tx.tell_step(&asked.by, from);
            }
            commands.push(asked);
        }
        Ok(commands)
    }

    fn settle(&mut self, _tx: &mut Tx<'_>, _answers: &[A]) -> Result<(), Failure> {
        Ok(())
    }

    fn condemn(&mut self, _tx: &mut Tx<'_>, failure: &Failure) -> Result<(), Failure> {
        tracing::error!(%failure, "Due work fails also when it is alone; it is tried again later");
        self.failed += 1;
        self.next_at = None;
        Ok(())
    }

    fn ended(&mut self, kept: bool) {
        if !kept {
            self.next_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_work_is_looked_for_again_although_the_clock_was_set_back() {
        let at = |secs: i64| Moment::from_micros(secs * 1_000_000);
        let mut due = Due::<()>::new(Duration::from_secs(10), Box::new(|_, _| Ok(Vec::new())));
        let mut is_ready_at = |next_at: Option<Moment>, now| {
            due.next_at = next_at;
            Inlet::<(), ()>::is_ready(&mut due, now)
        };
        assert!(is_ready_at(None, at(100)));
        assert!(!is_ready_at(Some(at(110)), at(100)) && !is_ready_at(Some(at(110)), at(109)));
        assert!(is_ready_at(Some(at(110)), at(110)));
        assert!(is_ready_at(Some(at(3_710)), at(100)), "an hour back");
    }
}

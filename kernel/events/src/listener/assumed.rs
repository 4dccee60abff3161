//! What a batch has to know of the events in it: looked up first, or taken for granted and looked at later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use db::{AskedAlong, Failure, Position, Query, Row, Tx};

use super::Listener;
use super::place::{CURSOR, positions};
use crate::parked::{self, PARKED_SUBJECT, ParkedEvent};

/// How long nothing is assumed after an assumption was wrong: another process reads the same feed, or
/// subjects are parked.
const LOOK_FIRST_FOR: Duration = Duration::from_secs(10);

/// What the batch under way takes for granted, and the look that will show it.
pub(super) struct Assumed {
    cursors: BTreeMap<String, Position>,
    look: AskedAlong<2>,
}

/// What was found, or is believed, of the events of a batch.
pub(super) struct LookedUp {
    pub(super) cursors: BTreeMap<String, Position>,
    pub(super) parked: BTreeSet<String>,
    pub(super) due: Vec<ParkedEvent>,
}

impl<C, A> Listener<C, A> {
    /// What is to be known of the events that wait: where their cursors stand, and which of their
    /// subjects are parked.
    fn questions(&self, fresh: usize) -> [Query; 2] {
        let events = || self.waiting.iter().take(fresh).map(|waiting| &waiting.event);
        let cursors = Query::by(&CURSOR, "feed", events().map(|event| self.cursor_key(event.partition).into()));
        let subjects = Query::by(&PARKED_SUBJECT, "subject", events().map(|event| event.subject.as_ref().into()));
        [cursors.locked(), subjects]
    }

    /// Looks up what is known of the events that wait, and of those that are parked.
    pub(super) fn look_up(&self, tx: &mut Tx<'_>, fresh: usize, parked: usize) -> Result<LookedUp, Failure> {
        let [cursors, subjects] = self.questions(fresh);
        let all = self.all_parked_at.is_none_or(|at| at <= tx.now());
        let due = parked::due(self.feed.source(), tx.now(), parked, all);
        let [cursors, subjects, due] = tx.ask([cursors, subjects, due])?;
        let due = due.into_iter().map(parked::parked).collect::<Result<_, _>>()?;
        Ok(LookedUp { cursors: positions(cursors)?, parked: self.subjects(subjects)?, due })
    }

    /// Takes for granted what is believed of the events that wait; it is looked at along with what the
    /// commands need, which saves a trip to the database. None where too little is known for that.
    pub(super) fn assume(&mut self, tx: &mut Tx<'_>, fresh: usize) -> Option<LookedUp> {
        if self.looks_first_until.is_some_and(|until| tx.now() < until) {
            return None;
        }
        let mut cursors = BTreeMap::new();
        for waiting in self.waiting.iter().take(fresh) {
            let partition = waiting.event.partition;
            cursors.insert(self.cursor_key(partition), *self.cursors.get(&partition)?);
        }
        let look = tx.ask_along(self.questions(fresh));
        self.assumed = Some(Assumed { cursors: cursors.clone(), look });
        Some(LookedUp { cursors, parked: BTreeSet::new(), due: Vec::new() })
    }

    /// Looks whether what was taken for granted was so; if not, the batch is taken back.
    pub(super) fn check_assumed(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let Some(Assumed { cursors, look }) = self.assumed.take() else { return Ok(()) };
        let [found, parked] = tx.answers(look)?;
        if positions(found)? == cursors && self.subjects(parked)?.is_empty() {
            return Ok(());
        }
        self.cursors.clear();
        self.looks_first_until = Some(tx.now() + LOOK_FIRST_FOR);
        let source = self.feed.source();
        Err(Failure::Conflict(format!("another process deals with events of {source} too, or some are parked")))
    }

    /// Of these rows, the subjects of this feed that are parked.
    fn subjects(&self, rows: Vec<Row>) -> Result<BTreeSet<String>, Failure> {
        let mut subjects = BTreeSet::new();
        for row in rows {
            let mut row = row.columns();
            let (source, _position, subject) = (row.text()?, row.int()?, row.text()?);
            if source == self.feed.source() {
                subjects.insert(subject);
            }
        }
        Ok(subjects)
    }
}

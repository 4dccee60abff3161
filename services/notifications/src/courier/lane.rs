//! What is to be sent to one endpoint, as far as it was read, and in which order it leaves.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;

use crate::domain::Delivery;
use crate::store::{Found, Message, Record};

/// What is to be sent to one endpoint.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) record: Record,
    /// Messages up to here have been looked through.
    pub(super) after: i64,
    pub(super) is_at_end: bool,
    pub(super) due: VecDeque<(Message, Delivery)>,
    pub(super) fresh: VecDeque<(Message, bool)>,
    /// Messages that are on their way, or are being noted.
    pub(super) open: BTreeSet<i64>,
    /// Those of them that have no row yet.
    open_fresh: BTreeSet<i64>,
    /// What they are about.
    busy: BTreeSet<String>,
    /// Of that, what something will still wait about once it is noted: what is read meanwhile may not show it.
    held_up: BTreeSet<String>,
    pub(super) on_their_way: usize,
    /// Whether another may be due now, since the one before it was taken.
    pub(super) looks_again: bool,
    pub(super) cursor_told: i64,
    pub(super) cursor_told_at: Instant,
}

impl Lane {
    pub(super) fn new(record: Record) -> Self {
        let cursor = record.cursor;
        Self {
            record,
            after: cursor,
            is_at_end: false,
            due: VecDeque::new(),
            fresh: VecDeque::new(),
            open: BTreeSet::new(),
            open_fresh: BTreeSet::new(),
            busy: BTreeSet::new(),
            held_up: BTreeSet::new(),
            on_their_way: 0,
            looks_again: false,
            cursor_told: cursor,
            cursor_told_at: Instant::now(),
        }
    }

    /// Forgets what was read, so that it is read anew.
    pub(super) fn begin_again(&mut self) {
        self.due.clear();
        self.fresh.clear();
        (self.after, self.is_at_end) = (self.record.cursor, false);
    }

    /// Takes in what was found for the endpoint.
    pub(super) fn take(&mut self, found: Found) {
        let Found { record, due, fresh, upto, is_at_end, .. } = found;
        let is_another =
            record.version != self.record.version || record.endpoint.works() != self.record.endpoint.works();
        // What was noted since may not have been seen here.
        let cursor = self.record.cursor.max(record.cursor);
        self.record = Record { cursor, ..record };
        if is_another || self.record.cursor > self.after {
            self.begin_again();
            return;
        }
        self.due = due.into_iter().filter(|(message, _)| !self.open.contains(&message.number)).collect();
        let fresh = fresh.into_iter().filter(|(message, _)| !self.open.contains(&message.number));
        let held_up = &self.held_up;
        self.fresh.extend(fresh.map(|(message, is_behind)| {
            let is_behind = is_behind || held_up.contains(&message.subject);
            (message, is_behind)
        }));
        (self.after, self.is_at_end, self.looks_again) = (upto, is_at_end, false);
    }

    /// Bytes of texts that are read ahead.
    pub(super) fn bytes_ahead(&self) -> usize {
        self.fresh.iter().map(|(message, _)| message.body.len()).sum()
    }

    pub(super) fn has_something(&self) -> bool {
        !self.open.is_empty() || !self.due.is_empty() || !self.fresh.is_empty()
    }

    /// Messages up to here are settled, or have a row, once these have one.
    pub(super) fn settled_upto(&self, but_for: i64) -> i64 {
        #[cfg(feature = "planted-bugs")]
        if world::planted::is(world::planted::Bug::SettledTooEarly) {
            return self.after;
        }
        let open = self.open_fresh.iter().copied().find(|number| *number != but_for);
        let fresh = self.fresh.front().map(|(message, _)| message.number);
        // What is on its way may lie beyond what was looked through, where that has begun again.
        let before_first = [open, fresh].into_iter().flatten().map(|first| first - 1);
        before_first.fold(self.after, i64::min).max(self.record.cursor)
    }

    /// The next message that may leave.
    pub(super) fn pick(&mut self) -> Option<Next> {
        let is_ordered = self.record.endpoint.settings.ordered;
        let may_leave = |subject: &String| !is_ordered || !self.busy.contains(subject);
        if let Some(place) = self.due.iter().position(|(message, _)| may_leave(&message.subject)) {
            let (message, delivery) = self.due.remove(place)?;
            self.open(&message, false);
            return Some(Next::Send(message, delivery));
        }
        let place = self.fresh.iter().position(|(message, _)| may_leave(&message.subject))?;
        let (message, is_behind) = self.fresh.remove(place)?;
        self.open(&message, true);
        if is_ordered && is_behind {
            self.hold_up(&message.subject);
            return Some(Next::Wait(message));
        }
        Some(Next::Send(message, Delivery::default()))
    }

    /// One about this waits, and later ones wait behind it, in rows of their own.
    pub(super) fn hold_up(&mut self, subject: &str) {
        #[cfg(feature = "planted-bugs")]
        if world::planted::is(world::planted::Bug::OvertakesWhileNoted) {
            return;
        }
        self.held_up.insert(subject.to_owned());
        for (_, is_behind) in self.fresh.iter_mut().filter(|(message, _)| message.subject == subject) {
            *is_behind = true;
        }
    }

    fn open(&mut self, message: &Message, is_fresh: bool) {
        self.open.insert(message.number);
        if is_fresh {
            self.open_fresh.insert(message.number);
        }
        self.busy.insert(message.subject.clone());
    }

    pub(super) fn close(&mut self, (number, subject): &(i64, String)) {
        self.open.remove(number);
        self.open_fresh.remove(number);
        self.busy.remove(subject);
        self.held_up.remove(subject);
    }
}

/// What becomes of a message that is at the front.
pub(super) enum Next {
    /// It is sent.
    Send(Message, Delivery),
    /// It gets a row, in which it waits behind another about its subject.
    Wait(Message),
}

#[cfg(test)]
mod tests {
    use ids::Number;
    use world::Moment;

    use super::{Lane, Next};
    use crate::domain::{Endpoint, Filter, Secret, Settings};
    use crate::store::{Found, Message, Record};

    fn message(number: i64) -> Message {
        Message {
            number,
            id: format!("orders-1-{number}"),
            endpoint: None,
            subject: "a".to_owned(),
            kind: "OrderPlaced".to_owned(),
            recorded_at: Moment::from_micros(number),
            body: "{}".to_owned(),
        }
    }

    fn record() -> Record {
        let url = "https://a.example".to_owned();
        let settings = Settings { url, filter: Filter::default(), ordered: true, enabled: true };
        let secret = Secret::of(&[1; 32]);
        let endpoint = Endpoint::new("shop".parse().expect("a name"), settings, secret, Moment::from_micros(0));
        Record { number: Number::from_column(1), cursor: 0, version: 1, said: 1, endpoint }
    }

    /// What was read while nothing was noted of any of them.
    fn found(numbers: &[i64]) -> Found {
        let fresh = numbers.iter().map(|number| (message(*number), false)).collect();
        let upto = numbers.last().copied().unwrap_or(0);
        Found { record: record(), due: Vec::new(), fresh, upto, is_at_end: true, oldest: None }
    }

    /// The number of the next message, and whether it is sent.
    fn next(lane: &mut Lane) -> Option<(i64, bool)> {
        lane.pick().map(|next| match next {
            Next::Send(message, _) => (message.number, true),
            Next::Wait(message) => (message.number, false),
        })
    }

    #[test]
    fn what_is_read_while_a_failure_is_being_noted_waits_behind_it() {
        let mut lane = Lane::new(record());
        lane.take(found(&[1]));
        assert_eq!(next(&mut lane), Some((1, true)));
        lane.hold_up("a");
        lane.take(found(&[3]));
        lane.close(&(1, "a".to_owned()));
        assert_eq!(next(&mut lane), Some((3, false)));
    }

    #[test]
    fn what_was_not_sent_is_not_passed_over_when_reading_begins_again() {
        let mut lane = Lane::new(record());
        let mut first = found(&[1, 3, 5]);
        first.fresh[2].0.subject = "b".to_owned();
        lane.take(first);
        assert_eq!((next(&mut lane), next(&mut lane), next(&mut lane)), (Some((1, true)), Some((5, true)), None));
        // The endpoint was set anew, and all is read again, while 1 and 5 are on their way.
        lane.take(Found { record: Record { version: 2, ..record() }, ..found(&[]) });
        assert_eq!(lane.settled_upto(1), 0, "3 was not sent");
        lane.close(&(1, "a".to_owned()));
        lane.take(Found { record: Record { version: 2, ..record() }, ..found(&[3]) });
        assert_eq!(next(&mut lane), Some((3, true)));
        assert_eq!(lane.settled_upto(3), 3);
    }

    #[test]
    fn what_waits_behind_another_holds_up_those_behind_itself() {
        let mut lane = Lane::new(record());
        lane.take(found(&[1, 3]));
        assert_eq!((next(&mut lane), next(&mut lane)), (Some((1, true)), None));
        lane.hold_up("a");
        lane.take(found(&[7]));
        lane.close(&(1, "a".to_owned()));
        assert_eq!((next(&mut lane), next(&mut lane)), (Some((3, false)), None));
        // The one before it was taken meanwhile, and nothing of it shows in what is read now.
        lane.take(found(&[9]));
        lane.close(&(3, "a".to_owned()));
        for waits in [7, 9] {
            assert_eq!(next(&mut lane), Some((waits, false)));
            lane.close(&(waits, "a".to_owned()));
        }
        lane.take(found(&[11]));
        assert_eq!(next(&mut lane), Some((11, true)), "nothing is before it that was not noted");
    }
}

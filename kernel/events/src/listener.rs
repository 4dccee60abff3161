//! A consumer: what it understands of a feed becomes commands at its own desk.

mod assumed;
mod place;
mod taken;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use db::{Asked, Bell, Envelope, Failure, Inlet, Position, Room, Tx};
use telemetry::Stopwatch;
use world::Moment;

use self::assumed::Assumed;
use self::place::Start;
pub use self::place::follow_restored;
use self::taken::{Came, Step, Taken, asked, step, tell};
use crate::feed::{Feed, FeedError, Partitions};
use crate::parked::{self, PARKED};
use crate::status::Status;

/// What an event means to a consumer.
#[derive(Clone, Debug)]
pub enum Understood<C> {
    /// It asks for this.
    Command(C),
    /// Nothing; also an event of a type that this release does not know yet.
    Nothing,
    /// It should mean something, but cannot be read.
    Unreadable(String),
}

/// What the answer to an event's command means for the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is dealt with.
    Done,
    /// It has to be tried again; later events of its subject wait behind it.
    Retry(String),
    /// It can never be dealt with.
    DeadLetter(String),
}

/// What a service does with a feed.
pub struct Listening<C, A> {
    /// What an event means.
    pub understand: fn(&Envelope) -> Understood<C>,
    /// Whether the answer settles the event.
    pub judge: fn(&A) -> Verdict,
}

impl<C, A> Clone for Listening<C, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, A> Copy for Listening<C, A> {}

impl<C, A> fmt::Debug for Listening<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listening")
    }
}

/// An inlet that reads a feed.
pub struct Listener<C, A> {
    feed: Arc<dyn Feed>,
    partitions: Partitions,
    listening: Listening<C, A>,
    status: Arc<Status>,
    /// The service that listens; nobody's until its database was asked.
    service: Arc<str>,
    /// How far it has read; none until its database was asked.
    read: Option<Start>,
    /// Events that mean something, read but not dealt with.
    waiting: VecDeque<Waiting<C>>,
    /// What all of `waiting` reaches up to.
    upto: Position,
    /// When parked events are looked at next.
    parked_at: Option<Moment>,
    /// When those that wait behind others are looked at too.
    all_parked_at: Option<Moment>,
    batch: Vec<Taken>,
    /// Since the batch was begun.
    begun: Stopwatch,
    /// Where the cursors stand in the database, as far as it is known without a look.
    cursors: BTreeMap<u8, Position>,
    /// Until then every batch looks first, because what was assumed turned out to be otherwise.
    looks_first_until: Option<Moment>,
    assumed: Option<Assumed>,
}

impl<C, A> fmt::Debug for Listener<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("source", &self.feed.source())
            .field("upto", &self.upto)
            .finish_non_exhaustive()
    }
}

struct Waiting<C> {
    event: Arc<Envelope>,
    meaning: Understood<C>,
}

/// Events that are read ahead.
const READ_AHEAD: usize = 256;
/// Parked events in one batch.
const PARKED_IN_BATCH: usize = 16;
/// How often parked events are looked at.
const PARKED_EVERY: Duration = Duration::from_millis(100);
/// How often those are looked at that wait behind others. Whoever deals with an event says that the next may
/// be tried; but another process may have parked that at the same moment.
const ALL_PARKED_EVERY: Duration = Duration::from_secs(60);
impl<C, A> Listener<C, A> {
    /// Listens to a feed.
    pub fn to(feed: Arc<dyn Feed>, listening: Listening<C, A>) -> Self {
        Self {
            feed,
            partitions: Partitions::ALL,
            listening,
            status: Arc::default(),
            service: "".into(),
            read: None,
            waiting: VecDeque::new(),
            upto: 0,
            parked_at: None,
            all_parked_at: None,
            batch: Vec::new(),
            begun: Stopwatch::start(),
            cursors: BTreeMap::new(),
            looks_first_until: None,
            assumed: None,
        }
    }

    /// Listens to some of the partitions only.
    #[must_use]
    pub fn for_partitions(self, partitions: Partitions) -> Self {
        Self { partitions, ..self }
    }

    /// How it gets on.
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Stops for good; what comes from that moment on is not dealt with.
    fn stop(&self, why: String, since: Moment) {
        tracing::error!(source = self.feed.source(), why, "A consumer has stopped; reconcile, then start it anew");
        self.status.stops(why, since);
    }

    /// Reads ahead until something means something or nothing is left; moves on in memory over
    /// what means nothing, until so much of it that its place is worth a transaction.
    fn read_ahead(&mut self, now: Moment) {
        while self.waiting.is_empty() && !self.place_is_due() {
            let Some(start) = &mut self.read else { return };
            let (after, most) = match start.furthest {
                Some(furthest) => (furthest, 0),
                None => (start.position, READ_AHEAD),
            };
            let slice = match self.feed.read(self.partitions, after, most) {
                Ok(slice) => slice,
                Err(FeedError::Unavailable(cause)) => {
                    tracing::debug!(source = self.feed.source(), cause, "A feed cannot be read now");
                    return;
                }
                Err(error @ FeedError::WentBack { .. }) => return self.stop(error.to_string(), now),
            };
            self.status.knows(slice.newest);
            #[cfg(feature = "planted-bugs")]
            if world::planted::is(world::planted::Bug::RestoredUnnoticed) {
                start.incarnation = Some(slice.incarnation);
            }
            if let Some(known) = start.incarnation
                && known != slice.incarnation
            {
                let (source, found) = (self.feed.source(), slice.incarnation);
                let since = slice.events.first().map_or(now, |event| event.recorded_at);
                let why = format!("{source} is of incarnation {found}, not of {known} as before: it was restored");
                return self.stop(why, since);
            }
            if let Some(furthest) = start.furthest {
                if slice.newest < furthest {
                    return; // not heard of yet, or going back will be said next
                }
                start.furthest = None;
                continue;
            }
            start.incarnation = Some(slice.incarnation);
            let nothing_new = slice.events.is_empty() && slice.upto <= start.position;
            for event in slice.events {
                match (self.listening.understand)(&event) {
                    Understood::Nothing => {}
                    meaning => self.waiting.push_back(Waiting { event, meaning }),
                }
            }
            self.status.waiting_since(oldest(&self.waiting));
            self.upto = slice.upto.max(start.position);
            if self.waiting.is_empty() {
                start.position = self.upto;
                self.status.has_read(self.upto);
            }
            if nothing_new {
                return;
            }
        }
    }
}

impl<C: Clone + Send, A> Inlet<C, A> for Listener<C, A> {
    fn listen(&self, bell: &Arc<Bell>) {
        self.feed.listen(bell);
    }

    fn is_ready(&mut self, now: Moment) -> bool {
        if self.status.stopped().is_some() {
            return false;
        }
        self.read_ahead(now);
        let looks_at_parked = self.parked_at.is_none_or(|at| at <= now);
        self.read.is_none() || !self.waiting.is_empty() || looks_at_parked || self.place_is_due()
    }

    fn take(&mut self, tx: &mut Tx<'_>, mut room: Room<C>) -> Result<Vec<Asked<C>>, Failure> {
        let most = room.commands();
        self.batch.clear();
        self.begun = Stopwatch::start();
        self.assumed = None;
        if self.read.is_none() {
            self.service = tx.service().clone();
            self.load_start(tx)?;
            self.read_ahead(tx.now());
        }
        let look_at_parked = self.parked_at.is_none_or(|at| at <= tx.now());
        let parked = if look_at_parked { PARKED_IN_BATCH.min(most) } else { 0 };
        let fresh = self.waiting.len().min(most);
        if fresh == 0 && parked == 0 {
            return Ok(Vec::new());
        }
        // What runs alone may be put aside afterwards, so it looks first.
        let assumed = if parked == 0 && most > 1 { self.assume(tx, fresh) } else { None };
        let mut looked_up = match assumed {
            Some(assumed) => assumed,
            None => self.look_up(tx, fresh, parked)?,
        };
        let mut commands = Vec::new();
        let due = std::mem::take(&mut looked_up.due);
        // A full piece is followed by another at once.
        let mut all = due.len() < parked;
        for event in due {
            let came = Came::Parked { attempts: event.attempts };
            let event = Arc::new(event.event);
            let (step, command) = step((self.listening.understand)(&event));
            if !command.as_ref().is_none_or(|command| room.takes(command)) {
                all = false;
                break;
            }
            let taken = Taken { event, came, step, has_failed: false };
            commands.extend(command.map(|command| asked(command, &taken, &self.service)));
            self.batch.push(taken);
        }
        if look_at_parked {
            self.parked_at = all.then(|| tx.now() + PARKED_EVERY);
            if all && self.all_parked_at.is_none_or(|at| at <= tx.now()) {
                self.all_parked_at = Some(tx.now() + ALL_PARKED_EVERY);
            }
        }
        let left = most - self.batch.len();
        for waiting in self.waiting.iter().take(fresh.min(left)) {
            let event = waiting.event.clone();
            let cursor = looked_up.cursors.entry(self.cursor_key(event.partition)).or_insert(0);
            let (mut step, mut command) = step(waiting.meaning.clone());
            // Also what comes twice within the batch is known the second time.
            let known = event.position <= *cursor;
            *cursor = event.position.max(*cursor);
            if known {
                (step, command) = (Step::Known, None);
            } else if looked_up.parked.contains(event.subject.as_ref()) {
                (step, command) = (Step::QueueBehind, None);
            }
            if !command.as_ref().is_none_or(|command| room.takes(command)) {
                break;
            }
            let taken = Taken { event, came: Came::Fresh, step, has_failed: false };
            commands.extend(command.map(|command| asked(command, &taken, &self.service)));
            self.batch.push(taken);
        }
        Ok(commands)
    }

    fn settle(&mut self, tx: &mut Tx<'_>, answers: &[A]) -> Result<(), Failure> {
        self.check_assumed(tx)?;
        let mut answers = answers.iter();
        let mut put_off: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut gone: BTreeSet<Arc<str>> = BTreeSet::new();
        for taken in &mut self.batch {
            let verdict = match &taken.step {
                Step::Perform => answers.next().map_or(Verdict::Done, self.listening.judge),
                Step::Bury(cause) => Verdict::DeadLetter(cause.clone()),
                Step::QueueBehind => {
                    parked::queue_behind(tx, &taken.event)?;
                    continue;
                }
                Step::Known => continue,
            };
            if put_off.contains(taken.event.subject.as_ref()) {
                // It was performed although one before it has to wait: take it all back, and go
                // one by one, where the later one finds the earlier one parked.
                return Err(Failure::Conflict(format!("an event of {} overtook another", taken.event.subject)));
            }
            taken.has_failed = verdict != Verdict::Done;
            let stays = match verdict {
                Verdict::Done => false,
                Verdict::Retry(cause) => {
                    put_off.insert(taken.event.subject.clone());
                    parked::put_off(tx, &taken.event, taken.attempts() + 1, &cause)?
                }
                Verdict::DeadLetter(cause) => {
                    parked::bury(tx, &taken.event, 1, &cause)?;
                    false
                }
            };
            if !stays && taken.came != Came::Fresh {
                tx.delete(&PARKED, vec![parked::key(&taken.event)]);
                gone.insert(taken.event.subject.clone());
            }
        }
        for subject in gone {
            parked::let_next_be_tried(tx, self.feed.source(), &subject);
        }
        if self.moves_cursors() {
            self.move_cursors(tx);
        }
        self.save_place(tx);
        Ok(())
    }

    fn condemn(&mut self, tx: &mut Tx<'_>, failure: &Failure) -> Result<(), Failure> {
        // The attempt before this one took exactly one, and `ended` has left it in `batch`.
        let Some(first) = self.batch.first_mut() else { return Ok(()) };
        first.has_failed = true;
        let stays = parked::put_off(tx, &first.event, first.attempts() + 1, &failure.to_string())?;
        if !stays {
            tx.delete(&PARKED, vec![parked::key(&first.event)]);
            parked::let_next_be_tried(tx, self.feed.source(), &first.event.subject);
        }
        if first.came == Came::Fresh {
            self.move_cursors(tx);
            self.save_place(tx);
        }
        Ok(())
    }

    fn ended(&mut self, kept: bool) {
        if !kept {
            // Parked events that were due are due still, and each is to be tried alone.
            self.parked_at = None;
            return;
        }
        let reached = self.reached();
        let fresh = self.batch.iter().filter(|taken| taken.came == Came::Fresh).count();
        let saved = self.place_to_save();
        for taken in self.batch.iter().filter(|taken| taken.step != Step::Known) {
            tell(taken, &self.service, self.begun.elapsed());
        }
        self.waiting.drain(..fresh);
        for taken in self.batch.drain(..).filter(|taken| taken.came == Came::Fresh) {
            // The cursor of what was known before stands there or beyond; it is looked up anew.
            if taken.step == Step::Known {
                self.cursors.remove(&taken.event.partition);
            } else {
                self.cursors.insert(taken.event.partition, taken.event.position);
            }
        }
        self.status.waiting_since(oldest(&self.waiting));
        if let Some(start) = &mut self.read {
            if let Some((_, position)) = saved {
                start.saved = position;
            }
            start.position = start.position.max(reached);
            self.status.has_read(start.position);
        }
    }
}

/// When the first of those that wait was recorded.
fn oldest<C>(waiting: &VecDeque<Waiting<C>>) -> Option<Moment> {
    waiting.front().map(|waiting| waiting.event.recorded_at)
}

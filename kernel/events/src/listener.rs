//! A consumer: what it understands of a feed becomes commands at its own desk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use db::{
    Actor, Asked, AskedAlong, Bell, Context, Envelope, Failure, Inlet, Position, Query, Room, Row, Table, Trace, Tx,
    int, text,
};
use ids::Number;
use telemetry::Stopwatch;
use telemetry::otlp::{Kind, Span};
use world::Moment;

use crate::feed::{Feed, FeedError, Partitions};
use crate::parked::{self, PARKED, PARKED_SUBJECT, ParkedEvent};
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

/// What the batch under way takes for granted, and the look that will show it.
struct Assumed {
    cursors: BTreeMap<String, Position>,
    look: AskedAlong<2>,
}

impl<C, A> fmt::Debug for Listener<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("source", &self.feed.source())
            .field("upto", &self.upto)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
struct Start {
    incarnation: Option<Number>,
    position: Position,
    /// What the database holds of it.
    saved: Position,
    /// The furthest cursor, where that lies beyond: the producer must know at least so much, or it
    /// was restored. To be found out before anything is read, for what it says anew under positions
    /// that were dealt with before would be taken for known.
    furthest: Option<Position>,
}

struct Waiting<C> {
    event: Arc<Envelope>,
    meaning: Understood<C>,
}

/// An event of the batch under way.
struct Taken {
    event: Arc<Envelope>,
    from: From,
    step: Step,
    /// Whether it could not be dealt with.
    has_failed: bool,
}

impl Taken {
    /// How often it was tried before.
    fn attempts(&self) -> i64 {
        match self.from {
            From::Feed => 0,
            From::Parked { attempts } => attempts,
        }
    }

    /// The step of its trace in which a service acts on it.
    fn trace(&self, service: &str) -> Trace {
        step_of(&self.event, service, self.attempts())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Feed,
    Parked { attempts: i64 },
}

#[derive(Clone, PartialEq, Eq)]
enum Step {
    /// Its command is in the batch.
    Perform,
    /// It waits behind a parked event of its subject.
    QueueBehind,
    /// It cannot be read.
    Bury(String),
    /// It was dealt with before.
    Known,
}

static CURSOR: Table = Table { name: "feed_cursor", key: &[text("feed")], rest: &[int("position")] };
static START: Table =
    Table { name: "feed_start", key: &[text("source")], rest: &[int("incarnation"), int("position")] };

/// Goes on with a producer whose database was put back together with this one, from copies of one
/// moment: from the life that it had then to the one that it has now.
pub fn follow_restored(tx: &mut Tx<'_>, source: &str, before: Number, now: Number) {
    // The keys that are the source, or begin with it and a slash, which `0` follows.
    let follow = "UPDATE feed_start SET incarnation = $1 WHERE incarnation = $2
        AND (source = $3 OR (source >= $4 AND source < $5))";
    let (from, to) = (format!("{source}/"), format!("{source}0"));
    tx.execute(follow, [now.into(), before.into(), source.into(), from.into(), to.into()]);
}

/// Events that are read ahead.
const READ_AHEAD: usize = 256;
/// Positions after which the place where reading begins is saved anew, with a batch that moves cursors.
const SAVE_EVERY: Position = 1_000;
/// Positions after which it is saved by itself, where nothing in them has moved a cursor.
const SAVE_ALONE_EVERY: Position = 10_000;
/// Parked events in one batch.
const PARKED_IN_BATCH: usize = 16;
/// How often parked events are looked at.
const PARKED_EVERY: Duration = Duration::from_millis(100);
/// How often those are looked at that wait behind others. Whoever deals with an event says that the next may
/// be tried; but another process may have parked that at the same moment.
const ALL_PARKED_EVERY: Duration = Duration::from_secs(60);
/// How long nothing is assumed after an assumption was wrong: another process reads the same feed, or
/// subjects are parked.
const LOOK_FIRST_FOR: Duration = Duration::from_secs(10);

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

    fn load_start(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let start = Query::by(&START, "source", [self.start_key().into()]);
        // The keys that begin with the source and a slash, which `0` follows.
        let source = self.feed.source();
        let cursors = "SELECT max(position) FROM feed_cursor WHERE feed >= $1 AND feed < $2";
        let cursors = Query::sql(cursors, [format!("{source}/").into(), format!("{source}0").into()]);
        let [starts, cursors] = tx.ask([start, cursors])?;
        let mut start = Start { incarnation: None, position: 0, saved: 0, furthest: None };
        if let Some(row) = starts.into_iter().next() {
            let mut row = row.columns();
            let (_source, incarnation, position) = (row.text()?, row.number()?, row.int()?);
            start = Start { incarnation: Some(incarnation), position, saved: position, furthest: None };
        }
        if let Some(row) = cursors.into_iter().next() {
            start.furthest = row.columns().maybe_int()?.filter(|furthest| *furthest > start.position);
        }
        self.status.has_read(start.position);
        self.read = Some(start);
        Ok(())
    }

    /// Where its start is saved: consumers of different partitions have different starts.
    fn start_key(&self) -> String {
        if self.partitions == Partitions::ALL {
            self.feed.source().to_owned()
        } else {
            format!("{}/{}", self.feed.source(), self.partitions)
        }
    }

    fn cursor_key(&self, partition: u8) -> String {
        format!("{}/{partition}", self.feed.source())
    }

    /// What is to be known of the events that wait: where their cursors stand, and which of their
    /// subjects are parked.
    fn questions(&self, fresh: usize) -> [Query; 2] {
        let events = || self.waiting.iter().take(fresh).map(|waiting| &waiting.event);
        let cursors = Query::by(&CURSOR, "feed", events().map(|event| self.cursor_key(event.partition).into()));
        let subjects = Query::by(&PARKED_SUBJECT, "subject", events().map(|event| event.subject.as_ref().into()));
        [cursors.locked(), subjects]
    }

    /// Looks up what is known of the events that wait, and of those that are parked.
    fn look_up(&self, tx: &mut Tx<'_>, fresh: usize, parked: usize) -> Result<LookedUp, Failure> {
        let [cursors, subjects] = self.questions(fresh);
        let all = self.all_parked_at.is_none_or(|at| at <= tx.now());
        let due = parked::due(self.feed.source(), tx.now(), parked, all);
        let [cursors, subjects, due] = tx.ask([cursors, subjects, due])?;
        let due = due.into_iter().map(parked::parked).collect::<Result<_, _>>()?;
        Ok(LookedUp { cursors: positions(cursors)?, parked: self.subjects(subjects)?, due })
    }

    /// Takes for granted what is believed of the events that wait; it is looked at along with what the
    /// commands need, which saves a trip to the database. None where too little is known for that.
    fn assume(&mut self, tx: &mut Tx<'_>, fresh: usize) -> Option<LookedUp> {
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
    fn check_assumed(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
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

    /// Whether this batch moves cursors.
    fn moves_cursors(&self) -> bool {
        self.batch.iter().any(|taken| taken.from == From::Feed && taken.step != Step::Known)
    }

    /// Moves the cursors over what this batch took from the feed.
    fn move_cursors(&self, tx: &mut Tx<'_>) {
        let mut reached: BTreeMap<String, Position> = BTreeMap::new();
        for taken in self.batch.iter().filter(|taken| taken.from == From::Feed && taken.step != Step::Known) {
            let position = reached.entry(self.cursor_key(taken.event.partition)).or_default();
            *position = taken.event.position.max(*position);
        }
        let moved = reached.into_iter().map(|(feed, position)| vec![feed.into(), position.into()]);
        tx.upsert(&CURSOR, moved.collect());
    }

    /// Whether so much has meant nothing that the place behind it is saved by itself.
    fn place_is_due(&self) -> bool {
        self.read.is_some_and(|start| start.position - start.saved >= SAVE_ALONE_EVERY)
    }

    /// The place that is saved with this batch, if it is.
    fn place_to_save(&self) -> Option<(Number, Position)> {
        let Start { incarnation, saved, .. } = self.read?;
        let reached = self.reached();
        let with_cursors = self.moves_cursors() && (saved == 0 || reached - saved >= SAVE_EVERY);
        (with_cursors || reached - saved >= SAVE_ALONE_EVERY).then_some((incarnation?, reached))
    }

    /// Saves where reading begins, now and then.
    fn save_place(&self, tx: &mut Tx<'_>) {
        if let Some((incarnation, position)) = self.place_to_save() {
            tx.upsert(&START, vec![vec![self.start_key().into(), incarnation.into(), position.into()]]);
        }
    }

    /// Up to where all is dealt with once this batch is committed.
    fn reached(&self) -> Position {
        let fresh = self.batch.iter().filter(|taken| taken.from == From::Feed).count();
        let read = self.read.map_or(0, |start| start.position);
        if fresh == self.waiting.len() {
            self.upto.max(read)
        } else {
            // What was not taken begins right after; carriers whose positions come out of order
            // say so by an `upto` that lies before them.
            let next = self.waiting.get(fresh).map_or(self.upto, |waiting| waiting.event.position - 1);
            next.min(self.upto).max(read)
        }
    }
}

/// Where each cursor stands.
fn positions(rows: Vec<Row>) -> Result<BTreeMap<String, Position>, Failure> {
    let position = |row: Row| {
        let mut row = row.columns();
        Ok((row.text()?, row.int()?))
    };
    rows.into_iter().map(position).collect()
}

struct LookedUp {
    cursors: BTreeMap<String, Position>,
    parked: BTreeSet<String>,
    due: Vec<ParkedEvent>,
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
            let from = From::Parked { attempts: event.attempts };
            let event = Arc::new(event.event);
            let (step, command) = step((self.listening.understand)(&event));
            if !command.as_ref().is_none_or(|command| room.takes(command)) {
                all = false;
                break;
            }
            let taken = Taken { event, from, step, has_failed: false };
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
            let taken = Taken { event, from: From::Feed, step, has_failed: false };
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
            if !stays && taken.from != From::Feed {
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
        if first.from == From::Feed {
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
        let fresh = self.batch.iter().filter(|taken| taken.from == From::Feed).count();
        let saved = self.place_to_save();
        for taken in self.batch.iter().filter(|taken| taken.step != Step::Known) {
            tell(taken, &self.service, self.begun.elapsed());
        }
        self.waiting.drain(..fresh);
        for taken in self.batch.drain(..).filter(|taken| taken.from == From::Feed) {
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

fn step<C>(meaning: Understood<C>) -> (Step, Option<C>) {
    match meaning {
        Understood::Command(command) => (Step::Perform, Some(command)),
        Understood::Unreadable(cause) => (Step::Bury(cause), None),
        // Another release understood it when it was parked; this one has no use for it.
        Understood::Nothing => (Step::Bury("it means nothing to this release".into()), None),
    }
}

/// A command in the name of the service that said the event, as a consequence of it and the next step
/// of its trace.
fn asked<C>(command: C, taken: &Taken, service: &str) -> Asked<C> {
    let event = &taken.event;
    let actor = Actor::Service(event.source.clone());
    let (trace, causation) = (taken.trace(service), event.id().into());
    Asked::new(command, Context { actor, trace, causation, ..event.by.clone() })
}

/// The step of its trace in which a service acts on an event that it has tried so often before: another
/// for each try, and the same however often a try is made of which nothing was kept.
fn step_of(event: &Envelope, service: &str, attempts: i64) -> Trace {
    let id = event.id();
    let cause = if attempts == 0 { id } else { format!("{id}, tried {attempts} times before") };
    event.by.trace.step_for(service, &cause)
}

/// Says that an event was taken in: in the log where somebody wants to know that of each, and, where it was
/// acted on, as a step of its trace.
fn tell(taken: &Taken, service: &str, took: Duration) {
    let (event, trace) = (&taken.event, taken.trace(service));
    let (parent, request_id) = (event.by.trace.span_id, &*event.by.correlation);
    if taken.step != Step::QueueBehind {
        trace.tell(Some(parent), took, || span(taken, service));
    }
    tracing::debug!(
        service,
        event = event.id(),
        r#type = %event.kind,
        subject = %event.subject,
        trace_id = trace.id(),
        parent_id = format!("{parent:016x}"),
        span_id = format!("{:016x}", trace.span_id),
        request_id,
        "An event was taken in"
    );
}

/// What is said of a step in which a service acts on an event.
/// Source: <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>.
fn span(taken: &Taken, service: &str) -> Span {
    let event = &taken.event;
    Span {
        name: format!("hear {}", event.kind),
        kind: Kind::Consumer,
        service: service.to_owned(),
        has_failed: taken.has_failed,
        attributes: vec![
            ("messaging.system", "banyan".into()),
            ("messaging.operation.name", "hear".into()),
            ("messaging.operation.type", "process".into()),
            ("messaging.destination.name", (*event.source).into()),
            ("messaging.message.id", event.id().into()),
            ("banyan.subject", (*event.subject).into()),
            ("banyan.request_id", (*event.by.correlation).into()),
            ("banyan.attempt", (taken.attempts() + 1).into()),
        ],
    }
}

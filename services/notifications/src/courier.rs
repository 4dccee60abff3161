//! The one task that sends messages, while no transaction is open, and has noted what came of it.
//!
//! ```text
//! look ─▶ lanes, one for each endpoint: due again, never sent ─▶ fair share ─▶ post ─▶ Note ─▶ desk
//!   ▲                                                                           (row, cursor)  │
//!   └────────────── something was committed · something is due ◀───────────────────────────────┘
//! ```
//!
//! What a lane holds in memory is a copy: a message that was never sent stands after the endpoint's
//! cursor, one that failed has a row. The cursor moves in the transaction that writes the row of the
//! message that it moves over; so a process that dies has sent something twice at worst.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use db::{Asked, Context, Database, Desk, Refused, Trace};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ids::Number;
use telemetry::Meters;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use world::{Chance, Moment};

use crate::NAME;
use crate::config::Config;
use crate::consumers::Wanted;
use crate::domain::{Attempt, Delivery, Endpoint, Status, seconds, sign};
use crate::perform::{Answer, Command, HOLD_FOR, Held, Noted, Settled};
use crate::post::{Letter, Post};
use crate::store::{self, Found, Kept, Message, Record, Want};

/// Messages of one endpoint that are read ahead.
const READ_AHEAD: usize = 128;
/// Messages that are due again and read at once.
const DUE_AT_ONCE: usize = 16;
/// How much the cursor may lie behind before it is moved for its own sake.
const CURSOR_BEHIND: i64 = 500;
/// How long it lies behind where nothing else is written.
const CURSOR_BEHIND_FOR: Duration = Duration::from_secs(5);
/// How long news gather before they are looked at.
const GATHER_FOR: Duration = Duration::from_millis(20);
/// How often it is looked how old the oldest is that has still to be delivered.
const AGES_EVERY: Duration = Duration::from_secs(1);
/// How often a process says that it still delivers.
const HOLD_EVERY: Duration = Duration::from_secs(5);

/// What is counted of deliveries.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    delivered: AtomicU64,
    retried: AtomicU64,
    given_up: AtomicU64,
    paused: AtomicI64,
    /// When the oldest event was recorded that has still to be delivered, in microseconds; 0 without one.
    oldest: AtomicI64,
}

impl Tally {
    /// Enters it on the page of metrics.
    pub(crate) fn tell(&self, meters: &Meters, now: Moment) {
        let outcomes = [("delivered", &self.delivered), ("retried", &self.retried), ("given_up", &self.given_up)];
        for (outcome, count) in outcomes {
            let counter =
                meters.labelled("outcome", outcome).counter("webhook_deliveries", "Tries by what came of them");
            counter.inc_by(count.swap(0, Ordering::Relaxed));
        }
        let help = "Endpoints that have failed for so long that a person has to resume them";
        meters.gauge("webhook_paused_endpoints", help).set(self.paused.load(Ordering::Relaxed));
        let oldest = self.oldest.load(Ordering::Relaxed);
        let age = if oldest == 0 { 0.0 } else { now.since(Moment::from_micros(oldest)).as_secs_f64() };
        let help = "Age of the oldest event that an endpoint has still to get, paused ones included; 0 without one";
        meters.seconds_gauge("webhook_oldest_undelivered_seconds", help).set(age);
    }

    fn count(&self, status: Status) {
        let counter = match status {
            Status::Delivered => &self.delivered,
            Status::Waiting | Status::Retrying => &self.retried,
            Status::Failed => &self.given_up,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the courier works with.
pub(crate) struct Courier {
    /// The number of its term, in which no other process delivers; none before the first, or where there is no other.
    pub(crate) term: Option<Number>,
    pub(crate) config: Config,
    pub(crate) database: Database,
    pub(crate) desk: Desk<Command, Answer>,
    pub(crate) post: Arc<dyn Post>,
    /// Changes when something is to be sent, or an endpoint is another.
    pub(crate) news: watch::Receiver<u64>,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) tally: Arc<Tally>,
}

/// A message that is on its way.
#[derive(Debug)]
struct Parcel {
    endpoint: Number,
    /// The term in which it left.
    term: Option<Number>,
    message: Message,
    /// What was known of it before.
    delivery: Delivery,
}

/// Something that has ended.
enum Step {
    /// A try.
    Tried(Parcel, Attempt),
    /// A note was taken, or not.
    Noted { endpoint: Number, messages: Vec<(i64, String)>, was_tried: bool, answer: Result<Answer, Refused> },
}

type Steps = FuturesUnordered<BoxFuture<'static, Step>>;

/// What is to be sent to one endpoint.
#[derive(Debug)]
struct Lane {
    record: Record,
    /// Messages up to here have been looked through.
    after: i64,
    is_at_end: bool,
    due: VecDeque<(Message, Delivery)>,
    fresh: VecDeque<(Message, bool)>,
    /// Messages that are on their way, or are being noted.
    open: BTreeSet<i64>,
    /// Those of them that have no row yet.
    open_fresh: BTreeSet<i64>,
    /// What they are about.
    busy: BTreeSet<String>,
    /// Of that, what something will still wait about once it is noted: what is read meanwhile may not show it.
    held_up: BTreeSet<String>,
    on_their_way: usize,
    /// Whether another may be due now, since the one before it was taken.
    looks_again: bool,
    cursor_told: i64,
    cursor_told_at: Instant,
}

impl Lane {
    fn new(record: Record) -> Self {
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
    fn begin_again(&mut self) {
        self.due.clear();
        self.fresh.clear();
        (self.after, self.is_at_end) = (self.record.cursor, false);
    }

    /// Takes in what was found for the endpoint.
    fn take(&mut self, found: Found) {
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

    fn has_something(&self) -> bool {
        !self.open.is_empty() || !self.due.is_empty() || !self.fresh.is_empty()
    }

    /// Messages up to here are settled, or have a row, once these have one.
    fn settled_upto(&self, but_for: i64) -> i64 {
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
    fn pick(&mut self) -> Option<Next> {
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
    fn hold_up(&mut self, subject: &str) {
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

    fn close(&mut self, (number, subject): &(i64, String)) {
        self.open.remove(number);
        self.open_fresh.remove(number);
        self.busy.remove(subject);
        self.held_up.remove(subject);
    }
}

/// What becomes of a message that is at the front.
enum Next {
    /// It is sent.
    Send(Message, Delivery),
    /// It gets a row, in which it waits behind another about its subject.
    Wait(Message),
}

impl Courier {
    /// Sends as long as the program runs.
    pub(crate) async fn run(mut self) {
        let mut chance = self.database.world().chance("webhook retries");
        let mut lanes: BTreeMap<Number, Lane> = BTreeMap::new();
        let mut steps: Steps = FuturesUnordered::new();
        let (mut held_until, mut ages_at, mut look_at) = (Instant::now(), Instant::now(), Instant::now());
        let mut delivers = false;
        loop {
            let now = Instant::now();
            if held_until <= now {
                let held = self.hold(&mut chance).await;
                delivers = held != Held::ByAnother;
                if let Held::Anew(term) = held {
                    // What was read before may have been sent by another meanwhile.
                    lanes.values_mut().for_each(Lane::begin_again);
                    self.term = Some(term);
                }
                held_until = Instant::now() + HOLD_EVERY;
            }
            if !delivers {
                // What is on its way is noted all the same.
                tokio::select! {
                    biased;
                    Some(step) = steps.next(), if !steps.is_empty() => {
                        self.step(step, &mut lanes, &mut steps, &mut chance);
                    }
                    () = sleep_until(held_until) => {}
                }
                continue;
            }
            if look_at <= now {
                self.news.mark_unchanged();
                let with_ages = ages_at <= now;
                if with_ages {
                    ages_at = now + AGES_EVERY;
                }
                self.look(&mut lanes, with_ages).await;
                look_at = now + Duration::from_millis(self.config.due_every_ms.max(1));
            }
            self.send(&mut lanes, &mut steps, &mut chance);
            let hungry = |lane: &Lane| {
                let has_read_all = !lane.is_at_end && lane.fresh.is_empty();
                (has_read_all || lane.looks_again) && self.share(&lane.record.endpoint, 1) > 0
            };
            if lanes.values().any(hungry) {
                look_at = look_at.min(Instant::now() + GATHER_FOR);
            }
            tokio::select! {
                // In this order and not in any, so that a simulation is the same each time. News gather once
                // before they are looked at, so that they keep nothing else from its turn.
                biased;
                Ok(()) = self.news.changed(), if look_at > Instant::now() + GATHER_FOR => {
                    look_at = Instant::now() + GATHER_FOR;
                }
                Some(step) = steps.next(), if !steps.is_empty() => {
                    self.step(step, &mut lanes, &mut steps, &mut chance);
                    while let Some(Some(step)) = steps.next().now_or_never() {
                        self.step(step, &mut lanes, &mut steps, &mut chance);
                    }
                }
                () = sleep_until(look_at) => {}
            }
        }
    }

    /// Whether this process delivers; where no other can, it does.
    async fn hold(&self, chance: &mut Chance) -> Held {
        if self.database.is_ours_alone() {
            return Held::Still;
        }
        match self.desk.ask(asked(Command::Hold(self.term), chance)).await {
            Ok(Ok(Settled::Held(held))) => held,
            _ => Held::ByAnother,
        }
    }

    /// Reads what is to be sent, as far as there is room for it.
    async fn look(&self, lanes: &mut BTreeMap<Number, Lane>, with_ages: bool) {
        let want = |lane: &Lane| {
            let may_leave = self.share(&lane.record.endpoint, 1) > 0;
            let has_room = lane.fresh.len() < READ_AHEAD / 2;
            Want {
                after: lane.after,
                due: if may_leave { DUE_AT_ONCE } else { 0 },
                fresh: if may_leave && has_room { READ_AHEAD } else { 0 },
            }
        };
        let wants: BTreeMap<_, _> = lanes.iter().map(|(number, lane)| (*number, want(lane))).collect();
        let found = match self.database.read(move |read| store::look(read, &wants, with_ages)).await {
            Ok(found) => found,
            Err(refused) => {
                tracing::warn!(service = NAME, %refused, "It cannot be read what is to be sent; it is tried again");
                return;
            }
        };
        if with_ages {
            let oldest = found.iter().filter_map(|found| found.oldest).min();
            self.tally.oldest.store(oldest.map_or(0, Moment::micros), Ordering::Relaxed);
            let is_paused = |found: &&Found| found.record.endpoint.is_paused();
            let paused = i64::try_from(found.iter().filter(is_paused).count()).unwrap_or(i64::MAX);
            self.tally.paused.store(paused, Ordering::Relaxed);
        }
        for found in &found {
            self.wanted.also(&found.record.endpoint.settings.filter);
        }
        self.wanted.are_known();
        let there: BTreeSet<_> = found.iter().map(|found| found.record.number).collect();
        lanes.retain(|number, lane| {
            if !there.contains(number) {
                lane.due.clear();
                lane.fresh.clear();
                lane.is_at_end = true;
            }
            there.contains(number) || !lane.open.is_empty()
        });
        for found in found {
            let lane = lanes.entry(found.record.number).or_insert_with(|| Lane::new(found.record.clone()));
            lane.take(found);
        }
    }

    /// How many messages may be on their way to an endpoint at once, where so many endpoints have some.
    fn share(&self, endpoint: &Endpoint, endpoints: usize) -> usize {
        let fair = (self.config.calls_at_once / endpoints.max(1)).clamp(1, self.config.calls_at_once_each.max(1));
        endpoint.at_once(fair, self.database.world().now())
    }

    /// Lets leave what may.
    fn send(&self, lanes: &mut BTreeMap<Number, Lane>, steps: &mut Steps, chance: &mut Chance) {
        let endpoints = lanes.values().filter(|lane| lane.has_something()).count();
        for lane in lanes.values_mut() {
            let share = self.share(&lane.record.endpoint, endpoints);
            while lane.on_their_way < share {
                let (endpoint, term) = (lane.record.number, self.term);
                match lane.pick() {
                    None => break,
                    Some(Next::Wait(message)) => {
                        let delivery = Delivery::due(self.database.world().now());
                        steps.push(self.note(lane, Parcel { endpoint, term, message, delivery }, None, chance));
                    }
                    Some(Next::Send(message, delivery)) => {
                        lane.on_their_way += 1;
                        let parcel = Parcel { endpoint, term, message, delivery };
                        steps.push(self.post(&lane.record.endpoint, parcel));
                    }
                }
            }
            self.move_cursor(lane, steps, chance);
        }
    }

    /// Moves a cursor that lies far behind, or for long, for its own sake.
    fn move_cursor(&self, lane: &mut Lane, steps: &mut Steps, chance: &mut Chance) {
        let upto = lane.settled_upto(0);
        let behind = upto - lane.cursor_told.max(lane.record.cursor);
        let is_long = lane.cursor_told_at.elapsed() >= CURSOR_BEHIND_FOR;
        if behind < CURSOR_BEHIND && !(behind > 0 && is_long) {
            return;
        }
        (lane.cursor_told, lane.cursor_told_at) = (upto, Instant::now());
        let (endpoint, cursor) = (lane.record.number, upto);
        let (messages, attempt, jitter_permille) = (Vec::new(), None, 0);
        let noted = Noted { term: self.term, endpoint, messages, attempt, jitter_permille, cursor };
        steps.push(self.hand_in(noted, chance));
    }

    fn post(&self, endpoint: &Endpoint, parcel: Parcel) -> BoxFuture<'static, Step> {
        let within = Duration::from_millis(self.config.timeout_ms.max(1));
        let (url, at) = (endpoint.settings.url.clone(), self.database.world().now());
        let signature = sign(&endpoint.secrets, &parcel.message.id, at, &parcel.message.body);
        let headers = [
            ("webhook-id", parcel.message.id.clone()),
            ("webhook-timestamp", seconds(at).to_string()),
            ("webhook-signature", signature),
        ];
        let body = Bytes::from(parcel.message.body.clone());
        let (post, began) = (self.post.clone(), Instant::now());
        Box::pin(async move {
            let outcome = post.post(Letter { url: url.clone(), headers, body, within }).await;
            let duration_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
            Step::Tried(parcel, Attempt { at, duration_ms, url, outcome })
        })
    }

    fn step(&self, step: Step, lanes: &mut BTreeMap<Number, Lane>, steps: &mut Steps, chance: &mut Chance) {
        match step {
            Step::Tried(parcel, attempt) => {
                let Some(lane) = lanes.get_mut(&parcel.endpoint) else { return };
                if !attempt.outcome.is_success() {
                    lane.hold_up(&parcel.message.subject);
                }
                let (id, outcome) = (&parcel.message.id, attempt.outcome.why());
                let is_success = attempt.outcome.is_success();
                let name = &lane.record.endpoint.name;
                tracing::debug!(service = NAME, endpoint = %name, id, is_success, outcome, "A message was sent");
                steps.push(self.note(lane, parcel, Some(attempt), chance));
            }
            Step::Noted { endpoint, messages, was_tried, answer } => {
                let Some(lane) = lanes.get_mut(&endpoint) else { return };
                // Only now is it known how the endpoint gets on, and so whether another may leave.
                lane.on_their_way = lane.on_their_way.saturating_sub(usize::from(was_tried));
                for message in &messages {
                    lane.close(message);
                }
                lane.looks_again |= lane.record.endpoint.settings.ordered && !messages.is_empty();
                match answer {
                    Ok(Ok(Settled::Noted(Some(record)))) => {
                        let cursor = lane.record.cursor.max(record.cursor);
                        // Another version is taken in when it is looked for what is to be sent.
                        if record.version == lane.record.version {
                            lane.record = Record { cursor, ..*record };
                        }
                    }
                    Ok(_) => {}
                    Err(refused) => {
                        let name = &lane.record.endpoint.name;
                        tracing::warn!(service = NAME, endpoint = %name, %refused, "It could not be noted what was sent; it is sent again");
                        lane.cursor_told = lane.record.cursor;
                        lane.begin_again();
                    }
                }
            }
        }
    }

    /// Has it noted what became of a message.
    fn note(
        &self,
        lane: &mut Lane,
        Parcel { endpoint, term, message, delivery }: Parcel,
        attempt: Option<Attempt>,
        chance: &mut Chance,
    ) -> BoxFuture<'static, Step> {
        let jitter_permille = chance.between(0, 100);
        if let Some(attempt) = &attempt {
            let mut after = delivery.clone();
            after.learn(attempt.clone(), jitter_permille);
            self.tally.count(after.status());
        }
        let cursor = lane.settled_upto(message.number);
        (lane.cursor_told, lane.cursor_told_at) = (cursor, Instant::now());
        let Message { number, subject, recorded_at, .. } = message;
        let kept = Kept { message: number, subject, recorded_at, delivery };
        self.hand_in(Noted { term, endpoint, messages: vec![kept], attempt, jitter_permille, cursor }, chance)
    }

    fn hand_in(&self, noted: Noted, chance: &mut Chance) -> BoxFuture<'static, Step> {
        let (endpoint, was_tried) = (noted.endpoint, noted.attempt.is_some());
        let messages = noted.messages.iter().map(|kept| (kept.message, kept.subject.clone())).collect();
        let answered = self.desk.ask(asked(Command::Note(Box::new(noted)), chance));
        Box::pin(async move { Step::Noted { endpoint, messages, was_tried, answer: answered.await } })
    }
}

/// A command that nobody outside asks for.
fn asked(command: Command, chance: &mut Chance) -> Asked<Command> {
    Asked::new(command, Context::system("webhooks", Trace::begin(chance)))
}

const _: () = assert!(HOLD_EVERY.as_secs() * 2 < HOLD_FOR.as_secs());

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

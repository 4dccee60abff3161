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

mod lane;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use db::{Asked, Context, Database, Desk, Refused, Trace};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ids::Number;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use world::{Chance, Moment};

use crate::NAME;
use crate::config::Config;
use crate::consumers::Wanted;
use crate::courier::lane::{Lane, Next};
pub(crate) use crate::courier::tally::Tally;
use crate::domain::{Attempt, Delivery, Endpoint, seconds, sign};
use crate::perform::{Answer, Command, HOLD_FOR, Held, Noted, Settled};
use crate::post::{Letter, Post};
use crate::store::{self, Found, Kept, MOST_BYTES, Message, Record, Want};

/// Messages of one endpoint that are read ahead at once, where less than half as many are left of those before.
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
            let has_room = lane.fresh.len() < READ_AHEAD / 2 && lane.bytes_ahead() < MOST_BYTES / 2;
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

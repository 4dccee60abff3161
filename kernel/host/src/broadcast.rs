//! Tells those who listen to a service's events what is new, however many they are.
//!
//! ```text
//! ring ─▶ a wave of new events ─▶ who wants which? ─▶ a queue each ─▶ stream, or request that waits
//!         by one task a service                        bounded
//! ```
//!
//! The desk wakes one task and not ten thousand. That task sorts what was committed since its last
//! wave by who wants it, and hands it out in small groups, so that requests are served in between;
//! then it rests the longer the more it has woken, and what is said meanwhile goes out together.
//!
//! **Invariant:** an event becomes a text once, whoever reads it.
//!
//! **Invariant:** who joins in after a position is told of each wanted event after it once, in their
//! order, until the subscription ends; where it ends, it says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use db::{Database, Envelope, Position};
use events::EventDocument;
use telemetry::Counter;
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use web::{Cursor, Problem};

use crate::feed_route::{Place, piece};

/// Which events somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interest {
    /// Only those about this.
    pub(crate) subject: Option<Arc<str>>,
    /// Only those of these types; all where there is none.
    pub(crate) kinds: Arc<BTreeSet<String>>,
}

impl Interest {
    pub(crate) fn wants(&self, event: &Envelope) -> bool {
        self.subject.as_deref().is_none_or(|subject| subject == &*event.subject) && has(&self.kinds, event)
    }
}

fn has(kinds: &BTreeSet<String>, event: &Envelope) -> bool {
    kinds.is_empty() || kinds.contains(&*event.kind)
}

/// An event as all who listen are told of it.
#[derive(Debug)]
pub(crate) struct Message {
    event: Arc<Envelope>,
    text: OnceLock<Option<Bytes>>,
}

impl Message {
    pub(crate) fn of(event: Arc<Envelope>) -> Self {
        Self { event, text: OnceLock::new() }
    }

    pub(crate) fn position(&self) -> Position {
        self.event.position
    }

    /// The message of a stream that it is; none where the event cannot be read.
    pub(crate) fn text(&self) -> Option<Bytes> {
        self.text.get_or_init(|| text(&self.event)).clone()
    }
}

/// An event as a message of a stream: its id is the cursor after it.
fn text(event: &Envelope) -> Option<Bytes> {
    let document = EventDocument::try_from(event).map_err(|failure| failure.to_string());
    let json = document.and_then(|document| serde_json::to_string(&document).map_err(|error| error.to_string()));
    match json {
        Ok(json) => {
            let cursor = Cursor::new(&Place(Some(event.incarnation), event.position));
            // Between the parts of a document a break is as good as a space; within texts there is none.
            let json = json.replace(['\n', '\r'], " ");
            Some(format!("id: {cursor}\nevent: {}\ndata: {json}\n\n", event.kind).into())
        }
        Err(cause) => {
            tracing::error!(event = event.id(), cause, "An event cannot be told to those who listen");
            None
        }
    }
}

/// Events that all who want the same are told at once.
#[derive(Debug)]
pub(crate) struct Wave {
    messages: Vec<Arc<Message>>,
    text: OnceLock<Option<Bytes>>,
}

impl Wave {
    fn of(messages: Vec<Arc<Message>>) -> Arc<Self> {
        Arc::new(Self { messages, text: OnceLock::new() })
    }

    /// The position of its last event.
    pub(crate) fn last(&self) -> Position {
        self.messages.last().map_or(0, |message| message.position())
    }

    /// The messages of a stream that it is, one after another; none where an event cannot be read.
    pub(crate) fn text(&self) -> Option<Bytes> {
        if let [only] = &self.messages[..] {
            return only.text();
        }
        let all = || {
            let texts: Option<Vec<_>> = self.messages.iter().map(|message| message.text()).collect();
            texts.map(|texts| texts.concat().into())
        };
        self.text.get_or_init(all).clone()
    }

    /// About as many bytes as it takes.
    fn weight(&self) -> usize {
        self.messages.iter().map(|message| message.event.body.len() + 512).sum()
    }
}

/// Why somebody is told nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The program stops.
    Stopping,
    /// Too much was waiting to be read.
    TooSlow,
}

/// What has been handed out and not yet taken.
#[derive(Debug)]
struct Queue {
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
    fn push(&self, wave: &Arc<Wave>, backlog_bytes: usize) -> bool {
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

    fn end(&self, end: End) {
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

/// Those who want the same, by the number of their subscription.
type Members = BTreeMap<u64, Arc<Queue>>;
/// Those who want events of one subject, by the types that they want.
type Audience = BTreeMap<Arc<BTreeSet<String>>, Members>;

#[derive(Debug, Default)]
struct Told {
    /// Up to here everything has been sorted by who wants it.
    upto: Position,
    /// Who listens, by subject (none: to all of them) and types.
    audiences: BTreeMap<Option<Arc<str>>, Audience>,
    members: usize,
    joined: u64,
    is_over: bool,
}

/// What a wave has for those who want the same.
struct Delivery {
    wave: Arc<Wave>,
    queues: Vec<Arc<Queue>>,
}

/// Tells of one service's events.
pub(crate) struct Broadcast {
    database: Database,
    told: Mutex<Told>,
    /// Up to here everything lies in the queues of those who want it.
    delivered: AtomicI64,
    /// Says how far everything was sorted.
    reached: watch::Sender<Position>,
    backlog_bytes: usize,
    cut_off: Counter,
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").field("service", &self.database.service()).finish_non_exhaustive()
    }
}

/// Those who are told before requests are served again.
const GROUP: usize = 64;
/// How long it rests for each who was told.
const REST_EACH: Duration = Duration::from_micros(2);
/// How long it rests at most.
const LONGEST_REST: Duration = Duration::from_millis(50);
/// When a database that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What becomes of somebody who wants to join in after a position.
pub(crate) enum Joined {
    /// They are told of what comes after it.
    Now(Subscription),
    /// Others have been told of what came after it, up to here: that has to be read first.
    Behind(Position),
    /// Nobody has been told of what came before it: that has to be waited for.
    Ahead,
    /// Nobody is told of anything any more.
    Over,
}

impl Broadcast {
    /// Tells of the events of a service that are committed from now on. Somebody for whom more than
    /// this many bytes wait is cut off, and counted.
    pub(crate) fn of(database: &Database, backlog_bytes: usize, cut_off: Counter) -> Arc<Self> {
        let upto = *database.ring().newest().borrow();
        Arc::new(Self {
            database: database.clone(),
            told: Mutex::new(Told { upto, ..Told::default() }),
            delivered: AtomicI64::new(upto),
            reached: watch::Sender::new(upto),
            backlog_bytes,
            cut_off,
        })
    }

    /// How many listen.
    pub(crate) fn members(&self) -> usize {
        lock(&self.told).members
    }

    /// Joins in after a position.
    pub(crate) fn join(self: &Arc<Self>, interest: &Interest, after: Position) -> Joined {
        let mut told = lock(&self.told);
        if told.is_over {
            return Joined::Over;
        }
        if after != told.upto {
            return if after < told.upto { Joined::Behind(told.upto) } else { Joined::Ahead };
        }
        told.joined += 1;
        told.members += 1;
        let number = told.joined;
        let queue = Arc::new(Queue { waiting: Mutex::default(), told: Notify::new() });
        let by_kinds = told.audiences.entry(interest.subject.clone()).or_default();
        by_kinds.entry(interest.kinds.clone()).or_default().insert(number, queue.clone());
        Joined::Now(Subscription { broadcast: self.clone(), interest: interest.clone(), number, queue, upto: after })
    }

    /// Waits until others have been told of everything up to a position.
    pub(crate) async fn reaches(&self, position: Position) {
        // The sender is this value's own, so it is there as long as somebody waits.
        let _ = self.reached.subscribe().wait_for(|reached| *reached >= position).await;
    }

    /// Tells all who listen until the program stops, and that it does.
    pub(crate) async fn run(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        tokio::select! {
            () = self.tell() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        let mut told = lock(&self.told);
        told.is_over = true;
        let queues = told.audiences.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        queues.for_each(|queue| queue.end(End::Stopping));
    }

    async fn tell(&self) {
        let mut newest = self.database.ring().newest();
        newest.mark_changed();
        while newest.changed().await.is_ok() {
            let upto = *newest.borrow_and_update();
            while lock(&self.told).upto < upto {
                match self.wave(upto).await {
                    Ok(0) => {}
                    Ok(told) => {
                        let told = u32::try_from(told).unwrap_or(u32::MAX);
                        sleep(REST_EACH.saturating_mul(told).min(LONGEST_REST)).await;
                    }
                    Err(problem) => {
                        let (service, code) = (self.database.service(), problem.kind().code);
                        tracing::warn!(service, code, "Those who listen cannot be told what is new; trying again");
                        sleep(ASK_AGAIN).await;
                    }
                }
            }
        }
    }

    /// Tells of the next events, and how many were told of them.
    async fn wave(&self, newest: Position) -> Result<usize, Problem> {
        let after = {
            let mut told = lock(&self.told);
            if told.members == 0 {
                self.pass(&mut told, newest);
                self.delivered.store(newest, Ordering::Release);
                return Ok(0);
            }
            told.upto
        };
        let events = piece(&self.database, after).await?;
        let Some(upto) = events.last().map(|event| event.position) else { return Ok(0) };
        let mut count = 0;
        for Delivery { wave, queues } in self.sort(events, upto) {
            count += queues.len();
            for group in queues.chunks(GROUP) {
                for queue in group {
                    if !queue.push(&wave, self.backlog_bytes) {
                        self.cut_off.inc();
                    }
                }
                yield_now().await;
            }
        }
        self.delivered.store(upto, Ordering::Release);
        Ok(count)
    }

    /// Sorts events by who wants them. From now on, who joins in does so after them.
    fn sort(&self, events: Vec<Arc<Envelope>>, upto: Position) -> Vec<Delivery> {
        let mut told = lock(&self.told);
        let mut wanted: BTreeMap<Interest, Vec<Arc<Message>>> = BTreeMap::new();
        for event in events {
            let message = Arc::new(Message::of(event.clone()));
            for subject in [None, Some(event.subject.clone())] {
                let audiences = told.audiences.get(&subject).into_iter().flat_map(BTreeMap::keys);
                for kinds in audiences.filter(|kinds| has(kinds, &event)) {
                    let interest = Interest { subject: subject.clone(), kinds: kinds.clone() };
                    wanted.entry(interest).or_default().push(message.clone());
                }
            }
        }
        self.pass(&mut told, upto);
        let queues = |interest: &Interest| {
            let members = told.audiences.get(&interest.subject).and_then(|by_kinds| by_kinds.get(&interest.kinds));
            members.into_iter().flat_map(BTreeMap::values).cloned().collect()
        };
        wanted
            .into_iter()
            .map(|(interest, messages)| Delivery { queues: queues(&interest), wave: Wave::of(messages) })
            .collect()
    }

    fn pass(&self, told: &mut Told, upto: Position) {
        told.upto = upto;
        self.reached.send_replace(upto);
    }

    fn leave(&self, interest: &Interest, number: u64) {
        let mut told = lock(&self.told);
        told.members -= 1;
        let Some(by_kinds) = told.audiences.get_mut(&interest.subject) else { return };
        if let Some(members) = by_kinds.get_mut(&interest.kinds) {
            members.remove(&number);
            if members.is_empty() {
                by_kinds.remove(&interest.kinds);
            }
        }
        if by_kinds.is_empty() {
            told.audiences.remove(&interest.subject);
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
    broadcast: Arc<Broadcast>,
    interest: Interest,
    number: u64,
    queue: Arc<Queue>,
    upto: Position,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use db::{Context, Database, Location, MemoryDisk, NewEvent, Options, Trace};
    use tokio::sync::watch;
    use world::World;

    use super::{Broadcast, Interest, Joined, Next};

    fn shop() -> Database {
        let (disk, options) = (MemoryDisk::empty(), Options::default());
        Database::open("shop", Location::Memory(disk), options, World::real(), &[]).expect("a database")
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let broadcast = Broadcast::of(&shop(), 1_000, super::Counter::default());
        let about = |subject: &str| Interest { subject: Some(subject.into()), ..Interest::default() };
        let [one, other, another] = ["a", "a", "b"].map(|subject| broadcast.join(&about(subject), 0));
        let listening = |subject: &str| {
            let told = super::lock(&broadcast.told);
            let by_kinds = told.audiences.get(&Some(subject.into()));
            by_kinds.map(|by_kinds| by_kinds.values().map(super::Members::len).sum::<usize>())
        };
        assert_eq!((broadcast.members(), listening("a"), listening("b")), (3, Some(2), Some(1)));
        drop((one, another));
        assert_eq!((broadcast.members(), listening("a"), listening("b")), (1, Some(1), None));
        drop(other);
        assert_eq!((broadcast.members(), listening("a")), (0, None));
    }

    #[tokio::test]
    async fn an_event_becomes_a_text_once_whoever_reads_it() {
        let database = shop();
        let broadcast = Broadcast::of(&database, 1_000, super::Counter::default());
        let mut listening = Vec::new();
        let about = Interest { subject: Some("a".into()), ..Interest::default() };
        for interest in [Interest::default(), Interest::default(), about] {
            let Joined::Now(joined) = broadcast.join(&interest, 0) else { panic!("nothing was said yet") };
            listening.push(joined);
        }
        let (stop, stopping) = watch::channel(false);
        let said = database.write(|tx| {
            tx.publish(NewEvent {
                stream: tx.number(),
                version: 1,
                subject: "a".to_owned(),
                kind: "Said",
                schema: 1,
                occurred_at: tx.now(),
                by: Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }),
                body: "{\n \"a\": 1}".to_owned(),
            });
            Ok(())
        });
        said.await.expect("it is said");
        let heard = async {
            let mut texts = Vec::new();
            for joined in &mut listening {
                let Next::Wave(wave) = joined.next(Duration::from_secs(10)).await else { panic!("a wave") };
                texts.push(wave.text().expect("a text"));
            }
            stop.send_replace(true);
            texts
        };
        let (texts, ()) = tokio::join!(heard, broadcast.clone().run(stopping));
        assert!(texts.iter().all(|text| text.as_ptr() == texts[0].as_ptr()), "the same bytes");
        assert!(texts[0].ends_with(b"\"data\":{  \"a\": 1}}\n\n"), "{:?}", texts[0]);
        assert!(matches!(broadcast.join(&Interest::default(), 1), Joined::Over));
    }
}

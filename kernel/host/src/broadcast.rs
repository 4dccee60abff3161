//! Tells those who listen to a service's events what is new, however many they are.
//!
//! ```text
//! ring ─▶ new events ─▶ who wants which? ─▶ a queue each ─▶ stream, or request that waits
//!         by one task a service             bounded
//! ```
//!
//! The desk wakes one task and not ten thousand. That task sorts what was committed by who wants it,
//! and goes round those who do, in small groups, so that requests are served in between. Each is told
//! of all that was said until its turn, so nobody waits for two rounds. After a round the task rests the
//! longer the more it has woken, and what is said meanwhile goes out together.
//!
//! **Invariant:** an event becomes a text once, whoever reads it.
//!
//! **Invariant:** who joins in after a position is told of each wanted event after it once, in their
//! order, until the subscription ends; where it ends, it says so.

mod circle;
mod message;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::{Database, Envelope, Position};
use telemetry::Counter;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;
use web::Problem;

use self::circle::{Circle, Group};
use self::message::has;
pub(crate) use self::message::{Interest, Message};
use self::queue::Queue;
pub(crate) use self::queue::{End, Next, Subscription};
use crate::feed_route::piece;

/// Those who want events of one subject, by the types that they want.
type Audience = BTreeMap<Arc<BTreeSet<String>>, Circle>;

#[derive(Debug, Default)]
struct Told {
    /// Up to here everything has been sorted by who wants it.
    upto: Position,
    /// Who listens, by subject (none: to all of them) and types.
    audiences: BTreeMap<Option<Arc<str>>, Audience>,
    /// Who has not been told of all that was sorted.
    waiting: BTreeSet<Interest>,
    members: usize,
    joined: u64,
    is_over: bool,
}

impl Told {
    fn circle(&mut self, interest: &Interest) -> Option<&mut Circle> {
        self.audiences.get_mut(&interest.subject)?.get_mut(&interest.kinds)
    }

    fn sort(&mut self, event: &Arc<Envelope>) {
        let message = Arc::new(Message::of(event.clone()));
        for subject in [None, Some(event.subject.clone())] {
            let Some(audience) = self.audiences.get_mut(&subject) else { continue };
            for (kinds, circle) in audience.iter_mut().filter(|(kinds, _)| has(kinds, event)) {
                circle.say(message.clone());
                self.waiting.insert(Interest { subject: subject.clone(), kinds: kinds.clone() });
            }
        }
        self.upto = event.position;
    }

    /// The next who want the same, with what they are told; and whether there is room for more until the next turn.
    fn group(&mut self, interest: &Interest, after: u64) -> Option<(Group, bool)> {
        let upto = self.upto;
        let circle = self.circle(interest)?;
        Some((circle.group(after, GROUP, upto)?, circle.news() < MOST_IN_A_ROUND))
    }

    /// All who want the same have been told of everything up to a position.
    fn have_heard(&mut self, interest: &Interest, upto: Position) {
        if let Some(circle) = self.circle(interest) {
            circle.forget(upto);
            if circle.news() > 0 {
                self.waiting.insert(interest.clone());
            }
        }
    }
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
/// Events that those who want the same are told in one round, about; more are said in the next one.
const MOST_IN_A_ROUND: usize = 256;
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
        let queue = Arc::<Queue>::default();
        let by_kinds = told.audiences.entry(interest.subject.clone()).or_default();
        by_kinds.entry(interest.kinds.clone()).or_default().join(number, queue.clone(), after);
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
        let queues = told.audiences.values().flat_map(BTreeMap::values).flat_map(Circle::queues);
        queues.for_each(|queue| queue.end(End::Stopping));
    }

    async fn tell(&self) {
        let mut newest = self.database.ring().newest();
        newest.mark_changed();
        while newest.changed().await.is_ok() {
            let upto = *newest.borrow_and_update();
            while self.has_news(upto) {
                match self.round().await {
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

    fn has_news(&self, newest: Position) -> bool {
        let told = lock(&self.told);
        told.upto < newest || !told.waiting.is_empty()
    }

    /// Goes round once, and says how many were told something.
    async fn round(&self) -> Result<usize, Problem> {
        self.learn().await?;
        let (begun_at, waiting) = {
            let mut told = lock(&self.told);
            (told.upto, std::mem::take(&mut told.waiting))
        };
        let mut count = 0;
        for interest in &waiting {
            count += self.go_round(interest).await;
            lock(&self.told).have_heard(interest, begun_at);
        }
        self.delivered.store(begun_at, Ordering::Release);
        Ok(count)
    }

    /// Tells those who want the same, each of all that was said until its turn; and how many were told.
    async fn go_round(&self, interest: &Interest) -> usize {
        let (mut count, mut after) = (0, 0);
        while let Some((group, has_room)) = self.next_group(interest, after) {
            (count, after) = (count + group.told.len(), group.last);
            for (queue, wave) in group.told {
                if !queue.push(&wave, self.backlog_bytes) {
                    self.cut_off.inc();
                }
            }
            yield_now().await;
            if has_room {
                // Where it fails, the next round says so.
                let _ = self.learn().await;
            }
        }
        count
    }

    fn next_group(&self, interest: &Interest, after: u64) -> Option<(Group, bool)> {
        lock(&self.told).group(interest, after)
    }

    /// Sorts what was said by who wants it. From now on, who joins in does so after that.
    async fn learn(&self) -> Result<(), Problem> {
        let newest = *self.database.ring().newest().borrow();
        let after = {
            let mut told = lock(&self.told);
            if told.members == 0 {
                told.upto = told.upto.max(newest);
                self.reached.send_replace(told.upto);
            }
            told.upto
        };
        if newest <= after {
            return Ok(());
        }
        let events = piece(&self.database, after).await?;
        let mut told = lock(&self.told);
        for event in &events {
            told.sort(event);
        }
        self.reached.send_replace(told.upto);
        Ok(())
    }

    fn leave(&self, interest: &Interest, number: u64) {
        let mut told = lock(&self.told);
        told.members -= 1;
        let Some(by_kinds) = told.audiences.get_mut(&interest.subject) else { return };
        if let Some(circle) = by_kinds.get_mut(&interest.kinds) {
            circle.leave(number);
            if circle.len() == 0 {
                by_kinds.remove(&interest.kinds);
            }
        }
        if by_kinds.is_empty() {
            told.audiences.remove(&interest.subject);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use db::{Context, Database, Envelope, Location, MemoryDisk, NewEvent, Options, Trace};
    use tokio::sync::watch;
    use world::World;

    use super::circle::{Circle, Group};
    use super::message::{Message, Wave};
    use super::queue::Queue;
    use super::{Broadcast, Interest, Joined, Next};

    fn shop() -> Database {
        let (disk, options) = (MemoryDisk::empty(), Options::default());
        Database::open("shop", Location::Memory(disk), options, World::real(), &[]).expect("a database")
    }

    async fn say(database: &Database) {
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
    }

    #[tokio::test]
    async fn who_comes_late_in_a_round_is_told_of_what_was_said_since_it_began() {
        let database = shop();
        let mut circle = Circle::default();
        let queues = [1, 2, 3].map(|number| {
            let queue = Arc::<Queue>::default();
            circle.join(number, queue.clone(), 0);
            queue
        });
        let place_of =
            |queue: &Arc<Queue>| queues.iter().position(|other| Arc::ptr_eq(queue, other)).expect("a member");
        let told = |group: Option<Group>| {
            let told = |(queue, wave): (Arc<Queue>, Arc<Wave>)| (1 + place_of(&queue), wave.positions());
            group.map(|group| (group.told.into_iter().map(told).collect::<Vec<_>>(), group.last))
        };
        for _ in 0..3 {
            say(&database).await;
        }
        let said = database.read(|read| read.events_after(0, 3)).await.expect("it can be read");
        let [first, second, third] =
            <[Envelope; 3]>::try_from(said).expect("three events").map(|event| Message::of(event.into()));
        circle.say(first.into());
        assert_eq!(told(circle.group(0, 2, 1)), Some((vec![(1, vec![1]), (2, vec![1])], 2)));
        circle.say(second.into());
        assert_eq!(told(circle.group(2, 2, 2)), Some((vec![(3, vec![1, 2])], 3)));
        assert_eq!(told(circle.group(3, 2, 2)), None, "the round is over");
        circle.say(third.into());
        let next = vec![(1, vec![2, 3]), (2, vec![2, 3]), (3, vec![3])];
        assert_eq!(told(circle.group(0, 3, 3)), Some((next, 3)), "nobody is told anything twice");
        circle.forget(1);
        assert_eq!(circle.news(), 2, "the first round has told all of them only of the first");
        circle.forget(3);
        assert_eq!((circle.news(), told(circle.group(0, 3, 3))), (0, Some((vec![], 3))));
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let broadcast = Broadcast::of(&shop(), 1_000, super::Counter::default());
        let about = |subject: &str| Interest { subject: Some(subject.into()), ..Interest::default() };
        let [one, other, another] = ["a", "a", "b"].map(|subject| broadcast.join(&about(subject), 0));
        let listening = |subject: &str| {
            let told = super::lock(&broadcast.told);
            let by_kinds = told.audiences.get(&Some(subject.into()));
            by_kinds.map(|by_kinds| by_kinds.values().map(super::Circle::len).sum::<usize>())
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
        say(&database).await;
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

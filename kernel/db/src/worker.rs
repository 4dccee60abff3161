//! The other side of the desk: what performs, on a thread of its own or turn by turn.

mod alone;
mod attempt;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use world::Moment;

use self::attempt::{Attempt, Batch, Bay, Requests, perform_batch};
use crate::desk::{BATCH_LIMIT, Crash, Perform, Plan, Queue, Turn, WEIGHT_LIMIT};
use crate::guarded::run_after_commit;
use crate::inlet::{Inlet, Room};
use crate::keyed::{Given, KeyedAnswer, Reply};
use crate::meters::Meters;
use crate::ring::lock;
use crate::session::Session;
use crate::tx::{Committed, Ended, Tx};
use crate::way::give_way;
use crate::{Asked, Database, Failure, Refused};

/// How long the thread sleeps when nothing rings.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// How long it sleeps when an inlet that brought nothing may have more.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// How long it sleeps when the database does not answer.
const SLEEP_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The other side of the desk: what performs. It runs on a thread of its own, or turn by turn where
/// a simulation drives it. When it goes away, what still waits is refused.
pub struct Worker<C, A> {
    place: usize,
    queues: Arc<[Queue<C, A>]>,
    database: Database,
    session: Session,
    perform: Perform<C, A>,
    weigh: fn(&C) -> usize,
    bays: Vec<Bay<C, A>>,
    meters: Arc<Meters>,
}

impl<C, A> fmt::Debug for Worker<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("database", &self.database).finish_non_exhaustive()
    }
}

impl<C, A> Drop for Worker<C, A> {
    fn drop(&mut self) {
        let left = {
            let mut waiting = lock(&self.queues[self.place].waiting);
            waiting.stopping = true;
            std::mem::take(&mut waiting.commands)
        };
        for ask in left {
            ask.reply.refuse(Refused::Stopping);
        }
    }
}

impl<C: Send + 'static, A: Send + 'static> Worker<C, A> {
    pub(crate) fn new(
        place: usize,
        queues: Arc<[Queue<C, A>]>,
        database: Database,
        perform: Perform<C, A>,
        weigh: fn(&C) -> usize,
        inlets: Vec<Box<dyn Inlet<C, A>>>,
        meters: Arc<Meters>,
    ) -> Result<Self, Failure> {
        for inlet in &inlets {
            inlet.listen(&queues[place].bell);
        }
        let bays = inlets.into_iter().map(|inlet| Bay { inlet, rests_until: None }).collect();
        let session = database.writer()?;
        Ok(Self { place, queues, database, session, perform, weigh, bays, meters })
    }

    fn now(&self) -> Moment {
        self.database.world().now()
    }

    /// Performs what waits, as far as the plan goes.
    pub fn turn(&mut self, plan: &Plan) -> Turn {
        let mut requests = self.take_requests(plan.requests);
        let begun = self.now();
        if requests.asked.is_empty() && !self.somebody_is_ready() {
            return Turn::Idle;
        }
        let everyone = 0..self.bays.len();
        match self.attempt(&mut requests, everyone, plan.from_inlets, plan.crash, None) {
            Attempt::Nothing => Turn::Idle,
            Attempt::Crashed => Turn::Crashed,
            Attempt::Done { given, performed, committed } => {
                self.meters.batch(performed, self.now().since(begun));
                self.meters.published(committed.news.as_deref());
                match plan.crash {
                    None => {
                        // Where more waits to be performed, somebody else waits for the disk.
                        let has_time = committed.ticket.is_none()
                            || (lock(&self.queues[self.place].waiting).commands.is_empty()
                                && !self.somebody_is_ready());
                        self.spread(committed, has_time, given, requests.replies);
                        Turn::Performed(performed)
                    }
                    // Between the commit and its answers the readers are not told either.
                    Some(Crash::AfterAnswer) => {
                        answer_all(given, requests.replies, &self.meters);
                        Turn::Crashed
                    }
                    Some(_) => Turn::Crashed,
                }
            }
            Attempt::Unknown => {
                self.meters.unknown();
                tracing::error!(service = self.database.service(), "A commit got no answer; its requests are told so");
                refuse(requests.replies, &Refused::OutcomeUnknown);
                Turn::Waits
            }
            Attempt::NotBegun(failure) => self.fail_whole(failure, requests.replies),
            Attempt::Failed { failure, .. } if is_everybodys(&failure) => self.fail_whole(failure, requests.replies),
            Attempt::Failed { failure, batch } => {
                self.meters.failed();
                tracing::warn!(service = self.database.service(), %failure, "A batch failed; each command runs alone");
                self.run_alone(requests, &batch, &failure)
            }
        }
    }

    /// Tells of what was committed, once it is durable: readers, those who asked, and what waited for
    /// the commit. This thread waits for the disk only if it has the time.
    fn spread(&self, committed: Committed, has_time: bool, given: Vec<Given<A>>, replies: Vec<Reply<A>>) {
        let (database, meters, since) = (self.database.clone(), self.meters.clone(), committed.since);
        self.database.once_durable(committed.ticket, has_time, move || {
            meters.committed(database.world().now().since(since));
            // Before the answers, so that who was answered finds the events.
            database.tell(committed.news);
            answer_all(given, replies, &meters);
            run_after_commit(committed.after);
        });
    }

    /// Refuses a whole batch, for the database is at fault and none of the commands.
    fn fail_whole(&self, failure: Failure, replies: Vec<Reply<A>>) -> Turn {
        self.meters.failed();
        tracing::error!(service = self.database.service(), %failure, "A batch failed as a whole");
        refuse(replies, &Refused::Failed(failure));
        Turn::Waits
    }

    /// Takes what waits in the queue, dropping what nobody waits for any more.
    fn take_requests(&self, most: usize) -> Requests<C, A> {
        let now = self.now();
        let Requests { mut asked, mut replies } = Requests::none();
        let mut weight = 0;
        let mut waiting = lock(&self.queues[self.place].waiting);
        while asked.len() < most.min(BATCH_LIMIT) && weight < WEIGHT_LIMIT {
            let Some(ask) = waiting.commands.pop_front() else { break };
            if is_over(&ask.asked, now) {
                ask.reply.refuse(Refused::Expired);
                continue;
            }
            self.meters.waited(now.since(ask.since));
            weight += ask.weight;
            asked.push(ask.asked);
            replies.push(ask.reply);
        }
        Requests { asked, replies }
    }

    fn somebody_is_ready(&mut self) -> bool {
        let now = self.now();
        self.bays.iter_mut().any(|bay| bay.is_ready(now))
    }

    /// One transaction with these requests and what these inlets bring.
    fn attempt(
        &mut self,
        requests: &mut Requests<C, A>,
        inlets: Range<usize>,
        from_each: usize,
        crash: Option<Crash>,
        patience: Option<Duration>,
    ) -> Attempt<A> {
        let world = self.database.world().clone();
        self.database.give_asides_their_turn();
        let mut tx = match Tx::begin(&mut self.session, &world, patience) {
            Ok(tx) => tx,
            Err(failure) => return Attempt::NotBegun(failure),
        };
        let bays = &mut self.bays[inlets];
        let own = requests.asked.len();
        let mut batch = Batch { requests: own, from_inlets: vec![None; bays.len()] };
        let room = || Room::for_commands(from_each, self.weigh);
        let performed = perform_batch(&self.perform, &mut tx, requests, bays, room, &mut batch);
        requests.asked.truncate(own);
        let took_part: Vec<bool> = batch.from_inlets.iter().map(Option::is_some).collect();
        let ended = match performed {
            Ok(_) if own == 0 && tx.changes_nothing() => {
                tx.rollback();
                Attempt::Nothing
            }
            Ok(_) if crash == Some(Crash::BeforeCommit) => {
                tx.rollback();
                return Attempt::Crashed;
            }
            Ok(given) => match tx.commit() {
                Ended::Committed(committed) => Attempt::Done { given, performed: batch.commands(), committed },
                Ended::Failed(failure) => Attempt::Failed { failure, batch },
                Ended::Unknown => Attempt::Unknown,
            },
            Err(failure) => {
                tx.rollback();
                Attempt::Failed { failure, batch }
            }
        };
        let kept = matches!(ended, Attempt::Done { .. } | Attempt::Nothing);
        let now = world.now();
        for (bay, _) in bays.iter_mut().zip(took_part).filter(|(_, took_part)| *took_part) {
            bay.ended(kept, now);
        }
        ended
    }

    /// Whether a drain was asked for and nothing waits any more.
    fn is_drained(&self) -> bool {
        let waiting = lock(&self.queues[self.place].waiting);
        waiting.stopping && waiting.commands.is_empty()
    }

    /// Starts a thread that performs until the desk is closed.
    #[expect(clippy::disallowed_methods, reason = "the desk's thread is started here")]
    pub fn start(self) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || self.run())
    }

    /// Performs on this thread until the desk is closed.
    pub fn run(mut self) {
        if self.database.options().gives_way {
            give_way();
        }
        let bell = self.queues[self.place].bell.clone();
        loop {
            let turn = self.turn(&Plan::ALL);
            self.session.tidy();
            match turn {
                Turn::Performed(_) => {}
                Turn::Idle | Turn::Waits if self.is_drained() => return,
                Turn::Idle if self.somebody_is_ready() => bell.wait(SHORTEST_SLEEP),
                Turn::Idle => bell.wait(LONGEST_SLEEP),
                Turn::Waits => bell.wait(SLEEP_AFTER_FAILURE),
                Turn::Crashed => unreachable!("only a simulation plans a crash"),
            }
            if lock(&self.queues[self.place].waiting).stopping {
                // Feeds go on elsewhere; what was asked here is finished.
                self.bays.clear();
            }
        }
    }
}

/// Whether nobody waits for the answer any more.
fn is_over<C>(asked: &Asked<C>, now: Moment) -> bool {
    asked.until.is_some_and(|until| until < now)
}

/// Whether a failure is the database's and would meet any other command too.
fn is_everybodys(failure: &Failure) -> bool {
    matches!(failure, Failure::Unavailable(_) | Failure::DiskFull(_))
}

fn answer_all<A>(given: Vec<Given<A>>, replies: Vec<Reply<A>>, meters: &Meters) {
    for (given, reply) in given.into_iter().zip(replies) {
        if matches!(given, Given::Keyed(KeyedAnswer::Again(_))) {
            meters.replayed();
        }
        reply.give(given);
    }
}

fn refuse<A>(replies: Vec<Reply<A>>, why: &Refused) {
    for reply in replies {
        reply.refuse(why.clone());
    }
}

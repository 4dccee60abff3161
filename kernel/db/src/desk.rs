//! The desk: where all changes of a service are asked for, and where they are performed together.
//!
//! ```text
//! requests ─▶ queue ─┐
//! feeds ─────▶ inlet ─┼─▶ one batch ─▶ perform(tx, commands) ─▶ COMMIT ─▶ all answers
//! due work ──▶ inlet ─┘      │ failed
//!                            └─▶ each alone: only the guilty one fails
//! ```
//!
//! The desk's thread takes whatever waits, performs it in one transaction and answers after the
//! commit. There is no timer and no lingering: while one batch is written, the next one gathers.
//!
//! **Invariant:** nobody is answered before the commit that holds their command is durable.
//!
//! **Invariant:** a command runs in a transaction that also holds every trace of it (its events, the
//! mark that it was done), or it has not run.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use world::{Moment, World};

use crate::inlet::Inlet;
use crate::meters::Meters;
use crate::ring::{Bell, lock};
use crate::session::Session;
use crate::tx::{Committed, Ended, Tx};
use crate::{Asked, Database, Failure, Refused};

/// Performs a batch: load all, decide each in its order, store all, publish. One answer for each
/// command, in the same order. A rejection is an answer; a failure takes back the whole batch.
pub type Perform<C, A> = Arc<dyn Fn(&mut Tx<'_>, &[Asked<C>]) -> Result<Vec<A>, Failure> + Send + Sync>;

/// Commands in one batch, at most.
const BATCH_LIMIT: usize = 256;
/// Commands that one inlet may add to a batch, at most.
const INLET_LIMIT: usize = 128;
/// Weight of a batch, about 5 ms of work: an order of 1,000 lines weighs 1,000.
const WEIGHT_LIMIT: usize = 1_024;
/// How often a command that was alone in its transaction runs again after a conflict.
const TRIES_ALONE: usize = 4;
/// How long the thread sleeps when nothing rings.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Where commands are handed in; cheap to clone.
pub struct Desk<C, A> {
    queues: Arc<[Queue<C, A>]>,
    key_of: fn(&C) -> u64,
    weigh: fn(&C) -> usize,
    world: World,
}

impl<C, A> Clone for Desk<C, A> {
    fn clone(&self) -> Self {
        Self { queues: self.queues.clone(), key_of: self.key_of, weigh: self.weigh, world: self.world.clone() }
    }
}

impl<C, A> fmt::Debug for Desk<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("queues", &self.queues.len()).finish_non_exhaustive()
    }
}

/// How a service's commands are told apart.
#[derive(Debug)]
pub struct Kind<C> {
    /// What a command is about, so that commands on the same thing meet in one writer's batches.
    pub key_of: fn(&C) -> u64,
    /// About how many rows it touches.
    pub weigh: fn(&C) -> usize,
}

struct Queue<C, A> {
    waiting: Mutex<Waiting<C, A>>,
    bell: Arc<Bell>,
    limit: usize,
}

struct Waiting<C, A> {
    commands: VecDeque<Ask<C, A>>,
    stopping: bool,
}

struct Ask<C, A> {
    asked: Asked<C>,
    weight: usize,
    since: Moment,
    answer: oneshot::Sender<Result<A, Refused>>,
}

impl<C, A> Desk<C, A> {
    /// Hands a command in; the answer comes after the commit that holds it.
    ///
    /// A caller that goes away takes nothing back: the command is performed all the same.
    pub fn ask(&self, asked: Asked<C>) -> Answered<A> {
        let place = usize::try_from((self.key_of)(&asked.command) % self.queues.len() as u64).unwrap_or(0);
        let queue = &self.queues[place];
        let (answer, answered) = oneshot::channel();
        let weight = (self.weigh)(&asked.command);
        let ask = Ask { asked, weight, since: self.world.now(), answer };
        let mut waiting = lock(&queue.waiting);
        if waiting.stopping {
            drop(ask.answer.send(Err(Refused::Stopping)));
        } else if waiting.commands.len() >= queue.limit {
            drop(ask.answer.send(Err(Refused::Full { retry_after: Duration::from_secs(1) })));
        } else {
            waiting.commands.push_back(ask);
            drop(waiting);
            queue.bell.ring();
        }
        Answered(answered)
    }
}

impl<C, A> Desk<C, A> {
    /// Takes nothing in any more; the workers finish what waits and end.
    pub fn close(&self) {
        for queue in self.queues.iter() {
            lock(&queue.waiting).stopping = true;
            queue.bell.ring();
        }
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.queues.iter().map(|queue| lock(&queue.waiting).commands.len()).sum()
    }
}

/// The answer to a command, once it is there.
#[derive(Debug)]
pub struct Answered<A>(oneshot::Receiver<Result<A, Refused>>);

impl<A> std::future::Future for Answered<A> {
    type Output = Result<A, Refused>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        // A desk that went away in between may have committed.
        std::pin::Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(Refused::OutcomeUnknown)))
    }
}

/// Where a process dies in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crash {
    /// Before the commit: nothing happened, and nobody was told.
    BeforeCommit,
    /// After the commit: all of it happened, and nobody was told.
    AfterCommit,
    /// After the answers: all of it happened and was told, and nothing was woken.
    AfterAnswer,
}

/// What a turn of the desk may take.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Commands from requests.
    pub requests: usize,
    /// Commands from each inlet.
    pub from_inlets: usize,
    /// Where the process dies, in a simulation.
    pub crash: Option<Crash>,
}

impl Plan {
    /// All that waits, as far as a batch goes.
    pub const ALL: Self = Self { requests: BATCH_LIMIT, from_inlets: INLET_LIMIT, crash: None };
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A batch of this many commands was performed.
    Performed(usize),
    /// Nothing waited.
    Idle,
    /// The database does not answer; it is worth trying again a little later.
    Waits,
    /// The process died, as planned.
    Crashed,
}

/// The other side of the desk: what performs. It runs on a thread of its own, or turn by turn where
/// a simulation drives it.
pub struct Worker<C, A> {
    place: usize,
    queues: Arc<[Queue<C, A>]>,
    database: Database,
    session: Session,
    perform: Perform<C, A>,
    inlets: Vec<Box<dyn Inlet<C, A>>>,
    meters: Arc<Meters>,
}

impl<C, A> fmt::Debug for Worker<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("database", &self.database).finish_non_exhaustive()
    }
}

/// Opens the desk of a service, and the workers behind it: one, or as many as the database takes.
/// The inlets belong to the first.
pub fn open_desk<C: Send + 'static, A: Send + 'static>(
    database: &Database,
    kind: &Kind<C>,
    perform: &Perform<C, A>,
    inlets: Vec<Box<dyn Inlet<C, A>>>,
    meters: &Arc<Meters>,
) -> Result<(Desk<C, A>, Vec<Worker<C, A>>), Failure> {
    let options = database.options();
    let writers = if database.is_shared() { options.writers.max(1) } else { 1 };
    let queue = || Queue {
        waiting: Mutex::new(Waiting { commands: VecDeque::new(), stopping: false }),
        bell: Arc::default(),
        limit: options.queue_limit,
    };
    let queues: Arc<[Queue<C, A>]> = (0..writers).map(|_| queue()).collect();
    let mut workers = Vec::with_capacity(writers);
    let mut inlets = Some(inlets);
    for place in 0..writers {
        let inlets = inlets.take().unwrap_or_default();
        for inlet in &inlets {
            inlet.listen(&queues[place].bell);
        }
        workers.push(Worker {
            place,
            queues: queues.clone(),
            database: database.clone(),
            session: database.writer()?,
            perform: perform.clone(),
            inlets,
            meters: meters.clone(),
        });
    }
    let desk = Desk { queues, key_of: kind.key_of, weigh: kind.weigh, world: database.world().clone() };
    Ok((desk, workers))
}

/// How one attempt at a batch ended.
enum Attempt<A> {
    /// All answers: those to requests first.
    Done {
        answers: Vec<A>,
        committed: Committed,
    },
    Nothing,
    Failed {
        failure: Failure,
        from_inlets: Vec<usize>,
    },
    Unknown,
    Crashed,
}

impl<C: Send + 'static, A: Send + 'static> Worker<C, A> {
    /// Performs what waits, as far as the plan goes.
    pub fn turn(&mut self, plan: &Plan) -> Turn {
        let (mut asked, answers) = self.take_requests(plan.requests);
        let now = self.database.world().now();
        if asked.is_empty() && !self.inlets.iter_mut().any(|inlet| inlet.is_ready(now)) {
            return Turn::Idle;
        }
        let everyone = 0..self.inlets.len();
        let begun = self.database.world().now();
        match self.attempt(&mut asked, everyone, plan.from_inlets, plan.crash) {
            Attempt::Nothing => Turn::Idle,
            Attempt::Crashed => Turn::Crashed,
            Attempt::Done { answers: given, committed } => {
                self.meters.batch(given.len(), self.database.world().now().since(begun));
                if plan.crash == Some(Crash::AfterCommit) {
                    return Turn::Crashed;
                }
                let performed = given.len();
                self.database.tell(committed.news);
                for (answer, reply) in given.into_iter().zip(answers) {
                    drop(reply.send(Ok(answer)));
                }
                if plan.crash == Some(Crash::AfterAnswer) {
                    return Turn::Crashed;
                }
                committed.after.into_iter().for_each(|work| work());
                Turn::Performed(performed)
            }
            Attempt::Unknown => {
                self.meters.unknown();
                tracing::error!(service = self.database.service(), "A commit got no answer; its requests are told so");
                refuse(answers, &Refused::OutcomeUnknown);
                Turn::Waits
            }
            Attempt::Failed { failure: failure @ (Failure::Unavailable(_) | Failure::DiskFull(_)), .. } => {
                self.meters.failed();
                tracing::error!(service = self.database.service(), %failure, "A batch failed as a whole");
                refuse(answers, &Refused::Failed(failure));
                Turn::Waits
            }
            Attempt::Failed { failure, from_inlets } => {
                self.meters.failed();
                tracing::warn!(service = self.database.service(), %failure, "A batch failed; each command runs alone");
                self.run_alone(asked, answers, &from_inlets, &failure)
            }
        }
    }

    /// Takes what waits in the queue, dropping what nobody waits for any more.
    #[expect(clippy::type_complexity, reason = "two columns of one list: the commands are lent to perform as a slice")]
    fn take_requests(&self, most: usize) -> (Vec<Asked<C>>, Vec<oneshot::Sender<Result<A, Refused>>>) {
        let now = self.database.world().now();
        let (mut asked, mut answers) = (Vec::new(), Vec::new());
        let mut weight = 0;
        let mut waiting = lock(&self.queues[self.place].waiting);
        while asked.len() < most.min(BATCH_LIMIT) && weight < WEIGHT_LIMIT {
            let Some(ask) = waiting.commands.pop_front() else { break };
            if ask.asked.until.is_some_and(|until| until < now) {
                drop(ask.answer.send(Err(Refused::Expired)));
                continue;
            }
            self.meters.waited(now.since(ask.since));
            weight += ask.weight;
            asked.push(ask.asked);
            answers.push(ask.answer);
        }
        (asked, answers)
    }

    /// One transaction with these requests and what these inlets bring.
    fn attempt(
        &mut self,
        requests: &mut Vec<Asked<C>>,
        inlets: Range<usize>,
        from_each: usize,
        crash: Option<Crash>,
    ) -> Attempt<A> {
        let world = self.database.world().clone();
        let mut tx = match Tx::begin(&mut self.session, &world) {
            Ok(tx) => tx,
            Err(failure) => return Attempt::Failed { failure, from_inlets: Vec::new() },
        };
        let inlets = &mut self.inlets[inlets];
        let own = requests.len();
        let mut from_inlets = Vec::with_capacity(inlets.len());
        let performed = perform_batch(&self.perform, &mut tx, requests, inlets, from_each, &mut from_inlets);
        requests.truncate(own);
        let ended = match performed {
            Ok(_) if own == 0 && tx.changes_nothing() => {
                tx.rollback();
                Attempt::Nothing
            }
            Ok(_) if crash == Some(Crash::BeforeCommit) => {
                tx.rollback();
                return Attempt::Crashed;
            }
            Ok(answers) => match tx.commit() {
                Ended::Committed(committed) => Attempt::Done { answers, committed },
                Ended::Failed(failure) => Attempt::Failed { failure, from_inlets },
                Ended::Unknown => Attempt::Unknown,
            },
            Err(failure) => {
                tx.rollback();
                Attempt::Failed { failure, from_inlets }
            }
        };
        let kept = matches!(ended, Attempt::Done { .. } | Attempt::Nothing);
        inlets.iter_mut().for_each(|inlet| inlet.ended(kept));
        ended
    }

    /// Runs a failed batch again, one command a transaction, so that only the guilty one fails.
    fn run_alone(
        &mut self,
        asked: Vec<Asked<C>>,
        answers: Vec<oneshot::Sender<Result<A, Refused>>>,
        from_inlets: &[usize],
        why: &Failure,
    ) -> Turn {
        let was_alone = asked.len() + from_inlets.iter().sum::<usize>() == 1;
        // What was alone already has failed by itself; only a conflict is worth another try.
        let tries = |failure: &Failure| if matches!(failure, Failure::Conflict(_)) { TRIES_ALONE } else { 1 };
        let tries = if was_alone && tries(why) == 1 { 0 } else { TRIES_ALONE };
        let mut performed = 0;
        for (command, reply) in asked.into_iter().zip(answers) {
            let answer = self.one_alone(vec![command], 0..0, tries, why).map(|mut answers| answers.pop());
            performed += usize::from(answer.is_ok());
            match answer {
                Ok(Some(answer)) => drop(reply.send(Ok(answer))),
                Ok(None) => drop(reply.send(Err(Refused::Failed(Failure::Corrupt("perform gave no answer".into()))))),
                Err(refused) => drop(reply.send(Err(refused))),
            }
        }
        for (place, count) in from_inlets.iter().enumerate() {
            for _ in 0..*count {
                match self.one_alone(Vec::new(), place..place + 1, tries, why) {
                    Ok(_) => performed += 1,
                    Err(Refused::Failed(failure))
                        if !matches!(failure, Failure::Unavailable(_) | Failure::DiskFull(_)) =>
                    {
                        self.condemn(place, &failure);
                    }
                    Err(_) => return Turn::Waits,
                }
            }
        }
        Turn::Performed(performed)
    }

    fn one_alone(
        &mut self,
        mut request: Vec<Asked<C>>,
        inlet: Range<usize>,
        tries: usize,
        why: &Failure,
    ) -> Result<Vec<A>, Refused> {
        let mut last = why.clone();
        for _ in 0..tries {
            match self.attempt(&mut request, inlet.clone(), 1, None) {
                Attempt::Done { answers, committed, .. } => {
                    self.database.tell(committed.news);
                    committed.after.into_iter().for_each(|work| work());
                    return Ok(answers);
                }
                Attempt::Nothing | Attempt::Crashed => return Ok(Vec::new()),
                Attempt::Unknown => return Err(Refused::OutcomeUnknown),
                Attempt::Failed { failure, .. } => {
                    let again = matches!(failure, Failure::Conflict(_));
                    last = failure;
                    if !again {
                        break;
                    }
                }
            }
        }
        tracing::error!(service = self.database.service(), failure = %last, "A command failed alone");
        Err(Refused::Failed(last))
    }

    /// Lets an inlet put aside the command that fails alone, in a transaction of its own.
    fn condemn(&mut self, place: usize, failure: &Failure) {
        let world = self.database.world().clone();
        let condemned = Tx::begin(&mut self.session, &world).and_then(|mut tx| {
            match self.inlets[place].condemn(&mut tx, failure) {
                Ok(()) => match tx.commit() {
                    Ended::Committed(_) => Ok(()),
                    Ended::Failed(failure) => Err(failure),
                    Ended::Unknown => Err(Failure::Unavailable("the commit got no answer".into())),
                },
                Err(failure) => {
                    tx.rollback();
                    Err(failure)
                }
            }
        });
        if let Err(failure) = &condemned {
            tracing::error!(service = self.database.service(), %failure, "A failing event could not be put aside");
        }
        self.inlets[place].ended(condemned.is_ok());
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
        let bell = self.queues[self.place].bell.clone();
        loop {
            match self.turn(&Plan::ALL) {
                Turn::Performed(_) => self.session.tidy(),
                Turn::Idle if self.is_drained() => return,
                Turn::Waits if self.is_drained() => return,
                Turn::Idle => bell.wait(LONGEST_SLEEP),
                Turn::Waits => bell.wait(Duration::from_millis(100)),
                Turn::Crashed => unreachable!("only a simulation plans a crash"),
            }
            if lock(&self.queues[self.place].waiting).stopping {
                // Feeds go on elsewhere; what was asked here is finished.
                self.inlets.clear();
            }
        }
    }
}

/// Lets the inlets add their commands, performs all, and lets the inlets mark theirs as done.
fn perform_batch<C, A>(
    perform: &Perform<C, A>,
    tx: &mut Tx<'_>,
    batch: &mut Vec<Asked<C>>,
    inlets: &mut [Box<dyn Inlet<C, A>>],
    from_each: usize,
    from_inlets: &mut Vec<usize>,
) -> Result<Vec<A>, Failure> {
    let mut from = batch.len();
    for inlet in inlets.iter_mut() {
        let brought = if inlet.is_ready(tx.now()) { inlet.take(tx, from_each.min(INLET_LIMIT))? } else { Vec::new() };
        from_inlets.push(brought.len());
        batch.extend(brought);
    }
    let answers = if batch.is_empty() {
        Vec::new()
    } else {
        catch_unwind(AssertUnwindSafe(|| perform(tx, batch))).unwrap_or_else(|panic| Err(panicked(&*panic)))?
    };
    if answers.len() != batch.len() {
        return Err(Failure::Corrupt(format!("{} commands got {} answers", batch.len(), answers.len())));
    }
    for (inlet, brought) in inlets.iter_mut().zip(from_inlets.iter()) {
        inlet.settle(tx, &answers[from..from + brought])?;
        from += brought;
    }
    Ok(answers)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Failure::Panicked(text.unwrap_or("without a message").to_owned())
}

fn refuse<A>(answers: Vec<oneshot::Sender<Result<A, Refused>>>, why: &Refused) {
    for answer in answers {
        drop(answer.send(Err(why.clone())));
    }
}

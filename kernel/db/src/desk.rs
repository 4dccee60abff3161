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
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use world::{Moment, World};

use crate::inlet::Inlet;
use crate::keyed::{Forget, Keyed, KeyedAnswer, Reply};
use crate::meters::Meters;
use crate::ring::{Bell, lock};
use crate::tx::Tx;
use crate::{Asked, Database, Failure, Refused, Worker};

/// Performs a batch: load all, decide each in its order, store all, publish. One answer for each
/// command, in the same order. A rejection is an answer; a failure takes back the whole batch.
pub type Perform<C, A> = Arc<dyn Fn(&mut Tx<'_>, &[Asked<C>]) -> Result<Vec<A>, Failure> + Send + Sync>;

/// Commands in one batch, at most.
pub(crate) const BATCH_LIMIT: usize = 256;
/// Commands that one inlet may add to a batch, at most.
pub(crate) const INLET_LIMIT: usize = 128;

/// Weight of a batch, about 5 ms of work: an order of 1,000 lines weighs 1,000.
pub(crate) const WEIGHT_LIMIT: usize = 1_024;
/// Weight that one inlet may add to a batch.
pub(crate) const INLET_WEIGHT_LIMIT: usize = 512;

/// Commands that wait for the first writer before others help it: two writers that share few commands
/// make two small batches of one, and each batch costs a commit.
const BEHIND: usize = 16;

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
    /// What a command is about, so that commands on the same thing meet in one writer's batches where
    /// several have to help.
    pub key_of: fn(&C) -> u64,
    /// About how many rows it touches.
    pub weigh: fn(&C) -> usize,
}

/// Commands that wait for one worker.
pub(crate) struct Queue<C, A> {
    pub(crate) waiting: Mutex<Waiting<C, A>>,
    pub(crate) bell: Arc<Bell>,
    limit: usize,
}

pub(crate) struct Waiting<C, A> {
    pub(crate) commands: VecDeque<Ask<C, A>>,
    pub(crate) stopping: bool,
}

/// A command that waits, with who waits for its answer.
pub(crate) struct Ask<C, A> {
    pub(crate) asked: Asked<C>,
    pub(crate) weight: usize,
    pub(crate) since: Moment,
    pub(crate) reply: Reply<A>,
}

impl<C, A> Desk<C, A> {
    /// Hands a command in; the answer comes after the commit that holds it.
    ///
    /// A caller that goes away takes nothing back: the command is performed all the same.
    pub fn ask(&self, asked: Asked<C>) -> Answered<A> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(asked, Reply::Plain(answer));
        Answered(answered)
    }

    /// Hands a command in under a key of its caller's: it is performed once, and whoever asks the same
    /// again under that key gets the answer that was stored with its effect.
    pub fn ask_keyed(&self, asked: Asked<C>, keyed: Keyed<A>) -> Answered<KeyedAnswer> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(asked, Reply::Keyed(Box::new(keyed), answer));
        Answered(answered)
    }

    fn hand_in(&self, asked: Asked<C>, reply: Reply<A>) {
        let queue = self.queue_for(&asked.command);
        let weight = (self.weigh)(&asked.command);
        let ask = Ask { asked, weight, since: self.world.now(), reply };
        let mut waiting = lock(&queue.waiting);
        if waiting.stopping {
            ask.reply.refuse(Refused::Stopping);
        } else if waiting.commands.len() >= queue.limit {
            ask.reply.refuse(Refused::Full { retry_after: Duration::from_secs(1) });
        } else {
            waiting.commands.push_back(ask);
            drop(waiting);
            queue.bell.ring();
        }
    }

    /// The first writer's queue, as long as one is enough; then each writer has its share of the keys.
    fn queue_for(&self, command: &C) -> &Queue<C, A> {
        let behind = || lock(&self.queues[0].waiting).commands.len() >= BEHIND;
        let writers = self.queues.len() as u64;
        let place = if writers > 1 && behind() { (self.key_of)(command) % writers } else { 0 };
        &self.queues[usize::try_from(place).unwrap_or(0)]
    }

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

/// A desk, and the workers behind it.
pub type Opened<C, A> = (Desk<C, A>, Vec<Worker<C, A>>);

/// Opens the desk of a service, and the workers behind it: one, or as many as the database takes.
/// The inlets belong to the first, which also forgets answers that were stored long ago.
pub fn open_desk<C: Send + 'static, A: Send + 'static>(
    database: &Database,
    kind: &Kind<C>,
    perform: &Perform<C, A>,
    mut inlets: Vec<Box<dyn Inlet<C, A>>>,
    meters: &Arc<Meters>,
) -> Result<Opened<C, A>, Failure> {
    inlets.push(Box::new(Forget::default()));
    let options = database.options();
    let writers = if database.is_shared() { options.writers.max(1) } else { 1 };
    let queue = || Queue {
        waiting: Mutex::new(Waiting { commands: VecDeque::new(), stopping: false }),
        bell: Arc::default(),
        limit: options.queue_limit,
    };
    let queues: Arc<[Queue<C, A>]> = (0..writers).map(|_| queue()).collect();
    let mut inlets = Some(inlets);
    let workers = (0..writers).map(|place| {
        let inlets = inlets.take().unwrap_or_default();
        Worker::new(place, queues.clone(), database.clone(), perform.clone(), kind.weigh, inlets, meters.clone())
    });
    let workers = workers.collect::<Result<_, _>>()?;
    let desk = Desk { queues, key_of: kind.key_of, weigh: kind.weigh, world: database.world().clone() };
    Ok((desk, workers))
}

#[cfg(test)]
mod tests {
    use super::{Arc, BEHIND, Desk, Mutex, Queue, VecDeque, Waiting, World, lock};
    use crate::{Asked, Context, Trace};

    #[test]
    fn a_second_writer_is_asked_only_while_the_first_is_behind() {
        let queue = || Queue::<u64, ()> {
            waiting: Mutex::new(Waiting { commands: VecDeque::new(), stopping: false }),
            bell: Arc::default(),
            limit: 100,
        };
        let world = World::simulated(1);
        let desk = Desk { queues: [queue(), queue()].into(), key_of: |key| *key, weigh: |_| 1, world };
        let by = Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true });
        let ask = |key| drop(desk.ask(Asked::new(key, by.clone())));
        let waiting = || [0, 1].map(|place| lock(&desk.queues[place].waiting).commands.len());
        for _ in 0..BEHIND {
            ask(1);
        }
        assert_eq!(waiting(), [BEHIND, 0]);
        [1, 6, 7].into_iter().for_each(ask);
        assert_eq!((waiting(), desk.waiting()), ([BEHIND + 1, 2], BEHIND + 3));
        lock(&desk.queues[0].waiting).commands.clear();
        ask(3);
        assert_eq!((waiting(), desk.waiting()), ([1, 2], 3));
    }
}

//! The other side of the desk: what performs, on a thread of its own or turn by turn.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use world::Moment;

use crate::desk::{BATCH_LIMIT, Crash, Perform, Plan, Queue, Turn, WEIGHT_LIMIT};
use crate::inlet::{Inlet, Room};
use crate::keyed::{Fates, Given, KeyedAnswer, Reply};
use crate::meters::Meters;
use crate::ring::lock;
use crate::session::Session;
use crate::tx::{Committed, Ended, Tx};
use crate::way::give_way;
use crate::{Asked, Database, Failure, Refused};

/// How often a command that was alone in its transaction runs again after a conflict.
const TRIES_ALONE: usize = 4;
/// How long the first command that runs alone waits for a locked row. Each one that waits in vain
/// halves it for the next, so that a batch on a row whose holder stands still costs others little.
const PATIENCE_ALONE: Duration = Duration::from_millis(100);
/// How long the thread sleeps when nothing rings.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// How long it sleeps when an inlet that brought nothing may have more.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// How long it sleeps when the database does not answer.
const SLEEP_AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long an inlet rests that could not bring, or not put aside, what it has.
const REST: Duration = Duration::from_secs(1);

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

/// An inlet at its place.
struct Bay<C, A> {
    inlet: Box<dyn Inlet<C, A>>,
    rests_until: Option<Moment>,
}

impl<C, A> Bay<C, A> {
    fn is_ready(&mut self, now: Moment) -> bool {
        if self.rests_until.is_some_and(|until| now < until) {
            return false;
        }
        self.rests_until = None;
        let ready = guarded(|| Ok(self.inlet.is_ready(now)));
        if let Err(failure) = &ready {
            tracing::error!(%failure, "An inlet cannot say whether it is ready; it rests for a while");
            self.rests_until = Some(now + REST);
        }
        ready.unwrap_or(false)
    }

    fn ended(&mut self, kept: bool, now: Moment) {
        if let Err(failure) = guarded(|| {
            self.inlet.ended(kept);
            Ok(())
        }) {
            tracing::error!(%failure, "An inlet does not take how its batch ended; it rests for a while");
            self.rests_until = Some(now + REST);
        }
    }
}

/// What waited, and who waits for the answers, in the same order.
struct Requests<C, A> {
    asked: Vec<Asked<C>>,
    replies: Vec<Reply<A>>,
}

impl<C, A> Requests<C, A> {
    fn none() -> Self {
        Self { asked: Vec::new(), replies: Vec::new() }
    }
}

/// How one attempt at a batch ended.
enum Attempt<A> {
    /// What each request is answered, and how many commands there were with those of inlets.
    Done {
        given: Vec<Given<A>>,
        performed: usize,
        committed: Committed,
    },
    Nothing,
    /// The transaction could not be begun; nobody in the batch is guilty of that.
    NotBegun(Failure),
    Failed {
        failure: Failure,
        batch: Batch,
    },
    Unknown,
    Crashed,
}

/// What ran alone, and what whoever asked for it is answered.
type DoneAlone<A> = (Committed, Vec<Given<A>>);

/// Who took part in a batch.
#[derive(Default)]
struct Batch {
    requests: usize,
    /// Commands that each inlet brought; none of an inlet that was not ready.
    from_inlets: Vec<Option<usize>>,
}

impl Batch {
    fn commands(&self) -> usize {
        self.requests + self.from_inlets.iter().flatten().sum::<usize>()
    }

    /// Whether it was one request and nothing else, so that it has failed alone already.
    fn was_one_request(&self) -> bool {
        self.requests == 1 && self.from_inlets.iter().all(Option::is_none)
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

    /// Runs a failed batch again, one command a transaction, so that only the guilty one fails.
    fn run_alone(&mut self, requests: Requests<C, A>, batch: &Batch, why: &Failure) -> Turn {
        let mut patience = PATIENCE_ALONE;
        let mut performed = 0;
        // What was alone already has failed by itself; only a conflict is worth another try.
        let failed_alone = batch.was_one_request() && !matches!(why, Failure::Conflict(_));
        let mut lost = None;
        for (asked, reply) in requests.asked.into_iter().zip(requests.replies) {
            let mut alone = Requests { asked: vec![asked], replies: vec![reply] };
            let performed_alone = if failed_alone {
                Err(Refused::Failed(why.clone()))
            } else if let Some(failure) = &lost {
                Err(Refused::Failed(Failure::clone(failure)))
            } else if is_over(&alone.asked[0], self.now()) {
                Err(Refused::Expired)
            } else {
                self.one_alone(&mut alone, 0..0, &mut patience)
            };
            match performed_alone {
                Ok(done) => {
                    performed += 1;
                    self.spread_alone(done, alone.replies);
                }
                Err(refused) => {
                    lost = lost.or_else(|| loses_the_rest(&refused));
                    refuse(alone.replies, &refused);
                }
            }
        }
        if lost.is_some() {
            return Turn::Waits;
        }
        for (place, count) in batch.from_inlets.iter().enumerate() {
            for _ in 0..count.unwrap_or(0) {
                let now = self.now();
                if !self.bays[place].is_ready(now) {
                    break;
                }
                match self.one_alone(&mut Requests::none(), place..place + 1, &mut patience) {
                    Ok(done) => {
                        performed += 1;
                        self.spread_alone(done, Vec::new());
                    }
                    Err(refused) if loses_the_rest(&refused).is_some() => return Turn::Waits,
                    Err(_) if self.bays[place].rests_until.is_some() => break,
                    Err(Refused::Failed(failure)) => self.condemn(place, &failure),
                    Err(_) => {}
                }
            }
        }
        // Who asked has been answered, so others may be waiting; an inlet alone would fail again at once.
        if performed == 0 && batch.requests == 0 { Turn::Waits } else { Turn::Performed(performed) }
    }

    /// Tells of what ran alone, if it changed anything. Others are to run yet, so that one wait for the disk
    /// serves many.
    fn spread_alone(&self, done: Option<DoneAlone<A>>, replies: Vec<Reply<A>>) {
        if let Some((committed, given)) = done {
            self.spread(committed, false, given, replies);
        }
    }

    fn one_alone(
        &mut self,
        request: &mut Requests<C, A>,
        inlet: Range<usize>,
        patience: &mut Duration,
    ) -> Result<Option<DoneAlone<A>>, Refused> {
        let mut tries = 0;
        loop {
            let begun = self.now();
            let failure = match self.attempt(request, inlet.clone(), 1, None, Some(*patience)) {
                Attempt::Done { given, committed, .. } => {
                    self.meters.batch(1, self.now().since(begun));
                    self.meters.published(committed.news.as_deref());
                    return Ok(Some((committed, given)));
                }
                Attempt::Nothing | Attempt::Crashed => return Ok(None),
                Attempt::Unknown => {
                    self.meters.unknown();
                    return Err(Refused::OutcomeUnknown);
                }
                Attempt::NotBegun(failure) if is_everybodys(&failure) => failure,
                Attempt::NotBegun(failure) => Failure::Unavailable(failure.to_string()),
                Attempt::Failed { failure, .. } => failure,
            };
            tries += 1;
            match failure {
                Failure::Conflict(_) if tries < TRIES_ALONE => continue,
                Failure::TimedOut(_) => *patience = (*patience / 2).max(Duration::from_millis(1)),
                _ => {}
            }
            tracing::error!(service = self.database.service(), %failure, "A command failed alone");
            return Err(Refused::Failed(failure));
        }
    }

    /// Lets an inlet put aside the command that fails alone, in a transaction of its own.
    fn condemn(&mut self, place: usize, failure: &Failure) {
        let world = self.database.world().clone();
        let inlet = &mut self.bays[place].inlet;
        let condemned = Tx::begin(&mut self.session, &world, None).and_then(|mut tx| {
            match guarded(|| inlet.condemn(&mut tx, failure)) {
                Ok(()) => match tx.commit() {
                    Ended::Committed(committed) => Ok(committed),
                    Ended::Failed(failure) => Err(failure),
                    Ended::Unknown => Err(Failure::Unavailable("the commit got no answer".into())),
                },
                Err(failure) => {
                    tx.rollback();
                    Err(failure)
                }
            }
        });
        let now = self.now();
        self.bays[place].ended(condemned.is_ok(), now);
        match condemned {
            Ok(committed) => self.spread(committed, false, Vec::new(), Vec::new()),
            Err(failure) => {
                tracing::error!(service = self.database.service(), %failure, "A failing event could not be put aside");
                self.bays[place].rests_until = Some(now + REST);
            }
        }
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

/// Lets the inlets add their commands, performs all that is new, and lets the inlets mark theirs as done.
fn perform_batch<C, A>(
    perform: &Perform<C, A>,
    tx: &mut Tx<'_>,
    requests: &mut Requests<C, A>,
    bays: &mut [Bay<C, A>],
    room: impl Fn() -> Room<C>,
    batch: &mut Batch,
) -> Result<Vec<Given<A>>, Failure> {
    let Requests { asked: commands, replies } = requests;
    let fates = Fates::look_up(tx, commands, replies)?;
    for (bay, count) in bays.iter_mut().zip(&mut batch.from_inlets) {
        if !bay.is_ready(tx.now()) {
            continue;
        }
        *count = Some(0);
        let taken = guarded(|| bay.inlet.take(tx, room()));
        let brought = taken.inspect_err(|failure| {
            if !failure.may_pass() {
                tracing::error!(%failure, "An inlet cannot bring what it has; it rests for a while");
                bay.rests_until = Some(tx.now() + REST);
            }
        })?;
        *count = Some(brought.len());
        commands.extend(brought);
    }
    let known = fates.take_out(commands);
    let answers = if commands.is_empty() { Ok(Vec::new()) } else { guarded(|| perform(tx, commands)) };
    let performed = commands.len();
    let own = batch.requests - known.len();
    Fates::put_back(commands, known);
    let mut answers = answers?;
    if answers.len() != performed {
        return Err(Failure::Corrupt(format!("{performed} commands got {} answers", answers.len())));
    }
    let of_inlets = answers.split_off(own);
    let given = guarded(|| fates.give(tx, &commands[..batch.requests], replies, answers))?;
    let mut from = 0;
    for (bay, count) in bays.iter_mut().zip(&batch.from_inlets) {
        let Some(count) = count else { continue };
        guarded(|| bay.inlet.settle(tx, &of_inlets[from..from + count]))?;
        from += count;
    }
    Ok(given)
}

/// Whether nobody waits for the answer any more.
fn is_over<C>(asked: &Asked<C>, now: Moment) -> bool {
    asked.until.is_some_and(|until| until < now)
}

/// Whether a failure is the database's and would meet any other command too.
fn is_everybodys(failure: &Failure) -> bool {
    matches!(failure, Failure::Unavailable(_) | Failure::DiskFull(_))
}

/// What the commands behind one are refused with, if that one shows that they cannot run either.
fn loses_the_rest(refused: &Refused) -> Option<Failure> {
    match refused {
        Refused::Failed(failure) if is_everybodys(failure) => Some(failure.clone()),
        Refused::OutcomeUnknown => Some(Failure::Unavailable("the connection broke before this one ran".into())),
        _ => None,
    }
}

fn answer_all<A>(given: Vec<Given<A>>, replies: Vec<Reply<A>>, meters: &Meters) {
    for (given, reply) in given.into_iter().zip(replies) {
        if matches!(given, Given::Keyed(KeyedAnswer::Again(_))) {
            meters.replayed();
        }
        reply.give(given);
    }
}

/// Runs what waited for a commit.
pub(crate) fn run_after_commit(after: Vec<Box<dyn FnOnce() + Send>>) {
    after.into_iter().for_each(run_guarded);
}

/// Runs something that follows a commit; what fails there cannot take anything back.
pub(crate) fn run_guarded(work: Box<dyn FnOnce() + Send>) {
    let done = guarded(|| {
        work();
        Ok(())
    });
    if let Err(failure) = done {
        tracing::error!(%failure, "What was to follow a commit failed");
    }
}

/// Turns a panic into a failure.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        Err(Failure::Panicked(text.to_owned()))
    })
}

fn refuse<A>(replies: Vec<Reply<A>>, why: &Refused) {
    for reply in replies {
        reply.refuse(why.clone());
    }
}

//! One attempt at a batch: who takes part in it, and how it ends.

use std::time::Duration;

use world::Moment;

use crate::desk::Perform;
use crate::guarded::guarded;
use crate::inlet::{Inlet, Room};
use crate::keyed::{Fates, Given, Reply};
use crate::tx::{Committed, Tx};
use crate::{Asked, Failure};

/// How long an inlet rests that could not bring, or not put aside, what it has.
pub(super) const REST: Duration = Duration::from_secs(1);

/// An inlet at its place.
pub(super) struct Bay<C, A> {
    pub(super) inlet: Box<dyn Inlet<C, A>>,
    pub(super) rests_until: Option<Moment>,
}

impl<C, A> Bay<C, A> {
    pub(super) fn is_ready(&mut self, now: Moment) -> bool {
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

    pub(super) fn ended(&mut self, kept: bool, now: Moment) {
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
pub(super) struct Requests<C, A> {
    pub(super) asked: Vec<Asked<C>>,
    pub(super) replies: Vec<Reply<A>>,
}

impl<C, A> Requests<C, A> {
    pub(super) fn none() -> Self {
        Self { asked: Vec::new(), replies: Vec::new() }
    }
}

/// How one attempt at a batch ended.
pub(super) enum Attempt<A> {
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

/// Who took part in a batch.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) requests: usize,
    /// Commands that each inlet brought; none of an inlet that was not ready.
    pub(super) from_inlets: Vec<Option<usize>>,
}

impl Batch {
    pub(super) fn commands(&self) -> usize {
        self.requests + self.from_inlets.iter().flatten().sum::<usize>()
    }

    /// Whether it was one request and nothing else, so that it has failed alone already.
    pub(super) fn was_one_request(&self) -> bool {
        self.requests == 1 && self.from_inlets.iter().all(Option::is_none)
    }
}

/// Lets the inlets add their commands, performs all that is new, and lets the inlets mark theirs as done.
pub(super) fn perform_batch<C, A>(
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

//! What becomes of the commands of a batch that failed: each runs alone, so that only the guilty one fails.

use std::ops::Range;
use std::time::Duration;

use super::attempt::{Attempt, Batch, REST, Requests};
use super::{Worker, is_everybodys, is_over, refuse};
use crate::desk::Turn;
use crate::guarded::guarded;
use crate::keyed::{Given, Reply};
use crate::tx::{Committed, Ended, Tx};
use crate::{Failure, Refused};

/// How often a command that was alone in its transaction runs again after a conflict.
const TRIES_ALONE: usize = 4;
/// How long the first command that runs alone waits for a locked row. Each one that waits in vain
/// halves it for the next, so that a batch on a row whose holder stands still costs others little.
const PATIENCE_ALONE: Duration = Duration::from_millis(100);
/// What ran alone, and what whoever asked for it is answered.
type DoneAlone<A> = (Committed, Vec<Given<A>>);

impl<C: Send + 'static, A: Send + 'static> Worker<C, A> {
    /// Runs a failed batch again, one command a transaction, so that only the guilty one fails.
    pub(super) fn run_alone(&mut self, requests: Requests<C, A>, batch: &Batch, why: &Failure) -> Turn {
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
}

/// What the commands behind one are refused with, if that one shows that they cannot run either.
fn loses_the_rest(refused: &Refused) -> Option<Failure> {
    match refused {
        Refused::Failed(failure) if is_everybodys(failure) => Some(failure.clone()),
        Refused::OutcomeUnknown => Some(Failure::Unavailable("the connection broke before this one ran".into())),
        _ => None,
    }
}

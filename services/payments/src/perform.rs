//! The one place where a payment changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use db::{Asked, Context, Failure, Kind, NewEvent, Perform, Tx};
use world::{Moment, stable_hash};

use crate::NAME;
use crate::calls::{Call, Calls};
use crate::config::Config;
use crate::domain::{At, Command, Decision, Doing, Event, Next, Payment, Rejection, decide};
use crate::provider::Authorize;
use crate::publish;
use crate::store::{self, Account, Record, Schedule, on_behalf};

/// A command and the payment that it is for.
#[derive(Clone, Debug)]
pub(crate) struct On {
    /// The payment.
    pub(crate) account: Account,
    /// What is to be done to it.
    pub(crate) command: Command,
}

/// The payment after a command, or why the rules said no.
pub(crate) type Answer = Result<Payment, Rejection>;

/// How the desk tells commands apart.
pub(crate) const KIND: Kind<On> = Kind { key_of, weigh: |_| 1 };

fn key_of(on: &On) -> u64 {
    stable_hash(on.account.as_str().as_bytes())
}

/// How long things may take, and how often they are tried.
#[derive(Clone, Copy, Debug)]
struct Patience {
    timeout: Duration,
    retry: Duration,
    retry_at_most: Duration,
    max_tries: i64,
}

impl Patience {
    /// How long to wait before asking again what was asked so often already: twice as long each time.
    fn back_off(&self, asked: i64) -> Duration {
        let doublings = asked.saturating_sub(1).clamp(0, 20);
        self.retry.saturating_mul(1 << doublings).min(self.retry_at_most)
    }
}

/// Performs commands on payments, in the order given: load all, decide each, store all, publish.
pub(crate) fn under(config: &Config, calls: Calls) -> Perform<On, Answer> {
    let patience = Patience {
        timeout: Duration::from_millis(config.provider_timeout_ms),
        retry: Duration::from_millis(config.retry_ms.max(1)),
        retry_at_most: Duration::from_millis(config.retry_at_most_ms.max(1)),
        max_tries: i64::from(config.max_tries.max(1)),
    };
    Arc::new(move |tx, commands| perform(tx, commands, patience, &calls))
}

fn perform(tx: &mut Tx<'_>, commands: &[Asked<On>], patience: Patience, calls: &Calls) -> Result<Vec<Answer>, Failure> {
    let accounts: BTreeSet<&Account> = commands.iter().map(|asked| &asked.command.account).collect();
    let known = store::load(tx, accounts)?;
    let mut batch = Batch {
        now: tx.now(),
        patience,
        before: known.keys().cloned().collect(),
        records: known,
        changed: BTreeSet::new(),
        news: Vec::new(),
        calls: Vec::new(),
        line: calls,
    };
    let answers = commands.iter().map(|asked| batch.carry_out(tx, asked)).collect();
    let changed = || batch.records.iter().filter(|(account, _)| batch.changed.contains(*account));
    let is_new = |(account, _): &(&Account, &Record)| !batch.before.contains(*account);
    store::save(tx, changed().filter(is_new), changed().filter(|entry| !is_new(entry)));
    batch.news.into_iter().for_each(|event| tx.publish(event));
    for call in batch.calls {
        let calls = calls.clone();
        tx.after_commit(move || calls.send(call));
    }
    Ok(answers)
}

/// The payments of a batch in memory, and what becomes of them.
struct Batch<'l> {
    now: Moment,
    patience: Patience,
    /// Those that were known before.
    before: BTreeSet<Account>,
    records: BTreeMap<Account, Record>,
    changed: BTreeSet<Account>,
    news: Vec<NewEvent>,
    calls: Vec<Call>,
    /// The calls that wait or are made.
    line: &'l Calls,
}

impl Batch<'_> {
    fn carry_out(&mut self, tx: &Tx<'_>, asked: &Asked<On>) -> Answer {
        let On { account, command } = &asked.command;
        if matches!(command, Command::Wake) && !self.is_to_wake(account) {
            return self.records.get(account).map(|record| record.payment.clone()).ok_or(Rejection::UnknownPayment);
        }
        let record = self.records.get(account);
        let schedule = record.map_or_else(Schedule::default, |record| record.schedule);
        let at = At { now: self.now, unasked: schedule.asked == 0, max_tries: self.patience.max_tries };
        let decision = decide(record.map(|record| &record.payment), command, &at)?;
        let (number, version) = record.map_or_else(|| (tx.number(), 0), |record| (record.number, record.version));
        let by = record.map_or_else(|| asked.by.clone(), |record| record.by.clone());
        let payment = record.map(|record| record.payment.clone());
        let payment = decision.events.iter().fold(payment, |payment, event| Payment::apply(payment, event, self.now));
        let Some(payment) = payment else { return Err(Rejection::UnknownPayment) };
        for (event, version) in decision.events.iter().zip(version + 1..) {
            self.news.push(publish::news(&payment, number, version, event, self.now, &asked.by));
        }
        if let Next::Call(doing, of) = decision.next {
            // Whoever only looks has a trace of their own; what comes of it belongs to the payment's.
            let asks = if matches!(command, Command::Look { .. }) { &by } else { &asked.by };
            self.calls.extend(call(account, &payment, doing, of, asks));
        }
        let version = version + i64::try_from(decision.events.len()).expect("a command has few events");
        let schedule = self.schedule(schedule, &decision, &payment);
        let record = Record { number, version, payment: payment.clone(), schedule, by };
        if self.records.get(account) != Some(&record) {
            self.changed.insert(account.clone());
            self.records.insert(account.clone(), record);
        }
        Ok(payment)
    }

    /// Whether a payment is due and silent. While its call waits or is made it is put off, for silence counts from
    /// then on; not beyond the end of its time, when something else is to be asked.
    fn is_to_wake(&mut self, account: &Account) -> bool {
        let (now, wait) = (self.now, self.patience.timeout + self.patience.retry_at_most);
        let Some(record) = self.records.get_mut(account) else { return false };
        if record.schedule.due_at.is_none_or(|due| due > now) {
            return false; // somebody else was faster
        }
        let until = record.payment.authorized_until();
        if until.is_some_and(|until| until <= now) || !self.line.has(account) {
            return true;
        }
        record.schedule.due_at = Some(until.map_or(now + wait, |until| until.min(now + wait)));
        self.changed.insert(account.clone());
        false
    }

    fn schedule(&self, mut schedule: Schedule, decision: &Decision, payment: &Payment) -> Schedule {
        let begins = |event: &Event| matches!(event, Event::AuthorizationStarted(_));
        match decision.events.as_slice() {
            [] => {}
            events if events.iter().any(begins) => schedule.asked = 0,
            _ => schedule.asked = schedule.asked.min(1),
        }
        let tried_before = i64::try_from(payment.tries.len()).unwrap_or(i64::MAX) - 1;
        let wait = match decision.next {
            Next::Call(..) => {
                schedule.asked += 1;
                Some(self.patience.timeout + self.patience.back_off(schedule.asked))
            }
            Next::Later if schedule.asked == 0 => Some(self.patience.back_off(tried_before)),
            Next::Later => Some(self.patience.back_off(schedule.asked)),
            Next::Keep if schedule.due_at.is_none() => Some(self.patience.back_off(1)),
            Next::Keep => None,
        };
        if payment.is_at_rest() {
            schedule.due_at = None;
        } else if let Some(wait) = wait {
            // The end of its time is always something to wake for.
            let until = payment.authorized_until().filter(|until| *until > self.now);
            let due_at = self.now + wait;
            schedule.due_at = Some(until.map_or(due_at, |until| until.min(due_at)));
        }
        schedule
    }
}

fn call(account: &Account, payment: &Payment, doing: Doing, number: i64, by: &Context) -> Option<Call> {
    let terms = payment.terms.as_ref()?;
    let key = account.key(number);
    let trace = by.trace.step_for(NAME, &format!("{doing:?} {key}"));
    let parent = by.trace.span_id;
    let by = Context { trace, ..on_behalf(by, &key.to_string()) };
    let request = Authorize { key, amount: terms.amount, method: terms.method.clone() };
    Some(Call { account: account.clone(), doing, request, by, parent })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Patience;

    #[test]
    fn each_question_waits_twice_as_long_as_the_one_before_it_up_to_a_limit() {
        let millis = Duration::from_millis;
        let (timeout, retry, retry_at_most) = (millis(10_000), millis(500), millis(3_000));
        let patience = Patience { timeout, retry, retry_at_most, max_tries: 4 };
        let waits = [0, 1, 2, 3, 4, 1_000, i64::MAX].map(|asked| patience.back_off(asked));
        assert_eq!(waits, [500, 500, 1_000, 2_000, 3_000, 3_000, 3_000].map(millis));
    }
}

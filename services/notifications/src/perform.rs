//! The one place where endpoints, messages and deliveries change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contracts::notifications::Event;
use db::{Asked, Context, Failure, Kind, NewEvent, Perform, Tx};
use ids::{Name, Number};
use thiserror::Error;
use tokio::sync::watch;
use world::Moment;

use crate::config::Config;
use crate::consumers::{Heard, test_of};
use crate::domain::{Attempt, Delivery, Endpoint, Patience, Secret, Settings};
use crate::publish;
use crate::store::{self, Changes, Counter, Head, Kept, Message, Record};

/// What can be asked of notifications.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Take in an event of another service.
    Hear(Box<Heard>),
    /// Do with an endpoint what its owner wants.
    Edit {
        /// What it is called.
        name: Name,
        /// How the caller wants to find it.
        seen: Seen,
        /// What is wanted.
        edit: Edit,
    },
    /// Send a message that says nothing.
    Test(Name),
    /// Send messages again.
    SendAgain(Name, Vec<Head>),
    /// Note what the courier did.
    Note(Box<Noted>),
    /// Let this process deliver, and no other for a while; with the number of its term, where it has delivered before.
    Hold(Option<Number>),
    /// Forget what is old.
    Forget,
}

/// How whoever edits an endpoint wants to find it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// In any way, also not at all.
    Unsaid,
    /// There, however it is.
    There,
    /// As it was in this version.
    Version(i64),
}

/// What an owner does with an endpoint.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Register it, or set it anew.
    Set {
        /// How it is to be.
        settings: Settings,
        /// With what is signed, where it is new.
        secret: Secret,
    },
    /// Take it back, with all that was to be sent to it.
    Remove,
    /// Sign with another secret from now on.
    Rotate {
        /// The new one.
        secret: Secret,
        /// How long the ones before sign too.
        overlap: Duration,
    },
    /// Put it to work where it was paused or gone.
    Resume,
}

/// What the courier did for an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// The term in which it was begun, where other processes could deliver too.
    pub(crate) term: Option<Number>,
    /// The endpoint.
    pub(crate) endpoint: Number,
    /// Each message with what was known of it before.
    pub(crate) messages: Vec<Kept>,
    /// The try, where there was one; else they wait behind others about their subjects.
    pub(crate) attempt: Option<Attempt>,
    /// Spreads what failed together.
    pub(crate) jitter_permille: i64,
    /// Messages up to here are settled for the endpoint, or have a row of their own.
    pub(crate) cursor: i64,
}

impl Noted {
    /// Messages with a row that may be another than it was known, in the term of whoever delivers now.
    fn may_be_overtaken(&self, term: Number) -> impl Iterator<Item = i64> {
        let is_late = self.term.is_some_and(|begun| begun != term);
        // What was never sent, or only begins to wait, has none, unless another process wrote one.
        let has_row = move |kept: &&Kept| is_late || (self.attempt.is_some() && kept.delivery.due_at.is_some());
        self.messages.iter().filter(has_row).map(|kept| kept.message)
    }
}

/// What a command has come to.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// The endpoint as it is now, whether it is new, and the secret to be shown once.
    Endpoint(Box<Record>, bool, Option<Secret>),
    /// A message that was made, and that it is to be sent.
    Made(Box<(Message, Kept)>),
    /// What is to be sent again.
    ToSend(Vec<Kept>),
    /// The endpoint as it is now; none where it is there no more.
    Noted(Option<Box<Record>>),
    /// Whether this process delivers.
    Held(Held),
    /// It is done.
    Done,
}

/// Whether a process delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Another does.
    ByAnother,
    /// It does from now on, in a term of this number; another may have done so since its last one.
    Anew(Number),
    /// It does as before.
    Still,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// There is none of this name.
    #[error("there is no such endpoint")]
    UnknownEndpoint,
    /// Nothing is sent to it.
    #[error("nothing is sent to the endpoint")]
    NotActive,
    /// There are as many as there may be.
    #[error("there are too many endpoints")]
    TooMany,
    /// It is no longer as the caller has seen it.
    #[error("the endpoint was changed meanwhile")]
    ChangedMeanwhile,
}

/// The answer to a command.
pub(crate) type Answer = Result<Settled, Rejection>;

/// How the desk tells commands apart: all of them are about the one counter.
pub(crate) const KIND: Kind<Command> = Kind { key_of: |_| 0, weigh: |_| 1 };

/// Endpoints, at most.
pub(crate) const MOST_ENDPOINTS: usize = 1_000;
/// Messages that are forgotten at once, and rows of what became of them.
const FORGET_AT_ONCE: usize = 4_096;
/// How long a process delivers alone after it last said so.
pub(crate) const HOLD_FOR: Duration = Duration::from_secs(15);

/// What batches are performed under.
#[derive(Clone, Debug)]
struct Rules {
    patience: Patience,
    keep: Duration,
    /// Wakes the courier.
    news: Arc<watch::Sender<u64>>,
}

/// Performs commands in the order given: load all, decide each, store all, publish.
pub(crate) fn under(config: &Config, news: Arc<watch::Sender<u64>>) -> Perform<Command, Answer> {
    let hours = |hours: u64| Duration::from_secs(hours.saturating_mul(3_600));
    let patience = Patience { pause_after: hours(config.pause_after_hours) };
    let rules = Rules { patience, keep: hours(config.keep_hours), news };
    Arc::new(move |tx, commands| perform(tx, commands, &rules))
}

fn perform(tx: &mut Tx<'_>, commands: &[Asked<Command>], rules: &Rules) -> Result<Vec<Answer>, Failure> {
    let (counter, records) = store::load(tx)?;
    let mut batch = Batch {
        now: tx.now(),
        rules,
        known: records.keys().copied().collect(),
        names: records.values().map(|record| (record.endpoint.name.clone(), record.number)).collect(),
        before: counter.clone(),
        counter,
        records,
        changed: BTreeSet::new(),
        messages: Vec::new(),
        deliveries: BTreeMap::new(),
        kept: BTreeMap::new(),
        given_up: BTreeSet::new(),
        news: Vec::new(),
        forget_upto: None,
        wakes: false,
    };
    batch.load_kept(tx, commands)?;
    for asked in commands {
        match &asked.command {
            Command::Forget if batch.forget_upto.is_none() => {
                batch.forget_upto = store::forgettable(tx, tx.now() - rules.keep, FORGET_AT_ONCE)?;
            }
            _ => {}
        }
    }
    let answers = commands.iter().map(|asked| batch.carry_out(tx, asked)).collect();
    batch.save(tx);
    Ok(answers)
}

/// A batch in memory, and what becomes of it.
struct Batch<'r> {
    now: Moment,
    rules: &'r Rules,
    /// Endpoints that were there before.
    known: BTreeSet<Number>,
    names: BTreeMap<Name, Number>,
    before: Counter,
    counter: Counter,
    records: BTreeMap<Number, Record>,
    changed: BTreeSet<Number>,
    messages: Vec<Message>,
    deliveries: BTreeMap<(i64, Number), Kept>,
    /// What became before of messages that are to be sent again, or were.
    kept: BTreeMap<(i64, Number), Kept>,
    /// Endpoints that get nothing of what was still to be sent to them.
    given_up: BTreeSet<Number>,
    news: Vec<NewEvent>,
    forget_upto: Option<i64>,
    /// Whether there is something to be sent.
    wakes: bool,
}

impl Batch<'_> {
    /// Loads what became before of messages that are to be sent again, or were.
    fn load_kept(&mut self, tx: &mut Tx<'_>, commands: &[Asked<Command>]) -> Result<(), Failure> {
        let mut tried = BTreeSet::new();
        for asked in commands {
            match &asked.command {
                Command::SendAgain(name, messages) => {
                    if let (Some(number), Some(first), Some(last)) =
                        (self.names.get(name), messages.first(), messages.last())
                    {
                        let kept = store::between(tx, *number, (first.number, last.number))?.into_iter();
                        self.kept.extend(kept.map(|(message, kept)| ((message, *number), kept)));
                    }
                }
                Command::Note(noted) => {
                    let messages = noted.may_be_overtaken(self.counter.courier);
                    tried.extend(messages.map(|message| (message, noted.endpoint)));
                }
                _ => {}
            }
        }
        if !tried.is_empty() {
            self.kept.extend(store::kept(tx, &tried)?);
        }
        Ok(())
    }

    /// What became of a message for an endpoint, as far as this batch knows.
    fn kept_of(&mut self, place: (i64, Number)) -> Option<Kept> {
        self.deliveries.remove(&place).or_else(|| self.kept.get(&place).cloned())
    }

    fn carry_out(&mut self, tx: &Tx<'_>, asked: &Asked<Command>) -> Answer {
        match &asked.command {
            Command::Hear(heard) => Ok(self.hear(heard)),
            Command::Edit { name, seen, edit } => self.edit(tx, name, *seen, edit, &asked.by),
            Command::Test(name) => self.test(tx, name),
            Command::SendAgain(name, messages) => self.send_again(name, messages),
            Command::Note(noted) => Ok(self.note(noted, &asked.by)),
            Command::Hold(term) => Ok(self.hold(tx, *term)),
            Command::Forget => Ok(Settled::Done),
        }
    }

    fn edit(&mut self, tx: &Tx<'_>, name: &Name, seen: Seen, edit: &Edit, by: &Context) -> Answer {
        match (self.of(name), seen) {
            (Ok(record), Seen::Version(seen)) if seen != record.version => return Err(Rejection::ChangedMeanwhile),
            // What is not there was seen by nobody; whatever else is asked of it finds nothing.
            (Err(_), Seen::There | Seen::Version(_)) if matches!(edit, Edit::Set { .. }) => {
                return Err(Rejection::ChangedMeanwhile);
            }
            _ => {}
        }
        match edit {
            Edit::Set { settings, secret } => self.set(tx, name, settings, secret),
            Edit::Remove => self.remove(name),
            Edit::Rotate { secret, overlap } => self.rotate(name, secret, *overlap),
            Edit::Resume => self.resume(name, by),
        }
    }

    fn hear(&mut self, heard: &Heard) -> Settled {
        let wanted = |record: &Record| record.endpoint.wants(&heard.kind, &heard.subject, heard.recorded_at);
        if self.records.values().any(wanted) {
            let Heard { id, subject, kind, recorded_at, body } = heard.clone();
            self.add(|number| Message { number, id, endpoint: None, subject, kind, recorded_at, body });
        }
        Settled::Done
    }

    /// Adds a message as the newest one.
    fn add(&mut self, message: impl FnOnce(i64) -> Message) -> i64 {
        self.counter.newest += 1;
        self.messages.push(message(self.counter.newest));
        self.wakes = true;
        self.counter.newest
    }

    fn set(&mut self, tx: &Tx<'_>, name: &Name, settings: &Settings, secret: &Secret) -> Answer {
        self.wakes = true;
        if let Ok(record) = self.of(name) {
            if record.endpoint.settings == *settings {
                return Ok(Settled::Endpoint(Box::new(record.clone()), false, None));
            }
            let (number, now, newest) = (record.number, self.now, self.counter.newest);
            let record = self.change(number);
            record.version += 1;
            let kept = record.endpoint.keeps();
            if record.endpoint.set(settings.clone(), now) {
                record.cursor = newest;
            }
            let record = Box::new(record.clone());
            if kept != record.endpoint.keeps() {
                self.give_up(number);
            }
            return Ok(Settled::Endpoint(record, false, None));
        }
        if self.records.len() >= MOST_ENDPOINTS {
            return Err(Rejection::TooMany);
        }
        let number = tx.number();
        let endpoint = Endpoint::new(name.clone(), settings.clone(), secret.clone(), self.now);
        let record = Record { number, cursor: self.counter.newest, version: 1, said: 0, endpoint };
        self.names.insert(name.clone(), number);
        self.records.insert(number, record.clone());
        self.changed.insert(number);
        Ok(Settled::Endpoint(Box::new(record), true, Some(secret.clone())))
    }

    fn remove(&mut self, name: &Name) -> Answer {
        let number = self.of(name)?.number;
        self.names.remove(name);
        self.records.remove(&number);
        self.changed.remove(&number);
        self.wakes = true;
        Ok(Settled::Done)
    }

    fn rotate(&mut self, name: &Name, secret: &Secret, overlap: Duration) -> Answer {
        let (number, now) = (self.of(name)?.number, self.now);
        let record = self.change(number);
        record.version += 1;
        record.endpoint.rotate(secret.clone(), overlap, now);
        let record = Box::new(record.clone());
        self.wakes = true;
        Ok(Settled::Endpoint(record, false, Some(secret.clone())))
    }

    fn resume(&mut self, name: &Name, by: &Context) -> Answer {
        let (number, now, newest) = (self.of(name)?.number, self.now, self.counter.newest);
        let record = self.change(number);
        let (event, begins_anew) = record.endpoint.resume(now);
        record.version += i64::from(event.is_some());
        if begins_anew {
            record.cursor = newest;
            self.give_up(number);
        }
        self.say(number, event, by);
        self.wakes = true;
        Ok(Settled::Endpoint(Box::new(self.records[&number].clone()), false, None))
    }

    fn test(&mut self, tx: &Tx<'_>, name: &Name) -> Answer {
        let record = self.of(name)?;
        if !record.endpoint.works() {
            return Err(Rejection::NotActive);
        }
        let (endpoint, now) = (record.number, self.now);
        let heard = test_of(name, tx.number(), now);
        let Heard { id, subject, kind, recorded_at, body } = heard;
        let number = self.counter.newest + 1;
        let message = Message { number, id, endpoint: Some(endpoint), subject, kind, recorded_at, body };
        let kept =
            Kept { message: number, subject: message.subject.clone(), recorded_at, delivery: Delivery::due(now) };
        self.add(|_| message.clone());
        self.deliveries.insert((number, endpoint), kept.clone());
        Ok(Settled::Made(Box::new((message, kept))))
    }

    fn send_again(&mut self, name: &Name, messages: &[Head]) -> Answer {
        let record = self.of(name)?;
        if !record.endpoint.keeps() {
            return Err(Rejection::NotActive);
        }
        let (endpoint, cursor, now) = (record.number, record.cursor, self.now);
        let mut again = Vec::new();
        for head in messages {
            let place = (head.number, endpoint);
            let before = self.kept_of(place);
            if before.is_none() && head.number > cursor {
                continue; // it was not sent yet, and is when its turn comes
            }
            let mut kept = before.unwrap_or_else(|| Kept {
                message: head.number,
                subject: head.subject.clone(),
                recorded_at: head.recorded_at,
                delivery: Delivery::default(),
            });
            kept.delivery.ask_again(now);
            again.push(kept.clone());
            self.deliveries.insert(place, kept);
        }
        self.wakes = true;
        Ok(Settled::ToSend(again))
    }

    fn note(&mut self, noted: &Noted, by: &Context) -> Settled {
        let (now, patience) = (self.now, self.rules.patience);
        if !self.records.contains_key(&noted.endpoint) {
            return Settled::Noted(None);
        }
        let record = self.change(noted.endpoint);
        record.cursor = record.cursor.max(noted.cursor);
        let mut said = None;
        for known in &noted.messages {
            let place = (known.message, noted.endpoint);
            // It was asked for again during the try, which is still to be done; or another process has tried it since.
            let newer = self.kept_of(place).filter(|kept| kept.delivery != known.delivery);
            let is_overtaken = newer.is_some();
            let mut kept = newer.unwrap_or_else(|| known.clone());
            if let Some(attempt) = &noted.attempt {
                let record = self.change(noted.endpoint);
                said = record.endpoint.learn(&attempt.outcome, now, noted.jitter_permille, patience);
                if is_overtaken {
                    kept.delivery.remember(attempt.clone());
                } else {
                    kept.delivery.learn(attempt.clone(), noted.jitter_permille);
                }
                if record.endpoint.is_paused() {
                    kept.delivery.wait_for_endpoint(now);
                }
            }
            self.deliveries.insert(place, kept);
        }
        if !self.change(noted.endpoint).endpoint.keeps() {
            self.give_up(noted.endpoint);
        }
        self.say(noted.endpoint, said, by);
        Settled::Noted(self.records.get(&noted.endpoint).cloned().map(Box::new))
    }

    fn hold(&mut self, tx: &Tx<'_>, term: Option<Number>) -> Settled {
        let held = match &self.counter {
            counter if term == Some(counter.courier) => Held::Still,
            counter if counter.courier_until <= self.now => Held::Anew(tx.number()),
            _ => return Settled::Held(Held::ByAnother),
        };
        if let Held::Anew(term) = held {
            self.counter.courier = term;
        }
        self.counter.courier_until = self.now + HOLD_FOR;
        Settled::Held(held)
    }

    /// Nothing is kept for an endpoint, or was till now: what it has still to get is not sent.
    fn give_up(&mut self, number: Number) {
        let known = self.deliveries.iter_mut().chain(&mut self.kept);
        known.filter(|((_, endpoint), _)| *endpoint == number).for_each(|(_, kept)| kept.delivery.give_up());
        self.given_up.insert(number);
    }

    fn of(&self, name: &Name) -> Result<&Record, Rejection> {
        let number = self.names.get(name).ok_or(Rejection::UnknownEndpoint)?;
        self.records.get(number).ok_or(Rejection::UnknownEndpoint)
    }

    fn change(&mut self, number: Number) -> &mut Record {
        self.changed.insert(number);
        self.records.get_mut(&number).expect("only what is there is changed")
    }

    fn say(&mut self, number: Number, event: Option<Event>, by: &Context) {
        let Some(event) = event else { return };
        let now = self.now;
        let record = self.change(number);
        record.said += 1;
        let news = publish::news(record, &event, now, by);
        self.news.push(news);
    }

    fn save(self, tx: &mut Tx<'_>) {
        let changed = |is_known: bool| {
            let records = self.changed.iter().filter_map(|number| self.records.get(number));
            records.filter(|record| self.known.contains(&record.number) == is_known).collect()
        };
        let written = Changes {
            counter: (self.counter != self.before).then_some(&self.counter),
            new: changed(false),
            known: changed(true),
            gone: self.known.iter().filter(|number| !self.records.contains_key(number)).copied().collect(),
        };
        if let Some(upto) = self.forget_upto {
            store::forget(tx, upto);
        }
        for endpoint in self.given_up {
            store::give_up(tx, endpoint);
        }
        store::save(tx, written, &self.messages, &self.deliveries);
        self.news.into_iter().for_each(|event| tx.publish(event));
        if self.wakes {
            let news = self.rules.news.clone();
            tx.after_commit(move || news.send_modify(|times| *times += 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use db::{Database, Location, MemoryDisk, Options};
    use ids::Number;
    use world::{Moment, World};

    use super::FORGET_AT_ONCE;
    use crate::MIGRATIONS;
    use crate::domain::Delivery;
    use crate::store::{self, Changes, Kept, Message};

    #[tokio::test]
    async fn what_is_forgotten_at_once_does_not_grow_with_the_number_of_endpoints() {
        for location in
            [Location::Memory(MemoryDisk::empty()), Location::Postgres(testkit::Postgres::shared().database())]
        {
            let world = World::simulated(1);
            let opened = Database::open(crate::NAME, location, Options::default(), world.clone(), MIGRATIONS);
            let database = opened.expect("a database");
            let recorded_at = world.now();
            for number in 1..=20 {
                sent_to_a_thousand(&database, number, recorded_at).await;
            }
            let later = recorded_at + Duration::from_secs(1);
            let forgets = |most| database.write(move |tx| store::forgettable(tx, later, most));
            assert_eq!(forgets(FORGET_AT_ONCE).await.expect("it is read"), Some(4), "4,000 rows");
            assert_eq!(forgets(100).await.expect("it is read"), Some(1), "or nothing would ever be forgotten");
            assert_eq!(forgets(1_000_000).await.expect("it is read"), Some(20));
        }
    }

    /// Writes a message, and that a thousand endpoints were sent it.
    async fn sent_to_a_thousand(database: &Database, number: i64, recorded_at: Moment) {
        let (id, subject, kind) = (format!("orders-1-{number}"), "a".to_owned(), "OrderPlaced".to_owned());
        let kept = |endpoint| {
            let kept = Kept { message: number, subject: "a".to_owned(), recorded_at, delivery: Delivery::default() };
            ((number, Number::from_column(endpoint)), kept)
        };
        let deliveries = (1..=1_000).map(kept).collect();
        let message = Message { number, id, endpoint: None, subject, kind, recorded_at, body: "{}".to_owned() };
        let written = database.write(move |tx| {
            store::save(tx, Changes::default(), &[message], &deliveries);
            Ok(())
        });
        written.await.expect("it is written");
    }
}

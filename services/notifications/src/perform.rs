//! The one place where endpoints, messages and deliveries change; what is asked for is in `command`.

mod command;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contracts::notifications::Event;
use db::{Asked, Context, Failure, Kind, NewEvent, Perform, Tx};
use ids::{Name, Number};
use tokio::sync::watch;
use world::Moment;

pub(crate) use self::command::{Answer, Command, Edit, Held, Noted, Rejection, Seen, Settled};
use crate::config::Config;
use crate::consumers::{Heard, test_of};
use crate::domain::{Delivery, Endpoint, Patience, Secret, Settings};
use crate::publish;
use crate::store::{self, Changes, Counter, Head, Kept, Message, Record};

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
        let mut places = BTreeSet::new();
        for asked in commands {
            match &asked.command {
                Command::SendAgain(name, messages) => {
                    if let Some(number) = self.names.get(name) {
                        places.extend(messages.iter().map(|head| (head.number, *number)));
                    }
                }
                Command::Note(noted) => {
                    let messages = noted.may_be_overtaken(self.counter.courier);
                    places.extend(messages.map(|message| (message, noted.endpoint)));
                }
                _ => {}
            }
        }
        if !places.is_empty() {
            self.kept = store::kept(tx, &places)?;
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
            (Ok(_), Seen::Absent) => return Err(Rejection::ChangedMeanwhile),
            (Ok(record), Seen::Version(seen)) if seen != record.version => return Err(Rejection::ChangedMeanwhile),
            // What is not there was seen by nobody; whatever else is asked of it finds nothing.
            (Err(_), Seen::There | Seen::Version(_)) if matches!(edit, Edit::Set { .. }) => {
                return Err(Rejection::ChangedMeanwhile);
            }
            _ => {}
        }
        match edit {
            Edit::Set { settings, secret } => self.set(tx, name, settings, secret, by),
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

    fn set(&mut self, tx: &Tx<'_>, name: &Name, settings: &Settings, secret: &Secret, by: &Context) -> Answer {
        self.wakes = true;
        if let Ok(record) = self.of(name) {
            if record.endpoint.settings == *settings {
                return Ok(Settled::Endpoint(Box::new(record.clone()), false, None));
            }
            let (number, now, newest) = (record.number, self.now, self.counter.newest);
            let record = self.change(number);
            record.version += 1;
            let kept = record.endpoint.keeps();
            let (event, begins_anew) = record.endpoint.set(settings.clone(), now);
            if begins_anew {
                record.cursor = newest;
            }
            if kept != record.endpoint.keeps() {
                self.give_up(number);
            }
            self.say(number, event, by);
            return Ok(Settled::Endpoint(Box::new(self.records[&number].clone()), false, None));
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

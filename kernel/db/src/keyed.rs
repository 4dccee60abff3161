//! Commands that may be asked again under a key: performed once, and answered the same each time.
//!
//! ```text
//!       ┌ known, same fingerprint ─▶ the stored answer again
//! key ──┼ known, another one ──────▶ different content
//!       └ new ─▶ perform ─▶ say ─▶ effect, events, key, fingerprint, answer ─▶ COMMIT
//! ```
//!
//! A batch in which nobody has a key does nothing of this, and asks the database nothing.
//!
//! **Invariant:** a key, its fingerprint, the effect and the answer are rows of one transaction, so
//! that none of them is ever there without the others.
//!
//! **Invariant:** a command that failed has left nothing under its key, and may be asked again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use world::Moment;

use crate::inlet::{Inlet, Room};
use crate::ring::Bell;
use crate::table::{Query, Table, int, text};
use crate::tx::Tx;
use crate::{Asked, Context, Failure, Refused, Row, Value};

/// How long an answer is given again; a command that comes later under the same key is a new one.
pub const ANSWERS_KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What lets a command be asked again: a key of the caller's, and how what it comes to is answered.
pub struct Keyed<A> {
    /// The key; it belongs to the owner in the command's context, and has no space in it.
    pub key: String,
    /// What is asked under the key, by meaning.
    pub fingerprint: String,
    /// Says what the command came to, as it is stored and told. It runs before the commit, and again
    /// where the batch does; a failure takes the command back.
    pub say: Say<A>,
}

/// Says what a command came to.
pub type Say<A> = Box<dyn Fn(A) -> Result<StoredAnswer, Failure> + Send>;

impl<A> fmt::Debug for Keyed<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("key", &self.key).field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// An answer as it is stored: what the first caller was told, to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The status, as HTTP counts them; below 500, for a failure is no answer.
    pub status: u16,
    /// The document, as JSON.
    pub body: String,
}

/// What is answered to a command with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyedAnswer {
    /// It was performed, and this is stored.
    First(StoredAnswer),
    /// It was performed before, and this was stored then.
    Again(StoredAnswer),
    /// The key stands for something else; nothing was done.
    DifferentContent,
}

/// Who waits for the answer to a command.
pub(crate) enum Reply<A> {
    Plain(oneshot::Sender<Result<A, Refused>>),
    Keyed(Box<Keyed<A>>, oneshot::Sender<Result<KeyedAnswer, Refused>>),
}

/// What a request is answered.
pub(crate) enum Given<A> {
    Plain(A),
    Keyed(KeyedAnswer),
}

impl<A> Reply<A> {
    pub(crate) fn refuse(self, why: Refused) {
        match self {
            Self::Plain(sender) => drop(sender.send(Err(why))),
            Self::Keyed(_, sender) => drop(sender.send(Err(why))),
        }
    }

    /// Answers who waits.
    ///
    /// # Panics
    /// When a command with a key was performed as one without, or the other way round.
    pub(crate) fn give(self, given: Given<A>) {
        match (self, given) {
            (Self::Plain(sender), Given::Plain(answer)) => drop(sender.send(Ok(answer))),
            (Self::Keyed(_, sender), Given::Keyed(answer)) => drop(sender.send(Ok(answer))),
            _ => unreachable!("what is given follows from who waits"),
        }
    }

    fn keyed(&self) -> Option<&Keyed<A>> {
        match self {
            Self::Plain(_) => None,
            Self::Keyed(keyed, _) => Some(keyed),
        }
    }
}

static STORED_ANSWER: Table = Table {
    name: "stored_answer",
    key: &[int("number")],
    rest: &[text("name"), text("fingerprint"), int("stored_at"), int("status"), text("body")],
};

/// The owner of a key, and the key: what it is found under. An owner may have any character and a key
/// has no space, so no two of them make the same name.
fn name(by: &Context, key: &str) -> String {
    format!("{} {key}", by.owner)
}

/// What a key was found to stand for.
struct Known {
    fingerprint: String,
    answer: StoredAnswer,
}

impl Known {
    fn again(&self, fingerprint: &str) -> KeyedAnswer {
        if self.fingerprint == fingerprint {
            KeyedAnswer::Again(self.answer.clone())
        } else {
            KeyedAnswer::DifferentContent
        }
    }
}

fn read(row: Row) -> Result<(String, Known), Failure> {
    let mut row = row.columns();
    let (_number, name, fingerprint, _stored_at) = (row.number()?, row.text()?, row.text()?, row.moment()?);
    let status = u16::try_from(row.int()?).map_err(|_| Failure::Corrupt("a stored answer's status".into()))?;
    Ok((name, Known { fingerprint, answer: StoredAnswer { status, body: row.text()? } }))
}

fn find(tx: &mut Tx<'_>, names: impl Iterator<Item = String>) -> Result<BTreeMap<String, Known>, Failure> {
    let rows = tx.rows(Query::by(&STORED_ANSWER, "name", names.map(Value::from)))?;
    rows.into_iter().map(read).collect()
}

/// Stores answers under their names. Numbers follow the order of the names: two transactions that
/// store the same names then wait for each other in one direction only.
fn store(tx: &mut Tx<'_>, new: BTreeMap<String, Known>) {
    let row = |(name, known): (String, Known)| {
        let Known { fingerprint, answer } = known;
        let (status, body) = (i64::from(answer.status).into(), answer.body.into());
        vec![tx.number().into(), name.into(), fingerprint.into(), tx.now().into(), status, body]
    };
    let rows = new.into_iter().map(row).collect();
    tx.insert(&STORED_ANSWER, rows);
}

/// What becomes of each request of a batch.
pub(crate) struct Fates(Vec<Fate>);

enum Fate {
    Perform,
    /// It is answered from what is stored.
    Known(KeyedAnswer),
    /// It is asked a second time in this batch: the first one, at this place, is performed for both.
    SameAs(usize),
}

impl Fates {
    /// Looks the keys of a batch up; asks nothing where nobody has one.
    pub(crate) fn look_up<C, A>(tx: &mut Tx<'_>, requests: &[Asked<C>], replies: &[Reply<A>]) -> Result<Self, Failure> {
        let with_keys = || {
            let all = requests.iter().zip(replies).enumerate();
            all.filter_map(|(place, (asked, reply))| {
                reply.keyed().map(|keyed| (place, name(&asked.by, &keyed.key), &keyed.fingerprint))
            })
        };
        if with_keys().next().is_none() {
            return Ok(Self(Vec::new()));
        }
        let known = find(tx, with_keys().map(|(_, name, _)| name))?;
        let mut fates: Vec<_> = requests.iter().map(|_| Fate::Perform).collect();
        let mut first_of: BTreeMap<String, (usize, &String)> = BTreeMap::new();
        for (place, name, fingerprint) in with_keys() {
            fates[place] = match (known.get(&name), first_of.get(&name)) {
                (Some(known), _) => Fate::Known(known.again(fingerprint)),
                (None, Some((first, same))) if *same == fingerprint => Fate::SameAs(*first),
                (None, Some(_)) => Fate::Known(KeyedAnswer::DifferentContent),
                (None, None) => {
                    first_of.insert(name, (place, fingerprint));
                    Fate::Perform
                }
            };
        }
        Ok(Self(fates))
    }

    /// Takes the commands out that are answered without being performed, each with its place.
    pub(crate) fn take_out<C>(&self, commands: &mut Vec<Asked<C>>) -> Vec<(usize, Asked<C>)> {
        let known = self.0.iter().enumerate().rev().filter(|(_, fate)| !matches!(fate, Fate::Perform));
        known.map(|(place, _)| (place, commands.remove(place))).collect()
    }

    /// Puts back what was taken out.
    pub(crate) fn put_back<C>(commands: &mut Vec<Asked<C>>, taken_out: Vec<(usize, Asked<C>)>) {
        for (place, asked) in taken_out.into_iter().rev() {
            commands.insert(place, asked);
        }
    }

    /// What every request is answered, those that were performed with these answers in their order;
    /// stores what is new under a key.
    pub(crate) fn give<C, A>(
        self,
        tx: &mut Tx<'_>,
        requests: &[Asked<C>],
        replies: &[Reply<A>],
        performed: Vec<A>,
    ) -> Result<Vec<Given<A>>, Failure> {
        let mut performed = performed.into_iter();
        let mut next = || performed.next().expect("there are as many answers as commands");
        let mut fates = self.0.into_iter();
        let mut given: Vec<Given<A>> = Vec::with_capacity(requests.len());
        let mut new = BTreeMap::new();
        for (asked, reply) in requests.iter().zip(replies) {
            let fate = fates.next().unwrap_or(Fate::Perform);
            let answer = match (fate, reply.keyed()) {
                (Fate::Perform, None) => Given::Plain(next()),
                (Fate::Perform, Some(keyed)) => {
                    let answer = (keyed.say)(next())?;
                    let known = Known { fingerprint: keyed.fingerprint.clone(), answer: answer.clone() };
                    new.insert(name(&asked.by, &keyed.key), known);
                    Given::Keyed(KeyedAnswer::First(answer))
                }
                (Fate::Known(answer), _) => Given::Keyed(answer),
                (Fate::SameAs(first), _) => match &given[first] {
                    Given::Keyed(KeyedAnswer::First(answer)) => Given::Keyed(KeyedAnswer::Again(answer.clone())),
                    _ => unreachable!("the first of a key in a batch is performed"),
                },
            };
            given.push(answer);
        }
        #[cfg(feature = "planted-bugs")]
        if world::planted::is(world::planted::Bug::AnswerForgotten) {
            return Ok(given);
        }
        store(tx, new);
        Ok(given)
    }
}

/// Does one change under a key, in a transaction of its own.
pub(crate) fn write_once<T>(
    tx: &mut Tx<'_>,
    by: &Context,
    keyed: &Keyed<T>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, Failure>,
) -> Result<KeyedAnswer, Failure> {
    let name = name(by, &keyed.key);
    if let Some(known) = find(tx, std::iter::once(name.clone()))?.get(&name) {
        return Ok(known.again(&keyed.fingerprint));
    }
    let done = work(tx)?;
    let answer = (keyed.say)(done)?;
    store(tx, BTreeMap::from([(name, Known { fingerprint: keyed.fingerprint.clone(), answer: answer.clone() })]));
    Ok(KeyedAnswer::First(answer))
}

/// Forgets answers whose time is over, a piece with each batch, so that nobody waits for it.
///
/// It knows from the oldest answer when there can be something to forget, and does not look before.
#[derive(Debug, Default)]
pub(crate) struct Forget {
    next_look: Option<Moment>,
    /// When it may look again where the batch that it looked in was not kept.
    rests_until: Option<Moment>,
    over: Vec<Vec<Value>>,
}

/// The shortest time between two looks, so that answers are forgotten together.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl<C, A> Inlet<C, A> for Forget {
    fn listen(&self, _bell: &Arc<Bell>) {}

    fn is_ready(&mut self, now: Moment) -> bool {
        self.next_look.is_none_or(|next| next <= now)
    }

    fn take(&mut self, tx: &mut Tx<'_>, room: Room<C>) -> Result<Vec<Asked<C>>, Failure> {
        let (now, most) = (tx.now(), room.commands());
        let oldest = "SELECT number, stored_at FROM stored_answer ORDER BY number LIMIT $1";
        let mut next = now + ANSWERS_KEPT_FOR;
        self.over.clear();
        for row in tx.rows(Query::sql(oldest, [i64::try_from(most).unwrap_or(i64::MAX).into()]))? {
            let mut row = row.columns();
            let (number, until) = (row.number()?, row.moment()? + ANSWERS_KEPT_FOR);
            if until > now {
                next = until;
                break;
            }
            self.over.push(vec![number.into()]);
        }
        self.rests_until = Some(now + LOOK_EVERY);
        // A full piece is followed by another.
        self.next_look = (self.over.len() < most).then(|| next.max(now + LOOK_EVERY));
        Ok(Vec::new())
    }

    fn settle(&mut self, tx: &mut Tx<'_>, _answers: &[A]) -> Result<(), Failure> {
        tx.delete(&STORED_ANSWER, std::mem::take(&mut self.over));
        Ok(())
    }

    fn condemn(&mut self, _tx: &mut Tx<'_>, _failure: &Failure) -> Result<(), Failure> {
        Ok(()) // it brings no commands
    }

    fn ended(&mut self, kept: bool) {
        if !kept {
            self.next_look = self.rests_until;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use world::World;

    use super::{ANSWERS_KEPT_FOR, Forget, Inlet, Known, Room, StoredAnswer, Tx, store};
    use crate::session::Session;
    use crate::{Database, Location, MemoryDisk, Options};

    /// Answers that are forgotten two at a time.
    struct Answers {
        world: World,
        session: Session,
        forget: Forget,
    }

    impl Answers {
        fn store(&mut self, names: &[&str]) {
            let mut tx = Tx::begin(&mut self.session, &self.world, None).expect("a transaction");
            let known = || Known { fingerprint: String::new(), answer: StoredAnswer { status: 200, body: "1".into() } };
            store(&mut tx, names.iter().map(|name| ((*name).to_owned(), known())).collect());
            tx.commit();
        }

        /// Looks once this many seconds have gone, and not a microsecond sooner.
        fn looks_after(&mut self, secs: u64) {
            let forget: &mut dyn Inlet<(), ()> = &mut self.forget;
            if secs > 0 {
                self.world.advance(Duration::from_micros(secs * 1_000_000 - 1));
                assert!(!forget.is_ready(self.world.now()), "it looks before {secs} s");
                self.world.advance(Duration::from_micros(1));
            }
            assert!(forget.is_ready(self.world.now()), "it does not look after {secs} s");
            let mut tx = Tx::begin(&mut self.session, &self.world, None).expect("a transaction");
            assert!(forget.take(&mut tx, Room::for_commands(2, |()| 1)).expect("a look").is_empty());
            forget.settle(&mut tx, &[]).expect("it is forgotten");
            tx.commit();
            forget.ended(true);
        }
    }

    #[test]
    fn it_looks_when_there_can_be_something_to_forget_and_not_before() {
        let day = ANSWERS_KEPT_FOR.as_secs();
        let (world, location) = (World::simulated(1), Location::Memory(MemoryDisk::empty()));
        let database = Database::open("s", location, Options::default(), world.clone(), &[]).expect("it opens");
        let session = database.writer().expect("a session");
        let mut answers = Answers { world: world.clone(), session, forget: Forget::default() };
        answers.looks_after(0);
        world.advance(Duration::from_secs(10));
        answers.store(&["a"]);
        answers.looks_after(day - 10);
        // It is over in 10 seconds, and looked for a little later.
        answers.looks_after(60);
        answers.store(&["b", "c", "d"]);
        answers.looks_after(day);
        // A full piece is followed by another.
        answers.looks_after(0);
        answers.store(&["e"]);
        world.advance(Duration::from_secs(100));
        answers.store(&["f"]);
        answers.looks_after(day - 100);
        answers.looks_after(100);
        answers.looks_after(day);
    }
}

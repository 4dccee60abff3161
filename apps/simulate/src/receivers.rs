//! Those to whom webhooks are posted, with a book of every try, behind a network that loses and delays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notifications::domain::Outcome;
use notifications::post::{Letter, Post};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use world::{Chance, Moment, World};

use crate::delivery::Weather;

/// Where the URLs of all receivers begin; the rest is the endpoint's name.
const PLACE: &str = "http://10.0.0.1/";

/// The URL of an endpoint.
pub(crate) fn url_of(endpoint: &str) -> String {
    format!("{PLACE}{endpoint}")
}

/// A try to bring a message to an endpoint. What happens in the book is numbered in its order.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    pub(crate) endpoint: String,
    pub(crate) headers: BTreeMap<&'static str, String>,
    pub(crate) body: String,
    /// When it was posted, and as the how manieth thing in the book.
    pub(crate) at: Moment,
    pub(crate) posted: usize,
    /// As the how manieth thing it arrived, and with which status it was answered, if it was.
    pub(crate) arrived: Option<(usize, Option<u16>)>,
    /// What whoever posted it was told, and as the how manieth thing; none where nobody waited for it any more.
    pub(crate) told: Option<(usize, Option<u16>)>,
}

impl Try {
    /// The id of its message.
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// As the how manieth thing the receiver took it, if it did.
    pub(crate) fn taken(&self) -> Option<usize> {
        let (place, status) = self.arrived?;
        status.filter(|status| (200..300).contains(status)).map(|_| place)
    }
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, headers, arrived, told, .. } = self;
        write!(f, "to {endpoint}: {headers:?}, arrived {arrived:?}, told {told:?}")
    }
}

/// All receivers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Receivers {
    world: World,
    weather: Weather,
    book: Arc<Mutex<Book>>,
}

struct Book {
    chance: Chance,
    tries: Vec<Try>,
    things: usize,
    /// Whether they answer as the seed wills.
    is_rough: bool,
    /// Until when an endpoint is not there at all.
    down: BTreeMap<String, Moment>,
    /// Those that say that they are gone.
    gone: BTreeSet<String>,
}

impl Book {
    fn next(&mut self) -> usize {
        self.things += 1;
        self.things
    }
}

/// What becomes of a try.
#[derive(Clone, Copy)]
enum Fate {
    Answered {
        status: u16,
        retry_after_secs: Option<u64>,
    },
    /// It is taken, and the connection breaks before the answer.
    BreaksOff,
    /// Nobody can be reached.
    NotConnected,
    /// The connection breaks before it is there.
    Lost,
}

impl Fate {
    fn answered(status: u16) -> Self {
        Self::Answered { status, retry_after_secs: None }
    }

    fn what(self) -> Option<&'static str> {
        match self {
            Self::Answered { status: 200..300, .. } => None,
            Self::Answered { status: 410, .. } => Some("a receiver of webhooks was gone"),
            Self::Answered { retry_after_secs: Some(_), .. } => Some("a receiver of webhooks was busy"),
            Self::Answered { .. } => Some("a receiver of webhooks failed"),
            Self::BreaksOff => Some("a receiver broke off when it had taken a webhook"),
            Self::NotConnected => Some("a receiver of webhooks was not there"),
            Self::Lost => Some("a webhook was lost on its way"),
        }
    }
}

/// What the network and the receiver do with a try.
struct Passage {
    fate: Fate,
    /// Until it arrives.
    there: Duration,
    /// Until the answer arrives.
    back: Duration,
}

impl Receivers {
    pub(crate) fn new(world: &World, weather: &Weather) -> Self {
        let book = Book {
            chance: world.chance("receivers"),
            tries: Vec::new(),
            things: 0,
            is_rough: false,
            down: BTreeMap::new(),
            gone: BTreeSet::new(),
        };
        Self { world: world.clone(), weather: weather.clone(), book: Arc::new(Mutex::new(book)) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on they answer as the seed wills, or take everything at once.
    pub(crate) fn turn_rough(&self, does: bool) {
        let mut book = self.book();
        book.is_rough = does;
        if !does {
            book.down.clear();
            book.gone.clear();
        }
    }

    /// For so long an endpoint is not there.
    pub(crate) fn take_down(&self, endpoint: &str, how_long: Duration) {
        self.book().down.insert(endpoint.to_owned(), self.world.now() + how_long);
    }

    /// From now on an endpoint says that it is gone, or no more.
    pub(crate) fn let_go(&self, endpoint: &str, is_gone: bool) {
        let mut book = self.book();
        if is_gone {
            book.gone.insert(endpoint.to_owned());
        } else {
            book.gone.remove(endpoint);
        }
    }

    /// Every try so far.
    pub(crate) fn tries(&self) -> Vec<Try> {
        self.book().tries.clone()
    }

    /// How many tries there were so far.
    pub(crate) fn count(&self) -> usize {
        self.book().tries.len()
    }

    fn passage(&self, book: &mut Book, endpoint: &str) -> Passage {
        let is_down = book.down.get(endpoint).is_some_and(|until| self.world.now() < *until);
        if !book.is_rough {
            let fate = if is_down { Fate::NotConnected } else { Fate::answered(200) };
            return Passage { fate, there: Duration::ZERO, back: Duration::ZERO };
        }
        let chance = &mut book.chance;
        let there = Duration::from_millis(chance.below(400) as u64);
        // Once in a while longer than anybody waits.
        let slowest = if chance.once_in(20) { 30_000 } else { 400 };
        let back = Duration::from_millis(chance.below(slowest) as u64);
        let fate = match chance.below(24) {
            _ if is_down => Fate::NotConnected,
            _ if book.gone.contains(endpoint) => Fate::answered(410),
            0 => Fate::BreaksOff,
            1 => Fate::NotConnected,
            2 => Fate::Lost,
            3 | 4 => Fate::answered(*chance.pick(&[500, 503, 404, 302]).unwrap_or(&500)),
            5 => {
                let longest = if chance.once_in(6) { 7_200 } else { 40 };
                Fate::Answered { status: 429, retry_after_secs: Some(chance.below(longest) as u64) }
            }
            _ => Fate::answered(*chance.pick(&[200, 202, 204]).unwrap_or(&200)),
        };
        Passage { fate, there, back }
    }

    /// Enters a try, and what becomes of it.
    fn posted(&self, letter: &Letter) -> (usize, Passage) {
        let mut book = self.book();
        let endpoint = letter.url.strip_prefix(PLACE).unwrap_or(&letter.url).to_owned();
        let passage = self.passage(&mut book, &endpoint);
        passage.fate.what().into_iter().for_each(|what| self.weather.went_wrong(what));
        if passage.there + passage.back > letter.within {
            self.weather.went_wrong("a receiver of webhooks answered too late");
        }
        let posted = book.next();
        let place = book.tries.len();
        book.tries.push(Try {
            endpoint,
            headers: letter.headers.iter().cloned().collect(),
            body: String::from_utf8_lossy(&letter.body).into_owned(),
            at: self.world.now(),
            posted,
            arrived: None,
            told: None,
        });
        (place, passage)
    }

    fn arrives(&self, place: usize, status: Option<u16>) {
        let mut book = self.book();
        let thing = book.next();
        book.tries[place].arrived = Some((thing, status));
    }

    fn told(&self, place: usize, outcome: &Outcome) {
        let mut book = self.book();
        let thing = book.next();
        let status = match outcome {
            Outcome::Answered { status, .. } => Some(*status),
            Outcome::Unanswered { .. } => None,
        };
        book.tries[place].told = Some((thing, status));
    }

    /// Brings a try to its receiver, and gives what comes back.
    async fn bring(self, place: usize, passage: Passage) -> Outcome {
        let Passage { fate, there, back } = passage;
        sleep(there).await;
        let unanswered = |cause: &str| Outcome::Unanswered { cause: cause.to_owned() };
        let outcome = match fate {
            Fate::NotConnected => unanswered("could not connect"),
            Fate::Lost => unanswered("broke off before it had answered"),
            Fate::BreaksOff => {
                self.arrives(place, None);
                unanswered("broke off before it had answered")
            }
            Fate::Answered { status, retry_after_secs } => {
                self.arrives(place, Some(status));
                Outcome::Answered { status, retry_after_secs, body: String::new() }
            }
        };
        sleep(back).await;
        outcome
    }
}

impl Post for Receivers {
    #[expect(clippy::disallowed_methods, reason = "what is on its way is the network's, and outlives who sent it")]
    fn post(&self, letter: Letter) -> notifications::post::Posted {
        let (place, passage) = self.posted(&letter);
        let (answer, answered) = oneshot::channel();
        let brings = self.clone().bring(place, passage);
        drop(tokio::spawn(async move { drop(answer.send(brings.await)) }));
        let receivers = self.clone();
        Box::pin(async move {
            let outcome = match timeout(letter.within, answered).await {
                Ok(Ok(outcome)) => outcome,
                _ => Outcome::Unanswered { cause: "did not answer in time".to_owned() },
            };
            receivers.told(place, &outcome);
            outcome
        })
    }
}

//! The carrier between processes: another process's `GET /v1/events/{service}`, read ahead.
//!
//! ```text
//! consumer's thread: read(after) ──▶ buffer ◀── one fetch at a time ◀── the producer's feed_route
//!                                      └─ rings the bell once something is there
//! ```
//!
//! It stands here and not in `kernel/events`, for both ends of the wire then stand in one crate, with
//! the form of the cursor and of the page that only they share; `kernel/web` lies above `kernel/events`;
//! and it needs a task of its own, which only this crate starts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::{Bell, Context, Envelope, Position, Trace};
use events::{Feed, FeedError, Partitions, Slice};
use ids::Number;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use web::{Client, Cursor, NoAnswer};
use world::World;

use crate::feed_route::{CURSOR_BEYOND_THE_END, EventPage, Place};

/// Reads the events of a service that runs in another process. Each consumer has one of its own.
#[derive(Debug)]
pub struct HttpFeed {
    shared: Arc<Shared>,
    fetching: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    source: String,
    buffer: Mutex<Buffer>,
    bells: Mutex<Vec<Arc<Bell>>>,
    /// Wakes the task: the consumer reads from elsewhere, or has made room.
    wanted: Notify,
}

/// What has been fetched and not yet read past.
///
/// **Invariant:** its events follow one another without a gap after `begins`, all of one life.
#[derive(Debug, Default)]
struct Buffer {
    /// Whether the consumer has said where to begin.
    is_asked: bool,
    /// The consumer has read up to here.
    begins: Position,
    events: VecDeque<Arc<Envelope>>,
    bytes: usize,
    /// All up to here was fetched.
    upto: Position,
    life: Option<Number>,
    newest: Position,
    trouble: Option<Trouble>,
    /// Whether the producer has answered since the consumer said where to begin; the first answer is
    /// not held until there is something new, so that the consumer soon knows how far there is.
    is_answered: bool,
    /// Grows when the consumer reads from elsewhere: what is on its way then is of no use.
    generation: u64,
    waits_for_room: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// The producer does not answer; it is asked again.
    Unavailable(String),
    /// The producer knows less than was read. Nothing more is asked.
    WentBack { newest: Position, read: Position },
}

/// Events in the buffer after which nothing more is fetched.
const AHEAD_EVENTS: usize = 1_024;
/// Bytes of bodies in the buffer after which nothing more is fetched.
const AHEAD_BYTES: usize = 8 * 1024 * 1024;
/// Events in one page.
const PAGE: usize = 500;
/// How long the producer may hold its answer until there is something new.
const LONG_POLL: Duration = Duration::from_secs(20);
/// How long it may take beyond that.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after a failure the producer is asked again; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest time between two questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl HttpFeed {
    /// The events of a service that this client reaches, fetched by a task on this runtime.
    pub fn of(source: &str, client: Client, world: &World, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared {
            source: source.to_owned(),
            buffer: Mutex::default(),
            bells: Mutex::default(),
            wanted: Notify::new(),
        });
        let trace = Trace::begin(&mut world.chance(&format!("feed of {source}")));
        let by = Context::system(&format!("feed:{source}"), trace);
        let fetching = runtime.spawn(fetch(shared.clone(), client, by)).abort_handle();
        Self { shared, fetching }
    }
}

impl Drop for HttpFeed {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

impl Feed for HttpFeed {
    fn source(&self) -> &str {
        &self.shared.source
    }

    fn listen(&self, bell: &Arc<Bell>) {
        lock(&self.shared.bells).push(bell.clone());
    }

    fn read(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        let mut buffer = lock(&self.shared.buffer);
        if buffer.moves_to(after) {
            self.shared.wanted.notify_one();
        }
        let nothing_yet = || FeedError::Unavailable(format!("nothing was heard of {} yet", self.shared.source));
        if buffer.events.is_empty() {
            let newest = buffer.newest;
            return match (&buffer.trouble, buffer.life) {
                (Some(Trouble::Unavailable(cause)), _) => Err(FeedError::Unavailable(cause.clone())),
                (Some(Trouble::WentBack { newest, read }), _) => {
                    Err(FeedError::WentBack { newest: *newest, read: *read })
                }
                (None, Some(life)) => Ok(Slice { incarnation: life, events: Vec::new(), upto: buffer.upto, newest }),
                (None, None) => Err(nothing_yet()),
            };
        }
        let handed: Vec<_> = buffer.events.iter().take(most).cloned().collect();
        let all = handed.len() == buffer.events.len();
        let upto = if all { buffer.upto } else { handed.last().map_or(after, |event| event.position) };
        let events = handed.into_iter().filter(|event| partitions.contains(event.partition)).collect();
        Ok(Slice { incarnation: buffer.life.ok_or_else(nothing_yet)?, events, upto, newest: buffer.newest })
    }
}

impl Buffer {
    /// The consumer reads on from here. True where the task has to hear of it.
    fn moves_to(&mut self, after: Position) -> bool {
        if !self.is_asked || after < self.begins || after > self.upto {
            let (generation, life) = (self.generation + 1, self.life);
            *self = Self { is_asked: true, begins: after, upto: after, generation, life, ..Self::default() };
            return true;
        }
        while self.events.front().is_some_and(|event| event.position <= after) {
            let read = self.events.pop_front();
            self.bytes -= read.map_or(0, |event| event.body.len());
        }
        self.begins = after;
        self.waits_for_room && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.events.len() < AHEAD_EVENTS && self.bytes < AHEAD_BYTES
    }

    /// What to fetch; none while there is nothing to do.
    fn next_fetch(&mut self) -> Option<Next> {
        let is_over = matches!(self.trouble, Some(Trouble::WentBack { .. }));
        if !self.is_asked || is_over {
            return None;
        }
        self.waits_for_room = !self.has_room();
        let wait = if self.is_answered { LONG_POLL } else { Duration::ZERO };
        (!self.waits_for_room).then_some(Next { after: self.upto, wait, generation: self.generation })
    }

    /// Takes in what came.
    fn take(&mut self, page: Fetched) {
        self.newest = self.newest.max(page.newest);
        self.is_answered = true;
        if self.life.is_some_and(|life| life != page.life) {
            // The consumer compares the lives, and stops.
            self.events.clear();
            self.bytes = 0;
        }
        self.life = Some(page.life);
        self.trouble = None;
        for event in page.events {
            if event.position > self.upto {
                self.upto = event.position;
                self.bytes += event.body.len();
                self.events.push_back(Arc::new(event));
            }
        }
        self.upto = self.upto.max(page.upto);
    }
}

/// A page to fetch.
#[derive(Clone, Copy, Debug)]
struct Next {
    after: Position,
    /// How long the producer may hold its answer.
    wait: Duration,
    generation: u64,
}

/// A page that was read.
struct Fetched {
    life: Number,
    events: Vec<Envelope>,
    upto: Position,
    newest: Position,
}

/// Fetches ahead of the consumer, one page at a time, for as long as the feed lives.
async fn fetch(shared: Arc<Shared>, client: Client, by: Context) {
    let mut pause = FIRST_PAUSE;
    loop {
        let next = lock(&shared.buffer).next_fetch();
        let Some(next) = next else {
            shared.wanted.notified().await;
            continue;
        };
        let fetched = tokio::select! {
            fetched = page(&client, &shared.source, next, &by) => fetched,
            () = shared.wanted.notified() => continue,
        };
        let failed = {
            let mut buffer = lock(&shared.buffer);
            if buffer.generation != next.generation {
                continue;
            }
            match fetched {
                Ok(page) => buffer.take(page),
                Err(trouble) => {
                    // Once for each time that it goes away.
                    if let (Trouble::Unavailable(cause), FIRST_PAUSE) = (&trouble, pause) {
                        tracing::warn!(
                            source = shared.source,
                            cause,
                            "The events of a service cannot be read; it is asked again until they can"
                        );
                    }
                    buffer.trouble = Some(trouble);
                }
            }
            matches!(buffer.trouble, Some(Trouble::Unavailable(_)))
        };
        for bell in lock(&shared.bells).iter() {
            bell.ring();
        }
        if failed {
            tokio::select! { () = sleep(pause) => {}, () = shared.wanted.notified() => {} }
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            pause = FIRST_PAUSE;
        }
    }
}

async fn page(client: &Client, source: &str, next: Next, by: &Context) -> Result<Fetched, Trouble> {
    let path =
        format!("{}?limit={PAGE}&after={}", web::path(["v1", "events", source]), Cursor::new(&Place(None, next.after)));
    let page: EventPage = match client.get_json_waiting(&path, next.wait, by, PATIENCE).await {
        Ok(page) => page,
        Err(NoAnswer::Refused(refusal)) if refusal.code == CURSOR_BEYOND_THE_END.code => {
            let newest = refusal.members.get("newest").and_then(serde_json::Value::as_i64).unwrap_or(0);
            return Err(Trouble::WentBack { newest, read: next.after });
        }
        Err(no_answer) => return Err(Trouble::Unavailable(format!("{source} {no_answer}"))),
    };
    let unreadable = |what: String| {
        tracing::error!(source, what, "A producer says something that this release cannot read");
        Trouble::Unavailable(what)
    };
    let Ok(Place(Some(life), upto)) = page.next.open::<Place>() else {
        return Err(unreadable("a cursor without a place".to_owned()));
    };
    let events = page.items.into_iter().map(Envelope::try_from).collect::<Result<Vec<_>, _>>();
    let events = events.map_err(|error| unreadable(error.to_string()))?;
    Ok(Fetched { life, events, upto, newest: page.newest })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

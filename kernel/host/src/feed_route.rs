//! A service's events for whoever asks over HTTP: `GET /v1/events/{service}`; `GET /v1/events` lists
//! the services whose events can be read here.
//!
//! The answer is a page of events in their order and `next`, the cursor after which to go on. There
//! is always a `next`: a feed has no end, and the same cursor asked again later gives what is new.
//! With `Prefer: wait=10` the answer comes as soon as there is something, or after the seconds.
//!
//! Without a cursor it begins with the first event ever, with `after=latest` behind the newest one.
//!
//! With `Accept: text/event-stream` the answer is an endless stream (see `feed_stream`).
//!
//! A page may be shorter than its limit, even empty, and yet not be the last: one request looks at
//! so many events and no more ([`MOST_LOOKED_AT`]), and with `type` or `subject` most may be others';
//! also, a page ends when it has become large. Who wants all goes on from `next` until it no
//! longer changes; `newest` says how far that is.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use db::{Database, Envelope, InMemory, Position};
use events::EventDocument;
use ids::Number;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use web::{Caller, Cursor, FieldError, Problem, ProblemKind, Query, Routes, Scope, Segment, Slot, Wait};

use crate::board::{Board, Part};
use crate::broadcast::{Interest, Joined, Next};
use crate::{feed_stream, openapi};

/// A service that does not run here.
pub static UNKNOWN_SERVICE: ProblemKind = ProblemKind {
    code: "unknown-service",
    status: 404,
    title: "This service does not run here",
    help: "No service of this name runs in this program. `services` says which do; another process may run it.",
};

/// A cursor from before a restore.
pub static CURSOR_OF_ANOTHER_LIFE: ProblemKind = ProblemKind {
    code: "cursor-of-another-life",
    status: 410,
    title: "The events were restored from a backup since",
    help: "The cursor belongs to a database that was restored from a backup since; what was read with it may not \
           exist any more. Reconcile what you made of those events, then begin anew without a cursor.",
};

/// A cursor beyond what there is.
pub static CURSOR_BEYOND_THE_END: ProblemKind = ProblemKind {
    code: "cursor-beyond-the-end",
    status: 410,
    title: "There are fewer events than were read before",
    help: "The cursor lies after the newest event: the database was restored from a backup, and what was read after \
           `newest` does not exist any more. Reconcile what you made of those events, then begin anew without a cursor.",
};

/// No room for one more who listens.
pub static TOO_MANY_LISTENERS: ProblemKind = ProblemKind {
    code: "too-many-listeners",
    status: 503,
    title: "Too many listen to events",
    help: "As many streams of events are open, or as many requests wait for events, as this program grants \
           (`http.streams`). Ask again after the seconds that `Retry-After` says; what is said meanwhile is not lost, the \
           cursor leads to it.",
};

/// Events that one request looks at.
const MOST_LOOKED_AT: usize = 10_000;
/// Bytes of bodies after which a page ends.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Events that are read at once.
const PIECE: usize = 256;

/// The routes of this module.
pub(crate) fn routes(board: &Arc<Board>) -> Routes {
    Routes::about("Events")
        // Events of all owners.
        .get("/v1/events/{service}", Scope::Admin, events, openapi::events())
        .get("/v1/events", Scope::Admin, feeds, openapi::feeds())
        .with_state(board.clone())
}

/// A feed that can be read here.
#[derive(Debug, Serialize)]
struct FeedDocument {
    service: &'static str,
    /// The position of its newest event; 0 when there is none.
    newest: Position,
}

async fn feeds(State(board): State<Arc<Board>>) -> Json<serde_json::Value> {
    let feed = |part: &Part| FeedDocument { service: part.name, newest: *part.database.ring().newest().borrow() };
    let items: Vec<_> = board.parts.iter().map(feed).collect();
    Json(serde_json::json!({ "items": items }))
}

/// A place in a feed: a position in a life of the producer's database. Who knows only the position
/// (a consumer of ours, which compares the lives itself) leaves the life out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place(pub(crate) Option<Number>, pub(crate) Position);

/// A page of a feed, as it is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventPage {
    /// The events, in their order.
    pub(crate) items: Vec<EventDocument>,
    /// The cursor after which to go on; also after the newest event.
    pub(crate) next: Cursor,
    /// The position of the newest event of this service.
    pub(crate) newest: Position,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) limit: usize,
    pub(crate) after: Position,
    pub(crate) interest: Interest,
}

impl Asked {
    fn read(mut query: Query, headers: &HeaderMap, database: &Database) -> Result<Self, Problem> {
        let kinds: BTreeSet<_> = query.all("type").into_iter().collect();
        let subject = query.one("subject");
        let latest = query.says("after", "latest");
        let page = query.page();
        let (mut page, subject) = query.finish(|| Some((page?, subject?)))?;
        if let Some(last) = headers.get("last-event-id") {
            let last = last.to_str().ok().and_then(|last| last.parse().ok());
            let unreadable = || Problem::unreadable("`Last-Event-ID` is expected as the stream gave it.");
            page.after = Some(last.ok_or_else(unreadable)?);
        }
        let after = match page.start::<Place>()? {
            Some(Place(Some(life), _)) if life != database.incarnation() => {
                return Err(Problem::new(&CURSOR_OF_ANOTHER_LIFE).member("incarnation", database.incarnation()));
            }
            Some(Place(_, position)) if position < 0 => {
                let detail = "a cursor as it was given is expected".to_owned();
                let fault = FieldError { pointer: "?after".to_owned(), detail };
                return Err(Problem::unreadable("The cursor cannot be.").error(fault));
            }
            Some(Place(_, position)) => position,
            None if latest => *database.ring().newest().borrow(),
            None => 0,
        };
        let interest = Interest { subject: subject.map(Into::into), kinds: Arc::new(kinds) };
        Ok(Self { limit: page.limit.into(), after, interest })
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) items: Vec<Arc<Envelope>>,
    pub(crate) upto: Position,
    /// Whether there was nothing more.
    at_end: bool,
}

impl Found {
    fn is_nothing_new(&self) -> bool {
        self.items.is_empty() && self.at_end
    }
}

async fn events(
    State(board): State<Arc<Board>>,
    Segment(service): Segment<String>,
    wait: Wait,
    slot: Slot,
    caller: Caller,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    let Some(part) = board.part(&service) else {
        let services: Vec<_> = board.parts.iter().map(|part| part.name).collect();
        return Err(Problem::new(&UNKNOWN_SERVICE).member("services", services));
    };
    let mut asked = Asked::read(query, &headers, &part.database)?;
    let mut found = look(&part.database, &asked, Position::MAX).await?;
    if feed_stream::is_asked_for(&headers) {
        let room = board.listening.stream().ok_or_else(too_many)?;
        return Ok(feed_stream::endless(part, asked, found, board.listening.heartbeat, caller.admission, room));
    }
    if let (true, Some(wait)) = (found.is_nothing_new(), wait.time()) {
        // Whoever waits for others to do something keeps nobody from doing it.
        let _room = board.listening.wait(&slot).ok_or_else(too_many)?;
        found = wait_for_news(part, &mut asked, found, Instant::now() + wait).await?;
    }
    let items = found.items.iter().map(|event| EventDocument::try_from(&**event)).collect::<Result<_, _>>()?;
    let next = Cursor::new(&Place(Some(part.database.incarnation()), found.upto));
    let newest = *part.database.ring().newest().borrow();
    Ok(Json(EventPage { items, next, newest }).into_response())
}

fn too_many() -> Problem {
    Problem::new(&TOO_MANY_LISTENERS).retry_after_secs(5)
}

/// Looks again whenever something that is wanted was said, until something is found or the time is over.
async fn wait_for_news(part: &Part, asked: &mut Asked, nothing: Found, until: Instant) -> Result<Found, Problem> {
    let mut found = nothing;
    loop {
        asked.after = found.upto;
        let left = until.saturating_duration_since(Instant::now());
        match part.waits.join(&asked.interest, asked.after) {
            Joined::Over => return Ok(found),
            Joined::Behind(_) => {}
            Joined::Ahead if timeout(left, part.waits.reaches(asked.after)).await.is_err() => return Ok(found),
            Joined::Ahead => continue,
            Joined::Now(mut subscription) => match subscription.next(left).await {
                Next::Wave(_) => {}
                Next::Nothing(upto) => return Ok(Found { upto, ..found }),
                Next::End(_) => return Ok(found),
            },
        }
        found = look(&part.database, asked, Position::MAX).await?;
        if !found.is_nothing_new() {
            return Ok(found);
        }
    }
}

/// Looks through the events after a place, up to another, for those that are wanted.
pub(crate) async fn look(database: &Database, asked: &Asked, upto: Position) -> Result<Found, Problem> {
    let mut found = Found { items: Vec::new(), upto: asked.after, at_end: false };
    let (mut looked_at, mut bytes) = (0, 0);
    while looked_at < MOST_LOOKED_AT {
        let piece = piece(database, found.upto).await?;
        found.at_end = piece.is_empty();
        if found.at_end {
            break;
        }
        looked_at += piece.len();
        for event in piece {
            if event.position > upto {
                return Ok(found);
            }
            found.upto = event.position;
            if asked.interest.wants(&event) {
                bytes += event.body.len();
                found.items.push(event);
                if found.items.len() >= asked.limit || bytes >= MOST_BYTES {
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}

/// The next events, from memory or from the table.
pub(crate) async fn piece(database: &Database, after: Position) -> Result<Vec<Arc<Envelope>>, Problem> {
    if let InMemory::All(events) = database.ring().after(after, PIECE) {
        return Ok(events);
    }
    let read = database.read(move |read| read.news_after(after, PIECE));
    let (newest, events) = read.await?;
    if newest < after {
        return Err(Problem::new(&CURSOR_BEYOND_THE_END).member("newest", newest));
    }
    database.learned(newest);
    Ok(events.into_iter().map(Arc::new).collect())
}

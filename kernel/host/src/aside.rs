//! What consumers have put aside: events that wait for another attempt, and dead letters, which a
//! person looks at, replays once the cause is mended, or gives up with a reason.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::{Failure, Position, Read, Tx};
use events::{DeadLetter, EventDocument, ParkedEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, Faults, IdempotencyKey, Listed, Problem, ProblemKind, Query, Routes, Scope};
use world::Moment;

use crate::board::Board;
use crate::feed_route::UNKNOWN_SERVICE;
use crate::openapi;

/// A dead letter that is not there.
pub static UNKNOWN_DEAD_LETTER: ProblemKind = ProblemKind {
    code: "unknown-dead-letter",
    status: 404,
    title: "There is no such dead letter",
    help: "No dead letter of this source and position lies with this service. It may have been replayed or discarded \
           already; `/v1/dead-letters` lists those that are left, and `/v1/parked-events` what is being tried again.",
};

/// The routes of this module.
pub(crate) fn routes(board: &Arc<Board>) -> Routes {
    Routes::about("Events put aside")
        .get("/v1/dead-letters", Scope::Admin, dead_letters, openapi::dead_letters())
        .post("/v1/dead-letters/{service}/{source}/{position}/replay", Scope::Admin, replay, openapi::replay())
        .post("/v1/dead-letters/{service}/{source}/{position}/discard", Scope::Admin, discard, openapi::discard())
        .get("/v1/parked-events", Scope::Admin, parked_events, openapi::parked_events())
        .with_state(board.clone())
}

/// An event that was put aside, and why.
#[derive(Debug, Serialize)]
struct Aside {
    /// The service that could not deal with it.
    service: &'static str,
    source: String,
    position: Position,
    attempts: i64,
    cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    died_at: Option<Moment>,
    event: EventDocument,
}

/// A place in the list: service, source, position.
type Place = (String, String, Position);

impl Aside {
    fn place(&self) -> Place {
        (self.service.to_owned(), self.source.clone(), self.position)
    }

    fn of_parked(service: &'static str, parked: &ParkedEvent) -> Result<Self, Failure> {
        let ParkedEvent { event, attempts, due_at, cause } = parked;
        let (attempts, due_at, died_at) = (*attempts, Some(*due_at), None);
        let (source, position, cause) = (event.source.to_string(), event.position, cause.clone());
        Ok(Self { service, source, position, attempts, cause, due_at, died_at, event: event.try_into()? })
    }

    fn of_letter(service: &'static str, letter: &DeadLetter) -> Result<Self, Failure> {
        let DeadLetter { event, attempts, died_at, cause } = letter;
        let (attempts, due_at, died_at) = (*attempts, None, Some(*died_at));
        let (source, position, cause) = (event.source.to_string(), event.position, cause.clone());
        Ok(Self { service, source, position, attempts, cause, due_at, died_at, event: event.try_into()? })
    }
}

/// Reads what one service has put aside after a place.
type ReadAside = fn(&mut Read<'_>, &'static str, &(String, Position), i64) -> Result<Vec<Aside>, Failure>;

async fn dead_letters(State(board): State<Arc<Board>>, query: Query) -> Result<Listed<Aside>, Problem> {
    list(&board, query, |read, service, (source, position), most| {
        let letters = events::dead_letters_after(read, source, *position, most)?;
        letters.iter().map(|letter| Aside::of_letter(service, letter)).collect()
    })
    .await
}

async fn parked_events(State(board): State<Arc<Board>>, query: Query) -> Result<Listed<Aside>, Problem> {
    list(&board, query, |read, service, (source, position), most| {
        let parked = events::parked_events_after(read, source, *position, most)?;
        parked.iter().map(|parked| Aside::of_parked(service, parked)).collect()
    })
    .await
}

/// One list over all services, or one of them, in the order of their names.
async fn list(board: &Board, mut query: Query, read_aside: ReadAside) -> Result<Listed<Aside>, Problem> {
    let only = query.one("service");
    let page = query.page();
    let (page, only) = query.finish(|| Some((page?, only?)))?;
    let start = page.start::<Place>()?;
    let (service, source, position) = start.unwrap_or_default();
    let mut parts: Vec<_> =
        board.parts.iter().filter(|part| only.as_deref().is_none_or(|only| part.name == only)).collect();
    parts.sort_by_key(|part| part.name);
    let mut items = Vec::new();
    for part in parts.into_iter().filter(|part| *part.name >= *service) {
        let after = if part.name == service { (source.clone(), position) } else { (String::new(), 0) };
        let most = i64::from(page.limit) + 1 - i64::try_from(items.len()).unwrap_or(0);
        if most <= 0 {
            break;
        }
        let name = part.name;
        items.extend(part.database.read(move |read| read_aside(read, name, &after, most)).await?);
    }
    Ok(Listed::of(items, &page, Aside::place))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    #[serde(default)]
    reason: Value,
}

impl Why {
    fn reason(&self) -> Result<String, Problem> {
        let mut faults = Faults::default();
        let reason = faults.at("/reason").text(&self.reason, 1..=500);
        faults.finish(|| reason)
    }
}

/// What became of a dead letter.
#[derive(Debug, Serialize)]
struct Settled {
    service: &'static str,
    source: String,
    position: Position,
    status: &'static str,
}

async fn replay(
    State(board): State<Arc<Board>>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Path(place): Path<Place>,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    settle(&board, &caller, key, place, &why, "replayed").await
}

async fn discard(
    State(board): State<Arc<Board>>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Path(place): Path<Place>,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    settle(&board, &caller, key, place, &why, "discarded").await
}

async fn settle(
    board: &Board,
    caller: &Caller,
    key: Option<IdempotencyKey>,
    (service, source, position): Place,
    why: &Why,
    status: &'static str,
) -> Result<Response, Problem> {
    let reason = why.reason()?;
    let part = board.part(&service).ok_or_else(|| {
        let services: Vec<_> = board.parts.iter().map(|part| part.name).collect();
        Problem::new(&UNKNOWN_SERVICE).member("services", services)
    })?;
    // No source is called so, and the databases cannot even be asked for it.
    if source.contains('\0') {
        return Err(Problem::new(&UNKNOWN_DEAD_LETTER));
    }
    let key = key.map(|key| key.stands_for(&reason));
    let (actor, of) = (caller.context.actor.to_string(), source.clone());
    let work = move |tx: &mut Tx<'_>| {
        let is_settled = match status {
            "replayed" => events::replay(tx, &of, position),
            _ => events::discard(tx, &of, position),
        }?;
        if is_settled {
            tx.after_commit(move || {
                let source = of;
                tracing::warn!(service, source, position, status, reason, actor, "A dead letter was settled by hand");
            });
        }
        Ok(is_settled)
    };
    let service = part.name;
    let say = move |is_settled: bool| {
        let settled = || (StatusCode::OK, Settled { service, source: source.clone(), position, status });
        is_settled.then(settled).ok_or_else(|| Problem::new(&UNKNOWN_DEAD_LETTER))
    };
    web::write(&part.database, caller, key, work, say).await
}

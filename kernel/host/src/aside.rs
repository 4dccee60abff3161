//! What consumers have put aside: events that wait for another attempt, and dead letters, which a
//! person looks at, replays once the cause is mended, or gives up; and who did so and why.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use db::{Failure, Position, Read, Tx};
use events::{Became, DeadLetter, EventDocument, ParkedEvent, SettledLetter, Settling};
use ids::Number;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, IdempotencyKey, Listed, Problem, ProblemKind, Query, Routes, Scope};
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
        .get("/v1/settled-letters", Scope::Admin, settled_letters, openapi::settled_letters())
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

/// Which of all events that were put aside: service, source, position.
type Place = (String, String, Position);

impl Aside {
    fn place(&self) -> (String, (String, Position)) {
        (self.service.to_owned(), (self.source.clone(), self.position))
    }

    fn of_parked(service: &'static str, parked: &ParkedEvent) -> Result<Self, Failure> {
        let ParkedEvent { event, attempts, due_at, cause } = parked;
        let (attempts, due_at, died_at) = (*attempts, *due_at, None);
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

/// A dead letter that somebody has settled, who and why.
#[derive(Debug, Serialize)]
struct SettledDocument {
    #[serde(skip)]
    number: Number,
    service: &'static str,
    source: String,
    position: Position,
    r#type: String,
    subject: String,
    cause: String,
    status: Became,
    settled_at: Moment,
    actor: String,
    reason: String,
}

impl SettledDocument {
    fn of(service: &'static str, letter: SettledLetter) -> Self {
        let SettledLetter { number, source, position, subject, kind, cause, became, settled_at, actor, reason } =
            letter;
        let (r#type, status) = (kind, became);
        Self { number, service, source, position, r#type, subject, cause, status, settled_at, actor, reason }
    }
}

async fn dead_letters(State(board): State<Arc<Board>>, query: Query) -> Result<Listed<Aside>, Problem> {
    let first = || (String::new(), 0);
    list(&board, query, first, Aside::place, |read, service, (source, position), most| {
        let letters = events::dead_letters_after(read, source, *position, most)?;
        letters.iter().map(|letter| Aside::of_letter(service, letter)).collect()
    })
    .await
}

async fn settled_letters(State(board): State<Arc<Board>>, query: Query) -> Result<Listed<SettledDocument>, Problem> {
    let first = || Number::from_column(i64::MIN);
    let place = |settled: &SettledDocument| (settled.service.to_owned(), settled.number);
    list(&board, query, first, place, |read, service, number, most| {
        let letters = events::settled_letters_after(read, *number, most)?;
        Ok(letters.into_iter().map(|letter| SettledDocument::of(service, letter)).collect())
    })
    .await
}

async fn parked_events(State(board): State<Arc<Board>>, query: Query) -> Result<Listed<Aside>, Problem> {
    let first = || (String::new(), 0);
    list(&board, query, first, Aside::place, |read, service, (source, position), most| {
        let parked = events::parked_events_after(read, source, *position, most)?;
        parked.iter().map(|parked| Aside::of_parked(service, parked)).collect()
    })
    .await
}

/// Reads what one service has after a place in its own order.
type ReadAfter<T, P> = fn(&mut Read<'_>, &'static str, &P, i64) -> Result<Vec<T>, Failure>;

/// One list over all services, or one of them, in the order of their names.
async fn list<T: Send + 'static, P: Serialize + DeserializeOwned + Send + 'static>(
    board: &Board,
    mut query: Query,
    first: impl Fn() -> P,
    place: impl FnOnce(&T) -> (String, P),
    read_after: ReadAfter<T, P>,
) -> Result<Listed<T>, Problem> {
    let only = query.one("service");
    let page = query.page();
    let (page, only) = query.finish(|| Some((page?, only?)))?;
    let (service, mut start) =
        page.start::<(String, P)>()?.map_or_else(Default::default, |(service, start)| (service, Some(start)));
    let mut parts: Vec<_> =
        board.parts.iter().filter(|part| only.as_deref().is_none_or(|only| part.name == only)).collect();
    parts.sort_by_key(|part| part.name);
    let mut items = Vec::new();
    for part in parts.into_iter().filter(|part| *part.name >= *service) {
        let after = start.take().filter(|_| part.name == service).unwrap_or_else(&first);
        let most = i64::from(page.limit) + 1 - i64::try_from(items.len()).unwrap_or(0);
        if most <= 0 {
            break;
        }
        let name = part.name;
        items.extend(part.database.read(move |read| read_after(read, name, &after, most)).await?);
    }
    Ok(Listed::of(items, &page, place))
}

/// Why somebody settles a dead letter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    #[serde(default)]
    pub(crate) reason: Value,
}

/// What became of a dead letter.
#[derive(Debug, Serialize)]
struct Settled {
    service: &'static str,
    source: String,
    position: Position,
    status: Became,
}

async fn replay(
    State(board): State<Arc<Board>>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Path(place): Path<Place>,
    why: Body<Why>,
) -> Result<Response, Problem> {
    settle(&board, &caller, key, place, why, Became::Replayed).await
}

async fn discard(
    State(board): State<Arc<Board>>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Path(place): Path<Place>,
    why: Body<Why>,
) -> Result<Response, Problem> {
    settle(&board, &caller, key, place, why, Became::Discarded).await
}

/// Replays or discards a dead letter for a reason, which is kept with it.
pub(crate) async fn settle(
    board: &Board,
    caller: &Caller,
    key: Option<IdempotencyKey>,
    (service, source, position): Place,
    Body(why, mut faults): Body<Why>,
    status: Became,
) -> Result<Response, Problem> {
    let checked = faults.at("/reason").text(&why.reason, 1..=500);
    let reason = faults.finish(|| checked)?;
    let part = board.part(&service).ok_or_else(|| {
        let services: Vec<_> = board.parts.iter().map(|part| part.name).collect();
        Problem::new(&UNKNOWN_SERVICE).member("services", services)
    })?;
    // No source is called so, and the databases cannot even be asked for it.
    if source.contains('\0') {
        return Err(Problem::new(&UNKNOWN_DEAD_LETTER));
    }
    let key = key.map(|key| key.stands_for(&reason));
    let (by, of) = (Settling { actor: caller.context.actor.clone(), reason }, source.clone());
    let work = move |tx: &mut Tx<'_>| {
        let is_settled = match status {
            Became::Replayed => events::replay(tx, &of, position, &by),
            Became::Discarded => events::discard(tx, &of, position, &by),
        }?;
        if is_settled {
            tx.after_commit(move || {
                let (source, Settling { actor, reason }) = (of, by);
                tracing::warn!(service, source, position, %status, reason, %actor, "A dead letter was settled by hand");
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

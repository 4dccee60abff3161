//! Requests about what was sent to an endpoint, and what is sent again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ids::Name;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use web::{Body, Caller, IdempotencyKey, Listed, Problem, Query, Segment, Segments};
use world::Moment;

use super::Counter;
use super::problem::UNKNOWN_DELIVERY;
use crate::domain::{Attempt, Outcome, Status};
use crate::perform::{Answer, Command, Settled};
use crate::store::{self, EVER, Kept, Logged, Message, Stretch};

/// Messages that one request sends again, at most.
const MOST_AT_ONCE: i64 = 1_000;

/// What became of a message, as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct DeliveryDocument {
    position: i64,
    webhook_id: String,
    r#type: String,
    subject: String,
    recorded_at: Moment,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Moment>,
    attempts: Vec<AttemptDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

/// A try, as it is shown.
#[derive(Debug, Serialize)]
struct AttemptDocument {
    at: Moment,
    url: String,
    duration_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Attempt> for AttemptDocument {
    fn from(attempt: Attempt) -> Self {
        let Attempt { at, duration_ms, url, outcome } = attempt;
        let error = (!outcome.is_success()).then(|| outcome.why());
        let (status, answer) = match outcome {
            Outcome::Answered { status, body, .. } => (Some(status), Some(body)),
            Outcome::Unanswered { .. } => (None, None),
        };
        Self { at, url, duration_ms, status, answer, error }
    }
}

impl DeliveryDocument {
    pub(super) fn of(message: Message, kept: Kept, with_body: bool) -> Result<Self, Problem> {
        let (status, delivery) = (kept.delivery.status().as_str(), kept.delivery);
        let body = with_body.then(|| RawValue::from_string(message.body)).transpose().map_err(Problem::internal)?;
        Ok(Self {
            position: message.number,
            webhook_id: message.id,
            r#type: message.kind,
            subject: message.subject,
            recorded_at: message.recorded_at,
            status,
            next_attempt_at: delivery.due_at,
            attempts: delivery.attempts.into_iter().map(Into::into).collect(),
            body,
        })
    }
}

impl Counter {
    /// A message that was for an endpoint; none where there is no such one, or it is not known what became of it.
    async fn logged(&self, name: &Name, position: i64) -> Result<Option<(Message, Kept)>, Problem> {
        let name = name.clone();
        let found = self.database.read(move |read| match store::find(read, &name)? {
            Some(record) => store::message(read, record.number, position),
            None => Ok(None),
        });
        Ok(found.await?.and_then(|(message, kept)| Some((message, kept?))))
    }
}

/// A word for where a delivery stands, as a query has it.
struct StatusWord(Status);

impl std::str::FromStr for StatusWord {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Status::ALL.into_iter().find(|status| status.as_str() == text);
        known.map(Self).ok_or("`waiting`, `retrying`, `delivered` or `failed` is expected")
    }
}

pub(super) async fn list(
    State(counter): State<Counter>,
    Segment(name): Segment<Name>,
    mut query: Query,
) -> Result<Listed<DeliveryDocument>, Problem> {
    let status = query.parse::<StatusWord>("status");
    let page = query.page();
    let (status, page) = query.finish(|| Some((status?, page?)))?;
    let before = page.start::<i64>()?.unwrap_or(i64::MAX);
    let record = counter.find(&name).await?;
    let most = i64::from(page.limit) + 1;
    let status = status.map(|StatusWord(status)| status);
    let logged = counter.database.read(move |read| store::log(read, record.number, status, before, most)).await?;
    let shown = |(message, kept): Logged| Some(DeliveryDocument::of(message, kept?, false));
    let items = logged.into_iter().filter_map(shown).collect::<Result<Vec<_>, Problem>>()?;
    Ok(Listed::of(items, &page, |delivery: &DeliveryDocument| delivery.position))
}

pub(super) async fn show(
    State(counter): State<Counter>,
    Segments(name, position): Segments<Name, i64>,
) -> Result<Json<DeliveryDocument>, Problem> {
    match counter.logged(&name, position).await? {
        Some((message, kept)) => Ok(Json(DeliveryDocument::of(message, kept, true)?)),
        None => counter.find(&name).await.and_then(|_| Err(Problem::new(&UNKNOWN_DELIVERY))),
    }
}

pub(super) async fn send_one_again(
    State(counter): State<Counter>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segments(name, position): Segments<Name, i64>,
) -> Result<Response, Problem> {
    // What is not there is refused by the desk, which knows what was answered before.
    let message = counter.logged(&name, position).await?.map(|(message, _)| message);
    let heads = message.iter().map(Message::head).collect();
    let say = move |answer: Answer| match (answer?, message.clone()) {
        (Settled::ToSend(kept), message) => match (kept.into_iter().next(), message) {
            (Some(kept), Some(message)) => Ok((StatusCode::ACCEPTED, DeliveryDocument::of(message, kept, true)?)),
            _ => Err(Problem::new(&UNKNOWN_DELIVERY)),
        },
        (other, _) => Err(Problem::internal(format!("a message that was sent again came to {other:?}"))),
    };
    let key = key.map(|key| key.stands_for(&()));
    web::ask(&counter.desk, caller.asks(Command::SendAgain(name, heads)), key, say).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStretch {
    #[serde(default)]
    from: Value,
    #[serde(default)]
    to: Value,
    #[serde(default)]
    from_position: Value,
    #[serde(default)]
    to_position: Value,
}

/// How much of a stretch is sent again.
#[derive(Debug, Serialize)]
struct SentAgain {
    /// Messages that are sent again.
    deliveries: usize,
    /// The position from which to ask again for the rest; none where that was all.
    next_position: Option<i64>,
}

pub(super) async fn send_again(
    State(counter): State<Counter>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
    Body(raw, mut faults): Body<RawStretch>,
) -> Result<Response, Problem> {
    let from = faults.at("/from").parse_if_given::<Moment>(&raw.from);
    let to = faults.at("/to").parse_if_given::<Moment>(&raw.to);
    let first = faults.at("/from_position").integer_if_given(&raw.from_position, 0..=i64::MAX);
    let last = faults.at("/to_position").integer_if_given(&raw.to_position, 0..=i64::MAX);
    if raw.from.is_null() && raw.from_position.is_null() {
        faults.at("/from").refuse::<()>("a time is expected here, or a position in `from_position`");
    }
    let stretch = faults.finish(|| {
        let (earliest, latest) = EVER;
        let times = (from?.unwrap_or(earliest), to?.unwrap_or(latest));
        Some(Stretch { numbers: (first?.unwrap_or(0), last?.unwrap_or(i64::MAX)), times })
    })?;
    let key = key.map(|key| key.stands_for(&(stretch.numbers, stretch.times)));
    let most = usize::try_from(MOST_AT_ONCE).unwrap_or(usize::MAX);
    let of = name.clone();
    let found = counter.database.read(move |read| match store::find(read, &of)? {
        Some(record) => store::wanted_in(read, &record, stretch, most),
        // The desk says so, unless the same was answered before.
        None => Ok((Vec::new(), None)),
    });
    let (heads, next_position) = found.await?;
    let say = move |answer: Answer| match answer? {
        Settled::ToSend(kept) => Ok((StatusCode::ACCEPTED, SentAgain { deliveries: kept.len(), next_position })),
        other => Err(Problem::internal(format!("messages that were sent again came to {other:?}"))),
    };
    web::ask(&counter.desk, caller.asks(Command::SendAgain(name, heads)), key, say).await
}

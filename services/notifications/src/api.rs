//! Requests that notifications answers: endpoints, and what was sent to them.
//!
//! ```text
//! PUT GET DELETE /v1/webhook-endpoints/{id}                        an endpoint; its secret is shown once
//! POST           …/rotate-secret · …/resume · …/test
//! GET            …/deliveries · …/deliveries/{position}            what was sent, and what came of it
//! POST           …/deliveries/{position}/redeliver · …/redeliver   sends one, or a stretch, again
//! ```

mod openapi;
pub(crate) mod overview;
pub mod problem;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use db::{Database, Desk};
use ids::Name;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use web::{
    Body, Caller, Conditions, ETag, Faults, IdempotencyKey, Listed, NotATarget, Page, Problem, Query, Reach,
    Repeatable, Routes, Scope, Segment, Segments, Target,
};
use world::Moment;

use crate::api::problem::{UNKNOWN_DELIVERY, UNKNOWN_ENDPOINT};
use crate::consumers::{self, Wanted};
use crate::domain::{Attempt, Endpoint, Filter, Outcome, Secret, Settings, Status};
use crate::perform::{Answer, Command, Edit, Seen, Settled};
use crate::store::{self, EVER, Kept, Logged, Message, Record, Stretch};

/// Types or subjects in a filter, at most.
const MOST_WANTED: usize = 100;
/// The longest type or subject.
const LONGEST_WANTED: usize = 200;
/// The longest overlap of two secrets: 30 days.
const LONGEST_OVERLAP_SECS: i64 = 30 * 24 * 60 * 60;
/// How long a secret signs on after it was rotated, where nothing else is said: a day.
const OVERLAP_SECS: i64 = 24 * 60 * 60;
/// Messages that one request sends again, at most.
const MOST_AT_ONCE: i64 = 1_000;
/// How long it may take to look up the name in a URL.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(3);

/// The version of what is not there, or not as its caller has seen it; others count from one. The desk refuses it
/// unless the same was asked before under the same key.
const NOT_SEEN: i64 = 0;

/// What handlers share.
#[derive(Clone, Debug)]
struct Counter {
    database: Database,
    desk: Desk<Command, Answer>,
    reach: Reach,
    wanted: Arc<Wanted>,
}

/// The routes of notifications. What is sent are events of all owners, so whoever registers an endpoint
/// has the scope that reads them.
pub(crate) fn routes(database: &Database, desk: &Desk<Command, Answer>, reach: Reach, wanted: &Arc<Wanted>) -> Routes {
    let of = Scope::Admin;
    Routes::about("Webhooks")
        .put("/v1/webhook-endpoints/{id}", of, set, openapi::set())
        .get("/v1/webhook-endpoints/{id}", of, show, openapi::show())
        .delete("/v1/webhook-endpoints/{id}", of, remove, openapi::remove())
        .get("/v1/webhook-endpoints", of, endpoints, openapi::endpoints())
        .post("/v1/webhook-endpoints/{id}/rotate-secret", of, rotate, openapi::rotate())
        .post("/v1/webhook-endpoints/{id}/resume", of, resume, openapi::resume())
        .post("/v1/webhook-endpoints/{id}/test", of, test, openapi::test())
        .get("/v1/webhook-endpoints/{id}/deliveries", of, deliveries, openapi::deliveries())
        .get("/v1/webhook-endpoints/{id}/deliveries/{position}", of, delivery, openapi::delivery())
        .post(
            "/v1/webhook-endpoints/{id}/deliveries/{position}/redeliver",
            of,
            send_one_again,
            openapi::send_one_again(),
        )
        .post("/v1/webhook-endpoints/{id}/redeliver", of, send_again, openapi::send_again())
        .with_schemas(openapi::schemas())
        .with_state(Counter { database: database.clone(), desk: desk.clone(), reach, wanted: wanted.clone() })
}

/// An endpoint as it is shown.
#[derive(Debug, Serialize)]
struct EndpointDocument {
    id: Name,
    url: String,
    types: Vec<String>,
    subjects: Vec<String>,
    ordered: bool,
    enabled: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<Moment>,
    created_at: Moment,
    updated_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// An endpoint with its tag, which tells what its owner did with it, and not how it gets on.
type Tagged = (ETag, Json<EndpointDocument>);

fn tagged(record: Record, secret: Option<&Secret>) -> Tagged {
    (ETag::of_version(record.version), Json(EndpointDocument::of(record.endpoint, secret)))
}

impl EndpointDocument {
    fn of(endpoint: Endpoint, secret: Option<&Secret>) -> Self {
        let status = endpoint.status();
        let reason = endpoint.reason();
        let Endpoint { name, settings, failing, created_at, updated_at, .. } = endpoint;
        let Settings { url, filter: Filter { types, subjects }, ordered, enabled } = settings;
        Self {
            id: name,
            url,
            types,
            subjects,
            ordered,
            enabled,
            status,
            reason,
            failing_since: failing.map(|failing| failing.since),
            created_at,
            updated_at,
            secret: secret.map(|secret| secret.expose().to_owned()),
        }
    }
}

/// What became of a message, as it is shown.
#[derive(Debug, Serialize)]
struct DeliveryDocument {
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
    fn of(message: Message, kept: Kept, with_body: bool) -> Result<Self, Problem> {
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
    async fn find(&self, name: &Name) -> Result<Record, Problem> {
        let name = name.clone();
        let found = self.database.read(move |read| store::find(read, &name)).await?;
        found.ok_or_else(|| Problem::new(&UNKNOWN_ENDPOINT))
    }

    /// How an edit wants to find an endpoint.
    async fn seen(&self, conditions: &Conditions, name: &Name) -> Result<Seen, Problem> {
        if !conditions.ask_for_a_state() {
            return Ok(if conditions.ask_for_anything() { Seen::There } else { Seen::Unsaid });
        }
        let name = name.clone();
        let found = self.database.read(move |read| store::find(read, &name)).await?;
        let as_seen = found.filter(|record| conditions.hold(&ETag::of_version(record.version)).is_ok());
        Ok(Seen::Version(as_seen.map_or(NOT_SEEN, |record| record.version)))
    }

    fn new_secret(&self) -> Secret {
        Secret::of(&self.database.world().secret())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEndpoint {
    #[serde(default)]
    url: Value,
    #[serde(default)]
    types: Option<Vec<Value>>,
    #[serde(default)]
    subjects: Option<Vec<Value>>,
    #[serde(default)]
    ordered: Value,
    #[serde(default)]
    enabled: Value,
}

/// Takes yes or no, or what is so where nothing is said.
fn flag(faults: &mut Faults, pointer: &str, value: &Value, otherwise: bool) -> Option<bool> {
    match value {
        Value::Null => Some(otherwise),
        Value::Bool(flag) => Some(*flag),
        _ => faults.at(pointer).refuse("true or false is expected"),
    }
}

/// Takes a type or a subject that is wanted.
fn wanted(faults: &mut Faults, value: &Value) -> Option<String> {
    faults.at("").text(value, 1..=LONGEST_WANTED)
}

/// Every type of event that an endpoint may want.
fn known_types() -> Vec<&'static str> {
    let mut types: Vec<_> = consumers::types().collect();
    types.sort_unstable();
    types
}

/// Why a URL is refused, and what an operator may choose who wants it nevertheless.
fn told(refused: NotATarget) -> String {
    let allow = "; an operator who wants it nevertheless sets notifications.allow_private_targets = true";
    format!("{refused}{}", if refused.is_out_of_reach { allow } else { "" })
}

async fn set(
    State(counter): State<Counter>,
    caller: Caller,
    conditions: Conditions,
    Segment(name): Segment<Name>,
    Body(raw, mut faults): Body<RawEndpoint>,
) -> Result<Response, Problem> {
    let url = faults.at("/url").text(&raw.url, 1..=2_048);
    let target = url.as_ref().and_then(|url| faults.at("/url").take(Target::read(url, counter.reach).map_err(told)));
    if let Some(target) = target {
        faults.at("/url").take(target.look_up(counter.reach, LOOK_UP_WITHIN).await.map_err(told));
    }
    let mut is_unknown = false;
    let types = raw.types.as_deref().unwrap_or_default();
    let types = faults.each("/types", types, 0..=MOST_WANTED, |faults, kind| {
        let kind = wanted(faults, kind)?;
        if consumers::types().any(|known| known == kind) {
            return Some(kind);
        }
        is_unknown = true;
        faults.at("").refuse("there is no event of this type; `known_types` lists those that there are")
    });
    let subjects = raw.subjects.as_deref().unwrap_or_default();
    let subjects = faults.each("/subjects", subjects, 0..=MOST_WANTED, wanted);
    let ordered = flag(&mut faults, "/ordered", &raw.ordered, false);
    let enabled = flag(&mut faults, "/enabled", &raw.enabled, true);
    let settings = faults.finish(|| {
        let filter = Filter { types: types?, subjects: subjects? };
        Some(Settings { url: url?, filter, ordered: ordered?, enabled: enabled? })
    });
    let settings = settings.map_err(|no| if is_unknown { no.member("known_types", known_types()) } else { no })?;
    // Before it is registered, so that no event is passed over that comes after the answer.
    counter.wanted.also(&settings.filter);
    let edit = Edit::Set { settings, secret: counter.new_secret() };
    edited(&counter, &caller, &conditions, None, name, edit).await
}

async fn show(
    State(counter): State<Counter>,
    Segment(name): Segment<Name>,
    conditions: Conditions,
) -> Result<Response, Problem> {
    let (tag, endpoint) = tagged(counter.find(&name).await?, None);
    Ok(conditions.answer(tag, || endpoint.into_response()))
}

async fn remove(
    State(counter): State<Counter>,
    caller: Caller,
    conditions: Conditions,
    Segment(name): Segment<Name>,
) -> Result<StatusCode, Problem> {
    let seen = counter.seen(&conditions, &name).await?;
    counter.desk.ask(caller.asks(Command::Edit { name, seen, edit: Edit::Remove })).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn endpoints(State(counter): State<Counter>, page: Page) -> Result<Listed<EndpointDocument>, Problem> {
    let after = page.start::<Name>()?;
    let most = i64::from(page.limit) + 1;
    let read =
        move |read: &mut db::Read<'_>| store::endpoints_after(read, after.as_ref().map_or("", Name::as_str), most);
    let records = counter.database.read(read).await?;
    let items = records.into_iter().map(|record| EndpointDocument::of(record.endpoint, None)).collect();
    Ok(Listed::of(items, &page, |endpoint| endpoint.id.to_string()))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRotation {
    #[serde(default)]
    overlap_secs: Value,
}

async fn rotate(
    State(counter): State<Counter>,
    caller: Caller,
    conditions: Conditions,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
    body: Option<Body<RawRotation>>,
) -> Result<Response, Problem> {
    let Body(raw, mut faults) = body.unwrap_or_default();
    let secs = faults.at("/overlap_secs").integer_if_given(&raw.overlap_secs, 0..=LONGEST_OVERLAP_SECS);
    let secs = faults.finish(|| Some(secs?.unwrap_or(OVERLAP_SECS)))?;
    let key = key.map(|key| key.stands_for(&secs));
    let edit = Edit::Rotate { secret: counter.new_secret(), overlap: Duration::from_secs(secs.unsigned_abs()) };
    edited(&counter, &caller, &conditions, key, name, edit).await
}

async fn resume(
    State(counter): State<Counter>,
    caller: Caller,
    conditions: Conditions,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
) -> Result<Response, Problem> {
    let key = key.map(|key| key.stands_for(&()));
    edited(&counter, &caller, &conditions, key, name, Edit::Resume).await
}

/// Edits an endpoint that is as its caller has seen it, and shows how it is now.
async fn edited(
    counter: &Counter,
    caller: &Caller,
    conditions: &Conditions,
    key: Option<Repeatable>,
    name: Name,
    edit: Edit,
) -> Result<Response, Problem> {
    let seen = counter.seen(conditions, &name).await?;
    let asked = caller.asks(Command::Edit { name, seen, edit });
    let of = |answer: Answer| match answer? {
        Settled::Endpoint(record, is_new, secret) => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            Ok((status, tagged(*record, secret.as_ref())))
        }
        other => Err(Problem::internal(format!("an edit of an endpoint came to {other:?}"))),
    };
    if key.is_some() {
        // What is stored is the document, with the secret of a rotation, which stands in this database anyway.
        let say = move |answer| of(answer).map(|(status, (_, Json(document)))| (status, document));
        return web::ask(&counter.desk, asked, key, say).await;
    }
    Ok(of(counter.desk.ask(asked).await?)?.into_response())
}

async fn test(
    State(counter): State<Counter>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
) -> Result<Response, Problem> {
    let say = |answer: Answer| match answer? {
        Settled::Made(made) => Ok((StatusCode::ACCEPTED, DeliveryDocument::of(made.0, made.1, true)?)),
        other => Err(Problem::internal(format!("a test came to {other:?}"))),
    };
    let key = key.map(|key| key.stands_for(&()));
    web::ask(&counter.desk, caller.asks(Command::Test(name)), key, say).await
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
struct StatusWord(&'static str);

impl std::str::FromStr for StatusWord {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Status::Waiting, Status::Retrying, Status::Delivered, Status::Failed].map(Status::as_str);
        let known = all.into_iter().find(|status| *status == text);
        known.map(Self).ok_or("`waiting`, `retrying`, `delivered` or `failed` is expected")
    }
}

async fn deliveries(
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

async fn delivery(
    State(counter): State<Counter>,
    Segments(name, position): Segments<Name, i64>,
) -> Result<Json<DeliveryDocument>, Problem> {
    match counter.logged(&name, position).await? {
        Some((message, kept)) => Ok(Json(DeliveryDocument::of(message, kept, true)?)),
        None => counter.find(&name).await.and_then(|_| Err(Problem::new(&UNKNOWN_DELIVERY))),
    }
}

async fn send_one_again(
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
struct RawStretch {
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

async fn send_again(
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

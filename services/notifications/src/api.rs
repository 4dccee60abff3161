//! Requests that notifications answers: endpoints, and what was sent to them.
//!
//! ```text
//! PUT GET DELETE /v1/webhook-endpoints/{id}                        an endpoint; its secret is shown once
//! POST           …/rotate-secret · …/resume · …/test
//! GET            …/deliveries · …/deliveries/{position}            what was sent, and what came of it
//! POST           …/deliveries/{position}/redeliver · …/redeliver   sends one, or a stretch, again
//! ```

mod deliveries;
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
use web::{
    Body, Caller, Conditions, ETag, Faults, IdempotencyKey, Listed, NotATarget, Page, Problem, Reach, Repeatable,
    Routes, Scope, Segment, Target,
};
use world::Moment;

use self::deliveries::DeliveryDocument;
use crate::api::problem::UNKNOWN_ENDPOINT;
use crate::consumers::{self, Wanted};
use crate::domain::{Endpoint, Filter, Secret, Settings};
use crate::perform::{Answer, Command, Edit, Seen, Settled};
use crate::store::{self, Record};

/// Types or subjects in a filter, at most.
const MOST_WANTED: usize = 100;
/// The longest type or subject.
const LONGEST_WANTED: usize = 200;
/// The longest overlap of two secrets: 30 days.
const LONGEST_OVERLAP_SECS: i64 = 30 * 24 * 60 * 60;
/// How long a secret signs on after it was rotated, where nothing else is said: a day.
const OVERLAP_SECS: i64 = 24 * 60 * 60;
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
        .get("/v1/webhook-endpoints/{id}/deliveries", of, deliveries::list, openapi::deliveries())
        .get("/v1/webhook-endpoints/{id}/deliveries/{position}", of, deliveries::show, openapi::delivery())
        .post(
            "/v1/webhook-endpoints/{id}/deliveries/{position}/redeliver",
            of,
            deliveries::send_one_again,
            openapi::send_one_again(),
        )
        .post("/v1/webhook-endpoints/{id}/redeliver", of, deliveries::send_again, openapi::send_again())
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
        if conditions.ask_for_nothing() {
            return Ok(if conditions.ask_for_something() { Seen::Version(NOT_SEEN) } else { Seen::Absent });
        }
        let name = name.clone();
        let found = self.database.read(move |read| store::find(read, &name)).await?;
        Ok(match found {
            Some(record) if conditions.hold(&ETag::of_version(record.version)).is_ok() => Seen::Version(record.version),
            None if !conditions.ask_for_something() => Seen::Absent,
            _ => Seen::Version(NOT_SEEN),
        })
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

async fn show(State(counter): State<Counter>, Segment(name): Segment<Name>) -> Result<Tagged, Problem> {
    Ok(tagged(counter.find(&name).await?, None))
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

//! Keys over HTTP: made, listed, rotated and revoked by whoever has the scope `admin`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ids::{Name, Number};
use keys::{ANONYMOUS, Created, Issued, Key, Keyring, NewKey, Scope, Scopes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, DIFFERENT_CONTENT, Listed, Page, Problem, ProblemKind, Routes, Segment};
use world::Moment;

use crate::openapi;

/// A key that is not there.
pub static UNKNOWN_KEY: ProblemKind = ProblemKind {
    code: "unknown-key",
    status: 404,
    title: "There is no such key",
    help: "There is no key of this name, or, where it was to be rotated, none that is accepted any more. `/v1/keys` lists \
           all that there are.",
};

/// The longest overlap of a rotation: 90 days.
pub(crate) const LONGEST_OVERLAP_SECS: i64 = 90 * 24 * 60 * 60;
/// How long the text before a rotation is accepted, where nothing else is said: a day.
const OVERLAP_SECS: i64 = 24 * 60 * 60;

/// The routes of this module.
pub(crate) fn routes(keyring: &Keyring) -> Routes {
    Routes::about("Keys")
        .put("/v1/keys/{name}", Scope::Admin, create, openapi::create_key())
        .post("/v1/keys/{name}/rotate", Scope::Admin, rotate, openapi::rotate_key())
        .post("/v1/keys/{name}/revoke", Scope::Admin, revoke, openapi::revoke_key())
        .get("/v1/keys", Scope::Admin, list, openapi::keys())
        .with_state(keyring.clone())
}

/// A key as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyDocument {
    /// The number in its text; each rotation has another.
    pub id: Number,
    /// What it is called.
    pub name: String,
    /// Whose names its names are.
    pub owner: String,
    /// What it may.
    pub scopes: Vec<String>,
    /// `valid`, `expired` or `revoked`.
    pub status: String,
    /// When it was made.
    pub created_at: Moment,
    /// From when on it is refused.
    pub expires_at: Option<Moment>,
    /// Since when it is refused.
    pub revoked_at: Option<Moment>,
    /// When it was last used.
    pub last_used_at: Option<Moment>,
    /// Its text, in the one answer that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl KeyDocument {
    /// A key as it stands at a moment.
    pub fn of(key: &Key, now: Moment) -> Self {
        let Key { number, name, owner, scopes, created_at, expires_at, revoked_at, last_used_at } = key;
        Self {
            id: *number,
            name: name.to_string(),
            owner: owner.to_string(),
            scopes: scopes.to_string().split(' ').map(str::to_owned).collect(),
            status: key.status(now).to_owned(),
            created_at: *created_at,
            expires_at: *expires_at,
            revoked_at: *revoked_at,
            last_used_at: *last_used_at,
            key: None,
        }
    }

    /// A key with its text, to be shown this once.
    pub fn of_new(issued: &Issued, now: Moment) -> Self {
        Self { key: Some(issued.text.expose().to_owned()), ..Self::of(&issued.key, now) }
    }
}

async fn list(State(keyring): State<Keyring>, page: Page) -> Result<Listed<KeyDocument>, Problem> {
    let after = page.start::<Number>()?.unwrap_or(Number::from_column(i64::MIN));
    let now = keyring.world().now();
    let all = keyring.all().await?;
    let later = all.iter().filter(|key| key.number > after).take(usize::from(page.limit) + 1);
    Ok(Listed::of(later.map(|key| KeyDocument::of(key, now)).collect(), &page, |key| key.id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    #[serde(default)]
    scopes: Vec<Value>,
    #[serde(default)]
    owner: Value,
    #[serde(default)]
    expires_at: Value,
}

fn check(name: Name, Body(raw, mut faults): Body<RawKey>) -> Result<NewKey, Problem> {
    let scopes =
        faults.each("/scopes", &raw.scopes, 1..=Scope::ALL.len(), |faults, scope| faults.at("").parse::<Scope>(scope));
    let owner = faults.at("/owner").parse_if_given::<Name>(&raw.owner);
    let expires_at = faults.at("/expires_at").parse_if_given::<Moment>(&raw.expires_at);
    if owner.iter().flatten().chain([&name]).any(|name| name.as_str() == ANONYMOUS) {
        faults.at("/owner").refuse::<()>("`anonymous` is whoever has no key; another name is expected");
    }
    faults.finish(|| {
        let (scopes, owner) = (scopes?.into_iter().collect::<Scopes>(), owner?.unwrap_or_else(|| name.clone()));
        Some(NewKey { name, owner, scopes, expires_at: expires_at? })
    })
}

async fn create(
    State(keyring): State<Keyring>,
    caller: Caller,
    Segment(name): Segment<Name>,
    body: Body<RawKey>,
) -> Result<Response, Problem> {
    let new = check(name, body)?;
    let now = keyring.world().now();
    match keyring.create(new).await? {
        Created::New(issued) => {
            note(&caller, &issued.key, "made");
            Ok((StatusCode::CREATED, Json(KeyDocument::of_new(&issued, now))).into_response())
        }
        Created::Same(key) => Ok(Json(KeyDocument::of(&key, now)).into_response()),
        Created::Different => Err(Problem::new(&DIFFERENT_CONTENT)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRotation {
    #[serde(default)]
    overlap_secs: Value,
}

async fn rotate(
    State(keyring): State<Keyring>,
    caller: Caller,
    Segment(name): Segment<Name>,
    Body(raw, mut faults): Body<RawRotation>,
) -> Result<Json<KeyDocument>, Problem> {
    let secs = faults.at("/overlap_secs").integer_if_given(&raw.overlap_secs, 0..=LONGEST_OVERLAP_SECS);
    let secs = faults.finish(|| Some(secs?.unwrap_or(OVERLAP_SECS)))?;
    let overlap = Duration::from_secs(secs.unsigned_abs());
    let issued = keyring.rotate(name, overlap).await?.ok_or_else(|| Problem::new(&UNKNOWN_KEY))?;
    note(&caller, &issued.key, "rotated");
    Ok(Json(KeyDocument::of_new(&issued, keyring.world().now())))
}

async fn revoke(
    State(keyring): State<Keyring>,
    caller: Caller,
    Segment(name): Segment<Name>,
) -> Result<Json<KeyDocument>, Problem> {
    let key = keyring.revoke(name).await?.ok_or_else(|| Problem::new(&UNKNOWN_KEY))?;
    note(&caller, &key, "revoked");
    Ok(Json(KeyDocument::of(&key, keyring.world().now())))
}

/// Says in the log who did what to a key; never its text.
fn note(caller: &Caller, key: &Key, what: &str) {
    let (by, scopes) = (caller.context.actor.to_string(), key.scopes.to_string());
    tracing::warn!(name = &*key.name, id = %key.number, owner = &*key.owner, scopes, by, "A key was {what}");
}

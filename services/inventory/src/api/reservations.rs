//! Requests about reservations: from the hold to the goods that leave the shelf.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use contracts::inventory::{AllocateBy, ReservedLine, Short, Terms, check_lines};
use ids::{Name, Sku, Warehouse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{
    Body, Caller, Conditions, ETag, Faults, IdempotencyKey, Problem, Repeatable, Routes, Scope, Segment, fingerprint,
};
use world::Moment;

use super::stock::json;
use super::{ABOUT, LONGEST_HOLD_SECS, MOST_LINES, MOST_PIECES, Shared, Shelf, created, openapi, problem};
use crate::domain::{Command, Line, Reservation, Reserve, Settled};
use crate::perform::Answer;
use crate::store;

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT)
        .put("/v1/reservations/{id}", Scope::Reserve, reserve, openapi::reserve())
        .get("/v1/reservations/{id}", Scope::Reserve, reservation, openapi::reservation())
        .post("/v1/reservations/{id}/extend", Scope::Reserve, extend, openapi::extend())
        .post("/v1/reservations/{id}/commit", Scope::Reserve, commit, openapi::commit())
        .post("/v1/reservations/{id}/ship", Scope::Reserve, ship, openapi::ship())
        .post("/v1/reservations/{id}/release", Scope::Reserve, release, openapi::release())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReservation {
    #[serde(default)]
    lines: Vec<RawLine>,
    #[serde(default)]
    hold_secs: Value,
    #[serde(default)]
    replaces: Value,
    #[serde(default)]
    allocation: Value,
    #[serde(default)]
    split: Value,
    #[serde(default)]
    market: Value,
    #[serde(default)]
    backorder: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine {
    #[serde(default)]
    sku: Value,
    #[serde(default)]
    quantity: Value,
    #[serde(default)]
    warehouse: Value,
}

fn check_reservation(
    name: Name,
    Body(raw, mut faults): Body<RawReservation>,
    default_hold_secs: i64,
) -> Result<Reserve, Problem> {
    let lines = faults.each("/lines", &raw.lines, 1..=MOST_LINES, |faults, line| {
        let sku = faults.at("/sku").parse::<Sku>(&line.sku);
        let quantity = faults.at("/quantity").integer(&line.quantity, 1..=MOST_PIECES);
        let warehouse = faults.at("/warehouse").parse_if_given::<Warehouse>(&line.warehouse);
        Some(Line { sku: sku?, quantity: quantity?, warehouse: warehouse? })
    });
    let lines = lines.filter(|lines| {
        let checked = check_lines(lines.iter().map(|line| &line.sku));
        faults.at("/lines").take(checked).is_some()
    });
    let hold_secs = faults.at("/hold_secs").integer_if_given(&raw.hold_secs, 1..=LONGEST_HOLD_SECS);
    let replaces = match faults.at("/replaces").parse_if_given::<Name>(&raw.replaces) {
        Some(Some(replaced)) if replaced == name => {
            faults.at("/replaces").refuse("another reservation than this one is expected")
        }
        other => other,
    };
    let terms = check_terms(&raw, &mut faults);
    let checked = faults.finish(|| Some((lines?, hold_secs?.unwrap_or(default_hold_secs), replaces?, terms?)))?;
    let (lines, hold_secs, replaces, terms) = checked;
    let parts: Vec<_> = lines.iter().map(|line| (&line.sku, line.quantity, &line.warehouse)).collect();
    let terms = (terms != Terms::default()).then_some(terms);
    let fingerprint = fingerprint(&("reserve", parts, hold_secs, &replaces, &terms));
    Ok(Reserve { name, fingerprint, lines, hold_secs, order: None, replaces, terms })
}

/// How it may be served, as far as that is said.
fn check_terms(raw: &RawReservation, faults: &mut Faults) -> Option<Terms> {
    let allocation = match (&raw.allocation, raw.allocation.as_str()) {
        (Value::Null, _) => Some(None),
        (_, Some("priority")) => Some(Some(AllocateBy::Priority)),
        (_, Some("fewest_parcels")) => Some(Some(AllocateBy::FewestParcels)),
        _ => faults.at("/allocation").refuse("one of priority, fewest_parcels is expected"),
    };
    let split = is_flag(faults, "/split", &raw.split);
    let market = faults.at("/market").parse_if_given::<Name>(&raw.market);
    let backorder = is_flag(faults, "/backorder", &raw.backorder);
    let (split, backorder) = (split && backorder).then(|| (raw.split.as_bool(), raw.backorder.as_bool()))?;
    Some(Terms { allocation: allocation?, split, market: market?, backorder })
}

/// Whether this is a flag, or nothing is said.
fn is_flag(faults: &mut Faults, pointer: &str, given: &Value) -> bool {
    let is_one = given.is_boolean() || given.is_null();
    if !is_one {
        faults.at(pointer).refuse::<()>("true or false is expected");
    }
    is_one
}

/// A reservation as it is answered.
#[derive(Debug, Serialize)]
struct ReservationDocument {
    id: Name,
    status: &'static str,
    expires_at: Moment,
    lines: Vec<ReservedLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    short: Vec<Short>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation: Option<AllocateBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    market: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backorder: Option<bool>,
}

fn reservation_document(reservation: Reservation, now: Moment) -> ReservationDocument {
    let Terms { allocation, split, market, backorder } = reservation.terms.clone().unwrap_or_default();
    ReservationDocument {
        status: reservation.status_at(now).as_str(),
        id: reservation.name,
        expires_at: reservation.expires_at,
        lines: reservation.lines,
        short: reservation.short,
        order: reservation.order,
        allocation,
        split,
        market,
        backorder,
    }
}

async fn reserve(
    State(shelf): Shared,
    caller: Caller,
    Segment(id): Segment<Name>,
    body: Body<RawReservation>,
) -> Result<Response, Problem> {
    let reserve = check_reservation(id, body, shelf.hold_secs)?;
    ask(&shelf, &caller, None, Command::Reserve(reserve), created).await
}

/// Asks for something about a reservation, and answers with it as it is then.
pub(super) async fn ask(
    shelf: &Shelf,
    caller: &Caller,
    key: Option<Repeatable>,
    command: Command,
    status: fn(bool) -> StatusCode,
) -> Result<Response, Problem> {
    let now = shelf.database.world().now();
    let say = move |answer: Answer| match answer? {
        Settled::Reservation { is_new, reservation } => Ok((status(is_new), reservation_document(*reservation, now))),
        other => Err(Problem::internal(format!("a reservation came to {other:?}"))),
    };
    web::ask(&shelf.desk, caller.asks(command), key, say).await
}

async fn reservation(
    State(shelf): Shared,
    caller: Caller,
    Segment(id): Segment<Name>,
    conditions: Conditions,
) -> Result<Response, Problem> {
    let owner = caller.context.owner.clone();
    let found = shelf.database.read(move |read| store::find_reservation(read, &owner, &id)).await?;
    let found = found.ok_or_else(|| Problem::new(&problem::UNKNOWN_RESERVATION))?;
    let document = serde_json::to_vec(&reservation_document(found, shelf.database.world().now()));
    let document = document.map_err(Problem::internal)?;
    // Also time changes it: a hold lapses.
    Ok(conditions.answer(ETag::of_bytes(&document), || json(document)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExtension {
    #[serde(default)]
    hold_secs: Value,
}

async fn extend(
    State(shelf): Shared,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
    Body(raw, mut faults): Body<RawExtension>,
) -> Result<Response, Problem> {
    let hold_secs = faults.at("/hold_secs").integer(&raw.hold_secs, 1..=LONGEST_HOLD_SECS);
    let hold_secs = faults.finish(|| hold_secs)?;
    let key = key.map(|key| key.stands_for(&hold_secs));
    ask(&shelf, &caller, key, Command::Extend { name, hold_secs }, created).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCommit {
    #[serde(default)]
    if_expired: Value,
}

async fn commit(
    State(shelf): Shared,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
    body: Option<Body<RawCommit>>,
) -> Result<Response, Problem> {
    let Body(raw, mut faults) = body.unwrap_or_default();
    let retake = match (&raw.if_expired, raw.if_expired.as_str()) {
        (Value::Null, _) | (_, Some("refuse")) => Some(false),
        (_, Some("retake")) => Some(true),
        _ => faults.at("/if_expired").refuse("one of refuse, retake is expected"),
    };
    let retake = faults.finish(|| retake)?;
    let key = key.map(|key| key.stands_for(&retake));
    ask(&shelf, &caller, key, Command::Commit { name, order: None, retake }, |_| StatusCode::OK).await
}

async fn ship(
    State(shelf): Shared,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
) -> Result<Response, Problem> {
    reach(&shelf, &caller, key, Command::Ship { name }).await
}

async fn release(
    State(shelf): Shared,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
) -> Result<Response, Problem> {
    reach(&shelf, &caller, key, Command::Release { name, order: None }).await
}

/// Asks for a state. That it was reached is 200, whether or not a name came into being on the way.
async fn reach(
    shelf: &Shelf,
    caller: &Caller,
    key: Option<IdempotencyKey>,
    command: Command,
) -> Result<Response, Problem> {
    ask(shelf, caller, key.map(|key| key.stands_for(&())), command, |_| StatusCode::OK).await
}

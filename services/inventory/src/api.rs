//! The requests that inventory answers: movements, levels, reservations.

mod bulk;
mod openapi;
pub mod problem;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contracts::inventory::{Level, ReservedLine, Short, check_lines};
use db::{Database, Desk};
use ids::{Name, Sku, Warehouse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{
    Body, Caller, Conditions, ETag, Faults, IdempotencyKey, Problem, Query, Repeatable, Routes, Scope, Segment,
    fingerprint,
};
use world::Moment;

use crate::domain::{Act, Command, Line, Movement, Pool, Reservation, Reserve, Settled};
use crate::perform::Answer;
use crate::store;

/// What handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub(crate) desk: Desk<Command, Answer>,
    pub(crate) database: Database,
    pub(crate) hold_secs: i64,
}

/// All routes of inventory.
pub(crate) fn routes(shelf: Shelf) -> Routes {
    Routes::about("Stock and reservations")
        .put("/v1/stock-movements/{id}", Scope::StockWrite, move_stock, openapi::move_stock())
        .get("/v1/stock/{sku}", Scope::StockRead, level, openapi::level())
        .get("/v1/stock", Scope::StockRead, levels, openapi::levels())
        .post("/v1/stock/query", Scope::StockRead, query_levels, openapi::query_levels())
        .put("/v1/reservations/{id}", Scope::Reserve, reserve, openapi::reserve())
        .get("/v1/reservations/{id}", Scope::Reserve, reservation, openapi::reservation())
        .post("/v1/reservations/{id}/extend", Scope::Reserve, extend, openapi::extend())
        .post("/v1/reservations/{id}/commit", Scope::Reserve, commit, openapi::commit())
        .post("/v1/reservations/{id}/ship", Scope::Reserve, ship, openapi::ship())
        .post("/v1/reservations/{id}/release", Scope::Reserve, release, openapi::release())
        .merge(bulk::routes())
        .with_schemas(openapi::schemas())
        .with_state(Arc::new(shelf))
}

type Shared = State<Arc<Shelf>>;

/// Most pieces in a line, or in a movement.
const MOST_PIECES: i64 = 1_000_000;
/// Most lines in a reservation.
const MOST_LINES: usize = 1_000;
/// Longest hold: a week.
const LONGEST_HOLD_SECS: i64 = 7 * 24 * 60 * 60;
/// Most SKUs in one question.
const MOST_SKUS: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMovement {
    #[serde(default)]
    r#type: Value,
    #[serde(default)]
    sku: Value,
    #[serde(default)]
    warehouse: Value,
    #[serde(default)]
    quantity: Value,
    #[serde(default)]
    counted: Value,
    #[serde(default)]
    reference: Value,
    #[serde(default)]
    reason: Value,
}

/// A movement as it is answered: what was sent, and the level after it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
struct MovementDocument {
    id: Name,
    r#type: &'static str,
    sku: Sku,
    warehouse: Warehouse,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<LevelDocument>,
}

/// A level as it is shown.
#[derive(Clone, Copy, Debug, Serialize)]
struct LevelDocument {
    #[serde(flatten)]
    level: Level,
    available: i64,
}

impl From<Level> for LevelDocument {
    fn from(level: Level) -> Self {
        Self { level, available: level.on_hand - level.reserved - level.committed }
    }
}

fn check_movement(id: Name, raw: &RawMovement) -> Result<MovementDocument, Problem> {
    let mut faults = Faults::default();
    let sku = faults.at("/sku").parse::<Sku>(&raw.sku);
    let warehouse = faults.at("/warehouse").parse::<Warehouse>(&raw.warehouse);
    let absent = |faults: &mut Faults, pointer: &str, value: &Value, kind: &str| match value {
        Value::Null => Some(()),
        _ => faults.at(pointer).refuse(format!("a movement of type {kind} has no such field")),
    };
    let (r#type, fields) = match raw.r#type.as_str() {
        Some("receive") => {
            let others = [("/counted", &raw.counted), ("/reason", &raw.reason)];
            let others = others.map(|(pointer, value)| absent(&mut faults, pointer, value, "receive"));
            let quantity = faults.at("/quantity").integer(&raw.quantity, 1..=MOST_PIECES);
            let reference = faults.at("/reference").text_if_given(&raw.reference, 1..=200);
            let fields = quantity.zip(reference).filter(|_| others.iter().all(Option::is_some));
            ("receive", fields.map(|(quantity, reference)| (Some(quantity), None, reference, None)))
        }
        Some("count") => {
            let quantity = absent(&mut faults, "/quantity", &raw.quantity, "count");
            let counted = faults.at("/counted").integer(&raw.counted, 0..=1_000 * MOST_PIECES);
            let reason = faults.at("/reason").text_if_given(&raw.reason, 1..=200);
            let reference = faults.at("/reference").text_if_given(&raw.reference, 1..=200);
            let fields = counted.zip(reason).zip(reference).filter(|_| quantity.is_some());
            ("count", fields.map(|((counted, reason), reference)| (None, Some(counted), reference, reason)))
        }
        Some("adjust") => {
            let others = [("/counted", &raw.counted), ("/reference", &raw.reference)];
            let others = others.map(|(pointer, value)| absent(&mut faults, pointer, value, "adjust"));
            let quantity = faults.at("/quantity").integer(&raw.quantity, -MOST_PIECES..=MOST_PIECES);
            let quantity = match quantity {
                Some(0) => faults.at("/quantity").refuse("an adjustment of 0 pieces changes nothing"),
                other => other,
            };
            let reason = faults.at("/reason").text(&raw.reason, 1..=200);
            let fields = quantity.zip(reason).filter(|_| others.iter().all(Option::is_some));
            ("adjust", fields.map(|(quantity, reason)| (Some(quantity), None, None, Some(reason))))
        }
        _ => ("", faults.at("/type").refuse("one of receive, count, adjust is expected")),
    };
    faults.finish(|| {
        let (quantity, counted, reference, reason) = fields?;
        let (sku, warehouse) = (sku?, warehouse?);
        Some(MovementDocument { id, r#type, sku, warehouse, quantity, counted, reference, reason, level: None })
    })
}

async fn move_stock(
    State(shelf): Shared,
    caller: Caller,
    Segment(id): Segment<Name>,
    Body(raw): Body<RawMovement>,
) -> Result<Response, Problem> {
    let mut document = check_movement(id, &raw)?;
    let act = match (document.r#type, document.quantity, document.counted) {
        ("receive", Some(quantity), _) => Act::Receive { quantity, reference: document.reference.clone() },
        ("count", _, Some(counted)) => {
            Act::Count { counted, reason: document.reason.clone(), reference: document.reference.clone() }
        }
        (_, Some(quantity), _) => Act::Adjust { quantity, reason: document.reason.clone().unwrap_or_default() },
        _ => return Err(Problem::internal("a checked movement has its quantity")),
    };
    let movement = Movement {
        name: document.id.clone(),
        fingerprint: fingerprint(&document),
        sku: document.sku.clone(),
        warehouse: document.warehouse.clone(),
        act,
    };
    match shelf.desk.ask(caller.asks(Command::Move(movement))).await?? {
        Settled::Moved { is_new, level } => {
            document.level = Some(level.into());
            Ok((created(is_new), Json(document)).into_response())
        }
        other => Err(Problem::internal(format!("a movement came to {other:?}"))),
    }
}

fn created(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

/// Stock of one SKU, in all and by warehouse.
#[derive(Debug, Serialize)]
struct StockDocument {
    sku: Sku,
    #[serde(flatten)]
    total: LevelDocument,
    warehouses: Vec<InWarehouse>,
}

#[derive(Debug, Serialize)]
struct InWarehouse {
    warehouse: Warehouse,
    #[serde(flatten)]
    level: LevelDocument,
}

/// A SKU of a longer question: its stock, or that it is unknown.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Asked {
    Known(StockDocument),
    Unknown { sku: Sku, unknown: bool },
}

fn stock_document(sku: Sku, pools: Vec<(Warehouse, Pool)>) -> StockDocument {
    let sum = pools.iter().fold(Level::default(), |sum, (_, pool)| {
        let level = pool.level();
        Level {
            on_hand: sum.on_hand + level.on_hand,
            reserved: sum.reserved + level.reserved,
            committed: sum.committed + level.committed,
            owed: sum.owed + level.owed,
        }
    });
    let in_warehouse = |(warehouse, pool): (Warehouse, Pool)| InWarehouse { warehouse, level: pool.level().into() };
    StockDocument { sku, total: sum.into(), warehouses: pools.into_iter().map(in_warehouse).collect() }
}

async fn stock_of(shelf: &Shelf, skus: Vec<Sku>) -> Result<Vec<Asked>, Problem> {
    let asked = skus.clone();
    let rows = shelf.database.read(move |read| store::levels(read, &asked)).await?;
    let mut found: BTreeMap<Sku, Vec<(Warehouse, Pool)>> = BTreeMap::new();
    for (sku, warehouse, pool) in rows {
        found.entry(sku).or_default().push((warehouse, pool));
    }
    let one = |sku: Sku| match found.get(&sku).cloned() {
        Some(pools) => Asked::Known(stock_document(sku, pools)),
        None => Asked::Unknown { sku, unknown: true },
    };
    Ok(skus.into_iter().map(one).collect())
}

async fn level(State(shelf): Shared, conditions: Conditions, Segment(sku): Segment<Sku>) -> Result<Response, Problem> {
    match stock_of(&shelf, vec![sku]).await?.pop() {
        Some(Asked::Known(stock)) => {
            let body = serde_json::to_vec(&stock).map_err(Problem::internal)?;
            let tag = ETag::of_bytes(&body);
            Ok(conditions
                .answer(tag, || ([(axum::http::header::CONTENT_TYPE, "application/json")], body).into_response()))
        }
        _ => Err(Problem::new(&problem::UNKNOWN_SKU)),
    }
}

async fn levels(State(shelf): Shared, mut query: Query) -> Result<Response, Problem> {
    let given = query.all("sku");
    let skus: Option<Vec<Sku>> = if given.is_empty() || given.len() > MOST_SKUS {
        query.refuse("sku", format!("1 to {MOST_SKUS} SKUs are expected, as ?sku=…&sku=…"))
    } else {
        let checked = given.iter().map(|sku| sku.parse::<Sku>());
        let checked: Result<Vec<_>, _> = checked.collect();
        checked.map_err(|error| query.refuse::<()>("sku", error.to_string())).ok()
    };
    let skus = query.finish(|| skus)?;
    let items = stock_of(&shelf, skus).await?;
    Ok(Json(serde_json::json!({ "items": items })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    #[serde(default)]
    skus: Vec<Value>,
}

async fn query_levels(State(shelf): Shared, Body(raw): Body<RawQuestion>) -> Result<Response, Problem> {
    let mut faults = Faults::default();
    let skus = faults.each("/skus", &raw.skus, 1..=MOST_SKUS, |faults, sku| faults.at("").parse::<Sku>(sku));
    let skus = faults.finish(|| skus)?;
    let items = stock_of(&shelf, skus).await?;
    Ok(Json(serde_json::json!({ "items": items })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReservation {
    #[serde(default)]
    lines: Vec<RawLine>,
    #[serde(default)]
    hold_secs: Value,
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

fn check_reservation(name: Name, raw: &RawReservation, default_hold_secs: i64) -> Result<Reserve, Problem> {
    let mut faults = Faults::default();
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
    let (lines, hold_secs) = faults.finish(|| Some((lines?, hold_secs?.unwrap_or(default_hold_secs))))?;
    let parts: Vec<_> = lines.iter().map(|line| (&line.sku, line.quantity, &line.warehouse)).collect();
    let fingerprint = fingerprint(&("reserve", parts, hold_secs));
    Ok(Reserve { name, fingerprint, lines, hold_secs, order: None })
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
}

fn reservation_document(reservation: Reservation, now: Moment) -> ReservationDocument {
    ReservationDocument {
        status: reservation.status_at(now).as_str(),
        id: reservation.name,
        expires_at: reservation.expires_at,
        lines: reservation.lines,
        short: reservation.short,
        order: reservation.order,
    }
}

async fn reserve(
    State(shelf): Shared,
    caller: Caller,
    Segment(id): Segment<Name>,
    Body(raw): Body<RawReservation>,
) -> Result<Response, Problem> {
    let reserve = check_reservation(id, &raw, shelf.hold_secs)?;
    ask(&shelf, &caller, None, Command::Reserve(reserve), created).await
}

/// Asks for something about a reservation, and answers with it as it is then.
async fn ask(
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

async fn reservation(State(shelf): Shared, caller: Caller, Segment(id): Segment<Name>) -> Result<Response, Problem> {
    let owner = caller.context.owner.clone();
    let found = shelf.database.read(move |read| store::find_reservation(read, &owner, &id)).await?;
    let found = found.ok_or_else(|| Problem::new(&problem::UNKNOWN_RESERVATION))?;
    Ok(Json(reservation_document(found, shelf.database.world().now())).into_response())
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
    Body(raw): Body<RawExtension>,
) -> Result<Response, Problem> {
    let mut faults = Faults::default();
    let hold_secs = faults.at("/hold_secs").integer(&raw.hold_secs, 1..=LONGEST_HOLD_SECS);
    let hold_secs = faults.finish(|| hold_secs)?;
    let key = key.map(|key| key.stands_for(&hold_secs));
    ask(&shelf, &caller, key, Command::Extend { name, hold_secs }, created).await
}

async fn commit(
    State(shelf): Shared,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
) -> Result<Response, Problem> {
    reach(&shelf, &caller, key, Command::Commit { name, order: None }).await
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

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

use crate::domain::{
    Act, Command, Line, Movement, MovementRecord, Outcome, Pool, Reservation, Reserve, Settled, SkuSettings,
};
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
        .post("/v1/stock-movements/{id}/arrive", Scope::StockWrite, arrive, openapi::arrive())
        .get("/v1/stock/{sku}", Scope::StockRead, level, openapi::level())
        .get("/v1/stock", Scope::StockRead, levels, openapi::levels())
        .post("/v1/stock/query", Scope::StockRead, query_levels, openapi::query_levels())
        .get("/v1/skus/{sku}", Scope::StockRead, sku, openapi::sku_settings())
        .put("/v1/skus/{sku}", Scope::StockWrite, set_sku, openapi::set_sku())
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
    from: Value,
    #[serde(default)]
    to: Value,
    #[serde(default)]
    quantity: Value,
    #[serde(default)]
    counted: Value,
    #[serde(default)]
    in_transit: Value,
    #[serde(default)]
    reference: Value,
    #[serde(default)]
    reason: Value,
}

impl RawMovement {
    /// Refuses the fields that a movement of this type does not have.
    fn has_only(&self, known: &[&str], faults: &mut Faults) -> Option<()> {
        let given = [
            ("/warehouse", &self.warehouse),
            ("/from", &self.from),
            ("/to", &self.to),
            ("/quantity", &self.quantity),
            ("/counted", &self.counted),
            ("/in_transit", &self.in_transit),
            ("/reference", &self.reference),
            ("/reason", &self.reason),
        ];
        let others: Vec<_> =
            given.iter().filter(|(pointer, value)| !value.is_null() && !known.contains(pointer)).collect();
        for (pointer, _) in &others {
            faults.at(pointer).refuse::<()>("a movement of this type has no such field");
        }
        others.is_empty().then_some(())
    }
}

/// What a movement is, as it was sent.
#[derive(Clone, Debug, Default, Serialize)]
struct MovementDocument {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    warehouse: Option<Warehouse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Warehouse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Warehouse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_transit: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl MovementDocument {
    /// What was sent.
    fn of(warehouse: &Warehouse, act: &Act) -> Self {
        let at = Self { warehouse: Some(warehouse.clone()), ..Self::default() };
        match act.clone() {
            Act::Receive { quantity, reference } => {
                Self { r#type: "receive", quantity: Some(quantity), reference, ..at }
            }
            Act::Count { counted, reason, reference } => {
                Self { r#type: "count", counted: Some(counted), reason, reference, ..at }
            }
            Act::Adjust { quantity, reason } => {
                Self { r#type: "adjust", quantity: Some(quantity), reason: Some(reason), ..at }
            }
            Act::Transfer { to, quantity, travels } => Self {
                r#type: "transfer",
                from: at.warehouse,
                to: Some(to),
                quantity: Some(quantity),
                in_transit: travels.then_some(true),
                ..Self::default()
            },
        }
    }
}

/// A movement as it is answered: what was sent, and what it came to.
#[derive(Debug, Serialize)]
struct SettledMovement {
    id: Name,
    sku: Sku,
    #[serde(flatten)]
    sent: MovementDocument,
    #[serde(flatten)]
    outcome: OutcomeDocument,
}

/// What a movement came to: the level after it, or of a transfer each level that its last act changed.
#[derive(Debug, Default, Serialize)]
struct OutcomeDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<LevelDocument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    levels: Vec<InWarehouse>,
}

impl OutcomeDocument {
    fn of(movement: &MovementRecord) -> Self {
        let in_warehouse = |warehouse: &Warehouse, level: &Level| InWarehouse {
            warehouse: warehouse.clone(),
            level: LevelDocument::from(*level),
        };
        match &movement.outcome {
            Outcome::Entered { level } => Self { level: Some((*level).into()), ..Self::default() },
            Outcome::Transferred { to, from_level, to_level } | Outcome::InTransit { to, from_level, to_level, .. } => {
                let travels = matches!(movement.outcome, Outcome::InTransit { .. });
                let levels = vec![in_warehouse(&movement.warehouse, from_level), in_warehouse(to, to_level)];
                Self { status: Some(if travels { "in_transit" } else { "arrived" }), levels, ..Self::default() }
            }
            Outcome::Arrived { to, sent, arrived, level } => Self {
                status: Some("arrived"),
                arrived: Some(*arrived),
                lost: Some(sent - arrived),
                levels: vec![in_warehouse(to, level)],
                level: None,
            },
            Outcome::Refused { .. } => Self::default(),
        }
    }
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

fn check_movement(name: Name, raw: &RawMovement) -> Result<Movement, Problem> {
    let mut faults = Faults::default();
    let sku = faults.at("/sku").parse::<Sku>(&raw.sku);
    let (warehouse, act) = match raw.r#type.as_str() {
        Some("receive") => {
            let warehouse = faults.at("/warehouse").parse::<Warehouse>(&raw.warehouse);
            let quantity = faults.at("/quantity").integer(&raw.quantity, 1..=MOST_PIECES);
            let reference = faults.at("/reference").text_if_given(&raw.reference, 1..=200);
            let only = raw.has_only(&["/warehouse", "/quantity", "/reference"], &mut faults);
            let act = only.and(quantity.zip(reference));
            (warehouse, act.map(|(quantity, reference)| Act::Receive { quantity, reference }))
        }
        Some("count") => {
            let warehouse = faults.at("/warehouse").parse::<Warehouse>(&raw.warehouse);
            let counted = faults.at("/counted").integer(&raw.counted, 0..=1_000 * MOST_PIECES);
            let reason = faults.at("/reason").text_if_given(&raw.reason, 1..=200);
            let reference = faults.at("/reference").text_if_given(&raw.reference, 1..=200);
            let only = raw.has_only(&["/warehouse", "/counted", "/reason", "/reference"], &mut faults);
            let act =
                only.and_then(|()| Some(Act::Count { counted: counted?, reason: reason?, reference: reference? }));
            (warehouse, act)
        }
        Some("adjust") => {
            let warehouse = faults.at("/warehouse").parse::<Warehouse>(&raw.warehouse);
            let quantity = match faults.at("/quantity").integer(&raw.quantity, -MOST_PIECES..=MOST_PIECES) {
                Some(0) => faults.at("/quantity").refuse("an adjustment of 0 pieces changes nothing"),
                other => other,
            };
            let reason = faults.at("/reason").text(&raw.reason, 1..=200);
            let only = raw.has_only(&["/warehouse", "/quantity", "/reason"], &mut faults);
            let act = only.and(quantity.zip(reason));
            (warehouse, act.map(|(quantity, reason)| Act::Adjust { quantity, reason }))
        }
        Some("transfer") => check_transfer(raw, &mut faults),
        _ => (None, faults.at("/type").refuse("one of receive, count, adjust, transfer is expected")),
    };
    faults.finish(|| {
        let (sku, warehouse, act) = (sku?, warehouse?, act?);
        let fingerprint = fingerprint(&("move", &sku, MovementDocument::of(&warehouse, &act)));
        Some(Movement { name, fingerprint, sku, warehouse, act })
    })
}

fn check_transfer(raw: &RawMovement, faults: &mut Faults) -> (Option<Warehouse>, Option<Act>) {
    let from = faults.at("/from").parse::<Warehouse>(&raw.from);
    let to = match faults.at("/to").parse::<Warehouse>(&raw.to) {
        Some(to) if from.as_ref() == Some(&to) => {
            faults.at("/to").refuse("another warehouse than the one that the goods leave is expected")
        }
        other => other,
    };
    let quantity = faults.at("/quantity").integer(&raw.quantity, 1..=MOST_PIECES);
    let travels = match raw.in_transit {
        Value::Null => Some(false),
        Value::Bool(travels) => Some(travels),
        _ => faults.at("/in_transit").refuse("true or false is expected"),
    };
    let only = raw.has_only(&["/from", "/to", "/quantity", "/in_transit"], faults);
    let act = only.and_then(|()| Some(Act::Transfer { to: to?, quantity: quantity?, travels: travels? }));
    (from, act)
}

async fn move_stock(
    State(shelf): Shared,
    caller: Caller,
    Segment(id): Segment<Name>,
    Body(raw): Body<RawMovement>,
) -> Result<Response, Problem> {
    let movement = check_movement(id, &raw)?;
    let sent = MovementDocument::of(&movement.warehouse, &movement.act);
    match shelf.desk.ask(caller.asks(Command::Move(movement))).await?? {
        Settled::Moved { is_new, movement } => {
            let outcome = OutcomeDocument::of(&movement);
            let document = SettledMovement { id: movement.name, sku: movement.sku, sent, outcome };
            Ok((created(is_new), Json(document)).into_response())
        }
        other => Err(Problem::internal(format!("a movement came to {other:?}"))),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArrival {
    #[serde(default)]
    quantity: Value,
}

async fn arrive(
    State(shelf): Shared,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(name): Segment<Name>,
    body: Option<Body<RawArrival>>,
) -> Result<Response, Problem> {
    let raw = body.map(|Body(raw)| raw).unwrap_or_default();
    let mut faults = Faults::default();
    let quantity = faults.at("/quantity").integer_if_given(&raw.quantity, 0..=MOST_PIECES);
    let quantity = faults.finish(|| quantity)?;
    let key = key.map(|key| key.stands_for(&quantity));
    let say = |answer: Answer| match answer? {
        Settled::Moved { movement, .. } => Ok((StatusCode::OK, arrived(*movement)?)),
        other => Err(Problem::internal(format!("an arrival came to {other:?}"))),
    };
    web::ask(&shelf.desk, caller.asks(Command::Arrive { name, quantity }), key, say).await
}

fn arrived(movement: MovementRecord) -> Result<SettledMovement, Problem> {
    let outcome = OutcomeDocument::of(&movement);
    match movement.outcome {
        Outcome::Arrived { to, sent: quantity, .. } => {
            let sent = MovementDocument::of(&movement.warehouse, &Act::Transfer { to, quantity, travels: true });
            Ok(SettledMovement { id: movement.name, sku: movement.sku, sent, outcome })
        }
        other => Err(Problem::internal(format!("an arrival came to {other:?}"))),
    }
}

fn created(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

/// Stock of one SKU, in all and by warehouse.
#[derive(Debug, Serialize)]
struct StockDocument {
    sku: Sku,
    discontinued: bool,
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

fn stock_document(sku: Sku, settings: SkuSettings, pools: Vec<(Warehouse, Pool)>) -> StockDocument {
    let sum = pools.iter().fold(Level::default(), |sum, (_, pool)| {
        let level = pool.level();
        Level {
            on_hand: sum.on_hand + level.on_hand,
            reserved: sum.reserved + level.reserved,
            committed: sum.committed + level.committed,
            owed: sum.owed + level.owed,
            in_transit: sum.in_transit + level.in_transit,
        }
    });
    let in_warehouse = |(warehouse, pool): (Warehouse, Pool)| InWarehouse { warehouse, level: pool.level().into() };
    let (discontinued, warehouses) = (settings.discontinued, pools.into_iter().map(in_warehouse).collect());
    StockDocument { sku, discontinued, total: sum.into(), warehouses }
}

async fn stock_of(shelf: &Shelf, skus: Vec<Sku>) -> Result<Vec<Asked>, Problem> {
    let asked = skus.clone();
    let read = move |read: &mut db::Read<'_>| Ok((store::levels(read, &asked)?, store::settings(read, &asked)?));
    let (rows, settings) = shelf.database.read(read).await?;
    let mut found: BTreeMap<Sku, Vec<(Warehouse, Pool)>> = BTreeMap::new();
    for (sku, warehouse, pool) in rows {
        found.entry(sku).or_default().push((warehouse, pool));
    }
    let one = |sku: Sku| match found.get(&sku).cloned() {
        Some(pools) => {
            let settings = settings.get(&sku).copied().unwrap_or_default();
            Asked::Known(stock_document(sku, settings, pools))
        }
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

/// What holds for a SKU in every warehouse, as it is shown.
#[derive(Debug, Serialize)]
struct SkuDocument {
    sku: Sku,
    discontinued: bool,
}

async fn sku(State(shelf): Shared, conditions: Conditions, Segment(sku): Segment<Sku>) -> Result<Response, Problem> {
    let settings = settings_of(&shelf, &sku).await?;
    let document = SkuDocument { sku, discontinued: settings.discontinued };
    Ok(conditions.answer(ETag::of_version(settings.version), || Json(document).into_response()))
}

async fn settings_of(shelf: &Shelf, sku: &Sku) -> Result<SkuSettings, Problem> {
    let asked = [sku.clone()];
    let settings = shelf.database.read(move |read| store::settings(read, &asked)).await?;
    Ok(settings.get(sku).copied().unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSku {
    #[serde(default)]
    discontinued: Value,
}

async fn set_sku(
    State(shelf): Shared,
    caller: Caller,
    conditions: Conditions,
    Segment(sku): Segment<Sku>,
    Body(raw): Body<RawSku>,
) -> Result<Response, Problem> {
    let mut faults = Faults::default();
    let discontinued = match raw.discontinued {
        Value::Bool(discontinued) => Some(discontinued),
        _ => faults.at("/discontinued").refuse("true or false is expected"),
    };
    let discontinued = faults.finish(|| discontinued)?;
    let mut seen = None;
    if conditions.ask_for_a_state() {
        let version = settings_of(&shelf, &sku).await?.version;
        conditions.hold(&ETag::of_version(version))?;
        seen = Some(version);
    }
    let command = Command::SetSku { sku: sku.clone(), discontinued, seen };
    match shelf.desk.ask(caller.asks(command)).await?? {
        Settled::Sku(settings) => {
            let document = SkuDocument { sku, discontinued: settings.discontinued };
            Ok((ETag::of_version(settings.version), Json(document)).into_response())
        }
        other => Err(Problem::internal(format!("settings of a SKU came to {other:?}"))),
    }
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
    let replaces = match faults.at("/replaces").parse_if_given::<Name>(&raw.replaces) {
        Some(Some(replaced)) if replaced == name => {
            faults.at("/replaces").refuse("another reservation than this one is expected")
        }
        other => other,
    };
    let checked = faults.finish(|| Some((lines?, hold_secs?.unwrap_or(default_hold_secs), replaces?)))?;
    let (lines, hold_secs, replaces) = checked;
    let parts: Vec<_> = lines.iter().map(|line| (&line.sku, line.quantity, &line.warehouse)).collect();
    let fingerprint = fingerprint(&("reserve", parts, hold_secs, &replaces));
    Ok(Reserve { name, fingerprint, lines, hold_secs, order: None, replaces })
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
    let raw = body.map(|Body(raw)| raw).unwrap_or_default();
    let mut faults = Faults::default();
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

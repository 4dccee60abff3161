//! Requests about movements: goods come in, are counted, corrected and moved.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contracts::inventory::Level;
use ids::{Name, Sku, Warehouse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, Faults, IdempotencyKey, Problem, Routes, Scope, Segment, fingerprint};

use super::stock::{InWarehouse, LevelDocument};
use super::{ABOUT, MOST_PIECES, Shared, Shelf, created, openapi};
use crate::domain::{Act, Command, Movement, MovementRecord, Outcome, Settled};
use crate::perform::Answer;

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT).put("/v1/stock-movements/{id}", Scope::StockWrite, move_stock, openapi::move_stock()).post(
        "/v1/stock-movements/{id}/arrive",
        Scope::StockWrite,
        arrive,
        openapi::arrive(),
    )
}

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
    levels: Vec<InWarehouse<Warehouse>>,
}

impl OutcomeDocument {
    fn of(movement: &MovementRecord) -> Self {
        let in_warehouse = |warehouse: &Warehouse, level: &Level| InWarehouse {
            warehouse: warehouse.clone(),
            active: None,
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

fn check_movement(name: Name, Body(raw, mut faults): Body<RawMovement>) -> Result<Movement, Problem> {
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
        Some("transfer") => check_transfer(&raw, &mut faults),
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
    body: Body<RawMovement>,
) -> Result<Response, Problem> {
    let movement = check_movement(id, body)?;
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
    let Body(raw, mut faults) = body.unwrap_or_default();
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

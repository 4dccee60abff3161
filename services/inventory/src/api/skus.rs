//! Requests about what holds for a SKU in every warehouse.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ids::Sku;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, Conditions, ETag, Problem, Routes, Scope, Segment};
use world::Moment;

use super::{ABOUT, Shared, Shelf, openapi};
use crate::domain::{Command, Offer, Settled, SkuSettings};
use crate::store;

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT).get("/v1/skus/{sku}", Scope::StockRead, sku, openapi::sku_settings()).put(
        "/v1/skus/{sku}",
        Scope::StockWrite,
        set_sku,
        openapi::set_sku(),
    )
}

/// Pieces of a SKU that may be promised without stock, at most.
const MOST_BACKORDERS: i64 = 1_000_000_000;

/// Pieces that may be called a few, at most.
const MOST_FEW: i64 = 1_000_000_000;

/// What holds for a SKU in every warehouse, as it is shown.
#[derive(Debug, Serialize)]
struct SkuDocument {
    sku: Sku,
    discontinued: bool,
    backorder_limit: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_from: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low_upto: Option<i64>,
}

impl SkuDocument {
    fn of(sku: Sku, settings: SkuSettings) -> Self {
        let Offer { discontinued, backorder_limit, available_from, low_upto } = settings.offer;
        Self { sku, discontinued, backorder_limit, available_from, low_upto }
    }
}

async fn sku(State(shelf): Shared, conditions: Conditions, Segment(sku): Segment<Sku>) -> Result<Response, Problem> {
    let settings = settings_of(&shelf, &sku).await?;
    let document = SkuDocument::of(sku, settings);
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
    #[serde(default)]
    backorder_limit: Value,
    #[serde(default)]
    available_from: Value,
    #[serde(default)]
    low_upto: Value,
}

async fn set_sku(
    State(shelf): Shared,
    caller: Caller,
    conditions: Conditions,
    Segment(sku): Segment<Sku>,
    Body(raw, mut faults): Body<RawSku>,
) -> Result<Response, Problem> {
    let discontinued = match raw.discontinued {
        Value::Bool(discontinued) => Some(discontinued),
        _ => faults.at("/discontinued").refuse("true or false is expected"),
    };
    let limit = faults.at("/backorder_limit").integer_if_given(&raw.backorder_limit, 0..=MOST_BACKORDERS);
    let available_from = faults.at("/available_from").parse_if_given::<Moment>(&raw.available_from);
    let low_upto = faults.at("/low_upto").integer_if_given(&raw.low_upto, 0..=MOST_FEW);
    let offer = faults.finish(|| {
        let (discontinued, limit, available_from) = (discontinued?, limit?, available_from?);
        Some(Offer { discontinued, backorder_limit: limit.unwrap_or(0), available_from, low_upto: low_upto? })
    })?;
    let mut seen = None;
    if conditions.ask_for_a_state() {
        let version = settings_of(&shelf, &sku).await?.version;
        conditions.hold(&ETag::of_version(version))?;
        seen = Some(version);
    }
    let command = Command::SetSku { sku, offer, seen };
    match shelf.desk.ask(caller.asks(command)).await?? {
        Settled::Sku { sku, settings } => {
            Ok((ETag::of_version(settings.version), Json(SkuDocument::of(sku, settings))).into_response())
        }
        other => Err(Problem::internal(format!("settings of a SKU came to {other:?}"))),
    }
}

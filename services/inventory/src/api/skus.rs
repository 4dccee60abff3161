//! Requests about what holds for a SKU in every warehouse.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ids::Sku;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, Conditions, ETag, Faults, Problem, Routes, Scope, Segment};

use super::{ABOUT, Shared, Shelf, openapi};
use crate::domain::{Command, Settled, SkuSettings};
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

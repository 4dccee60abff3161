//! Requests about what holds for a warehouse.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ids::{Name, Warehouse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, Conditions, ETag, Listed, Page, Problem, Routes, Scope, Segment};

use super::{ABOUT, HIGHEST_PRIORITY, LONGEST_TITLE, MOST_MARKETS, Shared, Shelf, openapi};
use crate::domain::{Command, Settled, Site, WarehouseSettings};
use crate::store;

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT)
        .get("/v1/warehouses", Scope::StockRead, warehouses, openapi::warehouses())
        .get("/v1/warehouses/{id}", Scope::StockRead, warehouse, openapi::warehouse())
        .put("/v1/warehouses/{id}", Scope::StockWrite, set_warehouse, openapi::set_warehouse())
}

/// What holds for a warehouse, as it is shown.
#[derive(Debug, Serialize)]
struct WarehouseDocument {
    id: Warehouse,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i64>,
    markets: Vec<Name>,
    active: bool,
}

fn document(id: Warehouse, settings: WarehouseSettings) -> WarehouseDocument {
    let Site { name, priority, markets, active } = settings.site;
    WarehouseDocument { id, name, priority, markets, active }
}

async fn warehouse(
    State(shelf): Shared,
    conditions: Conditions,
    Segment(id): Segment<Warehouse>,
) -> Result<Response, Problem> {
    let settings = settings_of(&shelf, &id).await?;
    let tag = ETag::of_version(settings.version);
    Ok(conditions.answer(tag, || Json(document(id, settings)).into_response()))
}

async fn settings_of(shelf: &Shelf, warehouse: &Warehouse) -> Result<WarehouseSettings, Problem> {
    let asked = warehouse.clone();
    let settings = shelf.database.read(move |read| store::warehouse(read, &asked)).await?;
    Ok(settings.unwrap_or_default())
}

async fn warehouses(State(shelf): Shared, page: Page) -> Result<Response, Problem> {
    let after = page.start::<Warehouse>()?;
    let limit = i64::from(page.limit) + 1;
    let read = move |read: &mut db::Read<'_>| {
        store::warehouses_after(read, after.as_ref().map_or("", Warehouse::as_str), limit)
    };
    let found = shelf.database.read(read).await?;
    let listed = Listed::of(found, &page, |(id, _)| id.as_str().to_owned());
    let items: Vec<_> = listed.items.into_iter().map(|(id, settings)| document(id, settings)).collect();
    Ok(Listed { items, next: listed.next }.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWarehouse {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    priority: Value,
    #[serde(default)]
    markets: Option<Vec<Value>>,
    #[serde(default)]
    active: Value,
}

fn check(Body(raw, mut faults): Body<RawWarehouse>) -> Result<Site, Problem> {
    let name = faults.at("/name").text_if_given(&raw.name, 1..=LONGEST_TITLE);
    let priority = faults.at("/priority").integer_if_given(&raw.priority, 0..=HIGHEST_PRIORITY);
    let markets = raw.markets.as_deref().unwrap_or_default();
    let markets = faults.each("/markets", markets, 0..=MOST_MARKETS, |faults, market| faults.at("").parse(market));
    let active = match raw.active {
        Value::Null => Some(true),
        Value::Bool(active) => Some(active),
        _ => faults.at("/active").refuse("true or false is expected"),
    };
    faults.finish(|| {
        let mut markets: Vec<Name> = markets?;
        markets.sort_unstable();
        markets.dedup();
        Some(Site { name: name?, priority: priority?, markets, active: active? })
    })
}

async fn set_warehouse(
    State(shelf): Shared,
    caller: Caller,
    conditions: Conditions,
    Segment(warehouse): Segment<Warehouse>,
    body: Body<RawWarehouse>,
) -> Result<Response, Problem> {
    let site = check(body)?;
    let mut seen = None;
    if conditions.ask_for_a_state() {
        let version = settings_of(&shelf, &warehouse).await?.version;
        conditions.hold(&ETag::of_version(version))?;
        seen = Some(version);
    }
    let command = Command::SetWarehouse { warehouse: warehouse.clone(), site, seen };
    match shelf.desk.ask(caller.asks(command)).await?? {
        Settled::Warehouse(settings) => {
            let tag = ETag::of_version(settings.version);
            Ok((tag, Json(document(warehouse, *settings))).into_response())
        }
        other => Err(Problem::internal(format!("what was said of a warehouse came to {other:?}"))),
    }
}

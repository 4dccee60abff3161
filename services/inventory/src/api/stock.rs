//! Requests about levels: what lies where, and what of it can be promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contracts::inventory::Level;
use ids::{Sku, Warehouse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Conditions, ETag, Faults, Problem, Query, Routes, Scope, Segment};

use super::{ABOUT, MOST_SKUS, Shared, Shelf, openapi, problem};
use crate::domain::{Pool, SkuSettings};
use crate::store;

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT)
        .get("/v1/stock/{sku}", Scope::StockRead, level, openapi::level())
        .get("/v1/stock", Scope::StockRead, levels, openapi::levels())
        .post("/v1/stock/query", Scope::StockRead, query_levels, openapi::query_levels())
}

/// A level as it is shown.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct LevelDocument {
    #[serde(flatten)]
    level: Level,
    available: i64,
}

impl From<Level> for LevelDocument {
    fn from(level: Level) -> Self {
        Self { level, available: level.on_hand - level.reserved - level.committed }
    }
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
pub(super) struct InWarehouse {
    pub(super) warehouse: Warehouse,
    #[serde(flatten)]
    pub(super) level: LevelDocument,
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

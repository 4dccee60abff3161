//! Requests about levels: what lies where, and what of it can be promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use contracts::inventory::Level;
use ids::{Sku, Warehouse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Conditions, ETag, Problem, Query, Routes, Scope, Segment};
use world::Moment;

use super::lookup::stock_of;
use super::{ABOUT, MOST_SKUS, Shared, Shelf, openapi, problem};
use crate::domain::{Offer, Pool, Signal, SkuSettings, Thresholds, WarehouseSettings};
use crate::store;
use crate::store::journal::Since;
use crate::store::recent::Shown;

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT)
        .get("/v1/stock/{sku}", Scope::StockRead, level, openapi::level())
        .get("/v1/stock", Scope::StockRead, levels, openapi::levels())
        .post("/v1/stock/query", Scope::StockRead, query_levels, openapi::query_levels())
        // A path of its own is not looked for among the SKUs, whatever the method.
        .get("/v1/stock/query", Scope::StockRead, level_of_query, openapi::level_of_query())
}

/// What a level, or a SKU beside its levels, takes in an answer, about.
const LEVEL_BYTES: usize = 128;

/// A level as it is shown.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct LevelDocument {
    #[serde(flatten)]
    level: Level,
    available: i64,
}

impl From<Level> for LevelDocument {
    fn from(level: Level) -> Self {
        Self { level, available: level.available() }
    }
}

/// Stock of one SKU, in all and by warehouse.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StockDocument {
    pub(super) sku: Sku,
    discontinued: bool,
    signal: Signal,
    #[serde(flatten)]
    total: LevelDocument,
    #[serde(flatten)]
    backorder: Option<BackorderDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_from: Option<Moment>,
    /// From where on there are few of it, which `signal` says.
    #[serde(skip)]
    low_upto: Option<i64>,
    warehouses: Vec<InWarehouse>,
}

/// How much of a SKU may be promised without stock, and how much of that is left.
#[derive(Clone, Copy, Debug, Serialize)]
struct BackorderDocument {
    backorder_limit: i64,
    backorder_left: i64,
}

/// A level with its warehouse; where it is read also whether that is active.
#[derive(Clone, Debug, Serialize)]
pub(super) struct InWarehouse {
    pub(super) warehouse: Warehouse,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) active: Option<bool>,
    #[serde(flatten)]
    pub(super) level: LevelDocument,
}

/// A SKU of a longer question: its stock, or that it is unknown.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Asked<'a> {
    Known(&'a StockDocument),
    Unknown { sku: &'a Sku, unknown: bool },
}

/// An answer to a longer question.
#[derive(Debug, Serialize)]
struct StockList<'a> {
    items: Vec<Asked<'a>>,
}

impl StockDocument {
    /// A SKU of which nothing lies anywhere.
    fn of_nothing(sku: Sku, offer: Offer) -> Self {
        let Offer { discontinued, backorder_limit, available_from, low_upto } = offer;
        let backorder = (backorder_limit > 0).then_some(BackorderDocument { backorder_limit, backorder_left: 0 });
        let (signal, total) = (Signal::Gone, Level::default().into());
        let warehouses = Vec::new();
        let mut document = Self { sku, discontinued, signal, total, backorder, available_from, low_upto, warehouses };
        document.say_what_is_left();
        document
    }

    /// Says how much may still be promised without stock.
    fn say_what_is_left(&mut self) {
        if let Some(backorder) = &mut self.backorder {
            let left = if self.discontinued { 0 } else { backorder.backorder_limit - self.total.level.owed };
            backorder.backorder_left = left.max(0);
        }
    }

    /// Adds what lies in a warehouse; where nothing is promised from it is not available.
    fn add(&mut self, warehouse: Warehouse, is_active: bool, level: Level, thresholds: Thresholds) {
        let mut level = LevelDocument::from(level);
        level.available *= i64::from(is_active);
        self.total = sum(self.total, level);
        self.signal = thresholds.signal(self.total.available, self.offer());
        self.say_what_is_left();
        self.warehouses.push(InWarehouse { warehouse, active: Some(is_active), level });
    }

    /// What is said of the SKU.
    fn offer(&self) -> Offer {
        let Self { discontinued, available_from, low_upto, .. } = *self;
        let backorder_limit = self.backorder.map_or(0, |backorder| backorder.backorder_limit);
        Offer { discontinued, backorder_limit, available_from, low_upto }
    }

    /// What is shown here, as it is kept.
    pub(super) fn shown(&self) -> Shown {
        let level = |at: &InWarehouse| (at.warehouse.clone(), at.active != Some(false), at.level.level);
        Shown { offer: self.offer(), levels: self.warehouses.iter().map(level).collect() }
    }

    pub(super) fn of_shown(sku: Sku, shown: Shown, thresholds: Thresholds) -> Self {
        let mut document = Self::of_nothing(sku, shown.offer);
        for (warehouse, is_active, level) in shown.levels {
            document.add(warehouse, is_active, level, thresholds);
        }
        document
    }
}

/// The stock of SKUs from their levels, which stand in the order of their keys.
pub(super) fn documents(
    levels: Vec<(Sku, Warehouse, Pool)>,
    settings: &BTreeMap<Sku, SkuSettings>,
    sites: &BTreeMap<Warehouse, WarehouseSettings>,
    thresholds: Thresholds,
) -> Vec<StockDocument> {
    let mut documents: Vec<StockDocument> = Vec::new();
    for (sku, warehouse, pool) in levels {
        if documents.last().is_none_or(|last| last.sku != sku) {
            let offer = settings.get(&sku).map(|settings| settings.offer).unwrap_or_default();
            documents.push(StockDocument::of_nothing(sku, offer));
        }
        let Some(document) = documents.last_mut() else { continue };
        let is_active = sites.get(&warehouse).is_none_or(|known| known.site.active);
        document.add(warehouse, is_active, pool.level(), thresholds);
    }
    let is_there = |sku: &Sku| documents.binary_search_by(|document| document.sku.cmp(sku)).is_ok();
    let without_stock = settings.iter().filter(|(sku, _)| !is_there(sku));
    let without_stock: Vec<_> =
        without_stock.map(|(sku, settings)| StockDocument::of_nothing(sku.clone(), settings.offer)).collect();
    if !without_stock.is_empty() {
        documents.extend(without_stock);
        documents.sort_by(|one, other| one.sku.cmp(&other.sku));
    }
    documents
}

fn sum(one: LevelDocument, other: LevelDocument) -> LevelDocument {
    let (available, one, other) = (one.available + other.available, one.level, other.level);
    let level = Level {
        on_hand: one.on_hand + other.on_hand,
        reserved: one.reserved + other.reserved,
        committed: one.committed + other.committed,
        owed: one.owed + other.owed,
        in_transit: one.in_transit + other.in_transit,
    };
    LevelDocument { level, available }
}

/// The body of the answer about these SKUs, in the order asked.
async fn list_of(shelf: &Shelf, skus: &[Sku]) -> Result<Vec<u8>, Problem> {
    let stock = stock_of(shelf, skus).await?;
    // A long list is not moved while it grows.
    let levels: usize = stock.iter().flatten().map(|document| 1 + document.warehouses.len()).sum();
    let items = skus.iter().zip(&stock).map(|(sku, stock)| match stock {
        Some(known) => Asked::Known(known),
        None => Asked::Unknown { sku, unknown: true },
    });
    let list = StockList { items: items.collect() };
    let mut body = Vec::with_capacity(levels * LEVEL_BYTES + skus.len() * LEVEL_BYTES);
    serde_json::to_writer(&mut body, &list).map_err(Problem::internal)?;
    Ok(body)
}

/// An answer whose bytes are at hand.
pub(super) fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn level(
    State(shelf): Shared,
    conditions: Conditions,
    Segment(sku): Segment<Sku>,
    query: Query,
) -> Result<Response, Problem> {
    level_of(&shelf, conditions, sku, query).await
}

/// The stock of the SKU that is called `query`.
async fn level_of_query(State(shelf): Shared, conditions: Conditions, query: Query) -> Result<Response, Problem> {
    let sku = "query".parse().map_err(Problem::internal)?;
    level_of(&shelf, conditions, sku, query).await
}

async fn level_of(shelf: &Shelf, conditions: Conditions, sku: Sku, mut query: Query) -> Result<Response, Problem> {
    let at = query.parse::<Moment>("at");
    let stock = match query.finish(|| at)? {
        None => stock_of(shelf, &[sku]).await?.pop().flatten(),
        Some(at) => stock_at(shelf, sku, at).await?.pop(),
    };
    let stock = stock.ok_or_else(|| Problem::new(&problem::UNKNOWN_SKU))?;
    let body = serde_json::to_vec(&stock).map_err(Problem::internal)?;
    Ok(conditions.answer(ETag::of_bytes(&body), || json(body)))
}

/// The stock of a SKU as it was at a time, if it is known; looked up a piece at a time, so that others
/// come to read in between.
async fn stock_at(shelf: &Shelf, sku: Sku, at: Moment) -> Result<Vec<StockDocument>, Problem> {
    let mut since = shelf.database.read(move |read| Since::moment(read, at)).await?;
    loop {
        let asked = sku.clone();
        let look_on = move |read: &mut db::Read<'_>| {
            let then = since.look_on(read, &asked)?;
            Ok((since, then))
        };
        let (looked, then) = shelf.database.read(look_on).await?;
        since = looked;
        if let Some(levels) = then {
            let asked = sku.clone();
            let said = move |read: &mut db::Read<'_>| {
                Ok((store::offer_at(read, &asked, at)?, store::warehouses_at(read, at)?))
            };
            let (offer, sites) = shelf.database.read(said).await?;
            let was_said = (offer != Offer::default()).then(|| (sku, SkuSettings { offer, ..SkuSettings::default() }));
            return Ok(documents(levels, &was_said.into_iter().collect(), &sites, shelf.thresholds));
        }
    }
}

async fn levels(State(shelf): Shared, conditions: Conditions, mut query: Query) -> Result<Response, Problem> {
    let given = query.all("sku");
    let skus: Option<Vec<Sku>> = if given.is_empty() || given.len() > MOST_SKUS {
        query.refuse("sku", format!("1 to {MOST_SKUS} SKUs are expected, as ?sku=…&sku=…"))
    } else {
        let checked = given.iter().map(|sku| sku.parse::<Sku>());
        let checked: Result<Vec<_>, _> = checked.collect();
        checked.map_err(|error| query.refuse::<()>("sku", error.to_string())).ok()
    };
    let skus = query.finish(|| skus)?;
    let body = list_of(&shelf, &skus).await?;
    Ok(conditions.answer(ETag::of_bytes(&body), || json(body)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    #[serde(default)]
    skus: Vec<Value>,
}

async fn query_levels(State(shelf): Shared, Body(raw, mut faults): Body<RawQuestion>) -> Result<Response, Problem> {
    let skus = faults.each("/skus", &raw.skus, 1..=MOST_SKUS, |faults, sku| faults.at("").parse::<Sku>(sku));
    let skus = faults.finish(|| skus)?;
    Ok(json(list_of(&shelf, &skus).await?))
}

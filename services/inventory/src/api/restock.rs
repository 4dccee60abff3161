//! Requests about when more of a SKU is wanted in which warehouse, and where it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ids::{Sku, Warehouse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, Listed, Page, Problem, Routes, Scope, Segment};

use super::{ABOUT, MOST_PIECES, MOST_POINTS, Shared, Shelf, openapi};
use crate::domain::{Command, Pool, Reorder, RestockPoint, Settled};
use crate::store;

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT)
        .get("/v1/restock-needs", Scope::StockRead, needs, openapi::needs())
        .get("/v1/skus/{sku}/restock", Scope::StockRead, restock, openapi::restock())
        .put("/v1/skus/{sku}/restock", Scope::StockWrite, set_restock, openapi::set_restock())
}

/// When more is wanted in a warehouse, as it is shown.
#[derive(Debug, Serialize)]
struct PointDocument {
    warehouse: Warehouse,
    threshold: i64,
    target: i64,
    needed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<i64>,
}

/// When more of a SKU is wanted, as it is shown.
#[derive(Debug, Serialize)]
struct RestockDocument {
    sku: Sku,
    points: Vec<PointDocument>,
}

/// What is needed of a SKU in a warehouse, as it is shown.
#[derive(Debug, Serialize)]
struct NeedDocument {
    sku: Sku,
    #[serde(flatten)]
    point: PointDocument,
}

/// None of a point at which nothing is asked for any more.
fn shown((warehouse, point, pool): (Warehouse, RestockPoint, Pool)) -> Option<PointDocument> {
    let quantity = point.needed(pool);
    let Reorder { threshold, target } = point.reorder?;
    Some(PointDocument { warehouse, threshold, target, needed: quantity.is_some(), quantity })
}

fn document(sku: Sku, points: Vec<(Warehouse, RestockPoint, Pool)>) -> RestockDocument {
    RestockDocument { sku, points: points.into_iter().filter_map(shown).collect() }
}

async fn restock(State(shelf): Shared, Segment(sku): Segment<Sku>) -> Result<Response, Problem> {
    let asked = [sku.clone()];
    let read = move |read: &mut db::Read<'_>| Ok((store::restock(read, &asked)?, store::levels(read, &asked)?));
    let (points, levels) = shelf.database.read(read).await?;
    let pools: BTreeMap<Warehouse, Pool> = levels.into_iter().map(|(_, warehouse, pool)| (warehouse, pool)).collect();
    let with_pool = |((_, warehouse), point): (store::Place, RestockPoint)| {
        let pool = pools.get(&warehouse).copied().unwrap_or_default();
        (warehouse, point, pool)
    };
    Ok(Json(document(sku, points.into_iter().map(with_pool).collect())).into_response())
}

async fn needs(State(shelf): Shared, page: Page) -> Result<Response, Problem> {
    let after = page.start::<store::Place>()?;
    let limit = i64::from(page.limit) + 1;
    let read = move |read: &mut db::Read<'_>| {
        let low = store::low_after(read, after.as_ref(), limit)?;
        let skus: Vec<Sku> = low.iter().map(|((sku, _), _)| sku.clone()).collect();
        Ok((low, store::levels(read, &skus)?))
    };
    let (low, levels) = shelf.database.read(read).await?;
    let place = |(sku, warehouse, pool): (Sku, Warehouse, Pool)| ((sku, warehouse), pool);
    let pools: BTreeMap<store::Place, Pool> = levels.into_iter().map(place).collect();
    let listed = Listed::of(low, &page, |(place, _)| place.clone());
    let need = |(place, point): (store::Place, RestockPoint)| {
        let pool = pools.get(&place).copied().unwrap_or_default();
        let (sku, warehouse) = place;
        shown((warehouse, point, pool)).map(|point| NeedDocument { sku, point })
    };
    let items: Vec<_> = listed.items.into_iter().filter_map(need).collect();
    Ok(Listed { items, next: listed.next }.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRestock {
    #[serde(default)]
    points: Vec<RawPoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoint {
    #[serde(default)]
    warehouse: Value,
    #[serde(default)]
    threshold: Value,
    #[serde(default)]
    target: Value,
}

fn check(Body(raw, mut faults): Body<RawRestock>) -> Result<BTreeMap<Warehouse, Reorder>, Problem> {
    let points = faults.each("/points", &raw.points, 0..=MOST_POINTS, |faults, point| {
        let warehouse = faults.at("/warehouse").parse::<Warehouse>(&point.warehouse);
        let threshold = faults.at("/threshold").integer(&point.threshold, 1..=MOST_PIECES);
        let target = match faults.at("/target").integer(&point.target, 1..=MOST_PIECES) {
            Some(target) if threshold.is_some_and(|threshold| target < threshold) => {
                faults.at("/target").refuse("no less than the threshold is expected")
            }
            other => other,
        };
        Some((warehouse?, Reorder { threshold: threshold?, target: target? }))
    });
    let count = raw.points.len();
    let points = points.map(|points| points.into_iter().collect::<BTreeMap<_, _>>());
    let points = match points {
        Some(points) if points.len() < count => faults.at("/points").refuse("each warehouse is expected once"),
        other => other,
    };
    faults.finish(|| points)
}

async fn set_restock(
    State(shelf): Shared,
    caller: Caller,
    Segment(sku): Segment<Sku>,
    body: Body<RawRestock>,
) -> Result<Response, Problem> {
    let points = check(body)?;
    match shelf.desk.ask(caller.asks(Command::SetRestock { sku: sku.clone(), points })).await?? {
        Settled::Restock { points, .. } => Ok(Json(document(sku, points)).into_response()),
        other => Err(Problem::internal(format!("when more is wanted came to {other:?}"))),
    }
}

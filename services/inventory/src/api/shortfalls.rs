//! Requests about promises that are owed pieces: the queue for people, and what they decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ids::{Name, Number, Sku, Warehouse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Caller, IdempotencyKey, Listed, Problem, Query, Routes, Scope};
use world::Moment;

use super::reservations::ask;
use super::{ABOUT, LONGEST_TITLE, Shared, Shelf, openapi};
use crate::domain::{Command, Reservation, Settle, WarehouseSettings, Way};
use crate::store::{self, Owed};

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT).get("/v1/shortfalls", Scope::StockWrite, shortfalls, openapi::shortfalls()).post(
        "/v1/shortfalls/resolve",
        Scope::StockWrite,
        resolve,
        openapi::resolve(),
    )
}

/// A promise that is owed pieces, as it is shown.
#[derive(Debug, Serialize)]
struct ShortfallDocument {
    sku: Sku,
    warehouse: Warehouse,
    owed: i64,
    missing: i64,
    reservation: Name,
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Name>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_from: Option<Moment>,
    /// Other warehouses that have some, and may serve it.
    elsewhere: Vec<Elsewhere>,
}

/// Pieces that another warehouse has.
#[derive(Clone, Debug, Serialize)]
struct Elsewhere {
    warehouse: Warehouse,
    available: i64,
}

/// The warehouses of which something was said.
type Sites = BTreeMap<Warehouse, WarehouseSettings>;

fn document(owed: Owed, of: Reservation, has: &[Elsewhere], sites: &Sites, now: Moment) -> ShortfallDocument {
    let Owed { sku, warehouse, quantity, missing, .. } = owed;
    let available_from = of.lines.iter().find(|line| line.sku == sku).and_then(|line| line.available_from);
    let market = of.terms.as_ref().and_then(|terms| terms.market.as_ref());
    let serves = |place: &Warehouse| sites.get(place).is_none_or(|known| known.site.serves(market));
    let other = |place: &&Elsewhere| place.warehouse != warehouse && place.available > 0 && serves(&place.warehouse);
    let elsewhere = has.iter().filter(other).cloned().collect();
    ShortfallDocument {
        owed: quantity,
        missing,
        status: of.status_at(now).as_str(),
        expires_at: (!of.is_firm()).then_some(of.expires_at),
        available_from,
        elsewhere,
        sku,
        warehouse,
        reservation: of.name,
        owner: of.owner,
        order: of.order,
    }
}

async fn shortfalls(State(shelf): Shared, mut query: Query) -> Result<Response, Problem> {
    let is_open = match query.one("state") {
        Some(None) => Some(true),
        Some(Some(state)) => match state.as_str() {
            "open" => Some(true),
            "waiting" => Some(false),
            _ => query.refuse("state", "one of open, waiting is expected"),
        },
        None => None,
    };
    let page = query.page();
    let (is_open, page) = query.finish(|| Some((is_open?, page?)))?;
    let after = page.start::<(Sku, Warehouse, Number)>()?;
    let limit = i64::from(page.limit) + 1;
    let read = move |read: &mut db::Read<'_>| {
        let owed = store::owed_after(read, is_open, after.as_ref(), limit)?;
        let reservations = store::reservations(read, owed.iter().map(|owed| owed.reservation))?;
        let skus: Vec<Sku> = owed.iter().map(|owed| owed.sku.clone()).collect();
        Ok((owed, reservations, store::levels(read, &skus)?, store::warehouses(read)?))
    };
    let (owed, reservations, levels, sites) = shelf.database.read(read).await?;
    let mut places: BTreeMap<Sku, Vec<Elsewhere>> = BTreeMap::new();
    for (sku, warehouse, pool) in levels {
        places.entry(sku).or_default().push(Elsewhere { warehouse, available: pool.available() });
    }
    let listed = Listed::of(owed, &page, |owed| (owed.sku.clone(), owed.warehouse.clone(), owed.reservation));
    let now = shelf.database.world().now();
    let shown = |owed: Owed| {
        let has = places.get(&owed.sku).map_or(&[][..], Vec::as_slice);
        reservations.get(&owed.reservation).cloned().map(|of| document(owed, of, has, &sites, now))
    };
    let items: Vec<_> = listed.items.into_iter().filter_map(shown).collect();
    Ok(Listed { items, next: listed.next }.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResolution {
    #[serde(default)]
    reservation: Value,
    #[serde(default)]
    owner: Value,
    #[serde(default)]
    sku: Value,
    #[serde(default)]
    warehouse: Value,
    #[serde(default)]
    how: Value,
    #[serde(default)]
    to: Value,
    #[serde(default)]
    reason: Value,
}

fn check(Body(raw, mut faults): Body<RawResolution>, caller: &Caller) -> Result<Settle, Problem> {
    let reservation = faults.at("/reservation").parse::<Name>(&raw.reservation);
    let owner = faults.at("/owner").text_if_given(&raw.owner, 1..=LONGEST_TITLE);
    let sku = faults.at("/sku").parse::<Sku>(&raw.sku);
    let warehouse = faults.at("/warehouse").parse::<Warehouse>(&raw.warehouse);
    let to = faults.at("/to").parse_if_given::<Warehouse>(&raw.to);
    let reason = faults.at("/reason").text(&raw.reason, 1..=LONGEST_TITLE);
    let way = match (raw.how.as_str(), to) {
        (_, None) => None,
        (Some("release"), Some(None)) => Some(Way::Release),
        (Some("wait"), Some(None)) => Some(Way::Wait),
        (Some("move"), Some(Some(to))) if Some(&to) != warehouse.as_ref() => Some(Way::Move { to }),
        (Some("move"), _) => {
            faults.at("/to").refuse("another warehouse, from which the pieces are to come, is expected")
        }
        (Some("release" | "wait"), _) => faults.at("/to").refuse("a warehouse is expected for `move` only"),
        _ => faults.at("/how").refuse("one of release, move, wait is expected"),
    };
    faults.finish(|| {
        let owner = owner?.unwrap_or_else(|| caller.context.owner.to_string());
        let (reservation, sku, warehouse) = (reservation?, sku?, warehouse?);
        Some(Settle { owner, reservation, sku, warehouse, way: way?, reason: reason? })
    })
}

async fn resolve(
    State(shelf): Shared,
    caller: Caller,
    key: Option<IdempotencyKey>,
    body: Body<RawResolution>,
) -> Result<Response, Problem> {
    let settle = check(body, &caller)?;
    let key = key.map(|key| key.stands_for(&settle));
    ask(&shelf, &caller, key, Command::Settle(settle), |_| StatusCode::OK).await
}

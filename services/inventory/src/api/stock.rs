//! Requests about levels: what lies where, and what of it can be promised.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use contracts::inventory::Level;
use ids::Sku;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Body, Conditions, ETag, Problem, Query, Routes, Scope, Segment};
use world::Moment;

use super::lookup::stock_of;
use super::{ABOUT, MOST_SKUS, Shared, Shelf, openapi, problem};
use crate::domain::{Offer, Signal, SkuSettings, Thresholds};
use crate::store::journal::Since;
use crate::store::{self, Shown};

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT)
        .get("/v1/stock/{sku}", Scope::StockRead, level, openapi::level())
        .get("/v1/stock", Scope::StockRead, levels, openapi::levels())
        .post("/v1/stock/query", Scope::StockRead, query_levels, openapi::query_levels())
        // A path of its own is not looked for among the SKUs, whatever the method.
        .get("/v1/stock/query", Scope::StockRead, level_of_query, openapi::level_of_query())
}

/// How many times the bytes of a level that is kept it takes in an answer, about; and what a SKU takes beside it.
const WIDENED: usize = 10;
const SKU_BYTES: usize = 192;

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
#[derive(Debug, Serialize)]
pub(super) struct StockDocument<'a> {
    sku: &'a Sku,
    discontinued: bool,
    signal: Signal,
    #[serde(flatten)]
    total: LevelDocument,
    #[serde(flatten)]
    backorder: Option<BackorderDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_from: Option<Moment>,
    warehouses: Vec<InWarehouse<&'a str>>,
}

/// How much of a SKU may be promised without stock, and how much of that is left.
#[derive(Clone, Copy, Debug, Serialize)]
struct BackorderDocument {
    backorder_limit: i64,
    backorder_left: i64,
}

/// A level with its warehouse; where it is read also whether that is active.
#[derive(Debug, Serialize)]
pub(super) struct InWarehouse<W> {
    pub(super) warehouse: W,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) active: Option<bool>,
    #[serde(flatten)]
    pub(super) level: LevelDocument,
}

/// A SKU of a longer question that is unknown.
#[derive(Debug, Serialize)]
struct Unknown<'a> {
    sku: &'a Sku,
    unknown: bool,
}

impl<'a> StockDocument<'a> {
    pub(super) fn of(sku: &'a Sku, shown: &'a Shown, thresholds: Thresholds) -> Self {
        let (offer, levels) = shown.open();
        let in_warehouse = |(warehouse, is_active, level)| {
            let mut level = LevelDocument::from(level);
            // Where nothing is promised from it is not available.
            level.available *= i64::from(is_active);
            InWarehouse { warehouse, active: Some(is_active), level }
        };
        let warehouses: Vec<_> = levels.map(in_warehouse).collect();
        let total = warehouses.iter().fold(Level::default().into(), |total, at| sum(total, at.level));
        let Offer { discontinued, backorder_limit, available_from, .. } = offer;
        let left = if discontinued { 0 } else { (backorder_limit - total.level.owed).max(0) };
        let backorder = (backorder_limit > 0).then_some(BackorderDocument { backorder_limit, backorder_left: left });
        let signal = thresholds.signal(total.available, offer);
        Self { sku, discontinued, signal, total, backorder, available_from, warehouses }
    }

    /// Writes it as JSON: what `Serialize` says, which looks through the name of each field for what has to be
    /// escaped, each time anew (`docs/performance.md` has the figures).
    pub(super) fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        text.extend_from_slice(b"{\"sku\":");
        serde_json::to_writer(&mut *text, self.sku)?;
        text.extend_from_slice(b",\"discontinued\":");
        write_flag(text, self.discontinued);
        text.extend_from_slice(b",\"signal\":");
        serde_json::to_writer(&mut *text, &self.signal)?;
        self.total.write(text);
        if let Some(BackorderDocument { backorder_limit, backorder_left }) = self.backorder {
            write_number(text, b",\"backorder_limit\":", backorder_limit);
            write_number(text, b",\"backorder_left\":", backorder_left);
        }
        if let Some(available_from) = self.available_from {
            text.extend_from_slice(b",\"available_from\":");
            serde_json::to_writer(&mut *text, &available_from)?;
        }
        text.extend_from_slice(b",\"warehouses\":[");
        for (place, InWarehouse { warehouse, active, level }) in self.warehouses.iter().enumerate() {
            text.extend_from_slice(if place == 0 { b"{\"warehouse\":\"" } else { b",{\"warehouse\":\"" });
            // The name of a warehouse has no character that would have to be escaped.
            text.extend_from_slice(warehouse.as_bytes());
            text.push(b'"');
            if let Some(active) = active {
                text.extend_from_slice(b",\"active\":");
                write_flag(text, *active);
            }
            level.write(text);
            text.push(b'}');
        }
        text.extend_from_slice(b"]}");
        Ok(())
    }
}

impl LevelDocument {
    /// Writes its fields as JSON, behind others.
    fn write(&self, text: &mut Vec<u8>) {
        let Level { on_hand, reserved, committed, owed, in_transit } = self.level;
        write_number(text, b",\"on_hand\":", on_hand);
        write_number(text, b",\"reserved\":", reserved);
        write_number(text, b",\"committed\":", committed);
        write_number(text, b",\"owed\":", owed);
        write_number(text, b",\"in_transit\":", in_transit);
        write_number(text, b",\"available\":", self.available);
    }
}

fn write_number(text: &mut Vec<u8>, name: &[u8], number: i64) {
    text.extend_from_slice(name);
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_flag(text: &mut Vec<u8>, flag: bool) {
    text.extend_from_slice(if flag { b"true" } else { b"false" });
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
    let bytes = stock.iter().flatten().map(|shown| WIDENED * shown.bytes()).sum::<usize>();
    let mut body = Vec::with_capacity(bytes + skus.len() * SKU_BYTES);
    body.extend_from_slice(b"{\"items\":[");
    for (place, (sku, shown)) in skus.iter().zip(&stock).enumerate() {
        if place > 0 {
            body.push(b',');
        }
        let written = match shown {
            Some(shown) => StockDocument::of(sku, shown, shelf.thresholds).write(&mut body),
            None => serde_json::to_writer(&mut body, &Unknown { sku, unknown: true }),
        };
        written.map_err(Problem::internal)?;
    }
    body.extend_from_slice(b"]}");
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
    let shown = match query.finish(|| at)? {
        None => stock_of(shelf, std::slice::from_ref(&sku)).await?.pop().flatten(),
        Some(at) => stock_at(shelf, &sku, at).await?,
    };
    let shown = shown.ok_or_else(|| Problem::new(&problem::UNKNOWN_SKU))?;
    let mut body = Vec::with_capacity(SKU_BYTES + WIDENED * shown.bytes());
    StockDocument::of(&sku, &shown, shelf.thresholds).write(&mut body).map_err(Problem::internal)?;
    Ok(conditions.answer(ETag::of_bytes(&body), || json(body)))
}

/// The stock of a SKU as it was at a time, if it is known; looked up a piece at a time, so that others
/// come to read in between.
async fn stock_at(shelf: &Shelf, sku: &Sku, at: Moment) -> Result<Option<Shown>, Problem> {
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
            let settings = SkuSettings { offer, ..SkuSettings::default() };
            let was_said = (offer != Offer::default()).then(|| (sku.clone(), settings)).into_iter().collect();
            return Ok(store::shown(&levels, &was_said, &sites).pop().map(|(_, shown)| shown));
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

#[cfg(test)]
mod tests {
    use contracts::inventory::Level;
    use ids::{Sku, Warehouse};
    use world::Moment;

    use super::StockDocument;
    use crate::domain::{Offer, Thresholds};
    use crate::store::Shown;

    #[test]
    fn what_is_written_is_what_serialize_says() {
        let names: [Warehouse; 2] = ["a".parse().unwrap(), "North-1:b_c.d".parse().unwrap()];
        let few = Level { on_hand: 7, reserved: 1, committed: 2, owed: 0, in_transit: 300 };
        let many = Level { on_hand: i64::MAX / 4, reserved: 0, committed: 0, owed: 3, in_transit: 0 };
        let levels = [(&names[0], true, few), (&names[1], false, many)];
        let available_from = Some(Moment::from_micros(1_700_000_000_123_456));
        let offers = [
            Offer::default(),
            Offer { discontinued: true, backorder_limit: 10, available_from, low_upto: Some(3) },
            Offer { backorder_limit: 2, ..Offer::default() },
            Offer { available_from, ..Offer::default() },
        ];
        for sku in ["A-1", "tea \"250\" \\ 100%/ü", "<&>'"] {
            let sku: Sku = sku.parse().unwrap();
            for offer in offers {
                for count in 0..=2 {
                    let shown = Shown::of(offer, levels[..count].iter().copied());
                    let stock = StockDocument::of(&sku, &shown, Thresholds { low_upto: 5, plenty_from: 100 });
                    let mut text = Vec::new();
                    stock.write(&mut text).unwrap();
                    assert_eq!(String::from_utf8(text).unwrap(), serde_json::to_string(&stock).unwrap());
                }
            }
        }
    }
}

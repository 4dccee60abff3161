//! Requests about the journal: what changed which stock, when, by whom and why.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use db::{Actor, Position};
use ids::{Name, Sku, Warehouse};
use serde::Serialize;
use web::{Cursor, Listed, Problem, Query, Routes, Scope};
use world::Moment;

use super::stock::LevelDocument;
use super::{ABOUT, Shared, Shelf, openapi};
use crate::domain::{Change, Changed, changes};
use crate::store::journal::{self, Entry, Names, Wanted};

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    // What all owners did, with their names.
    Routes::about(ABOUT).get("/v1/stock-journal", Scope::Admin, entries, openapi::entries())
}

/// How an actor is written.
const ACTOR: &str = "`local`, `system`, or `client:`, `customer:`, `staff:` or `service:` and a name is expected";

/// An entry of the journal, as it is shown.
#[derive(Debug, Serialize)]
struct EntryDocument {
    event: String,
    r#type: String,
    occurred_at: Moment,
    recorded_at: Moment,
    actor: String,
    owner: String,
    cause: String,
    correlation: String,
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    movement: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    effects: Vec<EffectDocument>,
}

/// What an entry did to one level: by how much it was changed, and the level after it where it says it.
#[derive(Debug, Serialize)]
struct EffectDocument {
    sku: Sku,
    warehouse: Warehouse,
    #[serde(flatten)]
    difference: Difference,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<LevelDocument>,
}

/// By how much an entry has moved what a level counts.
#[derive(Debug, Default, Serialize)]
struct Difference {
    on_hand: i64,
    /// Pieces that holds were promised, on the shelf or owed.
    held: i64,
    /// Pieces that are firmly promised, on the shelf or owed.
    firm: i64,
    /// Pieces that are promised and not on the shelf.
    owed: i64,
    in_transit: i64,
}

impl Difference {
    fn add(&mut self, change: Change) {
        self.on_hand += change.on_hand;
        self.held += change.held;
        self.firm += change.firm;
        self.owed += change.owed_to_holds + change.owed_firmly;
        self.in_transit += change.in_transit;
    }
}

impl EntryDocument {
    /// The entry, as far as it is about what is wanted.
    fn of(entry: Entry, wanted: &Wanted) -> Self {
        let effects = effects(&entry, wanted);
        let Entry { envelope, names, .. } = entry;
        let Names { movement, reservation, order, reference, reason } = names;
        Self {
            event: envelope.id(),
            r#type: envelope.kind.to_string(),
            occurred_at: envelope.occurred_at,
            recorded_at: envelope.recorded_at,
            actor: envelope.by.actor.to_string(),
            owner: envelope.by.owner.to_string(),
            cause: envelope.by.causation.to_string(),
            correlation: envelope.by.correlation.to_string(),
            origin: envelope.by.origin.as_str(),
            movement,
            reservation,
            order,
            reference,
            reason,
            effects,
        }
    }
}

/// What an entry did to the levels that are wanted, each once.
fn effects(entry: &Entry, wanted: &Wanted) -> Vec<EffectDocument> {
    let mut effects: Vec<EffectDocument> = Vec::new();
    for Changed { sku, warehouse, change, level } in changes(&entry.event) {
        if !wanted.is_about(sku, warehouse) {
            continue;
        }
        // What happens to one level stands together.
        let is_same = |last: &&mut EffectDocument| last.sku == *sku && last.warehouse == *warehouse;
        if let Some(last) = effects.last_mut().filter(is_same) {
            last.difference.add(change);
            continue;
        }
        let mut difference = Difference::default();
        difference.add(change);
        let (sku, warehouse, level) = (sku.clone(), warehouse.clone(), level.map(LevelDocument::from));
        effects.push(EffectDocument { sku, warehouse, difference, level });
    }
    effects
}

async fn entries(State(shelf): Shared, mut query: Query) -> Result<Response, Problem> {
    let sku = query.parse::<Sku>("sku");
    let warehouse = query.parse::<Warehouse>("warehouse");
    let actor = match query.one("actor") {
        Some(Some(actor)) if actor.parse::<Actor>().is_err() => query.refuse("actor", ACTOR),
        other => other,
    };
    let reference = query.one("reference");
    let from = query.parse::<Moment>("from");
    let to = query.parse::<Moment>("to");
    let page = query.page();
    let (wanted, page) = query.finish(|| {
        let wanted =
            Wanted { sku: sku?, warehouse: warehouse?, actor: actor?, reference: reference?, from: from?, to: to? };
        Some((wanted, page?))
    })?;
    let after = page.start::<Position>()?.unwrap_or(0);
    let (asked, limit) = (wanted.clone(), usize::from(page.limit));
    let found = shelf.database.read(move |read| journal::look(read, &asked, after, limit)).await?;
    let items: Vec<_> = found.entries.into_iter().map(|entry| EntryDocument::of(entry, &wanted)).collect();
    let next = (!found.at_end).then(|| Cursor::new(&found.upto));
    Ok(Listed { items, next }.into_response())
}

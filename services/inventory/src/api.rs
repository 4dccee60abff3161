//! The requests that inventory answers: movements, levels, reservations.
//!
//! Reading order: `stock`, `lookup` (how it is found), `movements`, `skus`, `warehouses`, `restock`, `reservations`,
//! `shortfalls`, `journal`, `availability` (for those who keep a copy), `bulk` (whole tables), `problem` (how it says
//! no), `openapi` (what is said of all of them).

mod availability;
mod bulk;
mod journal;
pub(crate) mod lookup;
mod movements;
mod openapi;
pub(crate) mod overview;
pub mod problem;
mod reservations;
mod restock;
mod shortfalls;
mod skus;
mod stock;
mod warehouses;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use db::{Database, Desk};
use web::Routes;

use crate::domain::{Command, Thresholds};
use crate::perform::Answer;
use crate::store::recent::Recent;

/// What handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub(crate) desk: Desk<Command, Answer>,
    pub(crate) database: Database,
    pub(crate) hold_secs: i64,
    pub(crate) thresholds: Thresholds,
    /// Stock that was read lately, where it may be kept.
    pub(crate) recent: Option<Recent>,
}

/// Why what streams for long breaks off where its key is revoked meanwhile.
const NOT_LET_IN: &str = "the key with which it began is accepted no more";

/// What the routes of inventory are about, in the page that describes them.
const ABOUT: &str = "Stock and reservations";

/// All routes of inventory.
pub(crate) fn routes(shelf: Arc<Shelf>) -> Routes {
    let own = movements::routes()
        .merge(stock::routes())
        .merge(skus::routes())
        .merge(warehouses::routes())
        .merge(restock::routes())
        .merge(reservations::routes())
        .merge(shortfalls::routes())
        .merge(journal::routes())
        .merge(availability::routes())
        .merge(bulk::routes());
    own.with_schemas(openapi::schemas()).with_state(shelf)
}

/// What a handler is given of the shelf.
type Shared = State<Arc<Shelf>>;

/// Most pieces in a line, or in a movement.
const MOST_PIECES: i64 = 1_000_000;
/// Most lines in a reservation.
const MOST_LINES: usize = 1_000;
/// Longest hold: a week.
const LONGEST_HOLD_SECS: i64 = 7 * 24 * 60 * 60;
/// Most SKUs in one question.
const MOST_SKUS: usize = 500;

/// Most warehouses in which somebody wants to know when a SKU runs low.
const MOST_POINTS: usize = 500;
/// Most markets of a warehouse.
const MOST_MARKETS: usize = 100;
/// Most characters of what people call a warehouse.
const LONGEST_TITLE: usize = 200;
/// Highest number that says a warehouse's place in the order.
const HIGHEST_PRIORITY: i64 = 1_000_000;

/// How a `PUT` is answered that found the thing new, or not.
fn created(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

//! The page at `/`: how the program gets on, for people.
//!
//! ```text
//! GET / ─▶ look: what every service has, asked of all at once ─▶ page: shown as HTML, without JavaScript
//!            board.trend: the last minutes ─────────────────────▶ chart
//! GET /put-aside/… ─▶ letter: one event, and the forms that replay or discard it
//! ```

mod chart;
mod letter;
mod look;
mod page;
mod table;
mod words;

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use web::{Access, Caller, Problem, Query, Routes, Scope};

use crate::board::Board;
use crate::openapi;
use crate::page::{answer, for_people, style, whole};

/// The routes of this module.
pub(crate) fn routes(board: &Arc<Board>) -> Routes {
    let admin = Access::SignedIn(Scope::Admin);
    Routes::about("The program")
        .get("/", admin, status, openapi::status())
        .get("/put-aside/{service}/{source}/{position}", admin, letter::show, openapi::show_put_aside())
        .post("/put-aside/{service}/{source}/{position}/replay", admin, letter::replay, openapi::replay_by_form())
        .post("/put-aside/{service}/{source}/{position}/discard", admin, letter::discard, openapi::discard_by_form())
        .with_state(board.clone())
}

/// The rules of style of this page.
const STYLE: &str = include_str!("status_page/page.css");
static POLICY: LazyLock<String> = LazyLock::new(|| web::policy(&[&style(STYLE)], &[]));
const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// How often the page may ask for itself anew.
pub(crate) const REFRESH_SECS: std::ops::RangeInclusive<u16> = 2..=3_600;

async fn status(State(board): State<Arc<Board>>, caller: Caller, headers: HeaderMap, query: Query) -> Response {
    match refresh_secs(query) {
        Ok(refresh) => shown(&board, &caller, refresh).await,
        Err(problem) => for_people(&headers, &caller, problem),
    }
}

fn refresh_secs(mut query: Query) -> Result<Option<u16>, Problem> {
    let refresh = match query.parse::<u16>("refresh") {
        Some(Some(secs)) if !REFRESH_SECS.contains(&secs) => query.refuse("refresh", "2 to 3600 seconds are expected"),
        refresh => refresh,
    };
    query.finish(|| refresh)
}

async fn shown(board: &Board, caller: &Caller, refresh: Option<u16>) -> Response {
    let picture = look::look(board, caller).await;
    let (title, body) = (page::title(&picture), page::body(&picture, refresh));
    let mut response = answer(&whole(&title, "/", STYLE, &body), &POLICY);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(secs) = refresh {
        response.headers_mut().insert(REFRESH, secs.into());
    }
    response
}

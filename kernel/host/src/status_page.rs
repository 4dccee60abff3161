//! The page at `/`: how the program gets on, for people.
//!
//! ```text
//! GET / ─▶ look: what every service has, asked of all at once ─▶ page: shown as HTML, without JavaScript
//! ```

mod look;
mod page;
mod table;
mod words;

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use web::{Caller, Problem, Query, Routes, Scope};

use crate::board::Board;
use crate::openapi;
use crate::page::{answer, style, whole};

/// The routes of this module.
pub(crate) fn routes(board: &Arc<Board>) -> Routes {
    Routes::about("The program").get("/", Scope::Admin, status, openapi::status()).with_state(board.clone())
}

/// The rules of style of this page.
const STYLE: &str = include_str!("status_page/page.css");
static POLICY: LazyLock<String> = LazyLock::new(|| web::policy(&[&style(STYLE)], &[]));
const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// How often the page may ask for itself anew.
pub(crate) const REFRESH_SECS: std::ops::RangeInclusive<u16> = 2..=3_600;

async fn status(State(board): State<Arc<Board>>, caller: Caller, mut query: Query) -> Result<Response, Problem> {
    let refresh = match query.parse::<u16>("refresh") {
        Some(Some(secs)) if !REFRESH_SECS.contains(&secs) => query.refuse("refresh", "2 to 3600 seconds are expected"),
        refresh => refresh,
    };
    let refresh = query.finish(|| refresh)?;
    let picture = look::look(&board, &caller).await;
    let (title, body) = (page::title(&picture), page::body(&picture, refresh));
    let mut response = answer(&whole(&title, "/", STYLE, &body), &POLICY);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(secs) = refresh {
        response.headers_mut().insert(REFRESH, secs.into());
    }
    Ok(response)
}

//! A page for every way of saying no: what happened and what to do.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Serialize;
use web::{Access, NOT_FOUND, Problem, ProblemKind, Routes, Segment, all_kinds};

use crate::aside::UNKNOWN_DEAD_LETTER;
use crate::board::Board;
use crate::feed_route::{CURSOR_BEYOND_THE_END, CURSOR_OF_ANOTHER_LIFE, TOO_MANY_LISTENERS, UNKNOWN_SERVICE};
use crate::health::NOT_READY;
use crate::key_routes::UNKNOWN_KEY;
use crate::openapi;
use crate::page::{coded, page};

/// The problems of the program's own routes.
static OF_THE_PROGRAM: &[&ProblemKind] = &[
    &NOT_READY,
    &UNKNOWN_SERVICE,
    &CURSOR_OF_ANOTHER_LIFE,
    &CURSOR_BEYOND_THE_END,
    &TOO_MANY_LISTENERS,
    &UNKNOWN_DEAD_LETTER,
    &UNKNOWN_KEY,
];

/// The routes of this module.
///
/// # Panics
/// When two services have different problems of one code.
pub(crate) fn routes(board: &Board) -> Routes {
    let of_services = board.parts.iter().flat_map(|part| part.kinds.iter().copied());
    let own: Vec<_> = of_services.chain(OF_THE_PROGRAM.iter().copied()).collect();
    let kinds: Kinds = all_kinds(&own).into();
    Routes::about("The program")
        .get("/problems", Access::Everybody, list, openapi::problems())
        .get("/problems/{code}", Access::Everybody, one, openapi::problem())
        .with_state(kinds)
}

type Kinds = Arc<[&'static ProblemKind]>;

/// A kind of problem as JSON.
#[derive(Debug, Serialize)]
struct KindDocument {
    r#type: String,
    code: &'static str,
    title: &'static str,
    status: u16,
    help: &'static str,
}

fn document(kind: &ProblemKind) -> KindDocument {
    let r#type = web::path(["problems", kind.code]);
    KindDocument { r#type, code: kind.code, title: kind.title, status: kind.status, help: kind.help }
}

async fn list(State(kinds): State<Kinds>, headers: HeaderMap) -> Response {
    if wants_json(&headers) {
        let items: Vec<_> = kinds.iter().map(|kind| document(kind)).collect();
        return Json(serde_json::json!({ "items": items })).into_response();
    }
    let body = html! {
        p { "Every way in which this program says no, by its permanent code." }
        dl {
            @for kind in kinds.iter() {
                dt { a href=(web::path(["problems", kind.code])) { code { (kind.code) } } " " small { (kind.status) } }
                dd { (kind.title) }
            }
        }
    };
    page("Problems", "/problems", &body)
}

async fn one(
    State(kinds): State<Kinds>,
    Segment(code): Segment<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(kind) = kinds.iter().find(|kind| kind.code == code) else {
        return Err(Problem::new(&NOT_FOUND).detail("There is no problem of this code; `/problems` lists them all."));
    };
    if wants_json(&headers) {
        return Ok(Json(document(kind)).into_response());
    }
    let body = html! {
        p { code { (kind.code) } " " small { "HTTP status " (kind.status) } }
        p { (coded(kind.help)) }
        p { a href="/problems" { "All problems" } }
    };
    Ok(page(kind.title, "", &body))
}

/// Whether the caller names JSON before, or instead of, a page for people.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let place = |wanted: &[&str]| {
        accepted.split(',').position(|kind| wanted.contains(&kind.split(';').next().unwrap_or("").trim()))
    };
    match (place(&["application/json", "application/problem+json"]), place(&["text/html"])) {
        (Some(json), Some(html)) => json < html,
        (json, _) => json.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::wants_json;

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept", accept.parse().unwrap());
            wants_json(&headers)
        };
        assert!(wants("application/json") && wants("text/plain, application/json;q=0.9, text/html"));
        assert!(!wants("text/html,application/json") && !wants("*/*") && !wants_json(&HeaderMap::new()));
    }
}

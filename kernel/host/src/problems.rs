//! A page for every way of saying no: what happened and what to do.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use web::{NOT_FOUND, Problem, ProblemKind, Segment, all_kinds};

use crate::aside::UNKNOWN_DEAD_LETTER;
use crate::board::Board;
use crate::feed_route::{CURSOR_BEYOND_THE_END, CURSOR_OF_ANOTHER_LIFE, UNKNOWN_SERVICE};
use crate::health::NOT_READY;

/// The problems of the program's own routes.
static OF_THE_PROGRAM: &[&ProblemKind] =
    &[&NOT_READY, &UNKNOWN_SERVICE, &CURSOR_OF_ANOTHER_LIFE, &CURSOR_BEYOND_THE_END, &UNKNOWN_DEAD_LETTER];

/// The routes of this module.
///
/// # Panics
/// When two services have different problems of one code.
pub(crate) fn routes(board: &Board) -> Router {
    let of_services = board.parts.iter().flat_map(|part| part.kinds.iter().copied());
    let own: Vec<_> = of_services.chain(OF_THE_PROGRAM.iter().copied()).collect();
    let kinds: Kinds = all_kinds(&own).into();
    Router::new().route("/problems", get(list)).route("/problems/{code}", get(one)).with_state(kinds)
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
    let mut body = "<p>Every way in which this program says no, by its permanent code.</p>\n<dl>\n".to_owned();
    for kind in kinds.iter() {
        let (path, code, title) = (web::path(["problems", kind.code]), escaped(kind.code), escaped(kind.title));
        writeln!(
            body,
            "<dt><a href=\"{path}\"><code>{code}</code></a> <small>{}</small></dt><dd>{title}</dd>",
            kind.status
        )
        .expect("a text takes more text");
    }
    body.push_str("</dl>\n");
    Html(page("Problems", &body)).into_response()
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
    let (code, help) = (escaped(kind.code), with_code(&escaped(kind.help)));
    let body = format!(
        "<p><code>{code}</code> <small>HTTP status {}</small></p>\n<p>{help}</p>\n<p><a href=\"/problems\">All problems</a></p>\n",
        kind.status
    );
    Ok(Html(page(kind.title, &body)).into_response())
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

/// A whole page, which needs nothing from elsewhere and suits the light and the dark.
fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</html>\n"
    )
}

const STYLE: &str = ":root{color-scheme:light dark}\
    body{margin:0;font:1.05rem/1.6 system-ui,sans-serif;background:light-dark(#fbfaf7,#16181a);color:light-dark(#22262a,#e4e2dc)}\
    main{max-width:42rem;margin:0 auto;padding:3rem 1.25rem}\
    h1{font-size:1.7rem;line-height:1.25;margin:0 0 1rem}\
    code{font:0.92em ui-monospace,monospace;padding:.1em .35em;border-radius:.3em;background:light-dark(#eceae3,#26292c)}\
    small{opacity:.7}a{color:light-dark(#1a6b3c,#7fcf9f)}dt{margin-top:.9rem}dd{margin:0}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What stands between backticks, as code.
fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(place, part)| if place % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::{escaped, wants_json, with_code};

    #[test]
    fn a_text_cannot_break_out_of_its_page() {
        assert_eq!(with_code(&escaped("see `<b>` & go")), "see <code>&lt;b&gt;</code> &amp; go");
    }

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

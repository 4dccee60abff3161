//! What the program answers, for those who ask: `/openapi.json` for machines, `/docs` for people.

mod page;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use web::{Access, Conditions, ETag, Routes};

use crate::openapi;

/// What is drawn from the routes once, when the program starts.
#[derive(Debug)]
struct Drawn {
    document: Vec<u8>,
    tag: ETag,
    page: String,
    policy: String,
}

/// All routes of a program, and with them those under which they are described, themselves included.
///
/// # Panics
/// When two routes have one id, or two different schemas one name.
pub(crate) fn with_description(routes: Routes) -> Routes {
    let own = Routes::about("The program").get("/docs", Access::Everybody, read, openapi::docs()).get(
        "/openapi.json",
        Access::Everybody,
        document,
        openapi::openapi(),
    );
    let mut description = routes.description().clone();
    description.extend(own.description().clone());
    let document = web::document("Banyan", env!("CARGO_PKG_VERSION"), &description);
    let mut document = serde_json::to_vec_pretty(&document).expect("a document has a JSON form");
    document.push(b'\n');
    let (page, policy) = page::page(&description);
    let drawn = Drawn { tag: ETag::of_bytes(&document), document, page, policy };
    routes.merge(own.with_state(Arc::new(drawn)))
}

async fn document(State(drawn): State<Arc<Drawn>>, conditions: Conditions) -> Response {
    let answer = || ([(header::CONTENT_TYPE, "application/json")], drawn.document.clone()).into_response();
    conditions.answer(drawn.tag.clone(), answer)
}

async fn read(State(drawn): State<Arc<Drawn>>) -> Response {
    ([(header::CONTENT_SECURITY_POLICY, drawn.policy.clone())], Html(drawn.page.clone())).into_response()
}

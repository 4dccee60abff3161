//! Where people sign in with a key, for the pages that a browser shows.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use web::{Access, Form, Problem, Routes, Scope, SignIn};

use crate::openapi;
use crate::page::{answer, style, whole};

/// The routes of this module.
pub(crate) fn routes(sign_in: SignIn) -> Routes {
    Routes::about("The program")
        .get("/sign-in", Access::Everybody, ask, openapi::ask_to_sign_in())
        // Who has no session cannot show one; a wrong key is refused, and address by address only so often.
        .post("/sign-in", Access::Everybody, enter, openapi::sign_in())
        .post("/sign-out", Access::SignedIn(Scope::Admin), leave, openapi::sign_out())
        .with_state(sign_in)
}

/// The rules of style of this page.
const STYLE: &str = include_str!("form.css");
static POLICY: LazyLock<String> = LazyLock::new(|| web::policy(&[&style(STYLE)], &[]));

async fn ask() -> Response {
    answer(&page(None), &POLICY)
}

async fn enter(State(sign_in): State<SignIn>, headers: HeaderMap, mut form: Form) -> Result<Response, Problem> {
    let key = form.0.one("key");
    let key = form.0.finish(|| key)?.unwrap_or_default();
    match sign_in.sign_in(&headers, &key, Scope::Admin) {
        Ok(cookie) => Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()),
        Err(problem) => {
            let mut response = if web::is_browser(&headers) {
                let page = page(Some(problem.told()));
                problem.shown_as(answer(&page, &POLICY))
            } else {
                problem.into_response()
            };
            let bearer = HeaderValue::from_static("Bearer realm=\"banyan\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            Ok(response)
        }
    }
}

async fn leave(State(sign_in): State<SignIn>, headers: HeaderMap) -> Response {
    ([(header::SET_COOKIE, sign_in.sign_out(&headers))], Redirect::to("/sign-in")).into_response()
}

fn page(refused: Option<&str>) -> Markup {
    let body = html! {
        h1 { "Sign in" }
        p { "What this program shows of itself is for those who have a key with the scope " code { "admin" } "." }
        form method="post" action="/sign-in" {
            // What a browser remembers the key under.
            input type="text" value="banyan" autocomplete="username" readonly hidden;
            label for="key" { "Key" }
            input #key name="key" type="password" required autocomplete="current-password" spellcheck="false"
                placeholder="bk_…" aria-describedby="about-key" aria-invalid=[refused.map(|_| "true")];
            @if let Some(refused) = refused { p.refused role="alert" { (refused) } }
            p #about-key.soft {
                "It is not kept in the browser: a session stands for it, which ends after half an hour without use. "
                code { "banyan keys create ops --scope admin" } " makes one."
            }
            button { "Sign in" }
        }
    };
    whole("Sign in", "", STYLE, &body)
}

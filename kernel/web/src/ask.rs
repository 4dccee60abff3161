//! Asking for a change and saying what it came to; under a key once, however often it is asked.
//!
//! ```text
//!             ┌ no key ─▶ desk ─▶ say ─▶ the answer
//! a command ──┤
//!             └ key ────▶ desk: perform ─▶ say ─▶ stored with the effect ─▶ the answer
//!                               └ known ─▶ the stored answer, `Idempotent-Replayed: true`
//! ```
//!
//! **Invariant:** whoever asks the same under the same key is told the same: the status, and each
//! byte of the document; a refusal too, with the trace of the request that was refused.

use axum::Json;
use axum::response::{IntoResponse, Response};
use db::{Asked, Context, Database, Desk, Failure, Keyed, KeyedAnswer, Say, StoredAnswer, Tx};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::kinds::DIFFERENT_CONTENT;
use crate::problem::Problem;
use crate::repeats::Replayed;

/// A key, and by fingerprint what is asked under it; made by [`crate::IdempotencyKey::stands_for`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable {
    pub(crate) key: String,
    pub(crate) fingerprint: String,
}

impl Repeatable {
    fn keyed<A, D: Serialize>(
        self,
        by: &Context,
        say: impl Fn(A) -> Result<(StatusCode, D), Problem> + Send + 'static,
    ) -> Keyed<A> {
        let trace_id = by.trace.id();
        let say: Say<A> = Box::new(move |answer| stored(say(answer), &trace_id));
        Keyed { key: self.key, fingerprint: self.fingerprint, say }
    }
}

/// Hands a command in at a desk, and answers with what `say` makes of what it came to.
///
/// Under a key the answer is stored in the transaction that holds the effect, and told again to
/// whoever asks the same again. `say` then runs within that transaction: a refusal (4xx) is an
/// answer, and a failure (5xx) takes the command back.
pub async fn ask<C, A, D: Serialize>(
    desk: &Desk<C, A>,
    asked: Asked<C>,
    key: Option<Repeatable>,
    say: impl Fn(A) -> Result<(StatusCode, D), Problem> + Send + 'static,
) -> Result<Response, Problem> {
    match key {
        None => plain(say(desk.ask(asked).await?)),
        Some(key) => {
            let keyed = key.keyed(&asked.by, say);
            told(desk.ask_keyed(asked, keyed).await?)
        }
    }
}

/// Makes a change beside the desk, and answers as [`ask`] does.
pub async fn write<T: Send + 'static, D: Serialize>(
    database: &Database,
    caller: &Caller,
    key: Option<Repeatable>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, Failure> + Send + 'static,
    say: impl Fn(T) -> Result<(StatusCode, D), Problem> + Send + 'static,
) -> Result<Response, Problem> {
    match key {
        None => plain(say(database.write(work).await?)),
        Some(key) => {
            let keyed = key.keyed(&caller.context, say);
            told(database.write_keyed(&caller.context, keyed, work).await?)
        }
    }
}

fn plain<D: Serialize>(said: Result<(StatusCode, D), Problem>) -> Result<Response, Problem> {
    said.map(|(status, document)| (status, Json(document)).into_response())
}

/// What was said, as it is stored. A refusal carries its trace, by which the log says what happened.
fn stored<D: Serialize>(said: Result<(StatusCode, D), Problem>, trace_id: &str) -> Result<StoredAnswer, Failure> {
    match said {
        Ok((status, document)) => {
            let body = serde_json::to_string(&document).map_err(|error| Failure::Corrupt(error.to_string()))?;
            Ok(StoredAnswer { status: status.as_u16(), body })
        }
        Err(problem) if problem.status() < 500 => {
            let body = String::from_utf8(problem.document(Some(trace_id))).expect("JSON is UTF-8");
            Ok(StoredAnswer { status: problem.status(), body })
        }
        Err(problem) => Err(Failure::Corrupt(problem.cause().unwrap_or(problem.kind().title).to_owned())),
    }
}

fn told(answer: KeyedAnswer) -> Result<Response, Problem> {
    match answer {
        KeyedAnswer::First(answer) => whole(answer),
        KeyedAnswer::Again(answer) => whole(answer).map(|response| (Replayed, response).into_response()),
        KeyedAnswer::DifferentContent => Err(Problem::new(&DIFFERENT_CONTENT)),
    }
}

/// The code of a problem whose document is complete as it stands in the answer: the way out
/// (`guard`) finds it here, counts it, and leaves the document as it is.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StoredProblem {
    pub(crate) code: String,
}

fn whole(answer: StoredAnswer) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(answer.status).map_err(Problem::internal)?;
    if !status.is_client_error() {
        let json = HeaderValue::from_static("application/json");
        return Ok((status, [(header::CONTENT_TYPE, json)], answer.body).into_response());
    }
    let problem: StoredProblem = serde_json::from_str(&answer.body).map_err(Problem::internal)?;
    let json = HeaderValue::from_static("application/problem+json");
    let mut response = (status, [(header::CONTENT_TYPE, json)], answer.body).into_response();
    response.extensions_mut().insert(problem);
    Ok(response)
}

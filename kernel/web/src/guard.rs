//! The way in and the way out of every request.
//!
//! ```text
//!          ┌ who, may they? ─ until when ─ room? ┐
//! request ─┤                                     ├─▶ handler
//! answer  ◀┤ ids on it ─ problem? ─ log, count   ┘
//!          └────────────────────────────────────── a panic and a passed time end here
//! ```

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use db::Trace;
use futures_util::FutureExt;
use http::uri::Scheme;
use http::{Method, Uri, header};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span, debug, error, field};
use world::World;

use crate::access::AccessTable;
use crate::ask::StoredProblem;
use crate::body::{BodyLimit, BodyTime, without_body};
use crate::caller::{Caller, Reception, TRACEPARENT, Wait, X_REQUEST_ID, header_value};
use crate::gate::{Gate, Peer};
use crate::kinds::{OUTCOME_UNKNOWN, OVERLOADED, UNAVAILABLE};
use crate::limits::Limits;
use crate::openapi::Routes;
use crate::problem::Problem;
use crate::query::Query;
use crate::slot::Slot;

/// What is said of every answer to whoever counts them.
#[derive(Clone, Debug)]
pub struct Answered<'a> {
    /// The method; `OTHER` for one that HTTP does not define, so that callers cannot invent labels.
    pub method: &'a str,
    /// The template of the route (`/v1/orders/{id}`), never the path; `none` where there is none.
    pub route: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// The code of the problem, where the answer is one.
    pub problem: Option<&'a str>,
    /// From the head of the request to the head of the answer.
    pub took: Duration,
    /// The step of its trace that the request is.
    pub trace: Trace,
    /// The step from which the caller asked, where it said one.
    pub parent: Option<u64>,
    /// The name of the request.
    pub request_id: &'a str,
    /// The path that was asked for, without what follows a `?`.
    pub path: &'a str,
    /// `https` where the server speaks TLS, else `http`.
    pub scheme: &'a str,
}

/// Counts answers; called once for each.
pub type Observe = Arc<dyn Fn(&Answered<'_>) + Send + Sync>;

/// After a request's time has passed, the desk gets this long to say exactly what became of it.
const GRACE: Duration = Duration::from_secs(2);

/// Routes that answer however much is asked, so that an overloaded process is not taken for dead.
pub(crate) const ALWAYS: [&str; 3] = ["/health/live", "/health/ready", "/metrics"];

struct Guard {
    gate: Gate,
    access: AccessTable,
    reception: Reception,
    limits: Limits,
    open: Arc<Semaphore>,
    /// Room for those whose answer is held.
    held: Arc<Semaphore>,
    observe: Observe,
}

/// Puts a whole program's routes, with all that axum answers by itself, behind the way in.
pub fn guard(routes: Routes, gate: Gate, world: &World, limits: &Limits, observe: Observe) -> Router {
    let (answering, description) = routes.into_parts();
    let access = AccessTable::of_operations(&description.operations);
    let room = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
    let guard = Arc::new(Guard {
        gate,
        access,
        reception: Reception::new(world, Duration::from_secs(limits.request_secs)),
        limits: limits.clone(),
        open: room(limits.open_requests),
        held: room(limits.streams),
        observe,
    });
    answering.layer(DefaultBodyLimit::max(limits.body_bytes)).layer(from_fn_with_state(guard, pass))
}

async fn pass(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let scheme = request.extensions().get::<Scheme>().cloned().unwrap_or(Scheme::HTTP);
    let (peer, is_always) = (request.extensions().get::<Peer>().copied(), ALWAYS.contains(&route));
    let access = guard.access.of(route, &method);
    let entry = guard.gate.enter(&method, request.headers(), peer, access, !is_always);
    let caller = guard.reception.caller(request.headers(), entry.actor, entry.owner, entry.is_admin, entry.admission);
    let trace_id = caller.trace_id();
    let span = tracing::info_span!(
        "request",
        method = method_name(&method),
        route,
        request_id = caller.request_id(),
        trace_id,
        status = field::Empty,
        problem = field::Empty,
    );
    let (trace, parent) = (caller.context.trace, caller.parent);
    let said_id = caller.context.causation.clone();
    let request_id = header_value(caller.request_id());
    let traceparent = header_value(&caller.context.trace.to_string());
    prepare(&guard.limits, &mut request, caller);
    let takes_no_body = guard.access.takes_no_body(route, &method);

    let refused =
        entry.refused.map_or_else(|| unknown_parameter(&guard.access, route, &method, &uri), |no| Some(Ok(no)));
    let answer = match (refused, guard.open.clone().try_acquire_owned()) {
        (Some(refused), _) => refused,
        (None, Err(_)) if !is_always => Err(Problem::new(&OVERLOADED).retry_after_secs(1)),
        (None, permit) => {
            // Kept here too, for the request may be gone before it is answered.
            let slot = Slot::of(permit.ok(), &guard.held);
            request.extensions_mut().insert(slot.clone());
            let handled = async {
                let request = if takes_no_body { without_body(request).await? } else { request };
                handle(&guard.limits, request, next).await
            };
            handled.instrument(span.clone()).await
        }
    };
    let (mut response, problem) = as_problem(answer, &trace_id);
    if let Some(rate) = entry.rate {
        rate.say(&mut response);
    }
    response.headers_mut().insert(X_REQUEST_ID, request_id);
    response.headers_mut().insert(TRACEPARENT, traceparent);

    let stored = response.extensions_mut().remove::<StoredProblem>();
    let code = problem.as_ref().map(|problem| problem.kind().code);
    let code = code.or(stored.as_ref().map(|stored| stored.code.as_str()));
    let status = response.status().as_u16();
    span.record("status", status);
    log(&span, status, code, problem.as_ref().and_then(Problem::cause));
    (guard.observe)(&Answered {
        method: method_name(&method),
        route,
        status,
        problem: code,
        took: began.elapsed(),
        trace,
        parent,
        request_id: &said_id,
        path: uri.path(),
        scheme: scheme.as_str(),
    });
    response
}

/// Refuses a parameter where none is known; routes that know some look at them themselves.
fn unknown_parameter(
    access: &AccessTable,
    route: &str,
    method: &Method,
    uri: &Uri,
) -> Option<Result<Response, Problem>> {
    let text = uri.query().filter(|_| access.takes_no_query(route, method))?;
    Query::read(text).and_then(|query| query.finish(|| Some(()))).err().map(Err)
}

/// Puts on the request what its extractors look for.
fn prepare(limits: &Limits, request: &mut Request, caller: Caller) {
    let extensions = request.extensions_mut();
    extensions.insert(caller);
    extensions.insert(BodyLimit { bytes: limits.body_bytes });
    extensions.insert(BodyTime(Duration::from_secs(limits.body_secs)));
}

/// Runs the handler to its end, its panic, or the end of its time.
async fn handle(limits: &Limits, request: Request, next: Next) -> Result<Response, Problem> {
    let wait = Wait::asked_in(request.headers()).unwrap_or_default();
    let time = Duration::from_secs(limits.request_secs) + wait + GRACE;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    match timeout(time, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(panic)) => Err(Problem::internal(format_args!("a handler panicked: {}", message(&*panic)))),
        Err(_) if changes => Err(Problem::new(&OUTCOME_UNKNOWN).retry_after_secs(1).because("the time has passed")),
        Err(_) => Err(Problem::new(&UNAVAILABLE).retry_after_secs(1).because("the time has passed")),
    }
}

/// Makes every error a problem document with its trace, whoever gave it; what was stored as one is one.
fn as_problem(answer: Result<Response, Problem>, trace_id: &str) -> (Response, Option<Problem>) {
    let (mut response, problem) = match answer {
        Ok(mut response) => match response.extensions_mut().remove::<Problem>() {
            Some(problem) => (response, problem),
            None if response.extensions().get::<StoredProblem>().is_some() => return (response, None),
            None if response.status().is_client_error() || response.status().is_server_error() => {
                let problem = Problem::of_status(response.status());
                (response, problem)
            }
            None => return (response, None),
        },
        Err(problem) => (Response::default(), problem),
    };
    let written = problem.clone().response(Some(trace_id));
    // Headers that say more stay, such as `Allow` of a 405; those of the old body do not.
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    for (name, value) in written.headers() {
        headers.insert(name, value.clone());
    }
    *response.status_mut() = written.status();
    *response.body_mut() = written.into_body();
    (response, Some(problem))
}

/// Says a failure in the log, once; a refusal is no failure. The span says whose request it was.
fn log(span: &Span, status: u16, code: Option<&str>, cause: Option<&str>) {
    let Some(code) = code else { return debug!(parent: span, "a request was answered") };
    span.record("problem", code);
    let failed = status == 500 || cause.is_some();
    let cause = cause.unwrap_or("");
    span.in_scope(|| {
        if failed { error!(code, cause, "a request failed") } else { debug!(code, cause, "a request was refused") }
    });
}

fn method_name(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "PUT" | "POST" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT") => known,
        _ => "OTHER",
    }
}

/// What a panic said.
fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it said nothing")
}

//! Every error is a problem document, and every answer is counted and named.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AnyBody;
use axum::response::Response;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use web::{Access, Body, Caller, Gate, Limits, Observe, Operation, Problem, Query, Routes, Scope, Wait, guard};
use world::World;

/// What was observed: method, route, status, code.
type Seen = Arc<Mutex<Vec<(String, String, u16, Option<String>)>>>;

fn observer() -> (Observe, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let observe: Observe = Arc::new(move |answer| {
        let problem = answer.problem.map(str::to_owned);
        log.lock().unwrap().push((answer.method.to_owned(), answer.route.to_owned(), answer.status, problem));
    });
    (observe, seen)
}

/// What is said of a route, which is nothing here.
fn said(id: &'static str) -> Operation {
    Operation::new(id, "", "")
}

fn routes() -> Routes {
    Routes::default()
        .put(
            "/v1/things/{id}",
            Access::Everybody,
            |Body(thing, _): Body<Value>| async move { axum::Json(thing) },
            said("r1"),
        )
        .put("/v1/raw", Access::Everybody, |bytes: bytes::Bytes| async move { bytes }, said("r2"))
        .get("/v1/panic", Access::Everybody, || async { panic!("secret") as StatusCode }, said("r3"))
        .get(
            "/v1/bare/{status}",
            Access::Everybody,
            |path: axum::extract::Path<u16>| async move { StatusCode::from_u16(path.0).unwrap() },
            said("r4"),
        )
        .get(
            "/v1/said",
            Access::Everybody,
            || async { Problem::new(&web::PRECONDITION_FAILED).member("step", "reserving") },
            said("r5"),
        )
        .get(
            "/v1/text",
            Access::Everybody,
            || async { (StatusCode::CONFLICT, [("content-length", "16")], "4242424242424242") },
            said("r6"),
        )
        .get("/v1/endless", Access::Everybody, std::future::pending::<StatusCode>, said("r7"))
        .put("/v1/endless", Access::Everybody, std::future::pending::<StatusCode>, said("r8"))
        .get(
            "/v1/held",
            Access::Everybody,
            |wait: Wait| async move {
                wait.is_over().await;
                "held"
            },
            said("r14"),
        )
        .get(
            "/v1/caller",
            Access::Everybody,
            |caller: Caller| async move { caller.request_id().to_owned() },
            said("r9"),
        )
        .get("/v1/one/{id}", Scope::OrdersRead, || async { "one" }, said("r11"))
        .get(
            "/v1/some",
            Scope::OrdersRead,
            |_: Query| async { "some" },
            said("r12").takes_query("a", "A.", true.into()),
        )
        .post("/v1/one/{id}/end", Scope::OrdersWrite, |body: bytes::Bytes| async move { body }, said("r13"))
        .get("/health/live", Access::Everybody, || async { "yes" }, said("r10"))
}

fn guarded(limits: &Limits) -> (Router, Seen) {
    let (observe, seen) = observer();
    (guard(routes(), Gate::open(), &World::simulated(1), limits, observe), seen)
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

async fn ask(app: &Router, request: Request<AnyBody>) -> (StatusCode, http::HeaderMap, Value) {
    let answer: Response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn what_changes_something_without_a_body_refuses_one_that_says_anything() {
    let (app, _) = guarded(&Limits::default());
    for (body, status) in
        [("", 200), ("{}", 200), (" {} ", 200), ("null", 200), ("{\"now\":true}", 422), ("[]", 422), ("now", 400)]
    {
        for media in ["application/json", "text/plain"] {
            let sent = request("POST", "/v1/one/a/end").header("content-type", media);
            let (answered, _, answer) = ask(&app, sent.body(body.into()).unwrap()).await;
            assert_eq!(answered, status, "{body}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_has_no_parameters_refuses_each_as_a_list_does() {
    let (app, _) = guarded(&Limits::default());
    for (method, path, status) in [
        ("GET", "/v1/one/a", 200),
        ("GET", "/v1/one/a?", 200),
        ("GET", "/v1/one/a?limit=1", 400),
        ("HEAD", "/v1/one/a?limit=1", 400),
        ("GET", "/v1/one/a?%", 400),
        ("POST", "/v1/one/a/end?limit=1", 400),
        // It looks at them itself.
        ("GET", "/v1/some?b=1", 200),
        // Whoever looks whether it lives may say what it likes.
        ("GET", "/health/live?at=1", 200),
    ] {
        let (answered, _, problem) = ask(&app, request(method, path).body(AnyBody::empty()).unwrap()).await;
        assert_eq!(answered, status, "{method} {path}: {problem}");
        if path.ends_with("limit=1") && method == "GET" {
            assert_eq!(
                (&problem["code"], &problem["errors"][0]["pointer"]),
                (&"invalid-request".into(), &"?limit".into())
            );
        }
    }
}

#[tokio::test]
async fn every_error_is_a_problem_document_with_a_trace_whoever_found_it() {
    let (app, seen) = guarded(&Limits::default());
    let json = |method, path, body: AnyBody| {
        request(method, path).header("content-type", "application/json").body(body).unwrap()
    };
    let plain = |method, path| request(method, path).body(AnyBody::empty()).unwrap();
    let cases = [
        (plain("GET", "/nowhere"), 404, "not-found"),
        (plain("GET", "/v1/things/a"), 405, "method-not-allowed"),
        (plain("PUT", "/v1/things/a"), 415, "unsupported-media-type"),
        (json("PUT", "/v1/things/a", vec![b' '; 2_000_000].into()), 413, "body-too-large"),
        (plain("GET", "/v1/panic"), 500, "internal"),
        (plain("GET", "/v1/bare/x"), 400, "invalid-request"),
        (plain("GET", "/v1/bare/%ff"), 400, "invalid-request"),
        (plain("GET", "/v1/bare/408"), 408, "request-timeout"),
        (plain("GET", "/v1/bare/418"), 418, "invalid-request"),
        (plain("GET", "/v1/bare/502"), 502, "internal"),
        (plain("GET", "/v1/said"), 412, "precondition-failed"),
        (plain("GET", "/v1/text"), 409, "invalid-request"),
        (request("PUT", "/v1/raw").body(vec![0; 2_000_000].into()).unwrap(), 413, "body-too-large"),
    ];
    for (request, status, code) in cases {
        let at = format!("{} {}", request.method(), request.uri());
        let (answered, headers, document) = ask(&app, request).await;
        assert_eq!((answered.as_u16(), document["code"].as_str()), (status, Some(code)), "{at} {document}");
        assert_eq!(headers["content-type"], "application/problem+json", "{at}");
        assert!(headers.get("content-length").is_none_or(|length| length != "16"), "{at}: the length of the old body");
        assert_eq!(document["type"], format!("/problems/{code}"));
        assert_eq!(document["status"], status);
        let trace = document["trace_id"].as_str().unwrap();
        assert!(headers["traceparent"].to_str().unwrap().contains(trace) && trace.len() == 32, "{at}");
        assert!(headers.contains_key("x-request-id"), "{at}");
        assert!(!document.to_string().contains("4242") && !document.to_string().contains("secret"), "{document}");
        let last = seen.lock().unwrap().last().cloned().unwrap();
        assert_eq!((last.2, last.3.as_deref()), (status, Some(code)), "{at}");
    }
    assert!(seen.lock().unwrap().iter().all(|(_, route, ..)| !route.contains("%ff") && route != "/nowhere"));
}

#[tokio::test]
async fn what_a_refusal_says_besides_is_kept() {
    let (app, _) = guarded(&Limits::default());
    let (_, headers, _) = ask(&app, request("GET", "/v1/things/a").body(AnyBody::empty()).unwrap()).await;
    assert_eq!(headers["allow"], "PUT");
    let (_, _, document) = ask(&app, request("GET", "/v1/said").body(AnyBody::empty()).unwrap()).await;
    assert_eq!(document["step"], "reserving");
}

#[tokio::test]
async fn an_answer_carries_the_name_and_the_trace_of_its_request() {
    let (app, seen) = guarded(&Limits::default());
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let asked = request("GET", "/v1/caller").header("x-request-id", "mine-1").header("traceparent", given);
    let (status, headers, _) = ask(&app, asked.body(AnyBody::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), &headers["x-request-id"]), (200, &"mine-1".parse().unwrap()));
    assert!(headers["traceparent"].to_str().unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(seen.lock().unwrap()[0], ("GET".to_owned(), "/v1/caller".to_owned(), 200, None));
}

#[tokio::test]
async fn a_method_of_the_callers_own_invention_is_counted_as_other() {
    let (app, seen) = guarded(&Limits::default());
    ask(&app, request("BREW", "/v1/caller").body(AnyBody::empty()).unwrap()).await;
    assert_eq!(seen.lock().unwrap()[0].0, "OTHER");
}

#[tokio::test(start_paused = true)]
async fn a_handler_past_its_time_is_answered_for() {
    let (app, _) = guarded(&Limits { request_secs: 30, ..Limits::default() });
    for (method, code) in [("GET", "unavailable"), ("PUT", "outcome-unknown")] {
        let began = tokio::time::Instant::now();
        let (status, headers, document) =
            ask(&app, request(method, "/v1/endless").body(AnyBody::empty()).unwrap()).await;
        assert_eq!((status.as_u16(), document["code"].as_str()), (503, Some(code)));
        assert!(headers.contains_key("retry-after"));
        assert_eq!(began.elapsed().as_secs(), 32);
    }
    let began = tokio::time::Instant::now();
    let waiting = request("GET", "/v1/endless").header("prefer", "wait=10").body(AnyBody::empty()).unwrap();
    ask(&app, waiting).await;
    assert_eq!(began.elapsed().as_secs(), 42, "what was asked for comes on top");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (app, _) = guarded(&Limits { body_secs: 5, ..Limits::default() });
    let endless = AnyBody::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let asked = request("PUT", "/v1/things/a").header("content-type", "application/json").body(endless).unwrap();
    let (status, _, document) = ask(&app, asked).await;
    assert_eq!((status.as_u16(), document["code"].as_str()), (408, Some("request-timeout")));
}

#[tokio::test]
async fn beyond_the_ceiling_a_request_is_refused_at_once_and_health_still_answers() {
    let (app, _) = guarded(&Limits { open_requests: 1, ..Limits::default() });
    let open = app.clone().oneshot(request("GET", "/v1/endless").body(AnyBody::empty()).unwrap());
    let mut open = std::pin::pin!(open);
    assert!(tokio::time::timeout(Duration::from_millis(20), open.as_mut()).await.is_err());
    let (status, headers, document) = ask(&app, request("GET", "/v1/caller").body(AnyBody::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), document["code"].as_str()), (503, Some("overloaded")));
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(ask(&app, request("GET", "/health/live").body(AnyBody::empty()).unwrap()).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_held_keeps_nobody_out_and_where_too_many_are_held_it_comes_at_once() {
    let (app, _) = guarded(&Limits { open_requests: 1, streams: 1, ..Limits::default() });
    let held = || request("GET", "/v1/held").header("prefer", "wait=10").body(AnyBody::empty()).unwrap();
    let began = tokio::time::Instant::now();
    let mut first = std::pin::pin!(app.clone().oneshot(held()));
    assert!(tokio::time::timeout(Duration::from_secs(1), first.as_mut()).await.is_err());
    let other = request("GET", "/v1/caller").body(AnyBody::empty()).unwrap();
    assert_eq!(ask(&app, other).await.0, 200, "there is a place for whoever wants something done");
    assert_eq!(ask(&app, held()).await.0, 200);
    assert_eq!(began.elapsed().as_secs(), 1, "there is none to wait in");
    assert_eq!((first.await.unwrap().status().as_u16(), began.elapsed().as_secs()), (200, 10));
    assert_eq!(ask(&app, held()).await.0, 200);
    assert_eq!(began.elapsed().as_secs(), 20, "there is one again");
}

#[tokio::test]
async fn a_handler_whose_router_is_not_guarded_says_so_in_the_log_and_not_outside() {
    let unguarded = Router::new().route("/v1/caller", axum::routing::get(async |_: Caller| ""));
    let (status, _, document) = ask(&unguarded, request("GET", "/v1/caller").body(AnyBody::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), document["code"].as_str()), (500, Some("internal")));
}

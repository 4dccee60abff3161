//! The server and the client over real sockets on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use db::{Context, Trace};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use web::{Access, Body, Client, Gate, Limits, NoAnswer, Operation, Problem, Routes, guard, serve};
use world::World;

const SOON: Duration = Duration::from_secs(5);

/// What is said of a route, which is nothing here.
fn said(id: &'static str) -> Operation {
    Operation::new(id, "", "")
}

fn routes() -> Routes {
    Routes::default()
        .get("/quick", Access::Everybody, || async { "quick" }, said("r1"))
        .get(
            "/slow",
            Access::Everybody,
            || async {
                tokio::time::sleep(Duration::from_millis(400)).await;
                axum::Json(json!({"a": 1}))
            },
            said("r2"),
        )
        .get("/endless", Access::Everybody, std::future::pending::<StatusCode>, said("r3"))
        .get("/panic", Access::Everybody, || async { panic!("on purpose") as StatusCode }, said("r4"))
        .put(
            "/echo",
            Access::Everybody,
            |headers: HeaderMap, Body(sent, _): Body<Value>| async move {
                let header = |name: &str| headers[name].to_str().unwrap().to_owned();
                axum::Json(
                    json!({"sent": sent, "request": header("x-request-id"), "trace": header("traceparent"), "new": 1}),
                )
            },
            said("r5"),
        )
        .get(
            "/no",
            Access::Everybody,
            || async { Problem::new(&web::OVERLOADED).detail("Later.").member("short", [1]).retry_after_secs(7) },
            said("r6"),
        )
}

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

#[expect(clippy::disallowed_methods, reason = "a test runs the server beside itself")]
async fn run(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let routes = guard(routes(), Gate::open(), &World::simulated(1), &limits, Arc::new(|_| ()));
    let server = tokio::spawn(async move { serve(listener, routes, &limits, async { drop(stopped.await) }).await });
    Running { address, stop: Some(stop), server }
}

impl Running {
    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address)).unwrap()
    }

    /// Sends bytes and reads all that comes until the server closes.
    async fn raw(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the server closes").unwrap();
    String::from_utf8(answer).unwrap()
}

fn somebody() -> Context {
    Context::system("request-1", Trace { trace_id: 1, span_id: 2, is_sampled: true })
}

#[tokio::test]
async fn a_connection_is_used_again_and_again() {
    let server = run(Limits::default()).await;
    let twice = "GET /quick HTTP/1.1\r\nhost: x\r\n\r\nGET /quick HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(server.raw(twice).await.matches("HTTP/1.1 200 OK").count(), 2);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_connection_goes_on() {
    let server = run(Limits::default()).await;
    let both = "GET /panic HTTP/1.1\r\nhost: x\r\n\r\nGET /quick HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = server.raw(both).await;
    assert!(answer.contains("HTTP/1.1 500") && answer.contains(r#""code":"internal""#), "{answer}");
    assert!(!answer.contains("on purpose") && answer.contains("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_sender_of_far_too_much_sees_why_it_is_refused() {
    let server = run(Limits::default()).await;
    let body = " ".repeat(8_000_000);
    let head = format!(
        "PUT /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let answer = server.raw(&format!("{head}{body}")).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body-too-large"), "{answer}");
}

#[tokio::test]
async fn a_thousand_slow_connections_harm_nobody_and_are_closed() {
    let server = run(Limits { head_secs: 2, ..Limits::default() }).await;
    let mut slow = Vec::new();
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /quick HTTP/1.1\r\nx: ").await.unwrap();
        slow.push(stream);
    }
    let close = "GET /quick HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let began = now();
    assert!(server.raw(close).await.starts_with("HTTP/1.1 200 OK"));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for stream in &mut slow {
        read_all(stream).await;
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_a_freed_one_is_used() {
    let server = run(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    first.read_exact(&mut [0; 15]).await.unwrap();
    let close = "GET /quick HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = server.raw(close).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    assert!(answer.contains(r#""code":"overloaded""#), "{answer}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(server.raw(close).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_stopping_server_finishes_what_is_open_and_takes_nothing_new() {
    let mut server = run(Limits::default()).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let client = server.client();
    let (by, stopping) = (somebody(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.stop();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(TcpStream::connect(server.address).await.is_err());
    });
    let (answer, ()) = tokio::join!(client.get_json::<Value>("/slow", &by, SOON), stopping);
    assert_eq!(answer.unwrap(), json!({"a": 1}));
    drop(idle);
    tokio::time::timeout(SOON, server.server).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn a_stopping_server_does_not_wait_for_ever() {
    let mut server = run(Limits { drain_secs: 1, ..Limits::default() }).await;
    let client = server.client();
    let by = somebody();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.stop();
        tokio::time::timeout(SOON, &mut server.server).await.expect("it stops").unwrap();
    };
    let (answer, ()) = tokio::join!(client.get_json::<Value>("/endless", &by, SOON), stopping);
    let broke_off = answer.unwrap_err();
    assert!(matches!(broke_off, NoAnswer::BrokeOff(_)) && broke_off.may_have_happened(), "{broke_off}");
}

#[derive(Debug, Deserialize)]
struct Echo {
    sent: Value,
    request: String,
    trace: String,
}

#[tokio::test]
async fn the_client_hands_on_request_and_trace_and_ignores_what_it_does_not_know() {
    let server = run(Limits::default()).await;
    let echo: Echo = server.client().put_json("/echo", &json!({"a": "é"}), &somebody(), SOON).await.unwrap();
    assert_eq!((echo.sent, echo.request.as_str()), (json!({"a": "é"}), "request-1"));
    assert_eq!(echo.trace, "00-00000000000000000000000000000001-0000000000000002-01");
}

#[tokio::test]
async fn the_client_tells_a_no_from_silence() {
    let server = run(Limits::default()).await;
    let client = server.client();
    let by = somebody();
    match client.get_json::<Value>("/no", &by, SOON).await.unwrap_err() {
        NoAnswer::Refused(no) => {
            assert_eq!((no.status, no.code.as_str(), no.detail.as_str()), (503, "overloaded", "Later."));
            assert_eq!((no.retry_after_secs, no.trace_id.len(), &no.members["short"]), (Some(7), 32, &json!([1])));
        }
        other => panic!("{other}"),
    }
    let late = client.get_json::<Value>("/endless", &by, Duration::from_millis(50)).await.unwrap_err();
    assert!(late == NoAnswer::TooLate && late.may_have_happened());
    let unreadable = client.get_json::<Value>("/quick", &by, SOON).await.unwrap_err();
    assert!(matches!(unreadable, NoAnswer::Unreadable(_)));
}

#[tokio::test]
async fn nothing_has_happened_where_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(&format!("http://{address}")).unwrap();
    let none = client.put_json::<Value>("/echo", &1, &somebody(), SOON).await.unwrap_err();
    assert!(matches!(none, NoAnswer::NotConnected(_)) && !none.may_have_happened(), "{none}");
    assert!(Client::new("ftp://x").is_err() && Client::new("x y").is_err());
}

#[tokio::test]
async fn it_is_unknown_what_happened_when_the_connection_breaks_after_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let by = somebody();
    let breaking = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.unwrap();
    };
    let (answer, ()) = tokio::join!(client.put_json::<Value>("/echo", &1, &by, SOON), breaking);
    let broke_off = answer.unwrap_err();
    assert!(matches!(broke_off, NoAnswer::BrokeOff(_)) && broke_off.may_have_happened(), "{broke_off}");
}

#[expect(clippy::disallowed_methods, reason = "a test measures how long it really took")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn what_is_no_http_is_refused_with_a_problem_too() {
    let server = run(Limits::default()).await;
    let long = format!("GET /quick HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(60_000));
    let far = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000));
    for (bytes, status) in [("nonsense 4242424242424242\r\n\r\n", 400), (long.as_str(), 431), (far.as_str(), 431)] {
        let answer = server.raw(bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("content-type: application/problem+json") && answer.ends_with('}'), "{answer}");
        assert!(answer.contains(r#""code":"invalid-request""#) && !answer.contains("4242"), "{answer}");
    }
}

//! The server and the client over TLS on loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use db::{Context, Trace};
use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use telemetry::Meters;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use web::{Access, Client, Gate, Limits, NoAnswer, Operation, Port, Routes, Tls, Trust, guard, serve};
use world::World;

const SOON: Duration = Duration::from_secs(5);

/// An authority of our own, and the certificates that it gives.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = folder.path().join("authority.pem");
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file, folder }
    }

    fn trust(&self) -> Trust {
        Trust::of_file(&self.file).unwrap()
    }

    /// A new pair for this name, in the files that the server reads.
    fn give(&self, name: &str, has_expired: bool) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if has_expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.certificate(), certificate.pem()).unwrap();
        fs::write(self.key(), key.serialize_pem()).unwrap();
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

struct Running {
    address: SocketAddr,
    meters: Meters,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Serves with the pair of the authority, or without TLS where there is none.
#[expect(clippy::disallowed_methods, reason = "a test runs the server beside itself")]
async fn run(authority: Option<&Authority>, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, meters) = (listener.local_addr().unwrap(), Meters::new());
    let said = Operation::new("r1", "", "");
    let routes = Routes::default().get("/a", Access::Everybody, || async { axum::Json(json!({"a": 1})) }, said);
    let world = World::real();
    let routes = guard(routes, Gate::open(), &world, &limits, Arc::new(|_| ()));
    let tls = authority.map(|of| Tls::open(of.certificate(), of.key(), &world, &meters).unwrap());
    let mut tasks: Vec<_> = tls.iter().map(|tls| tokio::spawn(tls.clone().keep_up())).collect();
    let port = Port::from(listener).with_tls(tls);
    tasks.push(tokio::spawn(async move { serve(port, routes, &limits, std::future::pending()).await }));
    Running { address, meters, tasks }
}

impl Running {
    async fn get(&self, scheme: &str, host: &str, trust: &Trust) -> Result<Value, NoAnswer> {
        let client = Client::trusting(&format!("{scheme}://{host}:{}", self.address.port()), trust).unwrap();
        client.get_json("/a", &somebody(), SOON).await
    }

    /// Waits until this stands on the page of the meters.
    async fn measures(&self, line: &str) {
        for _ in 0..200 {
            if self.meters.render().contains(line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {line}: {}", self.meters.render());
    }
}

fn somebody() -> Context {
    Context::system("request-1", Trace { trace_id: 1, span_id: 2, is_sampled: true })
}

#[tokio::test]
async fn who_trusts_the_authority_and_asks_by_the_right_name_is_answered() {
    let authority = Authority::new();
    authority.give("localhost", false);
    let server = run(Some(&authority), Limits::default()).await;
    assert_eq!(server.get("https", "localhost", &authority.trust()).await.unwrap(), json!({"a": 1}));
    server.measures("banyan_tls_handshakes_total{outcome=\"completed\"} 1").await;
}

#[tokio::test]
async fn who_cannot_know_whom_it_asks_asks_nothing_and_says_what_to_do() {
    let authority = Authority::new();
    authority.give("localhost", false);
    let server = run(Some(&authority), Limits::default()).await;
    let not_trusted = |answer: Result<Value, NoAnswer>, told: &str| match answer.unwrap_err() {
        fault @ NoAnswer::NotTrusted(_) => {
            assert!(fault.to_string().contains(told) && !fault.may_have_happened(), "{fault}");
        }
        other => panic!("{told}: {other}"),
    };
    let other = Authority::new().trust();
    not_trusted(server.get("https", "localhost", &other).await, "name the file with the certificate of who has");
    not_trusted(server.get("https", "localhost", &Trust::default()).await, "BANYAN_CA_FILE");
    not_trusted(server.get("https", "127.0.0.1", &authority.trust()).await, "is for localhost; ask it by such a name");
    authority.give("localhost", true);
    let server = run(Some(&authority), Limits::default()).await;
    not_trusted(server.get("https", "localhost", &authority.trust()).await, "has expired");
}

#[tokio::test]
async fn tls_on_one_side_only_is_told_on_either() {
    let authority = Authority::new();
    authority.give("localhost", false);
    let server = run(Some(&authority), Limits::default()).await;
    match server.get("http", "localhost", &authority.trust()).await.unwrap_err() {
        NoAnswer::Refused(no) => {
            assert_eq!((no.status, no.code.as_str()), (400, "invalid-request"));
            assert!(no.detail.contains("ask with https://"), "{}", no.detail);
        }
        other => panic!("{other}"),
    }
    server.measures("banyan_tls_handshakes_total{outcome=\"plain\"} 1").await;
    let server = run(None, Limits::default()).await;
    let fault = server.get("https", "localhost", &authority.trust()).await.unwrap_err();
    assert!(matches!(fault, NoAnswer::NotConnected(_)) && fault.to_string().contains("http://"), "{fault}");
}

#[tokio::test]
async fn slow_hand_shakes_harm_nobody_and_are_closed() {
    let authority = Authority::new();
    authority.give("localhost", false);
    let server = run(Some(&authority), Limits { head_secs: 2, ..Limits::default() }).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The head of a record, and nothing of it.
        stream.write_all(&[22, 3, 1]).await.unwrap();
        slow.push(stream);
    }
    let trust = authority.trust();
    let answered = tokio::time::timeout(Duration::from_secs(1), server.get("https", "localhost", &trust));
    assert_eq!(answered.await.expect("it is served meanwhile").unwrap(), json!({"a": 1}));
    for stream in &mut slow {
        let closed = tokio::time::timeout(SOON, stream.read(&mut [0])).await.expect("it is closed");
        assert!(!matches!(closed, Ok(1..)));
    }
    server.measures("banyan_tls_handshakes_total{outcome=\"late\"} 200").await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_over_tls() {
    let authority = Authority::new();
    authority.give("localhost", false);
    let server = run(Some(&authority), Limits { connections: 1, ..Limits::default() }).await;
    let _first = TcpStream::connect(server.address).await.unwrap();
    let fault = server.get("https", "localhost", &authority.trust()).await.unwrap_err();
    assert_eq!(fault.code(), Some("overloaded"), "{fault}");
}

#[tokio::test]
async fn a_new_pair_is_taken_while_open_connections_go_on_and_a_broken_one_is_not() {
    let authority = Authority::new();
    authority.give("localhost", false);
    let server = run(Some(&authority), Limits::default()).await;
    let client = Client::trusting(&format!("https://localhost:{}", server.address.port()), &authority.trust()).unwrap();
    let ask = async || client.get_json::<Value>("/a", &somebody(), SOON).await;
    ask().await.unwrap();
    // The client keeps its connection; who connects anew sees the new name.
    authority.give("127.0.0.1", false);
    server.measures("banyan_tls_reloads_total{outcome=\"taken\"} 1").await;
    ask().await.unwrap();
    assert!(matches!(server.get("https", "localhost", &authority.trust()).await, Err(NoAnswer::NotTrusted(_))));
    server.get("https", "127.0.0.1", &authority.trust()).await.unwrap();
    server.measures("banyan_tls_handshakes_total{outcome=\"completed\"} 2").await;

    fs::write(authority.key(), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    server.measures("banyan_tls_reloads_total{outcome=\"refused\"} 1").await;
    server.get("https", "127.0.0.1", &authority.trust()).await.unwrap();
    fs::remove_file(authority.certificate()).unwrap();
    server.measures("banyan_tls_reloads_total{outcome=\"refused\"} 2").await;
    server.get("https", "127.0.0.1", &authority.trust()).await.unwrap();
    authority.give("localhost", false);
    server.measures("banyan_tls_reloads_total{outcome=\"taken\"} 2").await;
    server.get("https", "localhost", &authority.trust()).await.unwrap();
}

#[test]
fn a_file_of_authorities_that_holds_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    assert!(Trust::of_file(&file).unwrap_err().contains("cannot be read"));
    fs::write(&file, "nonsense").unwrap();
    assert!(Trust::of_file(&file).unwrap_err().contains("holds no certificate"));
}

//! The bad network, before a server of a few lines and before a real `PostgreSQL`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use testkit::{Postgres, Proxy, Trap};

/// Starts a server that says everything back, and tells what it has heard when a connection ends.
#[expect(clippy::disallowed_methods, reason = "a server needs a thread")]
fn echo() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            thread::spawn(move || {
                let (mut heard, mut chunk) = (Vec::new(), [0; 1024]);
                while let Ok(length @ 1..) = stream.read(&mut chunk) {
                    heard.extend_from_slice(&chunk[..length]);
                    if stream.write_all(&chunk[..length]).is_err() {
                        break;
                    }
                }
                let _ = tell.send(heard);
            });
        }
    });
    (address, told)
}

fn say(stream: &mut TcpStream, words: &str) -> Option<String> {
    stream.write_all(words.as_bytes()).ok()?;
    let mut answer = vec![0; words.len()];
    stream.read_exact(&mut answer).ok()?;
    Some(String::from_utf8(answer).unwrap())
}

#[test]
fn what_is_said_passes_both_ways() {
    let (server, heard) = echo();
    let proxy = Proxy::to(server);
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(say(&mut client, "hello").as_deref(), Some("hello"));
    let long = "x".repeat(1 << 20);
    thread::scope(|scope| {
        let mut reader = client.try_clone().unwrap();
        let back = scope.spawn(move || {
            let mut back = vec![0; 1 << 20];
            reader.read_exact(&mut back).map(|()| back)
        });
        client.write_all(long.as_bytes()).unwrap();
        assert_eq!(back.join().unwrap().unwrap(), long.as_bytes());
    });
    drop(client);
    assert_eq!(heard.recv().unwrap().len(), 5 + (1 << 20));
}

#[test]
fn connections_are_cut_and_refused_when_told() {
    let (server, _heard) = echo();
    let proxy = Proxy::to(server);
    let mut open = TcpStream::connect(proxy.address()).unwrap();
    assert!(say(&mut open, "a").is_some());
    proxy.refuse(true);
    assert!(say(&mut open, "b").is_some(), "what is open stays");
    assert_eq!(say(&mut TcpStream::connect(proxy.address()).unwrap(), "c"), None);
    proxy.cut();
    assert_eq!(say(&mut open, "d"), None);
    proxy.refuse(false);
    assert!(say(&mut TcpStream::connect(proxy.address()).unwrap(), "e").is_some());
}

#[test]
fn a_trap_before_keeps_the_bytes_from_the_server() {
    let (server, heard) = echo();
    let proxy = Proxy::to(server);
    let trap = proxy.cut_before(b"COMMIT");
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    assert!(say(&mut client, "BEGIN").is_some());
    assert!(!trap.has_fired());
    assert_eq!(say(&mut client, "COMMIT"), None);
    assert!(trap.has_fired());
    assert_eq!(heard.recv().unwrap(), b"BEGIN");
    let mut again = TcpStream::connect(proxy.address()).unwrap();
    assert!(say(&mut again, "COMMIT").is_some(), "a trap springs once");
}

#[test]
fn a_trap_after_passes_the_bytes_on_and_nothing_back() {
    let (server, heard) = echo();
    let proxy = Proxy::to(server);
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    assert!(say(&mut client, "COMMIT").is_some());
    let trap = proxy.cut_after(b"COMMIT");
    assert!(say(&mut client, "BEGIN").is_some(), "what was said before the trap was set does not spring it");
    client.write_all(b"COMMIT").unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    assert!(trap.has_fired());
    assert_eq!(heard.recv().unwrap(), b"COMMITBEGINCOMMIT");
}

#[test]
fn a_trap_finds_bytes_that_come_in_pieces() {
    let (server, heard) = echo();
    let proxy = Proxy::to(server);
    let trap = proxy.cut_after(b"COMMIT");
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    for piece in ["xCO", "M", "MI"] {
        assert!(say(&mut client, piece).is_some() && !trap.has_fired());
    }
    assert_eq!(say(&mut client, "T"), None);
    assert!(trap.has_fired());
    assert_eq!(heard.recv().unwrap(), b"xCOMMIT");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures time itself")]
fn a_delay_holds_up_both_ways() {
    let (server, _heard) = echo();
    let proxy = Proxy::to(server);
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    proxy.delay(Duration::from_millis(60));
    let start = std::time::Instant::now();
    assert!(say(&mut client, "slow").is_some());
    assert!(start.elapsed() >= Duration::from_millis(120), "{:?}", start.elapsed());
}

#[test]
fn a_dropped_proxy_listens_no_more() {
    let (server, _heard) = echo();
    let proxy = Proxy::to(server);
    let (address, mut open) = (proxy.address(), TcpStream::connect(proxy.address()).unwrap());
    assert!(say(&mut open, "a").is_some());
    drop(proxy);
    assert_eq!(say(&mut open, "b"), None);
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_cut_before_and_after_it_happens() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    postgres.sql(&url, "CREATE TABLE kept (n int)");
    let (proxy, through) = Proxy::before(&url);

    assert!(!commits(&through, proxy.cut_before(b"COMMIT\0"), 1).await);
    assert_eq!(postgres.sql(&url, "SELECT count(*) FROM kept WHERE n = 1"), "0");

    assert!(!commits(&through, proxy.cut_after(b"COMMIT\0"), 2).await);
    assert_eq!(postgres.sql(&url, "SELECT count(*) FROM kept WHERE n = 2"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_learns_of_a_cut_only_when_the_server_has_finished() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    postgres.sql(&url, "CREATE TABLE kept (n int)");
    let (proxy, through) = Proxy::before(&url);
    let (client, connection) = tokio_postgres::connect(&through, tokio_postgres::NoTls).await.unwrap();
    let trap = proxy.cut_after(b"VALUES (3)\0");
    let slow = client.batch_execute("SELECT pg_sleep(0.3); INSERT INTO kept VALUES (3)");
    let (outcome, _) = tokio::join!(slow, connection);
    assert!(outcome.is_err() && trap.has_fired());
    assert_eq!(postgres.sql(&url, "SELECT count(*) FROM kept"), "1");
}

/// Writes a row in a transaction and says whether the client heard that it is committed.
async fn commits(url: &str, trap: Trap, n: i32) -> bool {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let work = async {
        client.batch_execute("BEGIN").await.unwrap();
        client.execute("INSERT INTO kept VALUES ($1)", &[&n]).await.unwrap();
        assert!(!trap.has_fired());
        client.batch_execute("COMMIT").await
    };
    let (outcome, _) = tokio::join!(work, connection);
    assert!(trap.has_fired());
    outcome.is_ok()
}

//! A network between a client and a server on loopback, which breaks when it is told.
//!
//! ```text
//! client ──▶ Proxy ──▶ server      the way up is searched for the bytes of a trap
//! client ◀── Proxy ◀── server      the way down is passed on, or after a trap thrown away
//! ```
//!
//! **Invariant:** a client learns of a sprung trap only after the server has dealt with all that it
//! was sent and has closed, so a test may look at once at what came of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const CHUNK_BYTES: usize = 64 << 10;

/// A TCP proxy on a port of loopback; its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    listener: Option<JoinHandle<()>>,
}

/// A cut that waits for certain bytes; it springs once.
#[derive(Clone, Debug)]
pub struct Trap(Arc<AtomicBool>);

impl Trap {
    /// Says whether the bytes have come and the connection has been cut.
    pub fn has_fired(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    closed: AtomicBool,
    refuses: AtomicBool,
    delay_micros: AtomicU64,
    trap: Mutex<Option<Set>>,
    connections: Mutex<Vec<Weak<Connection>>>,
}

/// A trap that has not sprung yet.
#[derive(Debug)]
struct Set {
    bytes: Vec<u8>,
    forward: bool,
    fired: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// What the server says is thrown away.
    muted: AtomicBool,
}

impl Proxy {
    /// Listens on a free port and passes everything on to a server.
    ///
    /// # Panics
    /// When no port of loopback is free.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(State {
            server,
            closed: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            delay_micros: AtomicU64::new(0),
            trap: Mutex::default(),
            connections: Mutex::default(),
        });
        let listener = start({
            let state = Arc::clone(&state);
            move || listen(&listener, &state)
        });
        Self { address, state, listener: Some(listener) }
    }

    /// Listens before the server that a URL names, such as `postgres://postgres@127.0.0.1:5432/test`,
    /// and gives the URL that leads through the proxy.
    ///
    /// # Panics
    /// When the URL does not name the server by address and port.
    pub fn before(url: &str) -> (Self, String) {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let server = authority.rsplit('@').next().unwrap_or_default();
        let address = server.parse().unwrap_or_else(|_| panic!("{url} does not name a server like 127.0.0.1:5432"));
        let proxy = Self::to(address);
        let through = url.replacen(server, &proxy.address.to_string(), 1);
        (proxy, through)
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections now.
    pub fn cut(&self) {
        for connection in lock(&self.state.connections).drain(..).filter_map(|connection| connection.upgrade()) {
            connection.cut();
        }
    }

    /// Closes new connections as soon as they are made, or takes them again; those that are open stay.
    pub fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Holds up every piece of data, both ways, for so long.
    pub fn delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.state.delay_micros.store(micros, Ordering::SeqCst);
    }

    /// Cuts the next connection on which a client sends these bytes, and keeps from the server the
    /// piece that completes them. Replaces a trap that has not sprung.
    pub fn cut_before(&self, bytes: &[u8]) -> Trap {
        self.set(bytes, false)
    }

    /// Cuts the next connection on which a client sends these bytes, after passing them on; nothing
    /// that the server answers gets back. Replaces a trap that has not sprung.
    ///
    /// Take the end of the message into the bytes (`b"COMMIT\0"`), or the server may miss it.
    pub fn cut_after(&self, bytes: &[u8]) -> Trap {
        self.set(bytes, true)
    }

    fn set(&self, bytes: &[u8], forward: bool) -> Trap {
        assert!(!bytes.is_empty(), "a trap waits for some bytes");
        let fired = Arc::new(AtomicBool::new(false));
        *lock(&self.state.trap) = Some(Set { bytes: bytes.to_vec(), forward, fired: Arc::clone(&fired) });
        Trap(fired)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the listener; where that fails it has ended already.
        let _ = TcpStream::connect(self.address);
        let _ = self.listener.take().map(JoinHandle::join);
        self.cut();
    }
}

fn listen(listener: &TcpListener, state: &Arc<State>) {
    for client in listener.incoming() {
        if state.closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        if state.refuses.load(Ordering::SeqCst) {
            continue;
        }
        // A server that is away closes the connection of the client.
        let Ok(server) = TcpStream::connect(state.server) else { continue };
        // Small messages would wait for each other; where that cannot be set they do.
        let _ = client.set_nodelay(true).and(server.set_nodelay(true));
        let connection = Arc::new(Connection { client, server, muted: AtomicBool::new(false) });
        lock(&state.connections).push(Arc::downgrade(&connection));
        start({
            let state = Arc::clone(state);
            move || connection.serve(&state)
        });
    }
}

impl Connection {
    fn serve(&self, state: &State) {
        thread::scope(|scope| {
            let down = scope.spawn(|| self.pass_down(state));
            if let Some(sprung) = self.pass_up(state) {
                // The server reads to the end of what it was sent, then closes.
                let _ = self.server.shutdown(Shutdown::Write);
                let _ = down.join();
                sprung.fired.store(true, Ordering::SeqCst);
                self.cut();
            }
        });
    }

    /// Passes on what the client sends, until one side ends or a trap springs.
    fn pass_up(&self, state: &State) -> Option<Set> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut seen = Vec::new();
        loop {
            let length = (&self.client).read(&mut chunk).unwrap_or(0);
            let sent = &chunk[..length];
            seen.extend_from_slice(sent);
            let sprung = lock(&state.trap).take_if(|trap| ends_within(&seen, sent.len(), &trap.bytes));
            self.muted.store(sprung.is_some(), Ordering::SeqCst);
            if sprung.as_ref().is_none_or(|trap| trap.forward) {
                state.wait();
                if length == 0 || (&self.server).write_all(sent).is_err() {
                    let _ = self.server.shutdown(Shutdown::Write);
                    return sprung;
                }
            }
            if sprung.is_some() {
                return sprung;
            }
            // Bytes may come in pieces; more than a piece is not kept.
            seen.drain(..seen.len().saturating_sub(CHUNK_BYTES));
        }
    }

    /// Passes on what the server sends, until one side ends; after a trap throws it away.
    fn pass_down(&self, state: &State) {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = (&self.server).read(&mut chunk).unwrap_or(0);
            state.wait();
            if self.muted.load(Ordering::SeqCst) && length > 0 {
                continue;
            }
            if length == 0 || (&self.client).write_all(&chunk[..length]).is_err() {
                break;
            }
        }
        if !self.muted.load(Ordering::SeqCst) {
            let _ = self.client.shutdown(Shutdown::Write);
        }
    }

    fn cut(&self) {
        // What is closed already cannot be cut again.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl State {
    fn wait(&self) {
        let micros = self.delay_micros.load(Ordering::SeqCst);
        if micros > 0 {
            thread::sleep(Duration::from_micros(micros));
        }
    }
}

/// Says whether bytes stand in what was seen so that they end within its newest part.
fn ends_within(seen: &[u8], newest: usize, bytes: &[u8]) -> bool {
    let from = seen.len().saturating_sub(newest + bytes.len() - 1);
    seen[from..].windows(bytes.len()).any(|window| window == bytes)
}

#[expect(clippy::disallowed_methods, reason = "the proxy stands outside of what is tested; no simulation owns it")]
fn start(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::spawn(work)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

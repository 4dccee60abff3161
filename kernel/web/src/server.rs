//! The server: connections taken, served, and ended in order.
//!
//! ```text
//! port ─▶ room for one more? ─▶ a task of its own: hand-shake? head in time? ─▶ routes ─▶ answer read in time?
//!             └ no: `overloaded`, closed              stop ─▶ open requests end ─▶ closed
//! ```

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::uri::Scheme;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::Service;
use tracing::{debug, error, warn};

use crate::caller::{PREFER, Stopping};
use crate::gate::Peer;
use crate::kinds::{INVALID_REQUEST, OVERLOADED};
use crate::limits::Limits;
use crate::problem::Problem;
use crate::socket::Impatient;
use crate::tls::{Begun, Tls};

/// Where the server is reached, and whether it speaks TLS there.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    tls: Option<Tls>,
}

impl From<TcpListener> for Port {
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

impl Port {
    /// The port, where TLS is spoken if some is given.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// The TLS that is spoken here.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

/// Serves the routes until `shutdown` is ready and what is open then has ended or had its time.
///
/// The routes should stand behind [`guard`](crate::guard), which makes problems of errors and ends
/// panics; without it, a panic ends its connection.
pub async fn serve(port: impl Into<Port>, routes: Router, limits: &Limits, shutdown: impl Future<Output = ()>) {
    let Port { listener, tls } = port.into();
    let (stop, stopping) = watch::channel(());
    let room = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = Connections { tasks: JoinSet::new(), refusals: Arc::new(Semaphore::new(REFUSALS)) };
    let mut shutdown = pin!(shutdown);
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.tasks.join_next() => {
                log_panic(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                match room.clone().try_acquire_owned() {
                    Ok(permit) => {
                        let (routes, limits) = (routes.clone(), limits.clone());
                        let served = connection(stream, peer, tls.clone(), routes, limits, stopping.clone());
                        connections.start(async move {
                            served.await;
                            drop(permit);
                        });
                    }
                    Err(_) => connections.refuse(stream, tls.clone()),
                }
            }
            Err(fault) => {
                if let Some(pause) = pause_after(&fault) {
                    if !failing {
                        warn!(%fault, "no connection can be taken; trying again until one can");
                    }
                    failing = true;
                    tokio::select! { () = sleep(pause) => {}, () = &mut shutdown => break }
                }
            }
        }
    }
    drop(listener);
    stop.send_replace(());
    connections.drain(Duration::from_secs(limits.drain_secs)).await;
}

/// How long to wait before the next connection is taken after one could not be.
///
/// One that broke before it was taken is no reason to wait. All else (no file descriptors, no
/// memory) lasts, and the listener stays ready all the while: without a pause that would be a loop
/// at full speed.
fn pause_after(fault: &io::Error) -> Option<Duration> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    let theirs = matches!(fault.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted);
    (!theirs).then_some(Duration::from_millis(100))
}

/// Connections that are told at once that there is no room for them; further ones are just closed.
const REFUSALS: usize = 64;

/// The tasks of all open connections; none outlives the server.
struct Connections {
    tasks: JoinSet<()>,
    refusals: Arc<Semaphore>,
}

impl Connections {
    /// The one place of this crate that starts tasks. They belong to the set: it knows them all,
    /// and they end with it, so that a drain is complete.
    fn start(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(connection);
    }

    /// Says that there is no room, to as many as can be told.
    fn refuse(&mut self, stream: TcpStream, tls: Option<Tls>) {
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            self.start(async move {
                match begin(stream, tls.as_ref(), A_SECOND).await {
                    Begun::Tls(stream) => say_no_room(stream).await,
                    Begun::Plain(stream) => say_no_room(stream).await,
                    Begun::Nothing => {}
                }
                drop(permit);
            });
        }
    }

    /// Waits until all have ended, but so long at most; then ends the rest.
    async fn drain(mut self, time: Duration) {
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                log_panic(ended);
            }
        };
        if timeout(time, all).await.is_err() {
            warn!(open = self.tasks.len(), "connections are closed before their requests have ended");
            self.tasks.shutdown().await;
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(fault) = ended
        && fault.is_panic()
    {
        error!(%fault, "a connection panicked");
    }
}

/// Whoever does not listen so long to a refusal is not told.
const A_SECOND: Duration = Duration::from_secs(1);

/// Shakes hands where TLS is spoken.
async fn begin(stream: TcpStream, tls: Option<&Tls>, within: Duration) -> Begun {
    match tls {
        Some(tls) => tls.begin(stream, within).await,
        None => Begun::Plain(stream),
    }
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    routes: Router,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
) {
    // An answer is one write; waiting for more to send with it would only delay it.
    let _ = stream.set_nodelay(true);
    let begun = tokio::select! {
        begun = begin(stream, tls.as_ref(), Duration::from_secs(limits.head_secs)) => begun,
        _ = stopping.changed() => Begun::Nothing,
    };
    match begun {
        Begun::Tls(stream) => requests(stream, peer, Scheme::HTTPS, routes, limits, stopping).await,
        Begun::Plain(stream) if tls.is_none() => requests(stream, peer, Scheme::HTTP, routes, limits, stopping).await,
        Begun::Plain(stream) => {
            let what = "This port speaks TLS, and this request came without: ask with https:// in place of http://.";
            say(stream, "400 Bad Request", &Problem::new(&INVALID_REQUEST).detail(what)).await;
        }
        Begun::Nothing => {}
    }
}

/// Answers what is asked on a connection, until either side closes it.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    scheme: Scheme,
    routes: Router,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
) {
    let stream = Impatient::new(stream, Duration::from_secs(limits.write_secs));
    let grace = Duration::from_secs(limits.drain_secs) / 2;
    let about_to_stop = Stopping { asked: stopping.clone(), grace };
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(scheme.clone());
        if request.headers().contains_key(PREFER) {
            request.extensions_mut().insert(about_to_stop.clone());
        }
        routes.clone().call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.head_secs))
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(8 * 1024))
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        _ = stopping.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(fault) = ended {
        debug!(%fault, "a connection ended early");
    }
}

async fn say_no_room(stream: impl AsyncRead + AsyncWrite + Unpin) {
    say(stream, "503 Service Unavailable\r\nretry-after: 1", &Problem::new(&OVERLOADED)).await;
}

/// Writes a problem to a connection that gets no other answer, and waits until it is read: to close
/// with something unread would throw the answer away.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str, problem: &Problem) {
    let document = problem.document(None);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        document.len()
    );
    let said = async {
        stream.write_all(&[head.as_bytes(), &document].concat()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whoever has gone is not told.
    let _ = timeout(A_SECOND, said).await;
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::pause_after;

    #[test]
    fn without_file_descriptors_the_server_pauses_and_does_not_spin() {
        const EMFILE: i32 = 24;
        assert!(pause_after(&io::Error::from_raw_os_error(EMFILE)).is_some());
        assert!(pause_after(&io::ErrorKind::ConnectionAborted.into()).is_none());
    }
}

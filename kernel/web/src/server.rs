//! The server: connections taken, served, and ended in order.
//!
//! ```text
//! listener ─▶ room for one more? ─▶ a task of its own: head in time? ─▶ routes ─▶ answer read in time?
//!                 └ no: `overloaded`, closed          stop ─▶ open requests end ─▶ closed
//! ```

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::Service;
use tracing::{debug, error, warn};

use crate::gate::Peer;
use crate::kinds::OVERLOADED;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::socket::Impatient;

/// Serves the routes until `shutdown` is ready and what is open then has ended or had its time.
///
/// The routes should stand behind [`guard`](crate::guard), which makes problems of errors and ends
/// panics; without it, a panic ends its connection.
pub async fn serve(listener: TcpListener, routes: Router, limits: &Limits, shutdown: impl Future<Output = ()>) {
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
                        let served = connection(stream, peer, routes.clone(), limits.clone(), stopping.clone());
                        connections.start(async move {
                            served.await;
                            drop(permit);
                        });
                    }
                    Err(_) => connections.refuse(stream),
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
    fn refuse(&mut self, stream: TcpStream) {
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            self.start(async move {
                // Whoever does not listen within the second is not told.
                let _ = timeout(Duration::from_secs(1), say_no_room(stream)).await;
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

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
) {
    // An answer is one write; waiting for more to send with it would only delay it.
    let _ = stream.set_nodelay(true);
    let stream = Impatient::new(stream, Duration::from_secs(limits.write_secs));
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
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

/// Writes the answer to a connection for which there is no room, and waits until it is read: to
/// close with something unread would throw the answer away.
async fn say_no_room(mut stream: TcpStream) -> io::Result<()> {
    let document = Problem::new(&OVERLOADED).document(None);
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        document.len()
    );
    stream.write_all(&[head.as_bytes(), &document].concat()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
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

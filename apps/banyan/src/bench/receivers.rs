//! Receivers of webhooks, most of which take what they get, and the others of which are as bad as they come.
//!
//! They would run on machines of others, so they let the shop and whoever shops go first.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::crowd::Heard;
use super::shop::Pool;
use crate::stop::Stop;

/// Of ten endpoints six take what they get.
const KINDS: [&str; 10] =
    ["takes", "takes", "takes", "takes", "takes", "takes", "dawdles", "fails", "redirects", "floods"];
/// How long one that dawdles takes to answer.
const DAWDLES: Duration = Duration::from_secs(10);
/// What one that floods answers with.
const FLOOD_BYTES: usize = 64 * 1024 * 1024;

const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Which endpoints there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) endpoints: usize,
    /// Whether each of them wants all orders, and not a sixteenth of them.
    pub(super) all: bool,
}

/// Receivers that listen, on a thread of their own.
#[derive(Debug)]
pub(super) struct Receivers {
    address: SocketAddr,
    /// What those heard that take what they get.
    pub(super) heard: Arc<Heard>,
    _runtime: Runtime,
}

impl Receivers {
    pub(super) fn open() -> Result<Self, Stop> {
        let runtime = Builder::new_multi_thread().worker_threads(1).on_thread_start(db::give_way).enable_all().build();
        let runtime = runtime.map_err(Stop::failed)?;
        let listener = runtime.block_on(async { listen() }).map_err(Stop::failed)?;
        let address = listener.local_addr().map_err(Stop::failed)?;
        let heard = Heard::nothing(b"\"timestamp\":\"");
        runtime.spawn(accept(listener, heard.clone()));
        Ok(Self { address, heard, _runtime: runtime })
    }

    /// Registers endpoints for confirmed orders, for all or each for a sixteenth, or lets nothing more be sent
    /// to them. Where the round is another, they are places that nobody has asked yet.
    pub(super) async fn register(&self, pool: &Pool, wanted: Wanted, round: usize, enabled: bool) -> Result<(), Stop> {
        for (number, kind) in (0..wanted.endpoints).zip(KINDS.iter().cycle()) {
            let url = format!("http://{}/{kind}/{round}", self.address);
            // The names of the orders are hexadecimal digits.
            let subjects = if wanted.all { String::new() } else { format!(r#""{:x}*""#, number % 16) };
            let body =
                format!(r#"{{"url":"{url}","types":["OrderConfirmed"],"subjects":[{subjects}],"enabled":{enabled}}}"#);
            match pool.ask("PUT", &format!("/v1/webhook-endpoints/bench-{number}"), "", &body).await {
                Ok((200 | 201, _)) => {}
                other => return Err(Stop::Failed(format!("an endpoint cannot be registered: {other:?}"))),
            }
        }
        Ok(())
    }
}

/// What they send waits with them and not in this machine's memory, as it would elsewhere.
fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(16 * 1024)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    socket.listen(1024)
}

#[expect(clippy::disallowed_methods, reason = "each connection of a bench is a task of its own")]
async fn accept(listener: TcpListener, heard: Arc<Heard>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, heard.clone()));
    }
}

/// Answers what comes over a connection, as its path says.
async fn serve(mut stream: TcpStream, heard: Arc<Heard>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let body = loop {
            if let Some(end) = memmem::find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&buffer[..body]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let end = body + length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0);
        while buffer.len() < end {
            stream.read_buf(&mut buffer).await?;
        }
        match text.split('/').nth(1) {
            Some("dawdles") => {
                tokio::time::sleep(DAWDLES).await;
                stream.write_all(TAKEN).await?;
            }
            Some("fails") => {
                stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n").await?;
            }
            Some("redirects") => {
                stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /takes\r\nContent-Length: 0\r\n\r\n").await?;
            }
            Some("floods") => {
                let begin = format!("HTTP/1.1 200 OK\r\nContent-Length: {FLOOD_BYTES}\r\n\r\n");
                stream.write_all(begin.as_bytes()).await?;
                let piece = vec![b'a'; 64 * 1024];
                for _ in 0..FLOOD_BYTES / piece.len() {
                    stream.write_all(&piece).await?;
                }
            }
            _ => {
                heard.take(&buffer[body..end]);
                stream.write_all(TAKEN).await?;
            }
        }
        buffer.drain(..end);
    }
}

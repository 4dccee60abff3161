//! A shop that runs as its own process, as it would elsewhere, and lean connections to it.
//!
//! The load comes from the same machine, so its own cost counts: requests are written by hand over
//! kept connections, and of an answer only the status line and the length are read.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::On;
use crate::stop::Stop;

/// A process of this program that serves; it ends with this value.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts it; `says` adds what it is to do.
    pub(super) fn start(address: SocketAddr, says: impl FnOnce(&mut Command)) -> Result<Self, Stop> {
        let mut command = Command::new(std::env::current_exe().map_err(Stop::failed)?);
        says(command.stdin(Stdio::null()));
        let process = command.spawn().map_err(Stop::failed)?;
        Ok(Self { process, address })
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address of this machine where nobody listens.
pub(super) fn free_address() -> Result<SocketAddr, Stop> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map_err(Stop::failed)
}

/// A running `banyan up`.
#[derive(Debug)]
pub(super) struct Shop(Server);

impl Shop {
    /// Starts it in a folder. Should it ever demand keys, none is refused for asking too often: that is counted
    /// all the same.
    pub(super) fn start(on: &On, folder: &Path) -> Result<Self, Stop> {
        let address = free_address()?;
        Server::start(address, |command| {
            command.args(["up", "--listen", &address.to_string(), "--data"]).arg(folder.join("shop"));
            command
                .env("BANYAN_LOG", "warn")
                .env("BANYAN_NOTIFICATIONS__ALLOW_PRIVATE_TARGETS", "true")
                .env("BANYAN_HTTP__KEY_REQUESTS_PER_SEC", "1000000")
                .env("BANYAN_HTTP__KEY_BURST", "1000000");
            if let Some(url) = &on.postgres {
                command.env("BANYAN_DATABASE_URL", url);
            }
        })
        .map(Self)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Waits until it answers.
    pub(super) async fn is_up(&self) -> Result<(), Stop> {
        for _ in 0..2_000 {
            if let Ok(mut connection) = Connection::open(self.address()).await
                && let Ok((200, _)) = connection.ask("GET", "/health/ready", "", "").await
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(Stop::Failed("the shop does not come up; its log says why".to_owned()))
    }

    /// Makes its first key, so that it demands one from now on.
    pub(super) async fn demand_key(&self) -> Result<Door, Stop> {
        let mut connection = Connection::open(self.address()).await.map_err(Stop::failed)?;
        let asked = connection.ask("PUT", "/v1/keys/bench", "", r#"{"scopes":["admin"]}"#).await;
        let (status, answer) = asked.map_err(Stop::failed)?;
        let made: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let key = made["key"].as_str().ok_or_else(|| Stop::Failed(format!("no key was made: {status} {answer}")))?;
        Ok(Door { address: self.address(), key: format!("Authorization: Bearer {key}\r\n") })
    }

    /// Processor time that it has used, in seconds.
    pub(super) fn cpu_secs(&self) -> f64 {
        const TICKS_PER_SEC: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.process.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / TICKS_PER_SEC
    }

    /// Memory that it holds, in MiB.
    pub(super) fn memory_mib(&self) -> f64 {
        const PAGES_PER_MIB: f64 = 256.0;
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.0.process.id())).unwrap_or_default();
        let resident = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok());
        resident.unwrap_or(f64::NAN) / PAGES_PER_MIB
    }

    /// The sum of a metric over all its labels.
    pub(super) async fn metric(&self, name: &str) -> f64 {
        let Ok(mut connection) = Connection::open(self.address()).await else { return f64::NAN };
        let Ok((_, text)) = connection.ask("GET", "/metrics", "", "").await else { return f64::NAN };
        let of_name = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
        of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(&mut self) {
        self.0.kill();
    }
}

/// Where requests go, and the line of their heads that lets them in; none where everybody may.
#[derive(Clone, Debug)]
pub(super) struct Door {
    address: SocketAddr,
    key: String,
}

impl From<SocketAddr> for Door {
    fn from(address: SocketAddr) -> Self {
        Self { address, key: String::new() }
    }
}

/// One kept connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    key: String,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, key: String::new(), buffer: Vec::with_capacity(4096) })
    }

    pub(super) async fn through(door: &Door) -> io::Result<Self> {
        Ok(Self { key: door.key.clone(), ..Self::open(door.address).await? })
    }

    /// Sends a request and reads its answer: status and body. `headers` are whole lines.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> io::Result<(u16, String)> {
        let (length, key) = (body.len(), &self.key);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{key}{headers}\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let wrong = || io::Error::other("this is no answer of HTTP/1.1 with a length");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).ok_or_else(wrong)?;
        while self.buffer.len() < head + length {
            self.fill().await?;
        }
        let body = std::str::from_utf8(&self.buffer[head..head + length]).map_err(io::Error::other)?;
        Ok((status, body.to_owned()))
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Connections that wait for their next request.
#[derive(Debug)]
pub(super) struct Pool {
    door: Door,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn to(door: impl Into<Door>) -> Self {
        Self { door: door.into(), idle: Mutex::default() }
    }

    /// One request over a kept connection, or a new one.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<(u16, String)> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let (mut connection, was_kept) = match idle {
            Some(connection) => (connection, true),
            None => (Connection::through(&self.door).await?, false),
        };
        let answer = match connection.ask(method, path, headers, body).await {
            // The server closes what has been idle for long; a request under a name is safe to repeat.
            Err(_) if was_kept => {
                connection = Connection::through(&self.door).await?;
                connection.ask(method, path, headers, body).await?
            }
            answer => answer?,
        };
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(connection);
        }
        Ok(answer)
    }
}

/// Fills the shop with more of each SKU than a bench can sell.
pub(super) async fn fill(pool: &Pool, skus: usize) -> Result<(), Stop> {
    use futures_util::{StreamExt, TryStreamExt, stream};
    let one = |number: usize| async move {
        let body = format!(r#"{{"type":"receive","sku":"{}","warehouse":"main","quantity":1000000}}"#, sku(number));
        match pool.ask("PUT", &format!("/v1/stock-movements/fill-{number}"), "", &body).await {
            Ok((200 | 201, _)) => Ok(()),
            other => Err(Stop::Failed(format!("the shop cannot be filled: {other:?}"))),
        }
    };
    stream::iter((0..skus).map(one)).buffer_unordered(64).try_collect().await
}

/// The name of a SKU.
pub(super) fn sku(number: usize) -> String {
    format!("SKU-{number:06}")
}

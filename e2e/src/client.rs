//! A client that speaks HTTP by itself, so that nothing of the program is trusted to test the program.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A client with one kept connection to each process that it speaks to.
#[derive(Debug)]
pub struct Client {
    routes: Vec<Route>,
    connections: BTreeMap<SocketAddr, BufReader<TcpStream>>,
}

/// Where the requests go whose path begins like this.
#[derive(Clone, Debug)]
pub struct Route {
    /// The beginning of the path.
    pub begins: &'static str,
    /// Any of these answers them; another is asked where one does not.
    pub addresses: Vec<SocketAddr>,
}

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Client {
    /// A client of a shop whose processes answer like this.
    pub fn of(routes: &[Route]) -> Self {
        Self { routes: routes.to_vec(), connections: BTreeMap::new() }
    }

    /// Sends a document and reads the answer.
    pub fn put(&mut self, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        self.ask("PUT", path, &[], body.to_string().as_bytes())
    }

    /// Places an order and waits for the end of its story.
    pub fn checkout(&mut self, name: &str, order: &Value) -> io::Result<(u16, Value)> {
        self.ask("PUT", &format!("/v1/orders/{name}"), &["Prefer: wait=30"], order.to_string().as_bytes())
    }

    /// Asks for a state to be reached.
    pub fn post(&mut self, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        self.ask("POST", path, &[], body.to_string().as_bytes())
    }

    /// Reads.
    pub fn get(&mut self, path: &str) -> io::Result<(u16, Value)> {
        self.ask("GET", path, &[], b"")
    }

    /// One request. A connection that broke is opened anew by the next one, to the next process.
    ///
    /// # Panics
    /// When no process answers such a path.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<(u16, Value)> {
        let place = self.routes.iter().position(|route| path.starts_with(route.begins));
        let place = place.unwrap_or_else(|| panic!("no process answers {path}"));
        let address = self.routes[place].addresses[0];
        let answer = self.exchange(address, method, path, headers, body);
        if answer.is_err() {
            self.connections.remove(&address);
            self.routes[place].addresses.rotate_left(1);
        }
        answer
    }

    fn exchange(
        &mut self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> io::Result<(u16, Value)> {
        let connection = match self.connections.entry(address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                entry.insert(BufReader::new(stream))
            }
        };
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let request = [head.as_bytes(), body].concat();
        // An answer may come before all of a large body was taken; it is read all the same.
        let sent = connection.get_mut().write_all(&request);
        let answer = read_answer(connection);
        match (sent, answer) {
            (_, Ok((status, closes, document))) => {
                if closes {
                    self.connections.remove(&address);
                }
                Ok((status, document))
            }
            (Err(error), Err(_)) | (Ok(()), Err(error)) => Err(error),
        }
    }
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<(u16, bool, Value)> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
    let (mut length, mut closes) = (0, false);
    loop {
        line.clear();
        if connection.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        closes |= header == "connection: close";
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    Ok((status, closes, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
}

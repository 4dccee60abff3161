//! A client that speaks HTTP by itself, so that nothing of the program is trusted to test the program.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A client with one kept connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Client {
    /// A client of the server at this address.
    pub fn to(address: SocketAddr) -> Self {
        Self { address, connection: None }
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

    /// One request; a connection that broke is opened anew by the next one.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<(u16, Value)> {
        let answer = self.exchange(method, path, headers, body);
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    fn exchange(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<(u16, Value)> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                none.insert(BufReader::new(stream))
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
                    self.connection = None;
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

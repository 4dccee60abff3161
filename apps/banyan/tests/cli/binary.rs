//! The binary at work.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use serde_json::{Value, json};

/// The binary with these arguments, untouched by the environment of the tests.
pub(crate) fn banyan(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_banyan"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if ["BANYAN_", "OTEL_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it to its end, which must come soon.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    // Where it would listen by mistake, it does so where nothing is left behind.
    let elsewhere = tempfile::tempdir().expect("a folder");
    command.current_dir(elsewhere.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    for _ in 0..2_000 {
        if child.try_wait().expect("it is this test's own").is_some() {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    // It fails for one that has ended, as it should.
    let _ = child.kill();
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it has ended");
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A server at work.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Everything in one program, on this folder.
    pub(crate) fn up(data: &Path, more: &[&str]) -> Self {
        let data = data.to_str().expect("a path of letters");
        Self::start(banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]).args(more))
    }

    /// Waits until it says where it listens.
    #[expect(clippy::disallowed_methods, reason = "a test reads beside itself what the program says")]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("its output was asked for")).lines();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {said:?}")).expect("it writes UTF-8");
            let told = serde_json::from_str::<Value>(&line).unwrap_or_default();
            let address = told["fields"]["address"].as_str().and_then(|url| url.split_once("://"));
            let address = address.map(|(_, address)| address.parse().expect("an address"));
            said.lock().expect("nobody panics in here").push(line);
            if let Some(address) = address {
                break address;
            }
        };
        let heard = said.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().expect("nobody panics in here").push(line);
            }
        });
        Self { child, address, said, reader: Some(reader) }
    }

    /// All that it has said on its error output.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("nobody panics in here").join("\n")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -s {signal} {}", self.child.id())]).status();
        assert!(kill.expect("there is a shell").success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let ended = self.child.wait().expect("it is waited for once");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it reads to the end");
        }
        ended
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        ask(self.address, "GET", path, "", &Value::Null)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        ask(self.address, "PUT", path, "prefer: wait=20\r\n", body)
    }

    /// Takes stock in and places an order for one piece; its status.
    pub(crate) fn order(&self, name: &str, method: &str) -> Value {
        let line = json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
        let order = json!({"lines": [line], "payment": {"method": method}});
        let (status, order) = self.put(&format!("/v1/orders/{name}"), &order);
        assert_eq!(status, 201, "{order}");
        order
    }

    pub(crate) fn receive(&self, quantity: i64) {
        let movement = json!({"type": "receive", "sku": "A-1", "warehouse": "main", "quantity": quantity});
        assert_eq!(self.put("/v1/stock-movements/m-1", &movement).0, 201);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only for one that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &Value) -> (u16, Value) {
    let (status, _, body) = ask_with(address, method, path, headers, body);
    (status, body)
}

/// The same, with the media type of the answer.
pub(crate) fn ask_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &Value,
) -> (u16, String, Value) {
    let (status, head, body) = ask_whole(address, method, path, headers, body);
    let media = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (status, media.split(';').next().unwrap_or_default().to_owned(), body)
}

/// The same, with the head of the answer in small letters.
pub(crate) fn ask_whole(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &Value,
) -> (u16, String, Value) {
    let (status, head, body) = ask_to_the_letter(address, method, path, headers, body);
    (status, head.to_lowercase(), body)
}

/// The same, with the head of the answer as it is.
pub(crate) fn ask_to_the_letter(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &Value,
) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(address).expect("the program listens");
    stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a socket has a time-out");
    let body = match body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        document => document.to_string(),
    };
    let length = body.len();
    let json = if headers.contains("content-type:") { "" } else { "content-type: application/json\r\n" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\
         {json}{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("the program reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the program answers");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_owned(), serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())))
}

/// Whether a folder holds a file of this name.
pub(crate) fn holds(folder: &Path, name: &str) -> bool {
    fs::metadata(folder.join(name)).is_ok()
}

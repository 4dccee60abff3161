//! A shop that runs as a process, can be killed, and starts again on the same data.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::Client;

/// Which database a shop runs on.
#[derive(Clone, Debug)]
pub enum On {
    /// A file for each service.
    Sqlite,
    /// A schema for each service in this database.
    Postgres(String),
}

impl On {
    /// Both databases, each empty; PostgreSQL is the test process's own.
    pub fn both() -> [Self; 2] {
        [Self::Sqlite, Self::Postgres(testkit::Postgres::shared().database())]
    }
}

/// A process of `banyan up`.
#[derive(Debug)]
pub struct Shop {
    on: On,
    folder: TempDir,
    address: SocketAddr,
    process: Option<Child>,
    settings: Vec<(String, String)>,
}

impl Shop {
    /// Starts a shop on an empty database.
    pub fn open(on: &On) -> Self {
        Self::open_with(on, &[])
    }

    /// Starts a shop with settings of its own, as variables without `BANYAN_`.
    ///
    /// # Panics
    /// When the program was not built, or does not come up.
    pub fn open_with(on: &On, settings: &[(&str, &str)]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let settings = settings.iter().map(|(name, value)| (format!("BANYAN_{name}"), (*value).to_owned())).collect();
        let mut shop = Self {
            on: on.clone(),
            folder: tempfile::tempdir().expect("a folder for the data"),
            address: free.expect("a free port"),
            process: None,
            settings,
        };
        shop.start();
        shop
    }

    /// Starts the program on the data that is there, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready within half a minute; the message holds its log.
    pub fn start(&mut self) {
        let program = program();
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = Command::new(program);
        command.args(["up", "--listen", &self.address.to_string(), "--data"]).arg(self.folder.path().join("data"));
        command.env("BANYAN_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        if let On::Postgres(url) = &self.on {
            command.env("BANYAN_DATABASE_URL", url);
        }
        self.process = Some(command.spawn().expect("the program starts"));
        for _ in 0..1_500 {
            if let Ok((200, _)) = self.client().get("/health/ready") {
                return;
            }
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            assert!(ended.is_none(), "the program ended at its start: {ended:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the program does not become ready\n{}", self.log());
    }

    /// Ends it as a power cut would, as far as a process can feel one.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let asked = Command::new("sh").args(["-c", &format!("kill -INT {}", process.id())]).status();
            assert!(asked.is_ok_and(|status| status.success()), "the program can be asked to stop");
            let ended = process.wait().expect("the program ends");
            assert!(ended.success(), "the program ended with {ended}\n{}", self.log());
        }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::to(self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Resident memory of the process, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let id = self.process.as_ref().map_or(0, Child::id);
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, built in the same profile as the tests.
fn program() -> PathBuf {
    let here = std::env::current_exe().expect("a test knows where it is");
    let program = here.ancestors().nth(2).expect("a test stands in the folder `deps`").join("banyan");
    assert!(
        program.exists(),
        "{} is missing: build it first, with `cargo build --release -p banyan`",
        program.display()
    );
    program
}

//! A shop that runs as processes, can be killed, and starts again on the same data.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::Client;
use crate::client::Route;

/// How a shop runs.
#[derive(Clone, Debug)]
pub enum On {
    /// One process, a file for each service.
    Sqlite,
    /// One process, a schema for each service in this database.
    Postgres(String),
    /// A process for each service, two of orders, on this database; their events go over HTTP.
    Apart(String),
}

impl On {
    /// One process on each database, each empty; PostgreSQL is the test process's own.
    pub fn both() -> [Self; 2] {
        [Self::Sqlite, Self::Postgres(testkit::Postgres::shared().database())]
    }

    /// Every way to run, each on an empty database.
    pub fn every_way() -> [Self; 3] {
        let [sqlite, postgres] = Self::both();
        [sqlite, postgres, Self::Apart(testkit::Postgres::shared().database())]
    }
}

/// A running shop.
#[derive(Debug)]
pub struct Shop {
    on: On,
    folder: TempDir,
    processes: Vec<Running>,
    settings: Vec<(String, String)>,
}

/// One of its processes.
#[derive(Debug)]
struct Running {
    /// What it runs: `up`, or one service.
    runs: &'static str,
    address: SocketAddr,
    child: Option<Child>,
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
        let runs: &[&str] = match on {
            On::Sqlite | On::Postgres(_) => &["up"],
            On::Apart(_) => &["inventory", "orders", "orders", "payments"],
        };
        let running = |runs: &&'static str| Running { runs, address: free_address(), child: None };
        let settings = settings.iter().map(|(name, value)| (format!("BANYAN_{name}"), (*value).to_owned())).collect();
        let folder = tempfile::tempdir().expect("a folder for the data");
        let mut shop = Self { on: on.clone(), folder, processes: runs.iter().map(running).collect(), settings };
        shop.start();
        shop
    }

    /// How it runs.
    pub fn on(&self) -> &On {
        &self.on
    }

    /// Starts all processes that do not run, and waits until they are ready.
    ///
    /// # Panics
    /// When one does not become ready within half a minute; the message holds its log.
    pub fn start(&mut self) {
        for place in 0..self.processes.len() {
            if self.processes[place].child.is_none() {
                self.processes[place].child = Some(self.spawn(place));
            }
        }
        for place in 0..self.processes.len() {
            self.wait_until_ready(place);
        }
    }

    fn spawn(&self, place: usize) -> Child {
        let Running { runs, address, .. } = &self.processes[place];
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = Command::new(program());
        match *runs {
            "up" => command.arg("up"),
            service => command.args(["serve", service]),
        };
        // Each process has a folder of its own; on PostgreSQL only locks and the provider's book are in it.
        let data = self.folder.path().join(format!("data-{place}"));
        command.args(["--listen", &address.to_string(), "--data"]).arg(data);
        command.env("BANYAN_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        if let On::Postgres(url) | On::Apart(url) = &self.on {
            command.env("BANYAN_DATABASE_URL", url);
        }
        for other in self.processes.iter().filter(|other| other.runs != "up") {
            command.env(format!("BANYAN_{}__URL", other.runs.to_uppercase()), format!("http://{}", other.address));
        }
        command.spawn().expect("the program starts")
    }

    fn wait_until_ready(&mut self, place: usize) {
        let route = Route { begins: "/", addresses: vec![self.processes[place].address] };
        for _ in 0..1_500 {
            if let Ok((200, _)) = Client::of(std::slice::from_ref(&route)).get("/health/ready") {
                return;
            }
            let child = self.processes[place].child.as_mut();
            let ended = child.and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the program ended at its start: {ended:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the program does not become ready\n{}", self.log());
    }

    /// Ends all processes as a power cut would, as far as a process can feel one.
    pub fn kill(&mut self) {
        for running in &mut self.processes {
            if let Some(mut child) = running.child.take() {
                drop(child.kill());
                drop(child.wait());
            }
        }
    }

    /// Asks all processes to stop, and waits until they have.
    pub fn stop(&mut self) {
        for place in 0..self.processes.len() {
            self.stop_one(place);
        }
    }

    /// Stops and starts each process, one after the other, as a new release is rolled out.
    pub fn restart_one_by_one(&mut self) {
        for place in 0..self.processes.len() {
            self.stop_one(place);
            self.start();
        }
    }

    fn stop_one(&mut self, place: usize) {
        if let Some(mut child) = self.processes[place].child.take() {
            let asked = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status();
            assert!(asked.is_ok_and(|status| status.success()), "the program can be asked to stop");
            let ended = child.wait().expect("the program ends");
            assert!(ended.success(), "the program ended with {ended}\n{}", self.log());
        }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::of(&self.routes())
    }

    /// Which process answers what.
    pub fn routes(&self) -> Vec<Route> {
        let at = |runs: &str| -> Vec<SocketAddr> {
            self.processes.iter().filter(|running| running.runs == runs).map(|running| running.address).collect()
        };
        match self.on {
            On::Sqlite | On::Postgres(_) => vec![Route { begins: "/", addresses: at("up") }],
            On::Apart(_) => vec![
                Route { begins: "/v1/stock", addresses: at("inventory") },
                Route { begins: "/v1/reservations", addresses: at("inventory") },
                Route { begins: "/v1/payments", addresses: at("payments") },
                Route { begins: "/v1/test-provider", addresses: at("payments") },
                Route { begins: "/", addresses: at("orders") },
            ],
        }
    }

    /// Runs `banyan audit` on it: whether it ended well, and what it printed.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn audit(&self) -> (bool, String) {
        let server = format!("http://{}", self.address());
        let audit = Command::new(program()).args(["audit", "--server", &server]).output().expect("the audit runs");
        let said = [audit.stdout, audit.stderr].concat();
        (audit.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Copies its data under this name, while it runs or not: whether that ended well, and what was printed.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn backup(&self, name: &str) -> (bool, String) {
        self.on_data("backup", name)
    }

    /// Puts a copy back in place of its data, on which nothing may run.
    ///
    /// # Panics
    /// When its data is not there, or the program cannot be started.
    pub fn restore(&self, name: &str) -> (bool, String) {
        std::fs::remove_dir_all(self.folder.path().join("data-0")).expect("its data is there");
        self.on_data("restore", name)
    }

    fn on_data(&self, verb: &str, name: &str) -> (bool, String) {
        let mut command = Command::new(program());
        command.arg(verb).arg(self.folder.path().join(name)).arg("--data").arg(self.folder.path().join("data-0"));
        let ended = command.output().expect("the program runs");
        (ended.status.success(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    }

    /// A file in the data folder of its first process.
    pub fn data_file(&self, name: &str) -> PathBuf {
        self.folder.path().join("data-0").join(name)
    }

    /// Where its first process listens.
    pub fn address(&self) -> SocketAddr {
        self.processes[0].address
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Resident memory of all processes, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let resident = |running: &Running| {
            let id = running.child.as_ref().map_or(0, Child::id);
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:").map(ToOwned::to_owned));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        self.processes.iter().map(resident).sum()
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

fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a free port")
}

/// The program, built in the same profile as the tests.
fn program() -> PathBuf {
    let here = std::env::current_exe().expect("a test knows where it is");
    let program = here.ancestors().nth(2).unwrap_or(Path::new("")).join("banyan");
    assert!(
        program.exists(),
        "{} is missing: build it first, with `cargo build --release -p banyan`",
        program.display()
    );
    program
}

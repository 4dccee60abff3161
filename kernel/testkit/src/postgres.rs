//! A real `PostgreSQL`, started from the Debian package by the test that needs it.
//!
//! ```text
//! test process ──pipe──▶ supervisor (sh) ──▶ postgres ──▶ folder
//!       └── ends, however: the pipe closes ──▶ postgres is ended, the folder removed
//! ```
//!
//! **Invariant:** the owner of a folder holds a lock on its file `owner`. What has no owner is left
//! over from a test whose supervisor was killed too, and the next run removes it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{env, net, process};

use crate::eventually;
use crate::process::{children, runs, signal};

/// Runs as long as the test process holds the other end of its input, then leaves nothing behind.
///
/// QUIT and not KILL, for `PostgreSQL` then gives back its shared memory; KILL where it does not listen.
const SUPERVISOR: &str = r#"
folder=$1; shift
while read -r order; do
    case $order in
        start) "$@" </dev/null >>"$folder/log" 2>&1 & pid=$!; echo "$pid" ;;
        wait) wait "$pid"; pid=; echo ended ;;
    esac
done
if [ -n "$pid" ]; then
    kill -s QUIT "$pid"; kill -s CONT "$pid"
    (sleep 15; kill -s KILL "$pid") & impatience=$!
    wait "$pid"
    kill "$impatience"
elif [ -f "$folder/data/postmaster.pid" ]; then
    ipcrm -m "$(awk 'NR == 7 { print $2 }' "$folder/data/postmaster.pid")"
fi
rm -rf "$folder"
"#;

/// What every cluster is set to: durable as in production, with room for a suite.
const SETTINGS: [(&str, &str); 7] = [
    ("fsync", "on"),
    ("shared_buffers", "256MB"),
    ("max_wal_size", "2GB"),
    ("max_connections", "200"),
    ("listen_addresses", "127.0.0.1"),
    // In the data folder and not in /dev/shm, where it would outlive a kill.
    ("dynamic_shared_memory_type", "mmap"),
    ("log_line_prefix", "%m [%p] %d "),
];

const FOLDER_PREFIX: &str = "banyan-postgres-";

/// A `PostgreSQL` cluster of the test process, on loopback and without a password.
#[derive(Debug)]
pub struct Postgres {
    program: Program,
    folder: PathBuf,
    port: u16,
    shared: bool,
    databases: AtomicU32,
    supervisor: Mutex<Supervisor>,
    /// Locked as long as this process lives.
    _owner: File,
}

impl Postgres {
    /// The cluster that all tests of this process share; the first caller starts it.
    ///
    /// # Panics
    /// When `PostgreSQL` is not installed or does not start; the message says what to do.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::create(&[], true))
    }

    /// A cluster of one's own, which may be stopped and killed.
    ///
    /// # Panics
    /// When `PostgreSQL` is not installed or does not start; the message says what to do.
    pub fn own() -> Self {
        Self::own_with(&[])
    }

    /// A cluster of one's own with settings of `postgresql.conf` that differ, such as `("fsync", "off")`.
    ///
    /// # Panics
    /// When `PostgreSQL` is not installed or does not start; the message says what to do.
    pub fn own_with(settings: &[(&str, &str)]) -> Self {
        Self::create(settings, false)
    }

    /// A standby of this cluster, which follows it until it is told to take over (`SELECT pg_promote()`).
    ///
    /// # Panics
    /// When this cluster does not run, or the other does not start; the message says what to do.
    #[must_use]
    pub fn standby(&self) -> Self {
        Self::make(&[], false, |program, folder| program.copy(self.port, folder))
    }

    fn create(settings: &[(&str, &str)], shared: bool) -> Self {
        Self::make(settings, shared, Program::initialise)
    }

    fn make(settings: &[(&str, &str)], shared: bool, fill: impl FnOnce(&Program, &Path)) -> Self {
        let program = Program::find();
        remove_what_has_no_owner();
        let (folder, owner) = program.make_folder();
        fill(&program, &folder);
        let port = free_port();
        let supervisor = Supervisor::new(&program, &folder, port, settings);
        let (databases, supervisor) = (AtomicU32::new(0), Mutex::new(supervisor));
        let postgres = Self { program, folder, port, shared, databases, supervisor, _owner: owner };
        postgres.start();
        postgres
    }

    /// Makes an empty database with a name of its own and gives its URL.
    ///
    /// # Panics
    /// When the cluster does not run.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        let url = self.url(&name);
        self.sql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        url
    }

    /// The URL of a database over loopback TCP.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on loopback, the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket, for a URL that ends in `?host=`.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// What the cluster has logged so far.
    ///
    /// # Panics
    /// When its folder has been taken away.
    pub fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).expect("a cluster that was started has a log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Runs statements through `psql` and gives what they return: columns with `|` between, a row a line.
    ///
    /// # Panics
    /// When a statement fails, or the cluster does not run.
    pub fn sql(&self, url: &str, statements: &str) -> String {
        let mut psql = Command::new(self.program.binary("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statements]);
        succeed(&mut psql).trim_end().to_owned()
    }

    /// The process number of the running server; none while it is stopped.
    pub fn process(&self) -> Option<u32> {
        self.supervisor().server
    }

    /// Starts the server again on the same port and data, and waits until it takes connections.
    ///
    /// # Panics
    /// When it runs already or does not start; the message holds its log.
    pub fn start(&self) {
        let mut supervisor = self.supervisor();
        assert!(supervisor.server.is_none(), "the server runs already");
        let server: u32 = supervisor.ask("start").parse().expect("the supervisor says the process number");
        supervisor.server = Some(server);
        let pid_file = self.folder.join("data/postmaster.pid");
        // Line 1 is the process, line 8 its status. Source: src/include/utils/pidfile.h of PostgreSQL.
        let ready = || {
            let lines = fs::read_to_string(&pid_file).unwrap_or_default();
            let lines: Vec<_> = lines.lines().map(str::trim).collect();
            let is_ready = lines.get(7).is_some_and(|status| ["ready", "standby"].contains(status));
            lines.first() == Some(&server.to_string().as_str()) && is_ready
        };
        eventually("PostgreSQL takes connections", || {
            assert!(runs(server), "PostgreSQL did not start:\n{}", self.log());
            ready()
        });
    }

    /// Stops the server in good order: running transactions are rolled back, a checkpoint is written.
    ///
    /// # Panics
    /// When it does not run, or is the one that all tests share.
    pub fn stop(&self) {
        self.end(|server| signal("INT", &[server]));
    }

    /// Kills the server and all its processes at once, as a crash would.
    ///
    /// # Panics
    /// When it does not run, or is the one that all tests share.
    pub fn kill(&self) {
        self.end(|server| {
            // Stopped first, so that it starts no other while its processes are listed.
            signal("STOP", &[server]);
            let backends = children(server);
            signal("KILL", &[server]);
            signal("KILL", &backends);
            eventually("no process of the killed server is left", || !backends.iter().any(|backend| runs(*backend)));
        });
    }

    fn end(&self, how: impl FnOnce(u32)) {
        assert!(!self.shared, "other tests need the shared server; end one of your own, Postgres::own()");
        let mut supervisor = self.supervisor();
        let server = supervisor.server.take().expect("the server runs");
        how(server);
        supervisor.ask("wait");
    }

    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shell that starts the server, buries it, and cleans up after the test process.
#[derive(Debug)]
struct Supervisor {
    shell: Child,
    /// Taken only to let the supervisor end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    server: Option<u32>,
}

impl Supervisor {
    fn new(program: &Program, folder: &Path, port: u16, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SUPERVISOR, "supervisor"]).arg(folder);
        shell.args(program.unprivileged()).arg(program.binary("postgres")).arg("-D").arg(folder.join("data"));
        shell.args(["-p", &port.to_string(), "-k"]).arg(folder);
        for (name, value) in SETTINGS.iter().chain(settings) {
            shell.arg("-c").arg(format!("{name}={value}"));
        }
        // A group of its own, so that Ctrl-C in a terminal ends the tests and not the one who cleans up.
        shell.process_group(0).current_dir(folder).env_clear().env("PATH", PATH).env("LC_ALL", "C");
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("there is a shell");
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("its output was asked for"));
        Self { shell, orders, answers, server: None }
    }

    fn ask(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("the supervisor runs until it is dropped");
        writeln!(orders, "{order}").expect("the supervisor runs as long as this process");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the supervisor runs as long as this process");
        answer.trim_end().to_owned()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.orders.take());
        // It fails only if somebody else has waited for the shell, and then it has ended.
        let _ = self.shell.wait();
    }
}

/// Where the programs of the Debian package lie, and as whom they run.
#[derive(Debug)]
struct Program {
    binaries: PathBuf,
    root: bool,
}

/// Where `setpriv`, `rm` and the like are found, whatever the tests were started with.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Program {
    fn find() -> Self {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let installed = versions.map(|entry| entry.path()).filter(|path| path.join("bin/postgres").exists());
        let Some(newest) = installed.max_by_key(version) else {
            panic!("these tests need a PostgreSQL server and find none; install it: apt-get install -y postgresql")
        };
        let root = fs::metadata("/proc/self").expect("/proc is there").uid() == 0;
        Self { binaries: newest.join("bin"), root }
    }

    fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// What stands before a command so that it runs as a user whom `PostgreSQL` accepts; it refuses root.
    fn unprivileged(&self) -> &'static [&'static str] {
        if self.root { &["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] } else { &["env"] }
    }

    /// Makes the folder and locks it; it gets the name that others look for only after that.
    fn make_folder(&self) -> (PathBuf, File) {
        let fresh =
            tempfile::Builder::new().prefix("banyan-starting-").tempdir().expect("the temp folder takes one more");
        let owner = File::create(fresh.path().join("owner")).expect("the new folder takes a file");
        owner.lock().expect("nobody else knows the file");
        if self.root {
            let number = |which| succeed(Command::new("id").args([which, "postgres"])).trim().parse().ok();
            chown(fresh.path(), number("-u"), number("-g")).expect("root gives folders away");
        }
        let fresh = fresh.keep();
        let name = fresh.file_name().expect("it was made with a name").to_string_lossy();
        let folder = fresh.with_file_name(name.replace("banyan-starting-", FOLDER_PREFIX));
        fs::rename(&fresh, &folder).expect("its name is new");
        (folder, owner)
    }

    /// A command that makes the data of a cluster in a folder.
    fn makes_data(&self, binary: &str, folder: &Path) -> Command {
        let (first, rest) = self.unprivileged().split_first().expect("it is never empty");
        let mut command = Command::new(first);
        command.args(rest).arg(self.binary(binary)).arg("-D").arg(folder.join("data"));
        command
    }

    /// Copies the running cluster on a port, as one that follows it.
    fn copy(&self, port: u16, folder: &Path) {
        let mut copies = self.makes_data("pg_basebackup", folder);
        copies.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()]);
        copies.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        succeed(copies.current_dir(folder).env("LC_ALL", "C"));
    }

    fn initialise(&self, folder: &Path) {
        let mut initdb = self.makes_data("initdb", folder);
        // Not synchronised: a fresh cluster that is lost with the machine is made again.
        initdb.args(["--username=postgres", "--auth=trust", "--locale=C", "--encoding=UTF8", "--no-sync"]);
        succeed(initdb.current_dir(folder).env("LC_ALL", "C"));
    }
}

/// Runs a command to its end and gives its output; what it complains of becomes a panic.
fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it writes UTF-8")
}

/// Finds a port that nobody listens on, below those from which the system serves outgoing
/// connections, so that none of them takes it while the server is stopped.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at once begin far from each other.
    let start = process::id().wrapping_mul(61) % u32::from(COUNT);
    let start = u16::try_from(start).expect("a rest is less than the divisor");
    let mut next = || FIRST + (start + TRIED.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
    let free = |port: &u16| net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(&mut next).take(usize::from(COUNT)).find(free).expect("one of thousands of ports is free")
}

/// Removes folders of test processes that have ended, with the servers that still run in them.
fn remove_what_has_no_owner() {
    let entries = fs::read_dir(env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX)) {
        let folder = entry.path();
        // What cannot be opened belongs to somebody else, or is just being removed.
        let Ok(owner) = File::open(folder.join("owner")) else { continue };
        if owner.try_lock().is_err() {
            continue;
        }
        let data = folder.join("data");
        let pid_file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if let Some(server) = pid_file.lines().next().and_then(|line| line.parse::<u32>().ok()) {
            // Only if it still is that server: numbers of processes are used again.
            if fs::read_link(format!("/proc/{server}/cwd")).is_ok_and(|cwd| cwd == data) {
                signal("QUIT", &[server]);
                eventually("the server of an ended test ends", || !runs(server));
            }
        }
        // Another test process may remove it at the same time.
        let _ = fs::remove_dir_all(folder);
    }
}

//! The throw-away `PostgreSQL`, in earnest: it keeps what was committed and leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs, panic, thread};

use testkit::{Postgres, eventually};

const CHILD: &str = "TESTKIT_POSTGRES_CHILD";

#[test]
fn a_database_is_empty_and_each_has_its_own_name() {
    let postgres = Postgres::shared();
    let (first, second) = (postgres.database(), postgres.database());
    assert_ne!(first, second);
    postgres.sql(&first, "CREATE TABLE stock (sku text)");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!((postgres.sql(&first, tables), postgres.sql(&second, tables)), ("1".to_owned(), "0".to_owned()));
}

#[test]
fn the_cluster_is_durable_and_compares_text_by_bytes() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let show = |setting: &str| postgres.sql(&url, &format!("SHOW {setting}"));
    assert_eq!(show("fsync"), "on");
    assert_eq!(show("server_encoding"), "UTF8");
    assert_eq!(show("max_connections"), "200");
    assert_eq!(show("max_wal_size"), "2GB");
    assert_eq!(postgres.sql(&url, "SELECT 'B' < 'a', datcollate FROM pg_database LIMIT 1"), "t|C");
}

#[tokio::test]
async fn a_client_connects_by_the_url_and_by_the_socket() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let (name, folder) = (url.rsplit('/').next().unwrap(), postgres.socket_folder().display());
    let by_socket = format!("host={folder} port={} user=postgres dbname={name}", postgres.port());
    for way in [&url, &by_socket] {
        let (client, connection) = tokio_postgres::connect(way, tokio_postgres::NoTls).await.unwrap();
        let ask = async {
            let row = client.query_one("SELECT current_database()::text", &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), name);
        };
        tokio::select! { () = ask => {}, ended = connection => panic!("{ended:?}") }
    }
}

#[test]
fn what_was_committed_outlives_a_kill_and_a_stop() {
    let postgres = Postgres::own();
    let (url, port) = (postgres.database(), postgres.port());
    postgres.sql(&url, "CREATE TABLE kept (n int)");
    postgres.sql(&url, "INSERT INTO kept VALUES (1)");

    let killed = postgres.process().unwrap();
    postgres.kill();
    assert!(!is_alive(killed));
    assert_eq!(postgres.process(), None);
    postgres.start();
    assert!(postgres.log().contains("automatic recovery in progress"), "a kill is no stop:\n{}", postgres.log());
    postgres.sql(&url, "INSERT INTO kept VALUES (2)");

    postgres.stop();
    postgres.start();
    assert!(postgres.log().contains("database system was shut down"));
    assert_eq!(postgres.sql(&url, "SELECT sum(n) FROM kept"), "3");
    assert_eq!(postgres.port(), port);
}

#[test]
fn a_killed_server_is_gone_with_a_backend_that_works() {
    let postgres = Postgres::own();
    let url = postgres.database();
    thread::scope(|scope| {
        let busy =
            || panic::catch_unwind(|| postgres.sql(&url, "SELECT count(*) FROM generate_series(1, 10000000000)"));
        let busy = scope.spawn(busy);
        let activity = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 100%' AND pid <> pg_backend_pid()";
        eventually("the long query runs", || postgres.sql(&url, activity) == "1");
        postgres.kill();
        assert!(busy.join().unwrap().is_err());
    });
    postgres.start();
}

#[test]
fn settings_of_one_cluster_can_differ() {
    let postgres = Postgres::own_with(&[("fsync", "off")]);
    assert_eq!(postgres.sql(&postgres.url("postgres"), "SHOW fsync"), "off");
}

#[test]
fn a_dropped_cluster_is_gone_with_its_folder_and_its_shared_memory() {
    let before = Postgres::own();
    let (folder, server) = (before.socket_folder().to_owned(), before.process().unwrap());
    let memory = shared_memory(&folder);
    assert!(is_shared_memory(&memory));
    drop(before);
    assert!(!folder.exists() && !is_alive(server) && !is_shared_memory(&memory));

    let killed = Postgres::own();
    let (folder, memory) = (killed.socket_folder().to_owned(), shared_memory(killed.socket_folder()));
    killed.kill();
    assert!(is_shared_memory(&memory), "a kill leaves it, so somebody has to take it away");
    drop(killed);
    assert!(!folder.exists() && !is_shared_memory(&memory));
}

#[test]
#[should_panic(expected = "other tests need the shared server")]
fn the_shared_cluster_cannot_be_killed() {
    Postgres::shared().kill();
}

#[test]
fn nothing_is_left_of_a_test_process_that_ends_panics_or_is_killed() {
    for how in ["ends", "panics", "waits"] {
        let mut child = child_process(how);
        let (server, folder) = announced(&mut child);
        assert!(is_alive(server) && Path::new(&folder).exists());
        if how == "waits" {
            child.kill().unwrap();
        }
        child.wait().unwrap();
        eventually("the server is gone", || !is_alive(server));
        eventually("the folder is gone", || !Path::new(&folder).exists());
    }
}

#[test]
fn what_a_killed_supervisor_leaves_the_next_run_removes() {
    let mut child = child_process("waits");
    let (server, folder) = announced(&mut child);
    let supervisor = parent_of(server);
    assert_ne!(supervisor, child.id());
    Command::new("kill").args(["-9", &supervisor.to_string()]).status().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_alive(server), "nobody is there who would end it");
    drop(Postgres::own());
    assert!(!is_alive(server) && !Path::new(&folder).exists());
}

/// Runs as a process of its own, for the tests above; by itself it does nothing.
#[test]
#[ignore = "it is the child process of other tests"]
fn child_that_starts_a_cluster() {
    let Ok(how) = env::var(CHILD) else { return };
    let postgres = Postgres::shared();
    eprintln!("cluster {} {}", postgres.process().unwrap(), postgres.socket_folder().display());
    match how.as_str() {
        "panics" => panic!("as asked"),
        "waits" => thread::park(),
        _ => {}
    }
}

fn child_process(how: &str) -> Child {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "child_that_starts_a_cluster", "--nocapture"]).env(CHILD, how);
    child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn announced(child: &mut Child) -> (u32, String) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("cluster ")).expect("the child starts a cluster");
    let mut words = line.split(' ').skip(1);
    (words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned())
}

fn stat_field(process: u32, after_name: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(after_name).map(str::to_owned)
}

fn is_alive(process: u32) -> bool {
    stat_field(process, 0).is_some_and(|state| state != "Z")
}

fn parent_of(process: u32) -> u32 {
    stat_field(process, 1).unwrap().parse().unwrap()
}

/// The number of the shared memory that the server of a folder holds.
fn shared_memory(folder: &Path) -> String {
    let pid_file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    pid_file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

fn is_shared_memory(number: &str) -> bool {
    let all = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    all.lines().any(|line| line.split_whitespace().nth(1) == Some(number))
}

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::binary::{Server, banyan, holds, run};

/// What the doctor finds on this folder: its exit code, and its checks.
fn doctor(data: &Path, listen: &str, more: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let data = data.to_str().expect("a path of letters");
    let mut doctor = banyan(&["doctor", "--json", "--data", data, "--listen", listen]);
    let (code, out, _) = run(doctor.envs(more.iter().copied()));
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no report: {out}"));
    let checks = report["checks"].as_array().expect("a list").clone();
    let bad = checks.iter().filter(|check| check["grade"] == "bad").count();
    assert_eq!(report["bad"], bad);
    assert_eq!(code, i32::from(bad > 0), "{report}");
    assert!(checks.iter().all(|check| (check["grade"] == "ok") == check["advice"].is_null()), "{report}");
    (code, checks)
}

fn the<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    checks.iter().find(|check| check["about"] == name).unwrap_or_else(|| panic!("no {name}: {checks:?}"))
}

fn found(check: &Value, grade: &str, told: &str) {
    assert_eq!(check["grade"], grade, "{check}");
    assert!(check["found"].as_str().is_some_and(|found| found.contains(told)), "{check}");
}

#[test]
fn nothing_is_bad_before_the_first_start_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, checks) = doctor(&folder.path().join("data"), "127.0.0.1:0", &[]);
    assert_eq!(code, 0);
    found(the(&checks, "data folder"), "ok", "can be made");
    found(the(&checks, "SQLite"), "ok", "inventory.db is not there yet");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_running_program_is_found_with_its_process_and_its_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::up(folder.path(), &[]);
    let (code, checks) = doctor(folder.path(), &server.address.to_string(), &[]);
    assert_eq!(code, 0);
    found(the(&checks, "data folder"), "ok", &format!("process {} runs inventory", server.process()));
    found(the(&checks, "address"), "ok", "a Banyan is running");
    found(the(&checks, "SQLite"), "ok", "all known; its pages are looked at only while nothing runs");
    assert_eq!(server.get("/health/ready").0, 200);
    server.signal("TERM");
    server.wait();
    let (_, checks) = doctor(folder.path(), "127.0.0.1:0", &[]);
    found(the(&checks, "SQLite"), "ok", "all its pages are sound");
    found(the(&checks, "data folder"), "ok", "no program runs on it");
}

#[test]
fn a_broken_file_is_bad() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::up(folder.path(), &[]);
    server.signal("TERM");
    server.wait();
    let file = folder.path().join("inventory.db");
    let mut bytes = fs::read(&file).expect("a file");
    // Its third page, which nobody reads who looks only for the migrations.
    bytes[2 * 4096..3 * 4096].fill(0xA5);
    fs::write(&file, bytes).expect("a file");
    let (code, checks) = doctor(folder.path(), "127.0.0.1:0", &[]);
    assert_eq!(code, 1);
    found(the(&checks, "SQLite"), "bad", "inventory.db is broken");
}

#[test]
fn what_another_program_or_another_file_stands_in_the_way_of_is_bad() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("an address").to_string();
    found(the(&doctor(folder.path(), &address, &[]).1, "address"), "bad", "another program listens");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    found(the(&doctor(&file.join("data"), "127.0.0.1:0", &[]).1, "data folder"), "bad", "is no folder");
}

#[test]
fn a_wrong_setting_is_bad_and_is_named_with_its_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, checks) = doctor(folder.path(), "127.0.0.1:0", &[("BANYAN_ORDERS__HOLD_SECS", "0")]);
    assert_eq!(code, 1);
    found(the(&checks, "settings"), "bad", "orders.hold_secs = 0 (variable BANYAN_ORDERS__HOLD_SECS)");
    let (_, checks) =
        doctor(folder.path(), "127.0.0.1:0", &[("BANYAN_DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x")]);
    found(the(&checks, "PostgreSQL"), "bad", "127.0.0.1:1/x of inventory, notifications, orders, payments");
    assert!(!format!("{checks:?}").contains("hunter2"));
}

#[test]
fn a_server_of_postgresql_is_asked_how_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = testkit::Postgres::shared();
    let url = server.database();
    let (code, checks) = doctor(folder.path(), "127.0.0.1:0", &[("BANYAN_DATABASE_URL", &url)]);
    assert_eq!(code, 0);
    found(the(&checks, "PostgreSQL"), "ok", "it waits for its disk");
    server.sql(&url, "CREATE ROLE doctor_small LOGIN");
    let small = url.replacen("postgres@", "doctor_small@", 1);
    let (code, checks) = doctor(folder.path(), "127.0.0.1:0", &[("BANYAN_DATABASE_URL", &small)]);
    assert_eq!(code, 1);
    found(the(&checks, "PostgreSQL"), "bad", "its user may make no roles");
    let forgetful = testkit::Postgres::own_with(&[("fsync", "off")]);
    let url = forgetful.database();
    let (_, checks) = doctor(folder.path(), "127.0.0.1:0", &[("BANYAN_DATABASE_URL", &url)]);
    found(the(&checks, "PostgreSQL"), "bad", "fsync is off");
}

#[test]
fn off_a_terminal_it_is_a_plain_line_for_each_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let (code, out, said) = run(&mut banyan(&["doctor", "--data", data, "--listen", "127.0.0.1:0"]));
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert!(out.lines().all(|line| ["ok    ", "warn  "].iter().any(|grade| line.starts_with(grade))), "{out}");
    assert!(!holds(folder.path(), "inventory.db"), "nothing was made");
}

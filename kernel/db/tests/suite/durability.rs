//! What was answered survives a power cut: the disk had confirmed it before.

use std::collections::BTreeSet;
use std::io::Read;

use db::{Database, Location, Options, Query};
use testkit::Postgres;
use world::World;

use crate::child::told;
use crate::tally::{MIGRATIONS, open, options, wait};

/// Says what is wrong if an answer went out before the log had reached the disk.
///
/// The trace holds a line for each system call, or two for one during which another thread spoke.
fn check(trace: &str) -> Result<(), String> {
    let (mut answers, mut synced, mut unsynced) = (0, false, false);
    let mut under_way = BTreeSet::new();
    for line in trace.lines() {
        let (process, call) = line.trim_start().split_once(char::is_whitespace).unwrap_or_default();
        let call = call.trim_start();
        let on_the_log = call.contains("tally.db-wal>");
        if call.contains("\"answered ") {
            if unsynced {
                return Err(format!("answer {answers} went out while the disk had not confirmed the log"));
            }
            if !synced {
                return Err(format!("answer {answers} went out without anything having been confirmed"));
            }
            (answers, synced) = (answers + 1, false);
        } else if call.starts_with("pwrite64(") && on_the_log {
            unsynced = true;
        } else if (call.starts_with("fsync(") || call.starts_with("fdatasync(")) && on_the_log {
            if call.ends_with("= 0") {
                (synced, unsynced) = (true, false);
            } else {
                under_way.insert(process.to_owned());
            }
        } else if call.contains("sync resumed>") && under_way.remove(process) && call.ends_with("= 0") {
            (synced, unsynced) = (true, false);
        }
    }
    if answers == 20 { Ok(()) } else { Err(format!("{answers} answers were seen:\n{trace}")) }
}

/// The system calls of a process that answers commands.
fn trace(what: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (location, out) = (Location::File(folder.path().join("tally.db")), folder.path().join("trace"));
    let out_name = out.to_str().expect("a name in UTF-8");
    let strace = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,pwrite64,write", "-o", out_name];
    let mut child = told(&strace, what, &location)
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs strace ({error}); install it: apt-get install -y strace"));
    let mut said = String::new();
    child.stderr.take().expect("it was asked for").read_to_string(&mut said).expect("a pipe");
    assert!(child.wait().expect("it ends").success(), "{said}");
    std::fs::read_to_string(out).expect("strace wrote it")
}

#[test]
fn an_answer_goes_out_after_the_disk_has_confirmed_the_log() {
    assert_eq!(check(&trace("answer")), Ok(()));
}

#[test]
fn an_answer_that_does_not_wait_for_the_disk_is_found_out() {
    let found = check(&trace("answer without waiting"));
    assert!(found.as_ref().is_err_and(|why| why.contains("went out")), "{found:?}");
}

#[test]
fn a_postgresql_that_would_lose_what_it_confirmed_is_refused() {
    let postgres = Postgres::own_with(&[("fsync", "off")]);
    let location = Location::Postgres(postgres.database());
    let refused = Database::open("tally", location.clone(), options(), World::real(), MIGRATIONS);
    let said = refused.expect_err("refused").to_string();
    assert!(said.contains("fsync=off"), "{said}");
    open(location, Options { allow_fsync_off: true, ..options() });
}

#[test]
fn commits_on_postgresql_wait_for_the_disk() {
    let tallies = open(Location::Postgres(Postgres::shared().database()), options());
    let sql =
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes')";
    let rows = wait(tallies.database.write(move |tx| tx.rows(Query::sql(sql, [])))).expect("a read");
    let mut row = rows.into_iter().next().expect("a row").columns();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(row.text().as_deref(), Ok("on"), "{setting}");
    }
}

//! What was answered survives a power cut: the disk had confirmed it before.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use db::{Database, Location, Options, Plan, Query};
use testkit::Postgres;
use world::World;

use crate::child::{AT_ONCE, IN_THE_BATCH, told};
use crate::tally::{Command, MIGRATIONS, Tallies, asked, open, options, wait};

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
            if is_done(call) {
                (synced, unsynced) = (true, false);
            } else {
                under_way.insert(process.to_owned());
            }
        } else if call.contains("sync resumed>") && under_way.remove(process) && is_done(call) {
            (synced, unsynced) = (true, false);
        }
    }
    if answers == 20 { Ok(()) } else { Err(format!("{answers} answers were seen:\n{trace}")) }
}

/// Says what is wrong if an answer went out although the disk had not begun to confirm the log since
/// that was asked for: then what it confirmed cannot be what was answered.
fn check_many(trace: &str) -> Result<(), String> {
    let mut asked = BTreeMap::new();
    let mut under_way = BTreeMap::new();
    let (mut latest_confirmed, mut answers) = (None, 0);
    for (line, text) in trace.lines().enumerate() {
        let (process, call) = text.trim_start().split_once(char::is_whitespace).unwrap_or_default();
        let call = call.trim_start();
        let is_sync = call.starts_with("fsync(") || call.starts_with("fdatasync(");
        if let Some(number) = number_after(call, "\"asked ") {
            asked.insert(number, line);
        } else if let Some(number) = number_after(call, "\"answered ") {
            if latest_confirmed < asked.get(&number).copied() {
                return Err(format!("answer {number} went out before the disk had confirmed it"));
            }
            answers += 1;
        } else if is_sync && call.contains("tally.db-wal>") {
            under_way.insert(process.to_owned(), line);
        }
        let is_confirmed = call.contains("sync(") || call.contains("sync resumed>");
        if is_confirmed
            && is_done(call)
            && let Some(began) = under_way.remove(process)
        {
            latest_confirmed = latest_confirmed.max(Some(began));
        }
    }
    let (clients, each) = AT_ONCE;
    if answers == clients * each { Ok(()) } else { Err(format!("{answers} answers were seen:\n{trace}")) }
}

/// Whether a call has succeeded, be it that the tracer made it wait before.
fn is_done(call: &str) -> bool {
    call.trim_end_matches("(DELAYED)").trim_end().ends_with("= 0")
}

fn number_after(call: &str, word: &str) -> Option<usize> {
    let rest = &call[call.find(word)? + word.len()..];
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What a process says that answers commands on a disk that takes its time, and the system calls that it makes.
fn traced(what: &str, calls: &str) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (location, out) = (Location::File(folder.path().join("tally.db")), folder.path().join("trace"));
    let out_name = out.to_str().expect("a name in UTF-8");
    let slowly = "inject=fsync,fdatasync:delay_enter=5000";
    let strace = ["strace", "-f", "-y", "-qq", "-e", calls, "-e", slowly, "-o", out_name];
    let mut child = told(&strace, what, &location)
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs strace ({error}); install it: apt-get install -y strace"));
    let mut said = String::new();
    child.stderr.take().expect("it was asked for").read_to_string(&mut said).expect("a pipe");
    assert!(child.wait().expect("it ends").success(), "{said}");
    (said, std::fs::read_to_string(out).expect("strace wrote it"))
}

/// The system calls of a process that answers commands.
fn trace(what: &str) -> String {
    traced(what, "trace=fsync,fdatasync,pwrite64,write").1
}

#[test]
fn an_answer_goes_out_after_the_disk_has_confirmed_the_log() {
    assert_eq!(check(&trace("answer")), Ok(()));
}

#[test]
fn commands_that_run_alone_wait_for_the_disk_together() {
    let (said, _) = traced("answer one by one", "trace=fsync,fdatasync");
    let flushes = number_after(&said, "flushes ").expect("it says how often it was waited for the disk");
    assert!((1..IN_THE_BATCH / 2).contains(&flushes), "{flushes}");
}

#[test]
fn answers_to_many_wait_for_the_disk_while_the_next_batch_is_performed() {
    assert_eq!(check_many(&trace("answer many at once")), Ok(()));
}

#[test]
fn an_answer_that_does_not_wait_for_the_disk_is_found_out() {
    let found = check(&trace("answer without waiting"));
    assert!(found.as_ref().is_err_and(|why| why.contains("went out")), "{found:?}");
}

#[test]
fn the_desk_waits_for_the_disk_itself_only_where_nothing_else_waits_for_the_desk() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tallies = open(Location::File(folder.path().join("tally.db")), options());
    let (tell, told) = mpsc::channel();
    let waited_on = |tallies: &mut Tallies, others: usize| {
        let commands = (0..=others).map(|_| asked(Command::TellThread { to: tell.clone() }));
        let waiting: Vec<_> = commands.map(|command| tallies.desk.ask(command)).collect();
        tallies.workers[0].turn(&Plan { requests: 1, ..Plan::ALL });
        let thread = told.recv_timeout(Duration::from_secs(10)).expect("it was committed");
        (thread, waiting)
    };
    let (alone, _) = waited_on(&mut tallies, 0);
    assert_eq!(alone, thread::current().id());
    let (beside_another, _waiting) = waited_on(&mut tallies, 1);
    assert_ne!(beside_another, thread::current().id());
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

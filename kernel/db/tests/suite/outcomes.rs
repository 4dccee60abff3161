//! How a commit ended, when the connection broke.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use db::{Failure, InMemory, Location, Options, Query, Refused, Turn};
use testkit::{Postgres, Proxy, eventually};

use crate::tally::{Command, NOTE, Tallies, add, asked, events, note, open, options, value, wait};

/// Tallies that reach their server through a network that breaks when told.
fn through_a_proxy() -> (Tallies, Proxy) {
    let (proxy, url) = Proxy::before(&Postgres::shared().database());
    let mut tallies = open(Location::Postgres(url), options());
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)));
    (tallies, proxy)
}

#[test]
fn a_commit_that_never_reached_the_server_has_failed() {
    let (mut tallies, proxy) = through_a_proxy();
    let trap = proxy.cut_before(b"COMMIT\0");
    let (turn, answers) = tallies.at_once(vec![add("a", 1), add("b", 1)]);
    assert!(trap.has_fired());
    assert_eq!(turn, Turn::Waits);
    for answer in answers {
        assert!(matches!(answer, Err(Refused::Failed(Failure::Unavailable(_)))), "{answer:?}");
    }
    assert_eq!((value(&tallies.database, "a"), events(&tallies.database)), (1, 1), "it was not run again");
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(2)), "the desk goes on");
}

#[test]
fn a_commit_whose_answer_was_lost_has_happened() {
    let (mut tallies, proxy) = through_a_proxy();
    let trap = proxy.cut_after(b"COMMIT\0");
    let (turn, answers) = tallies.at_once(vec![add("a", 1), add("b", 1)]);
    assert!(trap.has_fired());
    assert_eq!((turn, answers), (Turn::Performed(2), vec![Ok(Ok(2)), Ok(Ok(1))]));
    assert_eq!((value(&tallies.database, "a"), events(&tallies.database)), (2, 3), "once");
    // Its positions are not known, so readers are sent to the table.
    let ring = tallies.database.ring();
    eventually("readers hear of it", || *ring.newest().borrow() == 3);
    assert_eq!(ring.after(1, 10), InMemory::OnlyInTable);
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(3)), "the desk goes on");
}

#[test]
fn a_transaction_that_only_writes_can_be_asked_after_too() {
    let (tallies, proxy) = through_a_proxy();
    let keep = |name: &'static str| {
        wait(tallies.database.write(move |tx| {
            tx.insert(&NOTE, vec![vec![name.into(), db::Value::Null, 1.into()]]);
            Ok(())
        }))
    };
    let trap = proxy.cut_after(b"COMMIT\0");
    assert_eq!(keep("after"), Ok(()));
    assert!(trap.has_fired());
    let trap = proxy.cut_before(b"COMMIT\0");
    assert!(matches!(keep("before"), Err(Refused::Failed(Failure::Unavailable(_)))));
    assert!(trap.has_fired());
    assert_eq!((note(&tallies.database, "after"), note(&tallies.database, "before")), (Some(1), None));
}

#[test]
fn a_commit_that_nobody_can_be_asked_after_is_said_to_be_unknown() {
    let (mut tallies, proxy) = through_a_proxy();
    let trap = proxy.cut_after(b"COMMIT\0");
    proxy.refuse(true);
    let (turn, answers) = tallies.at_once(vec![add("a", 1)]);
    assert!(trap.has_fired());
    assert_eq!((turn, answers), (Turn::Waits, vec![Err(Refused::OutcomeUnknown)]));
    let (_, answers) = tallies.at_once(vec![add("a", 1)]);
    assert!(matches!(answers[0], Err(Refused::Failed(Failure::Unavailable(_)))), "{answers:?}");
    proxy.refuse(false);
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(3)), "it had happened, and once; the desk goes on");
}

#[test]
fn a_commit_that_nobody_can_be_asked_after_is_not_followed_by_others_of_its_batch() {
    let (mut tallies, proxy) = through_a_proxy();
    let trap = proxy.cut_after(b"COMMIT\0");
    proxy.refuse(true);
    let (turn, answers) = tallies.at_once(vec![asked(Command::Panic), add("a", 1), add("b", 1)]);
    assert!(trap.has_fired());
    let not_run = Failure::Unavailable("the connection broke before this one ran".into());
    assert_eq!(
        (turn, &answers[1..]),
        (Turn::Waits, &[Err(Refused::OutcomeUnknown), Err(Refused::Failed(not_run))][..])
    );
    proxy.refuse(false);
    assert_eq!((value(&tallies.database, "a"), value(&tallies.database, "b")), (2, 0));
}

/// After a crash the server gives the id of a transaction that its log does not know to another one.
#[test]
fn a_commit_of_another_transaction_that_got_the_same_id_proves_nothing() {
    let postgres = Postgres::own();
    let url = postgres.database();
    let (proxy, through) = Proxy::before(&url);
    let mut tallies = open(Location::Postgres(through), options());
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)));
    let trap = proxy.cut_before(b"COMMIT\0");
    proxy.refuse(true);
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the commit is cut", || trap.has_fired());
            postgres.kill();
            postgres.start();
            for _ in 0..4 {
                postgres.sql(&url, "SELECT pg_current_xact_id()");
            }
            proxy.refuse(false);
        });
        tallies.one(add("a", 1))
    });
    let is_honest = matches!(told, Err(Refused::Failed(Failure::Unavailable(_)) | Refused::OutcomeUnknown));
    assert!(is_honest, "{told:?}");
    assert_eq!(value(&tallies.database, "a"), 1);
}

#[test]
fn a_server_that_was_started_anew_is_found_by_the_first_who_asks() {
    let postgres = Postgres::own();
    let mut tallies = open(Location::Postgres(postgres.database()), Options { readers: 1, ..options() });
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)));
    assert_eq!(value(&tallies.database, "a"), 1);
    postgres.stop();
    postgres.start();
    assert_eq!(value(&tallies.database, "a"), 1);
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(2)));
    postgres.kill();
    assert!(matches!(tallies.one(add("a", 1)), Err(Refused::Failed(Failure::Unavailable(_)))));
    postgres.start();
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(3)));
    assert_eq!(value(&tallies.database, "a"), 3);
}

#[test]
fn a_statement_that_was_prepared_before_its_table_changed_is_prepared_anew() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let mut tallies = open(Location::Postgres(url.clone()), options());
    let read = |tallies: &Tallies| {
        let query = Query::sql("SELECT * FROM tally WHERE name = $1", ["a".into()]);
        wait(tallies.database.read(|read| read.rows(query)))
    };
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)));
    for _ in 0..4 {
        read(&tallies).expect("every reader has prepared it");
    }
    postgres.sql(&url, "ALTER TABLE tally.tally ADD COLUMN later BIGINT");
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(2)));
    for _ in 0..4 {
        read(&tallies).expect("it is prepared anew");
    }
}

/// What a client was told of a command that adds 1 to a tally of its own.
enum Told {
    Done,
    NotDone,
    Unknown,
}

#[test]
fn what_was_answered_survives_when_postgresql_is_killed_under_load() {
    let postgres = Postgres::own();
    let location = Location::Postgres(postgres.database());
    let running = open(location.clone(), Options { writers: 2, ..options() }).start();
    let stop = AtomicBool::new(false);
    let told: Vec<(String, Told)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..64)
            .map(|client| {
                let (desk, stop) = (&running.desk, &stop);
                scope.spawn(move || {
                    let mut told = Vec::new();
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let name = format!("{client}/{number}");
                        let said = match wait(desk.ask(add(&name, 1))) {
                            Ok(_) => Told::Done,
                            Err(Refused::OutcomeUnknown) => Told::Unknown,
                            Err(Refused::Failed(_)) => {
                                thread::sleep(Duration::from_millis(20));
                                Told::NotDone
                            }
                            Err(refused) => panic!("{refused}"),
                        };
                        told.push((name, said));
                    }
                    told
                })
            })
            .collect();
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(400));
            postgres.kill();
            postgres.start();
        }
        thread::sleep(Duration::from_millis(400));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    drop(running);
    let database = open(location, options()).database;
    let rows = wait(database.read(|read| read.rows(Query::sql("SELECT name, value FROM tally", [])))).expect("a read");
    let read = |row: db::Row| {
        let mut row = row.columns();
        (row.text().expect("a name"), row.int().expect("a value"))
    };
    let mut kept: std::collections::BTreeMap<_, _> = rows.into_iter().map(read).collect();
    assert_eq!(events(&database), kept.len(), "an event for each");
    let mut done = 0;
    for (name, told) in told {
        match (told, kept.remove(&name)) {
            (Told::Done, Some(1)) => done += 1,
            (Told::NotDone, None) | (Told::Unknown, None | Some(1)) => {}
            (Told::Done, found) => panic!("{name} was confirmed and is {found:?}"),
            (_, found) => panic!("{name} was not confirmed and is {found:?}"),
        }
    }
    assert!(kept.is_empty(), "nobody asked for {kept:?}");
    assert!(done > 100, "only {done} were answered");
}

//! Rows that somebody else holds.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use db::{Database, Failure, Location, Options, Query, Refused, Value};
use testkit::{Frozen, Postgres};
use world::World;

use crate::child::start_until;
use crate::tally::{Command, NOTE, TALLY, add, asked, events, open, options, value, wait};

#[test]
fn a_frozen_process_holds_up_only_who_wants_its_row_and_not_for_ever() {
    let location = Location::Postgres(Postgres::shared().database());
    let mut tallies = open(location.clone(), options());
    let (_, answers) = tallies.at_once(vec![add("held", 1), add("free", 1)]);
    assert_eq!(answers, [Ok(Ok(1)), Ok(Ok(1))]);
    let (mut child, _said) = start_until("hold", &location, "holding");
    let frozen = Frozen::process(child.id());

    let mut batch: Vec<_> = (0..60).map(|_| add("held", 1)).collect();
    batch.insert(20, add("free", 1));
    batch.push(add("free", 1));
    let world = World::real();
    let begun = world.now();
    let (_, mut answers) = tallies.at_once(batch);
    let took = world.now().since(begun);
    assert_eq!((answers.pop(), answers.remove(20)), (Some(Ok(Ok(3))), Ok(Ok(2))), "the others go on");
    for answer in answers {
        assert!(matches!(answer, Err(Refused::Failed(Failure::TimedOut(_)))), "{answer:?}");
    }
    assert!(took < Duration::from_secs(3), "a whole batch on a held row costs others {took:?}");

    // After its idle-in-transaction time-out the server ends the transaction of who does not move.
    while tallies.one(add("held", 1)).is_err() {
        assert!(world.now().since(begun) < Duration::from_secs(20), "the row is not free again");
    }
    assert_eq!(value(&tallies.database, "held"), 2);
    frozen.kill();
    child.wait().expect("it was killed");
}

/// Locks two rows one after the other, waiting in between until the other one has its first.
fn in_two_steps(database: &Database, first: &str, second: &str, both: &'static Barrier) -> Result<(), Refused> {
    let [first, second] = [first, second].map(|name| Query::by(&TALLY, "name", [name.into()]).locked());
    wait(database.write(move |tx| {
        tx.rows(first)?;
        both.wait();
        tx.rows(second).map(drop)
    }))
}

#[test]
fn two_transactions_that_lock_in_opposite_orders_meet_in_a_deadlock() {
    static BOTH: Barrier = Barrier::new(2);
    let location = Location::Postgres(Postgres::shared().database());
    let mut one = open(location.clone(), options());
    assert_eq!(one.one(asked(Command::Add { names: vec!["a".into(), "b".into()], by: 1 })), Ok(Ok(1)));
    let other = open(location, options());
    let (forth, back) = thread::scope(|scope| {
        let forth = scope.spawn(|| in_two_steps(&one.database, "a", "b", &BOTH));
        let back = in_two_steps(&other.database, "b", "a", &BOTH);
        (forth.join().expect("no panic"), back)
    });
    let is_deadlock = |ended: &Result<(), Refused>| matches!(ended, Err(Refused::Failed(Failure::Conflict(why))) if why.contains("deadlock"));
    assert!(is_deadlock(&forth) ^ is_deadlock(&back), "{forth:?} {back:?}");
    assert!(forth.is_ok() || back.is_ok(), "{forth:?} {back:?}");
}

#[test]
fn writers_whose_commands_overlap_in_any_order_never_deadlock() {
    const CLIENTS: usize = 64;
    const COMMANDS: usize = 8;
    let postgres = Postgres::shared();
    let url = postgres.database();
    let two_writers = || open(Location::Postgres(url.clone()), Options { writers: 2, ..options() }).start();
    let desks = [two_writers(), two_writers()];
    let world = World::simulated(4);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (desk, mut chance) = (&desks[client % 2].desk, world.chance(&client.to_string()));
            scope.spawn(move || {
                for round in 0..COMMANDS {
                    // Some that are there, some that several make at this moment, in a random order.
                    let mut names: Vec<_> = (0..6).map(|name| format!("old {name}")).collect();
                    names.extend((0..6).map(|name| format!("new {} {name}", round / 2)));
                    for place in (1..names.len()).rev() {
                        names.swap(place, chance.below(place + 1));
                    }
                    names.truncate(6);
                    let answer = wait(desk.ask(asked(Command::Add { names, by: 1 })));
                    assert!(matches!(answer, Ok(Ok(_))), "{answer:?}");
                }
            });
        }
    });
    assert_eq!(events(&desks[0].database), CLIENTS * COMMANDS * 6);
    let query = Query::sql("SELECT CAST(sum(value) AS BIGINT) FROM tally", []);
    let rows = wait(desks[0].database.read(|read| read.rows(query))).expect("a read");
    assert_eq!(rows[0].clone().columns().int(), Ok(i64::try_from(CLIENTS * COMMANDS * 6).expect("few")));
    let database = url.rsplit('/').next().expect("a name");
    let log = postgres.log();
    let met = log.lines().filter(|line| line.contains(&format!(" {database} ")) && line.contains("deadlock")).count();
    assert_eq!(met, 0, "{log}");
}

#[test]
fn two_that_make_the_same_rows_at_the_same_moment_do_not_deadlock() {
    static BOTH: Barrier = Barrier::new(2);
    let location = Location::Postgres(Postgres::shared().database());
    let [one, other] = [location.clone(), location].map(|location| open(location, options()).database);
    for round in 0..4 {
        let mut rows: Vec<_> =
            (0..4_000).map(|row| vec![format!("{round} {row}").into(), Value::Null, Value::Null]).collect();
        let make = |database: &Database, rows: Vec<Vec<Value>>| {
            wait(database.write(move |tx| {
                tx.rows(Query::by(&NOTE, "name", []))?;
                tx.insert(&NOTE, rows);
                BOTH.wait();
                Ok(())
            }))
        };
        let there = rows.clone();
        rows.reverse();
        let (forth, back) = thread::scope(|scope| {
            let forth = scope.spawn(|| make(&one, there));
            let back = make(&other, rows);
            (forth.join().expect("no panic"), back)
        });
        assert!(forth.is_ok() ^ back.is_ok(), "{forth:?} {back:?}");
        let Err(Refused::Failed(Failure::Conflict(why))) = forth.and(back) else { panic!("a conflict") };
        assert!(why.contains("duplicate key"), "{why}");
    }
}

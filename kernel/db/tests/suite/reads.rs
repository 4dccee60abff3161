//! What becomes of reads that wait: for a database that is away, or for nobody any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use db::{Database, Failure, Location, Options, Refused};
use futures_util::FutureExt;
use futures_util::future::join_all;
use testkit::{Postgres, Proxy};
use world::World;

use crate::tally::{everywhere, open, options, wait};

/// Keeps the only thread that reads until something is sent.
fn keeps_busy(database: &Database) -> Sender<()> {
    let ((go_on, waits), (begun, has_begun)) = (channel(), channel());
    let read = move |_: &mut db::Read<'_>| {
        begun.send(()).expect("the test is there");
        let _ = waits.recv();
        Ok(())
    };
    database.read_then(read, |_| {}).expect("it is taken");
    has_begun.recv().expect("the thread reads");
    go_on
}

fn one_reader() -> Options {
    Options { readers: 1, ..options() }
}

#[test]
fn reads_that_find_no_database_wait_for_it_together() {
    let (proxy, url) = Proxy::before(&Postgres::shared().database());
    let database = open(Location::Postgres(url), one_reader()).database;
    let go_on = keeps_busy(&database);
    let reads: Vec<_> = (0..8)
        .map(|_| Box::pin(database.read(|read| read.events_of(ids::Number::from_column(1)))))
        .map(|mut read| {
            assert!((&mut read).now_or_never().is_none(), "it waits for the thread");
            read
        })
        .collect();
    // Who connects now gets no answer, and waits for four seconds.
    proxy.cut();
    proxy.delay(Duration::from_secs(6));
    let (world, begun) = (World::real(), World::real().now());
    go_on.send(()).expect("the thread waits");
    for answer in wait(join_all(reads)) {
        assert!(matches!(answer, Err(Refused::Failed(Failure::Unavailable(_)))), "{answer:?}");
    }
    let waited = world.now().since(begun);
    assert!(waited < Duration::from_secs(16), "each waited by itself: {waited:?}");
    proxy.delay(Duration::ZERO);
}

#[test]
fn a_read_whose_answer_nobody_waits_for_is_not_run() {
    let (places, _folder) = everywhere();
    // In memory a read runs where it is asked for, and nobody can go away before.
    for (place, location) in places.into_iter().filter(|(place, _)| *place != "memory") {
        let database = open(location, one_reader()).database;
        let (go_on, ran) = (keeps_busy(&database), Arc::new(AtomicBool::new(false)));
        let noted = ran.clone();
        let unwanted = database.read(move |_| {
            noted.store(true, Ordering::SeqCst);
            Ok(())
        });
        assert!(unwanted.now_or_never().is_none(), "{place}: it waits for the thread");
        let wanted = Box::pin(database.read(|read| read.events_of(ids::Number::from_column(1))));
        go_on.send(()).expect("the thread waits");
        assert_eq!(wait(wanted), Ok(Vec::new()), "{place}");
        assert!(!ran.load(Ordering::SeqCst), "{place}");
    }
}

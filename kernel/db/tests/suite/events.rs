//! Events as they are numbered, kept in memory and read.

use std::sync::mpsc::channel;
use std::thread;

use db::{InMemory, Location, Options, Query};
use testkit::Postgres;

use crate::tally::{Running, add, events, everywhere, open, options, value, wait};

/// Adds to tallies from several threads, each command waiting for its answer.
fn hammer(desks: &[&Running], commands: usize) {
    thread::scope(|scope| {
        for client in 0..6 {
            let running = desks[client % desks.len()];
            scope.spawn(move || {
                for number in 0..commands {
                    assert!(wait(running.desk.ask(add(&format!("{client}/{number}"), 1))).is_ok());
                }
            });
        }
    });
}

/// Whether the events that a view sees are always all up to the newest: looked at many times while
/// something else runs.
fn watch_for_gaps(running: &Running, meanwhile: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let meanwhile = scope.spawn(meanwhile);
        while !meanwhile.is_finished() {
            let query = Query::sql("SELECT count(*), coalesce(max(position), 0) FROM event", []);
            let rows = wait(running.database.read(|read| read.rows(query))).expect("a read");
            let mut row = rows.into_iter().next().expect("a row").columns();
            assert_eq!(row.int(), row.int(), "an event became visible before one with a lower position");
        }
    });
}

#[test]
fn positions_have_no_gaps_and_follow_the_commits_of_all_writers() {
    let url = Postgres::shared().database();
    let two_writers = || open(Location::Postgres(url.clone()), Options { writers: 2, ..options() }).start();
    let (one, other) = (two_writers(), two_writers());
    watch_for_gaps(&one, || hammer(&[&one, &other], 60));
    assert_eq!(events(&one.database), 360);
    assert_eq!(events(&other.database), 360);
}

#[test]
fn the_ring_gives_what_the_table_holds() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let running = open(location, Options { writers: 2, ..options() }).start();
        hammer(&[&running], 30);
        let told = wait(running.database.read(|read| read.events_after(0, 1_000))).expect("a read");
        assert_eq!(told.len(), 180, "{place}");
        let ring = running.database.ring();
        assert_eq!(*ring.newest().borrow(), 180, "{place}");
        for after in 0..180_i64 {
            let InMemory::All(kept) = ring.after(after, 1_000) else { continue };
            let kept: Vec<_> = kept.iter().map(|event| event.as_ref().clone()).collect();
            let first = usize::try_from(after).expect("not below zero");
            assert_eq!(kept, told[first..first + kept.len()], "{place}");
        }
        // Whatever two writers have let go of, it keeps what is said next.
        wait(running.desk.ask(add("a", 1))).expect("it is added").expect("no rule says no");
        assert!(matches!(ring.after(180, 1_000), InMemory::All(kept) if kept.len() == 1), "{place}");
        if place != "postgres" {
            assert!(matches!(ring.after(0, 1_000), InMemory::All(kept) if kept.len() == 181), "{place}: one writer");
        }
    }
}

#[test]
fn a_view_goes_as_far_as_it_did_when_it_was_opened_whatever_is_said_meanwhile() {
    let (places, _folder) = everywhere();
    // In memory nobody writes while somebody reads.
    for (place, location) in places.into_iter().filter(|(place, _)| *place != "memory") {
        let running = open(location, options()).start();
        let desk = running.desk.clone();
        let add_one = move || assert!(wait(desk.ask(add("a", 1))).is_ok());
        (0..3).for_each(|_| add_one());
        let positions = |news: Vec<db::Envelope>| news.iter().map(|event| event.position).collect::<Vec<_>>();
        let read = move |read: &mut db::Read<'_>| {
            let first = read.news_after(1, 1)?;
            add_one();
            Ok([first, read.news_after(3, 9)?, (read.newest_event()?, Vec::new()), read.news_after(0, 9)?])
        };
        let seen = wait(running.database.read(read)).expect("a read").map(|(newest, news)| (newest, positions(news)));
        assert_eq!(seen, [(3, vec![2]), (3, vec![]), (3, vec![]), (3, vec![1, 2, 3])], "{place}");
        let now = wait(running.database.read(|read| read.news_after(2, 9))).expect("a read");
        assert_eq!((now.0, positions(now.1)), (4, vec![3, 4]), "{place}");
    }
}

#[test]
fn a_database_learns_of_what_another_process_said() {
    let url = Postgres::shared().database();
    let mut one = open(Location::Postgres(url.clone()), options());
    let other = open(Location::Postgres(url), options());
    assert_eq!(one.one(add("a", 1)), Ok(Ok(1)));
    let ring = other.database.ring();
    assert_eq!(ring.after(0, 10), InMemory::All(Vec::new()), "nobody has told it yet");
    let woken = ring.newest();
    wait(other.database.learn_of_news()).expect("a read");
    assert_eq!(*woken.borrow(), 1);
    assert_eq!(ring.after(0, 10), InMemory::OnlyInTable);
    assert_eq!(events(&other.database), 1);
}

#[test]
fn a_view_shows_one_state_however_long_it_is_open() {
    // In memory a view keeps writers waiting instead.
    let (places, _folder) = everywhere();
    for (place, location) in places.into_iter().filter(|(place, _)| *place != "memory") {
        let mut tallies = open(location, options());
        assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)), "{place}");
        let (tell_open, open) = channel();
        let (tell_written, written) = channel();
        let (tell_seen, seen) = channel();
        let view = move |read: &mut db::Read<'_>| {
            let mut look = || {
                let rows = read.rows(Query::sql("SELECT value FROM tally WHERE name = $1", ["a".into()]))?;
                rows.into_iter().next().expect("a row").columns().int()
            };
            let before = look()?;
            tell_open.send(()).expect("somebody waits");
            written.recv().expect("somebody writes");
            Ok((before, look()?))
        };
        let begun = tallies.database.read_then(view, move |saw| tell_seen.send(saw).expect("somebody waits"));
        begun.expect("a thread reads");
        open.recv().expect("the view opens");
        assert_eq!(tallies.one(add("a", 1)), Ok(Ok(2)), "{place}");
        tell_written.send(()).expect("the view waits");
        assert_eq!(seen.recv().expect("the view ends"), Ok((1, 1)), "{place}");
        assert_eq!(value(&tallies.database, "a"), 2, "{place}");
    }
}

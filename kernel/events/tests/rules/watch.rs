//! Waiting for what a feed will say.

use std::future::Future;
use std::pin::pin;

use db::{Context, Database, Envelope, Location, MemoryDisk, NewEvent, Options, Trace};
use events::Watch;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use ids::Number;
use world::World;

fn service(disk: &MemoryDisk) -> Database {
    let location = Location::Memory(disk.clone());
    Database::open("orders", location, Options::default(), World::simulated(1), &[]).expect("a database")
}

/// Says something of each of these subjects, in one transaction.
fn say(service: &Database, first_version: i64, kind: &'static str, subjects: Vec<String>) {
    let said = service.write(move |tx| {
        for (version, subject) in (first_version..).zip(subjects) {
            let by = Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true });
            let (stream, body, occurred_at) = (Number::from_column(1), "{}".to_owned(), tx.now());
            tx.publish(NewEvent { stream, version, subject, kind, schema: 1, occurred_at, by, body });
        }
        Ok(())
    });
    said.now_or_never().expect("memory answers at once").expect("it is said");
}

fn ends(event: &Envelope) -> bool {
    event.kind.as_ref() == "Ended"
}

/// Lets the watch run until somebody has heard what they wait for.
fn run<T>(watch: &Watch, service: &Database, until: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let watching = pin!(watch.clone().run(service.clone()));
        match select(watching, pin!(until)).await {
            Either::Left(((), _)) => panic!("the watch has ended"),
            Either::Right((heard, _)) => heard,
        }
    })
}

fn of(subjects: &[&str]) -> Vec<String> {
    subjects.iter().map(ToString::to_string).collect()
}

#[test]
fn who_waits_hears_of_the_end_and_of_nothing_before_it() {
    let service = service(&MemoryDisk::empty());
    let watch = Watch::for_events(ends);
    let (told, other) = (watch.ended("o-1"), watch.ended("o-2"));
    let event = run(&watch, &service, async {
        tokio::task::yield_now().await;
        say(&service, 1, "Begun", of(&["o-1", "o-2"]));
        say(&service, 3, "Ended", of(&["o-3", "o-1"]));
        told.await.expect("it is told")
    });
    assert_eq!((event.position, event.subject.as_ref(), event.kind.as_ref()), (4, "o-1", "Ended"));
    assert!(other.now_or_never().is_none(), "another's end is none of theirs");
}

#[test]
fn all_who_wait_for_one_end_hear_of_it_once() {
    let service = service(&MemoryDisk::empty());
    let watch = Watch::for_events(ends);
    let (one, other) = (watch.ended("o-1"), watch.ended("o-1"));
    let (one, other) = run(&watch, &service, async {
        tokio::task::yield_now().await;
        say(&service, 1, "Ended", of(&["o-1"]));
        (one.await.expect("it is told"), other.await.expect("it is told"))
    });
    assert_eq!((one.position, other.position), (1, 1));
    assert!(!format!("{watch:?}").contains("o-1"), "nobody waits any more");
}

#[test]
fn what_was_said_before_it_began_to_watch_ends_nothing() {
    let disk = MemoryDisk::empty();
    let service = service(&disk);
    let watch = Watch::for_events(ends);
    say(&service, 1, "Ended", of(&["o-1"]));
    let (told, next) = (watch.ended("o-1"), watch.ended("o-2"));
    run(&watch, &service, async {
        tokio::task::yield_now().await;
        say(&service, 2, "Ended", of(&["o-2"]));
        next.await.expect("it is told")
    });
    assert!(told.now_or_never().is_none());
}

#[test]
fn an_end_that_another_process_has_said_is_heard_here_however_much_was_said_before() {
    let disk = MemoryDisk::empty();
    let (service, another) = (service(&disk), service(&disk));
    let watch = Watch::for_events(ends);
    let told = watch.ended("o-1");
    let event = run(&watch, &service, async {
        tokio::task::yield_now().await;
        say(&another, 1, "Begun", vec!["o-1".to_owned(); 3_000]);
        say(&another, 3_001, "Ended", of(&["o-1"]));
        service.learn_of_news().await.expect("it learns");
        told.await.expect("it is told")
    });
    assert_eq!(event.position, 3_001);
}

#[test]
fn who_has_gone_away_is_forgotten() {
    let watch = Watch::for_events(ends);
    let (stays, leaves) = (watch.ended("o-1"), watch.ended("o-1"));
    drop(watch.ended("o-2"));
    let known = format!("{watch:?}");
    assert!(known.contains("o-1") && !known.contains("o-2"), "{known}");
    drop(leaves);
    assert_eq!(format!("{watch:?}").matches("Sender").count(), 1, "only one of them still waits");
    drop(stays);
    assert!(!format!("{watch:?}").contains("o-1"));
}

#[test]
fn who_was_told_and_waits_anew_is_told_again() {
    let service = service(&MemoryDisk::empty());
    let watch = Watch::for_events(ends);
    let mut told = watch.ended("o-1");
    let event = run(&watch, &service, async {
        tokio::task::yield_now().await;
        say(&service, 1, "Ended", of(&["o-1"]));
        (&mut told).await.expect("it is told");
        let again = watch.ended("o-1");
        drop(told);
        say(&service, 2, "Ended", of(&["o-1"]));
        again.await.expect("it is told")
    });
    assert_eq!(event.position, 2);
}

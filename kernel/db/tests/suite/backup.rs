//! Copies of several files as they were in one moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use db::{Copied, Cut, Database, Location, Options, check_file};
use world::World;

use crate::tally::{Command, MIGRATIONS, add, asked, everywhere, open, options, value, wait};

/// A copy of the files of two services, between which lie as many others as there are.
fn copy(from: &Path, to: &Path, others: &[PathBuf]) -> [Copied; 2] {
    let files = ["cause.db", "effect.db"];
    let [cause, effect] = files.map(|file| from.join(file));
    let mut cut =
        Cut::prepare([&cause].into_iter().chain(others).chain([&effect]).cloned()).expect("the files are there");
    cut.take().expect("a cut");
    files.map(|file| cut.copy_database(&from.join(file), &to.join(file)).expect("a copy"))
}

fn at(folder: &Path, service: &str) -> Location {
    Location::File(folder.join(format!("{service}.db")))
}

#[test]
fn no_copy_of_a_cut_has_heard_of_what_another_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(at(folder.path(), "other"), options()));
    // To look at all of them takes longer than a change and what follows from it.
    let others: Vec<_> = (0..60).map(|number| folder.path().join(format!("other-{number}.db"))).collect();
    for other in &others {
        fs::copy(folder.path().join("other.db"), other).expect("a copy");
    }
    let [cause, effect] = ["cause", "effect"].map(|service| open(at(folder.path(), service), options()).start());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = EndsWithIt(&done);
        // Each is told of something only after it was done elsewhere.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                wait(cause.desk.ask(add("a", 1))).expect("it is added").expect("no rule says no");
                wait(effect.desk.ask(add("a", 1))).expect("it is added").expect("no rule says no");
            }
        });
        for number in 0..30 {
            let to = folder.path().join(format!("copy-{number}"));
            fs::create_dir(&to).expect("a folder");
            let copied = copy(folder.path(), &to, &others);
            let [cause, effect] = ["cause", "effect"].map(|service| open(at(&to, service), options()).database);
            assert_eq!(
                [&cause, &effect].map(Database::incarnation),
                copied.each_ref().map(|copied| copied.incarnation)
            );
            let [done, known] = [value(&cause, "a"), value(&effect, "a")];
            assert!(known <= done && done <= known + 1, "{known} of {done} were heard of");
        }
    });
}

/// Sets it when it goes, also where the test fails: the other thread would work for ever.
struct EndsWithIt<'a>(&'a AtomicBool);

impl Drop for EndsWithIt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_copy_is_one_file_that_holds_what_had_only_reached_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    for service in ["cause", "effect"] {
        let running = open(at(folder.path(), service), options()).start();
        for _ in 0..50 {
            wait(running.desk.ask(asked(Command::Say { bytes: 10_000 })))
                .expect("it is said")
                .expect("no rule says no");
        }
        wait(running.desk.ask(add("a", 7))).expect("it is added").expect("no rule says no");
        if service == "effect" {
            let to = folder.path().join("copy");
            fs::create_dir(&to).expect("a folder");
            let [_, copied] = copy(folder.path(), &to, &[]);
            assert!(copied.newest >= 50, "{copied:?}");
            let files: Vec<_> =
                fs::read_dir(&to).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
            assert_eq!(files.len(), 2, "{files:?}");
            assert_eq!(value(&open(at(&to, "effect"), options()).database, "a"), 7);
        }
    }
}

#[test]
fn a_file_with_a_broken_page_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    for service in ["cause", "effect"] {
        let running = open(at(folder.path(), service), options()).start();
        wait(running.desk.ask(asked(Command::Say { bytes: 10_000 }))).expect("it is said").expect("no rule says no");
    }
    let to = folder.path().join("copy");
    fs::create_dir(&to).expect("a folder");
    copy(folder.path(), &to, &[]);
    let path: PathBuf = to.join("cause.db");
    assert_eq!(check_file(&path), Ok(()));
    let mut bytes = fs::read(&path).expect("a file");
    for byte in &mut bytes[4_096..8_192] {
        *byte = !*byte;
    }
    fs::write(&path, bytes).expect("it is damaged");
    assert!(check_file(&path).is_err_and(|fault| fault.to_string().contains("cause.db")));
}

#[test]
fn a_restored_database_begins_a_life_after_all_before_also_where_the_clock_is_behind() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let life = |world: &World, restored| {
            let options = Options { restored, ..options() };
            let database = Database::open("tally", location.clone(), options, world.clone(), MIGRATIONS);
            database.expect("it opens").incarnation()
        };
        let (ahead, behind) = (World::simulated(1), World::simulated(1));
        ahead.advance(Duration::from_secs(3_600));
        let first = life(&ahead, false);
        let second = life(&behind, true);
        assert!(second > first, "{place}: {first} {second}");
        assert_eq!(life(&behind, false), second, "{place}: it stays after the next start");
    }
}

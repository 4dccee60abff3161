//! How a database comes to the shape that a release expects.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use db::{AtRest, Database, Failure, Location, MemoryDisk, Migration, Query, describe};
use world::World;

use crate::child::told;
use crate::tally::{MIGRATIONS, add, events, everywhere, open, options, wait};

fn opened(location: &Location, migrations: &[Migration]) -> Result<Database, String> {
    Database::open("tally", location.clone(), options(), World::real(), migrations).map_err(|error| error.to_string())
}

fn tables(database: &Database) -> Vec<String> {
    wait(database.read(describe)).expect("a read")
}

#[test]
fn the_same_migrations_make_the_same_tables_on_both_databases() {
    let (places, _folder) = everywhere();
    let told: Vec<_> = places.iter().map(|(_, location)| tables(&open(location.clone(), options()).database)).collect();
    assert_eq!(told[1], told[2], "SQLite and PostgreSQL");
    assert_eq!(told[0], told[1], "memory and a file");
    for line in [
        "event.market TEXT",
        "event.position BIGINT NOT NULL",
        "event PRIMARY KEY (position)",
        "event UNIQUE INDEX event_stream (stream, version)",
        "note.name TEXT NOT NULL",
        "parked_event INDEX parked_event_due (source, due_at, position)",
        "parked_event INDEX parked_event_subject (subject, position)",
        "stored_answer UNIQUE INDEX stored_answer_name (name)",
    ] {
        assert!(told[1].iter().any(|told| told == line), "{line} is missing:\n{}", told[1].join("\n"));
    }
}

#[test]
fn tables_that_differ_are_described_differently() {
    let shape = |sql| {
        let location = Location::Memory(MemoryDisk::empty());
        let database = opened(&location, &[Migration { number: 1, name: "t", sql }]).expect("it opens");
        tables(&database)
            .into_iter()
            .filter(|line| line.starts_with("t.") || line.starts_with("t "))
            .collect::<Vec<_>>()
    };
    let written = shape("CREATE TABLE t (\n    a BIGINT NOT NULL,\n    b TEXT,\n    PRIMARY KEY (a, b)\n);");
    assert_eq!(written, ["t PRIMARY KEY (a, b)", "t.a BIGINT NOT NULL", "t.b TEXT NOT NULL"]);
    for other in [
        "CREATE TABLE t (\n    a BIGINT NOT NULL,\n    b TEXT,\n    PRIMARY KEY (b, a)\n);",
        "CREATE TABLE t (\n    a TEXT NOT NULL,\n    b TEXT,\n    PRIMARY KEY (a, b)\n);",
        "CREATE TABLE t (\n    a BIGINT,\n    b TEXT,\n    UNIQUE (a, b)\n);",
        "CREATE TABLE t (\n    a BIGINT NOT NULL,\n    b TEXT,\n    PRIMARY KEY (a, b)\n);\nCREATE INDEX i ON t (b);",
    ] {
        assert_ne!(shape(other), written, "{other}");
    }
}

#[test]
fn several_processes_that_start_at_once_migrate_once() {
    let (places, folder) = everywhere();
    let mut places: Vec<_> = places.into_iter().filter(|(place, _)| *place != "memory").collect();
    places.extend((0..4).map(|number| ("sqlite", Location::File(folder.path().join(format!("{number}.db"))))));
    for (place, location) in places {
        let start = |_| told(&[], "open", &location).spawn().expect("this program runs once more");
        for child in (0..4).map(start).collect::<Vec<_>>() {
            let ended = child.wait_with_output().expect("it ends");
            assert!(ended.status.success(), "{place}: {}", String::from_utf8_lossy(&ended.stderr));
        }
        let database = opened(&location, MIGRATIONS).expect("it opens");
        let query = Query::sql("SELECT count(*) FROM migration", []);
        let rows = wait(database.read(|read| read.rows(query))).expect("a read");
        assert_eq!(rows[0].clone().columns().int(), Ok(6), "{place}");
    }
}

#[test]
fn a_migration_that_was_tampered_with_is_refused() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location.clone(), options());
        assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)), "{place}");
        let tampered = [Migration { sql: "CREATE TABLE tally (\n    name TEXT\n);", ..MIGRATIONS[0] }, MIGRATIONS[1]];
        let said = opened(&location, &tampered).expect_err("refused");
        assert!(said.contains("tally/1 (tallies) is not the one that ran"), "{place}: {said}");
        assert_eq!(events(&opened(&location, MIGRATIONS).expect("untouched")), 1, "{place}");
    }
}

#[test]
fn a_database_that_a_newer_release_has_migrated_opens_with_a_warning() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let newest = Migration { number: 7, name: "of-the-future", sql: "CREATE TABLE later (\n    a BIGINT\n);" };
        drop(opened(&location, &[MIGRATIONS[0], MIGRATIONS[1], newest]).expect("it opens"));
        let heard_before = heard().matches("of-the-future").count();
        assert_eq!(events(&opened(&location, MIGRATIONS).expect("it opens")), 0, "{place}");
        let heard = heard();
        assert_eq!(heard.matches("of-the-future").count(), heard_before + 1, "{place}: {heard}");
    }
}

#[test]
fn a_migration_that_fails_leaves_nothing_behind() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        drop(opened(&location, &[]).expect("it opens"));
        let before = tables(&opened(&location, &[]).expect("it opens"));
        let half = "CREATE TABLE half (\n    a BIGINT\n);\nCREATE TABLE half (\n    a BIGINT\n);";
        let broken = Migration { number: 3, name: "broken", sql: half };
        let said = opened(&location, &[MIGRATIONS[0], MIGRATIONS[1], broken]).expect_err("refused");
        assert!(said.contains("half"), "{place}: {said}");
        assert_eq!(tables(&opened(&location, &[]).expect("it opens")), before, "{place}");
        opened(&location, MIGRATIONS).expect("the right ones run");
    }
}

#[test]
fn a_file_at_rest_is_read_in_the_shape_of_this_release_and_never_brought_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tally.db");
    let location = Location::File(path.clone());
    let at_rest = |migrations: &[Migration]| AtRest::open("tally", &path, &World::real(), migrations);
    drop(opened(&location, &MIGRATIONS[..1]).expect("it opens"));
    let said = at_rest(MIGRATIONS).expect_err("an older shape").to_string();
    assert!(said.contains("migration tally/2") && said.contains("has not run"), "{said}");
    let mut tallies = open(location, options());
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)));
    let life = tallies.database.incarnation();
    drop(tallies);
    let read = at_rest(MIGRATIONS).expect("it opens").read(|read| read.events_after(0, 10));
    let lives: Vec<_> = read.expect("events").iter().map(|event| event.incarnation).collect();
    assert_eq!(lives, [life]);
    let write = Query::sql("DELETE FROM event", []);
    let written = at_rest(MIGRATIONS).expect("it opens").read(|read| read.rows(write));
    assert!(written.expect_err("nothing is written").to_string().contains("readonly"));
    let panicked = at_rest(MIGRATIONS).expect("it opens").read(|_| -> Result<(), _> { panic!("in here") });
    assert_eq!(panicked, Err(Failure::Panicked("in here".into())));
    std::fs::write(folder.path().join("text.db"), "a text, and by no means a database").expect("a file");
    assert!(AtRest::open("tally", &folder.path().join("text.db"), &World::real(), MIGRATIONS).is_err());
    assert!(AtRest::open("tally", &folder.path().join("none.db"), &World::real(), MIGRATIONS).is_err());
    assert!(!folder.path().join("none.db").exists());
}

/// The warnings that were logged so far in this process.
fn heard() -> String {
    static HEARD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    struct Ear;
    impl Write for Ear {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            HEARD.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static LISTENING: OnceLock<()> = OnceLock::new();
    LISTENING.get_or_init(|| {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(|| Ear).finish();
        tracing::subscriber::set_global_default(log).expect("nobody else listens");
    });
    String::from_utf8_lossy(&HEARD.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

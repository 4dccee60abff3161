//! Copies of several files as they were in one moment, taken while programs work on them: the databases
//! of services, and what lies beside them.
//!
//! ```text
//! prepare ─▶ take: every writer waits ─▶ a view of each file ─▶ they go on ─▶ copy each view, look at the copy
//!                  └──────────── some milliseconds ────────────┘
//! ```
//!
//! The locks are those of `SQLite`, so it does not matter which process a service runs in, or whether
//! it runs. Nothing is written to the files.
//!
//! **Invariant:** of all copies of one cut, none has heard of what another does not know: a consumer
//! whose effect is in its copy finds the event in the producer's.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ids::Number;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::Failure;
use crate::outbox::Position;
use crate::sqlite::failure;

/// A cut through several files.
#[derive(Debug)]
pub struct Cut {
    files: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    /// Holds the writers up.
    holding: Connection,
    /// Sees the file as it was.
    view: Connection,
}

/// The database of a service as it was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The life of the database.
    pub incarnation: Number,
    /// The position of its newest event.
    pub newest: Position,
    /// Migrations that have run on it.
    pub migrations: i64,
}

/// How long a writer may take to end its transaction.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pages that are copied at once: 2 MiB.
const PAGES_AT_ONCE: i32 = 512;
/// How long others have the disk to themselves in between.
const PAUSE: Duration = Duration::from_millis(4);
/// How often a page that somebody else holds is tried again.
const MOST_TRIES: usize = 1_000;

impl Cut {
    /// Opens these files.
    pub fn prepare(files: impl IntoIterator<Item = PathBuf>) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(PATIENCE)?;
            // Where nobody else has the file open, its log stays as it is.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // Read once, so that the cut itself waits for nothing but writers.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        };
        let held = |path: PathBuf| {
            let said = |error| failure(error).of(path.display());
            let (holding, view) = (open(&path).map_err(said)?, open(&path).map_err(said)?);
            Ok(Held { path, holding, view })
        };
        let files = files.into_iter().map(held).collect::<Result<_, Failure>>()?;
        Ok(Self { files })
    }

    /// Takes the cut: for that moment, nobody writes to any of the files.
    pub fn take(&mut self) -> Result<(), Failure> {
        let taken = self.hold_and_look();
        // Whether it could be taken or not, the writers go on.
        for Held { holding, .. } in self.files.iter().filter(|file| !file.holding.is_autocommit()) {
            holding.execute_batch("ROLLBACK").map_err(failure)?;
        }
        taken
    }

    fn hold_and_look(&self) -> Result<(), Failure> {
        for Held { path, holding, .. } in &self.files {
            holding.execute_batch("BEGIN IMMEDIATE").map_err(|error| failure(error).of(path.display()))?;
        }
        for Held { path, view, .. } in &self.files {
            // A view begins with the first look.
            let looked = view.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema");
            looked.map_err(|error| failure(error).of(path.display()))?;
        }
        Ok(())
    }

    /// Copies a file as it was at the cut, to one that is not there yet, and looks at the copy: at each
    /// of its pages, indexes and checks.
    ///
    /// # Panics
    /// When the file is none of those of the cut.
    pub fn copy(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        write_out(&self.held(from).view, to).map_err(|error| failure(error).of(to.display()))?;
        sync(to)?;
        check_file(to)
    }

    /// Copies the database of a service like [`Cut::copy`], and says what is in it.
    ///
    /// # Panics
    /// When the file is none of those of the cut.
    pub fn copy_database(&self, from: &Path, to: &Path) -> Result<Copied, Failure> {
        let copied = copied(&self.held(from).view).map_err(|error| failure(error).of(from.display()))?;
        self.copy(from, to)?;
        Ok(copied)
    }

    fn held(&self, path: &Path) -> &Held {
        self.files.iter().find(|file| file.path == path).expect("a file of this cut")
    }
}

fn copied(view: &Connection) -> rusqlite::Result<Copied> {
    let number = |sql| view.query_row(sql, [], |row| row.get::<_, i64>(0));
    Ok(Copied {
        incarnation: Number::from_column(number("SELECT max(number) FROM incarnation")?),
        newest: number("SELECT coalesce(max(position), 0) FROM event")?,
        migrations: number("SELECT count(*) FROM migration")?,
    })
}

fn write_out(view: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut copy = Connection::open(to)?;
    // The disk is waited for once, at the end; a copy that breaks off is none.
    copy.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")?;
    let backup = Backup::new(view, &mut copy)?;
    let mut tries = 0;
    loop {
        match backup.step(PAGES_AT_ONCE)? {
            StepResult::Done => break,
            StepResult::More => tries = 0,
            _ if tries < MOST_TRIES => tries += 1,
            _ => return backup.step(PAGES_AT_ONCE).map(drop),
        }
        std::thread::sleep(PAUSE);
    }
    drop(backup);
    // One file, without a log beside it.
    copy.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))?;
    copy.close().map_err(|(_, error)| error)
}

fn sync(path: &Path) -> Result<(), Failure> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error: io::Error| Failure::Database(format!("{}: {error}", path.display())))
}

/// Looks at a file as a whole: at each of its pages, indexes and checks.
pub fn check_file(path: &Path) -> Result<(), Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let checked = Connection::open_with_flags(path, flags)
        .and_then(|file| file.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)));
    match checked {
        Ok(said) if said == "ok" => Ok(()),
        Ok(said) => Err(Failure::Corrupt(format!("{}: {said}", path.display()))),
        Err(error) => Err(Failure::Corrupt(format!("{}: {error}", path.display()))),
    }
}

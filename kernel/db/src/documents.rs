//! A file of documents by key, for what lies beside the databases of services and is none of them.
//!
//! There is no desk before it, no event and no migration: every change is a small transaction on the
//! thread that asks for it. It does not wait for the disk. What was written survives the end of the
//! process; the loss of power takes back the latest changes and leaves the file whole.

use std::fmt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};

use crate::Failure;
use crate::sqlite::{BUSY, failure};

/// The documents in a file; as many as there are, only a few MiB of them are in memory.
pub struct Documents(Connection);

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Documents").field(&self.0.path()).finish()
    }
}

impl Documents {
    /// Opens a file, making it where it is missing.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let open = || {
            let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
            connection.execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
                 CREATE TABLE IF NOT EXISTS document (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;",
            )?;
            Ok(connection)
        };
        open().map(Self).map_err(cannot_open)
    }

    /// Opens a file that is there for reading; nothing is written.
    pub fn open_to_read(path: &Path) -> Result<Self, Failure> {
        connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map(Self).map_err(cannot_open)
    }

    /// The document of a key.
    pub fn get(&self, key: &str) -> Result<Option<String>, Failure> {
        let found = self.0.prepare_cached("SELECT body FROM document WHERE key = ?1").and_then(|mut statement| {
            let body = statement.query_row([key], |row| row.get(0));
            body.optional()
        });
        found.map_err(failure)
    }

    /// Writes the document of a key, in place of the one that it may have.
    pub fn put(&self, key: &str, body: &str) -> Result<(), Failure> {
        let put = "REPLACE INTO document (key, body) VALUES (?1, ?2)";
        let written = self.0.prepare_cached(put).and_then(|mut statement| statement.execute([key, body]));
        written.map(drop).map_err(failure)
    }

    /// So many documents that follow a key, in the order of the bytes of their keys; all of them
    /// follow the empty one.
    pub fn after(&self, key: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let after = "SELECT body FROM document WHERE key > ?1 ORDER BY key LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self.0.prepare_cached(after).and_then(|mut statement| {
            let body = |row: &Row<'_>| row.get(0);
            statement.query_map((key, limit), body)?.collect()
        });
        found.map_err(failure)
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Looked at once, so that what is no such file is said here.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn cannot_open(error: rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Failure::Corrupt("it is no file of SQLite".into()),
        _ => failure(error),
    }
}

#[cfg(test)]
mod tests {
    use super::Documents;
    use crate::Failure;

    #[test]
    fn what_was_put_is_there_for_whoever_opens_the_file_also_while_it_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("documents");
        let documents = Documents::open(&path).expect("a file");
        assert_eq!(documents.get("b"), Ok(None));
        for (key, body) in [("b", "1"), ("a", "2"), ("b", "3"), ("c", "4")] {
            documents.put(key, body).expect("it is written");
        }
        // The first one is still open, as it is when a process is killed.
        for opened in [Documents::open(&path), Documents::open_to_read(&path)] {
            assert_eq!(opened.expect("the file").get("b"), Ok(Some("3".into())));
        }
        assert_eq!(documents.after("", 2), Ok(vec!["2".into(), "3".into()]));
        assert_eq!(documents.after("b", 2), Ok(vec!["4".into()]));
    }

    #[test]
    fn what_is_read_is_neither_made_nor_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("documents");
        assert!(matches!(Documents::open_to_read(&path), Err(Failure::Unavailable(_))));
        drop(Documents::open(&path).expect("a file"));
        let read = Documents::open_to_read(&path).expect("the file");
        assert!(read.put("a", "1").is_err());
    }

    #[test]
    fn another_file_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("documents");
        let text = "{\"key\":\"a\"}\n".repeat(100);
        std::fs::write(&path, &text).expect("a file");
        for refused in [Documents::open(&path), Documents::open_to_read(&path)] {
            assert_eq!(refused.err(), Some(Failure::Corrupt("it is no file of SQLite".into())));
        }
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), text);
    }
}

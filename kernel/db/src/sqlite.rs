//! `SQLite`: a file for each service, written by one thread.
//!
//! A commit has reached the disk before anybody is told of it: connections that open or migrate a
//! file wait in COMMIT (`synchronous=FULL`); those that perform leave the wait to `flush.rs`. Most of
//! the log is copied into the file by a thread of its own (`checkpoint.rs`), so that no request
//! waits for that.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use crate::checkpoint::Checkpoints;
use crate::flush::{self, Flusher};
use crate::meters::count_statements;
use crate::outbox::EVENT;
use crate::ring::lock;
use crate::session::Commit;
use crate::table::{Query, Write, one};
use crate::{Failure, Row, Value};

/// The database of one service in memory, for simulations: it outlives the service that writes it,
/// as a disk outlives a process.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    shared: Arc<Shared>,
    has_one_writer: bool,
}

/// A connection that several sessions may share, one transaction at a time.
#[derive(Debug)]
struct Shared {
    connection: Mutex<Connection>,
    in_transaction: Mutex<bool>,
    ended: Condvar,
}

impl Shared {
    fn new(connection: Connection) -> Arc<Self> {
        let in_transaction = Mutex::new(false);
        Arc::new(Self { connection: Mutex::new(connection), in_transaction, ended: Condvar::new() })
    }

    /// Waits until nobody else has a transaction open.
    fn enter(&self) -> Result<(), Failure> {
        let open = lock(&self.in_transaction);
        let waited = self.ended.wait_timeout_while(open, BUSY, |open| *open);
        let (mut open, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(Failure::TimedOut("another transaction is open".into()));
        }
        *open = true;
        Ok(())
    }

    fn leave(&self) {
        *lock(&self.in_transaction) = false;
        self.ended.notify_one();
    }
}

impl MemoryDisk {
    /// An empty disk, to which several processes may write.
    ///
    /// # Panics
    /// When `SQLite` cannot open a database in memory.
    pub fn empty() -> Self {
        let connection = Connection::open_in_memory().expect("SQLite opens a database in memory");
        prepare(&connection, Durability::Full).expect("SQLite takes its settings");
        Self { shared: Shared::new(connection), has_one_writer: false }
    }

    /// The same disk, to which one process writes and no other, as to a file.
    #[must_use]
    pub fn of_one_process(self) -> Self {
        Self { has_one_writer: true, ..self }
    }

    pub(crate) fn has_one_writer(&self) -> bool {
        self.has_one_writer
    }

    pub(crate) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A copy as it is now: a backup.
    ///
    /// # Panics
    /// When `SQLite` cannot copy it.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self { has_one_writer: self.has_one_writer, ..Self::empty() };
        {
            let from = lock(&self.shared.connection);
            let mut to = lock(&copy.shared.connection);
            let backup = rusqlite::backup::Backup::new(&from, &mut to).expect("a backup begins");
            backup.run_to_completion(1_000, Duration::ZERO, None).expect("a backup in memory ends");
        }
        copy
    }
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does: what was answered survives a power cut.
    Full,
    /// It does not; only to show that the test of durability can fail, and what durability costs.
    Off,
}

/// A connection to a `SQLite` database.
pub(crate) struct Sqlite {
    shared: Arc<Shared>,
    /// Whether the open transaction is this session's.
    entered: bool,
    checkpoints: Option<Arc<Checkpoints>>,
    flusher: Option<Arc<Flusher>>,
}

impl Sqlite {
    /// Opens a file, making it where it is missing.
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<Self, Failure> {
        let connection = Connection::open(path).map_err(failure)?;
        let mut tries = 0;
        while let Err(error) = prepare(&connection, durability) {
            tries += 1;
            if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) || tries == MOST_TRIES {
                return Err(failure(error));
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        Ok(Self { shared: Shared::new(connection), entered: false, checkpoints: None, flusher: None })
    }

    /// Opens a file for reading.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failure)?;
        connection.busy_timeout(BUSY).map_err(failure)?;
        connection.set_prepared_statement_cache_capacity(128);
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0).map_err(failure)?;
        plan_once(&connection).map_err(failure)?;
        connection.execute_batch("PRAGMA cache_size=-8000; PRAGMA query_only=ON;").map_err(failure)?;
        Ok(Self { shared: Shared::new(connection), entered: false, checkpoints: None, flusher: None })
    }

    pub(crate) fn in_memory(disk: &MemoryDisk) -> Self {
        Self { shared: disk.shared.clone(), entered: false, checkpoints: None, flusher: None }
    }

    /// Leaves the bulk of the checkpoints to their own thread, which is told how long the log is.
    pub(crate) fn with_checkpoints(mut self, checkpoints: &Arc<Checkpoints>) -> Result<Self, Failure> {
        let told = checkpoints.clone();
        let hook = move |_: &mut Wal, frames| {
            told.log_has(frames);
            Ok(())
        };
        lock(&self.shared.connection).wal_hook(Some(hook)).map_err(failure)?;
        self.checkpoints = Some(checkpoints.clone());
        Ok(self)
    }

    /// Leaves it to the flusher to wait for the disk.
    pub(crate) fn with_flusher(mut self, flusher: &Arc<Flusher>) -> Result<Self, Failure> {
        lock(&self.shared.connection).execute_batch("PRAGMA synchronous=NORMAL").map_err(failure)?;
        self.flusher = Some(flusher.clone());
        Ok(self)
    }

    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        self.run("BEGIN IMMEDIATE")
    }

    pub(crate) fn begin_reading(&mut self) -> Result<(), Failure> {
        self.run("BEGIN")
    }

    fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.shared.enter()?;
        self.entered = true;
        let connection = lock(&self.shared.connection);
        let begun = connection.prepare_cached(sql).and_then(|mut statement| statement.raw_execute());
        drop(connection);
        begun.map(drop).map_err(|error| {
            self.leave();
            failure(error)
        })
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.entered) {
            self.shared.leave();
        }
    }

    pub(crate) fn ask(&mut self, queries: &[Query]) -> Result<Vec<Vec<Row>>, Failure> {
        let connection = lock(&self.shared.connection);
        count_statements(queries.iter().map(Query::statements).sum());
        queries.iter().map(|query| rows(&connection, query).map_err(failure)).collect()
    }

    pub(crate) fn commit(&mut self, writes: &[Write], events: Vec<Vec<Value>>) -> Commit {
        let connection = lock(&self.shared.connection);
        count_statements(writes.iter().map(Write::rows).sum::<usize>() + events.len() + 2);
        let ticket = self.flusher.as_ref().map(|flusher| flusher.announce());
        let committed = write_all(&connection, writes, events).and_then(|first| {
            connection.prepare_cached("COMMIT")?.raw_execute()?;
            Ok(first)
        });
        drop(connection);
        match committed {
            Ok(first) => {
                self.leave();
                Commit::Done { first: Some(first), ticket }
            }
            Err(error) => {
                if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
                    flush::abort(&error);
                }
                self.rollback();
                if let (Some(flusher), Some(ticket)) = (&self.flusher, ticket) {
                    flusher.then(ticket, true, Box::new(|| {}));
                }
                Commit::Failed(failure(error))
            }
        }
    }

    pub(crate) fn rollback(&mut self) {
        if !self.entered {
            return;
        }
        let connection = lock(&self.shared.connection);
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "A transaction could not be rolled back");
        }
        drop(connection);
        self.leave();
    }

    /// Copies the last few pages of the log, after which the log begins anew.
    pub(crate) fn tidy(&mut self) {
        if let Some(checkpoints) = &self.checkpoints
            && checkpoints.little_is_left()
        {
            let connection = lock(&self.shared.connection);
            if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                tracing::warn!(%error, "A checkpoint failed; the next one tries again");
            }
        }
    }

    pub(crate) fn write_now(&mut self, write: &Write) -> Result<(), Failure> {
        write_all(&lock(&self.shared.connection), std::slice::from_ref(write), Vec::new()).map(drop).map_err(failure)
    }

    /// Runs statements that are not changes of rows: migrations.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Failure> {
        lock(&self.shared.connection).execute_batch(sql).map_err(failure)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.rollback();
    }
}

/// How long a connection waits for another one's lock.
pub(crate) const BUSY: Duration = Duration::from_secs(5);
/// Who turns the log on does not wait by itself for another process that opens or closes the file in
/// the same moment; so it is tried again, for about as long.
const MOST_TRIES: usize = 250;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

fn prepare(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    // No service reaches into another's file.
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    plan_once(connection)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Off => "OFF",
    };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA wal_autocheckpoint=0;
         PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000;"
    ))
}

/// Plans a statement without looking at the values that are bound to it; else one with `LIMIT $1` is
/// planned anew each time it runs, which was a third of what the simulator did.
/// Source: <https://www.sqlite.org/queryplanner-ng.html#qpstab>.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn rows(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Row>> {
    let mut found = Vec::new();
    match query {
        Query::Sql { sql, values } => {
            let mut statement = connection.prepare_cached(&one::numbered_places(sql))?;
            collect(&mut statement, values, &mut found)?;
        }
        Query::AnyOf { sql, texts, values } => {
            let mut statement = connection.prepare_cached(&one::any_of(sql))?;
            let list = std::iter::once(Value::Text(array(texts)));
            collect(&mut statement, &list.chain(values.iter().cloned()).collect::<Vec<_>>(), &mut found)?;
        }
        Query::ByKeys { table, column, keys, .. } => {
            let mut statement = connection.prepare_cached(&one::select(table, column))?;
            for key in keys {
                collect(&mut statement, std::slice::from_ref(key), &mut found)?;
            }
            if table.key[0].name != *column {
                let key = table.key.len();
                found.sort_by(|one, other| one.0[..key].cmp(&other.0[..key]));
            }
        }
        Query::ByPrimaryKeys { table, keys } => {
            let mut statement = connection.prepare_cached(&one::select_one(table))?;
            for key in keys {
                collect(&mut statement, key, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// Texts as an array of JSON.
fn array(texts: &[Value]) -> String {
    let text = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
    serde_json::Value::from(texts.iter().filter_map(text).collect::<Vec<_>>()).to_string()
}

fn collect(
    statement: &mut rusqlite::CachedStatement<'_>,
    values: &[Value],
    into: &mut Vec<Row>,
) -> rusqlite::Result<()> {
    let width = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let mut columns = Vec::with_capacity(width);
        for place in 0..width {
            columns.push(value(row.get_ref(place)?));
        }
        into.push(Row(columns));
    }
    Ok(())
}

fn write_all(connection: &Connection, writes: &[Write], events: Vec<Vec<Value>>) -> rusqlite::Result<i64> {
    for write in writes {
        let mut statement = connection.prepare_cached(&one::change(write))?;
        match write {
            Write::Insert(_, rows) | Write::Update(_, rows) | Write::Upsert(_, rows) | Write::Delete(_, rows) => {
                for row in rows {
                    statement.execute(rusqlite::params_from_iter(row))?;
                }
            }
            Write::Sql(_, values) => {
                statement.execute(rusqlite::params_from_iter(values))?;
            }
        }
    }
    if events.is_empty() {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(position), 0) FROM event";
    let first = 1 + connection.prepare_cached(newest)?.query_row([], |row| row.get::<_, i64>(0))?;
    let mut insert = connection.prepare_cached(&one::change(&Write::Insert(&EVENT, Vec::new())))?;
    for (position, event) in (first..).zip(events) {
        insert.execute(rusqlite::params_from_iter(std::iter::once(Value::Int(position)).chain(event)))?;
    }
    Ok(first)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
        }))
    }
}

fn value(column: ValueRef<'_>) -> Value {
    match column {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Text(text) => Value::Text(match std::str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(text).into_owned(),
        }),
        // STRICT tables hold neither; an expression of ours that makes one is read as text and refused there.
        ValueRef::Real(value) => Value::Text(value.to_string()),
        ValueRef::Blob(_) => Value::Text(String::from("(bytes)")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(crate) fn failure(error: rusqlite::Error) -> Failure {
    let text = error.to_string();
    let Some(code) = error.sqlite_error() else { return Failure::Database(text) };
    match code.code {
        ErrorCode::ConstraintViolation if is_unique(code.extended_code) => Failure::Conflict(text),
        ErrorCode::ConstraintViolation => Failure::Corrupt(text),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Failure::TimedOut(text),
        ErrorCode::DiskFull => Failure::DiskFull(text),
        ErrorCode::CannotOpen => Failure::Unavailable(text),
        _ => Failure::Database(text),
    }
}

fn is_unique(extended: i32) -> bool {
    matches!(
        extended,
        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
            | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | rusqlite::ffi::SQLITE_CONSTRAINT_ROWID
    )
}

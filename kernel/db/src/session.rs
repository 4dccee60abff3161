//! A connection that runs one transaction at a time, to either database.

use std::time::Duration;

use crate::flush::Ticket;
use crate::outbox::Source;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::table::{Query, Write};
use crate::{Failure, Row, Value};

/// A connection to one service's database.
pub(crate) struct Session {
    link: Link,
    source: Source,
}

pub(crate) enum Link {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

/// How a commit ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It has happened, and is durable once its ticket is; at once where it has none. `first` is the
    /// position of its first event, and any number where it published none; none where the database could
    /// only say afterwards that the commit had happened.
    Done { first: Option<i64>, ticket: Option<Ticket> },
    /// Nothing of it happened.
    Failed(Failure),
    /// The connection broke, and the database cannot say.
    Unknown,
}

impl Session {
    pub(crate) fn new(link: Link, source: Source) -> Self {
        Self { link, source }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_))
    }

    /// Begins a transaction that writes; `patience` is how long it waits for a locked row, where that
    /// is less than usual (one writer at a time has no locked rows).
    pub(crate) fn begin(&mut self, patience: Option<Duration>) -> Result<(), Failure> {
        match &mut self.link {
            Link::Sqlite(link) => link.begin(),
            Link::Postgres(link) => link.begin(patience),
        }
    }

    /// Asks several questions in one trip.
    pub(crate) fn ask(&mut self, queries: &[Query]) -> Result<Vec<Vec<Row>>, Failure> {
        storable(queries.iter().flat_map(Query::values))?;
        match &mut self.link {
            Link::Sqlite(link) => link.ask(queries),
            Link::Postgres(link) => link.ask(queries),
        }
    }

    /// Writes the changes, numbers and writes the events, and commits: one trip.
    pub(crate) fn commit(&mut self, writes: &[Write], events: Vec<Vec<Value>>) -> Commit {
        if let Err(failure) = storable(writes.iter().flat_map(Write::values).chain(events.iter().flatten())) {
            self.rollback();
            return Commit::Failed(failure);
        }
        match &mut self.link {
            Link::Sqlite(link) => link.commit(writes, events),
            Link::Postgres(link) => link.commit(writes, &events),
        }
    }

    /// Makes one change at once, within the transaction.
    pub(crate) fn write_now(&mut self, write: &Write) -> Result<(), Failure> {
        match &mut self.link {
            Link::Sqlite(link) => link.write_now(write),
            Link::Postgres(link) => link.write_now(write),
        }
    }

    /// Runs statements that are not changes of rows: migrations.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Failure> {
        match &mut self.link {
            Link::Sqlite(link) => link.script(sql),
            Link::Postgres(link) => link.script(sql),
        }
    }

    /// Gives the transaction up.
    pub(crate) fn rollback(&mut self) {
        match &mut self.link {
            Link::Sqlite(link) => link.rollback(),
            Link::Postgres(link) => link.rollback(),
        }
    }

    /// Opens a consistent view that only reads.
    pub(crate) fn begin_reading(&mut self) -> Result<(), Failure> {
        match &mut self.link {
            Link::Sqlite(link) => link.begin_reading(),
            Link::Postgres(link) => link.begin_reading(),
        }
    }

    /// Closes the view.
    pub(crate) fn end_reading(&mut self) {
        self.rollback();
    }

    /// Work of the database's own that is best done while nobody waits.
    pub(crate) fn tidy(&mut self) {
        if let Link::Sqlite(link) = &mut self.link {
            link.tidy();
        }
    }
}

/// Refuses what only one of the databases could keep.
fn storable<'v>(values: impl Iterator<Item = &'v Value>) -> Result<(), Failure> {
    for value in values {
        if let Value::Text(text) = value
            && text.contains('\0')
        {
            return Err(Failure::Corrupt("a text with a NUL character in it cannot be kept".into()));
        }
    }
    Ok(())
}

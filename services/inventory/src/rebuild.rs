//! The books, written anew from the journal, and compared with the rows that are there.

use std::collections::BTreeSet;
use std::fmt;

use contracts::inventory::Event;
use db::{Database, Failure, MemoryDisk, Options, Read, Refused, Value};
use world::World;

use crate::domain::Books;
use crate::store::{self, Rows};
use crate::{MIGRATIONS, NAME};

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Events that were read.
    pub events: usize,
    /// Rows that are the same.
    pub same: usize,
    /// Rows that are not, in the order of their tables and keys.
    pub different: Vec<Difference>,
}

/// A row that does not follow from the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its table and its key.
    pub row: String,
    /// What the database has, where it has the row.
    pub kept: Option<Vec<(&'static str, Value)>>,
    /// What the journal gives, where it gives the row.
    pub rebuilt: Option<Vec<(&'static str, Value)>>,
}

impl Comparison {
    /// Whether the journal gives exactly the rows that are there.
    pub fn is_same(&self) -> bool {
        self.different.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = &self.row;
        let (Some(kept), Some(rebuilt)) = (&self.kept, &self.rebuilt) else {
            let why = if self.kept.is_some() { "the journal does not give it" } else { "it is missing" };
            return write!(f, "the row {row}: {why}");
        };
        write!(f, "the row {row}")?;
        for ((column, kept), (_, rebuilt)) in kept.iter().zip(rebuilt).filter(|(kept, rebuilt)| kept != rebuilt) {
            write!(f, ": {column} is {kept}, and {rebuilt} by the journal")?;
        }
        Ok(())
    }
}

/// Events that are read at once.
const PIECE: usize = 10_000;

/// The books that the journal gives, and the rows that are there, as they were read in one view.
#[derive(Debug)]
pub struct Kept {
    events: usize,
    books: Books,
    rows: Rows,
}

/// Rebuilds all rows from the events in memory, and compares them with those in the database.
pub async fn rebuild(database: &Database) -> Result<Comparison, Refused> {
    database.read(Kept::read).await?.compare(database.world()).await
}

impl Kept {
    /// Reads the journal and all rows.
    pub fn read(read: &mut Read<'_>) -> Result<Self, Failure> {
        let (events, books) = read_journal(read)?;
        Ok(Self { events, books, rows: store::all_rows(read)? })
    }

    /// Compares the rows with those that the books make in an empty database.
    pub async fn compare(self, world: &World) -> Result<Comparison, Refused> {
        let Self { events, books, rows: mut kept } = self;
        let memory = db::Location::Memory(MemoryDisk::empty());
        let copy = Database::open(NAME, memory, Options::default(), world.clone(), MIGRATIONS)
            .map_err(|error| Refused::Failed(Failure::Database(error.to_string())))?;
        copy.write(move |tx| store::save(tx, &books)).await?;
        let mut rebuilt = copy.read(store::all_rows).await?;
        let rows: BTreeSet<String> = kept.keys().chain(rebuilt.keys()).cloned().collect();
        let all = rows.len();
        let compare = |row: String| {
            let (kept, rebuilt) = (kept.remove(&row), rebuilt.remove(&row));
            (kept != rebuilt).then_some(Difference { row, kept, rebuilt })
        };
        let different: Vec<_> = rows.into_iter().filter_map(compare).collect();
        Ok(Comparison { events, same: all - different.len(), different })
    }
}

fn read_journal(read: &mut Read<'_>) -> Result<(usize, Books), Failure> {
    let mut books = Books::default();
    let mut position = 0;
    let mut count = 0;
    loop {
        let piece = read.events_after(position, PIECE)?;
        let Some(last) = piece.last() else { return Ok((count, books)) };
        position = last.position;
        count += piece.len();
        for envelope in &piece {
            let event = Event::read(&envelope.kind, &envelope.body).map_err(|error| Failure::Corrupt(error.0))?;
            let event = event.ok_or_else(|| Failure::Corrupt(format!("an event of unknown type {}", envelope.kind)))?;
            books.apply(envelope.stream, &envelope.by.owner, envelope.occurred_at, &event);
        }
    }
}

//! The books, written anew from the journal, and compared with the rows that are there.

use contracts::inventory::Event;
use db::{Database, Failure, MemoryDisk, Options, Read, Refused};

use crate::domain::Books;
use crate::{MIGRATIONS, NAME, store};

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Events that were read.
    pub events: usize,
    /// Rows that are the same.
    pub same: usize,
    /// Rows that only the database has.
    pub only_kept: Vec<String>,
    /// Rows that only the journal gives.
    pub only_rebuilt: Vec<String>,
}

impl Comparison {
    /// Whether the journal gives exactly the rows that are there.
    pub fn is_same(&self) -> bool {
        self.only_kept.is_empty() && self.only_rebuilt.is_empty()
    }
}

/// Events that are read at once.
const PIECE: usize = 10_000;

/// Rebuilds all rows from the events in memory, and compares them with those in the database.
pub async fn rebuild(database: &Database) -> Result<Comparison, Refused> {
    let (events, books, kept) = database
        .read(|read| {
            let (events, books) = read_journal(read)?;
            Ok((events, books, store::all_rows(read)?))
        })
        .await?;
    let world = database.world().clone();
    let copy = Database::open(NAME, db::Location::Memory(MemoryDisk::empty()), Options::default(), world, MIGRATIONS)
        .map_err(|error| Refused::Failed(Failure::Database(error.to_string())))?;
    copy.write(move |tx| store::save(tx, &books)).await?;
    let rebuilt = copy.read(store::all_rows).await?;
    let kept: std::collections::BTreeSet<String> = kept.into_iter().collect();
    let rebuilt: std::collections::BTreeSet<String> = rebuilt.into_iter().collect();
    Ok(Comparison {
        events,
        same: kept.intersection(&rebuilt).count(),
        only_kept: kept.difference(&rebuilt).cloned().collect(),
        only_rebuilt: rebuilt.difference(&kept).cloned().collect(),
    })
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

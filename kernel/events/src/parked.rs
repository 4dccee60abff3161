//! Events that have to wait, and those that nobody could deal with.
//!
//! An event that could not be dealt with is parked in the transaction that moves the cursor past it,
//! and later events of its subject queue behind it; so nothing is lost, nothing overtakes, and all
//! other subjects go on. After enough attempts it becomes a dead letter, which waits for a person.

use std::collections::BTreeMap;
use std::time::Duration;

use db::{Envelope, Failure, Position, Query, Read, Row, Table, Tx, int, text};
use world::Moment;

use crate::EventDocument;
use crate::settled::{Became, Settling, settle};

pub(crate) static PARKED: Table = Table {
    name: "parked_event",
    key: &[text("source"), int("position")],
    rest: &[text("subject"), int("attempts"), int("due_at"), text("cause"), text("envelope")],
};

/// The same table without what is large.
pub(crate) static PARKED_SUBJECT: Table =
    Table { name: "parked_event", key: &[text("source"), int("position")], rest: &[text("subject")] };

static DEAD: Table = Table {
    name: "dead_letter",
    key: &[text("source"), int("position")],
    rest: &[text("subject"), int("attempts"), int("died_at"), text("cause"), text("envelope")],
};

/// Attempts before an event becomes a dead letter; with the back-off, about an hour and a quarter.
pub(crate) const MOST_ATTEMPTS: i64 = 20;

/// How long an event waits after its n-th attempt: 0.1 s, doubled each time, at most 10 minutes.
pub(crate) fn back_off(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(13);
    Duration::from_millis(100 << doublings).min(Duration::from_secs(600))
}

/// An event that waits for another attempt, or behind one of its subject.
#[derive(Clone, Debug)]
pub struct ParkedEvent {
    /// The event.
    pub event: Envelope,
    /// How often it was tried; 0 for one that waits behind another.
    pub attempts: i64,
    /// When it is tried next.
    pub due_at: Moment,
    /// Why it waits.
    pub cause: String,
}

/// An event that nobody could deal with.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The event.
    pub event: Envelope,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was given up.
    pub died_at: Moment,
    /// Why it was given up.
    pub cause: String,
}

impl ParkedEvent {
    pub(crate) fn row(&self) -> Result<Vec<db::Value>, Failure> {
        Ok(vec![
            self.event.source.as_ref().into(),
            self.event.position.into(),
            self.event.subject.as_ref().into(),
            self.attempts.into(),
            self.due_at.into(),
            self.cause.as_str().into(),
            written(&self.event)?.into(),
        ])
    }
}

pub(crate) fn key(event: &Envelope) -> Vec<db::Value> {
    vec![event.source.as_ref().into(), event.position.into()]
}

pub(crate) fn bury(tx: &mut Tx<'_>, event: &Envelope, attempts: i64, cause: &str) -> Result<(), Failure> {
    tracing::error!(
        event = event.id(),
        r#type = %event.kind,
        subject = %event.subject,
        cause,
        trace_id = event.by.trace.id(),
        request_id = &*event.by.correlation,
        "An event became a dead letter; look at the cause, mend it and replay the event"
    );
    let row = vec![
        event.source.as_ref().into(),
        event.position.into(),
        event.subject.as_ref().into(),
        attempts.into(),
        tx.now().into(),
        cause.into(),
        written(event)?.into(),
    ];
    tx.upsert(&DEAD, vec![row]);
    Ok(())
}

/// The parked events whose time has come: the first of each subject.
pub(crate) fn due(source: &str, now: Moment, most: usize) -> Query {
    Query::sql(
        format!(
            "SELECT {} FROM parked_event AS first WHERE source = $1 AND due_at <= $2 AND NOT EXISTS (
                 SELECT 1 FROM parked_event AS earlier
                 WHERE earlier.source = first.source AND earlier.subject = first.subject
                   AND earlier.position < first.position)
             ORDER BY position LIMIT $3",
            PARKED.columns()
        ),
        [source.into(), now.into(), i64::try_from(most).unwrap_or(i64::MAX).into()],
    )
}

/// What waits in a consumer's database, oldest first.
pub fn parked_events(read: &mut Read<'_>, most: i64) -> Result<Vec<ParkedEvent>, Failure> {
    parked_events_after(read, "", 0, most)
}

/// What waits in a consumer's database after a place in the order of source and position.
pub fn parked_events_after(
    read: &mut Read<'_>,
    source: &str,
    position: Position,
    most: i64,
) -> Result<Vec<ParkedEvent>, Failure> {
    read.rows(after("parked_event", &PARKED, source, position, most))?.into_iter().map(parked).collect()
}

/// The dead letters in a consumer's database, oldest first.
pub fn dead_letters(read: &mut Read<'_>, most: i64) -> Result<Vec<DeadLetter>, Failure> {
    dead_letters_after(read, "", 0, most)
}

/// The dead letters in a consumer's database after a place in the order of source and position.
pub fn dead_letters_after(
    read: &mut Read<'_>,
    source: &str,
    position: Position,
    most: i64,
) -> Result<Vec<DeadLetter>, Failure> {
    read.rows(after("dead_letter", &DEAD, source, position, most))?.into_iter().map(dead).collect()
}

fn after(name: &str, table: &Table, source: &str, position: Position, most: i64) -> Query {
    let columns = table.columns();
    let sql =
        format!("SELECT {columns} FROM {name} WHERE (source, position) > ($1, $2) ORDER BY source, position LIMIT $3");
    Query::sql(sql, [source.into(), position.into(), most.into()])
}

/// How much a consumer has put aside of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutAside {
    /// Events that wait for another attempt, or behind one of their subject.
    pub parked_events: i64,
    /// Subjects that such events are about.
    pub parked_subjects: i64,
    /// When the oldest of those events was recorded by its producer.
    pub oldest_parked: Option<Moment>,
    /// Events that nobody could deal with.
    pub dead_letters: i64,
}

/// How much a consumer has put aside, by source; sources of which there is nothing are left out.
pub fn put_aside(read: &mut Read<'_>) -> Result<BTreeMap<String, PutAside>, Failure> {
    let parked = "SELECT source, count(*), count(DISTINCT subject) FROM parked_event GROUP BY source";
    let oldest = "SELECT source, envelope FROM parked_event AS oldest WHERE NOT EXISTS (
                      SELECT 1 FROM parked_event AS earlier
                      WHERE earlier.source = oldest.source AND earlier.position < oldest.position)";
    let dead = "SELECT source, count(*) FROM dead_letter GROUP BY source";
    let [parked, oldest, dead] = read.ask([parked, oldest, dead].map(|sql| Query::sql(sql, [])))?;
    let mut put_aside: BTreeMap<String, PutAside> = BTreeMap::new();
    for row in parked {
        let mut row = row.columns();
        let of_source = put_aside.entry(row.text()?).or_default();
        (of_source.parked_events, of_source.parked_subjects) = (row.int()?, row.int()?);
    }
    for row in oldest {
        let mut row = row.columns();
        let source = row.text()?;
        put_aside.entry(source).or_default().oldest_parked = Some(event(&mut row)?.recorded_at);
    }
    for row in dead {
        let mut row = row.columns();
        let (source, dead_letters) = (row.text()?, row.int()?);
        put_aside.entry(source).or_default().dead_letters = dead_letters;
    }
    Ok(put_aside)
}

/// Parks a dead letter again, to be tried at once; false where there is none.
pub fn replay(tx: &mut Tx<'_>, source: &str, position: Position, by: &Settling) -> Result<bool, Failure> {
    let Some(letter) = find(tx, source, position)? else { return Ok(false) };
    settle(tx, &letter, Became::Replayed, by);
    let parked = ParkedEvent { event: letter.event, attempts: 0, due_at: tx.now(), cause: "replayed".into() };
    tx.delete(&DEAD, vec![key(&parked.event)]);
    tx.upsert(&PARKED, vec![parked.row()?]);
    Ok(true)
}

/// Gives a dead letter up for good; false where there is none.
pub fn discard(tx: &mut Tx<'_>, source: &str, position: Position, by: &Settling) -> Result<bool, Failure> {
    let Some(letter) = find(tx, source, position)? else { return Ok(false) };
    settle(tx, &letter, Became::Discarded, by);
    tx.delete(&DEAD, vec![key(&letter.event)]);
    Ok(true)
}

fn find(tx: &mut Tx<'_>, source: &str, position: Position) -> Result<Option<DeadLetter>, Failure> {
    let sql = format!("SELECT {} FROM dead_letter WHERE source = $1 AND position = $2", DEAD.columns());
    tx.rows(Query::sql(sql, [source.into(), position.into()]))?.into_iter().next().map(dead).transpose()
}

pub(crate) fn parked(row: Row) -> Result<ParkedEvent, Failure> {
    let mut row = row.columns();
    let (_source, _position, _subject) = (row.text()?, row.int()?, row.text()?);
    let (attempts, due_at, cause) = (row.int()?, row.moment()?, row.text()?);
    Ok(ParkedEvent { event: event(&mut row)?, attempts, due_at, cause })
}

fn dead(row: Row) -> Result<DeadLetter, Failure> {
    let mut row = row.columns();
    let (_source, _position, _subject) = (row.text()?, row.int()?, row.text()?);
    let (attempts, died_at, cause) = (row.int()?, row.moment()?, row.text()?);
    Ok(DeadLetter { event: event(&mut row)?, attempts, died_at, cause })
}

fn event(row: &mut db::Columns) -> Result<Envelope, Failure> {
    let document: EventDocument = row.json()?;
    Envelope::try_from(document).map_err(|error| Failure::Corrupt(error.to_string()))
}

fn written(event: &Envelope) -> Result<String, Failure> {
    let document = EventDocument::try_from(event)?;
    serde_json::to_string(&document).map_err(|error| Failure::Corrupt(error.to_string()))
}

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

/// When an event is due that waits behind another: not before that is gone, whatever the time.
const BEHIND: Moment = Moment::from_micros(i64::MAX);

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
    /// When it is tried next; none where that is for the one before it to say.
    pub due_at: Option<Moment>,
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
            self.due_at.unwrap_or(BEHIND).into(),
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

/// The parked events whose time has come: the first of each subject. Those that wait behind another are
/// looked at too only where all are.
pub(crate) fn due(source: &str, now: Moment, most: usize, all: bool) -> Query {
    let values: [db::Value; 3] = [source.into(), now.into(), i64::try_from(most).unwrap_or(i64::MAX).into()];
    Query::sql(due_sql(if all { "(due_at <= $2 OR attempts = 0)" } else { "due_at <= $2" }), values)
}

fn due_sql(is_due: &str) -> String {
    format!(
        "SELECT {} FROM parked_event AS first WHERE source = $1 AND {is_due} AND NOT EXISTS (
             SELECT 1 FROM parked_event AS earlier
             WHERE earlier.source = first.source AND earlier.subject = first.subject
               AND earlier.position < first.position)
         ORDER BY due_at, position LIMIT $3",
        PARKED.columns()
    )
}

/// Parks an event behind an earlier one of its subject.
pub(crate) fn queue_behind(tx: &mut Tx<'_>, event: &Envelope) -> Result<(), Failure> {
    let cause = "waits behind an earlier event of its subject".into();
    tx.upsert(&PARKED, vec![ParkedEvent { event: event.clone(), attempts: 0, due_at: None, cause }.row()?]);
    Ok(())
}

/// Puts an event off that could not be dealt with, after so many attempts; false where that were the last.
pub(crate) fn put_off(tx: &mut Tx<'_>, event: &Envelope, attempts: i64, cause: &str) -> Result<bool, Failure> {
    if attempts >= MOST_ATTEMPTS {
        bury(tx, event, attempts, cause)?;
        return Ok(false);
    }
    let (id, trace_id, request_id) = (event.id(), event.by.trace.id(), &*event.by.correlation);
    tracing::warn!(event = id, attempts, cause, trace_id, request_id, "An event is parked and will be tried again");
    let due_at = Some(tx.now() + back_off(attempts));
    let parked = ParkedEvent { event: event.clone(), attempts, due_at, cause: cause.into() };
    tx.upsert(&PARKED, vec![parked.row()?]);
    Ok(true)
}

/// Lets the next event of a subject be tried, for the one before it is gone. Comes after all that was parked
/// in the same transaction.
pub(crate) fn let_next_be_tried(tx: &mut Tx<'_>, source: &str, subject: &str) {
    let sql = "UPDATE parked_event SET due_at = $1 WHERE source = $2 AND subject = $3 AND attempts = 0 AND position = (
                   SELECT min(position) FROM parked_event WHERE source = $2 AND subject = $3)";
    tx.execute(sql, [tx.now().into(), source.into(), subject.into()]);
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
    /// Events that wait for another attempt, or behind one of their subject; [`MOST_COUNTED`] where there are more.
    pub parked_events: i64,
    /// Subjects that those events are about, as far as they are counted.
    pub parked_subjects: i64,
    /// When the oldest of those events was recorded by its producer.
    pub oldest_parked: Option<Moment>,
    /// Events that nobody could deal with; [`MOST_COUNTED`] where there are more.
    pub dead_letters: i64,
}

/// Events of a source that are counted, at most: however many are put aside, to look at them costs no more than that.
pub const MOST_COUNTED: i64 = 10_000;

const PARKED_OF: &str = "SELECT count(*), count(DISTINCT subject) FROM (
    SELECT subject FROM parked_event WHERE source = $1 ORDER BY position LIMIT $2) AS oldest";
const OLDEST_OF: &str = "SELECT envelope FROM parked_event WHERE source = $1 ORDER BY position LIMIT 1";
const DEAD_OF: &str = "SELECT count(*) FROM (
    SELECT position FROM dead_letter WHERE source = $1 ORDER BY position LIMIT $2) AS oldest";

/// How much a consumer has put aside of each of these sources.
pub fn put_aside(read: &mut Read<'_>, sources: &[&'static str]) -> Result<BTreeMap<&'static str, PutAside>, Failure> {
    sources.iter().map(|source| Ok((*source, put_aside_of(read, source)?))).collect()
}

fn put_aside_of(read: &mut Read<'_>, source: &str) -> Result<PutAside, Failure> {
    let counted = |sql| Query::sql(sql, [source.into(), MOST_COUNTED.into()]);
    let oldest = Query::sql(OLDEST_OF, [source.into()]);
    let [parked, oldest, dead] = read.ask([counted(PARKED_OF), oldest, counted(DEAD_OF)])?;
    let mut put_aside = PutAside::default();
    if let Some(row) = parked.into_iter().next() {
        let mut row = row.columns();
        (put_aside.parked_events, put_aside.parked_subjects) = (row.int()?, row.int()?);
    }
    if let Some(row) = oldest.into_iter().next() {
        put_aside.oldest_parked = Some(event(&mut row.columns())?.recorded_at);
    }
    if let Some(row) = dead.into_iter().next() {
        put_aside.dead_letters = row.columns().int()?;
    }
    Ok(put_aside)
}

/// Parks a dead letter again, to be tried at once; false where there is none.
pub fn replay(tx: &mut Tx<'_>, source: &str, position: Position, by: &Settling) -> Result<bool, Failure> {
    let Some(letter) = find(tx, source, position)? else { return Ok(false) };
    settle(tx, &letter, Became::Replayed, by);
    let parked = ParkedEvent { event: letter.event, attempts: 0, due_at: Some(tx.now()), cause: "replayed".into() };
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
    let due_at = (due_at != BEHIND).then_some(due_at);
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

#[cfg(test)]
mod tests {
    use db::{Context, Database, Envelope, Failure, Location, MemoryDisk, Options, Query, Trace, Tx};
    use futures_util::FutureExt;
    use world::{Moment, World};

    use super::{DEAD, MOST_COUNTED, PutAside, bury, due, due_sql, let_next_be_tried, parked, put_aside, queue_behind};

    fn said(position: db::Position) -> Envelope {
        Envelope {
            source: "s".into(),
            incarnation: ids::Number::from_column(1),
            position,
            partition: db::partition_of("a"),
            stream: ids::Number::from_column(1),
            version: position,
            subject: "a".into(),
            kind: "Said".into(),
            schema: 1,
            occurred_at: Moment::from_micros(0),
            recorded_at: Moment::from_micros(position),
            by: Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }),
            body: "{}".into(),
        }
    }

    #[test]
    fn both_databases_find_what_waits_behind_nobody_and_let_it_be_tried() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let postgres = Location::Postgres(testkit::Postgres::shared().database());
        for location in [Location::Memory(MemoryDisk::empty()), postgres] {
            let database = Database::open("s", location, Options::default(), World::simulated(1), &[]);
            let database = database.expect("it opens");
            let write = |work: fn(&mut Tx<'_>) -> Result<(), Failure>| {
                runtime.block_on(database.write(work)).expect("it is written");
            };
            let found = |all: bool| -> Vec<(db::Position, bool)> {
                let rows = runtime.block_on(database.read(move |read| read.rows(due("s", read.now(), 16, all))));
                let found = rows.expect("an answer").into_iter().map(|row| parked(row).expect("an event"));
                found.map(|parked| (parked.event.position, parked.due_at.is_some())).collect()
            };
            write(|tx| (7..10).try_for_each(|position| queue_behind(tx, &said(position))));
            assert_eq!((found(false), found(true)), (vec![], vec![(7, false)]));
            write(|tx| {
                let_next_be_tried(tx, "s", "a");
                Ok(())
            });
            assert_eq!((found(false), found(true)), (vec![(7, true)], vec![(7, true)]));
        }
    }

    #[test]
    fn however_much_is_put_aside_only_so_much_of_it_is_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let postgres = Location::Postgres(testkit::Postgres::shared().database());
        for location in [Location::Memory(MemoryDisk::empty()), postgres] {
            let database = Database::open("s", location, Options::default(), World::simulated(1), &[]);
            let database = database.expect("it opens");
            let count = || {
                let counted = runtime.block_on(database.read(|read| put_aside(read, &["s", "t"]))).expect("an answer");
                assert_eq!(counted["t"], PutAside::default());
                counted["s"]
            };
            let put_aside_three = |tx: &mut Tx<'_>| {
                (7..10).try_for_each(|position| queue_behind(tx, &said(position)))?;
                (1..3).try_for_each(|position| bury(tx, &said(position), 1, "never"))
            };
            runtime.block_on(database.write(put_aside_three)).expect("it is written");
            let oldest_parked = Some(Moment::from_micros(7));
            let few = PutAside { parked_events: 3, parked_subjects: 1, oldest_parked, dead_letters: 2 };
            assert_eq!(count(), few);
            let many = |tx: &mut Tx<'_>| {
                for position in 10..=MOST_COUNTED + 10 {
                    let event = Envelope { subject: format!("a-{position}").into(), ..said(position) };
                    queue_behind(tx, &event)?;
                    tx.upsert(
                        &DEAD,
                        vec![vec![
                            "s".into(),
                            position.into(),
                            "a".into(),
                            1.into(),
                            1.into(),
                            "never".into(),
                            "{}".into(),
                        ]],
                    );
                }
                Ok(())
            };
            runtime.block_on(database.write(many)).expect("it is written");
            let all = PutAside {
                parked_events: MOST_COUNTED,
                parked_subjects: MOST_COUNTED - 2,
                oldest_parked,
                dead_letters: MOST_COUNTED,
            };
            assert_eq!(count(), all);
        }
    }

    #[test]
    fn what_is_due_is_found_without_a_look_at_what_is_not() {
        let location = Location::Memory(MemoryDisk::empty());
        let database = Database::open("s", location, Options::default(), World::simulated(1), &[]).expect("it opens");
        let plan = format!("EXPLAIN QUERY PLAN {}", due_sql("due_at <= $2"));
        let steps = database.read(|read| {
            let rows = read.rows(Query::sql(plan, ["s".into(), 1.into(), 16.into()]))?;
            let step = |row: db::Row| {
                let mut row = row.columns();
                let (_id, _parent, _notused, step) = (row.int()?, row.int()?, row.int()?, row.text()?);
                Ok(step)
            };
            rows.into_iter().map(step).collect::<Result<Vec<_>, _>>()
        });
        let steps = steps.now_or_never().expect("memory answers at once").expect("a plan");
        assert_eq!(steps[0], "SEARCH first USING INDEX parked_event_due (source=? AND due_at<?)");
        assert!(steps.iter().all(|step| !step.contains("SCAN") && !step.contains("B-TREE")), "{steps:?}");
    }
}

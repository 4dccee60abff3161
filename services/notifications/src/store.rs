//! Everything that notifications keeps, and every statement: here the tables and what a batch loads and saves, then `look`
//! (what is to be sent) and `stretch` (what is asked for again).

mod look;
mod stretch;

use std::collections::{BTreeMap, BTreeSet};

use db::{Columns, Failure, Query, Read, Row, Table, Tx, Value, int, text};
use ids::{Name, Number};
use world::Moment;

pub(crate) use self::look::{Found, MOST_BYTES, Want, look};
pub(crate) use self::stretch::{EVER, Stretch, wanted_in};
use crate::domain::{Delivery, Endpoint, Status};

static COUNTER: Table =
    Table { name: "counter", key: &[int("number")], rest: &[int("newest"), int("courier"), int("courier_until")] };

static ENDPOINT: Table = Table {
    name: "endpoint",
    key: &[int("number")],
    rest: &[text("name"), int("keeps"), int("cursor"), int("version"), int("said"), text("state")],
};

static MESSAGE: Table = Table {
    name: "message",
    key: &[int("number")],
    rest: &[text("id"), int("endpoint"), text("subject"), text("type"), int("recorded_at"), text("body")],
};

static DELIVERY: Table = Table {
    name: "delivery",
    key: &[int("message"), int("endpoint")],
    rest: &[text("subject"), int("recorded_at"), int("due_at"), text("status"), text("state")],
};

/// How far messages are numbered, and which process delivers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    /// The number of the newest message.
    pub(crate) newest: i64,
    /// The term of the process that delivers.
    pub(crate) courier: Number,
    /// Until when no other does.
    pub(crate) courier_until: Moment,
}

/// An endpoint as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its number, which is also that of its stream of events.
    pub(crate) number: Number,
    /// Messages up to here are settled for it, or have a row of their own.
    pub(crate) cursor: i64,
    /// Grows with each edit of its owner; how it gets on is none.
    pub(crate) version: i64,
    /// Events in its stream.
    pub(crate) said: i64,
    /// What it is.
    pub(crate) endpoint: Endpoint,
}

/// An event as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its place among all messages.
    pub(crate) number: i64,
    /// Its name, the same each time that it is sent.
    pub(crate) id: String,
    /// The one endpoint that it is for, where it is not for all who want it.
    pub(crate) endpoint: Option<Number>,
    /// What it is about.
    pub(crate) subject: String,
    /// Its type.
    pub(crate) kind: String,
    /// When the event was recorded by its service.
    pub(crate) recorded_at: Moment,
    /// What is sent; empty in a log, which does not show it.
    pub(crate) body: String,
}

/// A message without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its place among all messages.
    pub(crate) number: i64,
    /// What it is about.
    pub(crate) subject: String,
    /// When its event was recorded.
    pub(crate) recorded_at: Moment,
}

/// What became of a message for one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The message.
    pub(crate) message: i64,
    /// What it is about.
    pub(crate) subject: String,
    /// When its event was recorded.
    pub(crate) recorded_at: Moment,
    /// What became of it.
    pub(crate) delivery: Delivery,
}

impl Record {
    fn row(&self) -> Vec<Value> {
        let state = serde_json::to_string(&self.endpoint).expect("an endpoint has a JSON form");
        vec![
            self.number.into(),
            (&self.endpoint.name).into(),
            i64::from(self.endpoint.keeps()).into(),
            self.cursor.into(),
            self.version.into(),
            self.said.into(),
            state.into(),
        ]
    }

    fn read(row: Row) -> Result<Self, Failure> {
        let mut row = row.columns();
        let (number, _name, _keeps) = (row.number()?, row.text()?, row.int()?);
        Ok(Self { number, cursor: row.int()?, version: row.int()?, said: row.int()?, endpoint: row.json()? })
    }
}

impl Message {
    /// The same without its text.
    pub(crate) fn head(&self) -> Head {
        Head { number: self.number, subject: self.subject.clone(), recorded_at: self.recorded_at }
    }

    fn row(&self) -> Vec<Value> {
        vec![
            self.number.into(),
            self.id.as_str().into(),
            self.endpoint.into(),
            self.subject.as_str().into(),
            self.kind.as_str().into(),
            self.recorded_at.into(),
            self.body.as_str().into(),
        ]
    }

    fn read(row: &mut Columns) -> Result<Self, Failure> {
        Ok(Self {
            number: row.int()?,
            id: row.text()?,
            endpoint: row.maybe_int()?.map(Number::from_column),
            subject: row.text()?,
            kind: row.text()?,
            recorded_at: row.moment()?,
            body: row.text()?,
        })
    }
}

impl Kept {
    fn row(&self, endpoint: Number) -> Vec<Value> {
        let state = serde_json::to_string(&self.delivery).expect("a delivery has a JSON form");
        vec![
            self.message.into(),
            endpoint.into(),
            self.subject.as_str().into(),
            self.recorded_at.into(),
            self.delivery.due_at.into(),
            self.delivery.status().as_str().into(),
            state.into(),
        ]
    }

    fn read(row: Row) -> Result<((i64, Number), Self), Failure> {
        let mut row = row.columns();
        let (message, endpoint) = (row.int()?, row.number()?);
        let (subject, recorded_at, due_at, _status) = (row.text()?, row.moment()?, row.maybe_moment()?, row.text()?);
        let delivery = Delivery { due_at, ..row.json()? };
        Ok(((message, endpoint), Self { message, subject, recorded_at, delivery }))
    }
}

/// Loads what every batch stands on: the counter, locked, and then all endpoints.
pub(crate) fn load(tx: &mut Tx<'_>) -> Result<(Counter, BTreeMap<Number, Record>), Failure> {
    let counter = Query::by(&COUNTER, "number", [1_i64.into()]).locked();
    let [counter, endpoints] = tx.ask([counter, every_endpoint()])?;
    let counter = counter.into_iter().next().ok_or_else(|| Failure::Corrupt("the row of counter is gone".into()))?;
    let mut row = counter.columns();
    let _number = row.int()?;
    let counter = Counter { newest: row.int()?, courier: row.number()?, courier_until: row.moment()? };
    Ok((counter, read_endpoints(endpoints)?))
}

fn every_endpoint() -> Query {
    Query::sql(format!("SELECT {} FROM endpoint ORDER BY number", ENDPOINT.columns()), [])
}

fn read_endpoints(rows: Vec<Row>) -> Result<BTreeMap<Number, Record>, Failure> {
    let record = |row| Record::read(row).map(|record| (record.number, record));
    rows.into_iter().map(record).collect()
}

/// What became of messages, each for an endpoint; nothing where there is no row.
pub(crate) fn kept(
    tx: &mut Tx<'_>,
    places: &BTreeSet<(i64, Number)>,
) -> Result<BTreeMap<(i64, Number), Kept>, Failure> {
    let keys = places.iter().map(|(message, endpoint)| vec![(*message).into(), (*endpoint).into()]);
    let rows = tx.rows(Query::by_primary_keys(&DELIVERY, keys))?;
    rows.into_iter().map(Kept::read).collect()
}

/// The oldest messages that may be forgotten, up to a number; none where there is nothing to forget. So many of
/// them at most, with so many rows of what became of them, or one message. What an endpoint has still to get, and
/// all that came after it, stays.
pub(crate) fn forgettable(tx: &mut Tx<'_>, before: Moment, most: usize) -> Result<Option<i64>, Failure> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let oldest = "SELECT number, recorded_at FROM message ORDER BY number LIMIT $1";
    let behind = "SELECT min(cursor) FROM endpoint WHERE keeps = 1";
    let open = "SELECT min(delivery.message) FROM delivery JOIN endpoint ON endpoint.number = delivery.endpoint
                JOIN message ON message.number = delivery.message WHERE delivery.due_at IS NOT NULL AND endpoint.keeps = 1";
    let full = "SELECT message FROM delivery ORDER BY message, endpoint LIMIT 1 OFFSET $1";
    let [oldest, behind, open, full] = tx.ask([
        Query::sql(oldest, [most.into()]),
        Query::sql(behind, []),
        Query::sql(open, []),
        Query::sql(full, [most.into()]),
    ])?;
    let first = |rows: Vec<Row>| rows.into_iter().next().map_or(Ok(None), |row| row.columns().maybe_int());
    let needed_from = [first(behind)?.map(|cursor| cursor + 1), first(open)?].into_iter().flatten().min();
    let full = first(full)?;
    let mut upto = None;
    for row in oldest {
        let mut row = row.columns();
        let (number, recorded_at) = (row.int()?, row.moment()?);
        let is_needed = recorded_at >= before || needed_from.is_some_and(|needed| number >= needed);
        if is_needed || (upto.is_some() && full.is_some_and(|full| number >= full)) {
            break;
        }
        upto = Some(number);
    }
    Ok(upto)
}

/// When the oldest message was recorded; none where there is none.
pub(crate) fn oldest_message(tx: &mut Tx<'_>) -> Result<Option<Moment>, Failure> {
    let rows = tx.rows(Query::sql("SELECT recorded_at FROM message ORDER BY number LIMIT 1", []))?;
    rows.into_iter().next().map(|row| row.columns().moment()).transpose()
}

/// Forgets messages up to a number, and what became of them.
pub(crate) fn forget(tx: &mut Tx<'_>, upto: i64) {
    tx.execute("DELETE FROM delivery WHERE message <= $1", [upto.into()]);
    tx.execute("DELETE FROM message WHERE number <= $1", [upto.into()]);
}

/// Sends an endpoint nothing any more of what it has still to get and has a row.
pub(crate) fn give_up(tx: &mut Tx<'_>, endpoint: Number) {
    let sql = "UPDATE delivery SET due_at = NULL, status = 'failed' WHERE endpoint = $1 AND due_at IS NOT NULL";
    tx.execute(sql, [endpoint.into()]);
}

/// What a batch has changed.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    /// The counter, where it moved.
    pub(crate) counter: Option<&'a Counter>,
    /// Endpoints that were not there before.
    pub(crate) new: Vec<&'a Record>,
    /// Endpoints that were.
    pub(crate) known: Vec<&'a Record>,
    /// Endpoints that are there no more.
    pub(crate) gone: Vec<Number>,
}

/// Writes what a batch has changed.
pub(crate) fn save(
    tx: &mut Tx<'_>,
    changes: Changes<'_>,
    messages: &[Message],
    deliveries: &BTreeMap<(i64, Number), Kept>,
) {
    let Changes { counter, new, known, gone } = changes;
    let counter = counter
        .into_iter()
        .map(|counter| vec![1_i64.into(), counter.newest.into(), counter.courier.into(), counter.courier_until.into()]);
    tx.update(&COUNTER, counter.collect());
    tx.delete(&ENDPOINT, gone.into_iter().map(|number| vec![number.into()]).collect());
    tx.insert(&ENDPOINT, new.into_iter().map(Record::row).collect());
    tx.update(&ENDPOINT, known.into_iter().map(Record::row).collect());
    tx.insert(&MESSAGE, messages.iter().map(Message::row).collect());
    tx.upsert(&DELIVERY, deliveries.iter().map(|((_, endpoint), kept)| kept.row(*endpoint)).collect());
}

/// All endpoints, in the order in which they were registered.
pub(crate) fn every(read: &mut Read<'_>) -> Result<Vec<Record>, Failure> {
    read.rows(every_endpoint())?.into_iter().map(Record::read).collect()
}

/// All endpoints in the order of their names, after one of them.
pub(crate) fn endpoints_after(read: &mut Read<'_>, after: &str, most: i64) -> Result<Vec<Record>, Failure> {
    let sql = format!("SELECT {} FROM endpoint WHERE name > $1 ORDER BY name LIMIT $2", ENDPOINT.columns());
    read.rows(Query::sql(sql, [after.into(), most.into()]))?.into_iter().map(Record::read).collect()
}

/// An endpoint as it is at present.
pub(crate) fn find(read: &mut Read<'_>, name: &Name) -> Result<Option<Record>, Failure> {
    let rows = read.rows(Query::by(&ENDPOINT, "name", [name.into()]))?;
    rows.into_iter().next().map(Record::read).transpose()
}

/// A message with what became of it.
pub(crate) type Logged = (Message, Option<Kept>);

fn logged(row: Row) -> Result<Logged, Failure> {
    let mut row = row.columns();
    let message = Message::read(&mut row)?;
    if row.maybe_text()?.is_none() {
        return Ok((message, None));
    }
    let delivery = Delivery { due_at: row.maybe_moment()?, ..row.json()? };
    let (number, subject, recorded_at) = (message.number, message.subject.clone(), message.recorded_at);
    Ok((message, Some(Kept { message: number, subject, recorded_at, delivery })))
}

const LOGGED: &str =
    "message.number, message.id, message.endpoint, message.subject, message.type, message.recorded_at, message.body";

/// What an endpoint was sent, the newest first, before a message, without texts; of one status or of all.
pub(crate) fn log(
    read: &mut Read<'_>,
    endpoint: Number,
    status: Option<Status>,
    before: i64,
    most: i64,
) -> Result<Vec<Logged>, Failure> {
    let of_status = |status: Status| log_of(endpoint, status, before, most);
    let rows = match status {
        Some(status) => read.rows(of_status(status))?,
        None => read.ask(Status::ALL.map(of_status))?.into_iter().flatten().collect(),
    };
    let mut log = rows.into_iter().map(logged).collect::<Result<Vec<_>, _>>()?;
    log.sort_unstable_by_key(|(message, _)| std::cmp::Reverse(message.number));
    log.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(log)
}

/// Asks for what an endpoint was sent of one status: a stretch of an index, however many there are of others.
fn log_of(endpoint: Number, status: Status, before: i64, most: i64) -> Query {
    let sql =
        "SELECT message.number, message.id, message.endpoint, message.subject, message.type, message.recorded_at, '',
                delivery.status, delivery.due_at, delivery.state
         FROM delivery JOIN message ON message.number = delivery.message
         WHERE delivery.endpoint = $1 AND delivery.status = $2 AND delivery.message < $3
         ORDER BY delivery.message DESC LIMIT $4";
    Query::sql(sql, [endpoint.into(), status.as_str().into(), before.into(), most.into()])
}

/// A message with what became of it for an endpoint.
pub(crate) fn message(read: &mut Read<'_>, endpoint: Number, number: i64) -> Result<Option<Logged>, Failure> {
    let sql = format!(
        "SELECT {LOGGED}, delivery.status, delivery.due_at, delivery.state FROM message
         LEFT JOIN delivery ON delivery.message = message.number AND delivery.endpoint = $1 WHERE message.number = $2"
    );
    let rows = read.rows(Query::sql(sql, [endpoint.into(), number.into()]))?;
    rows.into_iter().next().map(logged).transpose()
}

#[cfg(test)]
pub(crate) mod tests {
    use db::{Database, Location, MemoryDisk, Options};
    use world::World;

    use super::*;
    use crate::MIGRATIONS;

    fn open(location: Location) -> Database {
        Database::open(crate::NAME, location, Options::default(), World::simulated(1), MIGRATIONS).expect("it opens")
    }

    /// The steps in which `SQLite` answers a question.
    pub(crate) async fn steps_of(database: &Database, query: Query) -> Vec<String> {
        let Query::Sql { sql, values } = query else { panic!("it is one statement") };
        let plan = Query::sql(format!("EXPLAIN QUERY PLAN {sql}"), values);
        let step = |row: Row| {
            let mut row = row.columns();
            let (_id, _parent, _notused) = (row.int()?, row.int()?, row.int()?);
            row.text()
        };
        let rows = database.read(|read| read.rows(plan)).await.expect("a plan");
        rows.into_iter().map(step).collect::<Result<_, Failure>>().expect("steps")
    }

    #[tokio::test]
    async fn what_an_endpoint_was_sent_is_found_by_status_without_a_look_at_the_others() {
        let database = open(Location::Memory(MemoryDisk::empty()));
        let query = log_of(Number::from_column(1), Status::Retrying, i64::MAX, 50);
        assert_eq!(
            steps_of(&database, query).await,
            [
                "SEARCH delivery USING INDEX delivery_log (endpoint=? AND status=? AND message<?)",
                "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)",
            ]
        );
    }

    #[tokio::test]
    async fn a_log_of_all_statuses_is_in_the_order_of_its_messages() {
        let postgres = Location::Postgres(testkit::Postgres::shared().database());
        for location in [Location::Memory(MemoryDisk::empty()), postgres] {
            let database = open(location);
            let (endpoint, at) = (Number::from_column(1), Moment::from_micros(0));
            let message = |number: i64| Message {
                number,
                id: format!("orders-1-{number}"),
                endpoint: None,
                subject: "a".to_owned(),
                kind: "OrderPlaced".to_owned(),
                recorded_at: at,
                body: "{}".to_owned(),
            };
            // Every other one waits, and those between were given up.
            let kept = |message: i64| {
                let mut delivery = Delivery::due(at);
                if message % 2 == 0 {
                    delivery.give_up();
                }
                ((message, endpoint), Kept { message, subject: "a".to_owned(), recorded_at: at, delivery })
            };
            let (messages, deliveries) = ((1..=7).map(message).collect::<Vec<_>>(), (1..=7).map(kept).collect());
            let written = database.write(move |tx| {
                save(tx, Changes::default(), &messages, &deliveries);
                Ok(())
            });
            written.await.expect("it is written");
            for (status, before, expected) in [
                (None, i64::MAX, vec![7, 6, 5]),
                (None, 5, vec![4, 3, 2]),
                (Some(Status::Waiting), 6, vec![5, 3, 1]),
                (Some(Status::Failed), i64::MAX, vec![6, 4, 2]),
                (Some(Status::Delivered), i64::MAX, vec![]),
            ] {
                let found = database.read(move |read| log(read, endpoint, status, before, 3)).await.expect("a log");
                let numbers: Vec<_> = found.iter().map(|(message, _)| message.number).collect();
                assert_eq!(numbers, expected, "{status:?} before {before}");
            }
        }
    }
}

//! What is to be sent next.

use std::collections::BTreeMap;

use db::{Failure, Query, Read, Row, Value};
use ids::Number;
use world::Moment;

use super::{LOGGED, Logged, Message, Record, every_endpoint, logged, read_endpoints};
use crate::domain::{Delivery, Filter};

/// Messages that are looked through at once for those that an endpoint wants.
const WINDOW: i64 = 5_000;
/// Bytes of texts that are read ahead for an endpoint at once, and of those that are due again.
pub(crate) const MOST_BYTES: usize = 256 * 1024;

/// What the courier wants to know of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Messages after this one.
    pub(crate) after: i64,
    /// So many that are due again.
    pub(crate) due: usize,
    /// So many that were never sent.
    pub(crate) fresh: usize,
}

/// What was found for an endpoint.
#[derive(Debug)]
pub(crate) struct Found {
    /// The endpoint.
    pub(crate) record: Record,
    /// Messages that are due again, the longest due first.
    pub(crate) due: Vec<(Message, Delivery)>,
    /// Messages that were never sent, and of each whether one about its subject has to be taken before.
    pub(crate) fresh: Vec<(Message, bool)>,
    /// Messages up to here have been looked through.
    pub(crate) upto: i64,
    /// Whether there are more.
    pub(crate) is_at_end: bool,
    /// When the oldest event was recorded that it has still to get, where that was asked.
    pub(crate) oldest: Option<Moment>,
}

/// Looks for what is to be sent.
pub(crate) fn look(
    read: &mut Read<'_>,
    wants: &BTreeMap<Number, Want>,
    with_ages: bool,
) -> Result<Vec<Found>, Failure> {
    let newest = Query::sql("SELECT newest FROM counter", []);
    let [newest, endpoints] = read.ask([newest, every_endpoint()])?;
    let newest = newest.into_iter().next().map_or(Ok(0), |row| row.columns().int())?;
    let mut found = Vec::new();
    for (number, record) in read_endpoints(endpoints)? {
        let want = wants.get(&number).copied().unwrap_or(Want { after: record.cursor, due: 0, fresh: 0 });
        let works = record.endpoint.works();
        let mut due = if works && want.due > 0 { due(read, &record, want.due)? } else { Vec::new() };
        due.truncate(fitting(due.iter().map(|(message, _)| message)));
        let (mut fresh, mut upto, mut is_at_end) = (Vec::new(), want.after, want.after >= newest);
        if works && want.fresh > 0 && !is_at_end {
            let last = newest.min(want.after + WINDOW);
            fresh = unsent(read, &record, (want.after, last), want.fresh)?;
            let fitting = fitting(fresh.iter().map(|(message, _)| message));
            let is_full = fresh.len() >= want.fresh || fitting < fresh.len();
            fresh.truncate(fitting);
            upto = fresh.last().filter(|_| is_full).map_or(last, |(message, _)| message.number);
            is_at_end = upto >= newest;
        }
        let wanted = |(message, _): &(Message, bool)| {
            record.endpoint.wants(&message.kind, &message.subject, message.recorded_at)
        };
        fresh.retain(wanted);
        let oldest = if with_ages && record.endpoint.keeps() { oldest(read, &record, newest)? } else { None };
        found.push(Found { record, due, fresh, upto, is_at_end, oldest });
    }
    Ok(found)
}

/// How many of the messages, from the first, have no more text than is held for an endpoint; one at least.
fn fitting<'m>(messages: impl Iterator<Item = &'m Message>) -> usize {
    let with_those_before = messages.scan(0, |bytes: &mut usize, message| {
        *bytes += message.body.len();
        Some(*bytes)
    });
    with_those_before.take_while(|bytes| *bytes <= MOST_BYTES).count().max(1)
}

/// Messages that are due again; where their order counts only the first about each subject.
fn due(read: &mut Read<'_>, record: &Record, most: usize) -> Result<Vec<(Message, Delivery)>, Failure> {
    let sql = format!(
        "SELECT {LOGGED}, delivery.status, delivery.due_at, delivery.state FROM delivery JOIN message ON message.number = delivery.message
         WHERE delivery.endpoint = $1 AND delivery.due_at <= $2 AND ($3 = 0 OR NOT EXISTS (
             SELECT 1 FROM delivery AS before
             WHERE before.endpoint = delivery.endpoint AND before.subject = delivery.subject
               AND before.message < delivery.message AND before.due_at IS NOT NULL))
         ORDER BY delivery.due_at, delivery.message LIMIT $4"
    );
    let is_ordered = i64::from(record.endpoint.settings.ordered);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values = [record.number.into(), read.now().into(), is_ordered.into(), most.into()];
    let rows = read.rows(Query::sql(sql, values))?.into_iter().map(logged);
    let with_delivery = |(message, kept): Logged| Some((message, kept?.delivery));
    rows.filter_map(|row| row.map(with_delivery).transpose()).collect()
}

/// Messages between two that have no row yet, of the types that the endpoint wants.
fn unsent(
    read: &mut Read<'_>,
    record: &Record,
    (after, last): (i64, i64),
    most: usize,
) -> Result<Vec<(Message, bool)>, Failure> {
    const ALL: &str = "SELECT number, id, endpoint, subject, type, recorded_at, body, CAST(CASE WHEN EXISTS (
            SELECT 1 FROM delivery AS before WHERE before.endpoint = $1 AND before.subject = message.subject
              AND before.message < message.number AND before.due_at IS NOT NULL) THEN 1 ELSE 0 END AS BIGINT)
        FROM message WHERE number > $2 AND number <= $3 AND endpoint IS NULL
          AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message = message.number AND delivery.endpoint = $1)
        ORDER BY number LIMIT $4";
    const OF_TYPES: &str = "SELECT number, id, endpoint, subject, type, recorded_at, body, CAST(CASE WHEN EXISTS (
            SELECT 1 FROM delivery AS before WHERE before.endpoint = $2 AND before.subject = message.subject
              AND before.message < message.number AND before.due_at IS NOT NULL) THEN 1 ELSE 0 END AS BIGINT)
        FROM message WHERE number > $3 AND number <= $4 AND endpoint IS NULL AND type = ANY($1)
          AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message = message.number AND delivery.endpoint = $2)
        ORDER BY number LIMIT $5";
    let Filter { types, .. } = &record.endpoint.settings.filter;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values: [Value; 4] = [record.number.into(), after.into(), last.into(), most.into()];
    let query = if types.is_empty() {
        Query::sql(ALL, values)
    } else {
        Query::any_of(OF_TYPES, types.iter().map(|kind| kind.as_str().into()), values)
    };
    let read_one = |row: Row| {
        let mut row = row.columns();
        Ok((Message::read(&mut row)?, row.int()? == 1))
    };
    read.rows(query)?.into_iter().map(read_one).collect()
}

/// When the oldest event was recorded that an endpoint has still to get.
fn oldest(read: &mut Read<'_>, record: &Record, newest: i64) -> Result<Option<Moment>, Failure> {
    let sql = "SELECT min(recorded_at) FROM delivery WHERE endpoint = $1 AND due_at IS NOT NULL";
    let rows = read.rows(Query::sql(sql, [record.number.into()]))?;
    let open = rows.into_iter().next().map_or(Ok(None), |row| row.columns().maybe_moment())?;
    let last = newest.min(record.cursor + WINDOW);
    let unsent = unsent(read, record, (record.cursor, last), 1)?;
    let unsent = unsent.first().map(|(message, _)| message.recorded_at);
    Ok([open, unsent].into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use db::{Database, Location, MemoryDisk, Options};
    use world::World;

    use super::*;
    use crate::MIGRATIONS;
    use crate::domain::{Endpoint, Secret, Settings};
    use crate::store::{Changes, Kept, save};

    fn message(number: i64, bytes: usize) -> Message {
        Message {
            number,
            id: format!("orders-1-{number}"),
            endpoint: None,
            subject: format!("o-{number}"),
            kind: "OrderPlaced".to_owned(),
            recorded_at: Moment::from_micros(number),
            body: "x".repeat(bytes),
        }
    }

    /// Three heavy messages, two light ones and one that is heavier than all that is read ahead.
    #[tokio::test]
    async fn what_is_held_for_an_endpoint_is_limited_by_bytes_too_and_all_has_its_turn() {
        let location = Location::Memory(MemoryDisk::empty());
        let opened = Database::open(crate::NAME, location, Options::default(), World::simulated(1), MIGRATIONS);
        let database = opened.expect("it opens");
        let number = Number::from_column(1);
        let settings =
            Settings { url: "https://a".to_owned(), filter: Filter::default(), ordered: false, enabled: true };
        let (name, since) = ("a".parse().expect("a name"), Moment::from_micros(0));
        let endpoint = Endpoint::new(name, settings, Secret::of(&[7; 32]), since);
        let record = Record { number, cursor: 0, version: 1, said: 0, endpoint };
        let third = MOST_BYTES / 3;
        let sizes = [third, third, third, 10, 10, 2 * MOST_BYTES];
        let messages: Vec<_> = (1..).zip(sizes).map(|(number, bytes)| message(number, bytes)).collect();
        let written = database.write(move |tx| {
            tx.execute("UPDATE counter SET newest = 6", []);
            save(tx, Changes { new: vec![&record], ..Changes::default() }, &messages, &BTreeMap::new());
            Ok(())
        });
        written.await.expect("it is written");
        let looked = |want: Want| {
            let wants = BTreeMap::from([(number, want)]);
            database.read(move |read| look(read, &wants, false).map(|mut found| found.remove(0)))
        };
        let mut after = 0;
        for (expected, is_at_end) in [(vec![1, 2, 3], false), (vec![4, 5], false), (vec![6], true)] {
            let found = looked(Want { after, due: 0, fresh: 100 }).await.expect("it is read");
            let fresh: Vec<_> = found.fresh.iter().map(|(message, _)| message.number).collect();
            assert_eq!((fresh, found.is_at_end), (expected, is_at_end));
            after = found.upto;
        }
        let due = |message: i64| {
            let subject = format!("o-{message}");
            let delivery = Delivery::due(since);
            ((message, number), Kept { message, subject, recorded_at: since, delivery })
        };
        let deliveries: BTreeMap<_, _> = (1..=6).map(due).collect();
        let written = database.write(move |tx| {
            save(tx, Changes::default(), &[], &deliveries);
            Ok(())
        });
        written.await.expect("it is written");
        let found = looked(Want { after, due: 100, fresh: 0 }).await.expect("it is read");
        assert_eq!(found.due.len(), 3);
    }
}

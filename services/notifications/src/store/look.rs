//! What is to be sent next.

use std::collections::BTreeMap;

use db::{Failure, Query, Read, Row, Value};
use ids::Number;
use world::Moment;

use super::{LOGGED, Logged, Message, Record, every_endpoint, logged, read_endpoints};
use crate::domain::{Delivery, Filter};

/// Messages that are looked through at once for those that an endpoint wants.
const WINDOW: i64 = 5_000;

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
        let due = if works && want.due > 0 { due(read, &record, want.due)? } else { Vec::new() };
        let (mut fresh, mut upto, mut is_at_end) = (Vec::new(), want.after, want.after >= newest);
        if works && want.fresh > 0 && !is_at_end {
            let last = newest.min(want.after + WINDOW);
            fresh = unsent(read, &record, (want.after, last), want.fresh)?;
            let is_full = fresh.len() >= want.fresh;
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

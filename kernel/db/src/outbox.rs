//! Events as a service keeps them: what it published, numbered in the order of its commits.
//!
//! ```text
//! tx.publish(NewEvent) ─▶ collected ─▶ numbered under one lock, the last thing before COMMIT ─▶ table `event`
//!                                                                      after COMMIT ─▶ Ring ─▶ readers
//! ```
//!
//! **Invariant:** positions have no gaps and follow the order of commits, also where two processes
//! write; so "have I all after N?" has an exact answer.
//!
//! The table is the outbox, the history and (for inventory) the journal in one.

use std::sync::Arc;

use ids::Number;
use world::{Moment, stable_hash};

use crate::table::{Table, int, text};
use crate::{Columns, Context, Failure, Query, Row, Value};

/// Where an event stands among all events of its service; the first is 1.
pub type Position = i64;

/// Partitions that the subjects of a service are spread over.
pub const PARTITIONS: u8 = 64;

/// The largest body of an event, in bytes.
pub const BODY_LIMIT_BYTES: usize = 256 * 1024;

/// The partition of a subject: the same in every release.
pub fn partition_of(subject: &str) -> u8 {
    u8::try_from(stable_hash(subject.as_bytes()) % u64::from(PARTITIONS)).unwrap_or_default()
}

/// An event that a transaction wants to publish.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The number of the thing that it happened to.
    pub stream: Number,
    /// Its place among the events of that thing, from 1; the database refuses a second one.
    pub version: i64,
    /// What it is about, as others know it; order is promised per subject.
    pub subject: String,
    /// Its type, such as `OrderPlaced`.
    pub kind: &'static str,
    /// The version of that type's schema.
    pub schema: i64,
    /// When it happened; may lie before it was recorded.
    pub occurred_at: Moment,
    /// Who did it, and what it belongs to.
    pub by: Context,
    /// What happened, as JSON.
    pub body: String,
}

/// An event that has been committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The service that published it.
    pub source: Arc<str>,
    /// The life of that service's database: another one after it was restored from a backup.
    pub incarnation: Number,
    /// Where it stands among all events of its source.
    pub position: Position,
    /// `hash(subject) % 64`.
    pub partition: u8,
    /// The number of the thing that it happened to.
    pub stream: Number,
    /// Its place among the events of that thing, from 1.
    pub version: i64,
    /// What it is about.
    pub subject: Arc<str>,
    /// Its type, such as `OrderPlaced`.
    pub kind: Arc<str>,
    /// The version of that type's schema.
    pub schema: i64,
    /// When it happened.
    pub occurred_at: Moment,
    /// When it was committed.
    pub recorded_at: Moment,
    /// Who did it, and what it belongs to.
    pub by: Context,
    /// What happened, as JSON.
    pub body: Arc<str>,
}

impl Envelope {
    /// A name for the event that no other event has.
    pub fn id(&self) -> String {
        format!("{}-{}-{}", self.source, self.incarnation, self.position)
    }
}

pub(crate) static EVENT: Table = Table {
    name: "event",
    key: &[int("position")],
    rest: &[
        int("partition"),
        int("stream"),
        int("version"),
        text("subject"),
        text("type"),
        int("schema"),
        int("occurred_at"),
        int("recorded_at"),
        text("trace"),
        text("correlation"),
        text("causation"),
        text("actor"),
        text("owner"),
        text("origin"),
        text("market"),
        text("body"),
    ],
};

impl NewEvent {
    /// The columns of its row, without the position.
    pub(crate) fn columns(&self, now: Moment) -> Vec<Value> {
        vec![
            i64::from(partition_of(&self.subject)).into(),
            self.stream.into(),
            self.version.into(),
            self.subject.as_str().into(),
            self.kind.into(),
            self.schema.into(),
            self.occurred_at.into(),
            now.into(),
            self.by.trace.to_string().into(),
            (&self.by.correlation).into(),
            (&self.by.causation).into(),
            self.by.actor.to_string().into(),
            (&self.by.owner).into(),
            self.by.origin.as_str().into(),
            self.by.market.as_ref().into(),
            self.body.as_str().into(),
        ]
    }

    fn committed(self, source: &Source, position: Position, recorded_at: Moment) -> Envelope {
        Envelope {
            source: source.service.clone(),
            incarnation: source.incarnation,
            position,
            partition: partition_of(&self.subject),
            stream: self.stream,
            version: self.version,
            subject: self.subject.into(),
            kind: self.kind.into(),
            schema: self.schema,
            occurred_at: self.occurred_at,
            recorded_at,
            by: self.by,
            body: self.body.into(),
        }
    }
}

/// Whose events these are.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) service: Arc<str>,
    pub(crate) incarnation: Number,
}

impl Source {
    /// The events as readers see them once they are committed.
    pub(crate) fn committed(&self, news: Vec<NewEvent>, first: Position, recorded_at: Moment) -> Vec<Envelope> {
        (first..).zip(news).map(|(position, event)| event.committed(self, position, recorded_at)).collect()
    }

    pub(crate) fn read(&self, row: Row) -> Result<Envelope, Failure> {
        let mut row = row.columns();
        let position = row.int()?;
        self.read_at(position, row).map_err(|failure| failure.of(format_args!("event {position}")))
    }

    fn read_at(&self, position: Position, mut row: Columns) -> Result<Envelope, Failure> {
        let partition = row.int()?;
        let stream = row.number()?;
        let version = row.int()?;
        let subject = row.text()?;
        let kind = row.text()?;
        let schema = row.int()?;
        let occurred_at = row.moment()?;
        let recorded_at = row.moment()?;
        let trace = row.parsed()?;
        let correlation = row.text()?;
        let causation = row.text()?;
        let actor = row.parsed()?;
        let owner = row.text()?;
        let origin = row.parsed()?;
        let market = row.maybe_text()?;
        let body = row.text()?;
        Ok(Envelope {
            source: self.service.clone(),
            incarnation: self.incarnation,
            position,
            partition: u8::try_from(partition).map_err(|_| Failure::Corrupt("an event's partition".into()))?,
            stream,
            version,
            subject: subject.into(),
            kind: kind.into(),
            schema,
            occurred_at,
            recorded_at,
            by: Context {
                actor,
                owner: owner.into(),
                origin,
                market: market.map(Into::into),
                trace,
                correlation: correlation.into(),
                causation: causation.into(),
            },
            body: body.into(),
        })
    }
}

/// The events after a position, in their order.
pub(crate) fn events_after(after: Position, limit: usize) -> Query {
    events_where("position > $1", vec![after.into()], limit)
}

/// The events for which a condition holds, in their order.
pub(crate) fn events_where(condition: &str, mut values: Vec<Value>, limit: usize) -> Query {
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let (columns, limit) = (EVENT.columns(), values.len());
    Query::sql(format!("SELECT {columns} FROM event WHERE {condition} ORDER BY position LIMIT ${limit}"), values)
}

/// The events of one thing, in their order.
pub(crate) fn events_of(stream: Number) -> Query {
    let sql = format!("SELECT {} FROM event WHERE stream = $1 ORDER BY version", EVENT.columns());
    Query::sql(sql, [stream.into()])
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn a_subject_stays_in_its_partition_in_every_release() {
        let partitions = ["", "a", "order-1", "sku 1/é"].map(partition_of);
        assert_eq!(partitions, [37, 12, 45, 34]);
    }
}

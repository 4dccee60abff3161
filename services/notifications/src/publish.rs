//! Which of our events concern others: all of them.

use contracts::notifications::Event;
use db::{Context, NewEvent};
use world::Moment;

use crate::store::Record;

/// An event of an endpoint, as others read it; the endpoint's name is its subject.
pub(crate) fn news(record: &Record, event: &Event, now: Moment, by: &Context) -> NewEvent {
    NewEvent {
        stream: record.number,
        version: record.said,
        subject: record.endpoint.name.to_string(),
        kind: event.kind(),
        schema: event.schema(),
        occurred_at: now,
        by: by.clone(),
        body: event.body(),
    }
}

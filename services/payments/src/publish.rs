//! Which of our events concern others: all of them, for others and we ourselves read the same.

use db::{Context, NewEvent};
use ids::Number;
use world::Moment;

use crate::domain::{Event, Payment};

/// An event of a payment, as others read it; the payment's name is its subject.
pub(crate) fn news(
    payment: &Payment,
    stream: Number,
    version: i64,
    event: &Event,
    now: Moment,
    by: &Context,
) -> NewEvent {
    NewEvent {
        stream,
        version,
        subject: payment.payment.to_string(),
        kind: event.kind(),
        schema: event.schema(),
        occurred_at: now,
        by: by.clone(),
        body: event.body(),
    }
}

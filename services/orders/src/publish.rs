//! What orders says to others: every event of the story, for each asks somebody for something or
//! says how it ended.

use contracts::orders::Event;
use db::{Context, NewEvent, Tx};

use crate::domain::Order;

/// Publishes an event that the order has just taken over.
pub(crate) fn one(tx: &mut Tx<'_>, order: &Order, event: &Event, by: &Context) {
    tx.publish(NewEvent {
        stream: order.number,
        version: order.version,
        subject: order.name.as_str().to_owned(),
        kind: event.kind(),
        schema: event.schema(),
        occurred_at: tx.now(),
        by: Context { owner: order.owner.as_str().into(), ..by.clone() },
        body: event.body(),
    });
}

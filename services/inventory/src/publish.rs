//! What inventory says to others: everything, for its events are its journal.

use db::{Context, NewEvent, Tx};

use crate::domain::{Books, News};
use contracts::inventory::Event;

/// Publishes what the books have to say, in the name of whoever caused it.
pub(crate) fn all(tx: &mut Tx<'_>, books: &mut Books, by: &Context) {
    for News { stream, version, event } in books.take_news() {
        tx.publish(NewEvent {
            stream,
            version,
            subject: subject(&event).to_owned(),
            kind: event.kind(),
            schema: event.schema(),
            occurred_at: tx.now(),
            by: by.clone(),
            body: event.body(),
        });
    }
}

/// What an event is about: the reservation, or the SKU that was moved.
fn subject(event: &Event) -> &str {
    match event {
        Event::SupplierShipmentReceived(e) => e.sku.as_str(),
        Event::StockCounted(e) => e.sku.as_str(),
        Event::StockLevelAdjusted(e) => e.sku.as_str(),
        Event::StockMovementRejected(e) => e.sku.as_str(),
        Event::StockShortfallFound(e) => e.sku.as_str(),
        Event::StockReserved(e) => e.reservation.as_str(),
        Event::StockReservationRejected(e) => e.reservation.as_str(),
        Event::StockReservationExtended(e) => e.reservation.as_str(),
        Event::StockCommitted(e) => e.reservation.as_str(),
        Event::StockCommitRejected(e) => e.reservation.as_str(),
        Event::StockShipped(e) => e.reservation.as_str(),
        Event::StockReleased(e) => e.reservation.as_str(),
        Event::StockReservationExpired(e) => e.reservation.as_str(),
        Event::StockReturned(e) => e.reservation.as_str(),
    }
}

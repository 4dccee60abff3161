//! What inventory says to others: everything, for its events are its journal.

use db::{Context, NewEvent, Tx};

use crate::domain::{Books, News};
use contracts::inventory::Event;

/// Publishes what the books have to say, in the name of whoever caused it; each under the owner of its thing, by
/// whom others find theirs.
pub(crate) fn all(tx: &mut Tx<'_>, books: &mut Books, by: &Context) {
    for news in books.take_news() {
        one(tx, &news, by);
    }
}

fn one(tx: &mut Tx<'_>, news: &News, by: &Context) {
    let News { stream, version, owner, event } = news;
    let owner = owner.as_str();
    #[cfg(feature = "planted-bugs")]
    let owner = if world::planted::is(world::planted::Bug::SaidOfWhoeverAsked) { &by.owner } else { owner };
    tx.publish(NewEvent {
        stream: *stream,
        version: *version,
        subject: subject(event).to_owned(),
        kind: event.kind(),
        schema: event.schema(),
        occurred_at: tx.now(),
        by: Context { owner: owner.into(), ..by.clone() },
        body: event.body(),
    });
}

/// What an event is about: the reservation, the SKU that was moved, or the warehouse.
fn subject(event: &Event) -> &str {
    match event {
        Event::SupplierShipmentReceived(e) => e.sku.as_str(),
        Event::StockCounted(e) => e.sku.as_str(),
        Event::StockLevelAdjusted(e) => e.sku.as_str(),
        Event::StockTransferred(e) => e.sku.as_str(),
        Event::StockTransferStarted(e) => e.sku.as_str(),
        Event::StockTransferArrived(e) => e.sku.as_str(),
        Event::StockLostInTransit(e) => e.sku.as_str(),
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
        Event::PromiseFellShort(e) => e.reservation.as_str(),
        Event::BackorderServed(e) => e.reservation.as_str(),
        Event::ShortfallSettled(e) => e.reservation.as_str(),
        Event::PromiseMoved(e) => e.reservation.as_str(),
        Event::SkuBackorderChanged(e) => e.sku.as_str(),
        Event::SkuDiscontinued(e) => e.sku.as_str(),
        Event::SkuReinstated(e) => e.sku.as_str(),
        Event::SkuSignalChanged(e) => e.sku.as_str(),
        Event::WarehouseChanged(e) => e.warehouse.as_str(),
        Event::RestockPointChanged(e) => e.sku.as_str(),
        Event::RestockNeeded(e) => e.sku.as_str(),
        Event::StockReplenished(e) => e.sku.as_str(),
    }
}

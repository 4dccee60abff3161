//! What orders does when inventory or payments says something.

use contracts::{inventory, payments};
use db::Envelope;
use events::{Listening, Understood, Verdict};
use ids::Name;

use crate::domain::{Command, Heard, Rejection};
use crate::perform::Answer;

/// The feed of inventory, as orders understands it.
pub(crate) const INVENTORY: Listening<Command, Answer> = Listening { understand: of_inventory, judge };

/// The feed of payments, as orders understands it.
pub(crate) const PAYMENTS: Listening<Command, Answer> = Listening { understand: of_payments, judge };

fn of_inventory(envelope: &Envelope) -> Understood<Command> {
    use inventory::Event;
    let event = match Event::read(&envelope.kind, &envelope.body) {
        Ok(Some(event)) => event,
        Ok(None) => return Understood::Nothing,
        Err(unreadable) => return Understood::Unreadable(unreadable.to_string()),
    };
    // What is not for an order is somebody else's reservation.
    match event {
        Event::StockReserved(e) => {
            hear(e.order, e.reservation, e.attempt, Heard::StockReserved { until: e.expires_at })
        }
        Event::StockReservationRejected(e) => hear(e.order, e.reservation, e.attempt, Heard::StockRefused),
        Event::StockCommitted(e) => hear(e.order, e.reservation, e.attempt, Heard::StockCommitted),
        Event::StockCommitRejected(e) => hear(e.order, e.reservation, e.attempt, Heard::StockNotCommitted),
        Event::StockReleased(e) => hear(e.order, e.reservation, e.attempt, Heard::StockReleased),
        Event::StockReturned(e) => hear(e.order, e.reservation, e.attempt, Heard::StockReleased),
        _ => Understood::Nothing,
    }
}

fn of_payments(envelope: &Envelope) -> Understood<Command> {
    use payments::Event;
    let event = match Event::read(&envelope.kind, &envelope.body) {
        Ok(Some(event)) => event,
        Ok(None) => return Understood::Nothing,
        Err(unreadable) => return Understood::Unreadable(unreadable.to_string()),
    };
    match event {
        Event::PaymentAuthorized(e) => hear(Some(e.order), e.payment, e.attempt, Heard::PaymentAuthorized),
        Event::PaymentDeclined(e) => {
            let timed_out = e.reason == payments::TIMED_OUT;
            hear(Some(e.order), e.payment, e.attempt, Heard::PaymentDeclined { timed_out })
        }
        Event::PaymentCaptured(e) => hear(Some(e.order), e.payment, e.attempt, Heard::PaymentCaptured),
        Event::PaymentCaptureFailed(e) => hear(Some(e.order), e.payment, e.attempt, Heard::CaptureFailed),
        Event::PaymentVoided(e) => hear(Some(e.order), e.payment, e.attempt, Heard::PaymentVoided),
        Event::PaymentRefunded(e) => hear(Some(e.order), e.payment, e.attempt, Heard::PaymentVoided),
        _ => Understood::Nothing,
    }
}

fn hear(order: Option<Name>, about: Name, attempt: i64, heard: Heard) -> Understood<Command> {
    order.map_or(Understood::Nothing, |order| Understood::Command(Command::Hear { order, about, attempt, heard }))
}

/// An answer for an order that nobody knows is a fault somewhere: a person should see it.
fn judge(answer: &Answer) -> Verdict {
    match answer {
        Err(Rejection::UnknownOrder) => Verdict::DeadLetter("there is no such order".into()),
        _ => Verdict::Done,
    }
}

//! What inventory does when orders says something.

use contracts::orders::Event;
use db::Envelope;
use events::{Listening, Understood, Verdict};

use crate::domain::{Command, ForOrder, Line, Reserve};
use crate::perform::Answer;

/// The feed of orders, as inventory understands it.
pub(crate) const ORDERS: Listening<Command, Answer> = Listening { understand, judge };

fn understand(envelope: &Envelope) -> Understood<Command> {
    match Event::read(&envelope.kind, &envelope.body) {
        Ok(Some(event)) => meaning(event).map_or(Understood::Nothing, Understood::Command),
        Ok(None) => Understood::Nothing,
        Err(unreadable) => Understood::Unreadable(unreadable.to_string()),
    }
}

fn meaning(event: Event) -> Option<Command> {
    match event {
        Event::OrderPlaced(placed) => Some(Command::Reserve(Reserve {
            name: placed.reservation,
            fingerprint: placed.fingerprint,
            lines: placed
                .lines
                .into_iter()
                .map(|line| Line { sku: line.sku, quantity: line.quantity, warehouse: None })
                .collect(),
            hold_secs: placed.hold_secs,
            order: Some(ForOrder { order: placed.order, attempt: placed.attempt }),
            replaces: None,
            terms: None,
        })),
        Event::StockCommitDue(due) => Some(Command::Commit {
            name: due.reservation,
            order: Some(ForOrder { order: due.order, attempt: due.attempt }),
            retake: true,
        }),
        Event::StockReleaseDue(due) => Some(Command::Release {
            name: due.reservation,
            order: Some(ForOrder { order: due.order, attempt: due.attempt }),
        }),
        Event::StockReturnDue(due) => Some(Command::Release {
            name: due.reservation,
            order: Some(ForOrder { order: due.order, attempt: due.attempt }),
        }),
        _ => None,
    }
}

/// A refusal is an answer too: orders hears of it as an event.
fn judge(_answer: &Answer) -> Verdict {
    Verdict::Done
}

//! What payments does when orders says something.

use contracts::orders::Event;
use db::Envelope;
use events::{Listening, Understood, Verdict};

use crate::domain::{Command, Rejection};
use crate::perform::{Answer, On};
use crate::store::Account;

/// The feed of orders, as payments understands it.
pub(crate) const ORDERS: Listening<On, Answer> = Listening { understand, judge };

fn understand(envelope: &Envelope) -> Understood<On> {
    let event = match Event::read(&envelope.kind, &envelope.body) {
        Ok(Some(event)) => event,
        Ok(None) => return Understood::Nothing,
        Err(unreadable) => return Understood::Unreadable(unreadable.to_string()),
    };
    let account = |payment| Account::new(&envelope.by.owner, payment);
    match event {
        Event::PaymentDue(due) => Understood::Command(On {
            account: account(&due.payment),
            command: Command::Request {
                payment: due.payment,
                order: due.order,
                attempt: due.attempt,
                amount: due.amount,
                method: due.method,
                until: due.until,
            },
        }),
        Event::CaptureDue(due) => Understood::Command(On {
            account: account(&due.payment),
            command: Command::Capture { order: due.order, attempt: due.attempt },
        }),
        Event::PaymentVoidDue(due) => Understood::Command(On {
            account: account(&due.payment),
            command: Command::Void { payment: due.payment, order: due.order, attempt: due.attempt },
        }),
        _ => Understood::Nothing,
    }
}

fn judge(answer: &Answer) -> Verdict {
    match answer {
        Ok(_) => Verdict::Done,
        // What it waits for may come: a request that was put aside, the provider's answer.
        Err(rejection @ (Rejection::UnknownPayment | Rejection::NotAuthorizedYet)) => {
            Verdict::Retry(rejection.to_string())
        }
        Err(rejection @ (Rejection::DifferentContent | Rejection::UnknownTry | Rejection::NotCaptured)) => {
            Verdict::DeadLetter(rejection.to_string())
        }
    }
}

//! Decides what a command does to a payment.

use contracts::payments::{
    AttemptVoidStarted, AuthorizationStarted, CaptureStarted, Event, PaymentActionRequired, PaymentAttemptAbandoned,
    PaymentAuthorized, PaymentCaptureFailed, PaymentCaptured, PaymentDeclined, PaymentOutcomeUnknown, PaymentRefunded,
    PaymentRequested, PaymentVoided, RefundStarted, VoidStarted,
};
use ids::Name;
use money::Money;
use world::Moment;

use crate::domain::{At, Command, Decision, Doing, Next, Payment, Rejection, Said, Status, Terms, Try, TryStatus};
use crate::provider::Standing;

/// The word for a payment whose time was over before it was authorized.
const TIMED_OUT: &str = "timed_out";
/// The word for a payment that the provider could not be asked for.
const PROVIDER_UNAVAILABLE: &str = "provider_unavailable";

type Decided = Result<Decision, Rejection>;

/// Decides what a command does to a payment; no events mean that it is so already.
pub fn decide(payment: Option<&Payment>, command: &Command, at: &At) -> Decided {
    match (payment, command) {
        (None, Command::Request { .. }) => Ok(begin(command, at)),
        (None, Command::Void { payment, order, attempt }) => {
            Ok(keep([voided(payment, order, *attempt)])) // a late request finds it and is refused
        }
        (None, _) => Err(Rejection::UnknownPayment),
        (Some(payment), Command::Request { order, attempt, amount, method, .. }) => {
            request_again(payment, order, *attempt, *amount, method, at)
        }
        (Some(payment), Command::Capture { order, attempt }) => capture(payment, order, *attempt),
        (Some(payment), Command::Void { order, attempt, .. }) => void(payment, order, *attempt),
        (Some(payment), Command::Refund) => refund(payment),
        (Some(payment), Command::Look { number }) => look(payment, *number, at),
        (Some(payment), Command::Wake) => Ok(wake(payment, at)),
        (Some(payment), Command::Learn { number, doing, said }) => {
            let t = payment.try_of(*number).ok_or(Rejection::UnknownTry)?;
            Ok(Learning { payment, t, doing: *doing, said, at }.decide())
        }
    }
}

fn begin(command: &Command, at: &At) -> Decision {
    let Command::Request { payment, order, attempt, amount, method, until } = command.clone() else {
        return keep([]);
    };
    let asked = PaymentRequested { payment, order, attempt, amount, method, until };
    let (payment, order) = (asked.payment.clone(), asked.order.clone());
    if at.now >= until {
        // Nobody was asked yet, so there is nothing to settle.
        let declined = PaymentDeclined { payment, order, attempt, reason: TIMED_OUT.into() };
        return keep([asked.into(), declined.into()]);
    }
    let started = AuthorizationStarted { payment, number: 1 };
    Decision { events: vec![asked.into(), started.into()], next: Next::Call(Doing::Authorize, 1) }
}

fn request_again(payment: &Payment, order: &Name, attempt: i64, amount: Money, method: &str, at: &At) -> Decided {
    if payment.order != *order {
        return Err(Rejection::DifferentContent);
    }
    let Some(terms) = &payment.terms else {
        // It was voided before it was asked for: refused, and each attempt is told so once.
        let told = payment.undo_attempt == Some(attempt);
        return Ok(if told { keep([]) } else { keep([voided(&payment.payment, order, attempt)]) });
    };
    if (terms.amount, terms.method.as_str(), payment.attempt) != (amount, method, attempt) {
        return Err(Rejection::DifferentContent);
    }
    Ok(match payment.status {
        // Asked again where an answer is missing; where a call is under way, that one comes first.
        Status::Unknown | Status::ActionRequired => inquire(payment, at),
        _ => keep([]),
    })
}

fn capture(payment: &Payment, order: &Name, attempt: i64) -> Decided {
    if payment.order != *order {
        return Err(Rejection::DifferentContent);
    }
    let refused = |reason: &str| {
        let told = payment.capture_attempt == Some(attempt);
        if told { keep([]) } else { keep([capture_failed(payment, attempt, reason)]) }
    };
    Ok(match payment.status {
        Status::Authorizing | Status::ActionRequired | Status::Unknown => {
            return Err(Rejection::NotAuthorizedYet);
        }
        Status::Authorized => {
            let started = CaptureStarted { payment: payment.payment.clone(), attempt };
            Decision { events: vec![started.into()], next: Next::Call(Doing::Capture, payment.holder()) }
        }
        Status::Capturing => call(Doing::Inquire, payment.holder()),
        Status::Declined => refused("declined"),
        Status::Voiding | Status::Voided => refused("voided"),
        Status::Captured | Status::CaptureFailed | Status::Refunding | Status::Refunded => keep([]),
    })
}

fn void(payment: &Payment, order: &Name, attempt: i64) -> Decided {
    if payment.order != *order {
        return Err(Rejection::DifferentContent);
    }
    let told = payment.undo_attempt == Some(attempt);
    let started =
        || -> Event { VoidStarted { payment: payment.payment.clone(), order: payment.order.clone(), attempt }.into() };
    let unless_told = |event: Event| if told { Vec::new() } else { vec![event] };
    Ok(match payment.status {
        Status::Capturing if told => call(Doing::Inquire, payment.holder()),
        Status::Capturing => keep([started()]),
        Status::Captured => give_back(payment, attempt),
        Status::Refunding => Decision {
            events: unless_told(RefundStarted { payment: payment.payment.clone(), attempt }.into()),
            next: Next::Call(Doing::Inquire, payment.holder()),
        },
        Status::Refunded => Decision { events: unless_told(refunded(payment, attempt)), next: Next::Keep },
        Status::Voided => {
            Decision { events: unless_told(voided(&payment.payment, &payment.order, attempt)), next: Next::Keep }
        }
        Status::Declined if payment.unsettled().is_empty() => keep([voided(&payment.payment, &payment.order, attempt)]),
        Status::Authorizing
        | Status::ActionRequired
        | Status::Unknown
        | Status::Authorized
        | Status::CaptureFailed
        | Status::Declined
        | Status::Voiding => {
            let again = payment.status == Status::Voiding && told;
            let mut events = if again { Vec::new() } else { vec![started()] };
            let open = payment.tries.iter().find(|t| t.status.is_open() || t.status == TryStatus::Authorized);
            let next = open.map_or(Next::Keep, |t| Next::Call(Doing::Void, t.number));
            events.extend(open.is_none().then(|| voided(&payment.payment, &payment.order, attempt)));
            Decision { events, next }
        }
    })
}

/// The attempt of what no order asked for: an order that asks for the same later is answered all the same.
const OF_NO_ORDER: i64 = 0;

fn refund(payment: &Payment) -> Decided {
    match payment.status {
        Status::Captured => Ok(give_back(payment, OF_NO_ORDER)),
        Status::Refunding | Status::Refunded => Ok(keep([])),
        _ => Err(Rejection::NotCaptured),
    }
}

fn give_back(payment: &Payment, attempt: i64) -> Decision {
    let started = RefundStarted { payment: payment.payment.clone(), attempt };
    Decision { events: vec![started.into()], next: Next::Call(Doing::Refund, payment.holder()) }
}

fn look(payment: &Payment, number: Option<i64>, at: &At) -> Decided {
    let named = number.map(|number| payment.try_of(number).ok_or(Rejection::UnknownTry)).transpose()?;
    let is_asked = |t: &Try| t.status == TryStatus::Asked;
    Ok(match named {
        // Its own call will tell, or has not left yet. Asked beside that, the provider may say that it has never
        // heard of the try, which would then be given up; where the call is lost, the time says so.
        _ if named.or(payment.current()).is_some_and(is_asked) => keep([]),
        // Anybody may name a try, and where nothing can change that costs nothing. What was taken may have been
        // given back elsewhere, which is worth a question each time.
        Some(_) if payment.is_at_rest() && payment.status != Status::Captured => keep([]),
        Some(t) => call(Doing::Inquire, t.number),
        None if payment.status.awaits_authorization() => inquire(payment, at),
        None => keep([]),
    })
}

/// Asks how the latest try stands while that is of use, and gives it up afterwards.
fn inquire(payment: &Payment, at: &At) -> Decision {
    match payment.current() {
        Some(t) if t.status == TryStatus::Voiding || is_over(payment, at.now) => give_up(payment, t),
        Some(t) => call(Doing::Inquire, t.number),
        None => keep([]),
    }
}

/// Has a try voided; said before it is done, so that nothing which comes in between is believed of it.
fn give_up(payment: &Payment, t: &Try) -> Decision {
    let is_latest = payment.status.awaits_authorization() && payment.current() == Some(t);
    let started = AttemptVoidStarted { payment: payment.payment.clone(), number: t.number };
    let events = if is_latest && t.status != TryStatus::Voiding { vec![started.into()] } else { Vec::new() };
    Decision { events, next: Next::Call(Doing::Void, t.number) }
}

fn wake(payment: &Payment, at: &At) -> Decision {
    if payment.status.awaits_authorization() {
        return match payment.current() {
            Some(t) if at.unasked && t.status == TryStatus::Asked && !is_over(payment, at.now) => {
                call(Doing::Authorize, t.number)
            }
            Some(t) if t.status == TryStatus::Asked && !is_over(payment, at.now) => Decision {
                events: vec![unknown(payment, t.number, "no answer was recorded")],
                next: Next::Call(Doing::Inquire, t.number),
            },
            _ => inquire(payment, at),
        };
    }
    match (payment.status, payment.unsettled().first()) {
        (Status::Capturing | Status::Refunding, _) => call(Doing::Inquire, payment.holder()),
        (_, Some(number)) => call(Doing::Void, *number),
        (_, None) => Decision { events: Vec::new(), next: Next::Later },
    }
}

/// What the provider said of a try, and where it meets the payment.
struct Learning<'a> {
    payment: &'a Payment,
    t: &'a Try,
    doing: Doing,
    said: &'a Said,
    at: &'a At,
}

impl Learning<'_> {
    fn decide(&self) -> Decision {
        let is_latest = self.payment.current().is_some_and(|t| t.number == self.t.number);
        let is_holder = self.payment.holder() == self.t.number;
        #[cfg(feature = "planted-bugs")]
        if world::planted::is(world::planted::Bug::CompletedTwice) && self.payment.status == Status::Authorized {
            return self.while_authorizing();
        }
        match self.payment.status {
            status if status.awaits_authorization() && is_latest => self.while_authorizing(),
            Status::Capturing if is_holder => self.while_capturing(),
            Status::Refunding if is_holder => self.while_refunding(),
            _ if self.payment.unsettled().contains(&self.t.number) => self.settle(),
            _ => self.afterwards(),
        }
    }

    fn while_authorizing(&self) -> Decision {
        let number = self.t.number;
        if let Said::Stands(Standing::Declined { reason }) = self.said {
            return keep([self.declined(reason)]);
        }
        if self.t.status == TryStatus::Voiding || is_over(self.payment, self.at.now) {
            return self.settle();
        }
        match self.said {
            Said::Stands(Standing::Authorized | Standing::Captured | Standing::CaptureRefused { .. }) => {
                let Some(terms) = &self.payment.terms else { return keep([]) };
                let (payment, order) = (self.payment.payment.clone(), self.payment.order.clone());
                let (attempt, amount) = (self.payment.attempt, terms.amount);
                keep([PaymentAuthorized { payment, order, attempt, number, amount }.into()])
            }
            Said::Stands(Standing::ActionRequired { url }) => {
                let known = self.t.status == TryStatus::ActionRequired && self.t.url.as_ref() == Some(url);
                let (payment, order) = (self.payment.payment.clone(), self.payment.order.clone());
                let event = PaymentActionRequired { payment, order, number, url: url.clone() };
                Decision { events: if known { Vec::new() } else { vec![event.into()] }, next: Next::Later }
            }
            Said::NoAnswer(cause) if self.doing == Doing::Authorize => match self.t.status {
                TryStatus::Asked => Decision { events: vec![unknown(self.payment, number, cause)], next: Next::Later },
                // It has been asked about meanwhile.
                _ => keep([]),
            },
            _ => self.settle(),
        }
    }

    fn while_capturing(&self) -> Decision {
        let (payment, number) = (self.payment, self.t.number);
        let attempt = payment.capture_attempt.unwrap_or(payment.attempt);
        match self.said {
            Said::Stands(Standing::Captured) => {
                let mut events = vec![captured(payment, attempt)];
                let Some(attempt) = payment.undo_attempt else { return keep(events) };
                events.push(RefundStarted { payment: payment.payment.clone(), attempt }.into());
                Decision { events, next: Next::Call(Doing::Refund, number) }
            }
            Said::Stands(Standing::Refunded) => {
                let undo = payment.undo_attempt.unwrap_or(OF_NO_ORDER);
                let started = RefundStarted { payment: payment.payment.clone(), attempt: undo };
                keep([captured(payment, attempt), started.into(), refunded(payment, undo)])
            }
            Said::Stands(Standing::CaptureRefused { reason }) => {
                let failed = capture_failed(payment, attempt, reason);
                let undo = payment.undo_attempt.is_some();
                Decision { events: vec![failed], next: if undo { Next::Call(Doing::Void, number) } else { Next::Keep } }
            }
            // Only what answers the capture or the void is later than the capture's beginning for sure.
            Said::Stands(ended) if matches!(self.doing, Doing::Capture | Doing::Void) && holds_nothing(ended) => {
                let mut events = vec![capture_failed(payment, attempt, &word_of(ended))];
                events.extend(payment.undo_attempt.map(|attempt| voided(&payment.payment, &payment.order, attempt)));
                keep(events)
            }
            Said::Stands(_) if self.doing == Doing::Authorize => keep([]),
            Said::Stands(_) if payment.undo_attempt.is_some() => self.now_or_later(Doing::Void),
            Said::Stands(_) => self.now_or_later(Doing::Capture),
            Said::NotDone(_) | Said::NoAnswer(_) => self.later_unless_stale(),
        }
    }

    fn while_refunding(&self) -> Decision {
        match self.said {
            Said::Stands(Standing::Refunded) => {
                let attempt = self.payment.undo_attempt.unwrap_or(self.payment.attempt);
                keep([refunded(self.payment, attempt)])
            }
            Said::Stands(_) if self.doing == Doing::Authorize => keep([]),
            Said::Stands(_) => self.now_or_later(Doing::Refund),
            Said::NotDone(_) | Said::NoAnswer(_) => self.later_unless_stale(),
        }
    }

    /// Makes sure that a try holds nothing and never will.
    fn settle(&self) -> Decision {
        match self.said {
            Said::Stands(Standing::Voided | Standing::Refunded | Standing::Declined { .. }) => self.settled(),
            Said::Stands(Standing::Captured) => self.now_or_later(Doing::Refund),
            Said::Stands(_) => self.now_or_later(Doing::Void),
            // It is asked for once only, so that nothing can arrive under its key any more.
            Said::NotDone(_) if self.doing == Doing::Authorize && self.t.status == TryStatus::Asked => self.settled(),
            Said::NoAnswer(_) if self.doing == Doing::Authorize => self.now_or_later(Doing::Void),
            Said::NotDone(_) | Said::NoAnswer(_) => Decision { events: Vec::new(), next: Next::Later },
        }
    }

    fn settled(&self) -> Decision {
        let (payment, number) = (self.payment, self.t.number);
        let abandoned: Event = PaymentAttemptAbandoned { payment: payment.payment.clone(), number }.into();
        if payment.status.awaits_authorization() && payment.current().is_some_and(|t| t.number == number) {
            let over = is_over(payment, self.at.now);
            if over || number >= self.at.max_tries {
                let reason = if over { TIMED_OUT } else { PROVIDER_UNAVAILABLE };
                return keep([abandoned, self.declined(reason)]);
            }
            let number = number + 1;
            let started = AuthorizationStarted { payment: payment.payment.clone(), number };
            let down = matches!(self.said, Said::NotDone(_));
            let next = if down { Next::Later } else { Next::Call(Doing::Authorize, number) };
            return Decision { events: vec![abandoned, started.into()], next };
        }
        let other = payment.unsettled().into_iter().find(|other| *other != number);
        match (payment.status, other) {
            (Status::Voiding, None) => {
                let attempt = payment.undo_attempt.unwrap_or(payment.attempt);
                keep([voided(&payment.payment, &payment.order, attempt)])
            }
            (_, None) => keep([abandoned]),
            (_, Some(other)) => Decision { events: vec![abandoned], next: Next::Call(Doing::Void, other) },
        }
    }

    /// What is said of a try when nothing was open about it.
    fn afterwards(&self) -> Decision {
        let Said::Stands(standing) = self.said else { return keep([]) };
        let holds = !holds_nothing(standing);
        let surprise = match self.t.status {
            TryStatus::Abandoned | TryStatus::Declined => holds,
            TryStatus::Authorized => self.payment.status == Status::CaptureFailed && *standing == Standing::Captured,
            TryStatus::Captured if self.payment.status == Status::Captured && *standing == Standing::Refunded => {
                let started = RefundStarted { payment: self.payment.payment.clone(), attempt: OF_NO_ORDER };
                return keep([started.into(), refunded(self.payment, OF_NO_ORDER)]);
            }
            _ => false,
        };
        if surprise {
            let cause = format!("the provider says {} of a try that was given up", word_of(standing));
            let events = vec![unknown(self.payment, self.t.number, &cause)];
            return Decision { events, next: Next::Call(Doing::Void, self.t.number) };
        }
        keep([])
    }

    /// Asks for something, but not at once where the answer is to just that.
    fn now_or_later(&self, doing: Doing) -> Decision {
        if self.doing == doing {
            return Decision { events: Vec::new(), next: Next::Later };
        }
        if doing == Doing::Void { give_up(self.payment, self.t) } else { call(doing, self.t.number) }
    }

    /// Looks again later, unless it is a call from before that got no answer.
    fn later_unless_stale(&self) -> Decision {
        let next = if self.doing == Doing::Authorize { Next::Keep } else { Next::Later };
        Decision { events: Vec::new(), next }
    }

    fn declined(&self, reason: &str) -> Event {
        let (payment, order) = (self.payment.payment.clone(), self.payment.order.clone());
        PaymentDeclined { payment, order, attempt: self.payment.attempt, reason: reason.to_owned() }.into()
    }
}

fn holds_nothing(standing: &Standing) -> bool {
    match standing {
        Standing::NotFound | Standing::Declined { .. } | Standing::Voided | Standing::Refunded => true,
        Standing::ActionRequired { .. }
        | Standing::Authorized
        | Standing::CaptureRefused { .. }
        | Standing::Captured => false,
    }
}

fn word_of(standing: &Standing) -> String {
    match standing {
        Standing::NotFound => "unknown_charge".to_owned(),
        Standing::ActionRequired { .. } => "action_required".to_owned(),
        Standing::Authorized => "authorized".to_owned(),
        Standing::Declined { reason } | Standing::CaptureRefused { reason } => reason.clone(),
        Standing::Captured => "captured".to_owned(),
        Standing::Voided => "voided".to_owned(),
        Standing::Refunded => "refunded".to_owned(),
    }
}

fn is_over(payment: &Payment, now: Moment) -> bool {
    payment.terms.as_ref().is_none_or(|terms| now >= terms.until)
}

fn keep(events: impl IntoIterator<Item = Event>) -> Decision {
    Decision { events: events.into_iter().collect(), next: Next::Keep }
}

fn call(doing: Doing, number: i64) -> Decision {
    Decision { events: Vec::new(), next: Next::Call(doing, number) }
}

fn unknown(payment: &Payment, number: i64, cause: &str) -> Event {
    PaymentOutcomeUnknown { payment: payment.payment.clone(), number, cause: cause.to_owned() }.into()
}

fn voided(payment: &Name, order: &Name, attempt: i64) -> Event {
    PaymentVoided { payment: payment.clone(), order: order.clone(), attempt }.into()
}

fn captured(payment: &Payment, attempt: i64) -> Event {
    let amount = amount_of(payment);
    PaymentCaptured { payment: payment.payment.clone(), order: payment.order.clone(), attempt, amount }.into()
}

fn capture_failed(payment: &Payment, attempt: i64, reason: &str) -> Event {
    let (name, order) = (payment.payment.clone(), payment.order.clone());
    PaymentCaptureFailed { payment: name, order, attempt, reason: reason.to_owned() }.into()
}

fn refunded(payment: &Payment, attempt: i64) -> Event {
    let amount = amount_of(payment);
    PaymentRefunded { payment: payment.payment.clone(), order: payment.order.clone(), attempt, amount }.into()
}

/// # Panics
/// Where a payment without terms was captured, which no command does.
fn amount_of(payment: &Payment) -> Money {
    let Terms { amount, .. } = payment.terms.as_ref().expect("only what was asked for is captured");
    *amount
}

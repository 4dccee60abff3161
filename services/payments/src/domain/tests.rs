//! The rules, told as stories: given what happened, when something is asked, then this follows.
//!
//! Here stands what is asked of a payment; in `answers` what the provider says of it.

mod answers;

use std::time::Duration;

use contracts::payments::{
    AttemptVoidStarted, AuthorizationStarted, CaptureStarted, PaymentActionRequired, PaymentAttemptAbandoned,
    PaymentAuthorized, PaymentCaptureFailed, PaymentCaptured, PaymentDeclined, PaymentOutcomeUnknown, PaymentRefunded,
    PaymentRequested, PaymentVoided, RefundStarted, VoidStarted,
};
use ids::Name;
use money::{Currency, Money};
use world::Moment;

use super::{At, Command, Decision, Doing, Event, Next, Payment, Rejection, Said, Status, TryStatus, decide};
use crate::provider::Standing;

const NOW: Moment = Moment::from_micros(1_767_225_600_000_000);
const URL: &str = "/v1/test-provider/challenges/pay.1";

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn pay() -> Name {
    name("pay")
}

fn order() -> Name {
    name("order")
}

fn amount() -> Money {
    Money::new(1999, Currency::GBP).expect("an amount")
}

fn until() -> Moment {
    NOW + Duration::from_secs(60)
}

fn requested() -> Event {
    let method = "pm_card_visa".to_owned();
    PaymentRequested { payment: pay(), order: order(), attempt: 1, amount: amount(), method, until: until() }.into()
}

fn started(number: i64) -> Event {
    AuthorizationStarted { payment: pay(), number }.into()
}

fn action_required(number: i64) -> Event {
    PaymentActionRequired { payment: pay(), order: order(), number, url: URL.to_owned() }.into()
}

fn unknown(number: i64) -> Event {
    PaymentOutcomeUnknown { payment: pay(), number, cause: "silence".to_owned() }.into()
}

fn giving_up(number: i64) -> Event {
    AttemptVoidStarted { payment: pay(), number }.into()
}

fn abandoned(number: i64) -> Event {
    PaymentAttemptAbandoned { payment: pay(), number }.into()
}

fn authorized(number: i64) -> Event {
    PaymentAuthorized { payment: pay(), order: order(), attempt: 1, number, amount: amount() }.into()
}

fn declined(reason: &str) -> Event {
    PaymentDeclined { payment: pay(), order: order(), attempt: 1, reason: reason.to_owned() }.into()
}

fn capturing() -> Event {
    CaptureStarted { payment: pay(), attempt: 1 }.into()
}

fn captured() -> Event {
    PaymentCaptured { payment: pay(), order: order(), attempt: 1, amount: amount() }.into()
}

fn capture_failed(reason: &str) -> Event {
    PaymentCaptureFailed { payment: pay(), order: order(), attempt: 1, reason: reason.to_owned() }.into()
}

fn voiding() -> Event {
    VoidStarted { payment: pay(), order: order(), attempt: 1 }.into()
}

fn voided() -> Event {
    PaymentVoided { payment: pay(), order: order(), attempt: 1 }.into()
}

fn refunding() -> Event {
    RefundStarted { payment: pay(), attempt: 1 }.into()
}

fn refunded() -> Event {
    PaymentRefunded { payment: pay(), order: order(), attempt: 1, amount: amount() }.into()
}

/// What is said where no order asked for it.
fn given_back_otherwise() -> [Event; 2] {
    [
        RefundStarted { payment: pay(), attempt: 0 }.into(),
        PaymentRefunded { payment: pay(), order: order(), attempt: 0, amount: amount() }.into(),
    ]
}

fn request() -> Command {
    let method = "pm_card_visa".to_owned();
    Command::Request { payment: pay(), order: order(), attempt: 1, amount: amount(), method, until: until() }
}

fn capture() -> Command {
    Command::Capture { order: order(), attempt: 1 }
}

fn void() -> Command {
    Command::Void { payment: pay(), order: order(), attempt: 1 }
}

fn learn(doing: Doing, number: i64, standing: Standing) -> Command {
    Command::Learn { number, doing, said: Said::Stands(standing) }
}

fn no_answer(doing: Doing, number: i64) -> Command {
    Command::Learn { number, doing, said: Said::NoAnswer("silence".to_owned()) }
}

fn not_done(doing: Doing, number: i64) -> Command {
    Command::Learn { number, doing, said: Said::NotDone("down".to_owned()) }
}

/// A payment to which this has happened, and the time.
struct Given {
    payment: Option<Payment>,
    at: At,
}

fn given(events: impl IntoIterator<Item = Event>) -> Given {
    let mut payment = None;
    for event in events {
        payment = Payment::apply(payment, &event, NOW);
    }
    Given { payment, at: At { now: NOW, unasked: false, max_tries: 4 } }
}

impl Given {
    fn when(&self, command: &Command) -> Result<(Vec<Event>, Next), Rejection> {
        decide(self.payment.as_ref(), command, &self.at).map(|Decision { events, next }| (events, next))
    }

    fn too_late(mut self) -> Self {
        self.at.now = until();
        self
    }

    fn unasked(mut self) -> Self {
        self.at.unasked = true;
        self
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside a decision, which may be a rejection")]
fn then(events: impl IntoIterator<Item = Event>, next: Next) -> Result<(Vec<Event>, Next), Rejection> {
    Ok((events.into_iter().collect(), next))
}

fn nothing() -> Result<(Vec<Event>, Next), Rejection> {
    then([], Next::Keep)
}

/// What happened to a payment in each of its states.
fn every_state() -> Vec<(Status, Vec<Event>)> {
    let open = || vec![requested(), started(1)];
    let held = || vec![requested(), started(1), authorized(1)];
    let taken = || [held(), vec![capturing(), captured()]].concat();
    vec![
        (Status::Authorizing, open()),
        (Status::ActionRequired, [open(), vec![action_required(1)]].concat()),
        (Status::Unknown, [open(), vec![unknown(1)]].concat()),
        (Status::Authorized, held()),
        (Status::Capturing, [held(), vec![capturing()]].concat()),
        (Status::Captured, taken()),
        (Status::CaptureFailed, [held(), vec![capturing(), capture_failed("expired")]].concat()),
        (Status::Voiding, [held(), vec![voiding()]].concat()),
        (Status::Voided, [held(), vec![voiding(), voided()]].concat()),
        (Status::Declined, [open(), vec![declined("generic_decline")]].concat()),
        (Status::Refunding, [taken(), vec![refunding()]].concat()),
        (Status::Refunded, [taken(), vec![refunding(), refunded()]].concat()),
    ]
}

fn in_state(status: Status) -> Given {
    let (_, events) = every_state().into_iter().find(|(state, _)| *state == status).expect("a state");
    let given = given(events);
    assert_eq!(given.payment.as_ref().map(|payment| payment.status), Some(status));
    given
}

#[test]
fn a_request_is_written_down_before_the_provider_is_asked() {
    assert_eq!(given([]).when(&request()), then([requested(), started(1)], Next::Call(Doing::Authorize, 1)));
}

#[test]
fn a_request_whose_time_is_over_is_declined_without_asking_anybody() {
    assert_eq!(given([]).too_late().when(&request()), then([requested(), declined("timed_out")], Next::Keep));
}

#[test]
fn a_request_that_comes_again_hastens_and_begins_nothing() {
    for (status, events) in every_state() {
        let (events, next) = given(events).when(&request()).unwrap();
        assert_eq!(events, [], "{status}");
        let hastened = matches!(status, Status::Unknown | Status::ActionRequired);
        assert_eq!(next, if hastened { Next::Call(Doing::Inquire, 1) } else { Next::Keep }, "{status}");
    }
}

#[test]
fn a_request_for_something_else_under_the_same_name_is_refused() {
    let Command::Request { payment, order, attempt, method, until, .. } = request() else { unreachable!() };
    let dearer = Money::new(2000, Currency::GBP).unwrap();
    let other = Command::Request { payment, order, attempt, amount: dearer, method, until };
    for (status, events) in every_state() {
        assert_eq!(given(events).when(&other), Err(Rejection::DifferentContent), "{status}");
    }
}

#[test]
fn capture_in_every_state() {
    for (status, events) in every_state() {
        let then = match status {
            Status::Authorizing | Status::ActionRequired | Status::Unknown => Err(Rejection::NotAuthorizedYet),
            Status::Authorized => then([capturing()], Next::Call(Doing::Capture, 1)),
            Status::Capturing => then([], Next::Call(Doing::Inquire, 1)),
            Status::Voiding | Status::Voided => then([capture_failed("voided")], Next::Keep),
            Status::Declined => then([capture_failed("declined")], Next::Keep),
            Status::Captured | Status::CaptureFailed | Status::Refunding | Status::Refunded => nothing(),
        };
        assert_eq!(given(events).when(&capture()), then, "{status}");
    }
    assert_eq!(given([]).when(&capture()), Err(Rejection::UnknownPayment));
}

#[test]
fn a_capture_that_was_refused_is_answered_once_and_the_payment_stays_as_it_ended() {
    let ended = [requested(), started(1), declined("generic_decline"), capture_failed("declined")];
    let given = given(ended);
    assert_eq!(given.payment.as_ref().map(|payment| payment.status), Some(Status::Declined));
    assert_eq!(given.when(&capture()), nothing());
}

#[test]
fn void_in_every_state() {
    for (status, events) in every_state() {
        let then = match status {
            Status::Authorizing
            | Status::ActionRequired
            | Status::Unknown
            | Status::Authorized
            | Status::CaptureFailed => then([voiding()], Next::Call(Doing::Void, 1)),
            Status::Capturing => then([voiding()], Next::Keep),
            Status::Captured => then([refunding()], Next::Call(Doing::Refund, 1)),
            Status::Voiding => then([], Next::Call(Doing::Void, 1)),
            Status::Refunding => then([], Next::Call(Doing::Inquire, 1)),
            Status::Declined => then([voided()], Next::Keep),
            Status::Voided | Status::Refunded => nothing(),
        };
        assert_eq!(given(events).when(&void()), then, "{status}");
    }
}

#[test]
fn a_declined_payment_whose_try_may_hold_money_after_all_is_voided_at_the_provider_first() {
    let doubted = given([requested(), started(1), declined("generic_decline"), unknown(1)]);
    assert_eq!(doubted.payment.as_ref().map(|payment| payment.status), Some(Status::Declined));
    assert_eq!(doubted.when(&void()), then([voiding()], Next::Call(Doing::Void, 1)));
}

#[test]
fn another_attempt_that_wants_it_voided_is_written_down_while_it_is_being_voided() {
    let void = Command::Void { payment: pay(), order: order(), attempt: 2 };
    let voiding = VoidStarted { payment: pay(), order: order(), attempt: 2 };
    assert_eq!(in_state(Status::Voiding).when(&void), then([voiding.into()], Next::Call(Doing::Void, 1)));
}

#[test]
fn a_void_of_what_is_not_known_yet_refuses_the_request_that_comes_after_it() {
    assert_eq!(given([]).when(&void()), then([voided()], Next::Keep));
    let tombstone = given([voided()]);
    assert_eq!(tombstone.when(&request()), nothing());
    assert_eq!(tombstone.when(&void()), nothing());
    assert_eq!(tombstone.when(&Command::Refund), Err(Rejection::NotCaptured));
}

#[test]
fn another_attempt_that_asks_for_an_end_is_answered_with_its_own_number() {
    let void = Command::Void { payment: pay(), order: order(), attempt: 2 };
    let voided = PaymentVoided { payment: pay(), order: order(), attempt: 2 };
    assert_eq!(in_state(Status::Voided).when(&void), then([voided.into()], Next::Keep));
    let refunded = PaymentRefunded { payment: pay(), order: order(), attempt: 2, amount: amount() };
    assert_eq!(in_state(Status::Refunded).when(&void), then([refunded.into()], Next::Keep));
}

#[test]
fn nobody_undoes_or_captures_what_belongs_to_another_order() {
    for (status, events) in every_state() {
        let given = given(events);
        let void = Command::Void { payment: pay(), order: name("other"), attempt: 1 };
        assert_eq!(given.when(&void), Err(Rejection::DifferentContent), "{status}");
        let capture = Command::Capture { order: name("other"), attempt: 1 };
        assert_eq!(given.when(&capture), Err(Rejection::DifferentContent), "{status}");
    }
}

#[test]
fn only_what_was_captured_is_refunded() {
    for (status, events) in every_state() {
        let then = match status {
            Status::Captured => {
                let [started, _] = given_back_otherwise();
                then([started], Next::Call(Doing::Refund, 1))
            }
            Status::Refunding | Status::Refunded => nothing(),
            _ => Err(Rejection::NotCaptured),
        };
        assert_eq!(given(events).when(&Command::Refund), then, "{status}");
    }
}

#[test]
fn an_order_that_gives_up_what_somebody_gave_back_before_is_answered() {
    let [begun, ended] = given_back_otherwise();
    let mut events = vec![requested(), started(1), authorized(1), capturing(), captured(), begun];
    assert_eq!(given(events.clone()).when(&void()), then([refunding()], Next::Call(Doing::Inquire, 1)));
    events.push(ended);
    assert_eq!(given(events.clone()).when(&void()), then([refunded()], Next::Keep));
    events.push(refunded());
    assert_eq!(given(events).when(&void()), nothing(), "it was told");
}

#[test]
fn what_is_due_is_asked_about_and_never_simply_done_again() {
    for (status, events) in every_state() {
        let given = given(events);
        let (said, next) = given.when(&Command::Wake).unwrap();
        match status {
            Status::Authorizing => {
                assert!(matches!(said.as_slice(), [Event::PaymentOutcomeUnknown(_)]));
                assert_eq!(next, Next::Call(Doing::Inquire, 1));
            }
            Status::ActionRequired | Status::Unknown | Status::Capturing | Status::Refunding => {
                assert_eq!((said, next), (vec![], Next::Call(Doing::Inquire, 1)), "{status}");
            }
            Status::Voiding => assert_eq!((said, next), (vec![], Next::Call(Doing::Void, 1))),
            _ => assert_eq!(said, [], "{status}"),
        }
    }
}

#[test]
fn a_try_that_was_put_off_is_asked_for_when_it_is_due() {
    let put_off = given([requested(), started(1), abandoned(1), started(2)]).unasked();
    assert_eq!(put_off.when(&Command::Wake), then([], Next::Call(Doing::Authorize, 2)));
}

#[test]
fn a_look_asks_and_decides_nothing() {
    let look = Command::Look { number: None };
    for (status, events) in every_state() {
        let (said, next) = given(events).when(&look).unwrap();
        let asks = matches!(status, Status::ActionRequired | Status::Unknown);
        assert_eq!((said, next), (vec![], if asks { Next::Call(Doing::Inquire, 1) } else { Next::Keep }), "{status}");
    }
    // Whoever names a try may be a stranger, and of one that is over nothing is to be known.
    let named = Command::Look { number: Some(1) };
    for (status, events) in every_state() {
        let given = given(events);
        let is_over = |payment: &Payment| payment.is_at_rest() && payment.status != Status::Captured;
        let keeps = status == Status::Authorizing || given.payment.as_ref().is_some_and(is_over);
        let asks = if keeps { Next::Keep } else { Next::Call(Doing::Inquire, 1) };
        assert_eq!(given.when(&named), then([], asks), "{status}");
    }
    let named = Command::Look { number: Some(2) };
    assert_eq!(in_state(Status::Authorized).when(&named), Err(Rejection::UnknownTry));
}

#[test]
fn a_look_lets_a_try_be_whose_own_call_is_under_way_or_has_not_left() {
    let asked = [requested(), started(1), abandoned(1), started(2)];
    let late = given(asked.clone()).too_late();
    let voiding = given(asked.clone().into_iter().chain([voiding()]));
    for given in [given(asked.clone()), given(asked).unasked(), late, voiding] {
        for number in [None, Some(2)] {
            assert_eq!(given.when(&Command::Look { number }), nothing(), "{:?}", given.payment);
        }
    }
}

#[test]
fn a_status_is_read_as_it_is_written() {
    for status in Status::ALL {
        assert_eq!(status.to_string().parse(), Ok(status));
    }
    assert!("".parse::<Status>().is_err());
}

//! What the provider says of a try, when, and what is believed of it.

use super::*;

#[test]
fn each_answer_to_an_authorization() {
    let open = || given([requested(), started(1)]);
    let declined_by_bank = Standing::Declined { reason: "insufficient_funds".to_owned() };
    for (said, expected) in [
        (learn(Doing::Authorize, 1, Standing::Authorized), then([authorized(1)], Next::Keep)),
        (learn(Doing::Authorize, 1, declined_by_bank), then([declined("insufficient_funds")], Next::Keep)),
        (
            learn(Doing::Authorize, 1, Standing::ActionRequired { url: URL.to_owned() }),
            then([action_required(1)], Next::Later),
        ),
        (no_answer(Doing::Authorize, 1), then([unknown(1)], Next::Later)),
        // Surely not done: a new try, but not at once.
        (not_done(Doing::Authorize, 1), then([abandoned(1), started(2)], Next::Later)),
        // It was refused because its key was voided.
        (
            learn(Doing::Authorize, 1, Standing::Voided),
            then([abandoned(1), started(2)], Next::Call(Doing::Authorize, 2)),
        ),
    ] {
        assert_eq!(open().when(&said), expected, "{said:?}");
    }
}

#[test]
fn a_question_without_an_answer_is_asked_again_later() {
    for status in [Status::Authorizing, Status::ActionRequired, Status::Unknown] {
        assert_eq!(in_state(status).when(&no_answer(Doing::Inquire, 1)), then([], Next::Later), "{status}");
    }
}

#[test]
fn a_step_at_the_bank_is_said_once_and_again_where_it_moved_or_was_in_doubt() {
    let waits_at = |url: &str| learn(Doing::Inquire, 1, Standing::ActionRequired { url: url.to_owned() });
    let waiting = in_state(Status::ActionRequired);
    assert_eq!(waiting.when(&waits_at(URL)), then([], Next::Later));
    let moved = PaymentActionRequired { payment: pay(), order: order(), number: 1, url: "/elsewhere".to_owned() };
    assert_eq!(waiting.when(&waits_at("/elsewhere")), then([moved.into()], Next::Later));
    let in_doubt = given([requested(), started(1), action_required(1), unknown(1)]);
    assert_eq!(in_doubt.when(&waits_at(URL)), then([action_required(1)], Next::Later));
}

#[test]
fn a_provider_that_has_never_heard_of_a_try_refuses_it_from_now_on_before_there_is_another() {
    let lost = given([requested(), started(1), unknown(1)]);
    let not_found = learn(Doing::Inquire, 1, Standing::NotFound);
    assert_eq!(lost.when(&not_found), then([giving_up(1)], Next::Call(Doing::Void, 1)));
    let given_up = given([requested(), started(1), unknown(1), giving_up(1)]);
    let void = learn(Doing::Void, 1, Standing::Voided);
    assert_eq!(given_up.when(&void), then([abandoned(1), started(2)], Next::Call(Doing::Authorize, 2)));
}

#[test]
fn a_try_that_is_being_given_up_is_not_believed_any_more() {
    let given_up = given([requested(), started(1), unknown(1), giving_up(1)]);
    let late = learn(Doing::Inquire, 1, Standing::Authorized);
    assert_eq!(given_up.when(&late), then([], Next::Call(Doing::Void, 1)));
    assert_eq!(given_up.when(&no_answer(Doing::Void, 1)), then([], Next::Later));
    assert_eq!(given_up.when(&Command::Wake), then([], Next::Call(Doing::Void, 1)));
}

#[test]
fn a_try_that_was_given_up_and_holds_money_after_all_is_undone_and_no_other() {
    let events = [requested(), started(1), abandoned(1), started(2), authorized(2)];
    let late = learn(Doing::Authorize, 1, Standing::Authorized);
    let (said, next) = given(events.clone()).when(&late).unwrap();
    assert!(matches!(said.as_slice(), [Event::PaymentOutcomeUnknown(e)] if e.number == 1), "{said:?}");
    assert_eq!(next, Next::Call(Doing::Void, 1));
    let undoing = given(events.into_iter().chain(said));
    let payment = undoing.payment.as_ref().unwrap();
    assert_eq!((payment.status, payment.holder(), payment.unsettled()), (Status::Authorized, 2, vec![1]));
    assert!(!payment.is_at_rest(), "it is looked after until it is undone");
    assert_eq!(undoing.when(&late), then([], Next::Call(Doing::Void, 1)));
    assert_eq!(undoing.when(&Command::Wake), then([], Next::Call(Doing::Void, 1)));
    assert_eq!(undoing.when(&learn(Doing::Void, 1, Standing::Captured)), then([], Next::Call(Doing::Refund, 1)));
    assert_eq!(undoing.when(&learn(Doing::Void, 1, Standing::Voided)), then([abandoned(1)], Next::Keep));
}

#[test]
fn a_try_that_was_given_up_is_undone_also_while_another_is_under_way() {
    let given = given([requested(), started(1), abandoned(1), started(2), unknown(1)]);
    let payment = given.payment.as_ref().unwrap();
    assert_eq!((payment.status, payment.unsettled()), (Status::Authorizing, vec![1]));
    assert_eq!(given.when(&learn(Doing::Inquire, 1, Standing::Authorized)), then([], Next::Call(Doing::Void, 1)));
    assert_eq!(given.when(&learn(Doing::Void, 1, Standing::Voided)), then([abandoned(1)], Next::Keep));
    assert_eq!(given.when(&learn(Doing::Authorize, 2, Standing::Authorized)), then([authorized(2)], Next::Keep));
}

#[test]
fn a_declined_try_that_holds_money_after_all_is_undone() {
    let given = in_state(Status::Declined);
    let (said, next) = given.when(&learn(Doing::Inquire, 1, Standing::Authorized)).unwrap();
    assert!(matches!(said.as_slice(), [Event::PaymentOutcomeUnknown(_)]));
    assert_eq!(next, Next::Call(Doing::Void, 1));
}

#[test]
fn when_the_time_is_over_the_provider_is_asked_to_void_and_only_its_answer_declines() {
    for status in [Status::ActionRequired, Status::Unknown, Status::Authorizing] {
        let late = in_state(status).too_late();
        assert_eq!(late.when(&Command::Wake), then([giving_up(1)], Next::Call(Doing::Void, 1)), "{status}");
        let found = learn(Doing::Inquire, 1, Standing::Authorized);
        assert_eq!(late.when(&found), then([giving_up(1)], Next::Call(Doing::Void, 1)), "{status}");
        let gone = learn(Doing::Void, 1, Standing::Voided);
        assert_eq!(late.when(&gone), then([abandoned(1), declined("timed_out")], Next::Keep), "{status}");
        assert_eq!(late.when(&no_answer(Doing::Void, 1)), then([], Next::Later), "{status}");
    }
}

#[test]
fn the_last_try_ends_the_payment() {
    let mut last = given([requested(), started(1), abandoned(1), started(2)]);
    last.at.max_tries = 2;
    let expected = then([abandoned(2), declined("provider_unavailable")], Next::Keep);
    assert_eq!(last.when(&not_done(Doing::Authorize, 2)), expected);
}

#[test]
fn each_answer_to_a_capture() {
    let refused = Standing::CaptureRefused { reason: "expired".to_owned() };
    for (said, expected) in [
        (learn(Doing::Capture, 1, Standing::Captured), then([captured()], Next::Keep)),
        (learn(Doing::Inquire, 1, Standing::Captured), then([captured()], Next::Keep)),
        (learn(Doing::Inquire, 1, Standing::Authorized), then([], Next::Call(Doing::Capture, 1))),
        (learn(Doing::Capture, 1, Standing::Authorized), then([], Next::Later)),
        (learn(Doing::Authorize, 1, Standing::Authorized), nothing()),
        (learn(Doing::Capture, 1, refused), then([capture_failed("expired")], Next::Keep)),
        (learn(Doing::Capture, 1, Standing::Voided), then([capture_failed("voided")], Next::Keep)),
        // A question from before the capture, answered late.
        (learn(Doing::Inquire, 1, Standing::NotFound), then([], Next::Call(Doing::Capture, 1))),
        (no_answer(Doing::Capture, 1), then([], Next::Later)),
        (not_done(Doing::Capture, 1), then([], Next::Later)),
    ] {
        assert_eq!(in_state(Status::Capturing).when(&said), expected, "{said:?}");
    }
}

#[test]
fn a_void_while_capturing_waits_for_the_outcome_and_undoes_that() {
    let undone = || given([requested(), started(1), authorized(1), capturing(), voiding()]);
    assert_eq!(undone().payment.map(|payment| payment.status), Some(Status::Capturing));
    for (said, expected) in [
        (learn(Doing::Capture, 1, Standing::Captured), then([captured(), refunding()], Next::Call(Doing::Refund, 1))),
        (learn(Doing::Inquire, 1, Standing::Authorized), then([], Next::Call(Doing::Void, 1))),
        (learn(Doing::Void, 1, Standing::Voided), then([capture_failed("voided"), voided()], Next::Keep)),
        (no_answer(Doing::Capture, 1), then([], Next::Later)),
    ] {
        assert_eq!(undone().when(&said), expected, "{said:?}");
    }
}

#[test]
fn each_answer_while_voiding() {
    let refused = Standing::Declined { reason: "generic_decline".to_owned() };
    for (said, expected) in [
        (learn(Doing::Void, 1, Standing::Voided), then([voided()], Next::Keep)),
        (learn(Doing::Inquire, 1, refused), then([voided()], Next::Keep)),
        (learn(Doing::Authorize, 1, Standing::Authorized), then([], Next::Call(Doing::Void, 1))),
        (learn(Doing::Void, 1, Standing::Captured), then([], Next::Call(Doing::Refund, 1))),
        (learn(Doing::Refund, 1, Standing::Refunded), then([voided()], Next::Keep)),
        (no_answer(Doing::Void, 1), then([], Next::Later)),
        (not_done(Doing::Void, 1), then([], Next::Later)),
        // Whatever became of the authorization, a void that comes after it settles it.
        (no_answer(Doing::Authorize, 1), then([], Next::Call(Doing::Void, 1))),
        (no_answer(Doing::Inquire, 1), then([], Next::Later)),
    ] {
        assert_eq!(in_state(Status::Voiding).when(&said), expected, "{said:?}");
    }
}

#[test]
fn each_answer_while_refunding() {
    for (said, expected) in [
        (learn(Doing::Refund, 1, Standing::Refunded), then([refunded()], Next::Keep)),
        (learn(Doing::Inquire, 1, Standing::Captured), then([], Next::Call(Doing::Refund, 1))),
        (learn(Doing::Refund, 1, Standing::Captured), then([], Next::Later)),
        (learn(Doing::Authorize, 1, Standing::Authorized), nothing()),
        (no_answer(Doing::Refund, 1), then([], Next::Later)),
    ] {
        assert_eq!(in_state(Status::Refunding).when(&said), expected, "{said:?}");
    }
}

#[test]
fn what_is_said_of_another_try_ends_no_refund() {
    let events =
        [requested(), started(1), abandoned(1), started(2), authorized(2), capturing(), captured(), refunding()];
    let given = given(events);
    assert_eq!(given.when(&learn(Doing::Void, 1, Standing::Refunded)), nothing());
    assert_eq!(given.when(&learn(Doing::Refund, 2, Standing::Refunded)), then([refunded()], Next::Keep));
}

#[test]
fn late_and_doubled_answers_change_nothing_where_they_are_no_news() {
    for (status, doing, standing) in [
        (Status::Authorized, Doing::Authorize, Standing::Authorized),
        (Status::Authorized, Doing::Inquire, Standing::ActionRequired { url: URL.to_owned() }),
        (Status::Authorized, Doing::Inquire, Standing::NotFound),
        (Status::Captured, Doing::Authorize, Standing::Authorized),
        (Status::Captured, Doing::Capture, Standing::Captured),
        (Status::Refunded, Doing::Capture, Standing::Captured),
        (Status::Refunded, Doing::Authorize, Standing::Authorized),
        (Status::Declined, Doing::Inquire, Standing::Declined { reason: "generic_decline".to_owned() }),
        (Status::Voided, Doing::Void, Standing::Voided),
        (Status::CaptureFailed, Doing::Authorize, Standing::Authorized),
    ] {
        assert_eq!(in_state(status).when(&learn(doing, 1, standing.clone())), nothing(), "{status} {standing:?}");
    }
    for (status, events) in every_state() {
        let given = given(events);
        assert_eq!(given.when(&learn(Doing::Inquire, 9, Standing::Authorized)), Err(Rejection::UnknownTry), "{status}");
    }
}

#[test]
fn money_that_is_taken_after_all_is_given_back() {
    let failed = in_state(Status::CaptureFailed);
    let (said, next) = failed.when(&learn(Doing::Inquire, 1, Standing::Captured)).unwrap();
    assert!(matches!(said.as_slice(), [Event::PaymentOutcomeUnknown(_)]));
    assert_eq!(next, Next::Call(Doing::Void, 1));
}

#[test]
fn money_that_the_provider_gave_back_by_itself_is_said() {
    let refund = learn(Doing::Inquire, 1, Standing::Refunded);
    assert_eq!(in_state(Status::Captured).when(&refund), then(given_back_otherwise(), Next::Keep));
}

#[test]
fn a_capture_that_was_given_back_before_it_was_heard_of_is_no_answer_to_an_order_that_asked_for_nothing() {
    let found = learn(Doing::Inquire, 1, Standing::Refunded);
    let [begun, ended] = given_back_otherwise();
    let said = [captured(), begun, ended];
    assert_eq!(in_state(Status::Capturing).when(&found), then(said.clone(), Next::Keep));
    let given_back = [requested(), started(1), authorized(1), capturing()].into_iter().chain(said);
    assert_eq!(given(given_back).when(&void()), then([refunded()], Next::Keep));
    let undone = given([requested(), started(1), authorized(1), capturing(), voiding()]);
    assert_eq!(undone.when(&found), then([captured(), refunding(), refunded()], Next::Keep));
}

#[test]
fn a_refund_marks_the_try_whose_money_it_was() {
    let payment = in_state(Status::Refunded).payment.unwrap();
    assert_eq!(payment.tries.iter().map(|t| t.status).collect::<Vec<_>>(), [TryStatus::Refunded]);
}

//! The rules, told as stories: given an order, when it hears something, then it says this.

use std::time::Duration;

use contracts::orders::{self as say, Event, OrderLine, Reason};
use ids::Number;
use money::Money;
use world::Moment;

use super::{
    Command, Heard, Order, PaymentStatus, Place, Policy, Rejection, ReservationStatus, Status, Step, decide, fold,
    place,
};

const POLICY: Policy = Policy {
    hold: Duration::from_mins(15),
    pay_margin: Duration::from_secs(30),
    patience: Duration::from_secs(30),
    lost_stock_needs_a_person: false,
    lost_money_needs_a_person: true,
};

fn at(secs: i64) -> Moment {
    Moment::from_micros(secs * 1_000_000)
}

fn asked() -> Place {
    let price = Money::new(500, "GBP".parse().unwrap()).unwrap();
    let line = OrderLine { sku: "a".parse().unwrap(), quantity: 2, unit_price: price };
    Place {
        order: "o-1".parse().unwrap(),
        fingerprint: "print".into(),
        lines: vec![line],
        total: price.checked_mul(2).unwrap(),
        method: "pm_card_visa".into(),
        customer: None,
        reference: None,
    }
}

fn order() -> Order {
    let number = Number::from_column(7);
    Order::placed(number, "local", at(0), &place(&asked(), number, &POLICY))
}

fn heard(heard: Heard) -> Command {
    about("res_7", 1, heard)
}

fn about(thing: &str, attempt: i64, heard: Heard) -> Command {
    Command::Hear { order: "o-1".parse().unwrap(), about: thing.parse().unwrap(), attempt, heard }
}

fn cancel_it() -> Command {
    Command::Cancel { order: "o-1".parse().unwrap(), reason: "changed my mind".into() }
}

const OVERDUE: Command = Command::Overdue { number: Number::from_column(7) };
const RESERVED: Heard = Heard::StockReserved { until: Moment::from_micros(900_000_000) };
const DECLINED: Heard = Heard::PaymentDeclined { timed_out: false };

/// Tells an order all of this, one after the other; gives back how it stands and what it said last.
fn tell_under(policy: &Policy, messages: &[Command]) -> (Order, Vec<&'static str>) {
    let mut order = order();
    let mut said = Vec::new();
    for message in messages {
        let events = decide(&order, message, policy).expect("no rule says no");
        said = events.iter().map(Event::kind).collect();
        for event in &events {
            order.apply(at(1), event);
        }
    }
    (order, said)
}

fn tell(messages: &[Command]) -> (Order, Vec<&'static str>) {
    tell_under(&POLICY, messages)
}

fn all(messages: &[Heard]) -> Vec<Command> {
    messages.iter().copied().map(heard).collect()
}

#[test]
fn an_order_that_nothing_goes_wrong_with_is_confirmed() {
    let story = [
        (RESERVED, "PaymentDue"),
        (Heard::PaymentAuthorized, "StockCommitDue"),
        (Heard::StockCommitted, "CaptureDue"),
        (Heard::PaymentCaptured, "OrderConfirmed"),
    ];
    let mut told = Vec::new();
    for (message, says) in story {
        told.push(heard(message));
        assert_eq!(tell(&told).1, [says]);
        let mut twice = told.clone();
        twice.push(heard(message));
        assert_eq!(tell(&twice).1, [] as [&str; 0], "{message:?} said twice");
    }
    assert_eq!(tell(&told).0.status, Status::Confirmed);
}

#[test]
fn an_authorization_is_of_use_until_a_margin_before_the_hold_lapses() {
    assert_eq!(tell(&all(&[RESERVED])).0.pay_until, Some(at(870)));
}

#[test]
fn an_order_without_stock_is_cancelled_at_once() {
    let (order, said) = tell(&all(&[Heard::StockRefused]));
    assert_eq!(
        (order.status, order.reason, said),
        (Status::Cancelled, Some(Reason::OutOfStock), vec!["OrderCancelled"])
    );
}

#[test]
fn a_declined_order_gives_its_stock_back_before_it_is_cancelled() {
    let (order, said) = tell(&all(&[RESERVED, DECLINED]));
    assert_eq!((order.status, said), (Status::Pending(Step::Releasing), vec!["StockReleaseDue"]));
    let (order, _) = tell(&all(&[RESERVED, DECLINED, Heard::StockReleased]));
    assert_eq!((order.status, order.reason), (Status::Cancelled, Some(Reason::PaymentDeclined)));
    let timed_out = Heard::PaymentDeclined { timed_out: true };
    let (order, _) = tell(&all(&[RESERVED, timed_out, Heard::StockReleased]));
    assert_eq!(order.reason, Some(Reason::PaymentTimedOut));
}

#[test]
fn a_paid_order_whose_stock_is_gone_gets_its_money_back_or_a_person() {
    let gone = all(&[RESERVED, Heard::PaymentAuthorized, Heard::StockNotCommitted]);
    assert_eq!(tell(&gone).1, ["PaymentVoidDue"]);
    let ends = [gone.clone(), all(&[Heard::PaymentVoided, Heard::StockReleased])].concat();
    let (order, _) = tell(&ends);
    assert_eq!((order.status, order.reason), (Status::Cancelled, Some(Reason::OutOfStock)));
    let person = Policy { lost_stock_needs_a_person: true, ..POLICY };
    let (order, said) = tell_under(&person, &gone);
    assert_eq!((order.status, said), (Status::Attention, vec!["OrderNeedsAttention"]));
}

#[test]
fn a_committed_order_whose_money_cannot_be_had_needs_a_person_or_returns_its_stock() {
    let failed = all(&[RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted, Heard::CaptureFailed]);
    assert_eq!(tell(&failed).0.reason, Some(Reason::StockButNoMoney));
    let cancels = Policy { lost_money_needs_a_person: false, ..POLICY };
    assert_eq!(tell_under(&cancels, &failed).1, ["PaymentVoidDue"], "the provider may still hold it");
    let voided = [failed.clone(), all(&[Heard::PaymentVoided])].concat();
    assert_eq!(tell_under(&cancels, &voided).1, ["StockReturnDue"]);
    let (order, _) = tell_under(&cancels, &[voided, all(&[Heard::StockReleased])].concat());
    assert_eq!((order.status, order.reason), (Status::Cancelled, Some(Reason::CaptureFailed)));
    let decided = [failed, vec![cancel_it()]].concat();
    assert_eq!(tell(&decided).1, ["OrderCancelRequested", "PaymentVoidDue"], "the person lets it go");
}

#[test]
fn a_paid_order_whose_promise_people_give_up_gets_its_money_back_or_a_person() {
    let firm = all(&[RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted]);
    let capturing = [firm.clone(), all(&[Heard::StockReleased])].concat();
    assert_eq!(tell(&capturing).1, ["PaymentVoidDue"], "whatever was taken by now");
    let confirmed = [firm, all(&[Heard::PaymentCaptured, Heard::StockReleased])].concat();
    assert_eq!(tell(&confirmed).1, ["PaymentVoidDue"]);
    let (order, _) = tell(&[confirmed.clone(), all(&[Heard::PaymentVoided, Heard::StockReleased])].concat());
    assert_eq!((order.status, order.reason), (Status::Cancelled, Some(Reason::OutOfStock)));
    let person = Policy { lost_stock_needs_a_person: true, ..POLICY };
    let (order, said) = tell_under(&person, &confirmed);
    assert_eq!((order.status, said), (Status::Attention, vec!["OrderNeedsAttention"]));
    let (order, _) = tell_under(&person, &[confirmed, vec![cancel_it()]].concat());
    assert_eq!(order.status, Status::Pending(Step::Voiding));
}

#[test]
fn a_cancellation_undoes_what_was_done_and_waits_for_each_answer() {
    let steps = [RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted];
    assert_eq!(tell(&[cancel_it()]).1, ["OrderCancelRequested", "StockReleaseDue"]);
    for done in 1..=steps.len() {
        let told = [all(&steps[..done]), vec![cancel_it()]].concat();
        assert_eq!(tell(&told).1, ["OrderCancelRequested", "PaymentVoidDue"]);
        let voided = [told.clone(), all(&[Heard::PaymentVoided])].concat();
        let back = if done > 1 { "StockReturnDue" } else { "StockReleaseDue" };
        assert_eq!(tell(&voided).1, [back], "after {done} steps");
        let (order, _) = tell(&[voided, all(&[Heard::StockReleased])].concat());
        assert_eq!((order.status, order.reason), (Status::Cancelled, Some(Reason::Requested)));
        assert_eq!(tell(&[told, vec![cancel_it()]].concat()).1, [] as [&str; 0], "asked twice");
    }
}

#[test]
fn a_confirmed_order_is_not_cancelled() {
    let done = all(&[RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted, Heard::PaymentCaptured]);
    assert_eq!(decide(&tell(&done).0, &cancel_it(), &POLICY), Err(Rejection::AlreadyConfirmed));
}

#[test]
fn a_deadline_asks_and_decides_nothing() {
    let steps = [RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted];
    let asks = ["StockReleaseDue", "PaymentVoidDue", "StockCommitDue", "CaptureDue"];
    for (done, asks) in asks.into_iter().enumerate() {
        let (order, said) = tell(&[all(&steps[..done]), vec![OVERDUE]].concat());
        assert_eq!(said, ["OrderStepOverdue", asks]);
        assert!(!order.status.has_ended());
    }
    let (_, said) = tell(&[all(&[RESERVED, DECLINED]), vec![OVERDUE]].concat());
    assert_eq!(said, ["OrderStepOverdue", "StockReleaseDue"]);
    assert_eq!(POLICY.deadline(&tell(&all(&[RESERVED])).0, at(1)), Some(at(900)));
    assert_eq!(POLICY.deadline(&tell(&all(&[Heard::StockRefused])).0, at(1)), None);
}

#[test]
fn an_authorization_that_comes_after_the_deadline_changes_nothing() {
    let late = [all(&[RESERVED]), vec![OVERDUE], all(&[Heard::PaymentAuthorized])].concat();
    let (order, said) = tell(&late);
    assert_eq!((order.status, said), (Status::Pending(Step::Voiding), vec![]));
}

#[test]
fn an_answer_to_another_attempt_changes_nothing() {
    assert_eq!(tell(&[about("res_7", 2, RESERVED)]).1, [] as [&str; 0]);
}

#[test]
fn an_answer_about_the_reservation_or_the_payment_of_another_order_is_for_no_order_here() {
    for (thing, heard) in [("res_8", RESERVED), ("pay_8", DECLINED)] {
        assert_eq!(decide(&order(), &about(thing, 1, heard), &POLICY), Err(Rejection::UnknownOrder));
    }
}

#[test]
fn every_message_in_every_state_is_taken_without_harm() {
    let messages = [
        RESERVED,
        Heard::StockRefused,
        Heard::StockCommitted,
        Heard::StockNotCommitted,
        Heard::StockReleased,
        Heard::PaymentAuthorized,
        DECLINED,
        Heard::PaymentCaptured,
        Heard::CaptureFailed,
        Heard::PaymentVoided,
    ];
    for first in messages {
        for second in messages {
            for third in messages {
                let (order, _) = tell(&all(&[first, second, third]));
                let moved = order.status != Status::Pending(Step::Reserving);
                let begun = [first, second, third].iter().any(|m| *m == RESERVED || *m == Heard::StockRefused);
                assert_eq!(moved, begun, "{first:?} {second:?} {third:?}");
            }
        }
    }
}

#[test]
fn an_order_that_is_asked_for_again_is_the_same_and_another_under_its_name_is_refused() {
    let again = |fingerprint: &str| Command::Place(Box::new(Place { fingerprint: fingerprint.into(), ..asked() }));
    for told in [vec![], all(&[RESERVED]), all(&[Heard::StockRefused])] {
        let (order, _) = tell(&told);
        assert_eq!(decide(&order, &again("print"), &POLICY), Ok(vec![]));
        assert_eq!(decide(&order, &again("another"), &POLICY), Err(Rejection::DifferentContent));
    }
}

#[test]
fn every_step_but_the_wait_for_the_money_has_the_same_patience() {
    let steps = [RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted];
    for done in [0, 2, 3] {
        assert_eq!(POLICY.deadline(&tell(&all(&steps[..done])).0, at(5)), Some(at(35)), "after {done} steps");
    }
    let (waits, _) = tell(&all(&[RESERVED]));
    assert_eq!(POLICY.deadline(&waits, at(880)), Some(at(910)), "also when the time to pay is over");
}

#[test]
fn whoever_is_silent_for_hours_is_asked_ever_more_rarely_and_at_once_about_the_next_step() {
    let mut told = vec![heard(RESERVED), cancel_it()];
    let mut waits = Vec::new();
    for _ in 0..13 {
        let (order, _) = tell(&told);
        assert_eq!(order.status, Status::Pending(Step::Voiding));
        waits.push(POLICY.deadline(&order, at(0)).expect("it is asked again").since(at(0)).as_secs());
        told.push(OVERDUE);
    }
    assert_eq!(waits, [30, 30, 30, 30, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    told.push(heard(Heard::PaymentVoided));
    assert_eq!(POLICY.deadline(&tell(&told).0, at(0)), Some(at(30)), "another step, another owner");
    let patient = Policy { patience: Duration::from_mins(120), ..POLICY };
    let asked_twenty_times = [vec![cancel_it()], vec![OVERDUE; 20]].concat();
    assert_eq!(patient.deadline(&tell(&asked_twenty_times).0, at(0)), Some(at(7200)), "never less than is set");
}

#[test]
fn an_order_knows_how_its_stock_and_its_money_stand() {
    use PaymentStatus as Money;
    use ReservationStatus as Stock;
    let failed = [RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted, Heard::CaptureFailed];
    let cancels = Policy { lost_money_needs_a_person: false, ..POLICY };
    let person = Policy { lost_stock_needs_a_person: true, ..POLICY };
    for (policy, told, reservation, payment) in [
        (&POLICY, all(&[]), Stock::Pending, Money::Pending),
        (&POLICY, all(&[Heard::StockRefused]), Stock::Refused, Money::Pending),
        (&POLICY, all(&[RESERVED]), Stock::Reserved, Money::Pending),
        (&POLICY, all(&[RESERVED, DECLINED]), Stock::Reserved, Money::Declined),
        (&POLICY, all(&[RESERVED, DECLINED, Heard::StockReleased]), Stock::Released, Money::Declined),
        (&POLICY, all(&failed[..2]), Stock::Reserved, Money::Authorized),
        (&POLICY, all(&failed[..3]), Stock::Committed, Money::Authorized),
        (&POLICY, [all(&failed[..3]), all(&[Heard::PaymentCaptured])].concat(), Stock::Committed, Money::Captured),
        (&POLICY, all(&failed), Stock::Committed, Money::CaptureFailed),
        (&cancels, [all(&failed), all(&[Heard::PaymentVoided])].concat(), Stock::Committed, Money::Voided),
        (&person, [all(&failed[..2]), all(&[Heard::StockNotCommitted])].concat(), Stock::Released, Money::Authorized),
        (&POLICY, vec![heard(RESERVED), cancel_it(), heard(Heard::PaymentVoided)], Stock::Reserved, Money::Voided),
        (&POLICY, vec![cancel_it()], Stock::Pending, Money::Pending),
        (&POLICY, vec![cancel_it(), heard(Heard::StockReleased)], Stock::Released, Money::Pending),
        // Inventory was told to give up before it answered, and the answer comes late.
        (&POLICY, vec![OVERDUE, heard(Heard::StockRefused)], Stock::Pending, Money::Pending),
    ] {
        let (order, _) = tell_under(policy, &told);
        assert_eq!((order.reservation_status, order.payment_status), (reservation, payment), "{told:?}");
    }
}

#[test]
fn a_capture_that_failed_before_this_release_knew_of_voids_leaves_the_payment_failed() {
    let due = say::StockReturnDue {
        order: order().name,
        reservation: order().reservation,
        attempt: 1,
        reason: Reason::CaptureFailed,
    };
    let (mut order, _) = tell(&all(&[RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted]));
    order.apply(at(2), &due.into());
    assert_eq!((order.status, order.payment_status), (Status::Pending(Step::Releasing), PaymentStatus::CaptureFailed));
}

#[test]
fn an_order_is_what_its_events_fold_to_and_counts_them() {
    let asked = place(&asked(), Number::from_column(7), &POLICY);
    let mut order = order();
    let mut events: Vec<Event> = vec![asked.into()];
    for message in all(&[RESERVED, Heard::PaymentAuthorized, Heard::StockCommitted, Heard::PaymentCaptured]) {
        for event in decide(&order, &message, &POLICY).expect("no rule says no") {
            order.apply(at(1), &event);
            events.push(event);
        }
    }
    let times = |place| if place == 0 { at(0) } else { at(1) };
    let folded = fold(order.number, "local", events.iter().enumerate().map(|(place, event)| (times(place), event)));
    assert_eq!((order.version, order.updated_at, order.placed_at), (5, at(1), at(0)));
    assert_eq!(folded, Some(order));
    assert_eq!(fold(Number::from_column(7), "local", events.iter().skip(1).map(|event| (at(1), event))), None);
}

#[test]
fn a_status_is_read_as_columns_hold_it() {
    let steps = [Step::Reserving, Step::Authorizing, Step::Committing, Step::Capturing, Step::Voiding, Step::Releasing];
    for status in steps.map(Status::Pending) {
        let step = status.step().expect("it waits for something");
        assert_eq!((step.as_str().parse(), status.as_str(), status.has_ended()), (Ok(status), "pending", false));
    }
    for status in [Status::Confirmed, Status::Cancelled, Status::Attention] {
        assert_eq!((status.as_str().parse(), status.step(), status.has_ended()), (Ok(status), None, true));
    }
    assert!("".parse::<Status>().is_err() && "pending".parse::<Status>().is_err());
}

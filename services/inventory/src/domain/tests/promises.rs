//! From a reserve to its end: held, firm, shipped, given back, lapsed, refused.

use std::time::Duration;

use contracts::inventory::{self as say, Event};
use ids::Number;

use super::{for_order, lines, moved, name, secs, shop, short, shown};
use crate::domain::{Command, News, Offer, Rejection, Reservation, Status};

#[test]
fn a_hold_lasts_from_its_reserve_for_as_long_as_was_asked() {
    let mut shop = shop(10);
    assert_eq!(shown(shop.reserve("r", 4)), (true, Status::Reserved));
    assert_eq!(shop.reservation("r").expires_at, shop.now + secs(60));
    assert_eq!(shop.level(), (10, 4, 0, 0));
    assert_eq!(shown(shop.reserve("r", 4)), (false, Status::Reserved));
    assert_eq!(shop.said, []);
    assert_eq!(shop.reserve("r", 5), Err(Rejection::DifferentContent));
}

#[test]
fn a_refusal_is_remembered_with_what_fell_short_then() {
    let mut shop = shop(10);
    assert_eq!(shop.reserve("r", 11), Err(Rejection::OutOfStock { short: short(11, 10) }));
    assert_eq!(shop.kinds(), ["StockReservationRejected"]);
    moved(shop.receive("more", 5));
    assert_eq!(shop.reserve("r", 11), Err(Rejection::OutOfStock { short: short(11, 10) }));
    assert_eq!(shop.reserve("r", 1), Err(Rejection::DifferentContent));
    assert_eq!((shop.status("r"), shop.level()), (Status::Refused, (15, 0, 0, 0)));
    assert_eq!(shop.reservation("r").expires_at, shop.now, "it never held");
    assert_eq!(shop.commit("r", None), Err(Rejection::OutOfStock { short: short(11, 10) }));
}

#[test]
fn an_extension_lengthens_a_hold_and_never_shortens_it() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 4));
    for (hold_secs, lasts_secs, says) in [(59, 60, 0), (60, 60, 0), (61, 61, 1), (-5, 61, 0)] {
        assert_eq!(shown(shop.extend("r", hold_secs)), (false, Status::Reserved));
        assert_eq!(shop.reservation("r").expires_at, shop.now + secs(lasts_secs), "{hold_secs} s");
        assert_eq!(shop.said.len(), says, "{hold_secs} s");
    }
    shop.wait();
    assert_eq!(shown(shop.extend("r", 60)), (false, Status::Reserved), "it lasts a second longer");
    assert_eq!(shop.reservation("r").expires_at, shop.now + secs(60));
    shop.wait();
    assert_eq!(shop.extend("r", 60), Err(Rejection::Expired));
    assert_eq!(shop.extend("none", 60), Err(Rejection::UnknownReservation));
}

#[test]
fn a_hold_lapses_at_its_moment_and_not_before() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 4));
    shop.now = shop.now + Duration::from_micros(59_999_999);
    shop.sweep("r");
    assert_eq!((shop.status("r"), shop.said.len()), (Status::Reserved, 0));
    shop.now = shop.now + Duration::from_micros(1);
    assert_eq!(shop.reservation("r").status_at(shop.now), Status::Expired, "also before the sweep has come by");
    shop.sweep("r");
    assert_eq!((shop.status("r"), shop.level()), (Status::Expired, (10, 0, 0, 0)));
    let [Event::StockReservationExpired(expired)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((expired.lines.clone(), expired.order.clone(), expired.attempt), (lines(4), None, 0));
    shop.sweep("r");
    assert_eq!(shop.said, []);
}

#[test]
fn a_lapsed_hold_that_stands_in_somebodys_way_goes_before_they_are_refused() {
    let mut shop = shop(10);
    shown(shop.reserve_for("r", 4, Some(for_order(3))));
    shop.wait();
    let number = shop.reservation("r").number;
    shop.books.expire("local", number, &shop.policy, shop.now);
    let news = shop.books.take_news();
    assert!(
        matches!(&news[..], [News { stream, version: 2, owner: _, event: Event::StockReservationExpired(e) }]
            if *stream == number && e.order == Some(name("o-1")) && e.attempt == 3),
        "{news:?}"
    );
    shop.books.expire("local", number, &shop.policy, shop.now);
    assert_eq!(shop.books.take_news(), []);
}

#[test]
fn a_commit_makes_a_hold_firm_once() {
    let mut shop = shop(10);
    shown(shop.reserve_for("r", 4, Some(for_order(3))));
    assert_eq!(shown(shop.commit("r", Some(for_order(3)))), (false, Status::Committed));
    let [Event::StockCommitted(committed)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((committed.order.clone(), committed.attempt), (Some(name("o-1")), 3), "its order's");
    assert_eq!((committed.retaken, committed.shipped, committed.lines.clone()), (false, false, lines(4)));
    assert_eq!(shop.level(), (10, 0, 4, 0));
    for _ in 0..2 {
        assert_eq!(shown(shop.commit("r", Some(for_order(3)))), (false, Status::Committed));
        let [Event::StockCommitted(again)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
        assert_eq!(
            (again.order.clone(), again.attempt, again.lines.len()),
            (Some(name("o-1")), 3, 0),
            "it is told again"
        );
    }
    shop.wait();
    shop.sweep("r");
    assert_eq!((shop.status("r"), shop.level()), (Status::Committed, (10, 0, 4, 0)), "firm is firm");
}

#[test]
fn what_an_order_holds_nobody_else_extends_makes_firm_or_gives_back() {
    let mut shop = shop(10);
    shown(shop.reserve_for("r", 4, Some(for_order(3))));
    assert_eq!(shop.replace("r", "new", 1), Err(Rejection::BelongsToOrder));
    let told = [shop.extend("r", 600), shop.commit("r", None), shop.release("r", None)];
    assert_eq!((told, shop.said.len()), ([const { Err(Rejection::BelongsToOrder) }; 3], 0));
    shop.wait();
    let retake = Command::Commit { name: name("r"), order: None, retake: true };
    let told = [shop.extend("r", 600), shop.commit("r", None), shop.tell(&retake), shop.release("r", None)];
    let no = [Rejection::Expired, Rejection::Expired, Rejection::BelongsToOrder, Rejection::BelongsToOrder];
    assert_eq!((told, shop.said.len()), (no.map(Err), 0), "a hold that has lapsed is the order's too");
    shown(shop.commit("r", Some(for_order(3))));
    assert_eq!(shown(shop.commit("r", None)), (false, Status::Committed), "nothing changes");
    assert_eq!(shop.release("r", None), Err(Rejection::AlreadyCommitted));
    assert_eq!(shown(shop.ship("r")), (false, Status::Shipped), "goods leave when somebody says so");
    shown(shop.commit("r", Some(for_order(3))));
    let [Event::StockCommitted(again)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((again.shipped, shop.status("r"), shop.level()), (true, Status::Shipped, (6, 0, 0, 0)));
}

#[test]
fn an_order_is_answered_also_where_somebody_made_firm_what_has_its_name() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 4));
    shown(shop.commit("r", None));
    assert_eq!(shop.release("r", None), Err(Rejection::AlreadyCommitted));
    shown(shop.commit("r", Some(for_order(3))));
    assert_eq!(shop.kinds(), ["StockCommitted"]);
    assert_eq!(shown(shop.release("r", Some(for_order(3)))), (false, Status::Returned));
    let [Event::StockReturned(returned)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((returned.order.clone(), returned.attempt, shop.level()), (Some(name("o-1")), 3, (10, 0, 0, 0)));
}

#[test]
fn goods_that_ship_on_commit_leave_with_it_as_far_as_they_are_there() {
    let mut shop = shop(10);
    shop.policy.ship_on_commit = true;
    shown(shop.reserve("r", 4));
    shown(shop.reserve("owed", 6));
    shown(shop.commit("r", None));
    assert_eq!((shop.level(), shop.reservation("r").has_left), ((6, 6, 0, 0), true));
    moved(shop.count("c", 5));
    shown(shop.commit("owed", None));
    assert_eq!((shop.level(), shop.reservation("owed").has_left), ((5, 0, 5, 1), false), "one is missing");
    assert_eq!(shop.ship("owed"), Err(Rejection::GoodsMissing));
    assert_eq!(shown(shop.ship("r")), (false, Status::Shipped));
    let [Event::StockShipped(shipped)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((shipped.lines.clone(), shop.level()), (vec![], (5, 0, 5, 1)), "they had left before");
}

#[test]
fn goods_of_one_sku_in_two_lines_leave_together_or_not_at_all() {
    let mut shop = shop(10);
    shop.policy.ship_on_commit = true;
    let two = [lines(3), lines(3)].concat();
    let reserved = say::StockReserved {
        reservation: name("r"),
        fingerprint: "two".into(),
        order: None,
        attempt: 0,
        lines: two,
        expires_at: shop.now + secs(60),
        terms: None,
    };
    shop.books.apply(Number::from_column(77), "local", shop.now, &reserved.into());
    moved(shop.count("c", 5));
    shown(shop.commit("r", None));
    assert_eq!((shop.level(), shop.reservation("r").has_left), ((5, 0, 5, 1), false));
}

#[test]
fn only_what_is_committed_and_there_is_shipped() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 4));
    assert_eq!(shop.ship("r"), Err(Rejection::NotCommitted));
    shown(shop.commit("r", None));
    moved(shop.count("c", 3));
    assert_eq!(shop.ship("r"), Err(Rejection::GoodsMissing));
    moved(shop.receive("m", 1));
    assert_eq!(shown(shop.ship("r")), (false, Status::Shipped));
    assert_eq!((shop.level(), shop.reservation("r").has_left), ((0, 0, 0, 0), true));
    let [Event::StockShipped(shipped)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!(shipped.lines, lines(4));
    assert_eq!(shown(shop.ship("r")), (false, Status::Shipped));
    assert_eq!(shop.said, []);
    assert_eq!(shown(shop.commit("r", None)), (false, Status::Shipped));
    assert_eq!(shop.extend("r", 600), Err(Rejection::AlreadyCommitted));
    assert_eq!(shop.ship("none"), Err(Rejection::UnknownReservation));
}

#[test]
fn a_release_gives_the_hold_back_and_keeps_the_name_released() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 4));
    assert_eq!(shown(shop.release("r", None)), (false, Status::Released));
    let [Event::StockReleased(released)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((released.lines.clone(), shop.level()), (lines(4), (10, 0, 0, 0)));
    assert_eq!(shown(shop.release("r", None)), (false, Status::Released));
    assert_eq!(shop.said, []);
    for no in [shop.commit("r", None), shop.extend("r", 60), shop.ship("r")] {
        assert_eq!(no, Err(Rejection::AlreadyReleased));
    }
    assert_eq!(shown(shop.reserve_for("r", 4, None)), (false, Status::Released));
}

#[test]
fn a_release_for_another_attempt_carries_that_attempt() {
    let mut shop = shop(10);
    shown(shop.reserve_for("r", 4, Some(for_order(3))));
    shown(shop.release("r", Some(for_order(4))));
    let [Event::StockReleased(released)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((released.attempt, shop.reservation("r").attempt), (4, 4));
}

#[test]
fn an_order_that_asks_for_a_release_is_answered_each_time_and_whatever_has_become_of_the_hold() {
    let mut shop = shop(10);
    shown(shop.reserve_for("lapsed", 4, Some(for_order(3))));
    shop.wait();
    shop.sweep("lapsed");
    drop(shop.reserve_for("refused", 99, Some(for_order(3))));
    for (reservation, stays) in [("lapsed", Status::Expired), ("refused", Status::Refused)] {
        for _ in 0..2 {
            assert_eq!(shown(shop.release(reservation, Some(for_order(3)))), (false, stays));
            let [Event::StockReleased(released)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
            assert_eq!((released.lines.len(), released.attempt), (0, 3));
        }
    }
    assert_eq!(shop.level(), (10, 0, 0, 0));
}

#[test]
fn a_release_that_comes_before_the_reserve_refuses_it() {
    let mut shop = shop(10);
    assert_eq!(shown(shop.release("r", Some(for_order(3)))), (true, Status::Released));
    let [Event::StockReleased(released)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((released.order.clone(), released.attempt, released.lines.len()), (Some(name("o-1")), 3, 0));
    let Reservation { order, attempt, expires_at, version, .. } = shop.reservation("r");
    assert_eq!((order, attempt, expires_at, version), (Some(name("o-1")), 3, shop.now, 1));
    assert_eq!(shop.reserve("r", 4), Err(Rejection::AlreadyReleased));
    assert_eq!((shop.said.len(), shop.level()), (0, (10, 0, 0, 0)));
}

#[test]
fn a_commit_that_comes_before_the_reserve_is_refused_and_so_is_the_reserve() {
    let mut shop = shop(10);
    assert_eq!(shop.commit("r", None), Err(Rejection::UnknownReservation));
    assert_eq!(shop.said, [], "nobody waits for an answer");
    assert_eq!(shop.commit("r", Some(for_order(3))), Err(Rejection::UnknownReservation));
    assert_eq!(shop.kinds(), ["StockReleased", "StockCommitRejected"]);
    let Some(Event::StockCommitRejected(rejected)) = shop.said.last() else { panic!("{:?}", shop.said) };
    assert_eq!((rejected.order.clone(), rejected.attempt, rejected.short.len()), (Some(name("o-1")), 3, 0));
    assert_eq!(shop.reserve("r", 4), Err(Rejection::AlreadyReleased));
}

#[test]
fn a_lapsed_hold_is_firm_for_its_order_as_long_as_nobody_took_anything_from_it() {
    let mut shop = shop(10);
    shown(shop.reserve_for("r", 10, Some(for_order(3))));
    shop.wait();
    assert_eq!(shown(shop.commit("r", Some(for_order(3)))), (false, Status::Committed));
    let [Event::StockCommitted(committed)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert!(!committed.retaken);
    assert_eq!(shop.level(), (10, 0, 10, 0));
}

#[test]
fn a_lapsed_hold_that_was_let_go_is_taken_anew_for_its_order_if_the_stock_is_there() {
    let mut shop = shop(10);
    shop.policy.ship_on_commit = true;
    shown(shop.reserve_for("r", 4, Some(for_order(3))));
    shop.wait();
    shop.sweep("r");
    assert_eq!(shown(shop.commit("r", Some(for_order(3)))), (false, Status::Committed));
    let [Event::StockCommitted(committed)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((committed.retaken, committed.shipped, committed.lines.clone()), (true, true, lines(4)));
    assert_eq!((shop.level(), shop.reservation("r").has_left), ((6, 0, 0, 0), true));
}

#[test]
fn a_lapsed_hold_whose_stock_is_gone_is_refused_for_good() {
    let mut shop = shop(10);
    shown(shop.reserve_for("r", 4, Some(for_order(3))));
    shop.wait();
    shop.sweep("r");
    shown(shop.reserve("rival", 8));
    assert_eq!(shop.commit("r", Some(for_order(3))), Err(Rejection::OutOfStock { short: short(4, 2) }));
    let [Event::StockCommitRejected(rejected)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
    assert_eq!((rejected.order.clone(), rejected.attempt), (Some(name("o-1")), 3));
    assert_eq!(rejected.short, short(4, 2));
    moved(shop.receive("m", 10));
    assert_eq!(shop.commit("r", Some(for_order(3))), Err(Rejection::AlreadyReleased), "whoever heard of it gave up");
    assert_eq!(shop.kinds(), ["StockCommitRejected"], "and is answered again");
    assert_eq!((shop.status("r"), shop.level()), (Status::Released, (20, 8, 0, 0)));
}

#[test]
fn a_hold_is_let_go_for_the_one_that_replaces_it_and_stays_if_that_cannot_be_had() {
    let mut shop = shop(10);
    shown(shop.reserve("old", 8));
    shown(shop.reserve("rival", 1));
    assert_eq!(shop.replace("old", "more", 10), Err(Rejection::OutOfStock { short: short(10, 9) }));
    assert_eq!((shop.kinds(), shop.status("old")), (vec!["StockReservationRejected"], Status::Reserved));
    assert_eq!(shown(shop.replace("old", "new", 9)), (true, Status::Reserved));
    let [Event::StockReleased(released), Event::StockReserved(_)] = shop.said.as_slice() else {
        panic!("{:?}", shop.said)
    };
    assert_eq!((released.replaced_by.clone(), released.lines.clone()), (Some(name("new")), lines(8)));
    assert_eq!((shop.status("old"), shop.level()), (Status::Released, (10, 10, 0, 0)));
    assert_eq!(shown(shop.replace("old", "new", 9)), (false, Status::Reserved), "said twice is said once");
}

#[test]
fn whoever_replaces_a_hold_keeps_its_pieces_also_where_others_wait_for_some() {
    let mut shop = shop(4);
    shown(shop.reserve("old", 3));
    shop.offer(Offer { backorder_limit: 9, ..Offer::default() });
    shown(shop.reserve("waits", 2));
    shown(shop.replace("old", "new", 3));
    assert_eq!((shop.reservation("new").owed(), shop.reservation("waits").owed()), (0, 1));
    shown(shop.replace("new", "newer", 4));
    assert_eq!((shop.reservation("newer").owed(), shop.reservation("waits").owed()), (1, 1));
}

#[test]
fn what_has_ended_gives_nothing_to_the_one_that_replaces_it_and_what_is_firm_stays() {
    let mut shop = shop(10);
    shown(shop.reserve("lapsed", 6));
    shop.wait();
    assert_eq!(shop.replace("lapsed", "r-1", 5), Err(Rejection::OutOfStock { short: short(5, 4) }));
    shop.sweep("lapsed");
    shown(shop.replace("lapsed", "r-2", 5));
    assert_eq!(shop.kinds(), ["StockReserved"]);
    shown(shop.replace("late", "r-3", 1));
    assert_eq!(shop.reserve("late", 1), Err(Rejection::AlreadyReleased), "a late reserve holds nothing");
    shown(shop.commit("r-2", None));
    assert_eq!(shop.replace("r-2", "r-4", 1), Err(Rejection::AlreadyCommitted));
    assert!(shop.said.is_empty());
}

#[test]
fn nothing_is_newly_promised_of_what_is_discontinued_and_what_is_promised_stays_so() {
    let mut shop = shop(10);
    shown(shop.reserve("held", 2));
    shown(shop.reserve_for("lapsed", 2, Some(for_order(3))));
    shop.set(true);
    assert_eq!(shop.kinds(), ["SkuDiscontinued"]);
    shop.set(true);
    assert!(shop.said.is_empty(), "said twice is said once");
    for _ in 0..2 {
        assert_eq!(shop.reserve("r", 1), Err(Rejection::Discontinued { short: short(1, 0) }));
    }
    assert_eq!(shop.replace("held", "new", 1), Err(Rejection::Discontinued { short: short(1, 0) }));
    shown(shop.commit("held", None));
    shop.wait();
    shop.sweep("lapsed");
    assert_eq!(shop.commit("lapsed", Some(for_order(3))), Err(Rejection::Discontinued { short: short(2, 0) }));
    assert_eq!(shop.kinds(), ["StockCommitRejected"], "the order gets its answer");
    moved(shop.receive("m", 1));
    shop.set(false);
    assert_eq!(shop.kinds(), ["SkuReinstated"]);
    shown(shop.reserve("again", 1));
    assert_eq!(shop.commit("r", None), Err(Rejection::Discontinued { short: short(1, 0) }), "it stays refused");
}

#[test]
fn a_refused_commit_leaves_a_refused_reservation_refused() {
    let mut shop = shop(10);
    drop(shop.reserve_for("r", 99, Some(for_order(3))));
    assert_eq!(shop.commit("r", Some(for_order(3))), Err(Rejection::OutOfStock { short: short(99, 10) }));
    assert_eq!((shop.kinds(), shop.status("r")), (vec!["StockCommitRejected"], Status::Refused));
}

#[test]
fn a_return_gives_back_what_is_firm_whether_it_has_left_the_shelf_or_not() {
    for (has_left, left) in [(false, (10, 0, 4, 0)), (true, (6, 0, 0, 0))] {
        let mut shop = shop(10);
        shop.policy.ship_on_commit = has_left;
        shown(shop.reserve_for("r", 4, Some(for_order(3))));
        shown(shop.commit("r", Some(for_order(3))));
        assert_eq!(shop.level(), left);
        assert_eq!(shown(shop.give_back("r", 5)), (false, Status::Returned));
        let [Event::StockReturned(returned)] = shop.said.as_slice() else { panic!("{:?}", shop.said) };
        assert_eq!((returned.was_shipped, returned.lines.clone(), returned.attempt), (has_left, lines(4), 5));
        assert_eq!((shop.level(), shop.reservation("r").has_left), ((10, 0, 0, 0), false));
        assert_eq!(shown(shop.give_back("r", 5)), (false, Status::Returned));
        assert_eq!(shop.kinds(), ["StockReleased"], "answered again, and nothing moves");
        assert_eq!(shop.level(), (10, 0, 0, 0));
        assert_eq!(shop.commit("r", Some(for_order(3))), Err(Rejection::AlreadyReleased));
    }
}

#[test]
fn a_return_of_what_was_shipped_comes_back_and_of_what_is_held_is_a_release() {
    let mut shop = shop(10);
    shown(shop.reserve("r", 4));
    shown(shop.commit("r", None));
    shown(shop.ship("r"));
    assert_eq!(shown(shop.give_back("r", 1)), (false, Status::Returned));
    assert_eq!(shop.level(), (10, 0, 0, 0));
    shown(shop.reserve("held", 4));
    assert_eq!(shown(shop.give_back("held", 1)), (false, Status::Released));
    assert_eq!((shop.kinds(), shop.level()), (vec!["StockReleased"], (10, 0, 0, 0)));
    assert_eq!(shown(shop.give_back("none", 1)), (true, Status::Released));
    assert_eq!(shop.reserve("none", 1), Err(Rejection::AlreadyReleased));
}

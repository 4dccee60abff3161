//! What is told of promises that are owed pieces.

use super::*;

const MARCH: Moment = Moment::from_micros(1_772_323_200_000_000);

/// A shop with so much of `a`, of which so many pieces may be promised without stock until March.
fn preorders(on_hand: i64, backorder_limit: i64) -> Shop {
    let mut shop = shop(on_hand);
    shop.offer(Offer { discontinued: false, backorder_limit, available_from: Some(MARCH), low_upto: None });
    shop
}

impl Shop {
    fn settle(&mut self, reservation: &str, way: Way) -> Answer {
        let (owner, reservation) = ("local".to_owned(), name(reservation));
        let (sku, warehouse, reason) = (sku("a"), main(), "said so".to_owned());
        self.tell(&Command::Settle(Settle { owner, reservation, sku, warehouse, way, reason }))
    }

    /// Reserves pieces of `a` that are bound to warehouses.
    fn reserve_in(&mut self, reservation: &str, wanted: &[(&str, i64)]) -> Answer {
        let line = |(warehouse, quantity): &(&str, i64)| {
            let warehouse = Some(warehouse.parse().expect("a warehouse"));
            Line { sku: sku("a"), quantity: *quantity, warehouse }
        };
        self.tell(&Command::Reserve(Reserve {
            name: name(reservation),
            fingerprint: String::new(),
            lines: wanted.iter().map(line).collect(),
            hold_secs: 60,
            order: None,
            replaces: None,
            terms: None,
        }))
    }

    /// What a reservation is owed, and how many of that a stock-take has not found.
    fn owed(&self, reservation: &str) -> (i64, i64) {
        let of = self.reservation(reservation);
        (of.owed(), of.lines.iter().flat_map(|line| &line.allocations).map(|part| part.missing).sum())
    }

    /// Who was served with the last command, and how many pieces.
    fn served(&self) -> Vec<(&str, i64)> {
        let served = self.said.iter().filter_map(|event| match event {
            Event::BackorderServed(e) => Some((e.reservation.as_str(), e.quantity)),
            _ => None,
        });
        served.collect()
    }
}

#[test]
fn so_much_is_promised_without_stock_as_was_allowed_and_shown_with_its_date() {
    let mut shop = preorders(2, 3);
    let Ok(Settled::Reservation { reservation, .. }) = shop.reserve("r-1", 4) else { panic!("{:?}", shop.said) };
    let parts: Vec<_> = reservation.lines[0].allocations.iter().map(|part| (part.quantity, part.owed)).collect();
    assert_eq!((parts, reservation.lines[0].available_from), (vec![(4, 2)], Some(MARCH)));
    assert_eq!(shop.level(), (2, 2, 0, 2));
    let short = Short { sku: sku("a"), wanted: 2, available: 1, in_transit: 0, available_from: Some(MARCH) };
    assert_eq!(shop.reserve("r-2", 2), Err(Rejection::OutOfStock { short: vec![short] }));
    assert_eq!(shown(shop.reserve("r-3", 1)), (true, Status::Reserved));
    assert_eq!(shop.level(), (2, 2, 0, 3));
    shop.offer(Offer { discontinued: false, backorder_limit: 1, available_from: None, low_upto: None });
    assert_eq!(shop.reserve("r-5", 1), Err(Rejection::OutOfStock { short: short_of(1) }), "never less than none");
    shop.offer(Offer { discontinued: false, backorder_limit: 3, available_from: Some(MARCH), low_upto: None });
    shop.now = MARCH;
    let late = Err(Rejection::OutOfStock { short: short_of(1) });
    assert_eq!(shop.reserve("r-4", 1), late, "a date that has passed tells nobody when more comes");
}

fn short_of(wanted: i64) -> Vec<Short> {
    short(wanted, 0)
}

#[test]
fn whoever_wants_only_what_is_there_is_refused_the_rest() {
    let mut shop = preorders(2, 3);
    let lines = vec![Line { sku: sku("a"), quantity: 3, warehouse: None }];
    let terms = contracts::inventory::Terms { backorder: Some(false), ..Default::default() };
    let reserve = Reserve {
        name: name("r"),
        fingerprint: String::new(),
        lines,
        hold_secs: 60,
        order: None,
        replaces: None,
        terms: Some(terms),
    };
    let answer = shop.tell(&Command::Reserve(reserve));
    assert!(matches!(&answer, Err(Rejection::OutOfStock { short }) if short[0].available == 2), "{answer:?}");
}

#[test]
fn goods_serve_what_is_owed_in_the_order_in_which_it_was_promised() {
    let mut shop = preorders(0, 9);
    shown(shop.reserve("first", 2));
    shown(shop.reserve("second", 3));
    shown(shop.commit("second", None));
    let level = Level { on_hand: 3, reserved: 2, committed: 1, owed: 2, in_transit: 0 };
    assert_eq!(moved(shop.receive("some", 3)), (true, level), "the level is told once all are served");
    assert_eq!(shop.served(), [("first", 2), ("second", 1)]);
    let [Event::SupplierShipmentReceived(received), ..] = &shop.said[..] else { panic!("{:?}", shop.said) };
    assert_eq!(received.level, level);
    assert_eq!(shop.ship("second"), Err(Rejection::GoodsMissing));
    assert_eq!(moved(shop.receive("more", 5)).1.owed, 0);
    assert_eq!((shop.served(), shop.level()), (vec![("second", 2)], (8, 2, 3, 0)));
    assert_eq!(shown(shop.ship("second")), (false, Status::Shipped));
}

#[test]
fn goods_that_a_firm_promise_waits_for_leave_when_all_of_them_are_there() {
    let mut shop = preorders(1, 9);
    shop.policy.ship_on_commit = true;
    shown(shop.reserve("r", 3));
    assert_eq!(shown(shop.commit("r", None)), (false, Status::Committed));
    assert!(matches!(shop.said[..], [Event::StockCommitted(ref e)] if !e.shipped), "{:?}", shop.said);
    moved(shop.receive("one", 1));
    assert_eq!((shop.kinds(), shop.level()), (vec!["SupplierShipmentReceived", "BackorderServed"], (2, 0, 2, 1)));
    let [_, Event::BackorderServed(served)] = &shop.said[..] else { panic!("{:?}", shop.said) };
    assert_eq!((served.quantity, served.still_owed, served.firm), (1, 1, true));
    assert_eq!(moved(shop.receive("last", 2)).1, Level { on_hand: 1, ..Level::default() });
    assert_eq!(shop.kinds(), ["SupplierShipmentReceived", "BackorderServed", "StockShipped"]);
    assert_eq!(shop.status("r"), Status::Shipped);
}

#[test]
fn what_a_hold_had_goes_to_whoever_is_owed_it_and_not_to_somebody_new() {
    let mut shop = preorders(2, 2);
    shown(shop.reserve("had", 2));
    shown(shop.reserve("owed", 2));
    shown(shop.release("had", None));
    assert_eq!((shop.served(), shop.level()), (vec![("owed", 2)], (2, 2, 0, 0)));
    let mut shop = preorders(2, 2);
    shown(shop.reserve("had", 2));
    shown(shop.reserve("owed", 1));
    shop.now = shop.now + secs(59);
    shown(shop.extend("owed", 60));
    shop.now = shop.now + secs(1);
    shop.sweep("had");
    assert_eq!((shop.served(), shop.level()), (vec![("owed", 1)], (2, 1, 0, 0)));
}

#[test]
fn whoever_is_owed_pieces_in_one_warehouse_is_served_though_another_has_none() {
    let mut shop = preorders(0, 9);
    shown(shop.reserve_in("main", &[("main", 1)]));
    shown(shop.reserve_in("both", &[("main", 1), ("west", 1)]));
    shown(shop.reserve_in("west", &[("west", 1)]));
    receive_in_west(&mut shop, 1);
    assert_eq!(shop.served(), [("both", 1)]);
    shown(shop.release("both", None));
    assert_eq!(shop.served(), [("west", 1)]);
}

#[test]
fn what_a_lapsed_hold_had_goes_to_whoever_is_owed_it_before_anybody_new_is_asked_about() {
    let mut shop = preorders(2, 2);
    shown(shop.reserve("had", 2));
    shown(shop.reserve("owed", 1));
    shown(shop.extend("owed", 120));
    shop.wait();
    let number = shop.reservation("had").number;
    shop.books.expire("local", number, &shop.policy, shop.now);
    let kinds: Vec<_> = shop.books.take_news().iter().map(|news| news.event.kind()).collect();
    assert_eq!(kinds, ["StockReservationExpired", "BackorderServed"]);
}

#[test]
fn a_lapsed_hold_is_not_taken_anew_without_stock() {
    let mut shop = preorders(2, 9);
    shown(shop.reserve_for("r", 2, Some(for_order(1))));
    shop.wait();
    shop.sweep("r");
    shown(shop.reserve("other", 1));
    let late = Short { available_from: Some(MARCH), ..short(2, 1).remove(0) };
    assert_eq!(shop.commit("r", Some(for_order(1))), Err(Rejection::OutOfStock { short: vec![late] }));
}

#[test]
fn a_cart_that_changes_keeps_the_pieces_that_it_had() {
    let mut shop = preorders(2, 9);
    shown(shop.reserve("old", 2));
    shown(shop.reserve("owed", 1));
    shown(shop.replace("old", "new", 1));
    assert_eq!((shop.owed("new"), shop.owed("owed")), ((0, 0), (0, 0)), "the piece that it gave up served the other");
}

#[test]
fn a_stock_take_takes_from_holds_before_firm_promises_and_from_the_last_one_first() {
    let mut shop = shop(9);
    for reservation in ["firm", "early", "late"] {
        shown(shop.reserve(reservation, 3));
    }
    shown(shop.commit("firm", None));
    moved(shop.count("c-1", 5));
    let fell_short = |shop: &Shop| ["firm", "early", "late"].map(|reservation| shop.owed(reservation));
    assert_eq!(fell_short(&shop), [(0, 0), (1, 1), (3, 3)]);
    moved(shop.count("c-2", 2));
    assert_eq!((fell_short(&shop), shop.level()), ([(1, 1), (3, 3), (3, 3)], (2, 0, 2, 7)));
    moved(shop.receive("some", 5));
    assert_eq!(shop.served(), [("firm", 1), ("early", 3), ("late", 1)]);
    assert_eq!(fell_short(&shop), [(0, 0), (0, 0), (2, 2)]);
}

#[test]
fn a_stock_take_takes_from_a_hold_before_a_firm_promise_that_was_made_later() {
    let mut shop = shop(5);
    shown(shop.reserve("hold", 2));
    shown(shop.reserve("firm", 3));
    shown(shop.commit("firm", None));
    moved(shop.count("c", 2));
    assert_eq!((shop.owed("hold"), shop.owed("firm")), ((2, 2), (1, 1)));
}

/// A shop where a stock-take has taken one of three pieces from a promise; another warehouse has so many.
fn with_a_shortfall(elsewhere: i64) -> Shop {
    let mut shop = shop(3);
    shown(shop.reserve("r", 3));
    moved(shop.count("c", 2));
    if elsewhere > 0 {
        receive_in_west(&mut shop, elsewhere);
    }
    shop
}

fn receive_in_west(shop: &mut Shop, quantity: i64) {
    let (sku, warehouse) = (sku("a"), "west".parse().expect("a warehouse"));
    let act = Act::Receive { quantity, reference: None };
    let movement = Movement { name: name("west"), fingerprint: String::new(), sku, warehouse, act };
    moved(shop.tell(&Command::Move(movement)));
}

#[test]
fn a_promise_that_fell_short_waits_if_somebody_says_so() {
    let mut shop = with_a_shortfall(0);
    assert_eq!((shown(shop.settle("r", Way::Wait)), shop.owed("r")), ((false, Status::Reserved), (1, 0)));
    assert_eq!(shop.kinds(), ["ShortfallSettled"]);
    assert_eq!(shop.settle("r", Way::Wait).map(|_| shop.said.len()), Ok(0), "it waits already");
    moved(shop.receive("more", 1));
    assert_eq!(shop.settle("r", Way::Wait), Err(Rejection::NotOwed));
}

#[test]
fn what_is_owed_and_what_a_stock_take_has_not_found_are_told_apart() {
    let mut shop = preorders(2, 2);
    shown(shop.reserve("r", 4));
    moved(shop.count("c", 1));
    assert_eq!(shop.owed("r"), (3, 1));
    moved(shop.receive("one", 1));
    assert_eq!(shop.owed("r"), (2, 1), "nobody knows which of them has come");
    shown(shop.settle("r", Way::Wait));
    let [Event::ShortfallSettled(settled)] = &shop.said[..] else { panic!("{:?}", shop.said) };
    assert_eq!((settled.owed, shop.owed("r")), (2, (2, 0)));
}

#[test]
fn nobody_decides_about_a_hold_that_has_lapsed() {
    let mut shop = with_a_shortfall(5);
    shop.wait();
    for way in [Way::Wait, Way::Release] {
        assert_eq!(shop.settle("r", way), Err(Rejection::NotOwed));
    }
}

#[test]
fn a_promise_that_fell_short_comes_from_another_warehouse_if_that_has_it() {
    let west: Warehouse = "west".parse().expect("a warehouse");
    let mut shop = with_a_shortfall(0);
    let none = Rejection::NotAvailable { sku: sku("a"), warehouse: west.clone(), wanted: 1, available: 0 };
    assert_eq!(shop.settle("r", Way::Move { to: west.clone() }), Err(none));
    let mut shop = with_a_shortfall(1);
    shown(shop.settle("r", Way::Move { to: west.clone() }));
    let line = &shop.reservation("r").lines[0];
    let parts: Vec<_> =
        line.allocations.iter().map(|part| (part.warehouse.as_str(), part.quantity, part.owed)).collect();
    assert_eq!(parts, [("main", 2, 0), ("west", 1, 0)]);
    assert_eq!(shop.level(), (2, 2, 0, 0));
    let mut shop = with_a_shortfall(5);
    shop.policy.ship_on_commit = true;
    shown(shop.commit("r", None));
    shown(shop.settle("r", Way::Move { to: west }));
    assert_eq!(shop.kinds(), ["ShortfallSettled", "PromiseMoved", "StockShipped"], "it waited for nothing else");
}

#[test]
fn what_comes_from_a_warehouse_that_gives_some_already_is_one_part_of_the_line() {
    for (counted, expected) in [(1, vec![("main", 1, 0), ("west", 2, 0)]), (0, vec![("west", 3, 0)])] {
        let mut shop = shop(2);
        receive_in_west(&mut shop, 5);
        shown(shop.reserve_in("r", &[("main", 2), ("west", 1)]));
        moved(shop.count("c", counted));
        shown(shop.settle("r", Way::Move { to: "west".parse().expect("a warehouse") }));
        let parts = shop.reservation("r").lines.remove(0).allocations;
        let parts: Vec<_> = parts.iter().map(|part| (part.warehouse.as_str(), part.quantity, part.owed)).collect();
        assert_eq!(parts, expected);
    }
}

#[test]
fn what_has_left_the_shelf_falls_short_no_more() {
    let mut shop = preorders(2, 9);
    shop.policy.ship_on_commit = true;
    shown(shop.reserve_in("waits", &[("main", 1), ("west", 1)]));
    shown(shop.reserve_in("gone", &[("main", 1)]));
    for reservation in ["waits", "gone"] {
        shown(shop.commit(reservation, None));
    }
    moved(shop.count("c", 0));
    assert_eq!((shop.owed("waits"), shop.owed("gone")), ((2, 1), (0, 0)));
}

#[test]
fn a_promise_that_fell_short_is_given_up_whether_it_is_firm_or_not() {
    let mut shop = with_a_shortfall(0);
    shown(shop.settle("r", Way::Release));
    assert_eq!((shop.status("r"), shop.level()), (Status::Released, (2, 0, 0, 0)));
    let [_, Event::StockReleased(released)] = &shop.said[..] else { panic!("{:?}", shop.said) };
    let part = &released.lines[0].allocations[0];
    assert_eq!((part.owed, part.missing), (1, 0), "somebody has decided");
    let mut shop = with_a_shortfall(0);
    shown(shop.commit("r", None));
    shown(shop.settle("r", Way::Release));
    assert_eq!((shop.status("r"), shop.level()), (Status::Returned, (2, 0, 0, 0)));
    assert_eq!(shop.settle("r", Way::Release), Err(Rejection::NotOwed));
}

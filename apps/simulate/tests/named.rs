//! Cases that other platforms got wrong, each by its name.

use std::time::Duration;

use axum::http::Method;
use db::{Crash, Plan};
use orders::OnLoss;
use payments::provider::Key;
use serde_json::{Value, json};
use simulate::{Ended, Script, Settings};

const VISA: &str = "pm_card_visa";

/// Only what clients have asked for.
const REQUESTS_ONLY: Plan = Plan { requests: 256, from_inlets: 0, crash: None };
/// Only what other services have said, and what is due.
const EVENTS_ONLY: Plan = Plan { requests: 0, from_inlets: 128, crash: None };

/// Lets everything come to its end, and holds it to the auditors.
async fn ends_clean(script: &mut Script) -> Ended {
    assert!(script.go_on(async |_| ()).await, "a story does not end");
    let ended = script.end().await;
    assert_eq!(ended.findings, []);
    ended
}

fn statuses(script: &Script, asked: simulate::Asked) -> Vec<u16> {
    script.answers(asked).into_iter().map(|(status, _)| status).collect()
}

#[test]
fn a_release_that_comes_before_its_reserve_is_remembered() {
    Script::play(&Settings::default(), &[], async |script| {
        script.deliver("a", 5).await;
        let release = script.ask("inventory", Method::POST, "/v1/reservations/r-1/release", json!({}), 1);
        script.run().await;
        let body = json!({"lines": [{"sku": "a", "quantity": 2}], "hold_secs": 600});
        let reserve = script.ask("inventory", Method::PUT, "/v1/reservations/r-1", body, 3);
        script.run().await;
        assert_eq!(statuses(script, release), [200]);
        assert_eq!(statuses(script, reserve), [409, 409, 409]);
        assert_eq!(script.stock("a").await["available"], 5);
        ends_clean(script).await;
    });
}

#[test]
fn an_order_that_was_given_up_before_inventory_heard_of_it_holds_nothing() {
    Script::play(&Settings::default(), &[], async |script| {
        script.deliver("a", 5).await;
        script.withhold("orders", "inventory");
        script.place("o-1", &[("a", 2)], VISA, 1);
        script.until("orders", "OrderPlaced").await;
        script.cancel("o-1", 1);
        script.until("orders", "StockReleaseDue").await;
        script.hand_over("orders", "inventory");
        assert_eq!(ends_clean(script).await.order("o-1"), "cancelled: requested");
        assert_eq!(script.stock("a").await["available"], 5);
    });
}

#[test]
fn repeated_lines_of_one_sku_count_together() {
    Script::play(&Settings::default(), &[], async |script| {
        script.deliver("a", 5).await;
        script.place("enough", &[("a", 2), ("a", 1)], VISA, 1);
        script.run().await;
        script.place("too-much", &[("a", 1), ("a", 1), ("a", 1)], VISA, 1);
        let ended = ends_clean(script).await;
        assert_eq!(ended.order("enough"), "confirmed");
        assert_eq!(ended.order("too-much"), "cancelled: out_of_stock");
        assert_eq!(script.stock("a").await["on_hand"], 2);
    });
}

#[test]
fn a_deadline_that_passes_while_the_authorization_waits_in_the_feed_gives_the_money_back() {
    let mut settings = Settings::default();
    (settings.orders.hold_secs, settings.orders.pay_margin_secs, settings.orders.patience_secs) = (60, 10, 5);
    Script::play(&settings, &[], async |script| {
        script.deliver("a", 5).await;
        script.withhold("payments", "orders");
        script.place("o-1", &[("a", 2)], VISA, 1);
        script.until("payments", "PaymentAuthorized").await;
        script.pass(Duration::from_secs(56)).await;
        script.turn("orders", &Plan::ALL).await;
        assert_eq!(script.times_said("orders", "OrderStepOverdue").await, 1);
        assert_eq!(script.order("o-1").await["step"], "voiding", "payments is asked, and nothing decided");
        script.hand_over("payments", "orders");
        assert_eq!(ends_clean(script).await.order("o-1"), "cancelled: payment_timed_out");
        assert_eq!(script.money_kept(), 0);
    });
}

#[test]
fn a_deadline_that_passes_in_the_turn_in_which_the_authorization_is_heard_decides_nothing() {
    let mut settings = Settings::default();
    (settings.orders.hold_secs, settings.orders.pay_margin_secs, settings.orders.patience_secs) = (60, 10, 5);
    Script::play(&settings, &[], async |script| {
        script.deliver("a", 5).await;
        script.withhold("payments", "orders");
        script.place("o-1", &[("a", 2)], VISA, 1);
        script.until("payments", "PaymentAuthorized").await;
        script.pass(Duration::from_secs(56)).await;
        script.hand_over("payments", "orders");
        script.turn("orders", &Plan::ALL).await;
        let said: Vec<_> = script.said("orders").await.iter().map(|event| event.kind.to_string()).collect();
        assert_eq!(said[2..], ["StockCommitDue"], "it is heard first, and then nothing is overdue");
        assert_eq!(ends_clean(script).await.order("o-1"), "confirmed");
    });
}

#[test]
fn whoever_comes_back_while_the_provider_works_has_nothing_undone() {
    Script::play(&Settings::default(), &[], async |script| {
        script.deliver("a", 5).await;
        script.place("o-1", &[("a", 2)], "pm_test_slow", 1);
        script.until("payments", "AuthorizationStarted").await;
        let payment = script.order("o-1").await["payment"]["id"].as_str().expect("its name").to_owned();
        let key = Key::new(&payment, 1);
        for _ in 0..5 {
            script.browser_returns(&key, 1);
            script.webhook(&key, 1);
            script.run().await;
        }
        assert_eq!(ends_clean(script).await.order("o-1"), "confirmed");
        assert_eq!(script.times_said("payments", "AuthorizationStarted").await, 1);
    });
}

#[test]
fn a_step_is_overdue_when_its_own_time_has_passed_and_not_that_of_one_before_it() {
    let mut settings = Settings::default();
    settings.orders.patience_secs = 5;
    Script::play(&settings, &[], async |script| {
        script.deliver("a", 5).await;
        script.withhold("orders", "payments");
        script.place("o-1", &[("a", 2)], VISA, 1);
        script.until("orders", "PaymentDue").await;
        script.pass(Duration::from_secs(3)).await;
        script.hand_over("orders", "payments");
        script.withhold("inventory", "orders");
        script.until("orders", "StockCommitDue").await;
        // A look is planned five seconds after the order was placed; two more of them are left now.
        script.pass(Duration::from_secs(3)).await;
        script.turn("orders", &Plan::ALL).await;
        assert_eq!(script.times_said("orders", "OrderStepOverdue").await, 0);
        script.pass(Duration::from_secs(3)).await;
        script.turn("orders", &Plan::ALL).await;
        assert_eq!(script.times_said("orders", "OrderStepOverdue").await, 1);
        script.hand_over("inventory", "orders");
        assert_eq!(ends_clean(script).await.order("o-1"), "confirmed");
    });
}

/// Who tells first that the customer is through at the bank.
#[derive(Clone, Copy, Debug)]
enum First {
    Browser,
    Webhook,
    AtOnce,
}

#[test]
fn browser_and_webhook_complete_a_payment_once_whoever_comes_first() {
    for first in [First::Browser, First::Webhook, First::AtOnce] {
        for times in 1..=3 {
            Script::play(&Settings::default(), &[], async |script| {
                script.deliver("a", 5).await;
                script.place("o-1", &[("a", 2)], "pm_card_authenticationRequired", 1);
                script.until("payments", "PaymentActionRequired").await;
                let key = script.at_the_bank().remove(0);
                script.challenge(&key, true);
                match first {
                    First::Browser => {
                        script.browser_returns(&key, times);
                        script.run().await;
                        script.webhook(&key, times);
                    }
                    First::Webhook => {
                        script.webhook(&key, times);
                        script.run().await;
                        script.browser_returns(&key, times);
                    }
                    First::AtOnce => {
                        script.browser_returns(&key, times);
                        script.webhook(&key, times);
                    }
                }
                assert_eq!(ends_clean(script).await.order("o-1"), "confirmed", "{first:?}, {times} times");
                assert_eq!(script.times_said("payments", "PaymentAuthorized").await, 1);
                assert_eq!(script.times_said("payments", "PaymentCaptured").await, 1);
                assert_eq!(script.money_kept(), 500);
            });
        }
    }
}

#[test]
fn a_webhook_that_comes_before_the_customer_is_through_is_not_believed() {
    Script::play(&Settings::default(), &[], async |script| {
        script.deliver("a", 5).await;
        script.place("o-1", &[("a", 2)], "pm_card_authenticationRequired", 1);
        script.until("payments", "PaymentActionRequired").await;
        let key = script.at_the_bank().remove(0);
        script.webhook(&key, 2);
        script.run().await;
        assert_eq!(script.times_said("payments", "PaymentAuthorized").await, 0);
        script.challenge(&key, false);
        script.webhook(&key, 1);
        assert_eq!(ends_clean(script).await.order("o-1"), "cancelled: payment_declined");
    });
}

#[test]
fn every_request_sent_several_times_at_once_is_done_once() {
    for times in 1..=5 {
        for doubled in [[].as_slice(), ["orders", "inventory"].as_slice()] {
            Script::play(&Settings::default(), doubled, async |script| {
                let body = json!({"type": "receive", "sku": "a", "warehouse": "main", "quantity": 7});
                let delivery = script.ask("inventory", Method::PUT, "/v1/stock-movements/m-1", body, times);
                let body = json!({"lines": [{"sku": "a", "quantity": 1}], "hold_secs": 600});
                script.run().await;
                let hold = script.ask("inventory", Method::PUT, "/v1/reservations/r-1", body, times);
                let kept = script.place("kept", &[("a", 2)], VISA, times);
                script.place("left", &[("a", 2)], VISA, times);
                script.until("orders", "PaymentDue").await;
                let cancelled = script.cancel("left", times);
                for act in ["commit", "ship", "release"] {
                    script.run().await;
                    script.ask("inventory", Method::POST, &format!("/v1/reservations/r-1/{act}"), json!({}), times);
                }
                let ended = ends_clean(script).await;
                assert_eq!(
                    (ended.order("kept").as_str(), ended.order("left").as_str()),
                    ("confirmed", "cancelled: requested")
                );
                let stock = script.stock("a").await;
                assert_eq!((&stock["on_hand"], &stock["available"]), (&json!(4), &json!(4)));
                assert_eq!(script.money_kept(), 500);
                for asked in [delivery, hold, kept, cancelled] {
                    let answers = statuses(script, asked);
                    assert_eq!(answers.len(), times);
                    assert!(answers.iter().all(|status| *status < 300), "{answers:?}");
                    assert!(answers.iter().filter(|status| **status == 201).count() <= 1, "made once: {answers:?}");
                }
            });
        }
    }
}

#[test]
fn a_story_whose_every_event_comes_late_and_twice_is_the_same_story() {
    let methods = [
        (VISA, "confirmed"),
        ("pm_test_timeout_before", "confirmed"),
        ("pm_test_timeout_after_charge", "confirmed"),
        ("pm_card_chargeDeclined", "cancelled: payment_declined"),
        ("pm_test_capture_refused", "attention: stock_but_no_money"),
    ];
    Script::play(&Settings::default(), &[], async |script| {
        script.deliver("a", 10).await;
        script.double_every_event();
        for (method, _) in methods {
            script.place(&format!("with-{method}"), &[("a", 1)], method, 1);
        }
        script.place("too-many", &[("a", 11)], VISA, 1);
        let ended = ends_clean(script).await;
        for (method, end) in methods {
            assert_eq!(ended.order(&format!("with-{method}")), end);
        }
        assert_eq!(ended.order("too-many"), "cancelled: out_of_stock");
        assert_eq!(script.times_said("payments", "PaymentCaptured").await, 3);
        assert_eq!(script.money_kept(), 3 * 250);
    });
}

#[test]
fn two_processes_of_each_service_do_everything_once() {
    Script::play(&Settings::default(), &["inventory", "orders", "payments"], async |script| {
        script.deliver("a", 6).await;
        for number in 0..10 {
            script.place(&format!("o-{number}"), &[("a", 1)], VISA, 3);
        }
        let ended = ends_clean(script).await;
        assert_eq!((ended.count("confirmed"), ended.count("cancelled")), (6, 4));
        assert_eq!(script.times_said("payments", "PaymentCaptured").await, 6);
        assert_eq!(script.money_kept(), 6 * 250);
    });
}

/// What is said in a checkout where nothing goes wrong, in its order.
const STEPS: [(&str, &str); 10] = [
    ("orders", "OrderPlaced"),
    ("inventory", "StockReserved"),
    ("orders", "PaymentDue"),
    ("payments", "AuthorizationStarted"),
    ("payments", "PaymentAuthorized"),
    ("orders", "StockCommitDue"),
    ("inventory", "StockCommitted"),
    ("orders", "CaptureDue"),
    ("payments", "CaptureStarted"),
    ("payments", "PaymentCaptured"),
];

#[test]
fn a_cancellation_that_races_a_step_undoes_it_or_comes_too_late() {
    let mut ends = Vec::new();
    for (service, said) in STEPS {
        for first in [REQUESTS_ONLY, EVENTS_ONLY, Plan::ALL] {
            let (end, status, kept) = Script::play(&Settings::default(), &[], async |script| {
                script.deliver("a", 5).await;
                script.place("o-1", &[("a", 2)], VISA, 1);
                script.until(service, said).await;
                let cancelled = script.cancel("o-1", 2);
                script.turn("orders", &first).await;
                let ended = ends_clean(script).await;
                (ended.order("o-1"), statuses(script, cancelled)[0], script.money_kept())
            });
            let expected = if end == "confirmed" { (409, 500) } else { (status, 0) };
            assert_eq!((status, kept), expected, "{said}, {first:?}: {end}");
            assert!(["confirmed", "cancelled: requested"].contains(&end.as_str()), "{said}, {first:?}: {end}");
            ends.push(end);
        }
    }
    let confirmed = ends.iter().filter(|end| *end == "confirmed").count();
    assert_eq!(confirmed, 1, "only where orders hears of the captured money first: {ends:?}");
}

#[test]
fn of_one_sku_exactly_as_many_orders_are_confirmed_as_there_are_pieces() {
    for (stock, shoppers) in [(0, 5), (1, 20), (7, 20), (20, 20), (30, 20)] {
        for doubled in [[].as_slice(), ["inventory"].as_slice()] {
            Script::play(&Settings::default(), doubled, async |script| {
                if stock > 0 {
                    script.deliver("hot", stock).await;
                }
                for shopper in 0..shoppers {
                    script.place(&format!("o-{shopper}"), &[("hot", 1)], VISA, 2);
                }
                let ended = ends_clean(script).await;
                let sold = stock.min(shoppers);
                assert_eq!(ended.count("confirmed"), usize::try_from(sold).unwrap());
                assert_eq!(script.money_kept(), sold * 250);
            });
        }
    }
}

#[test]
fn a_commit_that_was_refused_stays_refused_although_stock_has_come_in_since() {
    let mut settings = Settings::default();
    (settings.orders.hold_secs, settings.orders.patience_secs) = (120, 5);
    settings.orders.on_lost_stock = OnLoss::Attention;
    Script::play(&settings, &[], async |script| {
        script.deliver("a", 5).await;
        script.place("o-1", &[("a", 2)], VISA, 1);
        script.until("orders", "PaymentDue").await;
        script.withhold("orders", "inventory");
        script.until("orders", "StockCommitDue").await;
        script.pass(Duration::from_secs(180)).await;
        script.until("inventory", "StockReservationExpired").await;
        let body = json!({"lines": [{"sku": "a", "quantity": 4}], "hold_secs": 600});
        script.ask("inventory", Method::PUT, "/v1/reservations/rival", body, 1);
        script.turn("inventory", &Plan::ALL).await;
        script.withhold("inventory", "orders");
        script.hand_over("orders", "inventory");
        script.until("inventory", "StockCommitRejected").await;
        script.ask("inventory", Method::POST, "/v1/reservations/rival/release", json!({}), 1);
        script.run().await;
        // Orders has not heard yet, and asks again.
        script.until("orders", "StockCommitDue").await;
        script.run().await;
        script.hand_over("inventory", "orders");
        assert_eq!(ends_clean(script).await.order("o-1"), "attention: paid_but_no_stock");
        assert_eq!(script.times_said("inventory", "StockCommitted").await, 0);
        assert_eq!(script.stock("a").await["available"], 5);
    });
}

#[test]
fn a_confirmed_order_whose_stock_others_give_up_gets_its_money_back_or_a_person_is_told() {
    for (on_lost_stock, is_refunded, end) in [
        (OnLoss::Cancel, false, "cancelled: out_of_stock"),
        (OnLoss::Cancel, true, "cancelled: out_of_stock"),
        (OnLoss::Attention, false, "attention: paid_but_no_stock"),
    ] {
        let mut settings = Settings::default();
        settings.inventory.ship_on_commit = false;
        settings.orders.on_lost_stock = on_lost_stock;
        Script::play(&settings, &[], async |script| {
            script.deliver("a", 5).await;
            script.place("o-1", &[("a", 2)], VISA, 1);
            script.until("orders", "OrderConfirmed").await;
            if is_refunded {
                let payment = script.order("o-1").await["payment"]["id"].as_str().expect("a payment").to_owned();
                let path = format!("/v1/payments/{payment}/refund");
                script.ask("payments", Method::POST, &path, json!({}), 1);
                script.until("payments", "PaymentRefunded").await;
            }
            let body = json!({"type": "count", "sku": "a", "warehouse": "main", "counted": 1});
            script.ask_of_the_stockroom(Method::PUT, "/v1/stock-movements/m-1", body);
            script.run().await;
            let short = script.ask_of_the_stockroom(Method::GET, "/v1/shortfalls", Value::Null);
            script.run().await;
            let short = &script.answers(short)[0].1["items"][0];
            let mut body = json!({"how": "release", "reason": "they cannot be found"});
            for name in ["reservation", "owner", "sku", "warehouse"] {
                body[name] = short[name].clone();
            }
            script.ask_of_the_stockroom(Method::POST, "/v1/shortfalls/resolve", body);
            assert_eq!(ends_clean(script).await.order("o-1"), end);
            assert_eq!(script.stock("a").await["available"], 1);
        });
    }
}

#[test]
fn a_cancellation_under_a_key_is_told_the_same_by_two_processes_wherever_one_dies() {
    for crash in [None, Some(Crash::BeforeCommit), Some(Crash::AfterCommit), Some(Crash::AfterAnswer)] {
        Script::play(&Settings::default(), &["orders"], async |script| {
            script.deliver("a", 5).await;
            script.withhold("inventory", "orders");
            script.place("o-1", &[("a", 2)], VISA, 1);
            script.run().await;
            let cancel = script.cancel_under("k-1", "o-1", 5);
            script.turn("orders", &Plan { crash, ..Plan::ALL }).await;
            script.run().await;
            script.hand_over("inventory", "orders");
            assert_eq!(ends_clean(script).await.order("o-1"), "cancelled: requested");
            script.ask_again(cancel, 5);
            let other = script.cancel_under("k-1", "o-2", 2);
            script.run().await;
            let told = script.answers(cancel);
            assert!(told.len() >= 5 && told.iter().all(|answer| *answer == told[0]), "{crash:?}: {told:?}");
            assert_eq!((told[0].0, &told[0].1["step"]), (202, &json!("releasing")), "{crash:?}: as it was then");
            assert_eq!(statuses(script, other), [422, 422], "{crash:?}");
            assert_eq!(script.times_said("orders", "OrderCancelRequested").await, 1, "{crash:?}");
            ends_clean(script).await;
        });
    }
}

//! Payments through its feed, its router and its provider.

mod shop;

use std::time::Duration;

use contracts::payments::Event;
use db::{Crash, Location, MemoryDisk};
use payments::domain::{Payment, Status};
use payments::provider::{Key, Provider, Standing, Totals};
use serde_json::{Value, json};

use crate::shop::Shop;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn taken() -> Totals {
    Totals { authorized: 1999, captured: 1999, ..Totals::default() }
}

#[tokio::test(start_paused = true)]
async fn a_payment_is_authorized_and_captured() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_card_visa", MINUTE).await;
    shop.settle().await;
    assert_eq!(shop.get("/v1/payments/pay").await.1["status"], "authorized");
    shop.capture_due("pay").await;
    shop.settle().await;
    let (status, document) = shop.get("/v1/payments/pay").await;
    assert_eq!((status, &document["status"]), (200, &json!("captured")));
    assert_eq!(document["amount"], json!({"amount": 1999, "currency": "GBP"}));
    assert_eq!(document["attempts"][0]["status"], "captured");
    let said = ["PaymentRequested", "AuthorizationStarted", "PaymentAuthorized", "CaptureStarted", "PaymentCaptured"];
    assert_eq!(shop.said("pay").await, said);
    assert_eq!(shop.provider.book().totals()["GBP"], taken());
}

#[tokio::test(start_paused = true)]
async fn each_method_ends_as_its_name_says() {
    for (method, status, reason, tries) in [
        ("pm_card_visa", "authorized", Value::Null, 1),
        ("pm_card_chargeDeclined", "declined", json!("generic_decline"), 1),
        ("pm_card_chargeDeclinedInsufficientFunds", "declined", json!("insufficient_funds"), 1),
        ("pm_test_timeout_before", "authorized", Value::Null, 2),
        ("pm_test_timeout_after_charge", "authorized", Value::Null, 1),
        ("pm_test_slow", "authorized", Value::Null, 1),
        ("pm_test_unavailable", "declined", json!("provider_unavailable"), 4),
        ("something else", "declined", json!("unknown_method"), 1),
    ] {
        let mut shop = Shop::simulated();
        shop.payment_due("pay", method, MINUTE).await;
        shop.pass(10 * SECOND).await;
        let (_, document) = shop.get("/v1/payments/pay").await;
        assert_eq!((&document["status"], &document["reason"]), (&json!(status), &reason), "{method}");
        assert_eq!(document["attempts"].as_array().map(Vec::len), Some(tries), "{method}");
        let held: i64 = shop.provider.book().charges(None).map(payments::provider::Charge::held).sum();
        assert_eq!(held, if status == "authorized" { 1999 } else { 0 }, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_capture_that_is_refused_for_good_is_said_and_can_be_voided() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_test_capture_refused", MINUTE).await;
    shop.settle().await;
    shop.capture_due("pay").await;
    let document = shop.until("pay", "capture_failed").await;
    assert_eq!(document["reason"], "capture_refused");
    shop.void_due("pay").await;
    shop.until("pay", "voided").await;
    assert_eq!(shop.provider.book().inquire(&Key::new("pay", 1)), Standing::Voided);
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_passes_the_bank_s_page_has_paid_whoever_tells_of_it_first() {
    for told_by in ["the webhook", "the browser", "nobody"] {
        let mut shop = Shop::simulated();
        shop.payment_due("pay", "pm_card_authenticationRequired", MINUTE).await;
        shop.settle().await;
        let (_, document) = shop.get("/v1/payments/pay").await;
        assert_eq!(document["status"], "action_required", "{told_by}");
        let action = json!({"type": "redirect", "url": "/v1/test-provider/challenges/pay.1"});
        assert_eq!(document["next_action"], action, "{told_by}");
        if told_by != "the webhook" {
            drop(shop.provider.listen()); // it goes to somebody else, and is lost
        }
        let url = action["url"].as_str().expect("a URL");
        assert_eq!(shop.post(url, &json!({"result": "succeed"})).await.0, 200, "{told_by}");
        match told_by {
            "the webhook" => shop.settle().await,
            "the browser" => {
                assert_eq!(shop.post("/v1/payments/pay/return", &Value::Null).await.0, 200);
                shop.settle().await;
            }
            _ => shop.pass(10 * SECOND).await,
        }
        let (_, document) = shop.get("/v1/payments/pay").await;
        assert_eq!((&document["status"], &document["next_action"]), (&json!("authorized"), &Value::Null), "{told_by}");
        let said = shop.said("pay").await;
        assert_eq!(said.iter().filter(|kind| *kind == "PaymentAuthorized").count(), 1, "{told_by}");
        let events = shop.events().await;
        assert!(events.iter().all(|event| event.by.trace.trace_id == 7), "one trace: {told_by}, {events:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_payment_later_is_answered_in_the_trace_of_whoever_asked() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_card_visa", MINUTE).await;
    shop.settle().await;
    shop.capture_due("pay").await;
    shop.until("pay", "captured").await;
    assert_eq!(shop.post("/v1/payments/pay/refund", &Value::Null).await.0, 200);
    shop.until("pay", "refunded").await;
    let events = shop.events().await;
    let trace_of = |kind| events.iter().find(|event| &*event.kind == kind).map(|event| event.by.trace.trace_id);
    assert_eq!(trace_of("PaymentCaptured"), Some(7));
    assert_eq!(trace_of("PaymentRefunded"), trace_of("RefundStarted"));
    assert_ne!(trace_of("PaymentRefunded"), Some(7), "the refund was another request");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_refund_is_told_when_it_is_done() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_card_visa", MINUTE).await;
    shop.settle().await;
    assert_eq!(shop.post_and_wait("/v1/payments/pay/refund").await.1["code"], "not-captured");
    shop.capture_due("pay").await;
    shop.until("pay", "captured").await;
    let (status, refunded) = shop.post_and_wait("/v1/payments/pay/refund").await;
    assert_eq!((status, &refunded["status"]), (200, &json!("refunded")));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_a_hint_and_never_believed() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_card_authenticationRequired", MINUTE).await;
    shop.settle().await;
    let lie = json!({"id": "whk_1", "key": "pay.1", "type": "authorization.succeeded"});
    assert_eq!(shop.post("/v1/payments/webhooks/test", &lie).await.0, 204);
    shop.settle().await;
    assert_eq!(shop.get("/v1/payments/pay").await.1["status"], "action_required");
    let stray = json!({"id": "whk_2", "key": "nobody.1", "type": "authorization.succeeded"});
    assert_eq!(shop.post("/v1/payments/webhooks/test", &stray).await.0, 204, "no stranger learns who pays");
    let unreadable = json!({"id": "whk_3", "key": "pay", "type": "authorization.succeeded"});
    assert_eq!(shop.post("/v1/payments/webhooks/test", &unreadable).await.0, 422);
}

#[tokio::test(start_paused = true)]
async fn a_look_while_the_provider_works_neither_undoes_nor_repeats_what_it_was_asked() {
    for told_by in ["the browser", "the webhook"] {
        let mut shop = Shop::simulated();
        shop.payment_due("pay", "pm_test_slow", MINUTE).await;
        for _ in 0..5 {
            shop.pass(SECOND / 4).await; // the provider has booked nothing yet
            look(&mut shop, told_by, 1).await;
        }
        shop.until("pay", "authorized").await;
        shop.capture_due("pay").await;
        shop.until("pay", "captured").await;
        let said =
            ["PaymentRequested", "AuthorizationStarted", "PaymentAuthorized", "CaptureStarted", "PaymentCaptured"];
        assert_eq!(shop.said("pay").await, said, "{told_by}");
        assert_eq!(shop.provider.book().totals()["GBP"], taken(), "one hold, told by {told_by}");
        assert_eq!(shop.provider.book().charges(None).count(), 1, "told by {told_by}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_try_that_was_put_off_does_not_burn_it() {
    for told_by in ["the browser", "the webhook"] {
        let mut shop = Shop::simulated();
        shop.payment_due("pay", "pm_test_unavailable", MINUTE).await;
        shop.settle().await;
        for _ in 0..5 {
            look(&mut shop, told_by, 2).await;
        }
        let (_, document) = shop.get("/v1/payments/pay").await;
        assert_eq!((&document["status"], &document["attempts"][1]["status"]), (&json!("pending"), &json!("pending")));
        assert_eq!(shop.provider.book().charges(None).count(), 0, "no key was voided, told by {told_by}");
        shop.until("pay", "declined").await;
        assert_eq!(shop.get("/v1/payments/pay").await.1["attempts"].as_array().map(Vec::len), Some(4), "{told_by}");
    }
}

/// Somebody wants payments to look at a try, and it does.
async fn look(shop: &mut Shop, told_by: &str, number: i64) {
    let hint = json!({"id": "whk_1", "key": format!("pay.{number}"), "type": "authorization.succeeded"});
    let (path, body) = match told_by {
        "the webhook" => ("/v1/payments/webhooks/test", &hint),
        _ => ("/v1/payments/pay/return", &Value::Null),
    };
    assert!(matches!(shop.post(path, body).await.0, 200 | 204), "{told_by}");
    shop.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_never_comes_back_is_declined_once_nothing_is_held() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_card_authenticationRequired", 20 * SECOND).await;
    shop.pass(19 * SECOND).await;
    assert_eq!(shop.get("/v1/payments/pay").await.1["status"], "action_required");
    shop.pass(2 * SECOND).await;
    let (_, document) = shop.get("/v1/payments/pay").await;
    assert_eq!((&document["status"], &document["reason"]), (&json!("declined"), &json!("timed_out")));
    assert_eq!(shop.post("/v1/test-provider/challenges/pay.1", &json!({"result": "succeed"})).await.0, 200);
    shop.pass(5 * SECOND).await;
    assert_eq!(shop.provider.book().inquire(&Key::new("pay", 1)), Standing::Voided, "too late");
}

#[tokio::test(start_paused = true)]
async fn wherever_the_process_dies_there_is_one_charge_in_the_end() {
    for method in ["pm_card_visa", "pm_test_timeout_before", "pm_test_timeout_after_charge"] {
        for crash in [Crash::BeforeCommit, Crash::AfterCommit, Crash::AfterAnswer] {
            let mut shop = Shop::simulated();
            shop.payment_due("pay", method, MINUTE).await;
            shop.crash(crash).await;
            assert_eq!(shop.provider.book().charges(None).count(), 0, "called before the commit: {crash:?}");
            shop.until("pay", "authorized").await;
            shop.capture_due("pay").await;
            shop.crash(crash).await;
            shop.until("pay", "captured").await;
            assert_eq!(shop.provider.book().totals()["GBP"], taken(), "{method} {crash:?}");
            assert_eq!(shop.post("/v1/payments/pay/refund", &Value::Null).await.0, 200);
            shop.restart();
            shop.until("pay", "refunded").await;
            assert_eq!(shop.provider.book().totals()["GBP"].refunded, 1999, "{method} {crash:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_the_provider_works_asks_what_became_of_it() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_test_timeout_after_charge", MINUTE).await;
    shop.pass(SECOND / 2).await; // booked, and nothing heard yet
    shop.restart();
    shop.until("pay", "authorized").await;
    let said = ["PaymentRequested", "AuthorizationStarted", "PaymentOutcomeUnknown", "PaymentAuthorized"];
    assert_eq!(shop.said("pay").await, said);
    assert_eq!(shop.provider.book().charges(None).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn money_that_people_gave_back_before_its_capture_was_heard_of_answers_an_order_that_gives_up_later() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_card_visa", MINUTE).await;
    shop.settle().await;
    shop.capture_due("pay").await;
    shop.turn().await;
    shop.restart();
    let key = Key::new("pay", 1);
    assert_eq!(shop.provider.book().inquire(&key), Standing::Captured, "it is taken, and nobody has heard of it");
    assert_eq!(shop.provider.refund(key).await, Ok(Standing::Refunded), "by hand, on the provider's own page");
    shop.until("pay", "refunded").await;
    shop.void_due("pay").await;
    shop.settle().await;
    let mut attempts = Vec::new();
    for event in shop.events().await {
        if let Ok(Some(Event::PaymentRefunded(refunded))) = Event::read(&event.kind, &event.body) {
            attempts.push(refunded.attempt);
        }
    }
    assert_eq!(attempts, [0, 1], "first it was nobody's wish, then the order is answered");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_turn_is_not_taken_for_one_without_an_answer() {
    let config = payments::Config { calls_at_once: 1, provider_timeout_ms: 1_500, ..payments::Config::default() };
    let mut shop = Shop::simulated_with(config);
    // The first tries of these take a second each, so that the others wait for longer than an answer may take.
    for slow in ["slow-1", "slow-2", "slow-3", "slow-4"] {
        shop.payment_due(slow, "pm_test_timeout_before", 3 * MINUTE).await;
    }
    shop.payment_due("pay", "pm_card_visa", 3 * MINUTE).await;
    shop.payment_due("late", "pm_card_visa", 3 * MINUTE).await;
    shop.settle().await;
    assert!(shop.metrics().contains("banyan_provider_calls_waiting{} 5"), "{}", shop.metrics());
    // What is decided meanwhile takes the place of what waits.
    shop.void_due("late").await;
    shop.settle().await;
    assert!(shop.metrics().contains("banyan_provider_calls_waiting{} 5"), "{}", shop.metrics());
    shop.until("pay", "authorized").await;
    assert_eq!(shop.said("pay").await, ["PaymentRequested", "AuthorizationStarted", "PaymentAuthorized"]);
    shop.until("late", "voided").await;
    assert_eq!(shop.said("late").await, ["PaymentRequested", "AuthorizationStarted", "VoidStarted", "PaymentVoided"]);
    let book = shop.provider.book();
    let late = book.charges(None).find(|charge| charge.key.payment() == "late").expect("its key was voided");
    assert_eq!(late.amount, None, "it was never asked for");
    drop(book);
    shop.until("slow-4", "authorized").await;
    assert!(shop.metrics().contains("banyan_provider_calls_waiting{} 0"), "{}", shop.metrics());
}

#[tokio::test(start_paused = true)]
async fn a_void_lets_go_of_what_is_held_and_gives_back_what_was_taken() {
    let mut shop = Shop::simulated();
    for payment in ["held", "taken", "slow", "refused"] {
        let method = match payment {
            "slow" => "pm_test_slow",
            "refused" => "pm_card_chargeDeclined",
            _ => "pm_card_visa",
        };
        shop.payment_due(payment, method, MINUTE).await;
    }
    shop.settle().await;
    shop.capture_due("taken").await;
    shop.settle().await;
    for payment in ["held", "taken", "slow", "refused", "unknown"] {
        shop.void_due(payment).await;
    }
    shop.pass(5 * SECOND).await;
    for (payment, status) in
        [("held", "voided"), ("taken", "refunded"), ("slow", "voided"), ("refused", "voided"), ("unknown", "voided")]
    {
        assert_eq!(shop.get(&format!("/v1/payments/{payment}")).await.1["status"], status, "{payment}");
        let said = shop.said(payment).await;
        let last = if status == "voided" { "PaymentVoided" } else { "PaymentRefunded" };
        assert_eq!(said.last().map(String::as_str), Some(last), "{payment}");
    }
    let totals = shop.provider.book().totals()["GBP"];
    assert_eq!((totals.held, totals.captured - totals.refunded), (0, 0));
    // What comes after the end changes nothing.
    let before = shop.events().await.len();
    shop.payment_due("unknown", "pm_card_visa", MINUTE).await;
    for payment in ["held", "taken", "slow", "refused", "unknown"] {
        shop.void_due(payment).await;
    }
    shop.pass(5 * SECOND).await;
    assert_eq!(shop.events().await.len(), before);
    assert_eq!(shop.provider.book().totals()["GBP"], totals);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_captured_is_refunded_and_only_once() {
    let mut shop = Shop::simulated();
    let (status, problem) = shop.post("/v1/payments/pay/refund", &Value::Null).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown-payment")));
    shop.payment_due("pay", "pm_card_visa", MINUTE).await;
    shop.settle().await;
    let (status, problem) = shop.post("/v1/payments/pay/refund", &Value::Null).await;
    assert_eq!((status, &problem["code"]), (409, &json!("not-captured")));
    shop.capture_due("pay").await;
    shop.settle().await;
    for _ in 0..3 {
        assert_eq!(shop.post("/v1/payments/pay/refund", &Value::Null).await.0, 200);
        shop.settle().await;
    }
    assert_eq!(shop.get("/v1/payments/pay").await.1["status"], "refunded");
    assert_eq!(shop.provider.book().totals()["GBP"].refunded, 1999);
    assert_eq!(shop.said("pay").await.iter().filter(|kind| *kind == "PaymentRefunded").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refund_is_told_again_under_its_key_as_it_was_then() {
    let mut shop = Shop::simulated();
    let (status, problem) = shop.post_under_key("/v1/payments/pay/refund", "too-early").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown-payment")));
    shop.payment_due("pay", "pm_card_visa", MINUTE).await;
    shop.settle().await;
    shop.capture_due("pay").await;
    shop.settle().await;
    assert_eq!(shop.post_under_key("/v1/payments/pay/refund", "too-early").await, (status, problem));
    let first = shop.post_under_key("/v1/payments/pay/refund", "refund").await;
    assert_eq!((first.0, &first.1["status"]), (200, &json!("captured")), "it is under way");
    shop.until("pay", "refunded").await;
    assert_eq!(shop.post_under_key("/v1/payments/pay/refund", "refund").await, first);
    assert_eq!(shop.post("/v1/payments/pay/refund", &Value::Null).await.1["status"], "refunded");
    assert_eq!(shop.post_under_key("/v1/payments/pay/return", "refund").await.1["code"], "different-content");
    assert_eq!(shop.provider.book().totals()["GBP"].refunded, 1999);
}

#[tokio::test(start_paused = true)]
async fn the_provider_shows_its_book_page_by_page() {
    let mut shop = Shop::simulated();
    for payment in ["a", "b", "c"] {
        shop.payment_due(payment, "pm_card_visa", MINUTE).await;
    }
    shop.settle().await;
    let (status, first) = shop.get("/v1/test-provider/charges?limit=2").await;
    assert_eq!((status, first["items"].as_array().map(Vec::len)), (200, Some(2)));
    assert_eq!(first["items"][0]["key"], "a.1");
    assert_eq!(first["items"][0]["authorized"], 1999);
    let next = first["next"].as_str().expect("a cursor");
    let (_, last) = shop.get(&format!("/v1/test-provider/charges?limit=2&after={next}")).await;
    assert_eq!((&last["items"][0]["key"], &last["next"]), (&json!("c.1"), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_captured_yet_waits_and_what_stands_for_something_else_is_put_aside() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_test_slow", MINUTE).await;
    shop.capture_due("pay").await; // too early
    shop.until("pay", "captured").await;
    let mut other = shop.due("pay", "pm_card_visa", MINUTE);
    other.order = "another".parse().expect("a name");
    shop.say(other.into()).await;
    shop.settle().await;
    let dead = shop.database().read(|read| events::dead_letters(read, 10)).await.expect("dead letters");
    assert_eq!(dead.len(), 1);
    assert_eq!(shop.provider.book().totals()["GBP"], taken());
}

/// Whether a payment's events give what its row says.
async fn follows_from_its_events(shop: &Shop, name: &str) {
    let events = shop.events().await.into_iter().filter(|event| &*event.subject == name);
    let mut folded = None;
    let mut version = 0;
    for event in events {
        version += 1;
        assert_eq!(event.version, version, "{name}");
        let read = Event::read(&event.kind, &event.body).expect("readable").expect("known");
        folded = Payment::apply(folded, &read, event.occurred_at);
    }
    let sql = "SELECT state, version FROM payment WHERE name = $1";
    let query = db::Query::sql(sql, [format!("local/{name}").into()]);
    let rows = shop.database().read(|read| read.rows(query)).await.expect("rows");
    let mut row = rows.into_iter().next().expect("a row").columns();
    let kept = row.json::<Payment>().expect("a payment");
    assert_eq!((folded, version), (Some(kept), row.int().expect("a version")), "{name}");
}

#[tokio::test]
async fn on_every_database_a_story_goes_well_and_the_row_follows_from_the_events() {
    let folder = tempfile::tempdir().expect("a folder");
    for location in [
        Location::Memory(MemoryDisk::empty()),
        Location::File(folder.path().join("payments.db")),
        Location::Postgres(testkit::Postgres::shared().database()),
    ] {
        let place = format!("{location:?}");
        let mut shop = Shop::on(location);
        for payment in ["paid", "lost", "gone", "refused"] {
            let method = match payment {
                "lost" => "pm_test_timeout_before",
                "refused" => "pm_card_chargeDeclined",
                _ => "pm_card_visa",
            };
            shop.payment_due(payment, method, MINUTE).await;
        }
        for payment in ["paid", "lost", "gone"] {
            shop.until(payment, "authorized").await;
        }
        shop.until("refused", "declined").await;
        shop.capture_due("paid").await;
        shop.void_due("gone").await;
        shop.void_due("never").await;
        shop.until("paid", "captured").await;
        shop.until("gone", "voided").await;
        shop.until("never", Status::Voided.as_str()).await;
        for payment in ["paid", "lost", "gone", "refused", "never"] {
            follows_from_its_events(&shop, payment).await;
        }
        let totals = shop.provider.book().totals()["GBP"];
        assert_eq!((totals.captured, totals.held, totals.voided), (1999, 1999, 1999), "{place}");
    }
}

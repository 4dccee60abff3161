//! How messages get to where they are wanted, and what happens where they do not.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::shop::{HOUR, How, Received, Receiver, Shop, here, subjects};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_sent_signed_to_whoever_wants_it_and_to_nobody_else_on_each_database() {
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        let (all, some) = (Receiver::start().await, Receiver::start().await);
        shop.say("OrderPlaced", "before").await;
        sleep(Duration::from_millis(50)).await;
        shop.world.advance(2 * HOUR);
        let secret = shop.register("all", &all.url, json!({})).await;
        assert!(secret.starts_with("whsec_"), "{secret}");
        shop.register("some", &some.url, json!({"types": ["OrderConfirmed"], "subjects": ["web-*"]})).await;
        shop.say("OrderPlaced", "web-1").await;
        shop.say("OrderConfirmed", "web-1").await;
        shop.say("OrderConfirmed", "till-1").await;
        let received = all.until(3).await;
        let mut kinds: Vec<_> = received.iter().map(|one| one.document()["type"].to_string()).collect();
        kinds.sort();
        assert_eq!(kinds, ["\"OrderConfirmed\"", "\"OrderConfirmed\"", "\"OrderPlaced\""]);
        let some = some.until(1).await;
        assert_eq!(subjects(&some), ["web-1"]);
        assert_eq!(some[0].document()["data"], json!({"order": "web-1"}));
        let twin = all.received().into_iter().find(|one| one.id() == some[0].id()).expect("the same event");
        assert_eq!(twin.body, some[0].body, "one event is one text, whoever gets it");
        let seconds: i64 = some[0].header("webhook-timestamp").parse().expect("seconds");
        assert_eq!(seconds, shop.world.now().micros() / 1_000_000);
        assert!(some[0].header("webhook-signature").starts_with("v1,"));
        assert_ne!(twin.header("webhook-signature"), some[0].header("webhook-signature"), "each has its own secret");
        let deliveries = shop.until("all", 3, "delivered").await;
        assert_eq!(deliveries[0]["attempts"][0]["status"], 204);
        let position = &deliveries[0]["position"];
        let (_, one) = shop.get(&format!("/v1/webhook-endpoints/all/deliveries/{position}")).await;
        assert_eq!(one["body"]["id"], one["webhook_id"]);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(all.received().len(), 3, "each once");
        let metrics = shop.metrics();
        assert!(metrics.contains("banyan_webhook_deliveries_total{outcome=\"delivered\"} 4"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_sent_again_under_the_same_id_when_the_schedule_says_so_on_each_database() {
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        let receiver = Receiver::with(|_| How::Answer(500)).await;
        shop.register("a", &receiver.url, json!({})).await;
        shop.say("OrderPlaced", "one").await;
        let first = receiver.until(1).await[0].clone();
        let failed = shop.until("a", 1, "retrying").await;
        assert_eq!(failed[0]["attempts"][0]["error"], "it answered with status 500; 2xx is expected");
        assert_eq!(shop.until_status("a", "failing").await["reason"], failed[0]["attempts"][0]["error"]);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(receiver.received().len(), 1, "it is not due yet");
        receiver.now(|_| How::Answer(200));
        shop.world.advance(Duration::from_secs(6));
        let again = receiver.until(2).await[1].clone();
        assert_eq!((again.id(), &again.body), (first.id(), &first.body));
        assert_ne!(again.header("webhook-timestamp"), first.header("webhook-timestamp"), "it is signed anew");
        let delivered = shop.until("a", 1, "delivered").await;
        assert_eq!(delivered[0]["attempts"].as_array().map(Vec::len), Some(2));
        assert_eq!(shop.until_status("a", "active").await["reason"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_endpoint_delays_no_other() {
    let mut shop = Shop::simulated();
    shop.restart_with(notifications::Config { timeout_ms: 60_000, ..here() });
    let slow = Receiver::with(|_| How::Late(Duration::from_secs(60), 200)).await;
    let quick = Receiver::start().await;
    for slow_one in 0..20 {
        shop.register(&format!("slow-{slow_one}"), &slow.url, json!({})).await;
    }
    shop.register("quick", &quick.url, json!({})).await;
    let names: Vec<_> = (0..100).map(|order| format!("order-{order}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let began = Instant::now();
    shop.say_all("OrderPlaced", &names).await;
    quick.until(100).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed_and_the_log_says_so() {
    let shop = Shop::simulated();
    let inside = Receiver::start().await;
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {}", inside.url);
    let receiver = Receiver::with(move |_| How::Head(head.clone())).await;
    shop.register("a", &receiver.url, json!({})).await;
    shop.say("OrderPlaced", "one").await;
    let deliveries = shop.until("a", 1, "retrying").await;
    let error = deliveries[0]["attempts"][0]["error"].as_str().expect("an error");
    assert!(error.contains("redirects are not followed"), "{error}");
    assert!(inside.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_answer_costs_nothing() {
    let shop = Shop::simulated();
    let receiver = Receiver::with(|_| How::Huge(64 * 1024 * 1024)).await;
    shop.register("a", &receiver.url, json!({})).await;
    shop.say("OrderPlaced", "one").await;
    let deliveries = shop.until("a", 1, "delivered").await;
    let answer = deliveries[0]["attempts"][0]["answer"].as_str().expect("a piece of it");
    assert_eq!(answer.len(), 1_024);
    sleep(Duration::from_millis(200)).await;
    let taken = receiver.taken.load(Ordering::Relaxed);
    assert!(taken < 16 * 1024 * 1024, "{taken} bytes were taken from the wire");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_closes_without_an_answer_gets_it_again_and_who_has_said_200_does_not() {
    let shop = Shop::simulated();
    let (closes, half) = (Receiver::with(|_| How::Close).await, Receiver::with(|_| How::CloseInBody).await);
    shop.register("closes", &closes.url, json!({})).await;
    shop.register("half", &half.url, json!({})).await;
    shop.say("OrderPlaced", "one").await;
    let deliveries = shop.until("closes", 1, "retrying").await;
    assert!(deliveries[0]["attempts"][0]["status"].is_null(), "{deliveries:#?}");
    assert_eq!(shop.until("half", 1, "delivered").await[0]["attempts"][0]["answer"], "half");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_in_time_gets_it_again() {
    let mut shop = Shop::simulated();
    shop.restart_with(notifications::Config { timeout_ms: 100, ..here() });
    let receiver = Receiver::with(|_| How::Late(Duration::from_secs(30), 200)).await;
    shop.register("a", &receiver.url, json!({})).await;
    shop.say("OrderPlaced", "one").await;
    let deliveries = shop.until("a", 1, "retrying").await;
    assert_eq!(deliveries[0]["attempts"][0]["error"], "it did not answer in time");
    assert!(deliveries[0]["attempts"][0]["duration_ms"].as_i64().is_some_and(|ms| (90..2_000).contains(&ms)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_order_counts_nothing_overtakes_a_message_about_the_same_and_others_go_on() {
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        let mut failed = 0;
        let receiver = Receiver::with(move |received| {
            if received.subject() == "a" && failed < 2 {
                failed += 1;
                return How::Answer(503);
            }
            How::Answer(200)
        })
        .await;
        shop.register("ordered", &receiver.url, json!({"ordered": true})).await;
        shop.say_all("OrderPlaced", &["a", "b", "a", "c", "a", "b"]).await;
        shop.say_all("OrderConfirmed", &["a", "c"]).await;
        shop.until("ordered", 4, "delivered").await;
        assert_eq!(subjects(&receiver.received()).iter().filter(|subject| *subject == "a").count(), 1);
        for _ in 0..40 {
            shop.pass(1, Duration::from_secs(30)).await;
            if shop.deliveries("ordered").await.iter().all(|delivery| delivery["status"] == "delivered") {
                break;
            }
        }
        shop.until("ordered", 8, "delivered").await;
        let mut orders: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for received in receiver.received() {
            let position = received.position();
            let of_subject = orders.entry(received.subject()).or_default();
            if of_subject.last() != Some(&position) {
                of_subject.push(position);
            }
        }
        assert_eq!(orders["a"], [1, 3, 5, 7], "a");
        assert_eq!((&orders["b"], &orders["c"]), (&vec![2, 6], &vec![4, 8]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_but_not_noted_is_sent_again_under_the_same_id_after_a_crash() {
    let mut shop = Shop::simulated();
    let late = |received: &Received| match received.subject().as_str() {
        "one" => How::Late(Duration::from_secs(30), 200),
        _ => How::Answer(200),
    };
    let receiver = Receiver::with(late).await;
    shop.register("a", &receiver.url, json!({})).await;
    shop.say_all("OrderPlaced", &["one", "two"]).await;
    receiver.until(2).await;
    shop.until("a", 1, "delivered").await;
    shop.restart(); // in the middle of the first, and after the second was noted
    receiver.now(|_| How::Answer(200));
    let requests = receiver.until(3).await;
    let ids_of = |subject| requests.iter().filter(|one| one.subject() == subject).map(Received::id).collect::<Vec<_>>();
    let ones = ids_of("one");
    assert_eq!((ones.len(), &ones[0], ids_of("two").len()), (2, &ones[1], 1));
    shop.restart();
    sleep(Duration::from_millis(150)).await;
    assert!(receiver.received().len() <= 4, "what was noted is not sent again");
    shop.until("a", 2, "delivered").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_delivers_again_after_another_sends_nothing_that_the_other_has_sent() {
    const LEASE: Duration = Duration::from_secs(16);
    let shop = Shop::on_postgres_with(notifications::Config { timeout_ms: 60_000, ..here() });
    let mut tries = 0;
    let receiver = Receiver::with(move |_| {
        tries += 1;
        // Answered when the first process delivers again.
        if tries == 1 { How::Late(Duration::from_secs(8), 200) } else { How::Answer(200) }
    })
    .await;
    shop.register("a", &receiver.url, json!({"ordered": true})).await;
    shop.say_all("OrderPlaced", &["x", "x", "x"]).await;
    receiver.until(1).await;
    shop.world.advance(LEASE);
    let other = shop.beside();
    other.until("a", 3, "delivered").await;
    drop(other);
    shop.world.advance(LEASE);
    sleep(Duration::from_secs(9)).await;
    shop.say("OrderPlaced", "x").await;
    let deliveries = shop.until("a", 4, "delivered").await;
    let positions: Vec<_> = receiver.received().iter().map(Received::position).collect();
    assert_eq!(positions, [1, 1, 2, 3, 4]);
    let tries: Vec<_> = deliveries.iter().map(|one| one["attempts"].as_array().map(Vec::len)).collect();
    assert_eq!(tries, [Some(1), Some(1), Some(1), Some(2)], "each has noted its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_kept_to() {
    let shop = Shop::simulated();
    let busy = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 120".to_owned();
    let receiver = Receiver::with(move |_| How::Head(busy.clone())).await;
    shop.register("a", &receiver.url, json!({})).await;
    shop.say("OrderPlaced", "one").await;
    shop.until("a", 1, "retrying").await;
    shop.say("OrderPlaced", "two").await;
    shop.pass(1, Duration::from_secs(110)).await;
    assert_eq!(receiver.received().len(), 1, "also another message leaves it alone");
    receiver.now(|_| How::Answer(200));
    shop.pass(1, Duration::from_secs(30)).await;
    shop.until("a", 2, "delivered").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_asked_for_a_day_is_woken_by_its_owner() {
    let shop = Shop::simulated();
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 86400".to_owned();
    let receiver = Receiver::with(move |_| How::Head(busy.clone())).await;
    shop.register("a", &receiver.url, json!({})).await;
    shop.say("OrderPlaced", "one").await;
    shop.until_status("a", "failing").await;
    receiver.now(|_| How::Answer(200));
    shop.say("OrderPlaced", "two").await;
    let (status, resumed) = shop.post("/v1/webhook-endpoints/a/resume", &Value::Null).await;
    assert_eq!((status, &resumed["status"]), (200, &json!("active")));
    assert_eq!(subjects(&receiver.until(2).await), ["one", "two"]);
    assert!(shop.events().await.is_empty(), "it was never paused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_is_forgotten_unless_somebody_has_still_to_get_it() {
    let shop = Shop::simulated();
    let (takes, fails) = (Receiver::start().await, Receiver::with(|_| How::Answer(500)).await);
    shop.register("takes", &takes.url, json!({"types": ["OrderPlaced"]})).await;
    shop.register("fails", &fails.url, json!({"types": ["OrderConfirmed"]})).await;
    shop.say("OrderPlaced", "one").await;
    shop.until("takes", 1, "delivered").await;
    shop.say("OrderConfirmed", "two").await;
    shop.until("fails", 1, "retrying").await;
    shop.say("OrderPlaced", "three").await;
    shop.until("takes", 2, "delivered").await;
    let kept = || async {
        let sql = "SELECT subject FROM message ORDER BY number";
        let rows = shop.database().read(move |read| read.rows(db::Query::sql(sql, []))).await.expect("rows");
        rows.into_iter().map(|row| row.columns().text().expect("a subject")).collect::<Vec<_>>()
    };
    // The cursor of whoever waits moves after a while in which nothing else is noted.
    for _ in 0..400 {
        shop.pass(1, HOUR).await;
        if kept().await == ["two", "three"] {
            break;
        }
    }
    assert_eq!(kept().await, ["two", "three"]);
}

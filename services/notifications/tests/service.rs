//! Notifications through its feed, its router and receivers on this machine.

mod shop;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::shop::{How, Received, Receiver, Shop, here};

const HOUR: Duration = Duration::from_secs(3_600);

/// The subjects in the order in which they came.
fn subjects(received: &[Received]) -> Vec<String> {
    received.iter().map(Received::subject).collect()
}

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
            let position = received.id().rsplit('-').next().expect("a position").parse().expect("a number");
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
async fn while_a_secret_is_changed_a_message_has_a_signature_of_each() {
    let shop = Shop::simulated();
    let receiver = Receiver::start().await;
    let first = shop.register("a", &receiver.url, json!({})).await;
    let (_, same) = shop.put("/v1/webhook-endpoints/a", &json!({"url": receiver.url})).await;
    assert!(same["secret"].is_null(), "it is shown once: {same}");
    assert!(shop.get("/v1/webhook-endpoints/a").await.1["secret"].is_null());
    let (status, rotated) = shop.post("/v1/webhook-endpoints/a/rotate-secret", &json!({"overlap_secs": 60})).await;
    assert_eq!(status, 200, "{rotated}");
    assert!(rotated["secret"].as_str().is_some_and(|second| second != first));
    shop.say("OrderPlaced", "one").await;
    let signatures = receiver.until(1).await[0].header("webhook-signature").to_owned();
    assert_eq!(signatures.split(' ').count(), 2, "{signatures}");
    shop.world.advance(Duration::from_secs(61));
    shop.say("OrderPlaced", "two").await;
    let signatures = receiver.until(2).await[1].header("webhook-signature").to_owned();
    assert_eq!(signatures.split(' ').count(), 1, "{signatures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_overwrites_nothing_that_its_caller_has_not_seen() {
    const A: &str = "/v1/webhook-endpoints/a";
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        let receiver = Receiver::with(|_| How::Answer(410)).await;
        let to = |subject: &str| json!({"url": receiver.url, "subjects": [subject]});
        let (status, _, refused) = shop.edit("PUT", A, "\"1\"", &to("one")).await;
        assert_eq!((status, &refused["code"]), (412, &json!("precondition-failed")), "nobody has seen it");
        assert_eq!(shop.edit("DELETE", A, "\"1\"", &Value::Null).await.0, 404);
        shop.register("a", &receiver.url, json!({})).await;
        let (_, first, _) = shop.edit("GET", A, "*", &Value::Null).await;

        // Two who saw the same: one of them is told to look again.
        let [to_one, to_two] = ["one", "two"].map(to);
        let put = |body| shop.edit("PUT", A, &first, body);
        let both = tokio::join!(put(&to_one), put(&to_two));
        let mut statuses = [both.0.0, both.1.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412]);
        let (status, second, _) = shop.edit("PUT", A, "*", &to("one")).await;
        assert_eq!(status, 200);

        let (status, third, rotated) = shop.edit("POST", &format!("{A}/rotate-secret"), &second, &json!({})).await;
        assert!(status == 200 && rotated["secret"].is_string() && third != second, "{rotated}");
        for (method, path) in [("POST", "/rotate-secret"), ("POST", "/resume"), ("DELETE", ""), ("PUT", "")] {
            let body = if method == "PUT" { to("three") } else { json!({}) };
            let (status, _, refused) = shop.edit(method, &format!("{A}{path}"), &second, &body).await;
            assert_eq!((status, &refused["code"]), (412, &json!("precondition-failed")), "{method} {path}");
        }

        shop.say("OrderPlaced", "one").await;
        shop.until_status("a", "gone").await;
        let (status, fourth, resumed) = shop.edit("POST", &format!("{A}/resume"), &third, &Value::Null).await;
        assert_eq!((status, &resumed["status"]), (200, &json!("active")), "how it gets on is no edit");
        let (status, as_it_is, _) = shop.edit("POST", &format!("{A}/resume"), &fourth, &Value::Null).await;
        assert!(status == 200 && as_it_is == fourth && fourth != third, "{fourth}");
        assert_eq!(shop.edit("DELETE", A, &fourth, &Value::Null).await.0, 204);
        assert_eq!(shop.get(A).await.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_for_days_is_paused_says_so_and_loses_nothing() {
    let mut shop = Shop::simulated();
    shop.restart_with(notifications::Config { keep_hours: 1_000, ..here() });
    let receiver = Receiver::with(|_| How::Answer(503)).await;
    shop.register("a", &receiver.url, json!({"ordered": true})).await;
    shop.say_all("OrderPlaced", &["one", "two", "three", "one"]).await;
    shop.until_status("a", "failing").await;
    shop.pass(90, HOUR).await;
    let paused = shop.until_status("a", "paused").await;
    assert!(paused["reason"].as_str().is_some_and(|reason| reason.contains("503")), "{paused}");
    let tries = receiver.received().len();
    assert!(tries < 60, "an endpoint that fails is asked ever more rarely: {tries}");
    shop.say("OrderPlaced", "four").await;
    shop.pass(5, HOUR).await;
    assert_eq!(receiver.received().len(), tries, "nothing is sent to one that is paused");
    let said: Vec<_> = shop.events().await.iter().map(|event| event.kind.to_string()).collect();
    assert_eq!(said, ["WebhookEndpointPaused"]);
    sleep(Duration::from_millis(1_100)).await;
    let metrics = shop.metrics();
    assert!(metrics.contains("banyan_webhook_paused_endpoints{} 1"), "{metrics}");
    let age = metrics.lines().find_map(|line| line.strip_prefix("banyan_webhook_oldest_undelivered_seconds{} "));
    assert!(age.is_some_and(|age| age.parse::<f64>().is_ok_and(|age| age > 90.0 * 3_600.0)), "{metrics}");
    receiver.now(|_| How::Answer(200));
    assert_eq!(shop.post("/v1/webhook-endpoints/a/resume", &Value::Null).await.0, 200);
    shop.pass(30, HOUR).await;
    shop.until("a", 5, "delivered").await;
    assert_eq!(receiver.received().len(), tries + 5, "each of them once");
    let said: Vec<_> = shop.events().await.iter().map(|event| event.kind.to_string()).collect();
    assert_eq!(said, ["WebhookEndpointPaused", "WebhookEndpointResumed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_says_that_it_is_gone_is_asked_no_more() {
    let shop = Shop::simulated();
    let receiver = Receiver::with(|_| How::Answer(410)).await;
    shop.register("a", &receiver.url, json!({})).await;
    shop.say("OrderPlaced", "one").await;
    shop.until_status("a", "gone").await;
    shop.say("OrderPlaced", "two").await;
    shop.pass(3, HOUR).await;
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(shop.post("/v1/webhook-endpoints/a/test", &Value::Null).await.0, 409);
    receiver.now(|_| How::Answer(200));
    assert_eq!(shop.post("/v1/webhook-endpoints/a/resume", &Value::Null).await.0, 200);
    shop.say("OrderPlaced", "three").await;
    assert_eq!(subjects(&receiver.until(2).await), ["one", "three"], "what came meanwhile was not kept for it");
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
async fn what_was_sent_is_sent_again_when_a_person_asks_for_one_or_for_a_stretch() {
    let shop = Shop::simulated();
    let receiver = Receiver::start().await;
    shop.register("a", &receiver.url, json!({})).await;
    let begin = shop.world.now();
    shop.say("OrderPlaced", "one").await;
    shop.until("a", 1, "delivered").await;
    shop.world.advance(HOUR);
    shop.say("OrderPlaced", "two").await;
    shop.until("a", 2, "delivered").await;
    let (status, one) = shop.post("/v1/webhook-endpoints/a/deliveries/1/redeliver", &Value::Null).await;
    assert_eq!((status, &one["webhook_id"]), (202, &json!(receiver.received()[0].id())));
    assert_eq!(subjects(&receiver.until(3).await), ["one", "two", "one"]);
    shop.until("a", 2, "delivered").await;
    let stretch = json!({"from": begin, "to": begin + Duration::from_secs(60)});
    let (status, sent) = shop.post("/v1/webhook-endpoints/a/redeliver", &stretch).await;
    assert_eq!((status, &sent), (202, &json!({"deliveries": 1, "next_position": null})));
    assert_eq!(receiver.until(4).await[3].subject(), "one");
    shop.until("a", 2, "delivered").await;
    let (_, sent) = shop.post("/v1/webhook-endpoints/a/redeliver", &json!({"from_position": 1})).await;
    assert_eq!(sent["deliveries"], 2);
    let requests = receiver.until(6).await;
    assert_eq!(requests.iter().filter(|one| one.subject() == "two").count(), 2);
    for (path, body, expected) in [
        ("/v1/webhook-endpoints/a/deliveries/7/redeliver", Value::Null, 404),
        ("/v1/webhook-endpoints/b/deliveries/1/redeliver", Value::Null, 404),
        ("/v1/webhook-endpoints/a/redeliver", json!({}), 422),
        ("/v1/webhook-endpoints/a/redeliver", json!({"from_position": "1"}), 422),
    ] {
        assert_eq!(shop.post(path, &body).await.0, expected, "{path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_yet_keeps_its_turn_when_a_person_asks_for_it() {
    let shop = Shop::simulated();
    let receiver = Receiver::with(|_| How::Answer(503)).await;
    shop.register("a", &receiver.url, json!({"ordered": true})).await;
    shop.say_all("OrderPlaced", &["one", "two", "three"]).await;
    // Now it rests, and what comes has no row.
    receiver.until(3).await;
    shop.until("a", 3, "retrying").await;
    shop.say("OrderPlaced", "four").await;
    shop.say("OrderConfirmed", "four").await;
    sleep(Duration::from_millis(100)).await;
    let (_, sent) = shop.post("/v1/webhook-endpoints/a/redeliver", &json!({"from_position": 5})).await;
    assert_eq!(sent["deliveries"], 0, "it is sent for the first time");
    receiver.now(|_| How::Answer(200));
    shop.pass(2, Duration::from_secs(6)).await;
    let deliveries = shop.until("a", 5, "delivered").await;
    assert_eq!(deliveries[0]["attempts"].as_array().map(Vec::len), Some(1));
    let of_four = receiver.received().into_iter().filter(|one| one.subject() == "four");
    let kinds: Vec<_> = of_four.map(|one| one.document()["type"].to_string()).collect();
    assert_eq!(kinds, ["\"OrderPlaced\"", "\"OrderConfirmed\""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_message_goes_to_its_endpoint_alone() {
    let shop = Shop::simulated();
    let (tried, other) = (Receiver::start().await, Receiver::start().await);
    shop.register("tried", &tried.url, json!({"types": ["Nothing"]})).await;
    shop.register("other", &other.url, json!({})).await;
    let (status, sent) = shop.post("/v1/webhook-endpoints/tried/test", &Value::Null).await;
    assert_eq!((status, &sent["type"]), (202, &json!("WebhookTest")), "{sent}");
    assert_eq!(tried.until(1).await[0].document()["type"], "WebhookTest");
    sleep(Duration::from_millis(100)).await;
    assert!(other.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_endpoint_leads_into_the_operator_s_own_network() {
    let mut shop = Shop::simulated();
    let receiver = Receiver::start().await;
    shop.register("here", &receiver.url, json!({})).await;
    shop.restart_with(notifications::Config { allow_private_targets: false, ..here() });
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost:8443/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://user:secret@example.com/",
        "https:///hooks",
        "ftp://example.com/",
        "hooks",
    ] {
        let (status, said) = shop.put("/v1/webhook-endpoints/b", &json!({"url": url})).await;
        assert_eq!((status, &said["errors"][0]["pointer"]), (422, &json!("/url")), "{url}: {said}");
        // Whoever may be asked where the operator allows it, and only of those it is said.
        let is_never = url.contains('@') || ["https:///hooks", "ftp://example.com/", "hooks"].contains(&url);
        let names_it =
            said["errors"][0]["detail"].as_str().is_some_and(|detail| detail.contains("allow_private_targets"));
        assert_eq!(names_it, !is_never, "{url}: {said}");
    }
    shop.say("OrderPlaced", "one").await;
    let deliveries = shop.until("here", 1, "retrying").await;
    assert!(deliveries[0]["attempts"][0]["error"].as_str().is_some_and(|error| error.contains("https://")));
    assert!(receiver.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_set_anew_disabled_listed_and_taken_back() {
    let shop = Shop::simulated();
    let receiver = Receiver::start().await;
    shop.register("a", &receiver.url, json!({})).await;
    shop.register("b", &receiver.url, json!({"types": ["OrderConfirmed"]})).await;
    let (status, page) = shop.get("/v1/webhook-endpoints?limit=1").await;
    assert_eq!((status, &page["items"][0]["id"]), (200, &json!("a")));
    let next = page["next"].as_str().expect("a next page");
    assert_eq!(shop.get(&format!("/v1/webhook-endpoints?after={next}")).await.1["items"][0]["id"], "b");
    let made_up = web::Cursor::new(&"a\0");
    assert_eq!(shop.get(&format!("/v1/webhook-endpoints?after={made_up}")).await.0, 400, "one that was not given");
    let off = json!({"url": receiver.url, "enabled": false});
    assert_eq!(shop.put("/v1/webhook-endpoints/a", &off).await.1["status"], "disabled");
    shop.say("OrderPlaced", "while it is off").await;
    shop.world.advance(HOUR);
    let on = json!({"url": receiver.url});
    assert_eq!(shop.put("/v1/webhook-endpoints/a", &on).await.1["status"], "active");
    shop.say("OrderPlaced", "on again").await;
    assert_eq!(subjects(&receiver.until(1).await), ["on again"]);
    assert_eq!(shop.ask("DELETE", "/v1/webhook-endpoints/a", &Value::Null).await.0, 204);
    assert_eq!(shop.ask("DELETE", "/v1/webhook-endpoints/a", &Value::Null).await.0, 404);
    assert_eq!(shop.get("/v1/webhook-endpoints/a").await.1["code"], "unknown-webhook-endpoint");
    shop.say("OrderPlaced", "gone").await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), 1);
    let unknown = json!({"url": receiver.url, "secret": "mine"});
    assert_eq!(shop.put("/v1/webhook-endpoints/c", &unknown).await.0, 422);
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

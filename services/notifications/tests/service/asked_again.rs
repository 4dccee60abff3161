//! What is sent because a person asks for it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::shop::{HOUR, How, Receiver, Shop, subjects};

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
async fn what_a_person_asks_for_during_a_try_is_sent_again_whatever_comes_of_the_try_on_each_database() {
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        for fails in [503, 200] {
            let mut tries = 0;
            let receiver = Receiver::with(move |_| {
                tries += 1;
                match tries {
                    1 => How::Answer(503),
                    2 => How::Late(Duration::from_millis(300), fails),
                    _ => How::Answer(200),
                }
            })
            .await;
            let name = format!("a-{fails}");
            shop.register(&name, &receiver.url, json!({"subjects": [name]})).await;
            shop.say("OrderPlaced", &name).await;
            let position = shop.until(&name, 1, "retrying").await[0]["position"].clone();
            shop.world.advance(Duration::from_secs(6));
            receiver.until(2).await;
            let redeliver = format!("/v1/webhook-endpoints/{name}/deliveries/{position}/redeliver");
            let (status, asked) = shop.post(&redeliver, &Value::Null).await;
            assert_eq!((status, &asked["status"]), (202, &json!("waiting")), "{asked}");
            receiver.until(3).await;
            let delivered = shop.until(&name, 1, "delivered").await;
            let answers = delivered[0]["attempts"].as_array().expect("tries").iter();
            let answers: Vec<_> = answers.map(|attempt| attempt["status"].clone()).collect();
            assert_eq!(answers, [503, fails, 200], "each try is in the log");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_message_goes_to_its_endpoint_alone() {
    let shop = Shop::simulated();
    let (tried, other) = (Receiver::start().await, Receiver::start().await);
    shop.register("tried", &tried.url, json!({"types": ["OrderCancelled"]})).await;
    shop.register("other", &other.url, json!({})).await;
    let (status, sent) = shop.post("/v1/webhook-endpoints/tried/test", &Value::Null).await;
    assert_eq!((status, &sent["type"]), (202, &json!("WebhookTest")), "{sent}");
    assert_eq!(tried.until(1).await[0].document()["type"], "WebhookTest");
    sleep(Duration::from_millis(100)).await;
    assert!(other.received().is_empty());
}

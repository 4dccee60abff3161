//! What is asked again under a key is answered again, and done once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::shop::{Receiver, Shop};

const A: &str = "/v1/webhook-endpoints/a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_rotated_again_and_again_under_a_key_is_rotated_once_on_each_database() {
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        let receiver = Receiver::start().await;
        shop.register("a", &receiver.url, json!({})).await;
        let (_, tag, _) = shop.edit("GET", A, "*", &Value::Null).await;
        let path = format!("{A}/rotate-secret");
        let rotated = shop.under_key(&path, &Value::Null, "k", Some(&tag)).await;
        assert_eq!((rotated.status, rotated.json()["secret"].is_string()), (200, true), "{rotated:?}");
        for _ in 0..6 {
            let again = shop.under_key(&path, &Value::Null, "k", Some(&tag)).await;
            assert!(again.is_again(&rotated), "the tag was that of the first time: {again:?}");
        }
        shop.say("OrderPlaced", "one").await;
        let signatures = receiver.until(1).await[0].header("webhook-signature").to_owned();
        assert_eq!(signatures.split(' ').count(), 2, "the secret that the receiver has still signs: {signatures}");
        let stale = shop.under_key(&path, &Value::Null, "k-2", Some(&tag)).await;
        assert_eq!((stale.status, stale.is_replayed), (412, false), "{stale:?}");
        let other = shop.under_key(&path, &json!({"overlap_secs": 60}), "k", None).await;
        assert_eq!((other.status, &other.json()["code"]), (422, &json!("different-content")));
        let second = shop.under_key(&path, &Value::Null, "k-3", None).await;
        assert_ne!(second.json()["secret"], rotated.json()["secret"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_to_be_sent_again_and_again_under_a_key_is_sent_once_on_each_database() {
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        let receiver = Receiver::start().await;
        shop.register("a", &receiver.url, json!({})).await;
        let mut sent = 0;
        let mut first_answers = Vec::new();
        for (path, body) in [
            (format!("{A}/test"), Value::Null),
            (format!("{A}/deliveries/1/redeliver"), Value::Null),
            (format!("{A}/redeliver"), json!({"from_position": 1})),
        ] {
            let first = shop.under_key(&path, &body, &path.replace('/', ":"), None).await;
            assert_eq!(first.status, 202, "{path}: {first:?}");
            sent += 1;
            receiver.until(sent).await;
            shop.until("a", 1, "delivered").await;
            first_answers.push((path, body, first));
        }
        shop.ask("DELETE", A, &Value::Null).await;
        for (path, body, first) in &first_answers {
            let again = shop.under_key(path, body, &path.replace('/', ":"), None).await;
            assert!(again.is_again(first), "also when the endpoint is there no more: {path}: {again:?}");
            let refused = shop.under_key(path, body, "refused", None).await;
            assert!(refused.status == 404 || refused.status == 422, "{path}: {refused:?}");
        }
        sleep(Duration::from_millis(100)).await;
        assert_eq!(receiver.received().len(), sent, "each once");
        assert_eq!(first_answers[0].2.json()["position"], 1);
        assert_eq!(first_answers[1].2.json()["status"], "waiting");
        assert_eq!(first_answers[2].2.json(), json!({"deliveries": 1, "next_position": null}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_resumed_under_a_key_is_told_as_it_was_then() {
    let shop = Shop::simulated();
    let receiver = Receiver::start().await;
    let path = format!("{A}/resume");
    let no = shop.under_key(&path, &Value::Null, "k", None).await;
    assert_eq!((no.status, &no.json()["code"]), (404, &json!("unknown-webhook-endpoint")));
    shop.register("a", &receiver.url, json!({})).await;
    assert!(shop.under_key(&path, &Value::Null, "k", None).await.is_again(&no), "a refusal stays one");
    let resumed = shop.under_key(&path, &Value::Null, "k-2", None).await;
    assert_eq!((resumed.status, &resumed.json()["status"]), (200, &json!("active")));
    shop.put(A, &json!({"url": receiver.url, "enabled": false})).await;
    assert!(shop.under_key(&path, &Value::Null, "k-2", None).await.is_again(&resumed));
}

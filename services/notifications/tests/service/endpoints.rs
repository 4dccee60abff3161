//! Endpoints: set, changed, disabled, paused, gone and taken back.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::shop::{HOUR, How, Receiver, Shop, here, subjects};

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
        for of_nothing in ["\"1\"", "*", "\"1\", *"] {
            let (status, _, refused) = shop.edit("PUT", A, of_nothing, &to("one")).await;
            assert_eq!((status, &refused["code"]), (412, &json!("precondition-failed")), "nobody has seen it");
            assert_eq!(shop.get(A).await.0, 404, "{of_nothing}");
            assert_eq!(shop.edit("DELETE", A, of_nothing, &Value::Null).await.0, 404);
        }
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
async fn an_edit_that_is_for_nothing_or_not_for_what_there_is_changes_nothing() {
    const A: &str = "/v1/webhook-endpoints/a";
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        let receiver = Receiver::start().await;
        let to = |subject: &str| json!({"url": receiver.url, "subjects": [subject]});
        let put = |tag: &str, subject| {
            let (shop, tag, body) = (&shop, tag.to_owned(), to(subject));
            async move { shop.under(("if-none-match", &tag), "PUT", A, &body).await }
        };
        // Two who both want to be the first: one of them is.
        let both = tokio::join!(put("*", "one"), put("*", "two"));
        let mut statuses = [both.0.0, both.1.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 412]);
        let (_, first, as_it_is) = shop.under(("if-match", "*"), "GET", A, &Value::Null).await;
        for ruled_out in ["*".to_owned(), first.clone(), format!("W/{first}"), format!("\"9\", {first}")] {
            let (status, _, refused) = put(&ruled_out, "three").await;
            assert_eq!((status, &refused["code"]), (412, &json!("precondition-failed")), "{ruled_out}");
            assert_eq!(shop.under(("if-none-match", &ruled_out), "DELETE", A, &Value::Null).await.0, 412);
        }
        assert_eq!(shop.get(A).await.1, as_it_is);
        assert_eq!(put("\"9\"", "three").await.0, 200, "it is another");
        assert_eq!(shop.ask("DELETE", A, &Value::Null).await.0, 204);
        assert_eq!(put("\"9\"", "three").await.0, 201, "there is none");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_again_with_a_tag_hears_how_an_endpoint_gets_on() {
    let shop = Shop::simulated();
    let receiver = Receiver::with(|_| How::Answer(410)).await;
    shop.register("a", &receiver.url, json!({})).await;
    let (_, tag, _) = shop.under(("if-match", "*"), "GET", "/v1/webhook-endpoints/a", &Value::Null).await;
    shop.say("OrderPlaced", "one").await;
    shop.until_status("a", "gone").await;
    let again = shop.under(("if-none-match", &tag), "GET", "/v1/webhook-endpoints/a", &Value::Null).await;
    assert_eq!((again.0, again.1, &again.2["status"]), (200, tag, &json!("gone")));
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
    let paused = shop.pass_until_status("a", "paused").await;
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
    shop.pass_until("a", 5, "delivered").await;
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
async fn a_type_that_nobody_says_is_refused_with_those_that_there_are_and_one_that_is_stored_stays() {
    let shop = Shop::simulated();
    let receiver = Receiver::start().await;
    for (unknown, pointer) in [
        (json!(["OrderConfirmed", "OrderConfrimed"]), "/types/1"),
        (json!(["orderconfirmed"]), "/types/0"),
        (json!(["Order*"]), "/types/0"),
        (json!(["WebhookTest"]), "/types/0"),
    ] {
        let body = json!({"url": receiver.url, "types": unknown});
        let (status, no) = shop.put("/v1/webhook-endpoints/a", &body).await;
        assert_eq!((status, &no["errors"][0]["pointer"]), (422, &json!(pointer)), "{no}");
        let known = no["known_types"].as_array().expect("those that there are");
        for kind in ["OrderConfirmed", "PaymentCaptured", "StockReserved"] {
            assert!(known.contains(&json!(kind)), "{kind}: {no}");
        }
    }
    let (_, no) = shop.put("/v1/webhook-endpoints/a", &json!({"url": receiver.url, "types": [7]})).await;
    assert!(no["known_types"].is_null(), "it is no text, so the list is no help: {no}");
    shop.register("a", &receiver.url, json!({"types": ["OrderConfirmed"]})).await;
    // As an earlier release took it.
    let written = shop.database().write(|tx| {
        tx.execute("UPDATE endpoint SET state = replace(state, $1, $2)", ["OrderConfirmed".into(), "Nothing".into()]);
        Ok(())
    });
    written.await.expect("it is written");
    assert_eq!(shop.get("/v1/webhook-endpoints/a").await.1["types"], json!(["Nothing"]));
    shop.post("/v1/webhook-endpoints/a/test", &Value::Null).await;
    receiver.until(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_for_an_endpoint_that_is_disabled_or_gone_on_each_database() {
    for shop in [Shop::simulated(), Shop::on_postgres()] {
        for goes in [false, true] {
            let receiver = Receiver::with(|_| How::Answer(503)).await;
            let name = format!("a-{goes}");
            let path = format!("/v1/webhook-endpoints/{name}");
            let on = json!({"url": receiver.url, "ordered": true, "subjects": ["one", "two", "three"]});
            shop.register(&name, &receiver.url, on.clone()).await;
            shop.say("OrderPlaced", "one").await;
            shop.until(&name, 1, "retrying").await;
            if goes {
                receiver.now(|_| How::Answer(410));
                shop.say("OrderPlaced", "two").await;
                shop.until_status(&name, "gone").await;
            } else {
                let off = json!({"url": receiver.url, "enabled": false});
                assert_eq!(shop.put(&path, &off).await.1["status"], "disabled");
            }
            let given_up = shop.until(&name, 1 + usize::from(goes), "failed").await;
            assert_eq!(given_up[0]["next_attempt_at"], Value::Null, "{given_up:#?}");
            receiver.now(|_| How::Answer(200));
            let resume = format!("{path}/resume");
            let (method, at) = if goes { ("POST", &resume) } else { ("PUT", &path) };
            let body = if goes { Value::Null } else { on };
            assert_eq!(shop.ask(method, at, &body).await.1["status"], "active");
            shop.pass(10, HOUR).await;
            shop.say("OrderPlaced", "one").await;
            shop.say("OrderPlaced", "three").await;
            shop.until(&name, 2, "delivered").await;
            let mut taken: Vec<_> = subjects(&receiver.received()).split_off(1 + usize::from(goes));
            taken.sort();
            assert_eq!(taken, ["one", "three"], "and nothing waits behind what is given up");
            let asked = format!("{path}/deliveries/{}/redeliver", given_up.last().expect("the first")["position"]);
            assert_eq!(shop.post(&asked, &Value::Null).await.0, 202, "who wants it nevertheless asks for it");
            shop.until(&name, 3, "delivered").await;
            shop.ask("DELETE", &path, &Value::Null).await;
        }
    }
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

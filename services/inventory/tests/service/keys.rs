//! What is asked again under a key is answered again.

use axum::http::Method;
use serde_json::{Value, json};

use crate::shop::{Told, everywhere, lines, one_and_its_replays, wait};

#[test]
fn what_is_asked_five_times_at_once_under_a_key_happens_once() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        let told = shop.five_times("/v1/reservations/r-1/extend", &json!({"hold_secs": 3_600}), "k-1");
        let first = one_and_its_replays(&told);
        assert_eq!((first.status, first.content_type.as_str()), (200, "application/json"));
        assert_eq!(first.json()["status"], "reserved");
        assert_eq!(shop.said("StockReservationExtended"), 1);

        let told = shop.five_times("/v1/reservations/r-1/commit", &Value::Null, "k-2");
        assert_eq!(one_and_its_replays(&told).json()["status"], "committed");
        assert_eq!(shop.post("/v1/reservations/r-1/ship").1["status"], "shipped");
        let again = shop.under_key("/v1/reservations/r-1/commit", &Value::Null, "k-2");
        assert_eq!((again.is_replayed, again.json()["status"].clone()), (true, json!("committed")), "as it was then");
        let told = shop.five_times("/v1/reservations/r-1/ship", &Value::Null, "k-3");
        assert_eq!(one_and_its_replays(&told).json()["status"], "shipped");
        let told = shop.five_times("/v1/reservations/never/release", &Value::Null, "k-4");
        assert_eq!(one_and_its_replays(&told).json()["status"], "released");
        assert_eq!(shop.level("a")["on_hand"], 6);
    });
}

#[test]
fn a_key_that_stands_for_something_else_is_refused() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        for name in ["r-1", "r-2"] {
            assert_eq!(shop.put(&format!("/v1/reservations/{name}"), &lines(&[("a", 4)])).0, 201);
        }
        let minute = json!({"hold_secs": 60});
        assert_eq!(shop.under_key("/v1/reservations/r-1/extend", &minute, "k").status, 200);
        let same = shop.under_key("/v1/reservations/%72-1/extend", &json!({"hold_secs": 60}), "\"k\"");
        assert!(same.is_replayed, "{same:?}");
        for (path, body) in [
            ("/v1/reservations/r-1/extend", &json!({"hold_secs": 61})),
            ("/v1/reservations/r-2/extend", &minute),
            ("/v1/reservations/r-1/commit", &Value::Null),
        ] {
            let no = shop.under_key(path, body, "k");
            assert_eq!((no.status, no.json()["code"].clone()), (422, json!("different-content")), "{path}");
            assert!(!no.is_replayed, "{path}");
        }
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "reserved");
        let no = shop.under_key("/v1/reservations/r-1/extend", &minute, "a b");
        assert_eq!((no.status, no.json()["errors"][0]["pointer"].clone()), (422, json!("Idempotency-Key:")));
        // A body with a fault is no request yet; the key is free for the right one.
        assert_eq!(shop.under_key("/v1/reservations/r-1/extend", &json!({"hold_secs": 0}), "k-2").status, 422);
        assert_eq!(shop.under_key("/v1/reservations/r-1/extend", &minute, "k-2").status, 200);
    });
}

#[test]
fn a_refusal_is_told_again_under_its_key_whatever_has_changed() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        let told = shop.five_times("/v1/reservations/r-1/commit", &Value::Null, "k");
        let first = one_and_its_replays(&told);
        assert_eq!((first.status, first.content_type.as_str()), (404, "application/problem+json"));
        assert_eq!(first.json()["code"], "unknown-reservation");
        assert_eq!(first.json()["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        let again = shop.under_key("/v1/reservations/r-1/commit", &Value::Null, "k");
        assert_eq!(again, Told { is_replayed: true, ..first.clone() });
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "reserved");
        assert_eq!(shop.under_key("/v1/reservations/r-1/commit", &Value::Null, "k-2").status, 200);
    });
}

#[test]
fn a_put_is_safe_to_repeat_by_its_name_and_knows_no_key() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        let put = |name: &str| {
            let path = format!("/v1/reservations/{name}");
            wait(shop.tell(Method::PUT, &path, &lines(&[("a", 1)]), Some("k")))
        };
        let told = [put("r-1"), put("r-1"), put("r-2")];
        assert_eq!(told.map(|told| (told.status, told.is_replayed)), [(201, false), (200, false), (201, false)]);
    });
}

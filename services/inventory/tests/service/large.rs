//! Reservations as large as an event can name, and larger ones.

use axum::body::Body;
use axum::http::{Method, Request};
use futures_util::future::join_all;
use serde_json::json;
use tower::ServiceExt;

use crate::shop::{Running, everywhere, lines, wait};

/// Takes stock in, many movements at once; their names begin with this.
fn receive_all(shop: &Running, name: &str, levels: &[(String, String, i64)]) {
    let request = |(number, (sku, warehouse, quantity)): (usize, &(String, String, i64))| {
        let body = json!({"type": "receive", "sku": sku, "warehouse": warehouse, "quantity": quantity});
        let path = format!("/v1/stock-movements/{name}-{number}");
        let request = Request::builder().method(Method::PUT).uri(path).header("content-type", "application/json");
        shop.router.clone().oneshot(request.body(Body::from(body.to_string())).expect("a request"))
    };
    for piece in levels.iter().enumerate().collect::<Vec<_>>().chunks(256) {
        let answers = wait(join_all(piece.iter().copied().map(request)));
        let all_are_in = answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 201));
        assert!(all_are_in, "{answers:?}");
    }
}

/// So many SKUs of 64 characters, each of four bytes, and one of so many bytes.
fn longest_skus(count: u32, bytes_of_last: usize) -> Vec<String> {
    let filler = "\u{1f375}".repeat(63);
    let first = |number| char::from_u32(0x2_0000 + number).expect("a character of four bytes");
    let mut skus: Vec<_> = (0..count).map(|number| format!("{}{filler}", first(number))).collect();
    skus.push(format!("{}{}", &filler[..bytes_of_last / 4 * 4], &"xxx"[..bytes_of_last % 4]));
    skus
}

#[test]
fn lines_are_held_up_to_what_an_event_can_name_and_more_are_refused_before_anything_happens() {
    everywhere(|shop| {
        // 576 lines of 256 + 192 bytes would be 252 KiB to the byte; the last is shorter here.
        let skus = longest_skus(575, 252);
        let warehouse = "w".repeat(64);
        let levels: Vec<_> = skus.iter().map(|sku| (sku.clone(), warehouse.clone(), 1_000_000)).collect();
        receive_all(shop, "m", &levels);
        let events = || wait(shop.database.read(|read| read.events_after(0, 10_000))).expect("events").len();
        let before = events();
        let lines = |skus: &[String]| lines(&skus.iter().map(|sku| (sku.as_str(), 1_000_000)).collect::<Vec<_>>());
        let (status, no) = shop.put("/v1/reservations/r-1", &lines(&longest_skus(576, 1)));
        assert_eq!((status, &no["errors"][0]["pointer"]), (422, &json!("/lines")), "{no}");
        let detail = no["errors"][0]["detail"].as_str().expect("a detail");
        assert!(detail.contains("192 more") && detail.ends_with("258048"), "{detail}");
        assert_eq!(events(), before, "nothing has happened");
        let name = "r".repeat(64);
        let (status, held) = shop.put(&format!("/v1/reservations/{name}"), &lines(&skus));
        assert_eq!((status, &held["status"]), (201, &json!("reserved")), "{}", held["detail"]);
        assert_eq!(shop.post(&format!("/v1/reservations/{name}/commit")).1["status"], "committed");
        let (status, no) = shop.put("/v1/reservations/r-2", &lines(&skus));
        let short = no["short"].as_array().map(Vec::len);
        assert_eq!((status, &no["code"], short), (409, &json!("out-of-stock"), Some(576)));
        // A thousand lines of the longest names in ASCII.
        let many: Vec<_> = (0..1_000).map(|number| format!("{number:064}")).collect();
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&many)).1["code"], "out-of-stock");
    });
}

#[test]
fn stock_in_more_warehouses_than_an_event_can_name_is_refused_and_nothing_is_held() {
    everywhere(|shop| {
        // 51 bytes for the line and 142 for each warehouse: 1,816 are within 252 KiB.
        let levels: Vec<_> = (0..1_817).map(|place| ("a".to_owned(), format!("{place:064}"), 1)).collect();
        receive_all(shop, "m", &levels);
        for _ in 0..2 {
            let (status, no) = shop.put("/v1/reservations/r-1", &lines(&[("a", 1_817)]));
            assert_eq!((status, &no["code"]), (422, &json!("reservation-too-large")), "{no}");
        }
        assert_eq!(shop.post("/v1/reservations/r-1/commit").1["code"], "reservation-too-large");
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "refused");
        assert_eq!(shop.level("a")["available"], 1_817);
        let (status, held) = shop.put("/v1/reservations/r-2", &lines(&[("a", 1_816)]));
        assert_eq!((status, &held["status"]), (201, &json!("reserved")));
        assert_eq!(shop.post("/v1/reservations/r-2/release").1["status"], "released");
        assert_eq!(shop.level("a")["available"], 1_817);
    });
}

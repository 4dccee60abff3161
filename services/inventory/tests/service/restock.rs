//! What runs low is said once.

use serde_json::{Value, json};

use crate::shop::{Running, everywhere, lines};

const PATH: &str = "/v1/skus/a/restock";

/// Asks for the pieces to be no less than a threshold in Leeds.
fn point(threshold: i64, target: i64) -> Value {
    json!({"points": [{"warehouse": "leeds", "threshold": threshold, "target": target}]})
}

/// How often more was needed, and how often there was enough again.
fn said(shop: &Running) -> (usize, usize) {
    (shop.said("RestockNeeded"), shop.said("StockReplenished"))
}

#[test]
fn what_falls_below_its_threshold_is_said_once_until_there_is_enough_again() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 10);
        assert_eq!(shop.get(PATH), (200, json!({"sku": "a", "points": []})));
        let shown = json!({"warehouse": "leeds", "threshold": 5, "target": 20, "needed": false});
        assert_eq!(shop.put(PATH, &point(5, 20)), (200, json!({"sku": "a", "points": [shown]})));
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 5)])).0, 201);
        assert_eq!(said(shop), (0, 0));
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 1)])).0, 201);
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&[("a", 1)])).0, 201);
        assert_eq!(said(shop), (1, 0), "once");
        let low = json!({"warehouse": "leeds", "threshold": 5, "target": 20, "needed": true, "quantity": 17});
        assert_eq!(shop.get(PATH).1["points"], json!([low]));
        let (_, needs) = shop.get("/v1/restock-needs");
        assert_eq!((&needs["items"][0]["sku"], &needs["items"][0]["quantity"]), (&json!("a"), &json!(17)));
        assert_eq!(shop.post("/v1/reservations/r-1/commit").0, 200);
        assert_eq!(said(shop), (1, 0), "what was held has left the shelf, and that changes nothing");
        shop.receive("m-2", "a", "leeds", 2);
        assert_eq!(said(shop), (1, 1));
        assert_eq!(shop.get("/v1/restock-needs").1["items"], json!([]));
        assert_eq!(shop.put("/v1/reservations/r-4", &lines(&[("a", 1)])).0, 201);
        assert_eq!(said(shop), (2, 1));
        let lorry = json!({
            "type": "transfer", "sku": "a", "from": "bristol", "to": "leeds", "quantity": 9, "in_transit": true,
        });
        shop.receive("m-3", "a", "bristol", 9);
        assert_eq!(shop.put("/v1/stock-movements/m-4", &lorry).0, 201);
        assert_eq!(said(shop), (2, 2), "what is on its way counts");
        assert_eq!(shop.put(PATH, &point(100, 100)).1["points"][0]["quantity"], 87);
        assert_eq!(said(shop), (3, 2), "a threshold can rise above what is there");
        for _ in 0..2 {
            assert_eq!(shop.put(PATH, &json!({"points": []})).1, json!({"sku": "a", "points": []}));
        }
        assert_eq!((said(shop), shop.said("RestockPointChanged")), ((3, 3), 3));
    });
}

#[test]
fn a_hold_that_lapses_is_there_again() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 5);
        assert_eq!(shop.put(PATH, &point(5, 5)).0, 200);
        let mut held = lines(&[("a", 5)]);
        held["hold_secs"] = json!(1);
        assert_eq!(shop.put("/v1/reservations/r-1", &held).0, 201);
        assert_eq!(said(shop), (1, 0));
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        testkit::eventually("the hold is let go", || said(shop) == (1, 1));
    });
}

#[test]
fn a_threshold_has_a_target_that_is_no_less_and_a_warehouse_has_one() {
    everywhere(|shop| {
        let pointers = |body: &Value| {
            let (status, no) = shop.put(PATH, body);
            assert_eq!(status, 422, "{no}");
            no["errors"].as_array().expect("faults").iter().map(|e| e["pointer"].clone()).collect::<Value>()
        };
        assert_eq!(pointers(&point(5, 4)), json!(["/points/0/target"]));
        assert_eq!(pointers(&point(0, 0)), json!(["/points/0/threshold", "/points/0/target"]));
        let twice = json!({"warehouse": "leeds", "threshold": 5, "target": 9});
        assert_eq!(pointers(&json!({"points": [twice, twice]})), json!(["/points"]));
    });
}

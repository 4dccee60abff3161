//! Stock is held, made firm, shipped, given back and taken anew.

use axum::http::Method;
use serde_json::json;

use crate::shop::{everywhere, everywhere_with, lines};

#[test]
fn all_lines_are_held_or_none_and_lines_of_one_sku_are_summed() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        shop.receive("m-2", "b", "main", 1);
        let (status, held) = shop.put("/v1/reservations/r-1", &lines(&[("a", 2), ("a", 2), ("b", 1)]));
        assert_eq!((status, &held["status"]), (201, &json!("reserved")));
        let a = json!({"sku": "a", "quantity": 4, "allocations": [{"warehouse": "main", "quantity": 4}]});
        assert_eq!(held["lines"][0], a);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 2), ("a", 2), ("b", 1)])), (200, held));
        let (status, no) = shop.put("/v1/reservations/r-2", &lines(&[("a", 7), ("c", 1)]));
        assert_eq!((status, &no["code"]), (409, &json!("out-of-stock")));
        let short = json!([{"sku": "a", "wanted": 7, "available": 6}, {"sku": "c", "wanted": 1, "available": 0}]);
        assert_eq!(no["short"], short);
        shop.receive("m-3", "c", "main", 1);
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 7), ("c", 1)])).0, 409, "the name stays refused");
        assert_eq!(shop.get("/v1/reservations/r-2").1["status"], "refused");
        assert_eq!(shop.level("a")["available"], 6);
    });
}

#[test]
fn a_reservation_goes_its_way_and_saying_it_twice_is_saying_it_once() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        for _ in 0..2 {
            let (status, committed) = shop.post("/v1/reservations/r-1/commit");
            assert_eq!((status, &committed["status"]), (200, &json!("committed")));
            assert_eq!(shop.level("a")["on_hand"], 6, "the goods leave with the commit");
        }
        assert_eq!(shop.post("/v1/reservations/r-1/release").1["code"], "already-committed");
        for _ in 0..2 {
            assert_eq!(shop.post("/v1/reservations/r-1/ship").1["status"], "shipped");
        }
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 6)])).0, 201);
        for _ in 0..2 {
            assert_eq!(shop.post("/v1/reservations/r-2/release").1["status"], "released");
        }
        assert_eq!(shop.post("/v1/reservations/r-2/commit").1["code"], "already-released");
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 6)])).1["status"], "released");
        assert_eq!(shop.post("/v1/reservations/none/commit").1["code"], "unknown-reservation");
    });
}

#[test]
fn without_ship_on_commit_the_goods_stay_until_they_are_shipped() {
    let config = inventory::Config { ship_on_commit: false, ..inventory::Config::default() };
    everywhere_with(&config, |shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        assert_eq!(shop.post("/v1/reservations/r-1/ship").1["code"], "not-committed");
        assert_eq!(shop.post("/v1/reservations/r-1/commit").0, 200);
        let level = json!({"on_hand": 10, "reserved": 0, "committed": 4, "owed": 0, "in_transit": 0, "available": 6});
        assert_eq!(shop.level("a"), level);
        let count = json!({"type": "count", "sku": "a", "warehouse": "main", "counted": 3});
        assert_eq!(shop.put("/v1/stock-movements/m-2", &count).0, 201);
        assert_eq!(shop.post("/v1/reservations/r-1/ship").1["code"], "goods-missing");
        shop.receive("m-3", "a", "main", 1);
        assert_eq!(shop.post("/v1/reservations/r-1/ship").1["status"], "shipped");
        assert_eq!(shop.level("a")["on_hand"], 0);
    });
}

#[test]
fn a_release_that_comes_before_the_reserve_keeps_the_name_released() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.post("/v1/reservations/r-1/release").1["status"], "released");
        let (status, no) = shop.put("/v1/reservations/r-1", &lines(&[("a", 1)]));
        assert_eq!((status, &no["code"]), (409, &json!("already-released")));
        assert_eq!(shop.level("a")["available"], 10);
    });
}

#[test]
fn a_lapsed_hold_stands_in_nobodys_way() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 5);
        let hold = json!({"lines": [{"sku": "a", "quantity": 5}], "hold_secs": 1});
        assert_eq!(shop.put("/v1/reservations/r-1", &hold).0, 201);
        assert_eq!(shop.put("/v1/reservations/r-2", &lines(&[("a", 1)])).0, 409);
        std::thread::sleep(std::time::Duration::from_millis(1_001));
        assert_eq!(shop.post("/v1/reservations/r-1/commit").1["code"], "reservation-expired");
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&[("a", 5)])).0, 201);
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "expired");
        let extension = json!({"hold_secs": 60});
        assert_eq!(shop.ask(Method::POST, "/v1/reservations/r-1/extend", &extension).1["code"], "reservation-expired");
        assert_eq!(shop.ask(Method::POST, "/v1/reservations/r-3/extend", &extension).0, 200);
    });
}

#[test]
fn a_reservation_is_not_in_the_way_of_the_one_that_replaces_it() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 5);
        let replacing =
            |quantity: i64, old: &str| json!({"lines": [{"sku": "a", "quantity": quantity}], "replaces": old});
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 4)])).0, 201);
        let (status, no) = shop.put("/v1/reservations/r-2", &replacing(6, "r-1"));
        let short = json!([{"sku": "a", "wanted": 6, "available": 5}]);
        assert_eq!((status, &no["code"], &no["short"]), (409, &json!("out-of-stock"), &short));
        assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "reserved", "it stays as it was");
        for status in [201, 200] {
            assert_eq!(shop.put("/v1/reservations/r-3", &replacing(5, "r-1")).0, status);
            assert_eq!(shop.get("/v1/reservations/r-1").1["status"], "released");
            assert_eq!(shop.level("a")["reserved"], 5);
        }
        assert_eq!(shop.put("/v1/reservations/r-4", &replacing(1, "r-1")).0, 409, "what has ended gives nothing");
        assert_eq!(shop.put("/v1/reservations/r-5", &replacing(2, "r-3")).0, 201);
        assert_eq!(shop.put("/v1/reservations/r-6", &replacing(3, "late")).0, 201);
        assert_eq!(shop.put("/v1/reservations/late", &lines(&[("a", 1)])).1["code"], "already-released");
        assert_eq!(shop.post("/v1/reservations/r-5/commit").0, 200);
        assert_eq!(shop.put("/v1/reservations/r-7", &replacing(1, "r-5")).1["code"], "already-committed");
        assert_eq!(shop.put("/v1/reservations/r-7", &replacing(3, "r-6")).0, 201, "its name is not used up");
        assert_eq!(shop.put("/v1/reservations/r-8", &replacing(1, "r-8")).1["errors"][0]["pointer"], "/replaces");
    });
}

#[test]
fn a_lapsed_hold_is_taken_anew_only_if_that_is_asked_for_and_all_of_it_is_there() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 5);
        let hold = |quantity| json!({"lines": [{"sku": "a", "quantity": quantity}], "hold_secs": 1});
        let retake = |name: &str| {
            let path = format!("/v1/reservations/{name}/commit");
            shop.ask(Method::POST, &path, &json!({"if_expired": "retake"}))
        };
        assert_eq!(shop.put("/v1/reservations/r-1", &hold(3)).0, 201);
        assert_eq!(shop.put("/v1/reservations/r-2", &hold(2)).0, 201);
        std::thread::sleep(std::time::Duration::from_millis(1_001));
        assert_eq!(shop.put("/v1/reservations/r-3", &lines(&[("a", 3)])).0, 201, "somebody else takes of it");
        assert_eq!(shop.post("/v1/reservations/r-2/commit").1["code"], "reservation-expired");
        let (status, no) = retake("r-1");
        let short = json!([{"sku": "a", "wanted": 3, "available": 2}]);
        assert_eq!((status, &no["code"], &no["short"]), (409, &json!("out-of-stock"), &short));
        assert_eq!((retake("r-2").0, retake("r-2").0), (200, 200));
        assert_eq!(
            shop.level("a"),
            json!({
                "on_hand": 3, "reserved": 3, "committed": 0, "owed": 0, "in_transit": 0, "available": 0,
            })
        );
        shop.receive("m-2", "a", "main", 3);
        assert_eq!(retake("r-1").1["status"], "committed", "asked again, it may be there");
        let wrong = shop.ask(Method::POST, "/v1/reservations/r-1/commit", &json!({"if_expired": "maybe"}));
        assert_eq!(wrong.1["errors"][0]["pointer"], "/if_expired");
    });
}

#[test]
fn every_fault_of_a_request_is_named_in_one_answer() {
    everywhere(|shop| {
        let body = json!({"lines": [{"sku": "", "quantity": 0}, {"sku": "a", "quantity": 1.5}], "hold_secs": -1});
        let (status, no) = shop.put("/v1/reservations/r-1", &body);
        let pointers: Vec<_> = no["errors"].as_array().expect("faults").iter().map(|e| &e["pointer"]).collect();
        assert_eq!(status, 422);
        assert_eq!(pointers, ["/lines/0/sku", "/lines/0/quantity", "/lines/1/quantity", "/hold_secs"]);
        assert_eq!(shop.put("/v1/reservations/r-1", &json!({"lines": []})).0, 422);
        assert_eq!(shop.put("/v1/reservations/r-1", &json!({"linse": []})).0, 422);
        let both = json!({"type": "receive", "sku": "a", "warehouse": "w", "quantity": 1, "counted": 1});
        assert_eq!(shop.put("/v1/stock-movements/m-1", &both).1["errors"][0]["pointer"], "/counted");
    });
}

//! Goods come in, are counted, corrected and moved, and their levels are read.

use axum::http::Method;
use serde_json::json;

use crate::shop::{everywhere, lines};

#[test]
fn a_movement_is_entered_once_under_its_name() {
    everywhere(|shop| {
        let body = json!({"type": "receive", "sku": "A b/é", "warehouse": "main", "quantity": 10, "reference": "r"});
        let (status, first) = shop.put("/v1/stock-movements/m-1", &body);
        assert_eq!((status, &first["level"]["on_hand"], &first["level"]["available"]), (201, &json!(10), &json!(10)));
        assert_eq!(shop.put("/v1/stock-movements/m-1", &body), (200, first));
        let other = json!({"type": "receive", "sku": "A b/é", "warehouse": "main", "quantity": 11, "reference": "r"});
        let (status, no) = shop.put("/v1/stock-movements/m-1", &other);
        assert_eq!((status, &no["code"]), (422, &json!("different-content")));
        let level = shop.level("A%20b%2F%C3%A9");
        assert_eq!(
            level,
            json!({"on_hand": 10, "reserved": 0, "committed": 0, "owed": 0, "in_transit": 0, "available": 10})
        );
        assert_eq!(shop.get("/v1/stock/never").1["code"], "unknown-sku");
    });
}

#[test]
fn a_correction_cannot_take_what_is_promised_and_its_name_stays_refused() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 8)])).0, 201);
        let take = json!({"type": "adjust", "sku": "a", "warehouse": "main", "quantity": -3, "reason": "broken"});
        let (status, no) = shop.put("/v1/stock-movements/m-2", &take);
        assert_eq!((status, &no["code"], &no["available"]), (409, &json!("not-available"), &json!(2)));
        assert_eq!(shop.post("/v1/reservations/r-1/release").0, 200);
        assert_eq!(shop.put("/v1/stock-movements/m-2", &take).0, 409, "the name stays refused");
        assert_eq!(shop.put("/v1/stock-movements/m-3", &take).0, 201);
        assert_eq!(shop.level("a")["on_hand"], 7);
    });
}

#[test]
fn a_transfer_takes_what_is_available_to_the_other_warehouse_at_once() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 3)])).0, 201);
        let transfer = json!({"type": "transfer", "sku": "a", "from": "leeds", "to": "bristol", "quantity": 7});
        let (status, moved) = shop.put("/v1/stock-movements/m-2", &transfer);
        let levels = json!([
            {"warehouse": "leeds", "on_hand": 3, "reserved": 3, "committed": 0, "owed": 0, "in_transit": 0, "available": 0},
            {"warehouse": "bristol", "on_hand": 7, "reserved": 0, "committed": 0, "owed": 0, "in_transit": 0, "available": 7},
        ]);
        assert_eq!((status, &moved["status"], &moved["levels"]), (201, &json!("arrived"), &levels));
        assert_eq!(shop.put("/v1/stock-movements/m-2", &transfer), (200, moved));
        let (status, no) = shop.put("/v1/stock-movements/m-3", &transfer);
        let refused = (status, &no["code"], &no["warehouse"], &no["available"]);
        assert_eq!(refused, (409, &json!("not-available"), &json!("leeds"), &json!(0)));
        assert_eq!(shop.level("a")["available"], 7);
        assert_eq!(shop.post("/v1/stock-movements/m-2/arrive").1["code"], "not-in-transit");
        assert_eq!(shop.post("/v1/stock-movements/none/arrive").1["code"], "unknown-movement");
        let nowhere =
            json!({"type": "transfer", "sku": "a", "from": "leeds", "to": "leeds", "quantity": 1, "warehouse": "w"});
        let (status, no) = shop.put("/v1/stock-movements/m-4", &nowhere);
        let pointers = json!([no["errors"][0]["pointer"], no["errors"][1]["pointer"]]);
        assert_eq!((status, pointers), (422, json!(["/to", "/warehouse"])));
    });
}

#[test]
fn goods_that_travel_are_nobodys_until_they_arrive_and_what_does_not_arrive_is_lost() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 10);
        let transfer = json!({
            "type": "transfer", "sku": "a", "from": "leeds", "to": "bristol", "quantity": 6, "in_transit": true,
        });
        let (status, sent) = shop.put("/v1/stock-movements/m-2", &transfer);
        assert_eq!((status, &sent["status"]), (201, &json!("in_transit")));
        let (_, stock) = shop.get("/v1/stock/a");
        assert_eq!((&stock["on_hand"], &stock["in_transit"], &stock["available"]), (&json!(4), &json!(6), &json!(4)));
        let bristol = json!({
            "warehouse": "bristol", "active": true, "on_hand": 0, "reserved": 0, "committed": 0, "owed": 0,
            "in_transit": 6, "available": 0,
        });
        assert_eq!(stock["warehouses"][0], bristol);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 5)])).1["short"][0]["available"], 4);
        let arrive =
            |quantity| shop.ask(Method::POST, "/v1/stock-movements/m-2/arrive", &json!({"quantity": quantity}));
        let (status, no) = arrive(7);
        assert_eq!((status, &no["code"], &no["sent"]), (422, &json!("more-than-sent"), &json!(6)));
        let (status, arrived) = arrive(5);
        assert_eq!((status, &arrived["status"], &arrived["quantity"]), (200, &json!("arrived"), &json!(6)));
        assert_eq!((&arrived["arrived"], &arrived["lost"]), (&json!(5), &json!(1)));
        assert_eq!(arrived["levels"][0]["on_hand"], 5);
        assert_eq!(arrive(5), (200, arrived.clone()), "it has arrived once");
        assert_eq!(shop.post("/v1/stock-movements/m-2/arrive"), (200, arrived.clone()));
        assert_eq!(shop.put("/v1/stock-movements/m-2", &transfer), (200, arrived));
        assert_eq!(arrive(4).1["code"], "different-content");
        assert_eq!((&shop.level("a")["on_hand"], &shop.level("a")["in_transit"]), (&json!(9), &json!(0)));
    });
}

#[test]
fn a_lapsed_hold_does_not_keep_goods_from_being_moved() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 5);
        let hold = json!({"lines": [{"sku": "a", "quantity": 5}], "hold_secs": 1});
        assert_eq!(shop.put("/v1/reservations/r-1", &hold).0, 201);
        let transfer = json!({"type": "transfer", "sku": "a", "from": "leeds", "to": "bristol", "quantity": 5});
        assert_eq!(shop.put("/v1/stock-movements/m-2", &transfer).0, 409);
        std::thread::sleep(std::time::Duration::from_millis(1_001));
        assert_eq!(shop.put("/v1/stock-movements/m-3", &transfer).0, 201);
    });
}

#[test]
fn a_stock_take_is_always_accepted_and_says_what_is_owed() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "main", 10);
        assert_eq!(shop.put("/v1/reservations/r-1", &lines(&[("a", 8)])).0, 201);
        let count = json!({"type": "count", "sku": "a", "warehouse": "main", "counted": 5, "reason": "yearly"});
        let (status, counted) = shop.put("/v1/stock-movements/m-2", &count);
        let level = json!({"on_hand": 5, "reserved": 5, "committed": 0, "owed": 3, "in_transit": 0, "available": 0});
        assert_eq!((status, &counted["level"]), (201, &level));
        shop.receive("m-3", "a", "main", 4);
        assert_eq!(
            shop.level("a"),
            json!({"on_hand": 9, "reserved": 8, "committed": 0, "owed": 0, "in_transit": 0, "available": 1})
        );
    });
}

#[test]
fn many_levels_are_read_at_once_in_the_order_asked() {
    everywhere(|shop| {
        shop.receive("m-1", "b", "main", 1);
        shop.receive("m-2", "a", "east", 2);
        shop.receive("m-3", "a", "main", 3);
        let (status, levels) = shop.get("/v1/stock?sku=b&sku=none&sku=a");
        assert_eq!(status, 200);
        let items = levels["items"].as_array().expect("items");
        assert_eq!((&items[0]["sku"], &items[0]["available"]), (&json!("b"), &json!(1)));
        assert_eq!(items[1], json!({"sku": "none", "unknown": true}));
        assert_eq!((&items[2]["available"], &items[2]["warehouses"][0]["warehouse"]), (&json!(5), &json!("east")));
        let (_, same) = shop.ask(Method::POST, "/v1/stock/query", &json!({"skus": ["b", "none", "a"]}));
        assert_eq!(same, levels);
        assert_eq!(shop.get("/v1/stock").0, 400);
    });
}

#[test]
fn a_sku_that_is_called_as_a_route_is_read_like_any_other() {
    everywhere(|shop| {
        assert_eq!(shop.get("/v1/stock/query").1["code"], "unknown-sku");
        shop.receive("m-1", "query", "main", 3);
        assert_eq!(shop.get("/v1/stock/query"), shop.get("/v1/stock/%71uery"));
        assert_eq!(shop.level("query")["on_hand"], 3);
        let (status, then) = shop.get("/v1/stock/query?at=2020-01-01T00:00:00Z");
        assert_eq!((status, &then["sku"], &then["on_hand"]), (200, &json!("query"), &json!(0)));
        assert_eq!(shop.get("/v1/stock/query?sku=a").0, 400);
        assert_eq!(shop.put("/v1/stock/query", &json!({})).0, 405);
    });
}

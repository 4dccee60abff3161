//! What is said of warehouses, and where promises come from.

use axum::http::Method;
use serde_json::{Value, json};
use world::World;

use crate::shop::{Running, everywhere, everywhere_with, wait};

/// Where the pieces of a reservation of these lines come from, under such terms; or the problem.
fn reserve(shop: &Running, name: &str, lines: &[(&str, i64)], terms: &Value) -> Value {
    let mut body = crate::shop::lines(lines);
    body.as_object_mut().expect("an object").extend(terms.as_object().expect("an object").clone());
    let (status, answer) = shop.put(&format!("/v1/reservations/{name}"), &body);
    if status != 201 {
        return answer;
    }
    let line = |line: &Value| {
        let parts = line["allocations"].as_array().expect("allocations").iter();
        parts.map(|part| json!([part["warehouse"], part["quantity"]])).collect::<Value>()
    };
    answer["lines"].as_array().expect("lines").iter().map(line).collect()
}

#[test]
fn a_warehouse_is_described_and_read_again() {
    everywhere(|shop| {
        let usual = json!({"id": "leeds", "markets": [], "active": true});
        assert_eq!(shop.get("/v1/warehouses/leeds"), (200, usual));
        assert_eq!(shop.get("/v1/warehouses").1["items"], json!([]));
        let said = json!({"name": "Leeds", "priority": 3, "markets": ["IE", "GB", "GB"], "active": true});
        let leeds = json!({"id": "leeds", "name": "Leeds", "priority": 3, "markets": ["GB", "IE"], "active": true});
        for _ in 0..2 {
            assert_eq!(shop.put("/v1/warehouses/leeds", &said), (200, leeds.clone()));
        }
        assert_eq!(shop.said("WarehouseChanged"), 1, "saying it twice is saying it once");
        assert_eq!(shop.put("/v1/warehouses/bristol", &json!({"active": false})).0, 200);
        assert_eq!(shop.get("/v1/warehouses/leeds"), (200, leeds.clone()));
        let bristol = json!({"id": "bristol", "markets": [], "active": false});
        let (_, first) = shop.get("/v1/warehouses?limit=1");
        assert_eq!(first["items"], json!([bristol]));
        let next = first["next"].as_str().expect("a next page");
        let (_, second) = shop.get(&format!("/v1/warehouses?limit=1&after={next}"));
        assert_eq!((&second["items"], &second["next"]), (&json!([leeds]), &Value::Null));
        let made_up = web::Cursor::new(&"leeds\0");
        assert_eq!(shop.get(&format!("/v1/warehouses?after={made_up}")).0, 400, "a cursor that was not given");

        assert_eq!(shop.edit("/v1/warehouses/leeds", "\"0\"", &json!({})).1["code"], "precondition-failed");
        let (status, cleared) = shop.edit("/v1/warehouses/leeds", "\"1\"", &json!({}));
        assert_eq!((status, cleared), (200, json!({"id": "leeds", "markets": [], "active": true})));
        let wrong = json!({"name": "", "priority": -1, "markets": ["a b"], "active": 1});
        let (status, no) = shop.put("/v1/warehouses/leeds", &wrong);
        let pointers: Vec<_> = no["errors"].as_array().expect("faults").iter().map(|e| &e["pointer"]).collect();
        assert_eq!((status, json!(pointers)), (422, json!(["/name", "/priority", "/markets/0", "/active"])));
    });
}

#[test]
fn nothing_is_newly_promised_from_a_warehouse_that_is_not_active_and_what_is_promised_stays_so() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 5);
        shop.receive("m-2", "a", "bristol", 2);
        assert_eq!(reserve(shop, "r-1", &[("a", 1)], &json!({})), json!([[["bristol", 1]]]));
        assert_eq!(shop.put("/v1/warehouses/bristol", &json!({"active": false})).0, 200);
        let (_, stock) = shop.get("/v1/stock/a");
        assert_eq!((&stock["on_hand"], &stock["reserved"], &stock["available"]), (&json!(7), &json!(1), &json!(5)));
        let bristol = &stock["warehouses"][0];
        assert_eq!(
            (&bristol["active"], &bristol["available"], &bristol["on_hand"]),
            (&json!(false), &json!(0), &json!(2))
        );
        let no = reserve(shop, "r-2", &[("a", 6)], &json!({}));
        assert_eq!((&no["code"], &no["short"][0]["available"]), (&json!("out-of-stock"), &json!(5)));
        assert_eq!(shop.post("/v1/reservations/r-1/commit").0, 200);
        // Goods may leave, and then be promised.
        let away = json!({"type": "transfer", "sku": "a", "from": "bristol", "to": "leeds", "quantity": 1});
        assert_eq!(shop.put("/v1/stock-movements/m-3", &away).0, 201);
        assert_eq!(reserve(shop, "r-3", &[("a", 6)], &json!({})), json!([[["leeds", 6]]]));
    });
}

#[test]
fn a_lapsed_hold_is_not_taken_anew_from_a_warehouse_that_is_not_active_or_for_another_market() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 1);
        assert_eq!(
            reserve(shop, "r-1", &[("a", 1)], &json!({"market": "GB", "hold_secs": 1})),
            json!([[["leeds", 1]]])
        );
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        // Somebody takes it, and gives it back: the hold is let go.
        assert_eq!(reserve(shop, "r-2", &[("a", 1)], &json!({})), json!([[["leeds", 1]]]));
        assert_eq!(shop.post("/v1/reservations/r-2/release").0, 200);
        let retake = || {
            let path = "/v1/reservations/r-1/commit";
            shop.ask(Method::POST, path, &json!({"if_expired": "retake"}))
        };
        for closed in [json!({"active": false}), json!({"markets": ["FR"]})] {
            assert_eq!(shop.put("/v1/warehouses/leeds", &closed).0, 200);
            let (status, no) = retake();
            assert_eq!((status, &no["code"], &no["short"][0]["available"]), (409, &json!("out-of-stock"), &json!(0)));
        }
        assert_eq!(shop.put("/v1/warehouses/leeds", &json!({"markets": ["FR", "GB"]})).0, 200);
        assert_eq!(retake().1["status"], "committed");
    });
}

#[test]
fn a_reservation_says_how_it_may_be_served() {
    let order = ["north", "west"].map(|warehouse| warehouse.parse().expect("a warehouse")).to_vec();
    let config = inventory::Config { warehouses: order, allow_split: false, ..inventory::Config::default() };
    everywhere_with(&config, |shop| {
        for (name, sku, warehouse, quantity) in
            [("m-1", "a", "north", 2), ("m-2", "a", "south", 9), ("m-3", "b", "west", 9), ("m-4", "b", "south", 9)]
        {
            shop.receive(name, sku, warehouse, quantity);
        }
        let both = [("a", 2), ("b", 2)];
        assert_eq!(reserve(shop, "r-1", &both, &json!({})), json!([[["north", 2]], [["west", 2]]]));
        assert_eq!(shop.post("/v1/reservations/r-1/release").0, 200);
        let few = json!({"allocation": "fewest_parcels"});
        assert_eq!(reserve(shop, "r-2", &both, &few), json!([[["south", 2]], [["south", 2]]]));
        let (_, shown) = shop.get("/v1/reservations/r-2");
        assert_eq!(
            (&shown["allocation"], shown.get("split"), shown.get("market")),
            (&json!("fewest_parcels"), None, None)
        );
        let mut again = crate::shop::lines(&both);
        assert_eq!(shop.put("/v1/reservations/r-2", &again).1["code"], "different-content");
        again["allocation"] = json!("fewest_parcels");
        assert_eq!(shop.put("/v1/reservations/r-2", &again).0, 200);
        // The operator splits no line; this one may be.
        assert_eq!(reserve(shop, "r-3", &[("a", 8)], &json!({}))["short"][0]["available"], 7);
        assert_eq!(reserve(shop, "r-4", &[("a", 8)], &json!({"split": true})), json!([[["north", 2], ["south", 6]]]));
        assert_eq!(shop.put("/v1/warehouses/south", &json!({"priority": 0, "markets": ["FR"]})).0, 200);
        let british = json!({"market": "GB", "split": true});
        assert_eq!(reserve(shop, "r-5", &[("b", 16)], &british)["short"][0]["available"], 9);
        assert_eq!(reserve(shop, "r-6", &[("b", 1)], &json!({"market": "FR"})), json!([[["south", 1]]]), "by priority");
        let (status, no) = shop.put(
            "/v1/reservations/r-7",
            &json!({"lines": [{"sku": "a", "quantity": 1}], "allocation": "best", "split": 1, "market": ""}),
        );
        let pointers: Vec<_> = no["errors"].as_array().expect("faults").iter().map(|e| &e["pointer"]).collect();
        assert_eq!((status, json!(pointers)), (422, json!(["/allocation", "/split", "/market"])));
    });
}

#[test]
fn whoever_keeps_a_copy_takes_it_anew_when_something_was_said_of_a_warehouse() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 1);
        assert_eq!(shop.put("/v1/warehouses/leeds", &json!({"active": false})).0, 200);
        shop.receive("m-2", "b", "leeds", 1);
        let (_, first) = shop.get("/v1/availability");
        let skus: Value = first["items"].as_array().expect("items").iter().map(|item| item["sku"].clone()).collect();
        assert_eq!(skus, json!(["a"]), "what has changed before it is told");
        let after = |next: &Value| shop.get(&format!("/v1/availability?after={}", next.as_str().expect("a place")));
        let (status, no) = after(&first["next"]);
        assert_eq!((status, &no["code"]), (410, &json!("snapshot-again")));
        let snapshot = wait(shop.tell(Method::GET, "/v1/availability-snapshot", &Value::Null, None)).body;
        let lines: Vec<Value> = String::from_utf8(snapshot)
            .expect("text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!((&lines[0]["sku"], &lines[0]["available"]), (&json!("a"), &json!(0)));
        let (status, rest) = after(&lines[2]["done"]["next"]);
        assert_eq!((status, &rest["items"]), (200, &json!([])));
    });
}

#[test]
fn what_could_be_had_at_a_time_is_told_by_which_warehouses_were_active_then() {
    everywhere(|shop| {
        shop.receive("m-1", "a", "leeds", 3);
        assert_eq!(shop.put("/v1/warehouses/leeds", &json!({"active": true, "priority": 1})).0, 200);
        let open = World::real().now();
        assert_eq!(shop.put("/v1/warehouses/leeds", &json!({"active": false})).0, 200);
        let closed = World::real().now();
        assert_eq!(shop.put("/v1/warehouses/leeds", &json!({})).0, 200);
        for (at, available) in [(open, 3), (closed, 0)] {
            let (status, then) = shop.get(&format!("/v1/stock/a?at={at}"));
            assert_eq!((status, &then["available"]), (200, &json!(available)), "{then}");
        }
        assert_eq!(shop.get("/v1/stock/a").1["available"], 3);
    });
}

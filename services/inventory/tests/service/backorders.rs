//! Promises without stock, and those that a stock-take takes pieces from.

use axum::http::Method;
use serde_json::{Value, json};

use crate::shop::{Running, everywhere, everywhere_with, lines};

const MARCH: &str = "2036-03-01T00:00:00.000000Z";

fn offer(shop: &Running, sku: &str, limit: i64) {
    let offer = json!({"discontinued": false, "backorder_limit": limit, "available_from": MARCH});
    let (status, said) = shop.put(&format!("/v1/skus/{sku}"), &offer);
    assert_eq!((status, &said["backorder_limit"], &said["available_from"]), (200, &json!(limit), &json!(MARCH)));
}

/// Reserves pieces from the main warehouse.
fn reserve(shop: &Running, name: &str, sku: &str, quantity: i64) -> (u16, Value) {
    reserve_in(shop, name, sku, "main", quantity)
}

fn reserve_in(shop: &Running, name: &str, sku: &str, warehouse: &str, quantity: i64) -> (u16, Value) {
    let line = json!({"sku": sku, "quantity": quantity, "warehouse": warehouse});
    shop.put(&format!("/v1/reservations/{name}"), &json!({"lines": [line]}))
}

fn owed(shop: &Running, name: &str) -> i64 {
    let (_, reservation) = shop.get(&format!("/v1/reservations/{name}"));
    let parts =
        reservation["lines"].as_array().expect("lines").iter().filter_map(|line| line["allocations"].as_array());
    parts.flatten().map(|part| part["owed"].as_i64().unwrap_or(0)).sum()
}

fn queue(shop: &Running, state: &str) -> Vec<(String, i64, i64)> {
    let (status, page) = shop.get(&format!("/v1/shortfalls?state={state}"));
    assert_eq!(status, 200, "{page:#}");
    let number = |item: &Value, name: &str| item[name].as_i64().expect("a number");
    let shown = |item: &Value| {
        let reservation = item["reservation"].as_str().expect("a name").to_owned();
        (reservation, number(item, "owed"), number(item, "missing"))
    };
    page["items"].as_array().expect("items").iter().map(shown).collect()
}

fn resolve(shop: &Running, reservation: &str, how: &Value) -> (u16, Value) {
    let mut body = json!({"reservation": reservation, "sku": "a", "warehouse": "main", "reason": "said so"});
    body.as_object_mut().expect("an object").extend(how.as_object().expect("an object").clone());
    shop.ask(Method::POST, "/v1/shortfalls/resolve", &body)
}

#[test]
fn what_is_not_there_yet_is_promised_up_to_its_limit_and_served_in_that_order() {
    everywhere(|shop| {
        offer(shop, "a", 5);
        let (status, stock) = shop.get("/v1/stock/a");
        assert_eq!((status, &stock["backorder_left"], &stock["warehouses"]), (200, &json!(5), &json!([])));
        for (name, quantity) in [("first", 2), ("second", 2), ("third", 1)] {
            let (status, reservation) = reserve(shop, name, "a", quantity);
            assert_eq!((status, &reservation["lines"][0]["available_from"]), (201, &json!(MARCH)), "{reservation:#}");
        }
        let (status, no) = reserve(shop, "fourth", "a", 1);
        let short = json!([{"sku": "a", "wanted": 1, "available": 0, "available_from": MARCH}]);
        assert_eq!((status, &no["code"], &no["short"]), (409, &json!("out-of-stock"), &short));
        let (_, stock) = shop.get("/v1/stock/a");
        assert_eq!(
            (&stock["owed"], &stock["backorder_left"], &stock["signal"]),
            (&json!(5), &json!(0), &json!("gone"))
        );
        assert_eq!(queue(shop, "open"), [], "nobody has to decide anything");
        let waiting: Vec<_> = queue(shop, "waiting").into_iter().map(|(name, ..)| name).collect();
        assert_eq!(waiting, ["first", "second", "third"]);
        shop.receive("some", "a", "main", 3);
        assert_eq!(["first", "second", "third"].map(|name| owed(shop, name)), [0, 1, 1]);
        assert_eq!(shop.post("/v1/reservations/first/release").0, 200);
        assert_eq!(["second", "third"].map(|name| owed(shop, name)), [0, 0]);
        assert_eq!((shop.level("a")["owed"].as_i64(), shop.said("BackorderServed")), (Some(0), 4));
    });
}

#[test]
fn what_never_lay_anywhere_is_promised_once_a_warehouse_is_known() {
    everywhere(|shop| {
        offer(shop, "a", 5);
        let (status, no) = shop.put("/v1/reservations/r-1", &lines(&[("a", 2)]));
        let short = json!([{"sku": "a", "wanted": 2, "available": 0, "available_from": MARCH}]);
        assert_eq!((status, &no["short"]), (409, &short));
        assert_eq!(shop.put("/v1/warehouses/main", &json!({"name": "Main"})).0, 200);
        let (status, held) = shop.put("/v1/reservations/r-2", &lines(&[("a", 2)]));
        let parts = json!([{"warehouse": "main", "quantity": 2, "owed": 2}]);
        assert_eq!((status, &held["lines"][0]["allocations"]), (201, &parts));
    });
}

#[test]
fn what_is_owed_moves_to_no_warehouse_that_is_closed_or_does_not_serve_it() {
    everywhere(|shop| {
        shop.receive("goods", "a", "main", 4);
        let line = json!([{"sku": "a", "quantity": 2, "warehouse": "main"}]);
        assert_eq!(shop.put("/v1/reservations/here", &json!({"lines": line, "market": "GB"})).0, 201);
        assert_eq!(shop.put("/v1/reservations/anywhere", &json!({"lines": line})).0, 201);
        shop.put("/v1/stock-movements/count", &json!({"type": "count", "sku": "a", "warehouse": "main", "counted": 0}));
        shop.receive("elsewhere", "a", "west", 9);
        let offered = || {
            let (_, page) = shop.get("/v1/shortfalls");
            let of =
                |item: &Value| (item["reservation"].as_str().expect("a name").to_owned(), item["elsewhere"].clone());
            page["items"].as_array().expect("items").iter().map(of).collect::<Vec<_>>()
        };
        let west = |site: Value| assert_eq!(shop.put("/v1/warehouses/west", &site).0, 200);
        let moves = |name: &str| {
            let (status, said) = resolve(shop, name, &json!({"how": "move", "to": "west"}));
            (status, said["available"].clone())
        };
        west(json!({"active": false}));
        assert_eq!(offered(), [("here".to_owned(), json!([])), ("anywhere".to_owned(), json!([]))]);
        assert_eq!((moves("here"), moves("anywhere")), ((409, json!(0)), (409, json!(0))));
        west(json!({"active": true, "markets": ["DE"]}));
        let there = json!([{"warehouse": "west", "available": 9}]);
        assert_eq!(offered(), [("here".to_owned(), json!([])), ("anywhere".to_owned(), there.clone())]);
        assert_eq!((moves("here"), moves("anywhere")), ((409, json!(0)), (200, Value::Null)));
        west(json!({"active": true, "markets": ["DE", "GB"]}));
        assert_eq!(offered(), [("here".to_owned(), json!([{"warehouse": "west", "available": 7}]))]);
        assert_eq!(moves("here"), (200, Value::Null));
    });
}

#[test]
fn whoever_keeps_a_copy_hears_of_what_may_be_promised_without_stock() {
    everywhere(|shop| {
        shop.receive("b", "b", "main", 1);
        offer(shop, "a", 5);
        offer(shop, "c", 7);
        let (_, changes) = shop.get("/v1/availability");
        let left = |changes: &Value| -> Vec<(Value, Value)> {
            let items = changes["items"].as_array().expect("items").iter();
            items.map(|item| (item["sku"].clone(), item["backorder_left"].clone())).collect()
        };
        assert_eq!(left(&changes), [("a".into(), json!(5)), ("b".into(), json!(null)), ("c".into(), json!(7))]);
        let told = crate::shop::wait(shop.tell(Method::GET, "/v1/availability-snapshot", &Value::Null, None));
        let text = String::from_utf8(told.body).expect("text");
        let skus: Vec<Value> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["sku"].clone()).collect();
        assert_eq!(skus, [json!("a"), json!("b"), json!("c"), json!(null)], "{text}");
    });
}

#[test]
fn people_decide_what_becomes_of_promises_that_a_stock_take_took_pieces_from() {
    everywhere(|shop| {
        shop.receive("goods", "a", "main", 6);
        for name in ["first", "second", "third"] {
            assert_eq!(reserve(shop, name, "a", 2).0, 201);
        }
        let count = json!({"type": "count", "sku": "a", "warehouse": "main", "counted": 1});
        let (_, counted) = shop.put("/v1/stock-movements/count", &count);
        assert_eq!((&counted["level"]["owed"], &counted["level"]["reserved"]), (&json!(5), &json!(1)), "{counted:#}");
        let fell_short = [("first".to_owned(), 1, 1), ("second".to_owned(), 2, 2), ("third".to_owned(), 2, 2)];
        assert_eq!((queue(shop, "open"), queue(shop, "waiting")), (fell_short.to_vec(), vec![]));
        let (status, no) = resolve(shop, "second", &json!({"how": "move", "to": "west"}));
        assert_eq!((status, &no["code"], &no["wanted"]), (409, &json!("not-available"), &json!(2)));
        shop.receive("elsewhere", "a", "west", 2);
        let (status, moved) = resolve(shop, "second", &json!({"how": "move", "to": "west"}));
        let parts = json!([{"warehouse": "west", "quantity": 2}]);
        assert_eq!((status, &moved["lines"][0]["allocations"]), (200, &parts));
        let (status, released) = resolve(shop, "third", &json!({"how": "release"}));
        assert_eq!((status, &released["status"]), (200, &json!("released")));
        assert_eq!(resolve(shop, "third", &json!({"how": "release"})).1["code"], "not-owed");
        assert_eq!(resolve(shop, "first", &json!({"how": "wait"})).0, 200);
        assert_eq!((queue(shop, "open"), queue(shop, "waiting")), (vec![], vec![("first".to_owned(), 1, 0)]));
        shop.receive("found", "a", "main", 1);
        assert_eq!((owed(shop, "first"), queue(shop, "waiting")), (0, vec![]));
        let pointers = |how: &Value| {
            let (_, no) = resolve(shop, "first", how);
            no["errors"]
                .as_array()
                .map(|errors| errors.iter().map(|error| error["pointer"].clone()).collect::<Vec<_>>())
        };
        assert_eq!(pointers(&json!({"how": "move"})), Some(vec!["/to".into()]));
        assert_eq!(pointers(&json!({"how": "move", "to": "main"})), Some(vec!["/to".into()]));
        assert_eq!(pointers(&json!({"how": "wait", "to": "west"})), Some(vec!["/to".into()]));
        assert_eq!(pointers(&json!({"how": "perhaps"})), Some(vec!["/how".into()]));
    });
}

#[test]
fn firm_promises_fall_short_too_and_their_goods_leave_once_they_are_there() {
    let config = inventory::Config { ship_on_commit: true, ..inventory::Config::default() };
    everywhere_with(&config, |shop| {
        shop.receive("goods", "a", "main", 3);
        assert_eq!(reserve(shop, "firm", "a", 3).0, 201);
        let counted = |name: &str, counted: i64| {
            let count = json!({"type": "count", "sku": "a", "warehouse": "main", "counted": counted});
            shop.put(&format!("/v1/stock-movements/{name}"), &count).0
        };
        assert_eq!(counted("c-1", 2), 201);
        assert_eq!(shop.post("/v1/reservations/firm/commit").1["status"], "committed");
        assert_eq!((counted("c-2", 0), owed(shop, "firm")), (201, 3));
        assert_eq!(shop.post("/v1/reservations/firm/ship").1["code"], "goods-missing");
        shop.receive("more", "a", "main", 4);
        assert_eq!(shop.get("/v1/reservations/firm").1["status"], "shipped");
        assert_eq!(shop.level("a")["on_hand"], 1);
    });
}

#[test]
fn more_are_owed_than_one_delivery_serves_and_none_is_forgotten() {
    everywhere(|shop| {
        offer(shop, "a", 400);
        for number in 0..200 {
            assert_eq!(reserve(shop, &format!("r-{number}"), "a", 2).0, 201);
        }
        for (delivery, quantity) in [3, 1, 250].into_iter().enumerate() {
            shop.receive(&format!("d-{delivery}"), "a", "main", quantity);
        }
        let level = shop.level("a");
        assert_eq!((&level["reserved"], &level["owed"]), (&json!(254), &json!(146)));
        assert_eq!([0, 126, 127, 199].map(|number| owed(shop, &format!("r-{number}"))), [0, 0, 2, 2]);
        let (_, page) = shop.get("/v1/shortfalls?state=waiting&limit=50");
        let (_, next) = shop.get(&format!(
            "/v1/shortfalls?state=waiting&limit=50&after={}",
            page["next"].as_str().expect("a second page")
        ));
        assert_eq!((&page["items"][0]["reservation"], &next["next"]), (&json!("r-127"), &Value::Null));
        assert_eq!(next["items"].as_array().map(Vec::len), Some(23));
    });
}

#[test]
fn those_whom_a_delivery_does_not_serve_at_once_are_served_soon_after_it() {
    everywhere(|shop| {
        offer(shop, "a", 300);
        for number in 0..300 {
            assert_eq!(reserve(shop, &format!("r-{number}"), "a", 1).0, 201);
        }
        shop.receive("goods", "a", "main", 301);
        testkit::eventually("all are served", || shop.level("a")["owed"] == 0);
        assert_eq!((shop.said("BackorderServed"), shop.level("a")["available"].as_i64()), (300, Some(1)));
    });
}

#[test]
fn whoever_is_owed_pieces_in_another_warehouse_stands_in_nobodys_way() {
    everywhere(|shop| {
        offer(shop, "a", 9);
        for (name, warehouse) in [("main-1", "main"), ("west", "west"), ("main-2", "main")] {
            assert_eq!(reserve_in(shop, name, "a", warehouse, 1).0, 201);
        }
        let waiting: Vec<_> = queue(shop, "waiting").into_iter().map(|(name, ..)| name).collect();
        assert_eq!(waiting, ["main-1", "main-2", "west"], "by warehouse");
        shop.receive("goods", "a", "west", 1);
        assert_eq!(["main-1", "main-2", "west"].map(|name| owed(shop, name)), [1, 1, 0]);
    });
}

#[test]
fn how_much_could_be_promised_without_stock_at_a_time_is_known() {
    everywhere(|shop| {
        shop.receive("goods", "a", "main", 1);
        let before = shop.database.world().now();
        offer(shop, "a", 5);
        assert_eq!(reserve(shop, "r", "a", 3).0, 201);
        let then = shop.database.world().now();
        offer(shop, "a", 9);
        shop.receive("more", "a", "main", 9);
        let at = |at: world::Moment| shop.get(&format!("/v1/stock/a?at={at}")).1;
        assert_eq!((&at(before)["backorder_limit"], &at(before)["owed"]), (&Value::Null, &json!(0)));
        let stock = at(then);
        let shown =
            ["on_hand", "reserved", "owed", "backorder_limit", "backorder_left"].map(|name| stock[name].as_i64());
        assert_eq!(shown, [1, 1, 2, 5, 3].map(Some), "{stock:#}");
    });
}

#[test]
fn an_order_of_lines_that_are_partly_there_is_held_whole() {
    everywhere(|shop| {
        shop.receive("a", "a", "main", 1);
        shop.receive("b", "b", "main", 1);
        offer(shop, "a", 2);
        let (status, no) = shop.put("/v1/reservations/too-much", &lines(&[("a", 3), ("b", 2)]));
        assert_eq!((status, no["short"].as_array().map(Vec::len)), (409, Some(1)), "{no:#}");
        let (status, held) = shop.put("/v1/reservations/r", &lines(&[("a", 3), ("b", 1)]));
        assert_eq!((status, &held["lines"][0]["allocations"][0]["owed"]), (201, &json!(2)), "{held:#}");
    });
}

#[test]
fn goods_of_other_skus_leave_with_those_that_they_waited_for() {
    let config = inventory::Config { ship_on_commit: true, ..inventory::Config::default() };
    everywhere_with(&config, |shop| {
        shop.receive("b", "b", "main", 3);
        shop.receive("other", "a", "main", 1);
        assert_eq!(reserve(shop, "other", "a", 1).0, 201);
        offer(shop, "a", 2);
        assert_eq!(shop.put("/v1/reservations/r", &lines(&[("a", 1), ("b", 2)])).0, 201);
        assert_eq!(shop.post("/v1/reservations/r/commit").1["status"], "committed");
        assert_eq!(shop.post("/v1/reservations/other/release").0, 200);
        assert_eq!(shop.get("/v1/reservations/r").1["status"], "shipped");
        assert_eq!((&shop.level("a")["on_hand"], &shop.level("b")["on_hand"]), (&json!(0), &json!(1)));
    });
}

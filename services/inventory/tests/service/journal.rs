//! The journal, and what it tells of a time that is past.

use axum::http::Method;
use db::{Context, Location, MemoryDisk, NewEvent, Trace};
use serde_json::{Value, json};

use crate::shop::{Running, everywhere, lines, wait};

/// All entries that fit, so many a page.
fn journal(shop: &Running, query: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = shop.get(&format!("/v1/stock-journal?limit={limit}{query}{after}"));
        assert_eq!(status, 200, "{page:#}");
        let found = page["items"].as_array().expect("items");
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        let Some(next) = page["next"].as_str() else { return items };
        after = format!("&after={next}");
    }
}

/// What of an entry does not differ from run to run.
fn told(entries: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let name = |entry: &Value| text(&entry["movement"]) + &text(&entry["reservation"]);
    entries.iter().map(|entry| (text(&entry["type"]), name(entry))).collect()
}

fn effect(sku: &str, warehouse: &str, numbers: [i64; 4]) -> Value {
    let [on_hand, held, firm, in_transit] = numbers;
    json!({
        "sku": sku, "warehouse": warehouse, "on_hand": on_hand, "held": held, "firm": firm, "owed": 0, "in_transit": in_transit,
    })
}

fn without_level(entry: &Value) -> Vec<Value> {
    let effects = entry["effects"].as_array().expect("effects").clone();
    effects
        .into_iter()
        .map(|mut effect| {
            effect.as_object_mut().expect("an effect").remove("level");
            effect
        })
        .collect()
}

/// A little of everything, on two SKUs in two warehouses.
fn some_days_in_a_shop(shop: &Running) {
    let delivery = json!({
        "type": "receive", "sku": "tea \"250\" 100%_!", "warehouse": "main", "quantity": 10, "reference": "note 4711",
    });
    assert_eq!(shop.put("/v1/stock-movements/delivery", &delivery).0, 201);
    shop.receive("mugs", "mug", "main", 5);
    let both = json!({"lines": [{"sku": "mug", "quantity": 2}, {"sku": "tea \"250\" 100%_!", "quantity": 3}]});
    assert_eq!(shop.put("/v1/reservations/basket", &both).0, 201);
    assert_eq!(shop.put("/v1/reservations/too-much", &lines(&[("mug", 99)])).0, 409);
    assert_eq!(shop.post("/v1/reservations/basket/commit").0, 200);
    let count = json!({
        "type": "count", "sku": "mug", "warehouse": "main", "counted": 2, "reason": "one is broken",
    });
    assert_eq!(shop.put("/v1/stock-movements/count", &count).0, 201);
    let lorry =
        json!({"type": "transfer", "sku": "mug", "from": "main", "to": "north", "quantity": 2, "in_transit": true});
    assert_eq!(shop.put("/v1/stock-movements/lorry", &lorry).0, 201);
    let arrived = shop.ask(Method::POST, "/v1/stock-movements/lorry/arrive", &json!({"quantity": 1}));
    assert_eq!(arrived.0, 200);
}

#[test]
fn each_entry_says_what_it_changed_by_whom_and_why() {
    everywhere(|shop| {
        some_days_in_a_shop(shop);
        let all = journal(shop, "", 500);
        let types: Vec<_> = told(&all).into_iter().map(|(of_type, _)| of_type).collect();
        assert_eq!(
            types,
            [
                "SupplierShipmentReceived",
                "SupplierShipmentReceived",
                "StockReserved",
                "StockCommitted",
                "StockCounted",
                "StockTransferStarted",
                "StockTransferArrived",
                "StockLostInTransit"
            ],
            "what changed nothing does not stand there"
        );
        let first = &all[0];
        assert_eq!(
            (&first["actor"], &first["owner"], &first["origin"]),
            (&json!("local"), &json!("local"), &json!("native"))
        );
        assert_eq!((&first["movement"], &first["reference"]), (&json!("delivery"), &json!("note 4711")));
        assert_eq!(first["effects"][0]["level"]["available"], 10);
        let cause = first["cause"].as_str().expect("a cause");
        assert!(!cause.is_empty() && first["correlation"] == cause, "{first:#}");
        assert_eq!(all[4]["reason"], "one is broken");
        assert_eq!(without_level(&all[4]), [effect("mug", "main", [-1, 0, 0, 0])]);
        assert_eq!(all[2]["reservation"], "basket");
        let held = [effect("mug", "main", [0, 2, 0, 0]), effect("tea \"250\" 100%_!", "main", [0, 3, 0, 0])];
        assert_eq!(without_level(&all[2]), held);
        let shipped = [effect("mug", "main", [-2, -2, 0, 0]), effect("tea \"250\" 100%_!", "main", [-3, -3, 0, 0])];
        assert_eq!(without_level(&all[3]), shipped, "it was made firm and left the shelf at once");
        let moved = [effect("mug", "main", [-2, 0, 0, 0]), effect("mug", "north", [0, 0, 0, 2])];
        assert_eq!(without_level(&all[5]), moved);
        assert_eq!(without_level(&all[6]), [effect("mug", "north", [1, 0, 0, -1])]);
        assert_eq!(without_level(&all[7]), [effect("mug", "north", [0, 0, 0, -1])]);
    });
}

#[test]
fn what_was_asked_for_is_found_and_nothing_else_however_it_is_paged() {
    everywhere(|shop| {
        some_days_in_a_shop(shop);
        let all = journal(shop, "", 500);
        for (query, places) in [
            ("&sku=mug", &[1, 2, 3, 4, 5, 6, 7][..]),
            ("&sku=tea%20%22250%22%20100%25_!", &[0, 2, 3]),
            ("&sku=MUG", &[]),
            ("&sku=tea", &[]),
            ("&warehouse=north", &[5, 6, 7]),
            ("&sku=mug&warehouse=main", &[1, 2, 3, 4, 5]),
            ("&reference=note%204711", &[0]),
            ("&reference=note", &[]),
            ("&reference=basket", &[2, 3]),
            ("&reference=lorry", &[5, 6, 7]),
            ("&actor=local", &[0, 1, 2, 3, 4, 5, 6, 7]),
            ("&actor=client:shop", &[]),
        ] {
            let wanted: Vec<_> = places.iter().map(|place| told(&all)[*place].clone()).collect();
            for limit in [1, 2, 500] {
                assert_eq!(told(&journal(shop, query, limit)), wanted, "{query} by {limit}");
            }
        }
        let only_tea = journal(shop, "&sku=tea%20%22250%22%20100%25_!", 1);
        assert_eq!(without_level(&only_tea[1]), [effect("tea \"250\" 100%_!", "main", [0, 3, 0, 0])]);
        for (place, entry) in all.iter().enumerate() {
            let at = entry["recorded_at"].as_str().expect("a time");
            let at_or_later = all.iter().filter(|other| other["recorded_at"].as_str() >= Some(at)).count();
            assert_eq!(journal(shop, &format!("&from={at}"), 3).len(), at_or_later, "{place}");
            assert_eq!(journal(shop, &format!("&to={at}"), 3).len(), all.len() - at_or_later, "{place}");
            assert_eq!(journal(shop, &format!("&from={at}&to={at}"), 3).len(), 0, "{place}");
        }
    });
}

#[test]
fn a_question_that_cannot_be_is_refused_with_all_its_faults() {
    everywhere(|shop| {
        let (status, problem) = shop.get("/v1/stock-journal?actor=root&from=yesterday&warehouse=a%20b&limit=0&sku=");
        let errors = problem["errors"].as_array().expect("errors").iter();
        let pointers: Vec<_> = errors.map(|error| error["pointer"].as_str().expect("a place")).collect();
        assert_eq!((status, pointers), (400, vec!["?sku", "?warehouse", "?actor", "?from", "?limit"]));
        let (status, _) = shop.get("/v1/stock-journal?after=AXsifQ");
        assert_eq!(status, 400, "a cursor of another list");
    });
}

#[test]
fn stock_at_a_time_is_what_the_journal_up_to_then_makes_of_it() {
    everywhere(|shop| {
        // What is read between two acts, and when that was.
        let mut seen: Vec<(world::Moment, Value)> = Vec::new();
        let mut look = || {
            std::thread::sleep(std::time::Duration::from_millis(2));
            seen.push((shop.database.world().now(), shop.get("/v1/stock/mug").1));
            std::thread::sleep(std::time::Duration::from_millis(2));
        };
        shop.receive("first", "mug", "main", 5);
        look();
        some_days_in_a_shop(shop);
        look();
        assert_eq!(shop.put("/v1/skus/mug", &json!({"discontinued": true})).0, 200);
        look();
        assert_eq!(shop.put("/v1/skus/mug", &json!({"discontinued": false})).0, 200);
        shop.receive("again", "mug", "main", 4);
        assert_eq!(shop.put("/v1/reservations/later", &lines(&[("mug", 3)])).0, 201);
        look();
        let count = json!({"type": "count", "sku": "mug", "warehouse": "main", "counted": 0});
        assert_eq!(shop.put("/v1/stock-movements/gone", &count).0, 201);
        look();
        shop.receive("more", "mug", "south", 1);
        for (at, stock) in &seen {
            let (status, mut then) = shop.get(&format!("/v1/stock/mug?at={at}"));
            // A warehouse in which there was nothing yet says so.
            let warehouses = stock["warehouses"].as_array().expect("warehouses");
            let was_there = |level: &Value| warehouses.iter().any(|there| there["warehouse"] == level["warehouse"]);
            then["warehouses"].as_array_mut().expect("warehouses").retain(was_there);
            assert_eq!((status, &then), (200, stock), "at {at}");
        }
        assert_eq!(shop.get("/v1/stock/mug?at=2020-01-01T00:00:00Z").1["on_hand"], 0, "before it first came in");
        assert_eq!(shop.get("/v1/stock/mug?at=2999-01-01T00:00:00Z").1, shop.get("/v1/stock/mug").1);
        assert_eq!(shop.get("/v1/stock/cup?at=2020-01-01T00:00:00Z").0, 404);
        assert_eq!(shop.get("/v1/stock/mug?at=yesterday").0, 400);
    });
}

#[test]
fn a_page_looks_at_so_many_bytes_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    for location in [
        Location::Memory(MemoryDisk::empty()),
        Location::File(folder.path().join("inventory.db")),
        Location::Postgres(testkit::Postgres::shared().database()),
    ] {
        let shop = Running::on(location, &inventory::Config::default());
        shop.receive("first", "a", "main", 1);
        // More than 64 MiB that nobody asks for.
        for _ in 0..11 {
            let publish = |tx: &mut db::Tx<'_>| {
                for _ in 0..100 {
                    let (stream, occurred_at) = (tx.number(), tx.now());
                    let by = Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: false });
                    let (kind, body) = ("StockReserved", format!("{{\"large\":\"{}\"}}", "x".repeat(72 * 1024)));
                    let subject = "b".to_owned();
                    tx.publish(NewEvent { stream, version: 1, subject, kind, schema: 1, occurred_at, by, body });
                }
                Ok(())
            };
            wait(shop.database.write(publish)).expect("they are published");
        }
        shop.receive("last", "a", "main", 1);
        let (_, page) = shop.get("/v1/stock-journal?sku=a");
        assert_eq!(told(page["items"].as_array().expect("items")).len(), 1, "{page:#}");
        assert!(page["next"].is_string(), "it has not looked at all: {page:#}");
        assert_eq!(told(&journal(&shop, "&sku=a", 500)).len(), 2);
        let begun = &page["items"][0]["recorded_at"].as_str().expect("a time");
        assert_eq!(shop.get(&format!("/v1/stock/a?at={begun}")).1["on_hand"], 1);
    }
}

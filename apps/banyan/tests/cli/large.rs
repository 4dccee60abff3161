use serde_json::{Value, json};

use crate::binary::{Server, ask};

/// Takes stock in, eight movements at once.
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself")]
fn receive(server: &Server, levels: Vec<(String, String)>) {
    let address = server.address;
    let mut pieces: Vec<_> = (0..8).map(|_| Vec::new()).collect();
    for (number, level) in levels.into_iter().enumerate() {
        pieces[number % 8].push((number, level));
    }
    let threads = pieces.into_iter().map(|piece| {
        std::thread::spawn(move || {
            for (number, (sku, warehouse)) in piece {
                let movement = json!({"type": "receive", "sku": sku, "warehouse": warehouse, "quantity": 1});
                let path = format!("/v1/stock-movements/{}-{number}", sku.len());
                assert_eq!(ask(address, "PUT", &path, "", &movement).0, 201);
            }
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("all goods come in"));
}

fn order(server: &Server, name: &str, lines: &[(&str, i64)]) -> (u16, Value) {
    let price = json!({"amount": 100, "currency": "GBP"});
    let line = |(sku, quantity): &(&str, i64)| json!({"sku": sku, "quantity": quantity, "unit_price": price});
    let lines: Vec<_> = lines.iter().map(line).collect();
    server.put(&format!("/v1/orders/{name}"), &json!({"lines": lines, "payment": {"method": "pm_card_visa"}}))
}

#[test]
fn the_largest_order_is_confirmed_and_one_from_too_many_warehouses_ends_and_holds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    let filler = "\u{1f375}".repeat(63);
    let first = |number: u32| char::from_u32(0x2_0000 + number).expect("a character of four bytes");
    let skus: Vec<_> = (0..576).map(|number| format!("{}{filler}", first(number))).collect();
    receive(&server, skus.iter().map(|sku| (sku.clone(), "w".repeat(64))).collect());
    let lines: Vec<_> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
    let (status, largest) = order(&server, "o-1", &lines);
    assert_eq!((status, &largest["status"]), (201, &json!("confirmed")));
    let (status, none_left) = order(&server, "o-2", &lines);
    assert_eq!((status, &none_left["reason"]), (201, &json!("out_of_stock")));
    let (status, no) = order(&server, "o-3", &[lines, vec![("more", 1), ("and more", 1), ("x", 1)]].concat());
    assert_eq!((status, &no["errors"][0]["pointer"]), (422, &json!("/lines")));

    receive(&server, (0..1_817).map(|place| ("a".to_owned(), format!("{place:064}"))).collect());
    let (status, scattered) = order(&server, "o-4", &[("a", 1_817)]);
    assert_eq!(
        (status, &scattered["status"], &scattered["reason"]),
        (201, &json!("cancelled"), &json!("out_of_stock"))
    );
    assert_eq!(server.get("/v1/stock/a").1["available"], 1_817);
    assert_eq!(order(&server, "o-5", &[("a", 1_816)]).1["status"], "confirmed");
    let put_aside = ["/v1/parked-events", "/v1/dead-letters"].map(|path| server.get(path).1["items"].clone());
    assert_eq!(put_aside, [json!([]), json!([])]);
}

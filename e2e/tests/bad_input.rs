//! Whatever is sent, the answer is a problem document and the server stays healthy.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use e2e::{On, Shop, order, receive};
use serde_json::{Value, json};

const CARD: &str = "4242424242424242";

fn is_a_problem(what: &str, answer: std::io::Result<(u16, Value)>, statuses: &[u16]) -> Value {
    let (status, problem) = answer.unwrap_or_else(|error| panic!("{what}: no answer: {error}"));
    assert!(statuses.contains(&status), "{what}: {status} {problem}");
    for member in ["type", "code", "title", "status", "detail"] {
        assert!(!problem[member].is_null(), "{what}: the problem has no {member}: {problem}");
    }
    problem
}

#[test]
fn every_bad_request_is_answered_with_a_problem() {
    let shop = Shop::open(&On::Sqlite);
    let mut client = shop.client();
    for (what, body) in [
        ("no JSON", "{\"lines\":"),
        ("nothing", ""),
        ("a list", "[]"),
        ("two of one key", "{\"lines\":[],\"lines\":[]}"),
        ("deeply nested", &"[".repeat(100_000)),
        ("no UTF-8 escape", "\"\\ud800\""),
    ] {
        is_a_problem(what, client.ask("PUT", "/v1/orders/o-1", &[], body.as_bytes()), &[400, 422]);
    }
    is_a_problem("bytes", client.ask("PUT", "/v1/orders/o-1", &[], &[0xff, 0xfe, 0x00]), &[400, 422]);
    let huge = vec![b'x'; 64 * 1024 * 1024];
    is_a_problem("64 MiB", shop.client().ask("PUT", "/v1/orders/o-1", &[], &huge), &[413]);
    for quantity in [json!(0), json!(-1), json!(1.5), json!(9_223_372_036_854_775_808_u64), json!("1"), json!(null)] {
        let line = json!({"sku": "a", "quantity": quantity, "unit_price": {"amount": 1, "currency": "GBP"}});
        let body = json!({"lines": [line], "payment": {"method": "pm_card_visa"}});
        let problem = is_a_problem("a quantity", client.put("/v1/orders/o-1", &body), &[422]);
        assert_eq!(problem["errors"][0]["pointer"], "/lines/0/quantity", "{quantity}: {problem}");
    }
    let over = [("a", 1_000_000, i64::MAX / 2), ("b", 1_000_000, 1 << 53), ("c", 1, -1)];
    for line in over {
        is_a_problem("a price", client.put("/v1/orders/o-1", &order(&[line], "pm_card_visa")), &[422]);
    }
    let mut two = order(&[("a", 1, 1), ("b", 1, 1)], "pm_card_visa");
    two["lines"][1]["unit_price"]["currency"] = json!("EUR");
    is_a_problem("two currencies", client.put("/v1/orders/o-1", &two), &[422]);
    let many = vec![("a", 1, 1); 20_000];
    is_a_problem("20,000 lines", shop.client().put("/v1/orders/o-1", &order(&many, "pm_card_visa")), &[413, 422]);
    is_a_problem("no lines", client.put("/v1/orders/o-1", &order(&[], "pm_card_visa")), &[422]);
    is_a_problem("a long id", client.put(&format!("/v1/orders/{}", "x".repeat(10_000)), &json!({})), &[422, 431]);
    for id in ["a%20b", "a%00b", "%C3%A9", "..%2F"] {
        is_a_problem(id, client.put(&format!("/v1/orders/{id}"), &order(&[("a", 1, 1)], "pm_card_visa")), &[422]);
    }
    is_a_problem(
        "a control character",
        client.put("/v1/orders/o-1", &order(&[("a\nb", 1, 1)], "pm_card_visa")),
        &[422],
    );
    is_a_problem("a long SKU", client.put("/v1/orders/o-1", &order(&[(&"é".repeat(65), 1, 1)], "pm")), &[422]);
    is_a_problem("no such path", client.get("/v2/orders"), &[404]);
    is_a_problem("no such method", client.ask("DELETE", "/v1/orders/o-1", &[], b""), &[405]);
    is_a_problem("a foreign cursor", client.get("/v1/orders?after=xyz"), &[400]);
    is_a_problem("a large page", client.get("/v1/orders?limit=501"), &[400]);
    assert_eq!(client.get("/v1/orders/o-1").expect("an answer").0, 404, "nothing of it became an order");
    assert_eq!(client.get("/health/ready").expect("an answer").0, 200);
    assert!(!shop.log().contains("panicked"), "{}", shop.log());
}

#[test]
fn a_card_number_is_refused_not_logged_and_not_said_back() {
    let shop = Shop::open_with(&On::Sqlite, &[("LOG", "trace")]);
    let mut client = shop.client();
    let bodies = [
        order(&[("a", 1, 1)], CARD),
        order(&[("a", 1, 1)], "4242 4242 4242 4242"),
        json!({"lines": [], "payment": {"method": "pm_card_visa"}, "customer": CARD}),
        json!({"lines": [{"sku": "a", "quantity": CARD}], "payment": {"method": {"card": CARD}}}),
        json!({"lines": [], "payment": {"method": "pm_card_visa", "number": CARD}}),
    ];
    for body in bodies {
        let problem = is_a_problem("a card number", client.put("/v1/orders/o-1", &body), &[400, 422]);
        assert!(!problem.to_string().contains("4242"), "{problem}");
    }
    shop.client().get("/health/ready").expect("an answer");
    assert!(!shop.log().contains("4242"), "the card number stands in the log");
}

#[test]
fn ten_thousand_slow_connections_do_not_keep_others_out() {
    let shop = Shop::open_with(&On::Sqlite, &[("HTTP__HEAD_SECS", "5")]);
    assert_eq!(shop.client().put("/v1/stock-movements/m-1", &receive("a", 100)).expect("an answer").0, 201);
    let mut slow = Vec::new();
    for _ in 0..10_000 {
        match TcpStream::connect_timeout(&shop.address(), Duration::from_secs(2)) {
            Ok(mut connection) => {
                drop(connection.write_all(b"PUT /v1/orders/slow HTTP/1.1\r\nHost: l"));
                slow.push(connection);
            }
            Err(_) => break, // this machine gives a process no more connections
        }
    }
    let opened = slow.len();
    let (status, told) = shop.client().checkout("o-1", &order(&[("a", 1, 100)], "pm_card_visa")).expect("an answer");
    assert_eq!((status, &told["status"]), (201, &json!("confirmed")));
    println!("{opened} slow connections, {} KiB resident", shop.resident_kib());
    std::thread::sleep(Duration::from_secs(7));
    let mut first = slow.swap_remove(0);
    first.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    let mut said = Vec::new();
    let cut_off = first.read_to_end(&mut said).is_ok();
    assert!(cut_off, "a connection that says nothing is cut off");
    assert_eq!(shop.client().get("/health/ready").expect("an answer").0, 200);
}

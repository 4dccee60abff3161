use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::binary::{Server, ask, banyan};

#[test]
fn a_signal_ends_it_in_good_order() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::up(folder.path(), &[]);
        server.receive(5);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{}", server.said());
        assert!(server.said().contains("Stopped; everything that was asked is finished"), "{}", server.said());
    }
}

#[test]
fn who_waits_no_longer_is_told_how_the_order_stands_by_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(5);
    let (status, order) = ask(server.address, "PUT", "/v1/orders/o-1", "prefer: wait=1\r\n", &without_end());
    assert_eq!((status, &order["status"], &order["step"]), (202, &json!("pending"), &json!("authorizing")), "{order}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself")]
fn who_waits_for_longer_than_the_program_lives_is_answered_before_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]);
    let mut server = Server::start(up.env("BANYAN_HTTP__DRAIN_SECS", "4"));
    server.receive(5);
    let address = server.address;
    let asks = move || ask(address, "PUT", "/v1/orders/o-1", "prefer: wait=30\r\n", &without_end());
    let waits = std::thread::spawn(asks);
    sleep(Duration::from_millis(300));
    server.signal("TERM");
    let (status, order) = waits.join().expect("an answer");
    assert_eq!((status, &order["step"]), (202, &json!("authorizing")), "{order}");
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
}

/// An order that waits for its customer to confirm the payment at the bank.
fn without_end() -> Value {
    let line = json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
    json!({"lines": [line], "payment": {"method": "pm_card_authenticationRequired"}})
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself")]
fn an_order_that_is_waited_for_ends_before_the_program_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::up(folder.path(), &[]);
    server.receive(5);
    let address = server.address;
    let slow = std::thread::spawn(move || {
        let line = json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
        let order = json!({"lines": [line], "payment": {"method": "pm_test_slow"}});
        ask(address, "PUT", "/v1/orders/o-1", "prefer: wait=20\r\n", &order)
    });
    sleep(Duration::from_millis(300));
    server.signal("INT");
    let (status, order) = slow.join().expect("an answer");
    assert_eq!((status, &order["status"]), (201, &json!("confirmed")), "{order}");
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
}

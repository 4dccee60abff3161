use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::binary::Server;

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
#[expect(clippy::disallowed_methods, reason = "a test asks beside itself")]
fn an_order_that_is_waited_for_ends_before_the_program_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::up(folder.path(), &[]);
    server.receive(5);
    let address = server.address;
    let slow = std::thread::spawn(move || {
        let line = json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
        let order = json!({"lines": [line], "payment": {"method": "pm_test_slow"}});
        crate::binary::ask(address, "PUT", "/v1/orders/o-1", "prefer: wait=20\r\n", &order)
    });
    sleep(Duration::from_millis(300));
    server.signal("INT");
    let (status, order) = slow.join().expect("an answer");
    assert_eq!((status, &order["status"]), (201, &json!("confirmed")), "{order}");
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
}

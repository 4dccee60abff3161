//! Webhooks from a process of their own, which reads what the others say over HTTP.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::binary::{Server, banyan};

/// Waits for a request, answers it with 204, and gives its text.
fn take(listener: &TcpListener) -> String {
    let mut accepted = None;
    testkit::eventually("a webhook comes", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (mut stream, _) = accepted.expect("it came");
    stream.set_nonblocking(false).expect("it can be waited for");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has a time-out");
    let (mut text, mut piece) = (String::new(), [0; 4_096]);
    while !text.ends_with("}}") {
        let read = stream.read(&mut piece).expect("it sends");
        text.push_str(std::str::from_utf8(&piece[..read]).expect("text"));
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").expect("it reads");
    text
}

#[test]
fn notifications_alone_tells_what_services_elsewhere_say() {
    let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let data = |folder: &tempfile::TempDir| folder.path().to_str().expect("a path of letters").to_owned();
    let mut shop = banyan(&["serve", "inventory", "orders", "payments", "--listen", "127.0.0.1:0"]);
    let shop = Server::start(shop.args(["--data", &data(&folder)]));
    let mut tells = banyan(&["serve", "notifications", "--listen", "127.0.0.1:0", "--data", &data(&elsewhere)]);
    tells.env("BANYAN_NOTIFICATIONS__ALLOW_PRIVATE_TARGETS", "true");
    for service in ["INVENTORY", "ORDERS", "PAYMENTS"] {
        tells.env(format!("BANYAN_{service}__URL"), shop.url());
    }
    let tells = Server::start(&mut tells);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("it can be asked without waiting");
    let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
    let endpoint =
        json!({"url": url, "types": ["OrderConfirmed", "PaymentCaptured", "StockCommitted"], "ordered": true});
    let (status, registered) = tells.put("/v1/webhook-endpoints/here", &endpoint);
    assert_eq!(status, 201, "{registered}");
    shop.receive(3);
    assert_eq!(shop.order("o-1", "pm_card_visa")["status"], "confirmed");
    let all = [(); 3].map(|()| take(&listener)).concat();
    for kind in ["OrderConfirmed", "PaymentCaptured", "StockCommitted"] {
        assert!(all.contains(&format!("\"type\":\"{kind}\"")), "{kind}: {all}");
    }
    assert!(all.contains("webhook-signature: v1,"), "{all}");
}

//! The page at the address of the server.

use std::path::Path;

use serde_json::{Value, json};

use crate::binary::{Server, ask_whole};

fn page(server: &Server) -> String {
    let (status, head, page) = ask_whole(server.address, "GET", "/", "accept: text/html\r\n", &Value::Null);
    assert!(status == 200 && head.contains("text/html"), "{head}");
    page.as_str().expect("a page").to_owned()
}

/// An order for a piece of a SKU of which there is none, and a count that takes from what was promised.
fn shop(folder: &Path) -> Server {
    let server = Server::up(folder, &[]);
    let sku = "<script>alert(1)</script>";
    let movement = |more: Value| {
        let mut movement = json!({"sku": sku, "warehouse": "main"});
        movement.as_object_mut().expect("a document").extend(more.as_object().expect("a document").clone());
        movement
    };
    let received = movement(json!({"type": "receive", "quantity": 3}));
    assert_eq!(server.put("/v1/stock-movements/in", &received).0, 201);
    let line = json!({"sku": sku, "quantity": 2});
    assert_eq!(server.put("/v1/reservations/r-1", &json!({"lines": [line]})).0, 201);
    let counted = movement(json!({"type": "count", "counted": 1}));
    assert_eq!(server.put("/v1/stock-movements/count", &counted).0, 201);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    server.order("o-2", "pm_card_chargeDeclined");
    server
}

#[test]
fn the_page_tells_of_orders_shortfalls_and_what_happened_and_a_sku_stays_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = shop(folder.path());
    let page = page(&server);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    for said in [
        "SQLite, orders.db",
        // Orders by status, and what is owed.
        ">confirmed</th>",
        ">cancelled</th>",
        "data-label=\"Owed\" class=\"n\">1</td>",
        // The story, with its causes and details.
        "<b>OrderCancelled</b>",
        "because of PaymentDeclined",
        "&lt;script&gt;alert(1)&lt;/script&gt;</th>",
    ] {
        assert!(page.contains(said), "{said} is missing: {page}");
    }
}

#[test]
fn a_service_alone_shows_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let mut serve =
        crate::binary::banyan(&["serve", "inventory", "--alone", "--listen", "127.0.0.1:0", "--data", data]);
    let server = Server::start(&mut serve);
    let page = page(&server);
    assert!(page.contains("Nothing that was promised is missing.") && !page.contains("Nobody has ordered"), "{page}");
}

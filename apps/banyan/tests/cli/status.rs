//! The page at the address of the server.

use std::path::Path;

use serde_json::{Value, json};

use crate::binary::{Server, ask_whole};
use crate::keys::{bearer, made};

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
        "<div>confirmed</div></th>",
        "<div>cancelled</div></th>",
        "data-label=\"Missing\" class=\"n\"><div>1</div></td>",
        // The story, with its causes and details.
        "<b>OrderCancelled</b>",
        "because of PaymentDeclined",
        "&lt;script&gt;alert(1)&lt;/script&gt;</div></th>",
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

/// A browser: it takes pages, sends forms, and keeps the cookie that it was given.
struct Browser<'a> {
    server: &'a Server,
    cookie: String,
}

impl Browser<'_> {
    fn ask(&self, method: &str, path: &str, more: &str, form: &str) -> (u16, String, String) {
        let headers = format!(
            "accept: text/html,*/*\r\ncontent-type: application/x-www-form-urlencoded\r\ncookie: {}\r\n{more}",
            self.cookie
        );
        let (status, head, body) = ask_whole(self.server.address, method, path, &headers, &Value::from(form));
        (status, head, body.as_str().map_or_else(|| body.to_string(), str::to_owned))
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        self.ask("GET", path, "", "")
    }

    /// Sends a form of a page of the program.
    fn send(&self, path: &str, form: &str) -> (u16, String, String) {
        self.ask("POST", path, "sec-fetch-site: same-origin\r\n", form)
    }

    /// Signs in with a key; what the cookie is.
    fn sign_in(&mut self, key: &str) -> String {
        let (status, head, _) = self.send("/sign-in", &format!("key={key}"));
        assert!(status == 303 && head.contains("location: /\r\n"), "{status} {head}");
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie").to_owned();
        cookie.split(';').next().unwrap_or_default().clone_into(&mut self.cookie);
        cookie
    }
}

#[test]
fn where_there_are_keys_people_sign_in_with_one_that_may_do_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ops, shop) = (made(folder.path(), "ops", "admin"), made(folder.path(), "shop", "orders:read"));
    let server = Server::up(folder.path(), &[]);
    let mut browser = Browser { server: &server, cookie: String::new() };
    let (status, head, _) = browser.get("/");
    assert!(status == 303 && head.contains("location: /sign-in\r\n"), "{status} {head}");
    let (status, _, told) = ask_whole(server.address, "GET", "/", "", &Value::Null);
    assert_eq!((status, &told["code"]), (401, &json!("unauthorized")), "a program is not sent to a form");
    let (status, _, page) = ask_whole(server.address, "GET", "/", &bearer(&ops), &Value::Null);
    assert!(status == 200 && page.as_str().is_some_and(|page| page.contains("seen by client:ops")), "{status}");
    assert!(browser.get("/sign-in").2.contains("<form method=\"post\" action=\"/sign-in\">"));
    for (key, status, why) in [("bk_1_wrong", 401, "no key that is known here"), (&*shop, 403, "not the scope")] {
        let (refused, head, page) = browser.send("/sign-in", &format!("key={key}"));
        assert!(refused == status && page.contains(why) && !head.contains("set-cookie"), "{refused} {page}");
        assert!(!page.contains(key), "what was sent is not said back");
    }
    let cookie = browser.sign_in(&ops);
    let name = format!("banyan_session_{}=", server.address.port());
    assert!(
        cookie.starts_with(&name) && cookie.ends_with("; path=/; max-age=43200; httponly; samesite=strict"),
        "{cookie}"
    );
    assert!(!cookie.contains(&ops) && cookie.len() > 100, "{cookie}");
    let (status, _, page) = browser.get("/");
    assert!(status == 200 && page.contains("seen by client:ops") && page.contains("action=\"/sign-out\""), "{page}");
    assert_eq!(browser.get("/v1/orders").0, 401, "a session opens pages and nothing else");
    let (status, head, _) = browser.send("/sign-out", "");
    assert!(status == 303 && head.contains("max-age=0") && head.contains("location: /sign-in"), "{head}");
    assert_eq!(browser.get("/").0, 303, "the cookie is of no use any more");
}

#[test]
fn a_session_ends_with_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ops, boss) = (made(folder.path(), "ops", "admin"), made(folder.path(), "boss", "admin"));
    let server = Server::up(folder.path(), &[]);
    let mut browser = Browser { server: &server, cookie: String::new() };
    browser.sign_in(&ops);
    assert_eq!(browser.get("/").0, 200);
    let revoked = ask_whole(server.address, "POST", "/v1/keys/ops/revoke", &bearer(&boss), &Value::Null);
    assert_eq!(revoked.0, 200);
    assert_eq!(browser.get("/").0, 303);
}

#[test]
fn a_page_of_somebody_else_cannot_make_a_browser_do_anything_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let ops = made(folder.path(), "ops", "admin");
    let server = Server::up(folder.path(), &[]);
    let mut browser = Browser { server: &server, cookie: String::new() };
    let discard = "/put-aside/shop/orders/1/discard";
    let login = browser.ask("POST", "/sign-in", "sec-fetch-site: cross-site\r\n", &format!("key={ops}"));
    assert_eq!(login.0, 403, "nor sign it in");
    browser.sign_in(&ops);
    for elsewhere in
        ["sec-fetch-site: cross-site\r\n", "sec-fetch-site: same-site\r\n", "origin: http://evil.example\r\n"]
    {
        let (status, _, told) = browser.ask("POST", discard, elsewhere, "reason=x");
        assert!(status == 403 && told.contains("\"cross-site\""), "{elsewhere}: {status} {told}");
    }
    let own = format!("origin: http://{}\r\n", server.address);
    for here in [&*own, "sec-fetch-site: same-origin\r\n"] {
        assert_eq!(browser.ask("POST", discard, here, "reason=x").0, 404, "{here}");
    }
}

#[test]
fn without_keys_a_page_under_a_name_that_may_be_anybodys_is_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    let browser = Browser { server: &server, cookie: String::new() };
    let discard = "/put-aside/shop/orders/1/discard";
    assert_eq!(browser.ask("POST", discard, "sec-fetch-site: cross-site\r\n", "reason=x").0, 403);
    assert_eq!(browser.send(discard, "reason=x").0, 404);
    let mut stream = std::net::TcpStream::connect(server.address).expect("the program listens");
    let request = "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("the program reads");
    let answer = std::io::read_to_string(stream).expect("the program answers");
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("\"cross-site\""), "{answer}");
}

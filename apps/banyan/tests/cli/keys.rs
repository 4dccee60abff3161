use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::binary::{Server, ask, ask_whole, banyan, run};

/// Runs `banyan keys …` on a folder; what it answered as JSON.
fn keys(data: &Path, arguments: &[&str], more: &[(&str, &str)]) -> (i32, Value, String) {
    let data = data.to_str().expect("a path of letters");
    let mut command = banyan(&[&["keys"], arguments, &["--data", data]].concat());
    command.envs(more.iter().copied());
    let (code, out, said) = run(&mut command);
    (code, serde_json::from_str(&out).unwrap_or(Value::Null), said)
}

/// Makes a key while no server runs; its text.
pub(crate) fn made(data: &Path, name: &str, scopes: &str) -> String {
    let (code, key, said) = keys(data, &["create", name, "--scope", scopes], &[]);
    assert_eq!(code, 0, "{said}");
    key["key"].as_str().expect("its text").to_owned()
}

pub(crate) fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

fn get(server: &Server, key: &str, path: &str) -> (u16, Value) {
    ask(server.address, "GET", path, &bearer(key), &Value::Null)
}

fn put(server: &Server, key: &str, path: &str, body: &Value) -> (u16, Value) {
    ask(server.address, "PUT", path, &format!("prefer: wait=20\r\n{}", bearer(key)), body)
}

fn order() -> Value {
    let line = json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
    json!({"lines": [line], "payment": {"method": "pm_card_visa"}})
}

#[test]
fn every_route_asks_for_its_scope_and_the_open_ones_for_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let all = ["stock:read", "stock:write", "reserve", "orders:read", "orders:write", "admin"];
    let texts: Vec<_> = all.iter().map(|scope| made(data, &scope.replace(':', "-"), scope)).collect();
    let server = Server::up(data, &[]);
    let movement = json!({"type": "receive", "sku": "A-1", "warehouse": "main", "quantity": 5});
    let reservation = json!({"lines": [{"sku": "A-1", "quantity": 1}]});
    for (method, path, body, needed) in [
        ("PUT", "/v1/stock-movements/m-1", &movement, "stock:write"),
        ("GET", "/v1/stock/A-1", &Value::Null, "stock:read"),
        ("PUT", "/v1/reservations/r-1", &reservation, "reserve"),
        ("POST", "/v1/reservations/r-1/release", &Value::Null, "reserve"),
        ("PUT", "/v1/orders/o-1", &order(), "orders:write"),
        ("GET", "/v1/orders", &Value::Null, "orders:read"),
        ("GET", "/v1/events/orders", &Value::Null, "admin"),
        ("GET", "/v1/dead-letters", &Value::Null, "admin"),
        ("GET", "/v1/keys", &Value::Null, "admin"),
        ("GET", "/v1/test-provider/charges", &Value::Null, "admin"),
        ("GET", "/metrics", &Value::Null, "admin"),
    ] {
        for (scope, text) in all.iter().zip(&texts) {
            let (status, head, told) = ask_whole(server.address, method, path, &bearer(text), body);
            if *scope == needed || *scope == "admin" {
                // Whose name it is, is another question.
                assert!(status < 300 || told["code"] == "unknown-reservation", "{scope} {method} {path}: {told}");
            } else {
                assert_eq!(
                    (status, &told["code"], &told["scope"]),
                    (403, &json!("forbidden"), &json!(needed)),
                    "{path}"
                );
                assert!(head.contains(&format!("error=\"insufficient_scope\", scope=\"{needed}\"")), "{head}");
            }
        }
        let (status, head, told) = ask_whole(server.address, method, path, "", body);
        assert_eq!((status, &told["code"]), (401, &json!("unauthorized")), "{path}");
        assert!(head.contains("www-authenticate: bearer realm=\"banyan\"") && told["trace_id"].is_string(), "{head}");
    }
    for open in ["/health/live", "/health/ready", "/problems", "/problems/unauthorized"] {
        assert_eq!(server.get(open).0, 200, "{open}");
    }
    assert_eq!(server.get("/nowhere").0, 404);
}

#[test]
fn a_wrong_key_is_refused_in_whatever_way_it_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let right = made(folder.path(), "shop", "orders:read");
    let server = Server::up(folder.path(), &[]);
    assert_eq!(get(&server, &right, "/v1/orders").0, 200);
    let (start, last) = right.split_at(right.len() - 1);
    let other = format!("{start}{}", if last == "0" { "1" } else { "0" });
    let unknown = right.replacen("bk_", "bk_1", 1);
    for wrong in [&other, &unknown, &right.to_uppercase(), start, "bk_", "", "hunter2"] {
        let (status, head, told) = ask_whole(server.address, "GET", "/v1/orders", &bearer(wrong), &Value::Null);
        assert_eq!((status, &told["code"]), (401, &json!("unauthorized")), "{wrong}");
        assert!(head.contains("error=\"invalid_token\""), "{head}");
        assert!(wrong.len() < 4 || !told.to_string().contains(wrong), "it is not said back: {told}");
    }
    for header in [
        format!("authorization: Basic {right}\r\n"),
        format!("authorization: {right}\r\n"),
        [bearer(&right), bearer(&right)].concat(),
    ] {
        assert_eq!(ask(server.address, "GET", "/v1/orders", &header, &Value::Null).0, 401, "{header}");
    }
}

#[test]
fn what_belongs_to_another_owner_is_not_there_and_the_actor_is_the_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = "stock:write,reserve,orders:read,orders:write";
    let (one, two) = (made(folder.path(), "one", all), made(folder.path(), "two", all));
    let admin = made(folder.path(), "ops", "admin");
    let (code, same, _) = keys(folder.path(), &["create", "helper", "--scope", all, "--owner", "one"], &[]);
    assert_eq!(code, 0);
    let server = Server::up(folder.path(), &[]);
    let movement = json!({"type": "receive", "sku": "A-1", "warehouse": "main", "quantity": 5});
    assert_eq!(put(&server, &one, "/v1/stock-movements/m-1", &movement).0, 201);
    let (status, placed) = put(&server, &one, "/v1/orders/o-1", &order());
    assert_eq!((status, &placed["status"]), (201, &json!("confirmed")), "{placed}");
    let payment = format!("/v1/payments/{}", placed["payment"]["id"].as_str().expect("a name"));
    let reservation = format!("/v1/reservations/{}", placed["reservation"]["id"].as_str().expect("a name"));
    for path in ["/v1/orders/o-1", "/v1/orders/o-1/history", &payment, &reservation] {
        assert_eq!(get(&server, &one, path).0, 200, "{path}");
        assert_eq!(get(&server, same["key"].as_str().expect("its text"), path).0, 200, "{path}");
        assert_eq!(get(&server, &two, path).0, 404, "{path}");
    }
    let count = |key: &str| get(&server, key, "/v1/orders").1["items"].as_array().map(Vec::len);
    assert_eq!((count(&one), count(&two)), (Some(1), Some(0)));
    let history = get(&server, &one, "/v1/orders/o-1/history").1;
    assert!(history.to_string().contains("client:one"), "{history}");
    // The same name is another thing for another owner.
    assert_eq!(put(&server, &two, "/v1/orders/o-1", &order()).1["status"], "confirmed");
    assert_eq!((count(&one), count(&two)), (Some(1), Some(1)));

    let (status, no) = get(&server, &one, "/v1/orders?owner=*");
    assert_eq!((status, &no["code"], &no["scope"]), (403, &json!("forbidden"), &json!("admin")));
    assert_eq!(get(&server, &one, "/v1/orders?owner=two").0, 403);
    assert_eq!(get(&server, &one, "/v1/orders?owner=one").1["items"].as_array().map(Vec::len), Some(1));
    let owners = |path: &str| {
        let items = get(&server, &admin, path).1["items"].as_array().cloned().expect("orders");
        items.iter().map(|order| order["owner"].as_str().expect("an owner").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(owners("/v1/orders?owner=*"), ["one", "two"]);
    assert_eq!(owners("/v1/orders?owner=two"), ["two"]);
    assert_eq!(get(&server, &admin, "/v1/orders?owner=no%20name").0, 400);
    let data = folder.path().to_str().expect("a path of letters");
    let (code, said, _) = run(banyan(&["audit", "--data", data]).env("BANYAN_KEY", &admin));
    assert_eq!(code, 0);
    assert!(said.contains("2 orders (2 confirmed), 2 charges"), "{said}");

    // Whoever looks after the orders of all reads and cancels them in the name of their owner.
    let mut at_the_bank = order();
    at_the_bank["payment"]["method"] = json!("pm_card_authenticationRequired");
    assert_eq!(ask(server.address, "PUT", "/v1/orders/o-2", &bearer(&two), &at_the_bank).0, 202);
    for path in ["/v1/orders/o-2", "/v1/orders/o-2/history"] {
        assert_eq!(get(&server, &admin, path).0, 404, "{path}");
        assert_eq!(get(&server, &admin, &format!("{path}?owner=two")).0, 200, "{path}");
        assert_eq!(get(&server, &one, &format!("{path}?owner=two")).0, 403, "{path}");
        assert_eq!(get(&server, &two, &format!("{path}?owner=two")).0, 200, "{path}");
    }
    let cancel = |key: &str| {
        let headers = format!("prefer: wait=20\r\n{}", bearer(key));
        ask(server.address, "POST", "/v1/orders/o-2/cancel?owner=two", &headers, &json!({"reason": "called"}))
    };
    assert_eq!(cancel(&one).0, 403);
    let (status, cancelled) = cancel(&admin);
    assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")), "{cancelled}");
    let history = get(&server, &two, "/v1/orders/o-2/history").1;
    assert!(history.to_string().contains("client:ops"), "who did it stands in the history: {history}");
}

#[test]
fn whoever_looks_after_all_reads_and_refunds_payments_in_the_name_of_their_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = "stock:write,reserve,orders:read,orders:write";
    let (one, two) = (made(folder.path(), "one", all), made(folder.path(), "two", all));
    let admin = made(folder.path(), "ops", "admin");
    let server = Server::up(folder.path(), &[]);
    let movement = json!({"type": "receive", "sku": "A-1", "warehouse": "main", "quantity": 5});
    assert_eq!(put(&server, &two, "/v1/stock-movements/m-1", &movement).0, 201);
    let placed = put(&server, &two, "/v1/orders/o-1", &order()).1;
    let payment = format!("/v1/payments/{}", placed["payment"]["id"].as_str().expect("a name"));
    let of_two = format!("{payment}?owner=two");
    assert_eq!(get(&server, &admin, &payment).0, 404);
    assert_eq!((get(&server, &admin, &of_two).0, get(&server, &two, &of_two).0), (200, 200));
    assert_eq!(get(&server, &one, &of_two).1["scope"], "admin");
    assert_eq!(get(&server, &admin, &format!("{payment}?owner=no%20name")).0, 400);
    let ask = |key: &str, path: &str| {
        let headers = format!("prefer: wait=20\r\n{}", bearer(key));
        ask(server.address, "POST", path, &headers, &Value::Null)
    };
    for what in ["return", "refund"] {
        assert_eq!(ask(&admin, &format!("{payment}/{what}")).0, 404, "{what}");
        assert_eq!(ask(&one, &format!("{payment}/{what}?owner=two")).0, 403, "{what}");
        assert_eq!(ask(&admin, &format!("{payment}/{what}?owner=two&x=1")).0, 400, "{what}");
        assert_eq!(ask(&admin, &format!("{payment}/{what}?owner=two")).0, 200, "{what}");
    }
    assert_eq!(get(&server, &two, &payment).1["status"], "refunded");
    let started = get(&server, &admin, "/v1/events/payments?type=RefundStarted").1;
    let who: Vec<_> = started["items"].as_array().expect("events").iter().map(|event| &event["actor"]).collect();
    assert_eq!(who, ["client:ops"], "who did it stands in the events: {started}");
}

#[test]
fn keys_are_made_rotated_and_revoked_through_the_running_server_and_never_logged() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let admin = made(data, "ops", "admin");
    let mut server = Server::up(data, &[]);
    let url = server.url();
    let by =
        |key: &str, arguments: &[&str]| keys(data, &[arguments, &["--server", &url]].concat(), &[("BANYAN_KEY", key)]);
    let (code, _, said) = keys(data, &["list", "--server", &url], &[]);
    assert!(code == 1 && said.contains("BANYAN_KEY"), "{said}");
    // A second writer of the folder is none: the lock leads to the server.
    let (code, shop, said) = keys(data, &["create", "shop", "--scope", "orders:read"], &[("BANYAN_KEY", &admin)]);
    assert_eq!(code, 0, "{said}");
    let first = shop["key"].as_str().expect("its text").to_owned();
    assert_eq!(get(&server, &first, "/v1/orders").0, 200, "known at once");
    let (code, _, said) = by(&admin, &["create", "shop", "--scope", "orders:read"]);
    assert!(code == 1 && said.contains("already"), "{said}");
    let (code, _, said) = by(&first, &["list"]);
    assert!(code == 1 && said.contains("403"), "{said}");

    let second =
        by(&admin, &["rotate", "shop", "--overlap-hours", "1"]).1["key"].as_str().expect("its text").to_owned();
    assert_eq!((get(&server, &first, "/v1/orders").0, get(&server, &second, "/v1/orders").0), (200, 200));
    let third = by(&admin, &["rotate", "shop", "--overlap-hours", "0"]).1["key"].as_str().expect("its text").to_owned();
    for (text, status) in [(&first, 401), (&second, 401), (&third, 200)] {
        assert_eq!(get(&server, text, "/v1/orders").0, status);
    }
    assert!(get(&server, &first, "/v1/orders").1["detail"].as_str().is_some_and(|detail| detail.contains("rotated")));
    let (code, _, said) = by(&admin, &["revoke", "shop"]);
    assert_eq!(code, 0, "{said}");
    assert!(get(&server, &third, "/v1/orders").1["detail"].as_str().is_some_and(|detail| detail.contains("revoked")));
    assert_eq!(by(&admin, &["rotate", "shop"]).0, 1, "what is revoked comes back under another name");

    let (_, list, _) = by(&admin, &["list"]);
    let items = list["items"].as_array().expect("a list");
    assert_eq!(items.len(), 4);
    assert!(items.iter().all(|key| key["key"].is_null() && key["owner"] == key["name"]), "{list}");
    let ops = items.iter().find(|key| key["name"] == "ops").expect("it is there");
    assert!(ops["last_used_at"].is_string(), "{ops}");

    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
    let said = server.said();
    assert!(said.contains("A key was rotated") && said.contains("client:ops"), "{said}");
    for text in [&admin, &first, &second, &third] {
        let secret = text.rsplit('_').next().expect("a secret");
        assert!(!said.contains(secret), "a secret stands in the log");
        let kept = Command::new("grep").args(["-rlF", secret]).arg(data).output().expect("there is grep");
        assert!(kept.stdout.is_empty(), "a secret stands in the data");
    }
    // The use of a key outlives the process.
    let (_, list, _) = keys(data, &["list"], &[]);
    let ops = list["items"].as_array().expect("a list").iter().find(|key| key["name"] == "ops").cloned();
    assert!(ops.is_some_and(|ops| ops["last_used_at"].is_string()), "{list}");
}

#[test]
fn an_address_that_others_reach_is_served_once_there_is_a_valid_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let up = ["up", "--data", data, "--listen", "0.0.0.0:0"];
    let refused = || {
        let (code, _, said) = run(&mut banyan(&up));
        assert!(code == 2 && said.contains("no valid API key"), "{code} {said}");
    };
    refused();
    made(folder.path(), "gone", "admin");
    assert_eq!(keys(folder.path(), &["revoke", "gone"], &[]).0, 0);
    refused();
    let key = made(folder.path(), "ops", "admin");
    let server = Server::start(&mut banyan(&up));
    let address = (std::net::Ipv4Addr::LOCALHOST, server.address.port()).into();
    assert_eq!(ask(address, "GET", "/v1/orders", &bearer(&key), &Value::Null).0, 200);
    assert_eq!(ask(address, "GET", "/v1/orders", "", &Value::Null).0, 401);
}

#[test]
fn this_machine_needs_no_key_where_the_operator_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    made(folder.path(), "shop", "orders:read");
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]);
    let server = Server::start(up.env("BANYAN_LOCAL_WITHOUT_KEY", "true"));
    server.receive(1);
    assert_eq!(server.order("o-1", "pm_card_visa")["status"], "confirmed");
    assert_eq!(get(&server, "bk_1_wrong", "/v1/orders").0, 401, "a wrong key is no key");
}

#[test]
fn a_page_of_another_site_changes_nothing_through_a_browser_on_this_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(1);
    let body = json!({"lines": [{"sku": "A-1", "quantity": 1}]});
    assert_eq!(ask(server.address, "PUT", "/v1/reservations/r-1", "", &body).0, 201);
    let commit = |headers: &str| ask(server.address, "POST", "/v1/reservations/r-1/commit", headers, &Value::Null);
    for elsewhere in ["origin: https://elsewhere.example\r\n", "sec-fetch-site: cross-site\r\n"] {
        let (status, no) = commit(elsewhere);
        assert_eq!((status, &no["code"]), (403, &json!("cross-site")), "{elsewhere}");
    }
    let own = format!("origin: http://{}\r\n", server.address);
    assert_eq!(commit(&own).0, 200, "the page at /docs asks like this");
}

/// Status of a request that a browser sends under a name.
fn under_the_name(server: &Server, name: &str, method: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(server.address).expect("the program listens");
    let host = format!("{name}:{}", server.address.port());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: 20\r\n\r\n{{\"scopes\":[\"admin\"]}}"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("the program reads");
    let answer = std::io::read_to_string(stream).expect("the program answers");
    answer.split(' ').nth(1).expect("a status").to_owned()
}

#[test]
fn without_keys_nothing_is_done_under_a_name_that_may_be_anybodys() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    for (method, path) in [("PUT", "/v1/keys/mine"), ("GET", "/v1/orders"), ("GET", "/metrics"), ("GET", "/")] {
        assert_eq!(under_the_name(&server, "evil.example", method, path), "403", "{method} {path}");
    }
    assert_eq!(under_the_name(&server, "evil.example", "GET", "/health/live"), "200");
    assert_eq!(under_the_name(&server, "localhost", "PUT", "/v1/keys/mine"), "201");
}

/// A key that one process makes and revokes is known to the other.
fn both_know(one: &Server, two: &Server, admin: &str) {
    let (status, shop) = put(one, admin, "/v1/keys/shop", &json!({"scopes": ["orders:read"]}));
    assert_eq!(status, 201, "{shop}");
    assert_eq!(put(one, admin, "/v1/keys/shop", &json!({"scopes": ["orders:read"]})).1["key"], Value::Null);
    assert_eq!(put(one, admin, "/v1/keys/shop", &json!({"scopes": ["admin"]})).1["code"], "different-content");
    let shop = shop["key"].as_str().expect("its text");
    testkit::eventually("it is known there", || get(two, shop, "/v1/orders").0 == 200);
    assert_eq!(ask(one.address, "POST", "/v1/keys/shop/revoke", &bearer(admin), &Value::Null).0, 200);
    testkit::eventually("it is refused there", || get(two, shop, "/v1/orders").0 == 401);
}

#[test]
fn processes_of_one_folder_have_the_same_keys_and_read_each_others_events_with_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let key = made(folder.path(), "ops", "admin");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("an address");
    let mut two = banyan(&["serve", "payments", "inventory", "--listen", "127.0.0.1:0", "--data", data]);
    let two = Server::start(two.env("BANYAN_ORDERS__URL", format!("http://{free}")).env("BANYAN_KEY", &key));
    let mut one = banyan(&["serve", "orders", "--listen", &free.to_string(), "--data", data]);
    one.env("BANYAN_INVENTORY__URL", two.url()).env("BANYAN_PAYMENTS__URL", two.url()).env("BANYAN_KEY", &key);
    let one = Server::start(&mut one);
    let movement = json!({"type": "receive", "sku": "A-1", "warehouse": "main", "quantity": 5});
    assert_eq!(put(&two, &key, "/v1/stock-movements/m-1", &movement).0, 201);
    assert_eq!(put(&one, &key, "/v1/orders/o-1", &order()).1["status"], "confirmed");
    both_know(&two, &one, &key);
}

#[test]
fn processes_of_one_postgres_have_the_same_keys() {
    let url = testkit::Postgres::shared().database();
    let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let path = |folder: &tempfile::TempDir| folder.path().to_str().expect("a path of letters").to_owned();
    let (code, ops, said) =
        keys(folder.path(), &["create", "ops", "--scope", "admin"], &[("BANYAN_DATABASE_URL", &url)]);
    assert_eq!(code, 0, "{said}");
    let admin = ops["key"].as_str().expect("its text");
    let mut one = banyan(&["up", "--listen", "127.0.0.1:0", "--data", &path(&folder)]);
    let one = Server::start(one.env("BANYAN_DATABASE_URL", &url));
    let mut two = banyan(&["serve", "orders", "--listen", "127.0.0.1:0", "--data", &path(&elsewhere)]);
    two.env("BANYAN_DATABASE_URL", &url).env("BANYAN_KEY", admin);
    let two = Server::start(two.env("BANYAN_INVENTORY__URL", one.url()).env("BANYAN_PAYMENTS__URL", one.url()));
    both_know(&one, &two, admin);
}

#[test]
fn who_asks_too_often_is_told_when_to_come_again_and_then_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let (key, other) = (made(folder.path(), "shop", "orders:read"), made(folder.path(), "other", "orders:read"));
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]);
    up.env("BANYAN_HTTP__KEY_REQUESTS_PER_SEC", "1").env("BANYAN_HTTP__KEY_BURST", "3");
    up.env("BANYAN_HTTP__ADDRESS_REQUESTS_PER_SEC", "1").env("BANYAN_HTTP__ADDRESS_BURST", "2");
    let server = Server::start(&mut up);
    let ask = |headers: &str| ask_whole(server.address, "GET", "/v1/orders", headers, &Value::Null);
    let (status, head, _) = ask(&bearer(&key));
    assert_eq!(status, 200);
    assert!(
        head.contains("ratelimit-policy: \"key\";q=3;w=3") && head.contains("ratelimit: \"key\";r=2;t=1"),
        "{head}"
    );
    let until_refused = |headers: &str| (0..20).map(|_| ask(headers)).find(|(status, ..)| *status == 429);
    let (_, head, told) = until_refused(&bearer(&key)).expect("it is refused in the end");
    assert!(head.contains("retry-after: 1") && head.contains("ratelimit: \"key\";r=0;"), "{head}");
    assert_eq!(told["code"], "too-many-requests");
    assert_eq!(ask(&bearer(&other)).0, 200, "another key has its own");
    let (_, head, _) = until_refused(&bearer("bk_1_guess")).expect("guessing is slow");
    assert!(head.contains("ratelimit: \"address\";"), "{head}");
    assert_eq!(server.get("/health/live").0, 200);
    testkit::eventually("it may ask again", || ask(&bearer(&key)).0 == 200);
}

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::binary::{Server, ask_to_the_letter, banyan, run};

/// Three addresses that nobody has.
pub(crate) fn addresses() -> [String; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("an address").to_string())
}

fn serve(service: &str, address: &str, data: &Path, all: &[String; 3], more: &[(&str, &str)]) -> Server {
    let data = data.to_str().expect("a path of letters");
    let mut command = banyan(&["serve", service, "--listen", address, "--data", data]);
    for (service, address) in ["INVENTORY", "ORDERS", "PAYMENTS"].iter().zip(all) {
        command.env(format!("BANYAN_{service}__URL"), format!("http://{address}"));
    }
    command.envs(more.iter().copied());
    Server::start(&mut command)
}

#[test]
fn three_processes_bring_an_order_to_its_end_over_http_also_when_one_was_away() {
    let (folder, all) = (tempfile::tempdir().expect("a folder"), addresses());
    let start = |place: usize, service| serve(service, &all[place], folder.path(), &all, &[]);
    let (inventory, orders, mut payments) = (start(0, "inventory"), start(1, "orders"), start(2, "payments"));
    inventory.receive(10);
    assert_eq!(orders.order("o-1", "pm_card_visa")["status"], "confirmed");
    assert_eq!(inventory.get("/v1/stock/A-1").1["on_hand"], 9);
    assert_eq!(orders.get("/v1/events/inventory").1["code"], "unknown-service");
    payments.signal("KILL");
    payments.wait();
    let line = serde_json::json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
    let order = serde_json::json!({"lines": [line], "payment": {"method": "pm_card_visa"}});
    let (status, _) = crate::binary::ask(orders.address, "PUT", "/v1/orders/o-2", "", &order);
    assert_eq!(status, 202);
    let payments = start(2, "payments");
    testkit::eventually("the order ends", || orders.get("/v1/orders/o-2").1["status"] == "confirmed");
    let (code, out, said) = run(banyan(&["audit", "--data"]).arg(folder.path()));
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    let everywhere = format!("the running server at {}, {}, {}", inventory.url(), orders.url(), payments.url());
    assert!(out.contains(&everywhere) && out.contains("2 orders (2 confirmed)"), "{out}");
}

#[test]
fn two_services_in_one_process_listen_to_the_third_over_http() {
    let (folder, all) = (tempfile::tempdir().expect("a folder"), addresses());
    let data = folder.path().to_str().expect("a path of letters");
    let mut two = banyan(&["serve", "payments", "inventory", "--listen", &all[0], "--data", data]);
    let two = Server::start(two.env("BANYAN_ORDERS__URL", format!("http://{}", all[1])));
    let mut one = banyan(&["serve", "orders", "--listen", &all[1], "--data", data]);
    one.env("BANYAN_INVENTORY__URL", two.url()).env("BANYAN_PAYMENTS__URL", two.url());
    let one = Server::start(&mut one);
    two.receive(3);
    assert_eq!(one.order("o-1", "pm_card_visa")["status"], "confirmed");
}

#[test]
fn everything_on_postgres_is_one_setting() {
    let url = testkit::Postgres::shared().database();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]);
    let mut server = Server::start(up.env("BANYAN_DATABASE_URL", &url));
    assert!(!crate::binary::holds(folder.path(), "orders.db"));
    server.receive(3);
    assert_eq!(server.order("o-1", "pm_card_visa")["status"], "confirmed");
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    assert!(!server.said().contains(&url), "the URL may hold a password");
    // One of them alone.
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]);
    let server = Server::start(up.env("BANYAN_ORDERS__DATABASE_URL", testkit::Postgres::shared().database()));
    assert!(crate::binary::holds(folder.path(), "inventory.db"));
    server.receive(3);
    assert_eq!(server.order("o-1", "pm_card_visa")["status"], "confirmed");
}

#[test]
fn a_service_on_postgres_runs_in_two_processes_and_both_hear_of_everything() {
    let url = testkit::Postgres::shared().database();
    let (folder, all) = (tempfile::tempdir().expect("a folder"), addresses());
    let data = folder.path().to_str().expect("a path of letters");
    let on_postgres = [("BANYAN_DATABASE_URL", url.as_str())];
    let first = serve("inventory", &all[0], folder.path(), &all, &on_postgres);
    let second = serve("inventory", "127.0.0.1:0", folder.path(), &all, &on_postgres);
    let mut others = banyan(&["serve", "orders", "payments", "--listen", &all[1], "--data", data]);
    let all_of_them = others.env("BANYAN_DATABASE_URL", &url).env("BANYAN_INVENTORY__URL", first.url());
    let others = Server::start(all_of_them);
    second.receive(50);
    for number in 0..20 {
        assert_eq!(others.order(&format!("o-{number}"), "pm_card_visa")["status"], "confirmed");
    }
    assert_eq!(first.get("/v1/stock/A-1").1["on_hand"], 30);
    assert_eq!(second.get("/v1/stock/A-1").1["on_hand"], 30);
    let lag =
        |server: &Server| server.get("/health/ready").1["services"]["inventory"]["listens"]["orders"]["lag"].clone();
    testkit::eventually("both have heard all", || lag(&first) == 0 && lag(&second) == 0);
}

#[test]
fn a_service_whose_neighbour_is_nowhere_does_not_start() {
    let (code, _, said) = run(&mut banyan(&["serve", "inventory"]));
    assert_eq!((code, said.lines().count()), (2, 1), "{said}");
    assert!(said.contains("BANYAN_ORDERS__URL"), "{said}");
}

#[test]
fn inventory_runs_alone_in_front_of_another_shop_when_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let serve = ["serve", "inventory", "--listen", "127.0.0.1:0", "--data", data];
    let (code, _, said) = run(&mut banyan(&serve));
    assert_eq!((code, said.lines().count()), (2, 1), "{said}");
    assert!(said.contains("BANYAN_ORDERS__URL") && said.contains("--alone"), "{said}");

    let server = Server::start(banyan(&serve).arg("--alone"));
    assert_eq!(server.get("/health/ready").0, 200);
    server.receive(5);
    let wish = serde_json::json!({"lines": [{"sku": "A-1", "quantity": 2}]});
    assert_eq!(server.put("/v1/reservations/cart-1", &wish).0, 201);
    assert_eq!(server.get("/v1/stock/A-1").1["available"], 3);
    assert_eq!(server.get("/v1/orders").0, 404);
}

#[test]
fn what_is_polled_is_sent_again_only_once_it_has_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    let lines = json!({"lines": [{"sku": "A-1", "quantity": 1}], "hold_secs": 1});
    assert_eq!(server.put("/v1/reservations/r-1", &lines).0, 201);
    let look = |path: &str, headers: &str| ask_to_the_letter(server.address, "GET", path, headers, &Value::Null);
    for (path, changes) in [("/v1/orders/o-1", false), ("/v1/reservations/r-1", true)] {
        let (status, head, _) = look(path, "");
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_else(|| panic!("{path}: {head}"));
        let again = || look(path, &format!("if-none-match: {tag}\r\n"));
        assert_eq!((status, again().0), (200, 304), "{path}");
        if changes {
            testkit::eventually("the hold has lapsed", || again().2["status"] == "expired");
        }
    }
}

use std::process::Command;

use crate::binary::{Server, banyan, holds, run};

#[test]
fn from_nothing_to_a_shop_that_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("new/data");
    let server = Server::up(&data, &[]);
    assert_eq!(server.get("/health/ready").0, 200);
    for file in ["inventory.db", "notifications.db", "orders.db", "payments.db"] {
        assert!(holds(&data, file), "{file}");
    }
    server.receive(10);
    assert_eq!(server.order("o-1", "pm_card_visa")["status"], "confirmed");
    assert_eq!(server.order("o-2", "pm_card_chargeDeclined")["reason"], "payment_declined");
    let (_, kinds) = server.get("/problems/out-of-stock");
    assert!(kinds.as_str().is_some_and(|page| page.starts_with("<!doctype html>")), "{kinds}");
}

#[test]
fn a_second_one_on_the_same_folder_says_who_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = Server::up(folder.path(), &[]);
    let data = folder.path().to_str().expect("a path of letters");
    let (code, _, said) = run(&mut banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("is taken") && said.contains(&format!("process {} ", first.process())), "{said}");
    first.signal("KILL");
    first.wait();
    assert_eq!(Server::up(folder.path(), &[]).get("/health/ready").0, 200, "a kill leaves no lock");
}

#[test]
fn what_was_confirmed_is_there_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::up(folder.path(), &[]);
    server.receive(10);
    assert_eq!(server.order("o-1", "pm_card_visa")["status"], "confirmed");
    server.signal("KILL");
    server.wait();
    let server = Server::up(folder.path(), &[]);
    assert_eq!(server.get("/v1/orders/o-1").1["status"], "confirmed");
    assert_eq!(server.get("/v1/stock/A-1").1["on_hand"], 9);
}

#[test]
fn a_book_that_was_written_line_by_line_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (book, line) = (folder.path().join("test-provider.book"), "{\"key\":\"pay.1\"}\n");
    std::fs::write(&book, line).expect("a book of an earlier build");
    let data = folder.path().to_str().expect("a path of letters");
    let (code, _, said) = run(&mut banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("test-provider.book cannot be read") && said.contains("has to be begun anew"), "{said}");
    assert_eq!(std::fs::read_to_string(&book).expect("the book"), line);
}

#[test]
fn an_address_that_others_can_reach_is_refused_with_the_reason() {
    let (code, _, said) = run(&mut banyan(&["up", "--listen", "0.0.0.0:1"]));
    assert_eq!((code, said.lines().count()), (2, 1), "{said}");
    assert!(said.contains("can be reached from other machines"), "{said}");
}

#[test]
fn an_address_that_is_taken_fails() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let (code, _, said) = run(&mut banyan(&["up", "--listen", &address, "--data", data]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}

#[test]
fn the_demo_fills_an_empty_folder_and_its_lines_work_in_a_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::up(folder.path(), &["--demo=30"]);
    testkit::eventually("the lines are shown", || server.said().contains("order-1/history"));
    assert_eq!(server.get("/v1/stock/DEMO-000030").0, 200);
    assert_eq!(server.get("/v1/stock/DEMO-000031").0, 404);
    let said = server.said();
    let lines: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("  curl ")).collect();
    assert_eq!(lines.len(), 5, "{said}");
    let run = |line: &str| {
        let output = Command::new("sh").args(["-c", &format!("curl --fail-with-body {line}")]).output();
        let output = output.expect("there is a shell");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "curl {line}: {told} {}", String::from_utf8_lossy(&output.stderr));
        told
    };
    let told: Vec<_> = lines.iter().map(|line| run(line)).collect();
    assert!(told[1].contains("\"status\":\"confirmed\"") && told[2].contains("\"reason\":\"payment_declined\""));
    server.signal("INT");
    server.wait();
    let again = Server::up(folder.path(), &["--demo=50"]);
    testkit::eventually("the lines are shown", || again.said().contains("order-1/history"));
    assert!(again.said().contains("it is left as it is"), "{}", again.said());
    assert_eq!(again.get("/v1/stock/DEMO-000031").0, 404);
}

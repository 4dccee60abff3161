use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::binary::{Server, banyan, run};

fn told(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"))).collect()
}

#[test]
fn what_happened_is_told_in_the_order_of_its_time_over_all_services() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    let (code, out, said) = run(&mut banyan(&["events", "--server", &server.url()]));
    assert_eq!((code, said.as_str()), (0, ""));
    let events = told(&out);
    let times: Vec<_> = events.iter().map(|event| event["recorded_at"].as_str().expect("a time")).collect();
    assert!(times.is_sorted(), "{times:?}");
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    assert_eq!(
        (kinds.first(), kinds.last()),
        (Some(&"SupplierShipmentReceived"), Some(&"OrderConfirmed")),
        "{kinds:?}"
    );
    let (_, out, _) = run(&mut banyan(&["events", "--server", &server.url(), "--subject", "nobody"]));
    assert_eq!(out, "");
}

#[test]
fn what_happens_next_is_told_as_it_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    let mut follow = banyan(&["events", "--follow", "--server", &server.url()]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut lines = BufReader::new(follow.stdout.take().expect("its output was asked for")).lines();
    server.receive(5);
    let first: Value = serde_json::from_str(&lines.next().expect("a line").expect("UTF-8")).expect("JSON");
    assert_eq!(first["type"], "SupplierShipmentReceived");
    server.order("o-1", "pm_card_visa");
    let kinds = lines.map(|line| serde_json::from_str::<Value>(&line.expect("UTF-8")).expect("JSON")["type"].clone());
    assert!(kinds.into_iter().any(|kind| kind == "OrderConfirmed"));
    follow.kill().expect("it runs");
    follow.wait().expect("it ends");
}

#[test]
fn without_a_server_it_says_so() {
    let (code, _, said) = run(&mut banyan(&["events", "--server", "http://127.0.0.1:1"]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("banyan up"), "{said}");
}

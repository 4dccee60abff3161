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
fn what_happened_up_to_a_time_is_told_and_how_the_order_stood_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    server.order("o-2", "pm_card_visa");
    let events = |more: &[&str]| {
        let (code, out, said) = run(banyan(&["events", "--server", &server.url()]).args(more));
        assert_eq!((code, said.as_str()), (0, ""), "{more:?}");
        told(&out)
    };
    let all = events(&[]);
    let due = all.iter().position(|event| event["type"] == "PaymentDue").expect("o-1 was to be paid");
    let at = all[due]["occurred_at"].as_str().expect("a time");
    let until: Vec<_> = all.iter().filter(|event| event["occurred_at"].as_str() <= Some(at)).cloned().collect();
    assert_eq!(events(&["--at", at]), until);
    let mut of_order = events(&["--at", at, "--subject", "o-1"]);
    let state = of_order.pop().expect("a last line");
    let kinds: Vec<_> = of_order.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["OrderPlaced", "PaymentDue"]);
    assert_eq!((&state["at"], &state["order"]["id"]), (&at.into(), &"o-1".into()));
    assert_eq!((&state["order"]["status"], &state["order"]["step"]), (&"pending".into(), &"authorizing".into()));
    assert_eq!(events(&["--at", at, "--subject", "o-2"]), [] as [Value; 0], "it came later");
    assert_eq!(events(&["--at", at, "--subject", "A-1"]).len(), 1, "a SKU has only events");
    let later = events(&["--at", "2999-12-31", "--subject", "o-1"]);
    assert_eq!(later.last().expect("a last line")["order"]["status"], "confirmed");
    for wrong in [&["--at", "soon"][..], &["--at", at, "--follow"]] {
        let (code, out, said) = run(banyan(&["events", "--server", &server.url()]).args(wrong));
        assert_eq!((code, out.as_str(), said.lines().count()), (2, "", 1), "{said}");
    }
}

#[test]
fn on_a_terminal_it_is_a_story_with_colours_for_those_who_want_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    let on_terminal = |name: &str, value: &str| {
        let events = banyan(&["events", "--at", "2999-12-31", "--subject", "o-1", "--server", &server.url()]);
        let words = [events.get_program()].into_iter().chain(events.get_args());
        let line: Vec<_> = words.map(|word| word.to_str().expect("letters")).collect();
        let mut script = std::process::Command::new("script");
        script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]).stdin(Stdio::null());
        let (code, out, _) = run(script.env("TERM", "xterm").env_remove("NO_COLOR").env(name, value));
        assert_eq!(code, 0, "{out}");
        out
    };
    let plain = on_terminal("NO_COLOR", "1");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let lines: Vec<_> = plain.lines().collect();
    assert!(lines[0].ends_with(" UTC"), "{plain}");
    assert!(lines[1].contains("  local → orders         OrderPlaced               o-1  "), "{plain}");
    assert!(lines[2].contains("  inventory → orders     PaymentDue                o-1  "), "{plain}");
    assert!(plain.contains("\no-1 at 2999-12-31T23:59:59.999999Z: confirmed"), "{plain}");
    let coloured = on_terminal("LANG", "C.UTF-8");
    assert!(coloured.contains("\u{1b}[1mOrderPlaced"), "{coloured:?}");
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
#[expect(clippy::disallowed_methods, reason = "a test listens beside itself")]
fn who_follows_after_the_latest_is_told_nothing_of_what_was_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(5);
    let mut follow = banyan(&["events", "--follow", "--after", "latest", "--server", &server.url()]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut lines = BufReader::new(follow.stdout.take().expect("its output was asked for")).lines();
    // It does not say when it has begun to listen: something happens until it tells of it.
    let (told, hears) = std::sync::mpsc::channel();
    let listens = std::thread::spawn(move || told.send(lines.next().expect("a line").expect("UTF-8")));
    let mut told = None;
    for number in 1.. {
        server.order(&format!("o-{number}"), "pm_card_visa");
        told = hears.recv_timeout(std::time::Duration::from_millis(200)).ok();
        if told.is_some() {
            break;
        }
    }
    let first: Value = serde_json::from_str(&told.expect("a line")).expect("JSON");
    assert_ne!(first["type"], "SupplierShipmentReceived");
    follow.kill().expect("it runs");
    follow.wait().expect("it ends");
    listens.join().expect("it has read").expect("somebody heard");
    let (code, _, said) = run(&mut banyan(&["events", "--after", "latest", "--server", &server.url()]));
    assert_eq!(code, 2, "{said}");
}

#[test]
fn without_a_server_it_says_so() {
    let (code, _, said) = run(&mut banyan(&["events", "--server", "http://127.0.0.1:1"]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains("banyan up"), "{said}");
}

//! What dashboards and alerts ask for is what the program serves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::binary::{Server, ask};

/// The house.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn is_part(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | ':')
}

/// The expressions of the dashboards and of the rules, each with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join("deploy/grafana")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let text = fs::read_to_string(&path).expect("a file");
            let dashboard: Value = serde_json::from_str(&text).expect("a document");
            for panel in dashboard["panels"].as_array().expect("panels") {
                for target in panel["targets"].as_array().expect("targets") {
                    let title = panel["title"].as_str().expect("a title").to_owned();
                    found.push((title, target["expr"].as_str().expect("an expression").to_owned()));
                }
            }
        }
    }
    assert!(found.len() > 30, "the dashboards were found");
    found.push(("rules.yml".to_owned(), rules()));
    found
}

/// The rules without what is said of them to people.
fn rules() -> String {
    let rules = fs::read_to_string(Path::new(ROOT).join("deploy/prometheus/rules.yml")).expect("a file");
    let is_for_people = |line: &&str| !["summary:", "#", "- name:"].iter().any(|said| line.trim().starts_with(said));
    rules.lines().filter(is_for_people).collect::<Vec<_>>().join("\n")
}

/// The names in an expression that are ours or the process's.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|char| !is_part(char));
    words.filter(|word| ["banyan_", "banyan:", "process_"].iter().any(|ours| word.starts_with(ours)))
}

/// What stands behind a label in an expression, such as `route="…"`.
fn labels<'a>(expression: &'a str, label: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!("{label}=\"");
    let parts: Vec<_> = expression.split(begin.as_str()).skip(1).collect();
    parts.into_iter().filter_map(|part| part.split('"').next())
}

/// The page of a program that has seen a checkout and a refusal.
fn page() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(1);
    assert_eq!(server.order("o-1", "pm_card_visa")["status"], "confirmed");
    server.order("o-2", "pm_card_visa");
    let page = ask(server.address, "GET", "/metrics", "", &Value::Null).1;
    page.as_str().expect("a page").to_owned()
}

/// The names of a page: of each series, and of the parts of those that have some.
fn served(page: &str) -> BTreeSet<&str> {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[test]
fn each_name_in_dashboards_and_alerts_is_one_that_the_program_serves() {
    let (page, tls) = (page(), crate::tls::page());
    let served: BTreeSet<&str> = served(&page).into_iter().chain(served(&tls)).collect();
    let rules = rules();
    let recorded: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let routes = fs::read_to_string(Path::new(ROOT).join("docs/openapi.json")).expect("a file");
    let types = fs::read_dir(Path::new(ROOT).join("contracts/golden")).expect("a folder");
    let types: BTreeSet<String> = types
        .flat_map(|service| fs::read_dir(service.expect("an entry").path()).into_iter().flatten())
        .filter_map(|example| example.ok()?.file_name().to_str()?.split('.').next().map(str::to_owned))
        .collect();
    for (place, expression) in expressions() {
        for name in names(&expression) {
            assert!(served.contains(name) || recorded.contains(name), "{place}: nobody serves {name}");
        }
        for route in labels(&expression, "route") {
            assert!(routes.contains(&format!("\"{route}\":")), "{place}: there is no route {route}");
        }
        for kind in labels(&expression, "type") {
            assert!(types.contains(kind), "{place}: nobody publishes {kind}");
        }
        for bucket in labels(&expression, "le") {
            assert!(page.contains(&format!("le=\"{bucket}\"")), "{place}: there is no bucket {bucket}");
        }
    }
}

#[test]
fn events_are_counted_by_their_type() {
    let page = page();
    for line in [
        "banyan_events_published_total{service=\"orders\",type=\"OrderPlaced\"} 2",
        "banyan_events_published_total{service=\"orders\",type=\"OrderConfirmed\"} 1",
        "banyan_events_published_total{service=\"inventory\",type=\"StockReservationRejected\"} 1",
    ] {
        assert!(page.contains(line), "{line} is missing: {page}");
    }
}

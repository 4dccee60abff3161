//! The document that the program serves: kept, kept compatible, and true.

mod breaking;
mod schemas;
mod story;

use std::fs;

use serde_json::Value;

use crate::binary::Server;

/// Where the document is kept, so that a change of it is seen.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

/// What is said where the document changes in a way that breaks callers.
const BROKEN: &str = "callers of the kept docs/openapi.json would break. Add beside what is there instead of changing or \
                      taking it away; where it has to be, write it down in CHANGELOG.md and run this test once with \
                      UPDATE_GOLDEN=breaking";

#[test]
fn the_document_is_the_one_that_is_kept_and_breaks_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (status, served) = Server::up(folder.path(), &[]).get("/openapi.json");
    assert_eq!(status, 200, "{served}");
    let kept: Value = fs::read(GOLDEN).ok().and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default();
    let update = std::env::var("UPDATE_GOLDEN").unwrap_or_default();
    let broken = breaking::changes(&kept, &served);
    assert!(broken.is_empty() || update == "breaking", "{BROKEN}:\n{}", broken.join("\n"));
    if !update.is_empty() {
        let mut text = serde_json::to_string_pretty(&served).expect("it has a JSON form");
        text.push('\n');
        fs::write(GOLDEN, text).expect("the document is written");
        return;
    }
    assert!(served == kept, "docs/openapi.json is not what is served; write it anew with UPDATE_GOLDEN=1: {}", {
        let places = breaking::differences(&kept, &served);
        places.join("\n")
    });
}

#[test]
fn every_reference_is_to_a_schema_that_is_there_and_every_schema_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, document) = Server::up(folder.path(), &[]).get("/openapi.json");
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for name in schemas.keys() {
        assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "nothing refers to {name}");
    }
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap_or_default();
        assert!(schemas.contains_key(name), "there is no schema {name}");
    }
}

#[test]
fn no_path_hides_a_method_of_another_that_it_is_also_an_example_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, document) = Server::up(folder.path(), &[]).get("/openapi.json");
    let paths = document["paths"].as_object().expect("paths");
    let is_one_of = |path: &str, other: &str| {
        path.split('/').count() == other.split('/').count()
            && path.split('/').zip(other.split('/')).all(|(at, there)| at == there || there.starts_with('{'))
    };
    for ((path, methods), (other, hidden)) in paths.iter().flat_map(|one| paths.iter().map(move |other| (one, other))) {
        for method in hidden.as_object().expect("methods").keys().filter(|_| path != other && is_one_of(path, other)) {
            assert!(!methods[method].is_null(), "{method} {other} is never found for {path}");
        }
    }
}

#[test]
fn a_service_alone_describes_its_own_requests_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let mut serve = crate::binary::banyan(&["serve", "inventory", "--listen", "127.0.0.1:0", "--data", data]);
    let server = Server::start(serve.env("BANYAN_ORDERS__URL", "http://127.0.0.1:1"));
    let (_, document) = server.get("/openapi.json");
    let has = |path: &str| !document["paths"][path].is_null();
    assert!(has("/v1/stock/{sku}") && has("/v1/events/{service}") && !has("/v1/orders/{id}"));
}

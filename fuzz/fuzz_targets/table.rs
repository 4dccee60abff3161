//! Any table whatever is read to its end, and each line of what is said of it is a document.
#![no_main]

use axum::body::Body;
use axum::http::Request;
use libfuzzer_sys::fuzz_target;
use web::Gate;

const FORMATS: [&str; 3] = ["text/csv", "application/x-ndjson", "application/jsonl"];

fuzz_target!(|made: (u8, bool, &[u8])| {
    let (format, dry_run, table) = made;
    let request = Request::put(format!("/v1/stock-imports/table?dry_run={dry_run}"))
        .header("content-type", FORMATS[usize::from(format) % FORMATS.len()])
        .body(Body::from(table.to_vec()))
        .expect("a request");
    let told = fuzz::with(|_, _| Gate::open(), |shop| shop.ask(request));
    for line in told.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).expect("a line is a document");
    }
});

//! A cursor is one that was given or is refused; and what is taken says the same again.
#![no_main]

use axum::body::Body;
use axum::http::Request;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use web::{Cursor, Gate};

const LISTS: [&str; 9] = [
    "/v1/orders",
    "/v1/test-provider/charges",
    "/v1/stock-export",
    "/v1/stock-journal",
    "/v1/availability",
    "/v1/shortfalls",
    "/v1/warehouses",
    "/v1/restock-needs",
    "/v1/webhook-endpoints",
];

fuzz_target!(|made: (u8, bool, &str)| {
    let (list, is_place, text) = made;
    // Nearly none would be a cursor by chance: so the text is what one holds, too.
    let place = || serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
    let text = if is_place { Cursor::new(&place()).to_string() } else { text.to_owned() };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
    let Ok(request) =
        Request::get(format!("{}?after={text}", LISTS[usize::from(list) % LISTS.len()])).body(Body::empty())
    else {
        return;
    };
    fuzz::with(|_, _| Gate::open(), |shop| shop.ask(request));
});

//! Any request whatever is answered, and where the answer is no, with a problem document.
#![no_main]

use std::net::IpAddr;

use arbitrary::Arbitrary;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use web::Gate;

/// A request that nearly makes sense: a call that is known, and anything in its gaps.
#[derive(Arbitrary, Debug)]
struct Made<'a> {
    call: u8,
    name: Name<'a>,
    query: &'a str,
    headers: Vec<(u8, &'a [u8])>,
    content: Content<'a>,
}

/// What stands in the gap of a path: mostly one of few names, so that calls meet.
#[derive(Arbitrary, Debug)]
enum Name<'a> {
    One,
    Other,
    Any(&'a str),
}

/// A body, or what a `GET` asks for: mostly one that is taken, in which one value is another.
#[derive(Arbitrary, Debug)]
enum Content<'a> {
    Own(u8, Other<'a>),
    OfAnotherCall(u8, u8, Other<'a>),
    Any(&'a [u8]),
}

/// What stands in the place of a value.
#[derive(Arbitrary, Debug)]
enum Other<'a> {
    AsItIs,
    Whole(i64),
    Small(u8),
    Broken(f64),
    OfAnotherCall(u8, u8),
    Text(&'a str),
    Any(&'a str),
}

/// Calls, each with a body that it takes, or a query where it is a `GET`; `{}` is a gap, and what stands between `$` is
/// exchanged.
const CALLS: [(Method, &str, &str); 44] = [
    (
        Method::PUT,
        "/v1/stock-movements/{}",
        r#"{"type":"receive","sku":$"a"$,"warehouse":$"main"$,"quantity":$5$,"reference":$"r"$}"#,
    ),
    (
        Method::PUT,
        "/v1/stock-movements/{}",
        r#"{"type":"count","sku":$"a"$,"warehouse":$"main"$,"counted":$5$,"reason":$"x"$}"#,
    ),
    (
        Method::PUT,
        "/v1/stock-movements/{}",
        r#"{"type":"adjust","sku":$"a"$,"warehouse":"main","quantity":$-1$,"reason":$"x"$}"#,
    ),
    (
        Method::PUT,
        "/v1/stock-movements/{}",
        r#"{"type":"transfer","sku":$"a"$,"from":$"main"$,"to":$"north"$,"quantity":$1$,"in_transit":$true$}"#,
    ),
    (Method::POST, "/v1/stock-movements/{}/arrive", r#"{"arrived":$1$}"#),
    (Method::GET, "/v1/stock/{}", ""),
    (Method::GET, "/v1/stock", ""),
    (Method::POST, "/v1/stock/query", r#"{"skus":[$"a"$,$"b"$]}"#),
    (Method::GET, "/v1/skus/{}", ""),
    (
        Method::PUT,
        "/v1/skus/{}",
        r#"{"discontinued":$false$,"backorder_limit":$5$,"available_from":$"2026-12-01T00:00:00Z"$}"#,
    ),
    (Method::GET, "/v1/skus/{}/restock", ""),
    (Method::PUT, "/v1/skus/{}/restock", r#"{"points":[{"warehouse":$"main"$,"threshold":$2$,"target":$9$}]}"#),
    (
        Method::PUT,
        "/v1/skus/{}/restock",
        r#"{"points":[{"warehouse":$"main"$,"threshold":2,"target":9},{"warehouse":$"north"$,"threshold":1,"target":1}]}"#,
    ),
    (Method::GET, "/v1/restock-needs", "limit=$9$&after=$$"),
    (Method::PUT, "/v1/warehouses/{}", r#"{"name":$"Main"$,"priority":$1$,"markets":[$"uk"$,$"de"$],"active":$true$}"#),
    (Method::GET, "/v1/warehouses/{}", ""),
    (Method::GET, "/v1/warehouses", "limit=$9$&after=$$"),
    (
        Method::GET,
        "/v1/stock-journal",
        "sku=$a$&warehouse=$main$&actor=$local$&reference=$r$&from=$2026-01-01T00:00:00Z$&to=$2027-01-01T00:00:00Z$&limit=$9$",
    ),
    (Method::GET, "/v1/availability", "limit=$9$&after=$$"),
    (Method::GET, "/v1/availability-snapshot", ""),
    (Method::GET, "/v1/shortfalls", "state=$open$&limit=$9$"),
    (
        Method::POST,
        "/v1/shortfalls/resolve",
        r#"{"reservation":$"a"$,"owner":$"local"$,"sku":$"a"$,"warehouse":$"main"$,"how":$"move"$,"to":$"north"$,"reason":$"x"$}"#,
    ),
    (
        Method::POST,
        "/v1/shortfalls/resolve",
        r#"{"reservation":$"a"$,"sku":$"a"$,"warehouse":$"main"$,"how":$"release"$,"reason":$"x"$}"#,
    ),
    (
        Method::POST,
        "/v1/shortfalls/resolve",
        r#"{"reservation":$"a"$,"sku":$"a"$,"warehouse":$"main"$,"how":$"move"$,"reason":$"x"$}"#,
    ),
    (
        Method::PUT,
        "/v1/reservations/{}",
        r#"{"lines":[{"sku":$"a"$,"quantity":$1$,"warehouse":$"main"$}],"hold_secs":$900$,"replaces":$"r"$}"#,
    ),
    (Method::PUT, "/v1/reservations/{}", r#"{"lines":[{"sku":$"a"$,"quantity":$1$},{"sku":$"a"$,"quantity":$1$}]}"#),
    (Method::GET, "/v1/reservations/{}", ""),
    (Method::POST, "/v1/reservations/{}/extend", r#"{"hold_secs":$900$}"#),
    (Method::POST, "/v1/reservations/{}/commit", r#"{"if_expired":$"retake"$}"#),
    (Method::POST, "/v1/reservations/{}/ship", ""),
    (Method::POST, "/v1/reservations/{}/release", ""),
    (Method::GET, "/v1/stock-export", ""),
    (
        Method::PUT,
        "/v1/orders/{}",
        r#"{"lines":[{"sku":$"a"$,"quantity":$1$,"unit_price":{"amount":$1999$,"currency":$"GBP"$}}],"payment":{"method":$"pm_card_visa"$},"customer":$"c"$,"reference":$"r"$}"#,
    ),
    (Method::GET, "/v1/orders/{}", ""),
    (Method::GET, "/v1/orders/{}/history", ""),
    (Method::POST, "/v1/orders/{}/cancel", r#"{"reason":$"because"$}"#),
    (Method::GET, "/v1/orders", ""),
    (Method::GET, "/v1/payments/{}", ""),
    (Method::POST, "/v1/payments/{}/return", r#"{"succeeded":$true$}"#),
    (
        Method::POST,
        "/v1/payments/webhooks/test",
        r#"{"id":$"whk_1"$,"key":$"pay.1"$,"type":$"authorization.succeeded"$}"#,
    ),
    (Method::POST, "/v1/test-provider/challenges/{}", r#"{"succeeded":$true$}"#),
    (
        Method::PUT,
        "/v1/webhook-endpoints/{}",
        r#"{"url":$"https://1.1.1.1/hooks"$,"types":[$"OrderConfirmed"$],"subjects":[$"a"$],"ordered":$true$,"enabled":$true$}"#,
    ),
    (Method::POST, "/v1/webhook-endpoints/{}/rotate-secret", r#"{"overlap_secs":$60$}"#),
    (Method::DELETE, "/v1/{}", ""),
];

const HEADERS: [&str; 9] = [
    "idempotency-key",
    "content-type",
    "if-match",
    "if-none-match",
    "traceparent",
    "x-request-id",
    "accept",
    "authorization",
    "content-length",
];

fn call(number: u8) -> &'static (Method, &'static str, &'static str) {
    &CALLS[usize::from(number) % CALLS.len()]
}

/// Where a value stands in so many pieces, every second of which is one.
fn place_of_value(pieces: usize, place: u8) -> Option<usize> {
    let values = pieces / 2;
    (values > 0).then(|| usize::from(place) % values * 2 + 1)
}

impl Content<'_> {
    fn of(&self, own: &str) -> Vec<u8> {
        let (text, place, other) = match self {
            Self::Any(bytes) => return bytes.to_vec(),
            Self::Own(place, other) => (own, *place, other),
            Self::OfAnotherCall(number, place, other) => (call(*number).2, *place, other),
        };
        let mut pieces: Vec<String> = text.split('$').map(str::to_owned).collect();
        if let Some(at) = place_of_value(pieces.len(), place) {
            let value = &mut pieces[at];
            match other {
                Other::AsItIs => {}
                Other::Whole(number) => *value = number.to_string(),
                Other::Small(number) => *value = number.to_string(),
                Other::Broken(number) => *value = format!("{number:?}"),
                Other::OfAnotherCall(number, place) => {
                    let pieces: Vec<&str> = call(*number).2.split('$').collect();
                    place_of_value(pieces.len(), *place).map_or("null", |at| pieces[at]).clone_into(value);
                }
                Other::Text(text) => *value = Value::from(*text).to_string(),
                Other::Any(text) => (*text).clone_into(value),
            }
        }
        pieces.concat().into_bytes()
    }
}

/// Written as a query can hold it.
fn escaped(text: &[u8]) -> String {
    let written = |byte: &u8| match byte {
        b'!' | b'$'..=b';' | b'=' | b'?'..=b'~' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.iter().map(written).collect()
}

/// Whether it has a URL with a name in it: others would be asked where that leads.
fn asks_others(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let uri = body["url"].as_str().and_then(|url| url.parse::<Uri>().ok());
    let is_name = |host: &str| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_err();
    uri.is_some_and(|uri| uri.host().is_some_and(is_name))
}

fuzz_target!(|made: Made<'_>| -> Corpus {
    let (method, path, content) = call(made.call);
    let content = made.content.of(content);
    let (query, body) = if method == Method::GET { (escaped(&content), vec![]) } else { (String::new(), content) };
    if asks_others(&body) {
        return Corpus::Reject;
    }
    let name = match made.name {
        Name::One => "a",
        Name::Other => "main",
        Name::Any(text) => text,
    };
    let Ok(uri) = format!("{}?{query}{}", path.replace("{}", name), made.query).parse::<Uri>() else {
        return Corpus::Reject;
    };
    let json = ("content-type", &b"application/json"[..]);
    let named = made.headers.iter().map(|(name, value)| (HEADERS[usize::from(*name) % HEADERS.len()], *value));
    let request = Request::builder().method(method).uri(uri);
    let request =
        [json].into_iter().chain(named).fold(request, |request, (name, value)| match HeaderValue::from_bytes(value) {
            Ok(value) => request.header(HeaderName::from_static(name), value),
            Err(_) => request,
        });
    let Ok(request) = request.body(Body::from(body)) else { return Corpus::Reject };
    fuzz::with(|_, _| Gate::open(), |shop| shop.ask(request));
    Corpus::Keep
});

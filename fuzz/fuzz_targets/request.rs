//! Any request whatever is answered, and where the answer is no, with a problem document.
#![no_main]

use arbitrary::Arbitrary;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::{Corpus, fuzz_target};
use web::Gate;

/// A request that nearly makes sense: a call that is known, and anything in its gaps.
#[derive(Arbitrary, Debug)]
struct Made<'a> {
    call: u8,
    name: Name<'a>,
    query: &'a str,
    headers: Vec<(u8, &'a [u8])>,
    body: Content<'a>,
}

/// What stands in the gap of a path: mostly one of few names, so that calls meet.
#[derive(Arbitrary, Debug)]
enum Name<'a> {
    One,
    Other,
    Any(&'a str),
}

/// A body: mostly one that is taken, in which one value is another.
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
    Text(&'a str),
    Any(&'a str),
}

/// Calls, each with a body that it takes; `{}` is a gap, and what stands between `$` is exchanged.
const CALLS: [(Method, &str, &str); 28] = [
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
    (Method::PUT, "/v1/skus/{}", r#"{"discontinued":$true$}"#),
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

impl Content<'_> {
    fn of(&self, body: &str) -> Vec<u8> {
        let (body, place, other) = match self {
            Self::Any(bytes) => return bytes.to_vec(),
            Self::Own(place, other) => (body, *place, other),
            Self::OfAnotherCall(number, place, other) => (call(*number).2, *place, other),
        };
        // Every second piece is a value.
        let mut pieces: Vec<String> = body.split('$').map(str::to_owned).collect();
        let values = pieces.len() / 2;
        if values > 0 {
            let value = &mut pieces[usize::from(place) % values * 2 + 1];
            match other {
                Other::AsItIs => {}
                Other::Whole(number) => *value = number.to_string(),
                Other::Small(number) => *value = number.to_string(),
                Other::Broken(number) => *value = format!("{number:?}"),
                Other::Text(text) => *value = serde_json::Value::from(*text).to_string(),
                Other::Any(text) => (*text).clone_into(value),
            }
        }
        pieces.concat().into_bytes()
    }
}

fuzz_target!(|made: Made<'_>| -> Corpus {
    let (method, path, body) = call(made.call);
    let name = match made.name {
        Name::One => "one",
        Name::Other => "other",
        Name::Any(text) => text,
    };
    let Ok(uri) = format!("{}?{}", path.replace("{}", name), made.query).parse::<Uri>() else { return Corpus::Reject };
    let json = ("content-type", &b"application/json"[..]);
    let named = made.headers.iter().map(|(name, value)| (HEADERS[usize::from(*name) % HEADERS.len()], *value));
    let request = Request::builder().method(method).uri(uri);
    let request =
        [json].into_iter().chain(named).fold(request, |request, (name, value)| match HeaderValue::from_bytes(value) {
            Ok(value) => request.header(HeaderName::from_static(name), value),
            Err(_) => request,
        });
    let Ok(request) = request.body(Body::from(made.body.of(body))) else { return Corpus::Reject };
    fuzz::with(|_, _| Gate::open(), |shop| shop.ask(request));
    Corpus::Keep
});

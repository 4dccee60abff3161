//! The path of a request: names in it are taken exactly as they were meant.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::faults::unless_it_quotes;
use crate::problem::Problem;

/// The one parameter of a route, checked: `/v1/stock/{sku}` as `Segment<Sku>`.
///
/// Percent-encoding is undone once, after the route was found, so that a SKU may hold a slash.
#[derive(Clone, Copy, Debug)]
pub struct Segment<T>(pub T);

impl<S: Send + Sync, T: FromStr<Err: Display>> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = params(parts, state).await?;
        let mut params = params.iter();
        let (Some(only), None) = (params.next(), params.next()) else {
            return Err(Problem::internal("`Segment` stands in a route that has not exactly one parameter"));
        };
        parsed(only).map(Self)
    }
}

/// The two parameters of a route, checked: `/v1/a/{a}/b/{b}` as `Segments<Name, i64>`.
#[derive(Clone, Copy, Debug)]
pub struct Segments<A, B>(pub A, pub B);

impl<S: Send + Sync, A: FromStr<Err: Display>, B: FromStr<Err: Display>> FromRequestParts<S> for Segments<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = params(parts, state).await?;
        let mut params = params.iter();
        let (Some(first), Some(second), None) = (params.next(), params.next(), params.next()) else {
            return Err(Problem::internal("`Segments` stands in a route that has not exactly two parameters"));
        };
        Ok(Self(parsed(first)?, parsed(second)?))
    }
}

async fn params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    params.map_err(|_| Problem::unreadable("The path is not percent-encoded UTF-8."))
}

fn parsed<T: FromStr<Err: Display>>((name, text): (&str, &str)) -> Result<T, Problem> {
    let refused = |error: T::Err| Problem::fault(format!("{{{name}}}"), unless_it_quotes(error.to_string(), text));
    text.parse().map_err(refused)
}

/// What stands in a path as it is (RFC 3986, 2.3: unreserved characters).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path of these segments, each percent-encoded: `path(["v1", "stock", sku])`.
pub fn path<'a>(segments: impl IntoIterator<Item = &'a str>) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        match segment {
            // Left as they are, these would be steps and not names.
            "." => path.push_str("%2E"),
            ".." => path.push_str("%2E%2E"),
            segment => path.extend(utf8_percent_encode(segment, ESCAPED)),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::extract::Request;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use ids::Sku;
    use tower::ServiceExt;

    use super::{Segment, path};

    async fn answer(path: &str) -> (u16, String) {
        let stock = |Segment(sku): Segment<Sku>| async move { sku.to_string() };
        let app = Router::new().route("/v1/stock/{sku}", get(stock)).route("/v1/stock/{sku}/levels", get("levels"));
        let response = app.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_sku_in_a_path_is_decoded_once_and_exactly() {
        assert_eq!(answer("/v1/stock/WALK%20x%2F%C3%A9").await, (200, "WALK x/é".into()));
        assert_eq!(answer("/v1/stock/a%252Fb").await, (200, "a%2Fb".into()));
        assert_eq!(answer("/v1/stock/a+b").await, (200, "a+b".into()));
        assert_eq!(answer("/v1/stock/a/levels").await, (200, "levels".into()));
    }

    #[tokio::test]
    async fn a_segment_that_is_no_sku_is_refused_and_not_said_back() {
        assert_eq!(answer("/v1/stock/a%FF").await.0, 400);
        let (status, said) = answer("/v1/stock/4242424242424242%0A").await;
        assert!(status == 422 && said.contains("{sku}") && !said.contains("4242"), "{status} {said}");
    }

    #[tokio::test]
    async fn a_written_path_is_read_as_the_same_names() {
        for sku in ["a", "a b", "a/b", "..", ".", "%2F", "é?#&+", "~-_."] {
            assert_eq!(answer(&path(["v1", "stock", sku])).await, (200, sku.to_owned()));
        }
        assert_eq!(path(["v1", ".", ".."]), "/v1/%2E/%2E%2E", "a proxy would take them for steps");
    }
}

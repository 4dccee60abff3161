//! The body of a request: read within its limits, and strictly.

use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::faults::Faults;
use crate::json;
use crate::kinds::{BODY_TOO_LARGE, REQUEST_TIMEOUT, UNSUPPORTED_MEDIA_TYPE};
use crate::limits::Limits;
use crate::openapi::FORM;
use crate::problem::Problem;
use crate::query::Query;

/// The body of a request, as a document of JSON, and what is wrong with its shape.
///
/// Refuses another content type, what is too large or too slow, what is not UTF-8 or no JSON, and
/// a key given twice. Fields that `T` does not know (with `deny_unknown_fields`) and those that have
/// not their shape are left out, and are among the faults with which the check of the rest begins.
#[derive(Debug, Default)]
pub struct Body<T>(pub T, pub Faults);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        // Read in any case: a connection on which something is unread is of no more use.
        let body = collect(request).await?;
        if !is_json {
            return Err(Problem::new(&UNSUPPORTED_MEDIA_TYPE));
        }
        let (document, faults) = json::read(&body)?;
        Ok(Self(document, faults))
    }
}

/// A body that may be left out: `Option<Body<T>>` is none where nothing was sent.
impl<S: Sync, T: DeserializeOwned> OptionalFromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, Problem> {
        let is_json = is_json(request.headers());
        match &collect(request).await?[..] {
            [] => Ok(None),
            _ if !is_json => Err(Problem::new(&UNSUPPORTED_MEDIA_TYPE)),
            bytes => json::read(bytes).map(|(document, faults)| Some(Self(document, faults))),
        }
    }
}

/// What may be sent where no body is taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The request without its body, which may say nothing: nobody would look at it.
pub(crate) async fn without_body(request: Request) -> Result<Request, Problem> {
    if HttpBody::is_end_stream(request.body()) {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let sent = collect(Request::from_parts(head.clone(), body)).await?;
    if !matches!(sent.trim_ascii(), b"" | b"null") {
        let (Nothing {}, faults) = json::read(&sent)?;
        faults.finish(|| Some(()))?;
    }
    Ok(Request::from_parts(head, axum::body::Body::empty()))
}

/// The body of a request as it came, for what is not JSON or signed as bytes.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<S: Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        collect(request).await.map(Self)
    }
}

/// What a page's form sends: `application/x-www-form-urlencoded`, read as strictly as a query.
#[derive(Clone, Debug)]
pub struct Form(pub Query);

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_form =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
                value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(FORM))
            });
        let body = collect(request).await?;
        if !is_form {
            let detail = "Send what the form of the page sends, as `Content-Type: application/x-www-form-urlencoded`.";
            return Err(Problem::new(&UNSUPPORTED_MEDIA_TYPE).detail(detail));
        }
        let text = std::str::from_utf8(&body).map_err(|_| Problem::unreadable("The form is not UTF-8."))?;
        Query::read(text).map(Self)
    }
}

/// Another limit for the bodies of some routes: `router.layer(Extension(BodyLimit { bytes }))`.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    /// Bytes that are taken at most.
    pub bytes: usize,
}

/// How long a body may take; put on the request by the way in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyTime(pub(crate) Duration);

/// `application/json` or `application/…+json`, in UTF-8 and not compressed.
fn is_json(headers: &HeaderMap) -> bool {
    let text = |value: &HeaderValue| value.to_str().unwrap_or("").to_ascii_lowercase();
    if headers.get_all(CONTENT_ENCODING).iter().any(|coding| text(coding) != "identity") {
        return false;
    }
    let Some(value) = headers.get(CONTENT_TYPE).map(text) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let is_json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    let utf8 = |part: &str| part.strip_prefix("charset=").is_none_or(|charset| charset.trim_matches('"') == "utf-8");
    is_json && parts.all(utf8)
}

/// Reads the whole body, within its size and time.
///
/// What is a little too large is read to its end and thrown away: a client that is still sending
/// when the connection closes would never see the answer.
async fn collect(request: Request) -> Result<Bytes, Problem> {
    let limit = request.extensions().get::<BodyLimit>().map_or(Limits::default().body_bytes, |limit| limit.bytes);
    let time = request.extensions().get::<BodyTime>().map_or(Duration::from_secs(30), |time| time.0);
    timeout(time, read(request.into_body(), limit)).await.unwrap_or_else(|_| Err(Problem::new(&REQUEST_TIMEOUT)))
}

/// How much more than the limit is read before the connection is closed on the sender.
const THROWN_AWAY: usize = 8 * 1024 * 1024;

async fn read(mut body: axum::body::Body, limit: usize) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::unreadable("The body broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        match length {
            length if length > limit.saturating_add(THROWN_AWAY) => break,
            length if length > limit => all.clear(),
            // Nearly every body comes in one piece and is not copied.
            length if length == data.len() => first = data,
            _ => {
                if all.is_empty() {
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
        }
    }
    if length > limit {
        let detail = format!("The body has more than {limit} bytes. Send less at once, in several requests.");
        return Err(Problem::new(&BODY_TOO_LARGE).detail(detail));
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::extract::{FromRequest, OptionalFromRequest, Request};
    use bytes::Bytes;
    use futures_util::stream;
    use serde_json::{Value, json};

    use super::{Body, BodyLimit, RawBody};

    fn request(content_type: &str, body: impl Into<axum::body::Body>) -> Request {
        Request::builder().header("content-type", content_type).body(body.into()).unwrap()
    }

    async fn status(request: Request) -> u16 {
        <Body<Value> as FromRequest<()>>::from_request(request, &())
            .await
            .map_or_else(|problem| problem.status(), |_| 200)
    }

    #[tokio::test]
    async fn only_json_in_utf_8_is_taken() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/merge-patch+json"] {
            assert_eq!(status(request(good, "{}")).await, 200, "{good}");
        }
        for bad in ["text/plain", "application/jsonx", "application/json; charset=latin1", ""] {
            assert_eq!(status(request(bad, "{}")).await, 415, "{bad}");
        }
        let mut compressed = request("application/json", "{}");
        compressed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        assert_eq!(status(compressed).await, 415);
    }

    #[tokio::test]
    async fn a_body_that_may_be_left_out_is_taken_strictly_where_it_is_not() {
        let read = |content_type, body: &'static str| async move {
            let read = <Body<Value> as OptionalFromRequest<()>>::from_request(request(content_type, body), &()).await;
            read.map(|body| body.map(|Body(value, _)| value)).map_err(|problem| problem.status())
        };
        assert_eq!(read("", "").await, Ok(None));
        assert_eq!(read("application/json", "").await, Ok(None));
        assert_eq!(read("application/json", "{\"a\":1}").await, Ok(Some(json!({"a": 1}))));
        assert_eq!((read("text/plain", "{}").await, read("application/json", "{").await), (Err(415), Err(400)));
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together() {
        let pieces = stream::iter(["{\"a\"", "", ":[1,", "2]}"].map(Ok::<_, std::io::Error>));
        let pieces = request("application/json", axum::body::Body::from_stream(pieces));
        let Body(value, _) = <Body<Value> as FromRequest<()>>::from_request(pieces, &()).await.unwrap();
        assert_eq!(value, json!({"a": [1, 2]}));
    }

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit_and_no_further() {
        for (length, taken) in [(10, true), (11, false), (30, false)] {
            let mut request = request("text/csv", vec![b'x'; length]);
            request.extensions_mut().insert(BodyLimit { bytes: 10 });
            let read = RawBody::from_request(request, &()).await;
            assert_eq!(read.as_ref().map(|RawBody(bytes)| bytes.len()).ok(), taken.then_some(length));
            assert!(taken || read.unwrap_err().status() == 413);
        }
    }

    #[tokio::test]
    async fn a_limit_of_a_route_is_set_by_a_layer() {
        use tower::ServiceExt;
        let take = |RawBody(bytes): RawBody| async move { bytes };
        let app = axum::Router::new().route("/", axum::routing::post(take)).layer(Extension(BodyLimit { bytes: 3 }));
        let answer = |body: &'static str| {
            let request = Request::post("/").body(axum::body::Body::from(Bytes::from(body))).unwrap();
            let app = app.clone();
            async move { app.oneshot(request).await.unwrap().status().as_u16() }
        };
        assert_eq!((answer("abc").await, answer("abcd").await), (200, 413));
    }
}

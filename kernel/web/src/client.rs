//! The client by which one service asks another.
//!
//! ```text
//! refused with a problem        nothing more will come of it        happened: no
//! could not connect, or knows
//! not whom it has reached       it never left                       happened: no
//! no answer in time, broke off,
//! unreadable answer             who knows                           happened: unknown, repeat under the same name
//! ```

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use db::Context;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use settings::Secret;
use tokio::time::timeout;

use crate::caller::{TRACEPARENT, X_REQUEST_ID};
use crate::trust::{Connector, Trust, not_trusted};

/// Asks one other service over HTTP/1.1, with TLS where its address begins with `https`; cheap to clone, all clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<Connector, Body>,
    base: String,
    key: Option<Secret>,
    headers: HeaderMap,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum NoAnswer {
    /// The other side said no.
    Refused(Box<Refusal>),
    /// The other side could not be reached; nothing has happened.
    NotConnected(String),
    /// Nobody knows whether it is who it should be; nothing has been asked.
    NotTrusted(String),
    /// The answer did not come within the time given.
    TooLate,
    /// The connection broke after the request had left.
    BrokeOff(String),
    /// An answer came that is not what was expected.
    Unreadable(String),
}

impl NoAnswer {
    /// Whether the request may have taken effect; then it is repeated under the same name, and only
    /// so it is found out.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                refusal.status >= 500 && !matches!(refusal.code.as_str(), "overloaded" | "unavailable")
            }
            Self::NotConnected(_) | Self::NotTrusted(_) => false,
            Self::TooLate | Self::BrokeOff(_) | Self::Unreadable(_) => true,
        }
    }

    /// The code of the problem with which the other side refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {} {}: {}", refusal.status, refusal.code, refusal.detail),
            Self::NotConnected(cause) => write!(f, "could not connect: {cause}"),
            Self::NotTrusted(cause) => write!(f, "is not trusted: {cause}"),
            Self::TooLate => f.write_str("did not answer in time"),
            Self::BrokeOff(cause) => write!(f, "broke off: {cause}"),
            Self::Unreadable(cause) => write!(f, "answered something unreadable: {cause}"),
        }
    }
}

impl std::error::Error for NoAnswer {}

/// A problem of the other side.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    #[serde(skip)]
    pub status: u16,
    /// The permanent code to decide by; empty where the answer was no problem document.
    #[serde(default)]
    pub code: String,
    /// What it says of this occurrence.
    #[serde(default)]
    pub detail: String,
    /// The trace under which the other side's log tells more.
    #[serde(default)]
    pub trace_id: String,
    /// After how many seconds it is worth asking again.
    #[serde(skip)]
    pub retry_after_secs: Option<u32>,
    /// All its other members, such as `short`.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

/// Bytes of an answer that are read at most.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// How long a connection may take to come about.
const CONNECT_TIME: Duration = Duration::from_secs(3);

/// How long an idle connection is kept: less than a server keeps its own, so that none is used at
/// the moment in which the server closes it.
const IDLE_TIME: Duration = Duration::from_secs(5);

impl Client {
    /// A client of the service at this address, such as `http://127.0.0.1:8080`, that trusts whom the
    /// system trusts.
    pub fn new(base_url: &str) -> Result<Self, String> {
        Self::trusting(base_url, &Trust::default())
    }

    /// A client of the service at this address, such as `https://127.0.0.1:8443`, that trusts these.
    pub fn trusting(base_url: &str, trust: &Trust) -> Result<Self, String> {
        let uri: Uri = base_url.parse().map_err(|fault| format!("{base_url} is no address of a service: {fault}"))?;
        let is_https = uri.scheme_str() == Some("https");
        if !is_https && uri.scheme_str() != Some("http") || uri.authority().is_none() || uri.query().is_some() {
            return Err(format!(
                "{base_url} is no address of a service; expected something like http://127.0.0.1:8080 or https://shop.example"
            ));
        }
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .build(trust.connector(is_https, CONNECT_TIME));
        Ok(Self { http, base: base_url.to_owned(), key: None, headers: HeaderMap::new() })
    }

    /// Asks with an API key, where there is one.
    #[must_use]
    pub fn with_key(self, key: Option<Secret>) -> Self {
        Self { key, ..self }
    }

    /// Asks with these headers too, such as those that a collector of telemetry wants.
    pub fn with_headers(mut self, headers: &[(String, String)]) -> Result<Self, String> {
        for (name, value) in headers {
            let refused = || format!("{name} is no header that can be sent");
            let mut value = HeaderValue::from_str(value).map_err(|_| refused())?;
            // It may be a key.
            value.set_sensitive(true);
            self.headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?, value);
        }
        Ok(self)
    }

    /// Reads what stands under a path and query (see [`path`](crate::path)).
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        by: &Context,
        within: Duration,
    ) -> Result<T, NoAnswer> {
        self.ask(Method::GET, path, None, None, by, within).await
    }

    /// Reads like [`Client::get_json`], and lets the other side hold its answer for so long
    /// (`Prefer: wait`) until there is something to say.
    pub async fn get_json_waiting<T: DeserializeOwned>(
        &self,
        path: &str,
        wait: Duration,
        by: &Context,
        within: Duration,
    ) -> Result<T, NoAnswer> {
        self.ask(Method::GET, path, None, Some(wait), by, wait + within).await
    }

    /// Puts a document under a name; safe to repeat.
    pub async fn put_json<T: DeserializeOwned>(
        &self,
        path: &str,
        document: &impl Serialize,
        by: &Context,
        within: Duration,
    ) -> Result<T, NoAnswer> {
        self.ask(Method::PUT, path, Some(to_bytes(document)), None, by, within).await
    }

    /// Posts a document to a path that names a state to reach, such as `…/commit`; safe to repeat.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        document: &impl Serialize,
        by: &Context,
        within: Duration,
    ) -> Result<T, NoAnswer> {
        self.ask(Method::POST, path, Some(to_bytes(document)), None, by, within).await
    }

    /// Sends a body that streams under a name, or reads one, and gives back the answer as it comes; it
    /// may take as long as it takes.
    pub async fn stream(
        &self,
        method: Method,
        path: &str,
        sent: Option<(&str, Body)>,
        accept: &str,
        by: &Context,
    ) -> Result<impl Stream<Item = Result<Bytes, NoAnswer>> + Unpin + use<>, NoAnswer> {
        let mut request = self.request(method, path, by).header(header::ACCEPT, accept);
        let body = match sent {
            Some((content_type, body)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                body
            }
            None => Body::empty(),
        };
        let answer = self.http.request(build(request.body(body))?).await.map_err(|fault| no_answer(&fault))?;
        let status = answer.status();
        if !status.is_success() {
            let (_, retry_after_secs, body) = whole(answer).await?;
            return Err(refused(status, retry_after_secs, &body));
        }
        let bytes = answer.into_body().into_data_stream();
        Ok(bytes.map(|bytes| bytes.map_err(|fault| NoAnswer::BrokeOff(innermost(&fault)))))
    }

    fn request(&self, method: Method, path: &str, by: &Context) -> http::request::Builder {
        let mut request = Request::builder();
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
        }
        let request = request
            .method(method)
            .uri(self.uri(path))
            .header(TRACEPARENT, by.trace.to_string())
            .header(X_REQUEST_ID, &*by.correlation);
        match &self.key {
            Some(key) => request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose())),
            None => request,
        }
    }

    /// A path below the address; without one the address as it was given.
    fn uri(&self, path: &str) -> String {
        if path.is_empty() { self.base.clone() } else { format!("{}{path}", self.base.trim_end_matches('/')) }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        document: Option<Vec<u8>>,
        wait: Option<Duration>,
        by: &Context,
        within: Duration,
    ) -> Result<T, NoAnswer> {
        let mut request = self.request(method, path, by);
        if document.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(wait) = wait {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        let request = build(request.body(document.map_or_else(Body::empty, Body::from)))?;
        let (status, retry_after_secs, answer) =
            timeout(within, self.send(request)).await.unwrap_or(Err(NoAnswer::TooLate))?;
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(|fault| NoAnswer::Unreadable(fault.to_string()));
        }
        if !status.is_client_error() && !status.is_server_error() {
            return Err(NoAnswer::Unreadable(format!("status {status}")));
        }
        Err(refused(status, retry_after_secs, &answer))
    }

    async fn send(&self, request: Request<Body>) -> Result<(StatusCode, Option<u32>, Bytes), NoAnswer> {
        whole(self.http.request(request).await.map_err(|fault| no_answer(&fault))?).await
    }
}

fn build(request: http::Result<Request<Body>>) -> Result<Request<Body>, NoAnswer> {
    request.map_err(|fault| NoAnswer::NotConnected(format!("no request can be made of it: {fault}")))
}

fn no_answer(fault: &legacy::Error) -> NoAnswer {
    if !fault.is_connect() {
        return NoAnswer::BrokeOff(innermost(fault));
    }
    not_trusted(fault).unwrap_or_else(|| NoAnswer::NotConnected(innermost(fault)))
}

/// Reads an answer to its end.
async fn whole(answer: Response<hyper::body::Incoming>) -> Result<(StatusCode, Option<u32>, Bytes), NoAnswer> {
    let status = answer.status();
    let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
    let body = body.map_err(|fault| match fault.downcast_ref::<LengthLimitError>() {
        Some(_) => NoAnswer::Unreadable(format!("more than {LARGEST_ANSWER} bytes")),
        None => NoAnswer::BrokeOff(innermost(&*fault)),
    })?;
    Ok((status, retry_after, body.to_bytes()))
}

/// What a problem document says.
fn refused(status: StatusCode, retry_after_secs: Option<u32>, answer: &[u8]) -> NoAnswer {
    let mut refusal: Refusal = serde_json::from_slice(answer).unwrap_or_else(|_| Refusal {
        status: 0,
        code: String::new(),
        detail: String::new(),
        trace_id: String::new(),
        retry_after_secs: None,
        members: Map::new(),
    });
    refusal.status = status.as_u16();
    refusal.retry_after_secs = retry_after_secs;
    NoAnswer::Refused(Box::new(refusal))
}

fn to_bytes(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document of ours has a JSON form")
}

/// What the last error in a chain says; those before it only say that there was one.
pub(crate) fn innermost(fault: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = fault;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::Client;

    #[test]
    fn a_path_is_below_the_address_and_without_one_it_is_used_as_it_stands() {
        let uri = |base: &str, path: &str| Client::new(base).expect("an address").uri(path);
        for base in ["http://a.example/shop", "http://a.example/shop/"] {
            assert_eq!(uri(base, "/v1/orders"), "http://a.example/shop/v1/orders");
            assert_eq!(uri(base, ""), base);
        }
    }
}

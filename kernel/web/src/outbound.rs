//! Requests to addresses that somebody else has chosen, such as the receivers of webhooks.
//!
//! ```text
//! Target::read(url) ─▶ post: resolve ─▶ Reach: which of these addresses? ─▶ connect to one of them ─▶ (TLS) ─▶ Reply
//! ```
//!
//! **Invariant:** what is connected to is an address that was checked, and not a name that is resolved
//! once more; so a name that means something else a moment later leads nowhere.
//!
//! **Invariant:** no redirect is followed, and of an answer no more than [`PIECE_BYTES`] is read.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::client::innermost;
use crate::reach::Reach;
use crate::trust::Trust;

/// Bytes of an answer that are read; of a longer one the rest is never taken from the wire.
pub const PIECE_BYTES: usize = 1_024;

/// How long the piece of an answer may take once its head is there.
const PIECE_TIME: Duration = Duration::from_secs(2);

/// How long an idle connection is kept for the next request to the same place.
const IDLE_TIME: Duration = Duration::from_secs(15);

/// Idle connections to one place, at most.
const IDLE_AT_MOST: usize = 8;

/// The longest URL.
const LONGEST_URL: usize = 2_048;

/// Asks others over HTTP/1.1; cheap to clone, all clones share their connections.
#[derive(Clone, Debug)]
pub struct Outbound {
    http: legacy::Client<HttpsConnector<HttpConnector<Checked>>, Full<Bytes>>,
    reach: Reach,
}

/// A place to ask: an absolute URL of HTTP that names nobody and no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Uri);

/// Why a text is no place to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATarget {
    why: &'static str,
    /// Whether it is one where everything may be asked ([`Reach::Everywhere`]).
    pub is_out_of_reach: bool,
}

impl NotATarget {
    fn never(why: &'static str) -> Self {
        Self { why, is_out_of_reach: false }
    }

    fn out_of_reach(why: &'static str) -> Self {
        Self { why, is_out_of_reach: true }
    }
}

impl fmt::Display for NotATarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for NotATarget {}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// After how many seconds it is worth asking again, where the answer says so in seconds.
    pub retry_after_secs: Option<u64>,
    /// The beginning of its body.
    pub piece: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The address may not be asked; nothing has left.
    Refused(&'static str),
    /// Nobody was reached; nothing has left.
    NotConnected(String),
    /// No answer came within the time.
    TooLate,
    /// The connection broke after the request had left.
    BrokeOff(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(what) => write!(f, "it is not asked, for it leads to {what}"),
            Self::NotConnected(cause) => write!(f, "could not connect: {cause}"),
            Self::TooLate => f.write_str("did not answer in time"),
            Self::BrokeOff(cause) => write!(f, "broke off before it had answered: {cause}"),
        }
    }
}

impl std::error::Error for Unanswered {}

impl Target {
    /// Reads a URL, as far as it can be judged without looking its name up.
    pub fn read(url: &str, reach: Reach) -> Result<Self, NotATarget> {
        if url.len() > LONGEST_URL || url.contains('#') {
            return Err(NotATarget::never("a URL of up to 2048 characters without a fragment is expected"));
        }
        let uri: Uri =
            url.parse().map_err(|_| NotATarget::never("a URL such as https://shop.example/hooks is expected"))?;
        match (uri.scheme_str(), reach) {
            (Some("https"), _) | (Some("http"), Reach::Everywhere) => {}
            (Some("http"), Reach::Public) => {
                return Err(NotATarget::out_of_reach("a URL that begins with https:// is expected"));
            }
            _ => return Err(NotATarget::never("a URL that begins with https:// is expected")),
        }
        let authority = uri.authority().ok_or(NotATarget::never("the URL names no host"))?;
        if authority.as_str().contains('@') {
            return Err(NotATarget::never("the URL holds a user's name, which would be sent to nobody; leave it out"));
        }
        // `Authority::port` is none for a number that is no port, as if there were none.
        let port = authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
        if authority.host().is_empty() || port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
            return Err(NotATarget::never("the URL names no host, or a port that cannot be"));
        }
        let target = Self(uri);
        match target.literal().and_then(|address| reach.refuses(address)) {
            Some(_) => {
                Err(NotATarget::out_of_reach("an address of the internet is expected, and none of a private network"))
            }
            None => Ok(target),
        }
    }

    /// The address, where the URL has one in place of a name.
    fn literal(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Looks its name up, and says why what it leads to may not be asked, if that is so. A name that
    /// nobody knows may be known later, and leads nowhere until then.
    pub async fn look_up(&self, reach: Reach, within: Duration) -> Result<(), NotATarget> {
        let Ok(Ok(found)) = timeout(within, lookup_host((self.host(), 0))).await else { return Ok(()) };
        let mut refused = found.filter_map(|found| reach.refuses(found.ip()));
        match refused.next() {
            Some(_) => {
                Err(NotATarget::out_of_reach("the name in the URL leads to an address that is none of the internet's"))
            }
            None => Ok(()),
        }
    }
}

impl Outbound {
    /// A client that goes as far as it may, and waits so long for a connection.
    ///
    /// It trusts the certificates that the system trusts (or those in `SSL_CERT_FILE`); where there are
    /// none it says so in the log, and nobody can be asked over TLS.
    pub fn new(reach: Reach, connect_within: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Checked(reach));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_within));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(Trust::default().tls()).https_or_http().enable_http1();
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_AT_MOST)
            .build(connector.wrap_connector(tcp));
        Self { http, reach }
    }

    /// How far it goes.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Posts a document of JSON with some headers, and reads the head of the answer within the time, and
    /// a piece of its body. Once the head is there it is an answer, whatever becomes of the body.
    pub async fn post(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
        body: Bytes,
        within: Duration,
    ) -> Result<Reply, Unanswered> {
        // A literal address is connected to without asking the resolver.
        if let Some(why) = target.literal().and_then(|address| self.reach.refuses(address)) {
            return Err(Unanswered::Refused(why));
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(target.0.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("banyan/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| not_connected("a header cannot be sent"))?;
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body)).map_err(|fault| not_connected(&fault.to_string()))?;
        let answer = timeout(within, self.http.request(request)).await.map_err(|_| Unanswered::TooLate)?;
        let answer = answer.map_err(|fault| unanswered(&fault))?;
        let (status, retry_after_secs) = (answer.status().as_u16(), retry_after(answer.headers()));
        let piece = piece(answer.into_body()).await;
        Ok(Reply { status, retry_after_secs, piece })
    }
}

fn not_connected(cause: &str) -> Unanswered {
    Unanswered::NotConnected(cause.to_owned())
}

fn unanswered(fault: &legacy::Error) -> Unanswered {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(fault);
    while let Some(error) = cause {
        if let Some(RefusedAddress(why)) = error.downcast_ref() {
            return Unanswered::Refused(why);
        }
        cause = error.source();
    }
    let said = innermost(fault);
    if fault.is_connect() { Unanswered::NotConnected(said) } else { Unanswered::BrokeOff(said) }
}

/// `Retry-After` in seconds; a date is as none, for it would be read by another's clock.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// The beginning of a body, as much of it as comes in time.
async fn piece(mut body: hyper::body::Incoming) -> Bytes {
    let mut piece = Vec::new();
    let read = async {
        while piece.len() < PIECE_BYTES {
            match body.frame().await {
                Some(Ok(frame)) => piece.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..])),
                Some(Err(_)) | None => break,
            }
        }
    };
    // Late or broken, what has come has come.
    drop(timeout(PIECE_TIME, read).await);
    piece.truncate(PIECE_BYTES);
    piece.into()
}

/// Resolves names, and gives only addresses that may be asked.
#[derive(Clone, Copy, Debug)]
struct Checked(Reach);

/// A name of which no address may be asked.
#[derive(Debug)]
struct RefusedAddress(&'static str);

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name leads to {}", self.0)
    }
}

impl std::error::Error for RefusedAddress {}

type Resolved = Result<std::vec::IntoIter<SocketAddr>, Box<dyn std::error::Error + Send + Sync>>;

impl tower::Service<Name> for Checked {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Resolved> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<_> = lookup_host((name.as_str(), 0)).await?.collect();
            let refused = found.iter().find_map(|found| reach.refuses(found.ip()));
            let asked: Vec<_> = found.into_iter().filter(|found| reach.refuses(found.ip()).is_none()).collect();
            match refused {
                Some(why) if asked.is_empty() => Err(RefusedAddress(why).into()),
                _ => Ok(asked.into_iter()),
            }
        })
    }
}

//! Who asks: read from the head of a request by the way in, and handed to handlers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use db::{Actor, Asked, Context, Origin, Trace};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ids::Name;
use keys::Scope;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use world::{Chance, Moment, World};

use crate::ask::Repeatable;
use crate::gate::Admission;
use crate::problem::Problem;
use crate::repeats::fingerprint;
use crate::slot::Slot;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Who asks, and until when somebody waits for the answer; handlers take it as an argument.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who asks, and what the request belongs to.
    pub context: Context,
    /// After this moment nobody waits for the answer.
    pub until: Moment,
    /// Whether what belongs to others may be seen: with the scope `admin`, and as long as no key is needed.
    pub is_admin: bool,
    /// Why it was let in, for answers that go on for long.
    pub admission: Admission,
    /// The step of its trace from which the caller asks, where it says one.
    pub(crate) parent: Option<u64>,
}

impl Caller {
    /// A command of this caller, as the desk takes it.
    pub fn asks<C>(&self, command: C) -> Asked<C> {
        Asked { command, by: self.context.clone(), until: Some(self.until) }
    }

    /// The caller, in the name of the owner whose thing it is, where one is named; that of others takes the scope
    /// `admin`.
    pub fn in_the_name_of(mut self, owner: Option<Name>) -> Result<Self, Problem> {
        if let Some(owner) = owner.filter(|owner| *owner.as_str() != *self.context.owner) {
            if !self.is_admin {
                return Err(Problem::lacks(Scope::Admin));
            }
            self.context.owner = owner.as_str().into();
        }
        Ok(self)
    }

    /// The name of the request in logs and events.
    pub fn request_id(&self) -> &str {
        &self.context.causation
    }

    /// The trace as problems say it: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.context.trace.id()
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal("a handler asks for its caller, but its router is not guarded"))
    }
}

/// Reads who asks from the head of each request.
#[derive(Debug)]
pub(crate) struct Reception {
    world: World,
    chance: Mutex<Chance>,
    request_time: Duration,
}

impl Reception {
    pub(crate) fn new(world: &World, request_time: Duration) -> Self {
        Self { world: world.clone(), chance: Mutex::new(world.chance("web")), request_time }
    }

    /// Puts together what is known of a request; who asks was found out at the gate.
    pub(crate) fn caller(
        &self,
        headers: &HeaderMap,
        actor: Actor,
        owner: Arc<str>,
        is_admin: bool,
        admission: Admission,
    ) -> Caller {
        let handed_over = handed_over(headers);
        let (trace, drawn_id) = {
            let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
            let trace = match handed_over {
                Some(trace) => trace.step(&mut chance),
                None => Trace::begin(&mut chance),
            };
            (trace, (chance.bits(), chance.bits()))
        };
        let request_id: Arc<str> = match given_request_id(headers) {
            Some(id) => id.into(),
            None => format!("{:016x}{:016x}", drawn_id.0, drawn_id.1).into(),
        };
        let context = Context {
            actor,
            owner,
            origin: Origin::Native,
            market: None,
            trace,
            correlation: request_id.clone(),
            causation: request_id,
        };
        let parent = handed_over.map(|trace| trace.span_id);
        Caller { context, until: self.world.now() + self.request_time, is_admin, admission, parent }
    }
}

/// The trace that the caller is part of; one that is unreadable or given twice is as none.
fn handed_over(headers: &HeaderMap) -> Option<Trace> {
    only(headers, &TRACEPARENT)?.parse().ok()
}

/// The caller's own name for the request: 1–64 of `A–Z a–z 0–9 . _ : -`, for it is echoed and logged.
fn given_request_id(headers: &HeaderMap) -> Option<&str> {
    let id = only(headers, &X_REQUEST_ID)?;
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    ((1..=64).contains(&id.len()) && id.bytes().all(safe)).then_some(id)
}

/// The text of a header that is given once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// How long the answer may be held for the end of the story: `Prefer: wait=10` (RFC 7240).
///
/// None without it; a preference that cannot be read is as none (RFC 7240, 2), and more than a
/// minute counts as a minute.
#[derive(Clone, Debug)]
pub struct Wait {
    time: Option<Duration>,
    stopping: Option<Stopping>,
    slot: Slot,
}

/// Says that the server is about to end, and how much longer an answer may be held then; put on a request that
/// prefers something.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    pub(crate) asked: watch::Receiver<()>,
    pub(crate) grace: Duration,
}

/// The longest that an answer is held.
const LONGEST_WAIT_SECS: u64 = 60;

impl Wait {
    /// How long that is, if at all.
    pub fn time(&self) -> Option<Duration> {
        self.time
    }

    /// Ready when the answer may be held no longer: after its time, or while there is still time to give it before
    /// the server ends. Meanwhile the request keeps nobody out of those that are worked on; where as many answers are
    /// held as may be, it is ready at once.
    pub async fn is_over(self) {
        let Some(time) = self.time else { return };
        let Some(_place) = self.slot.hold() else { return };
        let stops = async {
            let Some(Stopping { mut asked, grace }) = self.stopping else { return std::future::pending().await };
            // It can only fail because the server has ended.
            let _ = asked.changed().await;
            sleep(grace).await;
        };
        tokio::select! { () = sleep(time) => {}, () = stops => {} }
    }

    pub(crate) fn asked_in(headers: &HeaderMap) -> Option<Duration> {
        let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let secs = preferences.flat_map(|value| value.split(',')).find_map(|preference| {
            // Parameters after a semicolon say nothing about waiting.
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
        });
        let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let bounded = |text: &str| text.parse().unwrap_or(u64::MAX).min(LONGEST_WAIT_SECS);
        secs.filter(digits).map(|text| Duration::from_secs(bounded(text)))
    }
}

impl<S: Sync> FromRequestParts<S> for Wait {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let slot = parts.extensions.get::<Slot>().cloned().unwrap_or_default();
        let stopping = parts.extensions.get::<Stopping>().cloned();
        Ok(Self { time: Self::asked_in(&parts.headers), stopping, slot })
    }
}

/// The name under which a `POST` may be repeated: `Idempotency-Key`, 1–255 visible ASCII characters.
///
/// The quotes that the IETF's draft puts around it are no part of it. A handler that can do
/// without takes `Option<IdempotencyKey>`. It holds what was asked for too, as far as the head of the
/// request says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    method: Method,
    path: Vec<String>,
}

impl IdempotencyKey {
    /// The key as it was given, without quotes.
    pub fn as_str(&self) -> &str {
        &self.key
    }

    /// The key with all that it stands for from now on: this method, this path, and a body that means
    /// this (`&()` where there is none).
    pub fn stands_for(self, body: &impl Serialize) -> Repeatable {
        let fingerprint = fingerprint(&(self.method.as_str(), &self.path, body));
        Repeatable { key: self.key, fingerprint }
    }

    fn of(parts: &Parts) -> Result<Option<Self>, Problem> {
        let Some(key) = Self::given_in(&parts.headers)? else { return Ok(None) };
        // Decoded, for the same name can be escaped in several ways.
        let decoded = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let path = parts.uri.path().split('/').map(decoded).collect();
        Ok(Some(Self { key: key.to_owned(), method: parts.method.clone(), path }))
    }

    fn given_in(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
        const NAME: HeaderName = HeaderName::from_static("idempotency-key");
        if !headers.contains_key(NAME) {
            return Ok(None);
        }
        let key =
            only(headers, &NAME).map(|key| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key));
        match key {
            Some(key) if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Some(key))
            }
            _ => Err(Problem::fault("Idempotency-Key:", "one key of 1 to 255 visible ASCII characters is expected")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts)?.ok_or_else(|| {
            let expected = "this request changes something: give it a key of your own under which it is safe to repeat";
            Problem::fault("Idempotency-Key:", expected)
        })
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Self::of(parts)
    }
}

/// The value of a header that echoes something of ours.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("ids and traces are visible ASCII")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use db::{Actor, LOCAL_OWNER};
    use http::HeaderMap;
    use serde_json::json;
    use world::World;

    use super::{Admission, Caller, IdempotencyKey, Reception, Wait};

    fn caller(reception: &Reception, headers: &HeaderMap) -> Caller {
        reception.caller(headers, Actor::Local, LOCAL_OWNER.into(), true, Admission::default())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn appended(name: &'static str, values: [&'static str; 2]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_trace_is_taken_up_and_a_missing_one_begun() {
        let reception = Reception::new(&World::simulated(1), Duration::from_secs(30));
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let taken = caller(&reception, &headers(&[("traceparent", given)]));
        assert_eq!(taken.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(taken.context.trace.to_string(), given, "our step is a new one");
        let begun = [caller(&reception, &HeaderMap::new()), caller(&reception, &HeaderMap::new())];
        assert_ne!(begun[0].trace_id(), begun[1].trace_id());
        assert_ne!(begun[0].request_id(), begun[1].request_id());
    }

    #[test]
    fn a_request_id_is_kept_if_it_is_safe_to_echo() {
        let reception = Reception::new(&World::simulated(1), Duration::from_secs(30));
        let id = |given: &str| caller(&reception, &headers(&[("x-request-id", given)])).request_id().to_owned();
        for good in ["a", "Order_1.2:3-4", &"x".repeat(64)] {
            assert_eq!(id(good), good);
        }
        for bad in ["", "a b", "<script>", &"x".repeat(65)] {
            assert_eq!(id(bad).len(), 32, "{bad}");
        }
    }

    #[test]
    fn waiting_is_read_as_the_standard_has_it() {
        let wait = |value: &str| Wait::asked_in(&headers(&[("prefer", value)])).map(|wait| wait.as_secs());
        for (value, secs) in [
            ("wait=10", Some(10)),
            ("respond-async, WAIT = 5", Some(5)),
            ("wait=\"7\"; x=y", Some(7)),
            ("return=minimal, wait=3, wait=9", Some(3)),
            ("wait=0", Some(0)),
            ("wait=61", Some(60)),
            ("wait=99999999999999999999999", Some(60)),
            ("wait", None),
            ("wait=-1", None),
            ("wait=soon", None),
            ("await=3", None),
        ] {
            assert_eq!(wait(value), secs, "{value}");
        }
        assert_eq!(Wait::asked_in(&HeaderMap::new()), None);
        assert_eq!(Wait::asked_in(&appended("prefer", ["a=b", "wait=2"])), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_key_is_visible_ascii_and_its_quotes_are_no_part_of_it() {
        let key = |value: &str| {
            let headers = headers(&[("idempotency-key", value)]);
            IdempotencyKey::given_in(&headers).map(|key| key.map(ToOwned::to_owned))
        };
        assert_eq!(key("\"8e03978e-40d5\"").unwrap(), Some("8e03978e-40d5".to_owned()));
        assert_eq!(key("a/b=c").unwrap(), Some("a/b=c".to_owned()));
        for bad in ["", "\"\"", "a b", "é", &"x".repeat(256)] {
            assert_eq!(key(bad).unwrap_err().status(), 422, "{bad}");
        }
        assert!(IdempotencyKey::given_in(&appended("idempotency-key", ["a", "b"])).is_err());
        assert_eq!(IdempotencyKey::given_in(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_key_stands_for_a_method_a_path_and_a_body_by_their_meaning() {
        let asked = |method: &str, path: &str, body: &serde_json::Value| {
            let request = http::Request::builder().method(method).uri(path).header("idempotency-key", "k");
            let parts = request.body(()).unwrap().into_parts().0;
            IdempotencyKey::of(&parts).unwrap().unwrap().stands_for(body)
        };
        let body = json!({"reason": "r"});
        let first = asked("POST", "/v1/orders/a/cancel", &body);
        assert_eq!(first, asked("POST", "/v1/orders/%61/cancel", &body));
        for (method, path, body) in [
            ("PATCH", "/v1/orders/a/cancel", &body),
            ("POST", "/v1/orders/b/cancel", &body),
            ("POST", "/v1/orders/a%2Fcancel", &body),
            ("POST", "/v1/orders/a/cancel", &json!({"reason": "s"})),
            ("POST", "/v1/orders/a/cancel", &json!(null)),
        ] {
            assert_ne!(first, asked(method, path, body), "{method} {path} {body}");
        }
    }
}

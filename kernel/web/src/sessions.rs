//! Signing in with a browser, which cannot send a key from a form: a session in memory stands for the key.
//!
//! ```text
//! POST /sign-in, the key in a form ─▶ SignIn ─▶ Set-Cookie: a token of 256 bits, HttpOnly, SameSite=Strict
//! GET /, the cookie                ─▶ Gate: token ─▶ number of the key ─▶ Keyring: is it accepted still?
//! ```
//!
//! **Invariant:** the key itself never stands in a cookie, and of a token only its hash is kept.
//!
//! **Invariant:** a session ends with its key, when it has not been used for a while, and with the process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ids::Number;
use keys::{Key, Keyring, Scope};
use sha2::{Digest, Sha256};
use world::Moment;

use crate::gate::unrecognized;
use crate::kinds::CROSS_SITE;
use crate::problem::Problem;

/// How long a session lasts after it was last used.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long a session lasts at most.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions that are kept; one more ends the one that was not used for the longest time.
const MOST: usize = 1_000;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// All sessions; cheap to clone, all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<BTreeMap<[u8; 32], Session>>>);

/// Whose session it is, and until when.
#[derive(Debug)]
struct Session {
    key: Number,
    until: Moment,
    used_at: Moment,
}

impl Sessions {
    fn begin(&self, token: &str, key: Number, now: Moment) {
        let mut sessions = self.sessions();
        sessions.retain(|_, session| session.lasts(now));
        if sessions.len() >= MOST
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.used_at).map(|(hash, _)| *hash)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(hash(token), Session { key, until: now + LONGEST, used_at: now });
    }

    /// The key that the caller has signed in with, while the session lasts.
    pub(crate) fn key_of(&self, headers: &HeaderMap, now: Moment) -> Option<Number> {
        let hash = hash(token(headers)?);
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&hash).filter(|session| session.lasts(now))?;
        session.used_at = now;
        Some(session.key)
    }

    fn end(&self, headers: &HeaderMap) {
        if let Some(token) = token(headers) {
            self.sessions().remove(&hash(token));
        }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn lasts(&self, now: Moment) -> bool {
        now < self.until && now.since(self.used_at) < IDLE
    }
}

/// Where people sign in and out.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub(crate) keyring: Keyring,
    pub(crate) sessions: Sessions,
}

impl SignIn {
    /// Begins a session for whoever has this key and may do this; the answer has to carry the cookie.
    pub fn sign_in(&self, headers: &HeaderMap, key: &str, scope: Scope) -> Result<HeaderValue, Problem> {
        if is_from_elsewhere(headers) {
            return Err(Problem::new(&CROSS_SITE));
        }
        let world = self.keyring.world();
        let key = self.keyring.recognize(key.trim(), world.now()).map_err(unrecognized)?;
        if !key.may(scope) {
            return Err(Problem::lacks(scope));
        }
        let token = drawn(world.secret());
        self.sessions.begin(&token, key.number, world.now());
        note(&key);
        Ok(cookie(headers, &token, LONGEST))
    }

    /// Ends the session of the caller, if there is one; the answer has to carry the cookie.
    pub fn sign_out(&self, headers: &HeaderMap) -> HeaderValue {
        self.sessions.end(headers);
        cookie(headers, "", Duration::ZERO)
    }
}

fn note(key: &Key) {
    tracing::info!(name = &*key.name, id = %key.number, "Somebody has signed in with a key");
}

fn drawn(secret: [u8; 32]) -> String {
    secret.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes more text");
        text
    })
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// What the cookie is called: browsers keep cookies by host alone, and each port has a program of its own.
fn name(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port =
        host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    port.map_or_else(|| "banyan_session".to_owned(), |port| format!("banyan_session_{port}"))
}

/// What the browser keeps. Where it came by TLS, it gives the cookie to nobody without.
fn cookie(headers: &HeaderMap, token: &str, lasts: Duration) -> HeaderValue {
    let by_tls = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let (name, secs, secure) = (name(headers), lasts.as_secs(), if by_tls { "; Secure" } else { "" });
    let cookie = format!("{name}={token}; Path=/; Max-Age={secs}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&cookie).expect("digits and words of ours")
}

/// The token that came with a request.
fn token(headers: &HeaderMap) -> Option<&str> {
    let name = name(headers);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, token)| token).filter(|token| !token.is_empty())
}

/// Whether a browser sends this because a page of somebody else's made it to. It says itself where the page is
/// from; what sends neither of these headers is no browser of the last years.
/// Source: <https://words.filippo.io/csrf/>.
pub(crate) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origin.is_none() || origin != host
}

/// Whether a request came under a name that somebody else may have given to this machine: an address and
/// `localhost` cannot be pointed elsewhere, while a page under any other name could be this one in disguise.
pub(crate) fn is_under_a_name(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let host = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    !host.eq_ignore_ascii_case("localhost") && address.parse::<std::net::IpAddr>().is_err()
}

/// Whether a method asks for a change.
pub(crate) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use ids::Number;
    use world::Moment;

    use super::{IDLE, LONGEST, MOST, Sessions, cookie, is_from_elsewhere, is_under_a_name};

    const NOW: Moment = Moment::from_micros(1_000_000);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn with_token(token: &str) -> HeaderMap {
        headers(&[("host", "a:80"), ("cookie", &format!("x=1; banyan_session_80={token}"))])
    }

    fn key(number: i64) -> Number {
        Number::from_column(number)
    }

    #[test]
    fn a_session_ends_when_it_was_not_used_for_a_while_and_after_half_a_day() {
        let sessions = Sessions::default();
        sessions.begin("t", key(7), NOW);
        let mut at = NOW;
        let step = Duration::from_secs(29 * 60);
        while at.since(NOW) + step < LONGEST {
            assert_eq!(sessions.key_of(&with_token("t"), at), Some(key(7)));
            at = at + step;
        }
        assert_eq!(sessions.key_of(&with_token("t"), NOW + LONGEST), None, "it was used all the time");
        sessions.begin("u", key(8), NOW);
        assert_eq!(sessions.key_of(&with_token("u"), NOW + IDLE), None);
        assert_eq!(sessions.key_of(&with_token("v"), NOW), None);
    }

    #[test]
    fn a_session_that_was_ended_is_none_and_those_of_other_ports_stay() {
        let sessions = Sessions::default();
        sessions.begin("t", key(7), NOW);
        sessions.end(&headers(&[("host", "a:81"), ("cookie", "banyan_session_80=t")]));
        assert_eq!(sessions.key_of(&with_token("t"), NOW), Some(key(7)));
        sessions.end(&with_token("t"));
        assert_eq!(sessions.key_of(&with_token("t"), NOW), None);
    }

    #[test]
    fn one_session_too_many_ends_the_one_that_was_not_used_for_the_longest_time() {
        let sessions = Sessions::default();
        for place in 0..MOST {
            sessions.begin(&place.to_string(), key(7), NOW + Duration::from_millis(place as u64));
        }
        let later = NOW + Duration::from_secs(60);
        assert!(sessions.key_of(&with_token("0"), later).is_some());
        sessions.begin("last", key(7), later);
        assert!(sessions.key_of(&with_token("1"), later).is_none());
        assert!(["0", "2", "last"].iter().all(|token| sessions.key_of(&with_token(token), later).is_some()));
    }

    #[test]
    fn a_cookie_is_for_this_program_alone() {
        let plain = cookie(&headers(&[("host", "127.0.0.1:8080")]), "t", Duration::from_secs(9));
        assert_eq!(plain, "banyan_session_8080=t; Path=/; Max-Age=9; HttpOnly; SameSite=Strict");
        let by_tls = headers(&[("host", "shop.example"), ("origin", "https://shop.example")]);
        assert_eq!(
            cookie(&by_tls, "t", Duration::ZERO),
            "banyan_session=t; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
        );
    }

    #[test]
    fn a_browser_says_where_the_page_is_from_that_made_it_ask() {
        for (pairs, elsewhere) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://a"), ("host", "inside:80")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("origin", "http://a:80"), ("host", "a:80")], false),
            (&[("origin", "http://a:81"), ("host", "a:80")], true),
            (&[("origin", "http://a:80")], true),
            (&[("origin", "null"), ("host", "a:80")], true),
        ] {
            assert_eq!(is_from_elsewhere(&headers(pairs)), elsewhere, "{pairs:?}");
        }
    }

    #[test]
    fn a_name_can_be_anybodys() {
        for (host, is_name) in [
            ("127.0.0.1:8080", false),
            ("127.0.0.1", false),
            ("[::1]:8080", false),
            ("localhost:8080", false),
            ("LocalHost", false),
            ("evil.example:8080", true),
            ("localhost.evil.example", true),
            ("", true),
        ] {
            assert_eq!(is_under_a_name(&headers(&[("host", host)])), is_name, "{host}");
        }
        assert!(is_under_a_name(&HeaderMap::new()));
    }
}

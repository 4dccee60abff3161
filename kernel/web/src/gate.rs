//! The gate: who asks, whether they may, and whether they ask too often.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use db::{Actor, LOCAL_OWNER};
use http::header::{ACCEPT, AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ids::Number;
use keys::{ANONYMOUS, Key, Keyring, Scope, Unrecognized};
use world::World;

use crate::access::Access;
use crate::caller::only;
use crate::kinds::{CROSS_SITE, TOO_MANY_REQUESTS, UNAUTHORIZED};
use crate::limits::Limits;
use crate::problem::Problem;
use crate::rates::{Drawn, Rates, Who};
use crate::sessions::{Sessions, SignIn, changes, is_from_elsewhere, is_under_a_name};

/// The other end of the connection; the server puts it on each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Decides who is let in.
///
/// **Invariant:** without a key, only this machine is served, and no longer once there is a key; an
/// operator may say otherwise with `local_without_key`, for this machine alone.
///
/// **Invariant:** what takes a key is not done without one under a name that anybody could give to this machine.
///
/// **Invariant:** a session opens pages for people and nothing else, and changes nothing that a page of
/// somebody else's asks for.
#[derive(Debug)]
pub struct Gate(Stands);

#[derive(Debug)]
enum Stands {
    /// Everybody is this owner.
    Open(Arc<str>),
    Kept(Box<Kept>),
}

/// A gate that is kept.
#[derive(Debug)]
struct Kept {
    keyring: Keyring,
    local_without_key: bool,
    rates: Rates,
    sessions: Sessions,
    world: World,
}

/// Why a caller was let in; for an answer that goes on for so long that the reason may pass. By default there
/// is nothing that could.
#[derive(Clone, Debug, Default)]
pub struct Admission(Option<(Keyring, Option<Number>)>);

impl Admission {
    /// Whether the caller would be let in now: its key is accepted, or it has none and none is needed yet.
    pub fn holds(&self) -> bool {
        match &self.0 {
            None => true,
            Some((keyring, None)) => !keyring.has_keys(),
            Some((keyring, Some(number))) => keyring.accepted(*number, keyring.world().now()).is_some(),
        }
    }
}

/// Who came in, or why they did not.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) actor: Actor,
    pub(crate) owner: Arc<str>,
    pub(crate) is_admin: bool,
    pub(crate) admission: Admission,
    pub(crate) rate: Option<Drawn>,
    pub(crate) refused: Option<Response>,
}

/// What is known of who asks.
enum Caller {
    Local,
    Client(Arc<Key>),
    /// The same with a browser that has signed in.
    SignedIn(Arc<Key>),
    /// Without a key that is accepted.
    Stranger(Option<Unrecognized>),
}

impl Gate {
    /// A gate that stands open: everybody is `local` and may do everything. For simulations and tests.
    pub fn open() -> Self {
        Self::open_for(LOCAL_OWNER)
    }

    /// A gate that stands open, and where everybody is a client of this owner.
    pub fn open_for(owner: &str) -> Self {
        Self(Stands::Open(owner.into()))
    }

    /// A gate that lets in who has a key, and as long as there are none, who is on this machine.
    pub fn kept_by(keyring: &Keyring, local_without_key: bool, limits: &Limits) -> Self {
        let world = keyring.world().clone();
        Self(Stands::Kept(Box::new(Kept {
            keyring: keyring.clone(),
            local_without_key,
            rates: Rates::new(limits),
            sessions: Sessions::default(),
            world,
        })))
    }

    /// The keys that it knows, where it is kept.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.kept().map(|kept| &kept.keyring)
    }

    fn kept(&self) -> Option<&Kept> {
        match &self.0 {
            Stands::Open(_) => None,
            Stands::Kept(kept) => Some(kept),
        }
    }

    /// Where people sign in, where it is kept.
    pub fn sign_in(&self) -> Option<SignIn> {
        self.kept().map(|kept| SignIn { keyring: kept.keyring.clone(), sessions: kept.sessions.clone() })
    }

    /// Lets somebody in, or says why not. Nothing is kept where no route answers (`access` is none).
    pub(crate) fn enter(
        &self,
        method: &Method,
        headers: &HeaderMap,
        peer: Option<Peer>,
        access: Option<Access>,
        counts: bool,
    ) -> Entry {
        let kept = match &self.0 {
            Stands::Open(owner) => return Entry::open(owner.clone()),
            Stands::Kept(kept) => kept,
        };
        let caller = kept.caller(headers, peer, access);
        let who = match &caller {
            Caller::Local => None,
            Caller::Client(key) | Caller::SignedIn(key) => Some(Who::Key(key.number)),
            Caller::Stranger(_) => peer.map(|peer| Who::at(peer.0.ip())),
        };
        let rate = who.filter(|_| counts).and_then(|who| kept.rates.draw(who, kept.world.now()));
        let too_often = rate.as_ref().and_then(|rate| rate.retry_after_secs);
        let refused = match too_often {
            Some(secs) => Some(Problem::new(&TOO_MANY_REQUESTS).retry_after_secs(secs).into_response()),
            None => access.and_then(|access| refuse(&caller, access, method, headers)),
        };
        let entry = match caller {
            Caller::Local if kept.local_without_key => Entry::local(),
            Caller::Local => Entry { admission: kept.admission(None), ..Entry::local() },
            Caller::Client(key) | Caller::SignedIn(key) => Entry {
                is_admin: key.may(Scope::Admin),
                admission: kept.admission(Some(key.number)),
                ..Entry::of(Actor::Client(key.name.clone()), key.owner.clone())
            },
            Caller::Stranger(_) => Entry::of(Actor::Client(ANONYMOUS.into()), ANONYMOUS.into()),
        };
        Entry { rate, refused, ..entry }
    }
}

impl Entry {
    fn local() -> Self {
        Self::open(LOCAL_OWNER.into())
    }

    /// Somebody who may do everything.
    fn open(owner: Arc<str>) -> Self {
        let actor = if *owner == *LOCAL_OWNER { Actor::Local } else { Actor::Client(owner.clone()) };
        Self { is_admin: true, ..Self::of(actor, owner) }
    }

    fn of(actor: Actor, owner: Arc<str>) -> Self {
        Self { actor, owner, is_admin: false, admission: Admission::default(), rate: None, refused: None }
    }
}

impl Kept {
    fn admission(&self, key: Option<Number>) -> Admission {
        Admission(Some((self.keyring.clone(), key)))
    }

    fn caller(&self, headers: &HeaderMap, peer: Option<Peer>, access: Option<Access>) -> Caller {
        if headers.contains_key(AUTHORIZATION) {
            let recognized = match bearer(headers) {
                Some(text) => self.keyring.recognize(text, self.world.now()),
                None => Err(Unrecognized::Unknown),
            };
            return recognized.map_or_else(|fault| Caller::Stranger(Some(fault)), Caller::Client);
        }
        if let Some(Access::SignedIn(_)) = access
            && let Some(key) = self.signed_in(headers)
        {
            return Caller::SignedIn(key);
        }
        let needs_no_key = self.local_without_key || !self.keyring.has_keys();
        if is_loopback(peer) && needs_no_key { Caller::Local } else { Caller::Stranger(None) }
    }
}

impl Kept {
    /// The key that the caller has signed in with, if it is accepted still.
    fn signed_in(&self, headers: &HeaderMap) -> Option<Arc<Key>> {
        let now = self.world.now();
        self.keyring.accepted(self.sessions.key_of(headers, now)?, now)
    }
}

/// Whether somebody is on this machine; of whom nothing is known is not.
fn is_loopback(peer: Option<Peer>) -> bool {
    peer.is_some_and(|Peer(address)| address.ip().to_canonical().is_loopback())
}

/// The text after `Bearer`, whose case does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = only(headers, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim_matches(' '))
}

fn refuse(caller: &Caller, access: Access, method: &Method, headers: &HeaderMap) -> Option<Response> {
    let scope = match access {
        Access::Everybody => return None,
        Access::Key(scope) | Access::SignedIn(scope) => scope,
    };
    let is_page = matches!(access, Access::SignedIn(_));
    match caller {
        // A browser says by itself that it is on this machine or has signed in, whosever page makes it.
        Caller::Local | Caller::SignedIn(_) if changes(method) && is_from_elsewhere(headers) => {
            Some(Problem::new(&CROSS_SITE).into_response())
        }
        // Nor does it help that the page has the same name as this machine, if somebody else gives out that name.
        Caller::Local if is_under_a_name(headers) => Some(Problem::new(&CROSS_SITE).into_response()),
        Caller::Local => None,
        Caller::Client(key) | Caller::SignedIn(key) if key.may(scope) => None,
        Caller::Client(_) | Caller::SignedIn(_) => {
            let said = format!("Bearer realm=\"banyan\", error=\"insufficient_scope\", scope=\"{scope}\"");
            Some(challenge(Problem::lacks(scope), &said))
        }
        Caller::Stranger(None) if is_page && is_browser(headers) => {
            Some((StatusCode::SEE_OTHER, [(LOCATION, "/sign-in")]).into_response())
        }
        Caller::Stranger(None) => Some(challenge(Problem::new(&UNAUTHORIZED), "Bearer realm=\"banyan\"")),
        Caller::Stranger(Some(fault)) => {
            Some(challenge(unrecognized(*fault), "Bearer realm=\"banyan\", error=\"invalid_token\""))
        }
    }
}

/// Whether the caller names pages among what it takes, as browsers do.
pub fn is_browser(headers: &HeaderMap) -> bool {
    let kinds = headers.get(ACCEPT).and_then(|kinds| kinds.to_str().ok()).unwrap_or_default();
    kinds.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

/// The refusal of what is no key, or none that is accepted.
pub(crate) fn unrecognized(fault: Unrecognized) -> Problem {
    Problem::new(&UNAUTHORIZED).detail(what_is_wrong(fault))
}

fn what_is_wrong(fault: Unrecognized) -> &'static str {
    match fault {
        Unrecognized::Unknown => {
            "This is no key that is known here. A key is sent as `Authorization: Bearer bk_…`, just as it was shown when \
             it was made; `banyan keys rotate` gives a lost one another text."
        }
        Unrecognized::Expired => {
            "The time of this key is over. If it was rotated, use the text that was shown then; else have another made."
        }
        Unrecognized::Revoked => "This key was revoked. Have another made with `banyan keys create`.",
    }
}

/// The refusal with what would be accepted.
/// Source: <https://www.rfc-editor.org/rfc/rfc6750#section-3>.
fn challenge(problem: Problem, said: &str) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_str(said).expect("words of ours"));
    response
}

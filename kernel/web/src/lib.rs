//! What every service's `api.rs` stands on: requests read strictly, answers given in one manner.
//!
//! ```text
//! serve ─▶ guard: Gate ─▶ Caller Wait IdempotencyKey · Segment Query Page · Body ─▶ check: Faults ─▶ ask
//!            ▲                                                            │ Problem      │ Listed, ETag, Replayed
//!            └────────────────── every error leaves as a problem document ┴──────────────┘
//! ```
//!
//! Read [`Problem`] and its [`ProblemKind`]s first, then [`Body`] and [`Faults`], [`Caller`], [`ask`],
//! [`Page`], then [`Routes`], what is said of each [`Operation`] and the [`Gate`]
//! before them (with [`SignIn`] for browsers), and last [`guard`], [`serve`] and [`Client`]; [`Outbound`] asks those
//! whom others chose.
//!
//! **Invariant:** behind [`guard`], every error is a problem document with a permanent code and a
//! trace, whoever found it: a handler, an extractor, axum, a panic or a passed time. What never
//! becomes a request (no HTTP, no room for the connection) is refused with one too, but has no trace.
//!
//! **Invariant:** a refusal says what is expected and never what was sent; a card number in a
//! request stands in no answer.
//!
//! **Invariant:** a route says who may call it, and nobody else reaches its handler.
//!
//! **Invariant:** logs and counters name the route's template, the method and the code of the
//! problem; never a path, a query or a body.

mod access;
mod ask;
mod body;
mod caller;
mod card;
mod client;
mod faults;
mod gate;
mod guard;
mod json;
mod kinds;
mod limits;
mod openapi;
mod outbound;
mod page;
mod path;
mod policy;
mod problem;
mod query;
mod rates;
mod reach;
mod refused;
mod repeats;
mod server;
mod sessions;
mod slot;
mod socket;
mod tls;
mod trust;

pub use access::Access;
pub use ask::{Repeatable, ask, write};
pub use body::{Body, BodyLimit, Form, RawBody};
pub use caller::{Caller, IdempotencyKey, Wait};
pub use card::contains_card_number;
pub use client::{Client, NoAnswer, Refusal};
pub use faults::{Faults, Field};
pub use gate::{Admission, Gate, Peer, is_browser};
pub use guard::{Answered, Observe, guard};
pub use keys::Scope;
pub use kinds::{
    BODY_TOO_LARGE, CROSS_SITE, DIFFERENT_CONTENT, FORBIDDEN, INTERNAL, INVALID_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND,
    OUTCOME_UNKNOWN, OVERLOADED, PRECONDITION_FAILED, REQUEST_TIMEOUT, TOO_MANY_REQUESTS, UNAUTHORIZED, UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE, all_kinds,
};
pub use limits::Limits;
pub use openapi::{Answer, Description, Example, Operation, Parameter, Place, Routes, document, schema};
pub use outbound::{NotATarget, Outbound, PIECE_BYTES, Reply, Target, Unanswered};
pub use page::{Cursor, Listed, NotACursor, Page};
pub use path::{Segment, Segments, path};
pub use policy::policy;
pub use problem::{FieldError, Problem, ProblemKind};
pub use query::Query;
pub use reach::{Reach, why_not_public};
pub use repeats::{Conditions, ETag, Replayed, fingerprint};
pub use server::{Port, serve};
pub use sessions::SignIn;
pub use slot::Slot;
pub use tls::{Certificate, Tls, Unusable};
pub use trust::Trust;

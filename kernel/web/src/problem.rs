//! How a request is answered with *no*: a problem document (RFC 9457) with a permanent code.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use keys::Scope;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::ask::StoredProblem;
use crate::kinds::{FORBIDDEN, INTERNAL, INVALID_REQUEST};

/// One way of saying no: its permanent code and what the page `/problems/{code}` tells of it.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemKind {
    /// The code that clients decide by, such as `out-of-stock`; never changed once published.
    pub code: &'static str,
    /// The HTTP status that it is answered with.
    pub status: u16,
    /// What it is, in a few words; the same for every occurrence.
    pub title: &'static str,
    /// What happened and what to do, for somebody who reads it for the first time.
    pub help: &'static str,
}

/// One fault in a request, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a JSON Pointer into the body (`/lines/3/quantity`), `?limit` for a query parameter,
    /// `{id}` for a part of the path, or a header's name and a colon.
    pub pointer: String,
    /// What is expected there; never what was sent.
    pub detail: String,
}

/// One *no*: a kind, and what is to be said about this occurrence.
///
/// Built up where it is said: `Problem::new(&OUT_OF_STOCK).detail("…").member("short", short)`.
#[derive(Clone, PartialEq)]
pub struct Problem(Box<Said>);

#[derive(Clone, PartialEq)]
struct Said {
    kind: &'static ProblemKind,
    status: u16,
    detail: Option<String>,
    members: Map<String, Value>,
    errors: Vec<FieldError>,
    retry_after_secs: Option<u32>,
    cause: Option<String>,
}

/// The members that RFC 9457 and this crate define; no kind may use them for its own.
const DEFINED: [&str; 8] = ["type", "code", "title", "status", "detail", "instance", "trace_id", "errors"];

impl Problem {
    /// A problem of this kind; without a detail of its own it says the help of its kind.
    pub fn new(kind: &'static ProblemKind) -> Self {
        Self(Box::new(Said {
            kind,
            status: kind.status,
            detail: None,
            members: Map::new(),
            errors: Vec::new(),
            retry_after_secs: None,
            cause: None,
        }))
    }

    /// A request that could not even be read (400), as against one that breaks a rule (422).
    pub fn unreadable(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(&INVALID_REQUEST).detail(detail);
        problem.0.status = 400;
        problem
    }

    /// A request with one fault.
    pub fn fault(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(&INVALID_REQUEST).error(FieldError { pointer: pointer.into(), detail: detail.into() })
    }

    /// Something did not work here: said without the cause, which goes into the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(&INTERNAL).because(cause)
    }

    /// The key is right, and may not do this.
    pub fn lacks(scope: Scope) -> Self {
        let detail = format!(
            "The key is right, but it has not the scope `{scope}`. Use another key, or have one made with this scope."
        );
        Self::new(&FORBIDDEN).detail(detail).member("scope", scope)
    }

    /// Says what the caller can do about this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a member of the kind's own, such as `short` of `out-of-stock`.
    ///
    /// # Panics
    /// In tests, when the member is one that every problem has; when the value has no JSON form.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Serialize) -> Self {
        debug_assert!(!DEFINED.contains(&name), "`{name}` is a member that every problem has");
        let value = serde_json::to_value(value).expect("a member of a problem has a JSON form");
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// Adds a fault with its place.
    #[must_use]
    pub fn error(mut self, error: FieldError) -> Self {
        self.0.errors.push(error);
        self
    }

    /// Says after how many seconds it is worth asking again (`Retry-After`).
    #[must_use]
    pub fn retry_after_secs(mut self, secs: u32) -> Self {
        self.0.retry_after_secs = Some(secs);
        self
    }

    /// Keeps the cause for the log; the caller is never told.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// The kind of this problem.
    pub fn kind(&self) -> &'static ProblemKind {
        self.0.kind
    }

    /// The HTTP status that it is answered with.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// What the caller is told to do about it.
    pub fn told(&self) -> &str {
        self.0.detail.as_deref().unwrap_or(self.0.kind.help)
    }

    /// Answers with a page for people that says it, in place of the document: the way out counts its code,
    /// and leaves the page as it is.
    pub fn shown_as(self, mut page: Response) -> Response {
        *page.status_mut() = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        page.extensions_mut().insert(StoredProblem { code: self.0.kind.code.to_owned() });
        page
    }

    /// The faults that it lists.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// What goes into the log.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The problem that stands for a bare error status, such as axum's own 404.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let mut problem = Self::new(crate::kinds::of_status(status));
        problem.0.status = status.as_u16();
        problem
    }

    /// The document, as bytes.
    pub(crate) fn document(&self, trace_id: Option<&str>) -> Vec<u8> {
        let said = &*self.0;
        let document = Document {
            kind: format!("/problems/{}", said.kind.code),
            code: said.kind.code,
            title: said.kind.title,
            status: said.status,
            detail: self.told(),
            trace_id,
            members: &said.members,
            errors: &said.errors,
        };
        serde_json::to_vec(&document).expect("texts, numbers and JSON have a JSON form")
    }

    /// The answer, with the trace under which we can find it.
    pub(crate) fn response(self, trace_id: Option<&str>) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, self.document(trace_id)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(secs) = self.0.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, secs.into());
        }
        // The way out (`guard`) finds it here, writes it again with the trace, and counts its code.
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    code: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response(None)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.status, String::from_utf8_lossy(&self.document(None)))?;
        self.0.cause.iter().try_for_each(|cause| write!(f, " because {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Problem, ProblemKind};
    use serde_json::{Value, json};

    static OUT_OF_STOCK: ProblemKind =
        ProblemKind { code: "out-of-stock", status: 409, title: "Out of stock", help: "Ask for less." };

    #[test]
    fn a_problem_says_its_kind_and_its_own_members() {
        let problem = Problem::new(&OUT_OF_STOCK).detail("Two are left.").member("short", json!([{"sku": "a"}]));
        let document: Value = serde_json::from_slice(&problem.document(Some("abc"))).unwrap();
        assert_eq!(
            document,
            json!({
                "type": "/problems/out-of-stock", "code": "out-of-stock", "title": "Out of stock", "status": 409,
                "detail": "Two are left.", "trace_id": "abc", "short": [{"sku": "a"}],
            })
        );
    }

    #[test]
    fn the_cause_is_kept_from_the_caller() {
        let document = Problem::internal("disk on fire").document(None);
        assert!(!String::from_utf8(document).unwrap().contains("fire"));
    }
}

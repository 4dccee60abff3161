//! Saying it twice: fingerprints of commands, stored answers, and what has not changed.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::caller::header_value;
use crate::kinds::PRECONDITION_FAILED;
use crate::problem::Problem;

/// The fingerprint of a checked command: 43 characters, the same for whatever means the same.
///
/// It is taken over the meaning and not over the bytes that came: neither the order of keys nor
/// white space nor a default that was written out makes a difference. What tells two uses of a
/// name apart (method, resource) belongs into `command`, as in `fingerprint(&("reserve", &command))`.
/// It is the SHA2-256 of JSON with sorted keys, in base64url.
///
/// # Panics
/// When the command has no JSON form.
pub fn fingerprint(command: &impl Serialize) -> String {
    let value = serde_json::to_value(command).expect("a checked command has a JSON form");
    let mut canonical = String::new();
    write_sorted(&value, &mut canonical);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()))
}

/// Writes JSON with the keys of every object in the order of their bytes, whatever order the map has.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in sorted {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_sorted(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Marks a stored answer that is given again: `(Replayed, answer)` or `(status, Replayed, answer)`.
#[derive(Clone, Copy, Debug)]
pub struct Replayed;

impl IntoResponseParts for Replayed {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        const NAME: HeaderName = HeaderName::from_static("idempotent-replayed");
        parts.headers_mut().insert(NAME, HeaderValue::from_static("true"));
        Ok(parts)
    }
}

/// The state of a thing in one text, as far as it matters to whoever edits it. A read that answers 304 by it
/// ([`Conditions::answer`]) shows nothing else: there the same tag means the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of a thing that counts its versions.
    pub fn of_version(version: impl fmt::Display) -> Self {
        Self(format!("\"{version}\""))
    }

    /// The tag of an answer whose bytes are at hand.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(bytes)[..16])))
    }

    /// The tag with its quotes, as the header has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl IntoResponseParts for ETag {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        parts.headers_mut().insert(ETAG, header_value(&self.0));
        Ok(parts)
    }
}

/// Under which conditions the caller wants it: `If-None-Match` on reads, that and `If-Match` on edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    none_of: Vec<String>,
    one_of: Vec<String>,
}

impl Conditions {
    /// Answers a read: 304 without a body where the caller has this state already.
    pub fn answer(&self, tag: ETag, answer: impl FnOnce() -> Response) -> Response {
        if self.rule_out(&tag) {
            return (StatusCode::NOT_MODIFIED, tag, ()).into_response();
        }
        (tag, answer()).into_response()
    }

    /// Whether `If-None-Match` names this state. Compared weakly (RFC 9110, 13.1.2).
    fn rule_out(&self, tag: &ETag) -> bool {
        let is_named = |given: &String| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag.as_str();
        self.none_of.iter().any(is_named)
    }

    /// Whether it depends on how the thing is whether an edit is wanted.
    pub fn ask_for_a_state(&self) -> bool {
        !self.none_of.is_empty() || !(self.one_of.is_empty() || self.ask_for_anything())
    }

    /// Whether an edit is only wanted where there is something, however it is: `If-Match: *`.
    pub fn ask_for_anything(&self) -> bool {
        self.one_of.iter().any(|given| given == "*")
    }

    /// Whether an edit is only wanted where there is something: `If-Match`, whatever it says.
    pub fn ask_for_something(&self) -> bool {
        !self.one_of.is_empty()
    }

    /// Whether an edit is only wanted where there is nothing yet: `If-None-Match: *`.
    pub fn ask_for_nothing(&self) -> bool {
        self.none_of.iter().any(|given| given == "*")
    }

    /// Lets an edit through where the thing is as the caller wants to find it, or nothing was said.
    pub fn hold(&self, tag: &ETag) -> Result<(), Problem> {
        // Compared strongly: a weak tag says nothing about the bytes (RFC 9110, 13.1.1).
        let is_wanted =
            self.one_of.is_empty() || self.ask_for_anything() || self.one_of.iter().any(|given| given == tag.as_str());
        if is_wanted && !self.rule_out(tag) {
            return Ok(());
        }
        Err(Problem::new(&PRECONDITION_FAILED))
    }
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self { none_of: tags(&parts.headers, &IF_NONE_MATCH), one_of: tags(&parts.headers, &IF_MATCH) })
    }
}

/// The tags of a header; ours have no comma in them.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("unreadable"));
    values.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use axum::extract::{FromRequestParts, Request};
    use axum::response::{IntoResponse, Response};
    use serde_json::{Value, json};

    use super::{Conditions, ETag, Replayed, fingerprint};

    fn of(text: &str) -> String {
        fingerprint(&serde_json::from_str::<Value>(text).unwrap())
    }

    #[test]
    fn a_fingerprint_is_of_the_meaning_and_not_of_the_bytes() {
        assert_eq!(of(r#"{"a":{"c":1,"b":[2]}}"#), of(r#" { "a" : {"b":[ 2 ],"c":1}}"#));
        assert_eq!(of("{}").len(), 43);
    }

    #[test]
    fn what_means_something_else_has_another_fingerprint() {
        let all = [
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":[1]}"#,
            "[1,2]",
            "[[1],2]",
            "[2,1]",
            r#"["1,2"]"#,
            "[12]",
            "{}",
            "[]",
            "null",
        ];
        let prints: std::collections::BTreeSet<_> = all.iter().map(|text| of(text)).collect();
        assert_eq!(prints.len(), all.len());
        assert_ne!(fingerprint(&("reserve", 1)), fingerprint(&("release", 1)));
    }

    async fn conditions(name: &str, value: &str) -> Conditions {
        let mut parts = Request::builder().header(name, value).body(()).unwrap().into_parts().0;
        let Ok(conditions) = Conditions::from_request_parts(&mut parts, &()).await;
        conditions
    }

    #[tokio::test]
    async fn a_state_that_the_caller_has_is_not_sent_again() {
        let answered = |conditions: Conditions| {
            let answer: Response = conditions.answer(ETag::of_version(7), || axum::Json(json!({})).into_response());
            assert_eq!(answer.headers()["etag"], "\"7\"");
            answer.status().as_u16()
        };
        for known in ["\"7\"", "W/\"7\"", "\"1\", \"7\"", "*"] {
            assert_eq!(answered(conditions("if-none-match", known).await), 304, "{known}");
        }
        for other in ["\"8\"", "7", "W/\"77\""] {
            assert_eq!(answered(conditions("if-none-match", other).await), 200, "{other}");
        }
        assert_eq!(answered(Conditions::default()), 200);
    }

    #[tokio::test]
    async fn an_edit_of_what_has_changed_meanwhile_is_refused() {
        let tag = ETag::of_bytes(b"state");
        assert_ne!(tag, ETag::of_bytes(b"other"));
        assert!(Conditions::default().hold(&tag).is_ok());
        assert!(conditions("if-match", tag.as_str()).await.hold(&tag).is_ok());
        for (value, a_state, anything) in [("*", false, true), ("\"8\", *", false, true), ("\"8\"", true, false)] {
            let conditions = conditions("if-match", value).await;
            assert_eq!((conditions.ask_for_a_state(), conditions.ask_for_anything()), (a_state, anything), "{value}");
            assert_eq!(conditions.hold(&tag).is_ok(), anything, "{value}");
        }
        for (value, nothing, holds) in [("*", true, false), ("\"8\"", false, true), ("\"8\", *", true, false)] {
            let conditions = conditions("if-none-match", value).await;
            assert_eq!((conditions.ask_for_a_state(), conditions.ask_for_nothing()), (true, nothing), "{value}");
            assert_eq!(conditions.hold(&tag).is_ok(), holds, "{value}");
        }
        for ruled_out in [tag.as_str().to_owned(), format!("W/{}", tag.as_str())] {
            assert!(conditions("if-none-match", &ruled_out).await.hold(&tag).is_err(), "{ruled_out}");
        }
        for other in ["\"8\"".to_owned(), format!("W/{}", tag.as_str())] {
            assert_eq!(conditions("if-match", &other).await.hold(&tag).unwrap_err().status(), 412, "{other}");
        }
    }

    #[test]
    fn a_stored_answer_says_that_it_is_one() {
        let answer = (http::StatusCode::CREATED, Replayed, "stored").into_response();
        assert_eq!(answer.headers()["idempotent-replayed"], "true");
    }
}

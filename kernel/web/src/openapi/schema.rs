//! Schemas, written as sentences: JSON Schema 2020-12, as `OpenAPI` 3.1 takes it.
//!
//! A *document* is what is answered: who reads it ignores members that it does not know. A *form* is
//! what is sent: a member that it does not know is refused, and one that may be left out may be null.

use std::ops::RangeInclusive;

use money::MAX_MINOR_UNITS;
use serde_json::{Map, Value, json};

/// One member of a document or a form.
#[derive(Clone, Debug)]
pub struct Member {
    name: &'static str,
    schema: Value,
    is_required: bool,
}

/// A member that is always there.
pub fn must(name: &'static str, schema: Value) -> Member {
    Member { name, schema, is_required: true }
}

/// A member that may be left out.
pub fn may(name: &'static str, schema: Value) -> Member {
    Member { name, schema, is_required: false }
}

/// What is answered.
pub fn document(members: impl IntoIterator<Item = Member>) -> Value {
    let (properties, required) = split(members, |schema| schema);
    json!({"type": "object", "properties": properties, "required": required})
}

/// What is sent: members that are not named are refused.
pub fn form(members: impl IntoIterator<Item = Member>) -> Value {
    let (properties, required) = split(members, or_null);
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn split(
    members: impl IntoIterator<Item = Member>,
    if_left_out: fn(Value) -> Value,
) -> (Map<String, Value>, Vec<Value>) {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for Member { name, schema, is_required } in members {
        if is_required {
            required.push(name.into());
        }
        properties.insert(name.to_owned(), if is_required { schema } else { if_left_out(schema) });
    }
    (properties, required)
}

/// The schema that was given this name.
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// This, or null.
pub fn or_null(schema: Value) -> Value {
    any_of([schema, json!({"type": "null"})])
}

/// One or several of these.
pub fn any_of(schemas: impl IntoIterator<Item = Value>) -> Value {
    json!({"anyOf": schemas.into_iter().collect::<Vec<_>>()})
}

/// The same, with what it means.
pub fn meaning(text: &str, schema: Value) -> Value {
    with(schema, "description", text.into())
}

/// The same with one more keyword.
fn with(mut schema: Value, keyword: &str, says: Value) -> Value {
    schema[keyword] = says;
    schema
}

/// An integer in a range.
pub fn integer(range: RangeInclusive<i64>) -> Value {
    json!({"type": "integer", "minimum": range.start(), "maximum": range.end()})
}

/// An integer from 0 on: how many there are, or where something stands.
pub fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// What has no control characters in it.
const NO_CONTROL: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// A text of so many characters, none of them a control character.
pub fn text(length: RangeInclusive<usize>) -> Value {
    json!({"type": "string", "minLength": length.start(), "maxLength": length.end(), "pattern": NO_CONTROL})
}

/// Any text.
pub fn any_text() -> Value {
    json!({"type": "string"})
}

/// Yes or no.
pub fn flag() -> Value {
    json!({"type": "boolean"})
}

/// One of these words.
pub fn word(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

/// A list of any length.
pub fn list(items: Value) -> Value {
    with(json!({"type": "array"}), "items", items)
}

/// A list of so many items.
pub fn list_of(count: RangeInclusive<usize>, items: Value) -> Value {
    with(json!({"type": "array", "minItems": count.start(), "maxItems": count.end()}), "items", items)
}

/// A document whose members have names that are not known before.
pub fn by_name(values: Value) -> Value {
    with(json!({"type": "object"}), "additionalProperties", values)
}

/// Any document.
pub fn any_document() -> Value {
    json!({"type": "object"})
}

/// The place in a list at which the next page begins.
pub fn cursor() -> Value {
    meaning("An opaque place in a list.", json!({"type": "string", "maxLength": 1024}))
}

/// A page of a list.
pub fn page(items: Value) -> Value {
    document([must("items", list(items)), must("next", or_null(cursor()))])
}

/// A name that a caller chose.
pub fn name() -> Value {
    reference("Name")
}

/// A stock keeping unit.
pub fn sku() -> Value {
    reference("Sku")
}

/// A time.
pub fn moment() -> Value {
    reference("Moment")
}

/// An amount of money, as it is answered.
pub fn money() -> Value {
    reference("Money")
}

/// The schemas that every service shares.
pub fn shared() -> Vec<(&'static str, Value)> {
    let name = json!({
        "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._:-]+$",
        "description": "A name chosen by the caller.",
    });
    let currency = json!({"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217."});
    let amount = meaning(
        "Whole minor units of the currency: pence of pounds, yen of yen.",
        integer(-MAX_MINOR_UNITS..=MAX_MINOR_UNITS),
    );
    let moment = json!({
        "type": "string", "format": "date-time", "description": "RFC 3339 in UTC, with microseconds.",
    });
    let fault = document([
        must(
            "pointer",
            meaning(
                "A JSON Pointer into the body, `?limit` for a query parameter, `{id}` for a part of the path, or a header's \
             name and a colon.",
                any_text(),
            ),
        ),
        must("detail", meaning("What is expected there.", any_text())),
    ]);
    let problem = document([
        must("type", meaning("A page of this program that says what to do.", any_text())),
        must("code", meaning("Permanent: decide by this.", any_text())),
        must("title", any_text()),
        must("status", integer(400..=599)),
        must("detail", meaning("What to do.", any_text())),
        may(
            "trace_id",
            meaning("Under this the log tells more; what could not be read as a request has none.", any_text()),
        ),
        may("errors", list(reference("FieldError"))),
    ]);
    vec![
        ("Name", name),
        ("Sku", meaning("A stock keeping unit; upper and lower case differ.", text(1..=64))),
        ("Money", document([must("amount", amount), must("currency", currency)])),
        ("Moment", moment),
        ("FieldError", fault),
        ("Problem", problem),
    ]
}

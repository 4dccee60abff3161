//! Whether a value is as a schema of the document says.
//!
//! As much of JSON Schema as the document uses; another keyword is a fault, so that none is taken for
//! checked that is not. Patterns are left to `schemathesis`, which checks all of it.

use serde_json::{Value, json};

/// Keywords that say nothing about a value, or are left to others.
const NOT_CHECKED: [&str; 3] = ["description", "pattern", "format"];

/// What is wrong with a value by a schema of the document, each with its place.
pub(super) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "", &mut found);
    found
}

fn check(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    for (keyword, says) in schema.as_object().into_iter().flatten() {
        match keyword.as_str() {
            "$ref" => {
                let name = says.as_str().unwrap_or_default().trim_start_matches('#');
                let named = document.pointer(name).unwrap_or_else(|| panic!("there is no {name}"));
                check(document, named, value, place, found);
            }
            "allOf" => {
                for schema in says.as_array().into_iter().flatten() {
                    check(document, schema, value, place, found);
                }
            }
            "properties" => {
                for (name, schema) in says.as_object().into_iter().flatten() {
                    if let Some(member) = value.get(name) {
                        check(document, schema, member, &format!("{place}/{name}"), found);
                    }
                }
            }
            "additionalProperties" if says.is_object() => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    check(document, says, member, &format!("{place}/{name}"), found);
                }
            }
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, says, item, &format!("{place}/{at}"), found);
                }
            }
            _ if holds(document, schema, keyword, value) => {}
            _ => found.push(format!("{place}: {keyword} {says} does not hold")),
        }
    }
}

/// Whether what a keyword says of the value itself is so.
fn holds(document: &Value, schema: &Value, keyword: &str, value: &Value) -> bool {
    let says = &schema[keyword];
    let fits = |schema: &Value| faults(document, schema, value).is_empty();
    let list = || says.as_array().into_iter().flatten();
    let length = value.as_str().map(|text| text.chars().count()).or(value.as_array().map(Vec::len));
    let length = length.and_then(|length| i64::try_from(length).ok());
    match keyword {
        "type" => match says.as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            _ => false,
        },
        "enum" => list().any(|word| word == value),
        "const" => says == value,
        "not" => !fits(says),
        "anyOf" => list().any(fits),
        "required" => {
            let is_there = |name: &Value| value.get(name.as_str().unwrap_or_default()).is_some();
            !value.is_object() || list().all(is_there)
        }
        "additionalProperties" => {
            let known = |name: &String| schema["properties"].get(name).is_some();
            value.as_object().is_none_or(|members| members.keys().all(known))
        }
        "minimum" => value.as_i64().is_none_or(|value| Some(value) >= says.as_i64()),
        "maximum" => value.as_i64().is_none_or(|value| Some(value) <= says.as_i64()),
        "minLength" | "minItems" => length.is_none_or(|length| Some(length) >= says.as_i64()),
        "maxLength" | "maxItems" => length.is_none_or(|length| Some(length) <= says.as_i64()),
        other if NOT_CHECKED.contains(&other) => true,
        other => panic!("nobody checks the keyword {other}"),
    }
}

#[test]
fn a_value_that_is_not_as_described_is_found_with_its_place() {
    let document = json!({"components": {"schemas": {"Size": {"type": "integer", "minimum": 1, "maximum": 9}}}});
    let schema = json!({
        "type": "object", "required": ["size"], "additionalProperties": false,
        "properties": {
            "size": {"$ref": "#/components/schemas/Size"},
            "names": {"type": "array", "maxItems": 2, "items": {"type": "string", "minLength": 1, "maxLength": 2}},
            "kind": {"enum": ["a", "b"], "not": {"const": "b"}},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "by": {"type": "object", "additionalProperties": {"type": "boolean"}},
            "all": {"allOf": [{"type": "integer"}, {"const": 3}]},
        },
    });
    for right in [
        json!({"size": 1, "names": ["a", "é!"], "kind": "a", "note": null, "by": {"x": true}, "all": 3}),
        json!({"size": 9}),
    ] {
        assert_eq!(faults(&document, &schema, &right), Vec::<String>::new());
    }
    for (wrong, place) in [
        (json!([]), ": type"),
        (json!({}), ": required"),
        (json!({"size": 1, "more": 1}), ": additionalProperties"),
        (json!({"size": 0}), "/size: minimum"),
        (json!({"size": 10}), "/size: maximum"),
        (json!({"size": "1"}), "/size: type"),
        (json!({"size": 1, "names": ["a", "b", "c"]}), "/names: maxItems"),
        (json!({"size": 1, "names": ["a", ""]}), "/names/1: minLength"),
        (json!({"size": 1, "names": ["abc"]}), "/names/0: maxLength"),
        (json!({"size": 1, "kind": "c"}), "/kind: enum"),
        (json!({"size": 1, "kind": "b"}), "/kind: not"),
        (json!({"size": 1, "note": 1}), "/note: anyOf"),
        (json!({"size": 1, "by": {"x": 1}}), "/by/x: type"),
        (json!({"size": 1, "all": 4}), "/all: const"),
    ] {
        let found = faults(&document, &schema, &wrong);
        assert!(found.len() == 1 && found[0].starts_with(place), "{wrong}: {found:?}");
    }
}

//! What of a changed document breaks somebody who was made for the one before.
//!
//! A request that was right has to stay right: nothing that may be sent is taken away or narrowed, and
//! nothing more is needed. An answer has to hold what it held: no member of it goes or becomes optional.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Whose eyes a schema is looked at with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The caller writes it.
    Sent,
    /// The caller reads it.
    Answered,
}

/// Every change that breaks callers, with its place.
pub(super) fn changes(kept: &Value, served: &Value) -> Vec<String> {
    let mut look = Look { kept, served, found: Vec::new(), open: Vec::new() };
    for (path, methods) in members(&kept["paths"]) {
        for (method, operation) in members(methods) {
            let place = format!("{} {path}", method.to_uppercase());
            match served["paths"].get(path).and_then(|methods| methods.get(method)) {
                Some(now) => look.operation(&place, operation, now),
                None => look.found.push(format!("{place} is gone")),
            }
        }
    }
    look.found
}

/// Where two documents differ, for who has to find out what has changed.
pub(super) fn differences(kept: &Value, served: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differ("", kept, served, &mut found);
    found
}

fn differ(place: &str, kept: &Value, served: &Value, found: &mut Vec<String>) {
    match (kept, served) {
        _ if kept == served => {}
        (Value::Object(before), Value::Object(now)) => {
            for name in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
                differ(&format!("{place}/{name}"), &kept[name.as_str()], &served[name.as_str()], found);
            }
        }
        _ => found.push(place.to_owned()),
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().map(ToString::to_string).collect()
}

struct Look<'a> {
    kept: &'a Value,
    served: &'a Value,
    found: Vec<String>,
    /// The names that are being looked at, so that a schema that holds itself comes to an end.
    open: Vec<String>,
}

/// A schema, behind its name.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap_or(schema),
        None => schema,
    }
}

impl Look<'_> {
    fn operation(&mut self, place: &str, kept: &Value, now: &Value) {
        if kept["operationId"] != now["operationId"] {
            self.found.push(format!("{place} has another operationId; clients are made with it"));
        }
        let empty = Vec::new();
        let list = |operation: &Value| operation["parameters"].as_array().unwrap_or(&empty).clone();
        let (before, after) = (list(kept), list(now));
        let same = |a: &Value, b: &Value| a["name"] == b["name"] && a["in"] == b["in"];
        for parameter in &before {
            let place = format!("{place}, parameter {}", parameter["name"]);
            match after.iter().find(|other| same(other, parameter)) {
                None => self.found.push(format!("{place} is gone")),
                Some(other) => {
                    if other["required"] == true && parameter["required"] != true {
                        self.found.push(format!("{place} is required now"));
                    }
                    self.schema(&place, Side::Sent, &parameter["schema"], &other["schema"]);
                }
            }
        }
        for parameter in after.iter().filter(|parameter| parameter["required"] == true) {
            if !before.iter().any(|other| same(other, parameter)) {
                self.found.push(format!("{place}, parameter {} is new and required", parameter["name"]));
            }
        }
        let schema = |of: &Value| of["content"]["application/json"]["schema"].clone();
        let needs_body = |operation: &Value| operation["requestBody"]["required"] == true;
        if needs_body(now) && !needs_body(kept) {
            self.found.push(format!("{place} needs a body now"));
        }
        if now["requestBody"].is_null() && !kept["requestBody"].is_null() {
            self.found.push(format!("{place} takes no body any more"));
        }
        // A body that may be sent now, where there was none, breaks nobody.
        if !kept["requestBody"].is_null() {
            let (before, after) = (schema(&kept["requestBody"]), schema(&now["requestBody"]));
            self.schema(&format!("{place}, body"), Side::Sent, &before, &after);
        }
        for (status, answer) in members(&kept["responses"]) {
            let place = format!("{place}, answer {status}");
            let Some(other) = now["responses"].get(status) else {
                self.found.push(format!("{place} is gone"));
                continue;
            };
            for (media, content) in members(&answer["content"]) {
                match other["content"].get(media) {
                    None => self.found.push(format!("{place} is not {media} any more")),
                    Some(other) => self.schema(&place, Side::Answered, &content["schema"], &other["schema"]),
                }
            }
        }
    }

    fn schema(&mut self, place: &str, side: Side, kept: &Value, now: &Value) {
        let name = kept["$ref"].as_str().map(str::to_owned);
        if name.as_ref().is_some_and(|name| self.open.contains(name)) {
            return;
        }
        let (before, after) = (resolved(self.kept, kept).clone(), resolved(self.served, now).clone());
        self.open.extend(name.clone());
        self.resolved(place, side, &before, &after);
        self.open.truncate(self.open.len() - usize::from(name.is_some()));
    }

    fn resolved(&mut self, place: &str, side: Side, before: &Value, after: &Value) {
        if before["type"] != after["type"] || before["const"] != after["const"] {
            self.found.push(format!("{place} is of another type"));
            return;
        }
        for word in texts(&before["enum"]).difference(&texts(&after["enum"])) {
            self.found.push(format!("{place}: the word {word} is gone"));
        }
        if side == Side::Sent {
            self.narrowed(place, before, after);
        }
        let (needed_before, needed_now) = (texts(&before["required"]), texts(&after["required"]));
        let (changed, word) = match side {
            Side::Sent => (needed_now.difference(&needed_before), "is required now"),
            Side::Answered => (needed_before.difference(&needed_now), "may be left out now"),
        };
        self.found.extend(changed.map(|member| format!("{place}/{} {word}", member.trim_matches('"'))));
        for (member, schema) in members(&before["properties"]) {
            let place = format!("{place}/{member}");
            match after["properties"].get(member) {
                None => self.found.push(format!("{place} is gone")),
                Some(now) => self.schema(&place, side, schema, now),
            }
        }
        for within in ["items", "additionalProperties"] {
            if before[within].is_object() {
                self.schema(&format!("{place}/*"), side, &before[within], &after[within]);
            }
        }
        for several in ["anyOf", "allOf"] {
            let empty = Vec::new();
            let now = after[several].as_array().unwrap_or(&empty).clone();
            for (at, one) in before[several].as_array().into_iter().flatten().enumerate() {
                match now.get(at) {
                    None => self.found.push(format!("{place}: one of its forms is gone")),
                    Some(now) => self.schema(place, side, one, now),
                }
            }
        }
    }

    /// Limits of what may be sent.
    fn narrowed(&mut self, place: &str, before: &Value, after: &Value) {
        let is_narrower = |limit: &str, is_lower: bool| match (before[limit].as_i64(), after[limit].as_i64()) {
            (None, Some(_)) => true,
            (Some(before), Some(after)) => before != after && is_lower == (after > before),
            _ => false,
        };
        let lower = ["minimum", "minLength", "minItems"].iter().any(|limit| is_narrower(limit, true));
        let upper = ["maximum", "maxLength", "maxItems"].iter().any(|limit| is_narrower(limit, false));
        let other = ["pattern", "not"].iter().any(|limit| !after[limit].is_null() && before[limit] != after[limit]);
        let words = before["enum"].is_null() && !after["enum"].is_null();
        if lower || upper || other || words {
            self.found.push(format!("{place} is narrower than before"));
        }
    }
}

/// A small document with one operation.
fn sample() -> Value {
    json!({
        "paths": {"/things/{id}": {"put": {
            "operationId": "put_thing",
            "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string", "maxLength": 9}}],
            "requestBody": {
                "required": false,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Form"}}},
            },
            "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}},
        }}},
        "components": {"schemas": {
            "Form": {
                "type": "object", "required": ["size"], "additionalProperties": false,
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "maximum": 9},
                    "colour": {"type": "string", "enum": ["red", "blue"]},
                },
            },
            "Thing": {
                "type": "object", "required": ["size"],
                "properties": {"size": {"type": "integer"}, "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}},
            },
        }},
    })
}

/// What is found when the value at this place becomes another.
fn changed(pointer: &str, value: Value) -> Vec<String> {
    let mut now = sample();
    *now.pointer_mut(pointer).expect("the sample has it") = value;
    changes(&sample(), &now)
}

#[test]
fn what_breaks_a_caller_is_found_with_its_place() {
    const FORM: &str = "/components/schemas/Form";
    let put = "/paths/~1things~1{id}/put";
    for (pointer, value, found) in [
        ("/paths", json!({}), "PUT /things/{id} is gone"),
        ("/paths/~1things~1{id}", json!({}), "PUT /things/{id} is gone"),
        (&format!("{put}/operationId"), json!("put"), "PUT /things/{id} has another operationId"),
        (&format!("{put}/parameters"), json!([]), "parameter \"id\" is gone"),
        (&format!("{put}/parameters/0/schema/maxLength"), json!(8), "parameter \"id\" is narrower"),
        (&format!("{put}/requestBody"), Value::Null, "takes no body any more"),
        (&format!("{put}/requestBody/required"), json!(true), "needs a body now"),
        (&format!("{put}/responses"), json!({}), "answer 200 is gone"),
        (&format!("{put}/responses/200/content"), json!({}), "is not application/json any more"),
        (&format!("{FORM}/required"), json!(["size", "colour"]), "body/colour is required now"),
        (&format!("{FORM}/properties/size/minimum"), json!(2), "body/size is narrower"),
        (&format!("{FORM}/properties/size/maximum"), json!(8), "body/size is narrower"),
        (&format!("{FORM}/properties/colour/enum"), json!(["red"]), "body/colour: the word \"blue\" is gone"),
        (&format!("{FORM}/properties"), json!({"size": {"type": "integer"}}), "body/colour is gone"),
        ("/components/schemas/Thing/required", json!([]), "answer 200/size may be left out now"),
        ("/components/schemas/Thing/properties/size", json!({"type": "string"}), "answer 200/size is of another type"),
        ("/components/schemas/Thing/properties/parts", json!({"type": "object"}), "answer 200/parts is of another"),
    ] {
        let said = changed(pointer, value).join("\n");
        assert!(said.contains(found), "{pointer}: {said:?}");
    }
}

#[test]
fn what_only_adds_breaks_nobody() {
    for (pointer, value) in [
        ("/paths/~1things~1{id}/put/parameters/0/schema/maxLength", json!(10)),
        ("/components/schemas/Form/required", json!([])),
        ("/components/schemas/Form/properties/size", json!({"type": "integer"})),
        ("/components/schemas/Form/properties/colour/enum", json!(["red", "blue", "green"])),
        ("/components/schemas/Thing/properties/size", json!({"type": "integer", "maximum": 5})),
        ("/components/schemas/Thing/required", json!(["size", "parts"])),
    ] {
        assert_eq!(changed(pointer, value), Vec::<String>::new(), "{pointer}");
    }
}

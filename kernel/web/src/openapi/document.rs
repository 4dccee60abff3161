//! The description of a program as a document of `OpenAPI` 3.1.

use std::collections::BTreeMap;

use keys::Scope;
use serde_json::{Map, Value, json};

use crate::access::Access;
use crate::openapi::operation::{Answer, JSON, Operation, Parameter, Place};
use crate::openapi::routes::Description;
use crate::openapi::schema::{self, reference};

/// What holds for every operation.
const INTRODUCTION: &str = "\
Changes are safe to repeat. `PUT` under a name that the caller chose: first 201, again 200 with the thing as it is now. \
`POST` that names a state to reach: where it is reached already, that is success. Something else under the same name is \
refused with `different-content`, and a refusal is kept under its name too.\n\n\
Every *no* is a problem document (RFC 9457) with a permanent `code`; its `type` is a page of this program that says what \
to do. Unknown members of a request are refused; ignore those of an answer that you do not know.\n\n\
`X-Request-Id` is echoed or made; `traceparent` is taken and passed on.";

/// The document.
///
/// # Panics
/// When two operations have one id, or two different schemas one name: a document cannot tell them
/// apart.
pub fn document(title: &str, version: &str, description: &Description) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut ids: Vec<_> = description.operations.iter().map(|operation| operation.id).collect();
    ids.sort_unstable();
    let twice = ids.windows(2).find(|pair| pair[0] == pair[1]);
    assert!(twice.is_none(), "two operations have the id {:?}", twice.map(|pair| pair[0]));
    for operation in &description.operations {
        let path = paths.entry(operation.path).or_default();
        path.insert(operation.method.to_lowercase(), written(operation));
    }
    let mut schemas: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, schema) in schema::shared().into_iter().chain(description.schemas.iter().cloned()) {
        let other = schemas.insert(name, schema);
        assert!(other.is_none_or(|other| other == schemas[name]), "two schemas have the name {name}");
    }
    let key = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "An API key; each operation names the scope that it needs. As long as there are no keys, this \
                        machine is served without one.",
    });
    let session = json!({
        "type": "apiKey",
        "in": "cookie",
        "name": "banyan_session",
        "description": "The session of a browser that has signed in under `/sign-in`; its name ends in the port, where \
                        the address has one.",
    });
    json!({
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {"title": title, "version": version, "description": INTRODUCTION},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": key, "session": session}},
    })
}

fn written(operation: &Operation) -> Value {
    let parameters: Vec<_> = operation.parameters.iter().map(|parameter| taken(operation, parameter)).collect();
    let mut written = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": operation.text,
        "tags": [operation.about],
        "security": security(operation.access),
        "responses": responses(operation),
        // In the order in which they are shown; each is put together from its parts by its name.
        "x-examples": operation.examples.iter().map(|example| example.name).collect::<Vec<_>>(),
    });
    if !parameters.is_empty() {
        written["parameters"] = parameters.into();
    }
    for (at, (media, schema)) in operation.bodies.iter().enumerate() {
        // Examples are of the first type.
        let examples = examples(operation, |example| example.body.clone().filter(|_| at == 0));
        written["requestBody"]["required"] = (!operation.is_bodiless_too).into();
        written["requestBody"]["content"][*media] = with_examples(json!({"schema": schema}), examples);
    }
    written
}

/// What a caller needs: one of these.
fn security(access: Access) -> Value {
    let key = |scope: Scope| json!({"key": [scope]});
    match access {
        Access::Everybody => json!([]),
        Access::Key(scope) => json!([key(scope)]),
        // A browser may have signed in.
        Access::SignedIn(scope) => json!([key(scope), {"session": []}]),
    }
}

fn taken(operation: &Operation, parameter: &Parameter) -> Value {
    let Parameter { place, name, text, schema, is_required } = parameter;
    let mut taken = json!({"name": name, "in": place.as_str(), "description": text, "schema": schema});
    if *is_required {
        taken["required"] = true.into();
    }
    if *place == Place::Query && schema["type"] == "array" {
        // `?sku=a&sku=b`
        (taken["style"], taken["explode"]) = ("form".into(), true.into());
    }
    let given = examples(operation, |example| {
        example.parameters.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    });
    with_examples(taken, given)
}

/// Every answer by its status; those of one status stand side by side by their media types.
fn responses(operation: &Operation) -> BTreeMap<String, Value> {
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for Answer { status, text, body } in &operation.answers {
        let response = responses.entry(status.to_string()).or_insert_with(|| json!({"description": text}));
        if let Some((media, schema)) = body {
            let is_json = *media == JSON;
            let got =
                |example: &super::Example| example.answer.clone().filter(|_| is_json && example.status == *status);
            response["content"][*media] = with_examples(json!({"schema": schema}), examples(operation, got));
        }
        if operation.is_conditional() && [200, 201, 304].contains(status) {
            let text = "The state of the thing; send it as `If-None-Match` of a read, or `If-Match` of an edit.";
            response["headers"] = json!({"ETag": {"description": text, "schema": {"type": "string"}}});
        }
    }
    let mut by_status: BTreeMap<u16, Vec<_>> = BTreeMap::new();
    for (status, kind) in operation.problems() {
        by_status.entry(status).or_default().push(kind);
    }
    for (status, kinds) in by_status {
        let titles: Vec<_> = kinds.iter().map(|kind| format!("`{}`: {}", kind.code, kind.title)).collect();
        let codes: Vec<_> = kinds.iter().map(|kind| kind.code).collect();
        let these = json!({"properties": {"code": {"enum": codes}}});
        let schema = json!({"allOf": [reference("Problem"), these]});
        let got = |example: &super::Example| example.answer.clone().filter(|_| example.status == status);
        let content = with_examples(json!({"schema": schema}), examples(operation, got));
        let mut response = json!({"description": titles.join("; "), "content": {"application/problem+json": content}});
        if matches!(status, 429 | 503) {
            let text = "Seconds after which it is worth asking again.";
            response["headers"] = json!({"Retry-After": {"description": text, "schema": {"type": "integer"}}});
        }
        responses.insert(status.to_string(), response);
    }
    responses
}

/// What each example has to say here, by its name.
fn examples(operation: &Operation, said: impl Fn(&super::Example) -> Option<Value>) -> Map<String, Value> {
    let said = |example: &super::Example| Some((example.name.to_owned(), json!({"value": said(example)?})));
    operation.examples.iter().filter_map(said).collect()
}

fn with_examples(mut thing: Value, examples: Map<String, Value>) -> Value {
    if !examples.is_empty() {
        thing["examples"] = examples.into();
    }
    thing
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use keys::Scope;

    use super::document;
    use crate::access::Access;
    use crate::openapi::{Example, Operation, Routes, schema};
    use crate::{DIFFERENT_CONTENT, NOT_FOUND};

    fn thing() -> Operation {
        Operation::new("put_thing", "Puts a thing", "Again is once.")
            .takes_segment("id", "Its name.", schema::name())
            .takes(schema::form([
                schema::must("size", schema::integer(1..=9)),
                schema::may("note", schema::any_text()),
            ]))
            .answers(201, "The thing.", schema::reference("Thing"))
            .refuses([&DIFFERENT_CONTENT, &NOT_FOUND])
            .example(Example::of("small").with("id", "t-1").sends(json!({"size": 1})).gets(201, json!({"size": 1})))
    }

    #[test]
    fn what_a_route_takes_and_answers_stands_under_its_path_and_method() {
        let routes = Routes::<()>::about("Things").put("/v1/things/{id}", Scope::StockWrite, async || "", thing());
        let schemas = vec![("Thing", schema::document([schema::must("size", schema::count())]))];
        let document = document("Shop", "1", routes.with_schemas(schemas).description());
        let operation = &document["paths"]["/v1/things/{id}"]["put"];
        assert_eq!(operation["security"], json!([{"key": ["stock:write"]}]));
        assert_eq!(operation["parameters"][0]["examples"]["small"]["value"], "t-1");
        let body = &operation["requestBody"]["content"]["application/json"];
        assert_eq!(body["schema"]["required"], json!(["size"]));
        assert_eq!(body["examples"]["small"]["value"], json!({"size": 1}));
        let statuses: Vec<_> = operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(statuses, ["201", "400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503"]);
        let codes = |status: &str| {
            let content = &operation["responses"][status]["content"]["application/problem+json"];
            content["schema"]["allOf"][1]["properties"]["code"]["enum"].clone()
        };
        assert_eq!(codes("422"), json!(["different-content", "invalid-request"]));
        assert_eq!(codes("503"), json!(["outcome-unknown", "overloaded", "unavailable"]));
    }

    #[test]
    #[should_panic(expected = "two operations have the id")]
    fn an_id_is_not_given_twice() {
        let routes = Routes::<()>::about("Things").put("/a", Access::Everybody, async || "", thing()).get(
            "/b",
            Access::Everybody,
            async || "",
            thing(),
        );
        document("Shop", "1", routes.description());
    }

    #[test]
    #[should_panic(expected = "two schemas have the name Name")]
    fn two_different_schemas_do_not_share_a_name() {
        let routes = Routes::<()>::about("Things").with_schemas(vec![("Name", schema::flag())]);
        document("Shop", "1", routes.description());
    }
}

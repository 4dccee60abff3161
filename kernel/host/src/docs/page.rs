//! The description of a program as a page to read, and to try where there is JavaScript.

use std::fmt::Write;

use maud::{PreEscaped, html};
use serde_json::Value;
use web::{Description, Example, Operation, Parameter, Place, schema};

use crate::page::{escaped, style, whole, with_code};

/// The rules of style of this page.
const STYLE: &str = include_str!("page.css");
/// Sends what a form says; the page can be read without it.
const SCRIPT: &str = include_str!("page.js");

/// The page, and the policy under which a browser is to show it: nothing from elsewhere, and only the
/// style and the script that stand in it.
pub(super) fn page(description: &Description) -> (String, String) {
    let headings = headings(description);
    let mut body = String::from(
        "<p><a class=\"skip\" href=\"#operations\">To the requests</a>What this program answers. The same for machines: \
         <a href=\"/openapi.json\">OpenAPI 3.1</a>. What a refusal means: <a href=\"/problems\">all problems</a>.</p>\n\
         <nav aria-label=\"Requests\">\n",
    );
    for heading in &headings {
        write!(body, "<section><h2>{}</h2><ul>", escaped(heading)).expect(GROWS);
        for operation in under(description, heading) {
            let (id, summary) = (operation.id, escaped(operation.summary));
            write!(body, "<li><a href=\"#{id}\">{summary}</a></li>").expect(GROWS);
        }
        body.push_str("</ul></section>\n");
    }
    body.push_str("</nav>\n<div id=\"operations\">\n");
    for heading in &headings {
        writeln!(body, "<h2>{}</h2>", escaped(heading)).expect(GROWS);
        for operation in under(description, heading) {
            one(&mut body, operation);
        }
    }
    body.push_str("</div>\n<h2>Documents</h2>\n");
    let mut schemas: Vec<_> = schema::shared().into_iter().chain(description.schemas.iter().cloned()).collect();
    schemas.sort_by_key(|(name, _)| *name);
    for (name, schema) in schemas {
        write!(body, "<article id=\"document-{name}\"><h3>{name}</h3><p>{}</p>", kind(&schema)).expect(GROWS);
        members(&mut body, &schema);
        body.push_str("</article>\n");
    }
    writeln!(body, "<script>{SCRIPT}</script>").expect(GROWS);
    let body = html! {
        h1 { "The API of Banyan" }
        (PreEscaped(body))
    };
    let page = whole("The API of Banyan", "/docs", STYLE, &body);
    (page.into_string(), web::policy(&[&style(STYLE)], &[SCRIPT]))
}

/// Why writing to a text cannot fail.
const GROWS: &str = "a text takes more text";

/// The headings in the order in which they come.
fn headings(description: &Description) -> Vec<&'static str> {
    let mut headings: Vec<&'static str> = Vec::new();
    for operation in &description.operations {
        if !headings.contains(&operation.about) {
            headings.push(operation.about);
        }
    }
    headings
}

fn under<'a>(description: &'a Description, heading: &'a str) -> impl Iterator<Item = &'a Operation> {
    description.operations.iter().filter(move |operation| operation.about == heading)
}

fn one(page: &mut String, operation: &Operation) {
    let Operation { id, summary, text, method, path, parameters, bodies, answers, examples, .. } = operation;
    let (summary, text, path) = (escaped(summary), with_code(&escaped(text)), escaped(path));
    writeln!(
        page,
        "<article id=\"{id}\"><h3>{summary}</h3>\n<p><span class=\"method\">{method}</span> <span class=\"path\">{path}</span></p>\
         \n<p>{text}</p>"
    )
    .expect(GROWS);
    if !parameters.is_empty() {
        page.push_str("<h4>Takes</h4>\n<dl>");
        for Parameter { place, name, text, schema, is_required } in parameters {
            let (name, text, kind) = (escaped(name), with_code(&escaped(text)), kind(schema));
            let place = match place {
                Place::Path => "in the path",
                Place::Query if *is_required => "in the query",
                Place::Query => "in the query, if given",
                Place::Header => "header, if given",
            };
            write!(page, "<dt><code>{name}</code> <small>{place} · {kind}</small></dt><dd>{text}</dd>").expect(GROWS);
        }
        page.push_str("</dl>\n");
    }
    for (media, schema) in bodies {
        let what = if *media == "application/json" { kind(schema) } else { format!("<code>{media}</code>") };
        write!(page, "<h4>Body</h4>\n<p>{what}</p>").expect(GROWS);
        members(page, schema);
    }
    page.push_str("<h4>Answers</h4>\n<dl>");
    for answer in answers.iter().filter(|answer| !answer.text.is_empty()) {
        let what = answer.body.as_ref().map_or("no body".to_owned(), |(media, schema)| match *media {
            "application/json" => kind(schema),
            other => other.to_owned(),
        });
        let text = with_code(&escaped(answer.text));
        write!(page, "<dt><code>{}</code> <small>{what}</small></dt><dd>{text}</dd>", answer.status).expect(GROWS);
    }
    page.push_str("</dl>\n<details><summary>How it says no</summary><dl>");
    for (status, kind) in operation.problems() {
        let (code, title) = (escaped(kind.code), escaped(kind.title));
        write!(
            page,
            "<dt><code>{status}</code> <a href=\"{}\"><code>{code}</code></a></dt><dd>{title}</dd>",
            web::path(["problems", kind.code])
        )
        .expect(GROWS);
    }
    page.push_str("</dl></details>\n");
    for example in examples {
        shown(page, operation, example);
    }
    form(page, operation);
    page.push_str("</article>\n");
}

/// An example as a command for a shell, and its answer.
fn shown(page: &mut String, operation: &Operation, example: &Example) {
    let mut url = operation.path.to_owned();
    let mut command = String::new();
    let mut joined = '?';
    for (name, value) in &example.parameters {
        let place = operation.parameters.iter().find(|parameter| parameter.name == *name).map(|taken| taken.place);
        match place {
            Some(Place::Path) => url = url.replace(&format!("{{{name}}}"), &web::path([plain(value).as_str()])[1..]),
            Some(Place::Query) => {
                for value in value.as_array().unwrap_or(&vec![value.clone()]) {
                    write!(url, "{joined}{name}={}", &web::path([plain(value).as_str()])[1..]).expect(GROWS);
                    joined = '&';
                }
            }
            _ => write!(command, " \\\n  -H '{name}: {}'", plain(value)).expect(GROWS),
        }
    }
    // For a page for people, `curl` need not ask.
    let has_page =
        operation.answers.iter().any(|answer| answer.body.as_ref().is_some_and(|(media, _)| *media == "text/html"));
    if has_page && example.answer.is_some() {
        command.push_str(" \\\n  -H 'accept: application/json'");
    }
    if let (Some(body), Some((media, _))) = (&example.body, operation.bodies.first()) {
        let body = plain(body);
        write!(command, " \\\n  -H 'content-type: {media}' \\\n  --data-binary '{body}'").expect(GROWS);
    }
    let method = if operation.method == "GET" { String::new() } else { format!(" -X {}", operation.method) };
    let name = example.name.replace('_', " ");
    let command = escaped(&format!("curl{method} 'http://127.0.0.1:8080{url}'{command}"));
    writeln!(page, "<details><summary>Example: {name}</summary>\n<pre><code>{command}</code></pre>").expect(GROWS);
    match &example.answer {
        Some(answer) => {
            write!(page, "<p>{}</p><pre>{}</pre>", example.status, escaped(&format!("{answer:#}"))).expect(GROWS);
        }
        None => write!(page, "<p>{}</p>", example.status).expect(GROWS),
    }
    page.push_str("</details>\n");
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A form to try the operation with, filled from its first example; without JavaScript it is not there.
fn form(page: &mut String, operation: &Operation) {
    let first = operation.examples.first();
    let given = |name: &str| {
        let value = first.and_then(|example| example.parameters.iter().find(|(given, _)| *given == name));
        value.map_or_else(String::new, |(_, value)| match value.as_array() {
            Some(values) => values.iter().map(plain).collect::<Vec<_>>().join("\n"),
            None => plain(value),
        })
    };
    let (method, path) = (operation.method, escaped(operation.path));
    write!(page, "<details><summary>Try it</summary><form hidden data-method=\"{method}\" data-path=\"{path}\">")
        .expect(GROWS);
    for Parameter { place, name, schema, is_required, .. } in &operation.parameters {
        let (value, place) = (escaped(&given(name)), place.as_str());
        let required = if *is_required { " required" } else { "" };
        let field = if schema["type"] == "array" {
            format!("<textarea name=\"{place}:{name}\" rows=\"2\"{required}>{value}</textarea>")
        } else {
            format!("<input name=\"{place}:{name}\" value=\"{value}\"{required}>")
        };
        write!(page, "<label>{name}{field}</label>").expect(GROWS);
    }
    if let Some((media, _)) = operation.bodies.first() {
        let body = first.and_then(|example| example.body.as_ref());
        let body =
            body.map_or_else(String::new, |body| body.as_str().map_or_else(|| format!("{body:#}"), str::to_owned));
        let (rows, body) = (body.lines().count().clamp(3, 16), escaped(&body));
        write!(
            page,
            "<label>Body<textarea name=\"body:{media}\" rows=\"{rows}\" spellcheck=\"false\">{body}</textarea></label>"
        )
        .expect(GROWS);
    }
    page.push_str("<button>Send</button><output aria-live=\"polite\"></output></form>");
    page.push_str(
        "<noscript><p>To try it from here takes JavaScript; the examples work in any shell.</p></noscript></details>\n",
    );
}

/// What a schema is, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        return format!("<a href=\"#document-{name}\">{name}</a>");
    }
    if let Some(first) = schema["allOf"].as_array().and_then(|all| all.first()) {
        return kind(first);
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("<code>{}</code>", escaped(&plain(word)))).collect();
        return if words.len() == 1 { words.concat() } else { format!("one of {}", words.join(" ")) };
    }
    if !schema["const"].is_null() {
        return format!("<code>{}</code>", escaped(&plain(&schema["const"])));
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        if forms.iter().all(|form| form["properties"].is_object()) {
            return "one of these documents".to_owned();
        }
        return forms.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let range = |least: &str, most: &str, unit: &str| match (schema[least].as_i64(), schema[most].as_i64()) {
        (Some(least), Some(i64::MAX) | None) => format!(", {least}{unit} or more"),
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
        (None, Some(most)) => format!(", at most {most}{unit}"),
        (None, None) => String::new(),
    };
    match schema["type"].as_str() {
        Some("string") => format!("text{}", range("minLength", "maxLength", " characters")),
        Some("integer") => format!("integer{}", range("minimum", "maximum", "")),
        Some("boolean") => "true or false".to_owned(),
        Some("null") => "null".to_owned(),
        Some("array") => format!("list of {}{}", kind(&schema["items"]), range("minItems", "maxItems", " items")),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("by name: {}", kind(&schema["additionalProperties"]))
        }
        _ => "document".to_owned(),
    }
}

/// The members of a document, and those of what stands within it.
fn members(page: &mut String, schema: &Value) {
    if let Some(text) = schema["description"].as_str().filter(|_| schema["properties"].is_null()) {
        write!(page, "<p>{}</p>", with_code(&escaped(text))).expect(GROWS);
    }
    for (at, form) in schema["anyOf"].as_array().into_iter().flatten().enumerate() {
        if at > 0 && form["properties"].is_object() {
            page.push_str("<p>or</p>");
        }
        members(page, form);
    }
    if schema["type"] == "array" {
        members(page, &schema["items"]);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    let required = schema["required"].as_array();
    page.push_str("<dl>");
    for (name, member) in properties {
        let is_required = required.is_some_and(|required| required.iter().any(|other| other == name));
        let (name, left_out) = (escaped(name), if is_required { "" } else { " · may be left out" });
        write!(page, "<dt><code>{name}</code> <small>{}{left_out}</small></dt><dd>", kind(member)).expect(GROWS);
        // Of a member that may be null, the meaning stands in its first form.
        let text = member["description"].as_str().or(member["anyOf"][0]["description"].as_str());
        if let Some(text) = text {
            write!(page, "<p>{}</p>", with_code(&escaped(text))).expect(GROWS);
        }
        within(page, member);
        page.push_str("</dd>");
    }
    page.push_str("</dl>");
}

/// The members of what stands in a member, where it has no name of its own.
fn within(page: &mut String, member: &Value) {
    match member["type"].as_str() {
        Some("object") => members(page, member),
        Some("array") => within(page, &member["items"]),
        _ => member["anyOf"].as_array().into_iter().flatten().for_each(|form| within(page, form)),
    }
}

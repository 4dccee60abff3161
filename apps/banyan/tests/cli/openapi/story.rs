//! Every example of the document, played against the program in an order in which it makes sense.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::binary::{Server, ask_with, banyan};
use crate::openapi::schemas::faults;

/// The examples in their order: the id of the operation, and the name of its example.
const STORY: [(&str, &str); 82] = [
    ("live", "live"),
    ("ready", "ready"),
    ("move_stock", "receive"),
    ("move_stock", "count"),
    ("move_stock", "adjust"),
    ("move_stock", "mugs"),
    ("move_stock", "transfer"),
    ("move_stock", "lorry"),
    ("arrive_stock", "lorry"),
    ("get_stock", "tea"),
    ("list_stock", "tea"),
    ("query_stock", "tea"),
    ("get_stock_of_query", "none"),
    ("list_stock_journal", "tea"),
    ("get_availability_snapshot", "all"),
    ("list_availability_changes", "first"),
    ("reserve", "basket"),
    ("reserve", "too_much"),
    ("reserve", "another"),
    ("get_reservation", "basket"),
    ("extend_reservation", "basket"),
    ("commit_reservation", "basket"),
    ("ship_reservation", "basket"),
    ("release_reservation", "another"),
    ("set_sku", "mugs"),
    ("get_sku", "mugs"),
    ("set_sku", "lamps"),
    ("reserve", "preorder"),
    ("list_shortfalls", "waiting"),
    ("resolve_shortfall", "wait"),
    ("set_warehouse", "north"),
    ("get_warehouse", "north"),
    ("list_warehouses", "all"),
    ("import_stock", "table"),
    ("export_stock", "all"),
    ("set_restock", "cups"),
    ("get_restock", "cups"),
    ("list_restock_needs", "cups"),
    ("place_order", "confirmed"),
    ("get_order", "confirmed"),
    ("get_order_history", "confirmed"),
    ("place_order", "declined"),
    ("cancel_order", "again"),
    ("list_orders", "confirmed"),
    ("get_payment", "captured"),
    ("list_charges", "first"),
    ("take_webhook", "told_again"),
    ("place_order", "at_the_bank"),
    ("get_payment", "at_the_bank"),
    ("answer_challenge", "failed"),
    ("return_from_bank", "failed"),
    ("refund_payment", "refunded"),
    ("set_webhook_endpoint", "registered"),
    ("get_webhook_endpoint", "registered"),
    ("list_webhook_endpoints", "all"),
    ("rotate_webhook_secret", "leaked"),
    ("set_webhook_endpoint", "changed_meanwhile"),
    ("resume_webhook_endpoint", "so_already"),
    ("list_webhook_deliveries", "none"),
    ("redeliver_webhooks", "a_day"),
    ("test_webhook_endpoint", "sent"),
    ("get_webhook_delivery", "sent"),
    ("redeliver_webhook", "sent"),
    ("remove_webhook_endpoint", "registered"),
    ("read_events", "first"),
    ("list_feeds", "all"),
    ("list_dead_letters", "none"),
    ("list_settled_letters", "none"),
    ("list_parked_events", "none"),
    ("create_key", "shop"),
    ("rotate_key", "shop"),
    ("list_keys", "first"),
    ("revoke_key", "shop"),
    ("metrics", "all"),
    ("get_problem", "not_found"),
    ("list_problems", "all"),
    ("ask_to_sign_in", "empty"),
    ("sign_in", "wrong"),
    ("sign_out", "out"),
    ("status", "once"),
    ("openapi", "all"),
    ("docs", "all"),
];

/// Examples that need something broken, which this program is not: `kernel/host` plays them.
const NOT_PLAYED: [(&str, &str); 5] = [
    ("replay_dead_letter", "mended"),
    ("discard_dead_letter", "mended"),
    ("show_put_aside", "shown"),
    ("replay_by_form", "mended"),
    ("discard_by_form", "mended"),
];

/// Members whose values the program makes, so that they differ from run to run.
const MADE: [&str; 17] = [
    "expires_at",
    "placed_at",
    "updated_at",
    "created_at",
    "started_at",
    "ended_at",
    "occurred_at",
    "recorded_at",
    "cause",
    "correlation",
    "event",
    "next",
    "trace_id",
    "key",
    "secret",
    "url",
    "lag",
];

#[test]
fn every_example_is_answered_as_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    // The story makes a key, and goes on without one.
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]);
    let server = Server::start(up.env("BANYAN_LOCAL_WITHOUT_KEY", "true"));
    let document = server.get("/openapi.json").1;
    let mut told: Vec<_> = examples(&document).into_iter().map(|example| (example.operation, example.name)).collect();
    let mut known: Vec<_> =
        STORY.iter().chain(&NOT_PLAYED).map(|(id, name)| (id.to_string(), name.to_string())).collect();
    told.sort();
    known.sort();
    assert_eq!(told, known, "each example has its place in the story, and each place its example");
    let mut play = Play { server: &server, document: &document, stands_for: BTreeMap::new() };
    let examples = examples(&document);
    for (id, name) in STORY {
        let example = examples.iter().find(|example| example.operation == id && example.name == name);
        play.example(example.expect("it was looked for above"));
    }
}

/// A request with its answer, as the document shows it.
struct Example {
    operation: String,
    name: String,
    method: String,
    path: String,
    headers: String,
    body: Value,
    /// The status and body that are shown; none where the document shows no body.
    answer: Option<(u16, Value)>,
    /// The answers that the operation describes.
    responses: Value,
}

/// All examples of a document, put together from where their parts stand.
fn examples(document: &Value) -> Vec<Example> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            for name in names(operation) {
                found.push(example(path, method, operation, &name));
            }
        }
    }
    found
}

/// The names of an operation's examples, in their order.
fn names(operation: &Value) -> Vec<String> {
    operation["x-examples"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn example(path: &str, method: &str, operation: &Value, name: &str) -> Example {
    let shown = |at: &Value| at["examples"].get(name).map(|example| example["value"].clone());
    // What is shown is JSON, also where there is a page for people.
    let (mut path, mut query, mut headers) = (path.to_owned(), Vec::new(), "accept: application/json\r\n".to_owned());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let Some(value) = shown(parameter) else { continue };
        let (name, text) = (parameter["name"].as_str().expect("a name"), plain(&value));
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), &web::path([text.as_str()])[1..]),
            Some("query") => {
                let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                query.extend(values.iter().map(|value| format!("{name}={}", &web::path([plain(value).as_str()])[1..])));
            }
            _ => write!(headers, "{name}: {text}\r\n").expect("a text takes more text"),
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let sent = operation["requestBody"]["content"].as_object().into_iter().flatten();
    let sent = sent.into_iter().find_map(|(media, content)| Some((media, shown(content)?)));
    let sent = sent.map(|(media, body)| (media, if media == FORM { form(&body) } else { body }));
    if let Some((media, _)) = &sent {
        write!(headers, "content-type: {media}\r\n").expect("a text takes more text");
    }
    let of_status = |(status, response): (&String, &Value)| {
        let body = response["content"].as_object()?.values().find_map(shown)?;
        Some((status.parse().ok()?, body))
    };
    Example {
        operation: operation["operationId"].as_str().expect("an id").to_owned(),
        name: name.to_owned(),
        method: method.to_uppercase(),
        path,
        headers,
        body: sent.map(|(_, body)| body).unwrap_or_default(),
        answer: operation["responses"].as_object().expect("responses").iter().find_map(of_status),
        responses: operation["responses"].clone(),
    }
}

/// What a browser sends for a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The fields of a form as a browser sends them.
fn form(fields: &Value) -> Value {
    let fields = fields.as_object().expect("a form has fields").iter();
    let fields: Vec<_> =
        fields.map(|(name, value)| format!("{name}={}", &web::path([plain(value).as_str()])[1..])).collect();
    fields.join("&").into()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Play<'a> {
    server: &'a Server,
    document: &'a Value,
    /// What the program made in place of what the document shows.
    stands_for: BTreeMap<String, String>,
}

impl Play<'_> {
    /// Plays one; what is read may need a moment to become so.
    fn example(&mut self, example: &Example) {
        let what = format!("{} {}, example {}", example.method, example.path, example.name);
        let (path, body) = (self.now(&example.path), self.now(&example.body.to_string()));
        let body = serde_json::from_str(&body).expect("it stays JSON");
        let ask = || ask_with(self.server.address, &example.method, &path, &example.headers, &body);
        let is_as_shown = |play: &mut Self, answer: &(u16, String, Value)| match &example.answer {
            Some((status, shown)) => *status == answer.0 && play.compare("", "", shown, &answer.2).is_ok(),
            None => (200..300).contains(&answer.0),
        };
        let mut answer = ask();
        for _ in 0..100 {
            if example.method != "GET" || is_as_shown(self, &answer) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            answer = ask();
        }
        self.validate(&what, example, &answer);
        if let Some((status, shown)) = &example.answer {
            assert_eq!(*status, answer.0, "{what}: {:#}", answer.2);
            if let Err(place) = self.compare("", "", shown, &answer.2) {
                panic!("{what} is answered otherwise at {place}: {:#}", answer.2);
            }
        } else {
            // A form is answered with the way to another page.
            let is_good = (200..300).contains(&answer.0) || answer.0 == 303 && !example.responses["303"].is_null();
            assert!(is_good, "{what}: {} {:#}", answer.0, answer.2);
        }
    }

    /// A text of the document in what is so in this run.
    fn now(&self, text: &str) -> String {
        self.stands_for.iter().fold(text.to_owned(), |text, (shown, made)| text.replace(shown, made))
    }

    /// Whether an answer is described: its status, its type and what stands in it.
    fn validate(&self, what: &str, example: &Example, (status, media, body): &(u16, String, Value)) {
        let response = &example.responses[status.to_string()];
        assert!(response.is_object(), "{what}: the answer {status} is not described: {body:#}");
        let Some(content) = response["content"].as_object() else {
            assert!(body == "", "{what}: a body where none is described: {body:#}");
            return;
        };
        let content = content.get(media).unwrap_or_else(|| panic!("{what}: the type {media} is not described"));
        let faults = faults(self.document, &content["schema"], body);
        assert!(faults.is_empty(), "{what}: {} of {body:#}", faults.join("; "));
    }

    /// Compares an answer with the one shown, learning what the program made; or says where it differs.
    fn compare(&mut self, place: &str, name: &str, shown: &Value, answered: &Value) -> Result<(), String> {
        match (shown, answered) {
            (Value::Object(shown), Value::Object(answered)) if shown.keys().eq(answered.keys()) => shown
                .iter()
                .try_for_each(|(name, value)| self.compare(&format!("{place}/{name}"), name, value, &answered[name])),
            (Value::Array(shown), Value::Array(answered)) if shown.len() == answered.len() => {
                let mut pairs = shown.iter().zip(answered).enumerate();
                pairs.try_for_each(|(at, (shown, answered))| {
                    self.compare(&format!("{place}/{at}"), name, shown, answered)
                })
            }
            _ if shown == answered || MADE.contains(&name) => Ok(()),
            (Value::String(shown), Value::String(made))
                if ["pay_", "res_"].iter().any(|ours| shown.starts_with(ours)) =>
            {
                let known = self.stands_for.entry(shown.clone()).or_insert_with(|| made.clone());
                if known == made { Ok(()) } else { Err(place.to_owned()) }
            }
            _ => Err(place.to_owned()),
        }
    }
}

#[test]
fn what_the_examples_send_and_show_fits_the_schemas() {
    let folder = tempfile::tempdir().expect("a folder");
    let document = Server::up(folder.path(), &[]).get("/openapi.json").1;
    let mut looked_at = 0;
    let mut fits = |place: &str, holder: &Value| {
        for (name, example) in holder["examples"].as_object().into_iter().flatten() {
            let faults = faults(&document, &holder["schema"], &example["value"]);
            assert!(faults.is_empty(), "{place}, example {name}: {}", faults.join("; "));
            looked_at += 1;
        }
    };
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let place = format!("{method} {path}");
            operation["parameters"].as_array().into_iter().flatten().for_each(|parameter| fits(&place, parameter));
            let responses = operation["responses"].as_object().expect("responses").values();
            for body in responses.chain([&operation["requestBody"]]) {
                body["content"].as_object().into_iter().flatten().for_each(|(_, content)| fits(&place, content));
            }
        }
    }
    assert!(looked_at > 50, "{looked_at}");
}

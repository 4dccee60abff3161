//! What is said of the program's own requests: each handler has its description here, under its name.

use serde_json::{Value, json};
use web::schema::{
    any_document, any_text, by_name, count, cursor, document, flag, form, integer, list, list_of, may, meaning, moment,
    must, name, or_null, page, reference, text, word,
};
use web::{CROSS_SITE, DIFFERENT_CONTENT, Example, FORBIDDEN, NOT_FOUND, Operation, Scope, UNAUTHORIZED};

use crate::aside::UNKNOWN_DEAD_LETTER;
use crate::feed_route::{CURSOR_BEYOND_THE_END, CURSOR_OF_ANOTHER_LIFE, TOO_MANY_LISTENERS, UNKNOWN_SERVICE};
use crate::health::NOT_READY;
use crate::key_routes::{LONGEST_OVERLAP_SECS, UNKNOWN_KEY};
use crate::status_page::REFRESH_SECS;

/// The schemas that several operations share.
pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Key", key_schema()),
        ("Event", event_schema()),
        ("Aside", aside_schema()),
        ("SettledLetter", settled_letter_schema()),
        ("ServiceHealth", service_health_schema()),
        ("ProblemKind", problem_kind_schema()),
    ]
}

fn number() -> Value {
    meaning("A number as text: it may be greater than 2^53.", any_text())
}

fn event_schema() -> Value {
    document([
        must("id", meaning("A name that no other event has.", any_text())),
        must("source", meaning("The service that published it.", any_text())),
        must("incarnation", meaning("The life of that service's database.", number())),
        must("position", meaning("Where it stands among all events of its source.", count())),
        must("partition", integer(0..=63)),
        must("stream", meaning("The number of the thing that it happened to.", number())),
        must("version", meaning("Its place among the events of that thing, from 1.", count())),
        must("subject", meaning("What it is about.", any_text())),
        must("type", meaning("Such as `OrderPlaced`.", any_text())),
        must("schema", meaning("The version of that type's schema.", count())),
        must("occurred_at", moment()),
        must("recorded_at", meaning("When it was committed.", moment())),
        must("traceparent", any_text()),
        must("correlation", meaning("The request or story that it belongs to.", any_text())),
        must("causation", meaning("The request or event that caused it.", any_text())),
        must("actor", meaning("Who did it.", any_text())),
        must("owner", meaning("Whose names the names in it are.", any_text())),
        must("origin", meaning("Where the write came from.", any_text())),
        may("market", any_text()),
        must("data", meaning("What happened.", any_document())),
    ])
}

fn aside_schema() -> Value {
    document([
        must("service", meaning("The service that could not deal with it.", any_text())),
        must("source", meaning("The service that published it.", any_text())),
        must("position", count()),
        must("attempts", count()),
        must("cause", any_text()),
        may("due_at", meaning("When it is tried next; nothing where it waits for the event before it.", moment())),
        may("died_at", meaning("When it was given up.", moment())),
        must("event", reference("Event")),
    ])
}

fn settled_letter_schema() -> Value {
    document([
        must("service", meaning("The service that could not deal with it.", any_text())),
        must("source", meaning("The service that published it.", any_text())),
        must("position", count()),
        must("type", meaning("The type of the event.", any_text())),
        must("subject", meaning("What the event is about.", any_text())),
        must("cause", meaning("Why it had been given up.", any_text())),
        must("status", meaning("What became of it.", word(&["replayed", "discarded"]))),
        must("settled_at", moment()),
        must("actor", meaning("Who did it.", any_text())),
        must("reason", meaning("Why.", any_text())),
    ])
}

fn service_health_schema() -> Value {
    let listener = document([
        must("lag", meaning("Events of the producer that are not dealt with.", count())),
        may("stopped", meaning("Why it has stopped for good.", any_text())),
    ]);
    document([
        must("ready", flag()),
        must("database", word(&["answers", "does_not_answer"])),
        must("workers", document([must("running", count()), must("of", count())])),
        may("listens", meaning("The feeds that it reads.", by_name(listener))),
    ])
}

fn problem_kind_schema() -> Value {
    document([
        must("type", meaning("Its page.", any_text())),
        must("code", any_text()),
        must("title", any_text()),
        must("status", integer(400..=599)),
        must("help", meaning("What happened and what to do.", any_text())),
    ])
}

fn key_schema() -> Value {
    document([
        must("id", meaning("The number in its text; each rotation has another.", number())),
        must("name", name()),
        must("owner", meaning("Whose names its names are.", name())),
        must("scopes", list(scope())),
        must("status", word(&["valid", "expired", "revoked"])),
        must("created_at", moment()),
        must("expires_at", or_null(moment())),
        must("revoked_at", or_null(moment())),
        must("last_used_at", or_null(moment())),
        may("key", meaning("Its text, in the one answer that shows it.", any_text())),
    ])
}

pub(crate) fn feeds() -> Operation {
    let feed = document([
        must("service", any_text()),
        must("newest", meaning("The position of its newest event; 0 when there is none.", count())),
    ]);
    Operation::new("list_feeds", "Services whose events can be read here", "")
        .answers(200, "They and how far they are.", document([must("items", list(feed))]))
        .example(Example::of("all").gets_status(200))
}

pub(crate) fn events() -> Operation {
    let about = "In order for each subject. There is always a `next`: a feed has no end, and the same cursor asked again \
                 later gives what is new. Without a cursor all history is looked through, also where `subject` and `type` \
                 want little of it; who wants only what happens from now on asks with `after=latest`. A page may be shorter than its limit, even empty, and yet not be the last: go \
                 on from `next` until it no longer changes. `Prefer: wait=10` waits for something new. With `Accept: \
                 text/event-stream` the answer is an endless stream, resumed with `Last-Event-ID`; where it ends by \
                 itself, its last message is an `end` that says why and after which cursor to go on (`resume_after`).";
    let events = document([
        must("items", list(reference("Event"))),
        must("next", cursor()),
        must("newest", meaning("The position of the newest event of this service.", count())),
    ]);
    Operation::new("read_events", "A service's events", about)
        .takes_segment("service", "The service.", text(1..=64))
        .takes_query("type", "Only those of these types, as `?type=…&type=…`.", list(any_text()))
        .takes_query("subject", "Only those about this.", any_text())
        .takes_page_after("The `next` of the page before; `latest` for the place behind the newest event.")
        .takes_wait()
        .takes_header("Last-Event-ID", "The `id` of the last message of a stream; goes before `after`.", any_text())
        .answers(200, "A page of events, or a stream of them.", events)
        .answers_as("text/event-stream", 200, "", any_text())
        .refuses([&UNKNOWN_SERVICE, &CURSOR_OF_ANOTHER_LIFE, &CURSOR_BEYOND_THE_END, &TOO_MANY_LISTENERS])
        .example(Example::of("first").with("service", "orders").with("limit", 1).gets_status(200))
}

/// A list of what was put aside.
fn list_aside(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary, about)
        .takes_query("service", "Only those of this service.", any_text())
        .takes_page()
        .answers(200, "A page of them, by service, source and position.", page(reference("Aside")))
        .example(Example::of("none").gets(200, json!({"items": [], "next": null})))
}

pub(crate) fn dead_letters() -> Operation {
    list_aside("list_dead_letters", "Events that nobody could deal with", "They wait for a person.")
}

pub(crate) fn settled_letters() -> Operation {
    let about = "The audit trail of what people did with dead letters. It is kept for good.";
    Operation::new("list_settled_letters", "Dead letters that were replayed or discarded, by whom and why", about)
        .takes_query("service", "Only those of this service.", any_text())
        .takes_page()
        .answers(
            200,
            "A page of them, by service and in the order in which they were settled.",
            page(reference("SettledLetter")),
        )
        .example(Example::of("none").gets(200, json!({"items": [], "next": null})))
}

pub(crate) fn parked_events() -> Operation {
    let about = "Each waits for another attempt, or behind an event of its subject that does.";
    list_aside("list_parked_events", "Events that are tried again", about)
}

/// What a person does with a dead letter.
fn settle(id: &'static str, summary: &'static str, about: &'static str, status: &'static str) -> Operation {
    let settled = document([
        must("service", any_text()),
        must("source", any_text()),
        must("position", count()),
        must("status", word(&[status])),
    ]);
    let answer = json!({"service": "orders", "source": "payments", "position": 17, "status": status});
    Operation::new(id, summary, about)
        .takes_segment("service", "The service that could not deal with it.", text(1..=64))
        .takes_segment("source", "The service that published it.", text(1..=64))
        .takes_segment("position", "Its position.", json!({"type": "integer"}))
        .takes(form([must("reason", meaning("Why; it is kept, and stands in the log.", text(1..=500)))]))
        .takes_key()
        .answers(200, "What became of it.", settled)
        .refuses([&UNKNOWN_SERVICE, &UNKNOWN_DEAD_LETTER])
        .example(
            Example::of("mended")
                .with("service", "orders")
                .with("source", "payments")
                .with("position", 17)
                .sends(json!({"reason": "its cause is mended"}))
                .gets(200, answer),
        )
}

pub(crate) fn replay() -> Operation {
    settle("replay_dead_letter", "Tries a dead letter again", "Once what was wrong is mended.", "replayed")
}

pub(crate) fn discard() -> Operation {
    settle(
        "discard_dead_letter",
        "Gives a dead letter up for good",
        "Nobody is told of the event any more.",
        "discarded",
    )
}

/// A key as it is answered.
fn key() -> Value {
    reference("Key")
}

/// Any scope.
fn scope() -> Value {
    word(&Scope::ALL.map(Scope::as_str))
}

pub(crate) fn create_key() -> Operation {
    let about = "The text of the key stands in the first answer as `key`, and never again. No two keys ever have the same \
                 name, also not after one was revoked.";
    let asked = form([
        must("scopes", meaning("What it may; `admin` is everything.", list_of(1..=Scope::ALL.len(), scope()))),
        may("owner", meaning("Whose names its names are; its own name unless it is said.", name())),
        may("expires_at", meaning("From when on it is refused; never unless it is said.", moment())),
    ]);
    Operation::new("create_key", "Makes a key", about)
        .takes_segment("name", "What it is called.", name())
        .takes(asked)
        .answers(201, "The key, with its text.", key())
        .answers(200, "It was made before, just so; its text is not shown.", key())
        .refuses([&DIFFERENT_CONTENT])
        .example(
            Example::of("shop")
                .with("name", "shop")
                .sends(json!({"scopes": ["orders:read", "orders:write"]}))
                .gets_status(201),
        )
}

pub(crate) fn rotate_key() -> Operation {
    let about =
        "The text before is accepted for the overlap, a day unless it is said. Each request gives another text.";
    let overlap = meaning("How long the text before is accepted.", integer(0..=LONGEST_OVERLAP_SECS));
    Operation::new("rotate_key", "Gives a key another text", about)
        .takes_segment("name", "What it is called.", name())
        .takes(form([may("overlap_secs", overlap)]))
        .answers(200, "The key, with its new text.", key())
        .refuses([&UNKNOWN_KEY])
        .example(Example::of("shop").with("name", "shop").sends(json!({"overlap_secs": 3600})).gets_status(200))
}

pub(crate) fn revoke_key() -> Operation {
    Operation::new(
        "revoke_key",
        "Takes a key back, with all its texts",
        "It is refused from now on, everywhere within seconds.",
    )
    .takes_segment("name", "What it is called.", name())
    .answers(200, "The key.", key())
    .refuses([&UNKNOWN_KEY])
    .example(Example::of("shop").with("name", "shop").gets_status(200))
}

pub(crate) fn keys() -> Operation {
    Operation::new("list_keys", "All keys, without their texts", "A key that was rotated is listed once for each text.")
        .takes_page()
        .answers(200, "A page of them, in the order in which they were made.", page(key()))
        .example(Example::of("first").with("limit", 1).gets_status(200))
}

pub(crate) fn live() -> Operation {
    Operation::new("live", "Whether the process answers", "Whoever restarts processes asks this.")
        .answers(200, "It does.", document([must("status", word(&["live"]))]))
        .example(Example::of("live").gets(200, json!({"status": "live"})))
}

pub(crate) fn ready() -> Operation {
    let about = "Every database answers a read, every desk has its workers and every consumer goes on. Whoever sends \
                 requests asks this.";
    let answer = document([must("status", word(&["ready"])), must("services", by_name(reference("ServiceHealth")))]);
    Operation::new("ready", "Whether the program can do its work", about)
        .answers(200, "It can.", answer)
        .refuses([&NOT_READY])
        .example(Example::of("ready").gets_status(200))
}

pub(crate) fn metrics() -> Operation {
    Operation::new("metrics", "What is counted and timed", "In the format of OpenMetrics.")
        .answers_as("application/openmetrics-text", 200, "The meters.", any_text())
        .example(Example::of("all").gets_status(200))
}

pub(crate) fn problems() -> Operation {
    Operation::new("list_problems", "Every way of saying no", "A page, or JSON for who asks for it with `Accept`.")
        .answers_as("text/html", 200, "All problems.", any_text())
        .answers(200, "", document([must("items", list(reference("ProblemKind")))]))
        .example(Example::of("all").gets_status(200))
}

pub(crate) fn problem() -> Operation {
    let kind = json!({
        "type": "/problems/not-found", "code": NOT_FOUND.code, "title": NOT_FOUND.title, "status": NOT_FOUND.status,
        "help": NOT_FOUND.help,
    });
    Operation::new("get_problem", "What a problem means", "A page, or JSON for who asks for it with `Accept`.")
        .takes_segment("code", "Its code.", text(1..=64))
        .answers_as("text/html", 200, "What happened and what to do.", any_text())
        .answers(200, "", reference("ProblemKind"))
        .refuses([&NOT_FOUND])
        .example(Example::of("not_found").with("code", "not-found").gets(200, kind))
}

/// A page for people who have signed in.
fn for_people(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary, about)
        .answers_nothing(303, "To `/sign-in`, for a browser that has not signed in.")
        .refuses([&CROSS_SITE])
}

/// What a page does with an event that was put aside.
fn put_aside(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    for_people(id, summary, about)
        .takes_segment("service", "The service that could not deal with it.", text(1..=64))
        .takes_segment("source", "The service that published it.", text(1..=64))
        .takes_segment("position", "Its position.", json!({"type": "integer"}))
        .refuses([&UNKNOWN_DEAD_LETTER])
}

pub(crate) fn show_put_aside() -> Operation {
    put_aside("show_put_aside", "An event that was put aside, as a page", "With its forms to replay or discard it.")
        .answers_as("text/html", 200, "The page.", any_text())
        .example(
            Example::of("shown")
                .with("service", "orders")
                .with("source", "payments")
                .with("position", 17)
                .gets_status(200),
        )
}

/// A form of that page.
fn settle_by_form(id: &'static str, summary: &'static str) -> Operation {
    put_aside(id, summary, "What the form of the page sends; the status page follows.")
        .takes_form(form([must("reason", meaning("Why; it is kept.", text(1..=500)))]))
        .refuses([&UNKNOWN_SERVICE])
        .example(
            Example::of("mended")
                .with("service", "orders")
                .with("source", "payments")
                .with("position", 17)
                .sends(json!({"reason": "its cause is mended"}))
                .gets_status(303),
        )
}

pub(crate) fn replay_by_form() -> Operation {
    settle_by_form("replay_by_form", "Tries a dead letter again, from its page")
}

pub(crate) fn discard_by_form() -> Operation {
    settle_by_form("discard_by_form", "Gives a dead letter up for good, from its page")
}

pub(crate) fn ask_to_sign_in() -> Operation {
    Operation::new("ask_to_sign_in", "Where people sign in, as a page", "For the pages of this program in a browser.")
        .answers_as("text/html", 200, "The page.", any_text())
        .example(Example::of("empty").gets_status(200))
}

pub(crate) fn sign_in() -> Operation {
    let about = "The answer carries a cookie, which stands for the key on the pages of this program until it was not used \
                 for half an hour. It opens nothing under `/v1`.";
    Operation::new("sign_in", "Begins a session", about)
        .takes_form(form([must("key", meaning("An API key with the scope `admin`.", any_text()))]))
        .answers_nothing(303, "To the status page.")
        .refuses([&UNAUTHORIZED, &FORBIDDEN])
        .example(Example::of("wrong").sends(json!({"key": "bk_1_wrong"})).gets(
            401,
            json!({
                "type": "/problems/unauthorized", "code": UNAUTHORIZED.code, "title": UNAUTHORIZED.title, "status": 401,
                "detail": "This is no key that is known here. A key is sent as `Authorization: Bearer bk_…`, just as it was \
                           shown when it was made; `banyan keys rotate` gives a lost one another text.",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            }),
        ))
}

pub(crate) fn sign_out() -> Operation {
    for_people("sign_out", "Ends a session", "Its cookie is of no use any more; `/sign-in` follows.")
        .example(Example::of("out").gets_status(303))
}

pub(crate) fn status() -> Operation {
    let refresh = integer(i64::from(*REFRESH_SECS.start())..=i64::from(*REFRESH_SECS.end()));
    for_people("status", "How the program gets on, as a page", "It needs no JavaScript, and nothing from elsewhere.")
        .takes_query("refresh", "Seconds after which the page asks for itself anew; never unless it is said.", refresh)
        .answers_as("text/html", 200, "The page.", any_text())
        .example(Example::of("once").gets_status(200))
}

pub(crate) fn openapi() -> Operation {
    Operation::new("openapi", "This document", "Drawn from the routes of the program that answers.")
        .takes_if_none_match()
        .answers(200, "OpenAPI 3.1.", any_document())
        .example(Example::of("all").gets_status(200))
}

pub(crate) fn docs() -> Operation {
    Operation::new("docs", "The same to read and to try", "A page that needs nothing from elsewhere.")
        .answers_as("text/html", 200, "The page.", any_text())
        .example(Example::of("all").gets_status(200))
}

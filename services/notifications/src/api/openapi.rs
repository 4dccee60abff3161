//! What is said of the requests of notifications: each handler of `api` has its description here, under
//! its name.

use serde_json::{Value, json};
use web::schema::{
    any_document, any_text, count, document, flag, form, integer, list, list_of, may, meaning, moment, must, name,
    or_null, page, reference, text, word,
};
use web::{Example, Operation, PRECONDITION_FAILED};

use super::problem::{NOT_ACTIVE, TOO_MANY, UNKNOWN_DELIVERY, UNKNOWN_ENDPOINT};
use super::{LONGEST_OVERLAP_SECS, LONGEST_WANTED, MOST_WANTED, known_types};

const STATUSES: [&str; 4] = ["waiting", "retrying", "delivered", "failed"];

/// The schemas that several operations share.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let endpoint = document([
        must("id", name()),
        must("url", any_text()),
        must("types", meaning("Only events of these types; all where none is named.", list(any_text()))),
        must("subjects", meaning("Only events about these; all where none is named.", list(any_text()))),
        must("ordered", ordered()),
        must("enabled", flag()),
        must("status", word(&["active", "failing", "paused", "gone", "disabled"])),
        may("reason", meaning("Why the last delivery failed, for a person.", any_text())),
        may("failing_since", moment()),
        must("created_at", moment()),
        must("updated_at", moment()),
        may("secret", meaning("With it messages are verified; shown in this one answer.", any_text())),
    ]);
    let attempt = document([
        must("at", meaning("When it was made; `webhook-timestamp` says the same.", moment())),
        must("url", any_text()),
        must("duration_ms", count()),
        may("status", meaning("The HTTP status of the answer.", integer(100..=999))),
        may("answer", meaning("The beginning of the answer's body, 1 KiB at most.", any_text())),
        may("error", meaning("Why it failed, for a person.", any_text())),
    ]);
    let delivery = document([
        must("position", meaning("Its place among all messages.", count())),
        must("webhook_id", meaning("The same each time that it is sent.", any_text())),
        must("type", any_text()),
        must("subject", any_text()),
        must("recorded_at", moment()),
        must("status", word(&STATUSES)),
        may("next_attempt_at", moment()),
        must("attempts", meaning("The latest of them, oldest first.", list(attempt))),
        may("body", meaning("What is sent, where one delivery is looked at.", any_document())),
    ]);
    vec![("WebhookEndpoint", endpoint), ("WebhookDelivery", delivery)]
}

fn ordered() -> Value {
    meaning("Whether messages about one subject come in order, each after the one before it was taken.", flag())
}

fn tea_shop(is_new: bool) -> Value {
    let mut endpoint = json!({
        "id": "tea-shop", "url": "https://hooks.example.com/banyan", "types": ["OrderNeedsAttention"],
        "subjects": [], "ordered": true, "enabled": true, "status": "active",
        "created_at": "2026-05-04T09:30:00.000000Z", "updated_at": "2026-05-04T09:30:00.000000Z",
    });
    if is_new {
        endpoint["secret"] = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into();
    }
    endpoint
}

/// An operation on an endpoint by its name.
fn on_endpoint(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary, about).takes_segment("id", "What the endpoint is called.", name())
}

/// One that needs it to be there.
fn on_known(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    on_endpoint(id, summary, about).refuses([&UNKNOWN_ENDPOINT])
}

pub(super) fn set() -> Operation {
    let about = "Events from now on are posted there, signed as Standard Webhooks has it. The first answer shows the \
                 secret, and no other does. Said again with something else, the endpoint is set anew. The URL has to be \
                 of the internet and begin with https://, unless the operator allows private targets.";
    let wanted = || list_of(0..=MOST_WANTED, text(1..=LONGEST_WANTED));
    let types = format!("Only events of these types, each one of `{}`.", known_types().join("`, `"));
    let endpoint = form([
        must("url", meaning("Where messages are posted.", text(1..=2_048))),
        may("types", meaning(&types, wanted())),
        may(
            "subjects",
            meaning("Only events about these; one that ends in `*` stands for all that begin so.", wanted()),
        ),
        may("ordered", ordered()),
        may("enabled", meaning("Whether anything is sent; true unless it is said.", flag())),
    ]);
    let sent = json!({
        "url": "https://hooks.example.com/banyan", "types": ["OrderNeedsAttention"], "ordered": true,
    });
    let changed_meanwhile = json!({
        "type": "/problems/precondition-failed", "code": "precondition-failed", "title": PRECONDITION_FAILED.title,
        "status": 412, "detail": PRECONDITION_FAILED.help, "trace_id": "0af7651916cd43dd8448eb211c80319c",
    });
    on_endpoint("set_webhook_endpoint", "Registers an endpoint, or sets it anew", about)
        .takes(endpoint)
        .answers(201, "The endpoint, with its secret.", reference("WebhookEndpoint"))
        .answers(200, "The endpoint as it is now.", reference("WebhookEndpoint"))
        .refuses([&TOO_MANY])
        .takes_if_match()
        .takes_header("If-None-Match", "`*` registers an endpoint and sets none anew that there is.", any_text())
        .example(Example::of("registered").with("id", "tea-shop").sends(sent.clone()).gets(201, tea_shop(true)))
        .example(
            Example::of("changed_meanwhile")
                .with("id", "tea-shop")
                .with("If-Match", "\"1\"")
                .sends(sent)
                .gets(412, changed_meanwhile),
        )
}

pub(super) fn show() -> Operation {
    on_known("get_webhook_endpoint", "An endpoint", "`status` says how it gets on.")
        .shows_tag()
        .answers(200, "The endpoint, with the `ETag` of how its owner wants it.", reference("WebhookEndpoint"))
        .example(Example::of("registered").with("id", "tea-shop").gets(200, tea_shop(false)))
}

pub(super) fn remove() -> Operation {
    on_known("remove_webhook_endpoint", "Takes an endpoint back", "With all that was still to be sent to it.")
        .takes_if_match()
        .answers_nothing(204, "It is there no more.")
        .example(Example::of("registered").with("id", "tea-shop").gets_status(204))
}

pub(super) fn endpoints() -> Operation {
    Operation::new("list_webhook_endpoints", "All endpoints", "In the order of their names.")
        .takes_page()
        .answers(200, "A page of endpoints.", page(reference("WebhookEndpoint")))
        .example(Example::of("all").gets(200, json!({"items": [tea_shop(false)], "next": null})))
}

pub(super) fn rotate() -> Operation {
    let about = "Messages are signed with the new secret at once, and with the one before for `overlap_secs` more (a day, \
                 unless it is said): meanwhile a message has several signatures, and each is right by itself.";
    let overlap = meaning("How long the secret before signs too.", integer(0..=LONGEST_OVERLAP_SECS));
    on_known("rotate_webhook_secret", "Gives an endpoint another secret", about)
        .takes_key()
        .takes_if_match()
        .takes_if_given(form([may("overlap_secs", overlap)]))
        .answers(200, "The endpoint, with its new secret.", reference("WebhookEndpoint"))
        .example(
            Example::of("leaked").with("id", "tea-shop").sends(json!({"overlap_secs": 0})).gets(200, tea_shop(true)),
        )
}

pub(super) fn resume() -> Operation {
    let about = "One that was paused goes on where it stopped; one that was gone begins with what comes now; one that \
                 fails is left alone no longer. What was tried already keeps the time of its next try. So already is success.";
    on_known("resume_webhook_endpoint", "Puts an endpoint to work that was paused or gone, or fails", about)
        .takes_key()
        .takes_if_match()
        .answers(200, "The endpoint.", reference("WebhookEndpoint"))
        .example(Example::of("so_already").with("id", "tea-shop").gets(200, tea_shop(false)))
}

pub(super) fn test() -> Operation {
    let about = "A message of the type `WebhookTest` that says nothing, whatever the filter is.";
    on_known("test_webhook_endpoint", "Sends a message to try an endpoint", about)
        .takes_key()
        .answers(202, "What is sent; the same position tells later what came of it.", reference("WebhookDelivery"))
        .refuses([&NOT_ACTIVE])
        .example(Example::of("sent").with("id", "tea-shop").gets_status(202))
}

pub(super) fn deliveries() -> Operation {
    on_known("list_webhook_deliveries", "What was sent to an endpoint", "The newest first.")
        .takes_query("status", "Only those that stand so.", word(&STATUSES))
        .takes_page()
        .answers(200, "A page of deliveries.", page(reference("WebhookDelivery")))
        .example(Example::of("none").with("id", "tea-shop").gets(200, json!({"items": [], "next": null})))
}

/// An operation on a delivery by its position.
fn on_delivery(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    on_known(id, summary, about)
        .takes_segment("position", "The place of the message, as the list of deliveries says it.", count())
        .refuses([&UNKNOWN_DELIVERY])
}

pub(super) fn delivery() -> Operation {
    on_delivery("get_webhook_delivery", "A delivery", "With what is sent, and each try.")
        .answers(200, "The delivery.", reference("WebhookDelivery"))
        .example(Example::of("sent").with("id", "tea-shop").with("position", 1).gets_status(200))
}

pub(super) fn send_one_again() -> Operation {
    let about = "Under the same `webhook-id`, from the beginning of the schedule; also what was delivered.";
    on_delivery("redeliver_webhook", "Sends a message again", about)
        .takes_key()
        .answers(202, "The delivery, which is sent again.", reference("WebhookDelivery"))
        .refuses([&NOT_ACTIVE])
        .example(Example::of("sent").with("id", "tea-shop").with("position", 1).gets_status(202))
}

pub(super) fn send_again() -> Operation {
    let about = "All messages of a stretch that the endpoint wants, by time or by position, both ends included; also what \
                 was delivered. What was not sent yet keeps its turn and is not counted. 1,000 at once, of 20,000 that are looked at: where `next_position` says so, ask again from there.";
    let stretch = form([
        may("from", meaning("Those recorded from this moment on.", moment())),
        may("to", meaning("Those recorded up to this moment.", moment())),
        may("from_position", meaning("Those from this position on.", count())),
        may("to_position", meaning("Those up to this position.", count())),
    ]);
    let answer = document([
        must("deliveries", meaning("Messages that are sent again.", count())),
        must("next_position", or_null(count())),
    ]);
    on_known("redeliver_webhooks", "Sends a stretch of messages again", about)
        .takes_key()
        .takes(stretch)
        .answers(202, "How many are sent again.", answer)
        .refuses([&NOT_ACTIVE])
        .example(
            Example::of("a_day")
                .with("id", "tea-shop")
                .sends(json!({"from": "2026-05-04T00:00:00Z", "to": "2026-05-05T00:00:00Z"}))
                .gets(202, json!({"deliveries": 0, "next_position": null})),
        )
}

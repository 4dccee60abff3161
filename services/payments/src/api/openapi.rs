//! What is said of the requests of payments and of the test provider: each handler has its description
//! here, under its name.

use serde_json::{Value, json};
use web::schema::{
    any_text, count, document, form, integer, list, may, meaning, moment, money, must, name, page, reference, word,
};
use web::{Example, Operation};

use super::problem::{NOT_CAPTURED, UNKNOWN_CHALLENGE, UNKNOWN_PAYMENT};

/// The schemas that several operations share.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let payment =
        ["pending", "action_required", "authorized", "captured", "capture_failed", "voided", "declined", "refunded"];
    let attempt = [
        "pending",
        "action_required",
        "unknown",
        "voiding",
        "authorized",
        "captured",
        "declined",
        "voided",
        "refunded",
    ];
    let reason = meaning("Why, in the provider's word.", any_text());
    let attempt = document([
        must("number", integer(1..=i64::MAX)),
        must("status", word(&attempt)),
        may("reason", reason.clone()),
        must("started_at", moment()),
        may("ended_at", moment()),
    ]);
    let next_action = document([must("type", word(&["redirect"])), must("url", any_text())]);
    vec![
        (
            "Payment",
            document([
                must("id", name()),
                must("order", name()),
                must("status", word(&payment)),
                may("reason", reason.clone()),
                may("amount", money()),
                may("method", any_text()),
                must("attempts", meaning("Each try at the provider.", list(attempt))),
                may("next_action", meaning("What the customer has to do.", next_action)),
                must("created_at", moment()),
                must("updated_at", moment()),
            ]),
        ),
        (
            "Standing",
            document([
                must("status", word(&standings())),
                may("url", meaning("Where the customer has to do something.", any_text())),
                may("reason", reason),
            ]),
        ),
    ]
}

fn standings() -> [&'static str; 8] {
    ["not_found", "action_required", "authorized", "declined", "capture_refused", "captured", "voided", "refunded"]
}

/// The payment of an order of the examples.
fn payment_of(order: &str, payment: &str, method: &str, status: &str) -> Value {
    json!({
        "id": payment,
        "order": order,
        "status": status,
        "amount": {"amount": 3998, "currency": "GBP"},
        "method": method,
        "attempts": [{"number": 1, "status": status, "started_at": "2026-05-04T09:30:00.021000Z"}],
        "created_at": "2026-05-04T09:30:00.020000Z",
        "updated_at": "2026-05-04T09:30:00.080000Z",
    })
}

const CONFIRMED: &str = "pay_7361902483210241";
const AT_THE_BANK: &str = "pay_7361902483210243";

fn at_the_bank() -> Value {
    let mut payment = payment_of("order-3", AT_THE_BANK, "pm_card_authenticationRequired", "action_required");
    let url = "/v1/test-provider/challenges/pay_7361902483210243.1";
    payment["next_action"] = json!({"type": "redirect", "url": url});
    payment
}

fn failed_at_the_bank() -> Value {
    let mut payment = payment_of("order-3", AT_THE_BANK, "pm_card_authenticationRequired", "declined");
    payment["reason"] = "authentication_failed".into();
    payment["attempts"][0]["reason"] = "authentication_failed".into();
    payment["attempts"][0]["ended_at"] = "2026-05-04T09:31:10.533000Z".into();
    payment
}

/// An operation on a payment by its name.
fn on_payment(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary, about)
        .takes_segment("id", "The payment's name, as its order says it.", name())
        .takes_query("owner", "Whose payment it is, where it is not the caller's: takes the scope `admin`.", name())
        .answers(200, "The payment as it is now.", reference("Payment"))
        .refuses([&UNKNOWN_PAYMENT])
}

pub(super) fn show() -> Operation {
    let captured = payment_of("order-1", CONFIRMED, "pm_card_visa", "captured");
    on_payment("get_payment", "A payment", "The intent, its status and each try at the provider.")
        .takes_if_none_match()
        .example(Example::of("captured").with("id", CONFIRMED).gets(200, captured))
        .example(Example::of("at_the_bank").with("id", AT_THE_BANK).gets(200, at_the_bank()))
}

pub(super) fn refund() -> Operation {
    let mut refunded = payment_of("order-1", CONFIRMED, "pm_card_visa", "refunded");
    refunded["attempts"][0]["ended_at"] = "2026-05-05T11:02:00.400000Z".into();
    on_payment("refund_payment", "Gives back what was taken", "In full; refunded already is success.")
        .takes_wait()
        .takes_key()
        .refuses([&NOT_CAPTURED])
        .example(Example::of("refunded").with("id", CONFIRMED).with("Prefer", "wait=20").gets(200, refunded))
}

pub(super) fn come_back() -> Operation {
    let about = "The browser is back from the bank's page. It is not believed: the provider is asked.";
    on_payment("return_from_bank", "The customer is back from the bank", about).takes_wait().takes_key().example(
        Example::of("failed").with("id", AT_THE_BANK).with("Prefer", "wait=20").gets(200, failed_at_the_bank()),
    )
}

fn key() -> Value {
    let pattern = "^[A-Za-z0-9._:/-]+\\.[1-9][0-9]{0,17}$";
    meaning(
        "A try at the provider: its payment and its number.",
        json!({"type": "string", "maxLength": 160, "pattern": pattern}),
    )
}

pub(super) fn take_webhook() -> Operation {
    let kinds = ["authorization.succeeded", "authorization.failed"];
    let about = "A hint and never believed: the provider is asked how the try stands, while anything of its payment is \
                 open or was taken, unless its answer to the try is awaited. The answer is the same where there is no \
                 such try.";
    let sent = json!({"id": "whk_1", "key": "pay_7361902483210241.1", "type": "authorization.succeeded"});
    Operation::new("take_webhook", "The test provider tells something", about)
        .takes(form([must("id", any_text()), must("key", key()), must("type", word(&kinds))]))
        .answers_nothing(204, "It was taken in.")
        .example(Example::of("told_again").sends(sent).gets_status(204))
}

pub(super) fn answer_challenge() -> Operation {
    let declined = json!({"status": "declined", "reason": "authentication_failed"});
    Operation::new("answer_challenge", "The bank's page of a 3-D Secure step", "What the customer does there.")
        .takes_segment("key", "The key of the try, as `next_action` of the payment says it.", key())
        .takes(form([must("result", word(&["succeed", "fail"]))]))
        .answers(200, "How the try stands at the provider.", reference("Standing"))
        .refuses([&UNKNOWN_CHALLENGE])
        .example(
            Example::of("failed")
                .with("key", "pay_7361902483210243.1")
                .sends(json!({"result": "fail"}))
                .gets(200, declined),
        )
}

pub(super) fn charges() -> Operation {
    let minor_units = || meaning("Minor units of the currency.", count());
    let standing = meaning("How the try stands.", reference("Standing"));
    let charge = document([
        must("key", key()),
        may("amount", money()),
        may("method", any_text()),
        must("authorized", minor_units()),
        must("held", minor_units()),
        must("captured", minor_units()),
        must("voided", minor_units()),
        must("refunded", minor_units()),
        must("standing", standing),
    ]);
    let captured = json!({
        "key": "pay_7361902483210241.1", "amount": {"amount": 3998, "currency": "GBP"}, "method": "pm_card_visa",
        "authorized": 3998, "held": 0, "captured": 3998, "voided": 0, "refunded": 0, "standing": {"status": "captured"},
    });
    let page_of_one = json!({"items": [captured], "next": "AVsibG9jYWwvcGF5XzczNjE5MDI0ODMyMTAyNDEuMSJd"});
    Operation::new("list_charges", "The provider's own book", "What really happened to the money.")
        .takes_page()
        .answers(200, "A page of charges.", page(charge))
        .example(Example::of("first").with("limit", 1).gets(200, page_of_one))
}

//! What is said of orders' requests: each handler of `api` has its description here, under its name.

use money::MAX_MINOR_UNITS;
use serde_json::{Value, json};
use web::schema::{
    self, any_document, any_text, document, form, integer, list_of, may, meaning, moment, money, must, name, page,
    reference, sku, text, word,
};
use web::{DIFFERENT_CONTENT, Example, Operation};

use super::problem::{ALREADY_CONFIRMED, UNKNOWN_ORDER};
use super::{MOST_LINES, MOST_PIECES, STATES};
use crate::domain::{PaymentStatus, ReservationStatus};

/// The schemas that several operations share.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let steps = ["reserving", "authorizing", "committing", "capturing", "releasing", "voiding"];
    let reasons = [
        "out_of_stock",
        "reservation_timed_out",
        "payment_declined",
        "payment_timed_out",
        "capture_failed",
        "requested",
        "paid_but_no_stock",
        "stock_but_no_money",
    ];
    let part = |statuses: &[&str]| document([must("id", name()), must("status", word(statuses))]);
    let line = [
        must("sku", sku()),
        must("quantity", integer(1..=MOST_PIECES)),
        must("unit_price", meaning("The price of one piece.", money())),
    ];
    vec![
        ("OrderLine", document(line)),
        (
            "Order",
            document([
                must("id", name()),
                may("owner", meaning("Whose name that is; said in lists for which `owner` was given.", name())),
                must("status", word(&STATES)),
                may("step", meaning("What a pending order waits for.", word(&steps))),
                may("reason", meaning("Why it was cancelled, or what a person has to decide.", word(&reasons))),
                must("total", meaning("The sum of quantity times price over all lines.", money())),
                must("lines", schema::list(reference("OrderLine"))),
                may("customer", text(1..=200)),
                may("reference", text(1..=200)),
                must("payment", part(PaymentStatus::WORDS)),
                must("reservation", part(ReservationStatus::WORDS)),
                must("placed_at", moment()),
                must("updated_at", moment()),
            ]),
        ),
        (
            "OrderEvent",
            document([
                must("id", any_text()),
                must("type", meaning("Such as `OrderPlaced`.", any_text())),
                must("occurred_at", moment()),
                must("actor", meaning("Who did it.", any_text())),
                must("cause", meaning("The request or event that caused it.", any_text())),
                must("data", any_document()),
            ]),
        ),
    ]
}

/// An order of the examples: two pounds of tea at 19.99.
fn order_of_tea(name: &str, status: &str, payment: (&str, &str), reservation: (&str, &str)) -> Value {
    json!({
        "id": name,
        "status": status,
        "total": {"amount": 3998, "currency": "GBP"},
        "lines": [{"sku": "TEA-250", "quantity": 2, "unit_price": {"amount": 1999, "currency": "GBP"}}],
        "payment": {"id": payment.0, "status": payment.1},
        "reservation": {"id": reservation.0, "status": reservation.1},
        "placed_at": "2026-05-04T09:30:00.000000Z",
        "updated_at": "2026-05-04T09:30:00.081000Z",
    })
}

fn sent(method: &str) -> Value {
    json!({
        "lines": [{"sku": "TEA-250", "quantity": 2, "unit_price": {"amount": 1999, "currency": "GBP"}}],
        "payment": {"method": method},
    })
}

fn confirmed() -> Value {
    order_of_tea("order-1", "confirmed", ("pay_7361902483210241", "captured"), ("res_7361902483210241", "committed"))
}

fn declined() -> Value {
    let mut order = order_of_tea(
        "order-2",
        "cancelled",
        ("pay_7361902483210242", "declined"),
        ("res_7361902483210242", "released"),
    );
    order["reason"] = "payment_declined".into();
    order
}

/// An order whose customer has yet to pass the bank's page.
fn at_the_bank() -> Value {
    let mut order =
        order_of_tea("order-3", "pending", ("pay_7361902483210243", "pending"), ("res_7361902483210243", "pending"));
    order["step"] = "reserving".into();
    order
}

pub(super) fn place() -> Operation {
    let about = "Prices are the caller's. The answer comes at once with 202; with `Prefer: wait=10` it comes with 201 \
                 when the order's story has ended, however it ended: look at `status`. What no order may be is refused \
                 with 422: no lines, more than an event of 256 KiB can name (it can name 1,000 of the longest SKUs in ASCII), two \
                 currencies, a total of nothing, something that looks like a card number.";
    let amount = meaning("Whole minor units of the currency: pence of pounds.", integer(0..=MAX_MINOR_UNITS));
    let currency = meaning("ISO 4217; one for the whole order.", json!({"type": "string", "pattern": "^[A-Z]{3}$"}));
    let price = form([must("amount", amount), must("currency", currency)]);
    let line = form([must("sku", sku()), must("quantity", integer(1..=MOST_PIECES)), must("unit_price", price)]);
    let method = meaning("A token of the provider's, never a card number.", text(1..=100));
    let order = form([
        must("lines", list_of(1..=MOST_LINES, line)),
        must("payment", form([must("method", method)])),
        may("customer", meaning("The customer, as the shop names them.", text(1..=200))),
        may("reference", meaning("The caller's own reference.", text(1..=200))),
    ]);
    let example = |name, order: &'static str, method: &str| Example::of(name).with("id", order).sends(sent(method));
    Operation::new("place_order", "Places an order", about)
        .takes_segment("id", "The order's name.", name())
        .takes_wait()
        .takes(order)
        .answers(201, "The order, whose story has ended.", reference("Order"))
        .answers(202, "The order, whose story goes on.", reference("Order"))
        .answers(200, "The same order was placed before; as it is now.", reference("Order"))
        .refuses([&DIFFERENT_CONTENT])
        .example(example("confirmed", "order-1", "pm_card_visa").with("Prefer", "wait=20").gets(201, confirmed()))
        .example(
            example("declined", "order-2", "pm_card_chargeDeclined").with("Prefer", "wait=20").gets(201, declined()),
        )
        .example(example("at_the_bank", "order-3", "pm_card_authenticationRequired").gets(202, at_the_bank()))
}

/// An operation on an order by its name.
fn on_order(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary, about)
        .takes_segment("id", "The order's name.", name())
        .takes_query("owner", "Whose order it is, where it is not the caller's: takes the scope `admin`.", name())
        .refuses([&UNKNOWN_ORDER])
}

pub(super) fn order() -> Operation {
    on_order("get_order", "An order", "As it is, or with `at` as it was at a time.")
        .takes_query("at", "A time.", moment())
        .takes_if_none_match()
        .answers(200, "The order.", reference("Order"))
        .example(Example::of("confirmed").with("id", "order-1").gets(200, confirmed()))
}

pub(super) fn history() -> Operation {
    on_order("get_order_history", "Everything that happened to an order", "Each event with its time, cause and actor.")
        .answers(200, "Its events, in their order.", page(reference("OrderEvent")))
        .example(Example::of("confirmed").with("id", "order-1").gets_status(200))
}

pub(super) fn cancel() -> Operation {
    let about = "Until it is confirmed. The money and the stock are let go first; `Prefer: wait=10` waits for that.";
    on_order("cancel_order", "Cancels an order", about)
        .takes_wait()
        .takes_key()
        .takes(form([must("reason", text(1..=200))]))
        .answers(200, "The order, whose story has ended.", reference("Order"))
        .answers(202, "The order, whose story goes on.", reference("Order"))
        .refuses([&ALREADY_CONFIRMED])
        .example(
            Example::of("again")
                .with("id", "order-2")
                .sends(json!({"reason": "the customer called"}))
                .gets(200, declined()),
        )
}

pub(super) fn list() -> Operation {
    Operation::new("list_orders", "Orders", "Oldest first. `status=attention` is the queue for people.")
        .takes_query("status", "Only those of this status.", word(&STATES))
        .takes_query("customer", "Only those of this customer.", any_text())
        .takes_query("owner", "Those of this owner, or of all with `*`: takes the scope `admin`.", any_text())
        .takes_page()
        .answers(200, "A page of orders; it ends sooner where they are long, at 4 MiB.", page(reference("Order")))
        .example(
            Example::of("confirmed")
                .with("status", "confirmed")
                .gets(200, json!({"items": [confirmed()], "next": null})),
        )
}

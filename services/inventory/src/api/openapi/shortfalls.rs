//! What is said of the requests about promises that are owed pieces.

use serde_json::{Value, json};
use web::schema::{
    any_text, count, document, form, list, may, meaning, moment, must, name, page, reference, sku, text, word,
};
use web::{Example, Operation};

use super::{LAMPS_FROM, available_from, missing, owed, preordered};
use crate::api::LONGEST_TITLE;
use crate::api::problem::{NOT_AVAILABLE, NOT_OWED};

/// The schema of a promise that is owed pieces.
pub(super) fn schema() -> (&'static str, Value) {
    let elsewhere = document([must("warehouse", name()), must("available", count())]);
    let of = [
        must("sku", sku()),
        must("warehouse", meaning("Where it is owed.", name())),
        must("owed", owed()),
        must("missing", missing()),
        must("reservation", name()),
        must("owner", meaning("Whose reservation it is.", any_text())),
        may("order", meaning("The order that it belongs to.", name())),
        must("status", word(&["reserved", "committed", "expired"])),
        may("expires_at", meaning("When it lapses, where it is no firm promise.", moment())),
        may("available_from", available_from()),
        must("elsewhere", meaning("Other warehouses that have some.", list(elsewhere))),
    ];
    ("Shortfall", document(of))
}

pub(in crate::api) fn shortfalls() -> Operation {
    let about = "`open` are promises that a stock-take took pieces from, and that wait for somebody to decide; `waiting` are \
                 those that wait for goods: promised without stock, or decided so. By SKU and warehouse, in the order in \
                 which goods that come in serve them.";
    let state = meaning("Which of them; `open` unless it is said.", word(&["open", "waiting"]));
    let lamps = json!({
        "sku": "LAMP-1", "warehouse": "main", "owed": 2, "missing": 0, "reservation": "preorder-1", "owner": "local",
        "status": "reserved", "expires_at": "2026-05-04T09:45:00.000000Z", "available_from": LAMPS_FROM, "elsewhere": [],
    });
    Operation::new("list_shortfalls", "Promises that are owed pieces", about)
        .takes_query("state", "Which of them.", state)
        .takes_page()
        .answers(200, "A page of them.", page(reference("Shortfall")))
        .example(Example::of("waiting").with("state", "waiting").gets(200, json!({"items": [lamps], "next": null})))
}

pub(in crate::api) fn resolve() -> Operation {
    let about = "`release` gives the whole reservation up, `move` takes what it is owed from another warehouse that has it, \
                 `wait` leaves it until goods come in. A confirmed order whose promise is released needs a person, or its \
                 money is given back, as the setting `orders.on_lost_stock` says.";
    let decision = [
        must("reservation", name()),
        may("owner", meaning("Whose reservation it is; the caller's unless it is said.", text(1..=LONGEST_TITLE))),
        must("sku", sku()),
        must("warehouse", meaning("Where it is owed.", name())),
        must("how", meaning("What becomes of it.", word(&["release", "move", "wait"]))),
        may("to", meaning("With `move`: the warehouse from which the pieces come.", name())),
        must("reason", meaning("Why; it is kept in the journal.", text(1..=LONGEST_TITLE))),
    ];
    let sent = json!({
        "reservation": "preorder-1", "sku": "LAMP-1", "warehouse": "main", "how": "wait", "reason": "they come in March",
    });
    Operation::new("resolve_shortfall", "Decides what becomes of a promise", about)
        .takes(form(decision))
        .takes_key()
        .answers(200, "The reservation as it is now.", reference("Reservation"))
        .refuses([&NOT_OWED, &NOT_AVAILABLE])
        .example(Example::of("wait").sends(sent).gets(200, preordered()))
}

//! What is said of the requests about reservations.

use serde_json::{Value, json};
use web::schema::{form, integer, list_of, may, meaning, must, name, reference, sku, word};
use web::{DIFFERENT_CONTENT, Example, Operation};

use super::{allocation_rule, backorder, market, pieces, preordered, split};
use crate::api::problem::{
    ALREADY_COMMITTED, ALREADY_RELEASED, BELONGS_TO_ORDER, DISCONTINUED, GOODS_MISSING, NOT_COMMITTED, OUT_OF_STOCK,
    RESERVATION_EXPIRED, RESERVATION_TOO_LARGE, UNKNOWN_RESERVATION,
};
use crate::api::{LONGEST_HOLD_SECS, MOST_LINES};

pub(in crate::api) fn reserve() -> Operation {
    let about = "Every line or none. Lines of one SKU are one wish. The hold lapses by itself at `expires_at`. All lines \
                 together are at most what an event of 256 KiB can name: 1,000 of the longest SKUs in ASCII, fewer of \
                 longer ones.";
    let line = form([
        must("sku", sku()),
        must("quantity", pieces()),
        may("warehouse", meaning("Only from this warehouse.", name())),
    ]);
    let hold_secs = meaning("How long it is held, in seconds.", integer(1..=LONGEST_HOLD_SECS));
    let sent = json!({"lines": [{"sku": "TEA-250", "quantity": 2}], "hold_secs": 900});
    let example = |name, id: &'static str| {
        Example::of(name).with("id", id).sends(sent.clone()).gets(201, reserved(id, "reserved"))
    };
    let too_much = json!({
        "type": "/problems/out-of-stock", "code": "out-of-stock", "title": OUT_OF_STOCK.title, "status": 409,
        "detail": OUT_OF_STOCK.help, "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "short": [{"sku": "TEA-250", "wanted": 1000, "available": 95}],
    });
    Operation::new("reserve", "Holds stock for a while", about)
        .takes_segment("id", "The reservation's name.", name())
        .takes(form([
            must("lines", list_of(1..=MOST_LINES, line)),
            may("hold_secs", hold_secs),
            may("replaces", meaning("The reservation that is let go if this one can be had.", name())),
            may("allocation", allocation_rule()),
            may("split", split()),
            may("market", market()),
            may("backorder", backorder()),
        ]))
        .answers(201, "All of it is held.", reference("Reservation"))
        .answers(200, "The reservation as it is now.", reference("Reservation"))
        .refuses([
            &DIFFERENT_CONTENT,
            &OUT_OF_STOCK,
            &DISCONTINUED,
            &RESERVATION_TOO_LARGE,
            &ALREADY_RELEASED,
            &ALREADY_COMMITTED,
            &BELONGS_TO_ORDER,
        ])
        .example(example("basket", "basket-1"))
        .example(
            Example::of("too_much")
                .with("id", "basket-2")
                .sends(json!({"lines": [{"sku": "TEA-250", "quantity": 1000}]}))
                .gets(409, too_much),
        )
        .example(example("another", "basket-3"))
        .example(
            Example::of("preorder")
                .with("id", "preorder-1")
                .sends(json!({"lines": [{"sku": "LAMP-1", "quantity": 2, "warehouse": "main"}], "hold_secs": 900}))
                .gets(201, preordered()),
        )
}

/// A reservation of the examples.
pub(super) fn reserved(id: &str, status: &str) -> Value {
    let line = json!({"sku": "TEA-250", "quantity": 2, "allocations": [{"warehouse": "main", "quantity": 2}]});
    json!({"id": id, "status": status, "expires_at": "2026-05-04T09:45:00.000000Z", "lines": [line]})
}

/// An operation on a reservation by its name.
fn on_reservation(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary, about).takes_segment("id", "The reservation's name.", name()).answers(
        200,
        "The reservation as it is now.",
        reference("Reservation"),
    )
}

fn shown(name: &'static str, id: &'static str, status: &str) -> Example {
    Example::of(name).with("id", id).gets(200, reserved(id, status))
}

pub(in crate::api) fn reservation() -> Operation {
    on_reservation("get_reservation", "A reservation", "As it is now.")
        .takes_if_none_match()
        .refuses([&UNKNOWN_RESERVATION])
        .example(shown("basket", "basket-1", "reserved"))
}

pub(in crate::api) fn extend() -> Operation {
    let hold_secs = meaning("How long it is held from now on, in seconds.", integer(1..=LONGEST_HOLD_SECS));
    on_reservation("extend_reservation", "Holds it longer", "A hold is never made shorter.")
        .takes(form([must("hold_secs", hold_secs)]))
        .takes_key()
        .refuses([&UNKNOWN_RESERVATION, &BELONGS_TO_ORDER, &RESERVATION_EXPIRED, &ALREADY_COMMITTED, &ALREADY_RELEASED])
        .refuses([&OUT_OF_STOCK, &DISCONTINUED, &RESERVATION_TOO_LARGE])
        .example(shown("basket", "basket-1", "reserved").sends(json!({"hold_secs": 1800})))
}

pub(in crate::api) fn commit() -> Operation {
    let about = "With the setting `ship_on_commit` the goods leave the shelf at once. A hold that has lapsed is refused, or \
                 with `retake` taken anew if all of it is still there.";
    let if_expired =
        meaning("What to do with a hold that has lapsed; `refuse` unless it is said.", word(&["refuse", "retake"]));
    on_reservation("commit_reservation", "Makes the promise firm", about)
        .takes_if_given(form([may("if_expired", if_expired)]))
        .takes_key()
        .refuses([
            &UNKNOWN_RESERVATION,
            &RESERVATION_EXPIRED,
            &ALREADY_RELEASED,
            &OUT_OF_STOCK,
            &DISCONTINUED,
            &RESERVATION_TOO_LARGE,
            &BELONGS_TO_ORDER,
        ])
        .example(shown("basket", "basket-1", "committed"))
}

pub(in crate::api) fn ship() -> Operation {
    on_reservation("ship_reservation", "The goods leave the shelf", "Only what is committed is shipped.")
        .takes_key()
        .refuses([
            &UNKNOWN_RESERVATION,
            &RESERVATION_EXPIRED,
            &ALREADY_RELEASED,
            &OUT_OF_STOCK,
            &DISCONTINUED,
            &RESERVATION_TOO_LARGE,
        ])
        .refuses([&NOT_COMMITTED, &GOODS_MISSING])
        .example(shown("basket", "basket-1", "shipped"))
}

pub(in crate::api) fn release() -> Operation {
    let about = "The name stays released, also where it was never seen: a reserve that arrives late is refused.";
    on_reservation("release_reservation", "Gives the stock back", about)
        .takes_key()
        .refuses([&ALREADY_COMMITTED, &BELONGS_TO_ORDER])
        .example(shown("another", "basket-3", "released"))
}

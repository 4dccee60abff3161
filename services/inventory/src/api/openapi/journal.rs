//! What is said of requests about the journal.

use serde_json::{Value, json};
use web::schema::{any_text, document, list, may, meaning, moment, must, name, page, reference, sku, text, word};
use web::{Example, Operation};

/// The schemas of this module.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let effect = document([
        must("sku", sku()),
        must("warehouse", name()),
        must("on_hand", meaning("Pieces that came onto the shelf; below 0, that left it.", any_integer())),
        must("held", meaning("Pieces that holds were promised more, or fewer; covered or owed.", any_integer())),
        must("firm", meaning("Pieces that are firmly promised more, or fewer; covered or owed.", any_integer())),
        must("owed", meaning("Pieces that are promised and not on the shelf more, or fewer.", any_integer())),
        must("in_transit", meaning("Pieces that set out to this warehouse, or arrived.", any_integer())),
        may("level", meaning("The level after it, where the entry says it.", reference("Level"))),
    ]);
    let entry = document([
        must("event", meaning("The name of the event that says it.", any_text())),
        must("type", meaning("Such as `StockCounted`.", any_text())),
        must("occurred_at", moment()),
        must("recorded_at", meaning("When it was committed.", moment())),
        must("actor", meaning("Who did it.", any_text())),
        must("owner", meaning("Whose names the names in it are.", any_text())),
        must("cause", meaning("The request or event that caused it.", any_text())),
        must("correlation", meaning("The request or story that it belongs to.", any_text())),
        must("origin", meaning("Where it came from.", word(&["native", "import", "legacy"]))),
        may("movement", name()),
        may("reservation", name()),
        may("order", name()),
        may("reference", any_text()),
        may("reason", any_text()),
        must("effects", meaning("What it did to the levels that are asked for.", list(effect))),
    ]);
    vec![("JournalEntry", entry)]
}

fn any_integer() -> Value {
    json!({"type": "integer"})
}

pub(in crate::api) fn entries() -> Operation {
    let about = "Everything that changed stock, in the order in which it was committed: movements, holds and what became of \
                 them. All that is said of an entry has to fit. One request looks at so many entries and no more, so a page \
                 may be shorter than its limit, even empty, and yet not be the last: go on from `next` until there is none.";
    let reference_or_name = "A reference, or the name of a movement, a reservation or an order.";
    let level = json!({
        "on_hand": 100, "reserved": 0, "committed": 0, "owed": 0, "in_transit": 0, "available": 100,
    });
    let effect = json!({
        "sku": "TEA-250", "warehouse": "main", "on_hand": 100, "held": 0, "firm": 0, "owed": 0, "in_transit": 0, "level": level,
    });
    let received = json!({
        "event": "inventory-226423123968000001-1", "type": "SupplierShipmentReceived",
        "occurred_at": "2026-05-04T09:00:00.000000Z", "recorded_at": "2026-05-04T09:00:00.000000Z",
        "actor": "local", "owner": "local", "cause": "4bf92f3577b34da6a3ce929d0e0e4736",
        "correlation": "4bf92f3577b34da6a3ce929d0e0e4736", "origin": "native", "movement": "delivery-1",
        "reference": "delivery note 4711", "effects": [effect],
    });
    Operation::new("list_stock_journal", "What changed stock", about)
        .takes_query("sku", "Only what changed this SKU.", sku())
        .takes_query("warehouse", "Only what changed stock in this warehouse.", name())
        .takes_query("from", "Only what was recorded then or later.", moment())
        .takes_query("to", "Only what was recorded before that.", moment())
        .takes_query("reference", reference_or_name, text(1..=200))
        .takes_query("actor", "Who did it: `local`, `system`, or as `client:shop`.", any_text())
        .takes_page()
        .answers(200, "A page of entries.", page(reference("JournalEntry")))
        .example(
            Example::of("tea")
                .with("sku", "TEA-250")
                .with("limit", 1)
                .gets(200, json!({"items": [received], "next": "ATE"})),
        )
}

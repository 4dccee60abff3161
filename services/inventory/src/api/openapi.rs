//! What is said of inventory's requests: each handler of `api` has its description here, under its name.

mod availability;
mod journal;
mod reservations;
mod restock;
mod shortfalls;
mod warehouses;

use serde_json::{Value, json};
use web::schema::{
    any_of, any_text, count, document, flag, form, integer, list, list_of, may, meaning, moment, must, name, reference,
    sku, text, word,
};
use web::{DIFFERENT_CONTENT, Example, INVALID_REQUEST, Operation};

pub(super) use self::availability::{changes, snapshot};
pub(super) use self::journal::entries;
use self::reservations::reserved;
pub(super) use self::reservations::{commit, extend, release, reservation, reserve, ship};
pub(super) use self::restock::{needs, restock, set_restock};
pub(super) use self::shortfalls::{resolve, shortfalls};
pub(super) use self::warehouses::{set_warehouse, warehouse, warehouses};
use super::bulk::LONGEST_NAME;
use super::problem::{MORE_THAN_SENT, NOT_AVAILABLE, NOT_IN_TRANSIT, TOO_MANY, UNKNOWN_MOVEMENT, UNKNOWN_SKU};
use super::{MOST_PIECES, MOST_SKUS};
use crate::domain::Signal;

/// The schemas that several operations share.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let on_hand = meaning("Pieces on the shelf.", count());
    let reserved = meaning("Pieces on the shelf that holds keep.", count());
    let committed = meaning("Pieces on the shelf that are firmly promised.", count());
    let in_transit = meaning("Pieces on their way here from another warehouse; nobody is promised them.", count());
    let available = meaning(
        "on_hand − reserved − committed: what can be promised; nothing as long as pieces are owed, or where the warehouse \
         is not active.",
        count(),
    );
    let level = [
        must("on_hand", on_hand),
        must("reserved", reserved),
        must("committed", committed),
        must("owed", owed()),
        must("in_transit", in_transit),
        must("available", available),
    ];
    let active = meaning("Whether anything is newly promised from it.", flag());
    let in_warehouse = document([must("warehouse", name()), may("active", active)].into_iter().chain(level.clone()));
    let stock = [
        must("sku", sku()),
        must("discontinued", discontinued()),
        must(
            "signal",
            meaning("How much can be promised, in a word; the settings say from where on.", word(&Signal::WORDS)),
        ),
        may("backorder_limit", backorder_limit()),
        may("backorder_left", meaning("Pieces that may still be promised without stock.", count())),
        may("available_from", available_from()),
        must("warehouses", list(reference("StockInWarehouse"))),
    ];
    let unknown = document([must("sku", sku()), must("unknown", json!({"const": true}))]);
    let [restock, need] = restock::schemas();
    let own = vec![
        restock,
        need,
        ("Level", document(level.clone())),
        ("StockInWarehouse", in_warehouse),
        ("Stock", document(stock.into_iter().chain(level))),
        ("StockOrUnknown", any_of([reference("Stock"), unknown])),
        ("StockList", document([must("items", list(reference("StockOrUnknown")))])),
        ("Movement", movement()),
        ("SkuSettings", document([must("sku", sku())].into_iter().chain(offer()))),
        shortfalls::schema(),
        ("Warehouse", warehouses::schema()),
        ("Reservation", reservation_schema()),
    ];
    own.into_iter().chain(journal::schemas()).collect()
}

fn reservation_schema() -> Value {
    let allocation = document([
        must("warehouse", name()),
        must("quantity", pieces()),
        may("owed", owed()),
        may("missing", missing()),
    ]);
    let line = [
        must("sku", sku()),
        must("quantity", count()),
        must("allocations", list(allocation)),
        may("available_from", available_from()),
    ];
    let could_have = "Pieces that could have been had, with those that may be promised without stock.";
    let short = [
        must("sku", sku()),
        must("wanted", count()),
        must("available", meaning(could_have, count())),
        may("in_transit", meaning("Pieces on their way from another warehouse.", count())),
        may("available_from", available_from()),
    ];
    let statuses = ["reserved", "committed", "shipped", "released", "expired", "refused", "returned"];
    document([
        must("id", name()),
        must("status", word(&statuses)),
        must("expires_at", moment()),
        must("lines", list(document(line))),
        may("short", meaning("What there was too little of, where it was refused.", list(document(short)))),
        may("order", meaning("The order that it belongs to.", name())),
        may("allocation", allocation_rule()),
        may("split", split()),
        may("market", market()),
        may("backorder", backorder()),
    ])
}

fn discontinued() -> Value {
    meaning("Whether it is sold no more.", flag())
}

fn backorder_limit() -> Value {
    meaning(
        "Pieces that may be owed in all warehouses together when something is newly promised; 0 unless it is said.",
        integer(0..=1_000 * MOST_PIECES),
    )
}

fn available_from() -> Value {
    meaning("When goods are expected.", moment())
}

fn owed() -> Value {
    meaning("Pieces that are promised and not on the shelf: sold without stock, or not found by a stock-take.", count())
}

fn missing() -> Value {
    meaning("Those of what is owed that a stock-take has not found, until somebody decides about them.", count())
}

fn backorder() -> Value {
    meaning(
        "Whether pieces may be promised that are not there, as far as their SKU allows it; yes unless it is said.",
        flag(),
    )
}

/// What is said of a SKU.
fn offer() -> [web::schema::Member; 4] {
    let low_upto = "Up to how many pieces there are `low`; what the setting `low_upto` says unless it is said here.";
    [
        must("discontinued", discontinued()),
        may("backorder_limit", backorder_limit()),
        may("available_from", available_from()),
        may("low_upto", meaning(low_upto, integer(0..=1_000 * MOST_PIECES))),
    ]
}

/// When the lamps of the examples come in.
const LAMPS_FROM: &str = "2036-03-01T00:00:00.000000Z";

/// A reservation of lamps that are not there yet.
fn preordered() -> Value {
    let mut reservation = reserved("preorder-1", "reserved");
    reservation["lines"] = json!([{
        "sku": "LAMP-1", "quantity": 2, "allocations": [{"warehouse": "main", "quantity": 2, "owed": 2}],
        "available_from": LAMPS_FROM,
    }]);
    reservation
}

fn allocation_rule() -> Value {
    let text = "By which rule the warehouses are chosen: `priority` empties them in their order, `fewest_parcels` takes \
                few that have all of it; as the setting `allocation` says unless it is said.";
    meaning(text, word(&["priority", "fewest_parcels"]))
}

fn split() -> Value {
    meaning(
        "Whether a line may come from several warehouses; as the setting `allow_split` says unless it is said.",
        flag(),
    )
}

fn market() -> Value {
    meaning("The market that it is for: only warehouses serve it that serve this market.", name())
}

fn pieces() -> Value {
    integer(1..=MOST_PIECES)
}

fn counted() -> Value {
    integer(0..=1_000 * MOST_PIECES)
}

/// A movement as it is answered; what it has beside its type follows from that.
fn movement() -> Value {
    document([
        must("id", name()),
        must("type", word(&["receive", "count", "adjust", "transfer"])),
        must("sku", sku()),
        may("warehouse", meaning("Of all but a transfer.", name())),
        may("from", meaning("The warehouse that the goods of a transfer leave.", name())),
        may("to", meaning("The warehouse that they go to.", name())),
        may("quantity", integer(-MOST_PIECES..=MOST_PIECES)),
        may("counted", counted()),
        may("reference", text(1..=200)),
        may("reason", text(1..=200)),
        may("in_transit", meaning("Whether they travel until they arrive.", flag())),
        may("status", meaning("Where the goods of a transfer are.", word(&["in_transit", "arrived"]))),
        may("arrived", meaning("Pieces that arrived.", count())),
        may("lost", meaning("Pieces that did not.", count())),
        may("level", meaning("The level after it, of all but a transfer.", reference("Level"))),
        may("levels", meaning("Each level that a transfer changed last.", list(reference("StockInWarehouse")))),
    ])
}

/// A movement as it is sent: four forms, told apart by their type.
fn movement_form() -> Value {
    let of_type = |kind: &str, more: Vec<_>| {
        let all = [must("type", json!({"const": kind})), must("sku", sku()), must("warehouse", name())];
        form(all.into_iter().chain(more))
    };
    let adjustment = json!({"type": "integer", "minimum": -MOST_PIECES, "maximum": MOST_PIECES, "not": {"const": 0}});
    any_of([
        of_type("receive", vec![must("quantity", pieces()), may("reference", text(1..=200))]),
        of_type(
            "count",
            vec![must("counted", counted()), may("reason", text(1..=200)), may("reference", text(1..=200))],
        ),
        of_type("adjust", vec![must("quantity", adjustment), must("reason", text(1..=200))]),
        form([
            must("type", json!({"const": "transfer"})),
            must("sku", sku()),
            must("from", name()),
            must("to", meaning("Another warehouse.", name())),
            must("quantity", pieces()),
            may("in_transit", meaning("Whether the goods travel until they arrive.", flag())),
        ]),
    ])
}

pub(super) fn move_stock() -> Operation {
    let about = "`receive` takes goods in. `count` is a stock-take and always accepted: where it finds less than is \
                 promised, the rest is `owed`. `adjust` corrects, and cannot take what is promised. Neither can `transfer`, which takes goods to \
                 another warehouse: at once, or with `in_transit` until they arrive.";
    let receive = json!({
        "type": "receive", "sku": "TEA-250", "warehouse": "main", "quantity": 100, "reference": "delivery note 4711",
    });
    let count = json!({"type": "count", "sku": "TEA-250", "warehouse": "main", "counted": 98});
    let adjust =
        json!({"type": "adjust", "sku": "TEA-250", "warehouse": "main", "quantity": -1, "reason": "a torn bag"});
    let answer = |id: &str, sent: &Value, on_hand: i64| {
        let mut answer = sent.clone();
        (answer["id"], answer["level"]) = (id.into(), shown_level(on_hand, 0));
        answer
    };
    let example = |name, id: &'static str, sent: &Value, on_hand| {
        Example::of(name).with("id", id).sends(sent.clone()).gets(201, answer(id, sent, on_hand))
    };
    let mugs = json!({"type": "receive", "sku": "MUG-350", "warehouse": "main", "quantity": 10});
    Operation::new("move_stock", "Takes goods in, counts, corrects or moves them", about)
        .takes_segment("id", "The movement's name.", name())
        .takes(movement_form())
        .answers(201, "The movement, and the level after it.", reference("Movement"))
        .answers(200, "The same movement was made before.", reference("Movement"))
        .refuses([&DIFFERENT_CONTENT, &NOT_AVAILABLE, &TOO_MANY])
        .example(example("receive", "delivery-1", &receive, 100))
        .example(example("count", "stock-take-1", &count, 98))
        .example(example("adjust", "correction-1", &adjust, 97))
        .example(example("mugs", "delivery-2", &mugs, 10))
        .example(
            Example::of("transfer")
                .with("id", "transfer-1")
                .sends(transfer(4))
                .gets(201, transferred("transfer-1", 4, "arrived", &[("main", 6, 0), ("north", 4, 0)])),
        )
        .example(Example::of("lorry").with("id", "transfer-2").sends(travelling(3)).gets(201, lorry()))
}

fn shown_level(on_hand: i64, in_transit: i64) -> Value {
    json!({
        "on_hand": on_hand, "reserved": 0, "committed": 0, "owed": 0, "in_transit": in_transit, "available": on_hand,
    })
}

fn transfer(quantity: i64) -> Value {
    json!({"type": "transfer", "sku": "MUG-350", "from": "main", "to": "north", "quantity": quantity})
}

fn travelling(quantity: i64) -> Value {
    let mut transfer = transfer(quantity);
    transfer["in_transit"] = true.into();
    transfer
}

/// A transfer of the examples, with what is on hand and on its way where it changed something.
fn transferred(id: &str, quantity: i64, status: &str, levels: &[(&str, i64, i64)]) -> Value {
    let levels = levels.iter().map(|(warehouse, on_hand, in_transit)| {
        let mut level = shown_level(*on_hand, *in_transit);
        level["warehouse"] = (*warehouse).into();
        level
    });
    let mut transfer = transfer(quantity);
    (transfer["id"], transfer["status"]) = (id.into(), status.into());
    transfer["levels"] = levels.collect();
    transfer
}

/// The transfer that is on its way.
fn lorry() -> Value {
    let mut lorry = transferred("transfer-2", 3, "in_transit", &[("main", 3, 0), ("north", 4, 3)]);
    lorry["in_transit"] = true.into();
    lorry
}

pub(super) fn arrive() -> Operation {
    let about = "Goods that were sent with `in_transit` are there. What is less than was sent is lost.";
    let quantity = meaning("Pieces that arrived; all of them unless it is said.", integer(0..=MOST_PIECES));
    let mut there = transferred("transfer-2", 3, "arrived", &[("north", 6, 0)]);
    (there["in_transit"], there["arrived"], there["lost"]) = (true.into(), 2.into(), 1.into());
    Operation::new("arrive_stock", "Goods on their way have arrived", about)
        .takes_segment("id", "The name of the movement that sent them.", name())
        .takes_if_given(form([may("quantity", quantity)]))
        .takes_key()
        .answers(200, "The movement as it is now.", reference("Movement"))
        .refuses([&UNKNOWN_MOVEMENT, &NOT_IN_TRANSIT, &NOT_AVAILABLE, &MORE_THAN_SENT, &DIFFERENT_CONTENT])
        .example(Example::of("lorry").with("id", "transfer-2").sends(json!({"quantity": 2})).gets(200, there))
}

pub(super) fn level() -> Operation {
    let about = "In all, and by warehouse. With `at` as it was then, by what the journal tells since; before a SKU first came \
                 in there was nothing of it.";
    let operation = Operation::new("get_stock", "Stock of one SKU", about);
    of_one_sku(operation.takes_segment("sku", "The SKU, percent-encoded.", sku()))
        .example(Example::of("tea").with("sku", "TEA-250").gets(200, tea()))
}

pub(super) fn level_of_query() -> Operation {
    let about = "As of every SKU: this path is also that of longer questions.";
    let unknown = json!({
        "type": "/problems/unknown-sku", "code": "unknown-sku", "title": UNKNOWN_SKU.title, "status": 404,
        "detail": UNKNOWN_SKU.help, "trace_id": "0af7651916cd43dd8448eb211c80319c",
    });
    of_one_sku(Operation::new("get_stock_of_query", "Stock of the SKU `query`", about))
        .example(Example::of("none").gets(404, unknown))
}

/// The operation, which answers with the stock of a SKU.
fn of_one_sku(operation: Operation) -> Operation {
    operation
        .takes_query("at", "A time that is past.", moment())
        .takes_if_none_match()
        .answers(200, "Its stock.", reference("Stock"))
        .refuses([&UNKNOWN_SKU])
}

/// The stock of tea once the movements of the examples are made.
fn tea() -> Value {
    let level = shown_level(97, 0);
    let (mut stock, mut in_main) = (level.clone(), level);
    (in_main["warehouse"], in_main["active"]) = ("main".into(), true.into());
    (stock["sku"], stock["discontinued"], stock["signal"]) = ("TEA-250".into(), false.into(), "in_stock".into());
    stock["warehouses"] = json!([in_main]);
    stock
}

fn tea_and_none() -> Value {
    json!({"items": [tea(), {"sku": "NONE", "unknown": true}]})
}

pub(super) fn levels() -> Operation {
    Operation::new("list_stock", "Stock of several SKUs", "In the order asked; an unknown SKU stands there as such.")
        .needs_query("sku", "Each SKU, as `?sku=…&sku=…`.", list_of(1..=MOST_SKUS, sku()))
        .takes_if_none_match()
        .answers(200, "Their stock.", reference("StockList"))
        .example(Example::of("tea").with("sku", json!(["TEA-250", "NONE"])).gets(200, tea_and_none()))
}

pub(super) fn query_levels() -> Operation {
    Operation::new("query_stock", "Stock of many SKUs", "As `GET /v1/stock`, for lists that are too long for a path.")
        .takes(form([must("skus", list_of(1..=MOST_SKUS, sku()))]))
        .answers(200, "Their stock.", reference("StockList"))
        .example(Example::of("tea").sends(json!({"skus": ["TEA-250", "NONE"]})).gets(200, tea_and_none()))
}

/// An operation on what holds for a SKU in every warehouse.
fn on_sku(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    let shown = json!({"sku": "MUG-350", "discontinued": true, "backorder_limit": 0});
    Operation::new(id, summary, about)
        .takes_segment("sku", "The SKU, percent-encoded.", sku())
        .answers(200, "What holds for it, with its `ETag`.", reference("SkuSettings"))
        .example(Example::of("mugs").with("sku", "MUG-350").gets(200, shown))
}

pub(super) fn sku_settings() -> Operation {
    on_sku("get_sku", "What holds for a SKU", "In every warehouse. Of one that nobody spoke of, what is usual.")
        .takes_if_none_match()
}

pub(super) fn set_sku() -> Operation {
    let about = "All of it anew. Of a discontinued SKU nothing is newly promised; what is promised stays so. Up to \
                 `backorder_limit` pieces are promised without stock: they are `owed` in one warehouse, and goods that come in \
                 there serve them in the order in which they were promised. A SKU that never lay anywhere needs a warehouse \
                 of which something was said, or a line that names one.";
    let lamps = json!({"discontinued": false, "backorder_limit": 50, "available_from": LAMPS_FROM, "low_upto": 20});
    let mut lamps_shown = lamps.clone();
    lamps_shown["sku"] = "LAMP-1".into();
    let mut operation = on_sku("set_sku", "Says how a SKU is sold", about).takes_if_match().takes(form(offer()));
    operation.examples =
        operation.examples.into_iter().map(|example| example.sends(json!({"discontinued": true}))).collect();
    operation.example(Example::of("lamps").with("sku", "LAMP-1").sends(lamps).gets(200, lamps_shown))
}

pub(super) fn import() -> Operation {
    let about = "Each row is a stock-take. The table streams in, and what is wrong with which row streams out, a line of \
                 JSON each; the last says what came of it. Sent again under the same name it goes on where it was, and \
                 counts nothing twice.";
    let column = |text| meaning(text, any_text());
    let import = meaning("The import's name.", json!({"allOf": [name(), {"maxLength": LONGEST_NAME}]}));
    Operation::new("import_stock", "Counts stock from a table", about)
        .takes_segment("name", "The import's name.", import)
        .takes_query("sku", "The column of the SKU; `sku` unless it is said.", column("A column."))
        .takes_query("warehouse", "The column of the warehouse; `warehouse` unless it is said.", column("A column."))
        .takes_query("counted", "The column of the pieces; `counted` unless it is said.", column("A column."))
        .takes_query("external_id", "The column of the caller's reference.", column("A column."))
        .takes_query("in", "The one warehouse of the table, where no column says it.", name())
        .takes_query("dry_run", "Only looks what is wrong.", flag())
        .takes_as("text/csv", meaning("The first row names the columns.", any_text()))
        .takes_as("application/x-ndjson", meaning("A document of JSON a line.", any_text()))
        .answers_as("application/x-ndjson", 200, "What is said of the import, a line each.", any_text())
        .example(
            Example::of("table")
                .with("name", "move-in")
                .with("in", "annex")
                .sends("sku,counted\nCUP-1,40\nPOT-1,12\n".into())
                .gets_status(200),
        )
}

pub(super) fn export() -> Operation {
    let about = "In the order of their SKUs. It streams, and can be imported again.";
    Operation::new("export_stock", "All stock as a table", about)
        .answers_as("text/csv", 200, "The levels.", any_text())
        .answers_as("application/x-ndjson", 200, "", any_text())
        .refuses([&INVALID_REQUEST])
        .example(Example::of("all").gets_status(200))
}

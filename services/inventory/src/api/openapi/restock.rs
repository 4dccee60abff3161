//! What is said of the requests about when more is wanted.

use serde_json::{Value, json};
use web::schema::{
    count, document, flag, form, integer, list, list_of, may, meaning, must, name, page, reference, sku,
};
use web::{Example, Operation};

use crate::api::{MOST_PIECES, MOST_POINTS};

/// The schemas of when more is wanted: of a SKU, and what is needed of one in a warehouse.
pub(super) fn schemas() -> [(&'static str, Value); 2] {
    let [threshold, target] = members();
    let point = [
        must("warehouse", name()),
        must("threshold", threshold),
        must("target", target),
        must("needed", meaning("Whether there is less than the threshold.", flag())),
        may("quantity", meaning("Pieces that would reach the target, where more is needed.", count())),
    ];
    let points = list(document(point.clone()));
    [
        ("Restock", document([must("sku", sku()), must("points", points)])),
        ("RestockNeed", document([must("sku", sku())].into_iter().chain(point))),
    ]
}

fn members() -> [Value; 2] {
    [
        meaning("Below so many pieces more is wanted.", integer(1..=MOST_PIECES)),
        meaning("So many pieces there should be then; no less than the threshold.", integer(1..=MOST_PIECES)),
    ]
}

fn on_sku(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary, about).takes_segment("sku", "The SKU, percent-encoded.", sku()).answers(
        200,
        "Where and when more is wanted, and whether it is.",
        reference("Restock"),
    )
}

fn point() -> Value {
    json!({"warehouse": "annex", "threshold": 50, "target": 100, "needed": true, "quantity": 60})
}

fn cups() -> Example {
    Example::of("cups").with("sku", "CUP-1").gets(200, json!({"sku": "CUP-1", "points": [point()]}))
}

pub(in crate::api) fn restock() -> Operation {
    on_sku("get_restock", "When more of a SKU is wanted", "Never, where nobody said it.").example(cups())
}

pub(in crate::api) fn set_restock() -> Operation {
    let about = "For each warehouse in which somebody wants to know; all of it anew. When what can be promised there, with \
                 what is on its way and less what is owed, falls below `threshold`, `RestockNeeded` says once how many \
                 pieces reach `target`, and `StockReplenished` when the threshold is reached again.";
    let [threshold, target] = members();
    let point = form([must("warehouse", name()), must("threshold", threshold), must("target", target)]);
    let sent = json!({"points": [{"warehouse": "annex", "threshold": 50, "target": 100}]});
    on_sku("set_restock", "Says when more of a SKU is wanted", about)
        .takes(form([must("points", list_of(0..=MOST_POINTS, point))]))
        .example(cups().sends(sent))
}

pub(in crate::api) fn needs() -> Operation {
    let mut need = point();
    need["sku"] = "CUP-1".into();
    Operation::new(
        "list_restock_needs",
        "What runs low",
        "Where there is less than the threshold, by SKU and warehouse.",
    )
    .takes_page()
    .answers(200, "A page of what is needed.", page(reference("RestockNeed")))
    .example(Example::of("cups").gets(200, json!({"items": [need], "next": null})))
}

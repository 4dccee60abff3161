//! What is said of the requests about warehouses.

use serde_json::{Value, json};
use web::schema::{document, flag, form, integer, list_of, may, meaning, must, name, page, reference, text};
use web::{Example, Operation};

use crate::api::{HIGHEST_PRIORITY, LONGEST_TITLE, MOST_MARKETS};

/// A warehouse as it is shown.
pub(super) fn schema() -> Value {
    let [title, priority, markets, active] = members();
    document([
        must("id", name()),
        may("name", title),
        may("priority", priority),
        must("markets", markets),
        must("active", active),
    ])
}

fn members() -> [Value; 4] {
    let priority = integer(0..=HIGHEST_PRIORITY);
    [
        meaning("What people call it.", text(1..=LONGEST_TITLE)),
        meaning("Its place in the order in which warehouses are emptied, the lowest first.", priority),
        meaning("The markets that it serves; every market where there are none.", list_of(0..=MOST_MARKETS, name())),
        meaning("Whether anything is newly promised from it.", active()),
    ]
}

fn active() -> Value {
    flag()
}

/// An operation on what holds for a warehouse.
fn on_warehouse(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary, about).takes_segment("id", "The warehouse.", name()).answers(
        200,
        "What holds for it, with its `ETag`.",
        reference("Warehouse"),
    )
}

fn north() -> Value {
    json!({"id": "north", "name": "Aberdeen", "priority": 2, "markets": ["GB"], "active": true})
}

pub(in crate::api) fn warehouse() -> Operation {
    on_warehouse("get_warehouse", "What holds for a warehouse", "Of one that nobody spoke of, what is usual.")
        .takes_if_none_match()
        .example(Example::of("north").with("id", "north").gets(200, north()))
}

pub(in crate::api) fn warehouses() -> Operation {
    let about = "Those of which something was said, by name. Others are as is usual: they are active, serve every \
                 market, and come after those that have a priority.";
    Operation::new("list_warehouses", "Warehouses", about)
        .takes_page()
        .answers(200, "A page of warehouses.", page(reference("Warehouse")))
        .example(Example::of("all").gets(200, json!({"items": [north()], "next": null})))
}

pub(in crate::api) fn set_warehouse() -> Operation {
    let about = "All of it: what is left out is as is usual again. From a warehouse that is not active nothing is newly \
                 promised; what is promised from it stays so, and goods may come, be counted and leave.";
    let [title, priority, markets, active] = members();
    let mut sent = north();
    sent.as_object_mut().expect("an object").remove("id");
    on_warehouse("set_warehouse", "Says what holds for a warehouse", about)
        .takes_if_match()
        .takes(form([may("name", title), may("priority", priority), may("markets", markets), may("active", active)]))
        .example(Example::of("north").with("id", "north").sends(sent).gets(200, north()))
}

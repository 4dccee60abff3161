//! What is said of requests of those who keep a copy of stock.

use web::schema::{any_text, cursor, document, list, must, reference};
use web::{Example, Operation};

use host::{CURSOR_BEYOND_THE_END, CURSOR_OF_ANOTHER_LIFE};

use crate::api::problem::SNAPSHOT_AGAIN;

pub(in crate::api) fn changes() -> Operation {
    let about = "For a copy that is kept elsewhere: begin with the snapshot, then go on from its `next`. Each item is the \
                 stock of a SKU as it is now and takes the place of what the copy has. There is always a `next`: keep it \
                 with the items, and ask again with it. A page may be empty and yet not be the last; where `next` no longer \
                 changes, the copy is as it should be. `Prefer: wait=10` waits for something new. When something was said of a warehouse, a new snapshot is \
                 asked for: it may concern every SKU.";
    Operation::new("list_availability_changes", "Stock that has changed since", about)
        .takes_page()
        .takes_wait()
        .answers(
            200,
            "The SKUs that have changed, each once, with their stock. A few more than `limit` where one event changed them \
             together.",
            document([must("items", list(reference("Stock"))), must("next", cursor())]),
        )
        .refuses([&CURSOR_OF_ANOTHER_LIFE, &CURSOR_BEYOND_THE_END, &SNAPSHOT_AGAIN])
        .example(Example::of("first").with("limit", 1).gets_status(200))
}

pub(in crate::api) fn snapshot() -> Operation {
    let about = "A document of JSON a line: the stock of each SKU, in their order. The last line says that all of it was \
                 there: `{\"done\": {\"skus\": 2, \"next\": \"…\"}}`, with the place from which \
                 `GET /v1/availability?after=…` goes on. It streams while stock moves; what moves meanwhile comes again as \
                 a change.";
    Operation::new("get_availability_snapshot", "All stock, for a copy", about)
        .answers_as("application/x-ndjson", 200, "The stock, and the place from which to go on.", any_text())
        .example(Example::of("all").gets_status(200))
}

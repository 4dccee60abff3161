//! How inventory says no.

use web::{DIFFERENT_CONTENT, PRECONDITION_FAILED, Problem, ProblemKind};

use crate::domain::Rejection;

/// There is too little stock.
pub static OUT_OF_STOCK: ProblemKind = ProblemKind {
    code: "out-of-stock",
    status: 409,
    title: "Not enough stock",
    help: "There is less of something than is wanted, and nothing is held. `short` says of what, how much was \
           wanted and how much could have been had; and, where it is known, how much is on its way \
           from another warehouse (`in_transit`) and when more is expected (`available_from`). The name of a reserve stays refused: ask for less, or later, under a new \
           one. A commit that was to take a lapsed hold anew may be asked for again.",
};

/// A SKU that is sold no more.
pub static DISCONTINUED: ProblemKind = ProblemKind {
    code: "discontinued",
    status: 409,
    title: "Sold no more",
    help: "Some of what is wanted is sold no more, and nothing is held; `short` says which SKUs. What was promised of them \
           before stays promised. The name of a reserve stays refused: leave these SKUs out, under a new name. A commit that \
           was to take a lapsed hold anew may be asked for again, once they are sold again.",
};

/// More than an event can name.
pub static RESERVATION_TOO_LARGE: ProblemKind = ProblemKind {
    code: "reservation-too-large",
    status: 422,
    title: "More than one reservation can hold",
    help: "What is held together is told in one event of at most 256 KiB, which has to name every SKU and every \
           warehouse that the pieces come from. There is enough, but it lies in too many warehouses for that. Nothing is \
           held, and the name of a reserve stays refused: reserve fewer lines or pieces at once, under new names. A commit that \
           was to take a lapsed hold anew may be asked for again.",
};

/// A SKU that was never seen.
pub static UNKNOWN_SKU: ProblemKind = ProblemKind {
    code: "unknown-sku",
    status: 404,
    title: "Unknown SKU",
    help: "Inventory has never seen this SKU. Upper and lower case differ; stock comes in with a movement.",
};

/// A reservation that does not exist.
pub static UNKNOWN_RESERVATION: ProblemKind = ProblemKind {
    code: "unknown-reservation",
    status: 404,
    title: "Unknown reservation",
    help: "There is no reservation of this name. Reserve first; a name belongs to the key that chose it.",
};

/// A change of what an order holds.
pub static BELONGS_TO_ORDER: ProblemKind = ProblemKind {
    code: "belongs-to-order",
    status: 409,
    title: "The reservation belongs to an order",
    help: "An order made this reservation, and extends, commits and releases it by itself; nobody else does, for the order \
           would not know. To give its stock back, cancel the order (`POST /v1/orders/{id}/cancel`; `order` of the \
           reservation says which).",
};

/// A hold that has lapsed.
pub static RESERVATION_EXPIRED: ProblemKind = ProblemKind {
    code: "reservation-expired",
    status: 409,
    title: "The reservation has expired",
    help: "The hold has lapsed, and its stock may belong to somebody else. Reserve again under a new name, or commit \
           with `{\"if_expired\": \"retake\"}`: it takes the stock anew if all of it is still there.",
};

/// A reservation that is firm.
pub static ALREADY_COMMITTED: ProblemKind = ProblemKind {
    code: "already-committed",
    status: 409,
    title: "The reservation is committed",
    help: "The stock is firmly promised. It cannot be released, extended or replaced any more.",
};

/// A reservation that was given back.
pub static ALREADY_RELEASED: ProblemKind = ProblemKind {
    code: "already-released",
    status: 409,
    title: "The reservation was released",
    help: "The stock was given back, and this name stays released. Reserve again under a new one.",
};

/// Only what is committed is shipped.
pub static NOT_COMMITTED: ProblemKind = ProblemKind {
    code: "not-committed",
    status: 409,
    title: "The reservation is not committed",
    help: "Goods leave the shelf only once they are committed. Commit the reservation first.",
};

/// Promised goods that are not there.
pub static GOODS_MISSING: ProblemKind = ProblemKind {
    code: "goods-missing",
    status: 409,
    title: "The goods are not on the shelf",
    help: "Pieces of this reservation were promised without stock, or a stock-take has not found them; its lines say how \
           many are `owed` where. Ship it once goods have come in (`BackorderServed` says so), or decide what becomes of it \
           with `POST /v1/shortfalls/resolve`.",
};

/// A promise that is owed nothing.
pub static NOT_OWED: ProblemKind = ProblemKind {
    code: "not-owed",
    status: 409,
    title: "Nothing is owed there",
    help: "No live reservation of that name and owner is owed pieces of this SKU in this warehouse: it was served or \
           settled meanwhile, has ended, or never was. Look at `GET /v1/shortfalls` for what is owed now.",
};

/// A correction, a transfer or a promise that is moved beyond what is available.
pub static NOT_AVAILABLE: ProblemKind = ProblemKind {
    code: "not-available",
    status: 409,
    title: "Not that much is available",
    help: "A correction or a transfer cannot take away what is promised, or more than there is; `available` says \
           what it can. If the shelf really holds less, send a stock-take (`count`), which is always accepted. The name of a \
           movement stays refused. What a promise is owed moves to a warehouse that has all of it, is active and serves its \
           market; it may be asked for again.",
};

/// A movement that does not exist.
pub static UNKNOWN_MOVEMENT: ProblemKind = ProblemKind {
    code: "unknown-movement",
    status: 404,
    title: "Unknown movement",
    help: "There is no movement of this name. Goods arrive under the name under which they were sent; a name belongs \
           to the key that chose it.",
};

/// An arrival of goods that do not travel.
pub static NOT_IN_TRANSIT: ProblemKind = ProblemKind {
    code: "not-in-transit",
    status: 409,
    title: "Nothing of this movement is on its way",
    help: "Only a transfer that was sent with `\"in_transit\": true` arrives later; all other movements are done at \
           once. Goods that come in otherwise are entered with a movement of type `receive`.",
};

/// More arrived than was sent.
pub static MORE_THAN_SENT: ProblemKind = ProblemKind {
    code: "more-than-sent",
    status: 422,
    title: "More than was sent",
    help: "No more can arrive than was sent; `sent` says how much that was. Let all of it arrive, and enter what is \
           beyond it with a stock-take (`count`) of both warehouses.",
};

/// More pieces than a level can hold.
pub static TOO_MANY: ProblemKind = ProblemKind {
    code: "too-many",
    status: 422,
    title: "More than a level can hold",
    help: "A level goes up to a thousand billion pieces. Check the unit of the quantity.",
};

/// A change that concerns more SKUs than can be told.
pub static SNAPSHOT_AGAIN: ProblemKind = ProblemKind {
    code: "snapshot-again",
    status: 410,
    title: "Something was said of a warehouse since",
    help: "What was said of a warehouse may change what can be had of every SKU in it, more than can be told one by one. \
           Take a new `GET /v1/availability-snapshot`, and go on with the place that it ends with.",
};

/// All problems of inventory's own.
pub static KINDS: &[&ProblemKind] = &[
    &OUT_OF_STOCK,
    &RESERVATION_TOO_LARGE,
    &DISCONTINUED,
    &UNKNOWN_SKU,
    &SNAPSHOT_AGAIN,
    &UNKNOWN_RESERVATION,
    &BELONGS_TO_ORDER,
    &RESERVATION_EXPIRED,
    &ALREADY_COMMITTED,
    &ALREADY_RELEASED,
    &NOT_COMMITTED,
    &GOODS_MISSING,
    &NOT_OWED,
    &NOT_AVAILABLE,
    &UNKNOWN_MOVEMENT,
    &NOT_IN_TRANSIT,
    &MORE_THAN_SENT,
    &TOO_MANY,
];

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::DifferentContent => Self::new(&DIFFERENT_CONTENT),
            Rejection::OutOfStock { short } => Self::new(&OUT_OF_STOCK).member("short", short),
            Rejection::TooLarge => Self::new(&RESERVATION_TOO_LARGE),
            Rejection::Discontinued { short } => Self::new(&DISCONTINUED).member("short", short),
            Rejection::ChangedMeanwhile => Self::new(&PRECONDITION_FAILED),
            Rejection::UnknownReservation => Self::new(&UNKNOWN_RESERVATION),
            Rejection::BelongsToOrder => Self::new(&BELONGS_TO_ORDER),
            Rejection::Expired => Self::new(&RESERVATION_EXPIRED),
            Rejection::AlreadyCommitted => Self::new(&ALREADY_COMMITTED),
            Rejection::AlreadyReleased => Self::new(&ALREADY_RELEASED),
            Rejection::NotCommitted => Self::new(&NOT_COMMITTED),
            Rejection::GoodsMissing => Self::new(&GOODS_MISSING),
            Rejection::NotOwed => Self::new(&NOT_OWED),
            Rejection::NotAvailable { sku, warehouse, wanted, available } => Self::new(&NOT_AVAILABLE)
                .member("sku", sku)
                .member("warehouse", warehouse)
                .member("wanted", wanted)
                .member("available", available),
            Rejection::UnknownMovement => Self::new(&UNKNOWN_MOVEMENT),
            Rejection::NotInTransit => Self::new(&NOT_IN_TRANSIT),
            Rejection::MoreThanSent { sent } => Self::new(&MORE_THAN_SENT).member("sent", sent),
            Rejection::TooMany => Self::new(&TOO_MANY),
        }
    }
}

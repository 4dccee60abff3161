//! What can be asked of inventory, and how it answers.

use std::collections::BTreeMap;

use contracts::inventory::{Short, Terms};
use ids::{Name, Number, Sku, Warehouse};
use serde::Serialize;

use super::movement::MovementRecord;
use super::pool::Pool;
use super::reservation::Reservation;
use super::restock::{Reorder, RestockPoint};
use super::sku::{Offer, SkuSettings};
use super::warehouse::{Site, WarehouseSettings};

/// What can be asked of inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Moves stock.
    Move(Movement),
    /// Lets goods arrive that are on their way.
    Arrive {
        /// The movement that sent them.
        name: Name,
        /// Pieces that arrived; all that were sent where it is not said. The rest is lost.
        quantity: Option<i64>,
    },
    /// Holds every line, or none.
    Reserve(Reserve),
    /// Lets a hold last longer: from now, this many seconds.
    Extend {
        /// The reservation.
        name: Name,
        /// Seconds from now.
        hold_secs: i64,
    },
    /// Makes a hold firm.
    Commit {
        /// The reservation.
        name: Name,
        /// The order that asks, and waits for an answer whatever it is.
        order: Option<ForOrder>,
        /// Whether a hold that has lapsed is taken anew, if the stock is still there.
        retake: bool,
    },
    /// Takes committed goods off the shelf.
    Ship {
        /// The reservation.
        name: Name,
    },
    /// Gives a hold back, to an order also what is firm; a name not seen yet will never hold anything.
    Release {
        /// The reservation.
        name: Name,
        /// The order that asks, and waits for an answer whatever it is.
        order: Option<ForOrder>,
    },
    /// Decides what becomes of a promise that is owed pieces.
    Settle(Settle),
    /// Says whether a SKU is sold, and how much of it may be promised without stock.
    SetSku {
        /// The SKU.
        sku: Sku,
        /// All that is said of it.
        offer: Offer,
        /// The version that the caller has seen; any if it does not say one.
        seen: Option<i64>,
    },
    /// Says what holds for a warehouse.
    SetWarehouse {
        /// The warehouse.
        warehouse: Warehouse,
        /// All that is said of it.
        site: Site,
        /// The version that the caller has seen; any if it does not say one.
        seen: Option<i64>,
    },
    /// Says in which warehouses somebody wants to know when a SKU runs low, and when that is.
    SetRestock {
        /// The SKU.
        sku: Sku,
        /// The warehouses; in no other is anything asked for.
        points: BTreeMap<Warehouse, Reorder>,
    },
    /// Serves some more of those who are owed pieces where some are free.
    Serve {
        /// The SKU.
        sku: Sku,
        /// The warehouse.
        warehouse: Warehouse,
    },
    /// Lets a hold lapse whose time has passed.
    Expire {
        /// The reservation.
        number: Number,
        /// Levels that it lets go of.
        levels: usize,
    },
}

/// A movement of stock under a name of the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Its name.
    pub name: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse; of a transfer the one that the goods leave.
    pub warehouse: Warehouse,
    /// What happens.
    pub act: Act,
}

/// What a movement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Goods come in.
    Receive {
        /// Pieces; at least 1.
        quantity: i64,
        /// The caller's own reference.
        reference: Option<String>,
    },
    /// A stock-take; always accepted.
    Count {
        /// Pieces that were counted.
        counted: i64,
        /// Why it was counted.
        reason: Option<String>,
        /// What the caller calls it elsewhere, such as the external id of an import.
        reference: Option<String>,
    },
    /// A correction; it cannot take what is promised.
    Adjust {
        /// Pieces added, or taken away where negative; never 0.
        quantity: i64,
        /// Why.
        reason: String,
    },
    /// Goods go to another warehouse; they cannot take what is promised with them.
    Transfer {
        /// The other warehouse.
        to: Warehouse,
        /// Pieces; at least 1.
        quantity: i64,
        /// Whether they are on their way until somebody says that they have arrived.
        travels: bool,
    },
}

/// What somebody decides about a promise that is owed pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settle {
    /// Whose reservation it is.
    pub owner: String,
    /// The reservation.
    pub reservation: Name,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse in which it is owed.
    pub warehouse: Warehouse,
    /// What becomes of it.
    pub way: Way,
    /// Why.
    pub reason: String,
}

/// What becomes of a promise that is owed pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Way {
    /// The whole reservation is given up.
    Release,
    /// What is owed comes from another warehouse, which has to have it.
    Move {
        /// The other warehouse.
        to: Warehouse,
    },
    /// It waits until goods come in.
    Wait,
}

/// A wish to hold stock under a name of the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Its name.
    pub name: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// What is wanted; a SKU may stand in several lines.
    pub lines: Vec<Line>,
    /// How long it is to be held.
    pub hold_secs: i64,
    /// The order that it is for.
    pub order: Option<ForOrder>,
    /// The reservation in whose place it is made: that one is let go if this one can be had.
    pub replaces: Option<Name>,
    /// How it may be served; as the operator chose where nothing is said.
    pub terms: Option<Terms>,
}

/// A line of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The SKU.
    pub sku: Sku,
    /// Pieces; at least 1.
    pub quantity: i64,
    /// The only warehouse that it may come from.
    pub warehouse: Option<Warehouse>,
}

/// The order that something is for, and the attempt that answers carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForOrder {
    /// The order.
    pub order: Name,
    /// Its attempt.
    pub attempt: i64,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The movement stands in the books.
    Moved {
        /// Whether it does so since this command.
        is_new: bool,
        /// The movement.
        movement: Box<MovementRecord>,
    },
    /// The reservation as it is now.
    Reservation {
        /// Whether it came into being with this command.
        is_new: bool,
        /// The reservation.
        reservation: Box<Reservation>,
    },
    /// What holds for a SKU now.
    Sku {
        /// The SKU.
        sku: Sku,
        /// What holds for it.
        settings: SkuSettings,
    },
    /// What holds for a warehouse now.
    Warehouse(Box<WarehouseSettings>),
    /// When more of a SKU is wanted now.
    Restock {
        /// The SKU.
        sku: Sku,
        /// The warehouses in which somebody wants to know, with the level there.
        points: Vec<(Warehouse, RestockPoint, Pool)>,
    },
    /// Nothing was left to do.
    Nothing,
}

/// Why a rule says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The name stands for something else already.
    DifferentContent,
    /// Not every line can be held, or could be when it was asked for.
    OutOfStock {
        /// What falls short.
        short: Vec<Short>,
    },
    /// An event could not name what would be held: too many lines, or from too many warehouses.
    TooLarge,
    /// Of what is wanted, some is sold no more.
    Discontinued {
        /// What that is.
        short: Vec<Short>,
    },
    /// It is not any more as the caller saw it.
    ChangedMeanwhile,
    /// There is no movement of that name.
    UnknownMovement,
    /// Only the goods of a transfer that is on its way can arrive.
    NotInTransit,
    /// More are said to have arrived than were sent.
    MoreThanSent {
        /// Pieces that were sent.
        sent: i64,
    },
    /// There is no reservation of that name.
    UnknownReservation,
    /// It is an order's, and that order alone may change it.
    BelongsToOrder,
    /// The hold has lapsed.
    Expired,
    /// It is firm already.
    AlreadyCommitted,
    /// It was given back.
    AlreadyReleased,
    /// Only what is committed can be shipped.
    NotCommitted,
    /// The goods that were promised are not on the shelf.
    GoodsMissing,
    /// That promise is owed nothing there, or not any more.
    NotOwed,
    /// A correction or a transfer would take what is promised, or more than there is.
    NotAvailable {
        /// The SKU.
        sku: Sku,
        /// The warehouse.
        warehouse: Warehouse,
        /// Pieces that were to be taken away.
        wanted: i64,
        /// Pieces that can be.
        available: i64,
    },
    /// More pieces than a level can hold.
    TooMany,
}

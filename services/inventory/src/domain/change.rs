//! What an event changes in stock: the one place that says so, for the books and for whoever reads
//! the journal.

use std::collections::BTreeSet;

use contracts::inventory::{Event, Level, ReservedLine};
use ids::{Sku, Warehouse};
use serde::Serialize;

use super::pool::Pool;

/// What happens to the stock of one SKU in one warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Pieces come onto the shelf.
    Put(i64),
    /// Available pieces leave it.
    Take(i64),
    /// What is on the shelf is counted.
    Count {
        /// Pieces that are there.
        counted: i64,
        /// Counted less what the books said before.
        difference: i64,
    },
    /// Pieces are sent here.
    Announce(i64),
    /// Pieces that were sent here are on the shelf.
    Arrive(i64),
    /// Pieces that were sent here are given up.
    Lose(i64),
    /// Pieces are held.
    Hold(i64),
    /// A hold is let go.
    LetGo(i64),
    /// A hold becomes firm.
    Firm(i64),
    /// Firmly promised pieces leave the shelf.
    Ship(i64),
    /// A firm promise is let go.
    LetFirmGo(i64),
}

/// By how much a change moves what a level counts. What a stock-take found missing counts as promised
/// all the same, so it does not matter here how much of a promise is covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Pieces on the shelf.
    pub on_hand: i64,
    /// Pieces that holds keep, or are owed.
    pub held: i64,
    /// Pieces that are firmly promised, on the shelf or owed.
    pub firm: i64,
    /// Pieces on their way here.
    pub in_transit: i64,
}

impl Change {
    /// By how much it moves what a level counts.
    pub fn difference(self) -> Difference {
        let none = Difference::default();
        match self {
            Self::Put(quantity) => Difference { on_hand: quantity, ..none },
            Self::Take(quantity) => Difference { on_hand: -quantity, ..none },
            Self::Count { difference, .. } => Difference { on_hand: difference, ..none },
            Self::Announce(quantity) => Difference { in_transit: quantity, ..none },
            Self::Arrive(quantity) => Difference { on_hand: quantity, in_transit: -quantity, ..none },
            Self::Lose(quantity) => Difference { in_transit: -quantity, ..none },
            Self::Hold(quantity) => Difference { held: quantity, ..none },
            Self::LetGo(quantity) => Difference { held: -quantity, ..none },
            Self::Firm(quantity) => Difference { held: -quantity, firm: quantity, ..none },
            Self::Ship(quantity) => Difference { on_hand: -quantity, firm: -quantity, ..none },
            Self::LetFirmGo(quantity) => Difference { firm: -quantity, ..none },
        }
    }
}

impl Pool {
    /// As it was before all this happened to it.
    ///
    /// How much of its promises was covered then need not be known: firm ones are covered first, and as
    /// long as anything is owed there is nothing available.
    #[must_use]
    pub fn before(self, since: Difference) -> Self {
        let on_hand = self.on_hand - since.on_hand;
        let held = self.reserved + self.owed_to_holds - since.held;
        let firm = self.committed + self.owed_firmly - since.firm;
        let committed = firm.min(on_hand);
        let reserved = held.min(on_hand - committed);
        Self {
            on_hand,
            reserved,
            committed,
            owed_to_holds: held - reserved,
            owed_firmly: firm - committed,
            in_transit: self.in_transit - since.in_transit,
        }
    }
}

impl std::ops::AddAssign for Difference {
    fn add_assign(&mut self, other: Self) {
        self.on_hand += other.on_hand;
        self.held += other.held;
        self.firm += other.firm;
        self.in_transit += other.in_transit;
    }
}

impl Pool {
    /// Enters what happened to it.
    pub fn enter(&mut self, change: Change) {
        match change {
            Change::Put(quantity) => self.put(quantity),
            Change::Take(quantity) => self.take(quantity),
            Change::Count { counted, .. } => self.count(counted),
            Change::Announce(quantity) => self.announce(quantity),
            Change::Arrive(quantity) => self.arrive(quantity),
            Change::Lose(quantity) => self.lose(quantity),
            Change::Hold(quantity) => self.reserve(quantity),
            Change::LetGo(quantity) => self.release(quantity),
            Change::Firm(quantity) => self.commit(quantity),
            Change::Ship(quantity) => self.ship(quantity),
            Change::LetFirmGo(quantity) => self.uncommit(quantity),
        }
    }
}

/// A change, and where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed<'e> {
    /// The SKU.
    pub sku: &'e Sku,
    /// The warehouse.
    pub warehouse: &'e Warehouse,
    /// What happens there.
    pub change: Change,
    /// The level after it, where the event says it.
    pub level: Option<Level>,
}

/// What an event changes in stock, in the order in which it happens.
pub fn changes(event: &Event) -> Vec<Changed<'_>> {
    let one = |sku, warehouse, change, level| vec![Changed { sku, warehouse, change, level: Some(level) }];
    match event {
        Event::SupplierShipmentReceived(e) => one(&e.sku, &e.warehouse, Change::Put(e.quantity), e.level),
        Event::StockCounted(e) => {
            let count = Change::Count { counted: e.counted, difference: e.difference };
            one(&e.sku, &e.warehouse, count, e.level)
        }
        Event::StockLevelAdjusted(e) if e.quantity > 0 => one(&e.sku, &e.warehouse, Change::Put(e.quantity), e.level),
        Event::StockLevelAdjusted(e) => one(&e.sku, &e.warehouse, Change::Take(-e.quantity), e.level),
        Event::StockTransferred(e) => {
            let mut both = one(&e.sku, &e.from, Change::Take(e.quantity), e.from_level);
            both.extend(one(&e.sku, &e.to, Change::Put(e.quantity), e.to_level));
            both
        }
        Event::StockTransferStarted(e) => {
            let mut both = one(&e.sku, &e.from, Change::Take(e.quantity), e.from_level);
            both.extend(one(&e.sku, &e.to, Change::Announce(e.quantity), e.to_level));
            both
        }
        Event::StockTransferArrived(e) => one(&e.sku, &e.to, Change::Arrive(e.quantity), e.level),
        Event::StockLostInTransit(e) => one(&e.sku, &e.to, Change::Lose(e.quantity), e.level),
        Event::StockReserved(e) => of_lines(&e.lines, &[Change::Hold]),
        #[cfg(feature = "planted-bugs")]
        Event::StockCommitted(e) if e.retaken && world::planted::is(world::planted::Bug::RetakenWithoutStock) => {
            Vec::new()
        }
        Event::StockCommitted(e) => match (e.retaken, e.shipped) {
            (false, false) => of_lines(&e.lines, &[Change::Firm]),
            (false, true) => of_lines(&e.lines, &[Change::Firm, Change::Ship]),
            (true, false) => of_lines(&e.lines, &[Change::Hold, Change::Firm]),
            (true, true) => of_lines(&e.lines, &[Change::Hold, Change::Firm, Change::Ship]),
        },
        Event::StockShipped(e) => of_lines(&e.lines, &[Change::Ship]),
        Event::StockReleased(e) => of_lines(&e.lines, &[Change::LetGo]),
        Event::StockReservationExpired(e) => of_lines(&e.lines, &[Change::LetGo]),
        Event::StockReturned(e) if e.was_shipped => of_lines(&e.lines, &[Change::Put]),
        Event::StockReturned(e) => of_lines(&e.lines, &[Change::LetFirmGo]),
        Event::StockMovementRejected(_)
        | Event::StockShortfallFound(_)
        | Event::StockReservationRejected(_)
        | Event::StockReservationExtended(_)
        | Event::StockCommitRejected(_)
        | Event::SkuDiscontinued(_)
        | Event::SkuReinstated(_)
        | Event::WarehouseChanged(_)
        | Event::RestockPointChanged(_)
        | Event::RestockNeeded(_)
        | Event::StockReplenished(_) => Vec::new(),
    }
}

/// These changes of each allocation of the lines, in their order.
fn of_lines<'e>(lines: &'e [ReservedLine], each: &[fn(i64) -> Change]) -> Vec<Changed<'e>> {
    let allocations = lines.iter().flat_map(|line| line.allocations.iter().map(move |of| (&line.sku, of)));
    let changed = allocations.flat_map(|(sku, allocation)| {
        each.iter().map(move |change| {
            let (warehouse, change) = (&allocation.warehouse, change(allocation.quantity));
            Changed { sku, warehouse, change, level: None }
        })
    });
    changed.collect()
}

/// The SKUs of which an event changes what can be had: their stock, or whether they are sold. What is
/// said of a warehouse concerns all that lie there, which the event does not name.
pub fn skus_changed(event: &Event) -> BTreeSet<&Sku> {
    match event {
        Event::SkuDiscontinued(e) => BTreeSet::from([&e.sku]),
        Event::SkuReinstated(e) => BTreeSet::from([&e.sku]),
        stock => changes(stock).into_iter().map(|changed| changed.sku).collect(),
    }
}

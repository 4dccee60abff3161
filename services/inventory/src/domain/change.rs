//! What an event changes in stock: the one place that says so, for the books and for whoever reads
//! the journal.

use std::collections::BTreeSet;

use contracts::inventory::{Allocation, Event, Level, ReservedLine};
use ids::{Name, Sku, Warehouse};

/// By how much something moves what a level counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Pieces on the shelf.
    pub on_hand: i64,
    /// Pieces that holds were promised, on the shelf or owed.
    pub held: i64,
    /// Pieces that are firmly promised, on the shelf or owed.
    pub firm: i64,
    /// Pieces of holds that are not on the shelf.
    pub owed_to_holds: i64,
    /// Pieces of firm promises that are not on the shelf.
    pub owed_firmly: i64,
    /// Pieces on their way here.
    pub in_transit: i64,
}

impl Change {
    const NONE: Self = Self { on_hand: 0, held: 0, firm: 0, owed_to_holds: 0, owed_firmly: 0, in_transit: 0 };

    /// Pieces come onto the shelf; they leave it where there are fewer than none.
    fn put(quantity: i64) -> Self {
        Self { on_hand: quantity, ..Self::NONE }
    }

    /// Pieces are sent here.
    fn announce(quantity: i64) -> Self {
        Self { in_transit: quantity, ..Self::NONE }
    }

    /// Pieces that were sent here are on the shelf.
    fn arrive(quantity: i64) -> Self {
        Self { on_hand: quantity, in_transit: -quantity, ..Self::NONE }
    }

    /// Pieces are held.
    fn hold(of: &Allocation) -> Self {
        Self { held: of.quantity, owed_to_holds: of.owed, ..Self::NONE }
    }

    /// A hold is let go.
    pub(super) fn let_go(of: &Allocation) -> Self {
        Self { held: -of.quantity, owed_to_holds: -of.owed, ..Self::NONE }
    }

    /// A hold becomes firm.
    fn firm(of: &Allocation) -> Self {
        Self { held: -of.quantity, owed_to_holds: -of.owed, firm: of.quantity, owed_firmly: of.owed, ..Self::NONE }
    }

    /// Firmly promised pieces leave the shelf.
    fn ship(of: &Allocation) -> Self {
        Self { on_hand: -of.quantity, firm: -of.quantity, ..Self::NONE }
    }

    /// A firm promise is let go.
    fn let_firm_go(of: &Allocation) -> Self {
        Self { firm: -of.quantity, owed_firmly: -of.owed, ..Self::NONE }
    }

    /// What left the shelf is there again.
    fn put_back(of: &Allocation) -> Self {
        Self::put(of.quantity)
    }

    /// Pieces of a promise are owed; they are served where there are fewer than none.
    fn owe(quantity: i64, is_firm: bool) -> Self {
        if is_firm {
            Self { owed_firmly: quantity, ..Self::NONE }
        } else {
            Self { owed_to_holds: quantity, ..Self::NONE }
        }
    }
}

impl std::ops::AddAssign for Change {
    fn add_assign(&mut self, other: Self) {
        self.on_hand += other.on_hand;
        self.held += other.held;
        self.firm += other.firm;
        self.owed_to_holds += other.owed_to_holds;
        self.owed_firmly += other.owed_firmly;
        self.in_transit += other.in_transit;
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
        Event::SupplierShipmentReceived(e) => one(&e.sku, &e.warehouse, Change::put(e.quantity), e.level),
        Event::StockCounted(e) => one(&e.sku, &e.warehouse, Change::put(e.difference), e.level),
        Event::StockLevelAdjusted(e) => one(&e.sku, &e.warehouse, Change::put(e.quantity), e.level),
        Event::StockTransferred(e) => {
            let mut both = one(&e.sku, &e.from, Change::put(-e.quantity), e.from_level);
            both.extend(one(&e.sku, &e.to, Change::put(e.quantity), e.to_level));
            both
        }
        Event::StockTransferStarted(e) => {
            let mut both = one(&e.sku, &e.from, Change::put(-e.quantity), e.from_level);
            both.extend(one(&e.sku, &e.to, Change::announce(e.quantity), e.to_level));
            #[cfg(feature = "planted-bugs")]
            if world::planted::is(world::planted::Bug::TransferCountedTwice) {
                both.extend(one(&e.sku, &e.to, Change::put(e.quantity), e.to_level));
            }
            both
        }
        Event::StockTransferArrived(e) => one(&e.sku, &e.to, Change::arrive(e.quantity), e.level),
        Event::StockLostInTransit(e) => one(&e.sku, &e.to, Change::announce(-e.quantity), e.level),
        Event::StockReserved(e) => of_lines(&e.lines, &[Change::hold]),
        #[cfg(feature = "planted-bugs")]
        Event::StockCommitted(e) if e.retaken && world::planted::is(world::planted::Bug::RetakenWithoutStock) => {
            Vec::new()
        }
        Event::StockCommitted(e) => match (e.retaken, e.shipped) {
            (false, false) => of_lines(&e.lines, &[Change::firm]),
            (false, true) => of_lines(&e.lines, &[Change::firm, Change::ship]),
            (true, false) => of_lines(&e.lines, &[Change::hold, Change::firm]),
            (true, true) => of_lines(&e.lines, &[Change::hold, Change::firm, Change::ship]),
        },
        Event::StockShipped(e) => of_lines(&e.lines, &[Change::ship]),
        Event::StockReleased(e) => of_lines(&e.lines, &[Change::let_go]),
        Event::StockReservationExpired(e) => of_lines(&e.lines, &[Change::let_go]),
        Event::StockReturned(e) if e.was_shipped => of_lines(&e.lines, &[Change::put_back]),
        Event::StockReturned(e) => of_lines(&e.lines, &[Change::let_firm_go]),
        Event::PromiseFellShort(e) => of_promise(&e.sku, &e.warehouse, Change::owe(e.quantity, e.firm)),
        Event::BackorderServed(e) => of_promise(&e.sku, &e.warehouse, Change::owe(-e.quantity, e.firm)),
        Event::PromiseMoved(e) => {
            // What was owed there is promised there no more; here it is promised and lies on the shelf.
            let (give_up, promise) = if e.firm {
                let promise = Change { firm: e.quantity, ..Change::NONE };
                (Change { firm: -e.quantity, owed_firmly: -e.quantity, ..Change::NONE }, promise)
            } else {
                let promise = Change { held: e.quantity, ..Change::NONE };
                (Change { held: -e.quantity, owed_to_holds: -e.quantity, ..Change::NONE }, promise)
            };
            let mut both = of_promise(&e.sku, &e.from, give_up);
            both.extend(of_promise(&e.sku, &e.to, promise));
            both
        }
        Event::StockMovementRejected(_)
        | Event::StockShortfallFound(_)
        | Event::StockReservationRejected(_)
        | Event::StockReservationExtended(_)
        | Event::StockCommitRejected(_)
        | Event::SkuDiscontinued(_)
        | Event::SkuReinstated(_)
        | Event::SkuSignalChanged(_)
        | Event::SkuBackorderChanged(_)
        | Event::ShortfallSettled(_)
        | Event::WarehouseChanged(_)
        | Event::RestockPointChanged(_)
        | Event::RestockNeeded(_)
        | Event::StockReplenished(_) => Vec::new(),
    }
}

fn of_promise<'e>(sku: &'e Sku, warehouse: &'e Warehouse, change: Change) -> Vec<Changed<'e>> {
    vec![Changed { sku, warehouse, change, level: None }]
}

/// A level that an event names, with its SKU and its warehouse.
type Named<'e> = (&'e Sku, &'e Warehouse, &'e mut Level);

/// The movement that an event tells of, and the levels that it names.
pub(super) fn levels_mut(event: &mut Event) -> Option<(&Name, Vec<Named<'_>>)> {
    Some(match event {
        Event::SupplierShipmentReceived(e) => (&e.movement, vec![(&e.sku, &e.warehouse, &mut e.level)]),
        Event::StockCounted(e) => (&e.movement, vec![(&e.sku, &e.warehouse, &mut e.level)]),
        Event::StockShortfallFound(e) => (&e.movement, vec![(&e.sku, &e.warehouse, &mut e.level)]),
        Event::StockLevelAdjusted(e) => (&e.movement, vec![(&e.sku, &e.warehouse, &mut e.level)]),
        Event::StockTransferred(e) => {
            (&e.movement, vec![(&e.sku, &e.from, &mut e.from_level), (&e.sku, &e.to, &mut e.to_level)])
        }
        Event::StockTransferStarted(e) => {
            (&e.movement, vec![(&e.sku, &e.from, &mut e.from_level), (&e.sku, &e.to, &mut e.to_level)])
        }
        Event::StockTransferArrived(e) => (&e.movement, vec![(&e.sku, &e.to, &mut e.level)]),
        Event::StockLostInTransit(e) => (&e.movement, vec![(&e.sku, &e.to, &mut e.level)]),
        _ => return None,
    })
}

/// These changes of each allocation of the lines, in their order.
fn of_lines<'e>(lines: &'e [ReservedLine], each: &[fn(&Allocation) -> Change]) -> Vec<Changed<'e>> {
    let allocations = lines.iter().flat_map(|line| line.allocations.iter().map(move |of| (&line.sku, of)));
    let changed = allocations.flat_map(|(sku, allocation)| {
        each.iter().map(move |change| {
            let (warehouse, change) = (&allocation.warehouse, change(allocation));
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
        Event::SkuSignalChanged(e) => BTreeSet::from([&e.sku]),
        Event::SkuBackorderChanged(e) => BTreeSet::from([&e.sku]),
        stock => changes(stock).into_iter().map(|changed| changed.sku).collect(),
    }
}

//! What is decided of reservations, from the hold to the goods that leave the shelf.

use std::time::Duration;

use contracts::inventory::{self as say, Event, ReservedLine};
use ids::{Name, Number};
use world::Moment;

use super::{Books, Decision, Policy, blank, nothing_but};
use crate::domain::allocation::{Sources, Stock, allocate};
use crate::domain::change::Change;
use crate::domain::command::{ForOrder, Line, Rejection, Reserve, Settled};
use crate::domain::reservation::{Reservation, Status};

impl Books {
    pub(super) fn decide_reserve(
        &self,
        owner: &str,
        reserve: &Reserve,
        policy: &Policy,
        now: Moment,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        if let Some(known) = self.find(owner, &reserve.name) {
            return nothing_but(match known.status {
                Status::Released if known.fingerprint.is_empty() => Err(Rejection::AlreadyReleased),
                _ if known.fingerprint != reserve.fingerprint => Err(Rejection::DifferentContent),
                Status::Refused => Err(refusal(known)),
                _ => Ok(as_it_is(known)),
            });
        }
        let replaced = match &reserve.replaces {
            Some(old) => self.replaced(owner, old, &reserve.name, now, new_number),
            None => Ok(None),
        };
        let replaced = match replaced {
            Ok(replaced) => replaced,
            Err(no) => return nothing_but(Err(no)),
        };
        let (reservation, fingerprint) = (reserve.name.clone(), reserve.fingerprint.clone());
        let (order, attempt) = for_order(reserve.order.as_ref());
        let number = new_number();
        let discontinued = self.discontinued(reserve.lines.iter().map(|line| (&line.sku, line.quantity)));
        if !discontinued.is_empty() {
            let (short, no) = (discontinued.clone(), Rejection::Discontinued { short: discontinued });
            let discontinued = true;
            let refused =
                say::StockReservationRejected { reservation, fingerprint, order, attempt, short, discontinued };
            return (vec![(number, refused.into())], Err(no));
        }
        let without = replaced.as_ref().map(|(_, released)| self.stock_without(&released.lines, &reserve.lines));
        let sources = self.sources(policy, reserve.terms.as_ref(), now);
        match allocate(without.as_ref().unwrap_or(&self.stock), &reserve.lines, sources) {
            Ok(lines) => {
                let expires_at = now + seconds(reserve.hold_secs);
                let terms = reserve.terms.clone();
                let held = say::StockReserved { reservation, fingerprint, order, attempt, lines, expires_at, terms };
                let answer =
                    Settled::Reservation { is_new: true, reservation: Box::new(blank(number, owner, &reserve.name)) };
                let replaced = replaced.map(|(old, released)| (old, released.into()));
                let events = replaced.into_iter().chain([(number, held.into())]);
                (events.collect(), Ok(answer))
            }
            Err(unmet) => {
                let (short, discontinued) = (unmet.short().to_vec(), false);
                let refused =
                    say::StockReservationRejected { reservation, fingerprint, order, attempt, short, discontinued };
                (vec![(number, refused.into())], Err(unmet.into()))
            }
        }
    }

    /// How the reservation is let go in whose place another is made; nothing where it has ended.
    ///
    /// One that was never seen will never hold anything, as after a release: its reserve may be late.
    fn replaced(
        &self,
        owner: &str,
        name: &Name,
        by: &Name,
        now: Moment,
        new_number: &dyn Fn() -> Number,
    ) -> Result<Option<(Number, say::StockReleased)>, Rejection> {
        let (number, lines) = match self.find(owner, name) {
            None => (new_number(), Vec::new()),
            Some(old) => match old.status_at(now) {
                Status::Reserved if old.order.is_some() => return Err(Rejection::BelongsToOrder),
                Status::Reserved => (old.number, old.lines.clone()),
                Status::Committed | Status::Shipped => return Err(Rejection::AlreadyCommitted),
                Status::Released | Status::Expired | Status::Refused | Status::Returned => return Ok(None),
            },
        };
        let mut released = released(name, None, lines);
        released.replaced_by = Some(by.clone());
        Ok(Some((number, released)))
    }

    /// The stock of the SKUs that are wanted, as it is once these lines are let go.
    fn stock_without(&self, lines: &[ReservedLine], wanted: &[Line]) -> Stock {
        let mut stock = Stock::new();
        for line in wanted {
            if let Some(pools) = self.stock.get(&line.sku) {
                stock.entry(line.sku.clone()).or_insert_with(|| pools.clone());
            }
        }
        for line in lines {
            let Some(pools) = stock.get_mut(&line.sku) else { continue };
            for allocation in &line.allocations {
                let entry = pools.entry(allocation.warehouse.clone()).or_default();
                entry.pool.enter(Change::let_go(allocation));
                entry.own += allocation.quantity - allocation.owed;
            }
        }
        stock
    }

    pub(super) fn decide_extend(&self, owner: &str, name: &Name, hold_secs: i64, now: Moment) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            return nothing_but(Err(Rejection::UnknownReservation));
        };
        let expires_at = now + seconds(hold_secs);
        match reservation.status_at(now) {
            Status::Reserved if expires_at <= reservation.expires_at => nothing_but(Ok(as_it_is(reservation))),
            Status::Reserved if reservation.order.is_some() => nothing_but(Err(Rejection::BelongsToOrder)),
            Status::Reserved => {
                let extended = say::StockReservationExtended { reservation: name.clone(), expires_at };
                (vec![(reservation.number, extended.into())], Ok(as_it_is(reservation)))
            }
            status => nothing_but(Err(no_longer_held(reservation, status))),
        }
    }

    pub(super) fn decide_commit(
        &self,
        owner: &str,
        name: &Name,
        order: Option<&ForOrder>,
        retake: bool,
        policy: &Policy,
        now: Moment,
    ) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            return nothing_but(Err(Rejection::UnknownReservation));
        };
        let is_anothers = reservation.order.is_some() && order.is_none();
        let number = reservation.number;
        let commit = |lines: Vec<ReservedLine>, retaken: bool| {
            let shipped = policy.ship_on_commit && lines.iter().all(|line| line.owed() == 0);
            let (order, attempt) = (reservation.order.clone(), reservation.attempt);
            let event = say::StockCommitted { reservation: name.clone(), order, attempt, lines, retaken, shipped };
            (vec![(number, event.into())], Ok(as_it_is(reservation)))
        };
        let refuse = |no: Rejection, short: &[say::Short]| match order {
            Some(order) => (vec![(number, not_committed(name, order, short))], Err(no)),
            None => nothing_but(Err(no)),
        };
        match reservation.status_at(now) {
            Status::Committed | Status::Shipped => {
                let again = order.map(|order| (number, committed_again(reservation, order)));
                (again.into_iter().collect(), Ok(as_it_is(reservation)))
            }
            Status::Reserved if is_anothers => refuse(Rejection::BelongsToOrder, &[]),
            Status::Expired if retake && is_anothers => refuse(Rejection::BelongsToOrder, &[]),
            Status::Reserved => commit(reservation.lines.clone(), false),
            // A lapsed hold that nobody has taken anything from yet is still there.
            Status::Expired if retake && reservation.status == Status::Reserved => {
                commit(reservation.lines.clone(), false)
            }
            #[cfg(feature = "planted-bugs")]
            Status::Expired if retake && world::planted::is(world::planted::Bug::RetakenWithoutStock) => {
                commit(reservation.lines.clone(), true)
            }
            Status::Expired if retake => {
                let discontinued = self.discontinued(reservation.lines.iter().map(|line| (&line.sku, line.quantity)));
                if !discontinued.is_empty() {
                    return refuse(Rejection::Discontinued { short: discontinued.clone() }, &discontinued);
                }
                let sources = self.sources(policy, reservation.terms.as_ref(), now);
                // What was sold meanwhile is not promised a second time without stock.
                let sources = Sources { backorder: false, ..sources };
                match allocate(&self.stock, &reservation.wishes(), sources) {
                    Ok(lines) => commit(lines, true),
                    Err(unmet) => refuse(unmet.clone().into(), unmet.short()),
                }
            }
            status => refuse(no_longer_held(reservation, status), &[]),
        }
    }

    pub(super) fn decide_ship(&self, owner: &str, name: &Name) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            return nothing_but(Err(Rejection::UnknownReservation));
        };
        match reservation.status {
            Status::Shipped => nothing_but(Ok(as_it_is(reservation))),
            Status::Committed if !reservation.has_left && reservation.owed() > 0 => {
                nothing_but(Err(Rejection::GoodsMissing))
            }
            Status::Committed => {
                let lines = if reservation.has_left { Vec::new() } else { reservation.lines.clone() };
                let shipped = say::StockShipped { reservation: name.clone(), order: reservation.order.clone(), lines };
                (vec![(reservation.number, shipped.into())], Ok(as_it_is(reservation)))
            }
            Status::Reserved => nothing_but(Err(Rejection::NotCommitted)),
            status => nothing_but(Err(no_longer_held(reservation, status))),
        }
    }

    pub(super) fn decide_release(
        &self,
        owner: &str,
        name: &Name,
        order: Option<&ForOrder>,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        let Some(reservation) = self.find(owner, name) else {
            let number = new_number();
            let reservation = Box::new(blank(number, owner, name));
            #[cfg(feature = "planted-bugs")]
            if world::planted::is(world::planted::Bug::ReleaseForgotten) {
                return nothing_but(Ok(Settled::Reservation { is_new: true, reservation }));
            }
            let events = vec![(number, released(name, order, Vec::new()).into())];
            return (events, Ok(Settled::Reservation { is_new: true, reservation }));
        };
        let number = reservation.number;
        match (reservation.status, order) {
            (Status::Reserved, None) if reservation.order.is_some() => nothing_but(Err(Rejection::BelongsToOrder)),
            (Status::Reserved, _) => {
                let released = released(name, order, reservation.lines.clone());
                (vec![(number, released.into())], Ok(as_it_is(reservation)))
            }
            (Status::Committed | Status::Shipped, None) => nothing_but(Err(Rejection::AlreadyCommitted)),
            (Status::Committed | Status::Shipped, Some(order)) => {
                let event = say::StockReturned {
                    reservation: name.clone(),
                    order: Some(order.order.clone()),
                    attempt: order.attempt,
                    lines: reservation.lines.clone(),
                    was_shipped: reservation.has_left,
                };
                (vec![(number, event.into())], Ok(as_it_is(reservation)))
            }
            // Nothing is held; an order that waits for the answer gets it all the same.
            (Status::Released | Status::Expired | Status::Refused | Status::Returned, _) => {
                let again = order.map(|order| (number, released(name, Some(order), Vec::new()).into()));
                (again.into_iter().collect(), Ok(as_it_is(reservation)))
            }
        }
    }
}

impl Reservation {
    pub(super) fn for_order(&self) -> Option<ForOrder> {
        self.order.clone().map(|order| ForOrder { order, attempt: self.attempt })
    }

    /// What it promised, as a wish to have it again from anywhere.
    fn wishes(&self) -> Vec<Line> {
        let line = |line: &ReservedLine| Line { sku: line.sku.clone(), quantity: line.quantity, warehouse: None };
        self.lines.iter().map(line).collect()
    }
}

pub(super) fn as_it_is(reservation: &Reservation) -> Settled {
    Settled::Reservation { is_new: false, reservation: Box::new(reservation.clone()) }
}

fn for_order(order: Option<&ForOrder>) -> (Option<Name>, i64) {
    (order.map(|order| order.order.clone()), order.map_or(0, |order| order.attempt))
}

pub(super) fn released(name: &Name, order: Option<&ForOrder>, lines: Vec<ReservedLine>) -> say::StockReleased {
    let (order, attempt) = for_order(order);
    say::StockReleased { reservation: name.clone(), order, attempt, lines, replaced_by: None }
}

/// An order wants to commit what was never reserved: it gets an answer, and nothing may be held under
/// this name any more.
pub(super) fn commit_of_nothing(name: &Name, order: &ForOrder, new_number: &dyn Fn() -> Number) -> Decision {
    let number = new_number();
    let released = released(name, Some(order), Vec::new()).into();
    (vec![(number, released), (number, not_committed(name, order, &[]))], Err(Rejection::UnknownReservation))
}

fn not_committed(name: &Name, order: &ForOrder, short: &[say::Short]) -> Event {
    let (order, attempt) = (Some(order.order.clone()), order.attempt);
    say::StockCommitRejected { reservation: name.clone(), order, attempt, short: short.to_vec() }.into()
}

/// An order asks for what is firm already: it is answered, and nothing changes.
fn committed_again(reservation: &Reservation, order: &ForOrder) -> Event {
    say::StockCommitted {
        reservation: reservation.name.clone(),
        order: Some(order.order.clone()),
        attempt: order.attempt,
        lines: Vec::new(),
        retaken: false,
        shipped: reservation.has_left,
    }
    .into()
}

/// Why it was refused when it was asked for.
fn refusal(reservation: &Reservation) -> Rejection {
    let short = reservation.short.clone();
    match () {
        () if reservation.discontinued => Rejection::Discontinued { short },
        () if short.is_empty() => Rejection::TooLarge,
        () => Rejection::OutOfStock { short },
    }
}

/// Why something that needs a hold cannot be done.
fn no_longer_held(reservation: &Reservation, status: Status) -> Rejection {
    match status {
        Status::Committed | Status::Shipped => Rejection::AlreadyCommitted,
        Status::Refused => refusal(reservation),
        Status::Expired => Rejection::Expired,
        Status::Released | Status::Returned | Status::Reserved => Rejection::AlreadyReleased,
    }
}

fn seconds(secs: i64) -> Duration {
    Duration::from_secs(u64::try_from(secs).unwrap_or(0))
}

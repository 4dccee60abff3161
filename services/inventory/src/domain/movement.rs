//! What a movement does to the levels of a SKU, and what is kept of it.

use contracts::inventory::{self as say, Event, Level};
use ids::{Name, Number, Sku, Warehouse};
use serde::{Deserialize, Serialize};

use super::command::{Act, Movement, Rejection, Settled};
use super::pool::Pool;

/// A movement as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementRecord {
    /// Our number for it.
    pub number: Number,
    /// Whose name it is.
    pub owner: String,
    /// What the caller calls it.
    pub name: Name,
    /// What the caller sent, by meaning.
    pub fingerprint: String,
    /// The SKU.
    pub sku: Sku,
    /// The warehouse; of a transfer the one that the goods leave.
    pub warehouse: Warehouse,
    /// What it came to.
    pub outcome: Outcome,
    /// How many events it has had.
    pub version: i64,
}

/// What a movement came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It changed one level.
    Entered {
        /// The level after it.
        level: Level,
    },
    /// Its goods are in the other warehouse.
    Transferred {
        /// The other warehouse.
        to: Warehouse,
        /// The level of the one that they left, after it.
        from_level: Level,
        /// The level of the other, after it.
        to_level: Level,
    },
    /// Its goods are on their way.
    InTransit {
        /// Where they go.
        to: Warehouse,
        /// Pieces that were sent.
        sent: i64,
        /// The level of the warehouse that they left, after it.
        from_level: Level,
        /// The level of the other, after it.
        to_level: Level,
    },
    /// Its goods were on their way and are there, as far as they are not lost.
    Arrived {
        /// Where they are.
        to: Warehouse,
        /// Pieces that were sent.
        sent: i64,
        /// Pieces that arrived.
        arrived: i64,
        /// The level there, after it.
        level: Level,
    },
    /// It would have taken what is promised.
    Refused {
        /// Pieces that were to be taken away.
        wanted: i64,
        /// Pieces that could have been.
        available: i64,
    },
}

/// No movement takes a level beyond this. Only goods that had left and are given back may: they lay there once, so it
/// is far from what overflows, also in sums of levels.
const MOST_ON_HAND: i64 = 1_000_000_000_000;

impl Outcome {
    /// Says the levels anew, as they are once all has happened that it sets off.
    pub(super) fn settle(&mut self, at: &Warehouse, level_of: impl Fn(&Warehouse) -> Level) {
        match self {
            Self::Entered { level } => *level = level_of(at),
            Self::Transferred { to, from_level, to_level } | Self::InTransit { to, from_level, to_level, .. } => {
                (*from_level, *to_level) = (level_of(at), level_of(to));
            }
            Self::Arrived { to, level, .. } => *level = level_of(to),
            Self::Refused { .. } => {}
        }
    }
}

impl Movement {
    /// Decides what it does to the levels of its SKU; a refusal that keeps the name is an event too. The
    /// levels after it are filled in once all has happened that it sets off.
    pub(super) fn decide(&self, pool: impl Fn(&Warehouse) -> Pool) -> (Vec<Event>, Result<(), Rejection>) {
        let here = pool(&self.warehouse);
        let (movement, fingerprint) = (self.name.clone(), self.fingerprint.clone());
        let (sku, warehouse, level) = (self.sku.clone(), self.warehouse.clone(), Level::default());
        let (event, grows, by): (Event, Pool, i64) = match &self.act {
            Act::Receive { quantity, reference } => {
                let (quantity, reference) = (*quantity, reference.clone());
                let received =
                    say::SupplierShipmentReceived { movement, fingerprint, sku, warehouse, quantity, reference, level };
                (received.into(), here, quantity)
            }
            Act::Count { counted, reason, reference } => {
                let (counted, difference) = (*counted, counted - here.on_hand);
                let (reason, reference) = (reason.clone(), reference.clone());
                let of_it = say::StockCounted {
                    movement,
                    fingerprint,
                    sku,
                    warehouse,
                    counted,
                    difference,
                    reason,
                    reference,
                    level,
                };
                (of_it.into(), here, difference)
            }
            Act::Adjust { quantity, .. } if -quantity > here.available() => return self.refuse(-quantity, here),
            Act::Transfer { quantity, .. } if *quantity > here.available() => return self.refuse(*quantity, here),
            Act::Adjust { quantity, reason } => {
                let (quantity, reason) = (*quantity, reason.clone());
                let adjusted =
                    say::StockLevelAdjusted { movement, fingerprint, sku, warehouse, quantity, reason, level };
                (adjusted.into(), here, quantity)
            }
            Act::Transfer { to, quantity, travels } => {
                let (from, there, to, quantity) = (warehouse, pool(to), to.clone(), *quantity);
                let (from_level, to_level) = (level, level);
                let event = if *travels {
                    say::StockTransferStarted { movement, fingerprint, sku, from, to, quantity, from_level, to_level }
                        .into()
                } else {
                    say::StockTransferred { movement, fingerprint, sku, from, to, quantity, from_level, to_level }
                        .into()
                };
                (event, there, quantity)
            }
        };
        if grows.on_hand + grows.in_transit + by > MOST_ON_HAND {
            return (Vec::new(), Err(Rejection::TooMany));
        }
        (vec![event], Ok(()))
    }

    fn refuse(&self, wanted: i64, here: Pool) -> (Vec<Event>, Result<(), Rejection>) {
        let (sku, warehouse, available) = (self.sku.clone(), self.warehouse.clone(), here.available());
        let rejected = say::StockMovementRejected {
            movement: self.name.clone(),
            fingerprint: self.fingerprint.clone(),
            sku: sku.clone(),
            warehouse: warehouse.clone(),
            wanted,
            available,
        };
        (vec![rejected.into()], Err(Rejection::NotAvailable { sku, warehouse, wanted, available }))
    }
}

impl MovementRecord {
    /// What it is answered with when it is asked for again.
    pub(super) fn answer(&self, fingerprint: &str) -> Result<Settled, Rejection> {
        if self.fingerprint != fingerprint {
            return Err(Rejection::DifferentContent);
        }
        match self.outcome {
            Outcome::Refused { wanted, available } => Err(self.not_available(wanted, available)),
            _ => Ok(self.as_it_is()),
        }
    }

    /// Decides what the arrival of its goods changes; all that were sent arrive where nothing else is said.
    pub(super) fn arrive(&self, quantity: Option<i64>) -> Result<Vec<Event>, Rejection> {
        let (to, sent) = match &self.outcome {
            Outcome::InTransit { to, sent, .. } => (to, *sent),
            Outcome::Arrived { arrived, .. } if quantity.is_none_or(|quantity| quantity == *arrived) => {
                return Ok(Vec::new());
            }
            Outcome::Arrived { .. } => return Err(Rejection::DifferentContent),
            Outcome::Entered { .. } | Outcome::Transferred { .. } => return Err(Rejection::NotInTransit),
            Outcome::Refused { wanted, available } => return Err(self.not_available(*wanted, *available)),
        };
        let quantity = quantity.unwrap_or(sent);
        if quantity > sent {
            return Err(Rejection::MoreThanSent { sent });
        }
        let (movement, sku, from) = (self.name.clone(), self.sku.clone(), self.warehouse.clone());
        let (to, level) = (to.clone(), Level::default());
        let arrived = say::StockTransferArrived { movement, sku, from, to, sent, quantity, level };
        let lost = (quantity < sent).then(|| {
            let (movement, sku, from) = (self.name.clone(), self.sku.clone(), self.warehouse.clone());
            let (to, quantity) = (arrived.to.clone(), sent - quantity);
            say::StockLostInTransit { movement, sku, from, to, quantity, level }
        });
        Ok([Some(arrived.into()), lost.map(Event::from)].into_iter().flatten().collect())
    }

    /// As the answer to whatever has reached what was asked for.
    pub(super) fn as_it_is(&self) -> Settled {
        Settled::Moved { is_new: false, movement: Box::new(self.clone()) }
    }

    fn not_available(&self, wanted: i64, available: i64) -> Rejection {
        Rejection::NotAvailable { sku: self.sku.clone(), warehouse: self.warehouse.clone(), wanted, available }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn movement(act: Act) -> Movement {
        let (sku, warehouse) = ("a".parse().unwrap(), "leeds".parse().unwrap());
        Movement { name: "m-1".parse().unwrap(), fingerprint: "f".into(), sku, warehouse, act }
    }

    fn transfer(quantity: i64, travels: bool) -> Movement {
        movement(Act::Transfer { to: "bristol".parse().unwrap(), quantity, travels })
    }

    /// Ten pieces in Leeds, three of them held; none in Bristol, where one is owed.
    fn pool(warehouse: &Warehouse) -> Pool {
        let leeds = Pool { on_hand: 10, reserved: 3, ..Pool::default() };
        let bristol = Pool { owed_firmly: 1, ..Pool::default() };
        BTreeMap::from([("leeds", leeds), ("bristol", bristol)])[warehouse.as_str()]
    }

    fn in_transit(sent: i64) -> MovementRecord {
        MovementRecord {
            number: Number::from_column(1),
            owner: "local".into(),
            name: "m-1".parse().unwrap(),
            fingerprint: "f".into(),
            sku: "a".parse().unwrap(),
            warehouse: "leeds".parse().unwrap(),
            outcome: Outcome::InTransit {
                to: "bristol".parse().unwrap(),
                sent,
                from_level: Level::default(),
                to_level: Level::default(),
            },
            version: 1,
        }
    }

    #[test]
    fn a_transfer_cannot_take_what_is_promised() {
        for travels in [false, true] {
            let (events, answer) = transfer(8, travels).decide(pool);
            assert!(matches!(events[..], [Event::StockMovementRejected(_)]), "{events:?}");
            assert!(matches!(answer, Err(Rejection::NotAvailable { wanted: 8, available: 7, .. })), "{answer:?}");
        }
    }

    #[test]
    fn what_does_not_arrive_is_lost_and_said_so() {
        let events = in_transit(7).arrive(Some(5)).unwrap();
        let [Event::StockTransferArrived(arrived), Event::StockLostInTransit(lost)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((arrived.sent, arrived.quantity, lost.quantity), (7, 5, 2));
        let whole = in_transit(7).arrive(None).unwrap();
        assert!(matches!(&whole[..], [Event::StockTransferArrived(e)] if e.quantity == 7), "{whole:?}");
        let nothing = in_transit(7).arrive(Some(0)).unwrap();
        assert!(matches!(&nothing[..], [_, Event::StockLostInTransit(e)] if e.quantity == 7), "{nothing:?}");
        assert_eq!(in_transit(7).arrive(Some(8)), Err(Rejection::MoreThanSent { sent: 7 }));
    }

    #[test]
    fn goods_arrive_once_and_only_if_they_travel() {
        let level = Level::default();
        let to: Warehouse = "bristol".parse().unwrap();
        let with = |outcome: Outcome| MovementRecord { outcome, ..in_transit(7) };
        let arrived = with(Outcome::Arrived { to: to.clone(), sent: 7, arrived: 5, level });
        assert_eq!((arrived.arrive(None), arrived.arrive(Some(5))), (Ok(vec![]), Ok(vec![])));
        assert_eq!(arrived.arrive(Some(6)), Err(Rejection::DifferentContent));
        assert_eq!(with(Outcome::Entered { level }).arrive(None), Err(Rejection::NotInTransit));
        let at_once = with(Outcome::Transferred { to, from_level: level, to_level: level });
        assert_eq!(at_once.arrive(None), Err(Rejection::NotInTransit));
        let refused = with(Outcome::Refused { wanted: 7, available: 1 });
        assert!(matches!(refused.arrive(None), Err(Rejection::NotAvailable { .. })));
    }
}

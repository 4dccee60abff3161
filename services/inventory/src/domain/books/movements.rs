//! What is decided of movements, with the levels that the books have.

use ids::{Name, Number};

use super::{Books, Decision, key, nothing_but};
use crate::domain::command::{Movement, Rejection, Settled};
use crate::domain::movement::{MovementRecord, Outcome};
use contracts::inventory::Level;

impl Books {
    pub(super) fn decide_movement(
        &self,
        owner: &str,
        movement: &Movement,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        if let Some(known) = self.movements.get(&key(owner, &movement.name)) {
            return nothing_but(known.answer(&movement.fingerprint));
        }
        let number = new_number();
        let (events, answer) = movement.decide(|warehouse| self.pool(&movement.sku, warehouse));
        let blank = MovementRecord {
            number,
            owner: owner.to_owned(),
            name: movement.name.clone(),
            fingerprint: movement.fingerprint.clone(),
            sku: movement.sku.clone(),
            warehouse: movement.warehouse.clone(),
            outcome: Outcome::Entered { level: Level::default() },
            version: 0,
        };
        let mut events: Vec<_> = events.into_iter().map(|event| (number, event)).collect();
        if answer.is_ok() {
            events.extend(self.falls_short(movement, number));
        }
        (events, answer.map(|()| Settled::Moved { is_new: true, movement: Box::new(blank) }))
    }

    pub(super) fn decide_arrival(&self, owner: &str, name: &Name, quantity: Option<i64>) -> Decision {
        let Some(movement) = self.movements.get(&key(owner, name)) else {
            return nothing_but(Err(Rejection::UnknownMovement));
        };
        match movement.arrive(quantity) {
            Ok(events) => {
                let events = events.into_iter().map(|event| (movement.number, event)).collect();
                (events, Ok(movement.as_it_is()))
            }
            Err(no) => nothing_but(Err(no)),
        }
    }
}

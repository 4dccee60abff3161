//! What is decided of warehouses, and what it means for a promise.

use contracts::inventory::Terms;
use ids::{Number, Warehouse};
use world::Moment;

use super::{Books, Decision, Policy, nothing_but};
use crate::domain::allocation::Sources;
use crate::domain::command::Settled;
use crate::domain::warehouse::{Site, WarehouseSettings};

impl Books {
    /// Where a promise may come from under such terms.
    pub(super) fn sources<'a>(&'a self, policy: &'a Policy, terms: Option<&'a Terms>, now: Moment) -> Sources<'a> {
        Sources { policy, warehouses: &self.warehouses, skus: &self.skus, terms, backorder: true, now }
    }

    pub(super) fn decide_warehouse(
        &self,
        warehouse: &Warehouse,
        site: &Site,
        seen: Option<i64>,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        let before = self.warehouses.get(warehouse).cloned().unwrap_or_default();
        match before.decide(warehouse, site, seen) {
            Ok(None) => nothing_but(Ok(Settled::Warehouse(Box::new(before)))),
            Ok(Some(event)) => {
                let number = if before.version == 0 { new_number() } else { before.number };
                let after = WarehouseSettings { number, site: site.clone(), version: before.version + 1 };
                (vec![(number, event)], Ok(Settled::Warehouse(Box::new(after))))
            }
            Err(no) => nothing_but(Err(no)),
        }
    }
}

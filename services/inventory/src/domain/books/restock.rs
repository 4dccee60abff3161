//! What is decided of restock points, and said when a level crosses its threshold.

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory as say;
use ids::{Number, Sku, Warehouse};
use world::Moment;

use super::{Books, Decision};
use crate::domain::command::Settled;
use crate::domain::pool::Pool;
use crate::domain::restock::{Reorder, RestockPoint};

impl Books {
    /// Where more of a SKU is wanted from now on; nowhere else.
    pub(super) fn decide_restock(
        &self,
        sku: &Sku,
        points: &BTreeMap<Warehouse, Reorder>,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        let known = self.restock.get(sku).into_iter().flat_map(BTreeMap::keys);
        let warehouses: BTreeSet<&Warehouse> = known.chain(points.keys()).collect();
        let mut events = Vec::new();
        for warehouse in warehouses {
            let (before, reorder) = (self.restock_point(sku, warehouse), points.get(warehouse).copied());
            if let Some(event) = before.decide(sku, warehouse, reorder) {
                let number = if before.version == 0 { new_number() } else { before.number };
                events.push((number, event));
            }
        }
        (events, Ok(Settled::Restock { sku: sku.clone(), points: Vec::new() }))
    }

    /// The warehouses in which somebody wants to know when a SKU runs low, with the level there.
    pub(super) fn restock_of(&self, sku: &Sku) -> Vec<(Warehouse, RestockPoint, Pool)> {
        let points = self.restock.get(sku).into_iter().flatten().filter(|(_, point)| point.reorder.is_some());
        points.map(|(warehouse, point)| (warehouse.clone(), *point, self.pool(sku, warehouse))).collect()
    }

    fn restock_point(&self, sku: &Sku, warehouse: &Warehouse) -> RestockPoint {
        self.restock.get(sku).and_then(|points| points.get(warehouse)).copied().unwrap_or_default()
    }

    /// Says which of the levels that have changed have crossed their threshold.
    ///
    /// A command may take a level down and up again, so this comes when all of it has happened.
    pub(super) fn say_what_crossed(&mut self, asker: &str, now: Moment) {
        for (sku, warehouse) in std::mem::take(&mut self.watched) {
            let point = self.restock_point(&sku, &warehouse);
            if let Some(event) = point.crossed(&sku, &warehouse, self.pool(&sku, &warehouse)) {
                self.say(point.number, asker, now, event);
            }
        }
    }

    /// Notes that a level changes, if somebody wants to know when it runs low.
    pub(super) fn watch(&mut self, sku: &Sku, warehouse: &Warehouse) {
        if self.restock.get(sku).is_some_and(|points| points.contains_key(warehouse)) {
            self.watched.insert((sku.clone(), warehouse.clone()));
        }
    }

    pub(super) fn restock_point_changed(&mut self, stream: Number, e: &say::RestockPointChanged) -> i64 {
        let reorder = e.threshold.zip(e.target).map(|(threshold, target)| Reorder { threshold, target });
        let version = self.change_restock(&e.sku, &e.warehouse, |point| {
            (point.number, point.reorder) = (stream, reorder);
        });
        self.watch(&e.sku, &e.warehouse);
        version
    }

    pub(super) fn ran_low(&mut self, sku: &Sku, warehouse: &Warehouse, is_low: bool) -> i64 {
        self.change_restock(sku, warehouse, |point| point.is_low = is_low)
    }

    fn change_restock(&mut self, sku: &Sku, warehouse: &Warehouse, change: impl FnOnce(&mut RestockPoint)) -> i64 {
        let points = self.restock.entry(sku.clone()).or_default();
        let is_known = points.contains_key(warehouse);
        self.changed_restock.entry((sku.clone(), warehouse.clone())).or_insert(is_known);
        let point = points.entry(warehouse.clone()).or_default();
        change(point);
        point.version += 1;
        point.version
    }
}

//! What was said of a warehouse, and what it means for promises.

use std::collections::BTreeMap;

use contracts::inventory::{Event, WarehouseChanged};
use ids::{Name, Number, Warehouse};

use super::command::Rejection;

/// What can be said of a warehouse; the default is what holds for one of which nothing was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What people call it.
    pub name: Option<String>,
    /// Its place in the order in which warehouses are emptied, the lowest first.
    pub priority: Option<i64>,
    /// The markets that it serves; every market where there are none.
    pub markets: Vec<Name>,
    /// Whether anything is newly promised from it.
    pub active: bool,
}

impl Default for Site {
    fn default() -> Self {
        Self { name: None, priority: None, markets: Vec::new(), active: true }
    }
}

impl From<WarehouseChanged> for Site {
    fn from(said: WarehouseChanged) -> Self {
        let WarehouseChanged { warehouse: _, name, priority, markets, active } = said;
        Self { name, priority, markets, active }
    }
}

impl Site {
    /// Whether something may newly be promised from it, for a market where one is said.
    pub fn serves(&self, market: Option<&Name>) -> bool {
        let serves_it = |market| self.markets.is_empty() || self.markets.contains(market);
        self.active && market.is_none_or(serves_it)
    }
}

/// A warehouse as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarehouseSettings {
    /// Our number for it.
    pub number: Number,
    /// What was said last.
    pub site: Site,
    /// How many events it has had; 0 as long as nobody has said anything about it.
    pub version: i64,
}

impl Default for WarehouseSettings {
    fn default() -> Self {
        Self { number: Number::from_column(0), site: Site::default(), version: 0 }
    }
}

/// The warehouses of which something was said.
pub(super) type Warehouses = BTreeMap<Warehouse, WarehouseSettings>;

impl WarehouseSettings {
    /// Decides what it means to say this of a warehouse; `seen` is the version that the caller has seen.
    pub(super) fn decide(
        &self,
        warehouse: &Warehouse,
        site: &Site,
        seen: Option<i64>,
    ) -> Result<Option<Event>, Rejection> {
        if seen.is_some_and(|seen| seen != self.version) {
            return Err(Rejection::ChangedMeanwhile);
        }
        if self.site == *site {
            return Ok(None);
        }
        let Site { name, priority, markets, active } = site.clone();
        Ok(Some(WarehouseChanged { warehouse: warehouse.clone(), name, priority, markets, active }.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_warehouse_is_said_once() {
        let leeds: Warehouse = "leeds".parse().unwrap();
        let closed = Site { active: false, ..Site::default() };
        let unknown = WarehouseSettings::default();
        assert_eq!(unknown.decide(&leeds, &Site::default(), None), Ok(None), "it is so already");
        let Ok(Some(Event::WarehouseChanged(e))) = unknown.decide(&leeds, &closed, Some(0)) else { panic!() };
        assert_eq!((e.warehouse, e.active), (leeds.clone(), false));
        let known = WarehouseSettings { site: closed.clone(), version: 1, ..unknown };
        assert_eq!(known.decide(&leeds, &closed, None), Ok(None));
        assert_eq!(known.decide(&leeds, &closed, Some(0)), Err(Rejection::ChangedMeanwhile));
    }

    #[test]
    fn a_warehouse_serves_the_markets_that_were_said_or_all_while_it_is_active() {
        let (gb, fr): (Name, Name) = ("GB".parse().unwrap(), "FR".parse().unwrap());
        let anywhere = Site::default();
        let british = Site { markets: vec![gb.clone()], ..Site::default() };
        let closed = Site { active: false, ..Site::default() };
        assert_eq!([anywhere.serves(None), anywhere.serves(Some(&fr))], [true, true]);
        assert_eq!([british.serves(None), british.serves(Some(&gb)), british.serves(Some(&fr))], [true, true, false]);
        assert_eq!([closed.serves(None), closed.serves(Some(&gb))], [false, false]);
    }
}

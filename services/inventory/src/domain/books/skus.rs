//! What is decided of SKUs, and what their settings mean for a promise.

use contracts::inventory::Short;
use ids::{Number, Sku};

use super::{Books, Decision, nothing_but};
use crate::domain::command::Settled;
use crate::domain::sku::{Offer, SkuSettings, sold_no_more};

impl Books {
    pub(super) fn settings(&self, sku: &Sku) -> SkuSettings {
        self.skus.get(sku).copied().unwrap_or_default()
    }

    pub(super) fn decide_sku(
        &self,
        sku: &Sku,
        offer: Offer,
        seen: Option<i64>,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        let settings = self.settings(sku);
        let events = match settings.decide(sku, offer, seen) {
            Ok(events) => events,
            Err(no) => return nothing_but(Err(no)),
        };
        let number = if settings.version == 0 && !events.is_empty() { new_number() } else { settings.number };
        let events = events.into_iter().map(|event| (number, event)).collect();
        (events, Ok(Settled::Sku { sku: sku.clone(), settings }))
    }

    /// Of what is wanted, that which is sold no more.
    pub(super) fn discontinued<'a>(&self, wanted: impl Iterator<Item = (&'a Sku, i64)>) -> Vec<Short> {
        sold_no_more(wanted.filter(|(sku, _)| self.settings(sku).offer.discontinued))
    }
}

//! What is decided of SKUs, and what their settings mean for a promise.

use contracts::inventory::Short;
use ids::{Number, Sku};

use super::{Books, Decision, nothing_but};
use crate::domain::command::Settled;
use crate::domain::sku::{SkuSettings, sold_no_more};

impl Books {
    pub(super) fn settings(&self, sku: &Sku) -> SkuSettings {
        self.skus.get(sku).copied().unwrap_or_default()
    }

    pub(super) fn decide_sku(
        &self,
        sku: &Sku,
        discontinued: bool,
        seen: Option<i64>,
        new_number: &dyn Fn() -> Number,
    ) -> Decision {
        let settings = self.settings(sku);
        match settings.decide(sku, discontinued, seen) {
            Ok(None) => nothing_but(Ok(Settled::Sku(settings))),
            Ok(Some(event)) => {
                let number = if settings.version == 0 { new_number() } else { settings.number };
                let after = SkuSettings { number, discontinued, version: settings.version + 1 };
                (vec![(number, event)], Ok(Settled::Sku(after)))
            }
            Err(no) => nothing_but(Err(no)),
        }
    }

    /// Of what is wanted, that which is sold no more.
    pub(super) fn discontinued<'a>(&self, wanted: impl Iterator<Item = (&'a Sku, i64)>) -> Vec<Short> {
        sold_no_more(wanted.filter(|(sku, _)| self.settings(sku).discontinued))
    }
}

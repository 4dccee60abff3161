//! What an operator may choose about inventory.

use contracts::inventory::AllocateBy;
use ids::Warehouse;
use serde::Deserialize;
use settings::{Field, Kind, Section};

use crate::domain::{Policy, Thresholds};

/// What an operator may choose about inventory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How long stock is held when a reservation does not say it.
    pub hold_secs: u32,
    /// The order in which warehouses without a priority are emptied; those not named follow by name.
    pub warehouses: Vec<Warehouse>,
    /// By which rule the warehouses of a reservation are chosen that does not say it.
    pub allocation: AllocateBy,
    /// Whether a line may come from several warehouses, where the reservation does not say it.
    pub allow_split: bool,
    /// Whether committed goods leave the shelf at once; right as long as no fulfilment ships them.
    pub ship_on_commit: bool,
    /// Up to how many pieces the signal of a SKU is `low`.
    pub low_upto: u32,
    /// From how many pieces on it is `plenty`.
    pub plenty_from: u32,
    /// How much memory stock takes that was read lately, so that it is not looked up again.
    pub recent_mib: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hold_secs: 900,
            warehouses: Vec::new(),
            allocation: AllocateBy::default(),
            allow_split: true,
            ship_on_commit: true,
            low_upto: 5,
            plenty_from: 100,
            recent_mib: 128,
        }
    }
}

impl Config {
    /// Two settings that contradict each other, with how they must be to each other.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str, &'static str)> {
        (self.plenty_from <= self.low_upto).then_some((
            "inventory.low_upto",
            "inventory.plenty_from",
            "plenty must begin above what is low",
        ))
    }

    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds { low_upto: self.low_upto.into(), plenty_from: self.plenty_from.into() }
    }

    pub(crate) fn recent_bytes(&self) -> usize {
        usize::try_from(self.recent_mib).unwrap_or(0).saturating_mul(1024 * 1024)
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            warehouses: self.warehouses.clone(),
            allocation: self.allocation,
            allow_split: self.allow_split,
            ship_on_commit: self.ship_on_commit,
        }
    }
}

/// The settings of inventory.
pub const SECTION: Section = Section {
    name: "inventory",
    meaning: "Stock and the promises of it.",
    fields: &[
        Field {
            name: "hold_secs",
            kind: Kind::AtLeast(1),
            default: "900",
            meaning: "How long stock is held when a reservation does not say it.",
        },
        Field {
            name: "warehouses",
            kind: Kind::List,
            default: "",
            meaning: "The order in which warehouses without a priority are emptied; those not named follow by name.",
        },
        Field {
            name: "allocation",
            kind: Kind::Text,
            default: "priority",
            meaning: "By which rule the warehouses of a reservation are chosen that does not say it: `priority` empties them in their order, `fewest_parcels` takes few that have all of it.",
        },
        Field {
            name: "allow_split",
            kind: Kind::Flag,
            default: "true",
            meaning: "Whether a line may come from several warehouses, where the reservation does not say it.",
        },
        Field {
            name: "ship_on_commit",
            kind: Kind::Flag,
            default: "true",
            meaning: "Whether committed goods leave the shelf at once; right as long as no fulfilment ships them.",
        },
        Field {
            name: "low_upto",
            kind: Kind::AtLeast(0),
            default: "5",
            meaning: "Up to how many pieces the signal of a SKU is `low`.",
        },
        Field {
            name: "plenty_from",
            kind: Kind::AtLeast(0),
            default: "100",
            meaning: "From how many pieces on it is `plenty`.",
        },
        Field {
            name: "recent_mib",
            kind: Kind::AtLeast(0),
            default: "128",
            meaning: "How much memory stock takes at most that was read lately, so that it is not looked up again: a SKU in four warehouses takes about 200 bytes. After a start all stock is read once, as far as there is room.",
        },
    ],
};

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_says_what_the_settings_are() {
        settings::check_reference::<super::Config>(super::SECTION.fields);
    }

    #[test]
    fn plenty_that_begins_within_what_is_low_is_a_contradiction() {
        let of = |low_upto, plenty_from| super::Config { low_upto, plenty_from, ..super::Config::default() };
        assert!(super::Config::default().contradiction().is_none() && of(5, 6).contradiction().is_none());
        assert!(of(5, 5).contradiction().is_some());
    }
}

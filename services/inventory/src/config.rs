//! What an operator may choose about inventory.

use ids::Warehouse;
use serde::Deserialize;
use settings::{Field, Kind, Section};

use crate::domain::Policy;

/// What an operator may choose about inventory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How long stock is held when a reservation does not say it.
    pub hold_secs: u32,
    /// The order in which warehouses are emptied; those not named follow by name.
    pub warehouses: Vec<Warehouse>,
    /// Whether a line may come from several warehouses.
    pub allow_split: bool,
    /// Whether committed goods leave the shelf at once; right as long as no fulfilment ships them.
    pub ship_on_commit: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { hold_secs: 900, warehouses: Vec::new(), allow_split: true, ship_on_commit: true }
    }
}

impl Config {
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            warehouses: self.warehouses.clone(),
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
            meaning: "The order in which warehouses are emptied; those not named follow by name.",
        },
        Field {
            name: "allow_split",
            kind: Kind::Flag,
            default: "true",
            meaning: "Whether a line may come from several warehouses.",
        },
        Field {
            name: "ship_on_commit",
            kind: Kind::Flag,
            default: "true",
            meaning: "Whether committed goods leave the shelf at once; right as long as no fulfilment ships them.",
        },
    ],
};

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_says_what_the_settings_are() {
        settings::check_reference::<super::Config>(super::SECTION.fields);
    }
}

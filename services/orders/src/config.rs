//! What an operator may choose about orders.

use std::time::Duration;

use serde::Deserialize;
use settings::{Field, Kind, Section};

use crate::domain::Policy;

/// What an operator may choose about orders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How long the stock of an order is held.
    pub hold_secs: u32,
    /// How long before the end of the hold an authorization must be there.
    pub pay_margin_secs: u32,
    /// How long a step may take before its owner is asked again, or asked to give up; asked often already, it has
    /// longer, up to an hour.
    pub patience_secs: u32,
    /// What happens when the stock of a paid order is gone: `cancel` or `attention`.
    pub on_lost_stock: OnLoss,
    /// What happens when the money of a committed order cannot be captured: `attention` or `cancel`.
    pub on_lost_money: OnLoss,
}

/// What happens when one half of an order is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    /// The other half is undone, and the order cancelled.
    Cancel,
    /// A person decides.
    Attention,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hold_secs: 900,
            pay_margin_secs: 60,
            patience_secs: 30,
            on_lost_stock: OnLoss::Cancel,
            on_lost_money: OnLoss::Attention,
        }
    }
}

impl Config {
    /// Two settings that contradict each other, with how they must be to each other.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str, &'static str)> {
        (self.pay_margin_secs >= self.hold_secs).then_some((
            "orders.pay_margin_secs",
            "orders.hold_secs",
            "the margin must be shorter than the hold, or no order can be paid",
        ))
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            hold: Duration::from_secs(self.hold_secs.into()),
            pay_margin: Duration::from_secs(self.pay_margin_secs.into()),
            patience: Duration::from_secs(self.patience_secs.into()),
            lost_stock_needs_a_person: self.on_lost_stock == OnLoss::Attention,
            lost_money_needs_a_person: self.on_lost_money == OnLoss::Attention,
        }
    }
}

/// The settings of orders.
pub const SECTION: Section = Section {
    name: "orders",
    meaning: "Orders and their story.",
    fields: &[
        Field {
            name: "hold_secs",
            kind: Kind::AtLeast(1),
            default: "900",
            meaning: "How long the stock of an order is held.",
        },
        Field {
            name: "pay_margin_secs",
            kind: Kind::AtLeast(0),
            default: "60",
            meaning: "How long before the end of the hold an authorization must be there.",
        },
        Field {
            name: "patience_secs",
            kind: Kind::AtLeast(1),
            default: "30",
            meaning: "How long a step may take before its owner is asked again, or asked to give up; asked often already, it has longer, up to an hour.",
        },
        Field {
            name: "on_lost_stock",
            kind: Kind::Text,
            default: "cancel",
            meaning: "What happens when the stock of a paid order is gone: `cancel` (the money is given back) or `attention` (a person decides).",
        },
        Field {
            name: "on_lost_money",
            kind: Kind::Text,
            default: "attention",
            meaning: "What happens when the money of a committed order cannot be captured: `attention` (a person decides) or `cancel` (the stock is returned).",
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

//! What an operator may choose.

use serde::Deserialize;
use settings::{Field, Kind, Section};

/// What an operator may choose about payments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How long a call to the provider may take.
    pub provider_timeout_ms: u64,
    /// Calls to the provider at once, at most.
    pub calls_at_once: usize,
    /// Tries of one payment at the provider, at most.
    pub max_tries: u32,
    /// How long after a call without an answer the provider is asked again; twice as long each time.
    pub retry_ms: u64,
    /// The longest time between two questions to the provider.
    pub retry_at_most_ms: u64,
    /// How often it is looked what has become due.
    pub due_every_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            provider_timeout_ms: 10_000,
            calls_at_once: 64,
            max_tries: 4,
            retry_ms: 500,
            retry_at_most_ms: 30_000,
            due_every_ms: 250,
        }
    }
}

impl Config {
    /// Two settings that contradict each other, with how they must be to each other.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str, &'static str)> {
        (self.retry_ms > self.retry_at_most_ms).then_some((
            "payments.retry_ms",
            "payments.retry_at_most_ms",
            "the first wait must not be longer than the longest",
        ))
    }
}

/// The settings of payments, as the reference shows them.
pub const SECTION: Section = Section {
    name: "payments",
    meaning: "Payments and the provider that moves the money.",
    fields: &[
        Field {
            name: "provider_timeout_ms",
            kind: Kind::AtLeast(1),
            default: "10000",
            meaning: "How long a call to the provider may take; after that its outcome is unknown, and it is asked.",
        },
        Field {
            name: "calls_at_once",
            kind: Kind::AtLeast(1),
            default: "64",
            meaning: "Calls to the provider at once, at most.",
        },
        Field {
            name: "max_tries",
            kind: Kind::AtLeast(1),
            default: "4",
            meaning: "Tries of one payment at the provider, at most; then it is declined.",
        },
        Field {
            name: "retry_ms",
            kind: Kind::AtLeast(1),
            default: "500",
            meaning: "How long after a call without an answer the provider is asked again; twice as long each time.",
        },
        Field {
            name: "retry_at_most_ms",
            kind: Kind::AtLeast(1),
            default: "30000",
            meaning: "The longest time between two questions to the provider about one payment.",
        },
        Field {
            name: "due_every_ms",
            kind: Kind::AtLeast(1),
            default: "250",
            meaning: "How often it is looked what has become due.",
        },
    ],
};

#[cfg(test)]
mod tests {
    use super::{Config, SECTION};

    #[test]
    fn the_reference_says_what_the_settings_are() {
        settings::check_reference::<Config>(SECTION.fields);
    }
}

//! What an operator may choose.

use serde::Deserialize;
use settings::{Field, Kind, Section};
use web::Reach;

/// What an operator may choose about notifications.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Whether webhooks may go into the operator's own network, and without TLS.
    pub allow_private_targets: bool,
    /// How long an endpoint may take to answer.
    pub timeout_ms: u64,
    /// How long a connection may take to come about.
    pub connect_timeout_ms: u64,
    /// Messages on their way at once, at most.
    pub calls_at_once: usize,
    /// Messages on their way to one endpoint at once, at most.
    pub calls_at_once_each: usize,
    /// How long an endpoint may fail before it is paused.
    pub pause_after_hours: u64,
    /// How long messages and what became of them are kept.
    pub keep_hours: u64,
    /// How often it is looked what has become due.
    pub due_every_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_private_targets: false,
            timeout_ms: 15_000,
            connect_timeout_ms: 5_000,
            calls_at_once: 256,
            calls_at_once_each: 8,
            pause_after_hours: 72,
            keep_hours: 72,
            due_every_ms: 250,
        }
    }
}

impl Config {
    /// How far webhooks may go.
    pub(crate) fn reach(&self) -> Reach {
        if self.allow_private_targets { Reach::Everywhere } else { Reach::Public }
    }
}

/// The settings of notifications, as the reference shows them.
pub const SECTION: Section = Section {
    name: "notifications",
    meaning: "Signed webhooks.",
    fields: &[
        Field {
            name: "allow_private_targets",
            kind: Kind::Flag,
            default: "false",
            meaning: "Whether webhooks may go to private addresses, to this machine and without TLS. Whoever may \
                      register an endpoint then reaches whatever this machine reaches.",
        },
        Field {
            name: "timeout_ms",
            kind: Kind::AtLeast(1),
            default: "15000",
            meaning: "How long an endpoint may take to answer; after that the message is sent again.",
        },
        Field {
            name: "connect_timeout_ms",
            kind: Kind::AtLeast(1),
            default: "5000",
            meaning: "How long a connection to an endpoint may take to come about.",
        },
        Field {
            name: "calls_at_once",
            kind: Kind::AtLeast(1),
            default: "256",
            meaning: "Messages on their way at once, at most; each endpoint that has something to get has a fair share \
                      of them, and one at least.",
        },
        Field {
            name: "calls_at_once_each",
            kind: Kind::AtLeast(1),
            default: "8",
            meaning: "Messages on their way to one endpoint at once, at most.",
        },
        Field {
            name: "pause_after_hours",
            kind: Kind::AtLeast(1),
            default: "72",
            meaning: "How long an endpoint may fail before it is paused; then a person resumes it.",
        },
        Field {
            name: "keep_hours",
            kind: Kind::AtLeast(1),
            default: "72",
            meaning: "How long messages and what became of them are kept, to be looked at and sent again; what an \
                      endpoint has still to get is kept until it got it.",
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

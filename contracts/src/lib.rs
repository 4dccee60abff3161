//! What services say to each other, and nothing else that they could know of each other.
//!
//! ```text
//! orders ── OrderPlaced, StockCommitDue, StockReleaseDue, StockReturnDue ──▶ inventory
//! orders ◀─ StockReserved, StockReservationRejected, StockCommitted, …   ── inventory
//! orders ── PaymentDue, CaptureDue, PaymentVoidDue ──▶ payments
//! orders ◀─ PaymentAuthorized, PaymentDeclined, PaymentCaptured, …  ── payments
//! ```
//!
//! One module for each service, with the events that it publishes. An event's type stays within what
//! Avro can say: records, enumerations by name, lists, optional members.
//!
//! **Invariant:** what was published once can be read forever: `golden/` holds an example of every
//! type and version, and a test reads them all.

pub mod inventory;
pub mod notifications;
pub mod orders;
pub mod payments;

use std::fmt;

/// An event whose body is not what its type promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Makes the enumeration of a service's events from their types, each with the version of its schema.
macro_rules! events {
    ($(#[$doc:meta])* $source:literal { $($(#[$of:meta])* $kind:ident = $schema:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$of])* $kind($kind)),+
        }

        impl Event {
            /// The service that publishes these events.
            pub const SOURCE: &'static str = $source;
            /// Every type with the version in which it is written.
            pub const KINDS: &'static [(&'static str, i64)] = &[$((stringify!($kind), $schema)),+];

            /// The name of its type.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($kind)),+ }
            }

            /// The version of its type's schema.
            pub fn schema(&self) -> i64 {
                match self { $(Self::$kind(_) => $schema),+ }
            }

            /// Its body as JSON.
            pub fn body(&self) -> String {
                match self { $(Self::$kind(event) => crate::written(event)),+ }
            }

            /// Reads an event; none for a type that this release does not know.
            pub fn read(kind: &str, body: &str) -> Result<Option<Self>, crate::Unreadable> {
                match kind {
                    $(stringify!($kind) => crate::read(kind, body).map(|event| Some(Self::$kind(event))),)+
                    _ => Ok(None),
                }
            }
        }

        $(impl From<$kind> for Event {
            fn from(event: $kind) -> Self {
                Self::$kind(event)
            }
        })+
    };
}
use events;

fn written(event: &impl serde::Serialize) -> String {
    serde_json::to_string(event).expect("an event has only names and values that JSON can hold")
}

fn read<T: serde::de::DeserializeOwned>(kind: &str, body: &str) -> Result<T, Unreadable> {
    serde_json::from_str(body).map_err(|error| Unreadable(format!("a {kind}: {error}")))
}

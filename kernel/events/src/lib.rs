//! What services tell each other: said once, heard at least once, acted on once.
//!
//! ```text
//! producer: tx.publish ─▶ table `event` + ring          consumer: Listener (an inlet of its desk)
//!                              │                            ▲   cursor, parked events and dead
//!                              └──── Feed: table · HTTP ────┘   letters stand in its own database
//! ```
//!
//! A feed is read, not subscribed to: the consumer says after which position it wants to go on.
//! What it has dealt with is a cursor for each partition, moved by the transaction that holds the
//! effect; so an event that is delivered twice, late or again after a crash changes nothing.
//!
//! **Invariant:** order is promised for the events of one subject, and nothing more.
//!
//! **Invariant:** a consumer that meets an incarnation it does not know stops and says so: the
//! producer was restored, and what it says now need not follow from what it said before.
//!
//! Reading order: `feed` (the port), `table` (the carrier within a process), `no_feed`, `listener` (the
//! consumer), `status`, `parked` (events that have to wait, and dead letters), `settled` (what people did with those), `document` (events as JSON), `cause` (why one
//! happened, for people), `watch` (waiting for what a feed will say).

mod cause;
mod document;
mod feed;
mod listener;
mod no_feed;
mod parked;
mod settled;
mod status;
mod table;
mod watch;

pub use cause::cause;
pub use db::{Envelope, PARTITIONS, Position, partition_of};
pub use document::EventDocument;
pub use feed::{Feed, FeedError, Partitions, Slice};
pub use listener::{Listener, Listening, Understood, Verdict, follow_restored};
pub use no_feed::NoFeed;
pub use parked::{
    DeadLetter, MOST_COUNTED, ParkedEvent, PutAside, dead_letters, dead_letters_after, discard, parked_events,
    parked_events_after, put_aside, replay,
};
pub use settled::{Became, SettledLetter, Settling, latest_settled_letters, settled_letters_after};
pub use status::Status;
pub use table::TableFeed;
pub use watch::{Ended, Watch};

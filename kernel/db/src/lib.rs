//! The one door to a service's database: commands go in as batches, rows and events come out.
//!
//! ```text
//! Desk ──▶ Worker ──▶ perform(tx, commands) ──▶ Session ──▶ SQLite file · PostgreSQL · memory
//!             ▲                                    │
//!          Inlet (feeds, due work)              COMMIT ──▶ answers, Ring
//! ```
//!
//! Reading order: `asked` (who asks), `tx` (what a service sees), `table` and `value` (rows),
//! `desk`, `worker` and `inlet` (batches), `keyed` (what is asked again under a key), `outbox` and `ring`
//! (events), `database` (opening and reading), `session`, `sqlite` with `flush` and `checkpoint`, `postgres`
//! (the two databases), `migrate`, `schema`, `checkup` (a database seen before it is opened),
//! `at_rest` (files on which nobody runs), `backup`, `documents` (a file that is no service's), `way` (which threads go first).
//!
//! **Invariant:** database drivers are used here and nowhere else.
//!
//! **Invariant:** both databases give the same answers; what differs between them ends in this crate,
//! and one suite runs on both (`tests/suite`).

mod asked;
mod at_rest;
mod backup;
mod checkpoint;
mod checkup;
mod database;
mod desk;
mod documents;
mod failure;
mod flush;
mod guarded;
mod inlet;
mod keyed;
mod meters;
mod migrate;
mod opening;
mod outbox;
mod postgres;
mod readers;
mod ring;
mod schema;
mod session;
mod sqlite;
mod table;
mod tx;
mod value;
mod way;
mod worker;

pub use asked::{Actor, Asked, Context, LOCAL_OWNER, Origin, Trace, Unreadable};
pub use at_rest::AtRest;
pub use backup::{Copied, Cut, check_file};
pub use checkup::{FileState, ServerState, is_exposed, look_at_file, look_at_server, server_of};
pub use database::{CannotOpen, Database, Location, Options};
pub use desk::{Answered, Crash, Desk, Kind, Opened, Perform, Plan, Turn, open_desk};
pub use documents::Documents;
pub use failure::{Failure, Refused};
pub use inlet::{Due, FindDue, Inlet, Room};
pub use keyed::{ANSWERS_KEPT_FOR, Keyed, KeyedAnswer, Say, StoredAnswer};
pub use meters::{Meters, Spent, spent};
pub use migrate::Migration;
pub use outbox::{BODY_LIMIT_BYTES, Envelope, NewEvent, PARTITIONS, Position, partition_of};
pub use ring::{Bell, InMemory, Ring};
pub use schema::describe;
pub use sqlite::{Durability, MemoryDisk};
pub use table::{Column, Query, Table, int, text};
pub use tx::{AskedAlong, Read, Tx};
pub use value::{Columns, Row, Value};
pub use way::give_way;
pub use worker::Worker;

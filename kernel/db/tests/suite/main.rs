//! What every database keeps: one suite for `SQLite`, `PostgreSQL` and memory.

mod alone;
mod aside;
mod backup;
mod batches;
mod borders;
mod child;
mod disk;
mod durability;
mod events;
mod inlets;
mod keyed;
mod locks;
mod migrations;
mod outcomes;
mod queue;
mod reads;
mod servers;
mod tally;
mod values;

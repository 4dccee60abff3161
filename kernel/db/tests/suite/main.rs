//! What every database keeps: one suite for SQLite, PostgreSQL and memory.

mod batches;
mod tally;

//! Inventory through its router, its desk and its feed, on every database.

mod shop;

mod admission;
mod availability;
mod backorders;
mod driven;
mod journal;
mod keys;
mod large;
mod movements;
mod reservations;
mod restock;
mod skus;
mod tables;
mod warehouses;
mod writers;

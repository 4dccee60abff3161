//! Notifications through its feed, its router and receivers on this machine.

mod shop;

mod asked_again;
mod deliveries;
mod endpoints;
mod keys;

//! A program over real sockets: what it says of itself, what it shows, and how it ends.

mod asking;
mod listening;
mod running;

mod aside;
mod docs;
mod ending;
mod feeds;
mod giving_way;
mod health;
mod metrics;
mod problems;
mod status;
mod streams;

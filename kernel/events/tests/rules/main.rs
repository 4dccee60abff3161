//! What a consumer does with what it hears, told turn by turn: a feed that says what the test wrote
//! down, and a service that answers as the test wills.
//!
//! What the carriers themselves promise is told in `kernel/host/tests/carriers`.

mod aside;
mod shop;
mod starting;
mod table;
mod turns;
mod watch;

//! Puts services together, runs them and ends them in good order.
//!
//! ```text
//! Ground (database, feeds, meters) ──▶ inventory::assemble(config, ground) ──▶ Service { routes, workers, tasks }
//!                                                                                │
//!        Program: threads for workers, tokio for tasks and connections ◀─────────┘
//!           ├─ web::guard ─▶ the services' routes, /, /health, /metrics, /problems, /docs, /v1/events, /v1/keys, dead letters
//!           └─ stop: take no more in ─▶ finish what is open ─▶ close the desks ─▶ join the threads
//! ```
//!
//! A program runs the workers on threads and the tasks on its runtime; a simulation drives both
//! itself. The service knows neither.
//!
//! Reading order: `service`, `program`, `board` (what the program knows of itself), then what is
//! drawn from that: `health`, `metrics`, `problems`, `feed_route`, `broadcast`, `feed_stream`, `aside`, `key_routes`, what is said of them
//! (`openapi`), where it is shown (`docs`), and `status_page`, which shows all of it to people, with `trend` (the last minutes) and `sign_in`; then [`HttpFeed`], the
//! other end of `feed_route`, and what a process needs once: `signals`, `panics`.
//!
//! **Invariant:** tasks and threads are started here, in `kernel/db` and in `kernel/web`'s server, and
//! each belongs to somebody who waits for its end.
//!
//! **Invariant:** a worker or a task that ends before it is told to ends the program with an error.

mod aside;
mod board;
mod broadcast;
mod docs;
mod feed_route;
mod feed_stream;
mod health;
mod http_feed;
mod key_routes;
mod metrics;
mod openapi;
mod otlp;
mod page;
mod panics;
mod problems;
mod program;
mod service;
mod sign_in;
mod signals;
mod status_page;
mod trend;

pub use aside::UNKNOWN_DEAD_LETTER;
pub use feed_route::{CURSOR_BEYOND_THE_END, CURSOR_OF_ANOTHER_LIFE, TOO_MANY_LISTENERS, UNKNOWN_SERVICE};
pub use health::NOT_READY;
pub use http_feed::HttpFeed;
pub use key_routes::{KeyDocument, UNKNOWN_KEY};
pub use otlp::{Collector, Otlp};
pub use panics::log_panics;
pub use program::{Broken, Program};
pub use service::{Column, Feeds, Ground, Overview, Service, Task, Work};
pub use signals::Signals;

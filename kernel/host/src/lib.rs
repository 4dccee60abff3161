//! Puts services together, runs them and ends them in good order.
//!
//! ```text
//! Ground (database, feeds, meters) ──▶ inventory::assemble(config, ground) ──▶ Service { routes, workers, tasks }
//! ```
//!
//! A program runs the workers on threads and the tasks on its runtime; a simulation drives both
//! itself. The service knows neither.

mod service;

pub use service::{Feeds, Ground, Service, Task, Work};

//! Orders: each one's story, from the first request to its end, and never lost on the way.
//!
//! ```text
//! api ───────┐
//! consumers ─┼─▶ perform ─▶ domain (decide, apply) ─▶ store ─▶ publish
//! jobs ──────┘
//! ```
//!
//! Reading order: `domain`, `perform`, `store`, `publish`, `consumers`, `jobs`, `api`, `config`.
//!
//! **Invariant:** an order's events are the truth; its row is what they fold to.
//!
//! **Invariant:** between any two messages the process may die and another may go on: what an order
//! waits for is a row with a deadline, never a future or a map.

pub mod api;
mod config;
mod consumers;
pub mod domain;
mod jobs;
mod perform;
mod publish;
mod store;

use db::{Failure, Migration, open_desk};
use events::{Listener, Watch};
use host::{Ground, Service, Task};

pub use config::{Config, OnLoss, SECTION};
pub use perform::{Answer, Told};
pub use store::orders_after;

/// The name of this service: of its settings, its schema and its feed.
pub const NAME: &str = "orders";

/// How its tables came to be.
pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "orders", sql: include_str!("../migrations/0001_orders.sql") },
    Migration { number: 2, name: "overdue", sql: include_str!("../migrations/0002_overdue.sql") },
    Migration { number: 3, name: "owner", sql: include_str!("../migrations/0003_owner.sql") },
];

/// Puts orders together on its ground.
pub fn assemble(config: &Config, ground: &Ground) -> Result<Service, Failure> {
    let inventory = Listener::to(ground.feeds.of(contracts::inventory::Event::SOURCE), consumers::INVENTORY);
    let payments = Listener::to(ground.feeds.of(contracts::payments::Event::SOURCE), consumers::PAYMENTS);
    let listens = vec![
        (contracts::inventory::Event::SOURCE, inventory.status()),
        (contracts::payments::Event::SOURCE, payments.status()),
    ];
    let due = jobs::overdue_orders();
    let perform = perform::under(config.policy());
    let (desk, workers) = open_desk(
        &ground.database,
        &perform::KIND,
        &perform,
        vec![Box::new(inventory), Box::new(payments), Box::new(due)],
        &ground.meters,
    )?;
    let watch = Watch::for_events(api::ends_a_story);
    let database = ground.database.clone();
    let routes = api::routes(api::Counter { desk: desk.clone(), database: database.clone(), watch: watch.clone() });
    let mut service = Service::new(&ground.database, routes, &desk, workers);
    service.tasks.push(Task { name: "orders: wakes those who wait", run: Box::pin(watch.run(database)) });
    service.listens = listens;
    service.overviews.push(api::overview::BY_STATUS);
    Ok(service)
}

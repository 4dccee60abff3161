//! Inventory: what lies where, what of it is promised, and never more than there is.
//!
//! ```text
//! api ───────┐
//! consumers ─┼─▶ perform ─▶ domain (decide, apply) ─▶ store ─▶ publish
//! jobs ──────┘
//! ```
//!
//! Reading order: `domain`, `perform`, `store`, `publish`, `api`, `consumers`, `jobs`, `config`.
//!
//! **Invariant:** of every SKU, received + counted differences + adjusted = on hand + in transit +
//! shipped; what live holds keep is what is reserved (or owed to them); nothing is negative.
//!
//! **Invariant:** all that it keeps of stock, promises, movements and settings follows from the events, row by row;
//! [`rebuild`] shows it.

pub mod api;
mod config;
mod consumers;
pub mod domain;
mod jobs;
mod perform;
mod publish;
mod rebuild;
mod store;

use std::sync::Arc;

use db::{Desk, Failure, Migration, open_desk};
use events::Listener;
use host::{Ground, Service, Task};

pub use config::{Config, SECTION};
pub use perform::Answer;
pub use rebuild::{Comparison, Difference, Kept, rebuild};
pub use store::levels;

use crate::domain::Command;
use crate::store::recent::Recent;

/// The name of this service: of its settings, its schema and its feed.
pub const NAME: &str = "inventory";

/// How its tables came to be.
pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "stock", sql: include_str!("../migrations/0001_stock.sql") },
    Migration { number: 2, name: "warehouses", sql: include_str!("../migrations/0002_warehouses.sql") },
    Migration { number: 3, name: "restock", sql: include_str!("../migrations/0003_restock.sql") },
    Migration { number: 4, name: "backorders", sql: include_str!("../migrations/0004_backorders.sql") },
    Migration { number: 5, name: "signals", sql: include_str!("../migrations/0005_signals.sql") },
    Migration { number: 6, name: "unserved", sql: include_str!("../migrations/0006_unserved.sql") },
];

/// The desk of inventory, for those who drive it without HTTP: benches.
pub type InventoryDesk = Desk<Command, Answer>;

/// Puts inventory together on its ground.
pub fn assemble(config: &Config, ground: &Ground) -> Result<Service, Failure> {
    assemble_with_desk(config, ground).map(|(service, _)| service)
}

/// Puts inventory together, and gives its desk beside it: for benches, which ask without HTTP.
pub fn assemble_with_desk(config: &Config, ground: &Ground) -> Result<(Service, InventoryDesk), Failure> {
    let orders = Listener::to(ground.feeds.of(contracts::orders::Event::SOURCE), consumers::ORDERS);
    let status = orders.status();
    let lapsed = jobs::lapsed_holds();
    let unserved = jobs::unserved_promises(ground.database.world().chance("promises that are served later"));
    let room = config.recent_bytes();
    let recent = (room > 0).then(|| Recent::with_room_for(room, ground.database.is_ours_alone()));
    let stamped = recent.as_ref().and_then(Recent::stamped);
    let perform = perform::under(config.policy(), stamped, ground.database.is_shared());
    let (desk, workers) = open_desk(
        &ground.database,
        &perform::KIND,
        &perform,
        vec![Box::new(orders), Box::new(lapsed), Box::new(unserved)],
        &ground.meters,
    )?;
    let shelf = Arc::new(api::Shelf {
        desk: desk.clone(),
        database: ground.database.clone(),
        hold_secs: config.hold_secs.into(),
        thresholds: config.thresholds(),
        recent: recent.clone(),
    });
    let mut service = Service::new(&ground.database, api::routes(shelf.clone()), &desk, workers);
    if let Some(recent) = recent {
        service.tasks.push(Task { name: "reading of all stock", run: Box::pin(api::lookup::read_through(shelf)) });
        service.tell = Box::new(move |meters| {
            let help = "SKUs whose stock is kept in memory, those that have changed since included";
            meters.gauge("stock_kept_in_memory_skus", help).set(i64::try_from(recent.skus()).unwrap_or(i64::MAX));
        });
    }
    service.listens.push((contracts::orders::Event::SOURCE, status));
    service.overviews.push(api::overview::SHORTFALLS);
    Ok((service, desk))
}

//! Notifications: tells others what happened, by signed webhooks.
//!
//! ```text
//! api ───────┐                                   ┌─▶ publish
//! consumers ─┼─▶ perform ─▶ domain ─▶ store ─────┤
//! jobs ──────┘      ▲                            └─▶ courier ─▶ the endpoints of others
//!                   └────── what came of it ◀────────────┘
//! ```
//!
//! Events of other services that some endpoint wants become messages, each once. An endpoint has a
//! cursor into them, and rows only for what was sent.
//!
//! Reading order: `domain`, `perform`, `store`, `publish`, `consumers`, `post`, `courier`, `api`, `jobs`, `config`.
//!
//! **Invariant:** what happened after an endpoint was registered and is wanted there is delivered at
//! least once, whatever dies in between; each time under the same `webhook-id`.
//!
//! **Invariant:** nothing is sent while a transaction is open.
//!
//! **Invariant:** no endpoint leads into the operator's own network, unless the operator says so.

pub mod api;
mod config;
mod consumers;
mod courier;
pub mod domain;
mod jobs;
mod perform;
pub mod post;
mod publish;
mod store;

use std::sync::Arc;
use std::time::Duration;

use db::{Failure, Inlet, Migration, open_desk};
use events::{Feed, Listener};
use host::{Ground, Service, Task};
use tokio::sync::watch;
use web::Outbound;

pub use config::{Config, SECTION};

use crate::consumers::{Wanted, WantedFeed};
use crate::courier::{Courier, Tally};
use crate::perform::{Answer, Command};
use crate::post::Post;

/// The name of this service: of its settings, its schema and its feed.
pub const NAME: &str = "notifications";

/// How its tables came to be.
pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "webhooks", sql: include_str!("../migrations/0001_webhooks.sql") },
    Migration { number: 2, name: "recorded", sql: include_str!("../migrations/0002_recorded.sql") },
    Migration { number: 3, name: "log", sql: include_str!("../migrations/0003_log.sql") },
];

/// Puts notifications together on its ground.
pub fn assemble(config: &Config, ground: &Ground) -> Result<Service, Failure> {
    let outbound = Outbound::new(config.reach(), Duration::from_millis(config.connect_timeout_ms.max(1)));
    assemble_with(config, ground, Arc::new(outbound))
}

/// Puts notifications together on its ground, with whoever posts its messages.
pub fn assemble_with(config: &Config, ground: &Ground, post: Arc<dyn Post>) -> Result<Service, Failure> {
    let is_ours_alone = ground.database.is_ours_alone();
    let wanted = Arc::new(Wanted::default());
    let (mut inlets, mut listens): (Vec<Box<dyn Inlet<Command, Answer>>>, Vec<_>) = (Vec::new(), Vec::new());
    for source in consumers::SOURCES {
        let whole = ground.feeds.of(source);
        // What is wanted is known in this process only, so where others register endpoints all is taken in.
        let feed: Arc<dyn Feed> =
            if is_ours_alone { Arc::new(WantedFeed { whole, wanted: wanted.clone() }) } else { whole };
        let listener = Listener::to(feed, consumers::ALL);
        listens.push((source, listener.status()));
        inlets.push(Box::new(listener));
    }
    inlets.push(Box::new(jobs::old_messages(config)));
    let (news, hears) = watch::channel(0);
    let perform = perform::under(config, Arc::new(news));
    let (desk, workers) = open_desk(&ground.database, &perform::KIND, &perform, inlets, &ground.meters)?;
    let routes = api::routes(&ground.database, &desk, config.reach(), &wanted);
    let mut service = Service::new(&ground.database, routes, &desk, workers);
    service.listens = listens;
    service.overviews.push(api::overview::TROUBLED);
    let tally = Arc::new(Tally::default());
    let (told, world) = (tally.clone(), ground.database.world().clone());
    service.tell = Box::new(move |meters| told.tell(meters, world.now()));
    let (config, database) = (config.clone(), ground.database.clone());
    let courier = Courier { term: None, config, database, desk, post, news: hears, wanted, tally };
    service.tasks.push(Task { name: "delivery of webhooks", run: Box::pin(courier.run()) });
    Ok(service)
}

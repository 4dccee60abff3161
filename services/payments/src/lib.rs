//! Payments: gets the money of an order authorized, captured, let go or given back, once.
//!
//! ```text
//! api ───────┐                                            ┌─▶ publish
//! consumers ─┼─▶ perform ─▶ domain (decide, apply) ─▶ store
//! jobs ──────┘      ▲                                └─▶ calls ─▶ provider
//!                   └────────────── what it said ◀───────────────────┘
//! ```
//!
//! The events of [`contracts::payments`] are the truth; the row of a payment is folded from them.
//!
//! Reading order: `domain`, `perform`, `store`, `publish`, `provider`, `calls`, `api`, `consumers`,
//! `jobs`, `config`.
//!
//! **Invariant:** no provider is called while a transaction is open; a call that is lost is found by
//! its row, and the provider is asked what became of it before anything is repeated.

pub mod api;
mod calls;
mod config;
mod consumers;
pub mod domain;
mod jobs;
mod perform;
pub mod provider;
mod publish;
mod store;

use std::sync::Arc;
use std::time::Duration;

use db::{Desk, Failure, Migration, open_desk};
use events::{Listener, Watch};
use host::{Ground, Service, Task};

pub use config::{Config, SECTION};

use crate::calls::Calls;
use crate::perform::{Answer, On};
use crate::provider::Provider;
use crate::provider::test::TestProvider;

/// The name of this service: of its settings, its schema and its feed.
pub const NAME: &str = "payments";

/// How its tables came to be.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, name: "payments", sql: include_str!("../migrations/0001_payments.sql") }];

/// Puts payments together on its ground, with whoever moves the money.
pub fn assemble(config: &Config, ground: &Ground, provider: Arc<dyn Provider>) -> Result<Service, Failure> {
    put_together(config, ground, provider).map(|(service, _)| service)
}

/// Puts payments together with the test provider: its pages, its book and its webhooks come along.
pub fn assemble_with_test_provider(
    config: &Config,
    ground: &Ground,
    provider: &TestProvider,
) -> Result<Service, Failure> {
    let (mut service, desk) = put_together(config, ground, Arc::new(provider.clone()))?;
    service.routes = service.routes.merge(api::test_provider::routes(provider));
    let chance = ground.database.world().chance("payments webhooks");
    let deliver = api::deliver_webhooks(provider.listen(), desk, chance);
    service.tasks.push(Task { name: "webhooks of the test provider", run: Box::pin(deliver) });
    Ok(service)
}

fn put_together(
    config: &Config,
    ground: &Ground,
    provider: Arc<dyn Provider>,
) -> Result<(Service, Desk<On, Answer>), Failure> {
    let orders = Listener::to(ground.feeds.of(contracts::orders::Event::SOURCE), consumers::ORDERS);
    let status = orders.status();
    let due = jobs::due_payments(config);
    let calls = Calls::default();
    let perform = perform::under(config, calls.clone());
    let (desk, workers) =
        open_desk(&ground.database, &perform::KIND, &perform, vec![Box::new(orders), Box::new(due)], &ground.meters)?;
    // Whoever waits for a payment waits for whatever is said of it.
    let watch = Watch::for_events(|_| true);
    let routes = api::routes(&ground.database, &desk, &watch);
    let mut service = Service::new(&ground.database, routes, &desk, workers);
    service.listens.push((contracts::orders::Event::SOURCE, status));
    let timeout = Duration::from_millis(config.provider_timeout_ms);
    let make_calls = calls::run(calls.clone(), config.calls_at_once, timeout, provider, desk.clone());
    service.tasks.push(Task { name: "calls to the provider", run: Box::pin(make_calls) });
    service.tell = Box::new(move |meters| calls.tell(meters));
    let wake = watch.run(ground.database.clone());
    service.tasks.push(Task { name: "payments: wakes those who wait", run: Box::pin(wake) });
    Ok((service, desk))
}

//! Reads what running programs give to everybody.

use std::collections::BTreeMap;
use std::time::Duration;

use ::events::{Envelope, EventDocument};
use db::{Context, Trace};
use inventory::Comparison;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use settings::Secret;
use tokio::runtime::{Builder, Runtime};
use web::{Client, Listed, Trust};
use world::World;

use super::source::{Charge, Level, Order, Source, Trouble};
use crate::services;
use crate::stop::Stop;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to say that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// The programs that run the services: one, or several.
pub(super) struct Server {
    runtime: Runtime,
    by: Context,
    /// Where each service answers.
    at: BTreeMap<&'static str, (String, Client)>,
    /// The cursors after the events that were read, by service.
    after: BTreeMap<&'static str, String>,
}

#[derive(Deserialize)]
struct Levels {
    items: Vec<Level>,
}

#[derive(Deserialize)]
struct OrderDocument {
    id: String,
    status: String,
    total: Amount,
    payment: Part,
}

#[derive(Deserialize)]
struct Amount {
    amount: i64,
}

#[derive(Deserialize)]
struct Part {
    id: String,
}

#[derive(Deserialize)]
struct ChargeDocument {
    key: String,
    held: i64,
    captured: i64,
    refunded: i64,
}

impl Server {
    /// The services, each where it is said to be, asked with this key by who trusts these.
    pub(super) fn at(
        key: Option<&Secret>,
        trust: &Trust,
        url_of: impl Fn(&str) -> Result<String, Stop>,
    ) -> Result<Self, Stop> {
        let mut at = BTreeMap::new();
        for known in services::ALL {
            let url = url_of(known.name)?;
            let client = Client::trusting(&url, trust).map_err(|fault| Stop::Usage(format!("--server {fault}")))?;
            at.insert(known.name, (url, client.with_key(key.cloned())));
        }
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Stop::failed)?;
        let by = Context::system("audit", Trace::begin(&mut World::real().chance("audit")));
        Ok(Self { runtime, by, at, after: BTreeMap::new() })
    }

    /// Whether a program of ours answers where inventory is said to be.
    pub(super) fn answers(&self) -> bool {
        let (_, client) = &self.at[inventory::NAME];
        let live = client.get_json::<Value>("/health/live", &self.by, SIGN_OF_LIFE);
        self.runtime.block_on(live).is_ok_and(|answer| answer["status"] == "live")
    }

    fn get<T: DeserializeOwned>(&self, service: &str, path: &str) -> Result<T, Stop> {
        let (url, client) = &self.at[service];
        let got = self.runtime.block_on(client.get_json(path, &self.by, PATIENCE));
        got.map_err(|fault| Stop::Failed(format!("the server at {url} {fault}")))
    }

    /// All pages of a list.
    fn all<T: DeserializeOwned>(&self, service: &str, path: &str) -> Result<Vec<T>, Stop> {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page: Listed<T> = self.get(service, &next)?;
            items.extend(page.items);
            match page.next {
                Some(after) => next = format!("{path}&after={after}"),
                None => return Ok(items),
            }
        }
    }
}

impl Source for Server {
    fn name(&self) -> String {
        let mut urls: Vec<&str> = self.at.values().map(|(url, _)| url.as_str()).collect();
        urls.dedup();
        format!("the running server at {}", urls.join(", "))
    }

    fn news(&mut self, service: &'static str) -> Result<Vec<Envelope>, Trouble> {
        let after = self.after.get(service).map_or(String::new(), |after| format!("&after={after}"));
        let path = format!("/v1/events/{service}?limit=500{after}");
        let page: Listed<EventDocument> = self.get(service, &path)?;
        if let Some(next) = page.next {
            self.after.insert(service, next.to_string());
        }
        let read = |document: EventDocument| {
            let id = document.id.clone();
            Envelope::try_from(document).map_err(|unreadable| Trouble::Wrong(format!("event {id}: {unreadable}")))
        };
        page.items.into_iter().map(read).collect()
    }

    fn levels(&mut self, skus: &[String]) -> Result<Vec<Level>, Trouble> {
        let (url, client) = &self.at[inventory::NAME];
        let asked = json!({"skus": skus});
        let levels = self.runtime.block_on(client.post_json("/v1/stock/query", &asked, &self.by, PATIENCE));
        let levels: Levels = levels.map_err(|fault| Stop::Failed(format!("the server at {url} {fault}")))?;
        Ok(levels.items)
    }

    fn orders(&mut self) -> Result<Vec<Order>, Trouble> {
        let orders = self.all(orders::NAME, "/v1/orders?limit=500&owner=*")?.into_iter();
        let read = |order: OrderDocument| {
            let OrderDocument { id, status, total: Amount { amount: total }, payment: Part { id: payment } } = order;
            Order { id, status, total, payment }
        };
        Ok(orders.map(read).collect())
    }

    fn charges(&mut self) -> Result<Vec<Charge>, Trouble> {
        let charges = self.all(payments::NAME, "/v1/test-provider/charges?limit=500")?.into_iter();
        let read = |charge: ChargeDocument| {
            let ChargeDocument { key, held, captured, refunded } = charge;
            Charge { key, held, kept: captured - refunded }
        };
        Ok(charges.map(read).collect())
    }

    fn rows(&mut self) -> Result<Option<Comparison>, Trouble> {
        Ok(None)
    }

    fn is_still_the_same(&self) -> Result<(), Stop> {
        Ok(())
    }
}

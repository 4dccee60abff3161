//! Those who check: they see requests, answers, published events and the provider's own book.
//!
//! Reading order: `stock`, `money`, `story`, `answers`; each takes the [`Evidence`] and gives what it
//! found wrong.

mod answers;
mod money;
mod stock;
mod story;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use axum::http::Method;
use events::Envelope;
use payments::provider::Charge;
use serde_json::Value;

use crate::platform::{Platform, Sent};
use crate::shoppers::Shoppers;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Who found it.
    pub auditor: &'static str,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.auditor, self.what)
    }
}

/// All that the auditors see.
pub struct Evidence {
    /// What each service has published.
    pub(crate) events: BTreeMap<&'static str, Vec<Envelope>>,
    /// Requests, each with its answers.
    pub(crate) exchanges: Vec<(Sent, Vec<(u16, Value)>)>,
    /// What is answered about the stock of each SKU at the end.
    pub(crate) stock: BTreeMap<String, Value>,
    /// What is answered about each order at the end.
    pub(crate) orders: BTreeMap<String, Value>,
    /// What is answered at the end about each reservation that shops made themselves.
    pub(crate) reservations: BTreeMap<String, Value>,
    /// The provider's book.
    pub(crate) charges: Vec<Charge>,
    /// Whether everything came to its end in time.
    pub(crate) has_ended: bool,
}

impl Evidence {
    /// Collects what there is to see.
    pub(crate) async fn gather(platform: &mut Platform, shoppers: &Shoppers, has_ended: bool) -> Self {
        let mut events = BTreeMap::new();
        for service in Platform::services() {
            events.insert(service, platform.events_after(service, 0).await);
        }
        let exchanges = shoppers.exchanges.iter().map(|exchange| (exchange.sent.clone(), exchange.answers().collect()));
        let exchanges = exchanges.collect();
        let mut stock = BTreeMap::new();
        for sku in shoppers.skus() {
            let path = format!("/v1/stock{}", web::path([sku.as_str()]));
            stock.insert(sku.clone(), ask(platform, "inventory", path).await);
        }
        let placed = events["orders"].iter().filter(|event| event.kind.as_ref() == "OrderPlaced");
        let names: Vec<String> = placed.map(|event| event.subject.to_string()).collect();
        let mut orders = BTreeMap::new();
        for name in names {
            let answer = ask(platform, "orders", format!("/v1/orders/{name}")).await;
            orders.insert(name, answer);
        }
        let mut reservations = BTreeMap::new();
        for name in shoppers.reservations() {
            let answer = ask(platform, "inventory", format!("/v1/reservations/{name}")).await;
            reservations.insert(name, answer);
        }
        let charges = platform.provider.bank.book().charges(None).cloned().collect();
        Self { events, exchanges, stock, orders, reservations, charges, has_ended }
    }
}

async fn ask(platform: &mut Platform, service: &'static str, path: String) -> Value {
    let heard = Rc::new(RefCell::new(None));
    let sent = Sent { service, method: Method::GET, path, body: Value::Null };
    platform.send(0, &sent, heard.clone());
    for _ in 0..1_000 {
        if let Some(heard) = heard.borrow_mut().take() {
            return heard.map_or(Value::Null, |(_, document)| document);
        }
        tokio::task::yield_now().await;
    }
    Value::Null
}

/// Lets every auditor look.
pub(crate) fn audit(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by = |auditor: &'static str, found: Vec<String>| {
        findings.extend(found.into_iter().map(|what| Finding { auditor, what }));
    };
    by("stock", stock::audit(evidence));
    by("money", money::audit(evidence));
    by("story", story::audit(evidence));
    by("answers", answers::audit(evidence));
    findings
}

//! Those who check: they see requests, answers, published events, and the books of the provider and of the
//! receivers of webhooks.
//!
//! Reading order: `stock`, `money`, `payments`, `story`, `ends`, `answers`, `webhooks`; each takes the [`Evidence`]
//! and gives what it found wrong. `restored` looks at a run in which a backup was put back, where
//! the others would rightly miss much.

mod answers;
mod ends;
mod money;
mod payments;
mod restored;
mod stock;
mod story;
mod webhooks;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use ::payments::provider::Charge;
use events::Envelope;
use serde_json::Value;

use crate::platform::{Platform, Sent, Stopped};
use crate::receivers::Try;
use crate::requests::Requests;

pub(crate) use restored::Restored;

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
pub(crate) struct Evidence {
    /// What each service has published.
    pub(crate) events: BTreeMap<&'static str, Vec<Envelope>>,
    /// Requests, each with its answers.
    pub(crate) exchanges: Vec<(Sent, Vec<(u16, Value)>)>,
    /// What is answered about the stock of each SKU at the end.
    pub(crate) stock: BTreeMap<String, Value>,
    /// What is answered about each order at the end.
    pub(crate) orders: BTreeMap<String, Value>,
    /// What is answered at the end about the payment of each order.
    pub(crate) payments: BTreeMap<String, Value>,
    /// What is answered at the end about each reservation that shops made themselves.
    pub(crate) reservations: BTreeMap<String, Value>,
    /// What is answered at the end about each endpoint for webhooks, and what was delivered to it.
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    /// The receivers' book.
    pub(crate) tries: Vec<Try>,
    /// The paths of requests of which some answer did not come.
    pub(crate) unheard: BTreeSet<String>,
    /// The provider's book.
    pub(crate) charges: Vec<Charge>,
    /// Tries after which payments gives a payment up, as the operator chose.
    pub(crate) max_tries: usize,
    /// Whether everything came to its end in time.
    pub(crate) has_ended: bool,
}

/// An endpoint for webhooks as it is shown at the end.
pub(crate) struct Endpoint {
    /// Itself.
    pub(crate) document: Value,
    /// Its log, the newest first.
    pub(crate) deliveries: Vec<Value>,
}

impl Evidence {
    /// Collects what there is to see.
    pub(crate) async fn gather(platform: &mut Platform, requests: &Requests, has_ended: bool) -> Self {
        let mut events = BTreeMap::new();
        for service in Platform::services() {
            events.insert(service, platform.events_after(service, 0).await);
        }
        let exchanges = requests.all().iter().map(|exchange| (exchange.sent.clone(), exchange.answers().collect()));
        let exchanges = exchanges.collect();
        let mut stock = BTreeMap::new();
        for sku in requests.skus() {
            let path = format!("/v1/stock{}", web::path([sku]));
            stock.insert(sku.to_owned(), ask(platform, "inventory", path).await);
        }
        let placed = events["orders"].iter().filter(|event| event.kind.as_ref() == "OrderPlaced");
        let names: Vec<String> = placed.map(|event| event.subject.to_string()).collect();
        let (mut orders, mut payments) = (BTreeMap::new(), BTreeMap::new());
        for name in names {
            let answer = ask(platform, "orders", format!("/v1/orders/{name}")).await;
            let payment = answer["payment"]["id"].as_str().unwrap_or_default();
            payments.insert(name.clone(), ask(platform, "payments", format!("/v1/payments/{payment}")).await);
            orders.insert(name, answer);
        }
        let mut reservations = BTreeMap::new();
        for name in requests.reservations() {
            let answer = ask(platform, "inventory", format!("/v1/reservations/{name}")).await;
            reservations.insert(name.to_owned(), answer);
        }
        let mut endpoints = BTreeMap::new();
        for name in requests.endpoints() {
            let path = format!("/v1/webhook-endpoints/{name}");
            let document = ask(platform, "notifications", path.clone()).await;
            let deliveries = all_pages(platform, "notifications", &format!("{path}/deliveries?limit=500")).await;
            endpoints.insert(name.to_owned(), Endpoint { document, deliveries });
        }
        let tries = platform.receivers.tries();
        let unheard = requests.all().iter().filter(|exchange| exchange.is_unheard());
        let unheard = unheard.map(|exchange| exchange.sent.path.clone()).collect();
        let charges = platform.provider.bank.book().charges(None).cloned().collect();
        let max_tries = platform.max_tries();
        Self {
            events,
            exchanges,
            stock,
            orders,
            payments,
            reservations,
            endpoints,
            tries,
            unheard,
            charges,
            max_tries,
            has_ended,
        }
    }
}

pub(crate) async fn ask(platform: &mut Platform, service: &'static str, path: String) -> Value {
    let heard = Rc::new(RefCell::new(None));
    let sent = Sent::get(service, path);
    platform.send(0, &sent, heard.clone());
    for _ in 0..1_000 {
        if let Some(heard) = heard.borrow_mut().take() {
            return heard.map_or(Value::Null, |(_, document)| document);
        }
        tokio::task::yield_now().await;
    }
    Value::Null
}

/// All items of a list, page by page.
async fn all_pages(platform: &mut Platform, service: &'static str, path: &str) -> Vec<Value> {
    let (mut items, mut next) = (Vec::new(), String::new());
    loop {
        let page = ask(platform, service, format!("{path}{next}")).await;
        items.extend(page["items"].as_array().cloned().unwrap_or_default());
        let Some(after) = page["next"].as_str() else { return items };
        next = format!("&after={after}");
    }
}

/// Lets every auditor look.
pub(crate) fn audit(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by = |auditor: &'static str, found: Vec<String>| {
        findings.extend(found.into_iter().map(|what| Finding { auditor, what }));
    };
    by("stock", stock::audit(evidence));
    by("money", money::audit(evidence));
    by("payments", payments::audit(evidence));
    by("story", story::audit(evidence));
    by("ends", ends::audit(evidence));
    by("answers", answers::audit(evidence));
    by("webhooks", webhooks::audit(evidence));
    findings
}

/// Lets the one auditor look who knows what a restored service means.
pub(crate) fn audit_restored(evidence: &Evidence, restored: &Restored, stopped: &[Stopped]) -> Vec<Finding> {
    let found = restored::audit(evidence, restored, stopped).into_iter();
    found.map(|what| Finding { auditor: "restored", what }).collect()
}

//! Whether the books balance, from what the running server says and answers.
//!
//! Stock is added up from inventory's events and compared with the levels that are answered; every
//! order that has ended is compared with the provider's own book. Nothing is read but what the
//! server gives to everybody.

use std::collections::BTreeMap;
use std::time::Duration;

use ::events::EventDocument;
use contracts::inventory::{Event, ReservedLine};
use db::{Context, Trace};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::runtime::Builder;
use web::{Client, Listed};
use world::World;

use crate::stop::Stop;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often levels that move while they are read are looked at again.
const LOOKS: usize = 10;
/// SKUs in one question.
const SKUS_AT_ONCE: usize = 500;

/// Audits the running server, and prints what was counted and what is wrong.
pub(crate) fn run(server: &str) -> Result<(), Stop> {
    let client = Client::new(server).map_err(|fault| Stop::Usage(format!("--server {fault}")))?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Stop::failed)?;
    let by = Context::system("audit", Trace::begin(&mut World::real().chance("audit")));
    let auditor = Auditor { client, by, server: server.to_owned() };
    let wrong = runtime.block_on(async {
        let mut wrong = auditor.stock().await?;
        wrong.extend(auditor.orders().await?);
        Ok::<_, Stop>(wrong)
    })?;
    if wrong.is_empty() {
        println!("The books balance.");
        return Ok(());
    }
    for line in wrong.iter().take(50) {
        println!("wrong: {line}");
    }
    Err(Stop::Failed(format!("the books do not balance: {} findings", wrong.len())))
}

struct Auditor {
    client: Client,
    by: Context,
    server: String,
}

/// Pieces of one SKU, as the events add up.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    on_hand: i64,
    promised: i64,
}

/// What the events of inventory add up to.
#[derive(Default)]
struct Stock {
    after: Option<String>,
    events: usize,
    by_sku: BTreeMap<String, Sum>,
    wrong: Vec<String>,
    last_position: i64,
}

#[derive(Deserialize)]
struct Level {
    sku: String,
    on_hand: i64,
    reserved: i64,
    committed: i64,
    owed: i64,
}

#[derive(Deserialize)]
struct Levels {
    items: Vec<Level>,
}

#[derive(Deserialize)]
struct Order {
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
struct Charge {
    key: String,
    held: i64,
    captured: i64,
    refunded: i64,
}

impl Auditor {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Stop> {
        let got = self.client.get_json(path, &self.by, PATIENCE).await;
        got.map_err(|fault| Stop::Failed(format!("the server at {} {fault}", self.server)))
    }

    /// All pages of a list.
    async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Stop> {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page: Listed<T> = self.get(&next).await?;
            items.extend(page.items);
            match page.next {
                Some(after) => next = format!("{path}&after={after}"),
                None => return Ok(items),
            }
        }
    }

    /// Levels are what the events add up to: received + counted differences + adjusted = on hand +
    /// shipped, and what is promised is what was reserved and not let go.
    async fn stock(&self) -> Result<Vec<String>, Stop> {
        let mut stock = Stock::default();
        self.read_on(&mut stock).await?;
        let mut open: Vec<String> = stock.by_sku.keys().cloned().collect();
        let skus = open.len();
        for _ in 0..LOOKS {
            let mut differ = Vec::new();
            for some in open.chunks(SKUS_AT_ONCE) {
                let asked = json!({"skus": some});
                let levels = self.client.post_json("/v1/stock/query", &asked, &self.by, PATIENCE).await;
                let levels: Levels = levels.map_err(|fault| Stop::Failed(format!("the server {fault}")))?;
                for level in levels.items {
                    let promised = level.reserved + level.committed + level.owed;
                    if stock.by_sku.get(&level.sku) != Some(&Sum { on_hand: level.on_hand, promised }) {
                        differ.push(level.sku);
                    }
                }
            }
            open = differ;
            if open.is_empty() {
                break;
            }
            // They may have moved since their events were read.
            self.read_on(&mut stock).await?;
        }
        println!("{} events of inventory, {skus} SKUs", stock.events);
        stock.wrong.extend(open.into_iter().map(|sku| format!("the level of {sku} is not what the events add up to")));
        Ok(stock.wrong)
    }

    async fn read_on(&self, stock: &mut Stock) -> Result<(), Stop> {
        loop {
            let after = stock.after.as_ref().map_or(String::new(), |after| format!("&after={after}"));
            let page: Listed<EventDocument> = self.get(&format!("/v1/events/inventory?limit=500{after}")).await?;
            stock.after = page.next.map(|next| next.to_string()).or(stock.after.take());
            if page.items.is_empty() {
                return Ok(());
            }
            page.items.iter().for_each(|event| stock.enter(event));
        }
    }

    /// Of every order that has ended, the provider has kept what it costs, or nothing.
    async fn orders(&self) -> Result<Vec<String>, Stop> {
        let orders: Vec<Order> = self.all("/v1/orders?limit=500").await?;
        let mut book: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let charges: Vec<Charge> = self.all("/v1/test-provider/charges?limit=500").await?;
        for charge in &charges {
            let payment = charge.key.rsplit_once('.').map_or(charge.key.as_str(), |(payment, _)| payment);
            let sums = book.entry(payment.rsplit('/').next().unwrap_or(payment).to_owned()).or_default();
            sums.0 += charge.held;
            sums.1 += charge.captured - charge.refunded;
        }
        let mut by_status: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for order in &orders {
            *by_status.entry(&order.status).or_default() += 1;
            let due = match order.status.as_str() {
                "confirmed" => order.total.amount,
                "cancelled" => 0,
                // Under way, or waiting for a person: what is held now says nothing yet.
                _ => continue,
            };
            let (held, kept) = book.get(&order.payment.id).copied().unwrap_or_default();
            if held != 0 || kept != due {
                let Order { id, status, .. } = order;
                wrong.push(format!("{id} is {status}: {due} are due, the provider kept {kept} and holds {held}"));
            }
        }
        let counted: Vec<_> = by_status.iter().map(|(status, count)| format!("{count} {status}")).collect();
        println!("{} orders ({}), {} charges at the provider", orders.len(), counted.join(", "), charges.len());
        Ok(wrong)
    }
}

impl Stock {
    fn enter(&mut self, event: &EventDocument) {
        self.events += 1;
        if event.position != self.last_position + 1 {
            self.wrong.push(format!("event {} follows position {}", event.id, self.last_position));
        }
        self.last_position = event.position;
        match Event::read(&event.r#type, event.data.get()) {
            Ok(Some(event)) => self.add(event),
            Ok(None) => self.wrong.push(format!("event {} is of a type that this release does not know", event.id)),
            Err(unreadable) => self.wrong.push(format!("event {}: {unreadable}", event.id)),
        }
    }

    fn add(&mut self, event: Event) {
        match event {
            Event::SupplierShipmentReceived(e) => self.sum(e.sku.as_str()).on_hand += e.quantity,
            Event::StockCounted(e) => self.sum(e.sku.as_str()).on_hand += e.difference,
            Event::StockLevelAdjusted(e) => self.sum(e.sku.as_str()).on_hand += e.quantity,
            Event::StockReserved(e) => self.lines(&e.lines, 0, 1),
            Event::StockReleased(e) => self.lines(&e.lines, 0, -1),
            Event::StockReservationExpired(e) => self.lines(&e.lines, 0, -1),
            Event::StockCommitted(e) => {
                self.lines(&e.lines, 0, i64::from(e.retaken));
                self.lines(&e.lines, -i64::from(e.shipped), -i64::from(e.shipped));
            }
            Event::StockShipped(e) => self.lines(&e.lines, -1, -1),
            Event::StockReturned(e) if e.was_shipped => self.lines(&e.lines, 1, 0),
            Event::StockReturned(e) => self.lines(&e.lines, 0, -1),
            Event::StockReservationRejected(_)
            | Event::StockReservationExtended(_)
            | Event::StockCommitRejected(_)
            | Event::StockMovementRejected(_)
            | Event::StockShortfallFound(_) => {}
        }
    }

    fn sum(&mut self, sku: &str) -> &mut Sum {
        self.by_sku.entry(sku.to_owned()).or_default()
    }

    /// Each line changes what is on hand and what is promised by so many times its pieces.
    fn lines(&mut self, lines: &[ReservedLine], on_hand: i64, promised: i64) {
        for line in lines {
            let sum = self.sum(line.sku.as_str());
            sum.on_hand += on_hand * line.quantity;
            sum.promised += promised * line.quantity;
            if sum.on_hand < 0 || sum.promised < 0 {
                self.wrong.push(format!("{} falls below zero", line.sku));
            }
        }
    }
}

//! Whether the books balance: through a running server, or on the files of a folder on which none runs.
//!
//! ```text
//! Server (what it gives to everybody) ──┐
//!                                       ├─ Source ─▶ stock, money, rows ─▶ what was counted, what is wrong
//! Files (read, and never written)  ─────┘
//! ```
//!
//! Stock is added up from inventory's events and compared with the levels; every order that has
//! ended, and every refund that payments has told of, is compared with the provider's own book. Where the
//! rows themselves can be seen, those of inventory are compared with what its events make of them.
//!
//! Reading order: [`run`], `source`, `server`, `files`.

mod files;
mod server;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write, stdout};
use std::path::PathBuf;

use ::events::Envelope;
use contracts::inventory::{Event, ReservedLine};
use contracts::payments;
use settings::Settings;

use self::files::Files;
use self::server::Server;
use self::source::{Source, Trouble};
use crate::config::{self, Place};
use crate::folder;
use crate::stop::Stop;

/// Where a server is looked for when nobody says where it is.
pub(crate) const SERVER: &str = "http://127.0.0.1:8080";
/// How often levels that move while they are read are looked at again.
const LOOKS: usize = 10;
/// SKUs in one question.
const SKUS_AT_ONCE: usize = 500;

/// What the command line says about where to look.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) server: Option<String>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
}

/// Audits, and prints what was counted and what is wrong.
pub(crate) fn run(asked: &Asked) -> Result<(), Stop> {
    let mut source = find(asked)?;
    say(&format!("Auditing {}", source.name()));
    let mut wrong = Vec::new();
    for part in [stock, money, rows] {
        match part(source.as_mut()) {
            Ok(found) => wrong.extend(found),
            Err(Trouble::Wrong(line)) => wrong.push(line),
            Err(Trouble::Stop(stop)) => return Err(stop),
        }
    }
    source.is_still_the_same()?;
    if wrong.is_empty() {
        say("The books balance.");
        return Ok(());
    }
    for line in &wrong {
        say(&format!("wrong: {line}"));
    }
    Err(Stop::Failed(format!("the books do not balance: {} findings", wrong.len())))
}

/// Finds where to read: the server that is named; else the programs that run on the folder; else,
/// where no folder is named, the server at the usual address; else the files.
fn find(asked: &Asked) -> Result<Box<dyn Source>, Stop> {
    let settings = Settings::load(config::sections(), asked.config.as_deref())?;
    let program: config::Program = settings.section("")?;
    let folder = asked.data.as_ref().unwrap_or(&program.data);
    let (key, trust) = (program.key.as_ref(), program.trust(&settings)?);
    if let Some(url) = &asked.server {
        let server = Server::at(key, &trust, |_| Ok(url.clone()))?;
        if asked.data.is_none() || server.answers() {
            return Ok(Box::new(server));
        }
    }
    let owners = folder::at_work(folder)?;
    let place = |service: &str| settings.section::<Place>(service);
    if !owners.is_empty() {
        let any = owners.values().find_map(|owner| owner.url.as_ref());
        return Ok(Box::new(Server::at(key, &trust, |service| {
            let of_lock = owners.get(service).and_then(|owner| owner.url.clone());
            let url = of_lock.or(place(service)?.url).or(any.cloned());
            url.ok_or_else(|| {
                let folder = folder.display();
                Stop::Failed(format!("a program runs on {folder} and does not say where; name it with --server"))
            })
        })?));
    }
    if asked.data.is_none() {
        let server = Server::at(key, &trust, |service| Ok(place(service)?.url.unwrap_or(SERVER.to_owned())))?;
        if server.answers() {
            return Ok(Box::new(server));
        }
    }
    for service in files::READ {
        if place(service)?.database_url.or(program.database_url.clone()).is_some() {
            return Err(Stop::Failed(format!(
                "no server answers, and {service} is on PostgreSQL, which is audited through a running server; start one"
            )));
        }
    }
    if files::READ.iter().all(|service| !folder::database(folder, service).exists()) {
        let nothing = format!("{} holds no data of Banyan", folder.display());
        return Err(match asked.data {
            Some(_) => Stop::Usage(nothing),
            None => Stop::Failed(format!("there is nothing to audit: no server answers at {SERVER}, and {nothing}")),
        });
    }
    Ok(Box::new(Files::open(folder)?))
}

/// Prints a line; who reads no further has read enough.
fn say(line: &str) {
    drop(writeln!(stdout(), "{line}"));
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
    events: usize,
    by_sku: BTreeMap<String, Sum>,
    wrong: Vec<String>,
    last_position: i64,
}

/// Levels are what the events add up to: received + counted differences + adjusted = on hand + in
/// transit + shipped, and what is promised is what was reserved and not let go.
fn stock(source: &mut dyn Source) -> Result<Vec<String>, Trouble> {
    let mut stock = Stock::default();
    stock.read_on(source)?;
    let mut open: Vec<String> = stock.by_sku.keys().cloned().collect();
    let skus = open.len();
    for _ in 0..LOOKS {
        let mut differ = Vec::new();
        for some in open.chunks(SKUS_AT_ONCE) {
            let mut levels = BTreeMap::new();
            for level in source.levels(some)? {
                let promised = level.reserved + level.committed + level.owed;
                levels.insert(level.sku, Sum { on_hand: level.on_hand, promised });
            }
            let is_so = |sku: &&String| levels.get(*sku).copied().unwrap_or_default() == stock.by_sku[*sku];
            differ.extend(some.iter().filter(|sku| !is_so(sku)).cloned());
        }
        open = differ;
        if open.is_empty() {
            break;
        }
        // They may have moved since their events were read.
        stock.read_on(source)?;
    }
    say(&format!("{} events of inventory, {skus} SKUs", stock.events));
    stock.wrong.extend(open.into_iter().map(|sku| format!("the level of {sku} is not what the events add up to")));
    Ok(stock.wrong)
}

/// Of every order that has ended, the provider has kept what it costs, or nothing; and nothing of a confirmed one
/// whose money was given back.
fn money(source: &mut dyn Source) -> Result<Vec<String>, Trouble> {
    let orders = source.orders()?;
    let mut refunds = Refunds::default();
    // What was given back before the book is read, it knows; of what is given back meanwhile it may say either.
    refunds.read_on(source)?;
    let refunded = refunds.ended.clone();
    let mut book: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let charges = source.charges()?;
    refunds.read_on(source)?;
    for charge in &charges {
        let payment = charge.key.rsplit_once('.').map_or(charge.key.as_str(), |(payment, _)| payment);
        let sums = book.entry(payment.rsplit('/').next().unwrap_or(payment).to_owned()).or_default();
        sums.0 += charge.held;
        sums.1 += charge.kept;
    }
    let mut by_status: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for order in &orders {
        let status = order.status.as_str();
        let counted = if status == "confirmed" && refunded.contains(&order.payment) { "refunded" } else { status };
        *by_status.entry(counted).or_default() += 1;
        let due = match counted {
            "confirmed" if refunds.started.contains(&order.payment) => continue,
            "confirmed" => order.total,
            "refunded" | "cancelled" => 0,
            // Under way, or waiting for a person: what is held now says nothing yet.
            _ => continue,
        };
        let (held, kept) = book.get(&order.payment).copied().unwrap_or_default();
        if held != 0 || kept != due {
            let id = &order.id;
            wrong.push(format!("{id} is {counted}: {due} are due, the provider kept {kept} and holds {held}"));
        }
    }
    let counted: Vec<_> = by_status.iter().map(|(status, count)| format!("{count} {status}")).collect();
    say(&format!("{} orders ({}), {} charges at the provider", orders.len(), counted.join(", "), charges.len()));
    Ok(wrong)
}

/// The payments whose money is on its way back, or was given back, as their events say.
#[derive(Default)]
struct Refunds {
    started: BTreeSet<String>,
    ended: BTreeSet<String>,
}

impl Refunds {
    fn read_on(&mut self, source: &mut dyn Source) -> Result<(), Trouble> {
        loop {
            let news = source.news(::payments::NAME)?;
            if news.is_empty() {
                return Ok(());
            }
            for event in &news {
                match payments::Event::read(&event.kind, &event.body) {
                    Ok(Some(payments::Event::RefundStarted(e))) => self.started.insert(e.payment.as_str().to_owned()),
                    Ok(Some(payments::Event::PaymentRefunded(e))) => self.ended.insert(e.payment.as_str().to_owned()),
                    Ok(_) => continue,
                    Err(unreadable) => return Err(Trouble::Wrong(format!("event {}: {unreadable}", event.id()))),
                };
            }
        }
    }
}

/// The rows of inventory are what its events make of them.
fn rows(source: &mut dyn Source) -> Result<Vec<String>, Trouble> {
    let Some(comparison) = source.rows()? else { return Ok(Vec::new()) };
    let all = comparison.same + comparison.different.len();
    let events = comparison.events;
    say(&format!("{all} rows of stock, reservations, holds and movements, rebuilt from {events} events"));
    Ok(comparison.different.iter().map(ToString::to_string).collect())
}

impl Stock {
    fn read_on(&mut self, source: &mut dyn Source) -> Result<(), Trouble> {
        loop {
            let news = source.news(inventory::NAME)?;
            if news.is_empty() {
                return Ok(());
            }
            for event in &news {
                self.enter(event);
            }
        }
    }

    fn enter(&mut self, event: &Envelope) {
        self.events += 1;
        if event.position != self.last_position + 1 {
            self.wrong.push(format!("event {} follows position {}", event.id(), self.last_position));
        }
        self.last_position = event.position;
        match Event::read(&event.kind, &event.body) {
            Ok(Some(event)) => self.add(event),
            Ok(None) => self.wrong.push(format!("event {} is of a type that this release does not know", event.id())),
            Err(unreadable) => self.wrong.push(format!("event {}: {unreadable}", event.id())),
        }
    }

    fn add(&mut self, event: Event) {
        match event {
            Event::SupplierShipmentReceived(e) => self.sum(e.sku.as_str()).on_hand += e.quantity,
            Event::StockCounted(e) => self.sum(e.sku.as_str()).on_hand += e.difference,
            Event::StockLevelAdjusted(e) => self.sum(e.sku.as_str()).on_hand += e.quantity,
            Event::StockTransferStarted(e) => self.sum(e.sku.as_str()).on_hand -= e.quantity,
            Event::StockTransferArrived(e) => self.sum(e.sku.as_str()).on_hand += e.quantity,
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
            // One that is lost has left a shelf before; and between two shelves the sum is the same. What is
            // owed is promised, whether it is there or not.
            Event::PromiseFellShort(_)
            | Event::BackorderServed(_)
            | Event::ShortfallSettled(_)
            | Event::PromiseMoved(_)
            | Event::SkuBackorderChanged(_)
            | Event::SkuDiscontinued(_)
            | Event::SkuReinstated(_)
            | Event::SkuSignalChanged(_)
            | Event::WarehouseChanged(_)
            | Event::RestockPointChanged(_)
            | Event::RestockNeeded(_)
            | Event::StockReplenished(_)
            | Event::StockTransferred(_)
            | Event::StockLostInTransit(_)
            | Event::StockReservationRejected(_)
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

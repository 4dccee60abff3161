//! `bench availability`: how fast stock is read over HTTP, and how soon a program with so much of it serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use db::{Location, Meters};
use telemetry::Stopwatch;
use tokio::runtime::Runtime;
use world::{Chance, World};

use super::reserve::{self, Load, Stock};
use super::shop::{Connection, Shop, sku};
use super::spread::Spread;
use super::{On, empty, median};
use crate::stop::Stop;

/// Where each SKU lies; as many of these as are wanted.
const WAREHOUSES: [&str; 8] = ["main", "north", "south", "east", "west", "annex", "harbour", "airport"];
/// Pieces of each SKU in each of them.
const PIECES: i64 = 1_000;
/// Connections that reserve when the shop is killed, and how long they do.
const WRITERS: usize = 32;
const WRITING: Duration = Duration::from_secs(3);
/// How many SKUs the shop keeps in memory.
const KEPT: &str = "banyan_stock_kept_in_memory_skus";
/// Looks in a row at which nobody may be behind: half a second.
const LOOKS: usize = 25;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    on: On,
    /// SKUs
    #[arg(long, default_value_t = 400_000)]
    skus: usize,
    /// Warehouses in which each of them lies, up to 8
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8))]
    warehouses: u8,
    /// SKUs that are asked for in one request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=500))]
    together: u16,
    /// Connections that ask for one SKU each and wait for their answer before they ask again
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// Entries that the journal has before anything is measured
    #[arg(long, default_value_t = 0)]
    journal: i64,
    /// Measures on what the run before has left
    #[arg(long)]
    again: bool,
    /// Seconds of a round
    #[arg(long, default_value_t = 4)]
    secs: u64,
    /// Rounds, after one that warms up
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub(super) fn run(options: &Options) -> Result<(), Stop> {
    let folder = if options.again { options.on.folder()? } else { options.on.fresh_folder()? }.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Stop::failed)?;
    println!("availability on {}: {} SKUs in {} warehouses each", options.on.name(), options.skus, options.warehouses);
    if !options.again {
        let entries = make_stock(&runtime, options, &folder)?;
        println!("the journal has {entries} entries");
    }
    runtime.block_on(async {
        let empty = empty::start().await?;
        let mut shop = start(options, &folder, "started").await?;
        together(options, shop.address()).await?;
        one_by_one(options, empty.address, shop.address()).await?;
        let writing = writing(options, shop.address());
        tokio::time::timeout(WRITING, writing).await.map_or(Ok(()), |ended| ended)?;
        shop.kill();
        start(options, &folder, "killed while it wrote, and started again").await.map(drop)
    })
}

/// Fills a folder as a shop would have it; gives back how many entries its journal has.
fn make_stock(runtime: &Runtime, options: &Options, folder: &std::path::Path) -> Result<i64, Stop> {
    let location = match options.on.location(inventory::NAME) {
        Location::File(_) => {
            let shop = folder.join("shop");
            std::fs::create_dir_all(&shop).map_err(Stop::failed)?;
            Location::File(shop.join(format!("{}.db", inventory::NAME)))
        }
        elsewhere => elsewhere,
    };
    let stock = Stock::open_at(location, 1, &Arc::new(Meters::default()))?;
    let warehouses = &WAREHOUSES[..options.warehouses.into()];
    runtime.block_on(reserve::fill(&stock.desk, options.skus, warehouses, PIECES));
    reserve::write_journal(runtime, &stock, Load { clients: 256, skus: options.skus, lines: 1 }, options.journal);
    let entries = *stock.database.ring().newest().borrow();
    stock.close();
    Ok(entries)
}

/// Starts a shop, and says how long it took until it was ready.
async fn start(options: &Options, folder: &std::path::Path, how: &str) -> Result<Shop, Stop> {
    let begun = Stopwatch::start();
    let shop = Shop::start(&options.on, folder)?;
    shop.is_up().await?;
    println!("{how}: ready after {:.2} s, {:.0} MiB", begun.elapsed().as_secs_f64(), shop.memory_mib());
    // Two share the processors with what is measured: orders first hears of all that inventory has said, and
    // inventory reads through its stock. How much that is they do not know at once.
    let (mut at_rest, mut kept) = (0, 0.0);
    while at_rest < LOOKS {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (behind, now) = (shop.metric("banyan_consumer_lag_events").await, shop.metric(KEPT).await);
        at_rest = if behind > 0.0 || now > kept { 0 } else { at_rest + 1 };
        kept = now;
    }
    println!(
        "{kept} SKUs are in memory, and orders has heard of all, after {:.1} s, {:.0} MiB",
        begun.elapsed().as_secs_f64(),
        shop.memory_mib()
    );
    Ok(shop)
}

/// Many SKUs in one request, one request after another.
async fn together(options: &Options, address: SocketAddr) -> Result<(), Stop> {
    let mut chance = World::real().chance("together");
    let mut connection = Connection::open(address).await.map_err(Stop::failed)?;
    for number in 0..=options.rounds {
        let (mut spread, round, mut bytes) = (Spread::default(), Stopwatch::start(), 0);
        while round.elapsed() < Duration::from_secs(options.secs) {
            let skus: Vec<String> =
                (0..options.together).map(|_| format!("{:?}", drawn(&mut chance, options.skus))).collect();
            let body = format!(r#"{{"skus":[{}]}}"#, skus.join(","));
            let one = Stopwatch::start();
            let (status, answer) = connection.ask("POST", "/v1/stock/query", "", &body).await.map_err(Stop::failed)?;
            spread.add(one.elapsed());
            bytes = answer.len();
            if status != 200 {
                return Err(Stop::Failed(format!("{status} {answer}")));
            }
        }
        println!(
            "{}: {} SKUs in one request: p50 {:.2} ms, p99 {:.2} ms, {bytes} bytes",
            super::round(number),
            options.together,
            spread.percentile_ms(0.5),
            spread.percentile_ms(0.99),
        );
    }
    Ok(())
}

/// One SKU a request, against the empty handler.
async fn one_by_one(options: &Options, empty: SocketAddr, shop: SocketAddr) -> Result<(), Stop> {
    let length = Duration::from_secs(options.secs);
    let skus = options.skus;
    let ask = move |chance: &mut Chance| ("GET", format!("/v1/stock/{}", drawn(chance, skus)), String::new());
    let mut ratios = Vec::new();
    for number in 0..=options.rounds {
        let limit = super::http::load(empty, options.connections, length, 200, ask).await?;
        let figure = super::http::load(shop, options.connections, length, 200, ask).await?;
        let (ratio, mut spread) = (figure.0 / limit.0, figure.1);
        println!(
            "{}: {:.0} SKUs/s, one a request, p50 {:.1} ms, p99 {:.1} ms; empty handler {:.0}/s: {ratio:.2} of it",
            super::round(number),
            figure.0,
            spread.percentile_ms(0.5),
            spread.percentile_ms(0.99),
            limit.0
        );
        if number > 0 {
            ratios.push(ratio);
        }
    }
    println!("median: {:.2} of the empty handler's rate", median(ratios));
    Ok(())
}

/// Reserves without an end.
async fn writing(options: &Options, address: SocketAddr) -> Result<(), Stop> {
    let skus = options.skus;
    let ask = move |chance: &mut Chance| {
        let path = format!("/v1/reservations/{:016x}{:016x}", chance.bits(), chance.bits());
        ("PUT", path, format!(r#"{{"lines":[{{"sku":"{}","quantity":1}}]}}"#, drawn(chance, skus)))
    };
    super::http::load(address, WRITERS, Duration::MAX, 201, ask).await.map(drop)
}

fn drawn(chance: &mut Chance, skus: usize) -> String {
    sku(chance.below(skus))
}

//! `bench import`: a table of stock that is imported while clients reserve, and what they feel of it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use db::{Context, Trace};
use futures_util::{StreamExt, stream};
use telemetry::Stopwatch;
use tokio::task::JoinHandle;
use web::Client;
use world::World;

use super::On;
use super::shop::{Connection, Pool, Shop, fill, sku};
use super::spread::Spread;
use crate::stop::Stop;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    on: On,
    /// Rows of the table, each a SKU in one of four warehouses
    #[arg(long, default_value_t = 400_000)]
    rows: usize,
    /// Clients that reserve meanwhile, each waiting for its answer
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// SKUs that they reserve
    #[arg(long, default_value_t = 10_000)]
    skus: usize,
}

const WAREHOUSES: [&str; 4] = ["east", "main", "north", "west"];
/// Rows of the table that are sent at once.
const PIECE: usize = 2_000;
/// How long clients reserve without the import, to compare with.
const ALONE: Duration = Duration::from_secs(4);

pub(super) fn run(options: &Options) -> Result<(), Stop> {
    let folder = options.on.fresh_folder()?.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Stop::failed)?;
    let shop = Shop::start(&options.on, &folder)?;
    println!("import on {}: {} rows, {} clients reserve meanwhile", options.on.name(), options.rows, options.clients);
    runtime.block_on(async {
        shop.is_up().await?;
        fill(&Pool::to(shop.address()), options.skus).await?;
        let (phase, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let clients = clients(&shop, options, &phase, &ended);
        tokio::time::sleep(ALONE).await;
        phase.store(true, Ordering::Relaxed);
        let took = import(&shop, options.rows).await?;
        ended.store(true, Ordering::Relaxed);
        let (mut before, mut during) = (Spread::default(), Spread::default());
        for client in clients {
            let (alone, meanwhile) = client.await.map_err(Stop::failed)?.map_err(Stop::failed)?;
            (before, during) = (before.merge(alone), during.merge(meanwhile));
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
        let (rows, reserves) = (options.rows as f64, during.count() as f64);
        println!(
            "{:.1} s, {:.0} rows/s; reservations before: p50 {:.1} ms, p99 {:.1} ms; meanwhile {:.0}/s: p50 {:.1} ms, \
             p99 {:.1} ms; {:.0} MiB",
            took.as_secs_f64(),
            rows / took.as_secs_f64(),
            before.percentile_ms(0.5),
            before.percentile_ms(0.99),
            reserves / took.as_secs_f64(),
            during.percentile_ms(0.5),
            during.percentile_ms(0.99),
            shop.memory_mib(),
        );
        Ok(())
    })
}

async fn import(shop: &Shop, rows: usize) -> Result<Duration, Stop> {
    let client = Client::new(&format!("http://{}", shop.address())).map_err(Stop::Failed)?;
    let by = Context::system("bench", Trace { trace_id: 1, span_id: 1, is_sampled: true });
    let header = std::iter::once("sku,warehouse,counted\n".to_owned());
    let pieces = (0..rows).step_by(PIECE).map(move |first| {
        let mut text = String::new();
        for row in first..rows.min(first + PIECE) {
            let (number, warehouse) = (row / WAREHOUSES.len(), WAREHOUSES[row % WAREHOUSES.len()]);
            let _ = writeln!(text, "IMPORTED-{number:06},{warehouse},{}", row % 500);
        }
        text
    });
    let body =
        Body::from_stream(stream::iter(header.chain(pieces).map(|text| Ok::<_, std::io::Error>(Bytes::from(text)))));
    let sent = Some(("text/csv", body));
    let all = Stopwatch::start();
    let mut answer = client
        .stream(http::Method::PUT, "/v1/stock-imports/bench", sent, "application/x-ndjson", &by)
        .await
        .map_err(Stop::failed)?;
    let mut told = Vec::new();
    while let Some(bytes) = answer.next().await {
        told = bytes.map_err(Stop::failed)?.to_vec();
    }
    let last = String::from_utf8_lossy(&told).into_owned();
    if last.contains(&format!("\"counted\":{rows},")) {
        return Ok(all.elapsed());
    }
    Err(Stop::Failed(format!("the import ended with {}", last.trim())))
}

type Felt = std::io::Result<(Spread, Spread)>;

#[expect(clippy::disallowed_methods, reason = "the clients of a bench are tasks of its own")]
fn clients(shop: &Shop, options: &Options, during: &Arc<AtomicBool>, ended: &Arc<AtomicBool>) -> Vec<JoinHandle<Felt>> {
    let world = World::real();
    let client = |client: usize| {
        let (address, skus, during, ended) = (shop.address(), options.skus, during.clone(), ended.clone());
        let mut chance = world.chance(&format!("client {client}"));
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await?;
            let (mut alone, mut meanwhile) = (Spread::default(), Spread::default());
            while !ended.load(Ordering::Relaxed) {
                let path = format!("/v1/reservations/{:016x}{:016x}", chance.bits(), chance.bits());
                let body = format!(r#"{{"lines":[{{"sku":"{}","quantity":1}}]}}"#, sku(chance.below(skus)));
                let spread = if during.load(Ordering::Relaxed) { &mut meanwhile } else { &mut alone };
                let one = Stopwatch::start();
                let (status, answer) = connection.ask("PUT", &path, "", &body).await?;
                if status != 201 {
                    return Err(std::io::Error::other(format!("{status} {answer}")));
                }
                spread.add(one.elapsed());
            }
            Ok((alone, meanwhile))
        })
    };
    (0..options.clients).map(client).collect()
}

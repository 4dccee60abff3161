//! `bench lapse`: what reservations feel of a great many holds that lapse in the same second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use db::{Asked, Meters, Query};
use inventory::InventoryDesk;
use inventory::domain::{Command, Line, Rejection, Reserve};
use telemetry::Stopwatch;
use world::{Chance, Moment, World};

use super::On;
use super::reserve::{PLENTY, Stock, WAREHOUSES, by, fill, sku};
use super::spread::Spread;
use crate::stop::Stop;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    on: On,
    /// Holds that lapse together
    #[arg(long, default_value_t = 100_000)]
    holds: usize,
    /// Clients that reserve meanwhile, each waiting for its answer
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// SKUs, each in two warehouses
    #[arg(long, default_value_t = 10_000)]
    skus: usize,
    /// The holds keep all there is, so that every reservation has to look for lapsed ones
    #[arg(long)]
    scarce: bool,
}

/// How long clients reserve before the holds lapse, and after the last one is cleared away.
const AROUND: Duration = Duration::from_secs(3);

pub(super) fn run(options: &Options) -> Result<(), Stop> {
    options.on.fresh_folder()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Stop::failed)?;
    let stock = Stock::open(&options.on, 1, &Arc::new(Meters::default()))?;
    println!(
        "lapse on {}: {} holds of {} SKUs{}, {} clients",
        options.on.name(),
        options.holds,
        options.skus,
        if options.scarce { " that keep all there is" } else { "" },
        options.clients
    );
    let measured = runtime.block_on(measure(&stock, options));
    stock.close();
    measured
}

async fn measure(stock: &Stock, options: &Options) -> Result<(), Stop> {
    // Each hold keeps a piece, and each SKU lies in two warehouses.
    let all = i64::try_from(options.holds.div_ceil(2 * options.skus)).unwrap_or(i64::MAX);
    fill(&stock.desk, options.skus, &WAREHOUSES, if options.scarce { all } else { PLENTY }).await;
    let world = World::real();
    let at = world.now() + Duration::from_secs(10 + options.holds as u64 / 5_000);
    hold(&stock.desk, &world, options, at).await;
    let Some(left) = at.since(world.now()).checked_sub(AROUND) else {
        return Err(Stop::Failed("the holds took too long; ask for fewer with --holds".to_owned()));
    };
    tokio::time::sleep(left).await;

    let (phase, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let clients = clients(stock, options, &phase, &ended);
    tokio::time::sleep(at.since(world.now())).await;
    phase.store(true, Ordering::Relaxed);
    let cleared = Stopwatch::start();
    let mut took = Duration::ZERO;
    while still_there(stock, at).await? > 0 {
        took = cleared.elapsed();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(AROUND).await;
    ended.store(true, Ordering::Relaxed);
    let (mut before, mut after, mut refused) = (Spread::default(), Spread::default(), 0);
    for client in clients {
        let seen = client.await.map_err(Stop::failed)?;
        (before, after, refused) = (before.merge(seen.before), after.merge(seen.after), refused + seen.refused);
    }
    println!(
        "before: {} answers, p50 {:.2} ms, p99 {:.1} ms; from the lapse on: {} answers, p50 {:.2} ms, p99 {:.1} ms, \
         slowest {:.1} ms; {refused} refused; all holds were cleared away {:.2} s after they had lapsed",
        before.count(),
        before.percentile_ms(0.5),
        before.percentile_ms(0.99),
        after.count(),
        after.percentile_ms(0.5),
        after.percentile_ms(0.99),
        after.percentile_ms(1.0),
        took.as_secs_f64()
    );
    Ok(())
}

/// Makes the holds, all of which lapse within the second before this moment.
async fn hold(desk: &InventoryDesk, world: &World, options: &Options, at: Moment) {
    let mut chance = world.chance("holds");
    let mut waiting = Vec::new();
    for number in 0..options.holds {
        let hold_secs = i64::try_from(at.since(world.now()).as_secs()).unwrap_or(0).max(1);
        let reserve = one(&mut chance, number % options.skus, hold_secs);
        waiting.push(desk.ask(Asked::new(Command::Reserve(reserve), by())));
        if waiting.len() >= 4_000 {
            for answer in waiting.drain(..) {
                drop(answer.await);
            }
        }
    }
    for answer in waiting {
        drop(answer.await);
    }
}

#[derive(Default)]
struct Seen {
    before: Spread,
    after: Spread,
    refused: usize,
}

#[expect(clippy::disallowed_methods, reason = "the clients of a bench are tasks of its own")]
fn clients(
    stock: &Stock,
    options: &Options,
    lapsed: &Arc<AtomicBool>,
    ended: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<Seen>> {
    let world = World::real();
    let client = |client: usize| {
        let (desk, lapsed, ended, skus) = (stock.desk.clone(), lapsed.clone(), ended.clone(), options.skus);
        let mut chance = world.chance(&format!("client {client}"));
        tokio::spawn(async move {
            let mut seen = Seen::default();
            while !ended.load(Ordering::Relaxed) {
                let sku = chance.below(skus);
                let command = Command::Reserve(one(&mut chance, sku, 3_600));
                let stopwatch = Stopwatch::start();
                match desk.ask(Asked::new(command, by())).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(Rejection::OutOfStock { .. })) => seen.refused += 1,
                    other => panic!("a bench that measures failures measures nothing: {other:?}"),
                }
                let spread = if lapsed.load(Ordering::Relaxed) { &mut seen.after } else { &mut seen.before };
                spread.add(stopwatch.elapsed());
            }
            seen
        })
    };
    (0..options.clients).map(client).collect()
}

fn one(chance: &mut Chance, of: usize, hold_secs: i64) -> Reserve {
    let name = format!("{:016x}{:016x}", chance.bits(), chance.bits());
    Reserve {
        fingerprint: name.clone(),
        name: ids::Name::from_column(name),
        lines: vec![Line { sku: sku(of), quantity: 1, warehouse: None }],
        hold_secs,
        order: None,
        replaces: None,
        terms: None,
    }
}

/// Holds that have lapsed and are not cleared away.
async fn still_there(stock: &Stock, at: Moment) -> Result<i64, Stop> {
    let read = stock.database.read(move |read| {
        let sql = "SELECT count(*) FROM hold WHERE expires_at <= $1";
        let row = read.rows(Query::sql(sql, [at.into()]))?.pop();
        row.map_or(Ok(0), |row| row.columns().int())
    });
    read.await.map_err(Stop::failed)
}

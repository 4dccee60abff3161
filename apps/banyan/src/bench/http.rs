//! `bench http`: durable reservations over HTTP, against an empty handler that parses the same JSON.

use std::path::Path;
use std::time::Duration;

use telemetry::Stopwatch;
use world::{Chance, World};

use super::shop::{Connection, Door, Pool, Shop, fill, sku};
use super::spread::Spread;
use super::{On, empty, median, round};
use crate::stop::Stop;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    on: On,
    /// Connections that each wait for their answer before they ask again
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// SKUs
    #[arg(long, default_value_t = 10_000)]
    skus: usize,
    /// Also with a second shop, which demands a key and counts what each asks for; both take turns
    #[arg(long, conflicts_with = "postgres")]
    keys: bool,
    /// Seconds of a round
    #[arg(long, default_value_t = 4)]
    secs: u64,
    /// Rounds, after one that warms up
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub(super) fn run(options: &Options) -> Result<(), Stop> {
    let folder = options.on.fresh_folder()?.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Stop::failed)?;
    let shop = Shop::start(&options.on, &folder)?;
    println!("http on {}: {} connections, {} SKUs", options.on.name(), options.connections, options.skus);
    runtime.block_on(async {
        shop.is_up().await?;
        let empty = empty::start().await?;
        fill(&Pool::to(shop.address()), options.skus).await?;
        let (length, skus) = (Duration::from_secs(options.secs), options.skus);
        let ask = move |chance: &mut Chance| {
            let path = format!("/v1/reservations/{:016x}{:016x}", chance.bits(), chance.bits());
            ("PUT", path, format!(r#"{{"lines":[{{"sku":"{}","quantity":1}}]}}"#, sku(chance.below(skus))))
        };
        let keyed = if options.keys { Some(start_keyed(options, &folder).await?) } else { None };
        let (mut ratios, mut with_key) = (Vec::new(), Vec::new());
        for number in 0..=options.rounds {
            let limit = load(empty.address, options.connections, length, 200, ask).await?;
            let figure = load(shop.address(), options.connections, length, 201, ask).await?;
            let (ratio, mut spread) = (figure.0 / limit.0, figure.1);
            println!(
                "{}: {:.0} reserves/s, p50 {:.1} ms, p99 {:.1} ms; empty handler {:.0}/s: {ratio:.2} of it",
                round(number),
                figure.0,
                spread.percentile_ms(0.5),
                spread.percentile_ms(0.99),
                limit.0
            );
            if number > 0 {
                ratios.push(ratio);
            }
            if let Some((_shop, door)) = &keyed {
                let (per_sec, mut spread) = load(door.clone(), options.connections, length, 201, ask).await?;
                let (ratio, p99_ms) = (per_sec / figure.0, spread.percentile_ms(0.99));
                println!("  with a key: {per_sec:.0} reserves/s, p99 {p99_ms:.1} ms: {ratio:.2} of it");
                if number > 0 {
                    with_key.push(ratio);
                }
            }
        }
        println!("median: {:.2} of the empty handler's rate", median(ratios));
        if keyed.is_some() {
            println!("with a key, median: {:.2} of the rate without", median(with_key));
        }
        Ok(())
    })
}

/// A shop like the other that demands a key.
async fn start_keyed(options: &Options, folder: &Path) -> Result<(Shop, Door), Stop> {
    let shop = Shop::start(&options.on, &folder.join("keyed"))?;
    shop.is_up().await?;
    fill(&Pool::to(shop.address()), options.skus).await?;
    let door = shop.demand_key().await?;
    Ok((shop, door))
}

/// What is asked next: the method, the path and the body.
pub(super) type Question = (&'static str, String, String);

/// Requests a second and how long they took: so many connections, each asking again once it is answered.
#[expect(clippy::disallowed_methods, reason = "the connections of a bench are tasks of its own")]
pub(super) async fn load(
    door: impl Into<Door>,
    connections: usize,
    length: Duration,
    expected: u16,
    ask: impl Fn(&mut Chance) -> Question + Clone + Send + 'static,
) -> Result<(f64, Spread), Stop> {
    let (world, door) = (World::real(), door.into());
    let all = Stopwatch::start();
    let connections: Vec<_> = (0..connections)
        .map(|number| {
            let mut chance = world.chance(&format!("connection {number}"));
            let (ask, door) = (ask.clone(), door.clone());
            tokio::spawn(async move {
                let mut connection = Connection::through(&door).await?;
                let mut spread = Spread::default();
                let round = Stopwatch::start();
                while round.elapsed() < length {
                    let (method, path, body) = ask(&mut chance);
                    let one = Stopwatch::start();
                    let (status, answer) = connection.ask(method, &path, "", &body).await?;
                    if status != expected {
                        return Err(std::io::Error::other(format!("{status} {answer}")));
                    }
                    spread.add(one.elapsed());
                }
                Ok(spread)
            })
        })
        .collect();
    let mut spread = Spread::default();
    for connection in connections {
        spread = spread.merge(connection.await.map_err(Stop::failed)?.map_err(Stop::failed)?);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    let per_sec = spread.count() as f64 / all.elapsed().as_secs_f64();
    Ok((per_sec, spread))
}

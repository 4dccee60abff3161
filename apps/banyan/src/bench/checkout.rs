//! `bench checkout`: whole checkouts over HTTP, from the request to *confirmed*, arriving at a fixed
//! rate whether or not the earlier ones are done (open loop, Poisson), so that no wait is hidden.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use telemetry::Stopwatch;
use world::World;

use super::crowd::{Crowd, Heard, RECORDED_AT, allow_open_files};
use super::receivers::{Receivers, Wanted};
use super::shop::{Pool, Shop, fill, sku};
use super::spread::Spread;
use super::{On, append, median};
use crate::stop::Stop;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    on: On,
    /// Checkouts that arrive in a second, one run for each
    #[arg(long, value_delimiter = ',', default_values_t = [100, 250, 500, 1_000])]
    rates: Vec<u32>,
    /// SKUs
    #[arg(long, default_value_t = 10_000)]
    skus: usize,
    /// Seconds of a run
    #[arg(long, default_value_t = 10)]
    secs: u64,
    /// Also with so many who each listen to what becomes of one order, one run without them and one with
    #[arg(long, default_value_t = 0)]
    listeners: usize,
    /// Also with so many webhook endpoints for confirmed orders, of which four in ten are slow, fail, redirect or
    /// answer 64 MiB; one run without them and one with
    #[arg(long, default_value_t = 0)]
    endpoints: usize,
    /// Each of these endpoints wants all orders, and not a sixteenth of them
    #[arg(long)]
    all: bool,
    /// Also in a second shop, which demands a key and counts what each asks for; one run in each
    #[arg(long, conflicts_with_all = ["postgres", "listeners", "endpoints"])]
    keys: bool,
    /// Such pairs of runs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// How long it takes until nothing is left of those who have listened.
const LEAVING: Duration = Duration::from_secs(3);

pub(super) fn run(options: &Options) -> Result<(), Stop> {
    allow_open_files(options.listeners)?;
    let folder = options.on.fresh_folder()?.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Stop::failed)?;
    let shop = Shop::start(&options.on, &folder)?;
    let receivers = Receivers::open()?;
    println!("checkout on {}: carts of 1 to 3 lines, {} SKUs", options.on.name(), options.skus);
    runtime.block_on(async {
        shop.is_up().await?;
        println!("idle: {:.0} MiB", shop.memory_mib());
        let pool = Arc::new(Pool::to(shop.address()));
        fill(&pool, options.skus).await?;
        let warm_up = arrive(&pool, options, 200, Duration::from_secs(3), &Names(0)).await;
        println!("warm-up: {} checkouts", warm_up.confirmed.count());
        if options.listeners > 0 || options.endpoints > 0 {
            return beside_others(&shop, &pool, &receivers, options).await;
        }
        if options.keys {
            return beside_keys(&shop, &pool, &folder, options).await;
        }
        for (run, rate) in (1..).zip(&options.rates) {
            let append = append::measure(&folder)?;
            let (cpu, commits) = (shop.cpu_secs(), shop.metric("banyan_desk_batch_seconds_count").await);
            let mut seen = arrive(&pool, options, *rate, Duration::from_secs(options.secs), &Names(run)).await;
            #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
            let done = seen.confirmed.count().max(1) as f64;
            println!(
                "{rate}/s: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms; {} confirmed, {} otherwise; \
                 {:.0} µs processor and {:.1} commits a checkout; {:.0} MiB; bare append {:.0}/s, p50 {:.2} ms",
                seen.confirmed.percentile_ms(0.5),
                seen.confirmed.percentile_ms(0.95),
                seen.confirmed.percentile_ms(0.99),
                seen.confirmed.count(),
                seen.otherwise,
                (shop.cpu_secs() - cpu) * 1e6 / done,
                (shop.metric("banyan_desk_batch_seconds_count").await - commits) / done,
                shop.memory_mib(),
                append.per_sec,
                append.p50_ms,
            );
            if let Some(answer) = seen.example {
                println!("  for example: {answer}");
            }
        }
        Ok(())
    })
}

/// How much longer checkouts take while others hear of them: as many as are asked for who each listen to
/// one order, of which those that are placed are among the first, and as many webhook endpoints.
async fn beside_others(shop: &Shop, pool: &Arc<Pool>, receivers: &Receivers, options: &Options) -> Result<(), Stop> {
    let mut names = (1..).map(Names);
    let length = Duration::from_secs(options.secs);
    let wanted = Wanted { endpoints: options.endpoints, all: options.all };
    for rate in &options.rates {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for (round, (before, during)) in
            (1..=options.rounds).zip(std::iter::from_fn(|| Some((names.next()?, names.next()?))))
        {
            let cpu = shop.cpu_secs();
            let mut alone = arrive(pool, options, *rate, length, &before).await;
            let cpu_alone = shop.cpu_secs() - cpu;
            let heard = Heard::nothing(RECORDED_AT);
            receivers.heard.begin();
            receivers.register(pool, wanted, round, true).await?;
            let request = |number| {
                let path = format!("/v1/events/orders?subject={}&after=latest", during.of(number));
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
            };
            let crowd = Crowd::gather(shop.address(), (0..options.listeners).map(request), &heard).await?;
            let cpu = shop.cpu_secs();
            let mut beside = arrive(pool, options, *rate, length, &during).await;
            let cpu_beside = shop.cpu_secs() - cpu;
            let behind_secs = shop.metric("banyan_webhook_oldest_undelivered_seconds").await;
            let (alone_ms, beside_ms) = (alone.confirmed.percentile_ms(0.99), beside.confirmed.percentile_ms(0.99));
            println!(
                "{rate}/s, round {round}: p99 {alone_ms:.1} ms alone, {beside_ms:.1} ms beside others; {} and {} confirmed, \
                 {} and {} otherwise; processor {cpu_alone:.1} and {cpu_beside:.1} s",
                alone.confirmed.count(),
                beside.confirmed.count(),
                alone.otherwise,
                beside.otherwise,
            );
            println!(
                "  {} listeners heard {} events, p99 after {:.0} ms; {} cut off",
                crowd.count(),
                heard.count(),
                heard.percentile_ms(0.99),
                heard.gone(),
            );
            println!(
                "  {} endpoints; those that take what they get got {} messages, p50 after {:.0} ms, p99 {:.0} ms; the \
                 slowest is {behind_secs:.1} s behind",
                options.endpoints,
                receivers.heard.count(),
                receivers.heard.percentile_ms(0.5),
                receivers.heard.percentile_ms(0.99),
            );
            receivers.register(pool, wanted, round, false).await?;
            drop(crowd);
            // That all of them leave at once is felt, and not by those who shop alone.
            tokio::time::sleep(LEAVING).await;
            without.push(alone_ms);
            with.push(beside_ms);
        }
        let (without, with) = (median(without), median(with));
        println!("{rate}/s, median: p99 {without:.1} → {with:.1} ms: {:.2} of it", with / without);
    }
    Ok(())
}

/// How much longer checkouts take where each request shows a key, in a shop like the other that demands one.
async fn beside_keys(shop: &Shop, pool: &Arc<Pool>, folder: &Path, options: &Options) -> Result<(), Stop> {
    let keyed = Shop::start(&options.on, &folder.join("keyed"))?;
    keyed.is_up().await?;
    fill(&Pool::to(keyed.address()), options.skus).await?;
    let with_key = Arc::new(Pool::to(keyed.demand_key().await?));
    let length = Duration::from_secs(options.secs);
    arrive(&with_key, options, 200, Duration::from_secs(3), &Names(0)).await;
    let mut names = (1..).map(Names);
    for rate in &options.rates {
        let mut rounds = [(shop, pool, Vec::new(), Vec::new()), (&keyed, &with_key, Vec::new(), Vec::new())];
        for (_, names) in (0..options.rounds).zip(&mut names) {
            for (shop, pool, p99_ms, cpu_micros) in &mut rounds {
                let cpu = shop.cpu_secs();
                let mut seen = arrive(pool, options, *rate, length, &names).await;
                #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
                let done = seen.confirmed.count().max(1) as f64;
                p99_ms.push(seen.confirmed.percentile_ms(0.99));
                cpu_micros.push((shop.cpu_secs() - cpu) * 1e6 / done);
                if let Some(answer) = seen.example {
                    println!("{rate}/s: {} not confirmed, for example: {answer}", seen.otherwise);
                }
            }
        }
        let [(p99_ms, micros), (keyed_ms, keyed_micros)] = rounds.map(|(_, _, p99_ms, cpu_micros)| {
            println!("{rate}/s: p99 of the runs {p99_ms:.1?} ms, {cpu_micros:.0?} µs of processor a checkout");
            (median(p99_ms), median(cpu_micros))
        });
        println!(
            "{rate}/s, median: p99 {p99_ms:.1} → {keyed_ms:.1} ms with keys: {:.2} of it; processor {micros:.0} → \
             {keyed_micros:.0} µs: {:.2}",
            keyed_ms / p99_ms,
            keyed_micros / micros
        );
    }
    Ok(())
}

/// The names of the orders of a run: as scattered as those that callers choose, and known beforehand to
/// those who listen.
struct Names(u32);

impl Names {
    fn of(&self, number: usize) -> String {
        let half = |side| world::stable_hash(format!("{}/{number}/{side}", self.0).as_bytes());
        format!("{:016x}{:016x}", half("a"), half("b"))
    }
}

/// What became of the checkouts of a run.
#[derive(Default)]
struct Seen {
    confirmed: Spread,
    otherwise: usize,
    example: Option<String>,
}

#[expect(clippy::disallowed_methods, reason = "each arrival of a bench is a task of its own")]
async fn arrive(pool: &Arc<Pool>, options: &Options, rate: u32, length: Duration, names: &Names) -> Seen {
    let world = World::real();
    let mut chance = world.chance("arrivals");
    let mut arrivals = Vec::new();
    let begin = tokio::time::Instant::now();
    let mut at = Duration::ZERO;
    loop {
        // The time between two arrivals of a Poisson process is exponentially distributed.
        at += Duration::from_secs_f64(-(1.0 - chance.fraction()).ln() / f64::from(rate));
        if at > length {
            break;
        }
        tokio::time::sleep_until(begin + at).await;
        let late = (tokio::time::Instant::now() - begin).saturating_sub(at);
        let lines: Vec<String> = (0..=chance.below(3))
            .map(|_| {
                let sku = sku(chance.below(options.skus));
                format!(r#"{{"sku":"{sku}","quantity":1,"unit_price":{{"amount":1999,"currency":"GBP"}}}}"#)
            })
            .collect();
        let body = format!(r#"{{"lines":[{}],"payment":{{"method":"pm_card_visa"}}}}"#, lines.join(","));
        let path = format!("/v1/orders/{}", names.of(arrivals.len()));
        let pool = pool.clone();
        arrivals.push(tokio::spawn(async move {
            let one = Stopwatch::start();
            let answer = pool.ask("PUT", &path, "Prefer: wait=30\r\n", &body).await;
            (late + one.elapsed(), answer)
        }));
    }
    let mut seen = Seen::default();
    for arrival in arrivals {
        match arrival.await {
            Ok((took, Ok((201, answer)))) if answer.contains(r#""status":"confirmed""#) => seen.confirmed.add(took),
            other => {
                seen.otherwise += 1;
                seen.example.get_or_insert_with(|| format!("{other:?}").chars().take(300).collect());
            }
        }
    }
    seen
}

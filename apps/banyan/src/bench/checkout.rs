//! `bench checkout`: whole checkouts over HTTP, from the request to *confirmed*, arriving at a fixed
//! rate whether or not the earlier ones are done (open loop, Poisson), so that no wait is hidden.

use std::sync::Arc;
use std::time::Duration;

use telemetry::Stopwatch;
use world::World;

use super::shop::{Pool, Shop, fill, sku};
use super::spread::Spread;
use super::{On, append};
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
}

pub(super) fn run(options: &Options) -> Result<(), Stop> {
    let folder = options.on.fresh_folder()?.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Stop::failed)?;
    let shop = Shop::start(&options.on, &folder)?;
    println!("checkout on {}: carts of 1 to 3 lines, {} SKUs", options.on.name(), options.skus);
    runtime.block_on(async {
        shop.is_up().await?;
        println!("idle: {:.0} MiB", shop.memory_mib());
        let pool = Arc::new(Pool::to(shop.address));
        fill(&pool, options.skus).await?;
        let warm_up = arrive(&pool, options, 200, Duration::from_secs(3)).await;
        println!("warm-up: {} checkouts", warm_up.confirmed.count());
        for rate in &options.rates {
            let append = append::measure(&folder)?;
            let (cpu, commits) = (shop.cpu_secs(), shop.metric("banyan_desk_batch_seconds_count").await);
            let mut seen = arrive(&pool, options, *rate, Duration::from_secs(options.secs)).await;
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

/// What became of the checkouts of a run.
#[derive(Default)]
struct Seen {
    confirmed: Spread,
    otherwise: usize,
    example: Option<String>,
}

#[expect(clippy::disallowed_methods, reason = "each arrival of a bench is a task of its own")]
async fn arrive(pool: &Arc<Pool>, options: &Options, rate: u32, length: Duration) -> Seen {
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
        let path = format!("/v1/orders/{:016x}{:016x}", chance.bits(), chance.bits());
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

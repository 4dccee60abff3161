//! `bench fanout`: how soon a great many who listen hear of each event, from its commit on, against
//! one bare write to each of as many connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use telemetry::Stopwatch;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval};
use world::World;

use super::crowd::{Crowd, Heard, RECORDED_AT, allow_open_files, until_heard};
use super::shop::{Pool, Shop, fill};
use super::{On, median};
use crate::stop::Stop;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    on: On,
    /// Who listen to all events of inventory, each on a connection of its own
    #[arg(long, default_value_t = 10_000)]
    listeners: usize,
    /// Events that are said in a second
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Seconds of a round
    #[arg(long, default_value_t = 10)]
    secs: u32,
    /// Rounds, after one that warms up
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub(super) fn run(options: &Options) -> Result<(), Stop> {
    let room = allow_open_files(options.listeners)?;
    let folder = options.on.fresh_folder()?.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Stop::failed)?;
    println!("fanout on {}: {} listeners, {} events/s", options.on.name(), options.listeners, options.rate);
    let limit = bare(&runtime, options.listeners, room)?;
    let shop = Shop::start(&options.on, &folder)?;
    runtime.block_on(async {
        shop.is_up().await?;
        let pool = Arc::new(Pool::to(shop.address()));
        fill(&pool, 100).await?;
        let before = shop.memory_mib();
        let heard = Heard::nothing(RECORDED_AT);
        let request = "GET /v1/events/inventory HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
        let opening = Stopwatch::start();
        let crowd = Crowd::gather(shop.address(), vec![request.to_owned(); options.listeners], &heard).await?;
        // They first hear of what the shop was filled with.
        until_heard(&heard, options.listeners * 100).await;
        #[expect(clippy::cast_precision_loss, reason = "some thousand listeners")]
        let each_kib = |shop: &Shop| (shop.memory_mib() - before) * 1024.0 / crowd.count() as f64;
        println!("all listen after {:.1} s; {:.1} KiB each", opening.elapsed().as_secs_f64(), each_kib(&shop));
        let mut all = Vec::new();
        for number in 0..=options.rounds {
            heard.begin();
            let cpu = shop.cpu_secs();
            let said = say(&pool, options, number).await?;
            until_heard(&heard, said * options.listeners).await;
            let p99 = heard.percentile_ms(0.99);
            println!(
                "{}: {said} events, heard {} times of {}; p50 {:.0} ms, p99 {p99:.0} ms, the last {:.0} ms; {:.2} processors, \
                 {:.1} KiB each; {} cut off",
                if number == 0 { "warm-up".to_owned() } else { format!("round {number}") },
                heard.count(),
                said * options.listeners,
                heard.percentile_ms(0.5),
                heard.percentile_ms(1.0),
                (shop.cpu_secs() - cpu) / f64::from(options.secs),
                each_kib(&shop),
                heard.gone(),
            );
            if number > 0 {
                all.push(p99);
            }
        }
        let p99 = median(all);
        println!("median: p99 {p99:.0} ms; one bare write to each takes {limit:.0} ms: {:.1} times that", p99 / limit);
        Ok(())
    })
}

/// Lets as many events happen as a round has, evenly, and says how many.
#[expect(clippy::disallowed_methods, reason = "each arrival of a bench is a task of its own")]
async fn say(pool: &Arc<Pool>, options: &Options, round: usize) -> Result<usize, Stop> {
    let mut ticks = interval(Duration::from_secs(1) / options.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut said = Vec::new();
    for number in 0..options.rate * options.secs {
        ticks.tick().await;
        let pool = pool.clone();
        said.push(tokio::spawn(async move {
            let body = r#"{"type":"receive","sku":"SKU-000001","warehouse":"main","quantity":1}"#;
            pool.ask("PUT", &format!("/v1/stock-movements/said-{round}-{number}"), "", body).await
        }));
    }
    let count = said.len();
    for one in said {
        match one.await.map_err(Stop::failed)?.map_err(Stop::failed)? {
            (201, _) => {}
            (status, answer) => return Err(Stop::Failed(format!("nothing was said: {status} {answer}"))),
        }
    }
    Ok(count)
}

/// How long one write to each of as many connections takes until all but a hundredth have read it, in
/// milliseconds. Both ends are here, so where there is no room for all, fewer stand for them.
fn bare(runtime: &Runtime, listeners: usize, room: usize) -> Result<f64, Stop> {
    let connections = listeners.min(room / 2);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Stop::failed)?;
        let address: SocketAddr = listener.local_addr().map_err(Stop::failed)?;
        let heard = Heard::nothing(RECORDED_AT);
        let accepted = async {
            let mut accepted: Vec<TcpStream> = Vec::with_capacity(connections);
            while accepted.len() < connections {
                let (mut stream, _) = listener.accept().await.map_err(Stop::failed)?;
                stream.set_nodelay(true).map_err(Stop::failed)?;
                stream.write_all(b"\n").await.map_err(Stop::failed)?;
                accepted.push(stream);
            }
            Ok::<_, Stop>(accepted)
        };
        let crowd = Crowd::gather(address, vec![String::new(); connections], &heard);
        let (mut accepted, _crowd) = tokio::try_join!(accepted, crowd)?;
        let mut rounds = Vec::new();
        for _ in 0..6 {
            heard.begin();
            let now = World::real().now();
            // As long as an event is that says what was received.
            let message = format!("data: {{\"recorded_at\":\"{now}\"{}}}\n\n", " ".repeat(600));
            for group in accepted.chunks_mut(64) {
                for stream in group {
                    stream.write_all(message.as_bytes()).await.map_err(Stop::failed)?;
                }
                tokio::task::yield_now().await;
            }
            until_heard(&heard, connections).await;
            rounds.push(heard.percentile_ms(0.99));
        }
        // The first one warms up.
        #[expect(clippy::cast_precision_loss, reason = "some thousand connections")]
        let for_all = median(rounds.split_off(1)) * listeners as f64 / connections as f64;
        println!("one bare write to each of {connections} connections: p99 {for_all:.1} ms for {listeners}");
        Ok(for_all)
    })
}

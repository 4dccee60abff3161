//! Runs the platform under seeds, and says what the auditors found.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use simulate::{Coverage, Journal, Outcome, Scenario, run};

/// Runs the whole platform under seeds, with everything going wrong that can, and audits each run.
#[derive(Debug, Parser)]
#[command(version, about)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct Arguments {
    /// Runs this one seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Runs the seeds from A up to B, such as 0..1000.
    #[arg(long, default_value = "0..1000", value_parser = range)]
    seeds: (u64, u64),
    /// Goes on with further seeds until this much time has passed, such as 30m.
    #[arg(long, value_parser = duration)]
    until: Option<Duration>,
    /// Things that shoppers do in each run.
    #[arg(long, default_value_t = 80)]
    requests: usize,
    /// Puts the disk of one service back to an older copy in each run.
    #[arg(long)]
    restores: bool,
    /// Makes each run one in which many want the same few goods.
    #[arg(long)]
    sales: bool,
    /// Prints what the runs have reached, and how often.
    #[arg(long)]
    coverage: bool,
    /// Prints everything that happens.
    #[arg(short, long)]
    verbose: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "a range of seeds is expected, such as 0..1000".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    Ok((from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is expected, such as 90s or 30m".to_owned();
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        "h" => Ok(Duration::from_secs(3_600 * number)),
        _ => Err(wrong()),
    }
}

/// What all runs came to.
#[derive(Default)]
struct Sum {
    seeds: usize,
    requests: usize,
    events: usize,
    crashes: usize,
    stopped: usize,
    coverage: Coverage,
    digest: u64,
    bad: usize,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.requests += outcome.requests;
        self.events += outcome.events;
        self.crashes += outcome.crashes;
        self.stopped += outcome.stopped.len();
        self.coverage.add(&outcome.coverage);
        self.digest = self.digest.rotate_left(7) ^ outcome.digest;
        if !outcome.findings.is_empty() {
            self.bad += 1;
            println!("seed {seed}: {} findings; again with: simulate --seed {seed} -v", outcome.findings.len());
            for finding in outcome.findings.iter().take(10) {
                println!("  {finding}");
            }
        }
    }
}

/// Runs some seeds at once, each on a thread of its own, and gives what they came to in their order.
fn run_some(seeds: Range<u64>, scenario: &Scenario, verbose: bool) -> Vec<(u64, Outcome)> {
    let one = |seed| (seed, run(seed, scenario, &mut Journal::new(verbose)));
    std::thread::scope(|scope| {
        let threads: Vec<_> = seeds.map(|seed| scope.spawn(move || one(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a run does not panic")).collect()
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { requests, restores, sales, .. } = arguments;
    let scenario = Scenario { requests, restores, sales, ..Scenario::default() };
    let (mut seed, to) = match arguments.seed {
        Some(seed) => (seed, seed + 1),
        None => arguments.seeds,
    };
    let at_once =
        if arguments.verbose { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) as u64 };
    let stopwatch = telemetry::Stopwatch::start();
    let mut sum = Sum::default();
    loop {
        let next = match arguments.until {
            Some(until) if stopwatch.elapsed() < until => seed + at_once,
            Some(_) => seed,
            None => to.min(seed + at_once),
        };
        if next <= seed {
            break;
        }
        for (seed, outcome) in run_some(seed..next, &scenario, arguments.verbose) {
            sum.add(seed, &outcome);
        }
        seed = next;
    }
    if arguments.coverage {
        print!("{}", sum.coverage);
    }
    let Sum { seeds, requests, events, crashes, stopped, coverage, digest, bad } = sum;
    let faults = coverage.faults();
    let (confirmed, cancelled) = (coverage.times("orders: OrderConfirmed"), coverage.times("orders: OrderCancelled"));
    println!(
        "{seeds} seeds in {:.1} s: {requests} requests, {events} events, {} webhooks; {faults} things went wrong, of which \
         {crashes} processes that died; {stopped} consumers stopped; {confirmed} orders confirmed, \
         {cancelled} cancelled, {} need a person; digest {digest:016x}",
        stopwatch.elapsed().as_secs_f64(),
        coverage.times("a webhook was posted"),
        coverage.times("orders: OrderNeedsAttention")
    );
    println!("{} seeds are clean, {bad} are not", seeds - bad);
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

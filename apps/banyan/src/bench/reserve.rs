//! `bench reserve`: one-line reservations through the shipped desk and `perform`, with names,
//! holds, journal and feed written and the disk waited for.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use db::{Asked, Context, Database, Location, MemoryDisk, Meters, Trace};
use events::TableFeed;
use host::{Feeds, Ground};
use inventory::InventoryDesk;
use inventory::domain::{Act, Command, Line, Movement, Reserve};
use telemetry::Stopwatch;
use tokio::runtime::Runtime;
use world::{Chance, World};

use super::append::{self, Append};
use super::spread::Spread;
use super::{On, median};
use crate::stop::Stop;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    on: On,
    /// Clients that each wait for their answer before they ask again
    #[arg(long, default_value_t = 256)]
    clients: usize,
    /// SKUs, each in two warehouses
    #[arg(long, default_value_t = 10_000)]
    skus: usize,
    /// Lines of a reservation
    #[arg(long, default_value_t = 1)]
    lines: usize,
    /// All reservations are of one SKU
    #[arg(long)]
    hot: bool,
    /// Threads that write; only PostgreSQL takes more than one
    #[arg(long, default_value_t = 2)]
    writers: usize,
    /// Entries that the journal has before anything is measured
    #[arg(long, default_value_t = 0)]
    journal: i64,
    /// Seconds of a round
    #[arg(long, default_value_t = 4)]
    secs: u64,
    /// Rounds, after one that warms up
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

struct Round {
    per_sec: f64,
    p50_ms: f64,
    p99_ms: f64,
    per_commit: f64,
    bytes_per_command: f64,
    statements_per_command: f64,
    flushes_per_command: f64,
    append: Append,
}

pub(super) fn run(options: &Options) -> Result<(), Stop> {
    let folder = options.on.fresh_folder()?.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Stop::failed)?;
    let meters = Arc::new(Meters::default());
    let stock = Stock::open(&options.on, options.writers, &meters)?;
    let desk = &stock.desk;
    runtime.block_on(fill(desk, options.skus, &WAREHOUSES, PLENTY));
    let of = Load { clients: options.clients, skus: if options.hot { 1 } else { options.skus }, lines: options.lines };
    write_journal(&runtime, &stock, of, options.journal);
    println!(
        "reserve on {}: {} clients, {} SKUs{}, {} line(s), {} writer(s)",
        options.on.name(),
        options.clients,
        options.skus,
        if options.hot { " (one of them hot)" } else { "" },
        options.lines,
        options.writers
    );
    let mut rounds = Vec::new();
    for number in 0..=options.rounds {
        let append = append::measure(&folder)?;
        let (batches, written, spent) = (meters.batches(), written_bytes(), db::spent());
        let (mut spread, took) = runtime.block_on(load(desk, of, Duration::from_secs(options.secs)));
        let (statements, flushes) = (db::spent().statements - spent.statements, db::spent().flushes - spent.flushes);
        let commands = spread.count();
        #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
        let round = Round {
            per_sec: commands as f64 / took.as_secs_f64(),
            p50_ms: spread.percentile_ms(0.5),
            p99_ms: spread.percentile_ms(0.99),
            per_commit: commands as f64 / (meters.batches() - batches).max(1) as f64,
            bytes_per_command: (written_bytes() - written) as f64 / commands.max(1) as f64,
            statements_per_command: statements as f64 / commands.max(1) as f64,
            flushes_per_command: flushes as f64 / commands.max(1) as f64,
            append,
        };
        print(&super::round(number), &round);
        if number > 0 {
            rounds.push(round);
        }
    }
    let median_of = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick).collect());
    println!(
        "median: {:.0} reserves/s, p50 {:.2} ms, p99 {:.1} ms; {:.1} times the bare append's rate, p50 {:.1} times its p50",
        median_of(|round| round.per_sec),
        median_of(|round| round.p50_ms),
        median_of(|round| round.p99_ms),
        median_of(|round| round.per_sec / round.append.per_sec),
        median_of(|round| round.p50_ms / round.append.p50_ms),
    );
    stock.close();
    Ok(())
}

/// What clients reserve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Clients that each wait for their answer before they ask again.
    pub(super) clients: usize,
    /// SKUs that they want, the first so many.
    pub(super) skus: usize,
    /// Lines of a reservation.
    pub(super) lines: usize,
}

/// Reserves until the journal has as many entries as were asked for.
pub(super) fn write_journal(runtime: &Runtime, stock: &Stock, of: Load, wanted: i64) {
    let entries = || *stock.database.ring().newest().borrow();
    let mut told = 0;
    while entries() < wanted {
        runtime.block_on(load(&stock.desk, of, Duration::from_secs(1)));
        if entries() / 1_000_000 > told {
            told = entries() / 1_000_000;
            println!("the journal has {told} million entries");
        }
    }
}

fn print(what: &str, round: &Round) {
    println!(
        "{what}: {:.0} reserves/s, p50 {:.2} ms, p99 {:.1} ms, {:.0} a commit; each {:.1} statements, {:.3} fsyncs, \
         {:.0} bytes written; bare append {:.0}/s, p50 {:.2} ms: {:.1} times",
        round.per_sec,
        round.p50_ms,
        round.p99_ms,
        round.per_commit,
        round.statements_per_command,
        round.flushes_per_command,
        round.bytes_per_command,
        round.append.per_sec,
        round.append.p50_ms,
        round.per_sec / round.append.per_sec
    );
}

/// Bytes that this process has sent to the disk.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// Inventory at work in this process, without anything around it.
pub(super) struct Stock {
    pub(super) desk: InventoryDesk,
    pub(super) database: Database,
    close: Box<dyn Fn() + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
}

impl Stock {
    pub(super) fn open(on: &On, writers: usize, meters: &Arc<Meters>) -> Result<Self, Stop> {
        Self::open_at(on.location(inventory::NAME), writers, meters)
    }

    pub(super) fn open_at(at: Location, writers: usize, meters: &Arc<Meters>) -> Result<Self, Stop> {
        let world = World::real();
        let open = |service, location, migrations: &'static [db::Migration]| {
            let options = db::Options { writers, ..db::Options::default() };
            Database::open(service, location, options, world.clone(), migrations).map_err(Stop::failed)
        };
        // The feed of orders, which nobody writes.
        let orders = open(orders::NAME, Location::Memory(MemoryDisk::empty()), &[])?;
        let database = open(inventory::NAME, at, inventory::MIGRATIONS)?;
        let feeds = Feeds::default().with(orders::NAME, move || Arc::new(TableFeed::of(&orders)));
        let ground = Ground { database: database.clone(), feeds, meters: meters.clone() };
        let (service, desk) =
            inventory::assemble_with_desk(&inventory::Config::default(), &ground).map_err(Stop::failed)?;
        let threads = service.workers.into_iter().map(host::Work::start).collect();
        Ok(Self { desk, database, close: service.close, threads })
    }

    pub(super) fn close(self) {
        (self.close)();
        for thread in self.threads {
            drop(thread.join());
        }
    }
}

pub(super) fn by() -> Context {
    Context::system("bench", Trace { trace_id: 1, span_id: 1, is_sampled: true })
}

pub(super) fn sku(number: usize) -> ids::Sku {
    ids::Sku::from_column(format!("SKU-{number:06}"))
}

/// More than a bench can sell.
pub(super) const PLENTY: i64 = 1_000_000_000;

/// Where each SKU lies.
pub(super) const WAREHOUSES: [&str; 2] = ["main", "north"];

/// Fills the warehouses with so many pieces of each SKU.
pub(super) async fn fill(desk: &InventoryDesk, skus: usize, warehouses: &[&str], quantity: i64) {
    let mut waiting = Vec::new();
    for number in 0..skus {
        for warehouse in warehouses {
            let name = format!("fill-{warehouse}-{number}-{}", World::real().number());
            let movement = Movement {
                name: ids::Name::from_column(name.clone()),
                fingerprint: name,
                sku: sku(number),
                warehouse: ids::Warehouse::from_column((*warehouse).to_owned()),
                act: Act::Receive { quantity, reference: None },
            };
            waiting.push(desk.ask(Asked::new(Command::Move(movement), by())));
        }
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

/// Clients that reserve for as long as a round lasts.
#[expect(clippy::disallowed_methods, reason = "the clients of a bench are tasks of its own")]
async fn load(desk: &InventoryDesk, of: Load, length: Duration) -> (Spread, Duration) {
    let all = Stopwatch::start();
    let world = World::real();
    let clients: Vec<_> = (0..of.clients)
        .map(|client| {
            let desk = desk.clone();
            let mut chance = world.chance(&format!("client {client}"));
            tokio::spawn(async move {
                let mut spread = Spread::default();
                let round = Stopwatch::start();
                while round.elapsed() < length {
                    let command = Command::Reserve(reserve(&mut chance, of));
                    let one = Stopwatch::start();
                    match desk.ask(Asked::new(command, by())).await {
                        Ok(Ok(_)) => spread.add(one.elapsed()),
                        other => panic!("a bench that measures refusals measures nothing: {other:?}"),
                    }
                }
                spread
            })
        })
        .collect();
    let mut spread = Spread::default();
    for client in clients {
        spread = spread.merge(client.await.expect("a client does not panic"));
    }
    (spread, all.elapsed())
}

fn reserve(chance: &mut Chance, of: Load) -> Reserve {
    let name = format!("{:016x}{:016x}", chance.bits(), chance.bits());
    let line = |chance: &mut Chance| Line { sku: sku(chance.below(of.skus)), quantity: 1, warehouse: None };
    Reserve {
        fingerprint: name.clone(),
        name: ids::Name::from_column(name),
        lines: (0..of.lines).map(|_| line(chance)).collect(),
        hold_secs: 3_600,
        order: None,
        replaces: None,
        terms: None,
    }
}

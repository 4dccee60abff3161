//! From settings to a program at work, and to its end.

use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use db::{Database, Location};
use events::TableFeed;
use host::{Feeds, Ground, HttpFeed, Program, Signals};
use settings::Settings;
use telemetry::{Format, Meters, Stopwatch};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use web::Client;
use world::World;

use crate::config::{self, LogFormat, Place};
use crate::demo;
use crate::folder::Folder;
use crate::services::Known;
use crate::stop::Stop;

/// What is to run, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) program: config::Program,
    pub(crate) services: Vec<&'static Known>,
    /// How many SKUs to begin with, if the data folder is empty.
    pub(crate) demo: Option<u32>,
}

/// Runs until a signal comes.
pub(crate) fn run(plan: &Plan) -> Result<(), Stop> {
    let since = Stopwatch::start();
    let address = address(&plan.program.listen)?;
    let format = match plan.program.log_format {
        LogFormat::Auto => Format::of_stderr(),
        LogFormat::Pretty => Format::Pretty,
        LogFormat::Json => Format::Json,
    };
    telemetry::init(format, &plan.program.log).map_err(|error| Stop::Usage(error.to_string()))?;
    host::log_panics();

    let runtime = Builder::new_multi_thread().enable_all().build().map_err(Stop::failed)?;
    let listener = runtime
        .block_on(TcpListener::bind(address))
        .map_err(|cause| Stop::Failed(format!("cannot listen on {address}: {cause}")))?;
    let address = listener.local_addr().map_err(Stop::failed)?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen().map_err(Stop::failed)?
    };
    let world = World::real();
    let folder = Folder::take(&plan.program.data, plan.services.iter().map(|known| known.name))?;
    let opened = open(plan, &folder, &world)?;
    let is_empty = opened.iter().all(|opened| *opened.database.ring().newest().borrow() == 0);
    let program = assemble(plan, &opened, &folder, &world, runtime.handle())?;
    say_started(plan, &opened, &folder, address, since.elapsed());
    drop(opened);

    let ended = runtime.block_on(async {
        let (stop, stopped) = oneshot::channel::<()>();
        let program = program.run(listener, async { drop(stopped.await) });
        let show = async {
            if let Some(skus) = plan.demo {
                demo::show(address, skus, is_empty, &world).await?;
            }
            std::future::pending().await
        };
        let interrupted = async {
            tokio::select! {
                () = signals.next() => {}
                failed = show => return failed,
            }
            tracing::info!("Stopping: what is open is finished; a second signal ends it at once");
            drop(stop);
            signals.next().await;
            Err(Stop::Failed("ended at once, as a second signal asked; open requests were cut off".to_owned()))
        };
        tokio::select! {
            biased;
            ended = program => ended.map_err(Stop::failed),
            ended = interrupted => ended,
        }
    });
    // What still reads a database or a feed belongs to nobody any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if ended.is_ok() {
        tracing::info!("Stopped; everything that was asked is finished");
    }
    ended
}

fn address(listen: &str) -> Result<SocketAddr, Stop> {
    let address = listen
        .parse::<SocketAddr>()
        .map_err(|_| Stop::Usage(format!("--listen {listen} is no address; expected something like 127.0.0.1:8080")))?;
    web::loopback_only(address).map_err(Stop::Usage)?;
    Ok(address)
}

/// A service's database, opened.
struct Opened {
    known: &'static Known,
    database: Database,
    /// What it is, for people.
    shown: String,
}

fn open(plan: &Plan, folder: &Folder, world: &World) -> Result<Vec<Opened>, Stop> {
    let open = |known: &&'static Known| {
        let place: Place = plan.settings.section(known.name)?;
        let url = place.database_url.as_ref().or(plan.program.database_url.as_ref());
        let (location, shown) = if let Some(url) = url {
            (Location::Postgres(url.expose().to_owned()), format!("PostgreSQL, schema {}", known.name))
        } else {
            let file = format!("{}.db", known.name);
            (Location::File(folder.path().join(&file)), format!("SQLite, {file}"))
        };
        let database = Database::open(known.name, location, place.options(), world.clone(), known.migrations);
        Ok(Opened { known, database: database.map_err(Stop::failed)?, shown })
    };
    plan.services.iter().map(open).collect()
}

fn assemble(plan: &Plan, opened: &[Opened], folder: &Folder, world: &World, runtime: &Handle) -> Result<Program, Stop> {
    let mut feeds = Feeds::default();
    for Opened { database, .. } in opened {
        let producer = database.clone();
        feeds = feeds.with(database.service(), move || Arc::new(TableFeed::of(&producer)));
    }
    for Opened { known, .. } in opened {
        for source in known.listens.iter().filter(|source| !plan.services.iter().any(|known| known.name == **source)) {
            let client = elsewhere(plan, known, source)?;
            let (world, runtime) = (world.clone(), runtime.clone());
            feeds = feeds.with(source, move || Arc::new(HttpFeed::of(source, client.clone(), &world, &runtime)));
        }
    }
    let meters = Meters::new();
    let limits = plan.settings.section("http")?;
    let mut program = Program::new(world, limits, &meters).asking_for_news_every(plan.program.news_every());
    for Opened { known, database, .. } in opened {
        let ground = Ground::metered(database.clone(), feeds.clone(), &meters);
        let mut service = (known.assemble)(&plan.settings, &ground, folder.path())?;
        service.kinds = known.kinds;
        debug_assert!(service.listens.iter().map(|(source, _)| *source).eq(known.listens.iter().copied()));
        program = program.with(service);
    }
    Ok(program)
}

/// A client of a service that runs in another process.
fn elsewhere(plan: &Plan, listener: &Known, source: &str) -> Result<Client, Stop> {
    let place: Place = plan.settings.section(source)?;
    let variable = format!("BANYAN_{}__URL", source.to_uppercase());
    let url = place.url.ok_or_else(|| {
        let name = listener.name;
        Stop::Usage(format!("{name} listens to {source}, which does not run here; say where it runs, as in {variable}=http://127.0.0.1:8081"))
    })?;
    Client::new(&url).map_err(|fault| Stop::Usage(format!("setting {source}.url is refused: {fault}")))
}

/// Says where everything is: a picture on a terminal, a line of the log elsewhere.
fn say_started(plan: &Plan, opened: &[Opened], folder: &Folder, address: SocketAddr, took: Duration) {
    let data = folder.path().display();
    let millis = took.as_millis();
    if plan.program.log_format != LogFormat::Json && stderr().is_terminal() {
        eprintln!("\n  banyan {}  started in {millis} ms\n", env!("CARGO_PKG_VERSION"));
        eprintln!("  address      http://{address}");
        eprintln!("  data         {data}");
        for Opened { known, shown, .. } in opened {
            eprintln!("  {:<12} {shown}", known.name);
        }
        eprintln!("\n  /health/ready and /metrics tell how it is, /problems what a refusal means; Ctrl-C stops it.\n");
        return;
    }
    let databases: Vec<_> = opened.iter().map(|opened| format!("{}: {}", opened.known.name, opened.shown)).collect();
    let (databases, address) = (databases.join("; "), format!("http://{address}"));
    tracing::info!(address, %data, databases, millis, "Banyan is up");
}

//! From settings to a program at work, and to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use db::{Database, Location, Options};
use events::{NoFeed, TableFeed};
use host::{Feeds, Ground, HttpFeed, Otlp, Program, Signals};
use settings::{Secret, Settings};
use telemetry::{Format, Meters, Stopwatch};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use web::{Certificate, Client, Gate, Limits, Port, Tls, Trust};
use world::World;

use crate::config::{self, LogFormat, Place};
use crate::demo;
use crate::folder::{self, Folder};
use crate::otel;
use crate::services::Known;
use crate::stop::Stop;

/// What is to run, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) program: config::Program,
    pub(crate) services: Vec<&'static Known>,
    /// Whether they hear nothing of services that do not run here.
    pub(crate) alone: bool,
    /// How many SKUs to begin with, if the data folder is empty.
    pub(crate) demo: Option<u32>,
}

/// Runs until a signal comes.
pub(crate) fn run(plan: &Plan) -> Result<(), Stop> {
    let since = Stopwatch::start();
    let Checked { address, pair, limits, places, clients, otlp } = check(plan)?;
    begin_the_log(plan)?;

    // On PostgreSQL a service may run in several processes.
    let is_alone = |(known, place): &(&&Known, &Place)| known.keeps_files || url(plan, known, place).is_none();
    let alone = plan.services.iter().zip(&places).filter(is_alone).map(|(known, _)| known.name);
    let folder = Folder::take(&plan.settings.shown("data"), &plan.program.data, alone)?;
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(Stop::failed)?;
    let (listener, address) = runtime.block_on(listen(plan, address))?;
    let _keys_are_in_use = folder.use_keys()?;
    let gate = gate(plan, address, &limits, &runtime)?;
    let (world, meters) = (World::real(), Meters::new());
    meters.watch_disk(folder.path().to_owned());
    let tls = pair.map(|(certificate, key)| Tls::open(certificate, key, &world, &meters)).transpose();
    let tls = tls.map_err(|fault| config::unusable(&plan.settings, &fault))?;
    let at = url_of(address, tls.is_some());
    folder.listens_at(&at)?;
    let signals = {
        let _entered = runtime.enter();
        Signals::listen().map_err(Stop::failed)?
    };
    let opened = open(plan, &places, &folder, &world)?;
    let is_empty = opened.iter().all(|opened| *opened.database.ring().newest().borrow() == 0);
    let feeds = feeds(plan, &opened, clients, &world, runtime.handle());
    let program = Program::new(&world, gate, limits, &meters).asking_for_news_every(plan.program.news_every());
    let program = program.telling_details(crate::events::details).telling(otlp);
    let program = assemble(plan, program, &meters, &opened, &feeds, &folder)?;
    say_started(plan, &opened, &folder, &at, since.elapsed());
    warn_of_no_tls(address, tls.is_some());
    warn_of_no_tls_to_postgres(plan, &places);
    drop(opened);

    let show = async {
        if let Some(skus) = plan.demo {
            demo::show(address, plan.program.key.clone(), skus, is_empty, &world).await?;
        }
        std::future::pending().await
    };
    let port = Port::from(listener).with_tls(tls);
    let ended =
        runtime.block_on(until_a_signal(signals, show, |stopped| program.run(port, async { drop(stopped.await) })));
    // What still reads a database or a feed belongs to nobody any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if ended.is_ok() {
        tracing::info!("Stopped; everything that was asked is finished");
    }
    ended
}

fn begin_the_log(plan: &Plan) -> Result<(), Stop> {
    let format = match plan.program.log_format {
        LogFormat::Auto => Format::of_stderr(),
        LogFormat::Pretty => Format::Pretty,
        LogFormat::Json => Format::Json,
    };
    let filter = |error: telemetry::LogError| {
        plan.settings.refused("log", &error.to_string(), "a filter such as info,orders=debug")
    };
    telemetry::init(format, &plan.program.log).map_err(filter)?;
    host::log_panics();
    Ok(())
}

/// The port, and where it is.
async fn listen(plan: &Plan, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Stop> {
    let listener = TcpListener::bind(address).await.map_err(|cause| {
        let said = plan.settings.shown("listen");
        Stop::Failed(format!(
            "cannot listen on {address}: {cause}; setting {said}: choose another with --listen, or end what listens there"
        ))
    })?;
    let address = listener.local_addr().map_err(Stop::failed)?;
    Ok((listener, address))
}

/// Runs a program until a signal comes or what is shown beside it fails, and lets it finish what is open; a second
/// signal ends it at once.
async fn until_a_signal<P: Future<Output = Result<(), host::Broken>>>(
    mut signals: Signals,
    show: impl Future<Output = Result<(), Stop>>,
    program: impl FnOnce(oneshot::Receiver<()>) -> P,
) -> Result<(), Stop> {
    let (stop, stopped) = oneshot::channel::<()>();
    let program = program(stopped);
    let mut failure = None;
    let interrupted = async {
        tokio::select! {
            () = signals.next() => {}
            shown = show => failure = shown.err(),
        }
        tracing::info!("Stopping: what is open is finished; a second signal ends it at once");
        drop(stop);
        signals.next().await;
        Err(Stop::Failed("ended at once, as a second signal asked; open requests were cut off".to_owned()))
    };
    let ended = tokio::select! {
        biased;
        ended = program => ended.map_err(Stop::failed),
        ended = interrupted => ended,
    };
    failure.map_or(ended, Err)
}

/// Warns where keys would be read on the way; behind a proxy that speaks TLS they are not.
fn warn_of_no_tls(address: SocketAddr, speaks_tls: bool) {
    if !speaks_tls && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "Others reach this address, and it speaks no TLS: unless a proxy that does stands before it, whoever is on the \
             way reads every key. `http.tls.certificate` and `http.tls.key` name a certificate"
        );
    }
}

/// Warns of each `PostgreSQL` on another machine that is asked without TLS.
fn warn_of_no_tls_to_postgres(plan: &Plan, places: &[Place]) {
    let urls = plan.services.iter().zip(places).filter_map(|(known, place)| url(plan, known, place));
    let exposed: BTreeSet<_> = urls.map(|(_, url)| url.expose()).filter(|url| db::is_exposed(url)).collect();
    for url in exposed {
        tracing::warn!(
            server = db::server_of(url).unwrap_or_default(),
            "PostgreSQL is on another machine and is asked without TLS: whoever is on the way reads all that is kept. \
             `sslmode=verify-full` in its URL asks over TLS alone"
        );
    }
}

/// What is known to be possible before anything is touched.
pub(crate) struct Checked {
    pub(crate) address: SocketAddr,
    /// The files of the certificate and of its key, where TLS is spoken.
    pub(crate) pair: Option<(PathBuf, PathBuf)>,
    pub(crate) limits: Limits,
    /// One for each service of the plan.
    pub(crate) places: Vec<Place>,
    pub(crate) clients: BTreeMap<&'static str, Client>,
    /// To whom spans and metrics are sent, if they are.
    pub(crate) otlp: Option<Otlp>,
}

/// Looks whether all that was chosen can be.
pub(crate) fn check(plan: &Plan) -> Result<Checked, Stop> {
    let Plan { settings, program, .. } = plan;
    if program.data.as_os_str().is_empty() {
        return Err(settings.refused("data", "it is empty", "the path of a folder").into());
    }
    let address = address(settings, program)?;
    let pair = config::pair(settings)?;
    if let Some((certificate, key)) = &pair {
        Certificate::read(certificate, key).map_err(|fault| config::unusable(settings, &fault))?;
        if plan.demo.is_some() {
            let without = "--demo shows requests without TLS: leave http.tls.certificate and http.tls.key out for it";
            return Err(Stop::Usage(without.to_owned()));
        }
    }
    let limits = settings.section("http")?;
    let places = plan.services.iter().map(|known| place(plan, known)).collect::<Result<Vec<_>, _>>()?;
    for (known, place) in plan.services.iter().zip(&places) {
        if let Some((path, url)) = url(plan, known, place) {
            let wanted = "a URL such as postgres://user:password@127.0.0.1:5432/banyan";
            db::server_of(url.expose()).map_err(|reason| settings.refused(&path, &reason, wanted))?;
        }
    }
    let trust = program.trust(settings)?;
    let otlp = otel::chosen(settings, &trust, &World::real())?;
    Ok(Checked { address, pair, limits, places, clients: clients(plan, &trust)?, otlp })
}

/// Where to listen. Where there can be no keys yet, an address that others reach is refused before
/// anything is made.
fn address(settings: &Settings, program: &config::Program) -> Result<SocketAddr, Stop> {
    let wanted = "an address of this machine with a port, such as 127.0.0.1:8080";
    let address = program.listen.parse::<SocketAddr>();
    let address = address.map_err(|_| settings.refused("listen", "it is no address", wanted))?;
    if program.database_url.is_none() && !program.data.join(format!("{}.db", keys::NAME)).exists() {
        only_with_keys(settings, address, false)?;
    }
    Ok(address)
}

/// How a server that listens there is asked.
pub(crate) fn url_of(address: SocketAddr, speaks_tls: bool) -> String {
    format!("{}://{address}", if speaks_tls { "https" } else { "http" })
}

/// Refuses to listen where others than this machine reach it, if there is no key that lets them in.
fn only_with_keys(settings: &Settings, address: SocketAddr, has_keys: bool) -> Result<(), Stop> {
    if has_keys || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let reason = "it can be reached from other machines, and there is no valid API key: make one first, as in `banyan keys \
                  create ops --scope admin`";
    let wanted = "an address that only this machine reaches, such as 127.0.0.1:8080, as long as there are no keys";
    Err(settings.refused("listen", reason, wanted).into())
}

/// Who is let in; nobody is served before it is known.
fn gate(plan: &Plan, address: SocketAddr, limits: &Limits, runtime: &Runtime) -> Result<Gate, Stop> {
    let keyring = runtime.block_on(crate::keys::open(&plan.program))?;
    only_with_keys(&plan.settings, address, keyring.has_valid_keys())?;
    Ok(Gate::kept_by(&keyring, plan.program.local_without_key, limits))
}

/// A service's database, opened.
struct Opened {
    known: &'static Known,
    database: Database,
}

/// What was chosen about a service's data; also looks whether its own settings can be.
fn place(plan: &Plan, known: &Known) -> Result<Place, Stop> {
    (known.check)(&plan.settings)?;
    Ok(plan.settings.section(known.name)?)
}

/// Clients of the services that run elsewhere and are listened to here.
fn clients(plan: &Plan, trust: &Trust) -> Result<BTreeMap<&'static str, Client>, Stop> {
    let mut clients = BTreeMap::new();
    if plan.alone {
        return Ok(clients);
    }
    for known in &plan.services {
        let here = |source: &str| plan.services.iter().any(|known| known.name == source);
        for source in known.listens.iter().filter(|source| !here(source)) {
            let place: Place = plan.settings.section(source)?;
            let url = place.url.ok_or_else(|| {
                let (name, variable) = (known.name, format!("BANYAN_{}__URL", source.to_uppercase()));
                Stop::Usage(format!(
                    "{name} listens to {source}, which does not run here; say where it runs, as in {variable}=http://127.0.0.1:8081, \
                     or that there is none, with --alone"
                ))
            })?;
            let wanted = "the address of a service, such as http://127.0.0.1:8081";
            let refused = |_| plan.settings.refused(&format!("{source}.url"), "no service can be asked there", wanted);
            clients.insert(*source, Client::trusting(&url, trust).map_err(refused)?.with_key(plan.program.key.clone()));
        }
    }
    Ok(clients)
}

/// The `PostgreSQL` database of a service, if it has one, behind the setting that names it.
pub(crate) fn url<'a>(plan: &'a Plan, known: &Known, place: &'a Place) -> Option<(String, &'a Secret)> {
    let own = place.database_url.as_ref().map(|url| (format!("{}.database_url", known.name), url));
    own.or_else(|| plan.program.database_url.as_ref().map(|url| ("database_url".to_owned(), url)))
}

fn open(plan: &Plan, places: &[Place], folder: &Folder, world: &World) -> Result<Vec<Opened>, Stop> {
    let open = |(known, place): (&&'static Known, &Place)| {
        let (location, said) = if let Some((path, url)) = url(plan, known, place) {
            let server = db::server_of(url.expose()).unwrap_or_default();
            let said = format!("{server}, as setting {} says", plan.settings.shown(&path));
            (Location::Postgres(url.expose().to_owned()), said)
        } else {
            let path = folder::database(folder.path(), known.name);
            let said = path.display().to_string();
            (Location::File(path), said)
        };
        let options = Options { gives_way: known.gives_way, ..place.options() };
        let database = Database::open(known.name, location, options, world.clone(), known.migrations);
        Ok(Opened { known, database: database.map_err(|error| Stop::Failed(format!("{error} ({said})")))? })
    };
    plan.services.iter().zip(places).map(open).collect()
}

/// Where the events of each service are read: in this process, over HTTP, or nowhere.
fn feeds(
    plan: &Plan,
    opened: &[Opened],
    clients: BTreeMap<&'static str, Client>,
    world: &World,
    runtime: &Handle,
) -> Feeds {
    let mut feeds = Feeds::default();
    for source in plan.services.iter().flat_map(|known| known.listens) {
        feeds = feeds.with(source, move || Arc::new(NoFeed::of(source)));
    }
    for Opened { database, .. } in opened {
        let producer = database.clone();
        feeds = feeds.with(database.service(), move || Arc::new(TableFeed::of(&producer)));
    }
    for (source, client) in clients {
        let (world, runtime) = (world.clone(), runtime.clone());
        feeds = feeds.with(source, move || Arc::new(HttpFeed::of(source, client.clone(), &world, &runtime)));
    }
    feeds
}

/// Adds the services to a program.
fn assemble(
    plan: &Plan,
    mut program: Program,
    meters: &Meters,
    opened: &[Opened],
    feeds: &Feeds,
    folder: &Folder,
) -> Result<Program, Stop> {
    for Opened { known, database, .. } in opened {
        let ground = Ground::metered(database.clone(), feeds.clone(), meters);
        let mut service = (known.assemble)(&plan.settings, &ground, folder.path())?;
        service.kinds = known.kinds;
        debug_assert!(service.listens.iter().map(|(source, _)| *source).eq(known.listens.iter().copied()));
        program = program.with(service);
    }
    Ok(program)
}

/// Says where everything is: a picture on a terminal, a line of the log elsewhere.
fn say_started(plan: &Plan, opened: &[Opened], folder: &Folder, at: &str, took: Duration) {
    let data = folder.path().display();
    let millis = took.as_millis();
    if plan.program.log_format != LogFormat::Json && stderr().is_terminal() {
        eprintln!("\n  banyan {}  started in {millis} ms\n", env!("CARGO_PKG_VERSION"));
        eprintln!("  address      {at}");
        eprintln!("  data         {data}");
        for Opened { known, database } in opened {
            eprintln!("  {:<12} {}", known.name, database.place());
        }
        eprintln!("\n  The page at this address tells how it is, /docs what it answers; Ctrl-C stops it.\n");
        return;
    }
    let databases: Vec<_> =
        opened.iter().map(|opened| format!("{}: {}", opened.known.name, opened.database.place())).collect();
    let databases = databases.join("; ");
    tracing::info!(address = at, %data, databases, millis, "Banyan is up");
}

//! Benches: a figure, and its ratio to a limit that is taken in the same run.
//!
//! A shared machine is noisy and its disk drifts, so a rate alone says little. Each round first
//! takes the limit (a bare append of 4 KiB with `fdatasync`, or an empty handler), then the figure;
//! the median of the rounds is printed, with every round beside it.

mod allocate;
mod append;
mod availability;
mod checkout;
mod crowd;
mod empty;
mod fanout;
mod http;
mod import;
mod lapse;
mod receivers;
mod reserve;
mod shop;
mod spread;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use db::Location;

use crate::stop::Stop;

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Durable reservations in process, everything on: the rate, against bare fsynced appends
    Reserve(reserve::Options),
    /// What reservations feel of a great many holds that lapse in the same second
    Lapse(lapse::Options),
    /// Whole checkouts over HTTP at a fixed rate of arrivals: p50 and p99 to confirmed
    Checkout(checkout::Options),
    /// A table of stock that is imported, and what reservations feel of it meanwhile
    Import(import::Options),
    /// A great many who listen to events: how soon they hear of each, and what memory each takes
    Fanout(fanout::Options),
    /// Durable reservations over HTTP, against an empty handler that parses the same JSON
    Http(http::Options),
    /// Stock read over HTTP, many SKUs together and one by one, and how soon a program with it serves
    Availability(availability::Options),
    /// Which warehouses an order comes from: how long the choice takes, without a database
    Allocate(allocate::Options),
    /// Serves the handlers that others are measured against
    #[command(hide = true)]
    Empty(empty::Options),
}

/// Where a bench keeps its data.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct On {
    /// Measures on this PostgreSQL instead of SQLite: an empty database
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// The folder of the data, on the disk that is to be measured; it is emptied [default: ./banyan-bench]
    #[arg(long, value_name = "DIR", default_value = "banyan-bench")]
    data: PathBuf,
}

impl On {
    /// The folder as a bench has left it.
    fn folder(&self) -> Result<&Path, Stop> {
        if self.data.join(MARK).exists() {
            return Ok(&self.data);
        }
        Err(Stop::Usage(format!("{} is no folder of a bench; name another with --data", self.data.display())))
    }

    /// An empty folder.
    fn fresh_folder(&self) -> Result<&Path, Stop> {
        if self.data.exists() {
            self.folder()?;
            std::fs::remove_dir_all(&self.data).map_err(|error| Stop::Failed(error.to_string()))?;
        }
        let made = std::fs::create_dir_all(&self.data).and_then(|()| std::fs::write(self.data.join(MARK), ""));
        made.map_err(|error| Stop::Failed(format!("{} cannot be made: {error}", self.data.display())))?;
        Ok(&self.data)
    }

    fn location(&self, service: &str) -> Location {
        match &self.postgres {
            Some(url) => Location::Postgres(url.clone()),
            None => Location::File(self.data.join(format!("{service}.db"))),
        }
    }

    fn name(&self) -> &'static str {
        if self.postgres.is_some() { "PostgreSQL" } else { "SQLite" }
    }
}

/// What marks a folder that a bench may empty.
const MARK: &str = ".banyan-bench";

/// Runs a bench and prints what it finds.
pub(crate) fn run(bench: &Bench) -> Result<(), Stop> {
    match bench {
        Bench::Reserve(options) => reserve::run(options),
        Bench::Lapse(options) => lapse::run(options),
        Bench::Checkout(options) => checkout::run(options),
        Bench::Import(options) => import::run(options),
        Bench::Fanout(options) => fanout::run(options),
        Bench::Http(options) => http::run(options),
        Bench::Availability(options) => availability::run(options),
        Bench::Allocate(options) => {
            allocate::run(options);
            Ok(())
        }
        Bench::Empty(options) => empty::run(options),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How a round is called; the first one only warms up.
fn round(number: usize) -> String {
    if number == 0 { "warm-up".to_owned() } else { format!("round {number}") }
}

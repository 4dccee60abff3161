//! Stock in bulk: a file of counts into the running server, and all its stock into a file.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write, stderr, stdout};
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use db::{Context, Trace};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::runtime::Builder;
use web::{Client, NoAnswer};
use world::World;

use crate::config;
use crate::stop::Stop;

/// What can be imported.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Import {
    /// Counts of stock: a row for each SKU in a warehouse
    Stock(ImportStock),
}

/// Counts of stock, as the command line says them.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportStock {
    /// A table: .csv with a first row that names the columns, or .jsonl with an object a line
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Says what is wrong with the table, and counts nothing
    #[arg(long)]
    dry_run: bool,
    /// What a column of the table is called, where that is another name: sku=Article, warehouse=Store …
    #[arg(long = "column", value_name = "WHAT=NAME", value_parser = column)]
    columns: Vec<(String, String)>,
    /// The one warehouse of a table without such a column
    #[arg(long, value_name = "WAREHOUSE")]
    warehouse: Option<String>,
    /// The name of the import: the same table under the same name is counted once [default: its checksum]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The running server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The lines of the answer as they come, as JSON
    #[arg(long)]
    json: bool,
}

/// What can be exported.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Export {
    /// All stock, as a table that `import stock` reads
    Stock {
        /// Where it is written: .csv or .jsonl [default: CSV to the standard output]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The running server
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        server: String,
    },
}

const COLUMNS: [&str; 4] = ["sku", "warehouse", "counted", "external_id"];

fn column(text: &str) -> Result<(String, String), String> {
    let (what, name) = text.split_once('=').ok_or("something like sku=Article is expected")?;
    if COLUMNS.contains(&what) {
        Ok((what.to_owned(), name.to_owned()))
    } else {
        Err(format!("{what} is none of {}", COLUMNS.join(", ")))
    }
}

/// A line of the server's answer.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Refused { row: u64, detail: String },
    Progress { rows: u64 },
    Done(Summary),
    BrokeOff { detail: String },
}

#[derive(Deserialize)]
struct Summary {
    rows: u64,
    counted: u64,
    counted_before: u64,
    refused: u64,
    dry_run: bool,
}

/// Bytes that are read from the file at once.
const PIECE: usize = 64 * 1024;

/// Imports a table, and says what is wrong with which row.
pub(crate) fn import(import: &Import) -> Result<(), Stop> {
    let Import::Stock(asked) = import;
    let content_type = if is_json_lines(&asked.file) { "application/x-ndjson" } else { "text/csv" };
    let name = match &asked.name {
        Some(name) => name.clone(),
        None => checksum(&asked.file)?,
    };
    let mut query = vec![("dry_run", asked.dry_run.to_string())];
    query.extend(asked.columns.iter().map(|(what, name)| (what.as_str(), name.clone())));
    query.extend(asked.warehouse.iter().map(|warehouse| ("in", warehouse.clone())));
    let query =
        query.iter().map(|(what, value)| format!("{what}{}", web::path([value.as_str()]).replacen('/', "=", 1)));
    let path = format!("{}?{}", web::path(["v1", "stock-imports", &name]), query.collect::<Vec<_>>().join("&"));

    let (file, length) = open(&asked.file)?;
    let bar = progress(length, asked.json);
    let sent = bar.clone();
    let pieces = stream::iter(Pieces(file)).inspect(move |piece| {
        if let Ok(piece) = piece {
            sent.inc(piece.len() as u64);
        }
    });
    let told = run(&asked.server, async |client, by| {
        let sent = Some((content_type, Body::from_stream(pieces)));
        let answer = client.stream(http::Method::PUT, &path, sent, "application/x-ndjson", by).await?;
        told(answer, &bar, asked.json).await
    });
    bar.finish_and_clear();
    let summary = told??;
    if !asked.json {
        say(&summary, &name);
    }
    if summary.refused > 0 {
        return Err(Stop::Failed(format!("{} of {} rows were refused", summary.refused, summary.rows)));
    }
    Ok(())
}

fn say(summary: &Summary, name: &str) {
    let Summary { rows, counted, counted_before, dry_run, .. } = summary;
    if *dry_run {
        println!("{rows} rows, of which {counted} can be counted; nothing was counted, for this was a dry run");
    } else {
        println!("{rows} rows, {counted} counted now, {counted_before} counted before under the name {name}");
    }
}

/// Shows the answer as it comes; the refused rows as a table.
async fn told(
    mut answer: impl futures_util::Stream<Item = Result<Bytes, NoAnswer>> + Unpin,
    bar: &ProgressBar,
    json: bool,
) -> Result<Result<Summary, Stop>, NoAnswer> {
    let (mut text, mut refused) = (Vec::new(), 0);
    while let Some(bytes) = answer.next().await {
        text.extend_from_slice(&bytes?);
        while let Some(length) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=length).collect();
            if json {
                drop(stdout().write_all(&line));
            }
            match serde_json::from_slice(&line).map_err(|fault| NoAnswer::Unreadable(fault.to_string()))? {
                Line::Refused { row, detail } if !json => {
                    bar.suspend(|| {
                        if refused == 0 {
                            println!("{:>8}  what is wrong", "row");
                        }
                        println!("{row:>8}  {detail}");
                    });
                    refused += 1;
                }
                Line::Progress { rows } if bar.is_hidden() && !json && rows.is_multiple_of(100_000) => {
                    eprintln!("import: {rows} rows");
                }
                Line::Refused { .. } | Line::Progress { .. } => {}
                Line::Done(summary) => return Ok(Ok(summary)),
                Line::BrokeOff { detail } => return Ok(Err(Stop::Failed(format!("the import broke off: {detail}")))),
            }
        }
    }
    Err(NoAnswer::BrokeOff("the answer ended before the table".to_owned()))
}

/// Exports all stock.
pub(crate) fn export(export: &Export) -> Result<(), Stop> {
    let Export::Stock { file, server } = export;
    let accept = if file.as_deref().is_some_and(is_json_lines) { "application/x-ndjson" } else { "text/csv" };
    let mut out: Box<dyn Write> = match file {
        Some(file) => Box::new(io::BufWriter::new(
            File::create(file)
                .map_err(|cause| Stop::Failed(format!("{} cannot be written: {cause}", file.display())))?,
        )),
        None => Box::new(stdout()),
    };
    run(server, async |client, by| {
        let mut answer = client.stream(http::Method::GET, "/v1/stock-export", None, accept, by).await?;
        while let Some(bytes) = answer.next().await {
            if let Err(fault) = out.write_all(&bytes?) {
                return Ok(if fault.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(Stop::failed(fault)) });
            }
        }
        Ok(out.flush().map_err(Stop::failed))
    })?
}

/// Asks the running server.
fn run<T>(server: &str, work: impl AsyncFnOnce(&Client, &Context) -> Result<T, NoAnswer>) -> Result<T, Stop> {
    let client = config::client(server)?;
    let by = Context::system("bulk", Trace::begin(&mut World::real().chance("bulk")));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Stop::failed)?;
    runtime.block_on(work(&client, &by)).map_err(|fault| {
        Stop::Failed(match &fault {
            NoAnswer::NotConnected(_) => {
                format!("the server at {server} {fault}; start one with `banyan up`, or name it with --server")
            }
            NoAnswer::Refused(refusal) => {
                let of_field = |error: &serde_json::Value| error["detail"].as_str().map(str::to_owned);
                let errors = refusal.members.get("errors").and_then(serde_json::Value::as_array);
                let details: Vec<_> = errors.into_iter().flatten().filter_map(of_field).collect();
                format!("the server at {server} {fault} {}", details.join("; "))
            }
            _ => format!("the server at {server} {fault}"),
        })
    })
}

/// The bytes of a file, piece by piece.
struct Pieces(File);

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut piece = vec![0; PIECE];
        match self.0.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(piece.into()))
            }
            Err(fault) => Some(Err(fault)),
        }
    }
}

fn open(path: &Path) -> Result<(File, u64), Stop> {
    let opened = File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        Ok((file, length))
    });
    opened.map_err(|cause| Stop::Failed(format!("{} cannot be read: {cause}", path.display())))
}

/// A name that is the same for the same bytes, however the file is called.
fn checksum(path: &Path) -> Result<String, Stop> {
    let mut sum = Sha256::new();
    for piece in Pieces(open(path)?.0) {
        sum.update(&piece.map_err(|cause| Stop::Failed(format!("{} cannot be read: {cause}", path.display())))?);
    }
    let first: [u8; 8] = sum.finalize()[..8].try_into().expect("a checksum is longer");
    Ok(format!("{:016x}", u64::from_be_bytes(first)))
}

fn is_json_lines(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["jsonl", "ndjson"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn progress(length: u64, json: bool) -> ProgressBar {
    if json || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  {bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

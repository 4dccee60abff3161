//! Stock in bulk: counts that stream in as a table, and all stock that streams out as one.
//!
//! ```text
//! PUT /v1/stock-imports/{name}   rows ─▶ check ─▶ desk, a piece at a time ─▶ what is wrong with which row
//! GET /v1/stock-export           levels, in the order of their SKUs
//! ```
//!
//! Each row of an import is a stock-take under a name of its own, made of the import's name and the
//! row's number. So the same table may be sent again: what was counted is not counted again, and an
//! import that broke off goes on where it was.

mod export;
mod rows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use db::{Answered, Asked, Context, Origin, Refused};
use futures_util::stream;
use ids::{Name, Sku, Warehouse};
use serde::Serialize;
use tokio::time::{sleep, timeout};
use web::{Admission, Caller, Problem, Query, Routes, Scope, Segment, UNSUPPORTED_MEDIA_TYPE, fingerprint};

use self::export::export;
use self::rows::{Format, Row, Rows};
use super::{ABOUT, MOST_PIECES, NOT_LET_IN, Shared, Shelf, openapi};
use crate::domain::{Act, Command, Movement, Rejection};
use crate::perform::Answer;
use crate::store;

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT).put("/v1/stock-imports/{name}", Scope::StockWrite, import, openapi::import()).get(
        "/v1/stock-export",
        Scope::StockRead,
        export,
        openapi::export(),
    )
}

/// Rows that are handed to the desk together. Two pieces are under way at once: requests that come
/// meanwhile wait behind no more than that.
const PIECE: usize = 128;
const PIECES_UNDER_WAY: usize = 2;
/// How long the next bytes of a table may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a row waits before it is handed in again where the desk was full.
const WHEN_FULL: Duration = Duration::from_millis(100);
/// Rows after which the caller is told how far it is.
const TOLD_EVERY: u64 = 10_000;
/// Levels that one table may count: each is remembered, so that none is counted twice. It is room for 400,000 SKUs in
/// twelve warehouses, and takes less than 240 MB.
const MOST_LEVELS: usize = 5_000_000;
/// What an import may be called: its rows' names have to fit behind it.
pub(super) const LONGEST_NAME: usize = 40;

/// Which column of the table is what.
#[derive(Clone, Debug)]
struct Columns {
    sku: String,
    warehouse: String,
    counted: String,
    external_id: String,
    /// Where the goods lie if no column says it.
    only_warehouse: Option<Warehouse>,
}

/// What is said of an import, a line of JSON each.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A row that was not taken over, and what is wrong with it.
    Refused { row: u64, detail: String },
    /// So many rows have been dealt with.
    Progress { rows: u64 },
    /// The table has been read to its end.
    Done(Summary),
    /// The import broke off.
    BrokeOff { detail: String },
}

/// What came of an import.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Summary {
    rows: u64,
    /// Rows that were counted now.
    counted: u64,
    /// Rows that an earlier run under this name had counted.
    counted_before: u64,
    refused: u64,
    dry_run: bool,
}

async fn import(
    State(shelf): Shared,
    caller: Caller,
    Segment(name): Segment<Name>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    if name.as_str().len() > LONGEST_NAME {
        return Err(Problem::fault("{name}", format!("the name of an import has at most {LONGEST_NAME} characters")));
    }
    let format = format_of(request.headers())?;
    let (columns, dry_run) = columns(query)?;
    let mut import = Import {
        by: Context { origin: Origin::Import, ..caller.context },
        admission: caller.admission,
        shelf,
        name,
        columns,
        body: request.into_body(),
        rows: Rows::of(format),
        pending: Vec::new(),
        doubtful: Vec::new(),
        under_way: VecDeque::new(),
        seen: Seen { rows: BTreeMap::new(), most: MOST_LEVELS },
        summary: Summary { dry_run, ..Summary::default() },
        lines: VecDeque::new(),
        ended: false,
    };
    import.read_header().await?;
    let lines = stream::unfold(import, |mut import| async {
        let line = import.next().await?;
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), import))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

fn format_of(headers: &HeaderMap) -> Result<Format, Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match given.split(';').next().unwrap_or_default().trim() {
        "text/csv" => Ok(Format::Csv),
        "application/x-ndjson" | "application/jsonl" => Ok(Format::JsonLines),
        _ => Err(Problem::new(&UNSUPPORTED_MEDIA_TYPE).detail(
            "A table is sent as `text/csv` with a first row that names the columns, or as `application/x-ndjson`.",
        )),
    }
}

fn columns(mut query: Query) -> Result<(Columns, bool), Problem> {
    let mut column = |of: &str| Some(query.one(of)?.unwrap_or_else(|| of.to_owned()));
    let (sku, warehouse, counted) = (column("sku"), column("warehouse"), column("counted"));
    let external_id = column("external_id");
    let only_warehouse = query.parse::<Warehouse>("in");
    let dry_run = query.parse::<bool>("dry_run");
    query.finish(|| {
        let (only_warehouse, external_id) = (only_warehouse?, external_id?);
        let columns = Columns { sku: sku?, warehouse: warehouse?, counted: counted?, external_id, only_warehouse };
        Some((columns, dry_run?.unwrap_or(false)))
    })
}

/// An import under way.
struct Import {
    shelf: Arc<Shelf>,
    by: Context,
    admission: Admission,
    name: Name,
    columns: Columns,
    body: Body,
    rows: Rows,
    pending: Vec<(u64, Movement)>,
    /// Rows whose SKU has blanks around it; it is not known yet whether anybody calls one so.
    doubtful: Vec<(u64, Movement)>,
    under_way: VecDeque<Vec<(u64, Movement, Answered<Answer>)>>,
    seen: Seen,
    summary: Summary,
    lines: VecDeque<Line>,
    ended: bool,
}

/// What a table has counted already.
struct Seen {
    /// The row in which a SKU and warehouse stood first, by their hash.
    rows: BTreeMap<u64, u64>,
    most: usize,
}

impl Seen {
    fn enter(&mut self, sku: &Sku, warehouse: &Warehouse, row: u64) -> Result<(), String> {
        let hash = world::stable_hash(format!("{sku}\0{warehouse}").as_bytes());
        if let Some(first) = self.rows.get(&hash) {
            return Err(format!("the same SKU in the same warehouse stands in row {first}; count it once"));
        }
        if self.rows.len() >= self.most {
            let most = self.most;
            return Err(format!(
                "one table counts at most {most} SKUs in warehouses; send this row in another one, under another name"
            ));
        }
        self.rows.insert(hash, row);
        Ok(())
    }
}

impl Import {
    /// Reads until the columns are named: a table without the right ones is refused as a whole.
    async fn read_header(&mut self) -> Result<(), Problem> {
        while let Rows::Csv(csv) = &self.rows
            && csv.columns().is_none()
        {
            let Some(bytes) = self.bytes().await.map_err(Problem::unreadable)? else {
                self.take_rows(Rows::finish).map_err(Problem::unreadable)?;
                break;
            };
            self.take_rows(|rows| rows.read(&bytes)).map_err(Problem::unreadable)?;
        }
        let Rows::Csv(csv) = &self.rows else { return Ok(()) };
        let named = csv.columns().unwrap_or_default();
        let Columns { sku, warehouse, counted, only_warehouse, .. } = &self.columns;
        let needed = [("sku", sku), ("counted", counted), ("warehouse", warehouse)];
        let missing = needed
            .into_iter()
            .filter(|(what, column)| !(named.contains(column) || *what == "warehouse" && only_warehouse.is_some()));
        let missing: Vec<_> = missing.map(|(what, column)| format!("`{column}` (the {what})")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Problem::fault(
            "?sku",
            format!(
                "the first row names no column {}; say with ?sku=…&warehouse=…&counted=… what the columns are called, \
                 or with ?in=… the one warehouse of the table",
                missing.join(", ")
            ),
        ))
    }

    /// The next bytes of the table; none at its end.
    async fn bytes(&mut self) -> Result<Option<Bytes>, String> {
        use http_body_util::BodyExt;
        loop {
            match timeout(PATIENCE, self.body.frame()).await {
                Err(_) => return Err(format!("nothing came for {} s", PATIENCE.as_secs())),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err("the table broke off".to_owned()),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// Takes rows in, those that can be counted and those that cannot.
    fn take_rows(&mut self, read: impl FnOnce(&mut Rows) -> Result<Vec<Row>, String>) -> Result<(), String> {
        for (row, fields) in read(&mut self.rows)? {
            self.summary.rows += 1;
            match fields.and_then(|fields| self.check(row, &fields)) {
                Ok(movement) if has_blanks(&movement.sku) => self.doubtful.push((row, movement)),
                Ok(movement) => self.pending.push((row, movement)),
                Err(detail) => self.refuse(row, detail),
            }
            if self.summary.rows.is_multiple_of(TOLD_EVERY) {
                self.lines.push_back(Line::Progress { rows: self.summary.rows });
            }
        }
        Ok(())
    }

    /// Takes rows whose SKU has blanks around it where there is such a SKU, as in an export; else it is more probably
    /// a slip, and would be a second SKU beside the one that is meant.
    async fn take_doubtful(&mut self) -> Result<(), String> {
        let doubtful = std::mem::take(&mut self.doubtful);
        if doubtful.is_empty() {
            return Ok(());
        }
        let skus: BTreeSet<Sku> = doubtful.iter().map(|(_, movement)| movement.sku.clone()).collect();
        let skus: Vec<Sku> = skus.into_iter().collect();
        let read = self.shelf.database.read(move |read| store::levels(read, &skus)).await;
        let levels = read.map_err(|_| "the database does not answer".to_owned())?;
        let known: BTreeSet<Sku> = levels.into_iter().map(|(sku, ..)| sku).collect();
        for (row, movement) in doubtful {
            if known.contains(&movement.sku) {
                self.pending.push((row, movement));
            } else {
                let column = &self.columns.sku;
                let detail = format!(
                    "{column}: there are blanks around `{}`, and no SKU is called so; take them away, or receive some \
                     of it first",
                    movement.sku
                );
                self.refuse(row, detail);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, row: u64, detail: impl Into<String>) {
        self.summary.refused += 1;
        self.lines.push_back(Line::Refused { row, detail: detail.into() });
    }

    fn check(&mut self, row: u64, fields: &BTreeMap<String, String>) -> Result<Movement, String> {
        let field = |column: &str| fields.get(column).map(|text| text.trim()).filter(|text| !text.is_empty());
        let missing =
            |what: &str, column: &str| format!("{what} is missing: the field `{column}` is empty or not there");
        let Columns { sku, warehouse, counted, external_id, only_warehouse } = &self.columns;
        // It is kept as it is given, blanks and all.
        let of = fields.get(sku).filter(|text| !text.is_empty()).ok_or_else(|| missing("the SKU", sku))?;
        let of = of.parse::<Sku>().map_err(|error| format!("{sku}: {error}"))?;
        let at = match (field(warehouse), only_warehouse) {
            (Some(at), _) => at.parse::<Warehouse>().map_err(|error| format!("{warehouse}: {error}"))?,
            (None, Some(only)) => only.clone(),
            (None, None) => return Err(missing("the warehouse", warehouse)),
        };
        let pieces = field(counted).ok_or_else(|| missing("the number counted", counted))?;
        let most = 1_000 * MOST_PIECES;
        let pieces = pieces.parse::<i64>().ok().filter(|pieces| (0..=most).contains(pieces));
        let pieces = pieces.ok_or_else(|| format!("{counted}: a whole number from 0 to {most} is expected"))?;
        let reference = field(external_id).map(str::to_owned);
        if reference.as_ref().is_some_and(|id| id.chars().count() > 200) {
            return Err(format!("{external_id}: at most 200 characters are expected"));
        }
        self.seen.enter(&of, &at, row)?;
        let name = Name::from_column(format!("import:{}:{row}", self.name));
        let fingerprint = fingerprint(&("import", &of, &at, pieces, &reference));
        let reason = Some(format!("import {}", self.name));
        Ok(Movement {
            name,
            fingerprint,
            sku: of,
            warehouse: at,
            act: Act::Count { counted: pieces, reason, reference },
        })
    }

    /// The next line; none after the last.
    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            if let Err(detail) = self.go_on().await {
                self.ended = true;
                let detail = format!(
                    "{detail}; {} rows were dealt with: send the table again under the same name, and it goes on",
                    self.summary.counted + self.summary.counted_before
                );
                self.lines.push_back(Line::BrokeOff { detail });
            }
        }
    }

    /// One step: a piece is handed in, or settled, or more of the table is read.
    async fn go_on(&mut self) -> Result<(), String> {
        if !self.admission.holds() {
            return Err(NOT_LET_IN.to_owned());
        }
        self.take_doubtful().await?;
        if self.summary.dry_run {
            self.summary.counted += self.pending.drain(..).count() as u64;
        }
        if self.pending.len() >= PIECE {
            return self.hand_in().await;
        }
        if let Some(bytes) = self.bytes().await? {
            return self.take_rows(|rows| rows.read(&bytes));
        }
        self.take_rows(Rows::finish)?;
        self.take_doubtful().await?;
        while !self.pending.is_empty() && !self.summary.dry_run {
            self.hand_in().await?;
        }
        while let Some(piece) = self.under_way.pop_front() {
            self.settle(piece).await?;
        }
        self.summary.counted += self.pending.drain(..).count() as u64;
        self.lines.push_back(Line::Done(self.summary));
        self.ended = true;
        Ok(())
    }

    async fn hand_in(&mut self) -> Result<(), String> {
        let piece = self.pending.drain(..PIECE.min(self.pending.len())).collect::<Vec<_>>();
        let asked = piece.into_iter().map(|(row, movement)| {
            let answer = self.shelf.desk.ask(Asked::new(Command::Move(movement.clone()), self.by.clone()));
            (row, movement, answer)
        });
        self.under_way.push_back(asked.collect());
        if self.under_way.len() < PIECES_UNDER_WAY {
            return Ok(());
        }
        match self.under_way.pop_front() {
            Some(oldest) => self.settle(oldest).await,
            None => Ok(()),
        }
    }

    async fn settle(&mut self, piece: Vec<(u64, Movement, Answered<Answer>)>) -> Result<(), String> {
        for (row, movement, answer) in piece {
            let mut answer = answer.await;
            while let Err(Refused::Full { .. }) = answer {
                sleep(WHEN_FULL).await;
                answer = self.shelf.desk.ask(Asked::new(Command::Move(movement.clone()), self.by.clone())).await;
            }
            match answer {
                Ok(Ok(crate::domain::Settled::Moved { is_new: true, .. })) => self.summary.counted += 1,
                Ok(Ok(_)) => self.summary.counted_before += 1,
                Ok(Err(Rejection::DifferentContent)) => {
                    self.refuse(row, "this row was imported under this name with another content; choose another name");
                }
                Ok(Err(rejection)) => self.refuse(row, Problem::from(rejection).kind().help),
                Err(refused) => return Err(format!("row {row}: {refused}")),
            }
        }
        Ok(())
    }
}

fn has_blanks(sku: &Sku) -> bool {
    sku.as_str().trim() != sku.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_counts_so_many_levels_and_no_more() {
        let mut seen = Seen { rows: BTreeMap::new(), most: 2 };
        let mut enter = |sku: &str, row| seen.enter(&sku.parse().unwrap(), &"main".parse().unwrap(), row);
        assert_eq!((enter("a", 1), enter("b", 2)), (Ok(()), Ok(())));
        let no = enter("c", 3).unwrap_err();
        assert!(no.contains("at most 2 ") && no.contains("another name"), "{no}");
        assert!(enter("a", 4).unwrap_err().contains("stands in row 1"), "that is said also then");
    }
}

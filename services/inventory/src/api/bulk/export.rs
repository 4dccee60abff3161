//! All stock as a table that streams out, a page of levels at a time.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use ids::{Sku, Warehouse};
use serde::Serialize;
use web::{Admission, Caller, Problem, Query};

use super::rows::Format;
use crate::api::{NOT_LET_IN, Shared, Shelf};
use crate::domain::Pool;
use crate::store;

/// Levels that are read at once for an export.
const PAGE: i64 = 1_000;

/// A level as a row of the export; the import reads its first three columns.
#[derive(Serialize)]
struct ExportedLevel<'a> {
    sku: &'a Sku,
    warehouse: &'a Warehouse,
    counted: i64,
    reserved: i64,
    committed: i64,
    owed: i64,
    available: i64,
}

/// Gives all levels as a table that the import reads.
pub(super) async fn export(
    State(shelf): Shared,
    caller: Caller,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.finish(|| Some(()))?;
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format =
        if accepted.contains("ndjson") || accepted.contains("jsonl") { Format::JsonLines } else { Format::Csv };
    // The first page is read before anything is answered: what fails then is still a problem document.
    let first = page_after(&shelf, None).await?;
    let exporting = Exporting { shelf, admission: caller.admission, format, page: Some(first), is_first: true };
    let pages = stream::unfold(exporting, |mut exporting| async {
        let piece = exporting.next().await?;
        Some((piece, exporting))
    });
    let content_type = if format == Format::Csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" };
    Ok(([(header::CONTENT_TYPE, content_type)], Body::from_stream(pages.boxed())).into_response())
}

/// An export under way.
struct Exporting {
    shelf: Arc<Shelf>,
    admission: Admission,
    format: Format,
    /// What was read and not given yet; none where it has ended.
    page: Option<Vec<Level>>,
    is_first: bool,
}

impl Exporting {
    /// The next piece of it; none after the last.
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        let page = self.page.take()?;
        let is_first = std::mem::take(&mut self.is_first);
        let piece = written(&page, self.format, is_first);
        let Some((sku, warehouse, _)) = page.last() else { return is_first.then_some(piece) };
        let next = page_after(&self.shelf, Some((sku.clone(), warehouse.clone()))).await;
        // An export that breaks off must not look like one that has ended.
        Some(match next {
            _ if !self.admission.holds() => Err(std::io::Error::other(NOT_LET_IN)),
            Ok(next) => {
                self.page = Some(next);
                piece
            }
            Err(_) => Err(std::io::Error::other("the database does not answer")),
        })
    }
}

type Level = (Sku, Warehouse, Pool);

async fn page_after(shelf: &Shelf, after: Option<(Sku, Warehouse)>) -> Result<Vec<Level>, Problem> {
    Ok(shelf.database.read(move |read| store::levels_after(read, after.as_ref(), PAGE)).await?)
}

fn written(levels: &[Level], format: Format, with_header: bool) -> std::io::Result<Bytes> {
    let rows = levels.iter().map(|(sku, warehouse, pool)| {
        let level = pool.level();
        ExportedLevel {
            sku,
            warehouse,
            counted: level.on_hand,
            reserved: level.reserved,
            committed: level.committed,
            owed: level.owed,
            available: pool.available(),
        }
    });
    if format == Format::JsonLines {
        let mut text = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut text, &row)?;
            text.push(b'\n');
        }
        return Ok(text.into());
    }
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    if with_header {
        csv.write_record(["sku", "warehouse", "counted", "reserved", "committed", "owed", "available"])?;
    }
    for row in rows {
        csv.serialize(row)?;
    }
    csv.into_inner().map(Bytes::from).map_err(|error| std::io::Error::other(error.to_string()))
}

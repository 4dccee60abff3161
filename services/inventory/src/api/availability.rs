//! Requests of those who keep a copy of stock: all of it with the place at which it was taken, and what
//! has changed since.
//!
//! Each item is the whole stock of a SKU as it is when it is read, so a copy takes it in place of what
//! it has, and taking it twice is taking it once. A snapshot is read a piece at a time while stock
//! moves; what moves meanwhile stands behind the place that it begins with, and comes again as a change.

use std::pin::pin;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use db::{Failure, Position, Read};
use futures_util::{StreamExt, stream};
use host::{CURSOR_BEYOND_THE_END, CURSOR_OF_ANOTHER_LIFE};
use ids::{Number, Sku};
use serde::Serialize;
use web::{Admission, Caller, Cursor, Listed, Problem, Query, Routes, Scope, Wait};

use super::problem::SNAPSHOT_AGAIN;
use super::stock::StockDocument;
use super::{ABOUT, NOT_LET_IN, Shared, Shelf, openapi};
use crate::store::availability::{changed_after, levels_of_skus_after};
use crate::store::{self, Shown};

/// The routes of this module.
pub(super) fn routes() -> Routes<Arc<Shelf>> {
    Routes::about(ABOUT).get("/v1/availability", Scope::StockRead, changes, openapi::changes()).get(
        "/v1/availability-snapshot",
        Scope::StockRead,
        snapshot,
        openapi::snapshot(),
    )
}

/// Levels that are read at once for a snapshot, and SKUs of which something was said.
const PAGE: usize = 2_000;

/// A place in the journal: a position in a life of the database.
type Place = (Number, Position);

async fn changes(State(shelf): Shared, wait: Wait, mut query: Query) -> Result<Response, Problem> {
    let page = query.page();
    let page = query.finish(|| page)?;
    let life = shelf.database.incarnation();
    let mut after = match page.start::<Place>()? {
        None => 0,
        Some((of, position)) if of == life => position,
        Some(_) => return Err(Problem::new(&CURSOR_OF_ANOTHER_LIFE).member("incarnation", life)),
    };
    let mut over = pin!(wait.is_over());
    let mut newest = shelf.database.ring().newest();
    loop {
        newest.mark_unchanged();
        let most = usize::from(page.limit);
        let read = move |read: &mut Read<'_>| changed(read, after, most);
        let (items, upto, at_end) = match shelf.database.read(read).await? {
            Found::BeyondTheEnd => {
                return Err(Problem::new(&CURSOR_BEYOND_THE_END).member("newest", *newest.borrow()));
            }
            Found::OfAWarehouse => return Err(Problem::new(&SNAPSHOT_AGAIN)),
            Found::Changed(items, upto, at_end) => (items, upto, at_end),
        };
        after = upto;
        if items.is_empty() && at_end {
            tokio::select! { biased; () = &mut over => {}, heard = newest.changed() => if heard.is_ok() { continue } }
        }
        let items = items.iter().map(|(sku, shown)| StockDocument::of(sku, shown, shelf.thresholds)).collect();
        return Ok(Listed { items, next: Some(Cursor::new(&(life, upto))) }.into_response());
    }
}

/// What is found after a position.
enum Found {
    /// The journal ends before it.
    BeyondTheEnd,
    /// What was said of a warehouse, which may concern every SKU.
    OfAWarehouse,
    /// What has changed, how far that is, and whether there was no more.
    Changed(Vec<(Sku, Shown)>, Position, bool),
}

fn changed(read: &mut Read<'_>, after: Position, most: usize) -> Result<Found, Failure> {
    if read.newest_event()? < after {
        return Ok(Found::BeyondTheEnd);
    }
    let changes = changed_after(read, after, most)?;
    if changes.skus.is_empty() && changes.comes_to_a_warehouse {
        return Ok(Found::OfAWarehouse);
    }
    let skus: Vec<Sku> = changes.skus.into_iter().collect();
    Ok(Found::Changed(store::stock(read, &skus)?, changes.upto, changes.at_end))
}

/// A line of a snapshot that is no item: the last one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// All of it was there.
    Done {
        skus: usize,
        /// The place in the journal at which it was begun.
        next: Cursor,
    },
}

async fn snapshot(State(shelf): Shared, caller: Caller, query: Query) -> Result<Response, Problem> {
    query.finish(|| Some(()))?;
    // The first page is read before anything is answered: what fails then is still a problem document.
    let first = |read: &mut Read<'_>| Ok((read.newest_event()?, some_after(read, "")?));
    let (begun, page) = shelf.database.read(first).await?;
    let copying = Copying { shelf, admission: caller.admission, begun, page, skus: 0, ended: false };
    let pieces = stream::unfold(copying, |mut copying| async {
        let piece = copying.next().await?;
        Some((piece, copying))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces.boxed())).into_response())
}

/// A snapshot under way.
struct Copying {
    shelf: Arc<Shelf>,
    admission: Admission,
    begun: Position,
    /// What was read and not given yet; nothing where all was given.
    page: Vec<(Sku, Shown)>,
    skus: usize,
    ended: bool,
}

impl Copying {
    /// The next piece of it; none after the last.
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        if self.ended {
            return None;
        }
        if !self.admission.holds() {
            self.ended = true;
            return Some(Err(std::io::Error::other(NOT_LET_IN)));
        }
        let Some((last, _)) = self.page.last() else {
            self.ended = true;
            let next = Cursor::new(&(self.shelf.database.incarnation(), self.begun));
            return Some(line(&Line::Done { skus: self.skus, next }));
        };
        let after = last.clone();
        self.skus += self.page.len();
        let piece = self.lines();
        let next = self.shelf.database.read(move |read| some_after(read, after.as_str())).await;
        // Without its last line it does not look like one that has ended.
        self.ended = next.is_err();
        Some(match next {
            Ok(page) => {
                self.page = page;
                piece
            }
            Err(_) => Err(std::io::Error::other("the database does not answer")),
        })
    }

    /// What was read and not given yet, each as a line.
    fn lines(&self) -> std::io::Result<Bytes> {
        let mut text = Vec::new();
        for (sku, shown) in &self.page {
            StockDocument::of(sku, shown, self.shelf.thresholds).write(&mut text)?;
            text.push(b'\n');
        }
        Ok(text.into())
    }
}

/// A line of JSON.
fn line(document: &Line) -> std::io::Result<Bytes> {
    let mut text = serde_json::to_vec(document)?;
    text.push(b'\n');
    Ok(text.into())
}

/// Stock of some SKUs after one.
fn some_after(read: &mut Read<'_>, after: &str) -> Result<Vec<(Sku, Shown)>, Failure> {
    let mut levels = levels_of_skus_after(read, after, PAGE)?;
    // Something may have been said of SKUs in between, of which nothing lies anywhere.
    let upto = levels.last().map(|(sku, ..)| sku.as_str());
    let settings = store::settings_between(read, after, upto, PAGE)?;
    if let (PAGE.., Some((last, _))) = (settings.len(), settings.last_key_value()) {
        // What was said of those behind it comes with the next page, and so do they.
        levels.retain(|(sku, ..)| sku <= last);
    }
    Ok(store::shown(&levels, &settings, &store::warehouses(read)?))
}

//! How stock is found: in memory as far as it is known there, else in the database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use db::{Failure, Position, Read};
use ids::Sku;
use web::Problem;

use super::Shelf;
use crate::store::recent::{Followed, Recent, Stamp, Stamped};
use crate::store::{self, Shown};

/// SKUs that are read through at once.
const AT_ONCE: usize = 200;
/// The rest after them, so that this takes about a third of a thread; and the rest after it went wrong.
const REST: Duration = Duration::from_millis(3);
const LONG_REST: Duration = Duration::from_secs(1);

/// The stock of each of these SKUs as it is at one moment; none of one that is unknown.
pub(super) async fn stock_of(shelf: &Shelf, skus: &[Sku]) -> Result<Vec<Option<Shown>>, Problem> {
    match &shelf.recent {
        Some(Recent::Stamped(stamped)) => stock_by_stamps(shelf, stamped, skus).await,
        Some(Recent::Followed(followed)) => {
            let (followed, skus) = (followed.clone(), skus.to_vec());
            let heard = *shelf.database.ring().newest().borrow();
            let read = move |read: &mut Read<'_>| {
                let at = followed.follow(read, heard)?;
                stock_in_view(read, &followed, at, &skus)
            };
            Ok(shelf.database.read(read).await?)
        }
        None => read_at_once(shelf, skus).await,
    }
}

/// The stock of SKUs in a view that stands at a position which was followed to; what was not known is kept.
fn stock_in_view(
    read: &mut Read<'_>,
    followed: &Followed,
    at: Position,
    skus: &[Sku],
) -> Result<Vec<Option<Shown>>, Failure> {
    let mut stock: Vec<_> = skus.iter().map(|sku| followed.get(sku, at)).collect();
    let missing = missing(skus, &stock);
    if !missing.is_empty() {
        let found = store::stock(read, &missing)?;
        fill(&mut stock, skus, &found);
        for (sku, shown) in found {
            followed.keep(sku, at, shown);
        }
    }
    Ok(stock)
}

/// The same, by what is known without a view where nothing has changed.
async fn stock_by_stamps(shelf: &Shelf, stamped: &Stamped, skus: &[Sku]) -> Result<Vec<Option<Shown>>, Problem> {
    let mut stamps = Vec::with_capacity(skus.len());
    let known = |sku: &Sku| {
        let (shown, stamp) = stamped.get(sku)?;
        stamps.push(stamp);
        Some(shown)
    };
    let mut stock: Vec<_> = skus.iter().map(known).collect();
    let missing = missing(skus, &stock);
    if !missing.is_empty() {
        let found = read_and_stamped(shelf, stamped, missing).await?;
        fill(&mut stock, skus, &found);
    }
    // What was known before the rest was read is from the same moment, if nothing has become of it since.
    if stamped.all_stand(&stamps) { Ok(stock) } else { read_at_once(shelf, skus).await }
}

/// The same, read in one view.
async fn read_at_once(shelf: &Shelf, skus: &[Sku]) -> Result<Vec<Option<Shown>>, Problem> {
    let found = looked_up(shelf, skus.to_vec()).await?;
    Ok(skus.iter().map(|sku| of_sku(&found, sku)).collect())
}

/// The SKUs whose stock is missing, in the order of their names.
fn missing(skus: &[Sku], stock: &[Option<Shown>]) -> Vec<Sku> {
    let missing: BTreeSet<&Sku> =
        skus.iter().zip(stock).filter(|(_, known)| known.is_none()).map(|(sku, _)| sku).collect();
    missing.into_iter().cloned().collect()
}

/// Puts what was found where it is missing.
fn fill(stock: &mut [Option<Shown>], skus: &[Sku], found: &[(Sku, Shown)]) {
    for (place, sku) in stock.iter_mut().zip(skus).filter(|(place, _)| place.is_none()) {
        *place = of_sku(found, sku);
    }
}

/// The stock of a SKU, where it is among what was found, which stands in the order of the names.
fn of_sku(found: &[(Sku, Shown)], sku: &Sku) -> Option<Shown> {
    let place = found.binary_search_by(|(there, _)| there.cmp(sku));
    place.ok().map(|place| found[place].1.clone())
}

/// What is read in one view of SKUs in the order of their names, of which is kept what did not change meanwhile.
async fn read_and_stamped(shelf: &Shelf, stamped: &Stamped, skus: Vec<Sku>) -> Result<Vec<(Sku, Shown)>, Problem> {
    let stamps: Vec<(Sku, Stamp)> = skus.iter().filter_map(|sku| Some((sku.clone(), stamped.stamp(sku)?))).collect();
    let found = looked_up(shelf, skus).await?;
    // Both stand in the same order.
    let mut stamps = stamps.into_iter().peekable();
    for (found, shown) in &found {
        while stamps.next_if(|(sku, _)| sku < found).is_some() {}
        if let Some((sku, stamp)) = stamps.next_if(|(sku, _)| sku == found) {
            stamped.keep(sku, stamp, shown.clone());
        }
    }
    Ok(found)
}

/// The stock of those SKUs that are known, in the order of their names.
async fn looked_up(shelf: &Shelf, skus: Vec<Sku>) -> Result<Vec<(Sku, Shown)>, Problem> {
    Ok(shelf.database.read(move |read| store::stock(read, &skus)).await?)
}

/// Reads all stock once after a start, as much as there is room for, so that those who ask first need not wait
/// until it is looked up: a few SKUs at a time, with a rest in between for others who read. It never ends, for
/// a service whose task has ended is stopped.
pub(crate) async fn read_through(shelf: Arc<Shelf>) {
    if let Some(recent) = &shelf.recent {
        let mut after = None;
        while !recent.is_nearly_full() {
            match read_next(&shelf, after.clone()).await {
                Ok(Some(last)) => after = Some(last),
                Ok(None) => break,
                Err(problem) => {
                    tracing::debug!(?problem, "Stock cannot be read through now; it is tried again");
                    tokio::time::sleep(LONG_REST).await;
                }
            }
            tokio::time::sleep(REST).await;
        }
    }
    std::future::pending::<()>().await;
}

/// Asks for the stock of some SKUs after one, so that it is kept; gives back the last of them.
async fn read_next(shelf: &Shelf, after: Option<Sku>) -> Result<Option<Sku>, Problem> {
    let skus = move |read: &mut Read<'_>| store::skus_after(read, after.as_ref(), AT_ONCE);
    let skus = shelf.database.read(skus).await?;
    stock_of(shelf, &skus).await?;
    Ok(skus.last().cloned())
}

//! Stock as others copy it: all of it, and what has changed since.

use std::collections::BTreeSet;

use contracts::inventory::Event;
use db::{Failure, Position, Query, Read};
use ids::{Sku, Warehouse};

use super::levels;
use super::rows::{STOCK, level};
use crate::domain::{Pool, skus_changed};

/// Events that one question looks at, at most.
const MOST_LOOKED_AT: usize = 10_000;
/// Events that are read at once.
const PIECE: usize = 256;

/// SKUs that have changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) skus: BTreeSet<Sku>,
    /// Whether what was said of a warehouse comes next, which may concern every SKU.
    pub(crate) comes_to_a_warehouse: bool,
    /// The journal was looked through up to here.
    pub(crate) upto: Position,
    /// Whether there was no more to look through.
    pub(crate) at_end: bool,
}

/// The SKUs that have changed after a position: at most so many, unless one event changes more.
pub(crate) fn changed_after(read: &mut Read<'_>, after: Position, most: usize) -> Result<Changes, Failure> {
    let mut changes = Changes { upto: after, ..Changes::default() };
    let mut looked_at = 0;
    while looked_at < MOST_LOOKED_AT {
        let piece = read.events_after(changes.upto, PIECE)?;
        changes.at_end = piece.is_empty();
        if changes.at_end {
            break;
        }
        looked_at += piece.len();
        for envelope in piece {
            // An event of a newer release, whose SKUs this one does not know, is not passed over.
            let event = Event::read(&envelope.kind, &envelope.body).map_err(|error| Failure::Corrupt(error.0))?;
            let unknown = || Failure::Corrupt(format!("event {} is of an unknown type", envelope.id()));
            let event = event.ok_or_else(unknown)?;
            if matches!(event, Event::WarehouseChanged(_)) {
                changes.comes_to_a_warehouse = true;
                return Ok(changes);
            }
            let skus = skus_changed(&event);
            let more = skus.iter().filter(|sku| !changes.skus.contains(**sku)).count();
            if !changes.skus.is_empty() && changes.skus.len() + more > most {
                return Ok(changes);
            }
            changes.skus.extend(skus.into_iter().cloned());
            changes.upto = envelope.position;
        }
    }
    Ok(changes)
}

/// The levels of some whole SKUs after one, in the order of their keys; none where there are no more.
pub(crate) fn levels_of_skus_after(
    read: &mut Read<'_>,
    after: &str,
    limit: usize,
) -> Result<Vec<(Sku, Warehouse, Pool)>, Failure> {
    let columns = STOCK.columns();
    let sql = format!("SELECT {columns} FROM stock WHERE sku > $1 ORDER BY sku, warehouse LIMIT $2");
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = read.rows(Query::sql(sql, [after.into(), most.into()]))?;
    let is_full = rows.len() == limit;
    let mut found: Vec<_> = rows.into_iter().map(level).collect::<Result<_, _>>()?;
    if let (true, Some((last, ..))) = (is_full, found.last()) {
        // The last one may have more levels than were read.
        let last = last.clone();
        found.retain(|(sku, ..)| *sku != last);
        if found.is_empty() {
            found = levels(read, &[last])?;
        }
    }
    Ok(found)
}

//! What becomes due: holds that lapse, each in its own story, and promises that were left to be served later.

use std::collections::{BTreeMap, BTreeSet};

use db::{Failure, Query, Row, Trace, Tx};
use ids::{Number, Sku, Warehouse};

use super::rows::EVENT;

/// What a reservation belongs to: the trace and the story of whoever asked for it first.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) trace: Trace,
    pub(crate) correlation: String,
}

/// What reservations belong to, by their numbers.
pub(crate) type Stories = BTreeMap<Number, Story>;

/// What some reservations belong to.
pub(super) fn stories(tx: &mut Tx<'_>, numbers: &BTreeSet<Number>) -> Result<Stories, Failure> {
    let mut stories = Stories::new();
    for row in tx.rows(Query::by(&EVENT, "stream", numbers.iter().map(|number| (*number).into())))? {
        let mut row = row.columns();
        let (number, version) = (row.number()?, row.int()?);
        if version == 1 {
            stories.insert(number, Story { trace: row.parsed()?, correlation: row.text()? });
        }
    }
    Ok(stories)
}

/// Holds whose time has passed, those first that lapsed first, each with the levels that it keeps something of and
/// what it belongs to.
pub(crate) fn lapsed(tx: &mut Tx<'_>, most: usize) -> Result<Vec<(Number, usize, Story)>, Failure> {
    let sql = "SELECT lapsed.reservation, lapsed.levels, event.trace, event.correlation
               FROM (SELECT reservation, expires_at, count(*) AS levels FROM hold WHERE expires_at <= $1
                     GROUP BY expires_at, reservation ORDER BY expires_at, reservation LIMIT $2) AS lapsed
               JOIN event ON event.stream = lapsed.reservation AND event.version = 1
               ORDER BY lapsed.expires_at, lapsed.reservation";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = tx.rows(Query::sql(sql, [tx.now().into(), most.into()]))?;
    let read = |row: Row| {
        let mut row = row.columns();
        let (number, levels) = (row.number()?, usize::try_from(row.int()?).unwrap_or(usize::MAX));
        Ok((number, levels, Story { trace: row.parsed()?, correlation: row.text()? }))
    };
    rows.into_iter().map(read).collect()
}

/// Levels where pieces are free that somebody is owed.
pub(crate) fn unserved(tx: &mut Tx<'_>, most: usize) -> Result<Vec<(Sku, Warehouse)>, Failure> {
    let sql = "SELECT sku, warehouse FROM unserved ORDER BY sku, warehouse LIMIT $1";
    let rows = tx.rows(Query::sql(sql, [i64::try_from(most).unwrap_or(i64::MAX).into()]))?;
    let read = |row: Row| {
        let mut row = row.columns();
        Ok((Sku::from_column(row.text()?), Warehouse::from_column(row.text()?)))
    };
    rows.into_iter().map(read).collect()
}

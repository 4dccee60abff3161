//! The journal as it is read: the entries that are wanted, and how many are looked at to find them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use contracts::inventory::Event;
use db::{Envelope, Failure, Position, Query, Read, Value};
use ids::{Name, Sku, Warehouse};
use serde::Deserialize;
use world::Moment;

use crate::domain::{Change, Pool, changes};

/// Which entries of the journal are wanted: those that fit all that is said here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) sku: Option<Sku>,
    pub(crate) warehouse: Option<Warehouse>,
    pub(crate) actor: Option<String>,
    /// A reference, or the name of a movement, a reservation or an order.
    pub(crate) reference: Option<String>,
    /// Recorded then or later.
    pub(crate) from: Option<Moment>,
    /// Recorded before that.
    pub(crate) to: Option<Moment>,
}

/// An entry of the journal: an event that changed stock.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) envelope: Envelope,
    pub(crate) event: Event,
    pub(crate) names: Names,
}

/// What an entry names beside the stock that it changes; which of these depends on its type.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Names {
    pub(crate) movement: Option<Name>,
    pub(crate) reservation: Option<Name>,
    pub(crate) order: Option<Name>,
    pub(crate) reference: Option<String>,
    pub(crate) reason: Option<String>,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The entries, in their order.
    pub(crate) entries: Vec<Entry>,
    /// The journal was looked through up to here.
    pub(crate) upto: Position,
    /// Whether there is no more to look through.
    pub(crate) at_end: bool,
}

/// Events that one question looks at, at most.
pub(crate) const MOST_LOOKED_AT: Position = 50_000;
/// Bytes of events that one question looks at, about.
const MOST_BYTES_LOOKED_AT: i64 = 64 * 1024 * 1024;
/// Events that one statement looks at, at most: where all are large, that still takes it little of the time that the
/// database gives it.
const STRETCH: Position = 1_000;
/// Events that are read at once.
const PIECE: usize = 256;
/// Bytes of bodies after which no more are read.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// By how much an event may have been recorded before one in front of it: processes that share a
/// database have clocks of their own.
const SKEW: Duration = Duration::from_secs(10);

/// Looks through the journal after a position for entries that are wanted.
pub(crate) fn look(read: &mut Read<'_>, wanted: &Wanted, after: Position, limit: usize) -> Result<Found, Failure> {
    let newest = read.newest_event()?;
    let after = match wanted.from {
        Some(from) => after.max(last_before(read, from - SKEW, newest)?),
        None => after,
    };
    let end = match wanted.to {
        Some(to) => last_before(read, to + SKEW, newest)?,
        None => newest,
    };
    let window = end.min(after.saturating_add(MOST_LOOKED_AT));
    let mut found = Found { entries: Vec::new(), upto: after, at_end: false };
    let (mut bytes, mut bytes_looked_at) = (0, 0);
    'looking: while found.upto < window && bytes_looked_at < MOST_BYTES_LOOKED_AT {
        let stretch = window.min(found.upto + STRETCH);
        let (piece, is_last) = candidates(read, wanted, found.upto, stretch, &mut bytes_looked_at)?;
        for envelope in piece {
            if found.entries.len() == limit || bytes >= MOST_BYTES {
                break 'looking;
            }
            found.upto = envelope.position;
            let entry = Entry::read(envelope)?;
            if wanted.fits(&entry) {
                bytes += entry.envelope.body.len();
                found.entries.push(entry);
            }
        }
        if is_last {
            found.upto = stretch;
        }
    }
    found.at_end = found.upto >= end;
    Ok(found)
}

impl Entry {
    fn read(envelope: Envelope) -> Result<Self, Failure> {
        let corrupt = |cause: String| Failure::Corrupt(format!("event {}: {cause}", envelope.id()));
        let event = Event::read(&envelope.kind, &envelope.body).map_err(|error| corrupt(error.0))?;
        let event = event.ok_or_else(|| corrupt(format!("{} is of no type that this release knows", envelope.kind)))?;
        let names = serde_json::from_str(&envelope.body).map_err(|error| corrupt(error.to_string()))?;
        Ok(Self { envelope, event, names })
    }
}

impl Wanted {
    fn fits(&self, entry: &Entry) -> bool {
        let Entry { envelope, event, names } = entry;
        let all_or = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        let named = [&names.movement, &names.reservation, &names.order];
        let named = named.into_iter().flatten().map(Name::as_str).chain(names.reference.as_deref());
        self.from.is_none_or(|from| from <= envelope.recorded_at)
            && self.to.is_none_or(|to| envelope.recorded_at < to)
            && all_or(&self.actor, &envelope.by.actor.to_string())
            && (self.reference.is_none() || named.into_iter().any(|name| all_or(&self.reference, name)))
            && changes(event).iter().any(|changed| self.is_about(changed.sku, changed.warehouse))
    }

    /// Whether stock of this SKU in this warehouse is wanted.
    pub(crate) fn is_about(&self, sku: &Sku, warehouse: &Warehouse) -> bool {
        self.sku.as_ref().is_none_or(|wanted| wanted == sku)
            && self.warehouse.as_ref().is_none_or(|wanted| wanted == warehouse)
    }
}

/// What has happened to a SKU since a moment: enough to tell how it stood then.
///
/// It is undone from how the SKU stands now, and not done from the beginning: most questions are about
/// a time that is not long ago, and a journal is long.
#[derive(Debug)]
pub(crate) struct Since {
    /// The journal was looked through up to here.
    upto: Position,
    differences: BTreeMap<Warehouse, Change>,
}

impl Since {
    /// Nothing yet: what was recorded up to a moment stays.
    pub(crate) fn moment(read: &mut Read<'_>, moment: Moment) -> Result<Self, Failure> {
        let newest = read.newest_event()?;
        let upto = last_before(read, moment + Duration::from_micros(1), newest)?;
        Ok(Self { upto, differences: BTreeMap::new() })
    }

    /// Looks on, so far and no further; once nothing is left to look at, gives the levels as they were
    /// then.
    pub(crate) fn look_on(&mut self, read: &mut Read<'_>, sku: &Sku) -> Result<Option<Levels>, Failure> {
        let newest = read.newest_event()?;
        let window = newest.min(self.upto.saturating_add(MOST_LOOKED_AT));
        let wanted = Wanted { sku: Some(sku.clone()), ..Wanted::default() };
        let mut bytes_looked_at = 0;
        while self.upto < window && bytes_looked_at < MOST_BYTES_LOOKED_AT {
            let stretch = window.min(self.upto + STRETCH);
            let (piece, is_last) = candidates(read, &wanted, self.upto, stretch, &mut bytes_looked_at)?;
            for envelope in piece {
                self.upto = envelope.position;
                self.enter(&Entry::read(envelope)?.event, sku);
            }
            if is_last {
                self.upto = stretch;
            }
        }
        if self.upto < newest {
            return Ok(None);
        }
        let before = |(sku, warehouse, pool): (Sku, Warehouse, Pool)| {
            let since = self.differences.get(&warehouse).copied().unwrap_or_default();
            (sku, warehouse, pool.before(since))
        };
        Ok(Some(super::levels(read, std::slice::from_ref(sku))?.into_iter().map(before).collect()))
    }

    fn enter(&mut self, event: &Event, sku: &Sku) {
        for changed in changes(event).into_iter().filter(|changed| changed.sku == sku) {
            *self.differences.entry(changed.warehouse.clone()).or_default() += changed.change;
        }
    }
}

/// Levels by SKU and warehouse.
pub(crate) type Levels = Vec<(Sku, Warehouse, Pool)>;

/// Some events between two positions, among them the first that fit: a name that is wanted stands somewhere in
/// the body. Beside them whether these are all, and what was looked at for them is added to its bytes.
fn candidates(
    read: &mut Read<'_>,
    wanted: &Wanted,
    after: Position,
    upto: Position,
    bytes_looked_at: &mut i64,
) -> Result<(Vec<Envelope>, bool), Failure> {
    let mut condition = "position > $1 AND position <= $2".to_owned();
    let mut values: Vec<Value> = vec![after.into(), upto.into()];
    let names = [
        wanted.sku.as_ref().map(Sku::as_str),
        wanted.warehouse.as_ref().map(Warehouse::as_str),
        wanted.reference.as_deref(),
    ];
    for name in names.into_iter().flatten() {
        values.push(anywhere(name).into());
        // A text takes more text.
        let _ = write!(condition, " AND body LIKE ${} ESCAPE '!'", values.len());
    }
    if let Some(actor) = &wanted.actor {
        values.push(actor.as_str().into());
        let _ = write!(condition, " AND actor = ${}", values.len());
    }
    let piece = read.events_where(&condition, values, PIECE)?;
    let is_last = piece.len() < PIECE;
    let upto = piece.last().filter(|_| !is_last).map_or(upto, |last| last.position);
    // How long a text is, both databases know without reading it.
    let sql = "SELECT CAST(coalesce(sum(octet_length(body)), 0) AS BIGINT) FROM event
               WHERE position > $1 AND position <= $2";
    if let Some(row) = read.rows(Query::sql(sql, [after.into(), upto.into()]))?.into_iter().next() {
        *bytes_looked_at += row.columns().int()?;
    }
    Ok((piece, is_last))
}

/// The pattern of a body in which this text stands as JSON has it.
fn anywhere(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in serde_json::Value::from(text).to_string().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// The position of the last event that was recorded before a moment, as far as times follow positions.
fn last_before(read: &mut Read<'_>, moment: Moment, newest: Position) -> Result<Position, Failure> {
    let (mut before, mut not_before) = (0, newest + 1);
    while before + 1 < not_before {
        let middle = before + (not_before - before) / 2;
        let recorded_at = Query::sql("SELECT recorded_at FROM event WHERE position = $1", [middle.into()]);
        let row = read.rows(recorded_at)?.into_iter().next();
        let row = row.ok_or_else(|| Failure::Corrupt(format!("there is no event {middle}")))?;
        if row.columns().moment()? < moment { before = middle } else { not_before = middle }
    }
    Ok(before)
}

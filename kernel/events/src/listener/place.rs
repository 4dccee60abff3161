//! Where a consumer is in a feed: what it keeps of that in its database, and when.

use std::collections::BTreeMap;

use db::{Failure, Position, Query, Row, Table, Tx, int, text};
use ids::Number;

use super::Listener;
use super::taken::{Came, Step};
use crate::feed::Partitions;

pub(super) static CURSOR: Table = Table { name: "feed_cursor", key: &[text("feed")], rest: &[int("position")] };
static START: Table =
    Table { name: "feed_start", key: &[text("source")], rest: &[int("incarnation"), int("position")] };

/// Positions after which the place where reading begins is saved anew, with a batch that moves cursors.
const SAVE_EVERY: Position = 1_000;
/// Positions after which it is saved by itself, where nothing in them has moved a cursor.
const SAVE_ALONE_EVERY: Position = 10_000;

/// Where reading begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) incarnation: Option<Number>,
    pub(super) position: Position,
    /// What the database holds of it.
    pub(super) saved: Position,
    /// The furthest cursor, where that lies beyond: the producer must know at least so much, or it
    /// was restored. To be found out before anything is read, for what it says anew under positions
    /// that were dealt with before would be taken for known.
    pub(super) furthest: Option<Position>,
}

/// Goes on with a producer whose database was put back together with this one, from copies of one
/// moment: from the life that it had then to the one that it has now.
pub fn follow_restored(tx: &mut Tx<'_>, source: &str, before: Number, now: Number) {
    // The keys that are the source, or begin with it and a slash, which `0` follows.
    let follow = "UPDATE feed_start SET incarnation = $1 WHERE incarnation = $2
        AND (source = $3 OR (source >= $4 AND source < $5))";
    let (from, to) = (format!("{source}/"), format!("{source}0"));
    tx.execute(follow, [now.into(), before.into(), source.into(), from.into(), to.into()]);
}

impl<C, A> Listener<C, A> {
    pub(super) fn load_start(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let start = Query::by(&START, "source", [self.start_key().into()]);
        // The keys that begin with the source and a slash, which `0` follows.
        let source = self.feed.source();
        let cursors = "SELECT max(position) FROM feed_cursor WHERE feed >= $1 AND feed < $2";
        let cursors = Query::sql(cursors, [format!("{source}/").into(), format!("{source}0").into()]);
        let [starts, cursors] = tx.ask([start, cursors])?;
        let mut start = Start { incarnation: None, position: 0, saved: 0, furthest: None };
        if let Some(row) = starts.into_iter().next() {
            let mut row = row.columns();
            let (_source, incarnation, position) = (row.text()?, row.number()?, row.int()?);
            start = Start { incarnation: Some(incarnation), position, saved: position, furthest: None };
        }
        if let Some(row) = cursors.into_iter().next() {
            start.furthest = row.columns().maybe_int()?.filter(|furthest| *furthest > start.position);
        }
        self.status.has_read(start.position);
        self.read = Some(start);
        Ok(())
    }

    /// Where its start is saved: consumers of different partitions have different starts.
    fn start_key(&self) -> String {
        if self.partitions == Partitions::ALL {
            self.feed.source().to_owned()
        } else {
            format!("{}/{}", self.feed.source(), self.partitions)
        }
    }

    pub(super) fn cursor_key(&self, partition: u8) -> String {
        format!("{}/{partition}", self.feed.source())
    }

    /// Whether this batch moves cursors.
    pub(super) fn moves_cursors(&self) -> bool {
        self.batch.iter().any(|taken| taken.came == Came::Fresh && taken.step != Step::Known)
    }

    /// Moves the cursors over what this batch took from the feed.
    pub(super) fn move_cursors(&self, tx: &mut Tx<'_>) {
        let mut reached: BTreeMap<String, Position> = BTreeMap::new();
        for taken in self.batch.iter().filter(|taken| taken.came == Came::Fresh && taken.step != Step::Known) {
            let position = reached.entry(self.cursor_key(taken.event.partition)).or_default();
            *position = taken.event.position.max(*position);
        }
        let moved = reached.into_iter().map(|(feed, position)| vec![feed.into(), position.into()]);
        tx.upsert(&CURSOR, moved.collect());
    }

    /// Whether so much has meant nothing that the place behind it is saved by itself.
    pub(super) fn place_is_due(&self) -> bool {
        self.read.is_some_and(|start| start.position - start.saved >= SAVE_ALONE_EVERY)
    }

    /// The place that is saved with this batch, if it is.
    pub(super) fn place_to_save(&self) -> Option<(Number, Position)> {
        let Start { incarnation, saved, .. } = self.read?;
        let reached = self.reached();
        let with_cursors = self.moves_cursors() && (saved == 0 || reached - saved >= SAVE_EVERY);
        (with_cursors || reached - saved >= SAVE_ALONE_EVERY).then_some((incarnation?, reached))
    }

    /// Saves where reading begins, now and then.
    pub(super) fn save_place(&self, tx: &mut Tx<'_>) {
        if let Some((incarnation, position)) = self.place_to_save() {
            tx.upsert(&START, vec![vec![self.start_key().into(), incarnation.into(), position.into()]]);
        }
    }

    /// Up to where all is dealt with once this batch is committed.
    pub(super) fn reached(&self) -> Position {
        let fresh = self.batch.iter().filter(|taken| taken.came == Came::Fresh).count();
        let read = self.read.map_or(0, |start| start.position);
        if fresh == self.waiting.len() {
            self.upto.max(read)
        } else {
            // What was not taken begins right after; carriers whose positions come out of order
            // say so by an `upto` that lies before them.
            let next = self.waiting.get(fresh).map_or(self.upto, |waiting| waiting.event.position - 1);
            next.min(self.upto).max(read)
        }
    }
}

/// Where each cursor stands.
pub(super) fn positions(rows: Vec<Row>) -> Result<BTreeMap<String, Position>, Failure> {
    let position = |row: Row| {
        let mut row = row.columns();
        Ok((row.text()?, row.int()?))
    };
    rows.into_iter().map(position).collect()
}

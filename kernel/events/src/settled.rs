//! What people did with dead letters, and why: the audit trail.
//!
//! **Invariant:** a dead letter is replayed or discarded in the transaction that writes down by whom and why.

use std::fmt;

use db::{Actor, Failure, Position, Query, Read, Row, Table, Tx, int, text};
use ids::Number;
use serde::{Deserialize, Serialize};
use world::Moment;

use crate::parked::DeadLetter;

static SETTLED: Table = Table {
    name: "settled_letter",
    key: &[int("number")],
    rest: &[
        text("source"),
        int("position"),
        text("subject"),
        text("type"),
        text("cause"),
        text("became"),
        int("settled_at"),
        text("actor"),
        text("reason"),
    ],
};

/// Who settles a dead letter, and why.
#[derive(Clone, Debug)]
pub struct Settling {
    /// Who does it.
    pub actor: Actor,
    /// Why, as they say it.
    pub reason: String,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It was parked again, to be tried at once.
    Replayed,
    /// It was given up for good.
    Discarded,
}

impl Became {
    /// The word for it in columns and outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for Became {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A dead letter that somebody has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledLetter {
    /// Ours; it grows with time.
    pub number: Number,
    /// The service that published the event.
    pub source: String,
    /// The position of the event.
    pub position: Position,
    /// What the event is about.
    pub subject: String,
    /// The type of the event.
    pub kind: String,
    /// Why it had been given up.
    pub cause: String,
    /// What became of it.
    pub became: Became,
    /// When it was settled.
    pub settled_at: Moment,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// Writes down that a dead letter is settled.
pub(crate) fn settle(tx: &mut Tx<'_>, letter: &DeadLetter, became: Became, by: &Settling) {
    let row = vec![
        tx.number().into(),
        letter.event.source.as_ref().into(),
        letter.event.position.into(),
        letter.event.subject.as_ref().into(),
        letter.event.kind.as_ref().into(),
        letter.cause.as_str().into(),
        became.as_str().into(),
        tx.now().into(),
        by.actor.to_string().into(),
        by.reason.as_str().into(),
    ];
    tx.insert(&SETTLED, vec![row]);
}

/// Some that were settled after this one, in the order in which they were.
pub fn settled_letters_after(read: &mut Read<'_>, after: Number, most: i64) -> Result<Vec<SettledLetter>, Failure> {
    let sql = format!("SELECT {} FROM settled_letter WHERE number > $1 ORDER BY number LIMIT $2", SETTLED.columns());
    read.rows(Query::sql(sql, [after.into(), most.into()]))?.into_iter().map(settled).collect()
}

/// Those that were settled last, the latest first.
pub fn latest_settled_letters(read: &mut Read<'_>, most: i64) -> Result<Vec<SettledLetter>, Failure> {
    let sql = format!("SELECT {} FROM settled_letter ORDER BY number DESC LIMIT $1", SETTLED.columns());
    read.rows(Query::sql(sql, [most.into()]))?.into_iter().map(settled).collect()
}

fn settled(row: Row) -> Result<SettledLetter, Failure> {
    let mut row = row.columns();
    let number = row.number()?;
    let (source, position, subject) = (row.text()?, row.int()?, row.text()?);
    let (kind, cause) = (row.text()?, row.text()?);
    let became = match row.text()?.as_str() {
        "replayed" => Became::Replayed,
        "discarded" => Became::Discarded,
        other => return Err(Failure::Corrupt(format!("what became of a dead letter: {other:?}"))),
    };
    let (settled_at, actor, reason) = (row.moment()?, row.text()?, row.text()?);
    Ok(SettledLetter { number, source, position, subject, kind, cause, became, settled_at, actor, reason })
}

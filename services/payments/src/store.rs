//! Everything that payments keeps, and every statement.

use std::collections::{BTreeMap, BTreeSet};

use db::{Actor, Context, Failure, Query, Read, Row, Table, Tx, Value, int, text};
use ids::{Name, Number};
use serde::{Deserialize, Serialize};
use world::Moment;

use crate::domain::Payment;
use crate::provider::Key;

static PAYMENT: Table = Table {
    name: "payment",
    key: &[int("number")],
    rest: &[
        text("name"),
        text("order_name"),
        int("attempt"),
        text("status"),
        int("version"),
        int("due_at"),
        int("asked"),
        text("state"),
        text("context"),
    ],
};

/// A payment's name together with the owner that chose it: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Account(String);

impl Account {
    /// The payment of this name that belongs to an owner.
    pub(crate) fn new(owner: &str, payment: &Name) -> Self {
        Self(format!("{owner}/{payment}"))
    }

    /// The payment that a try at the provider is of.
    pub(crate) fn of(key: &Key) -> Self {
        match key.payment() {
            owned if owned.contains('/') => Self(owned.to_owned()),
            local => Self(format!("{}/{local}", db::LOCAL_OWNER)),
        }
    }

    /// The key of a try at the provider; the owner stands in it only where there are several.
    pub(crate) fn key(&self, number: i64) -> Key {
        let local = self.0.strip_prefix(db::LOCAL_OWNER).and_then(|rest| rest.strip_prefix('/'));
        Key::new(local.unwrap_or(&self.0), number)
    }

    /// As it stands in its column.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is to be done about a payment, beside its events: when to look again, and how often the
/// provider has been asked. It is no part of the truth: from the events alone all that is not at
/// rest would simply be due at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// When it is looked at next.
    pub(crate) due_at: Option<Moment>,
    /// How often the provider was asked since something last happened; 0 where a try has begun
    /// that it was not asked for yet.
    pub(crate) asked: i64,
}

/// A payment as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its number, which is also that of its stream of events.
    pub(crate) number: Number,
    /// Events in its stream.
    pub(crate) version: i64,
    /// What its events make of it.
    pub(crate) payment: Payment,
    /// What is to be done about it.
    pub(crate) schedule: Schedule,
    /// On whose behalf it is done.
    pub(crate) by: Context,
}

impl Record {
    fn row(&self, account: &Account) -> Vec<Value> {
        let payment = &self.payment;
        let state = serde_json::to_string(payment).expect("a payment has a JSON form");
        vec![
            self.number.into(),
            account.as_str().into(),
            (&payment.order).into(),
            payment.attempt.into(),
            payment.status.as_str().into(),
            self.version.into(),
            self.schedule.due_at.into(),
            self.schedule.asked.into(),
            state.into(),
            KeptContext::text(&self.by).into(),
        ]
    }

    fn read(row: Row) -> Result<(Account, Self), Failure> {
        let mut row = row.columns();
        let (number, account) = (row.number()?, Account(row.text()?));
        let (_order, _attempt, _status) = (row.text()?, row.int()?, row.text()?);
        let version = row.int()?;
        let schedule = Schedule { due_at: row.maybe_moment()?, asked: row.int()? };
        let payment = row.json()?;
        let by = row.json::<KeptContext>()?.read()?;
        Ok((account, Self { number, version, payment, schedule, by }))
    }
}

/// Loads the payments of a batch, locked.
pub(crate) fn load(tx: &mut Tx<'_>, accounts: BTreeSet<&Account>) -> Result<BTreeMap<Account, Record>, Failure> {
    let names = accounts.into_iter().map(|account| account.as_str().into());
    let rows = tx.rows(Query::by(&PAYMENT, "name", names).locked())?;
    rows.into_iter().map(Record::read).collect()
}

/// Adds the payments that are new, and replaces those that are known.
pub(crate) fn save<'a>(
    tx: &mut Tx<'_>,
    new: impl IntoIterator<Item = (&'a Account, &'a Record)>,
    known: impl IntoIterator<Item = (&'a Account, &'a Record)>,
) {
    tx.insert(&PAYMENT, new.into_iter().map(|(account, record)| record.row(account)).collect());
    tx.update(&PAYMENT, known.into_iter().map(|(account, record)| record.row(account)).collect());
}

/// The payments that are due, the longest due first, and on whose behalf they are looked at.
pub(crate) fn due(tx: &mut Tx<'_>, most: usize) -> Result<Vec<(Account, Context)>, Failure> {
    let sql = "SELECT name, context FROM payment WHERE due_at <= $1 ORDER BY due_at, number LIMIT $2";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = tx.rows(Query::sql(sql, [tx.now().into(), most.into()]))?;
    let read = |row: Row| {
        let mut row = row.columns();
        Ok((Account(row.text()?), row.json::<KeptContext>()?.read()?))
    };
    rows.into_iter().map(read).collect()
}

/// A payment as it is at present.
pub(crate) fn find(read: &mut Read<'_>, account: &Account) -> Result<Option<Record>, Failure> {
    let rows = read.rows(Query::by(&PAYMENT, "name", [account.as_str().into()]))?;
    rows.into_iter().next().map(|row| Record::read(row).map(|(_, record)| record)).transpose()
}

/// The context of work that the service does by itself for a payment.
pub(crate) fn on_behalf(of: &Context, cause: &str) -> Context {
    Context { actor: Actor::System, causation: cause.into(), ..of.clone() }
}

/// A context as it stands in its column.
#[derive(Serialize, Deserialize)]
struct KeptContext {
    actor: String,
    owner: String,
    origin: String,
    market: Option<String>,
    trace: String,
    correlation: String,
    causation: String,
}

impl KeptContext {
    fn text(by: &Context) -> String {
        let kept = Self {
            actor: by.actor.to_string(),
            owner: by.owner.to_string(),
            origin: by.origin.as_str().to_owned(),
            market: by.market.as_deref().map(str::to_owned),
            trace: by.trace.to_string(),
            correlation: by.correlation.to_string(),
            causation: by.causation.to_string(),
        };
        serde_json::to_string(&kept).expect("a context has a JSON form")
    }

    fn read(self) -> Result<Context, Failure> {
        let corrupt = |unreadable: db::Unreadable| Failure::Corrupt(unreadable.to_string());
        Ok(Context {
            actor: self.actor.parse().map_err(corrupt)?,
            owner: self.owner.into(),
            origin: self.origin.parse().map_err(corrupt)?,
            market: self.market.map(Into::into),
            trace: self.trace.parse().map_err(corrupt)?,
            correlation: self.correlation.into(),
            causation: self.causation.into(),
        })
    }
}

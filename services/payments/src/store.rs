//! Everything that payments keeps, and every statement.

use std::collections::{BTreeMap, BTreeSet};

use db::{Actor, Context, Failure, Query, Read, Row, Table, Trace, Tx, Value, int, text};
use ids::{Name, Number};
use serde::{Deserialize, Serialize};
use world::Moment;

use crate::domain::Payment;
use crate::provider::Key;

/// What a payment is stands in `state`, and is read from there alone. Its order, the attempt and the status are columns too,
/// for people who look into the table, and so that the database refuses a status that does not exist (it knows one more,
/// `requested`, in which no payment is left).
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

/// The payments that are due, the longest due first, and on whose behalf they are looked at, each time
/// as a step of its own; and the step that this one follows from.
pub(crate) fn due(tx: &mut Tx<'_>, most: usize) -> Result<Vec<(Account, Context, Trace)>, Failure> {
    let sql = "SELECT name, context, due_at FROM payment WHERE due_at <= $1 ORDER BY due_at, number LIMIT $2";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = tx.rows(Query::sql(sql, [tx.now().into(), most.into()]))?;
    let read = |row: Row| {
        let mut row = row.columns();
        let (account, by) = (Account(row.text()?), row.json::<KeptContext>()?.read()?);
        let trace = by.trace.step_for(crate::NAME, &format!("due at {}", row.moment()?));
        let from = by.trace;
        Ok((account, Context { trace, ..on_behalf(&by, "it was due") }, from))
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use contracts::payments::{AuthorizationStarted, PaymentRequested};
    use db::{Context, Database, Location, MemoryDisk, Options, Trace};
    use money::{Currency, Money};
    use world::World;

    use super::{Account, Record, Schedule, due, find, load, save};
    use crate::domain::{Event, Payment};
    use crate::provider::Key;

    fn account(name: &str) -> Account {
        Account::new("local", &name.parse().expect("a name"))
    }

    fn record(world: &World, name: &str, due_in: Option<Duration>) -> Record {
        let name = |prefix: &str| format!("{prefix}{name}").parse().expect("a name");
        let requested = PaymentRequested {
            payment: name(""),
            order: name("order-"),
            attempt: 1,
            amount: Money::new(1999, Currency::GBP).expect("an amount"),
            method: "pm_card_visa".to_owned(),
            until: world.now(),
        };
        let started = AuthorizationStarted { payment: name(""), number: 1 };
        let events: [Event; 2] = [requested.into(), started.into()];
        let payment = events.iter().fold(Option::None, |payment, event| Payment::apply(payment, event, world.now()));
        let by = Context {
            market: Some("uk".into()),
            ..Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true })
        };
        let schedule = Schedule { due_at: due_in.map(|wait| world.now() + wait), asked: 1 };
        Record { number: world.number(), version: 2, payment: payment.expect("a payment"), schedule, by }
    }

    fn everywhere(world: &World) -> (Vec<Database>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let locations = [
            Location::Memory(MemoryDisk::empty()),
            Location::File(folder.path().join("payments.db")),
            Location::Postgres(testkit::Postgres::shared().database()),
        ];
        let open = |location| {
            Database::open(crate::NAME, location, Options::default(), world.clone(), crate::MIGRATIONS).expect("opens")
        };
        (locations.map(open).into(), folder)
    }

    #[tokio::test]
    async fn what_is_saved_is_loaded_and_found_as_it_was() {
        let world = World::simulated(1);
        let (databases, _folder) = everywhere(&world);
        for database in databases {
            let first = record(&world, "a", None);
            let mut known = first.clone();
            database
                .write(move |tx| {
                    save(tx, [(&account("a"), &first)], []);
                    Ok(())
                })
                .await
                .expect("saved");
            known.version = 3;
            known.schedule = Schedule { due_at: Some(world.now()), asked: 2 };
            let expected = known.clone();
            let loaded = database
                .write(move |tx| {
                    let (a, b) = (account("a"), account("b"));
                    let loaded = load(tx, BTreeSet::from([&a, &b]))?;
                    save(tx, [], [(&a, &known)]);
                    Ok(loaded)
                })
                .await
                .expect("loaded");
            assert_eq!(loaded.keys().collect::<Vec<_>>(), [&account("a")], "{database:?}");
            let found = database.read(|read| Ok((find(read, &account("a"))?, find(read, &account("b"))?)));
            assert_eq!(found.await.expect("found"), (Some(expected), None), "{database:?}");
        }
    }

    #[tokio::test]
    async fn what_is_due_comes_in_the_order_in_which_it_fell_due() {
        let world = World::simulated(1);
        let (databases, _folder) = everywhere(&world);
        for database in databases {
            let secs = |secs| Some(Duration::from_secs(secs));
            let records: BTreeMap<_, _> = [("first", secs(1)), ("late", secs(9)), ("second", secs(2)), ("never", None)]
                .map(|(name, due_in)| (account(name), record(&world, name, due_in)))
                .into();
            let by = records[&account("first")].by.clone();
            database
                .write(move |tx| {
                    save(tx, &records, []);
                    Ok(())
                })
                .await
                .expect("saved");
            world.advance(Duration::from_secs(3));
            let found = |most| database.write(move |tx| due(tx, most));
            let names: Vec<_> = found(10).await.expect("due").into_iter().map(|(account, ..)| account).collect();
            assert_eq!(names, [account("first"), account("second")], "{database:?}");
            let one = found(1).await.expect("due");
            let woken = &one[0].1;
            assert_eq!((woken.trace.trace_id, &woken.market), (by.trace.trace_id, &by.market), "{database:?}");
            assert_ne!(woken.trace, by.trace, "it is a step of its own");
            assert_eq!(one.len(), 1, "{database:?}");
        }
    }

    #[tokio::test]
    async fn a_status_that_does_not_exist_is_refused_by_the_database() {
        let (databases, _folder) = everywhere(&World::simulated(1));
        for database in databases {
            let sql = "INSERT INTO payment (number, name, order_name, attempt, status, version, asked, state, context) \
                       VALUES (1, 'local/a', 'o', 1, 'paid', 1, 0, '{}', '{}')";
            let written = database.write(move |tx| {
                tx.execute(sql, []);
                Ok(())
            });
            assert!(written.await.is_err(), "{database:?}");
        }
    }

    #[test]
    fn a_key_leads_back_to_its_payment() {
        let own = account("pay.1");
        assert_eq!(own.key(2), Key::new("pay.1", 2));
        assert_eq!(Account::of(&own.key(2)), own);
        let other = Account::new("client-7", &"pay".parse().expect("a name"));
        assert_eq!(other.key(1).to_string(), "client-7/pay.1");
        assert_eq!(Account::of(&other.key(1)), other);
    }
}

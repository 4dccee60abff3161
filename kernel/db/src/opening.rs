//! How a database is opened: made, migrated, and given its life.

use ids::Number;
use world::World;

use crate::migrate::{self, Dialect, Migration};
use crate::outbox::Source;
use crate::postgres::{self, Postgres};
use crate::session::{Commit, Link, Session};
use crate::sqlite::Sqlite;
use crate::table::{Query, Write, int};
use crate::{Failure, Location, Options, Table};

/// Runs on a thread where no other runtime is at work, which `PostgreSQL`'s client would not stand.
pub(crate) fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|_| Err(Failure::Panicked("while opening the database".into())))
}

static INCARNATION: Table = Table { name: "incarnation", key: &[int("number")], rest: &[] };

/// Makes the schema, runs the migrations, and reads whose events these are.
pub(crate) fn prepare(
    service: &'static str,
    location: &Location,
    options: &Options,
    world: &World,
    migrations: &[Migration],
) -> Result<Source, Failure> {
    let nobody = Source { service: service.into(), incarnation: Number::from_column(0) };
    let (link, dialect) = match location {
        Location::File(path) => (Link::Sqlite(Sqlite::open(path, options.durability)?), Dialect::Sqlite),
        Location::Memory(disk) => (Link::Sqlite(Sqlite::in_memory(disk)), Dialect::Sqlite),
        Location::Postgres(url) => {
            postgres::make_schema(url, service, options.allow_fsync_off)?;
            (Link::Postgres(Box::new(Postgres::new(url, service)?)), Dialect::Postgres)
        }
    };
    let mut session = Session::new(link, nobody);
    session.begin(None)?;
    if dialect == Dialect::Postgres {
        // Another process may be at it for a while; after that no migration waits long for a table,
        // because all who come later would wait behind it.
        session.script(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10min';
             SELECT pg_advisory_xact_lock(hashtextextended('migrations of ' || current_schema(), 0));
             SET LOCAL lock_timeout = '3s'",
        )?;
    }
    let migrated = migrate::run(&mut session, dialect, "kernel", migrate::KERNEL, world.now())
        .and_then(|()| migrate::run(&mut session, dialect, service, migrations, world.now()))
        .and_then(|()| incarnation(&mut session, world, options.restored));
    let incarnation = match migrated {
        Ok(incarnation) => incarnation,
        Err(failure) => {
            session.rollback();
            return Err(failure);
        }
    };
    match session.commit(&[], Vec::new()) {
        Commit::Done { .. } => Ok(Source { service: service.into(), incarnation }),
        Commit::Failed(failure) => Err(failure),
        Commit::Unknown => Err(Failure::Unavailable("the connection broke while migrating; start again".into())),
    }
}

fn incarnation(session: &mut Session, world: &World, restored: bool) -> Result<Number, Failure> {
    let answers = session.ask(&[Query::sql("SELECT max(number) FROM incarnation", [])])?;
    let latest = answers.into_iter().flatten().next().map_or(Ok(None), |row| row.columns().maybe_int())?;
    if let (Some(latest), false) = (latest, restored) {
        return Ok(Number::from_column(latest));
    }
    // The clock may be behind the one by which the latest was made.
    let number = latest.map_or_else(|| world.number(), |latest| world.number().max(Number::from_column(latest + 1)));
    session.write_now(&Write::Insert(&INCARNATION, vec![vec![number.into()]]))?;
    Ok(number)
}

pub(crate) fn newest_event(
    service: &str,
    location: &Location,
    options: &Options,
    source: &Source,
) -> Result<i64, Failure> {
    let mut session = match location {
        Location::File(path) => Session::new(Link::Sqlite(Sqlite::open(path, options.durability)?), source.clone()),
        location => reader(service, location, source)?,
    };
    session.begin_reading()?;
    let answers = session.ask(&[Query::sql("SELECT coalesce(max(position), 0) FROM event", [])]);
    session.end_reading();
    answers?.into_iter().flatten().next().map_or(Ok(0), |row| row.columns().int())
}

pub(crate) fn reader(service: &str, location: &Location, source: &Source) -> Result<Session, Failure> {
    let link = match location {
        Location::File(path) => Link::Sqlite(Sqlite::open_to_read(path)?),
        Location::Postgres(url) => Link::Postgres(Box::new(Postgres::new(url, service)?)),
        Location::Memory(disk) => Link::Sqlite(Sqlite::in_memory(disk)),
    };
    Ok(Session::new(link, source.clone()))
}

//! A service's file while no program runs on it: read, and never written.

use std::fmt;
use std::path::Path;

use ids::Number;
use world::World;

use crate::guarded::guarded;
use crate::migrate::{self, Migration};
use crate::outbox::Source;
use crate::session::{Link, Session};
use crate::sqlite::Sqlite;
use crate::table::Query;
use crate::tx::Read;
use crate::{Failure, Row};

/// The `SQLite` file of a service on which no program runs.
///
/// **Invariant:** what the file holds is never changed, not even by a migration.
pub struct AtRest {
    session: Session,
    world: World,
}

impl fmt::Debug for AtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtRest").field("service", &self.session.source().service).finish_non_exhaustive()
    }
}

impl AtRest {
    /// Opens the file of a service; it must have the shape that this release expects.
    pub fn open(service: &str, path: &Path, world: &World, migrations: &[Migration]) -> Result<Self, Failure> {
        let session_of = |incarnation| -> Result<Session, Failure> {
            let source = Source { service: service.into(), incarnation };
            Ok(Session::new(Link::Sqlite(Sqlite::open_to_read(path)?), source))
        };
        let mut session = session_of(Number::from_column(0))?;
        session.begin_reading()?;
        let known = shape(&mut session, service, migrations);
        session.end_reading();
        Ok(Self { session: session_of(known?)?, world: world.clone() })
    }

    /// Reads in one consistent view, on this thread.
    pub fn read<T>(&mut self, work: impl FnOnce(&mut Read<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut read = Read::begin(&mut self.session, &self.world)?;
        let result = guarded(|| work(&mut read));
        read.end();
        result
    }
}

/// Looks at the shape of a database, and whose life its events are of.
fn shape(session: &mut Session, service: &str, migrations: &[Migration]) -> Result<Number, Failure> {
    let ledger = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'migration'";
    if one(session, ledger)?.is_none() {
        return Err(Failure::Corrupt("it is no database of a service".into()));
    }
    migrate::check(session, "kernel", migrate::KERNEL)?;
    migrate::check(session, service, migrations)?;
    let life = one(session, "SELECT max(number) FROM incarnation")?;
    life.map_or(Ok(Number::from_column(0)), |row| row.columns().number())
}

fn one(session: &mut Session, sql: &'static str) -> Result<Option<Row>, Failure> {
    Ok(session.ask(&[Query::sql(sql, [])])?.into_iter().flatten().next())
}

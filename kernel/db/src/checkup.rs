//! What can be seen of a database before a service runs on it: looked at, and never changed.

use std::path::Path;

use ids::Number;
use world::Moment;

use crate::Failure;
use crate::migrate::{KERNEL, Migration, checksum_of};
use crate::outbox::Source;
use crate::postgres::{Address, Postgres};
use crate::session::{Link, Session};
use crate::sqlite::Sqlite;
use crate::table::Query;

/// What a file of `SQLite` looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileState {
    /// What is broken in its pages, in the words of `SQLite`.
    pub faults: Vec<String>,
    /// Migrations that have run on it.
    pub applied: usize,
    /// Those of them that this release does not know.
    pub newer: Vec<String>,
    /// Those that are not what ran, though they have the same number.
    pub tampered: Vec<String>,
}

/// Looks at the file of a service; `pages` says whether each of its pages is read as well.
pub fn look_at_file(path: &Path, service: &str, migrations: &[Migration], pages: bool) -> Result<FileState, Failure> {
    let source = Source { service: service.into(), incarnation: Number::from_column(0) };
    let mut session = Session::new(Link::Sqlite(Sqlite::open_to_read(path)?), source);
    session.begin_reading()?;
    let looked = look(&mut session, service, migrations, pages);
    session.end_reading();
    looked
}

fn look(session: &mut Session, service: &str, migrations: &[Migration], pages: bool) -> Result<FileState, Failure> {
    let mut ask = |sql: &'static str| -> Result<Vec<crate::Row>, Failure> {
        Ok(session.ask(&[Query::sql(sql, [])])?.into_iter().flatten().collect())
    };
    let mut state = FileState::default();
    if pages {
        match ask("PRAGMA quick_check(5)") {
            Ok(rows) => {
                for row in rows {
                    state.faults.push(row.columns().text()?);
                }
                state.faults.retain(|said| said != "ok");
            }
            // Of some faults SQLite makes an error and not a row.
            Err(Failure::Database(fault) | Failure::Corrupt(fault)) => state.faults.push(fault),
            Err(failure) => return Err(failure),
        }
        if !state.faults.is_empty() {
            return Ok(state);
        }
    }
    if ask("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'migration'")?.is_empty() {
        return Ok(state);
    }
    for row in ask("SELECT series, number, checksum FROM migration ORDER BY series, number")? {
        let mut row = row.columns();
        let (series, number, checksum) = (row.text()?, row.int()?, row.text()?);
        state.applied += 1;
        let known = if series == "kernel" { KERNEL } else { migrations };
        let known = known.iter().find(|known| known.number == number && (series == "kernel" || series == service));
        match known {
            None => state.newer.push(format!("{series}/{number}")),
            Some(known) if checksum_of(known) == checksum => {}
            Some(_) => state.tampered.push(format!("{series}/{number}")),
        }
    }
    Ok(state)
}

/// What a server of `PostgreSQL` says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// Its version, as 130004 is 13.4.
    pub version: i32,
    /// What must be on, and is not.
    pub off: Vec<String>,
    /// Whether the user of the URL may make the roles of services, or is a member of each already.
    pub may_have_roles: bool,
    /// Whether the user of the URL may make the schemas of services.
    pub may_make_schemas: bool,
    /// Its clock.
    pub now: Moment,
    /// Whether it is another machine and is asked without TLS.
    pub is_exposed: bool,
}

/// Asks a server how it is; the URL is one that [`server_of`] can read.
pub fn look_at_server(url: &str, services: &[&str]) -> Result<ServerState, Failure> {
    let roles: Vec<_> = services.iter().map(|service| crate::postgres::role(service)).collect();
    Postgres::administrator(url)?.alone(async |client| {
        let sql = "SELECT current_setting('server_version_num')::int,
                ARRAY(SELECT name FROM unnest(ARRAY['fsync', 'synchronous_commit', 'full_page_writes']) AS name
                      WHERE current_setting(name) = 'off'),
                (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user)
                    OR (SELECT count(*) FROM pg_roles
                        WHERE rolname = ANY($1) AND pg_has_role(current_user, oid, 'MEMBER')) = cardinality($1),
                has_database_privilege(current_database(), 'CREATE'),
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let row = client.query_one(sql, &[&roles]).await?;
        Ok(ServerState {
            version: row.try_get(0)?,
            off: row.try_get(1)?,
            may_have_roles: row.try_get(2)?,
            may_make_schemas: row.try_get(3)?,
            now: Moment::from_micros(row.try_get(4)?),
            is_exposed: is_exposed(url),
        })
    })
}

/// The servers and the database that a URL names, without its password; or why it cannot be used.
pub fn server_of(url: &str) -> Result<String, String> {
    Address::read(url).map(|address| address.shown())
}

/// Whether a server of this URL is another machine, and is asked without TLS.
pub fn is_exposed(url: &str) -> bool {
    Address::read(url).is_ok_and(|address| address.is_exposed())
}

#[cfg(test)]
mod tests {
    use super::server_of;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let shown = |url| server_of(url).expect("it can be read");
        assert_eq!(shown("postgres://a:hunter2@db.local:5433/shop"), "db.local:5433/shop");
        assert_eq!(shown("postgres://a:hunter2@[::1]"), "::1:5432/a");
    }

    #[test]
    fn a_url_that_names_no_server_is_refused_without_showing_it() {
        for url in ["", "mysql://a:hunter2@b", "postgres://a:hunter2@b:port/x"] {
            let refused = server_of(url).expect_err("it names no server");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}

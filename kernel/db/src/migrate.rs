//! Brings a database to the shape that this release expects.
//!
//! Migrations are numbered, run forward only, once, under a lock, and are checked against
//! tampering: what has run must still be what the program holds.
//!
//! One file serves both databases. It is written as `PostgreSQL` reads it, with `TEXT` and `BIGINT`
//! columns, and four rules turn it into what each database should have:
//!
//! | written | `PostgreSQL` | `SQLite` |
//! |---|---|---|
//! | `TEXT` | `TEXT COLLATE "C"`: compared by bytes | `TEXT` |
//! | `BIGINT` | `BIGINT` | `INTEGER` |
//! | `-- PostgreSQL: ALTER …;` | the statement | nothing |
//! | the `);` that ends a table | the same | `) STRICT;`, and `WITHOUT ROWID` where the primary key has several columns |

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::Failure;
use crate::session::Session;
use crate::table::{Query, Table, int, text};

/// One step in the life of a service's tables.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number; they run in this order.
    pub number: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// What the kernel itself keeps in each service's database.
pub(crate) const KERNEL: &[Migration] = &[
    Migration { number: 1, name: "events", sql: include_str!("../migrations/0001_events.sql") },
    Migration { number: 2, name: "stored answers", sql: include_str!("../migrations/0002_stored_answers.sql") },
    Migration { number: 3, name: "settled letters", sql: include_str!("../migrations/0003_settled_letters.sql") },
    Migration { number: 4, name: "due parked events", sql: include_str!("../migrations/0004_due_parked_events.sql") },
];

static LEDGER: Table = Table {
    name: "migration",
    key: &[text("series"), int("number")],
    rest: &[text("name"), text("checksum"), int("applied_at")],
};

const LEDGER_SQL: &str = "CREATE TABLE IF NOT EXISTS migration (
    series TEXT NOT NULL,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (series, number)
);";

/// Which database the statements are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// Runs what has not run yet; all of it in the transaction that the session has open.
pub(crate) fn run(
    session: &mut Session,
    dialect: Dialect,
    series: &str,
    migrations: &[Migration],
    now: world::Moment,
) -> Result<(), Failure> {
    session.script(&translate(LEDGER_SQL, dialect))?;
    let done_numbers = done(session, series, migrations)?;
    for migration in migrations.iter().filter(|migration| !done_numbers.contains(&migration.number)) {
        session.script(&translate(migration.sql, dialect))?;
        session.write_now(&crate::table::Write::Insert(
            &LEDGER,
            vec![vec![
                series.into(),
                migration.number.into(),
                migration.name.into(),
                checksum_of(migration).into(),
                now.into(),
            ]],
        ))?;
        tracing::info!(series, number = migration.number, name = migration.name, "A migration has run");
    }
    Ok(())
}

/// Looks whether all has run that this release expects; changes nothing.
pub(crate) fn check(session: &mut Session, series: &str, migrations: &[Migration]) -> Result<(), Failure> {
    let done_numbers = done(session, series, migrations)?;
    match migrations.iter().find(|migration| !done_numbers.contains(&migration.number)) {
        None => Ok(()),
        Some(Migration { number, name, .. }) => Err(Failure::Corrupt(format!(
            "migration {series}/{number} ({name}) has not run on this database; start this release on it once"
        ))),
    }
}

/// The numbers of those that have run, which must be what this program holds.
fn done(session: &mut Session, series: &str, migrations: &[Migration]) -> Result<Vec<i64>, Failure> {
    let sql = "SELECT number, name, checksum FROM migration WHERE series = $1 ORDER BY number";
    let [done] = take_one(session.ask(&[Query::sql(sql, [series.into()])])?);
    let mut done_numbers = Vec::new();
    for row in done {
        let mut row = row.columns();
        let (number, name, checksum) = (row.int()?, row.text()?, row.text()?);
        match migrations.iter().find(|migration| migration.number == number) {
            // A newer release has been here; its migrations only add what this one can live with.
            None => tracing::warn!(series, number, name, "The database has a migration of a newer release"),
            Some(migration) if checksum_of(migration) == checksum => {}
            Some(_) => {
                return Err(Failure::Corrupt(format!(
                    "migration {series}/{number} ({name}) is not the one that ran on this database; \
                     use the release that made it, or restore the file"
                )));
            }
        }
        done_numbers.push(number);
    }
    Ok(done_numbers)
}

fn take_one<T>(mut answers: Vec<T>) -> [T; 1] {
    [answers.pop().expect("one question has one answer")]
}

pub(crate) fn checksum_of(migration: &Migration) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(migration.sql.as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Applies the four rules of the module's table.
fn translate(sql: &str, dialect: Dialect) -> String {
    let mut translated = String::with_capacity(sql.len() + 256);
    let mut composite_key = false;
    for line in sql.lines() {
        if let Some(statement) = line.strip_prefix("-- PostgreSQL: ") {
            translated.push_str(if dialect == Dialect::Postgres { statement } else { "" });
            translated.push('\n');
            continue;
        }
        let code = line.split("--").next().unwrap_or_default();
        if code.trim_start().starts_with("CREATE TABLE") {
            composite_key = false;
        }
        composite_key |= code.trim_start().starts_with("PRIMARY KEY (") && code.contains(',');
        let line = match dialect {
            Dialect::Postgres => replace_word(code, "TEXT", "TEXT COLLATE \"C\""),
            Dialect::Sqlite if code.trim_end() == ");" && composite_key => ") STRICT, WITHOUT ROWID;".to_owned(),
            Dialect::Sqlite if code.trim_end() == ");" => ") STRICT;".to_owned(),
            Dialect::Sqlite => replace_word(code, "BIGINT", "INTEGER"),
        };
        translated.push_str(&line);
        translated.push('\n');
    }
    translated
}

fn replace_word(line: &str, word: &str, by: &str) -> String {
    line.split(' ')
        .map(|part| match part.strip_prefix(word) {
            Some(rest) if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') => format!("{by}{rest}"),
            _ => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Dialect, translate};

    const SQL: &str = "CREATE TABLE a (\n    id BIGINT PRIMARY KEY,\n    text_of TEXT NOT NULL, -- TEXT\n    b TEXT\n);\n\
                       CREATE TABLE c (\n    x BIGINT,\n    y TEXT,\n    PRIMARY KEY (x, y)\n);\n\
                       -- PostgreSQL: ALTER TABLE c SET (fillfactor = 60);";

    #[test]
    fn one_file_gives_each_database_what_it_should_have() {
        assert_eq!(
            translate(SQL, Dialect::Sqlite),
            "CREATE TABLE a (\n    id INTEGER PRIMARY KEY,\n    text_of TEXT NOT NULL, \n    b TEXT\n) STRICT;\n\
             CREATE TABLE c (\n    x INTEGER,\n    y TEXT,\n    PRIMARY KEY (x, y)\n) STRICT, WITHOUT ROWID;\n\n"
        );
        assert_eq!(
            translate(SQL, Dialect::Postgres),
            "CREATE TABLE a (\n    id BIGINT PRIMARY KEY,\n    text_of TEXT COLLATE \"C\" NOT NULL, \n    b TEXT COLLATE \"C\"\n);\n\
             CREATE TABLE c (\n    x BIGINT,\n    y TEXT COLLATE \"C\",\n    PRIMARY KEY (x, y)\n);\n\
             ALTER TABLE c SET (fillfactor = 60);\n"
        );
    }
}

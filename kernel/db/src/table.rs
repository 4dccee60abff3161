//! Tables, as the statements about them are written for each database.
//!
//! A service names its columns once; loading by keys, inserting, updating and deleting many rows
//! follow from that. What a database does best differs (arrays with `UNNEST` on `PostgreSQL`, one
//! prepared statement in a loop on `SQLite`), and that difference ends here.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::Value;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
}

impl Kind {
    pub(crate) const fn array(self) -> &'static str {
        match self {
            Self::Text => "text[]",
            Self::Int => "bigint[]",
        }
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

impl Column {
    /// Its name in the database.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// A column of type `TEXT`.
pub const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

/// A column of type `BIGINT`.
pub const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// A table of a service. Rows are given and read as its key columns, then the rest.
#[derive(Debug)]
pub struct Table {
    /// Its name in the database.
    pub name: &'static str,
    /// The columns of its primary key; rows are locked in their order, by bytes.
    pub key: &'static [Column],
    /// All other columns.
    pub rest: &'static [Column],
}

impl Table {
    /// The names of all columns, as they stand in a `SELECT`.
    pub fn columns(&self) -> String {
        list(self.all().map(|column| column.name.to_owned()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().chain(self.rest)
    }

    pub(crate) fn column(&self, name: &str) -> &Column {
        self.all().find(|column| column.name == name).unwrap_or_else(|| panic!("{} has no column {name}", self.name))
    }
}

/// A question to the database.
#[derive(Clone, Debug)]
pub enum Query {
    /// One statement, `$1`, `$2` … standing for the values, in this order.
    Sql {
        /// The statement, in the SQL that both databases read.
        sql: Cow<'static, str>,
        /// The values.
        values: Vec<Value>,
    },
    /// The rows in which a column has one of these values.
    ByKeys {
        /// The table.
        table: &'static Table,
        /// The column.
        column: &'static str,
        /// The values; sorted, each once.
        keys: Vec<Value>,
        /// Whether other transactions have to wait until this one ends.
        locked: bool,
    },
    /// The rows with these primary keys, of however many columns.
    ByPrimaryKeys {
        /// The table.
        table: &'static Table,
        /// The keys, each with a value for every column of the key; sorted, each once.
        keys: Vec<Vec<Value>>,
    },
    /// One statement in which a column may have any of these texts, `column = ANY($1)`; `$2`, `$3` …
    /// stand for the values.
    AnyOf {
        /// The statement, in the SQL that both databases read.
        sql: &'static str,
        /// The texts that `$1` stands for.
        texts: Vec<Value>,
        /// The values.
        values: Vec<Value>,
    },
}

impl Query {
    /// One statement with its values.
    pub fn sql(sql: impl Into<Cow<'static, str>>, values: impl Into<Vec<Value>>) -> Self {
        Self::Sql { sql: sql.into(), values: values.into() }
    }

    /// The rows in which `column` is one of `keys`, in the order of the table's key.
    pub fn by(table: &'static Table, column: &'static str, keys: impl IntoIterator<Item = Value>) -> Self {
        let mut keys: Vec<Value> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Self::ByKeys { table, column, keys, locked: false }
    }

    /// The rows with these primary keys, in their order.
    pub fn by_primary_keys(table: &'static Table, keys: impl IntoIterator<Item = Vec<Value>>) -> Self {
        let mut keys: Vec<Vec<Value>> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Self::ByPrimaryKeys { table, keys }
    }

    /// One statement in which `= ANY($1)` stands for any of these texts, and `$2` … for the values.
    pub fn any_of(
        sql: &'static str,
        texts: impl IntoIterator<Item = Value>,
        values: impl IntoIterator<Item = Value>,
    ) -> Self {
        Self::AnyOf { sql, texts: texts.into_iter().collect(), values: values.into_iter().collect() }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        let (values, texts, keys): (&[Value], &[Value], &[Vec<Value>]) = match self {
            Self::Sql { values, .. } => (values, &[], &[]),
            Self::ByKeys { keys, .. } => (keys, &[], &[]),
            Self::ByPrimaryKeys { keys, .. } => (&[], &[], keys),
            Self::AnyOf { texts, values, .. } => (values, texts, &[]),
        };
        values.iter().chain(texts).chain(keys.iter().flatten())
    }

    /// Statements that it takes where each is about one row.
    pub(crate) fn statements(&self) -> usize {
        match self {
            Self::ByKeys { keys, .. } => keys.len(),
            Self::ByPrimaryKeys { keys, .. } => keys.len(),
            Self::Sql { .. } | Self::AnyOf { .. } => 1,
        }
    }

    /// Whether it asks for the rows of no key: such a question has no answer, and is not worth a statement.
    pub(crate) fn is_for_nothing(&self) -> bool {
        self.statements() == 0
    }

    /// The same rows, locked in the order of their key until the transaction ends.
    #[must_use]
    pub fn locked(self) -> Self {
        match self {
            Self::ByKeys { table, column, keys, .. } => Self::ByKeys { table, column, keys, locked: true },
            other => other,
        }
    }
}

/// A change that waits for the end of its transaction.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Insert(&'static Table, Vec<Vec<Value>>),
    Update(&'static Table, Vec<Vec<Value>>),
    Upsert(&'static Table, Vec<Vec<Value>>),
    Delete(&'static Table, Vec<Vec<Value>>),
    Sql(Cow<'static, str>, Vec<Value>),
}

impl Write {
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        let (rows, values): (&[Vec<Value>], &[Value]) = match self {
            Self::Insert(_, rows) | Self::Update(_, rows) | Self::Upsert(_, rows) | Self::Delete(_, rows) => {
                (rows, &[])
            }
            Self::Sql(_, values) => (&[], values),
        };
        rows.iter().flatten().chain(values)
    }

    /// Rows that it changes, as far as it says.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Insert(_, rows) | Self::Update(_, rows) | Self::Upsert(_, rows) | Self::Delete(_, rows) => rows.len(),
            Self::Sql(..) => 1,
        }
    }
}

/// Statements for one row, run in a loop.
pub(crate) mod one {
    use std::borrow::Cow;

    use super::{Table, Write as Change, list};

    pub(crate) fn select(table: &Table, column: &str) -> String {
        let key = list(table.key.iter().map(|column| column.name.to_owned()));
        format!("SELECT {} FROM {} WHERE {column} = ?1 ORDER BY {key}", table.columns(), table.name)
    }

    pub(crate) fn select_one(table: &Table) -> String {
        format!("SELECT {} FROM {} WHERE {}", table.columns(), table.name, has_key(table))
    }

    pub(crate) fn change(write: &Change) -> String {
        match write {
            Change::Insert(table, _) => insert(table),
            Change::Update(table, _) => format!(
                "UPDATE {} SET {} WHERE {}",
                table.name,
                list(numbered(table).skip(table.key.len())),
                has_key(table)
            ),
            Change::Upsert(table, _) => format!("{}{}", insert(table), super::on_conflict(table)),
            Change::Delete(table, _) => format!("DELETE FROM {} WHERE {}", table.name, has_key(table)),
            Change::Sql(sql, _) => numbered_places(sql).into_owned(),
        }
    }

    /// `= ANY($1)` as `SQLite` has it, the texts given as an array of JSON.
    /// Source: <https://www.sqlite.org/json1.html#jeach>.
    pub(crate) fn any_of(sql: &str) -> String {
        numbered_places(sql).replace("= ANY(?1)", "IN (SELECT value FROM json_each(?1))")
    }

    /// `$1` as `SQLite` has it, `?1`: there `$1` would be a name. What stands between quotes stays.
    pub(crate) fn numbered_places(sql: &str) -> Cow<'_, str> {
        if !sql.contains('$') {
            return Cow::Borrowed(sql);
        }
        let mut quoted = false;
        let mut characters = sql.chars().peekable();
        let mut places = String::with_capacity(sql.len());
        while let Some(character) = characters.next() {
            quoted ^= character == '\'';
            let place = !quoted && character == '$' && characters.peek().is_some_and(char::is_ascii_digit);
            places.push(if place { '?' } else { character });
        }
        Cow::Owned(places)
    }

    fn insert(table: &Table) -> String {
        let places = list((1..=table.all().count()).map(|place| format!("?{place}")));
        format!("INSERT INTO {} ({}) VALUES ({places})", table.name, table.columns())
    }

    fn has_key(table: &Table) -> String {
        numbered(table).take(table.key.len()).collect::<Vec<_>>().join(" AND ")
    }

    /// `name = ?n` for every column.
    fn numbered(table: &Table) -> impl Iterator<Item = String> {
        table.all().enumerate().map(|(place, column)| format!("{} = ?{}", column.name, place + 1))
    }
}

/// Statements for many rows at once, each column given as an array.
pub(crate) mod many {
    use std::fmt::Write as _;

    use super::{Table, Write as Change, list};

    pub(crate) fn select(table: &Table, column: &str, locked: bool) -> String {
        let key = list(table.key.iter().map(|column| column.name.to_owned()));
        let mut sql = format!(
            "SELECT {} FROM {} WHERE {column} = ANY($1::{}) ORDER BY {key}",
            table.columns(),
            table.name,
            table.column(column).kind.array()
        );
        if locked {
            sql.push_str(" FOR UPDATE");
        }
        sql
    }

    pub(crate) fn select_by_primary_keys(table: &Table) -> String {
        format!(
            "SELECT {} FROM {} AS old JOIN {} ON {} ORDER BY {}",
            list(table.all().map(|column| format!("old.{}", column.name))),
            table.name,
            unnest(table.key.iter().collect::<Vec<_>>().as_slice()),
            same_key(table),
            list(table.key.iter().map(|column| format!("old.{}", column.name))),
        )
    }

    pub(crate) fn change(write: &Change) -> String {
        match write {
            Change::Insert(table, _) => insert(table),
            Change::Update(table, _) => format!(
                "UPDATE {} AS old SET {} FROM {} WHERE {}",
                table.name,
                list(table.rest.iter().map(|column| format!("{0} = new.{0}", column.name))),
                unnest(table.all().collect::<Vec<_>>().as_slice()),
                same_key(table),
            ),
            Change::Upsert(table, _) => format!("{}{}", insert(table), super::on_conflict(table)),
            Change::Delete(table, _) => format!(
                "DELETE FROM {} AS old USING {} WHERE {}",
                table.name,
                unnest(table.key.iter().collect::<Vec<_>>().as_slice()),
                same_key(table),
            ),
            Change::Sql(sql, _) => sql.to_string(),
        }
    }

    fn insert(table: &Table) -> String {
        let columns: Vec<_> = table.all().collect();
        format!("INSERT INTO {} ({1}) SELECT {1} FROM {2}", table.name, table.columns(), unnest(&columns))
    }

    pub(crate) fn unnest(columns: &[&super::Column]) -> String {
        let arrays =
            list(columns.iter().enumerate().map(|(place, column)| format!("${}::{}", place + 1, column.kind.array())));
        let mut sql = format!("UNNEST({arrays}) AS new (");
        let _ = write!(sql, "{})", list(columns.iter().map(|column| column.name.to_owned())));
        sql
    }

    fn same_key(table: &Table) -> String {
        table.key.iter().map(|column| format!("old.{0} = new.{0}", column.name)).collect::<Vec<_>>().join(" AND ")
    }
}

fn on_conflict(table: &Table) -> String {
    let key = list(table.key.iter().map(|column| column.name.to_owned()));
    let mut sql = format!(" ON CONFLICT ({key}) DO ");
    if table.rest.is_empty() {
        sql.push_str("NOTHING");
    } else {
        let set = list(table.rest.iter().map(|column| format!("{0} = excluded.{0}", column.name)));
        let _ = write!(sql, "UPDATE SET {set}");
    }
    sql
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::one::numbered_places;

    #[test]
    fn the_places_of_values_are_written_as_sqlite_has_them_and_texts_stay() {
        assert_eq!(numbered_places("a = $1 AND b = '$1' AND c = $12"), "a = ?1 AND b = '$1' AND c = ?12");
        assert_eq!(numbered_places("json_extract(a, '$.x') = $2"), "json_extract(a, '$.x') = ?2");
        assert_eq!(numbered_places("a = 'it''s $1' OR b = $1"), "a = 'it''s $1' OR b = ?1");
    }
}

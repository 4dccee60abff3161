//! How values travel to `PostgreSQL` and back.

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::errors::failure;
use crate::outbox::EVENT;
use crate::table::{Kind, Query, Write, many};
use crate::{Column, Failure, Row, Value};

/// A statement with its arguments.
pub(super) type Prepared<'a> = (String, Vec<Argument<'a>>);

/// An argument of a statement: a value, or a column of values as an array.
#[derive(Debug)]
pub(super) enum Argument<'a> {
    One(&'a Value),
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<&'a str>>),
}

pub(super) fn question(query: &Query) -> Prepared<'_> {
    match query {
        Query::Sql { sql, values } => (sql.to_string(), values.iter().map(Argument::One).collect()),
        Query::AnyOf { sql, texts, values } => {
            let list = std::iter::once(array(Kind::Text, texts.iter()));
            ((*sql).to_owned(), list.chain(values.iter().map(Argument::One)).collect())
        }
        Query::ByKeys { table, column, keys, locked } => {
            let kind = table.column(column).kind;
            (many::select(table, column, *locked), vec![array(kind, keys.iter())])
        }
        Query::ByPrimaryKeys { table, keys } => (many::select_by_primary_keys(table), arrays(table.key.iter(), keys)),
    }
}

pub(super) fn change(write: &Write) -> Prepared<'_> {
    let sql = many::change(write);
    let arguments = match write {
        Write::Insert(table, rows) | Write::Update(table, rows) | Write::Upsert(table, rows) => {
            arrays(table.all(), rows)
        }
        Write::Delete(table, keys) => arrays(table.key.iter(), keys),
        Write::Sql(_, values) => values.iter().map(Argument::One).collect(),
    };
    (sql, arguments)
}

/// The statement that numbers events and writes them.
pub(super) fn events(rows: &[Vec<Value>]) -> Prepared<'_> {
    (insert_events(), arrays(EVENT.rest.iter(), rows))
}

fn arrays<'a, 'c>(columns: impl Iterator<Item = &'c Column>, rows: &'a [Vec<Value>]) -> Vec<Argument<'a>> {
    columns.enumerate().map(|(place, column)| array(column.kind, rows.iter().map(move |row| &row[place]))).collect()
}

fn array<'a>(kind: Kind, values: impl Iterator<Item = &'a Value>) -> Argument<'a> {
    match kind {
        Kind::Int => Argument::Ints(
            values
                .map(|value| match value {
                    Value::Int(value) => Some(*value),
                    _ => None,
                })
                .collect(),
        ),
        Kind::Text => Argument::Texts(
            values
                .map(|value| match value {
                    Value::Text(value) => Some(value.as_str()),
                    _ => None,
                })
                .collect(),
        ),
    }
}

impl ToSql for Argument<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::One(Value::Null) => Ok(IsNull::Yes),
            Self::One(Value::Int(value)) if *ty == Type::INT8 => value.to_sql(ty, out),
            Self::One(Value::Int(value)) if *ty == Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
            Self::One(Value::Text(value)) if <&str as ToSql>::accepts(ty) => value.to_sql(ty, out),
            Self::One(value) => Err(format!("{value:?} is given where the statement takes {ty}").into()),
            Self::Ints(values) => values.to_sql(ty, out),
            Self::Texts(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true // looked at value by value
    }

    to_sql_checked!();
}

/// Numbers the events after the newest one. The lock was taken by a statement before this one, so
/// this one sees all that earlier holders of it have committed.
fn insert_events() -> String {
    let columns: Vec<_> = EVENT.rest.iter().collect();
    let names = columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    let arrays = columns.iter().enumerate().map(|(place, column)| format!("${}::{}", place + 1, column.kind.array()));
    let arrays = arrays.collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO event (position, {names})
         SELECT newest.position + new.place, {}
         FROM (SELECT coalesce(max(position), 0) AS position FROM event) AS newest,
              UNNEST({arrays}) WITH ORDINALITY AS new ({names}, place)
         RETURNING position",
        columns.iter().map(|column| format!("new.{}", column.name)).collect::<Vec<_>>().join(", ")
    )
}

/// The position of the first event, from the rows of the last statement. The commit has happened
/// when this is read, so what cannot be read is only not known here.
pub(super) fn first_position(answers: &[Vec<tokio_postgres::Row>]) -> Option<i64> {
    let written = answers.last()?;
    written.iter().map(|row| row.try_get::<_, i64>(0).ok()).min().flatten()
}

pub(super) fn read(row: &tokio_postgres::Row) -> Result<Row, Failure> {
    let one = |place: usize| {
        let value = match *row.columns()[place].type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(place).map(Value::from),
            Type::INT4 => row.try_get::<_, Option<i32>>(place).map(|value| Value::from(value.map(i64::from))),
            Type::BOOL => row.try_get::<_, Option<bool>>(place).map(|value| Value::from(value.map(i64::from))),
            Type::NUMERIC => {
                return Err(Failure::Corrupt(format!("column {place} is numeric; cast the sum to bigint")));
            }
            _ => row.try_get::<_, Option<String>>(place).map(Value::from),
        };
        value.map_err(|error| failure(&error))
    };
    (0..row.len()).map(one).collect::<Result<_, _>>().map(Row)
}

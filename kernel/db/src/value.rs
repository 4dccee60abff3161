//! What stands in a column, and how a row is read.

use std::fmt;
use std::sync::Arc;

use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

use crate::{Column, Failure, Table};

/// What a column holds; both databases keep nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Nothing.
    Null,
    /// A `BIGINT`.
    Int(i64),
    /// A `TEXT`, compared by bytes.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Int(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&Arc<str>> for Value {
    fn from(value: &Arc<str>) -> Self {
        Self::Text(value.to_string())
    }
}

impl From<Number> for Value {
    fn from(value: Number) -> Self {
        Self::Int(value.to_column())
    }
}

impl From<Moment> for Value {
    fn from(value: Moment) -> Self {
        Self::Int(value.micros())
    }
}

impl From<&Name> for Value {
    fn from(value: &Name) -> Self {
        Self::Text(value.as_str().to_owned())
    }
}

impl From<&Sku> for Value {
    fn from(value: &Sku) -> Self {
        Self::Text(value.as_str().to_owned())
    }
}

impl From<&Warehouse> for Value {
    fn from(value: &Warehouse) -> Self {
        Self::Text(value.as_str().to_owned())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row as it came from the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub(crate) Vec<Value>);

impl Row {
    /// Reads the columns in the order in which they were selected.
    pub fn columns(self) -> Columns {
        Columns(self.0.into_iter())
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 }).sum()
    }

    /// Each column of a whole row of this table with what stands in it, those of the key first.
    pub fn named(self, table: &Table) -> Vec<(&'static str, Value)> {
        table.key.iter().chain(table.rest).map(Column::name).zip(self.0).collect()
    }
}

/// A row being read, column by column.
#[derive(Debug)]
pub struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    fn next(&mut self) -> Result<Value, Failure> {
        self.0.next().ok_or_else(|| Failure::Corrupt("a row has fewer columns than are read".into()))
    }

    /// A `BIGINT`.
    pub fn int(&mut self) -> Result<i64, Failure> {
        self.maybe_int()?.ok_or_else(|| wrong("a number", "nothing"))
    }

    /// A `BIGINT` or nothing.
    pub fn maybe_int(&mut self) -> Result<Option<i64>, Failure> {
        match self.next()? {
            Value::Int(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            Value::Text(_) => Err(wrong("a number", "text")),
        }
    }

    /// A `TEXT`.
    pub fn text(&mut self) -> Result<String, Failure> {
        self.maybe_text()?.ok_or_else(|| wrong("text", "nothing"))
    }

    /// A `TEXT` or nothing.
    pub fn maybe_text(&mut self) -> Result<Option<String>, Failure> {
        match self.next()? {
            Value::Text(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            Value::Int(_) => Err(wrong("text", "a number")),
        }
    }

    /// One of our numbers.
    pub fn number(&mut self) -> Result<Number, Failure> {
        self.int().map(Number::from_column)
    }

    /// A moment, kept as microseconds.
    pub fn moment(&mut self) -> Result<Moment, Failure> {
        self.int().map(Moment::from_micros)
    }

    /// A moment or nothing.
    pub fn maybe_moment(&mut self) -> Result<Option<Moment>, Failure> {
        Ok(self.maybe_int()?.map(Moment::from_micros))
    }

    /// A text that `FromStr` reads, such as a status.
    pub fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, Failure> {
        let text = self.text()?;
        text.parse().map_err(|_| Failure::Corrupt(format!("{text:?} stands where {} is read", short_name::<T>())))
    }

    /// A document kept as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|error| Failure::Corrupt(format!("a {}: {error}", short_name::<T>())))
    }
}

fn wrong(wanted: &str, found: &str) -> Failure {
    Failure::Corrupt(format!("a column holds {found} where {wanted} is read"))
}

fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

//! Holds the struct of a service's settings and their reference together.

use std::fmt::{self, Debug};

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use toml::{Table, Value};

use crate::Field;

/// Holds a struct and the list of its fields together; for a test of the service that owns them.
///
/// # Panics
/// When the two differ in names, order or defaults, or a default is not of its kind.
pub fn check_reference<T: DeserializeOwned + Debug>(fields: &[Field]) {
    let listed: Vec<_> = fields.iter().map(|field| field.name).collect();
    assert_eq!(names::<T>(), listed, "the fields of the struct (left) and of the reference (right) differ");
    let by_reference = fields.iter().filter(|field| !field.default.is_empty()).map(|field| {
        let value = field.kind.parse(field.default).and_then(|value| field.kind.accept(&value));
        let value = value.unwrap_or_else(|| panic!("the default of {} is no {:?}", field.name, field.kind));
        (field.name.to_owned(), value)
    });
    let by_reference = read::<T>(by_reference.collect());
    let by_struct = read::<T>(Table::new());
    // Compared as text, so that a struct of settings needs to be nothing more than read and shown.
    assert_eq!(by_struct, by_reference, "the defaults of the struct (left) and of the reference (right) differ");
}

fn read<T: DeserializeOwned + Debug>(table: Table) -> String {
    match T::deserialize(Value::Table(table)) {
        Ok(config) => format!("{config:#?}"),
        Err(error) => panic!("the struct does not take its defaults: {}", error.message()),
    }
}

/// The names of a struct's fields, which it tells whatever it is read from.
fn names<T: DeserializeOwned>() -> Vec<&'static str> {
    let mut names = Vec::new();
    let asked = T::deserialize(Names(&mut names));
    assert!(asked.is_err() && !names.is_empty(), "settings are a plain struct, without flatten");
    names
}

struct Names<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom(NAMES_ONLY))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields);
        Err(serde::de::Error::custom(NAMES_ONLY))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

const NAMES_ONLY: fmt::Arguments<'static> = format_args!("only the names were asked for");

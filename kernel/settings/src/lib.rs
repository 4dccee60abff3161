//! What an operator may choose: defaults, then a file, then the environment, then flags, the later one wins.
//!
//! ```text
//! a field's default  <  banyan.toml          <  environment
//! hold_secs: 900        [orders]                BANYAN_ORDERS__HOLD_SECS=600
//!                       hold_secs = 300
//! ```
//!
//! A service has one plain struct with its defaults (`#[serde(default)]`) and beside it the list of
//! its [`Field`]s, from which names are known and the reference is drawn. [`check_reference`] in a
//! test of the service holds the two together. Read on: [`Settings`], then [`Section`], then
//! [`SettingsError`].
//!
//! ```
//! use settings::{Field, Kind, Section, Settings};
//!
//! /// What an operator may choose about orders.
//! #[derive(Debug, serde::Deserialize)]
//! #[serde(default)]
//! struct OrdersConfig {
//!     hold_secs: u32,
//! }
//!
//! impl Default for OrdersConfig {
//!     fn default() -> Self {
//!         Self { hold_secs: 900 }
//!     }
//! }
//!
//! const ORDERS: Section = Section {
//!     name: "orders",
//!     meaning: "Orders and their way to the customer.",
//!     fields: &[Field {
//!         name: "hold_secs",
//!         kind: Kind::Whole,
//!         default: "900",
//!         meaning: "How long stock is held for an order that is not paid yet.",
//!     }],
//! };
//!
//! settings::check_reference::<OrdersConfig>(ORDERS.fields);
//! let environment = [("BANYAN_ORDERS__HOLD_SECS".to_owned(), "600".to_owned())];
//! let settings = Settings::merge(&[ORDERS], None, environment)?;
//! let config: OrdersConfig = settings.section("orders")?;
//! assert_eq!(config.hold_secs, 600);
//! # Ok::<(), settings::SettingsError>(())
//! ```
//!
//! **Invariant:** a name that nobody knows is refused, in the file and in the environment; a typing
//! error is never a default in silence. Settings that others have named (`otel.…`) stand under their
//! names in the environment, where those that nobody knows here may be meant for somebody else.
//!
//! **Invariant:** no error, reference or debug output holds the value of a secret.

mod check;
mod error;
mod reference;
mod secret;

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

pub use check::check_reference;
pub use error::{Origin, Refusal, SettingsError};
pub use reference::{Field, Kind, Section, reference};
pub use secret::Secret;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::reference::{is_of_others, known, nearest, variable};

/// What was chosen, each value with where it comes from.
#[derive(Debug)]
pub struct Settings {
    sections: &'static [Section],
    chosen: BTreeMap<String, Chosen>,
}

struct Chosen {
    value: Value,
    shown: String,
    origin: Origin,
}

/// Leaves the value out, for it may be a secret.
impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {}", self.shown, self.origin)
    }
}

impl Settings {
    /// Reads the file, if one is given, and the environment of this process.
    pub fn load(sections: &'static [Section], file: Option<&Path>) -> Result<Self, SettingsError> {
        let text = file.map(|path| {
            let name = path.display().to_string();
            match fs::read_to_string(path) {
                Ok(text) => Ok((name, text)),
                Err(cause) => Err(SettingsError::Unreadable { file: name, cause }),
            }
        });
        let text = text.transpose()?;
        let file = text.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
        Self::merge(sections, file, env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// Lays the environment over a file, which is given by name and text.
    pub fn merge(
        sections: &'static [Section],
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self { sections, chosen: BTreeMap::new() };
        if let Some((name, text)) = file {
            settings.take_file(name, text)?;
        }
        // In order, so that of two faults the same one is told each time.
        let environment: BTreeMap<_, _> = environment.into_iter().collect();
        for (name, text) in environment {
            settings.take_variable(name, &text)?;
        }
        Ok(settings)
    }

    /// The settings of one section as the struct of their owner; the name is empty for those of the
    /// program, which stand before the first section of the file.
    ///
    /// # Panics
    /// When no such section was given to [`Settings::load`].
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, SettingsError> {
        let section = self.sections.iter().find(|section| section.name == name);
        let section = section.unwrap_or_else(|| panic!("no section {name:?} was given when the settings were loaded"));
        let chosen = section.fields.iter().filter_map(|field| {
            let chosen = self.chosen.get(&section.path(field))?;
            Some((field.name.to_owned(), chosen.value.clone()))
        });
        let table = Value::Table(chosen.collect::<Table>());
        serde_path_to_error::deserialize(table).map_err(|error| {
            let message = error.inner().message().to_owned();
            let key = match error.path().iter().next() {
                Some(Segment::Map { key }) => key.as_str(),
                _ => "",
            };
            let field = section.fields.iter().find(|field| field.name == key);
            let found = field.and_then(|field| Some((field, self.chosen.get(&section.path(field))?)));
            match found {
                Some((field, chosen)) => chosen.refused(&section.path(field), field, Some(message)),
                None => SettingsError::Section { section: name.to_owned(), message },
            }
        })
    }

    /// Lays a flag of the command line over what was chosen for a setting of the program.
    ///
    /// # Panics
    /// When there is no such setting.
    pub fn take_flag(&mut self, path: &str, flag: &'static str, text: &str) -> Result<(), SettingsError> {
        let field = self.field(path);
        let value = field.kind.parse(text).unwrap_or_else(|| Value::String(text.to_owned()));
        let chosen = Chosen { shown: field.shown(&value), value, origin: Origin::Flag { flag } };
        self.choose(path.to_owned(), field, chosen)
    }

    /// A setting with its value and where that comes from, as in
    /// `orders.hold_secs = 600 (variable BANYAN_ORDERS__HOLD_SECS)`.
    ///
    /// # Panics
    /// When there is no such setting.
    pub fn shown(&self, path: &str) -> String {
        let (value, origin) = self.value(path);
        format!("{path} = {value} ({origin})")
    }

    /// Refuses a value for a reason that its kind does not know; `wanted` is what would be right.
    ///
    /// # Panics
    /// When there is no such setting.
    pub fn refused(&self, path: &str, reason: &str, wanted: &str) -> SettingsError {
        let (value, origin) = self.value(path);
        let (name, message, wanted) = (path.to_owned(), Some(reason.to_owned()), wanted.to_owned());
        SettingsError::Refused(Box::new(Refusal { name, value, origin, message, wanted }))
    }

    /// Refuses two values that cannot be together; `wanted` says how they must be to each other.
    ///
    /// # Panics
    /// When there is no such setting.
    pub fn contradiction(&self, one: &str, other: &str, wanted: &'static str) -> SettingsError {
        SettingsError::Contradiction { one: self.shown(one), other: self.shown(other), wanted }
    }

    fn field(&self, path: &str) -> &'static Field {
        known(self.sections, path).unwrap_or_else(|| panic!("there is no setting {path:?}"))
    }

    /// A value as it may be shown, and where it comes from.
    fn value(&self, path: &str) -> (String, Origin) {
        match self.chosen.get(path) {
            Some(chosen) => (chosen.shown.clone(), chosen.origin.clone()),
            None => match self.field(path).default {
                "" => ("\"\"".to_owned(), Origin::Default),
                default => (default.to_owned(), Origin::Default),
            },
        }
    }

    fn take_file(&mut self, file: &str, text: &str) -> Result<(), SettingsError> {
        let line_of = |offset: usize| 1 + text.get(..offset).unwrap_or(text).matches('\n').count();
        let parsed = DeTable::parse(text).map_err(|error| SettingsError::Syntax {
            file: file.to_owned(),
            line: line_of(error.span().map_or(0, |span| span.start)),
            message: error.message().lines().collect::<Vec<_>>().join(" "),
        })?;
        let mut leaves = Vec::new();
        self.walk("", parsed.get_ref(), &mut leaves);
        for (path, value, offset) in leaves {
            let origin = Origin::File { file: file.to_owned(), line: line_of(offset) };
            let Some(field) = known(self.sections, &path) else {
                let nearest = nearest(&path, reference::paths(self.sections));
                return Err(SettingsError::Unknown { name: path, origin, nearest });
            };
            let value = to_value(value);
            let chosen = Chosen { shown: field.shown(&value), value, origin };
            self.choose(path, field, chosen)?;
        }
        Ok(())
    }

    /// Lists what a table holds with full names; a table within is a section, or part of its name.
    fn walk<'a>(&self, above: &str, table: &'a DeTable<'a>, leaves: &mut Vec<(String, &'a DeValue<'a>, usize)>) {
        for (key, value) in table {
            let path = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
            let start = Spanned::span(key).start;
            match value.get_ref() {
                // An empty table of an unknown name would pass unseen.
                DeValue::Table(inner) if !inner.is_empty() || self.is_section(&path) => {
                    self.walk(&path, inner, leaves);
                }
                leaf => leaves.push((path, leaf, start)),
            }
        }
    }

    fn is_section(&self, path: &str) -> bool {
        self.sections.iter().any(|section| section.name == path)
    }

    fn take_variable(&mut self, name: String, text: &str) -> Result<(), SettingsError> {
        let mut paths = reference::paths(self.sections);
        let Some(path) = paths.find(|path| variable(path) == name) else {
            if !name.starts_with(reference::PREFIX) {
                return Ok(());
            }
            let nearest = nearest(&name, reference::paths(self.sections).map(|path| variable(&path)));
            return Err(SettingsError::Unknown { name, origin: Origin::Environment, nearest });
        };
        // Source: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#parsing-empty-value>.
        if is_of_others(&path) && text.is_empty() {
            return Ok(());
        }
        let field = known(self.sections, &path).expect("the path was drawn from the sections");
        let value = field.kind.parse(text).unwrap_or_else(|| Value::String(text.to_owned()));
        let chosen = Chosen { shown: field.shown(&value), value, origin: Origin::Variable { variable: name } };
        self.choose(path, field, chosen)
    }

    fn choose(&mut self, path: String, field: &Field, mut chosen: Chosen) -> Result<(), SettingsError> {
        match field.kind.accept(&chosen.value) {
            Some(value) => chosen.value = value,
            None => return Err(chosen.refused(&path, field, None)),
        }
        self.chosen.insert(path, chosen);
        Ok(())
    }
}

impl Chosen {
    fn refused(&self, path: &str, field: &Field, message: Option<String>) -> SettingsError {
        SettingsError::Refused(Box::new(Refusal {
            name: path.to_owned(),
            value: self.shown.clone(),
            origin: self.origin.clone(),
            // What a type says of a value it refuses often repeats the value.
            message: message.filter(|_| field.kind != Kind::Secret),
            wanted: field.wanted(),
        }))
    }
}

/// Turns what stands in the file into a value; its numbers and dates are texts still.
fn to_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            // Beyond what a setting can be; as a text it is refused by every kind of number.
            Err(_) => Value::String(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::String(number.as_str().to_owned()),
        },
        DeValue::Datetime(at) => Value::Datetime(*at),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| to_value(item.get_ref())).collect()),
        DeValue::Table(_) => Value::Table(Table::new()),
    }
}

#[cfg(test)]
mod tests;

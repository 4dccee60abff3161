//! What settings there are, and the reference that is drawn from it.

use std::borrow::Cow;
use std::fmt::Write;

use toml::Value;

use crate::secret::redacted;

pub(crate) const PREFIX: &str = "BANYAN_";

/// The settings of one service, or with an empty name those of the program.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The name in brackets in the file, such as `orders`.
    pub name: &'static str,
    /// What the section is about, in a sentence.
    pub meaning: &'static str,
    /// Its settings, in the order in which one reads them.
    pub fields: &'static [Field],
}

/// One setting: the same name as the field of the struct, whose unit it holds (`hold_secs`).
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name within its section.
    pub name: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// The default as one would write it in a variable; empty if there is none.
    pub default: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

/// What kind of value a setting takes; it says how the text of a variable is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text, also one of a few words.
    Text,
    /// A text that is never shown.
    Secret,
    /// A whole number.
    Whole,
    /// A whole number that is this or more.
    AtLeast(i64),
    /// A number that may have decimals.
    Decimal,
    /// True or false.
    Flag,
    /// Some texts; in a variable with commas between.
    List,
}

impl Kind {
    fn wanted(self) -> Cow<'static, str> {
        let wanted = match self {
            Self::Text => "a text",
            Self::Secret => "a text that is kept secret",
            Self::Whole => "a whole number",
            Self::AtLeast(least) => return format!("a whole number, at least {least}").into(),
            Self::Decimal => "a number",
            Self::Flag => "true or false",
            Self::List => "a list of texts",
        };
        wanted.into()
    }

    /// Reads the text of a variable; none if it is not of this kind.
    pub(crate) fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Text | Self::Secret => Some(Value::String(text.to_owned())),
            Self::Whole | Self::AtLeast(_) => text.parse().ok().map(Value::Integer),
            Self::Decimal => text.parse().ok().map(Value::Float),
            Self::Flag => text.to_ascii_lowercase().parse().ok().map(Value::Boolean),
            Self::List => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
        }
    }

    /// Takes a value of this kind, and a whole number also as a decimal one.
    pub(crate) fn accept(self, value: &Value) -> Option<Value> {
        let right = match (self, value) {
            #[expect(clippy::cast_precision_loss, reason = "who writes so large a number for a decimal means it so")]
            (Self::Decimal, Value::Integer(number)) => return Some(Value::Float(*number as f64)),
            (Self::Text | Self::Secret, Value::String(_))
            | (Self::Whole, Value::Integer(_))
            | (Self::Flag, Value::Boolean(_)) => true,
            (Self::AtLeast(least), Value::Integer(number)) => *number >= least,
            (Self::Decimal, Value::Float(number)) => number.is_finite(),
            (Self::List, Value::Array(items)) => items.iter().all(Value::is_str),
            _ => false,
        };
        right.then(|| value.clone())
    }
}

impl Section {
    /// The full name of a field, such as `orders.hold_secs`.
    pub(crate) fn path(&self, field: &Field) -> String {
        if self.name.is_empty() { field.name.to_owned() } else { format!("{}.{}", self.name, field.name) }
    }
}

impl Field {
    /// A value as it may be shown.
    pub(crate) fn shown(&self, value: &Value) -> String {
        if self.kind == Kind::Secret { redacted() } else { value.to_string().replace('\n', " ") }
    }

    /// What would be a right value.
    pub(crate) fn wanted(&self) -> String {
        let wanted = self.kind.wanted();
        if self.default.is_empty() { wanted.into_owned() } else { format!("{wanted}, by default {}", self.default) }
    }
}

/// The variable of a setting: `orders.hold_secs` is `BANYAN_ORDERS__HOLD_SECS`; `otel.bsp.schedule_delay`
/// has the name that `OpenTelemetry` gave it, `OTEL_BSP_SCHEDULE_DELAY`.
pub(crate) fn variable(path: &str) -> String {
    if is_of_others(path) {
        path.replace('.', "_").to_uppercase()
    } else {
        format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
    }
}

/// Whether others named the variable of a setting; programs beside this one read it too.
pub(crate) fn is_of_others(path: &str) -> bool {
    path.starts_with("otel.")
}

pub(crate) fn paths(sections: &[Section]) -> impl Iterator<Item = String> {
    sections.iter().flat_map(|section| section.fields.iter().map(|field| section.path(field)))
}

pub(crate) fn known(sections: &'static [Section], path: &str) -> Option<&'static Field> {
    let mut fields = sections.iter().flat_map(|section| section.fields.iter().map(move |field| (section, field)));
    fields.find(|(section, field)| section.path(field) == path).map(|(_, field)| field)
}

/// The name that needs the fewest changes, if that is less than a third of its letters.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let far = name.len() / 3;
    let near = known.map(|known| (changes(name, &known), known)).filter(|(changes, _)| *changes <= far);
    near.min().map(|(_, known)| known)
}

/// How many letters must be put in, taken out or replaced to turn one name into the other.
/// Source: Wagner and Fischer, The String-to-String Correction Problem, 1974.
fn changes(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// Every setting with its variable, what it takes, its default and its meaning, as Markdown.
pub fn reference(sections: &[Section]) -> String {
    let mut page = "# Settings\n\nA setting is its default, unless the file says otherwise (`--config`), unless the environment does.\n".to_owned();
    for section in sections {
        let title = if section.name.is_empty() { "The program".to_owned() } else { format!("`[{}]`", section.name) };
        let meaning = section.meaning;
        let heads = "| setting | meaning | takes | default | variable |\n|---|---|---|---|---|";
        writeln!(page, "\n## {title}\n{meaning}\n\n{heads}").expect("a text takes more text");
        for field in section.fields {
            let Field { name, kind, default, meaning } = field;
            let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
            let (takes, variable) = (kind.wanted(), variable(&section.path(field)));
            writeln!(page, "| `{name}` | {meaning} | {takes} | {default} | `{variable}` |").expect("as above");
        }
    }
    page
}

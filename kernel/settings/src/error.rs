//! Why settings are refused: one clear line, with the place where the value stands.

use std::fmt;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the settings file, counted from 1.
    File {
        /// The file as it was named to the program.
        file: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable {
        /// The name of the variable.
        variable: String,
    },
    /// The environment, where the name of the setting is the variable itself.
    Environment,
    /// A flag of the command line, which goes before all else.
    Flag {
        /// The flag with its dashes.
        flag: &'static str,
    },
    /// Nobody chose it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{file} line {line}"),
            Self::Variable { variable } => write!(f, "variable {variable}"),
            Self::Environment => f.write_str("environment"),
            Self::Flag { flag } => f.write_str(flag),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// Why the program does not start with these settings; the message is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The settings file cannot be read.
    #[error("the settings file {file} cannot be read: {cause}")]
    Unreadable {
        /// The file as it was named to the program.
        file: String,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The settings file is no TOML.
    #[error("the settings file {file} is not written as TOML has it, line {line}: {message}")]
    Syntax {
        /// The file as it was named to the program.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// There is no setting of this name.
    #[error("there is no setting {name} ({origin}){}", did_you_mean(nearest.as_ref()))]
    Unknown {
        /// The name that nobody knows.
        name: String,
        /// Where it stands.
        origin: Origin,
        /// The known name that is most like it, if one is.
        nearest: Option<String>,
    },
    /// A value cannot be.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Two values contradict each other.
    #[error("settings {one} and {other} contradict each other: {wanted}")]
    Contradiction {
        /// The one with its value and where that stands.
        one: String,
        /// The other, likewise.
        other: String,
        /// How they must be to each other.
        wanted: &'static str,
    },
    /// The values of a section do not go together, or one that must be given is missing.
    #[error("the settings of section [{section}] are refused: {message}")]
    Section {
        /// The section.
        section: String,
        /// What is wrong.
        message: String,
    },
}

/// What is wrong with one value.
#[derive(Debug, thiserror::Error)]
#[error("setting {name} = {value} ({origin}) is refused: {}it takes {wanted}", lead(message.as_ref()))]
pub struct Refusal {
    /// The setting with its section, such as `orders.hold_secs`.
    pub name: String,
    /// The value as it was given; stars for a secret.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
    /// What its type says about it.
    pub message: Option<String>,
    /// What would be right.
    pub wanted: String,
}

fn did_you_mean(nearest: Option<&String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name}?"),
        None => "; `banyan settings --reference` lists all that there are".to_owned(),
    }
}

fn lead(message: Option<&String>) -> String {
    message.map(|message| format!("{}; ", message.lines().collect::<Vec<_>>().join(" "))).unwrap_or_default()
}

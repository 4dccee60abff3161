//! Why the program ends before it has done what it was asked for.

use std::fmt;
use std::process::ExitCode;

use settings::SettingsError;

/// Why the program ends, in one line.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was called in a way that cannot be, or a setting cannot be.
    Usage(String),
    /// The work failed.
    Failed(String),
}

impl Stop {
    /// A failure, as somebody said it.
    pub(crate) fn failed(cause: impl fmt::Display) -> Self {
        Self::Failed(cause.to_string())
    }

    /// The exit code that says of which kind it is.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(cause) | Self::Failed(cause)) = self;
        // One line, whatever those wrote who said it first.
        f.write_str(&cause.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
    }
}

impl From<SettingsError> for Stop {
    fn from(error: SettingsError) -> Self {
        Self::Usage(error.to_string())
    }
}

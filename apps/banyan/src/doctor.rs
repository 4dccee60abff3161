//! Whether Banyan can run here, and what to do where it cannot: settings, machine, databases.
//!
//! Everything is looked at as `banyan up` would find it, and left as it was; only a small file is
//! written to the data folder, to time the disk, and taken away again.

mod certificate;
mod databases;
mod machine;

use std::io::{IsTerminal, Write, stdout};

use serde::Serialize;
use settings::Settings;

use crate::config::Program;
use crate::run::{self, Plan};
use crate::services;
use crate::stop::Stop;

/// How it stands with something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    /// As it should be.
    Ok,
    /// It works, with a reserve about which somebody should know.
    Warn,
    /// The program would not start, or would lose what it has confirmed.
    Bad,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    about: &'static str,
    grade: Grade,
    found: String,
    /// What to do; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, grade: Grade::Ok, found: found.into(), advice: None }
    }

    fn warn(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, grade: Grade::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn bad(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, grade: Grade::Bad, found: found.into(), advice: Some(advice.into()) }
    }

    /// One line of it, for a person.
    fn line(&self, in_colour: bool) -> String {
        let (word, colour) = match self.grade {
            Grade::Ok => ("ok  ", "32"),
            Grade::Warn => ("warn", "33"),
            Grade::Bad => ("bad ", "31"),
        };
        let word = if in_colour { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() };
        let advice = self.advice.as_ref().map(|advice| format!(": {advice}")).unwrap_or_default();
        let told = format!("{}{advice}", self.found);
        // One line, whatever those wrote who said it first.
        format!("{word}  {:<12} {}", self.about, told.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// All that was found, for a machine.
#[derive(Serialize)]
struct Report<'a> {
    checks: &'a [Check],
    bad: usize,
}

/// Looks at everything, and tells it.
pub(crate) fn run(load: impl FnOnce() -> Result<(Settings, Program), Stop>, json: bool) -> Result<(), Stop> {
    let checks = look(load);
    let bad = checks.iter().filter(|check| check.grade == Grade::Bad).count();
    let mut out = stdout().lock();
    let written = if json {
        let report = serde_json::to_string(&Report { checks: &checks, bad }).map_err(Stop::failed)?;
        writeln!(out, "{report}")
    } else {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let in_colour = out.is_terminal() && !plain;
        checks.iter().try_for_each(|check| writeln!(out, "{}", check.line(in_colour)))
    };
    written.map_err(Stop::failed)?;
    match bad {
        0 => Ok(()),
        1 => Err(Stop::Failed("one thing is bad; what to do stands behind it".to_owned())),
        more => Err(Stop::Failed(format!("{more} things are bad; what to do stands behind each"))),
    }
}

fn look(load: impl FnOnce() -> Result<(Settings, Program), Stop>) -> Vec<Check> {
    let mut checks = Vec::new();
    let loaded = load().and_then(|(settings, program)| {
        let plan = Plan { settings, program, services: services::ALL.iter().collect(), alone: false, demo: None };
        Ok((run::check(&plan)?, plan))
    });
    match loaded {
        Ok((checked, plan)) => {
            let data = plan.settings.shown("data");
            let listen = plan.settings.shown("listen");
            checks.push(Check::ok("settings", format!("they can be; {data}, {listen}")));
            checks.push(machine::clock());
            checks.push(machine::open_files(&plan.settings, checked.limits.connections));
            checks.extend(machine::folder(&plan.settings, &plan.program.data));
            checks.push(machine::port(&plan, &checked));
            checks.push(certificate::look(&plan.settings, &checked));
            checks.extend(databases::look(&plan, &checked.places));
        }
        Err(stop) => {
            let advice = "mend this first; what hangs on the settings was not looked at";
            checks.push(Check::bad("settings", stop.to_string(), advice));
            checks.push(machine::clock());
        }
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::Check;

    #[test]
    fn a_check_is_one_line_and_coloured_only_where_asked() {
        let check = Check::bad("disk", "it is\nfull", "make room");
        assert_eq!(check.line(false), "bad   disk         it is full: make room");
        assert_eq!(check.line(true), "\x1b[31mbad \x1b[0m  disk         it is full: make room");
    }
}

//! The command line.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use settings::Settings;

use crate::bench::{self, Bench};
use crate::bulk::{Export, Import};
use crate::services::{self, Known};
use crate::stop::Stop;
use crate::{audit, backup, bulk, config, doctor, events, keys, run};

/// An event-driven shop that grows around the one you have.
#[derive(Debug, Parser)]
#[command(name = "banyan", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs everything in one program
    Up {
        #[command(flatten)]
        place: Place,
        /// Fills an empty data folder with a stock of so many SKUs, and shows what to try
        #[arg(long, value_name = "SKUS", num_args = 0..=1, require_equals = true, default_missing_value = "1000")]
        demo: Option<u32>,
    },
    /// Runs one or several services
    Serve {
        /// The services
        #[arg(value_name = "SERVICE", required = true)]
        services: Vec<String>,
        /// Without the services that these listen to and that do not run here: they hear of nothing, as
        /// where inventory stands alone in front of a shop
        #[arg(long)]
        alone: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Tells what happened, from the running server: lines on a terminal, JSON elsewhere
    Events {
        /// Goes on with what happens next
        #[arg(long)]
        follow: bool,
        /// Where to begin; all that ever happened unless it is said
        #[arg(long, value_name = "latest", requires = "follow")]
        after: Option<After>,
        /// Only what happened to this order, reservation, SKU …
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// Only what happened up to this time, in UTC (a day means its end); with an order as subject also
        /// how it stood then
        #[arg(long, value_name = "TIME", conflicts_with = "follow")]
        at: Option<String>,
        /// The running server
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        server: String,
        /// A line of JSON for each event, also on a terminal
        #[arg(long)]
        json: bool,
    },
    /// Brings a table into the running server: idempotent, and resumed where it broke off
    Import {
        #[command(subcommand)]
        import: Import,
    },
    /// Writes what the running server has as a table
    Export {
        #[command(subcommand)]
        export: Export,
    },
    /// Says who may ask the server for what
    Keys {
        #[command(subcommand)]
        act: keys::Act,
    },
    /// Copies all data to a folder, as of one moment, also while programs work on it
    Backup {
        /// The folder of the backup: one that is not there yet, or empty
        #[arg(value_name = "DIR")]
        to: PathBuf,
        /// The folder of the data [default: ./banyan-data]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// A file of settings
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Makes a data folder of a backup
    Restore {
        /// The folder of the backup
        #[arg(value_name = "DIR")]
        from: PathBuf,
        /// The folder of the data: one that is not there yet, or empty [default: ./banyan-data]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// A file of settings
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Looks whether the books balance, and says what it counted
    Audit {
        /// The folder of the data; its files are read where no program runs on it [default: ./banyan-data]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// The running server [default: the one on the folder; without --data also that on port 8080]
        #[arg(long, value_name = "URL")]
        server: Option<String>,
        /// A file of settings
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Measures: a figure, and its ratio to a limit taken in the same run
    Bench {
        #[command(subcommand)]
        bench: Bench,
    },
    /// Looks whether Banyan can run here, and says what to do where it cannot
    Doctor {
        #[command(flatten)]
        place: Place,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Writes the completions of a shell: `source <(banyan completions bash)`
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Completed,
    },
    /// Writes the manual page of the program or of a verb: `banyan man up | man -l -`
    Man {
        /// The verb, such as `up` or `import stock`
        #[arg(value_name = "VERB")]
        verb: Vec<String>,
    },
    /// Shows every setting
    Settings {
        /// With its meaning, its default and its variable, as Markdown
        #[arg(long, required = true)]
        reference: bool,
    },
}

/// A place in what happens.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum After {
    /// Behind the newest event: only what happens from now on
    Latest,
}

/// A shell that completes what is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Completed {
    Bash,
    Zsh,
    Fish,
}

/// Where the program runs.
#[derive(Debug, Args)]
struct Place {
    /// The folder of the data [default: ./banyan-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address to listen on; without keys, one that only this machine reaches [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does what the command line says.
pub(crate) fn run() -> Result<(), Stop> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match cli.verb {
        Verb::Up { place, demo } => start(place, services::ALL.iter().collect(), false, demo),
        Verb::Serve { services, alone, place } => start(place, named(&services)?, alone, None),
        Verb::Import { import } => bulk::import(&import),
        Verb::Export { export } => bulk::export(&export),
        Verb::Events { follow, after, subject, at, server, json } => {
            let after = after.map(|After::Latest| "latest".to_owned());
            events::tell(&events::Asked { server, subject, at, after, follow, json })
        }
        Verb::Keys { act } => keys::run(&act),
        Verb::Backup { to, data, config } => backup::back_up(&backup::Asked { to, data, config }),
        Verb::Restore { from, data, config } => backup::restore(&from, data.as_deref(), config.as_deref()),
        Verb::Audit { data, server, config } => audit::run(&audit::Asked { server, data, config }),
        Verb::Bench { bench } => bench::run(&bench),
        Verb::Doctor { place, json } => doctor::run(|| load(place), json),
        Verb::Completions { shell } => completions(shell),
        Verb::Man { verb } => man(&verb),
        Verb::Settings { reference: _ } => {
            print!("{}", settings::reference(config::sections()));
            Ok(())
        }
    }
}

/// Writes what a shell needs to complete the verbs and flags.
fn completions(shell: Completed) -> Result<(), Stop> {
    let shell = match shell {
        Completed::Bash => Shell::Bash,
        Completed::Zsh => Shell::Zsh,
        Completed::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "banyan", &mut script);
    stdout().write_all(&script).map_err(Stop::failed)
}

/// Writes the manual page of a verb, or that of the program where none is named.
fn man(verb: &[String]) -> Result<(), Stop> {
    let mut program = Cli::command();
    // Only then does each verb know the whole of its name.
    program.build();
    let mut command = &program;
    for name in verb {
        command = command.find_subcommand(name).ok_or_else(|| {
            let all: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            Stop::Usage(format!("there is no verb {name}; there are {}", all.join(", ")))
        })?;
    }
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).map_err(Stop::failed)?;
    stdout().write_all(&page).map_err(Stop::failed)
}

fn start(place: Place, services: Vec<&'static Known>, alone: bool, demo: Option<u32>) -> Result<(), Stop> {
    let (settings, program) = load(place)?;
    run::run(&run::Plan { settings, program, services, alone, demo })
}

/// What was chosen in the file, the environment and the flags.
fn load(place: Place) -> Result<(Settings, config::Program), Stop> {
    let mut settings = Settings::load(config::sections(), place.config.as_deref())?;
    if let Some(data) = &place.data {
        settings.take_flag("data", "--data", &data.to_string_lossy())?;
    }
    if let Some(listen) = &place.listen {
        settings.take_flag("listen", "--listen", listen)?;
    }
    let mut program: config::Program = settings.section("")?;
    // The settings hold texts, and a path may be none.
    if let Some(data) = place.data {
        program.data = data;
    }
    Ok((settings, program))
}

fn named(names: &[String]) -> Result<Vec<&'static Known>, Stop> {
    let find = |name: &String| {
        services::ALL.iter().find(|known| known.name == name).ok_or_else(|| {
            let all: Vec<_> = services::ALL.iter().map(|known| known.name).collect();
            Stop::Usage(format!("there is no service of this name; there are {}", all.join(", ")))
        })
    };
    let mut found = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    found.sort_by_key(|known| known.name);
    found.dedup_by_key(|known| known.name);
    Ok(found)
}

/// Says in one line what cannot be; help and version are no faults.
fn refuse(error: &clap::Error) -> Result<(), Stop> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{}", error.render());
            Ok(())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Err(Stop::Usage(
            "say what to do: up, serve, events, import, export, keys, backup, restore, audit, doctor, bench or settings; `banyan --help` \
             tells more"
                .to_owned(),
        )),
        _ => {
            let text = error.render().to_string();
            let paragraph = text.split("\n\n").next().unwrap_or_default();
            let cause = paragraph.trim_start_matches("error: ").trim();
            Err(Stop::Usage(format!("{cause}; `banyan --help` tells more")))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        super::Cli::command().debug_assert();
    }
}

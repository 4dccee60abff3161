//! What an operator may choose about the program, and about where each service has its data.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use db::{Durability, Options};
use serde::Deserialize;
use settings::{Field, Kind, Secret, Section, Settings, SettingsError};
use web::{Client, Trust, Unusable};

use crate::stop::Stop;
use crate::{otel, services};

/// What an operator may choose about the program as a whole.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Program {
    /// The folder of the data.
    pub(crate) data: PathBuf,
    /// The address to listen on.
    pub(crate) listen: String,
    /// The database of all services that have none of their own.
    pub(crate) database_url: Option<Secret>,
    /// The key with which this process asks others.
    pub(crate) key: Option<Secret>,
    /// The authorities by whose word it knows whom it asks.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether this machine is served without a key also when there are keys.
    pub(crate) local_without_key: bool,
    /// How often a database that other processes write to as well is asked for news.
    pub(crate) news_every_ms: u64,
    /// What is told in the log.
    pub(crate) log: String,
    /// How the log is written.
    pub(crate) log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// Lines for a person on a terminal, JSON elsewhere.
    Auto,
    /// Lines for a person.
    Pretty,
    /// An object of JSON a line.
    Json,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            data: "banyan-data".into(),
            listen: "127.0.0.1:8080".to_owned(),
            database_url: None,
            key: None,
            ca_file: None,
            local_without_key: false,
            news_every_ms: 20,
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
        }
    }
}

impl Program {
    /// How often a database that other processes write to as well is asked for news.
    pub(crate) fn news_every(&self) -> Duration {
        Duration::from_millis(self.news_every_ms.max(1))
    }

    /// Whom it trusts where it asks over `https`.
    pub(crate) fn trust(&self, settings: &Settings) -> Result<Trust, SettingsError> {
        let wanted =
            "a file of PEM with the certificates of the authorities to trust; without it those of the system are";
        let refused = |reason: String| settings.refused("ca_file", &reason, wanted);
        self.ca_file.as_deref().map_or(Ok(Trust::default()), |file| Trust::of_file(file).map_err(refused))
    }
}

/// The files from which a certificate and its key are read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pair {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// The certificate and the key that were chosen; none where TLS is not spoken.
pub(crate) fn pair(settings: &Settings) -> Result<Option<(PathBuf, PathBuf)>, SettingsError> {
    match settings.section("http.tls")? {
        Pair { certificate: Some(certificate), key: Some(key) } => Ok(Some((certificate, key))),
        Pair { certificate: None, key: None } => Ok(None),
        Pair { .. } => {
            let wanted = "TLS takes both files; without either, none is spoken";
            Err(settings.contradiction("http.tls.certificate", "http.tls.key", wanted))
        }
    }
}

/// Says of a pair that cannot be used which setting is at fault.
pub(crate) fn unusable(settings: &Settings, unusable: &Unusable) -> SettingsError {
    let (name, wanted) = match unusable {
        Unusable::Certificate(_) => ("http.tls.certificate", "a file of PEM with our certificate and those above it"),
        Unusable::Key(_) => ("http.tls.key", "a file of PEM with the key of our certificate, without a password"),
    };
    settings.refused(name, &unusable.to_string(), wanted)
}

/// What an operator may choose about the data of one service.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    /// Its database, where that is another than the program's.
    pub(crate) database_url: Option<Secret>,
    /// Where it runs, for the services of another process that listen to it.
    pub(crate) url: Option<String>,
    queue_limit: NonZeroUsize,
    writers: NonZeroUsize,
    readers: NonZeroUsize,
    durable: bool,
    allow_fsync_off: bool,
}

impl Default for Place {
    fn default() -> Self {
        let Options { queue_limit, readers, .. } = Options::default();
        let one_or_more = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        Self {
            database_url: None,
            url: None,
            queue_limit: one_or_more(queue_limit),
            // Where a database takes two, the second costs nothing until the first is behind.
            writers: one_or_more(2),
            readers: one_or_more(readers),
            durable: true,
            allow_fsync_off: false,
        }
    }
}

impl Place {
    /// What the database is told of it.
    pub(crate) fn options(&self) -> Options {
        Options {
            writers: self.writers.get(),
            readers: self.readers.get(),
            queue_limit: self.queue_limit.get(),
            durability: if self.durable { Durability::Full } else { Durability::Off },
            allow_fsync_off: self.allow_fsync_off,
            ..Options::default()
        }
    }
}

const PROGRAM: Section = Section {
    name: "",
    meaning: "Where it runs and what it tells.",
    fields: &[
        Field {
            name: "data",
            kind: Kind::Text,
            default: "banyan-data",
            meaning: "The folder of the data; `--data` goes before it.",
        },
        Field {
            name: "listen",
            kind: Kind::Text,
            default: "127.0.0.1:8080",
            meaning: "The address to listen on; as long as there are no keys, one that only this machine reaches. \
                      `--listen` goes before it.",
        },
        Field {
            name: "database_url",
            kind: Kind::Secret,
            default: "",
            meaning: "The PostgreSQL database of all services that have none of their own; without it each has a file of \
                      SQLite in the data folder.",
        },
        Field {
            name: "key",
            kind: Kind::Secret,
            default: "",
            meaning: "The API key with which this program asks others: services in other processes, whose events it \
                      reads, and the running server, which `events`, `import`, `export`, `keys` and `audit` ask. It needs the scope `admin`.",
        },
        Field {
            name: "ca_file",
            kind: Kind::Text,
            default: "",
            meaning: "A file (PEM) with the certificates of the authorities by whose word this program knows whom it asks \
                      over `https`; without it those that the system trusts.",
        },
        Field {
            name: "local_without_key",
            kind: Kind::Flag,
            default: "false",
            meaning: "Whether this machine may do everything without a key also when there are keys. Leave it where a \
                      proxy on this machine hands on what comes from elsewhere.",
        },
        Field {
            name: "news_every_ms",
            kind: Kind::AtLeast(1),
            default: "20",
            meaning: "How often a PostgreSQL database is asked whether another process has published something.",
        },
        Field {
            name: "log",
            kind: Kind::Text,
            default: "info",
            meaning: "What is told in the log: a level, then levels of single crates, as in `info,orders=debug`.",
        },
        Field {
            name: "log_format",
            kind: Kind::Text,
            default: "auto",
            meaning: "How the log is written: `pretty` for a person, `json` for a machine, `auto` as suits the output.",
        },
    ],
};

/// What every service's section holds beside the service's own settings.
const PLACE: &[Field] = &[
    Field {
        name: "database_url",
        kind: Kind::Secret,
        default: "",
        meaning: "The PostgreSQL database of this service; without it, that of the program.",
    },
    Field {
        name: "url",
        kind: Kind::Text,
        default: "",
        meaning: "Where this service runs, such as `http://127.0.0.1:8081`, when `banyan serve` runs it in another \
                  process and a service here listens to it.",
    },
    Field {
        name: "queue_limit",
        kind: Kind::AtLeast(1),
        default: "8192",
        meaning: "Commands that may wait for one writer; more are refused at once.",
    },
    Field {
        name: "writers",
        kind: Kind::AtLeast(1),
        default: "2",
        meaning: "Threads that write; all but the first help when it is behind. SQLite takes one, whatever is said here.",
    },
    Field { name: "readers", kind: Kind::AtLeast(1), default: "2", meaning: "Threads that read." },
    Field {
        name: "durable",
        kind: Kind::Flag,
        default: "true",
        meaning: "Whether an answer waits for the disk (SQLite); without it, a power cut takes back what was answered.",
    },
    Field {
        name: "allow_fsync_off",
        kind: Kind::Flag,
        default: "false",
        meaning: "Whether to work on a PostgreSQL that runs with `fsync=off`.",
    },
];

const HTTP: Section = Section {
    name: "http",
    meaning: "How long the server waits, and how much it takes.",
    fields: &[
        Field {
            name: "request_secs",
            kind: Kind::AtLeast(1),
            default: "30",
            meaning: "How long a request may take; what it asks for with `Prefer: wait` comes on top.",
        },
        Field {
            name: "head_secs",
            kind: Kind::AtLeast(1),
            default: "15",
            meaning: "Within which a TLS hand-shake must be done and the head of a request must have come, and for which \
                      an idle connection is kept.",
        },
        Field {
            name: "body_secs",
            kind: Kind::AtLeast(1),
            default: "15",
            meaning: "Within which the body of a request must have come.",
        },
        Field {
            name: "write_secs",
            kind: Kind::AtLeast(1),
            default: "30",
            meaning: "For which a client may leave an answer unread.",
        },
        Field {
            name: "head_bytes",
            kind: Kind::AtLeast(8192),
            default: "32768",
            meaning: "Bytes of a request's head.",
        },
        Field { name: "body_bytes", kind: Kind::AtLeast(1), default: "1048576", meaning: "Bytes of a request's body." },
        Field {
            name: "open_requests",
            kind: Kind::AtLeast(1),
            default: "4096",
            meaning: "Requests that are worked on at once; one more is answered with `overloaded`.",
        },
        Field {
            name: "streams",
            kind: Kind::AtLeast(1),
            default: "12000",
            meaning: "Streams of events that are open at once, and as many requests that wait for events; one more is \
                      answered with `too-many-listeners`. Also as many that wait for something else, such as the end of \
                      an order (`Prefer: wait`); one more is answered at once, as things stand. They are connections, \
                      but no requests that are worked on.",
        },
        Field {
            name: "heartbeat_secs",
            kind: Kind::AtLeast(1),
            default: "15",
            meaning: "After which a stream of events without news says that it is still there.",
        },
        Field {
            name: "backlog_bytes",
            kind: Kind::AtLeast(1),
            default: "1048576",
            meaning: "Bytes of events that may wait for the reader of a stream; one who lets more come is cut off, and \
                      told where to go on.",
        },
        Field {
            name: "connections",
            kind: Kind::AtLeast(1),
            default: "20000",
            meaning: "Connections that are held at once; one more is answered with `overloaded` and closed.",
        },
        Field {
            name: "key_requests_per_sec",
            kind: Kind::Whole,
            default: "2000",
            meaning: "Requests that a key may make each second in the long run; 0 for as many as it likes.",
        },
        Field {
            name: "key_burst",
            kind: Kind::Whole,
            default: "4000",
            meaning: "Requests that a key may make at once after a pause.",
        },
        Field {
            name: "address_requests_per_sec",
            kind: Kind::Whole,
            default: "50",
            meaning: "Requests without an accepted key that an address may make each second in the long run; 0 for as \
                      many as it likes. As long as there are no keys, this machine is not limited.",
        },
        Field {
            name: "address_burst",
            kind: Kind::Whole,
            default: "200",
            meaning: "Requests without an accepted key that an address may make at once after a pause.",
        },
        Field {
            name: "drain_secs",
            kind: Kind::AtLeast(0),
            default: "20",
            meaning: "How long open requests, and then what waits at the desks, have to finish when the program stops.",
        },
    ],
};

const TLS: Section = Section {
    name: "http.tls",
    meaning: "The certificate with which the server speaks TLS. Both files are looked at every second, and a new pair is \
              taken without a restart.",
    fields: &[
        Field {
            name: "certificate",
            kind: Kind::Text,
            default: "",
            meaning: "A file (PEM) with the certificate, and after it those of its authorities.",
        },
        Field {
            name: "key",
            kind: Kind::Text,
            default: "",
            meaning: "A file (PEM) with the key of the certificate, without a password; nobody but this program should be \
                      able to read it.",
        },
    ],
};

/// A client of the running server that asks with the key, and trusts whom the environment says.
pub(crate) fn client(server: &str) -> Result<Client, Stop> {
    let settings = Settings::load(sections(), None)?;
    let program: Program = settings.section("")?;
    let client = Client::trusting(server, &program.trust(&settings)?);
    Ok(client.map_err(|fault| Stop::Usage(format!("--server {fault}")))?.with_key(program.key))
}

/// All sections: the program, its way in, and each service with its own settings and its place.
pub(crate) fn sections() -> &'static [Section] {
    static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
        let of_service = |known: &services::Known| {
            // Made once in the life of the process, and needed as long.
            let fields = [known.section.fields, PLACE].concat().leak();
            Section { fields, ..known.section }
        };
        let of_services = services::ALL.iter().map(of_service);
        [PROGRAM, HTTP, TLS].into_iter().chain(of_services).chain(otel::SECTIONS).collect()
    });
    &SECTIONS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{HTTP, PLACE, PROGRAM, Pair, Place, Program, TLS, sections};

    #[test]
    fn the_reference_says_what_the_settings_are() {
        settings::check_reference::<Program>(PROGRAM.fields);
        settings::check_reference::<Place>(PLACE);
        settings::check_reference::<web::Limits>(HTTP.fields);
        settings::check_reference::<Pair>(TLS.fields);
    }

    #[test]
    fn a_service_has_no_setting_that_its_place_has_as_well() {
        for section in sections() {
            let names: BTreeSet<_> = section.fields.iter().map(|field| field.name).collect();
            assert_eq!(names.len(), section.fields.len(), "[{}]", section.name);
        }
    }
}

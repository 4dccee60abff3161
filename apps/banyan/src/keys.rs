//! `banyan keys`: through the running server, or on its data while none runs.

use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::time::Duration;

use ::keys::{ANONYMOUS, Created, Keyring, NewKey, Scope};
use clap::{Args, Subcommand};
use db::{Context, Database, Location, Options, Trace};
use host::KeyDocument;
use ids::Name;
use serde_json::json;
use settings::Settings;
use tokio::runtime::Builder;
use web::{Client, Listed, NoAnswer};
use world::World;

use crate::config::{self, Program};
use crate::folder;
use crate::stop::Stop;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Act {
    /// Makes a key and shows its text, this once
    Create {
        /// What it is called; no two keys ever have the same name
        name: Name,
        /// What it may, such as stock:read,reserve
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Whose names its names are: another key's owner, or `local` for what was made without a key
        /// [default: its own name]
        #[arg(long, value_name = "NAME")]
        owner: Option<Name>,
        /// Days after which it is refused [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
        #[command(flatten)]
        at: At,
    },
    /// Lists all keys, without their texts
    List {
        #[command(flatten)]
        at: At,
    },
    /// Gives a key another text, and goes on to accept the one before for a while
    Rotate {
        /// The key
        name: Name,
        /// Hours for which the text before is accepted
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=2_160))]
        overlap_hours: u32,
        #[command(flatten)]
        at: At,
    },
    /// Takes a key back, with all its texts
    Revoke {
        /// The key
        name: Name,
        #[command(flatten)]
        at: At,
    },
}

/// Where the keys are.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// The folder of the data [default: ./banyan-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The running server, asked with the key in `BANYAN_KEY` if one runs [default: where it listens]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// JSON, also on a terminal
    #[arg(long)]
    json: bool,
}

/// Does it, and prints what came of it.
pub(crate) fn run(act: &Act) -> Result<(), Stop> {
    let (Act::Create { at, .. } | Act::List { at } | Act::Rotate { at, .. } | Act::Revoke { at, .. }) = act;
    let settings = Settings::load(config::sections(), at.config.as_deref())?;
    let mut program: Program = settings.section("")?;
    if let Some(data) = &at.data {
        program.data.clone_from(data);
    }
    let as_json = at.json || !stdout().is_terminal();
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Stop::failed)?;
    runtime.block_on(async {
        // As long as the lock is held, no server starts on this data.
        let lock = if at.server.is_none() { folder::take_keys(&program.data)? } else { None };
        let keys = match &lock {
            Some(_) => Keys::Here(open(&program).await?),
            None => Keys::Server(Box::new(Remote::of(at.server.as_deref(), &settings, &program)?)),
        };
        match act {
            Act::Create { name, scopes, owner, expires_days, .. } => {
                let new = wanted(name, scopes, owner.as_ref(), *expires_days)?;
                show_new(&keys.create(new).await?, as_json);
            }
            Act::List { .. } => show_all(&keys.all().await?, as_json),
            Act::Rotate { name, overlap_hours, .. } => {
                let overlap = Duration::from_secs(u64::from(*overlap_hours) * 3_600);
                show_new(&keys.rotate(name.clone(), overlap).await?, as_json);
            }
            Act::Revoke { name, .. } => {
                let revoked = keys.revoke(name.clone()).await?;
                eprintln!("{} is revoked; what it was given is refused within seconds.", revoked.name);
            }
        }
        Ok(())
    })
}

/// The keys of a program, as it keeps them.
pub(crate) async fn open(program: &Program) -> Result<Keyring, Stop> {
    let location = match &program.database_url {
        Some(url) => Location::Postgres(url.expose().to_owned()),
        None => Location::File(program.data.join(format!("{}.db", ::keys::NAME))),
    };
    let options = Options { readers: 1, ..Options::default() };
    let database = Database::open(::keys::NAME, location, options, World::real(), ::keys::MIGRATIONS);
    Keyring::open(database.map_err(Stop::failed)?).await.map_err(Stop::failed)
}

fn wanted(name: &Name, scopes: &[Scope], owner: Option<&Name>, expires_days: Option<u32>) -> Result<NewKey, Stop> {
    let owner = owner.unwrap_or(name);
    if [name, owner].iter().any(|name| name.as_str() == ANONYMOUS) {
        return Err(Stop::Usage(format!("`{ANONYMOUS}` is whoever has no key; choose another name")));
    }
    let expires_at = expires_days.map(|days| World::real().now() + DAY * days);
    Ok(NewKey { name: name.clone(), owner: owner.clone(), scopes: scopes.iter().copied().collect(), expires_at })
}

/// Where the keys are changed.
enum Keys {
    /// In their database, while no server runs.
    Here(Keyring),
    /// By the running server.
    Server(Box<Remote>),
}

impl Keys {
    async fn create(&self, new: NewKey) -> Result<KeyDocument, Stop> {
        let name = new.name.clone();
        let taken = || {
            Stop::Failed(format!(
                "there is a key called {name} already, or was one; its text was shown when it was made. Choose another \
                 name, or give it another text with `banyan keys rotate {name}`"
            ))
        };
        match self {
            Self::Here(keyring) => match keyring.create(new).await.map_err(Stop::failed)? {
                Created::New(issued) => Ok(KeyDocument::of_new(&issued, keyring.world().now())),
                Created::Same(_) | Created::Different => Err(taken()),
            },
            Self::Server(server) => {
                let scopes: Vec<_> = new.scopes.to_string().split(' ').map(str::to_owned).collect();
                let body = json!({"scopes": scopes, "owner": new.owner, "expires_at": new.expires_at});
                let path = web::path(["v1", "keys", new.name.as_str()]);
                let made = server.client.put_json::<KeyDocument>(&path, &body, &server.by, PATIENCE).await;
                match made {
                    Ok(made) if made.key.is_some() => Ok(made),
                    Ok(_) => Err(taken()),
                    Err(fault) if fault.code() == Some(web::DIFFERENT_CONTENT.code) => Err(taken()),
                    Err(fault) => Err(server.failed(&fault)),
                }
            }
        }
    }

    async fn all(&self) -> Result<Vec<KeyDocument>, Stop> {
        match self {
            Self::Here(keyring) => {
                let now = keyring.world().now();
                let all = keyring.all().await.map_err(Stop::failed)?;
                Ok(all.iter().map(|key| KeyDocument::of(key, now)).collect())
            }
            Self::Server(server) => {
                let (mut all, mut path) = (Vec::new(), "/v1/keys?limit=500".to_owned());
                loop {
                    let page: Listed<KeyDocument> = server
                        .client
                        .get_json(&path, &server.by, PATIENCE)
                        .await
                        .map_err(|fault| server.failed(&fault))?;
                    all.extend(page.items);
                    match page.next {
                        Some(after) => path = format!("/v1/keys?limit=500&after={after}"),
                        None => return Ok(all),
                    }
                }
            }
        }
    }

    async fn rotate(&self, name: Name, overlap: Duration) -> Result<KeyDocument, Stop> {
        match self {
            Self::Here(keyring) => {
                let unknown =
                    Stop::Failed(format!("there is no valid key called {name}; `banyan keys list` shows all"));
                let issued = keyring.rotate(name, overlap).await.map_err(Stop::failed)?.ok_or(unknown)?;
                Ok(KeyDocument::of_new(&issued, keyring.world().now()))
            }
            Self::Server(server) => {
                server.post(&["v1", "keys", name.as_str(), "rotate"], &json!({"overlap_secs": overlap.as_secs()})).await
            }
        }
    }

    async fn revoke(&self, name: Name) -> Result<KeyDocument, Stop> {
        match self {
            Self::Here(keyring) => {
                let unknown = Stop::Failed(format!("there is no key called {name}; `banyan keys list` shows all"));
                let key = keyring.revoke(name).await.map_err(Stop::failed)?.ok_or(unknown)?;
                Ok(KeyDocument::of(&key, keyring.world().now()))
            }
            Self::Server(server) => server.post(&["v1", "keys", name.as_str(), "revoke"], &json!({})).await,
        }
    }
}

/// The running server.
struct Remote {
    client: Client,
    by: Context,
    url: String,
}

impl Remote {
    fn of(server: Option<&str>, settings: &Settings, program: &Program) -> Result<Self, Stop> {
        let url = if let Some(url) = server {
            url.to_owned()
        } else {
            let running = folder::at_work(&program.data)?.into_values().find_map(|owner| owner.url);
            let scheme = if config::pair(settings)?.is_some() { "https" } else { "http" };
            let url = running.unwrap_or_else(|| format!("{scheme}://{}", program.listen));
            // Who listens everywhere is asked on this machine.
            url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        };
        let client = Client::trusting(&url, &program.trust(settings)?)
            .map_err(|fault| Stop::Usage(format!("--server {fault}")))?;
        let by = Context::system("keys", Trace::begin(&mut World::real().chance("keys")));
        Ok(Self { client: client.with_key(program.key.clone()), by, url })
    }

    async fn post(&self, path: &[&str], body: &serde_json::Value) -> Result<KeyDocument, Stop> {
        let done = self.client.post_json(&web::path(path.iter().copied()), body, &self.by, PATIENCE).await;
        done.map_err(|fault| self.failed(&fault))
    }

    fn failed(&self, fault: &NoAnswer) -> Stop {
        let url = &self.url;
        Stop::Failed(match fault {
            NoAnswer::Refused(refusal) if matches!(refusal.status, 401 | 403) => format!(
                "the server at {url} {fault} Put a key with the scope `admin` into BANYAN_KEY, or stop the server and do \
                 it on its data folder"
            ),
            NoAnswer::NotConnected(_) => format!(
                "the data folder is in use, but the server at {url} {fault}; say with --server where it listens"
            ),
            _ => format!("the server at {url} {fault}"),
        })
    }
}

/// Shows a new key: its text alone on the output, and what it is beside that.
fn show_new(made: &KeyDocument, as_json: bool) {
    if as_json {
        println!("{}", json!(made));
        return;
    }
    let KeyDocument { name, owner, scopes, expires_at, key, .. } = made;
    let until = expires_at.map_or(String::new(), |at| format!(", until {at}"));
    eprintln!("The key {name} of {owner} may {}{until}.", scopes.join(", "));
    eprintln!("This is the only time that its text is shown. It is sent as `Authorization: Bearer …`:\n");
    println!("{}", key.as_deref().unwrap_or_default());
}

fn show_all(all: &[KeyDocument], as_json: bool) {
    if as_json {
        println!("{}", json!({ "items": all }));
        return;
    }
    for KeyDocument { name, owner, scopes, status, expires_at, last_used_at, .. } in all {
        let time = |at: &Option<world::Moment>| at.map_or("never".to_owned(), |at| at.to_string());
        let (expires, used) = (time(expires_at), time(last_used_at));
        println!("{name:<20} {owner:<20} {status:<8} expires {expires:<27} last used {used:<27} {}", scopes.join(","));
    }
}

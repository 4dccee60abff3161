//! A copy of all data in a folder, taken while programs work on it, and how it is put back.
//!
//! ```text
//! backup:  data folder ─▶ db::Cut, one moment for all ─▶ DIR: orders.db … test-provider.book  manifest.json
//! restore: DIR ─▶ sums, pages, migrations ─▶ a new life for each database, known to those who listen ─▶ data folder
//! ```
//!
//! Both work on the files and not through the server, also where one runs: services of one folder may
//! run in several processes, and only from outside can all of them be held for one moment.
//!
//! **Invariant:** a backup has a manifest, written last; what has none, or is not what its manifest
//! says, is not put back.
//!
//! Reading order: [`back_up`], `manifest`, `restore`.

mod manifest;
mod restore;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use db::Cut;
use settings::Settings;
use telemetry::Stopwatch;
use world::World;

use self::manifest::{CopiedDatabase, CopiedFile, MANIFEST, Manifest};
pub(crate) use self::restore::restore;
use crate::config::{self, Place, Program};
use crate::folder;
use crate::services::{self, PROVIDERS_BOOK};
use crate::stop::Stop;

/// What the command line says about a backup.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The folder of the backup.
    pub(crate) to: PathBuf,
    pub(crate) data: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
}

/// Copies all data of a folder, and says what it copied.
pub(crate) fn back_up(asked: &Asked) -> Result<(), Stop> {
    let settings = Settings::load(config::sections(), asked.config.as_deref())?;
    let mut program: Program = settings.section("")?;
    if let Some(data) = &asked.data {
        program.data.clone_from(data);
    }
    let files = files(&settings, &program)?;
    make_empty(&asked.to)?;
    let failed = |failure: db::Failure| Stop::Failed(format!("the data cannot be copied: {failure}"));
    let book = program.data.join(PROVIDERS_BOOK);
    let beside = book.exists().then_some(&book);
    let all = files.iter().map(|(_, path)| path).chain(beside).cloned();
    let mut cut = Cut::prepare(all).map_err(failed)?;
    let moment = World::real().now();
    let held = Stopwatch::start();
    cut.take().map_err(failed)?;
    let held_micros = u64::try_from(held.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut files_beside = Vec::new();
    if let Some(book) = beside {
        cut.copy(book, &asked.to.join(PROVIDERS_BOOK)).map_err(failed)?;
        files_beside.push(CopiedFile::at(&asked.to, PROVIDERS_BOOK)?);
    }
    let mut databases = Vec::new();
    for (service, path) in &files {
        let name = file_name(service);
        let copied = cut.copy_database(path, &asked.to.join(&name)).map_err(failed)?;
        let file = CopiedFile::at(&asked.to, &name)?;
        println!("{name}: {} bytes, {} events", file.bytes, copied.newest);
        databases.push(CopiedDatabase {
            service: (*service).to_owned(),
            incarnation: copied.incarnation,
            newest: copied.newest,
            migrations: copied.migrations,
            file,
        });
    }
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: manifest::FORMAT, program, moment, held_micros, databases, files: files_beside };
    manifest.write(&asked.to)?;
    let to = asked.to.display();
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a short wait")]
    let held_ms = held_micros as f64 / 1e3;
    println!(
        "{to} holds the data as of {moment}; writers were held for {held_ms:.1} ms. Put it back with `banyan restore {to}`."
    );
    Ok(())
}

/// The files of all databases in the folder, by service.
fn files(settings: &Settings, program: &Program) -> Result<Vec<(&'static str, PathBuf)>, Stop> {
    let mut files = Vec::new();
    for service in services::ALL.iter().map(|known| known.name).chain([::keys::NAME]) {
        let own = if service == ::keys::NAME { None } else { settings.section::<Place>(service)?.database_url };
        if own.is_some() || program.database_url.is_some() {
            return Err(Stop::Failed(format!(
                "{service} is on PostgreSQL, which has means of its own: copy it with pg_dump or pg_basebackup; docs/backup.md \
                 says how, and what to do after it was put back"
            )));
        }
        let path = folder::database(&program.data, service);
        if path.exists() {
            files.push((service, path));
        }
    }
    if files.is_empty() {
        let data = program.data.display();
        return Err(Stop::Usage(format!("{data} holds no data of Banyan; name the folder with --data")));
    }
    Ok(files)
}

fn file_name(service: &str) -> String {
    folder::database(Path::new(""), service).display().to_string()
}

/// Makes a folder, which may be there already if it is empty.
fn make_empty(folder: &Path) -> Result<(), Stop> {
    let shown = folder.display();
    let cannot = |cause: io::Error| Stop::Failed(format!("{shown} cannot be made: {cause}"));
    fs::create_dir_all(folder).map_err(cannot)?;
    if fs::read_dir(folder).map_err(cannot)?.next().is_some() {
        return Err(Stop::Usage(format!(
            "{shown} is not empty, and nothing in it is overwritten; name another folder"
        )));
    }
    Ok(())
}

/// Waits until what was made in a folder is on the disk.
fn sync_folder(folder: &Path) -> Result<(), Stop> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|cause| Stop::Failed(format!("{}: {cause}", folder.display())))
}

/// Where the manifest of a backup is.
fn manifest_path(folder: &Path) -> PathBuf {
    folder.join(MANIFEST)
}

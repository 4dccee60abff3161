//! Puts a backup back, as a data folder of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use db::{Database, Location, Migration, Options};
use ids::Number;
use settings::Settings;
use tokio::runtime::Builder;
use world::World;

use super::manifest::{CopiedDatabase, Manifest};
use super::{make_empty, sync_folder};
use crate::config::{self, Program};
use crate::folder;
use crate::services;
use crate::stop::Stop;

/// Makes a data folder of a backup. It is there as a whole or not at all.
pub(crate) fn restore(from: &Path, data: Option<&Path>, config: Option<&Path>) -> Result<(), Stop> {
    let settings = Settings::load(config::sections(), config)?;
    let program: Program = settings.section("")?;
    let data = data.unwrap_or(&program.data);
    let manifest = Manifest::read(from)?;
    let known = manifest.databases.iter().map(|copied| migrations(&copied.service)).collect::<Result<Vec<_>, _>>()?;
    let Some(name) = data.file_name() else {
        return Err(Stop::Usage(format!("{} is no name of a folder; name one with --data", data.display())));
    };
    make_empty(data)?;
    // Beside it, so that it can take its place at once.
    let unfinished = data.with_file_name(format!("{}.restoring", name.to_string_lossy()));
    if unfinished.exists() {
        return Err(Stop::Failed(format!(
            "{} is there: another restore is at work, or one broke off; remove it in that case",
            unfinished.display()
        )));
    }
    make_empty(&unfinished)?;
    let filled = fill(from, &unfinished, &manifest, &known);
    let placed = filled.and_then(|()| {
        let placed = fs::rename(&unfinished, data);
        placed.map_err(|cause| Stop::Failed(format!("{} cannot take its place: {cause}", data.display())))
    });
    if placed.is_err() {
        // What is said is why it failed, and not that its rest is still there.
        drop(fs::remove_dir_all(&unfinished));
        return placed;
    }
    if let Some(parent) = data.parent() {
        sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    let (shown, moment) = (data.display(), manifest.moment);
    println!("{shown} holds the data as of {moment}. What happened later is not in it.");
    println!(
        "`banyan up --data {shown}` goes on from there; who reads events from outside is told with 410 to reconcile."
    );
    Ok(())
}

/// What this program knows of the tables of a service.
fn migrations(service: &str) -> Result<(&'static str, &'static [Migration]), Stop> {
    let known = services::ALL.iter().map(|known| (known.name, known.migrations));
    let mut known = known.chain([(::keys::NAME, ::keys::MIGRATIONS)]);
    known.find(|(name, _)| *name == service).ok_or_else(|| {
        Stop::Failed(format!(
            "the backup holds {service}, which this program does not know: use the version that made it"
        ))
    })
}

type Known = (&'static str, &'static [Migration]);

/// Copies what is unchanged, gives each database a new life, and tells those who listen to it.
fn fill(from: &Path, to: &Path, manifest: &Manifest, known: &[Known]) -> Result<(), Stop> {
    for file in manifest.files.iter().chain(manifest.databases.iter().map(|copied| &copied.file)) {
        let path = file.unchanged_in(from)?;
        copy_file(&path, to)?;
        db::check_file(&to.join(&file.file)).map_err(|failure| {
            Stop::Failed(format!(
                "{} is damaged, also before it was copied: {failure}; use another backup",
                path.display()
            ))
        })?;
    }
    let mut restored = BTreeMap::new();
    for (copied, (service, migrations)) in manifest.databases.iter().zip(known) {
        is_of_this_release(to, copied, service, migrations)?;
        let options = Options { restored: true, readers: 1, ..Options::default() };
        let location = Location::File(folder::database(to, service));
        let database = Database::open(service, location, options, World::real(), migrations).map_err(Stop::failed)?;
        restored.insert(*service, (database, copied.incarnation));
    }
    let lives: Vec<(&'static str, Number, Number)> =
        restored.iter().map(|(service, (database, before))| (*service, *before, database.incarnation())).collect();
    let runtime = Builder::new_current_thread().build().map_err(Stop::failed)?;
    for (database, _) in restored.values() {
        let lives = lives.clone();
        let told = database.write(move |tx| {
            for (source, before, now) in lives {
                ::events::follow_restored(tx, source, before, now);
            }
            Ok(())
        });
        runtime.block_on(told).map_err(Stop::failed)?;
    }
    for (service, (database, _)) in &restored {
        println!("{service}: {} events, under a new incarnation", *database.ring().newest().borrow());
    }
    drop(restored);
    sync_folder(to)
}

/// Copies a file, and waits for the disk.
fn copy_file(from: &Path, folder: &Path) -> Result<(), Stop> {
    let to = folder.join(from.file_name().unwrap_or_default());
    let copied = File::create_new(&to).and_then(|mut copy| {
        io::copy(&mut File::open(from)?, &mut copy)?;
        copy.sync_all()
    });
    copied.map_err(|cause| Stop::Failed(format!("{} cannot be copied to {}: {cause}", from.display(), to.display())))
}

/// Refuses a database on which a newer release has been, or another one of the same number.
fn is_of_this_release(to: &Path, copied: &CopiedDatabase, service: &str, known: &[Migration]) -> Result<(), Stop> {
    let path = to.join(&copied.file.file);
    let state = db::look_at_file(&path, service, known, false).map_err(Stop::failed)?;
    match state.newer.iter().chain(&state.tampered).next() {
        None => Ok(()),
        Some(migration) => Err(Stop::Failed(format!(
            "{} has the migration {migration}, which this program does not have: put it back with the version that made it",
            copied.file.file
        ))),
    }
}

//! What a backup holds, and how each of its files is recognized.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use db::Position;
use ids::Number;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use world::Moment;

use super::{manifest_path, sync_folder};
use crate::stop::Stop;

/// The name of its file.
pub(super) const MANIFEST: &str = "manifest.json";
/// The form of what is written here.
pub(super) const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The form of this document.
    pub(super) format: u32,
    /// The version of the program that wrote it.
    pub(super) program: String,
    /// The moment as of which the data is.
    pub(super) moment: Moment,
    /// For how long writers were held.
    pub(super) held_micros: u64,
    /// The databases, as they were in that moment.
    pub(super) databases: Vec<CopiedDatabase>,
    /// What lies beside them.
    pub(super) files: Vec<CopiedFile>,
}

/// The database of one service.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CopiedDatabase {
    pub(super) service: String,
    /// The life of the database.
    pub(super) incarnation: Number,
    /// The position of its newest event.
    pub(super) newest: Position,
    /// Migrations that had run on it.
    pub(super) migrations: i64,
    #[serde(flatten)]
    pub(super) file: CopiedFile,
}

/// A file, and how it is recognized.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopiedFile {
    pub(super) file: String,
    pub(super) bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub(super) sha256: String,
}

impl CopiedFile {
    /// A file as it is.
    pub(super) fn at(folder: &Path, name: &str) -> Result<Self, Stop> {
        let path = folder.join(name);
        let (bytes, sha256) =
            sum(&path).map_err(|cause| Stop::Failed(format!("{} cannot be read: {cause}", path.display())))?;
        Ok(Self { file: name.to_owned(), bytes, sha256 })
    }

    /// Where it is in the folder of the backup; refused where that is not what was written.
    pub(super) fn unchanged_in(&self, folder: &Path) -> Result<PathBuf, Stop> {
        let path = folder.join(&self.file);
        let shown = path.display();
        let is_plain = Path::new(&self.file).file_name().is_some_and(|name| name == self.file.as_str());
        if !is_plain {
            return Err(Stop::Failed(format!("the manifest names {}, which is no name of a file", self.file)));
        }
        let found = Self::at(folder, &self.file)?;
        if found.bytes != self.bytes {
            let (is, was) = (found.bytes, self.bytes);
            return Err(Stop::Failed(format!(
                "{shown} has {is} bytes, not {was} as when it was written: use another backup"
            )));
        }
        if found.sha256 != self.sha256 {
            return Err(Stop::Failed(format!(
                "{shown} is damaged: its SHA-256 is not what it was when it was written; use another backup"
            )));
        }
        Ok(path)
    }
}

fn sum(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut sum, mut bytes) = (File::open(path)?, Sha256::new(), 0);
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        sum.update(&piece[..read]);
    }
    let mut digits = String::with_capacity(64);
    for byte in sum.finalize() {
        let _ = write!(digits, "{byte:02x}");
    }
    Ok((bytes, digits))
}

impl Manifest {
    /// Writes it, as the last of all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Stop> {
        let path = manifest_path(folder);
        let mut text = serde_json::to_vec_pretty(self).map_err(Stop::failed)?;
        text.push(b'\n');
        // What was copied is there for good before the manifest says so.
        sync_folder(folder)?;
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.map_err(|cause| Stop::Failed(format!("{} cannot be written: {cause}", path.display())))?;
        sync_folder(folder)
    }

    /// Reads it.
    pub(super) fn read(folder: &Path) -> Result<Self, Stop> {
        let path = manifest_path(folder);
        let shown = path.display();
        let text = fs::read(&path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => Stop::Usage(format!(
                "{} is no backup, or one that was not finished: it has no {MANIFEST}",
                folder.display()
            )),
            _ => Stop::Failed(format!("{shown} cannot be read: {cause}")),
        })?;
        let format = serde_json::from_slice::<serde_json::Value>(&text).ok();
        let format = format.and_then(|manifest| manifest.get("format")?.as_u64());
        if let Some(newer) = format.filter(|format| *format > u64::from(FORMAT)) {
            return Err(Stop::Failed(format!(
                "{shown} is of form {newer}, and this program reads {FORMAT}: put it back with the version that made it"
            )));
        }
        serde_json::from_slice(&text).map_err(|cause| Stop::Failed(format!("{shown} is damaged: {cause}")))
    }
}

//! The data folder: made when it is missing, and used by one process at a time.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::services;
use crate::stop::Stop;

/// The data folder with the locks of the services that run on it.
///
/// The locks are the system's, and end with the process that holds them, however it ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    locks: Vec<File>,
}

impl Folder {
    /// Takes the folder for these services, or says who has it; `said` is the setting that names it.
    pub(crate) fn take<'a>(said: &str, path: &Path, services: impl IntoIterator<Item = &'a str>) -> Result<Self, Stop> {
        let shown = path.display();
        fs::create_dir_all(path).map_err(|cause| {
            Stop::Failed(format!(
                "the data folder {shown} cannot be made: {cause}; setting {said} must name a folder that this user may write to"
            ))
        })?;
        let locks = services.into_iter().map(|service| lock(path, service)).collect::<Result<_, _>>()?;
        let path = path.canonicalize().map_err(|cause| Stop::Failed(format!("{shown}: {cause}")))?;
        Ok(Self { path, locks })
    }

    /// Says, as long as what it gives is kept, that a server runs which knows the keys in this folder;
    /// waits for who changes them without one.
    pub(crate) fn use_keys(&self) -> Result<File, Stop> {
        let (file, path) = keys_lock(&self.path)?;
        file.lock_shared().map_err(|cause| cannot_lock(&path, &cause))?;
        Ok(file)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says in the locks where the program listens, for whoever finds the folder taken.
    pub(crate) fn listens_at(&self, url: &str) -> Result<(), Stop> {
        let cannot = |cause| Stop::Failed(format!("a lock in {} cannot be written: {cause}", self.path.display()));
        self.locks.iter().try_for_each(|file| write_owner(file, Some(url)).map_err(cannot))
    }
}

/// The file of a service's data in a folder.
pub(crate) fn database(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.db"))
}

/// A program that has taken a service's lock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The number of its process, where it has written it.
    pub(crate) process: Option<String>,
    /// The address at which it listens, where it has got so far.
    pub(crate) url: Option<String>,
}

impl Owner {
    /// The program, as far as it is known.
    pub(crate) fn shown(&self) -> String {
        self.process.as_ref().map_or("another process".to_owned(), |process| format!("process {process}"))
    }
}

/// The services at work on a folder, each with the program that runs it.
pub(crate) fn at_work(folder: &Path) -> Result<BTreeMap<&'static str, Owner>, Stop> {
    let mut owners = BTreeMap::new();
    for known in services::ALL {
        let path = lock_path(folder, known.name);
        let failed = |cause: io::Error| Stop::Failed(format!("{} cannot be looked at: {cause}", path.display()));
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(failed(cause)),
        };
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                owners.insert(known.name, read_owner(&mut file));
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
    }
    Ok(owners)
}

fn lock_path(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.lock"))
}

/// Takes the keys of a folder, so that no server starts on it meanwhile; none where one runs.
pub(crate) fn take_keys(folder: &Path) -> Result<Option<File>, Stop> {
    let shown = folder.display();
    fs::create_dir_all(folder)
        .map_err(|cause| Stop::Failed(format!("the data folder {shown} cannot be made: {cause}")))?;
    let (file, path) = keys_lock(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(cannot_lock(&path, &cause)),
    }
}

fn keys_lock(folder: &Path) -> Result<(File, PathBuf), Stop> {
    let path = lock_path(folder, keys::NAME);
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    open.map_err(|cause| cannot_lock(&path, &cause)).map(|file| (file, path))
}

fn cannot_lock(path: &Path, cause: &std::io::Error) -> Stop {
    let shown = path.display();
    Stop::Failed(format!("{shown} cannot be locked: {cause}; the data folder must be one that this user may write to"))
}

fn lock(folder: &Path, service: &str) -> Result<File, Stop> {
    let path = lock_path(folder, service);
    let failed = |cause: io::Error| cannot_lock(&path, &cause);
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = read_owner(&mut file).shown();
            let shown = folder.display();
            return Err(Stop::Failed(format!(
                "the data folder {shown} is taken: {owner} runs {service} on it; stop that, or choose another with --data"
            )));
        }
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    write_owner(&file, None).map_err(failed)?;
    Ok(file)
}

/// Writes whose lock it is: the process, and where it listens.
fn write_owner(mut file: &File, url: Option<&str>) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{} {}", process::id(), url.unwrap_or_default())
}

/// Whose lock it is, as far as it stands there: who has only just begun may not have written it yet.
fn read_owner(file: &mut File) -> Owner {
    let mut text = String::new();
    if file.read_to_string(&mut text).is_err() {
        return Owner::default();
    }
    let mut words = text.split_whitespace().map(ToOwned::to_owned);
    Owner { process: words.next(), url: words.next() }
}

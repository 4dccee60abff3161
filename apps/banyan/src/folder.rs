//! The data folder: made when it is missing, and used by one process at a time.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::stop::Stop;

/// The data folder with the locks of the services that run on it.
///
/// The locks are the system's, and end with the process that holds them, however it ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _locks: Vec<File>,
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
        Ok(Self { path, _locks: locks })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(folder: &Path, service: &str) -> Result<File, Stop> {
    let path = folder.join(format!("{service}.lock"));
    let failed = |cause: std::io::Error| {
        let shown = path.display();
        Stop::Failed(format!(
            "{shown} cannot be locked: {cause}; the data folder must be one that this user may write to"
        ))
    };
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let read = file.read_to_string(&mut owner);
            let owner =
                if read.is_ok() && !owner.is_empty() { format!("process {owner}") } else { "another process".into() };
            let shown = folder.display();
            return Err(Stop::Failed(format!(
                "the data folder {shown} is taken: {owner} runs {service} on it; stop that, or choose another with --data"
            )));
        }
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", process::id()));
    written.map_err(failed)?;
    Ok(file)
}

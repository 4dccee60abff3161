//! A disk that is soon full, to see what happens then.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::afterwards::Afterwards;

/// A small disk in memory, to see what happens when it is full; gone when dropped.
#[derive(Debug)]
pub struct Tmpfs {
    // Dropped in this order: first it is unmounted, then the folder is removed.
    _unmount: Afterwards,
    folder: TempDir,
}

impl Tmpfs {
    /// Mounts a disk that takes so many KiB (the system rounds up to whole pages).
    ///
    /// # Panics
    /// When it cannot be mounted: that needs root.
    pub fn of_kib(kib: u32) -> Self {
        let folder =
            tempfile::Builder::new().prefix("banyan-tmpfs-").tempdir().expect("the temp folder takes one more");
        let path = folder.path().to_str().expect("the temp folder has a name in UTF-8").to_owned();
        // Open to all, as /tmp is: the server of a database runs as another user.
        let options = format!("size={kib}k,mode=1777");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs", &path]).output();
        let mount = mount.expect("there is a program `mount`");
        let complaint = String::from_utf8_lossy(&mount.stderr);
        assert!(mount.status.success(), "a disk of {kib} KiB cannot be mounted; that needs root: {complaint}");
        // Lazily, for a test that fails may still hold a file open.
        let unmount = Afterwards::run(r#"umount -l "$1"; rmdir "$1""#, &path);
        Self { _unmount: unmount, folder }
    }

    /// The folder that is the disk.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::Tmpfs;

    #[test]
    fn a_small_disk_is_full_soon_and_gone_afterwards() {
        let disk = Tmpfs::of_kib(64);
        let path = disk.path().to_owned();
        fs::write(path.join("fits"), vec![0; 32 << 10]).unwrap();
        let full = fs::write(path.join("does-not"), vec![0; 64 << 10]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        drop(disk);
        assert!(!path.exists());
        assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(path.to_str().unwrap()));
    }
}

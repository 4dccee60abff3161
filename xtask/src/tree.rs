//! All files of the house, as text.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Folders that are made and not written.
const MADE: [&str; 4] = [".git", "target", "banyan-data", "__pycache__"];

/// Paths below the root, with `/` between their parts, and what stands in them.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads every file that is text.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self::default();
        tree.read_folder(root, "").map_err(|error| format!("{} cannot be read: {error}", root.display()))?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if MADE.contains(&name.as_str()) {
                continue; // in a second worktree `.git` is a file
            }
            if kind.is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file()
                && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
            {
                self.0.insert(path, text);
            }
        }
        Ok(())
    }

    /// A made-up tree.
    #[cfg(test)]
    pub(crate) fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
    }

    /// All files, by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The files whose names end so, by path.
    pub(crate) fn ending(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| path.ends_with(end))
    }

    /// The files below a folder, by their paths in it.
    pub(crate) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files().filter_map(move |(path, text)| Some((path.strip_prefix(folder)?.strip_prefix('/')?, text)))
    }

    /// What stands in a file; none where there is no such file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The folders that stand directly in a folder.
    pub(crate) fn folders_in(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> =
            self.below(folder).filter_map(|(path, _)| Some(path.split_once('/')?.0.to_owned())).collect();
        names.dedup();
        names
    }
}

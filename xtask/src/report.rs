//! What the checks found.

use std::fmt;

use crate::tree::Tree;

/// What is wrong, and what is only long.
#[derive(Debug)]
pub(crate) struct Report {
    files: usize,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 where it is about the whole file.
    line: usize,
    message: String,
}

impl Report {
    /// Nothing is found yet.
    pub(crate) fn of(tree: &Tree) -> Self {
        Self { files: tree.files().count(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// Something that is wrong in a whole file or folder.
    pub(crate) fn error(&mut self, path: &str, message: impl Into<String>) {
        self.error_at(path, 0, message);
    }

    /// Something that is wrong in a line, counted from 1.
    pub(crate) fn error_at(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.errors.push(Finding { path: path.to_owned(), line, message: message.into() });
    }

    /// Something that a reader should know, and that fails nothing.
    pub(crate) fn warning_at(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.warnings.push(Finding { path: path.to_owned(), line, message: message.into() });
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors as they are shown, for tests.
    #[cfg(test)]
    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.iter().map(ToString::to_string).collect()
    }

    /// The warnings as they are shown, for tests.
    #[cfg(test)]
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, findings) in [("warning", &self.warnings), ("error", &self.errors)] {
            let mut findings: Vec<_> = findings.iter().collect();
            findings.sort();
            for finding in findings {
                writeln!(f, "{word}: {finding}")?;
            }
        }
        let (errors, warnings) = (self.errors.len(), self.warnings.len());
        writeln!(f, "tidy: {} files, {errors} errors, {warnings} warnings", self.files)
    }
}

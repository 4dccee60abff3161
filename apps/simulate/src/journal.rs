//! What happened in a run, line by line: printed on demand, and hashed to compare runs.

use std::fmt::Display;

use world::{Moment, stable_hash};

/// The lines of one run.
#[derive(Debug, Default)]
pub struct Journal {
    prints: bool,
    digest: u64,
    lines: u64,
}

impl Journal {
    /// A journal that prints its lines, or only counts and hashes them.
    pub fn new(prints: bool) -> Self {
        Self { prints, digest: 0, lines: 0 }
    }

    /// Writes a line.
    pub fn note(&mut self, at: Moment, what: impl Display) {
        let line = format!("{at} {what}");
        self.digest = self.digest.rotate_left(5) ^ stable_hash(line.as_bytes());
        self.lines += 1;
        if self.prints {
            println!("{line}");
        }
    }

    /// The same for the same lines.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

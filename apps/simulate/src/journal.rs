//! What happened in a run, line by line: printed or kept on demand, and hashed to compare runs.

use std::fmt::{Display, Write};

use world::{Moment, stable_hash};

/// What is done with lines beside hashing them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Use {
    #[default]
    Nothing,
    Prints,
    Keeps,
}

/// The lines of one run.
#[derive(Debug, Default)]
pub struct Journal {
    used: Use,
    digest: u64,
    text: String,
}

impl Journal {
    /// A journal that prints its lines, or only hashes them.
    pub fn new(prints: bool) -> Self {
        Self { used: if prints { Use::Prints } else { Use::Nothing }, ..Self::default() }
    }

    /// A journal that keeps its lines.
    pub fn kept() -> Self {
        Self { used: Use::Keeps, ..Self::default() }
    }

    /// Writes a line.
    pub fn note(&mut self, at: Moment, what: impl Display) {
        if self.used != Use::Keeps {
            self.text.clear();
        }
        let begin = self.text.len();
        writeln!(self.text, "{at} {what}").expect("a text takes every line");
        let line = &self.text[begin..];
        self.digest = self.digest.rotate_left(5) ^ stable_hash(line.as_bytes());
        if self.used == Use::Prints {
            print!("{line}");
        }
    }

    /// The same for the same lines.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// All lines, of a journal that keeps them.
    pub fn text(&self) -> &str {
        &self.text
    }
}

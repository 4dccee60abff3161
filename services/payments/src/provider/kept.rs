//! Where a provider's book lies: in memory, for simulations and tests, or in a file.
//!
//! **Invariant:** what the rules of the [`Book`] make of a charge is written down before anybody is
//! told; of a file only the one charge that is asked for is read.

use std::path::Path;

use db::{Documents, Failure};

use crate::provider::{Book, Charge, Key, Standing};

/// A book, and where it lies.
#[derive(Debug)]
pub(super) enum Kept {
    Memory(Book),
    File(Documents),
}

impl Kept {
    /// A book in a file, which is made where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Documents::open(path).map(Self::File)
    }

    /// The book in a file that is there, to be read.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, Failure> {
        Documents::open_to_read(path).map(Self::File)
    }

    /// What is written down of a try.
    pub(super) fn charge(&self, key: &Key) -> Result<Option<Charge>, Failure> {
        match self {
            Self::Memory(book) => Ok(book.charge(key).cloned()),
            Self::File(documents) => documents.get(&key.to_string())?.as_deref().map(read).transpose(),
        }
    }

    /// Lets the book's rules change the charge of a key, and says how that stands afterwards.
    pub(super) fn change(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut Book) -> Standing,
    ) -> Result<Standing, Failure> {
        let before = match self {
            Self::Memory(book) => return Ok(change(book)),
            Self::File(_) => self.charge(key)?,
        };
        // The rules look at no other charge, so a book of this one is all that they need.
        let mut book = before.iter().cloned().collect();
        let standing = change(&mut book);
        if let (Self::File(documents), Some(charge)) = (self, book.charge(key))
            && before.as_ref() != Some(charge)
        {
            let text = serde_json::to_string(charge).expect("a charge has a JSON form");
            documents.put(&key.to_string(), &text)?;
        }
        Ok(standing)
    }

    /// So many charges after the one of a key, or from the first on; their order never changes.
    pub(super) fn charges(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Charge>, Failure> {
        match self {
            Self::Memory(book) => Ok(book.charges(after).take(limit).cloned().collect()),
            Self::File(documents) => {
                let after = after.map(Key::to_string).unwrap_or_default();
                documents.after(&after, limit)?.iter().map(|text| read(text)).collect()
            }
        }
    }
}

fn read(text: &str) -> Result<Charge, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Corrupt(format!("a charge of the provider's book: {error}")))
}

//! Who may: API keys with their scopes, and the picture of them in memory that requests are checked against.
//!
//! ```text
//! Authorization: Bearer bk_<number>_<secret> ─▶ Keyring ─▶ Key { name, owner, scopes } or Unrecognized
//!                                                  ▲ at once here, within seconds elsewhere
//! create · rotate · revoke ─────────────────────▶ store
//! ```
//!
//! Reading order: `scope` (what may be done), `key` (who may do it), `keyring` (how a request is
//! recognized, how keys come and go), `store`.
//!
//! **Invariant:** a secret is shown once, to whoever asks for it; kept is only what it is compared with.
//!
//! **Invariant:** to recognize a request touches no database and waits for nobody.
//!
//! **Invariant:** the names of things belong to a key's owner, and no rotation changes who that is.

mod key;
mod keyring;
mod scope;
mod store;

use db::Migration;

pub use key::{ANONYMOUS, Issued, Key, NewKey, Standing};
pub use keyring::{Created, Keyring, Unrecognized};
pub use scope::{Scope, Scopes, UnknownScope};

/// The name of what is kept here: of its file, its schema and its lock.
pub const NAME: &str = "keys";

/// How its tables came to be.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, name: "keys", sql: include_str!("../migrations/0001_keys.sql") }];

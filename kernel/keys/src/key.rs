//! A key: whose it is, what it may, and the secret by which it is recognized.

use std::fmt::Write as _;
use std::sync::Arc;

use ids::{Name, Number};
use settings::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use world::{Moment, World};

use crate::scope::{Scope, Scopes};

/// Whose names a caller without a key has where one is not needed; no key and no owner is called so.
pub const ANONYMOUS: &str = "anonymous";

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The number in its text; each rotation has another.
    pub number: Number,
    /// What it is called, also after it was rotated: the actor of what is done with it.
    pub name: Arc<str>,
    /// Whose names its names are.
    pub owner: Arc<str>,
    /// What it may.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Moment,
    /// From when on it is refused.
    pub expires_at: Option<Moment>,
    /// Since when it is refused.
    pub revoked_at: Option<Moment>,
    /// When it was last used; written now and then, so it may lag by a minute.
    pub last_used_at: Option<Moment>,
}

/// Whether a key is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Valid,
    /// Its time is over.
    Expired,
    /// Somebody has taken it back.
    Revoked,
}

impl Key {
    /// Whether it is accepted at a moment.
    pub fn standing(&self, now: Moment) -> Standing {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => Standing::Revoked,
            (None, Some(expires_at)) if expires_at <= now => Standing::Expired,
            (None, _) => Standing::Valid,
        }
    }

    /// The word for its standing outside.
    pub fn status(&self, now: Moment) -> &'static str {
        match self.standing(now) {
            Standing::Valid => "valid",
            Standing::Expired => "expired",
            Standing::Revoked => "revoked",
        }
    }

    /// Whether it may call a route that asks for this scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }
}

/// What is asked for in a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What it is called; no other key ever had this name.
    pub name: Name,
    /// Whose names its names are.
    pub owner: Name,
    /// What it may.
    pub scopes: Scopes,
    /// From when on it is refused; never, where none is given.
    pub expires_at: Option<Moment>,
}

impl NewKey {
    /// Whether this key is what was asked for.
    pub(crate) fn is(&self, key: &Key) -> bool {
        let NewKey { name, owner, scopes, expires_at } = self;
        name.as_str() == &*key.name
            && owner.as_str() == &*key.owner
            && *scopes == key.scopes
            && *expires_at == key.expires_at
    }
}

/// A key with its text, as it is shown once.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The key.
    pub key: Key,
    /// What its holder sends: `bk_<number>_<secret>`.
    pub text: Secret,
}

/// What a secret is compared with.
///
/// SHA-256 is enough, where a password needs a slow hash: 256 random bits cannot be tried out, however
/// fast each try is.
#[derive(Clone, Copy)]
pub(crate) struct Hash([u8; 32]);

impl Hash {
    /// Of no secret: what an unknown key is compared with, so that it takes as long as a known one.
    pub(crate) const NONE: Self = Self([0; 32]);

    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Compares in a time that does not tell how much of it is right.
    pub(crate) fn is_of(&self, secret: &str) -> bool {
        Self::of(secret).0.ct_eq(&self.0).into()
    }

    pub(crate) fn to_column(self) -> String {
        hexadecimal(&self.0)
    }

    pub(crate) fn from_column(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (place, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
        }
        Some(Self(hash))
    }
}

/// The number and the secret of a key's text.
pub(crate) fn read(text: &str) -> Option<(Number, &str)> {
    let (number, secret) = text.strip_prefix("bk_")?.split_once('_')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_secret = secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_number && is_secret { Some((number.parse().ok()?, secret)) } else { None }
}

/// A new secret: the text of its key, and what is kept of it.
pub(crate) fn draw(world: &World, number: Number) -> (Secret, Hash) {
    let secret = hexadecimal(&world.secret());
    (Secret::new(format!("bk_{number}_{secret}")), Hash::of(&secret))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use ids::Number;
    use world::World;

    use super::{Hash, draw, read};

    #[test]
    fn a_key_is_read_as_it_was_drawn_and_nothing_else_is() {
        let (text, hash) = draw(&World::real(), Number::from_column(7));
        let (number, secret) = read(text.expose()).expect("it was drawn just now");
        assert_eq!(number, Number::from_column(7));
        assert!(hash.is_of(secret));
        let whole = text.expose();
        let without_last = &whole[..whole.len() - 1];
        let too_long = format!("{whole}0");
        let (_, other) = whole.split_once('_').expect("it has a prefix");
        for bad in ["", "bk_", "bk__", "bk_7_", "bk_7", without_last, &too_long, other, &format!(" {whole}")] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&whole.replace("bk_7", "bk_-7")), None);
    }

    #[test]
    fn a_secret_matches_its_own_hash_alone_also_after_a_column() {
        let (first, second) =
            (draw(&World::real(), Number::from_column(1)), draw(&World::real(), Number::from_column(1)));
        let (_, secret) = read(first.0.expose()).expect("it was drawn just now");
        let kept = Hash::from_column(&first.1.to_column()).expect("a hash");
        assert!(kept.is_of(secret) && !second.1.is_of(secret) && !Hash::NONE.is_of(secret));
        assert!(!kept.is_of(&secret.to_uppercase()));
        assert!(Hash::from_column("abc").is_none() && Hash::from_column(&"é".repeat(32)).is_none());
    }

    #[test]
    fn secrets_do_not_follow_from_the_seed_of_the_world() {
        let world = World::real();
        assert_ne!(world.secret(), world.secret());
        assert_ne!(world.clone().secret(), world.secret());
    }
}

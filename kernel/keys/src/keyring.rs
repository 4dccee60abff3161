//! All keys in memory, and how they come, change and go.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use db::{Database, Refused, Tx};
use ids::{Name, Number};
use tokio::sync::Mutex;
use tokio::time::sleep;
use world::{Moment, World};

use crate::key::{self, Hash, Issued, Key, NewKey, Standing};
use crate::store::{self, Kept};

/// How soon a key that another process made, rotated or revoked is known here.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is written when keys were last used.
const NOTE_EVERY_LOOKS: u32 = 15;

/// All keys, as they are now. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    database: Database,
    known: ArcSwap<Known>,
    /// Held while keys are read anew, so that an older picture never takes the place of a newer one.
    looking: Mutex<()>,
}

/// A picture of all keys; never changed, only replaced.
#[derive(Default)]
struct Known(BTreeMap<Number, Entry>);

struct Entry {
    key: Arc<Key>,
    hash: Hash,
    /// When it was last used, in microseconds since 1970; kept from picture to picture.
    used_at: Arc<AtomicI64>,
}

/// Why a request's key is not accepted. Only who has the secret is told more than that it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecognized {
    /// No key of ours, or a wrong secret.
    Unknown,
    /// The right secret of a key whose time is over.
    Expired,
    /// The right secret of a key that was taken back.
    Revoked,
}

/// What became of the wish for a new key.
#[derive(Debug)]
pub enum Created {
    /// It was made; this is the only time that its text can be shown.
    New(Issued),
    /// It was made before, under this name and just so.
    Same(Key),
    /// The name was given to another key.
    Different,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.0.known.load().0.len()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// The keys that this database holds; see [`MIGRATIONS`](crate::MIGRATIONS).
    pub async fn open(database: Database) -> Result<Self, Refused> {
        let known = ArcSwap::new(Arc::new(Known::default()));
        let keyring = Self(Arc::new(Inner { database, known, looking: Mutex::new(()) }));
        keyring.look().await?;
        Ok(keyring)
    }

    /// Whether there are keys, be they accepted or not: an expired key opens no door to those without.
    pub fn has_keys(&self) -> bool {
        !self.0.known.load().0.is_empty()
    }

    /// Whether there is a key that is accepted now.
    pub fn has_valid_keys(&self) -> bool {
        let now = self.world().now();
        self.0.known.load().0.values().any(|entry| entry.key.standing(now) == Standing::Valid)
    }

    /// The key with this text, if it is accepted at this moment.
    pub fn recognize(&self, text: &str, now: Moment) -> Result<Arc<Key>, Unrecognized> {
        let known = self.0.known.load();
        let (number, secret) = key::read(text).ok_or(Unrecognized::Unknown)?;
        let entry = known.0.get(&number);
        let hash = entry.map_or(Hash::NONE, |entry| entry.hash);
        let is_right = hash.is_of(secret);
        entry.filter(|_| is_right).ok_or(Unrecognized::Unknown)?.used(now)
    }

    /// The key of this number, if it is accepted at this moment: for a caller who has shown its text before.
    pub fn accepted(&self, number: Number, now: Moment) -> Option<Arc<Key>> {
        self.0.known.load().0.get(&number)?.used(now).ok()
    }

    /// All keys in the order in which they were made, each with its latest use.
    pub async fn all(&self) -> Result<Vec<Key>, Refused> {
        self.look().await?;
        let known = self.0.known.load();
        Ok(known.0.values().map(Entry::as_used).collect())
    }

    /// Where time and secrets come from.
    pub fn world(&self) -> &World {
        self.0.database.world()
    }

    /// Makes a key, unless its name was given before.
    pub async fn create(&self, new: NewKey) -> Result<Created, Refused> {
        let world = self.world().clone();
        let created = self.0.database.write(move |tx| {
            let others = store::of_name(tx, new.name.as_str())?;
            let Some((first, _)) = others.first() else {
                let NewKey { name, owner, scopes, expires_at } = &new;
                let (name, owner) = (name.as_str().into(), owner.as_str().into());
                let key = Key { scopes: scopes.clone(), expires_at: *expires_at, ..fresh(tx, name, owner) };
                return Ok(Created::New(issue(tx, &world, key, 0)));
            };
            Ok(if new.is(first) { Created::Same(first.clone()) } else { Created::Different })
        });
        let created = created.await?;
        self.look().await?;
        Ok(created)
    }

    /// Gives a key another secret; the one before is accepted for so long yet. None where no key of
    /// this name is accepted.
    pub async fn rotate(&self, name: Name, overlap: Duration) -> Result<Option<Issued>, Refused> {
        let world = self.world().clone();
        let rotated = self.0.database.write(move |tx| {
            let mut all = store::of_name(tx, name.as_str())?;
            let now = tx.now();
            let others = all.len();
            all.retain(|(key, _)| key.standing(now) == Standing::Valid);
            // The latest is the one that lasts; those before it are in their overlap.
            let Some((latest, _)) = all.last().cloned() else { return Ok(None) };
            let until = now + overlap;
            for (key, _) in &mut all {
                key.expires_at = Some(key.expires_at.map_or(until, |expires_at| expires_at.min(until)));
            }
            store::update(tx, &all);
            let Key { scopes, expires_at, .. } = latest;
            let key = Key { scopes, expires_at, ..fresh(tx, latest.name, latest.owner) };
            Ok(Some(issue(tx, &world, key, others)))
        });
        let rotated = rotated.await?;
        self.look().await?;
        Ok(rotated)
    }

    /// Takes back all secrets of a name; none where there is no such key.
    pub async fn revoke(&self, name: Name) -> Result<Option<Key>, Refused> {
        let revoked = self.0.database.write(move |tx| {
            let mut all = store::of_name(tx, name.as_str())?;
            let now = tx.now();
            for (key, _) in &mut all {
                key.revoked_at.get_or_insert(now);
            }
            store::update(tx, &all);
            Ok(all.pop().map(|(key, _)| key))
        });
        let revoked = revoked.await?;
        self.look().await?;
        Ok(revoked)
    }

    /// Looks again and again what other processes have changed, and notes when keys were last used.
    /// It never ends by itself.
    pub async fn keep_up(self) {
        let (mut looks, mut answers) = (0_u32, true);
        loop {
            sleep(LOOK_EVERY).await;
            looks += 1;
            let mut kept = self.look().await;
            if looks.is_multiple_of(NOTE_EVERY_LOOKS) && kept.is_ok() {
                kept = self.note_uses().await;
            }
            if let (Err(refused), true) = (&kept, answers) {
                tracing::warn!(%refused, "The keys cannot be read now; those that are known go on to be accepted");
            }
            answers = kept.is_ok();
        }
    }

    /// Writes when keys were last used, where that is not written yet.
    pub async fn note_uses(&self) -> Result<(), Refused> {
        let uses: Vec<_> = {
            let known = self.0.known.load();
            let newer = known.0.iter().filter(|(_, entry)| entry.last_used_at() > entry.key.last_used_at);
            newer.filter_map(|(number, entry)| Some((*number, entry.last_used_at()?))).collect()
        };
        if uses.is_empty() {
            return Ok(());
        }
        self.0
            .database
            .write(move |tx| {
                store::note_uses(tx, &uses);
                Ok(())
            })
            .await?;
        self.look().await
    }

    /// Takes a new picture of all keys.
    async fn look(&self) -> Result<(), Refused> {
        let _looking = self.0.looking.lock().await;
        let all = self.0.database.read(store::all).await?;
        let before = self.0.known.load();
        let entry = |(key, hash): Kept| {
            let used_at = before.0.get(&key.number).map_or_else(
                || Arc::new(AtomicI64::new(key.last_used_at.map_or(NEVER, Moment::micros))),
                |entry| entry.used_at.clone(),
            );
            (key.number, Entry { key: Arc::new(key), hash, used_at })
        };
        self.0.known.store(Arc::new(Known(all.into_iter().map(entry).collect())));
        Ok(())
    }
}

/// The microseconds of a key that was never used.
const NEVER: i64 = i64::MIN;

impl Entry {
    /// The key, noted as used, if it is accepted at this moment.
    fn used(&self, now: Moment) -> Result<Arc<Key>, Unrecognized> {
        match self.key.standing(now) {
            Standing::Valid => {}
            Standing::Expired => return Err(Unrecognized::Expired),
            Standing::Revoked => return Err(Unrecognized::Revoked),
        }
        self.used_at.fetch_max(now.micros(), Ordering::Relaxed);
        Ok(self.key.clone())
    }

    fn last_used_at(&self) -> Option<Moment> {
        let micros = self.used_at.load(Ordering::Relaxed);
        (micros != NEVER).then_some(Moment::from_micros(micros))
    }

    fn as_used(&self) -> Key {
        let mut key = Key::clone(&self.key);
        key.last_used_at = key.last_used_at.max(self.last_used_at());
        key
    }
}

/// A key that may nothing yet.
fn fresh(tx: &mut Tx<'_>, name: Arc<str>, owner: Arc<str>) -> Key {
    let scopes = [].into_iter().collect();
    let (number, created_at) = (tx.number(), tx.now());
    Key { number, name, owner, scopes, created_at, expires_at: None, revoked_at: None, last_used_at: None }
}

fn issue(tx: &mut Tx<'_>, world: &World, key: Key, others: usize) -> Issued {
    let (text, hash) = key::draw(world, key.number);
    store::add(tx, &key, hash, others);
    Issued { key, text }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use db::{Database, Location, MemoryDisk, Options, Refused};
    use world::{Moment, World};

    use super::{Created, Keyring, Unrecognized};
    use crate::{Issued, Key, MIGRATIONS, NAME, NewKey, Scope};

    const HOUR: Duration = Duration::from_secs(3_600);

    async fn keyring(world: &World, location: Location) -> Keyring {
        let database = Database::open(NAME, location, Options::default(), world.clone(), MIGRATIONS);
        Keyring::open(database.expect("a database")).await.expect("the keys are read")
    }

    async fn in_memory(world: &World) -> Keyring {
        keyring(world, Location::Memory(MemoryDisk::empty())).await
    }

    fn wanted(name: &str, expires_at: Option<Moment>) -> NewKey {
        let owner = "shop".parse().expect("a name");
        NewKey {
            name: name.parse().expect("a name"),
            owner,
            scopes: [Scope::Reserve].into_iter().collect(),
            expires_at,
        }
    }

    fn made(created: Result<Created, Refused>) -> Issued {
        match created {
            Ok(Created::New(issued)) => issued,
            other => panic!("a key is made: {other:?}"),
        }
    }

    fn ask(keyring: &Keyring, issued: &Issued) -> Result<Arc<Key>, Unrecognized> {
        keyring.recognize(issued.text.expose(), keyring.world().now())
    }

    #[tokio::test]
    async fn a_key_is_accepted_until_its_time_is_over() {
        let world = World::simulated(1);
        let keyring = in_memory(&world).await;
        assert!(!keyring.has_keys() && !keyring.has_valid_keys());
        let issued = made(keyring.create(wanted("a", Some(world.now() + HOUR))).await);
        let key = ask(&keyring, &issued).expect("it is accepted");
        assert_eq!((&*key.name, &*key.owner), ("a", "shop"));
        assert!(key.may(Scope::Reserve) && !key.may(Scope::Admin) && keyring.has_valid_keys());
        world.advance(HOUR);
        assert_eq!(ask(&keyring, &issued), Err(Unrecognized::Expired));
        assert!(keyring.has_keys() && !keyring.has_valid_keys(), "an expired key opens no door to those without");
    }

    #[tokio::test]
    async fn two_texts_of_a_rotated_key_are_accepted_for_the_overlap_and_its_owner_stays() {
        let world = World::simulated(1);
        let keyring = in_memory(&world).await;
        let first = made(keyring.create(wanted("a", None)).await);
        let second = keyring.rotate(first.key.name.parse().unwrap(), HOUR).await.unwrap().expect("it is rotated");
        assert_eq!((&second.key.owner, &second.key.scopes), (&first.key.owner, &first.key.scopes));
        assert_ne!(first.text, second.text);
        assert!(ask(&keyring, &first).is_ok() && ask(&keyring, &second).is_ok());
        world.advance(HOUR);
        assert_eq!(ask(&keyring, &first), Err(Unrecognized::Expired));
        assert!(ask(&keyring, &second).is_ok());
    }

    #[tokio::test]
    async fn a_rotation_gives_no_key_more_time_than_it_had() {
        let world = World::simulated(1);
        let keyring = in_memory(&world).await;
        let first = made(keyring.create(wanted("a", Some(world.now() + HOUR))).await);
        let second = keyring.rotate("a".parse().unwrap(), HOUR * 9).await.unwrap().expect("it is rotated");
        assert_eq!(second.key.expires_at, first.key.expires_at);
        world.advance(HOUR);
        assert_eq!(
            (ask(&keyring, &first), ask(&keyring, &second)),
            (Err(Unrecognized::Expired), Err(Unrecognized::Expired))
        );
        assert!(keyring.rotate("a".parse().unwrap(), HOUR).await.unwrap().is_none(), "nor does one come back");
    }

    #[tokio::test]
    async fn a_name_is_given_once_also_after_its_key_was_revoked() {
        let keyring = in_memory(&World::simulated(1)).await;
        let issued = made(keyring.create(wanted("a", None)).await);
        assert!(matches!(keyring.create(wanted("a", None)).await, Ok(Created::Same(key)) if key == issued.key));
        let other = NewKey { scopes: [Scope::Admin].into_iter().collect(), ..wanted("a", None) };
        assert!(matches!(keyring.create(other).await, Ok(Created::Different)));
        assert!(keyring.revoke("a".parse().unwrap()).await.unwrap().is_some());
        assert_eq!(ask(&keyring, &issued), Err(Unrecognized::Revoked));
        assert!(!matches!(keyring.create(wanted("a", None)).await, Ok(Created::New(_))));
        assert!(keyring.revoke("b".parse().unwrap()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn who_has_the_secret_alone_is_told_more_than_that_a_key_is_unknown() {
        let world = World::simulated(1);
        let keyring = in_memory(&world).await;
        let issued = made(keyring.create(wanted("a", Some(world.now()))).await);
        assert_eq!(ask(&keyring, &issued), Err(Unrecognized::Expired));
        let text = issued.text.expose();
        let guess = format!("{}{}", &text[..text.len() - 64], "0".repeat(64));
        assert_eq!(keyring.recognize(&guess, world.now()), Err(Unrecognized::Unknown));
    }

    /// Two processes on one database: what one changes, the other sees when it looks.
    async fn two_on(location: Location) {
        let (one, two) = (keyring(&World::real(), location.clone()).await, keyring(&World::real(), location).await);
        let issued = made(one.create(wanted("a", None)).await);
        assert_eq!(ask(&two, &issued), Err(Unrecognized::Unknown));
        two.look().await.expect("the keys are read");
        assert!(ask(&two, &issued).is_ok());
        two.note_uses().await.expect("it is written");
        let all = one.all().await.expect("the keys are read");
        assert!(all[0].last_used_at.is_some(), "it was used there");
        let (first, second) = tokio::join!(one.create(wanted("b", None)), two.create(wanted("b", None)));
        let made = [first, second].into_iter().filter(|created| matches!(created, Ok(Created::New(_)))).count();
        assert_eq!(made, 1, "two that make the same key at once make one");
    }

    #[tokio::test]
    async fn two_processes_share_their_keys_on_sqlite() {
        let folder = tempfile::tempdir().expect("a folder");
        two_on(Location::File(folder.path().join("keys.db"))).await;
    }

    #[tokio::test]
    async fn two_processes_share_their_keys_on_postgres() {
        two_on(Location::Postgres(testkit::Postgres::shared().database())).await;
    }
}

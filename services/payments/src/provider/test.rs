//! A provider for trying things out, shipped with the program: no money moves.
//!
//! ```text
//! TestProvider ── faults, delays ──▶ Book ──▶ Kept: memory, or a document for each charge in a file of its own
//!      └── the bank's page (3-D Secure) ──▶ webhooks ──▶ whoever listens
//! ```
//!
//! The book is the provider's and not of payments' database, as a real provider's is: it survives
//! the end of the process and tells what really happened to the money. What is written is not forced
//! to the disk: it survives a `kill -9`, and the loss of power only where the system had written it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::Failure;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::provider::kept::Kept;
use crate::provider::{Answer, Authorize, Book, Charge, Key, Method, Provider, ProviderError, Standing};

/// After this long a call that is never answered breaks off.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a slow answer takes.
const SLOW: Duration = Duration::from_secs(2);

/// A provider in this process; clones are one provider.
#[derive(Clone, Debug)]
pub struct TestProvider(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    book: Mutex<Kept>,
    webhooks: Mutex<Option<mpsc::UnboundedSender<Webhook>>>,
}

/// What the provider tells without being asked; a hint to inquire, never believed by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The message; the same one may come twice.
    pub id: String,
    /// The try that it is about.
    pub key: Key,
    /// What is said to have happened.
    #[serde(rename = "type")]
    pub kind: WebhookKind,
}

/// What a webhook says to have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookKind {
    /// The money is held.
    #[serde(rename = "authorization.succeeded")]
    Succeeded,
    /// The money was refused.
    #[serde(rename = "authorization.failed")]
    Failed,
}

impl TestProvider {
    /// A provider whose book is kept in memory only.
    pub fn in_memory() -> Self {
        Self::with(Kept::Memory(Book::default()))
    }

    /// A provider whose book is kept in a file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Kept::open(path).map(Self::with)
    }

    /// A provider of whose file nothing but the book is wanted: whoever asks it for more is refused.
    pub fn open_to_read(path: &Path) -> Result<Self, Failure> {
        Kept::open_to_read(path).map(Self::with)
    }

    fn with(kept: Kept) -> Self {
        Self(Arc::new(Inner { book: Mutex::new(kept), webhooks: Mutex::default() }))
    }

    /// So many charges of the book after the one of a key, or from the first on; their order never changes.
    pub fn charges(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Charge>, Failure> {
        lock(&self.0.book).charges(after, limit)
    }

    /// The whole book as it is now, for simulations and tests.
    ///
    /// # Panics
    /// When its file cannot be read.
    pub fn book(&self) -> Book {
        self.charges(None, usize::MAX).expect("the book can be read").into_iter().collect()
    }

    /// What the provider tells from now on; the latest listener gets it.
    pub fn listen(&self) -> mpsc::UnboundedReceiver<Webhook> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *lock(&self.0.webhooks) = Some(sender);
        receiver
    }

    /// The bank's page: the customer passed the 3-D Secure step of a try, or did not.
    pub fn challenge(&self, key: &Key, succeeded: bool) -> Result<Standing, ProviderError> {
        let standing = self.change(key, |book| book.challenge(key, succeeded))?;
        let kind = if succeeded { WebhookKind::Succeeded } else { WebhookKind::Failed };
        if standing != Standing::NotFound
            && let Some(listener) = &*lock(&self.0.webhooks)
        {
            // Twice, as networks do.
            for _ in 0..2 {
                drop(listener.send(Webhook { id: format!("whk_{key}"), key: key.clone(), kind }));
            }
        }
        Ok(standing)
    }

    /// Changes a charge and writes it down before anybody is told.
    fn change(&self, key: &Key, change: impl FnOnce(&mut Book) -> Standing) -> Result<Standing, ProviderError> {
        lock(&self.0.book).change(key, change).map_err(no_answer)
    }

    fn standing(&self, key: &Key) -> Result<Standing, ProviderError> {
        let charge = lock(&self.0.book).charge(key).map_err(no_answer)?;
        Ok(charge.map_or(Standing::NotFound, |charge| charge.standing))
    }

    /// The latest try of the same payment that the book knows.
    #[cfg(feature = "planted-bugs")]
    fn latest_try(&self, key: Key) -> Key {
        let book = self.book();
        let later = book.charges(Some(&key)).take_while(|charge| charge.key.payment() == key.payment()).last();
        later.map_or(key, |charge| charge.key.clone())
    }

    async fn hold(&self, request: Authorize) -> Result<Standing, ProviderError> {
        let is_first = request.key.number() == 1;
        let book = || self.change(&request.key, |book| book.authorize(&request));
        match Method::of(&request.method) {
            Method::Unavailable => Err(ProviderError::Unavailable("the test method says so".into())),
            Method::SilentBefore if is_first => Err(silence().await),
            Method::SilentAfter if is_first => {
                book()?;
                Err(silence().await)
            }
            Method::Slow => {
                sleep(SLOW).await;
                book()
            }
            _ => book(),
        }
    }
}

async fn silence() -> ProviderError {
    sleep(SILENCE).await;
    ProviderError::NoAnswer("the connection broke off".into())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn no_answer(failure: Failure) -> ProviderError {
    ProviderError::NoAnswer(failure.to_string())
}

impl Provider for TestProvider {
    fn authorize(&self, request: Authorize) -> Answer<'_> {
        Box::pin(self.hold(request))
    }

    fn inquire(&self, key: Key) -> Answer<'_> {
        Box::pin(async move { self.standing(&key) })
    }

    fn capture(&self, key: Key) -> Answer<'_> {
        Box::pin(async move { self.change(&key, |book| book.capture(&key)) })
    }

    fn void(&self, key: Key) -> Answer<'_> {
        #[cfg(feature = "planted-bugs")]
        let key = if world::planted::is(world::planted::Bug::UndoesTheWrongTry) { self.latest_try(key) } else { key };
        Box::pin(async move { self.change(&key, |book| book.void(&key)) })
    }

    fn refund(&self, key: Key) -> Answer<'_> {
        Box::pin(async move { self.change(&key, |book| book.refund(&key)) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use money::{Currency, Money};

    use super::TestProvider;
    use crate::provider::{Authorize, Key, Provider, ProviderError, Standing};

    fn request(number: i64, method: &str) -> Authorize {
        let amount = Money::new(1999, Currency::GBP).unwrap();
        Authorize { key: Key::new("pay", number), amount, method: method.to_owned() }
    }

    /// Everything that a book may be asked, about tries that it knows and about others.
    async fn ask_everything(provider: &TestProvider) -> Vec<Result<Standing, ProviderError>> {
        let mut said = Vec::new();
        let methods =
            ["pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired", "pm_test_capture_refused"];
        for (number, method) in (1..).zip(methods.into_iter().cycle().take(24)) {
            let key = Key::new("pay", number);
            for asked in 0..24 / 4 {
                said.push(match (asked + number / 4) % 6 {
                    0 | 1 => provider.authorize(request(number, method)).await,
                    2 => provider.challenge(&key, number % 3 == 0),
                    3 => provider.capture(key.clone()).await,
                    4 => provider.refund(key.clone()).await,
                    _ => provider.void(key.clone()).await,
                });
                said.push(provider.inquire(key.clone()).await);
            }
        }
        said
    }

    #[tokio::test]
    async fn a_book_in_a_file_is_the_book_in_memory_and_outlives_its_provider() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book");
        let (filed, in_memory) = (TestProvider::open(&path).unwrap(), TestProvider::in_memory());
        let said = ask_everything(&filed).await;
        assert_eq!(said, ask_everything(&in_memory).await);
        assert!(said.contains(&Ok(Standing::Refunded)) && said.contains(&Ok(Standing::Voided)), "{said:?}");
        let book = in_memory.book();
        assert_eq!(filed.book(), book);
        assert_eq!(TestProvider::open_to_read(&path).unwrap().book(), book, "while it is open, as when it is killed");
        drop(filed);
        assert_eq!(TestProvider::open(&path).unwrap().book(), book);
    }

    #[tokio::test]
    async fn charges_are_given_in_pieces_each_once() {
        let folder = tempfile::tempdir().unwrap();
        for provider in [TestProvider::open(&folder.path().join("book")).unwrap(), TestProvider::in_memory()] {
            for number in 1..=23 {
                provider.authorize(request(number, "pm_card_visa")).await.unwrap();
            }
            let mut charges = provider.charges(None, 5).unwrap();
            loop {
                let piece = provider.charges(charges.last().map(|charge| &charge.key), 5).unwrap();
                if piece.is_empty() {
                    break;
                }
                charges.extend(piece);
            }
            assert_eq!(charges.len(), 23);
            charges.sort_by_key(|charge| charge.key.number());
            assert!((1..).zip(&charges).all(|(number, charge)| charge.key.number() == number));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn faults_are_chosen_by_the_name_of_the_method() {
        let provider = TestProvider::in_memory();
        let unavailable = provider.authorize(request(1, "pm_test_unavailable")).await;
        assert!(matches!(unavailable, Err(ProviderError::Unavailable(_))));
        let before = provider.authorize(request(1, "pm_test_timeout_before")).await;
        assert!(matches!(before, Err(ProviderError::NoAnswer(_))));
        assert_eq!(provider.book().charge(&Key::new("pay", 1)), None);
        assert_eq!(provider.authorize(request(2, "pm_test_timeout_before")).await, Ok(Standing::Authorized));
        let after =
            provider.authorize(Authorize { key: Key::new("b", 1), ..request(1, "pm_test_timeout_after_charge") });
        assert!(matches!(after.await, Err(ProviderError::NoAnswer(_))));
        assert_eq!(provider.book().inquire(&Key::new("b", 1)), Standing::Authorized);
        assert_eq!(provider.authorize(request(3, "pm_test_slow")).await, Ok(Standing::Authorized));
    }
}

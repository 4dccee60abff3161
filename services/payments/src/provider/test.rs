//! A provider for trying things out, shipped with the program: no money moves.
//!
//! ```text
//! TestProvider ── faults, delays ──▶ Book ──▶ a line of JSON for every change, in a file of its own
//!      └── the bank's page (3-D Secure) ──▶ webhooks ──▶ whoever listens
//! ```
//!
//! The book is the provider's and not of payments' database, as a real provider's is: it survives
//! the end of the process and tells what really happened to the money. Lines are not forced to the
//! disk: they survive a `kill -9`, and the loss of power only where the system had written them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::provider::{Answer, Authorize, Book, Key, Method, Provider, ProviderError, Standing};

/// After this long a call that is never answered breaks off.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a slow answer takes.
const SLOW: Duration = Duration::from_secs(2);

/// A provider in this process; clones are one provider.
#[derive(Clone, Debug)]
pub struct TestProvider(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    book: Mutex<Written>,
    webhooks: Mutex<Option<mpsc::UnboundedSender<Webhook>>>,
}

/// The book, and the file that holds it.
#[derive(Debug)]
struct Written {
    book: Book,
    file: Option<File>,
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
        Self::with(Written { book: Book::default(), file: None })
    }

    /// A provider whose book is kept in a file, one line for every change; a last line that was
    /// torn is dropped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (book, whole) = replay(path)?;
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole)?;
        Ok(Self::with(Written { book, file: Some(file) }))
    }

    /// The book in a file, as it is now; nothing is written, and nothing is there where no file is.
    pub fn read(path: &Path) -> io::Result<Book> {
        replay(path).map(|(book, _)| book)
    }

    fn with(written: Written) -> Self {
        Self(Arc::new(Inner { book: Mutex::new(written), webhooks: Mutex::default() }))
    }

    /// The book as it is now.
    pub fn book(&self) -> Book {
        lock(&self.0.book).book.clone()
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
        let mut written = lock(&self.0.book);
        let before = written.book.charge(key).cloned();
        let standing = change(&mut written.book);
        let Written { book, file } = &mut *written;
        if let (Some(file), Some(charge)) = (file, book.charge(key).filter(|charge| before.as_ref() != Some(charge))) {
            let mut line = serde_json::to_string(charge).expect("a charge has a JSON form");
            line.push('\n');
            file.write_all(line.as_bytes()).map_err(|error| ProviderError::NoAnswer(error.to_string()))?;
        }
        Ok(standing)
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

/// Reads the book from its file, and how many bytes of it are whole lines.
fn replay(path: &Path) -> io::Result<(Book, u64)> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut book = Book::default();
    for (line, text) in bytes[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, text)| !text.is_empty()) {
        let charge = serde_json::from_slice(text).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {} of the provider's book: {error}", line + 1))
        })?;
        book.restore(charge);
    }
    Ok((book, u64::try_from(whole).unwrap_or(u64::MAX)))
}

impl Provider for TestProvider {
    fn authorize(&self, request: Authorize) -> Answer<'_> {
        Box::pin(self.hold(request))
    }

    fn inquire(&self, key: Key) -> Answer<'_> {
        Box::pin(async move { Ok(lock(&self.0.book).book.inquire(&key)) })
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
    use std::io::Write;

    use money::{Currency, Money};

    use super::TestProvider;
    use crate::provider::{Authorize, Key, Provider, ProviderError, Standing};

    fn request(number: i64, method: &str) -> Authorize {
        let amount = Money::new(1999, Currency::GBP).unwrap();
        Authorize { key: Key::new("pay", number), amount, method: method.to_owned() }
    }

    #[tokio::test]
    async fn the_book_outlives_the_provider_and_a_torn_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.jsonl");
        let provider = TestProvider::open(&path).unwrap();
        provider.authorize(request(1, "pm_card_visa")).await.unwrap();
        provider.capture(Key::new("pay", 1)).await.unwrap();
        let book = provider.book();
        drop(provider);
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"key\":\"pay.2\",").unwrap();

        let provider = TestProvider::open(&path).unwrap();
        assert_eq!(provider.book(), book);
        provider.refund(Key::new("pay", 1)).await.unwrap();
        assert_eq!(TestProvider::open(&path).unwrap().book().inquire(&Key::new("pay", 1)), Standing::Refunded);
    }

    #[tokio::test]
    async fn a_line_that_is_whole_and_no_charge_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.jsonl");
        std::fs::write(&path, "{}\n").unwrap();
        assert!(TestProvider::open(&path).unwrap_err().to_string().contains("line 1"));
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

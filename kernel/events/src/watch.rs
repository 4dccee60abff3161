//! Waiting for what a feed will say: `Prefer: wait` is answered from here.
//!
//! One task reads the newest events of a service and wakes whoever waits for their subject. The news
//! comes from the feed, so it also wakes those who wait in another process than the one that said it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};

use db::{Database, Envelope, InMemory, Position};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

/// Whether an event is the one that is waited for.
type Ends = fn(&Envelope) -> bool;

/// Who waits, by subject.
type Waiting = BTreeMap<String, Vec<oneshot::Sender<Arc<Envelope>>>>;

/// Wakes those who wait for an event of a subject; cheap to clone.
#[derive(Clone, Debug)]
pub struct Watch {
    waiting: Arc<Mutex<Waiting>>,
    ends: Ends,
}

/// Events that are read at once.
const PIECE: usize = 1_024;

impl Watch {
    /// A watch for events that end something.
    pub fn for_events(ends: Ends) -> Self {
        Self { waiting: Arc::default(), ends }
    }

    /// Waits for the next event of this subject that ends something. It is listened for from this
    /// call on, so call it before what leads to the event is asked for.
    pub fn ended(&self, subject: &str) -> Ended {
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).entry(subject.to_owned()).or_default().push(tell);
        Ended { told, subject: subject.to_owned(), waiting: self.waiting.clone() }
    }

    /// Reads the newest events of a service for as long as the program runs.
    pub async fn run(self, database: Database) {
        let mut newest = database.ring().newest();
        let mut position = *newest.borrow_and_update();
        while newest.changed().await.is_ok() {
            let upto = *newest.borrow_and_update();
            while position < upto {
                match self.read(&database, position).await {
                    Some(reached) => position = reached,
                    None => break, // the database does not answer; the next news asks it again
                }
            }
        }
    }

    async fn read(&self, database: &Database, after: Position) -> Option<Position> {
        let events = match database.ring().after(after, PIECE) {
            InMemory::All(events) => events,
            InMemory::OnlyInTable => {
                let read = database.read(move |read| read.events_after(after, PIECE)).await;
                read.ok()?.into_iter().map(Arc::new).collect()
            }
        };
        let reached = events.last()?.position;
        for event in events.into_iter().filter(|event| (self.ends)(event)) {
            let told = lock(&self.waiting).remove(event.subject.as_ref());
            for tell in told.into_iter().flatten() {
                drop(tell.send(event.clone()));
            }
        }
        Some(reached)
    }
}

/// The next event that ends something, for one who waits for it; whoever drops it waits no more and is forgotten,
/// also where a request is dropped in the midst of its waiting.
#[derive(Debug)]
pub struct Ended {
    told: oneshot::Receiver<Arc<Envelope>>,
    subject: String,
    waiting: Arc<Mutex<Waiting>>,
}

impl Future for Ended {
    type Output = Result<Arc<Envelope>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.told).poll(cx)
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.told.close();
        let mut waiting = lock(&self.waiting);
        if let Some(of_subject) = waiting.get_mut(&self.subject) {
            of_subject.retain(|tell| !tell.is_closed());
            if of_subject.is_empty() {
                waiting.remove(&self.subject);
            }
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

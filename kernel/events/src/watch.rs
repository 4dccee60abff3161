//! Waiting for what a feed will say: `Prefer: wait` is answered from here.
//!
//! One task reads the newest events of a service and wakes whoever waits for their subject. The news
//! comes from the feed, so it also wakes those who wait in another process than the one that said it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use db::{Database, Envelope, InMemory, Position};
use tokio::sync::oneshot;

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
    pub fn ended(&self, subject: &str) -> oneshot::Receiver<Arc<Envelope>> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_subject = waiting.entry(subject.to_owned()).or_default();
        of_subject.retain(|tell| !tell.is_closed());
        of_subject.push(tell);
        told
    }

    /// Nobody waits for this subject any more, if nobody does.
    pub fn forget(&self, subject: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_subject) = waiting.get_mut(subject) {
            of_subject.retain(|tell| !tell.is_closed());
            if of_subject.is_empty() {
                waiting.remove(subject);
            }
        }
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
            let told = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(event.subject.as_ref());
            for tell in told.into_iter().flatten() {
                drop(tell.send(event.clone()));
            }
        }
        Some(reached)
    }
}

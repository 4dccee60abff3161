//! A request's place among those that are worked on at once.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The place that a request takes of `open_requests`; a handler whose work is to wait for something
/// that others do gives it up, so that it keeps nobody out.
#[derive(Clone, Debug)]
pub struct Slot {
    place: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    /// Room for those whose answer is held.
    held: Arc<Semaphore>,
}

impl Slot {
    pub(crate) fn of(permit: Option<OwnedSemaphorePermit>, held: &Arc<Semaphore>) -> Self {
        Self { place: Arc::new(Mutex::new(permit)), held: held.clone() }
    }

    /// Takes a place in the room of those who wait, and leaves this one to another request; none where
    /// that room is full.
    pub fn leave_for(&self, room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let place = room.clone().try_acquire_owned().ok()?;
        drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
        Some(place)
    }

    /// The same for one whose answer is held ([`Wait`](crate::Wait)).
    pub(crate) fn hold(&self) -> Option<OwnedSemaphorePermit> {
        self.leave_for(&self.held)
    }
}

/// The place of a request that no guard has let in: there is room for all.
impl Default for Slot {
    fn default() -> Self {
        Self::of(None, &Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)))
    }
}

impl<S: Sync> FromRequestParts<S> for Slot {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

//! What notifications says: what became of the endpoints to which webhooks are delivered.
//!
//! The subject of every event is the endpoint's name. Deliveries are no events: each endpoint has a log
//! of its own.

use ids::Name;
use serde::{Deserialize, Serialize};
use world::Moment;

crate::events! {
    /// An event of notifications.
    "notifications" {
        /// An endpoint has failed for so long that nothing is sent to it any more, until a person resumes it.
        WebhookEndpointPaused = 1,
        /// An endpoint has said that it is gone for good (410), and is disabled.
        WebhookEndpointGone = 1,
        /// A person has put an endpoint that was paused or gone to work again.
        WebhookEndpointResumed = 1,
    }
}

/// An endpoint has failed for so long that nothing is sent to it any more, until a person resumes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpointPaused {
    /// The endpoint.
    pub endpoint: Name,
    /// Since when nothing could be delivered.
    pub failing_since: Moment,
    /// Why the last delivery failed.
    pub reason: String,
}

/// An endpoint has said that it is gone for good (410), and is disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpointGone {
    /// The endpoint.
    pub endpoint: Name,
}

/// A person has put an endpoint that was paused or gone to work again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpointResumed {
    /// The endpoint.
    pub endpoint: Name,
}

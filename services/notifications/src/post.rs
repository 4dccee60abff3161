//! The port through which messages leave.
//!
//! ```text
//! courier ─▶ Letter ─▶ Post: the network ([`Outbound`]), or whoever plays it ─▶ Outcome ─▶ Note
//! ```
//!
//! **Invariant:** nothing is posted while a transaction is open.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use web::{Outbound, Target};

use crate::domain::Outcome;

/// A message as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Where it goes.
    pub url: String,
    /// What Standard Webhooks asks for: its id, the time in seconds, the signatures.
    pub headers: [(&'static str, String); 3],
    /// The text that is signed.
    pub body: Bytes,
    /// How long the answer may take; one that comes later is none.
    pub within: Duration,
}

/// What came of a message, once that is known.
pub type Posted = BoxFuture<'static, Outcome>;

/// Whoever brings messages to endpoints, and their answers back.
pub trait Post: Send + Sync {
    /// Posts a message once, and says what came of it.
    fn post(&self, letter: Letter) -> Posted;
}

impl Post for Outbound {
    fn post(&self, letter: Letter) -> Posted {
        let outbound = self.clone();
        async move {
            let Letter { url, headers, body, within } = letter;
            let target = match Target::read(&url, outbound.reach()) {
                Ok(target) => target,
                Err(fault) => return Outcome::Unanswered { cause: format!("cannot be asked: {fault}") },
            };
            match outbound.post(&target, &headers, body, within).await {
                Ok(reply) => Outcome::Answered {
                    status: reply.status,
                    retry_after_secs: reply.retry_after_secs,
                    body: String::from_utf8_lossy(&reply.piece).into_owned(),
                },
                Err(unanswered) => Outcome::Unanswered { cause: unanswered.to_string() },
            }
        }
        .boxed()
    }
}

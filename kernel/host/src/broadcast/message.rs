//! An event as all who listen are told of it, and who wants it.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use db::{Envelope, Position};
use events::EventDocument;
use web::Cursor;

use crate::feed_route::Place;

/// Which events somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interest {
    /// Only those about this.
    pub(crate) subject: Option<Arc<str>>,
    /// Only those of these types; all where there is none.
    pub(crate) kinds: Arc<BTreeSet<String>>,
}

impl Interest {
    pub(crate) fn wants(&self, event: &Envelope) -> bool {
        self.subject.as_deref().is_none_or(|subject| subject == &*event.subject) && has(&self.kinds, event)
    }
}

pub(super) fn has(kinds: &BTreeSet<String>, event: &Envelope) -> bool {
    kinds.is_empty() || kinds.contains(&*event.kind)
}

/// An event as all who listen are told of it.
#[derive(Debug)]
pub(crate) struct Message {
    event: Arc<Envelope>,
    text: OnceLock<Option<Bytes>>,
}

impl Message {
    pub(crate) fn of(event: Arc<Envelope>) -> Self {
        Self { event, text: OnceLock::new() }
    }

    pub(crate) fn position(&self) -> Position {
        self.event.position
    }

    /// The message of a stream that it is; none where the event cannot be read.
    pub(crate) fn text(&self) -> Option<Bytes> {
        self.text.get_or_init(|| text(&self.event)).clone()
    }
}

/// An event as a message of a stream: its id is the cursor after it.
fn text(event: &Envelope) -> Option<Bytes> {
    let document = EventDocument::try_from(event).map_err(|failure| failure.to_string());
    let json = document.and_then(|document| serde_json::to_string(&document).map_err(|error| error.to_string()));
    match json {
        Ok(json) => {
            let cursor = Cursor::new(&Place(Some(event.incarnation), event.position));
            // Between the parts of a document a break is as good as a space; within texts there is none.
            let json = json.replace(['\n', '\r'], " ");
            Some(format!("id: {cursor}\nevent: {}\ndata: {json}\n\n", event.kind).into())
        }
        Err(cause) => {
            tracing::error!(event = event.id(), cause, "An event cannot be told to those who listen");
            None
        }
    }
}

/// Events that all who want the same are told at once.
#[derive(Debug)]
pub(crate) struct Wave {
    messages: Vec<Arc<Message>>,
    text: OnceLock<Option<Bytes>>,
}

impl Wave {
    pub(super) fn of(messages: Vec<Arc<Message>>) -> Arc<Self> {
        Arc::new(Self { messages, text: OnceLock::new() })
    }

    /// The position of its last event.
    pub(crate) fn last(&self) -> Position {
        self.messages.last().map_or(0, |message| message.position())
    }

    #[cfg(test)]
    pub(super) fn positions(&self) -> Vec<Position> {
        self.messages.iter().map(|message| message.position()).collect()
    }

    /// The messages of a stream that it is, one after another; none where an event cannot be read.
    pub(crate) fn text(&self) -> Option<Bytes> {
        if let [only] = &self.messages[..] {
            return only.text();
        }
        let all = || {
            let texts: Option<Vec<_>> = self.messages.iter().map(|message| message.text()).collect();
            texts.map(|texts| texts.concat().into())
        };
        self.text.get_or_init(all).clone()
    }

    /// About as many bytes as it takes.
    pub(super) fn weight(&self) -> usize {
        self.messages.iter().map(|message| message.event.body.len() + 512).sum()
    }
}

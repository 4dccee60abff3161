//! A service's events as an endless stream: `GET /v1/events/{service}` with `Accept: text/event-stream`.
//!
//! Each message is one event: its `id` is the cursor after it, its `event` the type, its `data` the
//! document. Who was cut off sends the last `id` as `Last-Event-ID` and misses nothing; browsers do so
//! by themselves. The stream ends when the program stops, or when the database does not answer.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use db::{Database, Position};
use events::EventDocument;
use futures_util::stream;
use tokio::sync::watch;
use web::Cursor;

use crate::feed_route::{Asked, Place, look};

/// Whether the caller wants a stream.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/event-stream"))
}

/// What a stream holds between two messages.
struct Streaming {
    database: Database,
    asked: Asked,
    newest: watch::Receiver<Position>,
    stopping: watch::Receiver<bool>,
    found: VecDeque<EventDocument>,
}

/// The stream of what is asked for, from its place on.
pub(crate) fn endless(database: Database, asked: Asked, stopping: watch::Receiver<bool>) -> Response {
    let newest = database.ring().newest();
    let streaming = Streaming { database, asked, newest, stopping, found: VecDeque::new() };
    let messages = stream::unfold(streaming, |mut streaming| async {
        let event = streaming.next().await?;
        Some((Ok::<_, Infallible>(message(&event)), streaming))
    });
    Sse::new(messages).keep_alive(KeepAlive::default()).into_response()
}

impl Streaming {
    /// The next event; none when the stream ends.
    async fn next(&mut self) -> Option<EventDocument> {
        while self.found.is_empty() {
            if *self.stopping.borrow() {
                return None;
            }
            self.newest.mark_unchanged();
            // Why it fails stands in the answer to whoever asks again.
            let found = look(&self.database, &self.asked).await.ok()?;
            self.asked.after = found.upto;
            self.found.extend(found.items);
            if self.found.is_empty() && found.at_end {
                tokio::select! {
                    changed = self.newest.changed() => changed.ok()?,
                    _ = self.stopping.changed() => return None,
                }
            }
        }
        self.found.pop_front()
    }
}

fn message(event: &EventDocument) -> Event {
    let cursor = Cursor::new(&Place(Some(event.incarnation), event.position));
    let message = Event::default().id(cursor.to_string()).event(&event.r#type);
    // A document of ours has a JSON form.
    message.json_data(event).unwrap_or_default()
}

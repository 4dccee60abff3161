//! A service's events as an endless stream: `GET /v1/events/{service}` with `Accept: text/event-stream`.
//!
//! Each message is one event: its `id` is the cursor after it, its `event` the type, its `data` the
//! document. Who was cut off sends the last `id` as `Last-Event-ID` and misses nothing; browsers do so
//! by themselves, after as many milliseconds as `retry` said, which differ so that not all come back
//! in the same moment. Where nothing is said for a while, a comment says that the stream is still
//! there, with an `id` that leads past what was looked through meanwhile.
//!
//! A stream first reads what lies behind it, as fast as its reader takes it, then joins the broadcast.
//! It ends when the program stops, when its reader is too slow or would no longer be let in, or when the database
//! does not answer; then its last message is an `end`, with the reason and the cursor from which to go on.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use db::{Database, Position};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use web::{Admission, Cursor};

use crate::board::Part;
use crate::broadcast::{Broadcast, End, Joined, Message, Next, Subscription};
use crate::feed_route::{Asked, Found, Place, look};

/// Whether the caller wants a stream.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted
        .split(',')
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")))
}

/// What a stream holds between two messages.
struct Streaming {
    database: Database,
    broadcast: Arc<Broadcast>,
    asked: Asked,
    heartbeat: Duration,
    /// Why its reader was let in, and when that was last looked at.
    admission: Admission,
    looked_at: Instant,
    stage: Stage,
    /// Everything that was wanted up to here has been handed on.
    told: Position,
    /// When something was last said.
    said_at: Instant,
    _room: OwnedSemaphorePermit,
}

/// How far a stream is.
enum Stage {
    /// Nothing was said yet; this was found.
    Opening(Vec<Message>),
    /// It reads what lies behind it; this was found.
    Behind(VecDeque<Message>),
    /// It is told what is new.
    Joined(Subscription),
    /// It has said its last word.
    Over,
}

/// The last word of a stream.
#[derive(Debug, Serialize)]
struct Farewell {
    reason: &'static str,
    detail: &'static str,
    resume_after: Cursor,
}

/// The stream of what is asked for, from what was found at its place on.
pub(crate) fn endless(
    part: &Part,
    asked: Asked,
    found: Found,
    heartbeat: Duration,
    admission: Admission,
    room: OwnedSemaphorePermit,
) -> Response {
    let told = asked.after;
    let mut streaming = Streaming {
        database: part.database.clone(),
        broadcast: part.streams.clone(),
        asked,
        heartbeat,
        admission,
        looked_at: Instant::now(),
        stage: Stage::Opening(Vec::new()),
        told,
        said_at: Instant::now(),
        _room: room,
    };
    streaming.stage = Stage::Opening(streaming.take(found));
    let messages = stream::unfold(streaming, |mut streaming| async {
        let text = streaming.next().await?;
        Some((Ok::<_, Infallible>(text), streaming))
    });
    // What stands between must neither keep a stream nor hold it back.
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(messages)).into_response()
}

impl Streaming {
    /// What the stream says next; none when it ends.
    async fn next(&mut self) -> Option<Bytes> {
        let said = if self.is_shut_out() { self.end(Reason::NOT_LET_IN) } else { self.say().await };
        self.said_at = Instant::now();
        said
    }

    /// Whether its reader would no longer be let in, as far as it is time to look.
    fn is_shut_out(&mut self) -> bool {
        if matches!(self.stage, Stage::Over) || self.looked_at.elapsed() < self.heartbeat {
            return false;
        }
        self.looked_at = Instant::now();
        !self.admission.holds()
    }

    async fn say(&mut self) -> Option<Bytes> {
        loop {
            match &mut self.stage {
                Stage::Opening(found) => {
                    self.stage = Stage::Behind(std::mem::take(found).into());
                    return Some(opening());
                }
                Stage::Behind(found) => match found.pop_front() {
                    Some(message) => return self.tell(message.position(), message.text()),
                    None => {
                        if let Some(text) = self.go_on().await {
                            return Some(text);
                        }
                    }
                },
                Stage::Joined(subscription) => match subscription.next(self.heartbeat).await {
                    Next::Wave(wave) => return self.tell(wave.last(), wave.text()),
                    Next::Nothing(upto) => {
                        self.told = self.told.max(upto);
                        return Some(self.heartbeat());
                    }
                    Next::End(end) => return self.end(end.into()),
                },
                Stage::Over => return None,
            }
        }
    }

    /// Reads on, or joins the broadcast; says something where that takes long or cannot be.
    async fn go_on(&mut self) -> Option<Bytes> {
        match self.broadcast.join(&self.asked.interest, self.asked.after) {
            Joined::Now(subscription) => self.stage = Stage::Joined(subscription),
            Joined::Behind(upto) => match look(&self.database, &self.asked, upto).await {
                Ok(found) => {
                    self.stage = Stage::Behind(self.take(found).into());
                    // Nothing in it was wanted, and what stands between closes a connection that is silent.
                    if self.told == self.asked.after && self.said_at.elapsed() >= self.heartbeat {
                        return Some(self.heartbeat());
                    }
                }
                // Why it fails stands in the answer to whoever asks again.
                Err(_) => return self.end(Reason::UNAVAILABLE),
            },
            Joined::Ahead => {
                let reached = self.broadcast.reaches(self.asked.after);
                if timeout(self.heartbeat, reached).await.is_err() {
                    return Some(self.heartbeat());
                }
            }
            Joined::Over => return self.end(End::Stopping.into()),
        }
        None
    }

    fn take(&mut self, found: Found) -> Vec<Message> {
        self.asked.after = found.upto;
        if found.items.is_empty() {
            self.told = found.upto;
        }
        found.items.into_iter().map(Message::of).collect()
    }

    fn tell(&mut self, upto: Position, text: Option<Bytes>) -> Option<Bytes> {
        match text {
            Some(text) => {
                self.told = upto;
                Some(text)
            }
            None => self.end(Reason::UNAVAILABLE),
        }
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(&Place(Some(self.database.incarnation()), self.told))
    }

    fn heartbeat(&self) -> Bytes {
        format!(": still here\nid: {}\n\n", self.cursor()).into()
    }

    fn end(&mut self, Reason(reason, detail): Reason) -> Option<Bytes> {
        self.stage = Stage::Over;
        let cursor = self.cursor();
        let farewell = Farewell { reason, detail, resume_after: cursor.clone() };
        let farewell = serde_json::to_string(&farewell).ok()?;
        Some(format!("id: {cursor}\nevent: end\ndata: {farewell}\n\n").into())
    }
}

/// Why a stream ends, and what its reader can do.
struct Reason(&'static str, &'static str);

impl Reason {
    const NOT_LET_IN: Self = Self(
        "not-let-in",
        "The key with which the stream was opened is accepted no more, or it was opened without one and now one is needed. \
         Open it again with a key that is accepted, with `resume_after` as `Last-Event-ID`: nothing is lost.",
    );
    const UNAVAILABLE: Self = Self(
        "unavailable",
        "The events cannot be read at present. Open the stream again, with `resume_after` as `Last-Event-ID`; the answer \
         says what is wrong.",
    );
}

impl From<End> for Reason {
    fn from(end: End) -> Self {
        match end {
            End::Stopping => Self(
                "stopping",
                "The program stops. Open the stream again in a moment, with `resume_after` as `Last-Event-ID`; nothing is lost.",
            ),
            End::TooSlow => Self(
                "too-slow",
                "More events waited to be read than are kept for a stream. Read faster, or ask for fewer with `type` and \
                 `subject`; then open the stream again, with `resume_after` as `Last-Event-ID`: nothing is lost.",
            ),
        }
    }
}

/// The first word of a stream: after how long to come back when it breaks off, of one to five seconds.
fn opening() -> Bytes {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let number = OPENED.fetch_add(1, Ordering::Relaxed);
    // A step that has no divisor in common with the whole spreads them evenly.
    let retry_ms = 1_000 + number.wrapping_mul(1_237) % 4_000;
    format!("retry: {retry_ms}\n\n").into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use db::{Context, Database, Location, MemoryDisk, NewEvent, Options, Trace};
    use telemetry::Counter;
    use tokio::sync::Semaphore;
    use tokio::time::Instant;
    use web::{Admission, Cursor};
    use world::World;

    use super::{Stage, Streaming, opening};
    use crate::broadcast::{Broadcast, Interest};
    use crate::feed_route::{Asked, Place};

    /// A shop that has said so many things, of which nobody wants any.
    async fn shop(said: i64) -> Database {
        let memory = Location::Memory(MemoryDisk::empty());
        let database = Database::open("shop", memory, Options::default(), World::real(), &[]).expect("a database");
        let written = database.write(move |tx| {
            let stream = tx.number();
            for version in 1..=said {
                tx.publish(NewEvent {
                    stream,
                    version,
                    subject: "of no interest".to_owned(),
                    kind: "Said",
                    schema: 1,
                    occurred_at: tx.now(),
                    by: Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }),
                    body: "{}".to_owned(),
                });
            }
            Ok(())
        });
        written.await.expect("it is said");
        database
    }

    /// A stream of what concerns one thing, from the beginning on.
    fn about(subject: &str, database: &Database, heartbeat: Duration) -> Streaming {
        let interest = Interest { subject: Some(subject.into()), ..Interest::default() };
        Streaming {
            database: database.clone(),
            broadcast: Broadcast::of(database, 1_000, Counter::default()),
            asked: Asked { limit: 100, after: 0, interest },
            heartbeat,
            admission: Admission::default(),
            looked_at: Instant::now(),
            stage: Stage::Opening(Vec::new()),
            told: 0,
            said_at: Instant::now(),
            _room: Arc::new(Semaphore::new(1)).try_acquire_owned().expect("room"),
        }
    }

    #[tokio::test]
    async fn who_looks_through_much_is_told_on_the_way_how_far_it_is() {
        let database = shop(25_000).await;
        let mut stream = about("a", &database, Duration::ZERO);
        assert!(stream.next().await.expect("a first word").starts_with(b"retry: "));
        let mut places = Vec::new();
        while places.last() != Some(&25_000) {
            let said = String::from_utf8(stream.next().await.expect("a heartbeat").to_vec()).expect("text");
            let id = said.lines().find_map(|line| line.strip_prefix("id: ")).expect("a cursor");
            let Place(_, upto) = id.parse::<Cursor>().expect("a cursor").open().expect("a place");
            places.push(upto);
        }
        assert!(places.len() >= 3 && places.is_sorted(), "{places:?}");
        assert!(places[0] < 25_000, "{places:?}");
    }

    #[test]
    fn of_those_who_are_cut_off_together_each_comes_back_at_another_time() {
        let texts: BTreeSet<_> = (0..1_000).map(|_| opening()).collect();
        assert_eq!(texts.len(), 1_000);
        let millis = |text: &[u8]| {
            let text = std::str::from_utf8(text).expect("letters");
            text.strip_prefix("retry: ").and_then(|text| text.trim().parse::<u64>().ok())
        };
        assert!(texts.iter().all(|text| millis(text).is_some_and(|millis| (1_000..5_000).contains(&millis))));
    }
}

//! What notifications does when any other service says something.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use db::{Bell, Envelope, Position};
use events::{Feed, FeedError, Listening, Partitions, Slice, Understood, Verdict};
use ids::{Name, Number};
use serde::Serialize;
use serde_json::value::RawValue;
use world::Moment;

use crate::NAME;
use crate::domain::Filter;
use crate::perform::{Answer, Command};

/// The services whose events are told.
pub(crate) const SOURCES: [&str; 3] =
    [contracts::inventory::Event::SOURCE, contracts::orders::Event::SOURCE, contracts::payments::Event::SOURCE];

/// Every type of event that they say.
pub(crate) fn types() -> impl Iterator<Item = &'static str> {
    let of_each =
        [contracts::inventory::Event::KINDS, contracts::orders::Event::KINDS, contracts::payments::Event::KINDS];
    of_each.into_iter().flatten().map(|(kind, _)| *kind)
}

/// The feed of any of them, as notifications understands it.
pub(crate) const ALL: Listening<Command, Answer> = Listening { understand, judge };

/// The type of a message that says nothing.
pub(crate) const TEST: &str = "WebhookTest";

/// An event as it is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Its name, the same each time that it is sent.
    pub(crate) id: String,
    /// What it is about.
    pub(crate) subject: String,
    /// Its type.
    pub(crate) kind: String,
    /// When its service recorded it.
    pub(crate) recorded_at: Moment,
    /// What is sent.
    pub(crate) body: String,
}

/// What is sent: the members that Standard Webhooks asks for, and where the event stands.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: Moment,
    id: &'a str,
    source: &'a str,
    subject: &'a str,
    schema: i64,
    owner: &'a str,
    data: Box<RawValue>,
}

impl Payload<'_> {
    fn written(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and JSON have a JSON form")
    }
}

fn understand(envelope: &Envelope) -> Understood<Command> {
    let data = match RawValue::from_string(envelope.body.to_string()) {
        Ok(data) => data,
        Err(error) => return Understood::Unreadable(error.to_string()),
    };
    let id = envelope.id();
    let payload = Payload {
        r#type: &envelope.kind,
        timestamp: envelope.occurred_at,
        id: &id,
        source: &envelope.source,
        subject: &envelope.subject,
        schema: envelope.schema,
        owner: &envelope.by.owner,
        data,
    };
    let body = payload.written();
    let (subject, kind) = (envelope.subject.to_string(), envelope.kind.to_string());
    Understood::Command(Command::Hear(Box::new(Heard { id, subject, kind, recorded_at: envelope.recorded_at, body })))
}

fn judge(answer: &Answer) -> Verdict {
    match answer {
        Ok(_) => Verdict::Done,
        Err(rejection) => Verdict::Retry(rejection.to_string()),
    }
}

/// A message that says nothing, for an endpoint that is to be tried.
pub(crate) fn test_of(endpoint: &Name, number: Number, now: Moment) -> Heard {
    let id = format!("test-{number}");
    let data = RawValue::from_string("{}".to_owned()).expect("it is JSON");
    let payload = Payload {
        r#type: TEST,
        timestamp: now,
        id: &id,
        source: NAME,
        subject: endpoint.as_str(),
        schema: 1,
        owner: db::LOCAL_OWNER,
        data,
    };
    let body = payload.written();
    Heard { id, subject: endpoint.to_string(), kind: TEST.to_owned(), recorded_at: now, body }
}

/// Which types of events any endpoint may want. It only grows while the process runs, so that no event
/// is passed over that is wanted; which are kept is decided in the transaction.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Mutex<Types>);

#[derive(Debug, Default)]
struct Types {
    /// Whether the endpoints that there are have been looked up; until then all may be wanted.
    are_known: bool,
    all: bool,
    named: BTreeSet<String>,
}

impl Wanted {
    /// From now on what this filter lets through is wanted too.
    pub(crate) fn also(&self, filter: &Filter) {
        let mut types = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        types.all |= filter.types.is_empty();
        types.named.extend(filter.types.iter().cloned());
    }

    /// Everything that was registered before has been added.
    pub(crate) fn are_known(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).are_known = true;
    }

    fn includes(&self, kind: &str) -> bool {
        let types = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(feature = "planted-bugs")]
        if world::planted::is(world::planted::Bug::PassedOverTooEarly) {
            return types.all || types.named.contains(kind);
        }
        !types.are_known || types.all || types.named.contains(kind)
    }
}

/// A feed without what no endpoint wants, so that it costs no transaction.
pub(crate) struct WantedFeed {
    /// The whole feed.
    pub(crate) whole: Arc<dyn Feed>,
    /// What of it is wanted.
    pub(crate) wanted: Arc<Wanted>,
}

impl Feed for WantedFeed {
    fn source(&self) -> &str {
        self.whole.source()
    }

    fn listen(&self, bell: &Arc<Bell>) {
        self.whole.listen(bell);
    }

    fn read(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        let mut slice = self.whole.read(partitions, after, most)?;
        slice.events.retain(|event| self.wanted.includes(&event.kind));
        Ok(slice)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use db::{Context, Database, Location, MemoryDisk, NewEvent, Options, Trace};
    use events::{Feed, Partitions, TableFeed};
    use world::World;

    use super::{Wanted, WantedFeed};
    use crate::domain::Filter;

    async fn said(kinds: &[&'static str]) -> Arc<dyn Feed> {
        let world = World::simulated(1);
        let memory = Location::Memory(MemoryDisk::empty());
        let orders = Database::open("orders", memory, Options::default(), world.clone(), &[]).expect("a database");
        let event = |kind: &'static str| NewEvent {
            stream: world.number(),
            version: 1,
            subject: "a".to_owned(),
            kind,
            schema: 1,
            occurred_at: world.now(),
            by: Context::system("the test", Trace { trace_id: 7, span_id: 7, is_sampled: true }),
            body: "{}".to_owned(),
        };
        let news: Vec<_> = kinds.iter().map(|kind| event(kind)).collect();
        let written = orders.write(move |tx| {
            for event in news {
                tx.publish(event);
            }
            Ok(())
        });
        written.await.expect("it is written");
        Arc::new(TableFeed::of(&orders))
    }

    fn read(feed: &WantedFeed) -> Vec<String> {
        let slice = feed.read(Partitions::ALL, 0, 10).expect("it can be read");
        slice.events.iter().map(|event| event.kind.to_string()).collect()
    }

    #[tokio::test]
    async fn all_is_wanted_until_it_is_known_what_is_and_then_only_that() {
        let wanted = Arc::new(Wanted::default());
        let feed = WantedFeed { whole: said(&["A", "B"]).await, wanted: wanted.clone() };
        let only = |kind: &str| Filter { types: vec![kind.to_owned()], subjects: Vec::new() };
        wanted.also(&only("A"));
        assert_eq!(read(&feed), ["A", "B"], "others may have been registered before");
        wanted.are_known();
        assert_eq!(read(&feed), ["A"]);
        let upto = feed.read(Partitions::ALL, 0, 10).expect("it can be read").upto;
        assert_eq!(upto, 2, "what is passed over is read all the same");
        wanted.also(&only("B"));
        assert_eq!(read(&feed), ["A", "B"]);
        wanted.also(&Filter::default());
        assert_eq!(read(&feed), ["A", "B"]);
    }
}

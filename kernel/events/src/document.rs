//! Events as JSON: on the wire between services, in the public interface, and in parked rows.

use db::{Context, Envelope, Failure};
use ids::Number;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use world::Moment;

/// An event as it is shown to others. Unknown members are ignored: a newer neighbour is no error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventDocument {
    /// A name that no other event has.
    pub id: String,
    /// The service that published it.
    pub source: String,
    /// The life of that service's database.
    pub incarnation: Number,
    /// Where it stands among all events of its source.
    pub position: i64,
    /// The partition of its subject.
    pub partition: u8,
    /// The number of the thing that it happened to.
    pub stream: Number,
    /// Its place among the events of that thing, from 1.
    pub version: i64,
    /// What it is about.
    pub subject: String,
    /// Its type, such as `OrderPlaced`.
    pub r#type: String,
    /// The version of that type's schema.
    pub schema: i64,
    /// When it happened.
    pub occurred_at: Moment,
    /// When it was committed.
    pub recorded_at: Moment,
    /// The trace that it is part of, as the W3C writes it.
    pub traceparent: String,
    /// The request or story that it belongs to.
    pub correlation: String,
    /// The request or event that caused it.
    pub causation: String,
    /// Who did it.
    pub actor: String,
    /// Whose names the names in it are.
    pub owner: String,
    /// Where the write came from.
    pub origin: String,
    /// The market that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub market: Option<String>,
    /// What happened.
    pub data: Box<RawValue>,
}

impl TryFrom<&Envelope> for EventDocument {
    type Error = Failure;

    fn try_from(event: &Envelope) -> Result<Self, Failure> {
        let data = RawValue::from_string(event.body.to_string())
            .map_err(|error| Failure::Corrupt(format!("the body of event {}: {error}", event.id())))?;
        Ok(Self {
            id: event.id(),
            source: event.source.to_string(),
            incarnation: event.incarnation,
            position: event.position,
            partition: event.partition,
            stream: event.stream,
            version: event.version,
            subject: event.subject.to_string(),
            r#type: event.kind.to_string(),
            schema: event.schema,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            traceparent: event.by.trace.to_string(),
            correlation: event.by.correlation.to_string(),
            causation: event.by.causation.to_string(),
            actor: event.by.actor.to_string(),
            owner: event.by.owner.to_string(),
            origin: event.by.origin.as_str().to_owned(),
            market: event.by.market.as_ref().map(ToString::to_string),
            data,
        })
    }
}

impl TryFrom<EventDocument> for Envelope {
    type Error = db::Unreadable;

    fn try_from(event: EventDocument) -> Result<Self, db::Unreadable> {
        Ok(Self {
            source: event.source.into(),
            incarnation: event.incarnation,
            position: event.position,
            partition: event.partition,
            stream: event.stream,
            version: event.version,
            subject: event.subject.into(),
            kind: event.r#type.into(),
            schema: event.schema,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            by: Context {
                actor: event.actor.parse()?,
                owner: event.owner.into(),
                origin: event.origin.parse()?,
                market: event.market.map(Into::into),
                trace: event.traceparent.parse()?,
                correlation: event.correlation.into(),
                causation: event.causation.into(),
            },
            body: event.data.get().into(),
        })
    }
}

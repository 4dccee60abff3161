//! An event of the batch under way, and what is told of it.

use std::sync::Arc;
use std::time::Duration;

use db::{Actor, Asked, Context, Envelope, Trace};
use telemetry::otlp::{Kind, Span};

use super::Understood;

/// An event of the batch under way.
pub(super) struct Taken {
    pub(super) event: Arc<Envelope>,
    pub(super) came: Came,
    pub(super) step: Step,
    /// Whether it could not be dealt with.
    pub(super) has_failed: bool,
}

impl Taken {
    /// How often it was tried before.
    pub(super) fn attempts(&self) -> i64 {
        match self.came {
            Came::Fresh => 0,
            Came::Parked { attempts } => attempts,
        }
    }

    /// The step of its trace in which a service acts on it.
    fn trace(&self, service: &str) -> Trace {
        step_of(&self.event, service, self.attempts())
    }
}

/// Where an event of a batch comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// The feed.
    Fresh,
    /// Those that were put aside, after so many attempts.
    Parked { attempts: i64 },
}

/// What becomes of an event in a batch.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Its command is in the batch.
    Perform,
    /// It waits behind a parked event of its subject.
    QueueBehind,
    /// It cannot be read.
    Bury(String),
    /// It was dealt with before.
    Known,
}

pub(super) fn step<C>(meaning: Understood<C>) -> (Step, Option<C>) {
    match meaning {
        Understood::Command(command) => (Step::Perform, Some(command)),
        Understood::Unreadable(cause) => (Step::Bury(cause), None),
        // Another release understood it when it was parked; this one has no use for it.
        Understood::Nothing => (Step::Bury("it means nothing to this release".into()), None),
    }
}

/// A command in the name of the service that said the event, as a consequence of it and the next step
/// of its trace.
pub(super) fn asked<C>(command: C, taken: &Taken, service: &str) -> Asked<C> {
    let event = &taken.event;
    let actor = Actor::Service(event.source.clone());
    let (trace, causation) = (taken.trace(service), event.id().into());
    Asked::new(command, Context { actor, trace, causation, ..event.by.clone() })
}

/// The step of its trace in which a service acts on an event that it has tried so often before: another
/// for each try, and the same however often a try is made of which nothing was kept.
fn step_of(event: &Envelope, service: &str, attempts: i64) -> Trace {
    let id = event.id();
    let cause = if attempts == 0 { id } else { format!("{id}, tried {attempts} times before") };
    event.by.trace.step_for(service, &cause)
}

/// Says that an event was taken in: in the log where somebody wants to know that of each, and, where it was
/// acted on, as a step of its trace.
pub(super) fn tell(taken: &Taken, service: &str, took: Duration) {
    let (event, trace) = (&taken.event, taken.trace(service));
    let (parent, request_id) = (event.by.trace.span_id, &*event.by.correlation);
    if taken.step != Step::QueueBehind {
        trace.tell(Some(parent), took, || span(taken, service));
    }
    tracing::debug!(
        service,
        event = event.id(),
        r#type = %event.kind,
        subject = %event.subject,
        trace_id = trace.id(),
        parent_id = format!("{parent:016x}"),
        span_id = format!("{:016x}", trace.span_id),
        request_id,
        "An event was taken in"
    );
}

/// What is said of a step in which a service acts on an event.
/// Source: <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>.
fn span(taken: &Taken, service: &str) -> Span {
    let event = &taken.event;
    Span {
        name: format!("hear {}", event.kind),
        kind: Kind::Consumer,
        service: service.to_owned(),
        has_failed: taken.has_failed,
        attributes: vec![
            ("messaging.system", "banyan".into()),
            ("messaging.operation.name", "hear".into()),
            ("messaging.operation.type", "process".into()),
            ("messaging.destination.name", (*event.source).into()),
            ("messaging.message.id", event.id().into()),
            ("banyan.subject", (*event.subject).into()),
            ("banyan.request_id", (*event.by.correlation).into()),
            ("banyan.attempt", (taken.attempts() + 1).into()),
        ],
    }
}

//! Spans that wait to be sent.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use super::sampler::Sampler;
use crate::Meters;

/// Where in a trace a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The trace.
    pub trace_id: u128,
    /// The step in it.
    pub span_id: u64,
    /// The step that it follows from; none where it is the first.
    pub parent: Option<u64>,
    /// Whether whoever began the trace wants to see it.
    pub is_sampled: bool,
}

/// What was done in a step of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What was done, such as `PUT /v1/orders/{id}`: one of few.
    pub name: String,
    /// How it stands to its parent.
    pub kind: Kind,
    /// Whose step it is, such as `orders`.
    pub service: String,
    /// Whether it did not work.
    pub has_failed: bool,
    /// What else is said of it.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// How a step stands to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It answers a request.
    Server,
    /// It asks somebody else.
    Client,
    /// It acts on an event.
    Consumer,
    /// It is done within a service.
    Internal,
}

/// A value that is said of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

/// A step that somebody has told of.
#[derive(Debug)]
pub struct Told {
    pub(super) step: Step,
    pub(super) span: Span,
    pub(super) ended_at: SystemTime,
    pub(super) took: Duration,
}

/// Where steps are told of.
struct Ear {
    sampler: Sampler,
    waiting: mpsc::Sender<Told>,
    dropped: Counter,
}

static EAR: OnceLock<Ear> = OnceLock::new();

/// Steps of this process that wait to be sent.
#[derive(Debug)]
pub struct Spans {
    waiting: mpsc::Receiver<Told>,
    /// Those that a collector has taken.
    pub sent: Counter,
    /// Those that found no room, or that no collector took.
    pub dropped: Counter,
}

/// Begins to gather the steps of the traces that the sampler takes, `most` at a time.
///
/// A process has one queue; where another has begun already, this one stays empty.
pub fn start(sampler: Sampler, most: usize, meters: &Meters) -> Spans {
    let counter = |outcome: &str| {
        let help = "Spans that the collector took, and that were dropped because it did not";
        meters.labelled("outcome", outcome).counter("otlp_spans", help)
    };
    let (sent, dropped) = (counter("sent"), counter("dropped"));
    let (sender, waiting) = mpsc::channel(most.max(1));
    // The first one stays.
    let _ = EAR.set(Ear { sampler, waiting: sender, dropped: dropped.clone() });
    Spans { waiting, sent, dropped }
}

/// Whether anybody wants to know of steps.
pub fn is_on() -> bool {
    EAR.get().is_some()
}

/// Whether a trace that begins here, or goes on from one of others that was decided on, is sampled.
pub fn samples(parent: Option<bool>, trace_id: u128) -> bool {
    EAR.get().map_or(parent.unwrap_or(true), |ear| ear.sampler.takes(parent, trace_id))
}

/// Tells of a step that has just ended and took so long; nothing is made where nobody wants to know.
pub fn tell(step: Step, took: Duration, of: impl FnOnce() -> Span) {
    if let Some(ear) = EAR.get() {
        ear.hear(step, took, of);
    }
}

impl Ear {
    #[expect(clippy::disallowed_methods, reason = "when a step ended is told to others, and decides nothing")]
    fn hear(&self, step: Step, took: Duration, of: impl FnOnce() -> Span) {
        if !self.sampler.takes(Some(step.is_sampled), step.trace_id) {
            return;
        }
        match self.waiting.try_reserve() {
            Ok(place) => place.send(Told { step, span: of(), ended_at: SystemTime::now(), took }),
            Err(_) => {
                self.dropped.inc();
            }
        }
    }
}

impl Spans {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first that wait into a batch, until that holds so many.
    pub fn fill(&mut self, batch: &mut Vec<Told>, most: usize) {
        while batch.len() < most
            && let Ok(told) = self.waiting.try_recv()
        {
            batch.push(told);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Kind, Span, Step, start, tell};
    use crate::Meters;
    use crate::otlp::Sampler;

    /// The one test that begins to gather in this process.
    #[test]
    fn a_queue_takes_what_is_sampled_as_far_as_there_is_room_and_counts_the_rest() {
        let meters = Meters::new();
        let told = |span_id, is_sampled| {
            let step = Step { trace_id: 7, span_id, parent: None, is_sampled };
            let service = "orders".to_owned();
            let made = || Span {
                name: "step".to_owned(),
                kind: Kind::Internal,
                service,
                has_failed: false,
                attributes: Vec::new(),
            };
            tell(step, Duration::ZERO, made);
        };
        told(1, true);
        let mut spans = start(Sampler { part: 1.0, heeds_parent: true }, 2, &meters);
        (2..6).for_each(|span_id| told(span_id, span_id != 3));
        assert_eq!((spans.len(), spans.dropped.get()), (2, 1));
        let mut batch = Vec::new();
        spans.fill(&mut batch, 1);
        told(6, true);
        spans.fill(&mut batch, 9);
        let taken: Vec<_> = batch.iter().map(|told| told.step.span_id).collect();
        assert!(taken == [2, 4, 6] && spans.is_empty(), "{taken:?}");
        assert!(meters.render().contains("banyan_otlp_spans_total{outcome=\"dropped\"} 1\n"));
    }
}

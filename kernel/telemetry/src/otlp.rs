//! What is sent to a collector of OpenTelemetry: spans and metrics, in the form of OTLP.
//!
//! ```text
//! tell(step, took, || Span …) ─▶ Spans, a bounded queue; dropped where it is full ─▶ trace_request ─┐
//! the text of /metrics ─────────────────────────────────────────────────────────▶ metrics_request ─┴▶ whoever sends it
//! ```
//!
//! Nothing is sent from here, for HTTP is asked elsewhere. Until [`start`] is called there is no queue,
//! and telling of a step costs one look at that.
//!
//! **Invariant:** whoever tells of a step never waits, however the collector does.

mod metrics;
mod rejected;
mod resource;
mod sampler;
mod spans;
mod traces;

pub use metrics::metrics_request;
pub use rejected::{Rejected, rejected_points, rejected_spans};
pub use resource::Resource;
pub use sampler::Sampler;
pub use spans::{Attribute, Kind, Span, Spans, Step, Told, is_on, samples, start, tell};
pub use traces::trace_request;

//! What the program tells of itself: logs to read, and meters to count and time.
//!
//! ```text
//! tracing  ──▶ init(Format, filter)  ──▶ stderr: lines for a person, or JSON for a machine
//! Meters   ──▶ counter, gauge, seconds, counts, bytes  ──▶ render(): the text of /metrics
//! Stopwatch ─▶ how long something took, for a meter
//! otlp     ──▶ spans and meters in the form in which collectors of OpenTelemetry take them
//! ```
//!
//! A log message is a sentence that reads alone, and what differs from one to the next stands in
//! fields. A request runs in a span with the fields `trace_id` and `request_id`, which every line
//! within it then carries:
//!
//! ```
//! let request = tracing::info_span!("request", trace_id = "4bf92f", request_id = "r-1");
//! request.in_scope(|| tracing::info!(order = "A-7", "Order cancelled: payment timed out"));
//! ```
//!
//! **Invariant:** what is logged or measured decides nothing; time that decides comes from `world`.

mod disk;
mod log;
mod meters;
pub mod otlp;
mod process;
mod stopwatch;

pub use log::{Format, LogError, init};
pub use meters::{BYTES_BUCKETS, CONTENT_TYPE, COUNT_BUCKETS, Meters, SECONDS_BUCKETS, SecondsGauge};
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
pub use prometheus_client::registry::Registry;
pub use stopwatch::Stopwatch;

//! Sends spans and metrics to a collector of OpenTelemetry.
//!
//! ```text
//! spans:   every few seconds, or when a batch is full ─▶ POST …/v1/traces    not taken? again for a while, then dropped
//! metrics: every minute                               ─▶ POST …/v1/metrics   not taken? the next minute has them too
//!                                                        taken in part? the rest is dropped, for it would be rejected again
//! the end: what is left, for as long as FAREWELL
//! ```

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::Method;
use db::{Context, Trace};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use telemetry::otlp::{self, Rejected, Resource, Sampler, Spans, Told};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use web::{Client, NoAnswer, Trust};

use crate::board::Board;
use crate::metrics;

/// How long after the first try a batch is sent again; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long the program waits at its end for what is left to be taken.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of an answer that are looked at, at most; a longer one is read to its end and says nothing.
const ANSWER_BYTES: usize = 64 * 1024;
/// How often it is looked whether a batch is full.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a program tells collectors of itself, and how.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// Who takes its spans; nobody where they are not sent.
    pub traces: Option<Collector>,
    /// Who takes its metrics; nobody where they are not sent.
    pub metrics: Option<Collector>,
    /// What it says it is.
    pub resource: Resource,
    /// Which traces are sent.
    pub sampler: Sampler,
    /// Spans that may wait; more are dropped.
    pub queue_spans: usize,
    /// Spans that are sent at once, at most.
    pub batch_spans: usize,
    /// How long spans wait for others to be sent with.
    pub spans_every: Duration,
    /// How long it is tried to send a batch of spans.
    pub spans_patience: Duration,
    /// How often metrics are sent.
    pub metrics_every: Duration,
}

/// Where one kind of telemetry is taken.
#[derive(Clone, Debug)]
pub struct Collector {
    client: Client,
    timeout: Duration,
    is_gzip: bool,
}

impl Collector {
    /// The collector at this address, which has so long to answer.
    pub fn at(url: &str, timeout: Duration, is_gzip: bool, trust: &Trust) -> Result<Self, String> {
        let encoding = is_gzip.then(|| ("content-encoding".to_owned(), "gzip".to_owned()));
        Ok(Self { client: Client::trusting(url, trust)?.with_headers(encoding.as_slice())?, timeout, is_gzip })
    }

    /// The same, which wants these headers.
    pub fn with_headers(self, headers: &[(String, String)]) -> Result<Self, String> {
        Ok(Self { client: self.client.with_headers(headers)?, ..self })
    }

    /// A request as it goes over the wire.
    fn packed(&self, request: Vec<u8>) -> Bytes {
        let gzip = || -> io::Result<Vec<u8>> {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(&request)?;
            packed.finish()
        };
        if self.is_gzip { gzip().expect("a vector takes what is written").into() } else { request.into() }
    }

    /// Has a request taken, and gives back what is said of it.
    async fn take(&self, packed: Bytes, by: &Context) -> Result<Vec<u8>, NoAnswer> {
        let sent = async {
            let body = Some(("application/x-protobuf", Body::from(packed)));
            let mut answer = self.client.stream(Method::POST, "", body, "application/x-protobuf", by).await?;
            let (mut said, mut length) = (Vec::new(), 0);
            while let Some(bytes) = answer.next().await {
                let bytes = bytes?;
                length += bytes.len();
                if length > ANSWER_BYTES {
                    said.clear();
                } else {
                    said.extend_from_slice(&bytes);
                }
            }
            Ok(said)
        };
        timeout(self.timeout, sent).await.unwrap_or(Err(NoAnswer::TooLate))
    }
}

/// Begins to send; goes on until `ended`'s sender is gone, and then for a moment with what is left.
pub(crate) fn start(otlp: &Otlp, board: &Arc<Board>, ended: &watch::Receiver<()>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let by = Context::system("telemetry", Trace::begin(&mut board.world.chance("telemetry")));
    let wire = |collector: &Collector, what, rejected| {
        let (collector, by) = (collector.clone(), by.clone());
        Wire { collector, by, what, rejected, is_failing: false, is_rejecting: false }
    };
    if let Some(collector) = &otlp.traces {
        let spans = otlp::start(otlp.sampler, otlp.queue_spans, &board.meters);
        let wire = wire(collector, "spans", otlp::rejected_spans);
        let traces = Traces { otlp: otlp.clone(), wire, spans, batch: Vec::new(), dropped_before: 0 };
        tasks.spawn(traces.run(ended.clone()));
    }
    if let Some(collector) = &otlp.metrics {
        let wire = wire(collector, "metrics", otlp::rejected_points);
        let metrics = Metrics { otlp: otlp.clone(), wire, board: board.clone(), began: now() };
        tasks.spawn(metrics.run(ended.clone()));
    }
    tasks
}

#[expect(clippy::disallowed_methods, reason = "since when counters count is told to others, and decides nothing")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The way to a collector, and how it does.
struct Wire {
    collector: Collector,
    by: Context,
    /// What goes over it.
    what: &'static str,
    /// What an answer says that was not taken.
    rejected: fn(&[u8]) -> Option<Rejected>,
    is_failing: bool,
    is_rejecting: bool,
}

impl Wire {
    /// Sends a request; gives back how much of it was rejected where it was taken.
    async fn send(&mut self, packed: Bytes) -> Result<u64, NoAnswer> {
        let answer = self.collector.take(packed, &self.by).await;
        let answer = answer.inspect_err(|fault| self.fails(&told(fault)))?;
        let rejected = (self.rejected)(&answer);
        if let Some(Rejected { count, why }) = rejected.as_ref().filter(|_| !self.is_rejecting) {
            let message = "The collector of OpenTelemetry has taken only a part of what it was sent; the rest is dropped, and so is what it rejects from now on";
            tracing::warn!(what = self.what, rejected = count, why, "{message}");
        }
        self.is_rejecting = rejected.is_some();
        Ok(rejected.map_or(0, |rejected| rejected.count))
    }

    /// Says once for each time that the collector does not keep up.
    fn fails(&mut self, fault: &str) {
        if !self.is_failing {
            let message = "The collector of OpenTelemetry does not take what it is sent; it is tried again, and what finds no room meanwhile is dropped";
            tracing::warn!(what = self.what, fault, "{message}");
        }
        self.is_failing = true;
    }

    fn works(&mut self) {
        if self.is_failing {
            tracing::info!(what = self.what, "The collector of OpenTelemetry takes what it is sent again");
        }
        self.is_failing = false;
    }
}

/// Why nothing was taken; what a collector says of it is meant for others than people.
fn told(fault: &NoAnswer) -> String {
    match fault {
        NoAnswer::Refused(refusal) => format!("it answers with status {}", refusal.status),
        other => other.to_string(),
    }
}

/// After how long at least it is worth to send the same again, if it is.
/// Source: <https://opentelemetry.io/docs/specs/otlp/#failures-1>.
fn again_after(fault: &NoAnswer) -> Option<Duration> {
    match fault {
        NoAnswer::Refused(refusal) if matches!(refusal.status, 429 | 502 | 503 | 504) => {
            Some(Duration::from_secs(refusal.retry_after_secs.unwrap_or(0).into()))
        }
        NoAnswer::NotConnected(_) | NoAnswer::TooLate | NoAnswer::BrokeOff(_) => Some(Duration::ZERO),
        NoAnswer::Refused(_) | NoAnswer::NotTrusted(_) | NoAnswer::Unreadable(_) => None,
    }
}

/// Sends spans.
struct Traces {
    otlp: Otlp,
    wire: Wire,
    spans: Spans,
    /// On its way; it stays here until it is taken or given up, also when the program ends meanwhile.
    batch: Vec<Told>,
    /// How many were dropped by the last time that it was looked.
    dropped_before: u64,
}

impl Traces {
    async fn run(mut self, mut ended: watch::Receiver<()>) {
        let at_work = async {
            loop {
                self.gather().await;
                self.send(self.otlp.spans_patience).await;
            }
        };
        tokio::select! {
            () = at_work => {}
            _ = ended.changed() => {}
        }
        let dropped_before = self.spans.dropped.get();
        let all = async {
            while !self.batch.is_empty() || !self.spans.is_empty() {
                self.spans.fill(&mut self.batch, self.otlp.batch_spans);
                self.send(Duration::ZERO).await;
            }
        };
        let _ = timeout(FAREWELL, all).await;
        let left = self.spans.dropped.get() - dropped_before + (self.batch.len() + self.spans.len()) as u64;
        if left > 0 {
            tracing::warn!(left, "The program ends, and the collector of OpenTelemetry has not taken the last spans");
        }
    }

    /// Waits until there is a full batch, or until it is time to send what there is.
    async fn gather(&mut self) {
        let due = Instant::now() + self.otlp.spans_every;
        while Instant::now() < due && self.spans.len() < self.otlp.batch_spans {
            sleep_until(due.min(Instant::now() + LOOK_EVERY)).await;
        }
        self.spans.fill(&mut self.batch, self.otlp.batch_spans);
    }

    /// Sends the batch, again and again as long as there is patience, and drops it then.
    async fn send(&mut self, patience: Duration) {
        if self.batch.is_empty() {
            return;
        }
        let until = Instant::now() + patience;
        let packed = self.wire.collector.packed(otlp::trace_request(&self.batch, &self.otlp.resource));
        let mut pause = FIRST_PAUSE;
        let taken = loop {
            let taken = self.wire.send(packed.clone()).await;
            let again_after = taken.as_ref().err().and_then(again_after).map(|least| pause.max(least));
            match again_after {
                Some(wait) if Instant::now() + wait < until => sleep(wait).await,
                _ => break taken,
            }
            pause *= 2;
        };
        let spans = self.batch.drain(..).count() as u64;
        let rejected = taken.as_ref().map_or(0, |rejected| spans.min(*rejected));
        let lost = if taken.is_ok() { rejected } else { spans };
        self.spans.sent.inc_by(spans - lost);
        self.spans.dropped.inc_by(lost);
        let dropped = self.spans.dropped.get();
        // What is rejected was not too much, and has been told of.
        if dropped > self.dropped_before + rejected {
            self.wire.fails("it takes them more slowly than they come");
        } else {
            self.wire.works();
        }
        self.dropped_before = dropped;
    }
}

/// Sends metrics.
struct Metrics {
    otlp: Otlp,
    wire: Wire,
    board: Arc<Board>,
    began: SystemTime,
}

impl Metrics {
    async fn run(mut self, mut ended: watch::Receiver<()>) {
        let at_work = async {
            loop {
                sleep(self.otlp.metrics_every).await;
                metrics::look_up(&self.board).await;
                self.send().await;
            }
        };
        tokio::select! {
            () = at_work => {}
            _ = ended.changed() => {}
        }
        // What is looked up stays as it was, for the databases are closed.
        let _ = timeout(FAREWELL, self.send()).await;
    }

    async fn send(&mut self) {
        let request = otlp::metrics_request(&metrics::text(&self.board), self.began, &self.otlp.resource);
        if self.wire.send(self.wire.collector.packed(request)).await.is_ok() {
            self.wire.works();
        }
    }
}

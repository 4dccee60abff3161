//! A collector of OpenTelemetry, as far as the tests need one.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Said;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

use super::{STEP, TRACE};

pub(super) type Attributes = BTreeMap<String, Value>;

/// What a collector has taken.
#[derive(Default)]
pub(super) struct Taken {
    /// Spans, each with what is said of the service whose it is.
    pub(super) spans: Vec<(Attributes, Span)>,
    /// The last of each metric, and of what it is.
    pub(super) metrics: BTreeMap<String, (Attributes, Data)>,
    pub(super) heads: Vec<String>,
    /// The heads of those of which it has rejected nothing.
    pub(super) whole: Vec<String>,
}

/// Why a collector does not take everything.
pub(super) const TOO_LONG: &str = "its name is too long";

/// A collector.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    rejects: Arc<AtomicBool>,
}

impl Collector {
    /// One that takes everything.
    pub(super) fn new() -> Self {
        Self::answering("200 OK")
    }

    #[expect(clippy::disallowed_methods, reason = "a test takes in beside itself what the program sends")]
    pub(super) fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("an address");
        let collector = Self { address, taken: Arc::default(), rejects: Arc::default() };
        let (taken, rejects) = (collector.taken.clone(), collector.rejects.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                take(stream, status, &taken, rejects.load(Ordering::Relaxed));
            }
        });
        collector
    }

    /// From now on one of each request is rejected, or none any more.
    pub(super) fn rejects_one(&self, one: bool) {
        self.rejects.store(one, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("nobody panics in here")
    }

    /// The spans of the caller's trace, and of which service each is.
    pub(super) fn of_the_trace(&self) -> Vec<(String, Span)> {
        let spans = self.taken().spans.clone();
        let of_service = |(of, span): (Attributes, Span)| (text(&of["service.name"]), span);
        spans.into_iter().filter(|(_, span)| hex(&span.trace_id) == TRACE).map(of_service).collect()
    }

    /// Waits for the last steps of an order that is paid; gives back all.
    pub(super) fn whole_checkout(&self) -> Vec<(String, Span)> {
        testkit::eventually("the last steps and all parents are told", || {
            let spans = self.of_the_trace();
            let has = |name: &str| spans.iter().any(|(_, span)| span.name == name);
            let is_told = |parent: &[u8]| hex(parent) == STEP || spans.iter().any(|(_, span)| span.span_id == parent);
            // The request is answered last.
            has("PUT /v1/orders/{id}")
                && has("hear PaymentCaptured")
                && spans.iter().all(|(_, span)| is_told(&span.parent_span_id))
        });
        self.of_the_trace()
    }
}

/// Takes one request, and answers it so.
fn take(mut stream: TcpStream, status: &str, taken: &Mutex<Taken>, rejects_one: bool) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    if head.contains("content-encoding: gzip") {
        let mut whole = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut whole).expect("it is packed");
        body = whole;
    }
    let answer = {
        let mut taken = taken.lock().expect("nobody panics in here");
        if head.starts_with("post /v1/traces ") {
            for of in ExportTraceServiceRequest::decode(&*body).expect("it is OTLP").resource_spans {
                let resource = attributes(&of.resource.expect("a resource").attributes);
                let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                taken.spans.extend(spans.map(|span| (resource.clone(), span)));
            }
            let partly = ExportTracePartialSuccess { rejected_spans: 1, error_message: TOO_LONG.to_owned() };
            ExportTraceServiceResponse { partial_success: rejects_one.then_some(partly) }.encode_to_vec()
        } else {
            for of in ExportMetricsServiceRequest::decode(&*body).expect("it is OTLP").resource_metrics {
                let resource = attributes(&of.resource.expect("a resource").attributes);
                let metrics = of.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
                let known = metrics.map(|metric| (metric.name, (resource.clone(), metric.data.expect("data"))));
                taken.metrics.extend(known);
            }
            let partly = ExportMetricsPartialSuccess { rejected_data_points: 1, error_message: TOO_LONG.to_owned() };
            ExportMetricsServiceResponse { partial_success: rejects_one.then_some(partly) }.encode_to_vec()
        }
    };
    {
        let mut taken = taken.lock().expect("nobody panics in here");
        if !rejects_one {
            taken.whole.push(head.clone());
        }
        taken.heads.push(head);
    }
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
    // Whoever has gone does not want to know.
    let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub(super) fn attributes(all: &[KeyValue]) -> Attributes {
    let value = |said: &KeyValue| match said.value.clone().and_then(|value| value.value) {
        Some(Said::StringValue(text)) => json!(text),
        Some(Said::IntValue(number)) => json!(number),
        other => panic!("{other:?}"),
    };
    all.iter().map(|said| (said.key.clone(), value(said))).collect()
}

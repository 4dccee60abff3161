//! What a collector says that it has not taken, of a request that it took else.
//! Source: <https://opentelemetry.io/docs/specs/otlp/#partial-success-1>.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

/// Characters of a collector's message that are kept, at most.
const LONGEST: usize = 300;

/// What a collector has not taken, and will not take if it is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// So many spans, or points of metrics.
    pub count: u64,
    /// Why, as the collector says it; its beginning, where that is long.
    pub why: String,
}

impl Rejected {
    fn of(count: i64, why: &str) -> Option<Self> {
        let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
        Some(Self { count, why: why.chars().take(LONGEST).collect() })
    }
}

/// What the answer to a [`trace_request`](super::trace_request) says that was not taken. One that cannot be read says
/// nothing, as an empty one.
pub fn rejected_spans(answer: &[u8]) -> Option<Rejected> {
    let partly = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    Rejected::of(partly.rejected_spans, &partly.error_message)
}

/// What the answer to a [`metrics_request`](super::metrics_request) says that was not taken.
pub fn rejected_points(answer: &[u8]) -> Option<Rejected> {
    let partly = ExportMetricsServiceResponse::decode(answer).ok()?.partial_success?;
    Rejected::of(partly.rejected_data_points, &partly.error_message)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
    use prost::Message;

    use super::{LONGEST, Rejected, rejected_points, rejected_spans};

    fn spans(rejected_spans: i64, why: &str) -> Vec<u8> {
        let partly = ExportTracePartialSuccess { rejected_spans, error_message: why.to_owned() };
        ExportTraceServiceResponse { partial_success: Some(partly) }.encode_to_vec()
    }

    #[test]
    fn what_is_rejected_is_told_with_its_number_and_the_beginning_of_why() {
        let too_old = Some(Rejected { count: 3, why: "too old".to_owned() });
        assert_eq!(rejected_spans(&spans(3, "too old")), too_old);
        let partly = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: "too old".to_owned() };
        let points = ExportMetricsServiceResponse { partial_success: Some(partly) }.encode_to_vec();
        assert_eq!(rejected_points(&points), too_old);
        let long = rejected_spans(&spans(1, &"ü".repeat(1_000))).expect("one is rejected");
        assert_eq!(long.why.chars().count(), LONGEST);
    }

    #[test]
    fn an_answer_that_rejects_nothing_says_nothing() {
        for answer in [vec![], spans(0, ""), spans(0, "send fewer"), spans(-1, "what?"), b"{}".to_vec()] {
            assert_eq!(rejected_spans(&answer), None, "{answer:?}");
        }
    }
}

//! The page of the meters in the form of OTLP: the same names and values as on `/metrics`.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use prost::Message;

use super::resource::{Resource, scope, text};
use super::traces::nanos;

/// What is measured is of the whole process, which is called so where it has no other name.
const NAME: &str = "banyan";

/// A request that sends what stands on a page of meters ([`Meters::render`](crate::Meters::render)), as
/// bytes; counters have counted since `began`.
#[expect(clippy::disallowed_methods, reason = "when it was measured is told to others, and decides nothing")]
pub fn metrics_request(page: &str, began: SystemTime, resource: &Resource) -> Vec<u8> {
    let times = Times { began: nanos(began), now: nanos(SystemTime::now()) };
    let metrics = metrics(page, times);
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let resource = Some(resource.of(NAME));
    let resource_metrics = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }.encode_to_vec()
}

#[derive(Clone, Copy)]
struct Times {
    began: u64,
    now: u64,
}

/// A metric as it is read, line by line.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    numbers: Vec<NumberDataPoint>,
    histograms: Vec<HistogramDataPoint>,
}

fn metrics(page: &str, times: Times) -> Vec<Metric> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in page.lines() {
        if let Some((what, name, rest)) = description(line) {
            if families.last().is_none_or(|family| family.name != name) {
                families.push(Family { name, ..Family::default() });
            }
            match (what, families.last_mut()) {
                ("HELP", Some(family)) => family.help = rest,
                ("TYPE", Some(family)) => family.kind = rest,
                _ => {}
            }
        } else if let (Some(family), Some((name, labels, value))) = (families.last_mut(), sample(line)) {
            take(family, name, &labels, value, times);
        }
    }
    families.into_iter().filter_map(metric).collect()
}

/// Of `# TYPE name counter` its three words.
fn description(line: &str) -> Option<(&str, &str, &str)> {
    let (what, rest) = line.strip_prefix("# ")?.split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    Some((what, name, rest))
}

/// The labels of a sample, each with its value.
type Labels = Vec<(String, String)>;

/// Of `name{a="b"} 1` the name, the labels and the value.
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    // An exemplar may follow the value.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// The labels up to `}`, and what follows.
fn labels(text: &str) -> Option<(Labels, &str)> {
    let (mut labels, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        rest = loop {
            match chars.next()? {
                (at, '"') => break &quoted[at + 1..],
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, char) => value.push(char),
            }
        };
        labels.push((name.to_owned(), value));
    }
}

fn take(family: &mut Family<'_>, name: &str, labels: &[(String, String)], value: f64, times: Times) {
    let bound = labels.iter().find(|(name, _)| name == "le").map(|(_, bound)| bound.clone());
    let attributes: Vec<KeyValue> =
        labels.iter().filter(|(name, _)| name != "le").map(|(name, value)| text(name, value)).collect();
    let (start_time_unix_nano, time_unix_nano) = (times.began, times.now);
    if family.kind != "histogram" {
        let value = Some(Value::AsDouble(value));
        family.numbers.push(NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            value,
            ..NumberDataPoint::default()
        });
        return;
    }
    // The lines of a histogram stand together.
    if family.histograms.last().is_none_or(|point| point.attributes != attributes) {
        family.histograms.push(HistogramDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            ..HistogramDataPoint::default()
        });
    }
    let Some(point) = family.histograms.last_mut() else { return };
    match name.rsplit('_').next() {
        Some("sum") => point.sum = Some(value),
        Some("count") => point.count = whole(value),
        _ => {
            // On the page a bucket holds those below it too.
            let below: u64 = point.bucket_counts.iter().sum();
            point.bucket_counts.push(whole(value).saturating_sub(below));
            // The last one has no bound.
            point
                .explicit_bounds
                .extend(bound.and_then(|bound| bound.parse().ok()).filter(|bound: &f64| bound.is_finite()));
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a count before it was written")]
fn whole(value: f64) -> u64 {
    value as u64
}

fn metric(family: Family<'_>) -> Option<Metric> {
    let cumulative = AggregationTemporality::Cumulative.into();
    let Family { name, help, kind, numbers, histograms } = family;
    if numbers.is_empty() && histograms.is_empty() {
        return None;
    }
    let data = match kind {
        "counter" => Data::Sum(Sum { data_points: numbers, aggregation_temporality: cumulative, is_monotonic: true }),
        "histogram" => Data::Histogram(Histogram { data_points: histograms, aggregation_temporality: cumulative }),
        _ => Data::Gauge(Gauge { data_points: numbers }),
    };
    Some(Metric { name: name.to_owned(), description: help.to_owned(), data: Some(data), ..Metric::default() })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;

    use super::{Times, metrics};
    use crate::Meters;

    #[test]
    fn what_is_sent_is_what_stands_on_the_page() {
        let meters = Meters::new();
        let orders = meters.labelled("service", "or\"de\\rs\n");
        orders.counter("placed", "Orders placed").inc_by(3);
        orders.gauge("waiting", "Commands that wait").set(-2);
        let seconds = orders.seconds("took_seconds", "Time that it took");
        for took in [0.000_02, 0.000_07, 0.000_08, 99.0] {
            seconds.observe(took);
        }
        let sent = metrics(&meters.render(), Times { began: 1, now: 2 });
        let find = |name: &str| sent.iter().find(|metric| metric.name == name).and_then(|metric| metric.data.clone());
        let Some(Data::Sum(sum)) = find("banyan_placed") else { panic!("{sent:?}") };
        assert!(sum.is_monotonic && format!("{:?}", sum.data_points[0]).contains("AsDouble(3.0)"), "{sum:?}");
        let said = format!("{:?}", sum.data_points[0].attributes);
        assert!(said.contains("service") && said.contains(r#"or\"de\\rs\n"#), "{said}");
        let Some(Data::Gauge(gauge)) = find("banyan_waiting") else { panic!("{sent:?}") };
        assert!(format!("{gauge:?}").contains("AsDouble(-2.0)"), "{gauge:?}");
        let Some(Data::Histogram(histogram)) = find("banyan_took_seconds") else { panic!("{sent:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.bucket_counts.len()), (4, point.explicit_bounds.len() + 1));
        assert_eq!((&point.bucket_counts[..3], point.bucket_counts.last()), (&[1, 2, 0][..], Some(&1)));
        assert!(find("process_open_fds").is_some());
    }
}

//! What is sent to a collector of OpenTelemetry, as one sees it.

mod collector;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use telemetry::Stopwatch;

use self::collector::{Collector, TOO_LONG, attributes, hex, text};
use crate::binary::{Server, ask_whole, banyan, holds, run};
use crate::serving::addresses;
use crate::tls::Files;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const STEP: &str = "b7ad6b7169203331";

/// What is sent soon.
const SOON: [(&str, &str); 2] = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_METRIC_EXPORT_INTERVAL", "200")];

fn server(data: &Path, collector: SocketAddr, more: &[(&str, &str)]) -> Server {
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data"]);
    up.arg(data).env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
    Server::start(up.envs(more.iter().copied()))
}

/// Places an order as a part of the caller's trace, and waits for its end; its status, and the head of
/// the answer.
fn order(server: &Server, name: &str, flags: &str) -> (Value, String) {
    let line = json!({"sku": "A-1", "quantity": 1, "unit_price": {"amount": 500, "currency": "GBP"}});
    let order = json!({"lines": [line], "payment": {"method": "pm_card_visa"}});
    let headers = format!("traceparent: 00-{TRACE}-{STEP}-{flags}\r\nx-request-id: r-{name}\r\nprefer: wait=20\r\n");
    let (_, head, answer) = ask_whole(server.address, "PUT", &format!("/v1/orders/{name}"), &headers, &order);
    (answer["status"].clone(), head)
}

/// Each step is told once, begins with the caller's, and has a parent that is told too.
fn are_one_trace(spans: &[(String, Span)]) {
    let ids: BTreeSet<_> = spans.iter().map(|(_, span)| hex(&span.span_id)).collect();
    assert_eq!(ids.len(), spans.len(), "each step is told once");
    for (_, span) in spans {
        let parent = hex(&span.parent_span_id);
        assert!(parent == STEP || ids.contains(&parent), "its parent is told too: {span:?}");
        assert_eq!(parent == STEP, span.name == "PUT /v1/orders/{id}", "{span:?}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0, "{span:?}");
    }
    for (service, name, kind) in [
        ("orders", "PUT /v1/orders/{id}", SpanKind::Server),
        ("inventory", "hear OrderPlaced", SpanKind::Consumer),
        ("payments", "hear PaymentDue", SpanKind::Consumer),
        ("payments", "Authorize", SpanKind::Client),
    ] {
        let is_it = |(of, span): &&(String, Span)| of == service && span.name == name && span.kind() == kind;
        assert_eq!(spans.iter().filter(is_it).count(), 1, "{service} {name}");
    }
}

#[test]
fn one_checkout_is_one_trace_of_spans_in_all_services_each_with_its_parent() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::new());
    let more = [
        SOON[0],
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2%2Chunter3, tenant = shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("BANYAN_LOG", "debug"),
    ];
    let server = server(folder.path(), collector.address, &more);
    server.receive(5);
    assert_eq!(order(&server, "o-1", "01").0, "confirmed");
    let spans = collector.whole_checkout();
    are_one_trace(&spans);
    let services: BTreeSet<_> = spans.iter().map(|(service, _)| service.as_str()).collect();
    assert_eq!(services, BTreeSet::from(["inventory", "orders", "payments"]));
    // What the events say of their steps is what is told.
    let ids: BTreeSet<_> = spans.iter().map(|(_, span)| hex(&span.span_id)).collect();
    for service in services {
        let page = server.get(&format!("/v1/events/{service}?limit=500")).1;
        let steps = page["items"].as_array().expect("items").iter().map(|event| text(&event["traceparent"]));
        let steps: Vec<_> = steps.filter(|step| step.contains(TRACE)).collect();
        assert!(!steps.is_empty() && steps.iter().all(|step| ids.contains(&step[36..52])), "{steps:?}");
    }
    // What is said of each.
    let of =
        |name: &str| spans.iter().find(|(_, span)| span.name == name).map(|(_, span)| attributes(&span.attributes));
    let request = json!({"http.request.method": "PUT", "http.route": "/v1/orders/{id}", "url.path": "/v1/orders/o-1",
        "url.scheme": "http", "http.response.status_code": 201, "banyan.request_id": "r-o-1"});
    assert_eq!(json!(of("PUT /v1/orders/{id}")), request);
    let heard = of("hear OrderPlaced").expect("it was heard");
    for (key, value) in [
        ("messaging.operation.type", json!("process")),
        ("messaging.destination.name", json!("orders")),
        ("banyan.subject", json!("o-1")),
        ("banyan.attempt", json!(1)),
    ] {
        assert_eq!(heard[key], value, "{heard:?}");
    }
    let taken = collector.taken();
    for (resource, _) in &taken.spans {
        assert_eq!(resource["service.namespace"], "banyan");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(resource["deployment.environment.name"], "test");
        assert_eq!(
            resource["service.instance.id"], taken.spans[0].0["service.instance.id"],
            "one process is one instance"
        );
    }
    for head in &taken.heads {
        assert!(head.contains("api-key: hunter2,hunter3\r\n") && head.contains("tenant: shop\r\n"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf\r\n") && !head.contains("authorization"), "{head}");
    }
    assert!(!server.said().contains("hunter"), "{}", server.said());
}

#[test]
fn one_checkout_is_one_trace_also_where_services_run_apart() {
    let (folder, collector, all) = (tempfile::tempdir().expect("a folder"), Collector::new(), addresses());
    let services = ["inventory", "orders", "payments"];
    let start = |place: usize| {
        let mut serve = banyan(&["serve", services[place], "--listen", &all[place], "--data"]);
        for (service, address) in services.iter().zip(&all) {
            serve.env(format!("BANYAN_{}__URL", service.to_uppercase()), format!("http://{address}"));
        }
        serve.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address)).envs(SOON);
        Server::start(serve.arg(folder.path()))
    };
    let servers = [start(0), start(1), start(2)];
    servers[0].receive(5);
    assert_eq!(order(&servers[1], "o-1", "01").0, "confirmed");
    are_one_trace(&collector.whole_checkout());
    let taken = collector.taken();
    let instances: BTreeSet<_> = taken.spans.iter().map(|(of, _)| text(&of["service.instance.id"])).collect();
    assert_eq!(instances.len(), 3);
}

#[test]
fn the_metrics_that_are_sent_are_those_of_the_page() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::new());
    let server = server(folder.path(), collector.address, &SOON);
    server.receive(5);
    assert_eq!(order(&server, "o-1", "01").0, "confirmed");
    let page = text(&server.get("/metrics").1);
    let described = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    // Of some nothing is counted yet.
    let counted: Vec<_> = described.filter(|name| page.contains(&format!("\n{name}"))).collect();
    assert!(counted.len() > 15, "{page}");
    let labels = ["method=\"PUT\"", "route=\"/v1/orders/{id}\""];
    let on_page = |name: &str, more: &str| -> f64 {
        let line = page
            .lines()
            .find(|line| line.starts_with(name) && labels.iter().chain([&more]).all(|part| line.contains(part)));
        line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("{name} {more}: {page}"))
    };
    let is_it = |said: &[KeyValue]| {
        let said = attributes(said);
        said.get("method") == Some(&json!("PUT")) && said.get("route") == Some(&json!("/v1/orders/{id}"))
    };
    testkit::eventually("all are sent as they stand on the page", || {
        let taken = collector.taken();
        let Some((of, Data::Sum(requests))) = taken.metrics.get("banyan_http_requests") else { return false };
        assert_eq!(of["service.name"], "banyan");
        let count = requests.data_points.iter().find(|point| is_it(&point.attributes));
        let count = count.and_then(|point| point.value);
        let Some((_, Data::Histogram(seconds))) = taken.metrics.get("banyan_http_request_seconds") else {
            return false;
        };
        let Some(point) = seconds.data_points.iter().find(|point| is_it(&point.attributes)) else { return false };
        let below: u64 = point.bucket_counts.iter().take(16).sum();
        #[expect(clippy::cast_precision_loss, reason = "they are few")]
        let same = [
            (point.count as f64, on_page("banyan_http_request_seconds_count", "")),
            (point.sum.unwrap_or_default(), on_page("banyan_http_request_seconds_sum", "")),
            (below as f64, on_page("banyan_http_request_seconds_bucket", "le=\"0.5\"")),
        ];
        count == Some(Number::AsDouble(on_page("banyan_http_requests_total", "")))
            && same.iter().all(|(sent, shown)| (sent - shown).abs() < 1e-9)
            && counted.iter().all(|name| taken.metrics.contains_key(*name))
    });
}

/// What the page says of spans.
fn spans_that_were(outcome: &str, server: &Server) -> u64 {
    let page = text(&server.get("/metrics").1);
    let line =
        page.lines().find_map(|line| line.strip_prefix(&format!("banyan_otlp_spans_total{{outcome=\"{outcome}\"}} ")));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{page}"))
}

/// Has many orders confirmed, more than the queue holds; stops it, and looks that it did not wait.
fn works_and_stops_soon(mut server: Server) -> String {
    server.receive(50);
    for number in 0..20 {
        assert_eq!(order(&server, &format!("o-{number}"), "01").0, "confirmed");
    }
    testkit::eventually("some are dropped", || spans_that_were("dropped", &server) > 100);
    let told = "The collector of OpenTelemetry does not take";
    testkit::eventually("it is told", || server.said().contains(told));
    assert_eq!(server.said().matches(told).count(), 1, "{}", server.said());
    let watch = Stopwatch::start();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    assert!(watch.elapsed() < Duration::from_secs(8), "{:?}", watch.elapsed());
    server.said()
}

const NARROW: [(&str, &str); 4] = [
    SOON[0],
    ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
    ("OTEL_METRICS_EXPORTER", "none"),
];

#[test]
fn a_collector_that_is_away_holds_nobody_up_and_is_told_of_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("an address");
    works_and_stops_soon(server(folder.path(), nobody, &NARROW));
}

#[test]
fn a_collector_that_never_answers_holds_nobody_up_either() {
    let folder = tempfile::tempdir().expect("a folder");
    // Connections come about, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let more = [&NARROW[..], &[("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")]].concat();
    let said = works_and_stops_soon(server(folder.path(), silent.local_addr().expect("an address"), &more));
    assert!(said.contains("did not answer in time") && said.contains("has not taken the last spans"), "{said}");
}

#[test]
fn what_a_collector_refuses_for_good_is_dropped_and_what_it_cannot_take_now_is_sent_again() {
    for (status, again) in [("400 Bad Request", false), ("503 Service Unavailable", true)] {
        let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::answering(status));
        let more = [SOON[0], ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_BSP_EXPORT_TIMEOUT", "1500")];
        let server = server(folder.path(), collector.address, &more);
        server.receive(5);
        testkit::eventually("it is given up", || spans_that_were("dropped", &server) > 0);
        assert_eq!(spans_that_were("sent", &server), 0);
        let first = collector.taken().spans[0].1.span_id.clone();
        let sent = collector.taken().spans.iter().filter(|(_, span)| span.span_id == first).count();
        assert_eq!(sent, if again { 2 } else { 1 }, "{status}");
        assert!(server.said().contains(&format!("it answers with status {}", &status[..3])), "{}", server.said());
    }
}

#[test]
fn what_a_collector_takes_in_part_is_told_of_once_and_the_rest_is_not_sent_again() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::new());
    let server = server(folder.path(), collector.address, &SOON);
    let told_of = |what: &str| {
        let of_it = |line: &&str| line.contains("has taken only a part") && line.contains(&format!("\"{what}\""));
        server.said().lines().filter(of_it).count()
    };
    collector.rejects_one(true);
    server.receive(5);
    testkit::eventually("both are told of", || (told_of("spans"), told_of("metrics")) == (1, 1));
    assert!(server.said().contains(TOO_LONG), "{}", server.said());
    let count = |heads: &[String], what: &str| {
        heads.iter().filter(|head| head.starts_with(&format!("post /v1/{what} "))).count()
    };
    let asked = |what: &str| count(&collector.taken().heads, what);
    let taken_whole = |what: &str| count(&collector.taken().whole, what);
    let (dropped, points) = (spans_that_were("dropped", &server), asked("metrics"));
    assert_eq!(order(&server, "o-1", "01").0, "confirmed");
    collector.whole_checkout();
    testkit::eventually("more is taken in part", || {
        spans_that_were("dropped", &server) > dropped && asked("metrics") > points + 2
    });
    assert_eq!((told_of("spans"), told_of("metrics")), (1, 1), "{}", server.said());
    collector.rejects_one(false);
    assert_eq!(order(&server, "o-2", "01").0, "confirmed");
    testkit::eventually("all is taken", || taken_whole("traces") > 0 && taken_whole("metrics") > 0);
    collector.rejects_one(true);
    assert_eq!(order(&server, "o-3", "01").0, "confirmed");
    testkit::eventually("it is told of anew", || (told_of("spans"), told_of("metrics")) == (2, 2));
    assert!(!server.said().contains("does not take"), "{}", server.said());
    let taken = collector.taken();
    let ids: BTreeSet<_> = taken.spans.iter().map(|(_, span)| hex(&span.span_id)).collect();
    assert_eq!(ids.len(), taken.spans.len(), "each is sent once");
}

#[test]
fn what_is_left_is_sent_when_the_program_ends() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::new());
    let more = [("OTEL_BSP_SCHEDULE_DELAY", "600000"), ("OTEL_SERVICE_NAME", "shop")];
    let mut server = server(folder.path(), collector.address, &more);
    server.receive(5);
    assert_eq!(order(&server, "o-1", "01").0, "confirmed");
    assert!(collector.of_the_trace().is_empty());
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    let of_the_trace = collector.of_the_trace();
    assert!(of_the_trace.len() > 8 && of_the_trace.iter().all(|(service, _)| service == "shop"), "{of_the_trace:?}");
    assert!(collector.taken().metrics.contains_key("banyan_http_requests"));
    assert!(!server.said().contains("WARN"), "{}", server.said());
}

#[test]
fn who_begins_a_trace_decides_whether_its_steps_are_sent() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::new());
    let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_always_off");
    let server = server(folder.path(), collector.address, &[SOON[0], sampler]);
    // It begins here, and the sampler takes none.
    server.receive(5);
    let (status, head) = order(&server, "o-1", "00");
    assert_eq!(status, "confirmed");
    assert!(head.contains(&format!("traceparent: 00-{TRACE}-")) && head.contains("-00\r\n"), "{head}");
    let events = server.get("/v1/events/payments?limit=500").1;
    let steps: Vec<_> =
        events["items"].as_array().expect("items").iter().map(|event| text(&event["traceparent"])).collect();
    assert!(!steps.is_empty() && steps.iter().all(|step| step.contains(TRACE) && step.ends_with("-00")), "{steps:?}");
    assert_eq!(order(&server, "o-2", "01").0, "confirmed");
    let spans = collector.whole_checkout();
    are_one_trace(&spans);
    assert_eq!(collector.taken().spans.len(), spans.len(), "and nothing else is sent");
}

#[test]
fn nothing_is_sent_and_nothing_counted_unless_somebody_says_where() {
    let (folder, collector) = (tempfile::tempdir().expect("a folder"), Collector::new());
    let server = server(folder.path(), collector.address, &[SOON[0], SOON[1], ("OTEL_SDK_DISABLED", "true")]);
    server.receive(5);
    assert_eq!(order(&server, "o-1", "01").0, "confirmed");
    assert!(!text(&server.get("/metrics").1).contains("otlp"));
    assert!(collector.taken().heads.is_empty());
}

#[test]
fn a_collector_is_asked_over_tls_by_the_rules_of_the_program() {
    let (files, data) = (Files::new(), [(); 3].map(|()| tempfile::tempdir().expect("a folder")));
    // It speaks TLS, and takes no spans.
    let collector = crate::tls::served(&files, &["up", "--listen", "127.0.0.1:0"], data[0].path(), &[]);
    for (data, is_trusted, told) in
        [(&data[1], true, "it answers with status 404"), (&data[2], false, "is not trusted")]
    {
        let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data"]);
        up.arg(data.path()).envs([SOON[0], ("OTEL_METRICS_EXPORTER", "none")]);
        up.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("https://{}", collector.address));
        if is_trusted {
            up.env("BANYAN_CA_FILE", files.path("authority.pem"));
        }
        let server = Server::start(&mut up);
        server.receive(5);
        testkit::eventually(told, || server.said().contains(told));
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_would_be_right_and_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let up = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("a path of letters")];
    for (variable, value, told) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "such as http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://x", "such as http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "expected `http/protobuf`"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "a whole number, at least 1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "expected `none` or `gzip`"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "as in api-key=…,tenant=shop"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a b=hunter2", "as in api-key=…,tenant=shop"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "a number from 0 to 1"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "expected `otlp` or `none`"),
        ("OTEL_RESOURCE_ATTRIBUTES", "test", "deployment.environment.name=test"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "a whole number, at least 1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100", "a batch is no more than may wait"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1m", "a whole number, at least 1"),
        ("OTEL_SDK_DISABLED", "yes", "true or false"),
    ] {
        let mut command = banyan(&up);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").env(variable, value);
        let (code, _, said) = run(&mut command);
        assert_eq!((code, said.lines().count()), (2, 1), "{variable}={value}: {said}");
        let is_secret = variable.ends_with("HEADERS");
        let shown = if is_secret { "***" } else { value };
        assert!(
            [told, shown, &format!("(variable {variable})")].iter().all(|part| said.contains(part)),
            "{variable}: {said}"
        );
        assert!(!is_secret || !said.contains("hunter2"), "{said}");
    }
    assert!(!holds(folder.path(), "data"), "nothing was made");
}

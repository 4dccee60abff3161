//! What an operator may choose about OpenTelemetry, under the names that it gave to its variables.
//! Source: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use std::time::Duration;

use host::{Collector, Otlp};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use settings::{Field, Kind, Secret, Section, Settings, SettingsError};
use telemetry::otlp::{Resource, Sampler};
use web::Trust;
use world::World;

/// What is sent, and of whom.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Otel {
    sdk_disabled: bool,
    service_name: Option<String>,
    resource_attributes: Vec<String>,
    traces_exporter: Exporter,
    metrics_exporter: Exporter,
    traces_sampler: SamplerName,
    traces_sampler_arg: f64,
    metric_export_interval: u64,
}

/// By what something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Exporter {
    Otlp,
    None,
}

/// Which traces are sent.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SamplerName {
    AlwaysOn,
    AlwaysOff,
    #[serde(rename = "traceidratio")]
    TraceIdRatio,
    #[serde(rename = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    #[serde(rename = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    #[serde(rename = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

impl Default for Otel {
    fn default() -> Self {
        Self {
            sdk_disabled: false,
            service_name: None,
            resource_attributes: Vec::new(),
            traces_exporter: Exporter::Otlp,
            metrics_exporter: Exporter::Otlp,
            traces_sampler: SamplerName::ParentBasedAlwaysOn,
            traces_sampler_arg: 1.0,
            metric_export_interval: 60_000,
        }
    }
}

/// How spans wait to be sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Bsp {
    schedule_delay: u64,
    export_timeout: u64,
    max_queue_size: usize,
    max_export_batch_size: usize,
}

impl Default for Bsp {
    fn default() -> Self {
        Self { schedule_delay: 5_000, export_timeout: 30_000, max_queue_size: 2_048, max_export_batch_size: 512 }
    }
}

/// Where something is sent, and how; what is not said of spans or metrics is as for both.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Way {
    endpoint: Option<String>,
    headers: Option<Secret>,
    protocol: Option<Protocol>,
    timeout: Option<u64>,
    compression: Option<Encoding>,
}

/// In which form.
#[derive(Clone, Copy, Debug, Deserialize)]
enum Protocol {
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// How it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    None,
    Gzip,
}

/// How long a collector may take to answer, where nothing else is said.
const TIMEOUT_MS: u64 = 10_000;

const WAY: &[Field] = &[
    Field {
        name: "endpoint",
        kind: Kind::Text,
        default: "",
        meaning: "The address of a collector, such as `http://127.0.0.1:4318`; that for both is followed by `/v1/traces` and \
                  `/v1/metrics`, one of its own is used as it stands.",
    },
    Field {
        name: "headers",
        kind: Kind::Secret,
        default: "",
        meaning: "Headers to send with it, as in `api-key=…,tenant=shop`; `%2C` stands for a comma in a value.",
    },
    Field { name: "protocol", kind: Kind::Text, default: "", meaning: "`http/protobuf`, which is all there is." },
    Field {
        name: "timeout",
        kind: Kind::AtLeast(1),
        default: "",
        meaning: "Milliseconds that a request may take; 10000 where nothing is said.",
    },
    Field {
        name: "compression",
        kind: Kind::Text,
        default: "",
        meaning: "`none` or `gzip`; `none` where nothing is said.",
    },
];

/// All of it.
pub(crate) const SECTIONS: [Section; 5] = [
    Section {
        name: "otel",
        meaning: "What is sent to a collector of OpenTelemetry; nothing, unless an endpoint is named below.",
        fields: &[
            Field {
                name: "sdk_disabled",
                kind: Kind::Flag,
                default: "false",
                meaning: "Whether nothing is sent, whatever else is said.",
            },
            Field {
                name: "service_name",
                kind: Kind::Text,
                default: "",
                meaning: "The name of the whole process; without it each service has its own (`orders`), and metrics have \
                          `banyan`.",
            },
            Field {
                name: "resource_attributes",
                kind: Kind::List,
                default: "",
                meaning: "What else is said of the process, as in `deployment.environment.name=test`.",
            },
            Field {
                name: "traces_exporter",
                kind: Kind::Text,
                default: "otlp",
                meaning: "`none` if spans are not to be sent.",
            },
            Field {
                name: "metrics_exporter",
                kind: Kind::Text,
                default: "otlp",
                meaning: "`none` if metrics are not to be sent.",
            },
            Field {
                name: "traces_sampler",
                kind: Kind::Text,
                default: "parentbased_always_on",
                meaning: "Which traces are sent: `always_on`, `always_off`, `traceidratio` (a part of them), or with \
                          `parentbased_` before it, which goes by what a caller has decided who sends a `traceparent`.",
            },
            Field {
                name: "traces_sampler_arg",
                kind: Kind::Decimal,
                default: "1",
                meaning: "The part of all traces that `traceidratio` takes, from 0 to 1.",
            },
            Field {
                name: "metric_export_interval",
                kind: Kind::AtLeast(1),
                default: "60000",
                meaning: "Milliseconds from one time that metrics are sent to the next.",
            },
        ],
    },
    Section {
        name: "otel.bsp",
        meaning: "How spans wait to be sent.",
        fields: &[
            Field {
                name: "schedule_delay",
                kind: Kind::AtLeast(1),
                default: "5000",
                meaning: "Milliseconds that spans wait for others to be sent with.",
            },
            Field {
                name: "export_timeout",
                kind: Kind::AtLeast(1),
                default: "30000",
                meaning: "Milliseconds for which it is tried to send a batch that the collector does not take.",
            },
            Field {
                name: "max_queue_size",
                kind: Kind::AtLeast(1),
                default: "2048",
                meaning: "Spans that may wait; more are dropped, and counted.",
            },
            Field {
                name: "max_export_batch_size",
                kind: Kind::AtLeast(1),
                default: "512",
                meaning: "Spans that are sent at once, at most.",
            },
        ],
    },
    Section {
        name: "otel.exporter_otlp",
        meaning: "Where spans and metrics are sent. Over `https` it is known by the authorities in `ca_file`.",
        fields: WAY,
    },
    Section { name: "otel.exporter_otlp_traces", meaning: "The same for spans alone.", fields: WAY },
    Section { name: "otel.exporter_otlp_metrics", meaning: "The same for metrics alone.", fields: WAY },
];

/// What was chosen; nothing where nothing is to be sent.
pub(crate) fn chosen(settings: &Settings, trust: &Trust, world: &World) -> Result<Option<Otlp>, SettingsError> {
    let otel: Otel = settings.section("otel")?;
    let bsp: Bsp = settings.section("otel.bsp")?;
    if bsp.max_export_batch_size > bsp.max_queue_size {
        let wanted = "a batch is no more than may wait";
        return Err(settings.contradiction("otel.bsp.max_export_batch_size", "otel.bsp.max_queue_size", wanted));
    }
    if !(0.0..=1.0).contains(&otel.traces_sampler_arg) {
        return Err(settings.refused("otel.traces_sampler_arg", "it is no part of a whole", "a number from 0 to 1"));
    }
    let resource = resource(&otel, settings, world)?;
    // Looked at also where nothing is sent, so that what is wrong is known before it is.
    let traces = collector(settings, "traces", otel.traces_exporter, trust)?;
    let metrics = collector(settings, "metrics", otel.metrics_exporter, trust)?;
    let sampler = sampler(&otel);
    let none_is_sampled = sampler.part == 0.0 && !sampler.heeds_parent;
    let traces = traces.filter(|_| !none_is_sampled);
    let otlp = Otlp {
        traces,
        metrics,
        resource,
        sampler,
        queue_spans: bsp.max_queue_size,
        batch_spans: bsp.max_export_batch_size,
        spans_every: Duration::from_millis(bsp.schedule_delay),
        spans_patience: Duration::from_millis(bsp.export_timeout),
        metrics_every: Duration::from_millis(otel.metric_export_interval),
    };
    let is_sent = !otel.sdk_disabled && (otlp.traces.is_some() || otlp.metrics.is_some());
    Ok(is_sent.then_some(otlp))
}

fn sampler(otel: &Otel) -> Sampler {
    let ratio = otel.traces_sampler_arg;
    let (part, heeds_parent) = match otel.traces_sampler {
        SamplerName::AlwaysOn => (1.0, false),
        SamplerName::AlwaysOff => (0.0, false),
        SamplerName::TraceIdRatio => (ratio, false),
        SamplerName::ParentBasedAlwaysOn => (1.0, true),
        SamplerName::ParentBasedAlwaysOff => (0.0, true),
        SamplerName::ParentBasedTraceIdRatio => (ratio, true),
    };
    Sampler { part, heeds_parent }
}

/// What the process says it is; each start is an instance of its own, unless something else is said.
fn resource(otel: &Otel, settings: &Settings, world: &World) -> Result<Resource, SettingsError> {
    let mut chance = world.chance("service.instance.id");
    let mut attributes = vec![
        ("service.namespace".to_owned(), "banyan".to_owned()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id".to_owned(), format!("{:016x}{:016x}", chance.bits(), chance.bits())),
    ];
    let mut service_name = None;
    for item in &otel.resource_attributes {
        let (key, value) = pair(item).ok_or_else(|| {
            let wanted = "attributes with commas between them, as in deployment.environment.name=test,team=shop";
            settings.refused("otel.resource_attributes", &format!("{item} has no ="), wanted)
        })?;
        attributes.retain(|(known, _)| *known != key);
        if key == "service.name" { service_name = Some(value) } else { attributes.push((key, value)) }
    }
    Ok(Resource { service_name: otel.service_name.clone().or(service_name), attributes })
}

/// Of `key=value` both, where `%` stands before what could not stand there otherwise.
fn pair(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let key = key.trim();
    (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
}

/// Who takes one kind of telemetry; nobody where no address is named.
fn collector(
    settings: &Settings,
    kind: &str,
    exporter: Exporter,
    trust: &Trust,
) -> Result<Option<Collector>, SettingsError> {
    const ALL: &str = "otel.exporter_otlp";
    let own = format!("{ALL}_{kind}");
    let of_all: Way = settings.section(ALL)?;
    let of_kind: Way = settings.section(&own)?;
    let (url, named_by) = match (of_kind.endpoint, of_all.endpoint) {
        (Some(url), _) => (url, &*own),
        (None, Some(url)) => (format!("{}/v1/{kind}", url.trim_end_matches('/')), ALL),
        (None, None) => return Ok(None),
    };
    let (headers, sent_by) = match (of_kind.headers, of_all.headers) {
        (Some(headers), _) => (Some(headers), &*own),
        (None, headers) => (headers, ALL),
    };
    let headers = headers.as_ref().map_or("", Secret::expose).split(',').filter(|part| !part.trim().is_empty());
    let headers: Option<Vec<_>> = headers.map(pair).collect();
    let wanted = "headers with commas between them, as in api-key=…,tenant=shop";
    let refused = |reason: &str| settings.refused(&format!("{sent_by}.headers"), reason, wanted);
    let headers = headers.ok_or_else(|| refused("a part of it has no ="))?;
    let timeout = Duration::from_millis(of_kind.timeout.or(of_all.timeout).unwrap_or(TIMEOUT_MS));
    let is_gzip = of_kind.compression.or(of_all.compression) == Some(Encoding::Gzip);
    let collector = Collector::at(&url, timeout, is_gzip, trust).map_err(|_| {
        let wanted = "the address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318";
        settings.refused(&format!("{named_by}.endpoint"), "nothing can be sent there", wanted)
    })?;
    let collector = collector.with_headers(&headers).map_err(|reason| refused(&reason))?;
    Ok((exporter == Exporter::Otlp).then_some(collector))
}

#[cfg(test)]
mod tests {
    use super::{Bsp, Otel, SECTIONS, Way};

    #[test]
    fn the_reference_says_what_the_settings_are() {
        settings::check_reference::<Otel>(SECTIONS[0].fields);
        settings::check_reference::<Bsp>(SECTIONS[1].fields);
        settings::check_reference::<Way>(SECTIONS[2].fields);
    }
}

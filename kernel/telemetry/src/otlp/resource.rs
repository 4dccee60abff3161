//! What spans and metrics are of.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;

/// What is said of this process with all that it sends.
/// Source: <https://opentelemetry.io/docs/specs/semconv/resource/>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// What the whole process is called; without it each service has its own name.
    pub service_name: Option<String>,
    /// All else, such as `deployment.environment.name`.
    pub attributes: Vec<(String, String)>,
}

impl Resource {
    /// The resource that a service of this process is.
    pub(super) fn of(&self, service: &str) -> OtlpResource {
        let name = self.service_name.as_deref().unwrap_or(service);
        let others = self.attributes.iter().map(|(key, value)| text(key, value));
        OtlpResource {
            attributes: [text("service.name", name)].into_iter().chain(others).collect(),
            ..OtlpResource::default()
        }
    }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// By whom all of it was measured.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "banyan".to_owned(), ..InstrumentationScope::default() }
}

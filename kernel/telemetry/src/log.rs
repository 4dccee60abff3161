//! Log lines: for a person on a terminal, as JSON for a machine.

use std::fmt;
use std::io::{self, IsTerminal};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for a person, in colour.
    Pretty,
    /// An object of JSON a line, for a machine.
    Json,
}

impl Format {
    /// What suits the error output of this process: lines for a person on a terminal, JSON elsewhere.
    pub fn of_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Pretty } else { Self::Json }
    }
}

/// Why the log does not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("the log filter {filter:?} cannot be read ({cause}); write it like \"info\" or \"info,orders=debug\"")]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        cause: tracing_subscriber::filter::ParseError,
    },
    /// This process has a log already.
    #[error("the log of this process has been started before")]
    Started,
}

/// Starts the log of this process on its error output; the filter says what is told, such as
/// `info,orders=debug` (a level, then levels of single crates).
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let subscriber = subscriber(format, filter, io::stderr)?;
    subscriber.try_init().map_err(|_| LogError::Started)
}

type Boxed = Box<dyn Subscriber + Send + Sync>;

fn subscriber<W>(format: Format, filter: &str, writer: W) -> Result<Boxed, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let cause = |cause| LogError::Filter { filter: filter.to_owned(), cause };
    let filter = EnvFilter::try_new(filter).map_err(cause)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        Format::Pretty => Box::new(lines.compact().finish()),
        Format::Json => Box::new(lines.fmt_fields(JsonFields::new()).event_format(JsonLines).finish()),
    })
}

/// Writes an event as one line; the fields of its spans stand among its own, so that each line
/// tells its trace without a look at others.
struct JsonLines;

#[derive(Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    level: &'a str,
    target: &'a str,
    message: Value,
    fields: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Map::new();
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(of_span) = span.extensions().get::<FormattedFields<N>>() {
                fields.extend(parse(of_span));
            }
        }
        let mut of_event = String::new();
        context.format_fields(Writer::new(&mut of_event), event)?;
        fields.extend(parse(&of_event));
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        let line = Line {
            timestamp: &timestamp,
            level: metadata.level().as_str(),
            target: metadata.target(),
            message: fields.remove("message").unwrap_or_default(),
            fields,
        };
        writeln!(out, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

/// Reads fields that have been written as JSON before; none of what is no object.
fn parse(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::subscriber::with_default;

    use super::{Format, init, subscriber};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, filter: &str, work: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        with_default(subscriber(format, filter, move || writer.clone()).unwrap(), work);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    fn a_request_fails() {
        let request = tracing::info_span!("request", trace_id = "4bf9", request_id = tracing::field::Empty);
        request.record("request_id", "r-1");
        request.in_scope(|| {
            let step = tracing::info_span!("step", name = "reserve");
            step.in_scope(|| tracing::warn!(order = "A\"7", lines = 3, "Order cancelled:\nno stock"));
        });
    }

    #[test]
    fn a_json_line_tells_its_trace_and_its_fields() {
        let page = logged(Format::Json, "info", a_request_fails);
        assert_eq!(page.lines().count(), 1, "{page}");
        let line: Value = serde_json::from_str(&page).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"Order cancelled:\nno stock".into()));
        assert_eq!(line["target"], "telemetry::log::tests");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        let fields = serde_json::json!({
            "trace_id": "4bf9", "request_id": "r-1", "name": "reserve", "order": "A\"7", "lines": 3
        });
        assert_eq!(line["fields"], fields);
    }

    #[test]
    fn a_pretty_line_tells_the_same() {
        let page = logged(Format::Pretty, "info", a_request_fails);
        for told in ["WARN", "Order cancelled", "4bf9", "r-1", "lines"] {
            assert!(page.contains(told), "{told} is missing: {page}");
        }
    }

    #[test]
    fn the_filter_says_what_is_told() {
        let page = logged(Format::Json, "warn,telemetry=debug", || {
            tracing::debug!("Ours");
            tracing::trace!("Too fine");
            tracing::info!(target: "hyper", "Theirs");
        });
        assert!(page.contains("Ours") && !page.contains("Too fine") && !page.contains("Theirs"), "{page}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        let error = init(Format::Json, "orders=loud").unwrap_err().to_string();
        assert!(error.starts_with("the log filter \"orders=loud\" cannot be read"), "{error}");
    }

    #[test]
    fn a_process_has_one_log() {
        init(Format::Json, "off").unwrap();
        assert!(init(Format::Json, "off").is_err());
    }
}

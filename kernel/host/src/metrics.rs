//! What is counted and timed: every answer by its route, every desk, every feed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use telemetry::otlp::{Attribute, Kind, Span};
use telemetry::{CONTENT_TYPE, Counter, Histogram, Meters};
use tokio::time::timeout;
use web::{Answered, Observe, Routes, Scope};

use crate::board::{Board, Part};
use crate::openapi;

/// The routes of this module.
pub(crate) fn routes(board: &Arc<Board>) -> Routes {
    Routes::about("The program").get("/metrics", Scope::Admin, page, openapi::metrics()).with_state(board.clone())
}

/// How long a database may take to say what is parked.
const PATIENCE: Duration = Duration::from_secs(1);

async fn page(State(board): State<Arc<Board>>) -> Response {
    look_up(&board).await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text(&board)).into_response()
}

/// What is measured, as the text of the page.
pub(crate) fn text(board: &Board) -> String {
    each_name_once(&board.meters.render())
}

/// Enters what is not counted as it happens, but looked up.
pub(crate) async fn look_up(board: &Board) {
    join_all(board.parts.iter().map(|part| measure(part, &board.meters))).await;
}

async fn measure(part: &Part, meters: &Meters) {
    let meters = meters.labelled("service", part.name);
    (part.tell)(&meters);
    let newest = *part.database.ring().newest().borrow();
    meters.gauge("events_newest_position", "Position of the newest event of a service").set(newest);
    let waiting = i64::try_from((part.waiting)()).unwrap_or(i64::MAX);
    meters.gauge("desk_waiting_commands", "Commands that wait at the desk").set(waiting);
    let streams = i64::try_from(part.streams.members()).unwrap_or(i64::MAX);
    meters.gauge("event_streams", "Streams of a service's events that are open").set(streams);
    let running = i64::try_from(part.workers.running()).unwrap_or(i64::MAX);
    meters.gauge("desk_running_workers", "Workers of the desk that run").set(running);
    let sources: Vec<_> = part.listens.iter().map(|(source, _)| *source).collect();
    let put_aside = timeout(PATIENCE, part.database.read(move |read| events::put_aside(read, &sources))).await;
    if let Ok(Err(refused)) = &put_aside {
        tracing::warn!(service = part.name, %refused, "What is put aside cannot be counted now");
    }
    let now = part.database.world().now();
    for (source, status) in &part.listens {
        let meters = meters.labelled("source", source);
        meters.gauge("consumer_lag_events", "Events of the producer that are not dealt with").set(status.lag());
        let stopped = i64::from(status.stopped().is_some());
        meters.gauge("consumer_stopped", "1 where a consumer has stopped for good").set(stopped);
        // Without an answer of the database the figures stay as they were.
        if let Ok(Ok(put_aside)) = &put_aside {
            let of_source = put_aside.get(*source).copied().unwrap_or_default();
            let help = "Events that wait for another attempt; counted up to 10000";
            meters.gauge("parked_events", help).set(of_source.parked_events);
            let help = "Subjects of which events are parked, among the oldest 10000 of these";
            meters.gauge("parked_subjects", help).set(of_source.parked_subjects);
            let help = "Events that nobody could deal with; counted up to 10000";
            meters.gauge("dead_letters", help).set(of_source.dead_letters);
            status.parked_since(of_source.oldest_parked);
        }
        let help = "Age of the oldest event that a consumer has not dealt with, parked ones included; 0 without one";
        let age = status.waits_since().map_or(0.0, |since| now.since(since).as_secs_f64());
        meters.seconds_gauge("outbox_age_seconds", help).set(age);
    }
}

/// Counts answers and their times, by route, method, status and problem, and tells of each as a span
/// of the service that answers the route.
pub(crate) fn observe(board: &Arc<Board>, services: BTreeMap<String, &'static str>) -> Observe {
    let answers = Answers { meters: board.meters.clone(), counted: Mutex::default() };
    let board = board.clone();
    Arc::new(move |answered| {
        answers.count(answered);
        board.trend.count(answered);
        if !NOBODYS_STORY.contains(&answered.route) {
            let service = services.get(answered.route).copied();
            answered.trace.tell(answered.parent, answered.took, || span(answered, service));
        }
    })
}

/// Routes that are asked again and again, and are part of nobody's story.
const NOBODYS_STORY: [&str; 4] = ["/health/live", "/health/ready", "/metrics", "/v1/events/{service}"];

/// What is said of a request in its trace. What follows a `?` is left out, for it may tell of customers.
/// Source: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server>.
fn span(answered: &Answered<'_>, service: Option<&str>) -> Span {
    let Answered { status, problem, request_id, path, scheme, .. } = *answered;
    // What HTTP does not define has names of its own there.
    let (method, name) =
        if answered.method == "OTHER" { ("_OTHER", "HTTP") } else { (answered.method, answered.method) };
    let route = Some(answered.route).filter(|route| *route != "none");
    let has_failed = status >= 500;
    let mut attributes: Vec<(_, Attribute)> = vec![
        ("http.request.method", method.into()),
        ("url.path", path.into()),
        ("url.scheme", scheme.into()),
        ("http.response.status_code", i64::from(status).into()),
        ("banyan.request_id", request_id.into()),
    ];
    attributes.extend(route.map(|route| ("http.route", route.into())));
    attributes.extend(problem.map(|code| (if has_failed { "error.type" } else { "banyan.problem" }, code.into())));
    Span {
        name: route.map_or(name.to_owned(), |route| format!("{name} {route}")),
        kind: Kind::Server,
        service: service.unwrap_or("banyan").to_owned(),
        has_failed,
        attributes,
    }
}

struct Answers {
    meters: Meters,
    counted: Mutex<BTreeMap<String, Vec<Counted>>>,
}

/// The meters of one kind of answer, kept so that they are not looked up by their labels each time.
struct Counted {
    method: String,
    status: u16,
    problem: Option<String>,
    requests: Counter,
    seconds: Histogram,
}

impl Answers {
    fn count(&self, answered: &Answered<'_>) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if !counted.contains_key(answered.route) {
            counted.insert(answered.route.to_owned(), Vec::new());
        }
        let Some(of_route) = counted.get_mut(answered.route) else { return };
        let same = |counted: &Counted| {
            counted.method == answered.method
                && counted.status == answered.status
                && counted.problem.as_deref() == answered.problem
        };
        let place = of_route.iter().position(same).unwrap_or_else(|| {
            of_route.push(self.meters_of(answered));
            of_route.len() - 1
        });
        of_route[place].requests.inc();
        of_route[place].seconds.observe(answered.took.as_secs_f64());
    }

    fn meters_of(&self, answered: &Answered<'_>) -> Counted {
        let meters = self.meters.labelled("method", answered.method).labelled("route", answered.route);
        let seconds =
            meters.seconds("http_request_seconds", "Time from the head of a request to the head of its answer");
        let meters = meters.labelled("status", &answered.status.to_string());
        let requests = meters.labelled("problem", answered.problem.unwrap_or(""));
        let requests = requests.counter("http_requests", "Requests that were answered");
        let (method, status, problem) =
            (answered.method.to_owned(), answered.status, answered.problem.map(str::to_owned));
        Counted { method, status, problem, requests, seconds }
    }
}

/// Brings together what was written of one name at several places, as the format asks for: every
/// desk registers its meters by itself, under a label but the same names.
/// Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/#metricfamily>.
fn each_name_once(page: &str) -> String {
    let mut families: Vec<(&str, String)> = Vec::new();
    let mut current = 0;
    for line in page.lines() {
        let described = line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE ")).or(line.strip_prefix("# UNIT "));
        if let Some(name) = described.and_then(|rest| rest.split(' ').next()) {
            let known = families.iter().position(|(family, _)| *family == name);
            current = known.unwrap_or_else(|| {
                families.push((name, String::new()));
                families.len() - 1
            });
            if families[current].1.contains(line) {
                continue;
            }
        }
        if let Some((_, text)) = families.get_mut(current).filter(|_| line != "# EOF") {
            text.push_str(line);
            text.push('\n');
        }
    }
    let mut whole: String = families.into_iter().map(|(_, text)| text).collect();
    whole.push_str("# EOF\n");
    whole
}

#[cfg(test)]
mod tests {
    use super::each_name_once;

    #[test]
    fn what_two_services_measure_under_one_name_stands_together() {
        let page = "# HELP a A.\n# TYPE a counter\na_total{service=\"x\"} 1\n# HELP b B.\n# TYPE b gauge\nb 1\n\
                    # HELP a A.\n# TYPE a counter\na_total{service=\"y\"} 2\n# EOF\n";
        let once = "# HELP a A.\n# TYPE a counter\na_total{service=\"x\"} 1\na_total{service=\"y\"} 2\n\
                    # HELP b B.\n# TYPE b gauge\nb 1\n# EOF\n";
        assert_eq!(each_name_once(page), once);
    }
}

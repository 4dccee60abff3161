//! A change is asked for once under a key, and what is answered is told again to the byte.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Body as AnyBody;
use axum::extract::State;
use axum::response::Response;
use db::{Asked, Database, Desk, Failure, Kind, Location, MemoryDisk, Options, Perform, open_desk};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use web::{
    Access, Caller, Gate, IdempotencyKey, Limits, Observe, Operation, Problem, ProblemKind, Routes, Segment, guard,
};
use world::World;

static NOT_NOW: ProblemKind = ProblemKind { code: "not-now", status: 409, title: "Not now", help: "Ask later." };

/// The status of each answer, and the code of its problem.
type Seen = Arc<Mutex<Vec<(u16, Option<String>)>>>;

/// What handlers share.
#[derive(Clone)]
struct Counter {
    desk: Desk<String, u64>,
    database: Database,
}

/// A service that counts what it performs; a command says how it is to be answered.
struct Running {
    router: Router,
    desk: Desk<String, u64>,
    seen: Seen,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.desk.close();
        self.threads.drain(..).for_each(|thread| thread.join().expect("the worker ends"));
    }
}

async fn ask(
    State(counter): State<Counter>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(how): Segment<String>,
) -> Result<Response, Problem> {
    let key = key.map(|key| key.stands_for(&()));
    let asked = caller.asks(how.clone());
    web::ask(&counter.desk, asked, key, move |count| say(&how, count)).await
}

async fn write(
    State(counter): State<Counter>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(how): Segment<String>,
) -> Result<Response, Problem> {
    let key = key.map(|key| key.stands_for(&()));
    web::write(&counter.database, &caller, key, |tx| Ok(tx.number()), move |number| say(&how, number)).await
}

fn say<T>(how: &str, what: T) -> Result<(StatusCode, T), Problem> {
    match how {
        "refuse" => Err(Problem::new(&NOT_NOW).member("of", "the rules")),
        "fail" => Err(Problem::internal("nobody knows what this is")),
        _ => Ok((StatusCode::ACCEPTED, what)),
    }
}

fn running() -> Running {
    let world = World::real();
    let location = Location::Memory(MemoryDisk::empty());
    let database = Database::open("counter", location, Options::default(), world.clone(), &[]).unwrap();
    let performed = Mutex::new(0);
    let perform: Perform<String, u64> = Arc::new(move |_, commands: &[Asked<String>]| {
        let mut performed = performed.lock().map_err(|_| Failure::Panicked("before".into()))?;
        let count = |_: &Asked<String>| {
            *performed += 1;
            *performed
        };
        Ok(commands.iter().map(count).collect())
    });
    let kind = Kind { key_of: |_| 0, weigh: |_| 1 };
    let (desk, workers) = open_desk(&database, &kind, &perform, Vec::new(), &Arc::default()).unwrap();
    let seen = Seen::default();
    let log = seen.clone();
    let observe: Observe = Arc::new(move |answered| {
        log.lock().unwrap().push((answered.status, answered.problem.map(str::to_owned)));
    });
    let routes = Routes::default().post("/ask/{how}", Access::Everybody, ask, Operation::new("ask", "", "")).post(
        "/write/{how}",
        Access::Everybody,
        write,
        Operation::new("write", "", ""),
    );
    let routes = routes.with_state(Counter { desk: desk.clone(), database });
    let guarded = guard(routes, Gate::open(), &world, &Limits::default(), observe);
    Running { router: guarded, desk, seen, threads: workers.into_iter().map(db::Worker::start).collect() }
}

/// The status, whether it was told before, and the body.
type Told = (u16, bool, String);

impl Running {
    async fn post(&self, path: &str, key: Option<&str>) -> Told {
        let request = key.into_iter().fold(Request::post(path), |request, key| request.header("idempotency-key", key));
        let answer = self.router.clone().oneshot(request.body(AnyBody::empty()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let is_problem = head.headers["content-type"] == "application/problem+json";
        assert_eq!(is_problem, head.status.as_u16() >= 400);
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (head.status.as_u16(), head.headers.contains_key("idempotent-replayed"), body)
    }
}

#[tokio::test]
async fn without_a_key_a_change_is_asked_for_each_time() {
    let running = running();
    for count in ["1", "2"] {
        assert_eq!(running.post("/ask/do", None).await, (202, false, count.to_owned()));
    }
}

#[tokio::test]
async fn under_a_key_the_same_is_told_again_at_the_desk_and_beside_it() {
    let running = running();
    for path in ["/ask/do", "/write/do"] {
        let (status, is_replayed, body) = running.post(path, Some(path)).await;
        assert_eq!((status, is_replayed), (202, false), "{path}");
        assert_eq!(running.post(path, Some(path)).await, (202, true, body), "{path}");
    }
    let (status, is_replayed, body) = running.post("/write/do", Some("/ask/do")).await;
    assert_eq!((status, is_replayed), (422, false));
    assert!(body.contains("different-content"), "{body}");
}

#[tokio::test]
async fn a_refusal_is_told_again_with_its_trace_and_counted_under_its_code() {
    let running = running();
    for path in ["/ask/refuse", "/write/refuse"] {
        let (status, is_replayed, body) = running.post(path, Some(path)).await;
        assert_eq!((status, is_replayed), (409, false), "{path}");
        assert!(body.contains("\"trace_id\":") && body.contains("\"of\":\"the rules\""), "{body}");
        assert_eq!(running.post(path, Some(path)).await, (409, true, body), "{path}");
    }
    let seen = running.seen.lock().unwrap();
    assert_eq!(*seen, vec![(409, Some("not-now".to_owned())); 4]);
}

#[tokio::test]
async fn a_failure_is_no_answer_and_keeps_nothing_under_the_key() {
    let running = running();
    for path in ["/ask/fail", "/write/fail"] {
        for key in [None, Some(path), Some(path)] {
            let (status, is_replayed, body) = running.post(path, key).await;
            assert_eq!((status, is_replayed), (500, false), "{path}");
            assert!(body.contains("\"internal\"") && !body.contains("nobody knows"), "{body}");
        }
    }
}

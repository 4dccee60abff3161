//! Whether the program lives, and whether it can do its work.
//!
//! *Live* says that the process answers; whoever restarts processes asks it. *Ready* says that every
//! database answers a read, every desk has its workers and every consumer goes on; whoever sends
//! requests asks it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;
use web::{Access, Problem, ProblemKind, Routes};

use crate::board::{Board, Part};
use crate::openapi;

/// Something that the program needs does not work.
pub static NOT_READY: ProblemKind = ProblemKind {
    code: "not-ready",
    status: 503,
    title: "The program cannot do its work",
    help: "A database does not answer, a worker has ended, a consumer has stopped, or the program is stopping. \
           `services` says which. Send requests elsewhere until this path answers 200.",
};

/// How long a database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The routes of this module.
pub(crate) fn routes(board: &Arc<Board>) -> Routes {
    Routes::about("The program")
        .get("/health/live", Access::Everybody, async || Json(serde_json::json!({"status": "live"})), openapi::live())
        .get("/health/ready", Access::Everybody, ready, openapi::ready())
        .with_state(board.clone())
}

/// How one service gets on.
#[derive(Debug, Serialize)]
struct ServiceHealth {
    ready: bool,
    database: DatabaseHealth,
    workers: WorkersHealth,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    listens: BTreeMap<&'static str, ListenerHealth>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum DatabaseHealth {
    Answers,
    DoesNotAnswer,
}

#[derive(Debug, Serialize)]
struct WorkersHealth {
    running: usize,
    of: usize,
}

#[derive(Debug, Serialize)]
struct ListenerHealth {
    lag: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

/// What the program says when it is ready.
#[derive(Debug, Serialize)]
struct Ready {
    status: &'static str,
    services: BTreeMap<&'static str, ServiceHealth>,
}

async fn ready(State(board): State<Arc<Board>>) -> Result<Json<Ready>, Problem> {
    let services: BTreeMap<_, _> = join_all(board.parts.iter().map(health_of)).await.into_iter().collect();
    if board.is_stopping() {
        let stopping = "The program is stopping; send requests elsewhere.";
        return Err(not_ready(services).detail(stopping));
    }
    if services.values().all(|service| service.ready) {
        Ok(Json(Ready { status: "ready", services }))
    } else {
        Err(not_ready(services))
    }
}

fn not_ready(services: BTreeMap<&'static str, ServiceHealth>) -> Problem {
    Problem::new(&NOT_READY).member("services", services).retry_after_secs(1)
}

fn newest(read: &mut db::Read<'_>) -> Result<db::Position, db::Failure> {
    read.newest_event()
}

async fn health_of(part: &Part) -> (&'static str, ServiceHealth) {
    let answered = timeout(PATIENCE, part.database.read(newest)).await;
    let database = match answered {
        Ok(Ok(_)) => DatabaseHealth::Answers,
        _ => DatabaseHealth::DoesNotAnswer,
    };
    let workers = WorkersHealth { running: part.workers.running(), of: part.workers.all };
    let listener = |status: &events::Status| ListenerHealth { lag: status.lag(), stopped: status.stopped() };
    let listens: BTreeMap<_, _> = part.listens.iter().map(|(source, status)| (*source, listener(status))).collect();
    let ready = part.is_ready(matches!(database, DatabaseHealth::Answers));
    (part.name, ServiceHealth { ready, database, workers, listens })
}

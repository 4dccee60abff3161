//! How the last minutes went: what was answered, how soon, with which problems, and what happened meanwhile.
//!
//! The time is cut into pieces of five seconds. What is answered is counted in the piece that is open; a
//! task closes it and keeps those of the last ten minutes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::Position;
use telemetry::SECONDS_BUCKETS;
use tokio::time::sleep;
use web::Answered;
use world::Moment;

use crate::board::Board;

/// How long a piece is.
pub(crate) const EVERY: Duration = Duration::from_secs(5);
/// Pieces that are kept: ten minutes.
pub(crate) const MOST_PIECES: usize = 120;
/// Routes and problems that are told apart in one piece.
const MOST_PROBLEMS: usize = 200;

/// The last minutes.
#[derive(Debug)]
pub(crate) struct Trend {
    open: Mutex<Counts>,
    closed: Mutex<Closed>,
}

#[derive(Debug)]
struct Closed {
    pieces: VecDeque<Piece>,
    until: Moment,
    /// Events of all services that there were by then.
    events: Position,
}

/// What was answered: requests by how long they took, and problems by code and route.
#[derive(Clone, Debug, Default)]
struct Counts {
    by_time: [u64; SECONDS_BUCKETS.len() + 1],
    problems: BTreeMap<(String, String), u64>,
}

/// A few seconds.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    until: Moment,
    secs: f64,
    answered: Counts,
    events: i64,
    /// Events that consumers had not dealt with at its end.
    lag: i64,
}

/// How often a problem was answered in the last minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusals {
    pub(crate) code: String,
    pub(crate) route: String,
    pub(crate) times: u64,
    /// When the piece ended in which it was answered last; none for the one that is open.
    pub(crate) last: Option<Moment>,
}

impl Trend {
    /// A trend that begins now, when there are so many events.
    pub(crate) fn since(now: Moment, events: Position) -> Self {
        let closed = Closed { pieces: VecDeque::new(), until: now, events };
        Self { open: Mutex::default(), closed: Mutex::new(closed) }
    }

    /// Counts an answer of the interface; what the program is asked about itself is no work of it.
    pub(crate) fn count(&self, answered: &Answered<'_>) {
        if !answered.route.starts_with("/v1/") {
            return;
        }
        let secs = answered.took.as_secs_f64();
        let bucket = SECONDS_BUCKETS.partition_point(|most| *most < secs);
        let mut open = locked(&self.open);
        open.by_time[bucket] += 1;
        if let Some(code) = answered.problem {
            let kind = (code.to_owned(), answered.route.to_owned());
            if open.problems.len() < MOST_PROBLEMS || open.problems.contains_key(&kind) {
                *open.problems.entry(kind).or_default() += 1;
            }
        }
    }

    /// Closes the piece that is open.
    fn close(&self, now: Moment, events: Position, lag: i64) {
        let answered = std::mem::take(&mut *locked(&self.open));
        let mut closed = locked(&self.closed);
        let secs = now.since(closed.until).as_secs_f64().max(0.001);
        let piece = Piece { until: now, secs, answered, events: (events - closed.events).max(0), lag };
        closed.pieces.push_back(piece);
        if closed.pieces.len() > MOST_PIECES {
            closed.pieces.pop_front();
        }
        (closed.until, closed.events) = (now, events);
    }

    /// The pieces that are closed, oldest first.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        locked(&self.closed).pieces.iter().cloned().collect()
    }

    /// The problems of the last minutes, the most frequent first.
    pub(crate) fn refusals(&self) -> Vec<Refusals> {
        let (pieces, open) = (self.pieces(), locked(&self.open).problems.clone());
        let closed = pieces.iter().map(|piece| (&piece.answered.problems, Some(piece.until)));
        let mut found: BTreeMap<&(String, String), (u64, Option<Moment>)> = BTreeMap::new();
        for (problems, until) in closed.chain([(&open, None)]) {
            for (kind, times) in problems {
                let (all, last) = found.entry(kind).or_insert((0, until));
                (*all, *last) = (*all + times, until);
            }
        }
        let refusals = found.into_iter().map(|((code, route), (times, last))| {
            let (code, route) = (code.clone(), route.clone());
            Refusals { code, route, times, last }
        });
        let mut refusals: Vec<_> = refusals.collect();
        refusals.sort_by_key(|refusals| std::cmp::Reverse(refusals.times));
        refusals
    }
}

impl Piece {
    /// Requests that were answered in a second.
    pub(crate) fn requests_per_sec(&self) -> f64 {
        per_sec(self.answered.by_time.iter().sum(), self.secs)
    }

    /// Events that were committed in a second.
    pub(crate) fn events_per_sec(&self) -> f64 {
        per_sec(self.events.unsigned_abs(), self.secs)
    }

    /// Events that consumers had not dealt with at its end.
    pub(crate) fn waiting(&self) -> f64 {
        float(self.lag.unsigned_abs())
    }

    /// The seconds within which this share of the requests was answered, as near as the buckets tell; none
    /// where nothing was asked.
    pub(crate) fn answered_within_secs(&self, share: f64) -> Option<f64> {
        let all: u64 = self.answered.by_time.iter().sum();
        if all == 0 {
            return None;
        }
        let wanted = share * float(all);
        let mut before = 0.0;
        for (at, in_bucket) in self.answered.by_time.iter().enumerate().filter(|(_, count)| **count > 0) {
            let in_bucket = float(*in_bucket);
            if before + in_bucket >= wanted {
                let least = if at == 0 { 0.0 } else { SECONDS_BUCKETS[at - 1] };
                // Beyond the last bucket nobody knows how far.
                let most = SECONDS_BUCKETS.get(at).copied().unwrap_or(least);
                return Some(least + (most - least) * ((wanted - before) / in_bucket).clamp(0.0, 1.0));
            }
            before += in_bucket;
        }
        SECONDS_BUCKETS.last().copied()
    }
}

fn per_sec(count: u64, secs: f64) -> f64 {
    float(count) / secs
}

#[expect(clippy::cast_precision_loss, reason = "what happens in five seconds is less than 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes a piece every few seconds; it never ends by itself.
pub(crate) async fn keep(board: Arc<Board>) {
    loop {
        sleep(EVERY).await;
        let lag = board.parts.iter().flat_map(|part| &part.listens).map(|(_, status)| status.lag()).sum();
        board.trend.close(board.world.now(), board.newest_events(), lag);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use db::Trace;
    use web::Answered;
    use world::Moment;

    use super::{MOST_PIECES, Refusals, Trend};

    fn at(secs: i64) -> Moment {
        Moment::from_micros(secs * 1_000_000)
    }

    fn answer(trend: &Trend, route: &str, millis: u64, problem: Option<&str>) {
        let took = Duration::from_millis(millis);
        let trace = Trace { trace_id: 1, span_id: 1, is_sampled: false };
        let (parent, request_id, path, scheme) = (None, "r-1", "/", "http");
        let (method, status) = ("GET", 200);
        trend.count(&Answered { method, route, status, problem, took, trace, parent, request_id, path, scheme });
    }

    #[test]
    fn a_piece_tells_how_much_was_answered_and_how_soon() {
        let trend = Trend::since(at(0), 100);
        for _ in 0..98 {
            answer(&trend, "/v1/orders", 1, None);
        }
        answer(&trend, "/v1/orders", 200, None);
        answer(&trend, "/v1/orders", 200, None);
        answer(&trend, "/", 9_000, None);
        trend.close(at(5), 110, 3);
        trend.close(at(10), 110, 0);
        let pieces = trend.pieces();
        let near = |value: f64, expected: f64| (value - expected).abs() < 1e-9;
        assert!(near(pieces[0].requests_per_sec(), 20.0) && near(pieces[0].events_per_sec(), 2.0), "{pieces:?}");
        let within = |share| pieces[0].answered_within_secs(share).expect("something was answered");
        assert!(within(0.5) > 500e-6 && within(0.5) <= 1e-3, "{}", within(0.5));
        assert!(within(0.99) > 0.1 && within(0.99) <= 0.25, "{}", within(0.99));
        assert_eq!((pieces[0].lag, pieces[1].lag, pieces[1].answered_within_secs(0.5)), (3, 0, None));
    }

    #[test]
    fn problems_are_counted_by_code_and_route_until_they_are_too_old() {
        let trend = Trend::since(at(0), 0);
        answer(&trend, "/v1/orders/{id}", 1, Some("not-found"));
        trend.close(at(5), 0, 0);
        for _ in 0..2 {
            answer(&trend, "/v1/orders/{id}", 1, Some("invalid-request"));
        }
        let told = |code: &str, times, last| {
            let (code, route) = (code.to_owned(), "/v1/orders/{id}".to_owned());
            Refusals { code, route, times, last }
        };
        assert_eq!(trend.refusals(), [told("invalid-request", 2, None), told("not-found", 1, Some(at(5)))]);
        for piece in 2..=i64::try_from(MOST_PIECES).expect("a small number") + 1 {
            trend.close(at(piece * 5), 0, 0);
        }
        assert_eq!(trend.refusals(), [told("invalid-request", 2, Some(at(10)))]);
    }
}

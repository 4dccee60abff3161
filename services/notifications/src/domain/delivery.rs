//! One message for one endpoint: its tries, and when the next one is due.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use world::Moment;

/// How long after each try the next one is due; after the last of them there is none. With the first
/// try at once that is ten tries in a little more than three days.
/// Source: the schedule that Standard Webhooks suggests.
pub const SCHEDULE: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(5 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
    Duration::from_secs(14 * 60 * 60),
    Duration::from_secs(20 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// The longest that an endpoint may put a message off with `Retry-After`.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Tries that are remembered of one delivery; the latest of them.
const REMEMBERED: usize = 20;

/// One message for one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Tries since it was last asked for, by the event itself or by a person.
    pub made: usize,
    /// When it is sent next; none where it is settled.
    pub due_at: Option<Moment>,
    /// The latest tries, oldest first.
    pub attempts: Vec<Attempt>,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it was made.
    pub at: Moment,
    /// How long it took.
    pub duration_ms: i64,
    /// Where the message was sent.
    pub url: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// After how many seconds the endpoint wants to be asked again.
        retry_after_secs: Option<u64>,
        /// The beginning of the answer's body.
        body: String,
    },
    /// There was no answer.
    Unanswered {
        /// Why.
        cause: String,
    },
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It was not sent yet, and will be.
    Waiting,
    /// It failed, and is tried again.
    Retrying,
    /// The endpoint has taken it.
    Delivered,
    /// Every try has failed.
    Failed,
}

impl Status {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Retrying, Self::Delivered, Self::Failed];

    /// The word that stands for it in columns and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl Outcome {
    /// Whether the endpoint has taken the message.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }

    /// Whether the endpoint says that it is gone for good.
    pub fn says_gone(&self) -> bool {
        matches!(self, Self::Answered { status: 410, .. })
    }

    /// How long the endpoint wants to be left alone; a day at most.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Answered { retry_after_secs: Some(secs), .. } => Duration::from_secs(*secs).min(LONGEST_RETRY_AFTER),
            _ => Duration::ZERO,
        }
    }

    /// Why it is no success, for a person.
    pub fn why(&self) -> String {
        match self {
            Self::Answered { status: status @ 300..=399, .. } => {
                format!(
                    "it answered with status {status}, and redirects are not followed: register the URL that it leads to"
                )
            }
            Self::Answered { status, .. } => format!("it answered with status {status}; 2xx is expected"),
            Self::Unanswered { cause } => format!("it {cause}").replacen("it it", "it", 1),
        }
    }
}

impl Delivery {
    /// One that is to be sent at this moment.
    pub fn due(at: Moment) -> Self {
        Self { due_at: Some(at), ..Self::default() }
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        match (self.due_at, self.attempts.last()) {
            (Some(_), _) if self.made == 0 => Status::Waiting,
            (Some(_), _) => Status::Retrying,
            (None, Some(last)) if last.outcome.is_success() => Status::Delivered,
            (None, _) => Status::Failed,
        }
    }

    /// Sends it again, from the beginning of the schedule.
    pub fn ask_again(&mut self, now: Moment) {
        (self.made, self.due_at) = (0, Some(now));
    }

    /// Sends it again when its endpoint is resumed, however often it was tried: the endpoint was not there.
    pub fn wait_for_endpoint(&mut self, now: Moment) {
        if self.status() == Status::Failed {
            self.ask_again(now);
        }
    }

    /// Sends it no more, unless it is asked for again: nothing is kept for its endpoint.
    pub fn give_up(&mut self) {
        self.due_at = None;
    }

    /// Learns of a try; `jitter_permille` (0 to 100) spreads what failed together.
    pub fn learn(&mut self, attempt: Attempt, jitter_permille: i64) {
        let ended = attempt.at + Duration::from_millis(attempt.duration_ms.unsigned_abs());
        let wait =
            SCHEDULE.get(self.made).map(|wait| spread(*wait, jitter_permille).max(attempt.outcome.retry_after()));
        self.made += 1;
        let is_settled = attempt.outcome.is_success() || attempt.outcome.says_gone();
        self.due_at = wait.filter(|_| !is_settled).map(|wait| ended + wait);
        self.remember(attempt);
    }

    /// Remembers a try, and what is to come stays as it is: somebody has asked for it again, or tried it, while that
    /// was under way. What was taken once is not taken back, so the try that says so stays the last.
    pub fn remember(&mut self, attempt: Attempt) {
        let in_time = self.attempts.partition_point(|known| known.at <= attempt.at);
        let place = match self.status() {
            Status::Delivered => in_time.min(self.attempts.len() - 1),
            Status::Failed if attempt.outcome.is_success() => self.attempts.len(),
            _ => in_time,
        };
        self.attempts.insert(place, attempt);
        let forgotten = self.attempts.len().saturating_sub(REMEMBERED);
        self.attempts.drain(..forgotten);
    }
}

/// A duration, or a little longer.
pub(crate) fn spread(wait: Duration, jitter_permille: i64) -> Duration {
    let permille = 1_000 + u32::try_from(jitter_permille.clamp(0, 100)).unwrap_or(0);
    wait * permille / 1_000
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use world::Moment;

    use super::{Attempt, Delivery, Outcome, SCHEDULE, Status};

    fn answered(status: u16, retry_after_secs: Option<u64>) -> Outcome {
        Outcome::Answered { status, retry_after_secs, body: String::new() }
    }

    fn tried(delivery: &mut Delivery, at: Moment, outcome: Outcome, jitter: i64) {
        delivery.learn(Attempt { at, duration_ms: 0, url: "https://a.example".to_owned(), outcome }, jitter);
    }

    #[test]
    fn a_message_is_tried_ten_times_in_a_little_more_than_three_days_and_then_no_more() {
        let mut now = Moment::from_micros(0);
        let mut delivery = Delivery::due(now);
        assert_eq!(delivery.status(), Status::Waiting);
        for tries in 1.. {
            tried(&mut delivery, now, Outcome::Unanswered { cause: "did not answer".to_owned() }, 0);
            let Some(due) = delivery.due_at else {
                assert_eq!((tries, delivery.status()), (10, Status::Failed));
                break;
            };
            assert_eq!(delivery.status(), Status::Retrying);
            now = due;
        }
        let hours = now.since(Moment::from_micros(0)).as_secs() / 3_600;
        assert_eq!(hours, 75, "later than an endpoint that fails for three days is paused");
        assert_eq!(SCHEDULE[0], Duration::from_secs(5));
    }

    #[test]
    fn only_2xx_is_a_success_and_410_ends_it() {
        let ended = |status| {
            let mut delivery = Delivery::due(Moment::from_micros(0));
            tried(&mut delivery, Moment::from_micros(0), answered(status, None), 0);
            delivery.status()
        };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(ended(status), Status::Delivered, "{status}");
        }
        for status in [100, 199, 300, 301, 302, 307, 308, 400, 401, 404, 408, 429, 500, 503] {
            assert_eq!(ended(status), Status::Retrying, "{status}");
        }
        assert_eq!(ended(410), Status::Failed);
    }

    #[test]
    fn retry_after_puts_off_within_a_day_and_never_hastens() {
        let wait = |secs| {
            let mut delivery = Delivery::due(Moment::from_micros(0));
            tried(&mut delivery, Moment::from_micros(0), answered(503, Some(secs)), 0);
            delivery.due_at.expect("it is tried again").since(Moment::from_micros(0)).as_secs()
        };
        assert_eq!([0, 1, 5, 60, 86_400, u64::MAX].map(wait), [5, 5, 5, 60, 86_400, 86_400]);
    }

    #[test]
    fn what_failed_together_is_spread_over_a_tenth_of_the_wait() {
        let wait = |jitter| {
            let mut delivery = Delivery { made: 1, ..Delivery::due(Moment::from_micros(0)) };
            tried(&mut delivery, Moment::from_micros(0), answered(500, None), jitter);
            delivery.due_at.expect("it is tried again").since(Moment::from_micros(0)).as_secs()
        };
        assert_eq!([-1, 0, 50, 100, 1_000].map(wait), [300, 300, 315, 330, 330]);
    }

    #[test]
    fn asked_for_again_it_begins_anew_and_keeps_its_tries() {
        let now = Moment::from_micros(0);
        let mut delivery = Delivery::due(now);
        tried(&mut delivery, now, answered(200, None), 0);
        delivery.ask_again(now);
        assert_eq!((delivery.status(), delivery.attempts.len()), (Status::Waiting, 1));
        for _ in 0..30 {
            tried(&mut delivery, now, answered(500, None), 0);
            delivery.ask_again(now);
        }
        assert_eq!(delivery.attempts.len(), 20, "only so many are remembered");
    }

    #[test]
    fn the_try_that_pauses_its_endpoint_is_not_the_last() {
        let now = Moment::from_micros(0);
        let mut delivery = Delivery { made: SCHEDULE.len(), ..Delivery::due(now) };
        tried(&mut delivery, now, answered(500, None), 0);
        assert_eq!(delivery.status(), Status::Failed);
        delivery.wait_for_endpoint(now);
        assert_eq!((delivery.status(), delivery.due_at), (Status::Waiting, Some(now)));
        tried(&mut delivery, now, answered(200, None), 0);
        delivery.wait_for_endpoint(now);
        assert_eq!(delivery.status(), Status::Delivered);
    }

    #[test]
    fn a_try_that_was_overtaken_is_remembered_where_it_belongs_and_changes_nothing() {
        let at = |secs: i64| Moment::from_micros(secs * 1_000_000);
        let mut delivery = Delivery::due(at(0));
        tried(&mut delivery, at(9), answered(200, None), 0);
        let url = "https://a.example".to_owned();
        let late = |secs, outcome| Attempt { at: at(secs), duration_ms: 60_000, url: url.clone(), outcome };
        delivery.remember(late(5, answered(503, None)));
        assert_eq!((delivery.status(), delivery.due_at, delivery.made), (Status::Delivered, None, 1));
        assert_eq!(delivery.attempts.iter().map(|attempt| attempt.at).collect::<Vec<_>>(), [at(5), at(9)]);
        delivery.remember(late(12, answered(503, None)));
        assert_eq!(delivery.status(), Status::Delivered, "what was taken is not taken back by another process");
        let mut failed = Delivery::due(at(0));
        tried(&mut failed, at(9), answered(503, None), 0);
        failed.give_up();
        failed.remember(late(5, answered(200, None)));
        assert_eq!(failed.status(), Status::Delivered, "it was taken, however late that is heard of");
    }

    #[test]
    fn a_redirect_is_a_failure_that_says_so() {
        assert!(answered(302, None).why().contains("redirects are not followed"));
        assert!(Outcome::Unanswered { cause: "did not answer in time".to_owned() }.why().contains("in time"));
    }
}

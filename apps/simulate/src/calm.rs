//! How a run comes to its end: nothing goes wrong any more, time passes, and every story ends.

use std::collections::BTreeMap;
use std::time::Duration;

use db::{Plan, Turn};
use ids::Number;
use serde_json::json;

use crate::auditors::ask;
use crate::platform::{Platform, Sent};
use crate::requests::Requests;

/// How long everything may take to come to its end.
const LONGEST: Duration = Duration::from_secs(4 * 60 * 60);
/// After this long all holds that are left have lapsed.
const ALL_HOLDS: Duration = Duration::from_secs(30 * 60);
/// How long it may take until all webhooks have come to their end.
const LONGEST_OF_WEBHOOKS: Duration = Duration::from_secs(100 * 60 * 60);
/// Where nothing is due and nobody is posted to for so long, all that can be is delivered.
const QUIET: Duration = Duration::from_secs(10 * 60);
/// How far time moves while something does.
const SHORT: Duration = Duration::from_millis(100);
/// How often tasks are given their turn, so that each gets as far as it can without time passing.
const TASK_TURNS: usize = 8;

/// Lets the tasks of all processes go on as far as they can.
pub(crate) async fn let_tasks_run() {
    for _ in 0..TASK_TURNS {
        tokio::task::yield_now().await;
    }
}

/// Lets everything run until nothing moves; whether anything did.
pub(crate) async fn run_all(platform: &mut Platform) -> bool {
    let (mut idle, mut ever) = (0, false);
    while idle < 3 {
        let mut moved = false;
        for process in 0..platform.processes() {
            moved |= matches!(platform.turn(process, &Plan::ALL), Turn::Performed(_));
        }
        let_tasks_run().await;
        idle = if moved { 0 } else { idle + 1 };
        ever |= moved;
    }
    ever
}

/// Lets the story of every order end, and then all holds lapse; false if a story does not end.
/// What got no answer is asked again.
pub(crate) async fn come_to_an_end(platform: &mut Platform, requests: &mut Requests) -> bool {
    let ended = every_story_ends(platform, requests, LONGEST).await;
    platform.advance(ALL_HOLDS).await;
    run_all(platform).await;
    ended
}

/// Lets the story of every order end within some time; false if one does not.
pub(crate) async fn every_story_ends(platform: &mut Platform, requests: &mut Requests, within: Duration) -> bool {
    let until = platform.world.now() + within;
    let mut stories = Stories::default();
    // While nothing moves but what fails each time it is asked, time passes faster.
    let mut pause = SHORT;
    while platform.world.now() < until {
        let unanswered = requests.unanswered();
        for place in &unanswered {
            requests.send(platform, *place, 0);
        }
        let moved = run_all(platform).await && unanswered.is_empty();
        stories.read_on(platform).await;
        if requests.all_settled() && stories.have_all_ended() {
            return true;
        }
        pause = if moved { SHORT } else { (pause * 2).min(Duration::from_secs(20)) };
        platform.advance(pause).await;
    }
    false
}

/// Lets every webhook be delivered that can be, to receivers that take everything; false if that does not end. An
/// operator resumes whoever is paused.
pub(crate) async fn every_webhook_ends(platform: &mut Platform, requests: &mut Requests) -> bool {
    let endpoints: Vec<String> = requests.endpoints().into_iter().map(ToOwned::to_owned).collect();
    if endpoints.is_empty() {
        return true;
    }
    let until = platform.world.now() + LONGEST_OF_WEBHOOKS;
    let (mut pause, mut quiet, mut tries) = (SHORT, Duration::ZERO, 0);
    while platform.world.now() < until {
        let unanswered = requests.unanswered();
        for place in &unanswered {
            requests.send(platform, *place, 0);
        }
        run_all(platform).await;
        let moved = !unanswered.is_empty() || platform.receivers.count() > tries;
        tries = platform.receivers.count();
        let mut is_open = false;
        for endpoint in endpoints.iter().filter(|_| !moved) {
            let path = format!("/v1/webhook-endpoints/{endpoint}");
            match ask(platform, "notifications", path.clone()).await["status"].as_str() {
                Some("paused") => {
                    let place = requests.begin(Sent::post("notifications", format!("{path}/resume"), json!({})));
                    requests.send(platform, place, 0);
                    is_open = true;
                }
                Some("active" | "failing") => {
                    for status in ["waiting", "retrying"] {
                        let path = format!("{path}/deliveries?limit=1&status={status}");
                        let page = ask(platform, "notifications", path).await;
                        is_open |= page["items"].as_array().is_none_or(|items| !items.is_empty());
                    }
                }
                _ => {}
            }
        }
        quiet = if moved || is_open { Duration::ZERO } else { quiet + pause };
        if quiet >= QUIET {
            return true;
        }
        pause = if moved { SHORT } else { (pause * 2).min(QUIET) };
        platform.advance(pause).await;
    }
    false
}

/// Which orders and refunds have begun, and which of them have come to an end or need a person.
#[derive(Default)]
pub(crate) struct Stories {
    /// How far the events of each service are read.
    read: BTreeMap<&'static str, i64>,
    ended: BTreeMap<Number, bool>,
}

impl Stories {
    pub(crate) async fn read_on(&mut self, platform: &Platform) {
        for service in ["orders", "payments"] {
            let read = self.read.entry(service).or_default();
            for event in platform.events_after(service, *read).await {
                *read = event.position;
                match event.kind.as_ref() {
                    "OrderConfirmed" | "OrderCancelled" | "OrderNeedsAttention" | "PaymentRefunded" => {
                        self.ended.insert(event.stream, true)
                    }
                    // A confirmed one goes on where its stock is given up; people ask for refunds when all is over.
                    "OrderPlaced" | "OrderCancelRequested" | "PaymentVoidDue" | "RefundStarted" => {
                        self.ended.insert(event.stream, false)
                    }
                    _ => None,
                };
            }
        }
    }

    pub(crate) fn have_all_ended(&self) -> bool {
        self.ended.values().all(|ended| *ended)
    }
}

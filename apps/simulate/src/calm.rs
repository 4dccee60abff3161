//! How a run comes to its end: nothing goes wrong any more, time passes, and every story ends.

use std::collections::BTreeMap;
use std::time::Duration;

use db::{Plan, Turn};
use ids::Number;

use crate::platform::Platform;
use crate::requests::Requests;

/// How long everything may take to come to its end.
const LONGEST: Duration = Duration::from_secs(4 * 60 * 60);
/// After this long all holds that are left have lapsed.
const ALL_HOLDS: Duration = Duration::from_secs(30 * 60);
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
    let mut pause = Duration::from_millis(100);
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
        pause = if moved { Duration::from_millis(100) } else { (pause * 2).min(Duration::from_secs(20)) };
        platform.advance(pause).await;
    }
    false
}

/// Which orders have begun, and which of them have come to an end or need a person.
#[derive(Default)]
pub(crate) struct Stories {
    read: i64,
    ended: BTreeMap<Number, bool>,
}

impl Stories {
    pub(crate) async fn read_on(&mut self, platform: &Platform) {
        for event in platform.events_after("orders", self.read).await {
            self.read = event.position;
            match event.kind.as_ref() {
                "OrderConfirmed" | "OrderCancelled" | "OrderNeedsAttention" => self.ended.insert(event.stream, true),
                "OrderPlaced" | "OrderCancelRequested" => self.ended.insert(event.stream, false),
                _ => None,
            };
        }
    }

    pub(crate) fn have_all_ended(&self) -> bool {
        self.ended.values().all(|ended| *ended)
    }
}

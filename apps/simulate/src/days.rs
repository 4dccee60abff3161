//! The days after: what shops asked for has ended, and webhooks are still to be delivered to those who are
//! away for hours or days, while processes go on dying.

use std::time::Duration;

use db::Plan;
use world::Chance;

use crate::calm::let_tasks_run;
use crate::journal::Journal;
use crate::platform::{CRASHES, Platform};
use crate::requests::Requests;
use crate::run::{Scenario, turn};
use crate::subscribers::Subscribers;

/// Steps until everybody is there again.
const STEPS: usize = 150;
/// How far time moves in a step, at most; as a rule, and once in a while.
const STRIDE: Duration = Duration::from_secs(20);
const LONG_STRIDE: Duration = Duration::from_secs(2 * 60 * 60);
/// How long somebody is away.
const AWAY: Duration = Duration::from_secs(100 * 60 * 60);

/// Lets days pass; gives back how many processes died in them.
pub(crate) async fn pass(
    chance: &mut Chance,
    platform: &mut Platform,
    subscribers: &mut Subscribers,
    requests: &mut Requests,
    scenario: &Scenario,
    journal: &mut Journal,
) -> usize {
    let mut died = 0;
    for _ in 0..STEPS {
        let now = platform.world.now();
        match chance.below(20) {
            0 => {
                if let Some(did) = subscribers.act(platform, requests, AWAY) {
                    journal.note(now, did);
                }
            }
            1 if scenario.crashes => {
                let process = chance.below(platform.processes());
                journal.note(now, format_args!("{} dies", platform.service_of(process)));
                platform.replace(process);
                platform.weather.went_wrong("a process died between turns");
                died += 1;
            }
            2..=11 => {
                for process in 0..platform.processes() {
                    let crash =
                        if scenario.crashes && chance.once_in(40) { chance.pick(&CRASHES).copied() } else { None };
                    let plan = Plan { requests: chance.below(9), from_inlets: 1 + chance.below(8), crash };
                    died += usize::from(turn(platform, process, &plan, journal));
                    let_tasks_run().await;
                }
            }
            _ => {
                let longest = if chance.once_in(6) { LONG_STRIDE } else { STRIDE };
                platform.advance(longest.mul_f64(chance.fraction())).await;
            }
        }
        let_tasks_run().await;
    }
    died
}

//! One seed from begin to end: rough weather, then calm, then the audit.

use std::collections::BTreeMap;
use std::time::Duration;

use db::{Plan, Turn};
use ids::Number;
use tokio::task::LocalSet;
use world::{Chance, World};

use crate::auditors::{Evidence, Finding, audit};
use crate::delivery::Weather;
use crate::journal::Journal;
use crate::platform::{CRASHES, Platform};
use crate::shoppers::Shoppers;

/// What a run is made of, beside its seed.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Things that shoppers do, at most.
    pub requests: usize,
    /// Whether processes die.
    pub crashes: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Self { requests: 80, crashes: true }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What the auditors found; nothing, if all is well.
    pub findings: Vec<Finding>,
    /// Requests that were made.
    pub requests: usize,
    /// Events that were published.
    pub events: usize,
    /// Processes that died.
    pub crashes: usize,
    /// Orders that were confirmed.
    pub confirmed: usize,
    /// Orders that were cancelled.
    pub cancelled: usize,
    /// The same for the same run.
    pub digest: u64,
}

/// Runs one seed.
///
/// # Panics
/// When the runtime cannot be made.
pub fn run(seed: u64, scenario: &Scenario, mut journal: Journal) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let local = LocalSet::new();
    let world = World::simulated(seed);
    local.block_on(&runtime.expect("a runtime"), play(&world, scenario, &mut journal))
}

/// Steps of rough weather, at most.
const MOST_STEPS: usize = 20_000;
/// How long everything may take to come to its end once it is calm.
const MOST_CALM: Duration = Duration::from_hours(4);

async fn play(world: &World, scenario: &Scenario, journal: &mut Journal) -> Outcome {
    let weather = Weather::default();
    let mut chance = world.chance("run");
    let doubled: Vec<&'static str> = Platform::services().filter(|_| chance.once_in(4)).collect();
    let mut platform = Platform::start(world, &weather, &doubled);
    let mut shoppers = Shoppers::new(world.chance("shoppers"), scenario.requests);
    let mut crashes = 0;
    shoppers.deliver(&mut platform);
    run_all(&mut platform).await;
    weather.turn_rough();
    let mut steps = 0;
    while shoppers.has_more() && steps < MOST_STEPS {
        steps += 1;
        crashes += step(&mut chance, &mut platform, &mut shoppers, scenario, journal).await;
    }
    weather.turn_calm();
    let ended = come_to_an_end(&mut platform, &mut shoppers).await;
    // All holds that are left have lapsed by now.
    platform.advance(Duration::from_mins(30)).await;
    run_all(&mut platform).await;
    let evidence = Evidence::gather(&mut platform, &shoppers, ended).await;
    for event in evidence.events.values().flatten() {
        let body = event.body.as_ref();
        journal.note(event.occurred_at, format_args!("{} {} {} {body}", event.id(), event.kind, event.subject));
    }
    let count = |kind: &str| evidence.events["orders"].iter().filter(|event| event.kind.as_ref() == kind).count();
    Outcome {
        findings: audit(&evidence),
        requests: shoppers.exchanges.iter().map(|exchange| exchange.heard.len()).sum(),
        events: evidence.events.values().map(Vec::len).sum(),
        crashes,
        confirmed: count("OrderConfirmed"),
        cancelled: count("OrderCancelled"),
        digest: journal.digest(),
    }
}

/// One step of rough weather; gives back how many processes died in it.
async fn step(
    chance: &mut Chance,
    platform: &mut Platform,
    shoppers: &mut Shoppers,
    scenario: &Scenario,
    journal: &mut Journal,
) -> usize {
    let now = platform.world.now();
    let mut died = 0;
    match chance.below(100) {
        0..=14 => {
            if let Some(did) = shoppers.act(platform) {
                journal.note(now, did);
            }
        }
        15..=84 => {
            let process = chance.below(platform.processes());
            let service = platform.service_of(process);
            let crash = if scenario.crashes && chance.once_in(60) { chance.pick(&CRASHES).copied() } else { None };
            let plan = Plan { requests: chance.below(9), from_inlets: 1 + chance.below(8), crash };
            let turn = platform.turn(process, &plan);
            if turn != Turn::Idle {
                journal.note(now, format_args!("{service} {turn:?} {crash:?}"));
            }
            died += usize::from(turn == Turn::Crashed);
        }
        85..=95 => platform.advance(Duration::from_millis(chance.below(200) as u64)).await,
        96 => {
            let longest = if chance.once_in(4) { 120 } else { 5 };
            let secs = chance.below(longest) as u64;
            journal.note(now, format_args!("{secs} s pass"));
            platform.advance(Duration::from_secs(secs)).await;
        }
        97 if scenario.crashes => {
            let process = chance.below(platform.processes());
            journal.note(now, format_args!("{} dies", platform.service_of(process)));
            platform.replace(process);
            died += 1;
        }
        _ => {}
    }
    for _ in 0..chance.below(4) {
        tokio::task::yield_now().await;
    }
    died
}

/// Lets everything run until nothing moves; whether anything did.
async fn run_all(platform: &mut Platform) -> bool {
    let (mut idle, mut ever) = (0, false);
    while idle < 3 {
        let mut moved = false;
        for process in 0..platform.processes() {
            moved |= matches!(platform.turn(process, &Plan::ALL), Turn::Performed(_));
        }
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        idle = if moved { 0 } else { idle + 1 };
        ever |= moved;
    }
    ever
}

/// Lets the story of every order end; false if one does not.
async fn come_to_an_end(platform: &mut Platform, shoppers: &mut Shoppers) -> bool {
    let until = platform.world.now() + MOST_CALM;
    let mut stories = Stories::default();
    // While nothing moves, time passes faster.
    let mut pause = Duration::from_millis(100);
    while platform.world.now() < until {
        shoppers.ask_again(platform);
        let moved = run_all(platform).await;
        stories.read_on(platform).await;
        if shoppers.all_settled() && stories.have_all_ended() {
            return true;
        }
        pause = if moved { Duration::from_millis(100) } else { (pause * 2).min(Duration::from_secs(20)) };
        platform.advance(pause).await;
    }
    false
}

/// Which orders have begun, and which of them have come to an end or need a person.
#[derive(Default)]
struct Stories {
    read: i64,
    ended: BTreeMap<Number, bool>,
}

impl Stories {
    async fn read_on(&mut self, platform: &Platform) {
        for event in platform.events_after("orders", self.read).await {
            self.read = event.position;
            match event.kind.as_ref() {
                "OrderConfirmed" | "OrderCancelled" | "OrderNeedsAttention" => self.ended.insert(event.stream, true),
                "OrderPlaced" | "OrderCancelRequested" => self.ended.insert(event.stream, false),
                _ => None,
            };
        }
    }

    fn have_all_ended(&self) -> bool {
        self.ended.values().all(|ended| *ended)
    }
}

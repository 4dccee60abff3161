//! One seed from begin to end: rough weather, then calm, then the audit.

use std::future::Future;
use std::time::Duration;

use db::{Crash, Plan, Turn};
use tokio::task::LocalSet;
use world::{Chance, World};

use crate::auditors::{Evidence, Finding, Restored, audit, audit_restored};
use crate::calm::{come_to_an_end, every_story_ends, every_webhook_ends, run_all};
use crate::coverage::Coverage;
use crate::days;
use crate::delivery::Weather;
use crate::journal::Journal;
use crate::platform::{Backup, CRASHES, Platform, Settings, Stopped};
use crate::shoppers::{Shoppers, Trade};
use crate::subscribers::Subscribers;

/// What a run is made of, beside its seed.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Things that shoppers do, at most.
    pub requests: usize,
    /// Whether processes die.
    pub crashes: bool,
    /// Whether the disk of one service is put back to an older copy on the way.
    pub restores: bool,
    /// Whether there is a sale in every run: otherwise there is in some.
    pub sales: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Self { requests: 80, crashes: true, restores: false, sales: false }
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
    /// What happened in it, and how often.
    pub coverage: Coverage,
    /// The consumers that have stopped for good.
    pub stopped: Vec<Stopped>,
    /// The same for the same run.
    pub digest: u64,
}

/// Runs one seed.
///
/// # Panics
/// When the runtime cannot be made.
pub fn run(seed: u64, scenario: &Scenario, journal: &mut Journal) -> Outcome {
    let world = World::simulated(seed);
    in_simulation(play(&world, scenario, journal))
}

/// Runs on this thread, with a clock that stands until it is moved.
pub(crate) fn in_simulation<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), what)
}

/// In one of so many runs there is a sale.
const SALES: usize = 5;
/// Steps of rough weather, at most.
const MOST_STEPS: usize = 20_000;
/// How long somebody who wants to be told is away, at most.
const AWAY: Duration = Duration::from_secs(120);
/// How long others go on after a backup was put back and the weather has turned calm.
const AFTER_RESTORE: Duration = Duration::from_secs(20);

async fn play(world: &World, scenario: &Scenario, journal: &mut Journal) -> Outcome {
    let weather = Weather::default();
    let mut chance = world.chance("run");
    let doubled: Vec<&'static str> = Platform::services().filter(|_| chance.once_in(4)).collect();
    let is_sale = scenario.sales || world.chance("trade").once_in(SALES);
    let trade = if is_sale { Trade::Sale } else { Trade::Usual };
    let settings = Settings::of_some_operator(&mut world.chance("operator"), trade);
    let mut platform = Platform::start(world, &weather, &settings, &doubled);
    let mut shoppers = Shoppers::new(world, trade, scenario.requests);
    let mut restore = scenario.restores.then(|| Restore::planned(&mut chance, scenario.requests));
    let mut crashes = 0;
    let mut subscribers = Subscribers::new(world);
    shoppers.deliver(&mut platform);
    subscribers.begin(&mut platform, &mut shoppers.requests);
    run_all(&mut platform).await;
    weather.turn_rough();
    platform.receivers.turn_rough(true);
    let mut steps = 0;
    let mut outage = Outage::of(trade);
    while shoppers.has_more() && steps < MOST_STEPS {
        steps += 1;
        if let Some(restore) = &mut restore {
            restore.go_on(&mut platform, shoppers.left()).await;
        }
        outage.go_on(&mut chance, &platform, journal);
        crashes += step(&mut chance, &mut platform, &mut shoppers, &mut subscribers, scenario, journal).await;
    }
    outage.end(&platform);
    weather.turn_calm();
    let mut ended = match restore {
        None => come_to_an_end(&mut platform, &mut shoppers.requests).await,
        Some(_) => every_story_ends(&mut platform, &mut shoppers.requests, AFTER_RESTORE).await,
    };
    // Where a request is never settled, there would be no end to waiting for what it may still say.
    if subscribers.are_there() && restore.is_none() && ended {
        let requests = &mut shoppers.requests;
        crashes += days::pass(&mut chance, &mut platform, &mut subscribers, requests, scenario, journal).await;
        platform.receivers.turn_rough(false);
        ended = every_webhook_ends(&mut platform, requests).await;
    }
    let evidence = Evidence::gather(&mut platform, &shoppers.requests, ended).await;
    for event in evidence.events.values().flatten() {
        let body = event.body.as_ref();
        journal.note(event.occurred_at, format_args!("{} {} {} {body}", event.id(), event.kind, event.subject));
    }
    for one in &evidence.tries {
        journal.note(one.at, one);
    }
    let stopped = platform.stopped();
    let findings = match restore.and_then(|restore| restore.done) {
        Some(restored) => audit_restored(&evidence, &restored, &stopped),
        None if scenario.restores => Vec::new(),
        None => audit(&evidence),
    };
    Outcome {
        findings,
        requests: shoppers.requests.sent(),
        events: evidence.events.values().map(Vec::len).sum(),
        crashes,
        coverage: Coverage::of(&evidence, weather.faults()),
        stopped,
        digest: journal.digest(),
    }
}

/// A line between two services that is down for a while.
struct Outage {
    trade: Trade,
    /// Who hears nothing of whom, and for how many steps still.
    down: Option<(&'static str, &'static str, usize)>,
}

/// The lines between services: of whom, and to whom.
const LINES: [(&str, &str); 5] = [
    ("orders", "inventory"),
    ("orders", "payments"),
    ("inventory", "orders"),
    ("payments", "orders"),
    ("orders", "notifications"),
];

impl Outage {
    fn of(trade: Trade) -> Self {
        Self { trade, down: None }
    }

    fn go_on(&mut self, chance: &mut Chance, platform: &Platform, journal: &mut Journal) {
        // In a sale it is the word of payments that is late: the money is there, and the hold is over.
        let (once_in, longest) = if self.trade == Trade::Sale { (40, 400) } else { (150, 150) };
        match &mut self.down {
            None if chance.once_in(once_in) => {
                let (source, reader) = match self.trade {
                    Trade::Sale => ("payments", "orders"),
                    Trade::Usual => LINES[chance.below(LINES.len())],
                };
                platform.weather.went_wrong("a line between two services was down");
                journal.note(platform.world.now(), format_args!("{reader} hears nothing of {source}"));
                platform.weather.withhold(source, reader, true);
                self.down = Some((source, reader, chance.below(longest)));
            }
            None => {}
            Some((_, _, 0)) => self.end(platform),
            Some((_, _, left)) => *left -= 1,
        }
    }

    fn end(&mut self, platform: &Platform) {
        if let Some((source, reader, _)) = self.down.take() {
            platform.weather.withhold(source, reader, false);
        }
    }
}

/// A disk that is put back to an older copy: when, and how far that has come.
struct Restore {
    service: &'static str,
    /// How much shoppers have left to do when the copy is made, and when it is put back.
    copied_at: usize,
    put_back_at: usize,
    backup: Option<Backup>,
    done: Option<Restored>,
}

impl Restore {
    fn planned(chance: &mut Chance, requests: usize) -> Self {
        let services: Vec<&'static str> = Platform::services().collect();
        let service = services[chance.below(services.len())];
        let copied_at = requests / 2 + chance.below(requests / 4 + 1);
        let put_back_at = copied_at.saturating_sub(1 + chance.below(requests / 4 + 1));
        Self { service, copied_at, put_back_at, backup: None, done: None }
    }

    async fn go_on(&mut self, platform: &mut Platform, left: usize) {
        if self.backup.is_none() && left <= self.copied_at {
            self.backup = Some(platform.back_up(self.service));
        }
        if let (Some(backup), None) = (&self.backup, &self.done)
            && left <= self.put_back_at
        {
            self.done = Some(Restored::now(platform, backup).await);
        }
    }
}

/// Lets a process take a turn; whether it dies in it.
pub(crate) fn turn(platform: &mut Platform, process: usize, plan: &Plan, journal: &mut Journal) -> bool {
    let service = platform.service_of(process);
    let turn = platform.turn(process, plan);
    if turn != Turn::Idle {
        journal.note(platform.world.now(), format_args!("{service} {turn:?} {:?}", plan.crash));
    }
    let Some(point) = plan.crash.filter(|_| turn == Turn::Crashed) else { return false };
    platform.weather.went_wrong(match point {
        Crash::BeforeCommit => "a process died before the commit",
        Crash::AfterCommit => "a process died after the commit",
        Crash::AfterAnswer => "a process died after the answer",
    });
    true
}

/// One step of rough weather; gives back how many processes died in it.
async fn step(
    chance: &mut Chance,
    platform: &mut Platform,
    shoppers: &mut Shoppers,
    subscribers: &mut Subscribers,
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
            let crash = if scenario.crashes && chance.once_in(60) { chance.pick(&CRASHES).copied() } else { None };
            let plan = Plan { requests: chance.below(9), from_inlets: 1 + chance.below(8), crash };
            died += usize::from(turn(platform, process, &plan, journal));
        }
        85..=95 => {
            // So that in a sale holds lapse while something happens, and not in between.
            let longest = if shoppers.trade() == Trade::Sale { 1_000 } else { 200 };
            platform.advance(Duration::from_millis(chance.below(longest) as u64)).await;
        }
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
            platform.weather.went_wrong("a process died between turns");
            died += 1;
        }
        98 => {
            if let Some(did) = subscribers.act(platform, &mut shoppers.requests, AWAY) {
                journal.note(now, did);
            }
        }
        _ => {
            if let Some(did) = shoppers.look(platform) {
                journal.note(now, did);
            }
        }
    }
    for _ in 0..chance.below(4) {
        tokio::task::yield_now().await;
    }
    died
}

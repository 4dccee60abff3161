//! The checkout fails at each of its crash points, on each path, and ends clean.
//!
//! Each path is played without a fault first, counting the turns in which a service does something;
//! then once for each of these turns and each point of its transaction, with the process dying there.
//! And then with two processes that die: in every pair of turns on the way to a confirmed order, on the
//! other paths in some.

use std::time::Duration;

use db::Crash;
use orders::OnLoss;
use serde_json::json;
use simulate::{Asked, Script, Settings};
use world::{Chance, World};

/// The points of a transaction at which a process dies.
const POINTS: [Crash; 3] = [Crash::BeforeCommit, Crash::AfterCommit, Crash::AfterAnswer];

/// Pairs of crashes that are tried on each path but the first.
const PAIRS_OF_A_PATH: usize = 40;

/// What happens on a path, beside the checkout itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Nothing,
    /// The order is cancelled once orders has said this.
    CancelAfter(&'static str),
    /// The customer passes the step at the bank, or does not.
    AtTheBank {
        succeeds: bool,
    },
    /// The hold lapses before inventory hears that it is to be made firm; somebody else takes the
    /// stock meanwhile, or nobody does.
    HoldLapses {
        somebody_takes_it: bool,
    },
}

struct Path {
    name: &'static str,
    method: &'static str,
    stock: i64,
    deed: Deed,
    /// What happens when one half of the order is lost.
    on_loss: OnLoss,
    /// How the order may end; the first is how it ends where nothing fails.
    ends: &'static [&'static str],
}

const VISA: &str = "pm_card_visa";

impl Path {
    const fn new(name: &'static str, method: &'static str, ends: &'static [&'static str]) -> Self {
        Self { name, method, stock: 10, deed: Deed::Nothing, on_loss: OnLoss::Cancel, ends }
    }

    const fn with(self, deed: Deed) -> Self {
        Self { deed, ..self }
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.orders.hold_secs = 120;
        (settings.orders.on_lost_stock, settings.orders.on_lost_money) = (self.on_loss, self.on_loss);
        settings
    }
}

/// A cancellation may come too late where the process dies that was to take it in.
const CANCELLED: &[&str] = &["cancelled: requested", "confirmed"];
const DECLINED: &[&str] = &["cancelled: payment_declined"];

fn paths() -> Vec<Path> {
    let lapses = |somebody_takes_it| Deed::HoldLapses { somebody_takes_it };
    let person = |path: Path| Path { on_loss: OnLoss::Attention, ..path };
    vec![
        Path::new("confirmed", VISA, &["confirmed"]),
        Path { stock: 1, ..Path::new("out of stock", VISA, &["cancelled: out_of_stock"]) },
        Path::new("declined", "pm_card_chargeDeclined", DECLINED),
        Path::new("the provider is silent before the charge", "pm_test_timeout_before", &["confirmed"]),
        Path::new("the provider is silent after the charge", "pm_test_timeout_after_charge", &["confirmed"]),
        Path::new("the provider is slow", "pm_test_slow", &["confirmed"]),
        Path::new("the provider is not available", "pm_test_unavailable", DECLINED),
        Path::new("the step at the bank is passed", "pm_card_authenticationRequired", &["confirmed"])
            .with(Deed::AtTheBank { succeeds: true }),
        Path::new("the step at the bank is not passed", "pm_card_authenticationRequired", DECLINED)
            .with(Deed::AtTheBank { succeeds: false }),
        Path::new("nobody goes to the bank", "pm_card_authenticationRequired", &["cancelled: payment_timed_out"]),
        Path::new("cancelled while reserving", VISA, CANCELLED).with(Deed::CancelAfter("OrderPlaced")),
        Path::new("cancelled while authorizing", VISA, CANCELLED).with(Deed::CancelAfter("PaymentDue")),
        Path::new("cancelled while committing", VISA, CANCELLED).with(Deed::CancelAfter("StockCommitDue")),
        Path::new("cancelled while capturing", VISA, CANCELLED).with(Deed::CancelAfter("CaptureDue")),
        Path::new("the capture is refused", "pm_test_capture_refused", &["cancelled: capture_failed"]),
        person(Path::new(
            "the capture is refused, and a person decides",
            "pm_test_capture_refused",
            &["attention: stock_but_no_money"],
        )),
        Path::new("the hold lapses, and the stock is still there", VISA, &["confirmed"]).with(lapses(false)),
        Path::new("the hold lapses, and the stock is gone", VISA, &["cancelled: out_of_stock"]).with(lapses(true)),
        person(
            Path::new(
                "the hold lapses, the stock is gone, and a person decides",
                VISA,
                &["attention: paid_but_no_stock"],
            )
            .with(lapses(true)),
        ),
    ]
}

/// How far what a path does beside the checkout has come.
#[derive(Default)]
struct Progress {
    began: bool,
    /// Somebody else wants the same stock.
    rival: Option<Asked>,
    ended: bool,
}

impl Progress {
    async fn act(&mut self, path: &Path, script: &mut Script) {
        if self.ended {
            return;
        }
        match path.deed {
            Deed::Nothing => self.ended = true,
            Deed::CancelAfter(said) => {
                if script.times_said("orders", said).await > 0 {
                    script.cancel("o-1", 1);
                    self.ended = true;
                }
            }
            Deed::AtTheBank { succeeds } => {
                if let Some(key) = script.at_the_bank().first() {
                    script.challenge(key, succeeds);
                    script.webhook(key, 2);
                    self.ended = true;
                }
            }
            Deed::HoldLapses { somebody_takes_it } => self.let_the_hold_lapse(script, somebody_takes_it).await,
        }
    }

    async fn let_the_hold_lapse(&mut self, script: &mut Script, somebody_takes_it: bool) {
        if !self.began {
            if script.times_said("orders", "PaymentDue").await > 0 {
                script.withhold("orders", "inventory");
            }
            if script.times_said("orders", "StockCommitDue").await > 0 {
                script.pass(Duration::from_secs(180)).await;
                self.began = true;
            }
        } else if script.times_said("inventory", "StockReservationExpired").await > 0 {
            if somebody_takes_it && self.rival.is_none() {
                let body = json!({"lines": [{"sku": "a", "quantity": 9}], "hold_secs": 900});
                let method = axum::http::Method::PUT;
                self.rival = Some(script.ask("inventory", method, "/v1/reservations/rival", body, 1));
            }
            let has_it = |rival: Asked| script.answers(rival).iter().any(|(status, _)| *status < 300);
            if self.rival.is_none_or(has_it) {
                script.hand_over("orders", "inventory");
                self.ended = true;
            }
        }
    }
}

/// Plays a path with a process dying in some turns; says how many turns it took.
fn play(path: &Path, crashes: &[(usize, Crash)]) -> usize {
    Script::play(&path.settings(), &[], async |script| {
        script.deliver("a", path.stock).await;
        script.crash_in_turns(crashes);
        let asked = script.place("o-1", &[("a", 1), ("a", 1)], path.method, 1);
        let mut progress = Progress::default();
        let ended = script.go_on(async |script| progress.act(path, script).await).await;
        let turns = script.turns();
        script.crash_in_turns(&[]);
        let outcome = script.end().await;
        assert!(ended, "{}, {crashes:?}: the story does not end", path.name);
        assert_eq!(outcome.findings, [], "{}, {crashes:?}", path.name);
        assert!(!script.answers(asked).is_empty());
        let end = outcome.order("o-1");
        let may_end = if crashes.is_empty() { &path.ends[..1] } else { path.ends };
        assert!(may_end.contains(&end.as_str()), "{}, {crashes:?}: {end}", path.name);
        turns
    })
}

/// Plays a path once for each crash; says how many there were.
fn every_crash_of(path: &Path) -> usize {
    let all: Vec<_> = (0..play(path, &[])).flat_map(|turn| POINTS.map(|point| (turn, point))).collect();
    for crash in &all {
        play(path, &[*crash]);
    }
    all.len()
}

/// Plays a path once for each pair of crashes, the second being one of what the first leads to.
fn every_pair_of(path: &Path) -> usize {
    let mut pairs = 0;
    for turn in 0..play(path, &[]) {
        for point in POINTS {
            let first = (turn, point);
            let turns = play(path, &[first]);
            for second in (turn + 1..turns).flat_map(|turn| POINTS.map(|point| (turn, point))) {
                play(path, &[first, second]);
                pairs += 1;
            }
        }
    }
    pairs
}

/// Plays a path with some of its pairs of crashes.
fn some_pairs_of(path: &Path) -> usize {
    let mut chance = World::simulated(0).chance(path.name);
    let turns = play(path, &[]);
    let point = |chance: &mut Chance| POINTS[chance.below(POINTS.len())];
    for _ in 0..PAIRS_OF_A_PATH {
        let first = chance.below(turns);
        let second = first + 1 + chance.below(turns - first);
        play(path, &[(first, point(&mut chance)), (second, point(&mut chance))]);
    }
    PAIRS_OF_A_PATH
}

/// Plays paths on both cores; says how many crashes there were in all.
fn sum_over(paths: &[Path], play: impl Fn(&Path) -> usize + Sync) -> usize {
    let (some, others) = paths.split_at(paths.len() / 2);
    let all_of = |paths: &[Path]| -> usize { paths.iter().map(&play).sum() };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| all_of(some));
        all_of(others) + first.join().expect("the first half ends")
    })
}

#[test]
fn wherever_a_process_dies_on_whichever_path_the_checkout_ends_clean() {
    let paths = paths();
    let crashes = sum_over(&paths, every_crash_of);
    println!("{} paths, {crashes} crashes", paths.len());
    assert!(crashes > 500, "only {crashes} crashes: the paths are not what they were");
}

#[test]
fn wherever_two_processes_die_on_the_way_to_a_confirmed_order_it_ends_clean() {
    let path = &paths()[0];
    let pairs = every_pair_of(path);
    println!("on the way to a confirmed order: {pairs} pairs of crashes");
    assert!(pairs > 500, "only {pairs} pairs: the path is not what it was");
}

#[test]
fn two_processes_that_die_on_any_other_path_leave_a_checkout_that_ends_clean() {
    let pairs = sum_over(&paths()[1..], some_pairs_of);
    println!("the other paths: {pairs} pairs of crashes");
}

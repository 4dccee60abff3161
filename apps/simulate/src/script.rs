//! A platform under a script: a test says what happens, step by step, and the auditors look at it.
//!
//! ```text
//! place ─▶ until("PaymentAuthorized") ─▶ cancel ─▶ turn("inventory") ─▶ … ─▶ end ─▶ Ended { findings, orders }
//! ```
//!
//! Nothing goes wrong and nothing moves unless the script says so.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use db::{Crash, Plan, Turn};
use events::Envelope;
use payments::provider::{Key, Standing};
use serde_json::{Value, json};
use world::World;

use crate::auditors::{Evidence, Finding, Restored, ask, audit, audit_restored};
use crate::calm::{Stories, come_to_an_end, every_story_ends, every_webhook_ends, let_tasks_run, run_all};
use crate::delivery::Weather;
use crate::platform::{Backup, Platform, SHOP, STOCKROOM, Sent, Settings, Stopped};
use crate::requests::Requests;
use crate::run::in_simulation;

/// A platform that does what a script says.
pub struct Script {
    platform: Platform,
    weather: Weather,
    requests: Requests,
    /// What each service has said, as far as it was read.
    said: BTreeMap<&'static str, Vec<Envelope>>,
    /// Turns that performed something since they are counted.
    turns: usize,
    /// Which of them end in a crash, and where.
    crashes: Vec<(usize, Crash)>,
    restored: Option<Restored>,
}

/// A request of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(usize);

/// How a script ended.
#[derive(Debug)]
pub struct Ended {
    /// What the auditors found; nothing, if all is well.
    pub findings: Vec<Finding>,
    /// The status of each order, and the reason where there is one.
    pub orders: BTreeMap<String, (String, Option<String>)>,
}

impl Ended {
    /// The status of an order with its reason, such as `cancelled: out_of_stock`.
    ///
    /// # Panics
    /// When there is no such order.
    pub fn order(&self, name: &str) -> String {
        match &self.orders[name] {
            (status, Some(reason)) => format!("{status}: {reason}"),
            (status, None) => status.clone(),
        }
    }

    /// How many orders have this status.
    pub fn count(&self, status: &str) -> usize {
        self.orders.values().filter(|(is, _)| is == status).count()
    }
}

/// How long a step of a script may take at most, in rounds of all processes.
const MOST_ROUNDS: usize = 20_000;
/// How far time moves after a round that did something.
const SHORT_PAUSE: Duration = Duration::from_millis(20);
/// How far it moves at most after a round that did nothing.
const LONG_PAUSE: Duration = Duration::from_secs(8);
/// How long others go on after a backup was put back.
const AFTER_RESTORE: Duration = Duration::from_secs(30);

impl Script {
    /// Plays a script on an empty platform, `doubled` services running as two processes each.
    pub fn play<T>(settings: &Settings, doubled: &[&'static str], script: impl AsyncFnOnce(&mut Self) -> T) -> T {
        let (world, weather) = (World::simulated(0), Weather::default());
        in_simulation(async {
            let platform = Platform::start(&world, &weather, settings, doubled);
            let (requests, said, crashes) = (Requests::default(), BTreeMap::new(), Vec::new());
            let mut stage = Self { platform, weather, requests, said, turns: 0, crashes, restored: None };
            script(&mut stage).await
        })
    }

    /// Sends a request to a service, so many times at once, spread over its processes.
    pub fn ask(&mut self, service: &'static str, method: Method, path: &str, body: Value, times: usize) -> Asked {
        self.send(Sent { service, method, path: path.to_owned(), body, key: None, owner: SHOP }, times)
    }

    /// Sends a request of those who look after the shelves to inventory.
    pub fn ask_of_the_stockroom(&mut self, method: Method, path: &str, body: Value) -> Asked {
        let path = path.to_owned();
        self.send(Sent { service: "inventory", method, path, body, key: None, owner: STOCKROOM }, 1)
    }

    fn send(&mut self, sent: Sent, times: usize) -> Asked {
        let asked = Asked(self.requests.begin(sent));
        self.ask_again(asked, times);
        asked
    }

    /// Sends the same request again, so many times at once.
    pub fn ask_again(&mut self, asked: Asked, times: usize) {
        for choose in 0..times {
            self.requests.send(&mut self.platform, asked.0, choose);
        }
    }

    /// All answers to a request, in the order in which it was sent.
    pub fn answers(&self, asked: Asked) -> Vec<(u16, Value)> {
        self.requests.at(asked.0).answers().collect()
    }

    /// Puts goods on the shelf, and lets everything run.
    pub async fn deliver(&mut self, sku: &str, quantity: i64) {
        let name = format!("/v1/stock-movements/delivery-{}", self.requests.all().len());
        let body = json!({"type": "receive", "sku": sku, "warehouse": "main", "quantity": quantity});
        self.ask("inventory", Method::PUT, &name, body, 1);
        self.run().await;
    }

    /// Asks for an order of some pieces of some SKUs, to be paid with a method, so many times at once.
    pub fn place(&mut self, order: &str, lines: &[(&str, i64)], method: &str, times: usize) -> Asked {
        let price = json!({"amount": 250, "currency": "GBP"});
        let line = |(sku, quantity): &(&str, i64)| json!({"sku": sku, "quantity": quantity, "unit_price": price});
        let lines: Vec<Value> = lines.iter().map(line).collect();
        let body = json!({"lines": lines, "payment": {"method": method}});
        self.ask("orders", Method::PUT, &format!("/v1/orders/{order}"), body, times)
    }

    /// Asks for the cancellation of an order, so many times at once.
    pub fn cancel(&mut self, order: &str, times: usize) -> Asked {
        self.send(cancellation(order, None), times)
    }

    /// Asks for the cancellation of an order under a key, so many times at once.
    pub fn cancel_under(&mut self, key: &str, order: &str, times: usize) -> Asked {
        self.send(cancellation(order, Some(key.to_owned())), times)
    }

    /// The tries that wait at the bank for the customer.
    pub fn at_the_bank(&self) -> Vec<Key> {
        let waits = |standing: &Standing| matches!(standing, Standing::ActionRequired { .. });
        let book = self.platform.provider.bank.book();
        book.charges(None).filter(|charge| waits(&charge.standing)).map(|charge| charge.key.clone()).collect()
    }

    /// The customer passes the step at the bank, or does not.
    pub fn challenge(&mut self, key: &Key, succeeds: bool) {
        drop(self.platform.provider.bank.challenge(key, succeeds));
    }

    /// The bank's webhook comes in, so many times at once.
    pub fn webhook(&mut self, key: &Key, times: usize) -> Asked {
        let body = json!({"id": format!("whk_{key}"), "key": key.to_string(), "type": "authorization.succeeded"});
        self.ask("payments", Method::POST, "/v1/payments/webhooks/test", body, times)
    }

    /// The browser comes back from the bank, so many times at once.
    pub fn browser_returns(&mut self, key: &Key, times: usize) -> Asked {
        self.ask("payments", Method::POST, &format!("/v1/payments/{}/return", key.payment()), json!({}), times)
    }

    /// From now on every event comes late, and comes again.
    pub fn double_every_event(&mut self) {
        self.weather.turn_echoing();
    }

    /// From now on a reader hears nothing of a source.
    pub fn withhold(&mut self, source: &'static str, reader: &'static str) {
        self.weather.withhold(source, reader, true);
    }

    /// A reader hears again what a source says.
    pub fn hand_over(&mut self, source: &'static str, reader: &'static str) {
        self.weather.withhold(source, reader, false);
    }

    /// Moves time.
    pub async fn pass(&mut self, time: Duration) {
        self.platform.advance(time).await;
        let_tasks_run().await;
    }

    /// Lets everything run until nothing moves, without time passing.
    pub async fn run(&mut self) {
        run_all(&mut self.platform).await;
    }

    /// Lets every process of a service take a turn; whether any did something.
    pub async fn turn(&mut self, service: &str, plan: &Plan) -> bool {
        let_tasks_run().await;
        let mut moved = false;
        for process in 0..self.platform.processes() {
            if self.platform.service_of(process) == service {
                moved |= self.turn_of(process, plan);
            }
        }
        let_tasks_run().await;
        moved
    }

    fn turn_of(&mut self, process: usize, plan: &Plan) -> bool {
        let crash = self.crashes.iter().find(|(turn, _)| *turn == self.turns).map(|(_, crash)| *crash);
        let turn = self.platform.turn(process, &Plan { crash: crash.or(plan.crash), ..*plan });
        let moved = matches!(turn, Turn::Performed(_) | Turn::Crashed);
        self.turns += usize::from(moved);
        moved
    }

    /// Counts turns from here on, and lets the process die in those of these numbers.
    pub fn crash_in_turns(&mut self, crashes: &[(usize, Crash)]) {
        (self.turns, self.crashes) = (0, crashes.to_vec());
    }

    /// How many turns did something since they are counted.
    pub fn turns(&self) -> usize {
        self.turns
    }

    /// Ends all processes of a service as `kill -9` does, and starts others in their place.
    pub fn kill(&mut self, service: &str) {
        for process in 0..self.platform.processes() {
            if self.platform.service_of(process) == service {
                self.platform.replace(process);
            }
        }
    }

    /// What a service has said so far.
    pub async fn said(&mut self, service: &'static str) -> &[Envelope] {
        let said = self.said.entry(service).or_default();
        let read = said.last().map_or(0, |event| event.position);
        said.extend(self.platform.events_after(service, read).await);
        said
    }

    /// How often a service has said something of this kind.
    pub async fn times_said(&mut self, service: &'static str, kind: &str) -> usize {
        self.said(service).await.iter().filter(|event| event.kind.as_ref() == kind).count()
    }

    /// Lets everything go on until every story has ended; before each turn the script may act. What
    /// got no answer is asked again. False if a story does not end.
    pub async fn go_on(&mut self, mut act: impl AsyncFnMut(&mut Self)) -> bool {
        let mut stories = Stories::default();
        let mut pause = SHORT_PAUSE;
        for _ in 0..MOST_ROUNDS {
            for place in self.requests.unanswered() {
                self.requests.send(&mut self.platform, place, 0);
            }
            let mut moved = false;
            for process in 0..self.platform.processes() {
                act(self).await;
                let_tasks_run().await;
                moved |= self.turn_of(process, &Plan::ALL);
                let_tasks_run().await;
            }
            stories.read_on(&self.platform).await;
            if !moved && self.requests.all_settled() && stories.have_all_ended() {
                return true;
            }
            pause = if moved { SHORT_PAUSE } else { (pause * 2).min(LONG_PAUSE) };
            self.platform.advance(pause).await;
        }
        false
    }

    /// Lets everything go on, one turn after the other, until a service says something of this kind.
    ///
    /// # Panics
    /// When it is never said.
    pub async fn until(&mut self, service: &'static str, kind: &str) {
        let before = self.times_said(service, kind).await;
        for _ in 0..MOST_ROUNDS {
            for process in 0..self.platform.processes() {
                let_tasks_run().await;
                self.turn_of(process, &Plan::ALL);
                if self.times_said(service, kind).await > before {
                    return;
                }
            }
            let_tasks_run().await;
            self.platform.advance(SHORT_PAUSE).await;
        }
        panic!("{service} never says {kind}");
    }

    /// An order as it is told now.
    pub async fn order(&mut self, name: &str) -> Value {
        ask(&mut self.platform, "orders", format!("/v1/orders/{name}")).await
    }

    /// The stock of a SKU as it is told now.
    pub async fn stock(&mut self, sku: &str) -> Value {
        ask(&mut self.platform, "inventory", format!("/v1/stock/{sku}")).await
    }

    /// What the provider has kept of all money: taken and not given back, in minor units.
    pub fn money_kept(&self) -> i64 {
        let book = self.platform.provider.bank.book();
        book.charges(None).map(|charge| charge.captured() - charge.refunded()).sum()
    }

    /// Copies the disk of a service as it is now.
    pub fn back_up(&self, service: &'static str) -> Backup {
        self.platform.back_up(service)
    }

    /// Puts an older copy of a disk back, as an operator does who knows that it is one.
    pub async fn restore(&mut self, backup: &Backup) {
        self.restored = Some(Restored::now(&mut self.platform, backup).await);
        self.said.clear();
    }

    /// Puts an older copy of a disk back like any file, so that nothing knows of it.
    pub fn restore_unnoticed(&mut self, backup: &Backup) {
        self.platform.put_back(backup, false);
        self.said.clear();
    }

    /// The consumers that have stopped for good.
    pub fn stopped(&self) -> Vec<Stopped> {
        self.platform.stopped()
    }

    /// How many consumers listen to a service, over all processes.
    pub fn listeners_of(&self, source: &str) -> usize {
        self.platform.listeners_of(source)
    }

    /// Lets everything come to its end, and the auditors look.
    pub async fn end(&mut self) -> Ended {
        self.weather.turn_calm();
        let has_ended = match self.restored {
            None => {
                let ended = come_to_an_end(&mut self.platform, &mut self.requests).await;
                ended && every_webhook_ends(&mut self.platform, &mut self.requests).await
            }
            Some(_) => every_story_ends(&mut self.platform, &mut self.requests, AFTER_RESTORE).await,
        };
        let evidence = Evidence::gather(&mut self.platform, &self.requests, has_ended).await;
        let word = |order: &Value, name: &str| order[name].as_str().map(ToOwned::to_owned);
        let status = |order: &Value| (word(order, "status").unwrap_or_default(), word(order, "reason"));
        let orders = evidence.orders.iter().map(|(name, order)| (name.clone(), status(order))).collect();
        let findings = match &self.restored {
            None => audit(&evidence),
            Some(restored) => audit_restored(&evidence, restored, &self.platform.stopped()),
        };
        Ended { findings, orders }
    }
}

fn cancellation(order: &str, key: Option<String>) -> Sent {
    let (path, body) = (format!("/v1/orders/{order}/cancel"), json!({"reason": "changed my mind"}));
    Sent { key, ..Sent::post("orders", path, body) }
}

//! Those who want to be told: they register endpoints for webhooks, look after them, ask for messages again,
//! and are themselves not always there.

use std::time::Duration;

use serde_json::{Value, json};
use world::{Chance, World};

use crate::platform::{Platform, Sent};
use crate::receivers::url_of;
use crate::requests::Requests;

/// Endpoints of a run, at most.
const MOST_ENDPOINTS: usize = 4;

/// What some want to be told of, and no more.
const TYPES: [&[&str]; 6] = [
    &[],
    &[],
    &["OrderConfirmed", "OrderCancelled"],
    &["OrderPlaced"],
    &["StockReserved", "StockCommitted", "StockReleased"],
    &["PaymentAuthorized", "PaymentCaptured", "OrderPlaced"],
];

/// About whom.
const SUBJECTS: [&[&str]; 6] = [&[], &[], &[], &["order-*"], &["order-1*", "sku*"], &["order-2"]];

pub(crate) struct Subscribers {
    chance: Chance,
    /// Endpoints that were asked for, with how.
    endpoints: Vec<(String, Value)>,
}

impl Subscribers {
    pub(crate) fn new(world: &World) -> Self {
        Self { chance: world.chance("subscribers"), endpoints: Vec::new() }
    }

    /// Registers what some want from the beginning, in every second run.
    pub(crate) fn begin(&mut self, platform: &mut Platform, requests: &mut Requests) {
        if self.chance.once_in(2) {
            for _ in 0..=self.chance.below(3) {
                let sent = self.register();
                self.send(platform, requests, sent);
            }
        }
    }

    /// Whether anybody wants to be told.
    pub(crate) fn are_there(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Does one thing that they do, and says what; nobody is away for longer than this.
    pub(crate) fn act(&mut self, platform: &mut Platform, requests: &mut Requests, away: Duration) -> Option<String> {
        let (endpoint, settings) = self.chance.pick(&self.endpoints)?.clone();
        let chance = &mut self.chance;
        let post = |act: &str, body: Value| {
            Sent::post("notifications", format!("/v1/webhook-endpoints/{endpoint}/{act}"), body)
        };
        let put = |body: Value| Sent::put("notifications", format!("/v1/webhook-endpoints/{endpoint}"), body);
        let sent = match chance.below(16) {
            0 if self.endpoints.len() < MOST_ENDPOINTS => self.register(),
            1 if chance.once_in(3) => {
                let path = format!("/v1/webhook-endpoints/{endpoint}");
                Sent { method: axum::http::Method::DELETE, ..Sent::get("notifications", path) }
            }
            2 | 3 => {
                let overlaps = [json!({}), json!({"overlap_secs": 0}), json!({"overlap_secs": 60})];
                post("rotate-secret", overlaps[chance.below(overlaps.len())].clone())
            }
            4 => post("test", json!({})),
            5 | 6 => {
                let from = chance.below(60);
                let to = from + chance.below(30);
                let body = json!({"from_position": from, "to_position": to});
                post("redeliver", body)
            }
            7 => post(&format!("deliveries/{}/redeliver", 1 + chance.below(60)), json!({})),
            8 if chance.once_in(2) => put(json!({"enabled": false, "url": settings["url"]})),
            9 => put(settings),
            10 => {
                platform.receivers.let_go(&endpoint, true);
                return Some(format!("{endpoint} says that it is gone"));
            }
            11 | 12 => {
                platform.receivers.let_go(&endpoint, false);
                post("resume", json!({}))
            }
            _ => {
                let away = away.mul_f64(chance.fraction());
                platform.receivers.take_down(&endpoint, away);
                return Some(format!("{endpoint} is away for {away:?}"));
            }
        };
        self.send(platform, requests, sent.clone());
        Some(sent.to_string())
    }

    /// Another endpoint.
    fn register(&mut self) -> Sent {
        let name = format!("hook-{}", self.endpoints.len() + 1);
        let chance = &mut self.chance;
        let (types, subjects) = (TYPES[chance.below(TYPES.len())], SUBJECTS[chance.below(SUBJECTS.len())]);
        let settings =
            json!({"url": url_of(&name), "types": types, "subjects": subjects, "ordered": chance.once_in(2)});
        let sent = Sent::put("notifications", format!("/v1/webhook-endpoints/{name}"), settings.clone());
        self.endpoints.push((name, settings));
        sent
    }

    /// Sends a request, sometimes twice.
    fn send(&mut self, platform: &mut Platform, requests: &mut Requests, sent: Sent) {
        let place = requests.begin(sent);
        for _ in 0..=usize::from(self.chance.once_in(6)) {
            let choose = self.chance.below(8);
            requests.send(platform, place, choose);
        }
    }
}

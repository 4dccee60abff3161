//! Those who ask: shoppers, shops with reservations of their own, people who count shelves.
//!
//! They keep what they asked and what they heard; what got no answer they ask again under the same
//! name, as every client should.

use std::rc::Rc;

use axum::http::Method;
use payments::provider::{Key, Standing};
use serde_json::{Value, json};
use world::{Chance, World};

use crate::platform::{Platform, STOCKROOM, Sent};
use crate::requests::Requests;

/// What the trade is like in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trade {
    /// There is enough for most.
    Usual,
    /// Many want the same few goods, banks are slow, and shelves are counted meanwhile.
    Sale,
}

pub(crate) struct Shoppers {
    chance: Chance,
    keys: Chance,
    places: Chance,
    looks: Chance,
    trade: Trade,
    skus: Vec<String>,
    warehouses: Vec<&'static str>,
    /// Transfers that were sent on their way, and of which nobody has said yet that they arrived.
    travelling: Vec<String>,
    /// The place of a request for promises that are owed pieces, of whose answer nobody has made use.
    queue: Option<usize>,
    pub(crate) requests: Requests,
    left: usize,
    made: usize,
}

const METHODS: [&str; 16] = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_authenticationRequired",
    "pm_card_authenticationRequired",
    "pm_test_timeout_before",
    "pm_test_timeout_after_charge",
    "pm_test_slow",
    "pm_test_unavailable",
    "pm_test_capture_refused",
];

/// How people pay in a sale: what takes its time there is taken.
const METHODS_IN_A_SALE: [&str; 6] = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_test_slow",
    "pm_test_timeout_after_charge",
    "pm_card_authenticationRequired",
];

/// Keys under which something is asked.
const KEYS: usize = 30;

impl Shoppers {
    pub(crate) fn new(world: &World, trade: Trade, requests: usize) -> Self {
        let mut chance = world.chance("shoppers");
        let (most_skus, most_warehouses) = if trade == Trade::Sale { (2, 2) } else { (5, 3) };
        let skus = (0..=chance.below(most_skus)).map(|n| format!("sku {n}/é")).collect();
        let warehouses = ["main", "north", "west"][..=chance.below(most_warehouses)].to_vec();
        let keys = world.chance("keys of shoppers");
        let places = world.chance("what shoppers say of places");
        let looks = world.chance("looks at payments");
        let (travelling, made) = (Vec::new(), Requests::default());
        Self {
            chance,
            keys,
            places,
            looks,
            trade,
            skus,
            warehouses,
            travelling,
            queue: None,
            requests: made,
            left: requests,
            made: 0,
        }
    }

    /// What the trade is like.
    pub(crate) fn trade(&self) -> Trade {
        self.trade
    }

    /// Whether there is still something to ask for.
    pub(crate) fn has_more(&self) -> bool {
        self.left > 0
    }

    /// How much there still is to ask for.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Does one thing that people do; says what.
    pub(crate) fn act(&mut self, platform: &mut Platform) -> Option<String> {
        self.left = self.left.saturating_sub(1);
        let choice = self.chance.below(100);
        if choice < 12 {
            // The same again: an impatient click, or a client that gave up waiting.
            let place = self.chance.below(self.requests.all().len());
            if self.requests.at(place).sent.service == "notifications" {
                return None; // somebody else's
            }
            self.send(platform, place, 1);
            return Some(format!("again: {}", self.requests.at(place).sent));
        }
        let has_seen_some = !self.seen_in_the_queue().is_empty();
        let mut sent = match choice {
            _ if has_seen_some && self.places.once_in(3) => self.work_in_the_stockroom_on(Self::look_after_shortfalls),
            12..=13 => self.work_in_the_stockroom_on(Self::find_little),
            14..=15 => self.work_in_the_stockroom_on(Self::look_after_shortfalls),
            45..=48 if self.trade == Trade::Sale => self.work_in_the_stockroom_on(Self::move_stock),
            49..=59 if self.trade == Trade::Sale => self.rival(),
            16..=59 => self.place_order(),
            60..=69 => self.cancel_order()?,
            70..=75 => self.work_in_the_stockroom_on(Self::move_stock),
            76..=89 => self.reservation(),
            90..=91 => self.refund(platform)?,
            _ => return self.visit_the_bank(platform),
        };
        if sent.method == Method::POST && self.keys.once_in(2) {
            // So few keys that some stand for something else already.
            sent.key = Some(format!("key-{}", self.keys.below(KEYS)));
        }
        let place = self.requests.begin(sent.clone());
        // Sometimes the network sends one request several times at once.
        let times = if self.chance.once_in(6) { 1 + self.chance.below(5) } else { 1 };
        self.send(platform, place, times);
        Some(format!("{times}x {sent}"))
    }

    fn send(&mut self, platform: &mut Platform, place: usize, times: usize) {
        for _ in 0..times {
            let choose = self.chance.below(8);
            self.requests.send(platform, place, choose);
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }

    fn sku(&mut self) -> String {
        self.skus[self.chance.below(self.skus.len())].clone()
    }

    fn lines(&mut self, with_price: bool) -> Vec<Value> {
        let (most_lines, most_pieces) = if self.trade == Trade::Sale { (2, 2) } else { (4, 4) };
        let count = 1 + self.chance.below(most_lines);
        let mut lines = Vec::new();
        for _ in 0..count {
            let (sku, quantity) = (self.sku(), self.chance.between(1, most_pieces));
            lines.push(if with_price {
                let amount = self.chance.between(1, 5_000);
                json!({"sku": sku, "quantity": quantity, "unit_price": {"amount": amount, "currency": "GBP"}})
            } else {
                json!({"sku": sku, "quantity": quantity})
            });
        }
        lines
    }

    fn place_order(&mut self) -> Sent {
        let methods: &[&str] = if self.trade == Trade::Sale { &METHODS_IN_A_SALE } else { &METHODS };
        let method = methods[self.chance.below(methods.len())];
        let body = json!({"lines": self.lines(true), "payment": {"method": method}, "customer": "c-1"});
        // Once in a while somebody uses a name twice for different things.
        let name = if self.chance.once_in(15) && self.made > 0 {
            format!("order-{}", 1 + self.chance.below(self.made))
        } else {
            self.name("order")
        };
        Sent::put("orders", format!("/v1/orders/{name}"), body)
    }

    fn cancel_order(&mut self) -> Option<Sent> {
        let orders = self.requests.orders();
        let order = self.chance.pick(&orders)?;
        let path = format!("/v1/orders/{order}/cancel");
        Some(Sent::post("orders", path, json!({"reason": "changed my mind"})))
    }

    /// What fills the shelves at the beginning.
    pub(crate) fn deliver(&mut self, platform: &mut Platform) {
        for sku in self.skus.clone() {
            for warehouse in self.warehouses.clone() {
                let most = if self.trade == Trade::Sale { 15 } else { 80 };
                let quantity = self.chance.between(5, most);
                let body = json!({"type": "receive", "sku": sku, "warehouse": warehouse, "quantity": quantity});
                let path = format!("/v1/stock-movements/{}", self.name("delivery"));
                let sent = Sent { owner: STOCKROOM, ..Sent::put("inventory", path, body) };
                let place = self.requests.begin(sent);
                self.send(platform, place, 1);
            }
        }
    }

    fn work_in_the_stockroom_on(&mut self, what: fn(&mut Self) -> Sent) -> Sent {
        Sent { owner: STOCKROOM, ..what(self) }
    }

    fn move_stock(&mut self) -> Sent {
        if self.places.once_in(5) {
            return self.describe_warehouse();
        }
        if self.places.once_in(8) {
            return self.watch();
        }
        if self.places.once_in(6) {
            return self.offer();
        }
        if self.places.once_in(2) {
            return self.look_after_shortfalls();
        }
        if self.chance.once_in(4) {
            return self.transfer();
        }
        let (sku, warehouse) = (self.sku(), self.warehouses[self.chance.below(self.warehouses.len())]);
        let body = match self.chance.below(4) {
            0 | 1 => {
                json!({"type": "receive", "sku": sku, "warehouse": warehouse, "quantity": self.chance.between(1, 10)})
            }
            2 => {
                let most = if self.trade == Trade::Sale { 8 } else { 25 };
                json!({"type": "count", "sku": sku, "warehouse": warehouse, "counted": self.chance.between(0, most)})
            }
            _ => {
                let quantity = self.chance.between(1, 5) * if self.chance.once_in(3) { 1 } else { -1 };
                json!({"type": "adjust", "sku": sku, "warehouse": warehouse, "quantity": quantity, "reason": "found"})
            }
        };
        let path = format!("/v1/stock-movements/{}", self.name("movement"));
        Sent::put("inventory", path, body)
    }

    /// A stock-take finds less than was promised, perhaps.
    fn find_little(&mut self) -> Sent {
        let warehouse = self.warehouses[self.places.below(self.warehouses.len())];
        let sku = self.skus[self.places.below(self.skus.len())].clone();
        let body = json!({"type": "count", "sku": sku, "warehouse": warehouse, "counted": self.places.between(0, 2)});
        Sent::put("inventory", format!("/v1/stock-movements/{}", self.name("count")), body)
    }

    /// A warehouse gets another place in the order, serves another market, closes or opens.
    fn describe_warehouse(&mut self) -> Sent {
        let warehouse = self.warehouses[self.places.below(self.warehouses.len())];
        let mut body = json!({"active": !self.places.once_in(8)});
        if self.places.once_in(2) {
            body["priority"] = json!(self.places.between(0, 3));
        }
        if self.places.once_in(3) {
            body["markets"] = json!(["GB"]);
        }
        Sent::put("inventory", format!("/v1/warehouses/{warehouse}"), body)
    }

    /// A SKU is sold no more, or without stock.
    fn offer(&mut self) -> Sent {
        let mut body = json!({"discontinued": self.places.once_in(6), "backorder_limit": self.places.between(0, 9)});
        if self.places.once_in(2) {
            body["available_from"] = json!("2036-03-01T00:00:00.000000Z");
        }
        let sku = self.skus[self.places.below(self.skus.len())].clone();
        Sent::put("inventory", web::path(["v1", "skus", sku.as_str()]), body)
    }

    /// People look for promises that are owed pieces, and decide what becomes of one that they have seen.
    fn look_after_shortfalls(&mut self) -> Sent {
        let seen = self.seen_in_the_queue();
        self.queue = None;
        let Some(item) = self.places.pick(&seen).cloned() else {
            self.queue = Some(self.requests.all().len());
            let state = if self.places.once_in(2) { "waiting" } else { "open" };
            return Sent::get("inventory", format!("/v1/shortfalls?state={state}"));
        };
        let mut body = json!({"reason": "so we decided"});
        for name in ["reservation", "owner", "sku", "warehouse"] {
            body[name] = item[name].clone();
        }
        body["how"] = json!(self.places.pick(&["release", "wait", "move", "move"]));
        if body["how"] == "move" {
            let others: Vec<_> = self.warehouses.iter().filter(|other| body["warehouse"] != **other).copied().collect();
            body["to"] = json!(self.places.pick(&others).copied().unwrap_or("nowhere"));
        }
        Sent::post("inventory", "/v1/shortfalls/resolve".to_owned(), body)
    }

    /// The promises that are owed pieces, as people have seen them and not made use of it.
    fn seen_in_the_queue(&self) -> Vec<Value> {
        let answer = self.queue.and_then(|place| self.requests.at(place).answers().last());
        answer.and_then(|(_, page)| page["items"].as_array().cloned()).unwrap_or_default()
    }

    /// Somebody wants to know when a SKU runs low, in some warehouses, or no more.
    fn watch(&mut self) -> Sent {
        let mut points = Vec::new();
        for warehouse in self.warehouses.clone() {
            if self.places.once_in(2) {
                let threshold = self.places.between(1, 15);
                let target = threshold + self.places.between(0, 40);
                points.push(json!({"warehouse": warehouse, "threshold": threshold, "target": target}));
            }
        }
        let sku = self.skus[self.places.below(self.skus.len())].clone();
        let path = web::path(["v1", "skus", sku.as_str(), "restock"]);
        Sent::put("inventory", path, json!({"points": points}))
    }

    /// How a reservation may be served, where that is said.
    fn terms(&mut self) -> Vec<(&'static str, Value)> {
        let mut terms = Vec::new();
        if self.places.once_in(3) {
            let by = if self.places.once_in(2) { "fewest_parcels" } else { "priority" };
            terms.push(("allocation", json!(by)));
        }
        if self.places.once_in(3) {
            terms.push(("split", json!(self.places.once_in(2))));
        }
        if self.places.once_in(4) {
            terms.push(("backorder", json!(self.places.once_in(2))));
        }
        if self.places.once_in(4) {
            terms.push(("market", json!(if self.places.once_in(2) { "GB" } else { "FR" })));
        }
        terms
    }

    /// Another shop takes what is left, and what others have let go, and keeps it.
    fn rival(&mut self) -> Sent {
        let line = json!({"sku": self.sku(), "quantity": self.chance.between(1, 5)});
        let body = json!({"lines": [line], "hold_secs": self.chance.between(60, 900)});
        let path = format!("/v1/reservations/{}", self.name("rival"));
        Sent::put("inventory", path, body)
    }

    /// Goods go to another warehouse, at once or on a lorry; or one arrives, perhaps with less than was sent.
    fn transfer(&mut self) -> Sent {
        let arrives = self.chance.once_in(2).then(|| self.travelling.pop()).flatten();
        if let Some(name) = arrives {
            let body = if self.chance.once_in(2) { json!({}) } else { json!({"quantity": self.chance.between(0, 4)}) };
            let path = format!("/v1/stock-movements/{name}/arrive");
            return Sent::post("inventory", path, body);
        }
        let name = self.name("transfer");
        let (from, to) = (self.chance.below(self.warehouses.len()), self.chance.below(self.warehouses.len()));
        let mut body = json!({
            "type": "transfer", "sku": self.sku(), "from": self.warehouses[from], "to": self.warehouses[to],
            "quantity": self.chance.between(1, 6),
        });
        if self.chance.once_in(2) {
            body["in_transit"] = json!(true);
            self.travelling.push(name.clone());
        }
        Sent::put("inventory", format!("/v1/stock-movements/{name}"), body)
    }

    /// Something with a reservation of the shop's own; in any order, also release before reserve.
    fn reservation(&mut self) -> Sent {
        let name = format!("hold-{}", self.chance.below(5));
        let post = |act: &str, body: Value| Sent::post("inventory", format!("/v1/reservations/{name}/{act}"), body);
        match self.chance.below(10) {
            0..=3 => {
                let longest = if self.chance.once_in(2) { 900 } else { 30 };
                let hold_secs = self.chance.between(1, longest);
                let mut body = json!({"lines": self.lines(false), "hold_secs": hold_secs});
                if self.chance.once_in(4) {
                    body["replaces"] = json!(format!("hold-{}", self.chance.below(5)));
                }
                for (name, said) in self.terms() {
                    body[name] = said;
                }
                let path = format!("/v1/reservations/{name}");
                Sent::put("inventory", path, body)
            }
            4 => post("commit", json!({})),
            5 => post("commit", json!({"if_expired": "retake"})),
            6 => post("release", json!({})),
            7 => post("extend", json!({"hold_secs": self.chance.between(1, 300)})),
            _ => post("ship", json!({})),
        }
    }

    /// Somebody gives back the money of an order whose money was taken.
    fn refund(&mut self, platform: &Platform) -> Option<Sent> {
        let book = platform.provider.bank.book();
        let taken: Vec<_> = book.charges(None).filter(|charge| charge.captured() > 0).collect();
        let key = &self.chance.pick(&taken)?.key;
        let payment = key.payment().rsplit('/').next().unwrap_or_default();
        let path = format!("/v1/payments/{payment}/refund");
        Some(Sent::post("payments", path, json!({})))
    }

    /// The customer passes, or fails, the 3-D Secure step of a payment; then the bank's webhook comes,
    /// late, twice or not at all, and the browser returns, or does not.
    fn visit_the_bank(&mut self, platform: &mut Platform) -> Option<String> {
        let book = platform.provider.bank.book();
        let waiting: Vec<_> = book
            .charges(None)
            .filter(|charge| matches!(charge.standing, Standing::ActionRequired { .. }))
            .map(|charge| charge.key.clone())
            .collect();
        let key = self.chance.pick(&waiting)?.clone();
        let succeeded = !self.chance.once_in(4);
        drop(platform.provider.bank.challenge(&key, succeeded));
        let kind = if succeeded { "authorization.succeeded" } else { "authorization.failed" };
        for _ in 0..self.chance.below(3) {
            platform.send(self.chance.below(8), &webhook(&key, kind), Rc::default());
        }
        if self.chance.once_in(2) {
            platform.send(self.chance.below(8), &returns(&key), Rc::default());
        }
        Some(format!("at the bank: {key} {kind}"))
    }

    /// A browser returns, or a webhook comes, about one of the latest tries: the provider may be at work on it, or may
    /// not have been asked for the one after it yet.
    pub(crate) fn look(&mut self, platform: &mut Platform) -> Option<String> {
        let asked = platform.provider.latest();
        let asked = self.looks.pick(&asked)?;
        let key = Key::new(asked.payment(), asked.number() + i64::from(self.looks.once_in(3)));
        let sent = if self.looks.once_in(2) { webhook(&key, "authorization.succeeded") } else { returns(&key) };
        platform.send(self.looks.below(8), &sent, Rc::default());
        Some(format!("a look: {sent}"))
    }
}

/// The bank tells of a try.
fn webhook(key: &Key, kind: &str) -> Sent {
    let body = json!({"id": format!("whk_{key}"), "key": key.to_string(), "type": kind});
    Sent::post("payments", "/v1/payments/webhooks/test".to_owned(), body)
}

/// The browser comes back from the bank.
fn returns(key: &Key) -> Sent {
    let payment = key.payment().rsplit('/').next().unwrap_or_default();
    Sent::post("payments", format!("/v1/payments/{payment}/return"), json!({}))
}

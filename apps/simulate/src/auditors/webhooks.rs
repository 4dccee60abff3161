//! Everybody who wants to be told is told what they asked for and nothing else, under one name each time, signed,
//! in order where that was chosen; and what is shown of it is what the receivers saw.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::Method;
use events::Envelope;
use serde_json::Value;
use standardwebhooks::Webhook;
use world::Moment;

use super::Evidence;
use crate::receivers::Try;

/// Tries after which a message may be given up.
const TRIES: usize = 10;
/// How much older than its endpoint an event may be that it is told of.
const BEFORE: Duration = Duration::from_secs(60);
/// How long a new secret, or a pause, takes to reach whoever sends: the time that one look takes to be due.
const LATEST_LOOK: Duration = Duration::from_secs(5);

/// What is wrong with what endpoints were told.
pub(super) fn audit(evidence: &Evidence) -> Vec<String> {
    let sources = ["inventory", "orders", "payments"].iter().flat_map(|source| &evidence.events[source]);
    let events: BTreeMap<String, &Envelope> = sources.map(|event| (event.id(), event)).collect();
    let mut found = one_name_one_text(evidence);
    for name in evidence.endpoints.keys() {
        let Some(endpoint) = Asked::of(name, evidence) else { continue };
        found.extend(endpoint.only_what_was_asked_for(&events));
        found.extend(endpoint.all_that_was_asked_for(&events));
        found.extend(endpoint.is_signed());
        found.extend(endpoint.is_left_alone_while_paused());
        found.extend(endpoint.log_is_true());
    }
    found
}

/// The same id is the same text, whoever gets it and however often.
fn one_name_one_text(evidence: &Evidence) -> Vec<String> {
    let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for one in &evidence.tries {
        let text = *texts.entry(one.id()).or_insert(&one.body);
        if text != one.body {
            found.push(format!("{} stands for {text} and for {}", one.id(), one.body));
        }
    }
    found
}

/// A secret that was shown.
struct Shown<'a> {
    text: &'a str,
    from: Moment,
    /// When nothing is signed with it any more, because another took its place.
    until: Option<Moment>,
}

/// An endpoint as it was asked for.
struct Asked<'a> {
    name: &'a str,
    evidence: &'a Evidence,
    types: Vec<&'a str>,
    subjects: Vec<&'a str>,
    is_ordered: bool,
    /// When it was first made; none where nobody knows, or where it asked for what was before.
    made_at: Option<Moment>,
    /// From when on it is to be told all; none where it is told nothing at the end.
    since: Option<Moment>,
    secrets: Vec<Shown<'a>>,
    tries: Vec<&'a Try>,
}

impl<'a> Asked<'a> {
    /// What was asked; none where it never came about.
    fn of(name: &'a str, evidence: &'a Evidence) -> Option<Self> {
        let path = format!("/v1/webhook-endpoints/{name}");
        let of_it = || evidence.exchanges.iter().filter(|(sent, _)| sent.path.starts_with(&path));
        let puts = || of_it().filter(|(sent, _)| sent.method == Method::PUT);
        let (first, _) = puts().next()?;
        let document = &evidence.endpoints[name].document;
        let told = puts().flat_map(|(_, answers)| answers).map(|(_, told)| told).chain([document]);
        let made_at = told.filter_map(|told| moment(told, "created_at")).min()?;
        // Of what was before somebody may ask, as for something to be sent again.
        let asked_for_more = of_it().any(|(sent, _)| sent.path.ends_with("/redeliver"));
        let made_at = Some(made_at).filter(|_| !asked_for_more && !evidence.unheard.contains(&path));
        let is_told = matches!(document["status"].as_str(), Some("active" | "failing"));
        let mut since = moment(document, "created_at").filter(|_| is_told);
        // One that was disabled for a while begins anew, when it was last set at the latest.
        if puts().any(|(sent, _)| sent.body["enabled"] == false) {
            since = since.and(moment(document, "updated_at"));
        }
        // And so does one that was gone.
        let mut was_gone = false;
        for event in evidence.events["notifications"].iter().filter(|event| event.subject.as_ref() == name) {
            match event.kind.as_ref() {
                "WebhookEndpointGone" => was_gone = true,
                "WebhookEndpointResumed" if was_gone => {
                    since = since.map(|since| since.max(event.recorded_at));
                    was_gone = false;
                }
                _ => {}
            }
        }
        let mut secrets = Vec::new();
        for (sent, answers) in of_it() {
            let overlap = sent.body["overlap_secs"].as_u64().unwrap_or(24 * 60 * 60);
            for (_, told) in answers {
                if let (Some(text), Some(from)) = (told["secret"].as_str(), moment(told, "updated_at")) {
                    secrets.push((text, from, Duration::from_secs(overlap)));
                }
            }
        }
        // Of two that were made at one moment nobody sees which is the newer.
        let until = |from: Moment| {
            let later = secrets.iter().filter(|(_, later, _)| *later > from);
            later.map(|(_, from, overlap)| *from + *overlap).min()
        };
        let shown = |(text, from, _): &(&'a str, Moment, Duration)| Shown { text, from: *from, until: until(*from) };
        let secrets = secrets.iter().map(shown).collect();
        Some(Self {
            name,
            evidence,
            types: words(&first.body["types"]),
            subjects: words(&first.body["subjects"]),
            is_ordered: first.body["ordered"] == true,
            made_at,
            since,
            secrets,
            tries: evidence.tries.iter().filter(|one| one.endpoint == name).collect(),
        })
    }

    fn wants(&self, event: &Envelope) -> bool {
        let is_of = |wanted: &&str| match wanted.strip_suffix('*') {
            Some(begin) => event.subject.starts_with(begin),
            None => event.subject.as_ref() == *wanted,
        };
        (self.types.is_empty() || self.types.contains(&event.kind.as_ref()))
            && (self.subjects.is_empty() || self.subjects.iter().any(is_of))
    }

    fn only_what_was_asked_for(&self, events: &BTreeMap<String, &Envelope>) -> Vec<String> {
        let mut found = Vec::new();
        let mut known = BTreeSet::new();
        for one in self.tries.iter().filter(|one| known.insert(one.id())) {
            let body: Value = serde_json::from_str(&one.body).unwrap_or_default();
            let what = match events.get(one.id()) {
                None if body["type"] == "WebhookTest" && self.asked_for_a_test() => continue,
                None => "which nobody has said",
                Some(event) if !self.wants(event) => "which it did not ask for",
                Some(event) if self.made_at.is_some_and(|made_at| event.recorded_at + BEFORE < made_at) => {
                    "which was before its time"
                }
                Some(event) if !says(&body, event) => "and that says something else",
                Some(_) => continue,
            };
            found.push(format!("{} was told {}, {what}: {}", self.name, one.id(), one.body));
        }
        found
    }

    fn asked_for_a_test(&self) -> bool {
        let path = format!("/v1/webhook-endpoints/{}/test", self.name);
        self.evidence.exchanges.iter().any(|(sent, _)| sent.path == path)
    }

    /// Each event that it wants was taken, or given up as the log says; and in order, where that was chosen.
    fn all_that_was_asked_for(&self, events: &BTreeMap<String, &Envelope>) -> Vec<String> {
        let Some(since) = self.since else { return Vec::new() };
        let mut found = Vec::new();
        let mut wanted: Vec<_> =
            events.values().filter(|event| event.recorded_at > since && self.wants(event)).collect();
        wanted.sort_by_key(|event| (&event.source, event.position));
        let mut before: BTreeMap<_, String> = BTreeMap::new();
        for event in wanted {
            let id = event.id();
            let of_it = || self.tries.iter().filter(|one| one.id() == id);
            if of_it().filter_map(|one| one.taken()).min().is_none() && !self.is_given_up(&id) {
                found.push(format!("{} was never told {id}, {} of {}", self.name, event.kind, event.subject));
            }
            let Some(earlier) = before.insert((&event.source, &event.subject), id.clone()) else { continue };
            let first = of_it().filter_map(|one| one.arrived).map(|(place, _)| place).min();
            if let Some(first) = first.filter(|_| self.is_ordered) {
                let of_earlier = || self.tries.iter().filter(|one| one.id() == earlier);
                let is_taken = of_earlier().filter_map(|one| one.taken()).any(|taken| taken < first);
                let tries = of_earlier().filter(|one| one.posted < first).count();
                if !is_taken && tries < TRIES {
                    found.push(format!("{} was told {id} before it had taken {earlier}", self.name));
                }
            }
        }
        found
    }

    fn deliveries(&self) -> &'a [Value] {
        &self.evidence.endpoints[self.name].deliveries
    }

    fn is_given_up(&self, id: &str) -> bool {
        self.deliveries().iter().any(|delivery| delivery["webhook_id"] == id && delivery["status"] == "failed")
    }

    /// Whether a delivery is of a time before nothing was kept for its endpoint, which is given up with that.
    fn was_not_kept(&self, delivery: &Value) -> bool {
        self.since.is_none_or(|since| moment(delivery, "recorded_at").is_some_and(|recorded_at| recorded_at <= since))
    }

    /// Each signature is one that somebody finds who has a secret that was in force, and who has the newest finds his.
    fn is_signed(&self) -> Vec<String> {
        let path = format!("/v1/webhook-endpoints/{}", self.name);
        let rotate = format!("{path}/rotate-secret");
        let knows_all = [path, rotate].iter().all(|path| !self.evidence.unheard.contains(path));
        let mut found = Vec::new();
        for one in self.tries.iter().filter(|_| knows_all) {
            let Ok(secs) = one.headers["webhook-timestamp"].parse() else {
                found.push(format!("{one} has no time"));
                continue;
            };
            let signature = |secret: &Shown<'_>| {
                let webhook = Webhook::new(secret.text).expect("a secret that was shown is one");
                webhook.sign(one.id(), secs, one.body.as_bytes()).expect("a time that was read is one")
            };
            let given: Vec<&str> = one.headers["webhook-signature"].split(' ').collect();
            let is_in_force = |secret: &Shown<'_>| {
                secret.from <= one.at && secret.until.is_none_or(|until| one.at < until + LATEST_LOOK)
            };
            let allowed: Vec<String> =
                self.secrets.iter().filter(|secret| is_in_force(secret)).map(signature).collect();
            if !given.iter().all(|given| allowed.iter().any(|allowed| allowed == given)) {
                found.push(format!("{one} is signed with something that is not in force"));
            }
            let newest = self.secrets.iter().map(|secret| secret.from).filter(|from| *from <= one.at).max();
            let newest = newest.filter(|from| *from + LATEST_LOOK <= one.at);
            let mut newest = self.secrets.iter().filter(|secret| Some(secret.from) == newest).peekable();
            if newest.peek().is_some() && !newest.any(|newest| given.contains(&signature(newest).as_str())) {
                found.push(format!("{one} is not signed with the newest secret"));
            }
        }
        found
    }

    /// Nothing is posted to one that is paused or gone, but for what is on its way when that is found.
    fn is_left_alone_while_paused(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut since = None;
        let of_it = self.evidence.events["notifications"].iter().filter(|event| event.subject.as_ref() == self.name);
        for event in of_it {
            if event.kind.as_ref() != "WebhookEndpointResumed" {
                since = Some(event.recorded_at);
                continue;
            }
            let Some(since) = since.take() else { continue };
            let posted = self.tries.iter().filter(|one| one.at > since + LATEST_LOOK && one.at < event.recorded_at);
            found.extend(posted.map(|one| format!("{one}, posted while that was paused or gone")));
        }
        found
    }

    /// Each try in the log is in the book, and what is told to be delivered was taken.
    fn log_is_true(&self) -> Vec<String> {
        let mut found = Vec::new();
        for delivery in self.deliveries() {
            let id = delivery["webhook_id"].as_str().unwrap_or_default();
            let none = Vec::new();
            let attempts = delivery["attempts"].as_array().unwrap_or(&none);
            for attempt in attempts {
                let (at, status) = (moment(attempt, "at"), attempt["status"].as_u64());
                let is_it = |one: &&&Try| {
                    let told = one.told.map(|(_, status)| status.map(u64::from));
                    one.id() == id && Some(one.at) == at && told == Some(status)
                };
                if !self.tries.iter().any(|one| is_it(&one)) {
                    found.push(format!("the log of {} has a try of {id} that nobody saw: {attempt}", self.name));
                }
            }
            let last = attempts.last().and_then(|attempt| attempt["status"].as_u64());
            let is_so = match delivery["status"].as_str() {
                Some("delivered") => last.is_some_and(|status| (200..300).contains(&status)),
                Some("failed") => last == Some(410) || attempts.len() >= TRIES || self.was_not_kept(delivery),
                _ => self.since.is_none(),
            };
            if !is_so {
                found.push(format!("the log of {} shows at the end {delivery}", self.name));
            }
        }
        found
    }
}

/// Whether a message says what an event says.
fn says(body: &Value, event: &Envelope) -> bool {
    let data: Value = serde_json::from_str(&event.body).unwrap_or_default();
    let text = |member: &str| body[member].as_str().unwrap_or_default();
    text("id") == event.id()
        && text("type") == event.kind.as_ref()
        && text("source") == event.source.as_ref()
        && text("subject") == event.subject.as_ref()
        && moment(body, "timestamp") == Some(event.occurred_at)
        && body["data"] == data
}

fn moment(document: &Value, member: &str) -> Option<Moment> {
    document[member].as_str()?.parse().ok()
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().map(|words| words.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

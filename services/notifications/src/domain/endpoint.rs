//! Where messages go: how it was set, how it gets on, and with what they are signed.

use std::time::Duration;

use contracts::notifications::{Event, WebhookEndpointGone, WebhookEndpointPaused, WebhookEndpointResumed};
use ids::Name;
use serde::{Deserialize, Serialize};
use world::Moment;

use crate::domain::delivery::spread;
use crate::domain::{Filter, Outcome, Secret};

/// Failures in a row from which on an endpoint rests between two tries.
const RESTS_FROM: u32 = 3;
/// The first rest; each one is twice as long as the one before it.
const FIRST_REST: Duration = Duration::from_secs(5);
/// The longest rest, so that an endpoint that is there again is soon noticed.
const LONGEST_REST: Duration = Duration::from_secs(5 * 60);
/// Secrets with which a message is signed, at most; older ones fall away.
const MOST_SECRETS: usize = 5;
/// How much older than an endpoint an event may be, by the clock of its service, that it is told of.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60);

/// What its owner has chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where messages are posted.
    pub url: String,
    /// Which of them.
    pub filter: Filter,
    /// Whether messages about one subject come in their order, each only after the one before it was taken.
    pub ordered: bool,
    /// Whether anything is sent, and kept to be sent.
    pub enabled: bool,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What it is called.
    pub name: Name,
    /// What its owner has chosen.
    pub settings: Settings,
    /// Whether it is there.
    pub standing: Standing,
    /// Since when and how often nothing could be delivered; none where the last delivery was taken.
    pub failing: Option<Failing>,
    /// With what messages are signed, the newest first.
    pub secrets: Vec<Secret>,
    /// Events from then on are for it.
    pub since: Moment,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last set.
    pub updated_at: Moment,
}

/// Whether an endpoint is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is.
    Active,
    /// It has failed for days; what is for it waits until a person resumes it.
    Paused {
        /// Since when it is paused.
        at: Moment,
        /// Why the last delivery failed.
        reason: String,
    },
    /// It has said that it is gone for good; nothing is kept for it.
    Gone {
        /// When it said so.
        at: Moment,
    },
}

/// How an endpoint fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when nothing could be delivered.
    pub since: Moment,
    /// Failures one after another, those counted together that happened at once.
    pub in_a_row: u32,
    /// Until when it is left alone.
    pub rests_until: Moment,
    /// Why the last delivery failed.
    pub reason: String,
}

/// How long an endpoint is borne with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// An endpoint that fails for so long is paused.
    pub pause_after: Duration,
}

impl Endpoint {
    /// A new one.
    pub fn new(name: Name, settings: Settings, secret: Secret, now: Moment) -> Self {
        Self {
            name,
            settings,
            standing: Standing::Active,
            failing: None,
            secrets: vec![secret],
            since: now,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether messages are sent to it.
    pub fn works(&self) -> bool {
        self.settings.enabled && self.standing == Standing::Active
    }

    /// Whether messages for it are kept until they can be sent.
    pub fn keeps(&self) -> bool {
        self.settings.enabled && !matches!(self.standing, Standing::Gone { .. })
    }

    /// Whether a message that was recorded at this moment is for it.
    pub fn wants(&self, kind: &str, subject: &str, recorded_at: Moment) -> bool {
        self.keeps() && recorded_at + CLOCKS_DIFFER_BY >= self.since && self.settings.filter.wants(kind, subject)
    }

    /// Whether it has failed for so long that a person has to resume it.
    pub fn is_paused(&self) -> bool {
        self.settings.enabled && matches!(self.standing, Standing::Paused { .. })
    }

    /// The word for how it gets on.
    pub fn status(&self) -> &'static str {
        match self.standing {
            _ if !self.settings.enabled => "disabled",
            Standing::Active if self.failing.is_some() => "failing",
            Standing::Active => "active",
            Standing::Paused { .. } => "paused",
            Standing::Gone { .. } => "gone",
        }
    }

    /// Why it does not get what is for it, for a person.
    pub fn reason(&self) -> Option<String> {
        match &self.standing {
            Standing::Active => self.failing.as_ref().map(|failing| failing.reason.clone()),
            Standing::Paused { reason, .. } => Some(reason.clone()),
            Standing::Gone { .. } => {
                Some("it answered with status 410, which says that it is gone for good".to_owned())
            }
        }
    }

    /// Sets it anew. Another URL is another chance for one that is gone or paused. Says what happened, and whether it
    /// begins with what comes now, since nothing was kept for it before.
    pub fn set(&mut self, settings: Settings, now: Moment) -> (Option<Event>, bool) {
        let kept = self.keeps();
        let mut event = None;
        if settings.url != self.settings.url {
            event = self.put_to_work();
        }
        (self.settings, self.updated_at) = (settings, now);
        (event, self.begins_anew(kept, now))
    }

    /// Puts it to work again, also where it only rests; that it is so already is success. Says what happened, and
    /// whether it begins with what comes now.
    pub fn resume(&mut self, now: Moment) -> (Option<Event>, bool) {
        let kept = self.keeps();
        let event = self.put_to_work();
        (event, self.begins_anew(kept, now))
    }

    fn put_to_work(&mut self) -> Option<Event> {
        let was_active = self.standing == Standing::Active;
        (self.standing, self.failing) = (Standing::Active, None);
        (!was_active).then(|| WebhookEndpointResumed { endpoint: self.name.clone() }.into())
    }

    fn begins_anew(&mut self, kept: bool, now: Moment) -> bool {
        let begins = !kept && self.keeps();
        if begins {
            (self.since, self.failing) = (now, None);
        }
        begins
    }

    /// Signs with a new secret from now on, and with the ones before for a while too.
    pub fn rotate(&mut self, secret: Secret, overlap: Duration, now: Moment) {
        let until = now + overlap;
        for old in &mut self.secrets {
            old.until = Some(old.until.map_or(until, |before| before.min(until)));
        }
        self.secrets.insert(0, secret);
        self.secrets.retain(|secret| secret.until.is_none_or(|until| until > now));
        self.secrets.truncate(MOST_SECRETS);
        self.updated_at = now;
    }

    /// Learns what came of a try, and says what that means for the endpoint.
    pub fn learn(&mut self, outcome: &Outcome, now: Moment, jitter_permille: i64, patience: Patience) -> Option<Event> {
        if outcome.is_success() {
            self.failing = None;
            return None;
        }
        if self.standing != Standing::Active {
            return None; // a try that was under way when it ended
        }
        if outcome.says_gone() {
            (self.standing, self.failing) = (Standing::Gone { at: now }, None);
            return Some(WebhookEndpointGone { endpoint: self.name.clone() }.into());
        }
        let reason = outcome.why();
        let mut failing = self.failing.take().unwrap_or_else(|| Failing {
            since: now,
            in_a_row: 0,
            rests_until: now,
            reason: String::new(),
        });
        // Tries that were under way together fail together, and count once.
        if failing.in_a_row < RESTS_FROM || failing.rests_until <= now {
            failing.in_a_row = failing.in_a_row.saturating_add(1);
            failing.rests_until = now + spread(rest(failing.in_a_row), jitter_permille);
        }
        failing.rests_until = failing.rests_until.max(now + outcome.retry_after());
        failing.reason.clone_from(&reason);
        let is_over = now.since(failing.since) >= patience.pause_after;
        let since = failing.since;
        self.failing = Some(failing);
        if !is_over {
            return None;
        }
        self.standing = Standing::Paused { at: now, reason: reason.clone() };
        Some(WebhookEndpointPaused { endpoint: self.name.clone(), failing_since: since, reason }.into())
    }

    /// How many messages may be on their way to it at once, of a share that others leave to it.
    pub fn at_once(&self, share: usize, now: Moment) -> usize {
        match &self.failing {
            _ if !self.works() => 0,
            Some(failing) if failing.rests_until > now => 0,
            // One shows whether it is there again.
            Some(failing) if failing.in_a_row >= RESTS_FROM => 1,
            _ => share,
        }
    }
}

/// The rest after so many failures in a row.
fn rest(in_a_row: u32) -> Duration {
    match in_a_row.checked_sub(RESTS_FROM) {
        None => Duration::ZERO,
        Some(more) => FIRST_REST.saturating_mul(1 << more.min(16)).min(LONGEST_REST),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contracts::notifications::Event;
    use world::Moment;

    use super::{Endpoint, Patience, Settings, Standing};
    use crate::domain::{Filter, Outcome, Secret};

    const PATIENCE: Patience = Patience { pause_after: Duration::from_secs(3 * 24 * 60 * 60) };

    fn at(secs: i64) -> Moment {
        Moment::from_micros(secs * 1_000_000)
    }

    fn settings(url: &str) -> Settings {
        Settings { url: url.to_owned(), filter: Filter::default(), ordered: false, enabled: true }
    }

    fn endpoint() -> Endpoint {
        let name = "warehouse".parse().expect("a name");
        Endpoint::new(name, settings("https://a.example"), Secret::of(&[1; 32]), at(0))
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after_secs: None, body: String::new() }
    }

    #[test]
    fn an_endpoint_that_fails_rests_ever_longer_and_then_takes_one_message() {
        let mut endpoint = endpoint();
        let mut now = 0;
        let mut rests = Vec::new();
        for _ in 0..10 {
            endpoint.learn(&answered(500), at(now), 0, PATIENCE);
            let until = endpoint.failing.clone().expect("it fails").rests_until;
            rests.push(until.since(at(now)).as_secs());
            now += i64::try_from(until.since(at(now)).as_secs()).expect("a few");
        }
        assert_eq!(rests, [0, 0, 5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(endpoint.at_once(8, at(now - 1)), 0, "it rests");
        assert_eq!(endpoint.at_once(8, at(now)), 1, "one message shows whether it is there again");
        endpoint.learn(&answered(204), at(now), 0, PATIENCE);
        assert_eq!((endpoint.at_once(8, at(now)), endpoint.failing), (8, None));
    }

    #[test]
    fn tries_that_fail_together_count_once() {
        let mut endpoint = endpoint();
        for _ in 0..8 {
            endpoint.learn(&answered(500), at(0), 0, PATIENCE);
        }
        assert_eq!(endpoint.failing.expect("it fails").rests_until, at(5));
    }

    #[test]
    fn an_endpoint_that_asks_to_be_left_alone_is_left_alone() {
        let mut endpoint = endpoint();
        let busy = Outcome::Answered { status: 429, retry_after_secs: Some(120), body: String::new() };
        endpoint.learn(&busy, at(0), 0, PATIENCE);
        assert_eq!((endpoint.at_once(8, at(119)), endpoint.at_once(8, at(120))), (0, 8));
    }

    #[test]
    fn an_endpoint_that_fails_for_days_is_paused_once_and_says_so() {
        let mut endpoint = endpoint();
        let days = 3 * 24 * 60 * 60;
        assert_eq!(endpoint.learn(&answered(500), at(0), 0, PATIENCE), None);
        assert_eq!(endpoint.learn(&answered(500), at(days - 1), 0, PATIENCE), None);
        let said = endpoint.learn(&answered(503), at(days), 0, PATIENCE);
        assert!(matches!(&said, Some(Event::WebhookEndpointPaused(paused)) if paused.failing_since == at(0)
            && paused.reason.contains("503")));
        assert_eq!((endpoint.works(), endpoint.keeps()), (false, true), "what is for it is kept");
        assert_eq!(endpoint.learn(&answered(500), at(days + 1), 0, PATIENCE), None, "said once");
        let (said, begins_anew) = endpoint.resume(at(days + 2));
        assert!(matches!(said, Some(Event::WebhookEndpointResumed(_))) && !begins_anew, "it goes on where it was");
        assert_eq!(endpoint.resume(at(days + 3)), (None, false), "so already");
    }

    #[test]
    fn one_that_fails_is_asked_again_at_once_when_its_owner_says_so() {
        let mut endpoint = endpoint();
        let tomorrow = Outcome::Answered { status: 503, retry_after_secs: Some(86_400), body: String::new() };
        endpoint.learn(&tomorrow, at(0), 0, PATIENCE);
        assert_eq!((endpoint.status(), endpoint.at_once(8, at(60))), ("failing", 0));
        assert_eq!(endpoint.resume(at(60)), (None, false), "it was at work, and goes on where it was");
        assert_eq!((endpoint.status(), endpoint.at_once(8, at(60))), ("active", 8));
        assert_eq!(endpoint.learn(&answered(500), at(3 * 24 * 60 * 60), 0, PATIENCE), None, "its days count anew");
    }

    #[test]
    fn one_success_in_between_is_a_new_beginning() {
        let mut endpoint = endpoint();
        endpoint.learn(&answered(500), at(0), 0, PATIENCE);
        endpoint.learn(&answered(200), at(100), 0, PATIENCE);
        assert_eq!(endpoint.learn(&answered(500), at(3 * 24 * 60 * 60), 0, PATIENCE), None);
        assert!(endpoint.works());
    }

    #[test]
    fn one_that_is_gone_keeps_nothing_and_begins_anew_when_it_is_resumed() {
        let mut endpoint = endpoint();
        let said = endpoint.learn(&answered(410), at(1), 0, PATIENCE);
        assert!(matches!(said, Some(Event::WebhookEndpointGone(_))));
        assert!(!endpoint.keeps() && matches!(endpoint.standing, Standing::Gone { .. }));
        assert_eq!(endpoint.set(settings("https://a.example"), at(2)), (None, false), "the same changes nothing");
        let (said, begins_anew) = endpoint.clone().set(settings("https://b.example"), at(2));
        assert!(matches!(said, Some(Event::WebhookEndpointResumed(_))) && begins_anew, "another URL does");
        assert!(endpoint.resume(at(1_000)).1);
        assert!(!endpoint.wants("A", "a", at(900)) && endpoint.wants("A", "a", at(1_000)));
    }

    #[test]
    fn one_that_is_disabled_begins_anew_when_it_is_enabled() {
        let mut endpoint = endpoint();
        let off = Settings { enabled: false, ..settings("https://a.example") };
        assert_eq!(endpoint.set(off, at(1)), (None, false));
        assert!(!endpoint.wants("A", "a", at(2)));
        assert_eq!(
            endpoint.set(settings("https://b.example"), at(500)),
            (None, true),
            "it was neither paused nor gone"
        );
        assert_eq!(endpoint.since, at(500));
    }

    #[test]
    fn secrets_overlap_for_a_while_and_only_so_many() {
        let mut endpoint = endpoint();
        endpoint.rotate(Secret::of(&[2; 32]), Duration::from_secs(60), at(0));
        endpoint.rotate(Secret::of(&[3; 32]), Duration::from_secs(600), at(10));
        let untils: Vec<_> = endpoint.secrets.iter().map(|secret| secret.until).collect();
        assert_eq!(untils, [None, Some(at(610)), Some(at(60))], "a later rotation keeps none for longer");
        endpoint.rotate(Secret::of(&[4; 32]), Duration::ZERO, at(20));
        assert_eq!(endpoint.secrets.len(), 1);
        for key in 5..20 {
            endpoint.rotate(Secret::of(&[key; 32]), Duration::from_secs(60), at(30));
        }
        assert_eq!(endpoint.secrets.len(), 5);
    }
}

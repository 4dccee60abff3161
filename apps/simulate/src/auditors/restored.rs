//! After an older backup of a service was put back, whoever listens to it stops and says so: it has
//! heard of things that this service no longer knows.

use std::collections::BTreeSet;

use super::Evidence;
use crate::platform::{Backup, Platform, Stopped};

/// A service whose disk was put back to an older copy.
pub(crate) struct Restored {
    service: &'static str,
    /// Those who had acted on something that it said before.
    listeners: BTreeSet<&'static str>,
    /// How the names of its events begin since then.
    events_since: String,
}

impl Restored {
    /// Puts a backup back, as an operator does who knows that it is one.
    pub(crate) async fn now(platform: &mut Platform, backup: &Backup) -> Self {
        let service = backup.service();
        let events_before = format!("{service}-{}-", platform.incarnation(service));
        let mut listeners = BTreeSet::new();
        for reader in Platform::services().filter(|reader| *reader != service) {
            let events = platform.events_after(reader, 0).await;
            if events.iter().any(|event| event.by.causation.starts_with(&events_before)) {
                listeners.insert(reader);
            }
        }
        platform.put_back(backup, true);
        Self { service, listeners, events_since: format!("{service}-{}-", platform.incarnation(service)) }
    }
}

/// What is wrong after a backup was put back.
pub(super) fn audit(evidence: &Evidence, restored: &Restored, stopped: &[Stopped]) -> Vec<String> {
    let mut found = Vec::new();
    let Restored { service, listeners, events_since } = restored;
    for reader in listeners {
        let has_stopped = |stopped: &Stopped| stopped.reader == *reader && stopped.source == *service;
        if !stopped.iter().any(has_stopped) {
            found.push(format!("{reader} goes on listening to {service}, which was restored from a backup"));
        }
        for event in &evidence.events[reader] {
            if event.by.causation.starts_with(events_since) {
                let causation = &event.by.causation;
                found.push(format!("{}: {reader} acts on {causation}, said by a restored service", event.id()));
            }
        }
    }
    for Stopped { reader, source, why } in stopped {
        if source != service {
            found.push(format!("{reader} has stopped listening to {source}, which nobody restored: {why}"));
        }
    }
    found
}

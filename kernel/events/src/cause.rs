//! Why an event happened, for people.

use db::Actor;

use crate::EventDocument;

/// Why an event happened, where that is more than the name of a request: of one that a service said, the
/// type of the event that it acted on, as `told` knows it by its id, or where that event stands; of one
/// that became due, the reason.
pub fn cause(event: &EventDocument, told: impl FnOnce(&str) -> Option<String>) -> Option<String> {
    match event.actor.parse() {
        Ok(Actor::Service(_)) => {
            let place = || match event.causation.rsplitn(3, '-').collect::<Vec<_>>()[..] {
                [position, _, source] => format!("event {position} of {source}"),
                _ => event.causation.clone(),
            };
            Some(told(&event.causation).unwrap_or_else(place))
        }
        // What a service does by itself has its reason; payments' is the try that the provider spoke of.
        Ok(Actor::System) => {
            let of_try = event.causation.strip_prefix(&event.subject).and_then(|rest| rest.strip_prefix('.'));
            Some(of_try.map_or_else(|| event.causation.clone(), |number| format!("try {number}")))
        }
        _ => None,
    }
}

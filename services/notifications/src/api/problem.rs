//! How notifications says no.

use web::{PRECONDITION_FAILED, Problem, ProblemKind};

use crate::perform::Rejection;

/// An endpoint that does not exist.
pub static UNKNOWN_ENDPOINT: ProblemKind = ProblemKind {
    code: "unknown-webhook-endpoint",
    status: 404,
    title: "Unknown webhook endpoint",
    help: "There is no endpoint of this name. `GET /v1/webhook-endpoints` lists all that there are; `PUT` registers one.",
};

/// A delivery that does not exist.
pub static UNKNOWN_DELIVERY: ProblemKind = ProblemKind {
    code: "unknown-delivery",
    status: 404,
    title: "Unknown delivery",
    help: "Nothing of this position was for the endpoint, or it is older than what is kept (setting \
           `notifications.keep_hours`). `GET …/deliveries` lists what there is; older events are in `/v1/events`.",
};

/// An endpoint to which nothing is sent.
pub static NOT_ACTIVE: ProblemKind = ProblemKind {
    code: "webhook-endpoint-not-active",
    status: 409,
    title: "Nothing is sent to this endpoint",
    help: "It is disabled, paused or gone; `status` says which. Resume it with `POST …/resume`, or enable it with `PUT`, \
           and ask again.",
};

/// As many endpoints as there may be.
pub static TOO_MANY: ProblemKind = ProblemKind {
    code: "too-many-webhook-endpoints",
    status: 409,
    title: "Too many webhook endpoints",
    help: "There are 1,000 endpoints, which is the limit. Remove one that is not needed any more, or let one endpoint \
           take what several took.",
};

/// All problems of notifications' own.
pub static KINDS: &[&ProblemKind] = &[&UNKNOWN_ENDPOINT, &UNKNOWN_DELIVERY, &NOT_ACTIVE, &TOO_MANY];

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::UnknownEndpoint => Self::new(&UNKNOWN_ENDPOINT),
            Rejection::NotActive => Self::new(&NOT_ACTIVE),
            Rejection::TooMany => Self::new(&TOO_MANY),
            Rejection::ChangedMeanwhile => Self::new(&PRECONDITION_FAILED),
        }
    }
}

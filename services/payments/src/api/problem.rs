//! How payments says no.

use web::{DIFFERENT_CONTENT, Problem, ProblemKind};

use crate::domain::Rejection;

/// A payment or a try that does not exist.
pub static UNKNOWN_PAYMENT: ProblemKind = ProblemKind {
    code: "unknown-payment",
    status: 404,
    title: "Unknown payment",
    help: "There is no payment of this name. An order says which payment is its own; a name belongs to the key that \
           chose it.",
};

/// Nothing to give back.
pub static NOT_CAPTURED: ProblemKind = ProblemKind {
    code: "not-captured",
    status: 409,
    title: "Nothing was captured",
    help: "Only money that was taken can be given back, and nothing was taken by this payment. What is only \
           authorized is let go when its order is cancelled.",
};

/// A 3-D Secure step that does not exist.
pub static UNKNOWN_CHALLENGE: ProblemKind = ProblemKind {
    code: "unknown-challenge",
    status: 404,
    title: "Unknown challenge",
    help: "The test provider has no charge of this key. The payment's `next_action` says where its step is.",
};

/// All problems of payments' own.
pub static KINDS: &[&ProblemKind] = &[&UNKNOWN_PAYMENT, &NOT_CAPTURED, &UNKNOWN_CHALLENGE];

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::UnknownPayment | Rejection::UnknownTry => Self::new(&UNKNOWN_PAYMENT),
            Rejection::DifferentContent => Self::new(&DIFFERENT_CONTENT),
            Rejection::NotCaptured => Self::new(&NOT_CAPTURED),
            // No request captures: orders does, by an event.
            Rejection::NotAuthorizedYet => Self::internal(rejection),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KINDS;
    use crate::api::openapi::{answer_challenge, charges, come_back, refund, show, take_webhook};

    #[test]
    fn a_problem_that_has_a_page_is_one_with_which_some_request_is_answered() {
        let operations = [show(), refund(), come_back(), take_webhook(), answer_challenge(), charges()];
        let said: Vec<_> = operations.iter().flat_map(web::Operation::problems).map(|(_, kind)| kind.code).collect();
        for kind in KINDS {
            assert!(said.contains(&kind.code), "{} is answered to nobody", kind.code);
        }
    }
}

//! How orders says no.

use web::{DIFFERENT_CONTENT, Problem, ProblemKind};

use crate::domain::Rejection;

/// An order that does not exist.
pub static UNKNOWN_ORDER: ProblemKind = ProblemKind {
    code: "unknown-order",
    status: 404,
    title: "Unknown order",
    help: "There is no order of this name. Names are case-sensitive and belong to the key that chose them.",
};

/// An order that is complete.
pub static ALREADY_CONFIRMED: ProblemKind = ProblemKind {
    code: "already-confirmed",
    status: 409,
    title: "The order is confirmed",
    help: "The goods are firmly promised and the money is captured. It cannot be cancelled any more.",
};

/// All problems of orders' own.
pub static KINDS: &[&ProblemKind] = &[&UNKNOWN_ORDER, &ALREADY_CONFIRMED];

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::DifferentContent => Self::new(&DIFFERENT_CONTENT),
            Rejection::UnknownOrder => Self::new(&UNKNOWN_ORDER),
            Rejection::AlreadyConfirmed => Self::new(&ALREADY_CONFIRMED),
        }
    }
}

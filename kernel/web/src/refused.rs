//! What the desk and the database refuse, said as problems.

use db::{Failure, Refused};

use crate::kinds::{OUTCOME_UNKNOWN, OVERLOADED, UNAVAILABLE};
use crate::problem::Problem;

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { retry_after } => {
                let secs = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX);
                Self::new(&OVERLOADED).retry_after_secs(secs.max(1))
            }
            Refused::Expired => Self::new(&OVERLOADED)
                .detail("The request waited longer than anybody waits for its answer, and nothing was done. Ask again.")
                .retry_after_secs(1),
            Refused::Stopping => Self::new(&UNAVAILABLE)
                .detail("The program is stopping; nothing was done. Ask again.")
                .retry_after_secs(1),
            Refused::OutcomeUnknown => Self::new(&OUTCOME_UNKNOWN).retry_after_secs(1),
            Refused::Failed(failure) => failure.into(),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        if failure.may_pass() {
            Self::new(&UNAVAILABLE).because(failure).retry_after_secs(1)
        } else {
            Self::internal(failure)
        }
    }
}

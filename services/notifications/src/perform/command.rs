//! What is asked of notifications, and what it comes to.

use std::time::Duration;

use ids::{Name, Number};
use thiserror::Error;

use crate::consumers::Heard;
use crate::domain::{Attempt, Secret, Settings};
use crate::store::{Head, Kept, Message, Record};

/// What can be asked of notifications.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Take in an event of another service.
    Hear(Box<Heard>),
    /// Do with an endpoint what its owner wants.
    Edit {
        /// What it is called.
        name: Name,
        /// How the caller wants to find it.
        seen: Seen,
        /// What is wanted.
        edit: Edit,
    },
    /// Send a message that says nothing.
    Test(Name),
    /// Send messages again.
    SendAgain(Name, Vec<Head>),
    /// Note what the courier did.
    Note(Box<Noted>),
    /// Let this process deliver, and no other for a while; with the number of its term, where it has delivered before.
    Hold(Option<Number>),
    /// Forget what is old.
    Forget,
}

/// How whoever edits an endpoint wants to find it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// In any way, also not at all.
    Unsaid,
    /// Not at all.
    Absent,
    /// There, however it is.
    There,
    /// As it was in this version.
    Version(i64),
}

/// What an owner does with an endpoint.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Register it, or set it anew.
    Set {
        /// How it is to be.
        settings: Settings,
        /// With what is signed, where it is new.
        secret: Secret,
    },
    /// Take it back, with all that was to be sent to it.
    Remove,
    /// Sign with another secret from now on.
    Rotate {
        /// The new one.
        secret: Secret,
        /// How long the ones before sign too.
        overlap: Duration,
    },
    /// Put it to work where it was paused or gone.
    Resume,
}

/// What the courier did for an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// The term in which it was begun, where other processes could deliver too.
    pub(crate) term: Option<Number>,
    /// The endpoint.
    pub(crate) endpoint: Number,
    /// Each message with what was known of it before.
    pub(crate) messages: Vec<Kept>,
    /// The try, where there was one; else they wait behind others about their subjects.
    pub(crate) attempt: Option<Attempt>,
    /// Spreads what failed together.
    pub(crate) jitter_permille: i64,
    /// Messages up to here are settled for the endpoint, or have a row of their own.
    pub(crate) cursor: i64,
}

impl Noted {
    /// Messages with a row that may be another than it was known, in the term of whoever delivers now.
    pub(super) fn may_be_overtaken(&self, term: Number) -> impl Iterator<Item = i64> {
        let is_late = self.term.is_some_and(|begun| begun != term);
        // What was never sent, or only begins to wait, has none, unless another process wrote one.
        let has_row = move |kept: &&Kept| is_late || (self.attempt.is_some() && kept.delivery.due_at.is_some());
        self.messages.iter().filter(has_row).map(|kept| kept.message)
    }
}

/// What a command has come to.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// The endpoint as it is now, whether it is new, and the secret to be shown once.
    Endpoint(Box<Record>, bool, Option<Secret>),
    /// A message that was made, and that it is to be sent.
    Made(Box<(Message, Kept)>),
    /// What is to be sent again.
    ToSend(Vec<Kept>),
    /// The endpoint as it is now; none where it is there no more.
    Noted(Option<Box<Record>>),
    /// Whether this process delivers.
    Held(Held),
    /// It is done.
    Done,
}

/// Whether a process delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Another does.
    ByAnother,
    /// It does from now on, in a term of this number; another may have done so since its last one.
    Anew(Number),
    /// It does as before.
    Still,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// There is none of this name.
    #[error("there is no such endpoint")]
    UnknownEndpoint,
    /// Nothing is sent to it.
    #[error("nothing is sent to the endpoint")]
    NotActive,
    /// There are as many as there may be.
    #[error("there are too many endpoints")]
    TooMany,
    /// It is no longer as the caller has seen it.
    #[error("the endpoint was changed meanwhile")]
    ChangedMeanwhile,
}

/// The answer to a command.
pub(crate) type Answer = Result<Settled, Rejection>;

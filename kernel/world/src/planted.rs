//! Bugs that stand behind a switch, to see that the simulator finds them; in no program but tests.

use std::cell::Cell;

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// What other platforms shipped, each to be found by an auditor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A declined order is cancelled at once, and nobody gives its stock back.
    OrphanOrder,
    /// An order is confirmed before its last step, which can still fail.
    ConfirmedTooEarly,
    /// Browser and webhook both complete one payment.
    CompletedTwice,
    /// What undoes a failed try undoes a later one that succeeded.
    UndoesTheWrongTry,
    /// Of several lines of one SKU only the last counts.
    LinesNotSummed,
    /// A release that comes before its reserve is forgotten.
    ReleaseForgotten,
    /// A deadline decides that nothing was authorized.
    DeadlineDecides,
    /// A consumer goes on reading a producer that was restored from an older backup.
    RestoredUnnoticed,
    /// An event is published although its rows were not written.
    EventWithoutFact,
    /// What was done under a key is forgotten, so that whoever asks again is answered anew.
    AnswerForgotten,
    /// Goods on their way are counted where they go before they are there, and again when they arrive.
    TransferCountedTwice,
    /// A lapsed hold is made firm without a look whether its stock is still there.
    RetakenWithoutStock,
    /// Goods that come in serve whoever was promised them last.
    WrongPromiseServed,
    /// What happens to a reservation is said under the name of whoever did it, and not of its owner.
    SaidOfWhoeverAsked,
    /// An endpoint's place moves over messages that are on their way, before it is noted what came of them.
    SettledTooEarly,
    /// A message does not wait for the one before it whose failure is being noted.
    OvertakesWhileNoted,
    /// A process that has just begun passes over what it does not know yet that somebody wants.
    PassedOverTooEarly,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::OrphanOrder,
        Self::ConfirmedTooEarly,
        Self::CompletedTwice,
        Self::UndoesTheWrongTry,
        Self::LinesNotSummed,
        Self::ReleaseForgotten,
        Self::DeadlineDecides,
        Self::RestoredUnnoticed,
        Self::EventWithoutFact,
        Self::AnswerForgotten,
        Self::TransferCountedTwice,
        Self::RetakenWithoutStock,
        Self::WrongPromiseServed,
        Self::SaidOfWhoeverAsked,
        Self::SettledTooEarly,
        Self::OvertakesWhileNoted,
        Self::PassedOverTooEarly,
    ];
}

/// Plants a bug for this thread, or none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted.
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

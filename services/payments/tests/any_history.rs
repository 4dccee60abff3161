//! What holds whatever happens: commands and answers in any order, lost, late and doubled.
//!
//! A history is drawn from a seed: orders asks, time passes, calls reach the provider's book or get
//! lost, answers come late, twice or never, the process dies. Then all is left to come to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use ids::Name;
use money::{Currency, Money};
use payments::domain::{At, Command, Decision, Doing, Event, Next, Payment, Said, Status, TryStatus, decide};
use payments::provider::{Authorize, Book, Key, Standing};
use world::{Chance, Moment, World};

/// Histories that are tried.
const HISTORIES: u64 = 20_000;
/// What is to be paid, in pence.
const AMOUNT: i64 = 1999;

const METHODS: &[&str] = &[
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_authenticationRequired",
    "pm_card_authenticationRequired",
    "pm_card_chargeDeclined",
    "pm_test_capture_refused",
];

/// One payment, its provider and all that is on the way between them.
struct History {
    chance: Chance,
    now: Moment,
    until: Moment,
    method: &'static str,
    payment: Option<Payment>,
    events: Vec<(Event, Moment)>,
    unasked: bool,
    /// Calls on the way to the provider.
    calls: Vec<(Doing, i64)>,
    /// Answers on the way back.
    answers: Vec<Command>,
    book: Book,
    authorizations: BTreeMap<i64, usize>,
    /// Whether orders wants no money any more.
    undone: bool,
    /// Whether people have given money back at the provider, beside payments.
    by_hand: bool,
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn gbp() -> Money {
    Money::new(AMOUNT, Currency::GBP).expect("an amount")
}

fn key(number: i64) -> Key {
    Key::new("pay", number)
}

impl History {
    fn new(seed: u64) -> Self {
        let world = World::simulated(seed);
        let mut chance = world.chance("history");
        let now = world.now();
        Self {
            now,
            until: now + Duration::from_secs(u64::try_from(chance.between(0, 40)).expect("not negative")),
            method: METHODS[chance.below(METHODS.len())],
            chance,
            payment: None,
            events: Vec::new(),
            unasked: false,
            calls: Vec::new(),
            answers: Vec::new(),
            book: Book::default(),
            authorizations: BTreeMap::new(),
            undone: false,
            by_hand: false,
        }
    }

    /// Does what payments does with a command, and then the same once more.
    fn perform(&mut self, command: &Command) {
        let at = At { now: self.now, unasked: self.unasked, max_tries: 4 };
        let Ok(Decision { events, next }) = decide(self.payment.as_ref(), command, &at) else { return };
        self.undone |= matches!(command, Command::Void { .. });
        for event in events {
            self.payment = Payment::apply(self.payment.take(), &event, self.now);
            self.is_true(&event);
            self.unasked = matches!(event, Event::AuthorizationStarted(_)) || self.unasked;
            self.events.push((event, self.now));
        }
        if let Next::Call(doing, number) = next {
            self.unasked = false;
            if doing == Doing::Authorize {
                *self.authorizations.entry(number).or_default() += 1;
            }
            // A process that dies here has committed and not called.
            if !self.chance.once_in(10) {
                self.calls.push((doing, number));
            }
        }
        if *command == Command::Wake {
            return; // twice due is twice waited in vain
        }
        let at = At { now: self.now, unasked: self.unasked, max_tries: 4 };
        if let Ok(again) = decide(self.payment.as_ref(), command, &at) {
            assert_eq!(again.events, [], "{command:?} was said twice and changed something, after {:#?}", self.events);
        }
    }

    /// What is said to the world is so at the provider when it is said.
    fn is_true(&self, event: &Event) {
        let held: i64 = self.book.charges(None).map(payments::provider::Charge::held).sum();
        let kept: i64 = self.book.charges(None).map(|charge| charge.captured() - charge.refunded()).sum();
        let ok = match event {
            Event::PaymentAuthorized(e) => {
                let holds = self.book.charge(&key(e.number)).is_some_and(|c| c.held() + c.captured() == AMOUNT);
                holds && e.amount == gbp() && self.now < self.until
            }
            Event::PaymentCaptured(e) => (kept == AMOUNT || self.by_hand) && e.amount == gbp(),
            // It answers an order that has asked, and no other.
            Event::PaymentRefunded(e) => kept == 0 && e.amount == gbp() && (self.undone || e.attempt == 0),
            Event::PaymentVoided(_) => held == 0 && kept == 0 && self.undone,
            Event::PaymentDeclined(_) => held == 0 && kept == 0,
            // Nobody gives up a try whose own answer is still awaited.
            Event::AttemptVoidStarted(e) => self.now >= self.until || self.was_in_doubt(e.number),
            Event::PaymentAttemptAbandoned(e) => {
                self.book.charge(&key(e.number)).is_none_or(|c| c.held() == 0 && c.captured() == c.refunded())
            }
            _ => true,
        };
        assert!(ok, "{event:?} is not so: {:#?}\n{:#?}", self.book, self.events);
    }

    /// Whether its own call was not answered, or said that the customer has to do something.
    fn was_in_doubt(&self, number: i64) -> bool {
        self.events.iter().any(|(event, _)| match event {
            Event::PaymentOutcomeUnknown(e) => e.number == number,
            Event::PaymentActionRequired(e) => e.number == number,
            _ => false,
        })
    }

    /// A call reaches the provider.
    fn at_provider(&mut self, doing: Doing, number: i64) -> Standing {
        let key = key(number);
        match doing {
            Doing::Authorize => self.book.authorize(&Authorize { key, amount: gbp(), method: self.method.to_owned() }),
            Doing::Inquire => self.book.inquire(&key),
            Doing::Capture => self.book.capture(&key),
            Doing::Void => self.book.void(&key),
            Doing::Refund => self.book.refund(&key),
        }
    }

    fn request(&self) -> Command {
        let (payment, order, method) = (name("pay"), name("order"), self.method.to_owned());
        Command::Request { payment, order, attempt: 1, amount: gbp(), method, until: self.until }
    }

    fn step(&mut self) {
        let number = self.chance.between(1, 3);
        match self.chance.below(24) {
            0 | 1 => self.perform(&self.request()),
            2 | 3 => self.perform(&Command::Capture { order: name("order"), attempt: 1 }),
            4 if self.chance.once_in(3) => {
                self.perform(&Command::Void { payment: name("pay"), order: name("order"), attempt: 1 });
            }
            5 if self.chance.once_in(2) => self.perform(&Command::Refund),
            6 => self.perform(&Command::Look { number: Some(number).filter(|number| *number < 3) }),
            7 => drop(self.book.challenge(&key(number), number != 2)),
            8 | 9 => self.perform(&Command::Wake),
            10 | 11 => self.now = self.now + Duration::from_secs(5),
            12..=17 => self.call(),
            _ => self.answer(),
        }
    }

    fn call(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let place = self.chance.below(self.calls.len());
        let (doing, number) = self.calls[place];
        let learn = |said| Command::Learn { number, doing, said };
        match self.chance.below(10) {
            // Nobody waits for it any more, and it still arrives, some time.
            0 | 1 => self.answers.push(learn(Said::NoAnswer("it took too long".to_owned()))),
            2 => {
                self.calls.remove(place);
                self.answers.push(learn(Said::NotDone("down".to_owned())));
            }
            // The answer is lost with the process, and perhaps people are faster than the next one.
            3 => {
                self.calls.remove(place);
                let is_taken = self.at_provider(doing, number) == Standing::Captured;
                if is_taken && self.chance.once_in(2) {
                    self.book.refund(&key(number));
                    self.by_hand = true;
                }
            }
            _ => {
                self.calls.remove(place);
                let standing = self.at_provider(doing, number);
                self.answers.push(learn(Said::Stands(standing)));
            }
        }
    }

    fn answer(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let place = self.chance.below(self.answers.len());
        let answer = self.answers[place].clone();
        // Some answers come again, much later.
        if !self.chance.once_in(5) {
            self.answers.remove(place);
        }
        self.perform(&answer);
    }

    /// Leaves all to come to its end, without any more faults.
    fn end(&mut self) {
        for _ in 0..200 {
            for (doing, number) in std::mem::take(&mut self.calls) {
                let standing = self.at_provider(doing, number);
                self.answers.push(Command::Learn { number, doing, said: Said::Stands(standing) });
            }
            for answer in std::mem::take(&mut self.answers) {
                self.perform(&answer);
            }
            self.now = self.now + Duration::from_secs(5);
            let Some(payment) = &self.payment else { return };
            if payment.is_at_rest() && self.calls.is_empty() && self.answers.is_empty() {
                return;
            }
            if !payment.is_at_rest() {
                self.perform(&Command::Wake);
            }
        }
        panic!("it does not end: {:#?}\n{:#?}", self.payment, self.events);
    }

    fn check(&self) {
        let Some(payment) = &self.payment else { return };
        let folded = self.events.iter().fold(Option::None, |payment, (event, at)| Payment::apply(payment, event, *at));
        assert_eq!(folded.as_ref(), Some(payment), "the events give the payment");
        let held: Vec<_> = self.book.charges(None).filter(|charge| charge.held() > 0).collect();
        let kept: i64 = self.book.charges(None).map(|charge| charge.captured() - charge.refunded()).sum();
        let holder = payment.tries.iter().find(|t| t.status == TryStatus::Authorized).map(|t| key(t.number));
        let is_undone = matches!(payment.status, Status::Voided | Status::Refunded);
        assert!(is_undone || !self.undone, "orders wants no money any more: {payment:#?}");
        match payment.status {
            Status::Authorized | Status::CaptureFailed => {
                assert!(held.iter().all(|charge| Some(&charge.key) == holder.as_ref()) && held.len() <= 1);
                assert_eq!(kept, 0);
            }
            // What people do at the provider is not told.
            Status::Captured => assert!(held.is_empty() && (kept == AMOUNT || self.by_hand && kept == 0)),
            Status::Voided | Status::Declined | Status::Refunded => assert_eq!((held.len(), kept), (0, 0)),
            open => panic!("{open} is no end"),
        }
        assert!(self.authorizations.values().all(|times| *times == 1), "asked twice under one key");
    }
}

#[test]
fn whatever_happens_every_payment_ends_and_its_books_balance() {
    let mut ends: BTreeMap<Option<Status>, usize> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let told = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            let steps = history.chance.below(80);
            for _ in 0..steps {
                history.step();
            }
            history.end();
            history.check();
            history.payment.map(|payment| payment.status)
        });
        match told {
            Ok(status) => *ends.entry(status).or_default() += 1,
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    // A check that never meets a case says nothing about it.
    for status in [Status::Authorized, Status::Captured, Status::CaptureFailed, Status::Voided, Status::Declined] {
        assert!(ends.contains_key(&Some(status)), "no history ended {status}: {ends:?}");
    }
    assert!(ends.contains_key(&Some(Status::Refunded)), "no history ended refunded: {ends:?}");
}

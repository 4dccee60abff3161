//! What holds whatever happens: answers in any order, said twice, late or never asked for, with
//! cancellations and deadlines in between.
//!
//! A history is drawn from a seed. Then all is left to come to its end: whoever is asked last answers.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::orders::{Event, OrderLine, Reason};
use ids::{Name, Number};
use money::{Currency, Money};
use orders::domain::{Command, Heard, Order, Place, Policy, Status, Step, decide, fold, place};
use world::{Chance, Moment, World};

/// Histories that are tried.
const HISTORIES: u64 = 20_000;
/// Messages of one of them, at most.
const MESSAGES: usize = 14;

struct History {
    chance: Chance,
    policy: Policy,
    now: Moment,
    order: Order,
    events: Vec<(Moment, Event)>,
    /// Whether inventory may hold something, and payments.
    may_hold_stock: bool,
    may_hold_money: bool,
}

fn name() -> Name {
    "o-1".parse().expect("a name")
}

/// What answers are about: the name that orders gave.
fn reservation() -> Name {
    "res_7".parse().expect("a name")
}

impl History {
    fn new(seed: u64) -> Self {
        let world = World::simulated(seed);
        let mut chance = world.chance("history");
        let policy = Policy {
            hold: Duration::from_secs(900),
            pay_margin: Duration::from_secs(60),
            patience: Duration::from_secs(30),
            lost_stock_needs_a_person: chance.once_in(2),
            lost_money_needs_a_person: chance.once_in(2),
        };
        let price = Money::new(1999, Currency::GBP).expect("an amount");
        let line = OrderLine { sku: "a".parse().expect("a SKU"), quantity: 1, unit_price: price };
        let (fingerprint, method) = ("print".to_owned(), "pm_card_visa".to_owned());
        let (customer, reference) = (None, None);
        let asked = Place { order: name(), fingerprint, lines: vec![line], total: price, method, customer, reference };
        let (number, now) = (Number::from_column(7), world.now());
        let placed = place(&asked, number, &policy);
        let order = Order::placed(number, "local", now, &placed);
        let events = vec![(now, placed.into())];
        Self { chance, policy, now, order, events, may_hold_stock: true, may_hold_money: false }
    }

    fn message(&mut self) -> Command {
        let heard = |heard| Command::Hear { order: name(), about: reservation(), attempt: 1, heard };
        match self.chance.below(16) {
            0 => Command::Cancel { order: name(), reason: "changed my mind".into() },
            1 => Command::Overdue { number: self.order.number },
            2 => Command::Hear { order: name(), about: reservation(), attempt: 2, heard: Heard::PaymentCaptured },
            3 => heard(Heard::StockRefused),
            4 => heard(Heard::StockNotCommitted),
            5 => heard(Heard::CaptureFailed),
            6 => heard(Heard::PaymentDeclined { timed_out: self.chance.once_in(2) }),
            7 => heard(Heard::PaymentVoided),
            8 => heard(Heard::StockReleased),
            9 | 10 => heard(Heard::StockReserved { until: self.now + Duration::from_secs(900) }),
            11 | 12 => heard(Heard::PaymentAuthorized),
            13 | 14 => heard(Heard::StockCommitted),
            _ => heard(Heard::PaymentCaptured),
        }
    }

    /// Tells the order something, and then the same once more.
    fn tell_twice(&mut self, message: &Command) {
        let before = self.order.status;
        let Ok(said) = decide(&self.order, message, &self.policy) else {
            assert_eq!((before, matches!(message, Command::Cancel { .. })), (Status::Confirmed, true));
            return;
        };
        self.learn(before, message);
        for event in said {
            self.is_true(&event);
            self.order.apply(self.now, &event);
            self.events.push((self.now, event));
        }
        // A deadline that passes again asks again.
        if !matches!(message, Command::Overdue { .. }) {
            let again = decide(&self.order, message, &self.policy);
            assert_eq!(again, Ok(vec![]), "{message:?} was said twice, after {:#?}", self.events);
        }
    }

    /// What is known of stock and money after a message, by those who own the fact.
    fn learn(&mut self, status: Status, message: &Command) {
        let Command::Hear { attempt: 1, heard, .. } = message else { return };
        match (status, heard) {
            (Status::Pending(Step::Reserving), Heard::StockReserved { .. }) => self.may_hold_money = true,
            (Status::Pending(Step::Reserving), Heard::StockRefused)
            | (Status::Pending(Step::Releasing) | Status::Confirmed, Heard::StockReleased) => {
                self.may_hold_stock = false;
            }
            (Status::Pending(Step::Authorizing), Heard::PaymentDeclined { .. })
            | (Status::Pending(Step::Voiding), Heard::PaymentVoided) => self.may_hold_money = false,
            _ => {}
        }
    }

    /// What is said to the world is so when it is said.
    fn is_true(&self, event: &Event) {
        let ok = match event {
            Event::OrderCancelled(_) => !self.may_hold_stock && !self.may_hold_money,
            Event::OrderConfirmed(e) => {
                self.order.status == Status::Pending(Step::Capturing) && e.total == self.order.total
            }
            // Stock goes back once the money is settled.
            Event::StockReleaseDue(_) | Event::StockReturnDue(_) => !self.may_hold_money,
            Event::OrderNeedsAttention(e) => match e.reason {
                Reason::PaidButNoStock => self.policy.lost_stock_needs_a_person,
                Reason::StockButNoMoney => self.policy.lost_money_needs_a_person,
                _ => false,
            },
            _ => true,
        };
        let ended = match self.order.status {
            // Unless people have given up what was promised.
            Status::Confirmed if !self.may_hold_stock => {
                !matches!(event, Event::OrderNeedsAttention(_) | Event::PaymentVoidDue(_))
            }
            Status::Confirmed => true,
            status => status == Status::Cancelled,
        };
        assert!(ok && !ended, "{event:?} is said of {:#?}\nafter {:#?}", self.order, self.events);
    }

    /// Whoever is asked answers, until nobody is; a person who is asked lets it go.
    fn end(&mut self) {
        let heard = |heard| Command::Hear { order: name(), about: reservation(), attempt: 1, heard };
        for _ in 0..10 {
            let answer = match self.order.status {
                Status::Confirmed | Status::Cancelled => return,
                Status::Attention => Command::Cancel { order: name(), reason: "decided".into() },
                Status::Pending(Step::Reserving) => heard(Heard::StockReserved { until: self.now }),
                Status::Pending(Step::Authorizing) => heard(Heard::PaymentAuthorized),
                Status::Pending(Step::Committing) => heard(Heard::StockCommitted),
                Status::Pending(Step::Capturing) => heard(Heard::PaymentCaptured),
                Status::Pending(Step::Voiding) => heard(Heard::PaymentVoided),
                Status::Pending(Step::Releasing) => heard(Heard::StockReleased),
            };
            assert_eq!(self.policy.deadline(&self.order, self.now).is_none(), self.order.status.has_ended());
            self.tell_twice(&answer);
        }
        panic!("it does not end: {:#?}\n{:#?}", self.order, self.events);
    }

    fn check(&self) {
        let events = self.events.iter().map(|(at, event)| (*at, event));
        assert_eq!(fold(self.order.number, "local", events).as_ref(), Some(&self.order), "the events give the order");
        assert_eq!(self.order.version, i64::try_from(self.events.len()).expect("few events"));
    }
}

#[test]
fn whatever_happens_an_order_ends_and_is_cancelled_only_with_nothing_held() {
    let mut said: BTreeMap<&'static str, usize> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let told = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            for _ in 0..history.chance.below(MESSAGES) {
                history.now = history.now + Duration::from_secs(1);
                let message = history.message();
                history.tell_twice(&message);
            }
            history.end();
            history.check();
            history.events
        });
        match told {
            Ok(events) => events.iter().for_each(|(_, event)| *said.entry(event.kind()).or_default() += 1),
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    // A check that never meets a case says nothing about it.
    for (kind, _) in Event::KINDS {
        assert!(said.get(kind).is_some_and(|times| *times > 100), "{kind} was hardly ever said: {said:?}");
    }
}

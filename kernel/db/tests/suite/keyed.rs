//! A command that comes again under its key is performed once, and answered the same each time.

use std::sync::Arc;
use std::time::Duration;

use db::{
    Asked, Bell, Context, Crash, Failure, Inlet, Keyed, KeyedAnswer, Location, Plan, Query, Refused, Room,
    StoredAnswer, Turn, Tx,
};
use testkit::Postgres;
use world::{Moment, World};

use crate::tally::{
    Answer, Command, NOTE, Tallies, add, asked, events, everywhere, note, open, open_with, options, value, wait,
};

/// How long answers are kept.
const DAY: Duration = Duration::from_secs(86_400);

/// What a command with a key was answered.
type Told = Result<KeyedAnswer, Refused>;

/// A key for a command that is told by its value, or by why it was rejected.
fn key(key: &str, fingerprint: &str) -> Keyed<Answer> {
    let say = |answer: Answer| {
        let (status, body) = match answer {
            Ok(value) => (200, format!("{{\"value\":{value}}}")),
            Err(why) => (409, format!("{{\"why\":\"{why}\"}}")),
        };
        Ok(StoredAnswer { status, body })
    };
    Keyed { key: key.into(), fingerprint: fingerprint.into(), say: Box::new(say) }
}

fn stored(value: i64) -> StoredAnswer {
    StoredAnswer { status: 200, body: format!("{{\"value\":{value}}}") }
}

fn first(value: i64) -> KeyedAnswer {
    KeyedAnswer::First(stored(value))
}

fn again(value: i64) -> KeyedAnswer {
    KeyedAnswer::Again(stored(value))
}

/// Asks for all of them in one turn, and says how each ended.
fn heard(tallies: &mut Tallies, commands: Vec<(Asked<Command>, Keyed<Answer>)>) -> Vec<Told> {
    let waiting: Vec<_> = commands.into_iter().map(|(command, key)| tallies.desk.ask_keyed(command, key)).collect();
    tallies.workers[0].turn(&Plan::ALL);
    waiting.into_iter().map(wait).collect()
}

/// Asks for all of them in one turn, none of which fails.
fn at_once(tallies: &mut Tallies, commands: Vec<(Asked<Command>, Keyed<Answer>)>) -> Vec<KeyedAnswer> {
    heard(tallies, commands).into_iter().map(|told| told.expect("an answer")).collect()
}

fn one(tallies: &mut Tallies, command: Asked<Command>, key: Keyed<Answer>) -> KeyedAnswer {
    at_once(tallies, vec![(command, key)]).remove(0)
}

/// How a command ended that fails.
fn failed(tallies: &mut Tallies, command: Asked<Command>, key: Keyed<Answer>) -> Failure {
    match heard(tallies, vec![(command, key)]).remove(0) {
        Err(Refused::Failed(failure)) => failure,
        told => panic!("it does not fail: {told:?}"),
    }
}

fn poison() -> Asked<Command> {
    asked(Command::BreakCheck { name: "poison".into() })
}

/// How many answers the table holds.
fn kept(tallies: &Tallies) -> i64 {
    let rows = wait(tallies.database.read(|read| read.rows(Query::sql("SELECT count(*) FROM stored_answer", []))));
    rows.expect("a read")[0].clone().columns().int().expect("a number")
}

#[test]
fn what_comes_five_times_in_one_batch_is_performed_once() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let told = at_once(&mut tallies, (0..5).map(|_| (add("a", 1), key("k", "f"))).collect());
        assert_eq!(told, [first(1), again(1), again(1), again(1), again(1)], "{place}");
        assert_eq!((value(&tallies.database, "a"), events(&tallies.database), kept(&tallies)), (1, 1, 1), "{place}");
        assert_eq!((tallies.meters.batches(), tallies.meters.replayed_answers()), (1, 4), "{place}");
    }
}

#[test]
fn what_comes_again_later_gets_the_answer_of_then() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location.clone(), options());
        assert_eq!(one(&mut tallies, add("a", 1), key("k", "f")), first(1), "{place}");
        assert_eq!(tallies.one(add("a", 1)), Ok(Ok(2)), "{place}: the tally has moved on");
        assert_eq!(one(&mut tallies, add("a", 1), key("k", "f")), again(1), "{place}");
        drop(tallies);
        let mut tallies = open(location, options());
        assert_eq!(one(&mut tallies, add("a", 1), key("k", "f")), again(1), "{place}: after a start");
        assert_eq!((value(&tallies.database, "a"), events(&tallies.database)), (2, 2), "{place}");
    }
}

#[test]
fn something_else_under_a_key_is_refused_in_the_same_batch_and_later() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let both = vec![(add("a", 1), key("k", "one")), (add("a", 2), key("k", "two"))];
        assert_eq!(at_once(&mut tallies, both), [first(1), KeyedAnswer::DifferentContent], "{place}");
        assert_eq!(one(&mut tallies, add("a", 2), key("k", "two")), KeyedAnswer::DifferentContent, "{place}");
        assert_eq!(one(&mut tallies, add("a", 1), key("k", "one")), again(1), "{place}");
        assert_eq!((value(&tallies.database, "a"), events(&tallies.database)), (1, 1), "{place}");
    }
}

#[test]
fn a_key_belongs_to_its_owner() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let of = |owner: &str| Asked { by: Context { owner: owner.into(), ..add("a", 1).by }, ..add("a", 1) };
        let told = at_once(&mut tallies, vec![(of("x"), key("k", "f")), (of("y"), key("k", "f"))]);
        assert_eq!(told, [first(1), first(2)], "{place}");
        assert_eq!(one(&mut tallies, of("y"), key("k", "f")), again(2), "{place}");
        // Neither do an owner and a key together make those of somebody else.
        let told = at_once(&mut tallies, vec![(of("x/y"), key("k", "f")), (of("x"), key("y/k", "f"))]);
        assert_eq!(told, [first(3), first(4)], "{place}");
    }
}

#[test]
fn a_refusal_by_the_rules_is_an_answer_too() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let no = StoredAnswer { status: 409, body: "{\"why\":\"rejected\"}".into() };
        let told = at_once(&mut tallies, (0..2).map(|_| (asked(Command::Reject), key("k", "f"))).collect());
        assert_eq!(told, [KeyedAnswer::First(no.clone()), KeyedAnswer::Again(no.clone())], "{place}");
        assert_eq!(one(&mut tallies, add("a", 1), key("k", "f")), KeyedAnswer::Again(no), "{place}");
        assert_eq!(value(&tallies.database, "a"), 0, "{place}");
    }
}

#[test]
fn a_batch_that_fails_and_runs_alone_performs_a_key_once_too() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        assert_eq!(one(&mut tallies, add("b", 7), key("old", "f")), first(7), "{place}");
        let told = heard(
            &mut tallies,
            vec![
                (add("a", 1), key("k", "f")),
                (add("b", 7), key("old", "f")),
                (poison(), key("bad", "f")),
                (add("a", 1), key("k", "f")),
                (add("a", 1), key("k", "other")),
            ],
        );
        assert!(matches!(told[2], Err(Refused::Failed(Failure::Corrupt(_)))), "{place}: {told:?}");
        let others: Vec<_> = told.into_iter().filter_map(Result::ok).collect();
        assert_eq!(others, [first(1), again(7), again(1), KeyedAnswer::DifferentContent], "{place}");
        assert_eq!((value(&tallies.database, "a"), events(&tallies.database), kept(&tallies)), (1, 2, 2), "{place}");
    }
}

#[test]
fn a_command_that_failed_has_left_nothing_under_its_key() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        for failing in [poison, || asked(Command::Panic)] {
            for _ in 0..2 {
                failed(&mut tallies, failing(), key("k", "f"));
            }
        }
        assert_eq!(kept(&tallies), 0, "{place}");
        assert_eq!(one(&mut tallies, add("a", 1), key("k", "f")), first(1), "{place}: it can be asked again");
    }
}

#[test]
fn what_cannot_be_said_has_not_happened() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let cannot = || Keyed { say: Box::new(|_| Err(Failure::Corrupt("no words".into()))), ..key("k", "f") };
        let panics = || Keyed { say: Box::new(|_| panic!("no words")), ..key("k", "f") };
        for silent in [cannot(), panics()] {
            let told = heard(&mut tallies, vec![(add("b", 1), key("other", "f")), (add("a", 1), silent)]);
            assert!(matches!(told[1], Err(Refused::Failed(_))), "{place}: {told:?}");
        }
        assert_eq!((value(&tallies.database, "a"), value(&tallies.database, "b")), (0, 1), "{place}");
        assert_eq!((events(&tallies.database), kept(&tallies)), (1, 1), "{place}");
        let failure = Keyed { say: Box::new(|_| Ok(StoredAnswer { status: 500, ..stored(1) })), ..key("k", "f") };
        assert!(matches!(failed(&mut tallies, add("a", 1), failure), Failure::Corrupt(_)), "{place}");
    }
}

/// An inlet that brings two commands once, and wants their values back.
struct Two {
    tally: &'static str,
    adds: [i64; 2],
    done: bool,
}

impl Inlet<Command, Answer> for Two {
    fn listen(&self, _bell: &Arc<Bell>) {}

    fn is_ready(&mut self, _now: Moment) -> bool {
        !self.done
    }

    fn take(&mut self, _tx: &mut Tx<'_>, _room: Room<Command>) -> Result<Vec<Asked<Command>>, Failure> {
        Ok(self.adds.iter().map(|by| add(self.tally, *by)).collect())
    }

    fn settle(&mut self, tx: &mut Tx<'_>, answers: &[Answer]) -> Result<(), Failure> {
        assert_eq!(answers, [Ok(self.adds[0]), Ok(self.adds[0] + self.adds[1])]);
        tx.insert(&NOTE, vec![vec![self.tally.into(), db::Value::Null, 1.into()]]);
        Ok(())
    }

    fn condemn(&mut self, _tx: &mut Tx<'_>, failure: &Failure) -> Result<(), Failure> {
        panic!("{failure}")
    }

    fn ended(&mut self, kept: bool) {
        self.done = kept;
    }
}

#[test]
fn who_has_no_key_is_answered_in_the_same_batch_as_ever() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location.clone(), options());
        assert_eq!(one(&mut tallies, add("a", 5), key("old", "f")), first(5), "{place}");
        drop(tallies);
        let two = |tally, adds| -> Box<dyn Inlet<_, _>> { Box::new(Two { tally, adds, done: false }) };
        let inlets = vec![two("from an inlet", [3, 4]), two("from another", [5, 6])];
        let mut tallies = open_with(location, options(), World::simulated(1), inlets);
        let plain = [tallies.desk.ask(add("a", 1)), tallies.desk.ask(add("b", 1))];
        let known = [("old", "f"), ("old", "g"), ("new", "f")]
            .map(|(name, fingerprint)| tallies.desk.ask_keyed(add("c", 10), key(name, fingerprint)));
        let last = [tallies.desk.ask(add("a", 1)), tallies.desk.ask(asked(Command::Reject))];
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Performed(11), "{place}");
        assert_eq!(plain.map(wait), [Ok(Ok(6)), Ok(Ok(1))], "{place}");
        assert_eq!(known.map(wait), [again(5), KeyedAnswer::DifferentContent, first(10)].map(Ok), "{place}");
        assert_eq!(last.map(wait), [Ok(Ok(7)), Ok(Err("rejected"))], "{place}");
        let settled = ["from an inlet", "from another"].map(|tally| note(&tallies.database, tally));
        assert_eq!(settled, [Some(1), Some(1)], "{place}");
    }
}

#[test]
fn who_has_no_key_does_not_touch_what_is_stored() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let mut tallies = open(Location::Postgres(url.clone()), options());
    assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)), "what is to be forgotten is looked for at the start");
    postgres.sql(&url, "DROP TABLE tally.stored_answer");
    let (_, answers) = tallies.at_once(vec![add("a", 1), add("b", 1), asked(Command::Reject)]);
    assert_eq!(answers, [Ok(Ok(2)), Ok(Ok(1)), Ok(Err("rejected"))]);
    assert!(matches!(failed(&mut tallies, add("a", 1), key("k", "f")), Failure::Database(_)));
}

#[test]
fn two_processes_that_are_asked_the_same_at_once_perform_it_once() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let both = [open(location.clone(), options()).start(), open(location.clone(), options()).start()];
        for round in 0..40_i64 {
            let ask = |process: usize, fingerprint: &str| {
                both[process].desk.ask_keyed(add("a", 1), key(&format!("k{round}"), fingerprint))
            };
            let same: Vec<_> = (0..6).map(|number| ask(number % 2, "f")).collect();
            let mut told: Vec<_> = same.into_iter().map(|told| wait(told).expect("an answer")).collect();
            told.sort_by_key(|told| *told != first(round + 1));
            assert_eq!(told[0], first(round + 1), "{place}");
            assert!(told[1..].iter().all(|told| *told == again(round + 1)), "{place}: {told:?}");
            assert_eq!(wait(ask(1, "g")), Ok(KeyedAnswer::DifferentContent), "{place}");
        }
        assert_eq!((value(&both[0].database, "a"), events(&both[0].database)), (40, 40), "{place}");
    }
}

#[test]
fn a_crash_leaves_the_answer_with_the_effect_or_neither() {
    for crash in [Crash::BeforeCommit, Crash::AfterCommit, Crash::AfterAnswer] {
        let (places, _folder) = everywhere();
        for (place, location) in places {
            let mut tallies = open(location.clone(), options());
            let told = tallies.desk.ask_keyed(add("a", 1), key("k", "f"));
            assert_eq!(tallies.workers[0].turn(&Plan { crash: Some(crash), ..Plan::ALL }), Turn::Crashed, "{place}");
            drop(tallies);
            let heard = if crash == Crash::AfterAnswer { Ok(first(1)) } else { Err(Refused::OutcomeUnknown) };
            assert_eq!(wait(told), heard, "{place} {crash:?}");
            let mut tallies = open(location, options());
            let expected = if crash == Crash::BeforeCommit { first(1) } else { again(1) };
            assert_eq!(one(&mut tallies, add("a", 1), key("k", "f")), expected, "{place} {crash:?}");
            assert_eq!((value(&tallies.database, "a"), events(&tallies.database)), (1, 1), "{place} {crash:?}");
        }
    }
}

#[test]
fn an_answer_is_forgotten_after_its_time_and_not_before() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let world = World::simulated(1);
        let mut tallies = open_with(location, options(), world.clone(), Vec::new());
        assert_eq!(one(&mut tallies, add("a", 1), key("early", "f")), first(1), "{place}");
        world.advance(Duration::from_secs(3_600));
        assert_eq!(one(&mut tallies, add("a", 1), key("late", "f")), first(2), "{place}");
        world.advance(DAY.checked_sub(Duration::from_secs(3_601)).expect("more than an hour"));
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}: nothing is over yet");
        assert_eq!(one(&mut tallies, add("a", 1), key("early", "f")), again(1), "{place}");
        world.advance(Duration::from_secs(61));
        tallies.workers[0].turn(&Plan::ALL);
        assert_eq!(kept(&tallies), 1, "{place}");
        assert_eq!(one(&mut tallies, add("a", 1), key("late", "f")), again(2), "{place}");
        assert_eq!(one(&mut tallies, add("a", 1), key("early", "f")), first(3), "{place}: it is a new one");
        world.advance(DAY + Duration::from_secs(61));
        tallies.workers[0].turn(&Plan::ALL);
        assert_eq!(kept(&tallies), 0, "{place}");
    }
}

#[test]
fn many_answers_are_forgotten_in_pieces_beside_requests() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let world = World::simulated(1);
        let mut tallies = open_with(location, options(), world.clone(), Vec::new());
        for batch in 0..3 {
            let name = |number| format!("{batch}/{number}");
            at_once(&mut tallies, (0..100).map(|number| (add("a", 1), key(&name(number), "f"))).collect());
        }
        world.advance(DAY);
        for (left, value) in [(172, 301), (44, 302), (0, 303)] {
            assert_eq!(tallies.one(add("a", 1)), Ok(Ok(value)), "{place}");
            assert_eq!(kept(&tallies), left, "{place}");
        }
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}");
    }
}

#[test]
fn what_could_not_be_forgotten_harms_nobody_and_is_forgotten_later() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let world = World::simulated(1);
        let mut tallies = open_with(location, options(), world.clone(), Vec::new());
        assert_eq!(one(&mut tallies, add("a", 1), key("k", "f")), first(1), "{place}");
        world.advance(DAY + Duration::from_secs(61));
        let (turn, answers) = tallies.at_once(vec![poison(), add("a", 1)]);
        assert_eq!((turn, answers[1].clone()), (Turn::Performed(1), Ok(Ok(2))), "{place}");
        assert_eq!((kept(&tallies), tallies.workers[0].turn(&Plan::ALL)), (1, Turn::Idle), "{place}: it rests");
        world.advance(Duration::from_secs(60));
        tallies.workers[0].turn(&Plan::ALL);
        assert_eq!(kept(&tallies), 0, "{place}");
    }
}

#[test]
fn a_change_beside_the_desk_is_made_once_under_its_key() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let tallies = open(location, options());
        let write = |name: &'static str, fingerprint: &str, fails: bool| {
            let say = Box::new(|value| Ok(stored(value)));
            let keyed = Keyed { key: "k".into(), fingerprint: fingerprint.into(), say };
            wait(tallies.database.write_keyed(&add("a", 1).by, keyed, move |tx| {
                tx.insert(&NOTE, vec![vec![name.into(), db::Value::Null, 1.into()]]);
                if fails { Err(Failure::Corrupt("it fails".into())) } else { Ok(1) }
            }))
        };
        assert!(write("failed", "f", true).is_err(), "{place}");
        assert_eq!(write("one", "f", false), Ok(first(1)), "{place}");
        assert_eq!(write("two", "f", false), Ok(again(1)), "{place}");
        assert_eq!(write("three", "g", false), Ok(KeyedAnswer::DifferentContent), "{place}");
        let notes = ["failed", "one", "two", "three"].map(|name| note(&tallies.database, name));
        assert_eq!(notes, [None, Some(1), None, None], "{place}");
    }
}

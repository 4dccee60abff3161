//! A batch is one transaction, and only the guilty fail.

use db::{Failure, Refused, Turn};

use crate::tally::{Answer, Command, Tallies, add, asked, events, everywhere, open, options, value};

/// The answers of one batch, refusals as what they say.
fn in_one_batch(tallies: &mut Tallies, commands: Vec<db::Asked<Command>>) -> Vec<Result<i64, String>> {
    let (turn, answers) = tallies.at_once(commands);
    assert!(matches!(turn, Turn::Performed(_)), "{turn:?}");
    let said = |answer: Result<Answer, Refused>| match answer {
        Ok(answer) => answer.map_err(str::to_owned),
        Err(refused) => Err(refused.to_string()),
    };
    answers.into_iter().map(said).collect()
}

#[test]
fn each_command_of_a_batch_sees_what_the_ones_before_it_did() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let answers = in_one_batch(&mut tallies, vec![add("a", 1), add("b", 5), add("a", 2)]);
        assert_eq!(answers, [Ok(1), Ok(5), Ok(3)], "{place}");
        assert_eq!(value(&tallies.database, "a"), 3, "{place}");
        assert_eq!(events(&tallies.database), 3, "{place}");
    }
}

#[test]
fn a_rejection_changes_nothing_and_harms_nobody() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let answers = in_one_batch(&mut tallies, vec![add("a", 1), asked(Command::Reject), add("a", 1)]);
        assert_eq!(answers, [Ok(1), Err("rejected".into()), Ok(2)], "{place}");
        assert_eq!(events(&tallies.database), 2, "{place}");
    }
}

#[test]
fn a_poisoned_command_fails_alone_and_its_events_vanish_with_it() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let mut batch: Vec<_> = (0..20).map(|_| add("a", 1)).collect();
        batch[7] = asked(Command::BreakCheck { name: "poison".into() });
        let answers = in_one_batch(&mut tallies, batch);
        let failed: Vec<_> = (0..20).filter(|place| answers[*place].is_err()).collect();
        assert_eq!(failed, [7], "{place}: {answers:?}");
        assert_eq!(value(&tallies.database, "a"), 19, "{place}");
        assert_eq!(value(&tallies.database, "poison"), 0, "{place}");
        assert_eq!(events(&tallies.database), 19, "{place}");
    }
}

#[test]
fn a_panic_fails_alone_and_the_worker_lives() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let answers = in_one_batch(&mut tallies, vec![add("a", 1), asked(Command::Panic), add("a", 1)]);
        assert_eq!((answers[0].clone(), answers[2].clone()), (Ok(1), Ok(2)), "{place}");
        let panicked = Refused::Failed(Failure::Panicked("a poisoned command".into())).to_string();
        assert_eq!(answers[1], Err(panicked), "{place}");
        assert_eq!(in_one_batch(&mut tallies, vec![add("a", 1)]), [Ok(3)], "{place}");
    }
}

#[test]
fn a_panic_after_the_commit_takes_nothing_back() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let answers = in_one_batch(&mut tallies, vec![asked(Command::PanicAfterwards), add("a", 1)]);
        assert_eq!(answers, [Ok(0), Ok(1)], "{place}");
        assert_eq!(in_one_batch(&mut tallies, vec![add("a", 1)]), [Ok(2)], "{place}");
    }
}

#[test]
fn a_second_event_of_one_version_is_refused() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let first = || asked(Command::SayFirst { stream: 7 });
        assert_eq!(in_one_batch(&mut tallies, vec![first()]), [Ok(0)], "{place}");
        let (_, answers) = tallies.at_once(vec![add("a", 1), first(), add("b", 1)]);
        assert!(matches!(answers[1], Err(Refused::Failed(Failure::Conflict(_)))), "{place}: {answers:?}");
        assert_eq!((answers[0].clone(), answers[2].clone()), (Ok(Ok(1)), Ok(Ok(1))), "{place}");
        assert_eq!(events(&tallies.database), 3, "{place}");
    }
}

#[test]
fn an_event_that_is_too_long_is_refused_alone() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let say = |bytes| asked(Command::Say { bytes });
        let batch = vec![add("a", 1), say(db::BODY_LIMIT_BYTES + 1), say(db::BODY_LIMIT_BYTES)];
        let (_, answers) = tallies.at_once(batch);
        assert!(matches!(answers[1], Err(Refused::Failed(Failure::Corrupt(_)))), "{place}: {answers:?}");
        assert_eq!((answers[0].clone(), answers[2].clone()), (Ok(Ok(1)), Ok(Ok(0))), "{place}");
        assert_eq!(events(&tallies.database), 2, "{place}");
    }
}

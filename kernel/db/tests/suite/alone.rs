//! What becomes of the commands of a batch that failed: which run again, how often, and which do not.

use db::{Failure, Refused, Turn};

use crate::tally::{Failures, add, everywhere, fail, open, options, value};

fn broken() -> Failure {
    Failure::Corrupt("broken".into())
}

fn faster() -> Failure {
    Failure::Conflict("somebody was faster".into())
}

fn gone() -> Failure {
    Failure::Unavailable("nobody is there".into())
}

fn full() -> Failure {
    Failure::DiskFull("no space".into())
}

fn left(failures: &Failures) -> usize {
    failures.lock().expect("no panic").len()
}

#[test]
fn a_request_that_was_alone_has_failed_and_is_not_tried_again() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let (command, failures) = fail([broken(), broken(), broken()]);
        // At the start an inlet takes part, which looks what is to be forgotten.
        for is_left in [1, 0] {
            let (turn, answers) = tallies.at_once(vec![command.clone()]);
            assert_eq!((turn, answers), (Turn::Performed(0), vec![Err(Refused::Failed(broken()))]), "{place}");
            assert_eq!(left(&failures), is_left, "{place}");
        }
    }
}

#[test]
fn a_request_that_others_are_faster_than_is_tried_five_times() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let (command, _) = fail([faster(), faster(), faster(), faster()]);
        assert_eq!(tallies.one(command), Ok(Ok(0)), "{place}");
        let (command, failures) = fail((0..6).map(|_| faster()));
        assert_eq!((tallies.one(command), left(&failures)), (Err(Refused::Failed(faster())), 1), "{place}");
    }
}

#[test]
fn what_would_meet_every_command_fails_the_batch_and_nothing_is_tried_again() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        for failure in [gone(), full()] {
            let (command, failures) = fail([failure.clone(), failure.clone()]);
            let (turn, answers) = tallies.at_once(vec![add("a", 1), command, add("a", 1)]);
            assert_eq!((turn, answers), (Turn::Waits, vec![Err(Refused::Failed(failure)); 3]), "{place}");
            assert_eq!((left(&failures), value(&tallies.database, "a")), (1, 0), "{place}");
        }
    }
}

#[test]
fn what_would_meet_every_command_is_not_tried_with_those_behind_it() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        for (failure, before) in [(gone(), 1), (full(), 2)] {
            let (command, _) = fail([broken(), failure.clone()]);
            let (turn, answers) = tallies.at_once(vec![add("a", 1), command, add("b", 1)]);
            let refused = Err(Refused::Failed(failure));
            assert_eq!((turn, answers), (Turn::Waits, vec![Ok(Ok(before)), refused.clone(), refused]), "{place}");
            assert_eq!(value(&tallies.database, "b"), 0, "{place}");
        }
    }
}

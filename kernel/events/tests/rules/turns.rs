//! What becomes of events as they come: dealt with once, put off, given up, and in which order.

use std::collections::BTreeSet;
use std::time::Duration;

use db::{Failure, Turn};
use events::FeedError;

use crate::shop::{Consumer, Written, again, never};

const MILLIS: Duration = Duration::from_millis(1);

#[test]
fn each_event_is_dealt_with_once_and_in_its_order_whatever_comes_again() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["a", "b", "a"]);
    consumer.rests();
    feed.hands_over_again(3);
    feed.tells_of(&["b", "a"]);
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-1", "b-1", "a-2", "b-2", "a-3"]);
    assert_eq!(consumer.turn(), Turn::Idle);
    consumer = consumer.restarted(&feed);
    consumer.rests();
    assert_eq!(consumer.heard().len(), 5, "also not in another process");
}

#[test]
fn what_comes_twice_in_one_batch_is_known_the_second_time() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["a", "a", "b"]);
    feed.fails(Some(FeedError::Unavailable("not yet".into())));
    consumer.rests();
    feed.fails(None);
    // Three were dealt with elsewhere, as this process does not know yet.
    let mut other = consumer.beside(&feed);
    other.rests();
    feed.hands_over_again(2);
    feed.tells_of(&["b", "a"]);
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-1", "a-2", "b-1", "b-2", "a-3"]);
}

#[test]
fn what_means_nothing_is_passed_over_without_a_transaction() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.rests();
    for _ in 0..300 {
        feed.says("a", "Noise");
    }
    assert_eq!(consumer.turn(), Turn::Idle);
    assert_eq!(consumer.status.lag(), 0, "it has read on all the same");
    assert_eq!(consumer.positions("SELECT feed, position FROM feed_cursor"), []);
    assert_eq!(consumer.positions("SELECT source, position FROM feed_start"), []);
    feed.tells_of(&["a"]);
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-301"]);
}

#[test]
fn the_lag_is_what_the_producer_has_and_nobody_has_dealt_with() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["a", "b", "a", "b", "a"]);
    assert_eq!(consumer.status.lag(), 0, "nothing is known yet");
    assert_eq!(consumer.turn_of(2), Turn::Performed(2));
    assert_eq!(consumer.status.lag(), 3);
    consumer.rests();
    assert_eq!(consumer.status.lag(), 0);
}

#[test]
fn heavy_commands_are_taken_in_smaller_pieces() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["heavy", "heavy", "heavy", "a", "b", "heavy"]);
    for turn in [Turn::Performed(2), Turn::Performed(4), Turn::Idle] {
        assert_eq!(consumer.turn(), turn);
    }
    assert_eq!(consumer.heard(), ["heavy-1", "heavy-2", "heavy-3", "a-1", "b-1", "heavy-4"]);
    // And so are those that were put aside.
    let subjects = ["heavy one", "heavy two", "heavy three"];
    for subject in subjects {
        consumer.answers(&format!("{subject}-1"), again());
    }
    feed.tells_of(&subjects);
    consumer.rests();
    assert_eq!(consumer.parked().len(), 3);
    for subject in subjects {
        consumer.deals_with(&format!("{subject}-1"));
    }
    consumer.passes(100 * MILLIS);
    for turn in [Turn::Performed(2), Turn::Performed(1), Turn::Idle] {
        assert_eq!(consumer.turn(), turn);
    }
    assert_eq!(consumer.parked(), []);
}

#[test]
fn a_feed_that_cannot_be_read_is_read_again_later() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["a"]);
    feed.fails(Some(FeedError::Unavailable("the line is down".into())));
    consumer.rests();
    assert_eq!((consumer.heard().len(), consumer.status.stopped()), (0, None));
    feed.fails(None);
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-1"]);
}

#[test]
fn what_is_to_be_tried_again_waits_longer_each_time_and_only_its_subject_with_it() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", again());
    feed.tells_of(&["a", "b"]);
    consumer.rests();
    assert_eq!(consumer.parked(), [("a".to_owned(), 1, 100 * MILLIS)]);
    feed.tells_of(&["a", "b"]);
    consumer.rests();
    assert_eq!(consumer.heard(), ["b-1", "b-2"], "others go on");
    assert_eq!(consumer.parked()[1], ("a".to_owned(), 0, Duration::ZERO), "it waits behind, and was not tried");
    let aside = consumer.put_aside();
    assert_eq!((aside.parked_events, aside.parked_subjects, aside.dead_letters), (2, 1, 0));
    for (attempts, waits) in [(2, 200), (3, 400), (4, 800)] {
        let before = consumer.parked()[0].2;
        consumer.waits(before.saturating_sub(MILLIS));
        assert_eq!(consumer.parked()[0].1, attempts - 1, "not before its time");
        // It is looked at every little while.
        consumer.waits(101 * MILLIS);
        let (_, tried, due_in) = consumer.parked()[0].clone();
        assert_eq!((tried, due_in), (attempts, Duration::from_millis(waits)));
    }
    consumer.deals_with("a-1");
    consumer.waits(Duration::from_secs(1));
    consumer.waits(Duration::from_secs(1));
    assert_eq!((consumer.heard(), consumer.parked().len()), (names(&["b-1", "b-2", "a-1", "a-2"]), 0));
    feed.tells_of(&["a"]);
    consumer.rests();
    assert_eq!(consumer.heard().last().map(String::as_str), Some("a-3"), "and the subject goes on");
}

#[test]
fn each_try_is_a_step_of_its_own_and_the_same_one_where_it_has_to_be_made_again() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", again());
    feed.tells_of(&["a", "a"]);
    consumer.rests();
    consumer.waits(Duration::from_secs(1));
    consumer.deals_with("a-1");
    consumer.waits(Duration::from_secs(1));
    let steps = consumer.steps("a-1");
    assert_eq!(BTreeSet::from_iter(steps.clone()).len(), 3, "{steps:?}");
    consumer.waits(Duration::from_secs(1));
    assert_eq!(consumer.steps("a-2").len(), 1, "what only waited behind was not tried");

    // Another process that finds the event after its first try goes on with the second.
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", again());
    consumer.rests();
    let mut consumer = consumer.restarted(&feed);
    consumer.waits(Duration::from_secs(1));
    assert_eq!(consumer.steps("a-1"), steps[1..2]);
}

#[test]
fn after_twenty_attempts_an_event_waits_for_a_person_and_its_subject_goes_on() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", again());
    feed.tells_of(&["a", "a"]);
    consumer.rests();
    let began = consumer.now();
    let mut tries = 1;
    while consumer.dead_letters().is_empty() {
        let (_, attempts, due_in) = consumer.parked()[0].clone();
        assert_eq!((attempts, due_in <= Duration::from_secs(600)), (tries, true));
        consumer.waits(due_in.max(100 * MILLIS));
        tries += 1;
    }
    assert_eq!(tries, 20);
    let hours = consumer.now().since(began).as_secs_f64() / 3_600.0;
    assert!((1.0..1.5).contains(&hours), "{hours} hours");
    let letters = consumer.dead_letters();
    assert_eq!((letters.len(), letters[0].attempts, letters[0].cause.as_str()), (1, 20, "not yet"));
    assert_eq!((letters[0].event.position, letters[0].died_at), (1, consumer.now()));
    consumer.waits(100 * MILLIS);
    assert_eq!((consumer.heard(), consumer.parked().len()), (names(&["a-2"]), 0));
}

#[test]
fn what_can_never_be_dealt_with_is_put_aside_at_once_and_nothing_waits_for_it() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", never());
    feed.tells_of(&["a", "a", "b"]);
    feed.says("c", "Garbled");
    feed.tells_of(&["c"]);
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-2", "b-1", "c-2"]);
    let causes: Vec<_> = consumer.dead_letters().into_iter().map(|letter| (letter.attempts, letter.cause)).collect();
    assert_eq!(causes, [(1, "never".to_owned()), (1, "it is garbled".to_owned())]);
    let aside = consumer.put_aside();
    assert_eq!((aside.parked_events, aside.parked_subjects, aside.dead_letters), (0, 0, 2));
}

#[test]
fn what_waits_behind_another_is_due_once_that_is_gone_whatever_became_of_it() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    let is_due = |consumer: &Consumer| -> Vec<bool> {
        let parked = consumer.read(|read| events::parked_events(read, 9));
        parked.iter().map(|parked| parked.due_at.is_some()).collect()
    };
    consumer.answers("a-1", again());
    feed.tells_of(&["a", "a", "a", "a"]);
    consumer.rests();
    assert_eq!(is_due(&consumer), [true, false, false, false]);
    // The first is dealt with, the second never will be, and one more comes with the first.
    consumer.deals_with("a-1");
    consumer.answers("a-2", never());
    feed.tells_of(&["a"]);
    consumer.passes(100 * MILLIS);
    assert_eq!(consumer.turn(), Turn::Performed(1));
    assert_eq!(is_due(&consumer), [true, false, false, false]);
    consumer.passes(100 * MILLIS);
    assert_eq!(consumer.turn(), Turn::Performed(1));
    assert_eq!(is_due(&consumer), [true, false, false]);
    for left in [2, 1, 0] {
        consumer.waits(100 * MILLIS);
        assert_eq!(consumer.parked().len(), left);
    }
    assert_eq!(consumer.heard(), names(&["a-1", "a-3", "a-4", "a-5"]));
}

#[test]
fn what_waits_behind_one_that_always_fails_is_due_once_that_is_given_up() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.fails_at("a-1", Failure::Corrupt("broken".to_owned()));
    feed.tells_of(&["a", "a"]);
    consumer.rests();
    while consumer.dead_letters().is_empty() {
        assert_eq!(consumer.heard(), [] as [String; 0]);
        consumer.waits(Duration::from_secs(600));
    }
    consumer.waits(100 * MILLIS);
    assert_eq!(consumer.heard(), ["a-2"]);
}

#[test]
fn what_waits_behind_nobody_is_found_within_a_minute() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", again());
    feed.tells_of(&["a", "a"]);
    consumer.rests();
    // Another process has dealt with the first, and did not see the second yet.
    consumer.write(|tx| {
        tx.execute("DELETE FROM parked_event WHERE position = $1", [1.into()]);
        Ok(())
    });
    consumer.waits(Duration::from_secs(59));
    assert_eq!(consumer.heard(), [] as [String; 0]);
    consumer.waits(Duration::from_secs(1));
    assert_eq!(consumer.heard(), ["a-2"]);
}

#[test]
fn what_was_to_be_tried_again_and_never_will_be_is_no_longer_parked() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", again());
    feed.tells_of(&["a", "a"]);
    consumer.rests();
    consumer.answers("a-1", never());
    consumer.waits(100 * MILLIS);
    assert_eq!((consumer.dead_letters().len(), consumer.parked().len()), (1, 1));
    consumer.waits(100 * MILLIS);
    assert_eq!((consumer.heard(), consumer.parked().len()), (names(&["a-2"]), 0));
}

#[test]
fn a_later_event_of_its_subject_never_overtakes_one_that_has_to_wait() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    // All of it is in one batch, and the later ones would be dealt with.
    consumer.answers("a-2", again());
    feed.tells_of(&["a", "a", "a", "b"]);
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-1", "b-1"]);
    assert_eq!(consumer.parked().iter().map(|(_, attempts, _)| *attempts).collect::<Vec<_>>(), [1, 0]);
    consumer.deals_with("a-2");
    consumer.waits(100 * MILLIS);
    consumer.waits(100 * MILLIS);
    assert_eq!(consumer.heard(), ["a-1", "b-1", "a-2", "a-3"]);
}

#[test]
fn two_that_have_to_wait_in_one_batch_do_so_one_behind_the_other() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", again());
    consumer.answers("a-2", again());
    feed.tells_of(&["a", "a"]);
    consumer.rests();
    assert_eq!(consumer.parked().iter().map(|(_, attempts, _)| *attempts).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn an_event_that_fails_its_transaction_is_put_off_and_no_other() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.fails_at("a-1", Failure::Corrupt("a row cannot be read".into()));
    feed.tells_of(&["b", "a", "a", "c"]);
    consumer.rests();
    assert_eq!(consumer.heard(), ["b-1", "c-1"]);
    assert_eq!(consumer.parked().iter().map(|(_, attempts, _)| *attempts).collect::<Vec<_>>(), [1, 0]);
    let cause = consumer.read(|read| events::parked_events(read, 1)).remove(0).cause;
    assert!(cause.contains("a row cannot be read"), "{cause}");
    consumer.waits(100 * MILLIS);
    assert_eq!(consumer.parked()[0].1, 2, "also when it is tried again");
    consumer.deals_with("a-1");
    consumer.waits(200 * MILLIS);
    consumer.waits(100 * MILLIS);
    assert_eq!(consumer.heard(), ["b-1", "c-1", "a-1", "a-2"]);
    consumer = consumer.restarted(&feed);
    consumer.rests();
    assert_eq!(consumer.heard().len(), 4);
}

#[test]
fn a_parked_event_that_fails_its_transaction_holds_no_other_up_and_is_given_up_like_any() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.fails_at("a-1", Failure::Corrupt("a row cannot be read".into()));
    consumer.answers("b-1", again());
    feed.tells_of(&["a", "b"]);
    consumer.rests();
    consumer.deals_with("b-1");
    consumer.waits(100 * MILLIS);
    assert_eq!(consumer.heard(), ["b-1"], "both were due, in one batch");
    for attempts in 2..20 {
        assert_eq!(consumer.parked()[0].1, attempts);
        consumer.waits(Duration::from_secs(600));
    }
    let letter = consumer.dead_letters().remove(0);
    assert_eq!((letter.event.subject.as_ref(), letter.attempts, consumer.parked().len()), ("a", 20, 0));
}

#[test]
fn parked_events_come_in_pieces_one_right_after_the_other() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    let subjects: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    for subject in &subjects {
        consumer.answers(&format!("{subject}-1"), again());
        feed.tells_of(&[subject]);
    }
    consumer.rests();
    assert_eq!(consumer.put_aside().parked_subjects, 40);
    for subject in &subjects {
        consumer.deals_with(&format!("{subject}-1"));
    }
    // Each had waited its 0.1 s, and no time passes from here on.
    consumer.waits(100 * MILLIS);
    assert_eq!(consumer.heard().len(), 40);
}

#[test]
fn parked_events_leave_room_for_new_ones_and_do_not_exceed_what_a_turn_may_take() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    for subject in ["a", "b", "c"] {
        consumer.answers(&format!("{subject}-1"), again());
    }
    feed.tells_of(&["a", "b", "c"]);
    consumer.rests();
    for subject in ["a", "b", "c"] {
        consumer.deals_with(&format!("{subject}-1"));
    }
    feed.tells_of(&["d", "e"]);
    consumer.waits(Duration::ZERO);
    assert_eq!(consumer.heard(), ["d-1", "e-1"]);
    feed.tells_of(&["f", "g"]);
    consumer.passes(100 * MILLIS);
    assert_eq!(consumer.turn_of(4), Turn::Performed(4));
    assert_eq!(consumer.heard()[2..], names(&["a-1", "b-1", "c-1", "f-1"]));
}

#[test]
fn an_event_that_a_later_release_has_no_use_for_is_put_aside_when_its_turn_comes() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.says("a", "Noise");
    consumer.rests();
    consumer.parks(&feed, 1);
    consumer.waits(100 * MILLIS);
    let letters = consumer.dead_letters();
    assert_eq!(letters[0].cause, "it means nothing to this release");
    assert_eq!((consumer.parked().len(), consumer.heard().len()), (0, 0));
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

//! What was put aside: how it is listed, replayed and given up.

use std::time::Duration;

use db::Actor;
use events::{
    Became, DeadLetter, PutAside, Settling, dead_letters_after, discard, latest_settled_letters, parked_events_after,
    replay, settled_letters_after,
};
use ids::Number;

use crate::shop::{Consumer, SOURCE, Written, again, never};

fn positions(letters: &[DeadLetter]) -> Vec<i64> {
    letters.iter().map(|letter| letter.event.position).collect()
}

fn with_three_dead_letters() -> (std::sync::Arc<Written>, Consumer) {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    for name in ["a-1", "b-1", "c-1"] {
        consumer.answers(name, never());
    }
    feed.tells_of(&["a", "b", "c"]);
    consumer.rests();
    (feed, consumer)
}

#[test]
fn dead_letters_are_listed_page_by_page_oldest_first() {
    let (_, consumer) = with_three_dead_letters();
    let page = |source: &'static str, position, most| {
        positions(&consumer.read(move |read| dead_letters_after(read, source, position, most)))
    };
    assert_eq!(page("", 0, 2), [1, 2]);
    assert_eq!(page(SOURCE, 2, 2), [3]);
    assert!(page(SOURCE, 3, 2).is_empty());
    assert!(page("zzz", 0, 2).is_empty(), "sources follow by name");
    assert_eq!(positions(&consumer.read(|read| events::dead_letters(read, 1))), [1]);
    let letter = consumer.dead_letters().remove(0);
    assert_eq!((letter.event.id(), letter.event.body.as_ref()), ("producer-1-1".to_owned(), "\"a-1\""));
}

#[test]
fn what_waits_is_listed_page_by_page_oldest_first() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.answers("a-1", again());
    feed.tells_of(&["a", "a", "a"]);
    consumer.rests();
    let page = |position, most| -> Vec<i64> {
        let parked = consumer.read(move |read| parked_events_after(read, SOURCE, position, most));
        parked.iter().map(|parked| parked.event.position).collect()
    };
    assert_eq!((page(0, 2), page(2, 2), page(3, 2)), (vec![1, 2], vec![3], vec![]));
    assert_eq!(consumer.read(|read| events::parked_events(read, 1)).len(), 1);
}

fn mended() -> Settling {
    Settling { actor: Actor::Client("ops".into()), reason: "mended".to_owned() }
}

#[test]
fn a_dead_letter_that_is_replayed_is_tried_at_once_and_as_if_for_the_first_time() {
    let (_, mut consumer) = with_three_dead_letters();
    consumer.answers("b-1", again());
    assert!(consumer.write(|tx| replay(tx, SOURCE, 2, &mended())));
    assert_eq!(positions(&consumer.dead_letters()), [1, 3]);
    assert_eq!(consumer.parked(), [("b".to_owned(), 0, Duration::ZERO)]);
    consumer.waits(Duration::from_millis(100));
    assert_eq!(consumer.parked(), [("b".to_owned(), 1, Duration::from_millis(100))]);
    consumer.deals_with("b-1");
    consumer.waits(Duration::from_millis(100));
    assert_eq!(consumer.heard(), ["b-1"]);
    let expected = PutAside { parked_events: 0, parked_subjects: 0, dead_letters: 2, oldest_parked: None };
    assert_eq!(consumer.put_aside(), expected);
    assert!(!consumer.write(|tx| replay(tx, SOURCE, 2, &mended())), "it is none any more");
    assert!(!consumer.write(|tx| replay(tx, "another", 1, &mended())));
}

#[test]
fn a_dead_letter_that_is_discarded_is_gone() {
    let (_, mut consumer) = with_three_dead_letters();
    assert!(consumer.write(|tx| discard(tx, SOURCE, 1, &mended())));
    assert!(!consumer.write(|tx| discard(tx, SOURCE, 1, &mended())));
    assert_eq!(positions(&consumer.dead_letters()), [2, 3]);
    consumer.waits(Duration::from_secs(1));
    assert_eq!((consumer.heard().len(), consumer.parked().len()), (0, 0));
}

#[test]
fn what_was_done_with_a_dead_letter_is_kept_with_who_did_it_and_why() {
    let (_, mut consumer) = with_three_dead_letters();
    assert!(consumer.write(|tx| replay(tx, SOURCE, 2, &mended())));
    consumer.waits(Duration::from_millis(100));
    let given_up = Settling { actor: Actor::Local, reason: "a test order".to_owned() };
    assert!(consumer.write(move |tx| discard(tx, SOURCE, 2, &given_up)));
    assert!(!consumer.write(|tx| discard(tx, SOURCE, 9, &mended())));
    let settled = consumer.read(|read| settled_letters_after(read, Number::from_column(0), 9));
    let told: Vec<_> = settled
        .iter()
        .map(|letter| (letter.position, &*letter.subject, letter.became, &*letter.actor, &*letter.reason))
        .collect();
    let expected =
        [(2, "b", Became::Replayed, "client:ops", "mended"), (2, "b", Became::Discarded, "local", "a test order")];
    assert_eq!(told, expected);
    let first = settled[0].number;
    assert_eq!(consumer.read(move |read| settled_letters_after(read, first, 9)), settled[1..]);
    assert_eq!(consumer.read(|read| latest_settled_letters(read, 1)), settled[1..], "the latest first");
}

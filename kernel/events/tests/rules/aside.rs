//! What was put aside: how it is listed, replayed and given up.

use std::time::Duration;

use events::{DeadLetter, PutAside, dead_letters_after, discard, parked_events_after, replay};

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

#[test]
fn a_dead_letter_that_is_replayed_is_tried_at_once_and_as_if_for_the_first_time() {
    let (_, mut consumer) = with_three_dead_letters();
    consumer.answers("b-1", again());
    assert!(consumer.write(|tx| replay(tx, SOURCE, 2)));
    assert_eq!(positions(&consumer.dead_letters()), [1, 3]);
    assert_eq!(consumer.parked(), [("b".to_owned(), 0, Duration::ZERO)]);
    consumer.waits(Duration::from_millis(100));
    assert_eq!(consumer.parked(), [("b".to_owned(), 1, Duration::from_millis(100))]);
    consumer.deals_with("b-1");
    consumer.waits(Duration::from_millis(100));
    assert_eq!(consumer.heard(), ["b-1"]);
    let expected = PutAside { parked_events: 0, parked_subjects: 0, dead_letters: 2, oldest_parked: None };
    assert_eq!(consumer.put_aside(), expected);
    assert!(!consumer.write(|tx| replay(tx, SOURCE, 2)), "it is none any more");
    assert!(!consumer.write(|tx| replay(tx, "another", 1)));
}

#[test]
fn a_dead_letter_that_is_discarded_is_gone() {
    let (_, mut consumer) = with_three_dead_letters();
    assert!(consumer.write(|tx| discard(tx, SOURCE, 1)));
    assert!(!consumer.write(|tx| discard(tx, SOURCE, 1)));
    assert_eq!(positions(&consumer.dead_letters()), [2, 3]);
    consumer.waits(Duration::from_secs(1));
    assert_eq!((consumer.heard().len(), consumer.parked().len()), (0, 0));
}

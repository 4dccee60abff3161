//! Where reading begins, how that is remembered, and when a consumer stops for good.

use std::time::Duration;

use db::Turn;
use events::{FeedError, Partitions, partition_of};

use crate::shop::{Consumer, SOURCE, Written, again};

const STARTS: &str = "SELECT source, position FROM feed_start ORDER BY source";

#[test]
fn where_reading_begins_is_saved_with_the_first_event_and_then_once_in_a_thousand() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["a"]);
    consumer.rests();
    assert_eq!(consumer.positions(STARTS), [(SOURCE.to_owned(), 1)]);
    for _ in 0..999 {
        feed.tells_of(&["a"]);
    }
    consumer.rests();
    assert_eq!(consumer.positions(STARTS), [(SOURCE.to_owned(), 1)], "one less than a thousand later");
    feed.tells_of(&["a"]);
    consumer.rests();
    assert_eq!(consumer.positions(STARTS), [(SOURCE.to_owned(), 1_001)]);
    feed.tells_of(&["a"]);
    consumer.rests();
    assert_eq!(consumer.positions(STARTS), [(SOURCE.to_owned(), 1_001)], "and counted anew from there");
    let dealt_with = consumer.heard().len();
    feed.reads();
    consumer = consumer.restarted(&feed);
    consumer.rests();
    let reads = feed.reads();
    assert_eq!(reads[..2], [(1_002, 0), (1_001, 256)], "the furthest cursor first, and then from the saved place");
    assert_eq!(consumer.heard().len(), dealt_with);
}

#[test]
fn a_consumer_for_which_nothing_means_anything_does_not_read_it_all_again() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.rests();
    for _ in 0..9_999 {
        feed.says("a", "Noise");
    }
    assert_eq!(consumer.turn(), Turn::Idle);
    assert_eq!(consumer.positions(STARTS), [], "one less than ten thousand are worth no transaction");
    feed.says("a", "Noise");
    consumer.rests();
    assert_eq!(consumer.positions(STARTS), [(SOURCE.to_owned(), 10_000)]);
    for _ in 0..9_999 {
        feed.says("a", "Noise");
    }
    consumer.rests();
    assert_eq!(consumer.positions(STARTS), [(SOURCE.to_owned(), 10_000)], "counted anew from there");
    consumer = consumer.restarted(&feed);
    feed.reads();
    consumer.rests();
    assert_eq!(feed.reads()[0], (10_000, 256));
    feed.becomes(2);
    consumer.rests();
    assert!(consumer.status.stopped().is_some(), "and it knows whom it has listened to");
}

#[test]
fn what_means_nothing_is_looked_through_in_pieces_and_the_place_of_each_is_saved() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.rests();
    for _ in 0..25_000 {
        feed.says("a", "Noise");
    }
    assert_eq!(consumer.turn(), Turn::Performed(0), "who asks for something meanwhile does not wait for all of it");
    let first = consumer.positions(STARTS)[0].1;
    assert!((10_000..10_256).contains(&first), "{first}");
    consumer.rests();
    assert_eq!((consumer.status.lag(), consumer.positions(STARTS)[0].1 / 10_000), (0, 2));
}

#[test]
fn what_is_behind_the_cursor_of_its_partition_is_known_wherever_reading_begins() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["a", "b", "c", "a", "b", "c"]);
    assert_eq!(consumer.turn_of(4), Turn::Performed(4));
    consumer = consumer.restarted(&feed);
    feed.reads();
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-1", "b-1", "c-1", "a-2", "b-2", "c-2"]);
    assert_eq!(feed.reads()[0], (4, 256), "the first batch saved its place, and no cursor lies beyond");
}

#[test]
fn a_place_that_was_saved_in_the_middle_of_a_slice_is_the_one_before_what_is_left() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.says("noise", "Noise");
    feed.tells_of(&["a", "b"]);
    feed.says("noise", "Noise");
    feed.tells_of(&["c"]);
    assert_eq!(consumer.turn_of(2), Turn::Performed(2));
    assert_eq!(consumer.positions(STARTS), [(SOURCE.to_owned(), 4)], "all before the next is dealt with");
    assert_eq!(consumer.status.lag(), 1);
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-1", "b-1", "c-1"]);
}

#[test]
fn consumers_of_different_partitions_begin_at_different_places() {
    let feed = Written::new();
    let (even, odd): (Vec<u8>, Vec<u8>) = (0..events::PARTITIONS).partition(|partition| partition % 2 == 0);
    let of = |some: &[u8]| some.iter().fold(Partitions::NONE, |all, partition| all.with(*partition));
    let subjects: Vec<String> = (0..8).map(|number| format!("s{number}")).collect();
    let mut consumer = Consumer::of(&feed).restarted_for(&feed, of(&even));
    for subject in &subjects {
        feed.tells_of(&[subject]);
    }
    consumer.rests();
    let heard_of = |some: &[u8]| -> Vec<String> {
        let all = subjects.iter().filter(|subject| some.contains(&partition_of(subject)));
        all.map(|subject| format!("{subject}-1")).collect()
    };
    assert_eq!(consumer.heard(), heard_of(&even));
    assert!(!heard_of(&even).is_empty() && !heard_of(&odd).is_empty());
    consumer = consumer.restarted_for(&feed, of(&odd));
    consumer.rests();
    assert_eq!(consumer.heard(), [heard_of(&even), heard_of(&odd)].concat());
    let starts = consumer.positions(STARTS);
    let keys: Vec<&str> = starts.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["producer/5555555555555555", "producer/aaaaaaaaaaaaaaaa"]);
}

#[test]
fn a_producer_of_another_life_is_not_listened_to() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["a"]);
    consumer.rests();
    feed.becomes(2);
    feed.tells_of(&["a"]);
    consumer.rests();
    let why = consumer.status.stopped().expect("it has stopped");
    assert!(why.contains("producer is of incarnation 2, not of 1 as before"), "{why}");
    assert_eq!(consumer.heard(), ["a-1"]);
    feed.becomes(1);
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-1"], "it has stopped for good");
    consumer = consumer.restarted(&feed);
    feed.becomes(2);
    consumer.rests();
    assert!(consumer.status.stopped().is_some(), "another process knows the life as well");
}

#[test]
fn the_first_reason_for_which_it_has_stopped_is_the_one_that_is_told() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.rests();
    feed.fails(Some(FeedError::WentBack { newest: 3, read: 5 }));
    consumer.rests();
    let why = consumer.status.stopped().expect("it has stopped");
    assert!(why.contains("newest event is 3, but 5 were read"), "{why}");
    feed.reads();
    consumer.waits(Duration::from_secs(10));
    assert_eq!(feed.reads(), [], "it does not even ask");
}

#[test]
fn a_producer_that_has_not_told_of_the_furthest_cursor_yet_is_waited_for() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    feed.tells_of(&["a"]);
    consumer.rests();
    feed.tells_of(&["a", "a"]);
    consumer.rests();
    // The place where reading begins is 1, and the cursor of `a` is 3.
    consumer = consumer.restarted(&feed);
    feed.tells_of(&["a", "b"]);
    feed.knows_up_to(Some(2));
    feed.reads();
    consumer.rests();
    assert!(feed.reads().iter().all(|read| *read == (3, 0)), "it only asks what is there");
    feed.knows_up_to(Some(3));
    consumer.rests();
    assert_eq!(consumer.heard(), ["a-1", "a-2", "a-3"]);
    feed.knows_up_to(None);
    consumer.rests();
    assert_eq!(consumer.heard()[3..], ["a-4".to_owned(), "b-1".to_owned()]);
}

#[test]
fn cursors_of_another_source_with_a_longer_name_do_not_count() {
    let feed = Written::new();
    let mut consumer = Consumer::of(&feed);
    consumer.write(|tx| {
        tx.execute("INSERT INTO feed_cursor (feed, position) VALUES ('producer2/1', 99), ('produce/1', 98)", []);
        Ok(())
    });
    feed.tells_of(&["a"]);
    feed.reads();
    consumer.rests();
    assert_eq!(feed.reads()[0], (0, 256));
    assert_eq!(consumer.heard(), ["a-1"]);
}

#[test]
fn a_consumer_that_shares_its_database_with_another_finds_out_what_that_has_dealt_with() {
    let feed = Written::new();
    let mut one = Consumer::of(&feed);
    let mut other = one.beside(&feed);
    for round in 1..=6 {
        feed.tells_of(&["a", "b"]);
        // Each assumes that its cursors stand where it has left them, and is wrong each time.
        one.rests();
        assert_eq!(one.heard().len(), 2 * round);
        std::mem::swap(&mut one, &mut other);
        one.waits(Duration::from_secs(11));
    }
    assert_eq!(one.heard().len(), 12);
}

#[test]
fn a_subject_that_another_has_parked_is_not_overtaken() {
    let feed = Written::new();
    let mut one = Consumer::of(&feed);
    feed.tells_of(&["a"]);
    one.rests();
    let mut other = one.beside(&feed);
    other.rests();
    one.answers("a-2", again());
    feed.tells_of(&["a"]);
    other.rests();
    // The first has not heard of `a-2`, nor that it waits; now there are three.
    feed.tells_of(&["a"]);
    one.rests();
    assert_eq!((one.heard(), one.put_aside().parked_events), (vec!["a-1".to_owned()], 2));
    one.deals_with("a-2");
    one.waits(Duration::from_millis(100));
    one.waits(Duration::from_millis(100));
    assert_eq!(one.heard(), ["a-1", "a-2", "a-3"]);
}

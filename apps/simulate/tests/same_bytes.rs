//! The same seed gives the same run, to the byte.

use simulate::{Journal, Scenario, run};

const SEEDS: u64 = 20;

/// Everything that happens under a seed, as text.
fn text_of(seed: u64) -> String {
    let mut journal = Journal::kept();
    run(seed, &Scenario::default(), &mut journal);
    journal.text().to_owned()
}

/// Where two texts differ first, for a failure that can be read.
fn first_difference<'a>(one: &'a str, other: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let lines = one.lines().zip(other.lines()).enumerate();
    lines.map(|(line, (one, other))| (line + 1, one, other)).find(|(_, one, other)| one != other)
}

#[test]
fn the_same_seed_gives_the_same_bytes_again_and_on_another_thread() {
    let (here, there) = std::thread::scope(|scope| {
        let there = scope.spawn(|| (0..SEEDS).rev().map(text_of).collect::<Vec<_>>());
        let here: Vec<_> = (0..SEEDS).map(text_of).collect();
        (here, there.join().expect("the other thread ends"))
    });
    for (seed, (here, there)) in here.iter().zip(there.iter().rev()).enumerate() {
        assert!(here.lines().count() > 100, "seed {seed}: next to nothing happened");
        assert_eq!(first_difference(here, there), None, "seed {seed}");
        assert_eq!(here.len(), there.len(), "seed {seed}: one has more lines");
    }
    assert_ne!(here[0], here[1], "two seeds are two runs");
}

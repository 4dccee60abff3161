//! Transactions beside a desk that never rests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use db::Value;
use futures_util::future::join_all;

use crate::tally::{NOTE, add, everywhere, open, options, wait};

/// Commands that are answered while a transaction waits for its turn, at most: those of a few batches.
const MOST_BEFORE: usize = 16 * 256;

#[test]
fn a_transaction_beside_a_busy_desk_has_its_turn_soon() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let running = open(location, options()).start();
        let (answered, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let before_each = thread::scope(|scope| {
            for client in 0..8 {
                let (desk, answered, is_over) = (&running.desk, &answered, &is_over);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let many = (0..128).map(|name| desk.ask(add(&format!("{client} {name}"), 1)));
                        let answers = wait(join_all(many.collect::<Vec<_>>()));
                        answered.fetch_add(answers.len(), Ordering::Relaxed);
                    }
                });
            }
            testkit::eventually("the desk is busy", || answered.load(Ordering::Relaxed) > 2_048);
            let before_each: Vec<_> = (0..30)
                .map(|number| {
                    let begun = answered.load(Ordering::Relaxed);
                    let row = vec![vec![format!("{number}").into(), Value::Null, Value::Null]];
                    let written = wait(running.database.write(move |tx| {
                        tx.insert(&NOTE, row);
                        Ok(())
                    }));
                    written.map(|()| answered.load(Ordering::Relaxed) - begun)
                })
                .collect();
            is_over.store(true, Ordering::Relaxed);
            before_each
        });
        let is_soon = |before: &Result<usize, _>| before.as_ref().is_ok_and(|before| *before < MOST_BEFORE);
        assert!(before_each.iter().all(is_soon), "{place}: {before_each:?}");
    }
}

//! Stock that other processes change too.
//!
//! ```text
//! a read:  a view of the database ─▶ follow: what has changed up to it ─▶ get ─▶ nothing ─▶ the same view ─▶ keep
//! ```
//!
//! Each entry knows where in the journal the view stood in which it was read, and each SKU where its last change
//! stands that was noted. An entry may be given in a view at a position if it was not read in a later one, and no
//! change stands behind it.
//!
//! **Invariant:** whoever asks in a view has noted every change up to its position, whoever made it: changes are
//! events, and positions follow the order of commits (`db`). But not where the database itself loses commits that were
//! seen, as a standby does that takes over without the last of them: then positions are given a second time, and
//! what was kept may be shown as it was until the process is started anew (`docs/backup.md`).

use std::sync::atomic::{AtomicI64, Ordering};

use contracts::inventory::Event;
use db::{Envelope, Failure, Position, Read};
use ids::Sku;

use super::super::Shown;
use super::{Kept, SLOTS, slot};
use crate::domain::skus_changed;

/// Stock of SKUs that were asked for, each with the position at which it was read.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Every change up to here is noted.
    upto: AtomicI64,
    /// Where the last change of SKUs stands that was noted, a few of which share one place.
    changes: Box<[AtomicI64]>,
    /// The same of what concerns every SKU: what was said of warehouses, or more changes than were looked at.
    of_all: AtomicI64,
    pub(super) kept: Kept<Position>,
}

/// Changes that a look follows at most: beyond that it takes longer than to read the stock anew.
const MOST_CHANGES: usize = 500;

impl Followed {
    /// Room for about so many bytes.
    pub(super) fn with_room_for(bytes: usize) -> Self {
        Self {
            upto: AtomicI64::new(0),
            changes: (0..SLOTS).map(|_| AtomicI64::new(0)).collect(),
            of_all: AtomicI64::new(0),
            kept: Kept::with_room_for(bytes),
        }
    }

    /// Notes what has changed up to a view, and says where in the journal that stands; `heard` is how far this
    /// process knows the journal to go.
    pub(crate) fn follow(&self, read: &mut Read<'_>, heard: Position) -> Result<Position, Failure> {
        let known = self.upto.load(Ordering::SeqCst);
        // Positions have no gaps; what would not be looked at is not read either.
        let is_far_behind = heard - known > i64::try_from(MOST_CHANGES).unwrap_or(i64::MAX);
        let (at, news) = read.news_after(known, if is_far_behind { 0 } else { MOST_CHANGES })?;
        self.note(&news);
        if news.last().map_or(known, |last| last.position) < at {
            self.of_all.fetch_max(at, Ordering::SeqCst);
        }
        self.upto.fetch_max(at, Ordering::SeqCst);
        Ok(at)
    }

    fn note(&self, news: &[Envelope]) {
        for envelope in news {
            match Event::read(&envelope.kind, &envelope.body) {
                Ok(Some(event)) if !matches!(event, Event::WarehouseChanged(_)) => {
                    for sku in skus_changed(&event) {
                        self.changes[slot(sku)].fetch_max(envelope.position, Ordering::SeqCst);
                    }
                }
                // What a newer release says may concern any SKU.
                _ => {
                    self.of_all.fetch_max(envelope.position, Ordering::SeqCst);
                }
            }
        }
    }

    /// The stock of a SKU in a view that stands at a position which was followed to, where it is known.
    pub(crate) fn get(&self, sku: &Sku, at: Position) -> Option<Shown> {
        self.kept.get(sku, |read_at| {
            let changed = self.changes[slot(sku)].load(Ordering::SeqCst).max(self.of_all.load(Ordering::SeqCst));
            changed <= read_at && read_at <= at
        })
    }

    /// Keeps what was read in a view that stands at a position.
    pub(crate) fn keep(&self, sku: Sku, at: Position, shown: Shown) {
        self.kept.keep(sku, at, shown);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use db::{Context, Database, Location, MemoryDisk, NewEvent, Options, Position, Trace};
    use futures_util::FutureExt;
    use world::{Moment, World};

    use super::super::tests::{on_hand as pieces, shown, sku};
    use super::{Followed, MOST_CHANGES};

    fn room() -> Followed {
        Followed::with_room_for(1024 * 1024)
    }

    fn on_hand(followed: &Followed, name: &str, at: Position) -> Option<i64> {
        followed.get(&sku(name), at).map(|shown| pieces(&shown))
    }

    fn shop() -> Database {
        let memory = Location::Memory(MemoryDisk::empty());
        Database::open("inventory", memory, Options::default(), World::real(), &[]).expect("a database")
    }

    fn say(database: &Database, said: &[(&'static str, String)]) {
        let said = said.to_vec();
        let written = database.write(move |tx| {
            for (kind, body) in said {
                tx.publish(NewEvent {
                    stream: tx.number(),
                    version: 1,
                    subject: "of no interest".to_owned(),
                    kind,
                    schema: 1,
                    occurred_at: Moment::from_micros(0),
                    by: Context::system("test", Trace { trace_id: 1, span_id: 1, is_sampled: true }),
                    body,
                });
            }
            Ok(())
        });
        written.now_or_never().expect("memory answers at once").expect("it is said");
    }

    fn discontinued(name: &str) -> (&'static str, String) {
        ("SkuDiscontinued", format!(r#"{{"sku":"{name}"}}"#))
    }

    fn follow(followed: &Arc<Followed>, database: &Database) -> Position {
        let (followed, heard) = (followed.clone(), *database.ring().newest().borrow());
        let read = database.read(move |read| followed.follow(read, heard));
        read.now_or_never().expect("memory answers at once").expect("it is read")
    }

    #[test]
    fn what_was_read_is_given_in_no_view_before_it_and_in_none_after_a_change() {
        let followed = room();
        assert_eq!(on_hand(&followed, "a", 5), None);
        followed.keep(sku("a"), 5, shown(7));
        followed.keep(sku("b"), 5, shown(8));
        assert_eq!([4, 5, 9].map(|at| on_hand(&followed, "a", at)), [None, Some(7), Some(7)]);
        // Whoever kept this read it after the change that is noted now.
        followed.changes[super::slot(&sku("a"))].store(5, super::Ordering::SeqCst);
        assert_eq!(on_hand(&followed, "a", 5), Some(7));
        followed.changes[super::slot(&sku("a"))].store(6, super::Ordering::SeqCst);
        assert_eq!([5, 6, 9].map(|at| on_hand(&followed, "a", at)), [None; 3]);
        assert_eq!(on_hand(&followed, "b", 9), Some(8), "the others stay known");
        // Whoever read in a view before the change comes to keep it only now.
        followed.keep(sku("a"), 5, shown(7));
        assert_eq!(on_hand(&followed, "a", 9), None);
        followed.keep(sku("a"), 9, shown(6));
        assert_eq!(on_hand(&followed, "a", 9), Some(6));
    }

    #[test]
    fn what_others_say_of_a_sku_is_noted_before_anything_is_given() {
        let (followed, database) = (Arc::new(room()), shop());
        assert_eq!(follow(&followed, &database), 0);
        followed.keep(sku("a"), 0, shown(1));
        followed.keep(sku("b"), 0, shown(2));
        assert_eq!(on_hand(&followed, "a", 0), Some(1));
        say(&database, &[discontinued("c"), discontinued("a")]);
        let at = follow(&followed, &database);
        assert_eq!((at, on_hand(&followed, "a", at), on_hand(&followed, "b", at)), (2, None, Some(2)));
        assert_eq!(follow(&followed, &database), 2);
    }

    #[test]
    fn whoever_does_not_know_what_has_changed_takes_all_for_changed() {
        let kinds = [("SaidByANewerRelease", "{}".to_owned()), ("SkuDiscontinued", r#"{"no":"sku"}"#.to_owned())];
        let many: Vec<_> = (0..=MOST_CHANGES).map(|number| discontinued(&format!("other-{number}"))).collect();
        let (last, few) = many.split_last().expect("some");
        for (said, stays) in [(&kinds[..1], false), (&kinds[1..], false), (few, true), (&many[..], false)] {
            let (followed, database) = (Arc::new(room()), shop());
            followed.keep(sku("a"), follow(&followed, &database), shown(1));
            say(&database, said);
            let at = follow(&followed, &database);
            assert_eq!(
                (at, on_hand(&followed, "a", at).is_some()),
                (i64::try_from(said.len()).unwrap(), stays),
                "{:?}",
                said[0]
            );
            // From here on it is as before.
            followed.keep(sku("a"), at, shown(1));
            say(&database, std::slice::from_ref(last));
            let at = follow(&followed, &database);
            assert_eq!(on_hand(&followed, "a", at), Some(1));
        }
    }
}

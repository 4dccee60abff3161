//! What a process cannot compute: the time, new numbers and chance.
//!
//! ```text
//! World::real()           the machine's clock, seeded by the system
//! World::simulated(seed)  a clock that stands until it is moved, everything else from the seed
//! ```
//!
//! **Invariant:** nothing else in Banyan reads a clock or draws a random number; that is what lets
//! the whole platform run under a seed (`clippy.toml` refuses the other ways).

mod moment;
#[cfg(feature = "planted-bugs")]
pub mod planted;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ids::Number;
pub use moment::{Moment, NotAMoment};

/// Where time, numbers and chance come from; cheap to clone, all clones are one world.
#[derive(Clone, Debug)]
pub struct World(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Microseconds since the epoch where the clock is moved by hand; none where it is the machine's.
    simulated_clock: Option<AtomicI64>,
    seed: u64,
    numbers: Mutex<fastrand::Rng>,
    last_number: AtomicI64,
}

/// The moment at which every simulation begins.
const SIMULATED_START: Moment = Moment::from_micros(1_767_225_600_000_000); // 2026-01-01

/// Numbers count from here, so that they fit 63 bits for three centuries.
const NUMBERS_START_MICROS: i64 = 1_577_836_800_000_000; // 2020-01-01

/// Low bits of a number that are drawn, so that two processes seldom make the same one.
const DRAWN_BITS: u32 = 10;

impl World {
    /// The world as it is: the machine's clock, and chance from the operating system.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that draws chance from the system")]
    pub fn real() -> Self {
        Self::new(None, fastrand::u64(..))
    }

    /// A world that is the same each time for the same seed; its clock stands until it is moved.
    pub fn simulated(seed: u64) -> Self {
        Self::new(Some(SIMULATED_START), seed)
    }

    fn new(clock: Option<Moment>, seed: u64) -> Self {
        Self(Arc::new(Inner {
            simulated_clock: clock.map(|start| AtomicI64::new(start.micros())),
            seed,
            numbers: Mutex::new(stream(seed, "numbers")),
            last_number: AtomicI64::new(0),
        }))
    }

    /// The time, in UTC.
    pub fn now(&self) -> Moment {
        match &self.0.simulated_clock {
            Some(clock) => Moment::from_micros(clock.load(Ordering::Relaxed)),
            None => Moment::from_micros(machine_micros()),
        }
    }

    /// Moves a simulated clock forward.
    ///
    /// # Panics
    /// When the clock is the machine's.
    pub fn advance(&self, by: Duration) {
        let clock = self.0.simulated_clock.as_ref().expect("only a simulated clock is moved");
        let micros = i64::try_from(by.as_micros()).expect("a simulation lasts less than 292,000 years");
        clock.fetch_add(micros, Ordering::Relaxed);
    }

    /// A new number, greater than all that this world has given before.
    ///
    /// Two processes can draw the same number (once in a thousand within one microsecond); the
    /// unique key of the table then refuses the second, and the command runs again with another.
    ///
    /// # Panics
    /// When 63 bits are used up, three centuries after 2020.
    pub fn number(&self) -> Number {
        let drawn = self.0.numbers.lock().unwrap_or_else(PoisonError::into_inner).i64(0..1 << DRAWN_BITS);
        let wanted = ((self.now().micros() - NUMBERS_START_MICROS) << DRAWN_BITS) | drawn;
        let next = |last: i64| Some(wanted.max(last + 1));
        let last = self
            .0
            .last_number
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .expect("there is always a next number");
        Number::from_column(wanted.max(last + 1))
    }

    /// 256 bits that nobody can foretell, for a secret: from the operating system, and not from the
    /// seed, of which every trace that is shown tells something. A simulated world draws them too.
    ///
    /// # Panics
    /// When the operating system has no random bits to give.
    pub fn secret(&self) -> [u8; 32] {
        let mut bits = [0; 32];
        if self.0.simulated_clock.is_some() {
            let mut chance = self.chance(&format!("secret {}", self.number()));
            bits.chunks_mut(8).for_each(|part| part.copy_from_slice(&chance.bits().to_le_bytes()));
        } else {
            getrandom::fill(&mut bits).expect("the operating system gives random bits");
        }
        bits
    }

    /// A stream of chance of its own for each name, so that a new user of chance does not change
    /// what the others draw.
    pub fn chance(&self, name: &str) -> Chance {
        Chance(stream(self.0.seed, name))
    }
}

/// A stream of random draws.
#[derive(Clone, Debug)]
pub struct Chance(fastrand::Rng);

impl Chance {
    /// A number below `bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.0.usize(0..bound) }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.i64(low..=high)
    }

    /// True once in `times` on average.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A number from 0 up to but without 1.
    pub fn fraction(&mut self) -> f64 {
        self.0.f64()
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// One of the items; none of none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { Some(&items[self.below(items.len())]) }
    }
}

fn stream(seed: u64, name: &str) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ stable_hash(name.as_bytes()))
}

/// FNV-1a with 64 bits: the same on every machine and in every release, for partitions and streams
/// of chance. Not for anything that an adversary may choose.
/// Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
fn machine_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{World, stable_hash};

    #[test]
    fn numbers_grow_even_while_the_clock_stands() {
        let world = World::simulated(1);
        let numbers: Vec<_> = (0..5_000).map(|_| world.number()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_same_seed_gives_the_same_world() {
        let run = |seed| {
            let world = World::simulated(seed);
            world.advance(Duration::from_millis(7));
            (world.now(), world.number(), world.chance("a").bits(), world.chance("b").bits())
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7).2, run(8).2);
        assert_ne!(run(7).2, run(7).3, "streams of different names differ");
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(stable_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}

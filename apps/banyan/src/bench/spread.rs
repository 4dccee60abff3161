//! How long things took, as percentiles.

use std::time::Duration;

/// Times of many like things.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread(Vec<u64>);

impl Spread {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time within which this part of all was done, in milliseconds.
    pub(super) fn percentile_ms(&mut self, part: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        self.0.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into a list in memory"
        )]
        let place = ((self.0.len() - 1) as f64 * part).round() as usize;
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a bench")]
        let nanos = self.0[place] as f64;
        nanos / 1e6
    }
}

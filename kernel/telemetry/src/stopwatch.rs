//! How long something takes, for meters and logs.

use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;

/// Measures how long something takes; for meters and logs only, for it runs on in a simulation.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins to measure.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that measures with the machine's clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Enters the seconds since the start into a histogram.
    pub fn record(self, seconds: &Histogram) {
        seconds.observe(self.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::Stopwatch;

    #[test]
    fn a_stopwatch_runs_on() {
        let stopwatch = Stopwatch::start();
        sleep(Duration::from_millis(5));
        let first = stopwatch.elapsed();
        assert!(first >= Duration::from_millis(5));
        assert!(stopwatch.elapsed() >= first);
    }
}

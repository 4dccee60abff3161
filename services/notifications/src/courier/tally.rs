//! What is counted of deliveries, for the page of metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use telemetry::Meters;
use world::Moment;

use crate::domain::Status;

/// What is counted of deliveries.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    delivered: AtomicU64,
    retried: AtomicU64,
    given_up: AtomicU64,
    pub(super) paused: AtomicI64,
    /// When the oldest event was recorded that has still to be delivered, in microseconds; 0 without one.
    pub(super) oldest: AtomicI64,
}

impl Tally {
    /// Enters it on the page of metrics.
    pub(crate) fn tell(&self, meters: &Meters, now: Moment) {
        let outcomes = [("delivered", &self.delivered), ("retried", &self.retried), ("given_up", &self.given_up)];
        for (outcome, count) in outcomes {
            let counter =
                meters.labelled("outcome", outcome).counter("webhook_deliveries", "Tries by what came of them");
            counter.inc_by(count.swap(0, Ordering::Relaxed));
        }
        let help = "Endpoints that have failed for so long that a person has to resume them";
        meters.gauge("webhook_paused_endpoints", help).set(self.paused.load(Ordering::Relaxed));
        let oldest = self.oldest.load(Ordering::Relaxed);
        let age = if oldest == 0 { 0.0 } else { now.since(Moment::from_micros(oldest)).as_secs_f64() };
        let help = "Age of the oldest event that an endpoint has still to get, paused ones included; 0 without one";
        meters.seconds_gauge("webhook_oldest_undelivered_seconds", help).set(age);
    }

    pub(super) fn count(&self, status: Status) {
        let counter = match status {
            Status::Delivered => &self.delivered,
            Status::Waiting | Status::Retrying => &self.retried,
            Status::Failed => &self.given_up,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

//! Counters, gauges and histograms, and the page on which they stand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::disk::Disk;
use crate::process::Process;

/// Buckets for times in seconds: 50 µs, where a rule decides, to 10 s, where callers have gone.
pub const SECONDS_BUCKETS: [f64; 20] = [
    50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 7.5e-3, 10e-3, 15e-3, 25e-3, 50e-3, 75e-3, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0,
];

/// Buckets for how many things: commands in a batch (at most 256), rows of a page (at most 500).
pub const COUNT_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Buckets for sizes in bytes: 64 B to 16 MiB, each four times the one before.
pub const BYTES_BUCKETS: [f64; 10] =
    [64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// What the text of [`Meters::render`] is, for the header of an answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The meters of this process; cheap to clone, all clones write on one page.
///
/// A meter is named once, and those of several services differ in the label `service`:
/// `meters.labelled("service", "orders").counter("orders_placed", …)` is written as
/// `banyan_orders_placed_total{service="orders"}`. Asked for again, it is the same meter. Keep it
/// rather than ask for it each time.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    page: Arc<Mutex<Page>>,
    labels: Labels,
}

type Labels = Vec<(String, String)>;
type Histograms = Family<Labels, Histogram, Buckets>;

#[derive(Debug)]
struct Page {
    /// What keeps to names that others have chosen.
    of_process: Registry,
    of_banyan: Registry,
    families: BTreeMap<String, Meter>,
}

/// A gauge of a time in seconds.
pub type SecondsGauge = Gauge<f64, AtomicU64>;

/// The meters of one name, which differ in their labels.
#[derive(Clone, Debug)]
enum Meter {
    Counters(Family<Labels, Counter>),
    Gauges(Family<Labels, Gauge>),
    SecondsGauges(Family<Labels, SecondsGauge>),
    Histograms(Histograms),
}

#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

impl prometheus_client::metrics::family::MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl Default for Page {
    fn default() -> Self {
        let mut of_process = Registry::default();
        of_process.register_collector(Box::new(Process));
        Self { of_process, of_banyan: Registry::with_prefix("banyan"), families: BTreeMap::new() }
    }
}

impl Meters {
    /// A page with nothing on it but what the process takes of the machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same page, where every meter that is asked for from here on bears one more label.
    #[must_use]
    pub fn labelled(&self, name: &str, value: &str) -> Self {
        let mut labels = self.labels.clone();
        labels.retain(|(other, _)| other != name);
        labels.push((name.to_owned(), value.to_owned()));
        labels.sort_unstable();
        Self { page: Arc::clone(&self.page), labels }
    }

    /// A counter of what has happened; it is written with `_total` after its name.
    ///
    /// # Panics
    /// When the name stands for another kind of meter.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        match self.meter(name, help, || Meter::Counters(Family::default())) {
            Meter::Counters(family) => family.get_or_create_owned(&self.labels),
            other => panic!("{name} is no counter: {other:?}"),
        }
    }

    /// A gauge of how much there is now.
    ///
    /// # Panics
    /// When the name stands for another kind of meter.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        match self.meter(name, help, || Meter::Gauges(Family::default())) {
            Meter::Gauges(family) => family.get_or_create_owned(&self.labels),
            other => panic!("{name} is no gauge: {other:?}"),
        }
    }

    /// A gauge of how long something lasts by now, in seconds; its name ends in `_seconds`.
    ///
    /// # Panics
    /// When the name stands for another kind of meter.
    pub fn seconds_gauge(&self, name: &str, help: &str) -> SecondsGauge {
        match self.meter(name, help, || Meter::SecondsGauges(Family::default())) {
            Meter::SecondsGauges(family) => family.get_or_create_owned(&self.labels),
            other => panic!("{name} is no gauge of seconds: {other:?}"),
        }
    }

    /// A histogram of times in seconds ([`SECONDS_BUCKETS`]); its name ends in `_seconds`.
    ///
    /// # Panics
    /// When the name stands for another kind of meter.
    pub fn seconds(&self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, &SECONDS_BUCKETS)
    }

    /// A histogram of how many things ([`COUNT_BUCKETS`]).
    ///
    /// # Panics
    /// When the name stands for another kind of meter.
    pub fn counts(&self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, &COUNT_BUCKETS)
    }

    /// A histogram of sizes in bytes ([`BYTES_BUCKETS`]); its name ends in `_bytes`.
    ///
    /// # Panics
    /// When the name stands for another kind of meter.
    pub fn bytes(&self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, &BYTES_BUCKETS)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &'static [f64]) -> Histogram {
        match self.meter(name, help, || Meter::Histograms(Family::new_with_constructor(Buckets(buckets)))) {
            Meter::Histograms(family) => family.get_or_create_owned(&self.labels),
            other => panic!("{name} is no histogram: {other:?}"),
        }
    }

    /// Registers what the methods above do not know, such as a collector, under a prefix of `banyan_`.
    pub fn register(&self, registering: impl FnOnce(&mut Registry)) {
        registering(&mut self.page().of_banyan);
    }

    /// Shows how much room there is on the disk under the folder of the data.
    pub fn watch_disk(&self, folder: PathBuf) {
        self.page().of_banyan.register_collector(Box::new(Disk(folder)));
    }

    /// Writes the page in the text format of `OpenMetrics`, which Prometheus reads.
    ///
    /// # Panics
    /// When a collector that was registered fails.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let page = self.page();
        let written = encode_registry(&mut text, &page.of_process)
            .and_then(|()| encode_registry(&mut text, &page.of_banyan))
            .and_then(|()| encode_eof(&mut text));
        written.expect("a text takes more text");
        text
    }

    fn meter(&self, name: &str, help: &str, make: impl FnOnce() -> Meter) -> Meter {
        let mut page = self.page();
        if let Some(meter) = page.families.get(name) {
            return meter.clone();
        }
        let meter = make();
        match meter.clone() {
            Meter::Counters(family) => page.of_banyan.register(name, help, family),
            Meter::Gauges(family) => page.of_banyan.register(name, help, family),
            Meter::SecondsGauges(family) => page.of_banyan.register(name, help, family),
            Meter::Histograms(family) => page.of_banyan.register(name, help, family),
        }
        page.families.insert(name.to_owned(), meter.clone());
        meter
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;

    use super::{BYTES_BUCKETS, COUNT_BUCKETS, Meters, SECONDS_BUCKETS};
    use crate::Stopwatch;

    #[test]
    fn services_share_a_name_and_differ_in_a_label() {
        let meters = Meters::new();
        for (service, times) in [("orders", 2), ("inventory", 3)] {
            let meters = meters.labelled("service", service);
            meters.counter("commands", "Commands performed").inc_by(times);
        }
        let page = meters.render();
        assert!(page.contains("banyan_commands_total{service=\"orders\"} 2\n"), "{page}");
        assert!(page.contains("banyan_commands_total{service=\"inventory\"} 3\n"), "{page}");
        assert_eq!(page.matches("# TYPE banyan_commands counter").count(), 1, "a name is described once: {page}");
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_meter_that_is_asked_for_again_is_the_same() {
        let meters = Meters::new().labelled("service", "orders").labelled("kind", "a");
        meters.gauge("waiting", "Commands that wait").set(7);
        let other_way_round = Meters { labels: Vec::new(), ..meters }.labelled("kind", "b");
        let again = other_way_round.labelled("kind", "a").labelled("service", "orders");
        assert_eq!(again.gauge("waiting", "Commands that wait").get(), 7);
    }

    #[test]
    fn times_and_sizes_fall_into_buckets() {
        let meters = Meters::new();
        let seconds = meters.seconds("commit_seconds", "Time of a commit");
        seconds.observe(0.000_06);
        Stopwatch::start().record(&meters.seconds("page_seconds", "Time of a page"));
        meters.counts("batch_commands", "Commands in a batch").observe(256.0);
        meters.bytes("body_bytes", "Size of a body").observe(65.0);
        meters.seconds_gauge("age_seconds", "Age of a page").set(0.25);
        let page = meters.render();
        for line in [
            "banyan_commit_seconds_bucket{le=\"0.00005\"} 0",
            "banyan_commit_seconds_bucket{le=\"0.0001\"} 1",
            "banyan_page_seconds_count{} 1",
            "banyan_batch_commands_bucket{le=\"128.0\"} 0",
            "banyan_batch_commands_bucket{le=\"256.0\"} 1",
            "banyan_body_bytes_bucket{le=\"256.0\"} 1",
            "banyan_age_seconds{} 0.25",
        ] {
            assert!(page.contains(line), "{line} is missing: {page}");
        }
    }

    #[test]
    fn buckets_grow() {
        for buckets in [&SECONDS_BUCKETS[..], &COUNT_BUCKETS, &BYTES_BUCKETS] {
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{buckets:?}");
        }
    }

    #[test]
    fn the_page_tells_what_the_process_takes() {
        let page = Meters::new().render();
        for line in ["\nprocess_resident_memory_bytes ", "\nprocess_open_fds ", "\nprocess_cpu_seconds_total "] {
            assert!(page.contains(line), "{line} is missing: {page}");
        }
    }

    #[test]
    fn the_page_tells_how_much_room_there_is() {
        let meters = Meters::new();
        meters.watch_disk("/".into());
        let page = meters.render();
        for line in ["\nbanyan_data_folder_free_bytes ", "\nbanyan_data_folder_size_bytes "] {
            assert!(page.contains(line), "{line} is missing: {page}");
        }
    }

    #[test]
    fn a_meter_of_ones_own_can_be_registered() {
        let (meters, own) = (Meters::new(), Gauge::<i64>::default());
        own.set(5);
        meters.register(|registry| registry.register("own", "My own", own.clone()));
        assert!(meters.render().contains("\nbanyan_own 5\n"));
    }

    #[test]
    #[should_panic(expected = "waiting is no counter")]
    fn a_name_stands_for_one_kind() {
        let meters = Meters::new();
        meters.gauge("waiting", "Commands that wait");
        meters.counter("waiting", "Commands that wait");
    }
}

//! What the operating system knows of this process: memory, files, processor time.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// What this process takes of the machine, read when it is asked for; nothing where there is no `/proc`.
///
/// The names are those that client libraries agree on, so that common dashboards find them.
/// Source: <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.
#[derive(Debug)]
pub(crate) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory size in bytes";
            let metric = encoder.encode_descriptor("process_resident_memory_bytes", help, None, MetricType::Gauge)?;
            ConstGauge::new(bytes).encode(metric)?;
        }
        if let Some(count) = open_files() {
            let help = "Number of open file descriptors";
            let metric = encoder.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?;
            ConstGauge::new(count).encode(metric)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let help = "Total user and system CPU time spent in seconds";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        Ok(())
    }
}

/// Resident memory; from `status`, for `statm` counts pages and does not say how large they are.
fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn open_files() -> Option<i64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder that is being counted.
    i64::try_from(count).ok().map(|count| count - 1)
}

/// Time on processors in user and kernel, which Linux counts for programs in hundredths of a second.
/// Source: proc(5), fields 14 and 15 of `stat`; the name before them may hold spaces.
fn cpu_seconds() -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::hint::black_box;

    use super::{cpu_seconds, open_files, resident_bytes};
    use crate::Stopwatch;

    #[test]
    fn memory_that_is_written_to_is_counted() {
        let before = resident_bytes().unwrap();
        let block = black_box(vec![1_u8; 64 << 20]);
        let grown = resident_bytes().unwrap() - before;
        assert!((32 << 20..256 << 20).contains(&grown), "{grown}");
        drop(block);
    }

    #[test]
    fn open_files_are_counted() {
        let before = open_files().unwrap();
        let files: Vec<_> = (0..50).map(|_| File::open("/proc/self/stat").unwrap()).collect();
        let more = open_files().unwrap() - before;
        assert!((40..500).contains(&more), "{more}");
        drop(files);
    }

    #[test]
    fn work_takes_processor_time() {
        let (before, stopwatch) = (cpu_seconds().unwrap(), Stopwatch::start());
        while stopwatch.elapsed().as_millis() < 300 {
            black_box(0);
        }
        let spent = cpu_seconds().unwrap() - before;
        assert!((0.05..30.0).contains(&spent), "{spent}");
    }
}

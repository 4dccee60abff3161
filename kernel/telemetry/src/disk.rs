//! How much room there is on the disk under a folder.

use std::fmt;
use std::path::PathBuf;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// The file system of the data folder, looked at when it is asked for; nothing where it does not say.
#[derive(Debug)]
pub(crate) struct Disk(pub(crate) PathBuf);

impl Collector for Disk {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(system) = rustix::fs::statvfs(&self.0) else { return Ok(()) };
        let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(system.f_frsize)).unwrap_or(i64::MAX);
        let help = "Bytes that this program can still write to the disk under its data folder";
        let metric = encoder.encode_descriptor("data_folder_free_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(bytes(system.f_bavail)).encode(metric)?;
        let help = "Bytes of the disk under the data folder";
        let metric = encoder.encode_descriptor("data_folder_size_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(bytes(system.f_blocks)).encode(metric)
    }
}

//! The limit of everything durable: appending a block to a file and waiting for the disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use telemetry::Stopwatch;

use super::spread::Spread;
use crate::stop::Stop;

/// What a bare append of 4 KiB with `fdatasync` does on this disk, now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Append {
    pub(super) per_sec: f64,
    pub(super) p50_ms: f64,
}

/// How long it is measured.
const FOR: Duration = Duration::from_millis(1_500);

/// Measures it in a folder.
pub(super) fn measure(folder: &Path) -> Result<Append, Stop> {
    let path = folder.join("append.probe");
    let failed = |error: std::io::Error| Stop::Failed(format!("{}: {error}", path.display()));
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    let block = [7_u8; 4096];
    let mut spread = Spread::default();
    let all = Stopwatch::start();
    while all.elapsed() < FOR {
        let one = Stopwatch::start();
        file.write_all(&block).and_then(|()| file.sync_data()).map_err(failed)?;
        spread.add(one.elapsed());
    }
    let took = all.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(&path).map_err(failed)?;
    #[expect(clippy::cast_precision_loss, reason = "some thousand appends")]
    let per_sec = spread.count() as f64 / took;
    Ok(Append { per_sec, p50_ms: spread.percentile_ms(0.5) })
}

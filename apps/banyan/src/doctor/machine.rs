//! The machine: clock, open files, data folder, disk and address.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process;
use std::thread::sleep;
use std::time::Duration;

use db::{Context, Trace};
use rustix::process::{Resource, getrlimit};
use serde_json::Value;
use settings::Settings;
use telemetry::Stopwatch;
use tokio::runtime::Builder;
use web::{Client, NoAnswer};
use world::World;

use super::Check;
use crate::folder::{self, Owner};
use crate::run::{self, Checked, Plan};
use crate::services;

const MIB: u64 = 1024 * 1024;
/// Below this much free space the program is near its end.
const LITTLE_SPACE: u64 = 1024 * MIB;
/// Below this much it should not be started.
const NO_SPACE: u64 = 100 * MIB;
/// No disk that waits for itself is faster.
const TOO_FAST: Duration = Duration::from_micros(20);
/// With a slower disk a whole checkout takes a tenth of a second and more.
const TOO_SLOW: Duration = Duration::from_millis(10);
/// How often the disk is timed, if that does not take too long.
const TIMINGS: usize = 300;
/// After this long the timings that there are must do.
const TIMING_AT_MOST: Duration = Duration::from_secs(3);
/// Open files beside the connections: databases, logs, what the system itself needs.
const FILES_BESIDE: u64 = 256;

/// Whether the clock shows a year that can be, and runs as time does.
pub(super) fn clock() -> Check {
    let world = World::real();
    let (begun, watch) = (world.now(), Stopwatch::start());
    let (mut newest, mut back) = (begun, Duration::ZERO);
    while watch.elapsed() < Duration::from_millis(100) {
        let now = world.now();
        back = back.max(newest.since(now));
        newest = newest.max(now);
        sleep(Duration::from_millis(1));
    }
    judge_clock(&begun.to_string(), back)
}

fn judge_clock(shown: &str, back: Duration) -> Check {
    let year: u32 = shown.get(..4).and_then(|year| year.parse().ok()).unwrap_or_default();
    if !(2025..2100).contains(&year) {
        let found = format!("the clock shows {shown}");
        return Check::bad("clock", found, "set it, best by NTP, before anything is stored under wrong times");
    }
    if back > Duration::ZERO {
        let found = format!("the clock jumped back by {back:?} within a tenth of a second");
        return Check::warn("clock", found, "let NTP slew it and not step it while the program runs");
    }
    Check::ok("clock", format!("{shown}, and it runs forward"))
}

/// Whether as many connections as are allowed can be open.
pub(super) fn open_files(settings: &Settings, connections: usize) -> Check {
    judge_open_files(getrlimit(Resource::Nofile).current, connections as u64, &settings.shown("http.connections"))
}

fn judge_open_files(limit: Option<u64>, connections: u64, said: &str) -> Check {
    let needed = connections.saturating_add(FILES_BESIDE);
    match limit {
        Some(limit) if limit < needed => Check::warn(
            "open files",
            format!("this process may have {limit} open, and {said} may need {needed}"),
            format!("raise it (ulimit -n {needed}, LimitNOFILE={needed} in systemd), or lower http.connections"),
        ),
        Some(limit) => Check::ok("open files", format!("{limit} may be open, {needed} are needed at most")),
        None => Check::ok("open files", "as many as there are may be open"),
    }
}

/// The data folder, its file system and its disk.
pub(super) fn folder(settings: &Settings, data: &Path) -> Vec<Check> {
    let said = settings.shown("data");
    let choose = "name a folder that this user may write to with --data";
    let place = match existing(data) {
        Ok(place) => place,
        Err(cause) => {
            return vec![Check::bad("data folder", format!("{said} cannot be looked at: {cause}"), choose)];
        }
    };
    let shown = place.display();
    let mut checks = Vec::new();
    let timed = match time_the_disk(&place) {
        Ok(timed) => timed,
        Err(cause) => {
            return vec![Check::bad(
                "data folder",
                format!("{said}: nothing can be written to {shown}: {cause}"),
                choose,
            )];
        }
    };
    checks.push(if place.as_path() == data {
        Check::ok("data folder", format!("{} can be written; {}", shown, owners(data)))
    } else {
        Check::ok("data folder", format!("{} is not there yet and can be made", data.display()))
    });
    checks.push(match rustix::fs::statvfs(&place) {
        Ok(system) => judge_space(system.f_bavail.saturating_mul(system.f_frsize), &shown.to_string()),
        Err(cause) => Check::warn("disk space", format!("it cannot be asked for: {cause}"), "look with df"),
    });
    checks.push(judge_disk(timed));
    checks
}

/// The folder, or the nearest one above that is there already.
fn existing(data: &Path) -> io::Result<PathBuf> {
    for folder in data.ancestors() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => return Ok(folder.to_owned()),
            Ok(_) => return Err(io::Error::other(format!("{} is no folder", folder.display()))),
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(cause) => return Err(cause),
        }
    }
    Err(ErrorKind::NotFound.into())
}

/// Which processes run on the folder.
fn owners(data: &Path) -> String {
    let mut owners: Vec<_> = services::ALL
        .iter()
        .filter_map(|known| Some(format!("{} runs {}", owner(data, known.name)?, known.name)))
        .collect();
    owners.dedup();
    if owners.is_empty() { "no program runs on it".to_owned() } else { owners.join(", ") }
}

/// The process that runs a service on the folder, if one does.
pub(super) fn owner(data: &Path, service: &str) -> Option<String> {
    folder::at_work(data).ok()?.get(service).map(Owner::shown)
}

fn judge_space(free: u64, shown: &str) -> Check {
    let found = format!("{} MiB are free in {shown}", free / MIB);
    let advice = "make room, or choose a folder on another disk; on a full disk nothing can be ordered";
    match free {
        ..NO_SPACE => Check::bad("disk space", found, advice),
        NO_SPACE..LITTLE_SPACE => Check::warn("disk space", found, advice),
        LITTLE_SPACE.. => Check::ok("disk space", found),
    }
}

/// A file that is taken away when it has served.
struct Probe(PathBuf);

impl Drop for Probe {
    fn drop(&mut self) {
        // Who cannot take it away could hardly write it.
        let _ = fs::remove_file(&self.0);
    }
}

/// How long it takes half the time, at most, until 4 KiB more are on the disk.
fn time_the_disk(folder: &Path) -> io::Result<Duration> {
    let probe = Probe(folder.join(format!(".doctor-{}", process::id())));
    let mut file = File::options().append(true).create_new(true).open(&probe.0)?;
    let block = [0xB5; 4096];
    let watch = Stopwatch::start();
    let mut took = Vec::with_capacity(TIMINGS);
    while took.len() < TIMINGS && watch.elapsed() < TIMING_AT_MOST {
        let one = Stopwatch::start();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(one.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

fn judge_disk(median: Duration) -> Check {
    let found = format!("4 KiB are appended and on the disk in {} µs (median)", median.as_micros());
    if median < TOO_FAST {
        let advice = "no disk is so fast: the folder lies in memory (tmpfs), or the disk or its mount does not wait; \
                      what was confirmed would not survive a power cut, so choose a folder on a disk";
        return Check::warn("disk", found, advice);
    }
    if median > TOO_SLOW {
        let advice = "each order waits for the disk several times; choose a faster one, such as an SSD with power-loss protection";
        return Check::warn("disk", found, advice);
    }
    Check::ok("disk", found)
}

/// Whether the address is free, or who answers on it.
pub(super) fn port(plan: &Plan, checked: &Checked) -> Check {
    let (address, said) = (checked.address, plan.settings.shown("listen"));
    let url = run::url_of(address, checked.pair.is_some());
    match TcpListener::bind(address) {
        Ok(_) => Check::ok("address", format!("{address} is free")),
        Err(cause) if cause.kind() == ErrorKind::AddrInUse => match asked(plan, &url) {
            Answer::Ready => Check::ok("address", format!("a Banyan is running on {address} and ready")),
            Answer::NotReady => Check::warn(
                "address",
                format!("a Banyan is running on {address} and not ready"),
                format!("{url}/health/ready says what it lacks"),
            ),
            Answer::Unknown(cause) => Check::warn(
                "address",
                format!("a program that speaks TLS listens on {address}; whether it is a Banyan is not known: {cause}"),
                "ask it by a name of its certificate, as with `curl` on /health/ready",
            ),
            Answer::None => Check::bad(
                "address",
                format!("another program listens on {address} ({said})"),
                format!(
                    "end it (`ss -ltnp sport = :{}` names it), or choose another address with --listen",
                    address.port()
                ),
            ),
        },
        Err(cause) => Check::bad(
            "address",
            format!("nobody may listen on {address} ({said}): {cause}"),
            "choose another with --listen; ports below 1024 are the system's",
        ),
    }
}

/// Who answers at the address.
enum Answer {
    Ready,
    NotReady,
    /// Somebody whose certificate is for another name, or is not trusted here.
    Unknown(String),
    None,
}

fn asked(plan: &Plan, url: &str) -> Answer {
    let trust = plan.program.trust(&plan.settings).unwrap_or_default();
    let Ok(client) = Client::trusting(url, &trust) else { return Answer::None };
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return Answer::None };
    let by = Context::system("doctor", Trace::begin(&mut World::real().chance("doctor")));
    let answer = runtime.block_on(client.get_json::<Value>("/health/ready", &by, Duration::from_secs(3)));
    match answer {
        Ok(health) if health.get("services").is_some() => Answer::Ready,
        Err(NoAnswer::Refused(refusal)) if refusal.code == "not-ready" => Answer::NotReady,
        Err(NoAnswer::NotTrusted(cause)) => Answer::Unknown(cause),
        _ => Answer::None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LITTLE_SPACE, NO_SPACE, existing, judge_clock, judge_disk, judge_open_files, judge_space};
    use crate::doctor::Grade;

    #[test]
    fn a_disk_that_does_not_wait_and_one_that_waits_long_are_told() {
        let grade = |micros| judge_disk(Duration::from_micros(micros)).grade;
        assert_eq!([19, 20, 10_000, 10_001].map(grade), [Grade::Warn, Grade::Ok, Grade::Ok, Grade::Warn]);
    }

    #[test]
    fn little_space_is_told_before_there_is_none() {
        let grade = |free| judge_space(free, "here").grade;
        let free = [NO_SPACE - 1, NO_SPACE, LITTLE_SPACE - 1, LITTLE_SPACE];
        assert_eq!(free.map(grade), [Grade::Bad, Grade::Warn, Grade::Warn, Grade::Ok]);
    }

    #[test]
    fn a_clock_of_another_age_is_bad_and_one_that_jumps_is_told() {
        let grade = |shown, back| judge_clock(shown, Duration::from_millis(back)).grade;
        assert_eq!(grade("1970-01-01T00:00:09Z", 0), Grade::Bad);
        assert_eq!(grade("2026-01-01T00:00:09Z", 0), Grade::Ok);
        assert_eq!(grade("2026-01-01T00:00:09Z", 1), Grade::Warn);
    }

    #[test]
    fn more_connections_than_files_are_told() {
        let grade = |limit| judge_open_files(limit, 1_000, "it").grade;
        assert_eq!([Some(1_255), Some(1_256), None].map(grade), [Grade::Warn, Grade::Ok, Grade::Ok]);
    }

    #[test]
    fn a_folder_to_be_made_is_looked_at_where_it_would_be() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(existing(&folder.path().join("a/b")).expect("it is there"), folder.path());
        std::fs::write(folder.path().join("a"), "").expect("a file");
        assert!(existing(&folder.path().join("a/b")).is_err(), "below a file no folder can be made");
    }
}

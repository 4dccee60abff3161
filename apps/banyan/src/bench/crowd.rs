//! Many who listen to events at once, and how soon they hear of each.
//!
//! They share the machine with the server, so they are lean: what comes is searched for the moment
//! at which the event was recorded, and forgotten.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use memchr::memmem;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use world::World;

use crate::stop::Stop;

/// How soon events were heard of, counted in tenths of a millisecond.
#[derive(Debug)]
pub(super) struct Heard {
    tenths: Vec<AtomicU32>,
    count: AtomicUsize,
    gone: AtomicUsize,
    mark: memmem::Finder<'static>,
    world: World,
}

/// What takes longer counts as this; all that is compared lies within a minute.
const LONGEST_TENTHS: usize = 100_000;
/// What stands before the moment at which an event was recorded.
pub(super) const RECORDED_AT: &[u8] = b"\"recorded_at\":\"";
/// Such as `2026-01-31T12:00:00.104211Z`.
const MOMENT_BYTES: usize = 27;
const MICROS_PER_MINUTE: i64 = 60_000_000;

impl Heard {
    /// Nothing yet. What will be heard has this before the moment at which it happened.
    pub(super) fn nothing(mark: &'static [u8]) -> Arc<Self> {
        let tenths = (0..=LONGEST_TENTHS).map(|_| AtomicU32::new(0)).collect();
        let (count, gone, mark) = (AtomicUsize::new(0), AtomicUsize::new(0), memmem::Finder::new(mark));
        Arc::new(Self { tenths, count, gone, mark, world: World::real() })
    }

    /// How many events were heard, each by how many heard it.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many were cut off.
    pub(super) fn gone(&self) -> usize {
        self.gone.load(Ordering::Relaxed)
    }

    /// The time within which this part of all was heard of, in milliseconds.
    pub(super) fn percentile_ms(&self, part: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place among some millions"
        )]
        let wanted = (self.count() as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (tenths, count) in (0_u32..).zip(&self.tenths) {
            seen += u64::from(count.load(Ordering::Relaxed));
            if seen >= wanted.max(1) {
                return f64::from(tenths) / 10.0;
            }
        }
        f64::NAN
    }

    /// Forgets what was heard so far.
    pub(super) fn begin(&self) {
        self.tenths.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.count.store(0, Ordering::Relaxed);
    }

    /// Counts the events in some bytes, and says where the last one's moment ends.
    pub(super) fn take(&self, bytes: &[u8]) -> usize {
        let now = self.world.now().micros().rem_euclid(MICROS_PER_MINUTE);
        let mut end = 0;
        while let Some(found) = self.mark.find(&bytes[end..]) {
            let begin = end + found + self.mark.needle().len();
            let Some(moment) = bytes.get(begin..begin + MOMENT_BYTES) else { break };
            end = begin + MOMENT_BYTES;
            let late = (now - micros_of_minute(moment)).rem_euclid(MICROS_PER_MINUTE);
            let tenths = usize::try_from(late / 100).unwrap_or(LONGEST_TENTHS).min(LONGEST_TENTHS);
            self.tenths[tenths].fetch_add(1, Ordering::Relaxed);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        end
    }
}

/// The microseconds of its minute that a moment is.
fn micros_of_minute(moment: &[u8]) -> i64 {
    let digits = moment[17..26].iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// Those who listen, until this is dropped.
#[derive(Debug)]
pub(super) struct Crowd(JoinSet<()>);

impl Crowd {
    /// Opens a connection for each of these requests, sends it, and waits for the first word of its answer.
    pub(super) async fn gather(
        address: SocketAddr,
        requests: impl IntoIterator<Item = String>,
        heard: &Arc<Heard>,
    ) -> Result<Self, Stop> {
        let open = |request: String| async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.readable().await?;
            Ok(stream)
        };
        let opened: io::Result<Vec<_>> = stream::iter(requests).map(open).buffer_unordered(64).try_collect().await;
        let opened = opened.map_err(|fault| Stop::Failed(format!("not all who are to listen can: {fault}")))?;
        let mut tasks = JoinSet::new();
        for stream in opened {
            tasks.spawn(listen(stream, heard.clone()));
        }
        Ok(Self(tasks))
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

async fn listen(stream: TcpStream, heard: Arc<Heard>) {
    const KEPT: usize = RECORDED_AT.len() + MOMENT_BYTES - 1;
    // What may be the beginning of a moment that has not wholly come.
    let (mut kept, mut length) = ([0; KEPT], 0);
    while stream.readable().await.is_ok() {
        let mut bytes = [0; 16 * 1024];
        bytes[..length].copy_from_slice(&kept[..length]);
        match stream.try_read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => {
                let all = &bytes[..length + read];
                let rest = &all[heard.take(all).max(all.len().saturating_sub(KEPT))..];
                length = rest.len();
                kept[..length].copy_from_slice(rest);
            }
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    heard.gone.fetch_add(1, Ordering::Relaxed);
}

/// Files that the server or the bench has open beside the listeners.
const OTHER_FILES: u64 = 500;

/// Raises the limit of open files as far as it goes, for this process and those that it starts; says
/// how many listeners it leaves room for.
pub(super) fn allow_open_files(listeners: usize) -> Result<usize, Stop> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = listeners as u64 + OTHER_FILES;
    if current != maximum {
        let wanted = Rlimit { current: maximum, maximum };
        setrlimit(Resource::Nofile, wanted)
            .map_err(|fault| Stop::Failed(format!("the limit of open files: {fault}")))?;
    }
    match maximum {
        Some(maximum) if maximum < needed => Err(Stop::Failed(format!(
            "{listeners} listeners need {needed} open files, and {maximum} are allowed here; raise that (ulimit -Hn {needed}), \
             or ask for fewer with --listeners"
        ))),
        maximum => {
            Ok(maximum.map_or(usize::MAX, |maximum| usize::try_from(maximum - OTHER_FILES).unwrap_or(usize::MAX)))
        }
    }
}

/// Pauses until as many events were heard as should be, but not for ever.
pub(super) async fn until_heard(heard: &Heard, wanted: usize) {
    for _ in 0..200 {
        if heard.count() >= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, MICROS_PER_MINUTE, RECORDED_AT, micros_of_minute};

    #[test]
    fn a_moment_is_read_as_the_microseconds_of_its_minute() {
        assert_eq!(micros_of_minute(b"2026-01-31T12:00:59.104211Z"), 59_104_211);
        assert!(micros_of_minute(b"2026-01-31T12:00:59.999999Z") < MICROS_PER_MINUTE);
    }

    #[test]
    fn what_was_heard_is_counted_by_how_late_it_came() {
        let heard = Heard::nothing(RECORDED_AT);
        let now = heard.world.now();
        let message = format!("data: {{\"recorded_at\":\"{now}\"}}\n\ndata: {{\"recorded_at\":\"");
        let end = heard.take(message.as_bytes());
        assert_eq!((heard.count(), &message[end..end + 3]), (1, "\"}\n"));
        assert!(heard.percentile_ms(0.99) < 1_000.0);
        heard.begin();
        assert_eq!(heard.count(), 0);
    }
}

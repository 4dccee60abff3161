//! Brings what was committed to the disk beside the thread that commits.
//!
//! `SQLite` waits for the disk inside of COMMIT with `synchronous=FULL`. With `NORMAL` a commit is
//! written and whole but not yet on the disk, and this module waits for that: the desk performs the
//! next batch meanwhile, and one wait serves all batches that were committed before it began.
//!
//! ```text
//! desk:     BEGIN … announce · COMMIT ─▶ hands over the answers ─▶ next batch …
//! flusher:                                 fdatasync(log) ─▶ answers, ring, work after the commit
//! readers:  a view that may hold what is not yet on the disk ─▶ its result waits for the same
//! ```
//!
//! **Invariant:** nobody learns of a commit (by an answer, an event or a read) before the log that
//! holds it has reached the disk.
//!
//! Why that is as safe as `FULL`: the log is a chain of checksums, so what survives a power cut is a
//! prefix of the commits; and checkpoints sync the log first in either mode.
//! Source: <https://www.sqlite.org/pragma.html#pragma_synchronous>.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::guarded::run_guarded;
use crate::meters::count_flush;
use crate::ring::lock;

/// What waits for the disk.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// A commit that was announced; later ones have greater tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Waits for the disk on behalf of everybody who learns of a commit.
pub(crate) struct Flusher {
    sync: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
    announced: AtomicU64,
    durable: AtomicU64,
    state: Mutex<State>,
    /// Wakes the flusher's own thread: there is something to do.
    to_do: Condvar,
    /// Wakes those who wait: the disk has confirmed something, and nobody is at work.
    flushed: Condvar,
}

#[derive(Default)]
struct State {
    /// What follows commits that have been written, in their order.
    waiting: Vec<Work>,
    /// The latest commit that has been written.
    written: u64,
    /// What readers have found, with the latest commit that they may have seen.
    read: Vec<(u64, Work)>,
    /// Whether somebody waits for the disk right now.
    at_work: bool,
    stopping: bool,
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flusher")
            .field("announced", &self.announced)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

impl Flusher {
    /// Flushes the log of a database file.
    pub(crate) fn of_log(database: &Path) -> Self {
        let log = Log { path: log_of(database), file: Mutex::new(None) };
        Self::new(move || log.sync())
    }

    fn new(sync: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self {
            sync: Box::new(sync),
            announced: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            state: Mutex::default(),
            to_do: Condvar::new(),
            flushed: Condvar::new(),
        }
    }

    /// Starts the thread that waits; it ends with the last owner of the handle that is returned.
    #[expect(clippy::disallowed_methods, reason = "the database's own threads are started here")]
    pub(crate) fn start(self) -> (Arc<Self>, StopOnDrop) {
        let flusher = Arc::new(self);
        let shared = flusher.clone();
        let thread = std::thread::spawn(move || shared.run());
        let stop = StopOnDrop { flusher: flusher.clone(), thread: Some(thread) };
        (flusher, stop)
    }

    /// Says that a commit is about to happen; called within its transaction, so that tickets follow
    /// the order of commits, and a reader that sees the commit also sees the ticket. Whatever comes
    /// of it, the ticket is handed to [`Flusher::then`] afterwards.
    pub(crate) fn announce(&self) -> Ticket {
        Ticket(self.announced.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Does this once the commit, which has been written, is on the disk: on this thread where nobody
    /// else waits for the disk and the caller has nothing better to do, else on the flusher's own.
    pub(crate) fn then(&self, ticket: Ticket, has_time: bool, work: Work) {
        let mut state = lock(&self.state);
        state.waiting.push(work);
        state.written = state.written.max(ticket.0);
        if state.at_work {
            return; // who is at work looks again
        }
        if has_time {
            self.flush_all(state);
        } else {
            drop(state);
            self.to_do.notify_one();
        }
    }

    /// Does this once all that a reader may have seen is on the disk; at once if it is.
    pub(crate) fn when_durable(&self, work: impl FnOnce() + Send + 'static) {
        let seen = self.announced.load(Ordering::SeqCst);
        if seen <= self.durable.load(Ordering::SeqCst) {
            return work();
        }
        let mut state = lock(&self.state);
        if seen <= self.durable.load(Ordering::SeqCst) {
            drop(state);
            return work();
        }
        state.read.push((seen, Box::new(work)));
    }

    /// Waits until the commit, which has been written, is on the disk, and no longer: what others have
    /// written meanwhile is not for this thread to wait for.
    pub(crate) fn wait(&self, ticket: Ticket) {
        let mut state = lock(&self.state);
        state.written = state.written.max(ticket.0);
        while self.durable.load(Ordering::SeqCst) < ticket.0 {
            state = if state.at_work {
                self.flushed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.flush(state)
            };
        }
        self.hand_over(&state);
    }

    fn run(&self) {
        loop {
            let state = lock(&self.state);
            let rests = |state: &mut State| state.at_work || (state.waiting.is_empty() && !state.stopping);
            let state = self.to_do.wait_while(state, rests).unwrap_or_else(PoisonError::into_inner);
            if state.waiting.is_empty() {
                return; // it is stopping, and all is done
            }
            self.flush_all(state);
        }
    }

    /// Flushes until nothing waits any more.
    fn flush_all<'s>(&'s self, mut state: MutexGuard<'s, State>) {
        while !state.waiting.is_empty() {
            state = self.flush(state);
        }
        self.hand_over(&state);
    }

    /// Flushes once, and does what waited for it.
    fn flush<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.at_work = true;
        let (work, written) = (std::mem::take(&mut state.waiting), state.written);
        drop(state);
        count_flush();
        if let Err(error) = (self.sync)() {
            abort(&error);
        }
        let mut state = lock(&self.state);
        self.durable.fetch_max(written, Ordering::SeqCst);
        let all = std::mem::take(&mut state.read).into_iter();
        let (found, later): (Vec<_>, Vec<_>) = all.partition(|(seen, _)| *seen <= written);
        state.read = later;
        drop(state);
        work.into_iter().chain(found.into_iter().map(|(_, work)| work)).for_each(run_guarded);
        let mut state = lock(&self.state);
        state.at_work = false;
        self.flushed.notify_all();
        state
    }

    /// Leaves what still waits to the flusher's own thread.
    fn hand_over(&self, state: &State) {
        if !state.at_work && (state.stopping || !state.waiting.is_empty()) {
            self.to_do.notify_one();
        }
    }
}

/// The log of a file, opened when it is first flushed: then it has been written.
struct Log {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Log {
    fn sync(&self) -> io::Result<()> {
        let mut file = lock(&self.file);
        match &*file {
            Some(file) => file.sync_data(),
            None => file.insert(File::open(&self.path)?).sync_data(),
        }
    }
}

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A failed write to the disk leaves a file of which nobody knows what it holds: better to stop and
/// to read it anew than to go on.
pub(crate) fn abort(error: &dyn fmt::Display) -> ! {
    tracing::error!(%error, "The disk failed during a commit; the program ends, start it again once the disk works");
    std::process::abort();
}

/// Ends the thread when the database is closed, after it has finished what waits.
#[derive(Debug)]
pub(crate) struct StopOnDrop {
    flusher: Arc<Flusher>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        lock(&self.flusher.state).stopping = true;
        self.flusher.to_do.notify_one();
        if let Some(thread) = self.thread.take()
            // What waited for the disk may have been the last owner of the database.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::thread::ScopedJoinHandle;
    use std::time::Duration;

    use super::{Flusher, StopOnDrop};
    use crate::ring::lock;

    /// A disk that confirms when the test says so, and tells when it is asked to.
    struct Disk {
        asked: Receiver<()>,
        confirm: Sender<()>,
    }

    impl Disk {
        fn new() -> (Self, Flusher) {
            let ((ask, asked), (confirm, confirmed)) = (channel(), channel());
            let (ask, confirmed) = (Mutex::new(ask), Mutex::new(confirmed));
            let flusher = Flusher::new(move || {
                lock(&ask).send(()).expect("the test is there");
                lock(&confirmed).recv().expect("the test is there");
                Ok(())
            });
            (Self { asked, confirm }, flusher)
        }

        fn is_asked(&self) {
            self.asked.recv_timeout(Duration::from_secs(10)).expect("the disk is asked to confirm");
        }

        fn confirms(&self) {
            self.confirm.send(()).expect("the flusher waits for the disk");
        }

        fn was_not_asked(&self) {
            assert!(self.asked.try_recv().is_err(), "nobody asks the disk");
        }
    }

    /// What was done, in its order.
    #[derive(Clone, Default)]
    struct Done(Arc<Mutex<Vec<&'static str>>>);

    impl Done {
        fn note(&self, what: &'static str) -> Box<dyn FnOnce() + Send> {
            let done = self.0.clone();
            Box::new(move || lock(&done).push(what))
        }

        fn is(&self, expected: &[&str]) {
            assert_eq!(*lock(&self.0), expected);
        }

        fn becomes(&self, expected: &[&str]) {
            let is_so = || *lock(&self.0) == expected;
            for _ in 0..1_000 {
                if is_so() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            self.is(expected);
        }
    }

    /// The handle is dropped last, when the disk is gone and nobody waits for it any more.
    fn started() -> (StopOnDrop, Disk, Arc<Flusher>, Done) {
        let (disk, flusher) = Disk::new();
        let (flusher, stop) = flusher.start();
        (stop, disk, flusher, Done::default())
    }

    #[test]
    fn nothing_follows_a_commit_before_the_disk_has_confirmed_it() {
        let (_stop, disk, flusher, done) = started();
        flusher.then(flusher.announce(), false, done.note("first"));
        disk.is_asked();
        done.is(&[]);
        // Written while the disk is at work on the first: whether that is in it nobody knows.
        flusher.then(flusher.announce(), false, done.note("second"));
        flusher.then(flusher.announce(), false, done.note("third"));
        disk.confirms();
        disk.is_asked();
        done.is(&["first"]);
        disk.confirms();
        done.becomes(&["first", "second", "third"]);
        disk.was_not_asked();
    }

    #[test]
    fn what_was_read_waits_for_the_commits_that_it_may_show() {
        let (_stop, disk, flusher, done) = started();
        flusher.when_durable(done.note("nothing was ever written"));
        done.is(&["nothing was ever written"]);

        let ticket = flusher.announce();
        flusher.when_durable(done.note("read"));
        disk.was_not_asked(); // it may not be written yet, and a flush now would prove nothing
        flusher.then(ticket, false, done.note("told"));
        disk.is_asked();
        let later = flusher.announce();
        flusher.when_durable(done.note("read later"));
        disk.confirms();
        done.becomes(&["nothing was ever written", "told", "read"]);
        flusher.then(later, false, done.note("told later"));
        disk.is_asked();
        disk.confirms();
        done.becomes(&["nothing was ever written", "told", "read", "told later", "read later"]);
        flusher.when_durable(done.note("at once"));
        assert_eq!(lock(&done.0).last(), Some(&"at once"));
    }

    #[test]
    fn who_has_time_waits_for_the_disk_itself_unless_somebody_does_already() {
        let times = Arc::new(AtomicU64::new(0));
        let counted = times.clone();
        let flusher = Flusher::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        // No thread was started, so all of it happens here.
        let done = Done::default();
        flusher.then(flusher.announce(), true, done.note("alone"));
        done.is(&["alone"]);
        let flusher = Arc::new(flusher);
        let (inner, noted) = (flusher.clone(), done.note("meanwhile"));
        let during = Box::new(move || inner.then(inner.announce(), true, noted));
        flusher.then(flusher.announce(), true, during);
        done.is(&["alone", "meanwhile"]);
        assert_eq!(times.load(Ordering::Relaxed), 3, "what comes meanwhile has a flush of its own");
    }

    #[test]
    fn waiting_ends_when_the_commit_is_on_the_disk_whoever_times_it() {
        let (_stop, disk, flusher, done) = started();
        flusher.then(flusher.announce(), false, done.note("first"));
        disk.is_asked();
        let second = flusher.announce();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                flusher.wait(second);
                flusher.durable.load(Ordering::SeqCst)
            });
            disk.confirms();
            disk.is_asked();
            assert!(!waits.is_finished());
            disk.confirms();
            assert_eq!(waits.join().expect("it ends"), second.0, "it ended too early");
        });
    }

    /// Whether it ends soon, while the disk is left as it is.
    fn ends<T>(thread: &ScopedJoinHandle<'_, T>) -> bool {
        (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            thread.is_finished()
        })
    }

    #[test]
    fn waiting_ends_although_there_is_always_more_for_the_disk() {
        let (_stop, disk, flusher, done) = started();
        flusher.then(flusher.announce(), false, done.note("first"));
        disk.is_asked();
        let second = flusher.announce();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| flusher.wait(second));
            let has_ended = (0..20).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                flusher.then(flusher.announce(), false, Box::new(|| {}));
                disk.confirms();
                disk.is_asked();
                waits.is_finished()
            });
            disk.confirms();
            assert!(has_ended, "it waits for what others have written");
        });
    }

    #[test]
    fn who_waits_for_the_disk_itself_leaves_the_rest_to_the_flusher() {
        let (_stop, disk, flusher, done) = started();
        let first = flusher.announce();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| flusher.wait(first));
            disk.is_asked();
            flusher.then(flusher.announce(), false, done.note("second"));
            disk.confirms();
            disk.is_asked();
            let has_ended = ends(&waits);
            disk.confirms();
            assert!(has_ended, "it flushes for others");
        });
        done.becomes(&["second"]);
    }

    #[test]
    fn what_waits_is_finished_before_the_thread_ends() {
        let (stop, disk, flusher, done) = started();
        flusher.then(flusher.announce(), false, done.note("first"));
        disk.is_asked();
        flusher.then(flusher.announce(), false, done.note("second"));
        disk.confirms();
        disk.confirms();
        drop(stop);
        done.is(&["first", "second"]);
    }
}

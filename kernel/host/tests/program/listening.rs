//! A service that listens, and fails as it is told to.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use db::{Bell, Database, Envelope, Kind, Perform, Position, open_desk};
use events::{Feed, FeedError, Listener, Listening, Partitions, Slice, Understood, Verdict};
use host::{Feeds, Ground, Service};
use telemetry::Meters;
use web::Routes;

/// What the service does with what it hears.
#[derive(Clone, Default)]
pub(crate) struct Mood {
    verdict: Arc<AtomicU8>,
    /// Events that it has dealt with.
    pub(crate) done: Arc<AtomicUsize>,
}

impl Mood {
    pub(crate) fn is_well(&self) {
        self.verdict.store(0, Ordering::Relaxed);
    }

    pub(crate) fn tries_again(&self) {
        self.verdict.store(1, Ordering::Relaxed);
    }

    pub(crate) fn gives_up(&self) {
        self.verdict.store(2, Ordering::Relaxed);
    }

    /// Holds on in the midst of what it does until it is told something else.
    pub(crate) fn stands_still(&self) {
        self.verdict.store(3, Ordering::Relaxed);
    }
}

const KIND: Kind<()> = Kind { key_of: |()| 0, weigh: |()| 1 };

const LISTENING: Listening<(), u8> = Listening {
    understand: |_| Understood::Command(()),
    judge: |verdict| match verdict {
        0 => Verdict::Done,
        1 => Verdict::Retry("not now".to_owned()),
        _ => Verdict::DeadLetter("not ever".to_owned()),
    },
};

/// A service that listens to `source`.
pub(crate) fn listening(
    database: &Database,
    source: &'static str,
    feed: impl Fn() -> Arc<dyn Feed> + Send + Sync + 'static,
    mood: &Mood,
    meters: &Meters,
) -> Service {
    let ground = Ground::metered(database.clone(), Feeds::default().with(source, feed), meters);
    let listener = Listener::to(ground.feeds.of(source), LISTENING);
    let status = listener.status();
    let Mood { verdict, done } = mood.clone();
    let perform: Perform<(), u8> = Arc::new(move |_, asked| {
        while verdict.load(Ordering::Relaxed) == 3 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let verdict = verdict.load(Ordering::Relaxed);
        if verdict == 0 {
            done.fetch_add(asked.len(), Ordering::Relaxed);
        }
        Ok(vec![verdict; asked.len()])
    });
    let opened = open_desk(database, &KIND, &perform, vec![Box::new(listener)], &ground.meters);
    let (desk, workers) = opened.expect("a desk");
    let mut service = Service::new(database, Routes::default(), &desk, workers);
    service.listens.push((source, status));
    service
}

/// A feed that can be told to be of another life.
pub(crate) struct Fickle {
    pub(crate) feed: Arc<dyn Feed>,
    pub(crate) life: Arc<Mutex<Option<ids::Number>>>,
}

impl Feed for Fickle {
    fn source(&self) -> &str {
        self.feed.source()
    }

    fn listen(&self, bell: &Arc<Bell>) {
        self.feed.listen(bell);
    }

    fn read(&self, partitions: Partitions, after: Position, most: usize) -> Result<Slice, FeedError> {
        let mut slice = self.feed.read(partitions, after, most)?;
        if let Some(life) = *self.life.lock().expect("no test panics in here") {
            let as_of = |event: &Arc<Envelope>| Arc::new(Envelope { incarnation: life, ..event.as_ref().clone() });
            slice.incarnation = life;
            slice.events = slice.events.iter().map(as_of).collect();
        }
        Ok(slice)
    }
}

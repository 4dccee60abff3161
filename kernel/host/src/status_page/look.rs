//! What is to be seen of the program at a moment, asked of all services at once.

use std::collections::BTreeMap;
use std::time::Duration;

use db::{Actor, Envelope, Failure, Position, Read};
use events::{DeadLetter, EventDocument, ParkedEvent, PutAside, SettledLetter, cause, put_aside};
use futures_util::future::{join, join_all};
use ids::Number;
use tokio::time::timeout;
use web::Caller;
use world::Moment;

use crate::board::{Board, Details, Part};
use crate::service::Overview;
use crate::trend::{Piece, Refusals};

/// How long a database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Dead letters, and parked events, that are shown of each service.
const MOST_ASIDE: i64 = 10;
/// Settled dead letters that are looked up of each service.
const MOST_SETTLED: i64 = 8;
/// Events that are shown, of all services together.
const MOST_EVENTS: usize = 20;

/// The program at a moment.
pub(super) struct Picture {
    pub(super) now: Moment,
    pub(super) since: Moment,
    /// Who looks at it.
    pub(super) viewer: Actor,
    /// The last minutes, in pieces of a few seconds.
    pub(super) pieces: Vec<Piece>,
    /// The problems of the last minutes.
    pub(super) refusals: Vec<Refusals>,
    pub(super) services: Vec<Service>,
    /// The latest events, newest first.
    pub(super) story: Vec<Told>,
}

/// One service.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) place: String,
    pub(super) incarnation: Number,
    pub(super) newest: Position,
    /// Commands that wait at its desk.
    pub(super) waiting: usize,
    pub(super) workers_running: usize,
    pub(super) workers: usize,
    pub(super) is_ready: bool,
    /// What its database says; none where it does not answer.
    pub(super) found: Option<Found>,
    pub(super) listens: Vec<Listens>,
    pub(super) overviews: Vec<(Overview, Option<Vec<Vec<String>>>)>,
}

/// How a service gets on with a feed.
pub(super) struct Listens {
    pub(super) source: &'static str,
    pub(super) lag: i64,
    pub(super) waits_since: Option<Moment>,
    pub(super) stopped: Option<String>,
}

/// What a service's database says.
pub(super) struct Found {
    pub(super) put_aside: BTreeMap<&'static str, PutAside>,
    pub(super) parked: Vec<ParkedEvent>,
    pub(super) letters: Vec<DeadLetter>,
    /// Those that people have settled, the latest first.
    pub(super) settled: Vec<SettledLetter>,
    events: Vec<Envelope>,
}

/// An event as it is told.
pub(super) struct Told {
    pub(super) at: Moment,
    pub(super) who: String,
    pub(super) service: String,
    pub(super) what: String,
    pub(super) about: String,
    pub(super) why: Option<String>,
    pub(super) details: String,
}

impl Picture {
    /// How many dead letters there are.
    pub(super) fn dead_letters(&self) -> i64 {
        self.put_aside(|put_aside| put_aside.dead_letters)
    }

    /// How many events are parked.
    pub(super) fn parked_events(&self) -> i64 {
        self.put_aside(|put_aside| put_aside.parked_events)
    }

    fn put_aside(&self, of: impl Fn(&PutAside) -> i64) -> i64 {
        let found = self.services.iter().filter_map(|service| service.found.as_ref());
        found.flat_map(|found| found.put_aside.values()).map(of).sum()
    }
}

/// Looks at everything; what does not answer in time is left out.
pub(super) async fn look(board: &Board, caller: &Caller) -> Picture {
    let mut services = join_all(board.parts.iter().map(service)).await;
    services.sort_by_key(|service| service.name);
    let story = story(&services, board.details);
    Picture {
        now: board.world.now(),
        since: board.since,
        viewer: caller.context.actor.clone(),
        pieces: board.trend.pieces(),
        refusals: board.trend.refusals(),
        services,
        story,
    }
}

async fn service(part: &Part) -> Service {
    let overviews = join_all(part.overviews.iter().map(|overview| async {
        let rows = timeout(PATIENCE, part.database.read(overview.rows)).await;
        (*overview, rows.ok().and_then(Result::ok))
    }));
    let sources: Vec<_> = part.listens.iter().map(|(source, _)| *source).collect();
    let found = part.database.read(move |read| find(read, &sources));
    let (found, overviews) = join(timeout(PATIENCE, found), overviews).await;
    let found = found.ok().and_then(Result::ok);
    let listens = part.listens.iter().map(|(source, status)| {
        let of_source = found.as_ref().and_then(|found| found.put_aside.get(*source));
        if found.is_some() {
            status.parked_since(of_source.and_then(|put_aside| put_aside.oldest_parked));
        }
        Listens { source, lag: status.lag(), waits_since: status.waits_since(), stopped: status.stopped() }
    });
    Service {
        name: part.name,
        place: part.database.place(),
        incarnation: part.database.incarnation(),
        newest: *part.database.ring().newest().borrow(),
        waiting: (part.waiting)(),
        workers_running: part.workers.running(),
        workers: part.workers.all,
        is_ready: part.is_ready(found.is_some()),
        listens: listens.collect(),
        overviews,
        found,
    }
}

fn find(read: &mut Read<'_>, sources: &[&'static str]) -> Result<Found, Failure> {
    let newest = read.newest_event()?;
    let most = i64::try_from(MOST_EVENTS).unwrap_or(i64::MAX);
    Ok(Found {
        put_aside: put_aside(read, sources)?,
        parked: events::parked_events(read, MOST_ASIDE)?,
        letters: events::dead_letters(read, MOST_ASIDE)?,
        settled: events::latest_settled_letters(read, MOST_SETTLED)?,
        events: read.events_after((newest - most).max(0), MOST_EVENTS)?,
    })
}

/// The latest events of all services, each with what caused it.
fn story(services: &[Service], details: Details) -> Vec<Told> {
    let found = services.iter().filter_map(|service| service.found.as_ref());
    let mut events: Vec<_> = found.flat_map(|found| &found.events).collect();
    events.sort_by_key(|event| std::cmp::Reverse((event.recorded_at, event.position)));
    let kinds: BTreeMap<String, String> = events.iter().map(|event| (event.id(), event.kind.to_string())).collect();
    let documents = events.into_iter().take(MOST_EVENTS).filter_map(|event| EventDocument::try_from(event).ok());
    documents
        .map(|event| Told {
            at: event.recorded_at,
            who: event.actor.strip_prefix("service:").unwrap_or(&event.actor).to_owned(),
            why: cause(&event, |id| kinds.get(id).cloned()),
            details: details(&event),
            service: event.source,
            what: event.r#type,
            about: event.subject,
        })
        .collect()
}

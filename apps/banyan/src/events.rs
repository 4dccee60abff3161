//! What happened, told by the running server.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write, stdout};
use std::time::Duration;

use ::events::EventDocument;
use db::{Context, Trace};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use tokio::runtime::Builder;
use web::{Client, NoAnswer};
use world::World;

use crate::stop::Stop;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may hold an answer until something happens.
const LONG_POLL: Duration = Duration::from_secs(30);

/// Tells the events of all services of a running server in the order of their time; then, when
/// they are followed, each as it happens.
pub(crate) fn tell(server: &str, subject: Option<&str>, follow: bool, json: bool) -> Result<(), Stop> {
    let client = Client::new(server).map_err(|fault| Stop::Usage(format!("--server {fault}")))?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Stop::failed)?;
    let json = json || !stdout().is_terminal();
    runtime.block_on(async {
        let asked =
            Asked { client, by: Context::system("events", Trace::begin(&mut World::real().chance("events"))), subject };
        let mut feeds = asked.feeds(server).await?;
        let told = match asked.past(&mut feeds, json).await {
            Ok(()) if follow => asked.future(feeds, json).await,
            told => told,
        };
        match told {
            // Whoever read the lines has read enough.
            Err(Fault::Output(fault)) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(Fault::Output(fault)) => Err(Stop::failed(fault)),
            Err(Fault::NoAnswer(fault)) => Err(Stop::Failed(format!("the server at {server} {fault}"))),
            Ok(()) => Ok(()),
        }
    })
}

enum Fault {
    Output(io::Error),
    NoAnswer(NoAnswer),
}

impl From<io::Error> for Fault {
    fn from(fault: io::Error) -> Self {
        Self::Output(fault)
    }
}

impl From<NoAnswer> for Fault {
    fn from(fault: NoAnswer) -> Self {
        Self::NoAnswer(fault)
    }
}

struct Asked<'a> {
    client: Client,
    by: Context,
    subject: Option<&'a str>,
}

/// How far a service's events were told.
struct Feed {
    service: String,
    after: Option<String>,
    waiting: VecDeque<EventDocument>,
    at_end: bool,
}

#[derive(Deserialize)]
struct Feeds {
    items: Vec<FeedDocument>,
}

#[derive(Deserialize)]
struct FeedDocument {
    service: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<EventDocument>,
    next: String,
}

impl Asked<'_> {
    async fn feeds(&self, server: &str) -> Result<Vec<Feed>, Stop> {
        let feeds = self.client.get_json::<Feeds>("/v1/events", &self.by, PATIENCE).await;
        let feeds = feeds.map_err(|fault| {
            Stop::Failed(format!(
                "the server at {server} {fault}; start one with `banyan up`, or name it with --server"
            ))
        })?;
        let feed =
            |feed: FeedDocument| Feed { service: feed.service, after: None, waiting: VecDeque::new(), at_end: false };
        Ok(feeds.items.into_iter().map(feed).collect())
    }

    fn path(&self, service: &str, after: Option<&str>) -> String {
        let mut path = format!("{}?limit=500", web::path(["v1", "events", service]));
        if let Some(after) = after {
            path.push_str("&after=");
            path.push_str(after);
        }
        if let Some(subject) = self.subject {
            path.push_str("&subject=");
            // A path of one segment is that segment, percent-encoded, after a slash.
            path.push_str(web::path([subject]).trim_start_matches('/'));
        }
        path
    }

    /// Tells what has happened, of all services in the order of their time.
    async fn past(&self, feeds: &mut [Feed], json: bool) -> Result<(), Fault> {
        loop {
            for feed in feeds.iter_mut() {
                while feed.waiting.is_empty() && !feed.at_end {
                    let path = self.path(&feed.service, feed.after.as_deref());
                    let page: Page = self.client.get_json(&path, &self.by, PATIENCE).await?;
                    // Only a page that leads no further is the last one.
                    feed.at_end = feed.after.as_ref() == Some(&page.next);
                    feed.after = Some(page.next);
                    feed.waiting.extend(page.items);
                }
            }
            let oldest = feeds.iter_mut().filter(|feed| !feed.waiting.is_empty());
            let oldest = oldest.min_by_key(|feed| feed.waiting.front().map(|event| event.recorded_at));
            let Some(event) = oldest.and_then(|feed| feed.waiting.pop_front()) else { return Ok(()) };
            write(&event, json)?;
        }
    }

    /// Tells what happens, as it happens.
    async fn future(&self, feeds: Vec<Feed>, json: bool) -> Result<(), Fault> {
        let wait = |feed: Feed| async move {
            let path = self.path(&feed.service, feed.after.as_deref());
            let page: Result<Page, _> = self.client.get_json_waiting(&path, LONG_POLL, &self.by, PATIENCE).await;
            (feed, page)
        };
        let mut waiting: FuturesUnordered<_> = feeds.into_iter().map(wait).collect();
        while let Some((mut feed, page)) = waiting.next().await {
            let page = page?;
            for event in &page.items {
                write(event, json)?;
            }
            feed.after = Some(page.next);
            waiting.push(wait(feed));
        }
        Ok(())
    }
}

/// Writes an event: the document, or a line that a person reads.
fn write(event: &EventDocument, json: bool) -> io::Result<()> {
    let mut out = stdout().lock();
    if json {
        let document = serde_json::to_string(event).map_err(io::Error::other)?;
        return writeln!(out, "{document}").and_then(|()| out.flush());
    }
    let EventDocument { recorded_at, source, r#type, subject, data, .. } = event;
    let data: String = data.get().chars().take(160).collect();
    writeln!(out, "{recorded_at}  {source:<10} {type:<28} {subject:<24} {data}").and_then(|()| out.flush())
}

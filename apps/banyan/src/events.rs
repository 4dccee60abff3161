//! What happened, told by the running server: events in the order of their time, up to a time where
//! one is given, and how an order stood then.

mod story;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write, stdout};
use std::time::Duration;

use ::events::EventDocument;
use db::{Context, Trace};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use web::{Client, NoAnswer};
use world::{Moment, World};

use self::story::Story;
pub(crate) use self::story::details;
use crate::config;
use crate::stop::Stop;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may hold an answer until something happens.
const LONG_POLL: Duration = Duration::from_secs(30);

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) server: String,
    pub(crate) subject: Option<String>,
    pub(crate) at: Option<String>,
    /// The place in each feed at which it begins.
    pub(crate) after: Option<String>,
    pub(crate) follow: bool,
    pub(crate) json: bool,
}

/// Tells the events of all services of a running server in the order of their time; then, when
/// they are followed, each as it happens, or how the order stood at the time that was given.
pub(crate) fn tell(asked: &Asked) -> Result<(), Stop> {
    let world = World::real();
    let at = asked.at.as_deref().map(|at| moment(at, world.now())).transpose()?;
    let client = config::client(&asked.server)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Stop::failed)?;
    let teller = if asked.json || !stdout().is_terminal() { Teller::Json } else { Teller::Story(Story::on_terminal()) };
    runtime.block_on(async {
        let by = Context::system("events", Trace::begin(&mut world.chance("events")));
        let mut telling = Telling { client, by, subject: asked.subject.as_deref(), at, teller };
        let mut feeds = telling.feeds(&asked.server, asked.after.as_deref()).await?;
        let told = match telling.past(&mut feeds).await {
            Ok(_) if asked.follow => telling.future(feeds).await,
            Ok(is_an_order) => telling.state(is_an_order).await,
            Err(fault) => Err(fault),
        };
        match told {
            // Whoever read the lines has read enough.
            Err(Fault::Output(fault)) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(Fault::Output(fault)) => Err(Stop::failed(fault)),
            Err(Fault::NoAnswer(fault)) => Err(Stop::Failed(format!("the server at {} {fault}", asked.server))),
            Ok(()) => Ok(()),
        }
    })
}

/// Reads a time as it is written by hand. All are in UTC unless they say otherwise; a day stands for
/// its end, and a time of day for that of today.
fn moment(text: &str, now: Moment) -> Result<Moment, Stop> {
    let today = now.to_string();
    let today = today.split('T').next().unwrap_or_default();
    let whole = [text.to_owned(), format!("{text}Z"), format!("{text}T23:59:59.999999Z"), format!("{today}T{text}Z")];
    whole.iter().find_map(|text| text.parse().ok()).ok_or_else(|| {
        let expected = "expected something like 2026-01-31T12:00:00Z, 2026-01-31T12:00, 2026-01-31 or 12:00 (in UTC)";
        Stop::Usage(format!("--at {text} is no time; {expected}"))
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

/// How events are written.
enum Teller {
    /// A document on each line.
    Json,
    /// A line for a person each.
    Story(Story),
}

struct Telling<'a> {
    client: Client,
    by: Context,
    subject: Option<&'a str>,
    /// What happened later is not told.
    at: Option<Moment>,
    teller: Teller,
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

impl Telling<'_> {
    async fn feeds(&self, server: &str, after: Option<&str>) -> Result<Vec<Feed>, Stop> {
        let feeds = self.client.get_json::<Feeds>("/v1/events", &self.by, PATIENCE).await;
        let feeds = feeds.map_err(|fault| {
            let what_to_do = match &fault {
                NoAnswer::NotConnected(_) => "; start one with `banyan up`, or name it with --server",
                _ => "",
            };
            Stop::Failed(format!("the server at {server} {fault}{what_to_do}"))
        })?;
        let feed = |FeedDocument { service }| Feed {
            service,
            after: after.map(str::to_owned),
            waiting: VecDeque::new(),
            at_end: false,
        };
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

    /// Tells what has happened, of all services in the order of their time. True where an order of
    /// that name was among it.
    async fn past(&mut self, feeds: &mut [Feed]) -> Result<bool, Fault> {
        let mut is_an_order = false;
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
            let Some(event) = oldest.and_then(|feed| feed.waiting.pop_front()) else { return Ok(is_an_order) };
            if self.at.is_none_or(|at| event.occurred_at <= at) {
                is_an_order |= self.subject.is_some() && event.source == "orders";
                self.tell(&event)?;
            }
        }
    }

    /// Tells what happens, as it happens.
    async fn future(&mut self, feeds: Vec<Feed>) -> Result<(), Fault> {
        let wait = |telling: &Self, feed: Feed| {
            let path = telling.path(&feed.service, feed.after.as_deref());
            let (client, by) = (telling.client.clone(), telling.by.clone());
            async move {
                let page: Result<Page, _> = client.get_json_waiting(&path, LONG_POLL, &by, PATIENCE).await;
                (feed, page)
            }
        };
        let mut waiting: FuturesUnordered<_> = feeds.into_iter().map(|feed| wait(self, feed)).collect();
        while let Some((mut feed, page)) = waiting.next().await {
            let page = page?;
            for event in &page.items {
                self.tell(event)?;
            }
            feed.after = Some(page.next);
            waiting.push(wait(self, feed));
        }
        Ok(())
    }

    /// Tells how an order stood at the time that was asked for.
    async fn state(&self, is_an_order: bool) -> Result<(), Fault> {
        let (Some(at), Some(subject), true) = (self.at, self.subject, is_an_order) else { return Ok(()) };
        let path = format!("{}?at={at}", web::path(["v1", "orders", subject]));
        let order: Value = self.client.get_json(&path, &self.by, PATIENCE).await?;
        write(&match &self.teller {
            Teller::Json => json!({"at": at, "order": order}).to_string(),
            Teller::Story(story) => story.order(&order, at),
        })
    }

    /// Tells an event.
    fn tell(&mut self, event: &EventDocument) -> Result<(), Fault> {
        write(&match &mut self.teller {
            Teller::Json => serde_json::to_string(event).map_err(io::Error::other)?,
            Teller::Story(story) => story.lines(event),
        })
    }
}

fn write(lines: &str) -> Result<(), Fault> {
    let mut out = stdout().lock();
    Ok(writeln!(out, "{lines}").and_then(|()| out.flush())?)
}

#[cfg(test)]
mod tests {
    use world::Moment;

    use super::moment;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        let now = Moment::from_micros(1_767_225_600_000_000); // 2026-01-01
        for (text, meant) in [
            ("2026-01-31T12:00:00.000001Z", "2026-01-31T12:00:00.000001Z"),
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00.000000Z"),
            ("2026-01-31T12:00:00", "2026-01-31T12:00:00.000000Z"),
            ("2026-01-31 12:00", "2026-01-31T12:00:00.000000Z"),
            ("2026-01-31", "2026-01-31T23:59:59.999999Z"),
            ("12:00", "2026-01-01T12:00:00.000000Z"),
            ("12:00:00.104211", "2026-01-01T12:00:00.104211Z"),
        ] {
            assert_eq!(moment(text, now).expect("a time").to_string(), meant, "{text}");
        }
        for bad in ["", "yesterday", "2026-02-30", "25:00", "noon"] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
    }
}

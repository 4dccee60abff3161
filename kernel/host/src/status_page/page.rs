//! The page itself, from top to bottom: what needs somebody, how the last minutes went, the services, the
//! feeds between them, what was put aside, what services show of themselves, and what happened last.

use db::{Actor, Envelope};
use events::SettledLetter;
use maud::{Markup, html};

use super::chart::{Chart, Line, chart};
use super::letter;
use super::look::{Listens, Picture, Service, Told};
use super::table::table;
use super::words::{clock, count, counted, some, span};
use crate::service::Column::{Number, Text};
use crate::trend::{Piece, Refusals};

/// Settled dead letters that are shown.
const MOST_SETTLED: usize = 8;
/// Kinds of refusals that are shown.
const MOST_REFUSALS: usize = 8;

/// What the page is called, so that a tab tells how things are.
pub(super) fn title(picture: &Picture) -> String {
    match needs(picture).len() {
        0 => "All is well".to_owned(),
        1 => "1 thing needs somebody".to_owned(),
        many => format!("{many} things need somebody"),
    }
}

/// What stands on it.
pub(super) fn body(picture: &Picture, refresh: Option<u16>) -> Markup {
    html! {
        (head(picture, refresh))
        (charts(picture))
        (services(picture))
        (feeds(picture))
        (put_aside(picture))
        div.beside {
            (overviews(picture))
            (section("problems", "Problems of the last ten minutes", &refusals(picture)))
        }
        (story(picture))
    }
}

/// What needs somebody, each with the part of the page that tells more.
fn needs(picture: &Picture) -> Vec<(&'static str, String)> {
    let mut needs = Vec::new();
    for service in &picture.services {
        if service.found.is_none() {
            needs.push(("#services", format!("The database of {} does not answer", service.name)));
        }
        if service.workers_running < service.workers {
            needs.push(("#services", format!("A worker of {} has ended", service.name)));
        }
        for Listens { source, .. } in service.listens.iter().filter(|listens| listens.stopped.is_some()) {
            needs.push(("#feeds", format!("{} has stopped listening to {source}", service.name)));
        }
    }
    match picture.dead_letters() {
        0 => {}
        1 => needs.push(("#dead-letters", "1 dead letter waits".to_owned())),
        letters => needs.push(("#dead-letters", format!("{} dead letters wait", counted(letters)))),
    }
    needs
}

fn head(picture: &Picture, refresh: Option<u16>) -> Markup {
    let needs = needs(picture);
    let state = if needs.is_empty() { "good" } else { "bad" };
    html! {
        div.head {
            div {
                h1 { (mark(state)) " " (title(picture)) }
                p.soft {
                    (some(picture.services.len().try_into().unwrap_or(0), "service", "services"))
                    ", up for " (span(picture.now.since(picture.since)))
                    ". As of " (clock(picture.now, picture.now)) " UTC, seen by " (picture.viewer) ". "
                    @match refresh {
                        None => { a href="/?refresh=5" { "Refresh every 5 s" } }
                        Some(secs) => { "Refreshes every " (secs) " s. " a href="/" { "Stop refreshing" } }
                    }
                }
            }
            @if let Actor::Client(_) = &picture.viewer {
                form.out method="post" action="/sign-out" { button { "Sign out" } }
            }
        }
        @if !needs.is_empty() {
            ul.needs { @for (place, need) in &needs { li { a href=(place) { (need) } } } }
        }
    }
}

/// A sign that differs in its form too, and says nothing that the words beside it do not.
fn mark(state: &str) -> Markup {
    let path = match state {
        "good" => "M3.5 8.5l3 3 6-7",
        "busy" => "M8 3.5V9M8 12v.5",
        _ => "M4 4l8 8M12 4l-8 8",
    };
    html! { svg class={ "mark " (state) } viewBox="0 0 16 16" aria-hidden="true" { path d=(path) {} } }
}

fn state(state: &str, words: &str) -> Markup {
    html! { span class={ "state " (state) } { (mark(state)) (words) } }
}

fn section(id: &str, heading: &str, body: &Markup) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) tabindex="-1" { (heading) }
            (body)
        }
    }
}

fn services(picture: &Picture) -> Markup {
    let columns = [
        Text("Service"),
        Text("State"),
        Number("Events"),
        Number("Waiting"),
        Number("Workers"),
        Text("Database"),
        Text("Incarnation"),
    ];
    let row = |service: &Service| {
        let health = if service.is_ready {
            state("good", "works")
        } else if service.found.is_none() {
            state("bad", "its database does not answer")
        } else {
            state("bad", "cannot do its work")
        };
        vec![
            name(service.name),
            health,
            html! { (count(service.newest)) },
            html! { (count(service.waiting.try_into().unwrap_or(i64::MAX))) },
            html! { (service.workers_running) " of " (service.workers) },
            html! { (service.place) },
            html! { code { (service.incarnation) } },
        ]
    };
    let caption = "Events is the position of the newest one; waiting are commands that are not performed yet. The \
                   incarnation is another one after a database was restored.";
    let rows: Vec<_> = picture.services.iter().map(row).collect();
    section("services", "Services", &table(&html! { (caption) }, &columns, &rows))
}

fn feeds(picture: &Picture) -> Markup {
    let columns = [
        Text("Consumer"),
        Text("Listens to"),
        Text("State"),
        Number("Lag"),
        Number("Oldest waits"),
        Number("Parked"),
        Number("Dead letters"),
    ];
    let mut rows = Vec::new();
    for service in &picture.services {
        for listens in &service.listens {
            let aside = service.found.as_ref().and_then(|found| found.put_aside.get(listens.source));
            let aside = aside.copied().unwrap_or_default();
            let waits = listens.waits_since.map(|since| span(picture.now.since(since)));
            rows.push(vec![
                name(service.name),
                name(listens.source),
                match &listens.stopped {
                    None if aside.dead_letters > 0 => state("busy", "has given up on some"),
                    None if aside.parked_events > 0 => state("busy", "tries some again"),
                    None => state("good", "listens"),
                    Some(why) => html! { (state("bad", "has stopped")) " " small { (why) } },
                },
                html! { (count(listens.lag)) },
                html! { (waits.as_deref().unwrap_or("–")) },
                html! { (counted(aside.parked_events)) },
                html! { (counted(aside.dead_letters)) },
            ]);
        }
    }
    let body = if rows.is_empty() {
        nothing("No service here listens to another.")
    } else {
        let caption = "Lag is how many events of the other service are not dealt with.";
        table(&html! { (caption) }, &columns, &rows)
    };
    section("feeds", "Feeds", &body)
}

fn put_aside(picture: &Picture) -> Markup {
    html! {
        (section("dead-letters", "Dead letters", &dead_letters(picture)))
        @let settled = settled(picture);
        @if let Some(settled) = settled { (section("settled", "Settled by hand", &settled)) }
        (section("parked", "Parked events", &parked(picture)))
    }
}

fn dead_letters(picture: &Picture) -> Markup {
    let columns = [
        Text("Event"),
        Text("About"),
        Text("Consumer"),
        Number("Attempts"),
        Text("Given up"),
        Text("Cause"),
        Text("What to do"),
    ];
    let mut rows = Vec::new();
    for service in &picture.services {
        for letter in service.found.iter().flat_map(|found| &found.letters) {
            let path = letter::path(service.name, &letter.event);
            rows.push(vec![
                event(&letter.event),
                html! { (letter.event.subject) },
                name(service.name),
                html! { (count(letter.attempts)) },
                clock(letter.died_at, picture.now),
                html! { (letter.cause) },
                html! { span.ways {
                    @for (way, place) in [("Show", ""), ("Replay", "#replay"), ("Discard", "#discard")] {
                        (way_to(way, &path, place, &letter.event))
                    }
                } },
            ]);
        }
    }
    if rows.is_empty() {
        return nothing("There are none: every event was dealt with, or will be.");
    }
    let caption = "Events that a service could not deal with. Each waits until somebody replays or discards it.";
    html! {
        (table(&html! { (caption) }, &columns, &rows))
        (more(picture.dead_letters(), rows.len(), "/v1/dead-letters"))
    }
}

/// What people did with dead letters; none where they never did anything.
fn settled(picture: &Picture) -> Option<Markup> {
    let columns =
        [Text("When"), Text("Who"), Text("What"), Text("Event"), Text("About"), Text("Consumer"), Text("Why")];
    let found = picture.services.iter().filter_map(|service| Some((service.name, service.found.as_ref()?)));
    let mut letters: Vec<_> =
        found.flat_map(|(name, found)| found.settled.iter().map(move |letter| (name, letter))).collect();
    letters.sort_by_key(|(_, letter)| std::cmp::Reverse(letter.settled_at));
    let row = |(name, letter): &(&str, &SettledLetter)| {
        vec![
            clock(letter.settled_at, picture.now),
            html! { (letter.actor) },
            html! { b { (letter.became) } },
            html! { (letter.kind) " " small { (letter.source) " " (letter.position) } },
            html! { (letter.subject) },
            self::name(name),
            html! { (letter.reason) },
        ]
    };
    let rows: Vec<_> = letters.iter().take(MOST_SETTLED).map(row).collect();
    let caption = html! { "What people did with dead letters last, and why. All of it: " a href="/v1/settled-letters" { code { "/v1/settled-letters" } } };
    (!rows.is_empty()).then(|| table(&caption, &columns, &rows))
}

fn parked(picture: &Picture) -> Markup {
    let columns = [
        Text("Event"),
        Text("About"),
        Text("Consumer"),
        Number("Attempts"),
        Text("Next"),
        Text("Cause"),
        Text("What to do"),
    ];
    let mut rows = Vec::new();
    for service in &picture.services {
        for parked in service.found.iter().flat_map(|found| &found.parked) {
            let next = html! {
                @match parked.due_at {
                    Some(due_at) => { (clock(due_at, picture.now)) }
                    None => { "after the one before" }
                }
            };
            rows.push(vec![
                event(&parked.event),
                html! { (parked.event.subject) },
                name(service.name),
                html! { (count(parked.attempts)) },
                next,
                html! { (parked.cause) },
                way_to("Show", &letter::path(service.name, &parked.event), "", &parked.event),
            ]);
        }
    }
    if rows.is_empty() {
        return nothing("No event waits for another attempt.");
    }
    let caption = "Events that are tried again by themselves. Later ones about the same thing wait behind them.";
    html! {
        (table(&html! { (caption) }, &columns, &rows))
        (more(picture.parked_events(), rows.len(), "/v1/parked-events"))
    }
}

fn event(event: &Envelope) -> Markup {
    html! { (event.kind) " " small { (event.source) " " (event.position) } }
}

fn way_to(way: &str, path: &str, place: &str, event: &Envelope) -> Markup {
    html! { a href={ (path) (place) } aria-label={ (way) " " (event.kind) " about " (event.subject) } { (way) } }
}

/// Says that there are more than are shown.
fn more(all: i64, shown: usize, path: &str) -> Markup {
    let is_more = i64::try_from(shown).is_ok_and(|shown| all > shown);
    html! { @if is_more { p { (counted(all)) " in all: " a href=(path) { code { (path) } } } } }
}

fn overviews(picture: &Picture) -> Markup {
    html! {
        @for service in &picture.services { @for (overview, rows) in &service.overviews {
            @let id = format!("{}-{}", service.name, overview.title.to_lowercase().replace(' ', "-"));
            (section(&id, overview.title, &match rows {
                None => nothing("They cannot be told now."),
                Some(rows) if rows.is_empty() => nothing(overview.none),
                Some(rows) => {
                    let cells = |row: &Vec<String>| row.iter().map(|cell| html! { (cell) }).collect();
                    table(&html! { (overview.about) }, overview.columns, &rows.iter().map(cells).collect::<Vec<_>>())
                }
            }))
        } }
    }
}

/// How the last minutes went.
fn charts(picture: &Picture) -> Markup {
    let pieces = &picture.pieces;
    let line = |name, value: fn(&Piece) -> Option<f64>| Line { name, values: pieces.iter().map(value).collect() };
    let charts = [
        Chart { title: "Requests", unit: " /s", lines: &[line("", |piece| Some(piece.requests_per_sec()))] },
        Chart {
            title: "Time of an answer",
            unit: " ms",
            lines: &[
                line("half", |piece| piece.answered_within_secs(0.5).map(|secs| secs * 1_000.0)),
                line("99 %", |piece| piece.answered_within_secs(0.99).map(|secs| secs * 1_000.0)),
            ],
        },
        Chart { title: "Events", unit: " /s", lines: &[line("", |piece| Some(piece.events_per_sec()))] },
        Chart { title: "Events that wait", unit: "", lines: &[line("", |piece| Some(piece.waiting()))] },
    ];
    html! {
        section.charts aria-label="The last ten minutes" { @for one in &charts { (chart(one)) } }
    }
}

fn refusals(picture: &Picture) -> Markup {
    let columns = [Text("Problem"), Text("Of"), Number("Times"), Text("Last")];
    let row = |refusals: &Refusals| {
        vec![
            html! { a href=(web::path(["problems", &refusals.code])) { (refusals.code) } },
            html! { code { (refusals.route) } },
            html! { (count(i64::try_from(refusals.times).unwrap_or(i64::MAX))) },
            refusals.last.map_or_else(|| html! { "just now" }, |last| clock(last, picture.now)),
        ]
    };
    let rows: Vec<_> = picture.refusals.iter().take(MOST_REFUSALS).map(row).collect();
    if rows.is_empty() {
        return nothing("Nobody was told no.");
    }
    table(&html! { "How requests were refused, the most frequent first." }, &columns, &rows)
}

fn story(picture: &Picture) -> Markup {
    let columns = [Text("When"), Text("Who"), Text("What"), Text("About"), Text("Why, and what it says")];
    let row = |told: &Told| {
        vec![
            clock(told.at, picture.now),
            html! { (told.who) " → " (told.service) },
            html! { b { (told.what) } },
            html! { (told.about) },
            html! {
                @if let Some(why) = &told.why { "because of " (why) }
                @if told.why.is_some() && !told.details.is_empty() { ": " }
                (told.details)
            },
        ]
    };
    let rows: Vec<_> = picture.story.iter().map(row).collect();
    let body = if rows.is_empty() {
        nothing("Nothing has happened yet.")
    } else {
        html! { div.told { (table(&html! { "What happened last, newest first." }, &columns, &rows)) } }
    };
    section("story", "Latest events", &body)
}

/// A short name, which no line breaks.
fn name(name: &str) -> Markup {
    html! { span.whole { (name) } }
}

fn nothing(words: &str) -> Markup {
    html! { p.soft { (words) } }
}

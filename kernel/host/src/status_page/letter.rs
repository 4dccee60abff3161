//! One event that was put aside: shown whole, and settled there by a person who says why.

use std::sync::{Arc, LazyLock};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use db::{Envelope, Failure, Position, Read};
use events::{Became, EventDocument};
use maud::{Markup, html};
use serde_json::Value;
use web::{Body, Caller, Faults, Form, Problem};
use world::Moment;

use super::words::clock;
use crate::aside::{UNKNOWN_DEAD_LETTER, Why, settle};
use crate::board::Board;
use crate::page::{answer, for_people, style, whole};

/// The rules of style of this page.
const STYLE: &str = concat!(include_str!("../form.css"), include_str!("letter.css"));
static POLICY: LazyLock<String> = LazyLock::new(|| web::policy(&[&style(STYLE)], &[]));

/// Where it lies: the service that could not deal with it, its source and its position there.
pub(super) type Place = (String, String, Position);

/// An event that was put aside.
struct Aside {
    event: Envelope,
    attempts: i64,
    cause: String,
    /// When it was given up; none where it is tried again.
    died_at: Option<Moment>,
    /// When it is tried again; none where the one before it comes first.
    due_at: Option<Moment>,
}

pub(super) async fn show(
    State(board): State<Arc<Board>>,
    caller: Caller,
    headers: HeaderMap,
    Path(place): Path<Place>,
) -> Response {
    match find(&board, &place).await {
        Ok(aside) => {
            let now = board.world.now();
            let (title, body) = (format!("{} {}", aside.event.source, aside.event.position), page(&place, &aside, now));
            let mut response = answer(&whole(&title, "", STYLE, &body), &POLICY);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(problem) => for_people(&headers, &caller, problem),
    }
}

pub(super) async fn replay(
    State(board): State<Arc<Board>>,
    caller: Caller,
    headers: HeaderMap,
    Path(place): Path<Place>,
    form: Form,
) -> Response {
    settled(&board, &caller, &headers, place, form, Became::Replayed).await
}

pub(super) async fn discard(
    State(board): State<Arc<Board>>,
    caller: Caller,
    headers: HeaderMap,
    Path(place): Path<Place>,
    form: Form,
) -> Response {
    settled(&board, &caller, &headers, place, form, Became::Discarded).await
}

async fn settled(
    board: &Board,
    caller: &Caller,
    headers: &HeaderMap,
    place: Place,
    Form(mut pairs): Form,
    became: Became,
) -> Response {
    let reason = pairs.one("reason");
    let settled = match pairs.finish(|| reason) {
        Ok(reason) => {
            settle(board, caller, None, place, Body(Why { reason: reason.into() }, Faults::default()), became).await
        }
        Err(problem) => Err(problem),
    };
    match settled {
        Ok(_) => Redirect::to("/#settled").into_response(),
        Err(problem) => for_people(headers, caller, problem),
    }
}

async fn find(board: &Board, (service, source, position): &Place) -> Result<Aside, Problem> {
    let unknown = || Problem::new(&UNKNOWN_DEAD_LETTER);
    let part = board.part(service).filter(|_| !source.contains('\0')).ok_or_else(unknown)?;
    let (source, position) = (source.clone(), *position);
    part.database.read(move |read| at(read, &source, position)).await?.ok_or_else(unknown)
}

fn at(read: &mut Read<'_>, source: &str, position: Position) -> Result<Option<Aside>, Failure> {
    let Some(before) = position.checked_sub(1) else { return Ok(None) };
    let is_it = |event: &Envelope| &*event.source == source && event.position == position;
    let letter = events::dead_letters_after(read, source, before, 1)?.pop().filter(|letter| is_it(&letter.event));
    if let Some(letter) = letter {
        let events::DeadLetter { event, attempts, died_at, cause } = letter;
        return Ok(Some(Aside { event, attempts, cause, died_at: Some(died_at), due_at: None }));
    }
    let parked = events::parked_events_after(read, source, before, 1)?.pop().filter(|parked| is_it(&parked.event));
    Ok(parked.map(|events::ParkedEvent { event, attempts, due_at, cause }| Aside {
        event,
        attempts,
        cause,
        died_at: None,
        due_at,
    }))
}

/// Where the page of an event that was put aside stands.
pub(super) fn path(service: &str, event: &Envelope) -> String {
    web::path(["put-aside", service, &event.source, &event.position.to_string()])
}

fn page(place: &Place, aside: &Aside, now: Moment) -> Markup {
    let (service, event) = (&place.0, &aside.event);
    let data = EventDocument::try_from(event).map(|event| event.data);
    let data = data.ok().and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
    let path = path(service, event);
    html! {
        p.above { a href="/" { "Status" } " › " @if aside.died_at.is_some() { "Dead letter" } @else { "Parked event" } }
        h1 { (event.kind) " about " (event.subject) }
        p.cause { b { (service) } " could not deal with it: " (aside.cause) }
        dl {
            dt { "Published" } dd { "by " (event.source) " as its event " (event.position) ", " (clock(event.recorded_at, now)) " UTC" }
            dt { "Attempts" } dd { (aside.attempts) }
            @if let Some(died_at) = aside.died_at { dt { "Given up" } dd { (clock(died_at, now)) " UTC" } }
            @if aside.died_at.is_none() {
                dt { "Next attempt" }
                dd { @match aside.due_at {
                    Some(due_at) => { (clock(due_at, now)) " UTC" }
                    None => { "after the one before" }
                } }
            }
            dt { "Actor" } dd { (event.by.actor) ", for " (event.by.owner) }
            dt { "Because of" } dd { (event.by.causation) }
            dt { "Trace" } dd { code { (event.by.trace.id()) } }
        }
        h2 #says { "What it says" }
        pre tabindex="0" role="region" aria-labelledby="says" { @match data {
            Some(data) => { (format!("{data:#}")) }
            None => { (event.body) }
        } }
        @if aside.died_at.is_some() {
            div.ways {
                (way(&path, "replay", "Replay it", "Once its cause is mended. It is tried again at once.", None))
                (way(&path, "discard", "Discard it", "For good: nobody is told of this event any more.", Some("grave")))
            }
        } @else {
            p.soft { "It is tried again by itself, and needs nobody." }
        }
    }
}

/// A form that settles it. Why is asked for, and is kept.
fn way(path: &str, name: &str, heading: &str, about: &str, class: Option<&str>) -> Markup {
    html! {
        section id=(name) aria-labelledby={ (name) "-heading" } {
            h2 id={ (name) "-heading" } { (heading) }
            form method="post" action={ (path) "/" (name) } {
                p.soft id={ (name) "-about" } { (about) }
                label for={ (name) "-reason" } { "Why?" }
                input id={ (name) "-reason" } name="reason" required maxlength="500" autocomplete="off" aria-describedby={ (name) "-about" };
                button class=[class] { (heading) }
            }
        }
    }
}

//! Events as lines for a person: when, who told whom, what happened, to what, and why.
//!
//! ```text
//! 2026-01-31 UTC
//! 12:00:00.104211  local → orders      OrderPlaced    order-1    2 × TEA-250, total 39.98 GBP
//! 12:00:00.106030  orders → inventory  StockReserved  res_7081…  because of OrderPlaced: for order-1, 2 × TEA-250
//! ```
//!
//! Times are UTC, to be given to `--at` as they stand here. Colours are for terminals, and for those
//! who want them (`NO_COLOR`).

use std::collections::{BTreeMap, VecDeque};

use ::events::{EventDocument, cause};
use console::{Alignment, StyledObject, Term, colors_enabled, measure_text_width, pad_str, style, truncate_str};
use money::Money;
use serde::Deserialize;
use serde_json::{Map, Value};
use world::Moment;

/// Columns of what is told of every event; the rest of the line is free.
const WHO: usize = 21;
const WHAT: usize = 24;
const WHOM: usize = 22;
/// Columns of a line where nobody can say how wide the terminal is.
const WIDTH: u16 = 160;
/// Events that are remembered as causes of later ones.
const REMEMBERED: usize = 10_000;
/// Items of a list that are told one by one.
const TOLD_ONE_BY_ONE: usize = 3;
/// Members that are told before all others.
const FIRST: [&str; 7] = ["lines", "short", "quantity", "total", "amount", "reason", "cause"];
/// Members that say nothing to a person: names of ours, and what others repeat.
const LEFT_OUT: [&str; 8] =
    ["attempt", "fingerprint", "held_until", "hold_secs", "level", "order", "payment", "reservation"];

/// What was told so far, as far as the next line needs it.
#[derive(Debug)]
pub(super) struct Story {
    in_colour: bool,
    /// Columns of a line.
    width: u16,
    /// The day of the last line.
    day: String,
    /// The types of events by their names.
    told: BTreeMap<String, String>,
    in_order: VecDeque<String>,
}

impl Story {
    /// A story for the terminal on which this program writes.
    pub(super) fn on_terminal() -> Self {
        let (_, width) = Term::stdout().size_checked().unwrap_or((0, WIDTH));
        Self::new(colors_enabled(), width)
    }

    fn new(in_colour: bool, width: u16) -> Self {
        Self { in_colour, width, day: String::new(), told: BTreeMap::new(), in_order: VecDeque::new() }
    }

    fn style(&self, text: String) -> StyledObject<String> {
        style(text).force_styling(self.in_colour)
    }

    /// The lines that tell an event: one, after a heading where a new day begins.
    pub(super) fn lines(&mut self, event: &EventDocument) -> String {
        let at = event.occurred_at.to_string();
        let (day, time) = at.trim_end_matches('Z').split_once('T').unwrap_or(("", &at));
        let mut lines = String::new();
        if self.day != day {
            day.clone_into(&mut self.day);
            lines = format!("{}\n", self.style(format!("{day} UTC")).bold());
        }
        let who = event.actor.strip_prefix("service:").unwrap_or(&event.actor);
        let who = padded(&format!("{who} → {}", event.source), WHO);
        let (what, whom) = (padded(&event.r#type, WHAT), padded(&event.subject, WHOM));
        let because = cause(event, |id| self.told.get(id).cloned()).map(|cause| format!("because of {cause}"));
        let details = Some(details(event)).filter(|details| !details.is_empty());
        let rest = because.into_iter().chain(details).collect::<Vec<_>>().join(": ");
        let time = self.style(time.to_owned()).dim();
        let (what, whom, rest) = (self.style(what).bold(), self.style(whom).cyan(), self.style(rest).dim());
        let line = format!("{time}  {who}  {what}  {whom}  {rest}");
        lines.push_str(truncate_str(&line, self.width.into(), "…").trim_end());
        self.remember(event);
        lines
    }

    /// How an order stood at a time.
    pub(super) fn order(&self, order: &Value, at: Moment) -> String {
        let text = |pointer: &str| plain(order.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
        let told = ["/status", "/step", "/reason"].map(text).into_iter().filter(|word| !word.is_empty());
        let status = told.map(|word| word.replace('_', " ")).collect::<Vec<_>>().join(", ");
        let part = |name: &str| format!("{} {}", text(&format!("/{name}/id")), text(&format!("/{name}/status")));
        let mut lines = vec![format!("\n{} at {at}: {}", self.style(text("/id")).cyan(), self.style(status).bold())];
        let lines_of_order = order["lines"].as_array().map(|lines| list("lines", lines)).unwrap_or_default();
        let total = Money::deserialize(&order["total"]).map(|total| total.to_string()).unwrap_or_default();
        for (name, value) in [
            ("lines", lines_of_order),
            ("total", total),
            ("reservation", part("reservation")),
            ("payment", part("payment")),
            ("placed", text("/placed_at")),
            ("changed", text("/updated_at")),
        ] {
            lines.push(format!("  {}  {value}", self.style(padded(name, 11)).dim()));
        }
        lines.join("\n")
    }

    fn remember(&mut self, event: &EventDocument) {
        self.told.insert(event.id.clone(), event.r#type.clone());
        self.in_order.push_back(event.id.clone());
        if self.in_order.len() > REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.told.remove(&oldest);
        }
    }
}

/// What an event says beside its type and subject.
pub(crate) fn details(event: &EventDocument) -> String {
    let Ok(mut members) = serde_json::from_str::<Map<String, Value>>(event.data.get()) else { return String::new() };
    let order = members.get("order").and_then(Value::as_str).filter(|order| *order != event.subject);
    let mut told: Vec<String> = order.map(|order| format!("for {}", plain(order))).into_iter().collect();
    members.retain(|name, value| !LEFT_OUT.contains(&name.as_str()) && value.as_str() != Some(event.subject.as_str()));
    let first = FIRST.into_iter().filter_map(|name| members.remove_entry(name)).collect::<Vec<_>>();
    let told_in_order = first.into_iter().chain(members);
    told.extend(told_in_order.filter_map(|(name, value)| detail(&name.replace('_', " "), &value)));
    told.join(", ")
}

fn detail(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(name.to_owned()),
        Value::String(text) => Some(format!("{name} {}", plain(text))),
        Value::Number(number) => Some(format!("{name} {number}")),
        Value::Object(_) => Money::deserialize(value).ok().map(|money| format!("{name} {money}")),
        Value::Array(items) => Some(list(name, items)).filter(|list| !list.is_empty()),
    }
}

/// A list of lines, or of what falls short.
fn list(name: &str, items: &[Value]) -> String {
    if items.len() > TOLD_ONE_BY_ONE {
        return format!("{} {name}", items.len());
    }
    let item = |item: &Value| {
        let sku = plain(item["sku"].as_str()?);
        match (item["quantity"].as_i64(), item["wanted"].as_i64(), item["available"].as_i64()) {
            (Some(quantity), ..) => Some(format!("{quantity} × {sku}")),
            (_, Some(wanted), Some(available)) => Some(format!("{available} of {wanted} × {sku}")),
            _ => None,
        }
    };
    items.iter().filter_map(item).collect::<Vec<_>>().join(", ")
}

/// A text in a column; one that is longer moves what follows.
fn padded(text: &str, width: usize) -> String {
    let text = plain(text);
    if measure_text_width(&text) >= width { text } else { pad_str(&text, width, Alignment::Left, None).into_owned() }
}

/// A text that says nothing to the terminal itself.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use ::events::EventDocument;
    use serde_json::{Value, json};
    use world::Moment;

    use super::Story;

    fn event(position: i64, said: &Value) -> EventDocument {
        let mut document = json!({
            "id": format!("{}-7-{position}", said["source"].as_str().unwrap()), "incarnation": "7", "position": position,
            "partition": 0, "stream": "1", "version": 1, "schema": 1, "occurred_at": "2026-01-31T12:00:00.000001Z",
            "recorded_at": "2026-01-31T12:00:00.000001Z", "correlation": "o-1", "owner": "local", "origin": "native",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "data": {},
        });
        document.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        serde_json::from_value(document).unwrap()
    }

    fn told(events: &[Value]) -> Vec<String> {
        let mut story = Story::new(false, 160);
        let lines = events.iter().zip(1..).map(|(said, position)| story.lines(&event(position, said)));
        lines.flat_map(|lines| lines.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn who_what_about_whom_and_why_stand_in_columns() {
        let line = json!({"sku": "TEA", "quantity": 2, "unit_price": {"amount": 1999, "currency": "GBP"}});
        let placed = json!({
            "source": "orders", "type": "OrderPlaced", "subject": "o-1", "actor": "local", "causation": "4bf92f35",
            "data": {"order": "o-1", "lines": [line], "total": {"amount": 3998, "currency": "GBP"}, "attempt": 1},
        });
        let reserved = json!({
            "source": "inventory", "type": "StockReserved", "subject": "res_1", "actor": "service:orders",
            "causation": "orders-7-1", "data": {"lines": [{"sku": "TEA", "quantity": 2}], "order": "o-1", "fingerprint": "f"},
        });
        let expired = json!({
            "source": "inventory", "type": "StockReservationExpired", "subject": "res_1", "actor": "system",
            "causation": "the hold's time has passed", "occurred_at": "2026-02-01T00:00:00.000000Z",
        });
        assert_eq!(
            told(&[placed, reserved, expired]),
            [
                "2026-01-31 UTC",
                "12:00:00.000001  local → orders         OrderPlaced               o-1                     2 × TEA, total 39.98 GBP",
                "12:00:00.000001  orders → inventory     StockReserved             res_1                   because of OrderPlaced: for o-1, 2 × TEA",
                "2026-02-01 UTC",
                "00:00:00.000000  system → inventory     StockReservationExpired   res_1                   because of the hold's time has passed",
            ]
        );
    }

    #[test]
    fn a_cause_that_was_not_told_is_named_by_its_place() {
        let due = json!({
            "source": "orders", "type": "PaymentDue", "subject": "o-1", "actor": "service:inventory",
            "causation": "inventory-7-41",
        });
        assert!(told(&[due])[1].ends_with("because of event 41 of inventory"));
        let captured = json!({
            "source": "payments", "type": "PaymentCaptured", "subject": "pay_1", "actor": "system",
            "causation": "pay_1.2", "data": {"order": "o-1", "payment": "pay_1", "attempt": 1, "amount": 5},
        });
        assert!(told(&[captured])[1].ends_with("because of try 2: for o-1, amount 5"));
    }

    #[test]
    fn what_falls_short_is_told_and_long_lists_are_counted() {
        let said = |short: Value| {
            let data = json!({"short": short, "note": "\u{1b}[2J"});
            let event = json!({
                "source": "inventory", "type": "StockReservationRejected", "subject": "r", "actor": "local",
                "causation": "x", "data": data,
            });
            told(&[event]).remove(1)
        };
        let short = json!({"sku": "TEA", "wanted": 5, "available": 3});
        assert!(said(json!([short])).ends_with("  3 of 5 × TEA, note \u{fffd}[2J"), "a terminal is told nothing");
        assert!(said(json!([short, short, short, short])).contains("  4 short, "));
    }

    #[test]
    fn a_line_is_no_wider_than_the_terminal_and_coloured_where_that_is_wanted() {
        let said = json!({
            "source": "orders", "type": "OrderPlaced", "subject": "o-1", "actor": "local", "causation": "x",
            "data": {"reference": "r".repeat(200)},
        });
        let line = |in_colour| Story::new(in_colour, 100).lines(&event(1, &said)).lines().last().unwrap().to_owned();
        assert_eq!((line(false).chars().count(), line(false).ends_with('…')), (100, true));
        assert_eq!(console::measure_text_width(&line(true)), 100);
        assert!(line(true).contains("\u{1b}[1m") && !line(false).contains('\u{1b}'));
    }

    #[test]
    fn an_order_is_shown_as_it_stood() {
        let document = json!({
            "id": "o-1", "status": "pending", "step": "authorizing", "total": {"amount": 3998, "currency": "GBP"},
            "lines": [{"sku": "TEA", "quantity": 2}], "payment": {"id": "pay_1", "status": "pending"},
            "reservation": {"id": "res_1", "status": "reserved"}, "placed_at": "2026-01-31T12:00:00.000000Z",
            "updated_at": "2026-01-31T12:00:01.000000Z",
        });
        let shown = Story::new(false, 160).order(&document, Moment::from_micros(0));
        assert!(shown.contains("o-1 at 1970-01-01T00:00:00.000000Z: pending, authorizing\n"), "{shown}");
        for line in ["  lines        2 × TEA\n", "  total        39.98 GBP\n", "  reservation  res_1 reserved\n"] {
            assert!(shown.contains(line), "{line} is missing: {shown}");
        }
    }
}

//! Times, spans and counts as people read them.

use std::time::Duration;

use events::MOST_COUNTED;
use maud::{Markup, html};
use world::Moment;

/// A moment by its time of day in UTC, and by its day where that is not today's.
pub(super) fn clock(moment: Moment, now: Moment) -> Markup {
    let (whole, today) = (moment.to_string(), now.to_string());
    let (day, time) = whole.split_once('T').unwrap_or(("", &whole));
    let time = time.get(..8).unwrap_or(time);
    html! {
        time datetime=(whole) title=(whole) {
            @if !today.starts_with(day) { (day) " " }
            (time)
        }
    }
}

/// How long something lasts, in its two greatest units at most.
pub(super) fn span(time: Duration) -> String {
    let secs = time.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if secs == 0 => format!("{} ms", time.as_millis()),
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A count with its thousands apart.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = if number < 0 { "−".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many events that were put aside, which are counted so far and no further.
pub(super) fn counted(number: i64) -> String {
    if number < MOST_COUNTED { count(number) } else { format!("{} or more", count(number)) }
}

/// So many of something, in words.
pub(super) fn some(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use world::Moment;

    use super::{clock, count, counted, some, span};

    #[test]
    fn a_moment_of_another_day_says_its_day() {
        let [now, before]: [Moment; 2] =
            ["2026-01-31T12:00:00Z", "2026-01-30T23:59:59.5Z"].map(|text| text.parse().unwrap());
        assert!(clock(now, now).into_string().ends_with(">12:00:00</time>"));
        assert!(clock(before, now).into_string().ends_with(">2026-01-30 23:59:59</time>"));
    }

    #[test]
    fn spans_and_counts_are_told_as_people_say_them() {
        let spans = [0.25, 59.0, 61.0, 7_380.0, 180_000.0].map(|secs| span(Duration::from_secs_f64(secs)));
        assert_eq!(spans, ["250 ms", "59 s", "1 min", "2 h 3 min", "2 d 2 h"]);
        assert_eq!([0, 999, 1_000, -1_234_567].map(count), ["0", "999", "1,000", "−1,234,567"]);
        assert_eq!([9_999, 10_000, 10_005].map(counted), ["9,999", "10,000 or more", "10,005 or more"]);
        assert_eq!((some(1, "event", "events"), some(2, "event", "events")), ("1 event".into(), "2 events".into()));
    }
}

//! Small charts of the last minutes, drawn here and not in the browser.

use std::fmt::Write;

use maud::{Markup, html};

use crate::trend::MOST_PIECES;

/// What a chart shows.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// What stands after each of its figures, such as `/s`.
    pub(super) unit: &'a str,
    /// One line, or two, of which the second is broken.
    pub(super) lines: &'a [Line<'a>],
}

/// A line of a chart.
pub(super) struct Line<'a> {
    /// What it is, where there is more than one.
    pub(super) name: &'a str,
    /// A value for each piece of time, oldest first; none where there is nothing to tell.
    pub(super) values: Vec<Option<f64>>,
}

/// Points across and down.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 48.0;

impl Line<'_> {
    fn last(&self) -> Option<f64> {
        self.values.last().copied().flatten()
    }

    fn most(&self) -> Option<f64> {
        self.values.iter().flatten().copied().reduce(f64::max)
    }
}

/// A chart with its figures, and with all that it shows in words.
pub(super) fn chart(chart: &Chart<'_>) -> Markup {
    let Chart { title, unit, lines } = chart;
    let most = lines.iter().filter_map(Line::most).reduce(f64::max);
    let told = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{}{unit}", figure(value)));
    html! {
        figure.chart {
            figcaption { (title) }
            p.now {
                @for (at, line) in lines.iter().enumerate() {
                    span {
                        (told(line.last()))
                        @if lines.len() > 1 { " " small { (key(at)) (line.name) } }
                    }
                }
            }
            svg role="img" aria-label=(in_words(chart)) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
                path.ground d={ "M0 " (HEIGHT - 1.0) "H" (WIDTH) } {}
                @for (at, line) in lines.iter().enumerate() {
                    @let path = path(&line.values, most.unwrap_or(0.0));
                    path class=[(at > 0).then_some("broken")] d=(path) {}
                }
            }
            p.scale { "at most " (told(most)) " in 10 min" }
        }
    }
}

/// How a line looks, beside its name.
fn key(at: usize) -> Markup {
    html! {
        svg.key viewBox="0 0 16 4" aria-hidden="true" { path class=[(at > 0).then_some("broken")] d="M0 2H16" {} }
    }
}

/// What a chart shows, for those who do not see it.
fn in_words(chart: &Chart<'_>) -> String {
    let Chart { title, unit, lines } = chart;
    let mut words = format!("{title} over the last ten minutes");
    for line in *lines {
        let (last, most) = (line.last(), line.most());
        let name = if lines.len() > 1 { format!("{}: ", line.name) } else { String::new() };
        let told = match (last, most) {
            (Some(last), Some(most)) => format!("now {}{unit}, at most {}{unit}", figure(last), figure(most)),
            (None, Some(most)) => format!("nothing now, at most {}{unit}", figure(most)),
            (_, None) => "nothing yet".to_owned(),
        };
        write!(words, "; {name}{told}").expect("a text takes more text");
    }
    words
}

/// The line through the values: the newest stands at the right end, and where there is none it breaks off.
fn path(values: &[Option<f64>], most: f64) -> String {
    let step = WIDTH / (float(MOST_PIECES) - 1.0);
    let mut path = String::new();
    let mut is_drawn = false;
    for (from_end, value) in values.iter().rev().take(MOST_PIECES).enumerate() {
        let Some(value) = value else {
            is_drawn = false;
            continue;
        };
        let x = WIDTH - step * float(from_end);
        let y = if most > 0.0 { (HEIGHT - 1.0) - (HEIGHT - 3.0) * value / most } else { HEIGHT - 1.0 };
        // A lone value is a dot.
        let command = if is_drawn { format!("L{x:.1} {y:.1}") } else { format!("M{x:.1} {y:.1}h0") };
        path.push_str(&command);
        is_drawn = true;
    }
    path
}

/// A figure with three digits or so.
fn figure(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 1_000_000.0 => format!("{:.1} M", value / 1_000_000.0),
        value if value >= 10_000.0 => format!("{:.1} k", value / 1_000.0),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are a hundred and twenty pieces")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::{Chart, Line, chart, figure, path};

    #[test]
    fn the_newest_value_stands_at_the_right_and_a_gap_stays_one() {
        assert_eq!(path(&[Some(2.0), None, Some(1.0), Some(0.0)], 2.0), "M240.0 47.0h0L238.0 24.5M233.9 2.0h0");
        assert_eq!(path(&[Some(0.0)], 0.0), "M240.0 47.0h0");
    }

    #[test]
    fn a_chart_is_told_in_words() {
        let lines = [
            Line { name: "half", values: vec![Some(0.5), Some(1_250.0), Some(12.34)] },
            Line { name: "most", values: vec![] },
        ];
        let drawn = chart(&Chart { title: "Answers <1>", unit: " ms", lines: &lines }).into_string();
        let words =
            "Answers &lt;1&gt; over the last ten minutes; half: now 12.3 ms, at most 1250 ms; most: nothing yet";
        assert!(drawn.contains(&format!("role=\"img\" aria-label=\"{words}\"")), "{drawn}");
    }

    #[test]
    fn a_figure_has_about_three_digits() {
        let figures = [0.0, 0.123, 9.996, 12.34, 999.4, 12_340.0, 2_500_000.0].map(figure);
        assert_eq!(figures, ["0", "0.12", "10.00", "12.3", "999", "12.3 k", "2.5 M"]);
    }
}

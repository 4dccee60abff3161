//! Dashboards and alerts: written from a small source, and each alert with a page that says what to do.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use toml::Table;

use crate::report::Report;
use crate::tree::Tree;

/// What the dashboards are written from.
pub(crate) const SOURCE: &str = "deploy/grafana/dashboards.toml";
const RULES: &str = "deploy/prometheus/rules.yml";
const RUNBOOKS: &str = "docs/runbooks";

/// The files of Grafana that follow from the source, by path.
pub(crate) fn written(source: &str) -> Result<Vec<(String, String)>, String> {
    let table: Table = source.parse().map_err(|error: toml::de::Error| format!("no TOML: {}", error.message()))?;
    let dashboards = table.get("dashboard").and_then(toml::Value::as_array).ok_or("there is no [[dashboard]]")?;
    dashboards.iter().map(dashboard).collect()
}

fn dashboard(of: &toml::Value) -> Result<(String, String), String> {
    let uid = text(of, "uid")?;
    let panels = of.get("panel").and_then(toml::Value::as_array).ok_or(format!("{uid} has no [[dashboard.panel]]"))?;
    let panels = panels.iter().enumerate().map(|(place, of)| panel(place, of)).collect::<Result<Vec<_>, _>>()?;
    let chosen = json!({"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"});
    let document = json!({
        "uid": uid,
        "title": text(of, "title")?,
        "description": text(of, "about")?,
        "tags": ["banyan"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [chosen]},
        "panels": panels,
    });
    let path = format!("deploy/grafana/{}.json", uid.trim_start_matches("banyan-"));
    Ok((path, format!("{document:#}\n")))
}

/// A graph; two stand in a row.
fn panel(place: usize, of: &toml::Value) -> Result<Value, String> {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let title = text(of, "title")?;
    let queries = of.get("queries").and_then(toml::Value::as_array).ok_or(format!("{title} has no queries"))?;
    let target = |(number, query): (usize, &toml::Value)| {
        let pair = query.as_array().map(Vec::as_slice).unwrap_or_default();
        let [toml::Value::String(legend), toml::Value::String(expression)] = pair else {
            return Err(format!("a query of {title} is no pair of a legend and an expression"));
        };
        let name = char::from(b'A' + u8::try_from(number).unwrap_or_default()).to_string();
        Ok(json!({"refId": name, "datasource": source, "expr": expression, "legendFormat": legend}))
    };
    let targets = queries.iter().enumerate().map(target).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "id": place + 1,
        "type": "timeseries",
        "title": title,
        "description": text(of, "about")?,
        "datasource": source,
        "gridPos": {"w": 12, "h": 9, "x": place % 2 * 12, "y": place / 2 * 9},
        "fieldConfig": {"defaults": {"unit": text(of, "unit")?, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": targets,
    }))
}

fn text(of: &toml::Value, name: &str) -> Result<String, String> {
    let found = of.get(name).and_then(toml::Value::as_str).map(ToOwned::to_owned);
    found.ok_or_else(|| format!("a dashboard or panel has no {name}"))
}

/// Checks that the files are those that follow from the source, and that alerts and runbooks go together.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    if let Some(source) = tree.text(SOURCE) {
        match written(source) {
            Ok(files) => {
                for (path, _) in files.iter().filter(|(path, text)| tree.text(path) != Some(text)) {
                    report.error(path, format!("is not what {SOURCE} says: cargo run -p xtask -- dashboards"));
                }
            }
            Err(error) => report.error(SOURCE, error),
        }
    }
    let Some(rules) = tree.text(RULES) else { return };
    let mut led_to = BTreeSet::new();
    let mut alert = None;
    for (number, line) in rules.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("- alert: ") {
            say_without(alert.replace((name, number + 1)), report);
        } else if let Some(page) = line.strip_prefix("runbook: ") {
            alert = None;
            if tree.text(page).is_none() {
                report.error_at(RULES, number + 1, format!("there is no {page}"));
            }
            led_to.insert(page.to_owned());
        }
    }
    say_without(alert, report);
    for (page, _) in tree.below(RUNBOOKS).filter(|(page, _)| *page != "README.md") {
        let page = format!("{RUNBOOKS}/{page}");
        if !led_to.contains(&page) {
            report.error(&page, "no alert leads here");
        }
    }
}

fn say_without(alert: Option<(&str, usize)>, report: &mut Report) {
    if let Some((name, line)) = alert {
        report.error_at(RULES, line, format!("the alert {name} has no runbook"));
    }
}

#[cfg(test)]
mod tests {
    use crate::report::Report;
    use crate::tree::Tree;

    fn errors<const N: usize>(files: [(&str, &str); N]) -> Vec<String> {
        let tree = Tree::of(files);
        let mut report = Report::of(&tree);
        super::check(&tree, &mut report);
        report.errors()
    }

    const ONE: &str = "[[dashboard]]\nuid = 'banyan-a'\ntitle = 't'\nabout = 'b'\n[[dashboard.panel]]\ntitle = 'p'\n\
                       about = 'b'\nunit = 's'\nqueries = [['l', 'up']]\n";

    #[test]
    fn a_dashboard_that_is_not_written_from_its_source_is_found() {
        let files = super::written(ONE).unwrap();
        let (path, text) = &files[0];
        assert_eq!(path, "deploy/grafana/a.json");
        assert!(errors([(super::SOURCE, ONE), (path, text)]).is_empty());
        let found = errors([(super::SOURCE, ONE), (path, &text.replace("up", "down"))]);
        assert!(found.len() == 1 && found[0].contains("xtask -- dashboards"), "{found:?}");
        assert_eq!(errors([(super::SOURCE, ONE)]).len(), 1);
        for broken in ["[[dashboard]]", "nonsense", &ONE.replace("unit", "units"), &ONE.replace("'l', ", "")] {
            assert_eq!(errors([(super::SOURCE, broken)]).len(), 1, "{broken}");
        }
    }

    #[test]
    fn an_alert_without_a_runbook_and_a_runbook_without_an_alert_are_found() {
        let one = "- alert: A\n  expr: up\n  annotations:\n    runbook: docs/runbooks/a.md\n";
        let page = ("docs/runbooks/a.md", "# A");
        assert!(errors([(super::RULES, one), page, ("docs/runbooks/README.md", "")]).is_empty());
        assert_eq!(errors([(super::RULES, one)]).len(), 1, "the page is missing");
        let bare = format!("- alert: B\n  expr: up\n{one}");
        assert!(errors([(super::RULES, &bare), page])[0].contains("alert B has no runbook"));
        assert!(errors([(super::RULES, &format!("{one}- alert: C\n")), page])[0].contains("alert C has no runbook"));
        assert!(errors([(super::RULES, one), page, ("docs/runbooks/b.md", "")])[0].contains("no alert leads here"));
    }
}

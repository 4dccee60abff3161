//! The house checks itself.
//!
//! ```text
//! Tree (all files, as text) ──▶ floors · shapes · code · docs · contracts · dashboards · lengths ──▶ Report
//! ```
//!
//! `cargo run -p xtask -- tidy` reports what neither the compiler nor clippy can know: which floor may
//! stand on which, which files a service is made of, where SQL may stand, what must be written down.
//!
//! `cargo run -p xtask -- dashboards` writes the dashboards from their source.
//!
//! Reading order: `tree` and `report`, `source` (what of a Rust file is code, text or comment), then
//! the checks. Each is a function of a tree, so that its tests make up a small tree and see it fail.

mod code;
mod contracts;
mod dashboards;
mod docs;
mod floors;
mod lengths;
mod report;
mod shapes;
mod source;
mod tree;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use report::Report;
use tree::Tree;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(),
        Some("dashboards") => write_dashboards(),
        _ => {
            eprintln!("usage: cargo run -p xtask -- tidy | dashboards");
            ExitCode::from(2)
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Writes the dashboards from their source.
fn write_dashboards() -> ExitCode {
    let source = fs::read_to_string(root().join(dashboards::SOURCE)).map_err(|error| error.to_string());
    let written = source.and_then(|source| {
        for (path, text) in dashboards::written(&source)? {
            fs::write(root().join(&path), text).map_err(|error| format!("{path} cannot be written: {error}"))?;
        }
        Ok(())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", dashboards::SOURCE);
            ExitCode::FAILURE
        }
    }
}

/// Checks the whole tree; warnings are said, and only errors fail.
fn tidy() -> ExitCode {
    let tree = match Tree::read(root()) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("tidy: {error}");
            return ExitCode::from(2);
        }
    };
    let report = check(&tree);
    print!("{report}");
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(tree: &Tree) -> Report {
    let mut report = Report::of(tree);
    floors::check(tree, &mut report);
    shapes::check(tree, &mut report);
    code::check(tree, &mut report);
    docs::check(tree, &mut report);
    contracts::check(tree, &mut report);
    dashboards::check(tree, &mut report);
    lengths::check(tree, &mut report);
    report
}

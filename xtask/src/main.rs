//! The house checks itself.
//!
//! ```text
//! Tree (all files, as text) ──▶ floors · shapes · code · docs · contracts · lengths ──▶ Report
//! ```
//!
//! `cargo run -p xtask -- tidy` reports what neither the compiler nor clippy can know: which floor may
//! stand on which, which files a service is made of, where SQL may stand, what must be written down.
//!
//! Reading order: `tree` and `report`, `source` (what of a Rust file is code, text or comment), then
//! the checks. Each is a function of a tree, so that its tests make up a small tree and see it fail.

mod code;
mod contracts;
mod docs;
mod floors;
mod lengths;
mod report;
mod shapes;
mod source;
mod tree;

use std::path::Path;
use std::process::ExitCode;

use report::Report;
use tree::Tree;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("tidy") {
        return tidy();
    }
    eprintln!("usage: cargo run -p xtask -- tidy");
    ExitCode::from(2)
}

/// Checks the whole tree; warnings are said, and only errors fail.
fn tidy() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let tree = match Tree::read(root) {
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
    lengths::check(tree, &mut report);
    report
}

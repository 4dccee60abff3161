//! What has to be written down: what a module is for, what a crate promises, how a problem is solved.

use crate::report::Report;
use crate::source::Source;
use crate::tree::Tree;

/// Checks docs of modules, invariants of crates that keep state, and help of problems.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let is_source = |path: &str| path.contains("/src/");
    for (path, text) in tree.ending(".rs").filter(|(path, _)| is_source(path)) {
        if !text.trim_start().starts_with("//!") {
            report.error_at(path, 1, "a module begins with //! and a sentence for somebody who does not know it");
        }
        let keeps_state = ["kernel/db/src/lib.rs", "kernel/events/src/lib.rs", "kernel/world/src/lib.rs"]
            .contains(&path)
            || (path.starts_with("services/") && path.ends_with("/src/lib.rs"));
        let docs: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if keeps_state && !docs.contains("**Invariant:**") {
            report.error_at(path, 1, "a crate that keeps state says in its docs what always holds: **Invariant:** …");
        }
        check_problems(path, text, report);
    }
}

/// Every problem says what to do about it; tests may leave that out.
fn check_problems(path: &str, text: &str, report: &mut Report) {
    let source = Source::of(text);
    let code = source.code();
    let tests = code.find("#[cfg(test)]\nmod ").map_or(source.code.len(), |end| code[..end].chars().count());
    for place in source.words("ProblemKind").into_iter().filter(|place| *place < tests) {
        let open = place + "ProblemKind".len() + 1;
        if source.code.get(open) != Some(&'{') {
            continue;
        }
        let close = source.closing(open);
        let body: String = source.code[open..close].iter().collect();
        let Some(help) = body.find("help:") else {
            // The type itself, or what follows the type that a function gives.
            if body.contains("code: \"") {
                report.error_at(path, source.line_of(place), "a problem has a `help` that says what to do");
            }
            continue;
        };
        let help = open + body[..help].chars().count();
        let said = source.texts.chars().skip(help).take(close - help).any(|char| !char.is_whitespace());
        if !said && body.contains("code: \"") {
            report.error_at(path, source.line_of(help), "the `help` of a problem says what to do");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::Report;
    use crate::tree::Tree;

    fn errors(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of([(path, text)]);
        let mut report = Report::of(&tree);
        super::check(&tree, &mut report);
        report.errors()
    }

    #[test]
    fn a_module_without_docs_is_found() {
        for text in ["mod a;", "", "// A module.\n", "use a;\n//! A module."] {
            assert_eq!(
                errors("kernel/ids/src/text.rs", text),
                ["kernel/ids/src/text.rs:1: a module begins with //! and \
                a sentence for somebody who does not know it"]
            );
        }
        assert!(errors("kernel/ids/src/text.rs", "//! Texts.\n").is_empty());
        assert!(errors("kernel/ids/tests/all.rs", "").is_empty());
    }

    #[test]
    fn a_crate_that_keeps_state_has_an_invariant() {
        for path in
            ["kernel/db/src/lib.rs", "kernel/events/src/lib.rs", "kernel/world/src/lib.rs", "services/a/src/lib.rs"]
        {
            let found = errors(path, "//! Docs.\n\n// **Invariant:** not in the docs.");
            assert!(found.len() == 1 && found[0].contains("what always holds"), "{path}: {found:?}");
            assert!(errors(path, "//! Docs.\n//!\n//! **Invariant:** a.").is_empty());
        }
        assert!(errors("kernel/ids/src/lib.rs", "//! Docs.").is_empty());
        assert!(errors("services/a/src/api.rs", "//! Docs.").is_empty());
    }

    #[test]
    fn a_problem_without_help_is_found() {
        let of = |problem: &str| format!("//! Docs.\nstatic A: ProblemKind = ProblemKind {{\n{problem}\n}};\n");
        for problem in ["code: \"a\", status: 404", "code: \"a\",\nhelp: \"\"", "code: \"a\",\nhelp: \"  \""] {
            let found = errors("kernel/web/src/kinds.rs", &of(problem));
            assert!(found.len() == 1 && found[0].contains("what to do"), "{problem}: {found:?}");
        }
        assert!(errors("a/src/b.rs", &of("code: \"a\",\nhelp: \"Ask for less.\"")).is_empty());
        assert!(errors("a/src/b.rs", "//! Docs.\n/// A kind.\npub struct ProblemKind {\nhelp: &str }").is_empty());
        assert!(errors("a/src/b.rs", "//! Docs.\nfn a() -> &'static ProblemKind { f(\"code: \") }").is_empty());
        let in_tests = format!("//! Docs.\n#[cfg(test)]\nmod tests {{ {} }}", of("code: \"a\""));
        assert!(errors("a/src/b.rs", &in_tests).is_empty());
    }
}

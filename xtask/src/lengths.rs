//! What is long; said, so that somebody looks, and never refused.

use crate::report::Report;
use crate::source::Source;
use crate::tree::Tree;

/// Lines after which a file is called long.
const LONG_FILE: usize = 500;
/// Lines after which a function is called long.
const LONG_FUNCTION: usize = 70;

/// Counts the lines of Rust files and functions.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.ending(".rs") {
        let lines = text.lines().count();
        if lines > LONG_FILE {
            report.warning_at(path, 0, format!("{lines} lines; about {LONG_FILE} are read with ease"));
        }
        let source = Source::of(text);
        for place in source.words("fn") {
            let ends = |char: &char| matches!(char, '{' | ';');
            let Some(open) = source.code.iter().skip(place).position(ends).map(|at| place + at) else { continue };
            if source.code[open] == '{' {
                let from = source.line_of(place);
                let lines = source.line_of(source.closing(open).min(source.code.len())) - from + 1;
                if lines > LONG_FUNCTION {
                    let message = format!("a function of {lines} lines; about {LONG_FUNCTION} are read with ease");
                    report.warning_at(path, from, message);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::Report;
    use crate::tree::Tree;

    fn warnings(text: &str) -> Vec<String> {
        let tree = Tree::of([("a.rs", text)]);
        let mut report = Report::of(&tree);
        super::check(&tree, &mut report);
        assert!(report.is_clean(), "length fails nothing");
        report.warnings()
    }

    #[test]
    fn a_long_file_is_said() {
        assert_eq!(warnings(&"// a\n".repeat(501)), ["a.rs: 501 lines; about 500 are read with ease"]);
        assert!(warnings(&"// a\n".repeat(500)).is_empty());
    }

    #[test]
    fn a_long_function_is_said() {
        let of =
            |lines: usize| format!("trait A {{ fn a(); }}\nfn b() {{\n{}}}\nfn c() {{}}\n", "b();\n".repeat(lines));
        assert_eq!(warnings(&of(69)), ["a.rs:2: a function of 71 lines; about 70 are read with ease"]);
        assert!(warnings(&of(68)).is_empty());
    }
}

//! What services say to each other stays within what Avro can say.

use crate::report::Report;
use crate::source::Source;
use crate::tree::Tree;

/// Words of Rust that Avro has none for, with the reason.
const WORDS: [(&str, &str); 9] = [
    ("flatten", "a record has no members of another record"),
    ("untagged", "a reader has to know which of several types it meets"),
    ("u64", "there are no unsigned numbers; i64"),
    ("u128", "there are no unsigned numbers; i64"),
    ("usize", "there are no unsigned numbers; i64"),
    ("i128", "there are no numbers of more than 64 bits"),
    ("f32", "a fraction is not exact: money is in minor units, and quantities are whole"),
    ("f64", "a fraction is not exact: money is in minor units, and quantities are whole"),
    ("HashMap", "its order is random and shows in the bytes"),
];

/// Checks the types of contracts.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.ending(".rs").filter(|(path, _)| path.starts_with("contracts/src/")) {
        let source = Source::of(text);
        for (word, reason) in WORDS {
            for place in source.words(word) {
                report.error_at(path, source.line_of(place), format!("{word} cannot be published: {reason}"));
            }
        }
        let macros: Vec<_> = source.words("macro_rules").into_iter().map(|at| (at, body(&source, at).1)).collect();
        let in_macro = |place: usize| macros.iter().any(|(from, to)| (*from..*to).contains(&place));
        for place in source.words("enum").into_iter().filter(|place| !in_macro(*place)) {
            for variant in tuple_variants(&source, body(&source, place)) {
                let message = "a variant with values without names cannot be published: use a struct";
                report.error_at(path, source.line_of(variant), message);
            }
        }
    }
}

/// Where the braces after a place open and close.
fn body(source: &Source, place: usize) -> (usize, usize) {
    let open = source.code.iter().skip(place).position(|char| *char == '{').map_or(source.code.len(), |at| place + at);
    (open, source.closing(open))
}

/// The places at which a variant has `(` directly behind its name.
fn tuple_variants(source: &Source, (open, close): (usize, usize)) -> Vec<usize> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut before = ' ';
    for place in open..close {
        let char = source.code[place];
        match char {
            '(' if depth == 1 && before.is_alphanumeric() => {
                found.push(place);
                depth += 1;
            }
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !char.is_whitespace() {
            before = char;
        }
    }
    found
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
    fn what_avro_cannot_say_is_refused() {
        for code in [
            "struct A { b: u64 }",
            "struct A { b: Option<f64> }",
            "struct A { #[serde(flatten)] b: B }",
            "#[serde(untagged)] enum A { B }",
            "enum A {\n #[serde(rename = \"b\")]\n B(i64),\n}",
            "enum A { B { c: i64 }, C (String) }",
        ] {
            assert_eq!(errors("contracts/src/orders.rs", code).len(), 1, "{code}");
            assert!(errors("services/orders/src/api.rs", code).is_empty(), "{code}");
        }
    }

    #[test]
    fn what_avro_can_say_is_not() {
        for code in [
            "struct A { b: i64, c: Option<String>, d: Vec<E> }",
            "/// Like u64, untagged.\nenum A { #[serde(rename = \"u64\")] B, C { d: Option<(i64)> } }",
            "impl A { fn b(self) -> &'static str { match self { Self::B(c) => c } } }",
            "macro_rules! events { () => { enum Event { $($kind($kind)),+ } } }",
        ] {
            assert!(errors("contracts/src/orders.rs", code).is_empty(), "{code}");
        }
    }
}

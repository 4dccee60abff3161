//! Words that stand in no file, or in some files only.

use crate::report::Report;
use crate::source::Source;
use crate::tree::Tree;

/// This file, where what is forbidden has to be named.
const HERE: &str = "xtask/src/code.rs";

/// What code never holds, with what to do instead.
const NOT_IN_CODE: [(&str, &str); 5] = [
    ("#[allow(", "a lint is waived by #[expect(lint, reason = \"…\")]"),
    ("#![allow(", "a lint is waived by #![expect(lint, reason = \"…\")]"),
    ("todo!", "what is not built yet is not in the code"),
    ("unimplemented!", "what is not built yet is not in the code"),
    ("dbg!", "what should be seen is logged"),
];

/// What no file holds, with the reason.
const NOWHERE: [(&str, &str); 5] = [
    ("TODO", "what is left to do is an issue, not a comment"),
    ("FIXME", "what is left to do is an issue, not a comment"),
    ("/root/", "a path of one machine"),
    ("/work/", "a path of one machine"),
    ("/home/", "a path of one machine"),
];

const SQL: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// Checks the words of all files.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.files().filter(|(path, _)| *path != HERE && *path != "Cargo.lock") {
        for (line, text) in (1..).zip(text.lines()) {
            for (word, reason) in NOWHERE.into_iter().filter(|(word, _)| stands_alone(text, word)) {
                report.error_at(path, line, format!("{word}: {reason}"));
            }
        }
    }
    for (path, text) in tree.ending(".rs").filter(|(path, _)| *path != HERE) {
        let source = Source::of(text);
        for (line, text) in (1..).zip(source.code().lines()) {
            for (word, instead) in NOT_IN_CODE.into_iter().filter(|(word, _)| stands_alone(text, word)) {
                report.error_at(path, line, format!("{word}: {instead}"));
            }
        }
        if !may_hold_sql(path) {
            for (line, text) in (1..).zip(source.texts.lines()) {
                if SQL.iter().any(|verb| is_statement(text, verb)) {
                    report.error_at(path, line, "SQL stands in store.rs and migrations, and nowhere else in a service");
                }
            }
        }
    }
}

fn may_hold_sql(path: &str) -> bool {
    let of_service = path.strip_prefix("services/").and_then(|path| path.split_once('/'));
    // A test may look at rows, to see that they are what was promised.
    of_service.is_none_or(|(_, file)| ["src/store.rs", "src/store/", "tests/"].iter().any(|may| file.starts_with(may)))
}

/// Whether a line holds a word that is no part of a longer word or path.
fn stands_alone(line: &str, word: &str) -> bool {
    let is_path = |char: char| char.is_alphanumeric() || "_-./>})".contains(char);
    let bounded = |before: &str, after: &str| match word.chars().next() {
        Some('/') => !before.ends_with(is_path),
        Some('#') => true,
        _ => !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric),
    };
    line.match_indices(word).any(|(at, _)| bounded(&line[..at], &line[at + word.len()..]))
}

/// Whether a text begins a statement with this verb; `DELETE /v1/…` is a request.
fn is_statement(text: &str, verb: &str) -> bool {
    text.match_indices(verb).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + verb.len()..]);
        let next = after.trim_start();
        let is_word = after.len() > next.len() || after.is_empty();
        !before.ends_with(char::is_alphanumeric) && is_word && !next.is_empty() && !next.starts_with('/')
    })
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
    fn what_code_never_holds_is_found_with_its_line() {
        for code in ["#[allow(dead_code)]", "#![allow(dead_code)]", "todo!()", "unimplemented!()", "dbg!(a)"] {
            let found = errors("kernel/db/src/tx.rs", &format!("//! A module.\n{code}\n"));
            assert!(found.len() == 1 && found[0].starts_with("kernel/db/src/tx.rs:2: "), "{code}: {found:?}");
            assert!(errors("kernel/db/src/tx.rs", &format!("// {code}\nconst A: &str = \"{code}\";")).is_empty());
        }
        assert!(errors("a.rs", "mastodon!()").is_empty());
    }

    #[test]
    fn what_no_file_holds_is_found_in_all() {
        for path in ["README.md", "kernel/db/src/tx.rs", "deploy/image", "scripts/test"] {
            for text in ["// TODO: later", "FIXME", "cd /root/banyan", "path=\"/work/x\"", "see /home/me/x"] {
                assert_eq!(errors(path, text).len(), 1, "{text} in {path}");
            }
            for text in ["target/work/x", "https://example.org/home/x", "TODOS", "$HOME/x", "{folder}/work/x"] {
                assert!(errors(path, text).is_empty(), "{text} in {path}");
            }
        }
    }

    #[test]
    fn sql_stands_in_the_store() {
        for sql in ["SELECT 1", "INSERT INTO a", "UPDATE a SET b = 1", "DELETE FROM a", "WITH a AS (SELECT 1)"] {
            let code = format!("const SQL: &str = \"{sql}\";");
            for path in ["services/shop/src/api.rs", "services/shop/src/domain/a.rs", "services/shop/src/stores.rs"] {
                assert_eq!(errors(path, &code).len(), 1, "{sql} in {path}");
            }
            for path in ["services/shop/src/store.rs", "services/shop/tests/service.rs", "kernel/db/src/outbox.rs"] {
                assert!(errors(path, &code).is_empty(), "{sql} in {path}");
            }
        }
        for no_sql in ["\"DELETE /v1/carts\"", "\"DELETE\"", "// SELECT 1", "Method::DELETE", "\"SELECTED it\""] {
            assert!(errors("services/shop/src/api.rs", no_sql).is_empty(), "{no_sql}");
        }
    }
}

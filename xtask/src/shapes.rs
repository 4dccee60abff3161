//! One service has the same files as every other, and migrations are numbered.

use std::collections::BTreeSet;

use crate::report::Report;
use crate::tree::Tree;

/// Files of `src`, in reading order; where one has a folder too, it is its own matter.
const FILES: [&str; 9] =
    ["lib.rs", "config.rs", "api.rs", "consumers.rs", "jobs.rs", "perform.rs", "domain.rs", "store.rs", "publish.rs"];

/// Files that every service has.
const ALWAYS: [&str; 3] = ["README.md", "src/lib.rs", "src/config.rs"];

/// Files that belong together: who has the first needs the second.
const TOGETHER: [(&str, &str); 9] = [
    ("src/api.rs", "src/api/problem.rs"),
    ("src/api.rs", "src/api/openapi.rs"),
    ("src/perform.rs", "src/domain.rs"),
    ("src/perform.rs", "src/store.rs"),
    ("src/domain.rs", "src/perform.rs"),
    ("src/consumers.rs", "src/perform.rs"),
    ("src/jobs.rs", "src/perform.rs"),
    ("src/publish.rs", "src/perform.rs"),
    ("src/store.rs", "migrations"),
];

/// What a service has beside that, with the reason.
const MORE: [(&str, &str); 5] = [
    ("services/inventory/src/rebuild.rs", "shows that the rows of stock follow from the events"),
    ("services/notifications/src/courier.rs", "the only task that sends webhooks, while no transaction is open"),
    ("services/notifications/src/post.rs", "how a message leaves: over the network, or as somebody plays it"),
    ("services/payments/src/calls.rs", "the only task that calls the provider, while no transaction is open"),
    ("services/payments/src/provider.rs", "what a provider is asked, and the test provider with its own book"),
];

/// Checks the files of every service, and every folder of migrations.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for service in tree.folders_in("services") {
        check_service(tree, &format!("services/{service}"), report);
    }
    for (more, _) in MORE {
        let service = more.split("/src/").next().unwrap_or(more);
        if tree.text(&format!("{service}/Cargo.toml")).is_some() && tree.text(more).is_none() {
            report.error(more, "is listed in xtask as a file of its own, and is not there");
        }
    }
    check_migrations(tree, report);
}

fn check_service(tree: &Tree, service: &str, report: &mut Report) {
    let has = |file: &str| {
        tree.text(&format!("{service}/{file}")).is_some() || tree.below(&format!("{service}/{file}")).next().is_some()
    };
    for file in ALWAYS.into_iter().filter(|file| !has(file)) {
        report.error(service, format!("a service has a {file}"));
    }
    for (with, needs) in TOGETHER.into_iter().filter(|(with, needs)| has(with) && !has(needs)) {
        report.error(service, format!("a service with {with} has {needs} too"));
    }
    let sources = format!("{service}/src");
    let tops: BTreeSet<&str> = tree.below(&sources).map(|(path, _)| path.split('/').next().unwrap_or(path)).collect();
    for top in tops {
        let file = format!("{}.rs", top.strip_suffix(".rs").unwrap_or(top));
        let path = format!("{sources}/{file}");
        let is_listed = MORE.iter().any(|(more, _)| *more == path);
        if !FILES.contains(&file.as_str()) && !is_listed {
            let message = format!("is none of {}; or list it in xtask/src/shapes.rs with its reason", FILES.join(", "));
            report.error(&format!("{sources}/{top}"), message);
        }
    }
}

/// Migrations are `0001_name.sql`, `0002_name.sql` and so on, and the program holds them all.
fn check_migrations(tree: &Tree, report: &mut Report) {
    let folders: BTreeSet<&str> =
        tree.files().filter_map(|(path, _)| Some(path.split_once("/migrations/")?.0)).collect();
    for folder in folders {
        let migrations = format!("{folder}/migrations");
        for (at, (file, _)) in tree.below(&migrations).enumerate() {
            let path = format!("{migrations}/{file}");
            let expected = format!("{:04}_", at + 1);
            let is_named =
                file.strip_suffix(".sql").and_then(|name| name.strip_prefix(&expected)).is_some_and(|name| {
                    !name.is_empty() && name.chars().all(|char| char.is_ascii_lowercase() || char == '_')
                });
            if !is_named {
                report.error(
                    &path,
                    format!("migrations are numbered without a gap; {expected}name.sql is expected here"),
                );
            }
            let sources = format!("{folder}/src");
            if !tree.below(&sources).any(|(_, text)| text.contains(&format!("migrations/{file}"))) {
                report.error(&path, "no program holds this migration: it stands in no `MIGRATIONS`");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::Report;
    use crate::tree::Tree;

    const WHOLE: [(&str, &str); 15] = [
        ("services/shop/Cargo.toml", ""),
        ("services/shop/README.md", ""),
        ("services/shop/migrations/0001_shop.sql", ""),
        ("services/shop/src/lib.rs", "include_str!(\"../migrations/0001_shop.sql\")"),
        ("services/shop/src/config.rs", ""),
        ("services/shop/src/api.rs", ""),
        ("services/shop/src/api/problem.rs", ""),
        ("services/shop/src/api/openapi.rs", ""),
        ("services/shop/src/consumers.rs", ""),
        ("services/shop/src/jobs.rs", ""),
        ("services/shop/src/perform.rs", ""),
        ("services/shop/src/domain.rs", ""),
        ("services/shop/src/domain/rules.rs", ""),
        ("services/shop/src/store.rs", ""),
        ("services/shop/src/publish.rs", ""),
    ];

    fn errors(files: &[(&str, &str); 15]) -> Vec<String> {
        let tree = Tree::of(*files);
        let mut report = Report::of(&tree);
        super::check(&tree, &mut report);
        report.errors()
    }

    /// What is found when one file has another path.
    fn moved(from: &str, to: &str) -> Vec<String> {
        assert!(WHOLE.iter().any(|(path, _)| *path == from), "{from}");
        errors(&WHOLE.map(|(path, text)| (if path == from { to } else { path }, text)))
    }

    #[test]
    fn a_whole_service_passes() {
        assert!(errors(&WHOLE).is_empty(), "{:?}", errors(&WHOLE));
    }

    #[test]
    fn a_missing_file_is_named() {
        for (path, _) in WHOLE {
            let is_free = ["Cargo.toml", "consumers.rs", "jobs.rs", "api.rs", "rules.rs", "publish.rs"];
            if !is_free.iter().any(|end| path.ends_with(end)) {
                assert!(!moved(path, "elsewhere").is_empty(), "nobody misses {path}");
            }
        }
        assert!(moved("services/shop/src/api/problem.rs", "x").concat().contains("src/api/problem.rs"));
    }

    #[test]
    fn an_unknown_file_or_folder_is_refused() {
        for unknown in ["helpers.rs", "model/order.rs", "README.md"] {
            let path = format!("services/shop/src/{unknown}");
            let found = moved("services/shop/src/domain/rules.rs", &path).concat();
            assert!(found.contains("is none of lib.rs"), "{unknown}: {found}");
        }
    }

    #[test]
    fn a_listed_file_that_is_gone_is_found() {
        let found = moved("services/shop/Cargo.toml", "services/inventory/Cargo.toml").concat();
        assert!(found.contains("services/inventory/src/rebuild.rs: is listed"), "{found}");
    }

    #[test]
    fn a_migration_out_of_line_is_found() {
        for name in ["0002_shop.sql", "1_shop.sql", "0001_Shop.sql", "0001_.sql", "0001_shop.txt"] {
            let found = moved("services/shop/migrations/0001_shop.sql", &format!("services/shop/migrations/{name}"));
            assert!(found.concat().contains("without a gap"), "{name}: {found:?}");
        }
        let unheld = WHOLE.map(|(path, _)| (path, ""));
        assert!(errors(&unheld).concat().contains("no program holds"));
    }
}

//! Who may stand on whom: kernel ← contracts ← services ← apps, and which crates have one door only.

use std::collections::BTreeMap;

use toml::Table;

use crate::report::Report;
use crate::tree::Tree;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floor {
    Kernel,
    Contracts,
    Service,
    App,
    /// Looks at the running program from outside.
    E2e,
    /// Checks the house; nobody stands on it.
    Xtask,
}

impl Floor {
    fn of(folder: &str) -> Option<Self> {
        match folder.split('/').collect::<Vec<_>>()[..] {
            ["kernel", _] => Some(Self::Kernel),
            ["contracts"] => Some(Self::Contracts),
            ["services", _] => Some(Self::Service),
            // The fuzz targets put services together, as programs do.
            ["apps", _] | ["fuzz"] => Some(Self::App),
            ["e2e"] => Some(Self::E2e),
            ["xtask"] => Some(Self::Xtask),
            _ => None,
        }
    }

    fn may_stand_on(self, below: Self) -> bool {
        match self {
            Self::Kernel | Self::Contracts => below == Self::Kernel,
            Self::Service | Self::E2e => matches!(below, Self::Kernel | Self::Contracts),
            Self::App | Self::Xtask => matches!(below, Self::Kernel | Self::Contracts | Self::Service),
        }
    }
}

/// What only some crates may use, also in their tests, with the reason.
struct Door {
    what: &'static [&'static str],
    only_in: &'static [&'static str],
    reason: &'static str,
}

const DOORS: [Door; 5] = [
    Door {
        what: &["rusqlite", "libsqlite3-sys", "tokio-postgres", "tokio-postgres-rustls", "postgres", "sqlx", "diesel"],
        only_in: &["kernel/db", "kernel/testkit"],
        reason: "database drivers are used in kernel/db alone",
    },
    Door {
        what: &["hyper", "hyper-rustls", "hyper-util", "reqwest", "ureq", "isahc", "curl"],
        only_in: &["kernel/web"],
        reason: "HTTP is asked through web::Client",
    },
    Door {
        what: &["rustls", "tokio-rustls", "hyper-rustls", "native-tls", "openssl"],
        only_in: &["kernel/web", "kernel/db"],
        reason: "TLS is spoken in kernel/web, and to PostgreSQL in kernel/db",
    },
    Door {
        what: &["rdkafka", "rskafka"],
        only_in: &["kernel/events"],
        reason: "Kafka is known to kernel/events alone",
    },
    Door {
        what: &["fastrand", "rand", "getrandom", "uuid", "chrono", "time"],
        only_in: &["kernel/world"],
        reason: "time, numbers and chance come from world::World",
    },
];

/// Names that say nothing about what a crate is for, so that anything ends up in them.
const NO_NAMES: [&str; 7] = ["common", "core", "shared", "util", "utils", "types", "helpers"];

struct Dependency {
    name: String,
    is_for_tests: bool,
}

/// Checks what every `Cargo.toml` depends on.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let manifests: Vec<_> = tree.ending("Cargo.toml").filter_map(|(path, text)| manifest(path, text, report)).collect();
    let folders: BTreeMap<String, &str> =
        manifests.iter().map(|(folder, table)| (package(folder, table), folder.as_str())).collect();
    for (folder, table) in &manifests {
        let path = format!("{folder}/Cargo.toml");
        let Some(floor) = Floor::of(folder) else {
            report.error(
                &path,
                "a crate stands on one of the floors: kernel, contracts, services, apps, e2e, fuzz, xtask",
            );
            continue;
        };
        let package = package(folder, table);
        if NO_NAMES.contains(&package.as_str()) {
            report.error(&path, format!("a crate called {package} takes in anything; name it for its one job"));
        }
        for dependency in dependencies(table) {
            if let Some(below) = folders.get(&dependency.name) {
                check_floor(&path, floor, &dependency, below, report);
            }
            let closed = |door: &&Door| door.what.contains(&dependency.name.as_str());
            let door = DOORS.iter().find(closed).filter(|door| !door.only_in.contains(&folder.as_str()));
            if let Some(Door { reason, .. }) = door {
                report.error(&path, format!("{} has no place here: {reason}", dependency.name));
            }
            if folder == "kernel/testkit"
                && DOORS[0].what.contains(&dependency.name.as_str())
                && !dependency.is_for_tests
            {
                report.error(&path, format!("{} is for testkit's own tests only", dependency.name));
            }
        }
    }
}

fn check_floor(path: &str, floor: Floor, dependency: &Dependency, below: &str, report: &mut Report) {
    let name = &dependency.name;
    match Floor::of(below) {
        Some(Floor::Service) if floor == Floor::Service => {
            report.error(
                path,
                format!("a service depends on the service {name}; they know each other through contracts"),
            );
        }
        Some(below) if !floor.may_stand_on(below) => {
            report.error(
                path,
                format!("{floor:?} cannot stand on {name} ({below:?}): kernel ← contracts ← services ← apps"),
            );
        }
        _ => {}
    }
    if name == "testkit" && !dependency.is_for_tests && floor != Floor::E2e {
        report.error(path, "testkit is for tests: it belongs in [dev-dependencies]");
    }
}

/// A crate's folder and manifest; none for that of the workspace.
fn manifest(path: &str, text: &str, report: &mut Report) -> Option<(String, Table)> {
    let folder = path.strip_suffix("/Cargo.toml")?;
    match text.parse::<Table>() {
        Ok(table) => Some((folder.to_owned(), table)),
        Err(error) => {
            report.error(path, format!("no TOML: {}", error.message()));
            None
        }
    }
}

fn package(folder: &str, table: &Table) -> String {
    let name = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    name.unwrap_or(folder).to_owned()
}

fn dependencies(table: &Table) -> Vec<Dependency> {
    let targets = table.get("target").and_then(toml::Value::as_table);
    let tables =
        std::iter::once(table).chain(targets.into_iter().flatten().filter_map(|(_, target)| target.as_table()));
    let sections = tables.flat_map(|table| {
        let section = |name: &'static str| Some((name, table.get(name)?.as_table()?));
        ["dependencies", "build-dependencies", "dev-dependencies"].into_iter().filter_map(section)
    });
    let of_section = |(section, entries): (&'static str, &Table)| {
        let dependency = |(key, value): (&String, &toml::Value)| {
            let renamed = value.get("package").and_then(toml::Value::as_str);
            Dependency { name: renamed.unwrap_or(key).to_owned(), is_for_tests: section == "dev-dependencies" }
        };
        entries.iter().map(dependency).collect::<Vec<_>>()
    };
    sections.flat_map(of_section).collect()
}

#[cfg(test)]
mod tests {
    use crate::report::Report;
    use crate::tree::Tree;

    fn crate_of(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{rest}")
    }

    /// What is found in a house of one crate for each floor, one of which has these dependencies.
    fn errors(folder: &str, rest: &str) -> Vec<String> {
        let manifest = |of: &str, name: &str| crate_of(name, if of == folder { rest } else { "" });
        let tree = Tree::of([
            ("Cargo.toml", "[workspace]"),
            ("kernel/db/Cargo.toml", &manifest("kernel/db", "db")),
            ("kernel/testkit/Cargo.toml", &manifest("kernel/testkit", "testkit")),
            ("contracts/Cargo.toml", &manifest("contracts", "contracts")),
            ("services/orders/Cargo.toml", &manifest("services/orders", "orders")),
            ("services/payments/Cargo.toml", &manifest("services/payments", "payments")),
            ("apps/banyan/Cargo.toml", &manifest("apps/banyan", "banyan")),
            ("e2e/Cargo.toml", &manifest("e2e", "e2e")),
        ]);
        let mut report = Report::of(&tree);
        super::check(&tree, &mut report);
        report.errors()
    }

    #[test]
    fn every_floor_may_stand_on_those_below() {
        let none: [&str; 0] = [];
        assert_eq!(errors("apps/banyan", "[dependencies]\norders = {}\ncontracts = {}\ndb = {}"), none);
        assert_eq!(errors("services/orders", "[dependencies]\ncontracts = {}\n[dev-dependencies]\ntestkit = {}"), none);
        assert_eq!(errors("kernel/db", "[dependencies]\nrusqlite = \"1\""), none);
        assert_eq!(errors("kernel/testkit", "[dev-dependencies]\ntokio-postgres = \"1\""), none);
        assert_eq!(errors("e2e", "[dependencies]\ntestkit = {}"), none);
    }

    #[test]
    fn no_floor_may_stand_on_one_above() {
        for (folder, above) in [
            ("kernel/db", "contracts"),
            ("kernel/db", "orders"),
            ("contracts", "orders"),
            ("services/orders", "banyan"),
            ("e2e", "orders"),
            ("e2e", "banyan"),
        ] {
            for section in ["dependencies", "build-dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"]
            {
                let found = errors(folder, &format!("[{section}]\n{above} = {{}}"));
                assert!(found.len() == 1 && found[0].contains(above), "{folder} on {above}: {found:?}");
            }
        }
    }

    #[test]
    fn a_service_cannot_depend_on_a_service_under_any_name() {
        for dependency in ["payments = {}", "money_side = { package = \"payments\" }"] {
            let found = errors("services/orders", &format!("[dependencies]\n{dependency}"));
            assert!(found.len() == 1 && found[0].contains("through contracts"), "{found:?}");
        }
    }

    #[test]
    fn what_has_one_door_goes_through_no_other() {
        for (folder, what) in [
            ("services/orders", "rusqlite"),
            ("apps/banyan", "tokio-postgres"),
            ("kernel/testkit", "tokio-postgres"),
            ("services/orders", "hyper"),
            ("e2e", "reqwest"),
            ("services/payments", "rustls"),
            ("kernel/db", "rand"),
            ("services/payments", "rdkafka"),
            ("services/payments", "testkit"),
        ] {
            let found = errors(folder, &format!("[dependencies]\n{what} = \"1\""));
            assert!(found.len() == 1 && found[0].contains(what), "{what} in {folder}: {found:?}");
        }
    }

    #[test]
    fn a_crate_is_named_for_what_it_does_and_stands_on_a_floor() {
        let found_in = |path: &str, name: &str| {
            let tree = Tree::of([(path, &crate_of(name, ""))]);
            let mut report = Report::of(&tree);
            super::check(&tree, &mut report);
            report.errors().concat()
        };
        assert!(found_in("kernel/shared/Cargo.toml", "shared").contains("takes in anything"));
        assert!(found_in("tools/mill/Cargo.toml", "mill").contains("one of the floors"));
    }
}

//! The databases: files of `SQLite`, and servers of `PostgreSQL`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use db::{FileState, ServerState};
use world::World;

use super::machine::owner;
use super::{Check, Grade};
use crate::config::Place;
use crate::run::{self, Plan};
use crate::services::Known;

/// The oldest `PostgreSQL` whose answers this release understands, as 13.0 is 130000.
const OLDEST_SERVER: i32 = 130_000;
/// Beyond this the times that two machines write tell nothing about what came first.
const CLOCKS_APART: Duration = Duration::from_secs(1);

/// Looks at the database of each service.
pub(super) fn look(plan: &Plan, places: &[Place]) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut servers: BTreeMap<&str, (String, bool, Vec<&str>)> = BTreeMap::new();
    for (known, place) in plan.services.iter().zip(places) {
        match run::url(plan, known, place) {
            Some((path, url)) => {
                let allowed = place.options().allow_fsync_off;
                let (_, fsync_off, services) = servers.entry(url.expose()).or_insert_with(|| (path, true, Vec::new()));
                *fsync_off &= allowed;
                services.push(known.name);
            }
            None => checks.push(file(&plan.program.data, known)),
        }
    }
    for (url, (path, fsync_off, services)) in servers {
        let name = format!("{} of {}", db::server_of(url).unwrap_or_default(), services.join(", "));
        let world = World::real();
        let asked = world.now();
        match db::look_at_server(url, &services) {
            Ok(state) => {
                let answered = world.now();
                let apart = asked.since(state.now).max(state.now.since(answered));
                checks.push(judge_server(&name, &state, apart, fsync_off));
            }
            Err(failure) => checks.push(Check::bad(
                "PostgreSQL",
                format!("{name}: {failure}"),
                format!("start it, or correct setting {}", plan.settings.shown(&path)),
            )),
        }
    }
    checks
}

fn file(data: &Path, known: &Known) -> Check {
    let name = format!("{}.db", known.name);
    let path = data.join(&name);
    if !path.exists() {
        return Check::ok("SQLite", format!("{name} is not there yet; it is made at the first start"));
    }
    // Reading all pages keeps the log of a program at work from being copied into the file.
    let owner = owner(data, known.name);
    match db::look_at_file(&path, known.name, known.migrations, owner.is_none()) {
        Ok(state) => judge_file(&name, &state, owner.as_deref()),
        Err(failure) => Check::bad(
            "SQLite",
            format!("{name} cannot be read: {failure}"),
            "see that it belongs to this user; if it is broken, restore it from a backup",
        ),
    }
}

fn judge_file(name: &str, state: &FileState, owner: Option<&str>) -> Check {
    if let Some(fault) = state.faults.first() {
        return Check::bad(
            "SQLite",
            format!("{name} is broken: {fault}"),
            "do not start on it; restore it from a backup",
        );
    }
    if !state.tampered.is_empty() {
        let found = format!("{name} has migrations that are not the ones that ran: {}", state.tampered.join(", "));
        return Check::bad("SQLite", found, "use the release that made it, or restore it from a backup");
    }
    if !state.newer.is_empty() {
        let found = format!("{name} has migrations of a newer release: {}", state.newer.join(", "));
        return Check::warn("SQLite", found, "go on with the newer release where you can");
    }
    let pages = owner.map_or_else(
        || "all its pages are sound".to_owned(),
        |owner| format!("its pages are looked at only while nothing runs on it, and {owner} does"),
    );
    Check::ok("SQLite", format!("{name}: {} migrations, all known; {pages}", state.applied))
}

fn judge_server(name: &str, state: &ServerState, apart: Duration, fsync_off_allowed: bool) -> Check {
    let mut grade = Grade::Ok;
    let (mut found, mut advice) = (Vec::new(), Vec::new());
    let mut fault = |how: Grade, what: String, cure: &str| {
        if how == Grade::Bad || grade == Grade::Ok {
            grade = how;
        }
        found.push(what);
        advice.push(cure.to_owned());
    };
    let version = format!("{}.{}", state.version / 10_000, state.version % 10_000);
    if state.version < OLDEST_SERVER {
        fault(Grade::Bad, format!("it is version {version}"), "take 13 or newer");
    }
    for off in &state.off {
        let how = match off.as_str() {
            "fsync" if !fsync_off_allowed => Grade::Bad,
            _ => Grade::Warn,
        };
        let cure = match off.as_str() {
            "synchronous_commit" => "set it on; Banyan's own connections do so themselves",
            _ => "set it on, or a power cut takes what was confirmed",
        };
        fault(how, format!("{off} is off"), cure);
    }
    if !state.may_have_roles {
        fault(Grade::Bad, "its user may make no roles".to_owned(), "ALTER ROLE … CREATEROLE");
    }
    if !state.may_make_schemas {
        fault(Grade::Bad, "its user may make no schemas".to_owned(), "GRANT CREATE ON DATABASE … TO …");
    }
    if state.is_exposed {
        let cure = "add sslmode=verify-full to the URL (README, On PostgreSQL)";
        fault(Grade::Warn, "it is another machine and is asked without TLS".to_owned(), cure);
    }
    if apart > CLOCKS_APART {
        fault(Grade::Warn, format!("its clock and ours are {apart:?} apart"), "let NTP set both");
    }
    if grade == Grade::Ok {
        let millis = apart.as_millis();
        return Check::ok("PostgreSQL", format!("{name}: {version}, it waits for its disk, clocks {millis} ms apart"));
    }
    Check {
        about: "PostgreSQL",
        grade,
        found: format!("{name}: {}", found.join("; ")),
        advice: Some(advice.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use db::{FileState, ServerState};
    use world::Moment;

    use super::{judge_file, judge_server};
    use crate::doctor::Grade;

    #[test]
    fn each_fault_of_a_file_has_its_grade() {
        let grade = |state: FileState| judge_file("orders.db", &state, None).grade;
        let some = || vec!["orders/9".to_owned()];
        assert_eq!(grade(FileState { applied: 3, ..FileState::default() }), Grade::Ok);
        assert_eq!(grade(FileState { newer: some(), ..FileState::default() }), Grade::Warn);
        assert_eq!(grade(FileState { tampered: some(), newer: some(), ..FileState::default() }), Grade::Bad);
        assert_eq!(grade(FileState { faults: some(), ..FileState::default() }), Grade::Bad);
    }

    #[test]
    fn each_fault_of_a_server_has_its_grade_and_the_worst_one_counts() {
        let good = ServerState {
            version: 130_000,
            off: vec![],
            may_have_roles: true,
            may_make_schemas: true,
            is_exposed: false,
            now: Moment::from_micros(0),
        };
        let judge = |state: &ServerState, millis, allowed| {
            judge_server("here", state, Duration::from_millis(millis), allowed).grade
        };
        let off = |name: &str| ServerState { off: vec![name.to_owned()], ..good.clone() };
        assert_eq!(judge(&good, 0, false), Grade::Ok);
        assert_eq!(judge(&good, 1_001, false), Grade::Warn);
        assert_eq!(judge(&ServerState { version: 120_022, ..good.clone() }, 1_001, false), Grade::Bad);
        assert_eq!(judge(&off("fsync"), 1_001, false), Grade::Bad);
        assert_eq!(judge(&off("fsync"), 0, true), Grade::Warn);
        assert_eq!(judge(&off("synchronous_commit"), 0, false), Grade::Warn);
        assert_eq!(judge(&off("full_page_writes"), 0, false), Grade::Warn);
        assert_eq!(judge(&ServerState { is_exposed: true, ..good.clone() }, 0, false), Grade::Warn);
        assert_eq!(judge(&ServerState { may_have_roles: false, ..good.clone() }, 0, false), Grade::Bad);
        assert_eq!(judge(&ServerState { may_make_schemas: false, ..good.clone() }, 0, false), Grade::Bad);
    }
}

//! What was published once can be read forever: every golden example is read by the types of today.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use contracts::{Unreadable, inventory, notifications, orders, payments};
use serde_json::Value;

/// What a service says, as far as this test needs to know it.
struct Spoken {
    source: &'static str,
    kinds: &'static [(&'static str, i64)],
    /// Reads an event and writes it again; none for an unknown type.
    again: fn(kind: &str, body: &str) -> Result<Option<String>, Unreadable>,
}

const ALL: [Spoken; 4] = [
    Spoken {
        source: inventory::Event::SOURCE,
        kinds: inventory::Event::KINDS,
        again: |kind, body| Ok(inventory::Event::read(kind, body)?.map(|event| event.body())),
    },
    Spoken {
        source: notifications::Event::SOURCE,
        kinds: notifications::Event::KINDS,
        again: |kind, body| Ok(notifications::Event::read(kind, body)?.map(|event| event.body())),
    },
    Spoken {
        source: orders::Event::SOURCE,
        kinds: orders::Event::KINDS,
        again: |kind, body| Ok(orders::Event::read(kind, body)?.map(|event| event.body())),
    },
    Spoken {
        source: payments::Event::SOURCE,
        kinds: payments::Event::KINDS,
        again: |kind, body| Ok(payments::Event::read(kind, body)?.map(|event| event.body())),
    },
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn example(source: &str, kind: &str, version: i64) -> String {
    let path = golden().join(source).join(format!("{kind}.{version}.json"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether everything that stands in `old` stands in `new` too.
fn holds_all_of(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            old.iter().all(|(name, old)| new.get(name).is_some_and(|new| holds_all_of(new, old)))
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| holds_all_of(new, old))
        }
        (new, old) => new == old,
    }
}

#[test]
fn every_version_of_every_type_has_an_example_and_every_example_has_a_type() {
    let mut folders = names_in(&golden());
    assert!(folders.remove("README.md"));
    assert_eq!(folders, ALL.iter().map(|spoken| spoken.source.to_owned()).collect(), "a folder for each service");
    for spoken in ALL {
        let versions = |(kind, written): &(&str, i64)| {
            (1..=*written).map(|version| format!("{kind}.{version}.json")).collect::<Vec<_>>()
        };
        let expected: BTreeSet<String> = spoken.kinds.iter().flat_map(versions).collect();
        assert_eq!(names_in(&golden().join(spoken.source)), expected, "the examples of {}", spoken.source);
    }
}

#[test]
fn every_example_is_read_and_written_again_without_loss() {
    for Spoken { source, kinds, again } in ALL {
        for (kind, written) in kinds {
            for version in 1..=*written {
                let body = example(source, kind, version);
                let old: Value = serde_json::from_str(&body).unwrap();
                let new = again(kind, &body).unwrap_or_else(|error| panic!("{source} {kind}.{version}: {error}"));
                let new: Value = serde_json::from_str(&new.expect("a type of KINDS is known")).unwrap();
                if version == *written {
                    assert_eq!(new, old, "{source} {kind}.{version} written again");
                } else {
                    assert!(holds_all_of(&new, &old), "{source} {kind}.{version} lost something: {new}");
                }
            }
        }
    }
}

#[test]
fn a_type_that_this_release_does_not_know_is_none() {
    for Spoken { again, .. } in ALL {
        assert_eq!(again("SomethingOfTomorrow", "{}"), Ok(None));
    }
}

#[test]
fn an_older_example_may_gain_members_and_lose_none() {
    let old = serde_json::json!({"order": "a", "lines": [{"sku": "b"}]});
    let gained = serde_json::json!({"order": "a", "lines": [{"sku": "b", "gift": null}], "market": null});
    let lost = serde_json::json!({"order": "a", "lines": [{"gift": null}]});
    let changed = serde_json::json!({"order": "b", "lines": [{"sku": "b"}]});
    assert!(holds_all_of(&gained, &old));
    assert!(!holds_all_of(&lost, &old));
    assert!(!holds_all_of(&changed, &old));
}

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use db::{Database, Documents, Location, Migration, Options};
use serde_json::{Value, json};
use world::World;

use crate::binary::{Server, ask, banyan, run};

/// A folder on which a shop ran: stock, an order that was confirmed, and one that was declined.
fn closed_shop(folder: &Path) {
    let mut server = Server::up(folder, &[]);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    server.order("o-2", "pm_card_chargeDeclined");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

fn audit(folder: &Path) -> (i32, String, String) {
    run(banyan(&["audit", "--data"]).arg(folder))
}

/// Changes the file of a service behind its back.
fn damage(folder: &Path, service: &'static str, migrations: &[Migration], sql: &'static str) {
    let location = Location::File(folder.join(format!("{service}.db")));
    let database = Database::open(service, location, Options::default(), World::real(), migrations).expect("it opens");
    let damaged = database.write(move |tx| {
        tx.execute(sql, []);
        Ok(())
    });
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(damaged).expect("it is damaged");
}

/// All files of a folder, but those in which `SQLite` keeps what it can work out again, and logs in which
/// nothing is: who reads a file that was closed makes one.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let named = files.map(|path| (path.display().to_string(), path));
    let kept = named.filter(|(name, _)| !name.ends_with("-shm"));
    let read = kept.map(|(name, path)| (name, fs::read(path).expect("a file")));
    read.filter(|(name, bytes)| !(name.ends_with("-wal") && bytes.is_empty())).collect()
}

#[test]
fn the_files_of_a_shop_that_was_closed_balance_and_are_left_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    closed_shop(folder.path());
    let before = contents(folder.path());
    let (code, out, said) = audit(folder.path());
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].contains("the files in ") && lines[0].contains(folder.path().to_str().expect("letters")), "{out}");
    assert_eq!(lines[1], "5 events of inventory, 1 SKUs");
    assert_eq!(lines[2], "2 orders (1 cancelled, 1 confirmed), 2 charges at the provider");
    assert_eq!(lines[3], "4 rows of stock, reservations, holds and movements, rebuilt from 5 events");
    assert_eq!(lines[4], "The books balance.");
    assert!(contents(folder.path()) == before, "an audit writes nothing");
}

#[test]
fn the_files_of_a_shop_that_was_killed_balance() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::up(folder.path(), &[]);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    server.signal("KILL");
    server.wait();
    let (code, out, said) = audit(folder.path());
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert!(out.contains("1 orders (1 confirmed)"), "{out}");
}

#[test]
fn a_row_that_was_changed_by_hand_is_named() {
    for (service, migrations, sql, names) in [
        (
            "inventory",
            inventory::MIGRATIONS,
            "UPDATE stock SET on_hand = 7",
            &[
                "wrong: the level of A-1 is not what the events add up to",
                "wrong: the row stock sku=A-1 warehouse=main: on_hand is 7, and 4 by the journal",
            ][..],
        ),
        (
            "inventory",
            inventory::MIGRATIONS,
            "DELETE FROM stock",
            &[
                "wrong: the level of A-1 is not what the events add up to",
                "wrong: the row stock sku=A-1 warehouse=main: it is missing",
            ],
        ),
        (
            "inventory",
            inventory::MIGRATIONS,
            "DELETE FROM event WHERE position = 3",
            &["-4 follows position 2", "wrong: the row reservation number="],
        ),
        (
            "orders",
            orders::MIGRATIONS,
            "UPDATE orders SET status = 'cancelled' WHERE name = 'local/o-1'",
            &["wrong: o-1 is cancelled: 0 are due, the provider kept 500 and holds 0"],
        ),
        (
            "orders",
            orders::MIGRATIONS,
            "UPDATE orders SET status = 'paid' WHERE name = 'local/o-1'",
            &["wrong: orders.db: a row is not as it must be: order local/o-1: an order's status: \"paid\""],
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        closed_shop(folder.path());
        damage(folder.path(), service, migrations, sql);
        let (code, out, said) = audit(folder.path());
        assert_eq!((code, said.lines().count()), (1, 1), "{sql}: {out}{said}");
        assert!(said.contains("the books do not balance"), "{said}");
        for name in names {
            assert!(out.contains(name), "{sql}: {name} is missing: {out}");
        }
    }
}

#[test]
fn where_a_program_runs_on_the_folder_the_audit_goes_through_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(folder.path(), &[]);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    let (code, out, said) = audit(folder.path());
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert!(out.starts_with(&format!("Auditing the running server at {}\n", server.url())), "{out}");
    assert!(out.ends_with("The books balance.\n"), "{out}");
    // Another folder is not this server's, and this server is not at another address.
    let nowhere = "http://127.0.0.1:1";
    let (code, out, _) = run(banyan(&["audit", "--server", nowhere, "--data"]).arg(folder.path()));
    assert!(code == 0 && out.contains(&server.url()), "{out}");
    let (code, _, said) = run(&mut banyan(&["audit", "--server", nowhere]));
    assert!(code == 1 && said.contains("could not connect"), "{said}");
}

#[test]
fn money_that_was_given_back_is_not_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::up(folder.path(), &[]);
    server.receive(5);
    let order = server.order("o-1", "pm_card_visa");
    server.order("o-2", "pm_card_visa");
    let refund = format!("/v1/payments/{}/refund", order["payment"]["id"].as_str().expect("a name"));
    let (status, payment) = ask(server.address, "POST", &refund, "prefer: wait=20\r\n", &json!({}));
    assert_eq!((status, payment["status"].as_str()), (200, Some("refunded")), "{payment}");
    let balanced = |(code, out, said): (i32, String, String)| {
        assert_eq!((code, said.as_str()), (0, ""), "{out}");
        assert!(out.contains("\n2 orders (1 confirmed, 1 refunded), 2 charges at the provider\n"), "{out}");
    };
    balanced(audit(folder.path()));
    server.signal("TERM");
    server.wait();
    balanced(audit(folder.path()));

    // A customer who was only told of it misses the money.
    let book = Documents::open(&folder.path().join("test-provider.book")).expect("it opens");
    let charges = book.after("", 10).expect("it can be read");
    let refunded = charges.iter().find(|charge| charge.contains("refunded")).expect("a charge");
    let charge: Value = serde_json::from_str(refunded).expect("JSON");
    let key = charge["key"].as_str().expect("a key");
    book.put(key, &refunded.replace("refunded", "captured")).expect("it is written");
    drop(book);
    let (code, out, _) = audit(folder.path());
    assert!(code == 1 && out.contains("wrong: o-1 is refunded: 0 are due, the provider kept 500 and holds 0"), "{out}");
}

#[test]
fn a_folder_without_data_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for data in [folder.path(), &folder.path().join("none")] {
        let (code, out, said) = audit(data);
        assert_eq!((code, out.as_str(), said.lines().count()), (2, "", 1), "{said}");
        assert!(said.contains("holds no data of Banyan"), "{said}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is made");
    }
    let mut nothing = banyan(&["audit"]);
    for service in ["INVENTORY", "ORDERS", "PAYMENTS"] {
        nothing.env(format!("BANYAN_{service}__URL"), "http://127.0.0.1:1");
    }
    let (code, _, said) = run(&mut nothing);
    assert!(code == 1 && said.contains("there is nothing to audit"), "{said}");
    let (code, _, said) = run(nothing.env("BANYAN_DATABASE_URL", "postgres://127.0.0.1:1/none"));
    assert!(code == 1 && said.contains("inventory is on PostgreSQL"), "{said}");
}

#[test]
fn a_folder_that_is_not_whole_is_not_audited() {
    let folder = tempfile::tempdir().expect("a folder");
    closed_shop(folder.path());
    fs::rename(folder.path().join("orders.db"), folder.path().join("orders.old")).expect("a file");
    let (code, _, said) = audit(folder.path());
    assert!(code == 1 && said.contains("orders.db is missing"), "{said}");
    fs::write(folder.path().join("orders.db"), "").expect("a file");
    let (code, _, said) = audit(folder.path());
    assert!(code == 1 && said.contains("it is no database of a service"), "{said}");
}

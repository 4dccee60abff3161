//! A copy of all data, put back.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::binary::{Server, banyan, run};

fn backup(data: &Path, to: &Path) -> (i32, String, String) {
    run(banyan(&["backup"]).arg(to).arg("--data").arg(data))
}

fn restore(from: &Path, data: &Path) -> (i32, String, String) {
    run(banyan(&["restore"]).arg(from).arg("--data").arg(data))
}

/// A shop that sells and has a key, and a backup of it while it runs.
fn backed_up(folder: &Path) -> Server {
    let data = folder.join("data");
    fs::create_dir(&data).expect("a folder");
    let server = Server::up(&data, &[]);
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    let (code, out, said) = backup(&data, &folder.join("backup"));
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert!(out.contains("orders.db: ") && out.contains("writers were held for "), "{out}");
    server
}

#[test]
fn a_backup_of_a_running_shop_is_put_back_and_goes_on_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = backed_up(folder.path());
    let cursor = |server: &Server| server.get("/v1/events/orders").1["next"].as_str().expect("a cursor").to_owned();
    let before = cursor(&server);
    server.order("o-2", "pm_card_visa");
    server.signal("KILL");
    server.wait();
    let data = folder.path().join("restored");
    let (code, out, said) = restore(&folder.path().join("backup"), &data);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert!(!folder.path().join("restored.restoring").exists());

    let server = Server::up(&data, &[]);
    assert_eq!(server.get("/v1/orders/o-1").1["status"], "confirmed");
    assert_eq!(server.get("/v1/orders/o-2").0, 404, "that was later");
    server.order("o-2", "pm_card_visa");
    server.order("o-3", "pm_card_chargeDeclined");
    assert_eq!(server.get("/v1/orders/o-2").1["status"], "confirmed");
    assert_eq!(server.get("/health/ready").0, 200);
    let (code, out, said) = run(&mut banyan(&["audit", "--server", &server.url()]));
    assert_eq!(code, 0, "{out}{said}");
    // Who had read from outside may have heard of what is not there any more.
    let (status, told) = server.get(&format!("/v1/events/orders?after={before}"));
    assert_eq!((status, &told["code"]), (410, &serde_json::json!("cursor-of-another-life")));
}

#[test]
fn keys_and_the_providers_book_are_put_back_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let key = run(banyan(&["keys", "create", "ops", "--scope", "admin", "--json", "--data"]).arg(&data));
    assert_eq!(key.0, 0, "{}", key.2);
    let to = folder.path().join("backup");
    assert_eq!(backup(&data, &to).0, 0);
    let restored = folder.path().join("restored");
    assert_eq!(restore(&to, &restored).0, 0);
    let (code, out, _) = run(banyan(&["keys", "list", "--json", "--data"]).arg(&restored));
    assert!(code == 0 && out.contains("\"ops\""), "{out}");
}

#[test]
fn a_backup_that_is_not_what_it_was_is_refused_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = backed_up(folder.path());
    server.signal("TERM");
    server.wait();
    let (from, data) = (folder.path().join("backup"), folder.path().join("restored"));
    let refused = |says: &str| {
        let (code, _, said) = restore(&from, &data);
        assert!(code == 1 && said.contains(says), "{code} {said}");
        assert!(!folder.path().join("restored.restoring").exists());
        assert!(fs::read_dir(&data).is_ok_and(|mut files| files.next().is_none()), "{says}");
    };
    for file in ["orders.db", "test-provider.book"] {
        let path = from.join(file);
        let good = fs::read(&path).expect("a file");
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        fs::write(&path, &flipped).expect("it is damaged");
        refused(&format!("{file} is damaged: its SHA-256"));
        fs::write(&path, &good[..good.len() - 1]).expect("it is cut off");
        refused("bytes, not");
        fs::write(&path, good).expect("it is mended");
    }
    let manifest = from.join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    fs::write(&manifest, text.replace("\"file\": \"orders.db\"", "\"file\": \"../orders.db\"")).expect("it is changed");
    refused("which is no name of a file");
    fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 2")).expect("it is changed");
    refused("is of form 2");
    fs::write(&manifest, text.replace("\"service\": \"orders\"", "\"service\": \"parcels\"")).expect("it is changed");
    refused("holds parcels, which this program does not know");
    fs::write(&manifest, text).expect("it is mended");
    assert_eq!(restore(&from, &data).0, 0);
}

#[test]
fn nothing_is_overwritten_and_what_is_no_backup_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = backed_up(folder.path());
    server.signal("TERM");
    server.wait();
    let (data, from) = (folder.path().join("data"), folder.path().join("backup"));
    for (code, _, said) in [restore(&from, &data), backup(&data, &from)] {
        assert!(code == 2 && said.contains("is not empty, and nothing in it is overwritten"), "{said}");
    }
    let (code, _, said) = restore(&data, &folder.path().join("other"));
    assert!(code == 2 && said.contains("it has no manifest.json"), "{said}");
    let (code, _, said) = backup(&folder.path().join("nothing"), &folder.path().join("other"));
    assert!(code == 2 && said.contains("holds no data of Banyan"), "{said}");
}

#[test]
fn what_is_on_postgres_is_copied_by_its_own_means() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = banyan(&["backup"]);
    command.arg(folder.path().join("backup")).arg("--data").arg(folder.path());
    let (code, _, said) = run(command.env("BANYAN_ORDERS__DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"));
    assert!(code == 1 && said.contains("orders is on PostgreSQL") && said.contains("pg_dump"), "{said}");
}

/// The first block of this language in what the document says of `PostgreSQL`.
fn documented(language: &str) -> String {
    let document = include_str!("../../../../docs/backup.md");
    let on_postgres = document.split("## On PostgreSQL").nth(1).expect("a part about it");
    let block = on_postgres.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next());
    block.expect("a block").to_owned()
}

#[test]
fn what_the_document_says_of_postgres_puts_a_shop_back_that_goes_on_at_once() {
    let postgres = testkit::Postgres::shared();
    let (folder, url) = (tempfile::tempdir().expect("a folder"), postgres.database());
    let data = folder.path().join("data");
    let data = data.to_str().expect("a path of letters");
    let up = || {
        let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]);
        Server::start(up.env("BANYAN_DATABASE_URL", &url))
    };
    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        let done = shell.args(["-ec", line]).current_dir(folder.path()).env("BANYAN_DATABASE_URL", &url).output();
        let done = done.expect("there is a shell");
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let commands = documented("sh");
    let (dump, put_back) = commands.trim().split_once('\n').expect("one line each");

    let mut server = up();
    server.receive(5);
    server.order("o-1", "pm_card_visa");
    shell(dump);
    server.order("o-2", "pm_card_visa");
    let later = server.get("/v1/events/orders").1["next"].as_str().expect("a cursor").to_owned();
    server.signal("TERM");
    server.wait();
    shell(put_back);
    postgres.sql(&url, &documented("sql"));

    let server = up();
    assert_eq!(server.get("/v1/orders/o-1").1["status"], "confirmed");
    assert_eq!(server.get("/v1/orders/o-2").0, 404, "that was later");
    server.order("o-2", "pm_card_visa");
    assert_eq!(server.get("/v1/orders/o-2").1["status"], "confirmed", "each hears the others");
    let (ready, services) = server.get("/health/ready");
    assert_eq!(ready, 200, "{services}");
    let (status, told) = server.get(&format!("/v1/events/orders?after={later}"));
    assert_eq!((status, &told["code"]), (410, &serde_json::json!("cursor-of-another-life")));
    let (code, out, said) = run(&mut banyan(&["audit", "--server", &server.url()]));
    assert_eq!(code, 0, "{out}{said}");
}

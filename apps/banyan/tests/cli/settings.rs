use std::fs;

use crate::binary::{Server, banyan, holds, run};

/// Where the reference is kept, so that a change of it is seen.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/settings.md");

#[test]
fn the_reference_is_the_one_that_is_kept() {
    let (code, reference, said) = run(&mut banyan(&["settings", "--reference"]));
    assert_eq!((code, said.as_str()), (0, ""));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(GOLDEN, &reference).expect("the reference is written");
    }
    let kept = fs::read_to_string(GOLDEN).unwrap_or_default();
    assert_eq!(reference, kept, "write it anew with UPDATE_GOLDEN=1 if it should be so");
}

#[test]
fn a_wrong_setting_is_one_line_and_touches_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let up = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("a path of letters")];
    for (variable, value, told) in [
        ("BANYAN_INVENTORY__HOLD_SECS", "long", "setting inventory.hold_secs"),
        ("BANYAN_INVENTORY__HOLD_SECS", "1.5", "setting inventory.hold_secs"),
        ("BANYAN_PAYMENTS__READERS", "0", "setting payments.readers"),
        ("BANYAN_ORDERS__ON_LOST_STOCK", "panic", "setting orders.on_lost_stock"),
        ("BANYAN_HTTP__DRAIN_SECS", "-1", "setting http.drain_secs"),
        ("BANYAN_ORDRES__HOLD_SECS", "5", "did you mean BANYAN_ORDERS__HOLD_SECS?"),
        ("BANYAN_LISTEN", "nowhere", "setting listen = \"nowhere\" (variable BANYAN_LISTEN)"),
        ("BANYAN_LOG", "orders=loud", "setting log = \"orders=loud\" (variable BANYAN_LOG)"),
        ("BANYAN_LOG_FORMAT", "xml", "setting log_format"),
    ] {
        // `--listen` goes before the setting.
        let arguments = if variable == "BANYAN_LISTEN" { [up[0], up[3], up[4]].to_vec() } else { up.to_vec() };
        let (code, _, said) = run(banyan(&arguments).env(variable, value));
        assert_eq!((code, said.lines().count()), (2, 1), "{variable}={value}: {said}");
        assert!(said.contains(told), "{variable}={value}: {said}");
    }
    assert!(!holds(folder.path(), "data"), "nothing was made");
}

#[test]
fn what_cannot_be_is_named_with_its_value_its_place_and_what_would_be_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("banyan.toml");
    let config = file.to_str().expect("a path of letters");
    let data = folder.path().join("data");
    let data = data.to_str().expect("a path of letters");
    let good = ["up", "--config", config, "--listen", "127.0.0.1:0", "--data", data];
    let without_listen = [good[0], good[1], good[2], good[5], good[6]];
    let without_data = &good[..5];
    let apart = ["serve", "orders", "--config", config, "--listen", "127.0.0.1:0", "--data", data];
    for (arguments, text, told) in [
        (&good[..], "listn = 'x'", &["listn", "banyan.toml line 1", "did you mean listen?"][..]),
        (&good, "[orders]\nhold_sec = 3", &["orders.hold_sec", "line 2", "did you mean orders.hold_secs?"]),
        (&good, "[orders\n", &["banyan.toml", "line 1"]),
        (&good, "[orders]\nhold_secs = '3'", &["orders.hold_secs = \"3\"", "line 2", "a whole number, at least 1"]),
        (&good, "[orders]\nhold_secs = -5", &["orders.hold_secs = -5", "line 2", "at least 1"]),
        (&good, "[http]\nconnections = 0", &["http.connections = 0", "line 2", "at least 1"]),
        (&good, "[http]\nhead_bytes = 10", &["http.head_bytes = 10", "line 2", "at least 8192"]),
        (&good, "[payments]\nmax_tries = 0", &["payments.max_tries = 0", "line 2", "at least 1"]),
        (&without_listen, "listen = '127.0.0.1:99999'", &["listen = \"127.0.0.1:99999\"", "line 1", "127.0.0.1:8080"]),
        (&without_listen, "listen = '0.0.0.0:1'", &["listen = \"0.0.0.0:1\"", "line 1", "from other machines"]),
        (without_data, "data = ''", &["data = \"\"", "line 1", "the path of a folder"]),
        (&good, "log = 'orders=loud'", &["log = \"orders=loud\"", "line 1", "info,orders=debug"]),
        (&good, "database_url = 'mysql://a:hunter2@b'", &["database_url = ***", "line 1", "postgres://"]),
        (
            &good,
            "[orders]\ndatabase_url = ''",
            &["orders.database_url = ***", "line 2", "cannot be read", "postgres://"],
        ),
        (&good, "database_url = 'postgres:///hunter2'", &["database_url = ***", "line 1", "no host", "postgres://"]),
        (&good, "database_url = 'host=b password=hunter2'", &["database_url = ***", "cannot be read", "postgres://"]),
        (&apart, "[inventory]\nurl = 'nope'", &["inventory.url = \"nope\"", "line 2", "http://127.0.0.1:8081"]),
        (
            &good,
            "[orders]\nhold_secs = 30",
            &["orders.hold_secs = 30", "line 2", "orders.pay_margin_secs = 60 (the default)", "shorter"],
        ),
        (
            &good,
            "[payments]\nretry_ms = 60000",
            &["payments.retry_ms = 60000", "line 2", "payments.retry_at_most_ms = 30000 (the default)", "longer"],
        ),
    ] {
        fs::write(&file, text).expect("a file");
        let (code, _, said) = run(&mut banyan(arguments));
        assert_eq!((code, said.lines().count()), (2, 1), "{text}: {said}");
        assert!(told.iter().all(|told| said.contains(told)) && !said.contains("hunter2"), "{text}: {said}");
    }
    assert!(!holds(folder.path(), "data"), "nothing was made");
}

#[test]
fn what_fails_at_the_start_names_the_setting_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let file = file.to_str().expect("a path of letters");
    let (code, _, said) = run(&mut banyan(&["up", "--listen", "127.0.0.1:0", "--data", file]));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains(&format!("data = \"{file}\" (--data)")) && said.contains("may write to"), "{said}");
    let data = folder.path().join("data");
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("a path of letters")]);
    let (code, _, said) = run(up.env("BANYAN_ORDERS__DATABASE_URL", "postgres://a:hunter2@127.0.0.1:1/x"));
    let said = said.lines().last().unwrap_or_default();
    assert!(code == 1 && said.contains("127.0.0.1:1/x") && !said.contains("hunter2"), "{said}");
    assert!(said.contains("orders.database_url = *** (variable BANYAN_ORDERS__DATABASE_URL)"), "{said}");
}

#[test]
fn a_wrong_use_is_one_line() {
    for arguments in [&["up", "--lisen", "x"][..], &["upp"], &[], &["serve"], &["serve", "shoes"], &["settings"]] {
        let (code, out, said) = run(&mut banyan(arguments));
        assert_eq!((code, out.as_str(), said.lines().count()), (2, "", 1), "{arguments:?}: {said}");
    }
    for arguments in [&["--help"][..], &["up", "--help"], &["--version"]] {
        let (code, out, said) = run(&mut banyan(arguments));
        assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
        assert!(!out.is_empty());
    }
}

#[test]
fn the_environment_goes_before_the_file_and_a_flag_before_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, data) = (folder.path().join("banyan.toml"), folder.path().join("data"));
    fs::write(&file, format!("data = {data:?}\nlisten = \"0.0.0.0:1\"\n[inventory]\nhold_secs = 60\n"))
        .expect("a file");
    let file = file.to_str().expect("a path of letters");
    let (code, _, said) = run(&mut banyan(&["up", "--config", file]));
    assert!(code == 2 && said.contains("0.0.0.0:1"), "{said}");
    let mut by_environment = banyan(&["up", "--config", file]);
    let server = Server::start(by_environment.env("BANYAN_LISTEN", "127.0.0.1:0"));
    assert!(holds(&data, "inventory.db"));
    assert_eq!(server.get("/health/ready").0, 200);
}

#[test]
fn a_password_is_never_shown() {
    let url = "postgres://banyan:hunter2@127.0.0.1:1/none";
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of letters");
    let mut up = banyan(&["up", "--listen", "127.0.0.1:0", "--data", data]);
    let (code, _, said) = run(up.env("BANYAN_DATABASE_URL", url));
    assert!(code == 1 && !said.contains("hunter2"), "{code} {said}");
}

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
        ("BANYAN_LISTEN", "nowhere", "nowhere is no address"),
        ("BANYAN_LOG", "orders=loud", "the log filter"),
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

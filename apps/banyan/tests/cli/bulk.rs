use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::binary::{Server, banyan, run};

fn import(file: &Path, server: &Server, more: &[&str]) -> (i32, String, String) {
    let file = file.to_str().expect("a path of letters");
    run(banyan(&["import", "stock", file, "--server", &server.url()]).args(more))
}

#[test]
fn a_table_is_imported_under_its_checksum_and_what_is_wrong_is_a_table_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(&folder.path().join("data"), &[]);
    let file = folder.path().join("stock.csv");
    fs::write(&file, "Artikel;Bestand\nA;5\nB;zwei\n").expect("a file");
    let mapped = ["--column", "sku=Artikel", "--column", "counted=Bestand", "--warehouse", "main"];

    let (code, out, said) = import(&file, &server, &[&mapped[..], &["--dry-run"]].concat());
    assert_eq!(code, 1, "{said}");
    assert!(out.contains("       3  Bestand: a whole number"), "{out}");
    assert!(out.contains("dry run"), "{out}");
    assert_eq!(server.get("/v1/stock/A").0, 404);

    let (code, out, said) = import(&file, &server, &mapped);
    assert_eq!(code, 1, "{out}");
    assert!(said.contains("1 of 2 rows were refused"), "{said}");
    let (_, out, _) = import(&file, &server, &mapped);
    assert!(out.contains("0 counted now, 1 counted before"), "{out}");
    assert_eq!(server.get("/v1/stock/A").1["on_hand"], 5);

    let exported = folder.path().join("all.jsonl");
    let to = exported.to_str().expect("a path of letters");
    let (code, _, said) = run(&mut banyan(&["export", "stock", to, "--server", &server.url()]));
    assert_eq!((code, said.as_str()), (0, ""));
    let (code, out, _) = import(&exported, &server, &["--name", "back"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("1 rows, 1 counted now"), "{out}");
}

#[test]
fn an_import_says_in_a_line_why_it_cannot_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::up(&folder.path().join("data"), &[]);
    let file = folder.path().join("stock.csv");
    fs::write(&file, "Artikel,Bestand\nA,5\n").expect("a file");
    for (more, expected, says) in [
        (&["--column", "colour=red"][..], 2, "none of sku, warehouse, counted, external_id"),
        (&[][..], 1, "names no column"),
        (&["--name", "a b"][..], 1, "invalid-request"),
    ] {
        let (code, _, said) = import(&file, &server, more);
        assert_eq!((code, said.lines().count()), (expected, 1), "{said}");
        assert!(said.contains(says), "{said}");
    }
    let (code, _, said) = import(&folder.path().join("none.csv"), &server, &[]);
    assert_eq!(code, 1);
    assert!(said.contains("none.csv cannot be read"), "{said}");
    let (code, _, said) = run(&mut banyan(&["export", "stock", "--server", "http://127.0.0.1:1"]));
    assert_eq!(code, 1);
    assert!(said.contains("banyan up"), "{said}");
}

#[test]
fn an_import_whose_server_is_killed_goes_on_and_comes_to_the_same() {
    const ROWS: usize = 20_000;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let file = folder.path().join("stock.csv");
    let mut table = "sku,warehouse,counted\n".to_owned();
    for row in 0..ROWS {
        writeln!(table, "SKU-{row:05},main,{}", row % 7).expect("a text takes more text");
    }
    fs::write(&file, &table).expect("a file");

    let mut server = Server::up(&data, &[]);
    let name = file.to_str().expect("a path of letters");
    let mut first = banyan(&["import", "stock", name, "--server", &server.url()]);
    let first = first.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    while server.get("/v1/stock/SKU-01000").0 == 404 {
        sleep(Duration::from_millis(5));
    }
    server.signal("KILL");
    server.wait();
    let said = first.wait_with_output().expect("it ends");
    assert_eq!(said.status.code(), Some(1), "{}", String::from_utf8_lossy(&said.stderr));

    let server = Server::up(&data, &[]);
    let (code, out, said) = import(&file, &server, &[]);
    assert_eq!(code, 0, "{out}{said}");
    assert!(out.starts_with(&format!("{ROWS} rows, ")) && !out.contains(" 0 counted before"), "{out}");
    let exported = folder.path().join("exported.csv");
    let to = exported.to_str().expect("a path of letters");
    assert_eq!(run(&mut banyan(&["export", "stock", to, "--server", &server.url()])).0, 0);
    let exported = fs::read_to_string(exported).expect("it was written");
    let counted = |line: &str| line.split(',').take(3).collect::<Vec<_>>().join(",");
    let levels: Vec<_> = exported.lines().map(counted).collect();
    assert!(levels.iter().eq(table.lines()), "the levels are those of the table");
}

//! A disk that is full.

use std::fs;

use db::{Failure, Location, Refused};
use testkit::Tmpfs;

use crate::tally::{Command, add, asked, events, open, options, value, wait};

#[test]
fn a_full_disk_refuses_clearly_and_work_goes_on_once_there_is_space() {
    let disk = Tmpfs::of_kib(2_048);
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 512 << 10]).expect("it fits");
    let location = Location::File(disk.path().join("tally.db"));
    let mut tallies = open(location.clone(), options());
    let say = |tallies: &mut crate::tally::Tallies| {
        tallies.at_once(vec![add("a", 1), asked(Command::Say { bytes: 20 << 10 })]).1
    };
    let mut said = 0;
    let refused = loop {
        let answers = say(&mut tallies);
        if answers.iter().any(Result::is_err) {
            break answers;
        }
        said += 1;
        assert!(said < 1_000, "the disk is full at some time");
    };
    for answer in refused {
        assert!(matches!(answer, Err(Refused::Failed(Failure::DiskFull(_)))), "{answer:?}");
    }
    assert!(say(&mut tallies).iter().all(Result::is_err), "and stays so");
    let (count, sum) = (events(&tallies.database), value(&tallies.database, "a"));
    assert_eq!((count, sum), (2 * said, i64::try_from(said).expect("few")), "nothing is half done");

    fs::remove_file(ballast).expect("it is ours");
    assert!(say(&mut tallies).iter().all(Result::is_ok), "there is space again");
    drop(tallies);
    let tallies = open(location, options());
    assert_eq!(events(&tallies.database), 2 * said + 2, "and all is there after a new start");
}

#[test]
fn the_log_of_sqlite_begins_anew_while_writes_go_on() {
    const BYTES: usize = 256 << 10;
    // The log is copied beside the writes from 64 MiB on, and may have grown by as much again until that is done, or by
    // more on a busy machine.
    const MOST: u64 = 1 << 30;
    let folder = tempfile::tempdir().expect("a folder");
    let running = open(Location::File(folder.path().join("tally.db")), options()).start();
    let (mut written, mut log) = (0, 0);
    while written < MOST && (written < MOST / 8 || log >= written * 3 / 4) {
        assert!(wait(running.desk.ask(asked(Command::Say { bytes: BYTES }))).is_ok());
        written += BYTES as u64;
        log = fs::metadata(folder.path().join("tally.db-wal")).expect("there is a log").len();
    }
    assert!(log < written * 3 / 4, "a log of {log} bytes for {written} written");
}

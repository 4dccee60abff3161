//! A disk that is full.

use db::{Failure, Location, Refused};
use testkit::Tmpfs;

use crate::tally::{Command, add, asked, events, open, options, value};

#[test]
fn a_full_disk_refuses_clearly_and_work_goes_on_once_there_is_space() {
    let disk = Tmpfs::of_kib(2_048);
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 512 << 10]).expect("it fits");
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

    std::fs::remove_file(ballast).expect("it is ours");
    assert!(say(&mut tallies).iter().all(Result::is_ok), "there is space again");
    drop(tallies);
    let tallies = open(location, options());
    assert_eq!(events(&tallies.database), 2 * said + 2, "and all is there after a new start");
}

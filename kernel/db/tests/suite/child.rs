//! Second processes: this program once more, told by its environment what to do.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{self, Child, ChildStderr, Stdio};
use std::time::Duration;

use db::{Database, Durability, Location, Options, Query};
use world::World;

use crate::tally::{Command, MIGRATIONS, TALLY, add, asked, open, options, wait};

const WHAT: &str = "SUITE_CHILD";
const WHERE: &str = "SUITE_CHILD_DATABASE";

/// This program, so that it does nothing but this to this database; it says on its standard error how
/// far it is. What stands in front, such as `strace`, runs it.
pub(crate) fn told(in_front: &[&str], what: &str, location: &Location) -> process::Command {
    let me = std::env::current_exe().expect("this program has a name");
    let place = match location {
        Location::File(path) => path.to_str().expect("a name in UTF-8").to_owned(),
        Location::Postgres(url) => url.clone(),
        Location::Memory(_) => unreachable!("nobody else sees this memory"),
    };
    let mut command = match in_front.split_first() {
        Some((program, arguments)) => {
            let mut command = process::Command::new(program);
            command.args(arguments).arg(me);
            command
        }
        None => process::Command::new(me),
    };
    command.args(["child::a_second_process_does_what_it_is_told", "--exact", "--nocapture"]);
    command.env(WHAT, what).env(WHERE, place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Starts a second process and waits until it says this.
pub(crate) fn start_until(what: &str, location: &Location, says: &str) -> (Child, BufReader<ChildStderr>) {
    let mut child = told(&[], what, location).spawn().expect("this program runs once more");
    let mut said = BufReader::new(child.stderr.take().expect("it was asked for"));
    let mut heard = String::new();
    while !heard.ends_with(&format!("{says}\n")) {
        assert!(said.read_line(&mut heard).expect("a pipe") > 0, "it ended: {heard}");
    }
    (child, said)
}

/// Does nothing in a run of the suite.
#[test]
fn a_second_process_does_what_it_is_told() {
    let (Ok(what), Ok(place)) = (std::env::var(WHAT), std::env::var(WHERE)) else { return };
    let location =
        if place.starts_with("postgres") { Location::Postgres(place) } else { Location::File(PathBuf::from(place)) };
    match what.as_str() {
        "open" => drop(Database::open("tally", location, options(), World::real(), MIGRATIONS).expect("it opens")),
        "hold" => hold(location),
        "answer" => answer(location, Durability::Full),
        "answer without waiting" => answer(location, Durability::Off),
        "answer many at once" => answer_many(location),
        "answer one by one" => answer_one_by_one(location),
        unknown => panic!("nobody told it how to {unknown}"),
    }
}

/// Locks a row and sits on it.
fn hold(location: Location) {
    let tallies = open(location, options());
    let held = wait(tallies.database.write(|tx| {
        tx.rows(Query::by(&TALLY, "name", ["held".into()]).locked())?;
        eprintln!("holding");
        std::thread::sleep(Duration::from_secs(60));
        Ok(())
    }));
    eprintln!("{held:?}");
}

/// Performs commands one by one and says after each that it is answered.
fn answer(location: Location, durability: Durability) {
    let running = open(location, Options { durability, ..options() }).start();
    for number in 0..20 {
        assert!(wait(running.desk.ask(add("a", 1))).is_ok());
        eprintln!("answered {number}");
    }
}

/// Clients of [`answer_many`], and what each of them asks for.
pub(crate) const AT_ONCE: (usize, usize) = (8, 5);

/// Performs commands of several clients and says of each that it was asked, and that it is answered.
fn answer_many(location: Location) {
    let running = open(location, options()).start();
    let (clients, each) = AT_ONCE;
    std::thread::scope(|scope| {
        for client in 0..clients {
            let desk = &running.desk;
            scope.spawn(move || {
                for number in client * each..(client + 1) * each {
                    say(&format!("asked {number}\n"));
                    assert!(wait(desk.ask(add("a", 1))).is_ok());
                    say(&format!("answered {number}\n"));
                }
            });
        }
    });
}

/// Commands of the batch of [`answer_one_by_one`].
pub(crate) const IN_THE_BATCH: usize = 100;

/// Performs a batch of which one command fails, so that each runs alone, and says how often it was waited
/// for the disk meanwhile.
fn answer_one_by_one(location: Location) {
    let mut tallies = open(location, options());
    let before = db::spent().flushes;
    let poison = asked(Command::BreakCheck { name: "poison".into() });
    let batch = (1..IN_THE_BATCH).map(|_| add("a", 1)).chain([poison]).collect();
    let (_, answers) = tallies.at_once(batch);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), IN_THE_BATCH - 1);
    eprintln!("flushes {}", db::spent().flushes - before);
}

/// Says something in one piece, also where several threads speak.
fn say(line: &str) {
    std::io::stderr().write_all(line.as_bytes()).expect("a pipe");
}

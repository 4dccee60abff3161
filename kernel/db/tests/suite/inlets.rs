//! Commands that nobody asks for over the wire.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use db::{Asked, Bell, Crash, Due, Failure, Inlet, Location, MemoryDisk, Plan, Query, Refused, Room, Turn, Tx, Value};
use world::{Moment, World};

use crate::tally::{
    Answer, Command, NOTE, Tallies, add, asked, everywhere, fail, note, open_with, options, value, wait,
};

/// What an inlet was asked, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().expect("no panic").push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

/// An inlet that brings a list of commands once each; how far it is stands in a note, which moves with
/// what the commands do.
struct List {
    commands: Vec<Asked<Command>>,
    log: Log,
    /// How far it is, as far as it knows.
    done: usize,
    taken: usize,
    trouble: Trouble,
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    CannotTake,
    CannotTakeOne,
    PanicsWhenAsked,
    PanicsWhenTaking,
    PanicsWhenTold,
    CannotCondemn,
}

impl List {
    fn of(commands: Vec<Asked<Command>>, log: &Log) -> Self {
        Self { commands, log: log.clone(), done: 0, taken: 0, trouble: Trouble::None }
    }

    fn with(self, trouble: Trouble) -> Self {
        Self { trouble, ..self }
    }

    fn at(number: usize) -> Vec<Vec<Value>> {
        vec![vec!["cursor".into(), Value::Null, i64::try_from(number).expect("few").into()]]
    }
}

impl Inlet<Command, Answer> for List {
    fn listen(&self, _bell: &Arc<Bell>) {}

    fn is_ready(&mut self, _now: Moment) -> bool {
        if self.trouble == Trouble::PanicsWhenAsked {
            self.log.note("is ready");
            panic!("an inlet that does not know");
        }
        self.done < self.commands.len()
    }

    fn take(&mut self, tx: &mut Tx<'_>, mut room: Room<Command>) -> Result<Vec<Asked<Command>>, Failure> {
        let most = room.commands();
        self.log.note(format!("take {most}"));
        match self.trouble {
            Trouble::CannotTake => return Err(Failure::Corrupt("a cursor that nobody understands".into())),
            Trouble::CannotTakeOne if most == 1 => return Err(Failure::Corrupt("one is too few".into())),
            Trouble::PanicsWhenTaking => panic!("an inlet that panics"),
            _ => {}
        }
        let rows = tx.rows(Query::by(&NOTE, "name", ["cursor".into()]).locked())?;
        self.done = match rows.into_iter().next() {
            None => 0,
            Some(row) => {
                let mut row = row.columns();
                let (_name, _text, number) = (row.text()?, row.maybe_text()?, row.int()?);
                usize::try_from(number).expect("not below zero")
            }
        };
        let brought: Vec<_> =
            self.commands[self.done..].iter().take_while(|asked| room.takes(&asked.command)).cloned().collect();
        self.taken = brought.len();
        Ok(brought)
    }

    fn settle(&mut self, tx: &mut Tx<'_>, answers: &[Answer]) -> Result<(), Failure> {
        self.log.note(format!("settle {}", answers.len()));
        tx.upsert(&NOTE, Self::at(self.done + self.taken));
        Ok(())
    }

    fn condemn(&mut self, tx: &mut Tx<'_>, _failure: &Failure) -> Result<(), Failure> {
        self.log.note("condemn");
        if self.trouble == Trouble::CannotCondemn {
            return Err(Failure::Corrupt("no place to put it".into()));
        }
        self.taken = 1;
        tx.upsert(&NOTE, Self::at(self.done + 1));
        tx.upsert(&NOTE, vec![vec![format!("condemned {}", self.done).into(), Value::Null, 1.into()]]);
        Ok(())
    }

    fn ended(&mut self, kept: bool) {
        self.log.note(format!("ended {kept}"));
        assert!(self.trouble != Trouble::PanicsWhenTold, "an inlet that does not take it");
        self.done += if kept { self.taken } else { 0 };
        self.taken = 0;
    }
}

fn listening(location: Location, list: List) -> (Tallies, World) {
    let world = World::simulated(1);
    (open_with(location, options(), world.clone(), vec![Box::new(list)]), world)
}

fn poison() -> Asked<Command> {
    asked(Command::BreakCheck { name: "poison".into() })
}

#[test]
fn what_an_inlet_brings_is_performed_in_one_batch_with_requests() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let log = Log::default();
        let (mut tallies, _world) = listening(location, List::of(vec![add("a", 2), add("b", 3)], &log));
        let (turn, answers) = tallies.at_once(vec![add("a", 1)]);
        assert_eq!((turn, answers), (Turn::Performed(3), vec![Ok(Ok(1))]), "{place}");
        assert_eq!(log.take(), ["take 128", "settle 2", "ended true"], "{place}");
        assert_eq!((value(&tallies.database, "a"), value(&tallies.database, "b")), (3, 3), "{place}");
        assert_eq!(note(&tallies.database, "cursor"), Some(2), "{place}");
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}");
        assert_eq!(log.take(), Vec::<String>::new(), "{place}");
    }
}

#[test]
fn what_an_inlet_brings_is_weighed_like_what_is_asked_for() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let many = || (0..200).map(|number| number.to_string()).collect();
        let heavy = || asked(Command::Add { names: many(), by: 1 });
        let all = vec![heavy(), heavy(), add("a", 1), heavy(), heavy()];
        let (mut tallies, _world) = listening(location, List::of(all, &Log::default()));
        // 512 is what an inlet may add, so three heavy ones are too much by less than one.
        for turn in [Turn::Performed(4), Turn::Performed(1), Turn::Idle] {
            assert_eq!(tallies.workers[0].turn(&Plan::ALL), turn, "{place}");
        }
        assert_eq!((value(&tallies.database, "0"), value(&tallies.database, "a")), (4, 1), "{place}");
    }
}

#[test]
fn a_command_of_an_inlet_that_fails_is_condemned_and_the_others_are_performed() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let log = Log::default();
        let list = List::of(vec![add("a", 1), poison(), add("a", 1)], &log);
        let (mut tallies, _world) = listening(location, list);
        let (turn, answers) = tallies.at_once(vec![add("b", 1)]);
        assert_eq!((turn, answers), (Turn::Performed(3), vec![Ok(Ok(1))]), "{place}");
        let alone = ["take 1", "settle 1", "ended true"];
        let condemned = ["take 1", "settle 1", "ended false", "condemn", "ended true"];
        let whole = ["take 128", "settle 3", "ended false"];
        let expected: Vec<_> = [&whole[..], &alone, &condemned, &alone].concat();
        assert_eq!(log.take(), expected, "{place}");
        assert_eq!((value(&tallies.database, "a"), value(&tallies.database, "poison")), (2, 0), "{place}");
        assert_eq!(note(&tallies.database, "cursor"), Some(3), "{place}");
        assert_eq!(note(&tallies.database, "condemned 1"), Some(1), "{place}");
    }
}

#[test]
fn an_inlet_that_fails_rests_for_a_second_and_harms_nobody() {
    use Trouble::{CannotCondemn, CannotTake, PanicsWhenAsked, PanicsWhenTaking, PanicsWhenTold};
    for (trouble, first) in [
        (CannotTake, "take 128"),
        (PanicsWhenAsked, "is ready"),
        (PanicsWhenTaking, "take 128"),
        (PanicsWhenTold, "take 128"),
        (CannotCondemn, "take 128"),
    ] {
        let (places, _folder) = everywhere();
        for (place, location) in places {
            let log = Log::default();
            let (mut tallies, world) = listening(location, List::of(vec![poison()], &log).with(trouble));
            assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)), "{place}: who was in its batch is not guilty");
            assert_eq!(log.take().first().map(String::as_str), Some(first), "{place}");
            assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}");
            world.advance(Duration::from_micros(999_999));
            let (turn, answers) = tallies.at_once(vec![add("a", 1), add("a", 1)]);
            assert_eq!((turn, answers.len()), (Turn::Performed(2), 2), "{place}");
            assert_eq!(log.take(), Vec::<String>::new(), "{place}: it rests");
            world.advance(Duration::from_micros(1));
            tallies.workers[0].turn(&Plan::ALL);
            assert_eq!(log.take().first().map(String::as_str), Some(first), "{place}: it tries again");
        }
    }
}

#[test]
fn an_inlet_that_cannot_bring_what_failed_puts_nothing_aside() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let log = Log::default();
        let list = List::of(vec![poison(), add("a", 1)], &log).with(Trouble::CannotTakeOne);
        let (mut tallies, _world) = listening(location, list);
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Waits, "{place}");
        assert_eq!(log.take(), ["take 128", "settle 2", "ended false", "take 1", "ended false"], "{place}");
        assert_eq!(note(&tallies.database, "cursor"), None, "{place}");
    }
}

#[test]
fn what_an_inlet_brings_while_the_database_is_gone_is_not_put_aside() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let log = Log::default();
        let (broken, gone) = (Failure::Corrupt("broken".into()), Failure::Unavailable("nobody is there".into()));
        let (mut tallies, _world) = listening(location, List::of(vec![fail([broken, gone]).0, add("a", 1)], &log));
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Waits, "{place}");
        assert_eq!(log.take(), ["take 128", "ended false", "take 1", "ended false"], "{place}");
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Performed(2), "{place}: it comes again");
        assert_eq!((value(&tallies.database, "a"), note(&tallies.database, "cursor")), (1, Some(2)), "{place}");
    }
}

#[test]
fn a_crash_leaves_all_of_a_batch_or_nothing() {
    for crash in [Crash::BeforeCommit, Crash::AfterCommit, Crash::AfterAnswer] {
        let (places, _folder) = everywhere();
        for (place, location) in places {
            let log = Log::default();
            let list = || List::of(vec![add("a", 2), asked(Command::PanicAfterwards)], &log);
            let (mut tallies, _world) = listening(location.clone(), list());
            let answer = tallies.desk.ask(add("a", 1));
            let crashed = tallies.workers[0].turn(&Plan { crash: Some(crash), ..Plan::ALL });
            assert_eq!(crashed, Turn::Crashed, "{place}");
            drop(tallies);
            let told = if crash == Crash::AfterAnswer { Ok(Ok(1)) } else { Err(Refused::OutcomeUnknown) };
            assert_eq!(wait(answer), told, "{place} {crash:?}");

            let (mut tallies, _world) = listening(location, list());
            let (done, cursor) = if crash == Crash::BeforeCommit { (0, None) } else { (3, Some(2)) };
            assert_eq!(value(&tallies.database, "a"), done, "{place} {crash:?}");
            assert_eq!(note(&tallies.database, "cursor"), cursor, "{place} {crash:?}");
            tallies.workers[0].turn(&Plan::ALL);
            assert_eq!(
                value(&tallies.database, "a"),
                done.max(2),
                "{place} {crash:?}: what came by itself comes again"
            );
            assert_eq!(note(&tallies.database, "cursor"), Some(2), "{place} {crash:?}");
        }
    }
}

/// Notes that are due to be deleted, oldest first; a note whose name says so is poison.
fn due_notes(tallies: &Tallies, names: Vec<String>) {
    let row = |(number, name): (i64, String)| vec![name.into(), Value::Null, number.into()];
    let rows = (1..).zip(names).map(row).collect();
    let kept = tallies.database.write(|tx| {
        tx.insert(&NOTE, rows);
        Ok(())
    });
    wait(kept).expect("they are kept");
}

fn notes_left(tallies: &Tallies) -> i64 {
    let rows = wait(tallies.database.read(|read| read.rows(Query::sql("SELECT count(*) FROM note", []))));
    rows.expect("a read")[0].clone().columns().int().expect("a number")
}

/// Looks for due notes every so often.
fn finishing(location: Location, every: Duration) -> (Tallies, World) {
    let find = |tx: &mut Tx<'_>, most: usize| {
        let most = i64::try_from(most).expect("few");
        let rows = tx.rows(Query::sql("SELECT name FROM note ORDER BY number LIMIT $1", [most.into()]))?;
        let command = |row: db::Row| {
            let name = row.columns().text()?;
            let is_poison = name.starts_with("poison");
            Ok((asked(if is_poison { Command::BreakCheck { name } } else { Command::Finish { name } }), None))
        };
        rows.into_iter().map(command).collect()
    };
    let world = World::simulated(1);
    let due = Due::new(every, Box::new(find));
    (open_with(location, options(), world.clone(), vec![Box::new(due)]), world)
}

#[test]
fn due_work_that_is_heavy_is_done_in_smaller_pieces() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let (mut tallies, _world) = finishing(location, Duration::from_secs(10));
        due_notes(&tallies, (0..5).map(|number| format!("heavy {number}")).collect());
        for turn in [Turn::Performed(2), Turn::Performed(2), Turn::Performed(1), Turn::Idle] {
            assert_eq!(tallies.workers[0].turn(&Plan::ALL), turn, "{place}");
        }
        assert_eq!(notes_left(&tallies), 0, "{place}");
    }
}

#[test]
fn due_work_is_done_in_pieces_beside_requests_and_neither_starves() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let (mut tallies, world) = finishing(location, Duration::from_secs(10));
        due_notes(&tallies, (0..150).map(|number| format!("{number}")).collect());
        for piece in [64, 64, 22] {
            let (turn, answers) = tallies.at_once((0..300).map(|_| add("a", 1)).collect::<Vec<_>>().split_off(44));
            assert_eq!(turn, Turn::Performed(256 + piece), "{place}: a full piece is followed by another");
            assert!(answers.iter().all(Result::is_ok), "{place}");
        }
        assert_eq!((notes_left(&tallies), tallies.workers[0].turn(&Plan::ALL)), (0, Turn::Idle), "{place}");
        due_notes(&tallies, vec!["later".into()]);
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}: it has looked already");
        world.advance(Duration::from_secs(10));
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Performed(1), "{place}");
    }
}

#[test]
fn due_work_that_fails_does_not_keep_the_rest_from_being_done() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let (mut tallies, world) = finishing(location, Duration::from_secs(10));
        let name = |number| if number % 40 == 0 { format!("poison {number}") } else { format!("{number}") };
        due_notes(&tallies, (0..100).map(name).collect());
        for _ in 0..6 {
            tallies.workers[0].turn(&Plan::ALL);
        }
        assert_eq!(notes_left(&tallies), 3, "{place}: the poison is left, though it stands in front");
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}: and is left alone for a while");
        world.advance(Duration::from_secs(10));
        assert_ne!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}: until the next look");
        assert_eq!(tallies.one(add("a", 1)), Ok(Ok(1)), "{place}");
    }
}

#[test]
fn due_work_is_looked_for_as_often_as_is_said_unless_it_has_just_failed() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let often = Duration::from_millis(100);
        let (mut tallies, world) = finishing(location, often);
        let turns = |tallies: &mut Tallies, after: Duration| {
            world.advance(after.saturating_sub(Duration::from_micros(1)));
            assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}: after less than {after:?}");
            world.advance(Duration::from_micros(1));
            tallies.workers[0].turn(&Plan::ALL)
        };
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}");
        due_notes(&tallies, vec!["a".into()]);
        assert_eq!(turns(&mut tallies, often), Turn::Performed(1), "{place}");
        due_notes(&tallies, vec!["poison".into()]);
        assert_eq!(turns(&mut tallies, often), Turn::Waits, "{place}");
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}: nothing stands behind it");
        assert_eq!(turns(&mut tallies, Duration::from_secs(1)), Turn::Waits, "{place}");
    }
}

/// An inlet that has nothing, and notes when it is looked after.
struct Nothing {
    says_ready: bool,
    looks: Arc<Mutex<Vec<Moment>>>,
}

impl Nothing {
    fn note(&self, now: Moment) {
        self.looks.lock().expect("no panic").push(now);
    }
}

impl Inlet<Command, Answer> for Nothing {
    fn listen(&self, _bell: &Arc<Bell>) {}

    fn is_ready(&mut self, now: Moment) -> bool {
        if !self.says_ready {
            self.note(now);
        }
        self.says_ready
    }

    fn take(&mut self, tx: &mut Tx<'_>, _room: Room<Command>) -> Result<Vec<Asked<Command>>, Failure> {
        self.note(tx.now());
        Ok(Vec::new())
    }

    fn settle(&mut self, _tx: &mut Tx<'_>, _answers: &[Answer]) -> Result<(), Failure> {
        Ok(())
    }

    fn condemn(&mut self, _tx: &mut Tx<'_>, failure: &Failure) -> Result<(), Failure> {
        panic!("{failure}")
    }

    fn ended(&mut self, _kept: bool) {}
}

#[test]
fn an_inlet_that_says_it_is_ready_is_looked_after_at_once_and_others_seldom() {
    let looked_after = |says_ready: bool| {
        let looks = Arc::default();
        let inlet = Nothing { says_ready, looks: Arc::clone(&looks) };
        let location = Location::Memory(MemoryDisk::empty());
        let running = open_with(location, options(), World::real(), vec![Box::new(inlet)]).start();
        thread::sleep(Duration::from_millis(500));
        drop(running);
        std::mem::take(&mut *looks.lock().expect("no panic"))
    };
    // The desk sleeps for 1 ms, or for 50.
    let ready = looked_after(true);
    let mut waits: Vec<_> = ready.windows(2).map(|two| two[1].since(two[0])).collect();
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < Duration::from_millis(25), "{waits:?}");
    let looks = looked_after(false).len();
    assert!(looks < 100, "{looks} looks in half a second");
}

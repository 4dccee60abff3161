//! What becomes of commands that wait: too many, too late, nobody listening, the end.

use std::time::Duration;

use db::{Options, Plan, Refused, Turn};
use futures_util::FutureExt;
use world::World;

use crate::tally::{Command, add, asked, events, everywhere, open, open_with, options, value, wait};

#[test]
fn what_finds_the_queue_full_is_refused_at_once() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, Options { queue_limit: 3, ..options() });
        let waiting: Vec<_> = (0..3).map(|_| tallies.desk.ask(add("a", 1))).collect();
        let refused = tallies.desk.ask(add("a", 1)).now_or_never();
        assert!(
            matches!(refused, Some(Err(Refused::Full { retry_after })) if !retry_after.is_zero()),
            "{place}: {refused:?}"
        );
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Performed(3), "{place}");
        assert_eq!(waiting.into_iter().flat_map(wait).count(), 3, "{place}");
        assert_eq!(tallies.one(add("a", 1)), Ok(Ok(4)), "{place}: there is room again");
    }
}

#[test]
fn a_command_whose_time_is_over_is_dropped_before_it_runs() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let world = World::simulated(1);
        let mut tallies = open_with(location, options(), world.clone(), Vec::new());
        let soon = world.now() + Duration::from_secs(1);
        let just_in_time = tallies.desk.ask(db::Asked { until: Some(soon), ..asked(Command::Reject) });
        world.advance(Duration::from_secs(1));
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Performed(1), "{place}");
        assert_eq!(wait(just_in_time), Ok(Err("rejected")), "{place}");
        let late = tallies.desk.ask(db::Asked { until: Some(soon), ..add("late", 1) });
        world.advance(Duration::from_micros(1));
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Idle, "{place}");
        assert_eq!(wait(late), Err(Refused::Expired), "{place}");
        assert_eq!((value(&tallies.database, "late"), events(&tallies.database)), (0, 0), "{place}");
    }
}

#[test]
fn a_command_that_ran_in_time_is_answered_however_long_it_took() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let world = World::simulated(1);
        let mut tallies = open_with(location, options(), world.clone(), Vec::new());
        let slow = asked(Command::TakeTime { world: world.clone(), by: Duration::from_secs(5) });
        let until = Some(world.now() + Duration::from_secs(1));
        let (_, answers) = tallies.at_once(vec![slow, db::Asked { until, ..add("a", 1) }]);
        assert_eq!(answers[1], Ok(Ok(1)), "{place}");
    }
}

#[test]
fn a_command_whose_time_ran_out_while_its_batch_failed_is_not_run_again() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let world = World::simulated(1);
        let mut tallies = open_with(location, options(), world.clone(), Vec::new());
        let slow = asked(Command::TakeTime { world: world.clone(), by: Duration::from_secs(5) });
        let poison = asked(Command::BreakCheck { name: "poison".into() });
        let until = Some(world.now() + Duration::from_secs(1));
        let (_, answers) = tallies.at_once(vec![slow, poison, db::Asked { until, ..add("a", 1) }, add("b", 1)]);
        assert_eq!(answers[2], Err(Refused::Expired), "{place}");
        assert_eq!(answers[3], Ok(Ok(1)), "{place}");
        assert_eq!(value(&tallies.database, "a"), 0, "{place}");
    }
}

#[test]
fn a_command_whose_caller_went_away_is_performed_all_the_same() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        drop(tallies.desk.ask(add("a", 1)));
        assert_eq!(tallies.workers[0].turn(&Plan::ALL), Turn::Performed(1), "{place}");
        assert_eq!(value(&tallies.database, "a"), 1, "{place}");
    }
}

#[test]
fn a_closed_desk_finishes_what_waits_and_takes_nothing_in() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let tallies = open(location, options());
        let waiting: Vec<_> = (0..600).map(|_| tallies.desk.ask(add("a", 1))).collect();
        tallies.desk.close();
        assert_eq!(tallies.desk.ask(add("a", 1)).now_or_never(), Some(Err(Refused::Stopping)), "{place}");
        let running = tallies.start();
        assert_eq!(waiting.into_iter().flat_map(wait).count(), 600, "{place}");
        let database = running.database.clone();
        drop(running); // waits for the thread's end
        assert_eq!(value(&database, "a"), 600, "{place}");
    }
}

#[test]
fn what_waits_for_a_worker_that_goes_away_is_refused() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let waiting = tallies.desk.ask(add("a", 1));
        tallies.workers.clear();
        assert_eq!(waiting.now_or_never(), Some(Err(Refused::Stopping)), "{place}");
        assert_eq!(tallies.desk.ask(add("a", 1)).now_or_never(), Some(Err(Refused::Stopping)), "{place}");
    }
}

#[test]
fn a_batch_takes_so_many_commands_and_so_much_weight() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let waiting: Vec<_> = (0..257).map(|_| tallies.desk.ask(add("a", 1))).collect();
        for turn in [Turn::Performed(256), Turn::Performed(1), Turn::Idle] {
            assert_eq!(tallies.workers[0].turn(&Plan::ALL), turn, "{place}");
        }
        assert_eq!(waiting.into_iter().flat_map(wait).count(), 257, "{place}");
        // 1,023 and 1 are what a batch may weigh.
        let names = (0..1_023).map(|name| format!("{name}")).collect();
        let heavy = tallies.desk.ask(asked(Command::Add { names, by: 1 }));
        let light = [tallies.desk.ask(add("a", 1)), tallies.desk.ask(add("a", 1))];
        for turn in [Turn::Performed(2), Turn::Performed(1), Turn::Idle] {
            assert_eq!(tallies.workers[0].turn(&Plan::ALL), turn, "{place}");
        }
        assert_eq!((wait(heavy), light.map(wait)), (Ok(Ok(1)), [Ok(Ok(258)), Ok(Ok(259))]), "{place}");
    }
}

#[test]
fn a_lonely_client_waits_for_about_one_write_and_no_timer() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let running = open(location, options()).start();
        let world = World::real();
        let mut waits: Vec<_> = (0..40)
            .map(|_| {
                let asked_at = world.now();
                assert!(wait(running.desk.ask(add("a", 1))).is_ok());
                world.now().since(asked_at)
            })
            .collect();
        waits.sort_unstable();
        // The desk sleeps for 50 ms when nothing rings.
        assert!(waits[20] < Duration::from_millis(25), "{place}: {waits:?}");
    }
}

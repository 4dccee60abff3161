//! Bugs that other platforms shipped, planted one at a time: the simulator finds each.
#![cfg(feature = "planted-bugs")]

use simulate::{Journal, Scenario, run};
use world::planted::{Bug, plant};

/// Seeds after which a bug counts as not found.
const MOST_SEEDS: u64 = 1_000;

/// The first seed that finds the bug, with what it finds.
fn first_seed_that_finds(bug: Bug, scenario: &Scenario) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = (0..MOST_SEEDS).find_map(|seed| {
        let outcome = run(seed, scenario, &mut Journal::default());
        outcome.findings.first().map(|finding| (seed, finding.to_string()))
    });
    plant(None);
    found
}

fn is_found_in(bug: Bug, scenario: &Scenario) {
    let (seed, finding) = first_seed_that_finds(bug, scenario).unwrap_or_else(|| panic!("{bug:?} is not found"));
    println!("| `{bug:?}` | {} | {finding} |", seed + 1);
}

fn is_found(bug: Bug) {
    is_found_in(bug, &Scenario::default());
}

#[test]
fn an_order_that_forgets_its_stock_is_found() {
    is_found(Bug::OrphanOrder);
}

#[test]
fn an_order_confirmed_before_its_last_step_is_found() {
    is_found(Bug::ConfirmedTooEarly);
}

#[test]
fn a_payment_that_browser_and_webhook_each_complete_is_found() {
    is_found(Bug::CompletedTwice);
}

#[test]
fn an_undo_that_strikes_a_later_try_is_found() {
    is_found(Bug::UndoesTheWrongTry);
}

#[test]
fn repeated_lines_that_are_not_summed_are_found() {
    is_found(Bug::LinesNotSummed);
}

#[test]
fn a_release_that_is_forgotten_is_found() {
    is_found(Bug::ReleaseForgotten);
}

#[test]
fn a_deadline_that_decides_is_found() {
    is_found(Bug::DeadlineDecides);
}

#[test]
fn a_consumer_that_goes_on_reading_a_restored_producer_is_found() {
    is_found_in(Bug::RestoredUnnoticed, &Scenario { restores: true, ..Scenario::default() });
}

#[test]
fn an_event_without_its_fact_is_found() {
    is_found(Bug::EventWithoutFact);
}

#[test]
fn an_answer_that_is_forgotten_is_found() {
    is_found(Bug::AnswerForgotten);
}

#[test]
fn goods_on_their_way_that_are_counted_twice_are_found() {
    is_found(Bug::TransferCountedTwice);
}

#[test]
fn a_lapsed_hold_that_is_taken_anew_without_stock_is_found() {
    is_found_in(Bug::RetakenWithoutStock, &Scenario { sales: true, ..Scenario::default() });
}

#[test]
fn goods_that_serve_the_wrong_promise_are_found() {
    is_found_in(Bug::WrongPromiseServed, &Scenario { sales: true, ..Scenario::default() });
}

#[test]
fn a_promise_that_is_said_to_be_of_whoever_did_something_to_it_is_found() {
    is_found(Bug::SaidOfWhoeverAsked);
}

#[test]
fn a_webhook_that_counts_as_settled_before_it_is_noted_is_found() {
    is_found(Bug::SettledTooEarly);
}

#[test]
fn a_webhook_that_overtakes_one_that_is_being_noted_is_found() {
    is_found(Bug::OvertakesWhileNoted);
}

#[test]
fn events_that_are_passed_over_before_it_is_known_who_wants_them_are_found() {
    is_found(Bug::PassedOverTooEarly);
}

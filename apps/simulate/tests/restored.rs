//! A service whose disk is put back to an older copy: whoever listens to it stops and says why, and
//! acts on nothing that it says from then on.

use axum::http::Method;
use db::Plan;
use serde_json::json;
use simulate::{Backup, Journal, Scenario, Script, Settings, Stopped, run};

const SERVICES: [&str; 3] = ["inventory", "orders", "payments"];

/// Places an order and lets its story end.
async fn sell(script: &mut Script, order: &str) {
    script.place(order, &[("a", 1)], "pm_card_visa", 1);
    assert!(script.go_on(async |_| ()).await, "the story of {order} does not end");
}

/// A platform that has sold, whose one service was then copied, and that has sold on.
async fn sells_on(script: &mut Script, service: &'static str) -> Backup {
    script.deliver("a", 100).await;
    sell(script, "o-1").await;
    let backup = script.back_up(service);
    sell(script, "o-2").await;
    sell(script, "o-3").await;
    backup
}

/// Who listens to a service in the checkout; notifications listens to all, and acts on nothing here.
fn listeners(service: &str) -> Vec<&'static str> {
    if service == "orders" { vec!["inventory", "payments"] } else { vec!["orders"] }
}

fn readers(stopped: &[Stopped]) -> Vec<&'static str> {
    let in_the_checkout = stopped.iter().map(|stopped| stopped.reader).filter(|reader| *reader != "notifications");
    let mut readers: Vec<_> = in_the_checkout.collect();
    readers.sort_unstable();
    readers
}

#[test]
fn whoever_listens_to_a_restored_service_stops_says_so_and_acts_on_nothing() {
    for service in SERVICES {
        Script::play(&Settings::default(), &[], async |script| {
            let backup = sells_on(script, service).await;
            assert_eq!(script.stopped(), []);
            script.restore(&backup).await;
            script.place("o-4", &[("a", 1)], "pm_card_visa", 1);
            let ended = script.end().await;
            assert_eq!(ended.findings, [], "{service}");
            let stopped = script.stopped();
            assert_eq!(readers(&stopped), listeners(service));
            for Stopped { source, why, .. } in stopped {
                assert_eq!(source, service);
                assert!(why.contains("it was restored"), "{why}");
            }
        });
    }
}

#[test]
fn a_restored_service_is_noticed_also_where_it_has_said_more_since_than_its_readers_had_heard() {
    for service in ["inventory", "orders"] {
        Script::play(&Settings::default(), &[], async |script| {
            let backup = sells_on(script, service).await;
            script.restore(&backup).await;
            for number in 0..60 {
                script.place(&format!("later-{number}"), &[("a", 1)], "pm_card_visa", 1);
                let body = json!({"type": "receive", "sku": "b", "warehouse": "main", "quantity": 1});
                script.ask("inventory", Method::PUT, &format!("/v1/stock-movements/later-{number}"), body, 1);
            }
            script.turn(service, &Plan::ALL).await;
            assert_eq!(script.end().await.findings, [], "{service}");
            let stopped = script.stopped();
            assert_eq!(readers(&stopped), listeners(service));
            for Stopped { why, .. } in stopped {
                assert!(why.contains("incarnation"), "{why}");
            }
        });
    }
}

#[test]
fn a_consumer_that_has_stopped_stops_again_after_a_restart() {
    for service in SERVICES {
        Script::play(&Settings::default(), &[], async |script| {
            let backup = sells_on(script, service).await;
            script.restore(&backup).await;
            for reader in listeners(service) {
                script.kill(reader);
            }
            assert_eq!(script.stopped(), [], "nobody has read yet");
            assert_eq!(script.end().await.findings, []);
            assert_eq!(readers(&script.stopped()), listeners(service));
        });
    }
}

#[test]
fn every_process_of_a_listener_stops() {
    Script::play(&Settings::default(), &["inventory", "payments"], async |script| {
        let backup = sells_on(script, "orders").await;
        script.restore(&backup).await;
        assert_eq!(script.end().await.findings, []);
        assert_eq!(script.stopped().len(), script.listeners_of("orders"));
    });
}

#[test]
fn a_bare_copy_of_a_file_stops_its_readers_as_long_as_it_knows_less_than_they_read() {
    for service in SERVICES {
        for restart in [false, true] {
            Script::play(&Settings::default(), &[], async |script| {
                let backup = sells_on(script, service).await;
                script.restore_unnoticed(&backup);
                for reader in listeners(service) {
                    if restart {
                        script.kill(reader);
                    }
                    // The first turn of a new process looks where it had stopped.
                    script.turn(reader, &Plan::ALL).await;
                    script.turn(reader, &Plan::ALL).await;
                }
                let stopped = script.stopped();
                assert_eq!(readers(&stopped), listeners(service));
                for Stopped { source, why, .. } in stopped {
                    assert_eq!(source, service);
                    assert!(why.contains("were read from it before"), "{why}");
                }
            });
        }
    }
}

#[test]
fn what_was_copied_and_put_back_before_anything_was_said_stops_nobody() {
    Script::play(&Settings::default(), &[], async |script| {
        script.deliver("a", 100).await;
        sell(script, "o-1").await;
        for service in SERVICES {
            let backup = script.back_up(service);
            script.restore_unnoticed(&backup);
        }
        sell(script, "o-2").await;
        let ended = script.end().await;
        assert_eq!((ended.findings.as_slice(), ended.count("confirmed")), ([].as_slice(), 2));
        assert_eq!(script.stopped(), []);
    });
}

#[test]
fn at_random_too_everybody_stops_who_listens_to_a_restored_service() {
    let scenario = Scenario { restores: true, ..Scenario::default() };
    let mut stopped = 0;
    for seed in 0..40 {
        let outcome = run(seed, &scenario, &mut Journal::default());
        assert_eq!(outcome.findings, [], "seed {seed}");
        stopped += outcome.stopped.len();
    }
    assert!(stopped > 20, "only {stopped} consumers stopped");
}

//! `kill -9` at random moments under checkouts: what was answered stays, and everything ends well.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Client, On, Shop, books, order, receive};
use world::World;

const SHOPPERS: usize = 8;
const SKUS: usize = 5;
const STOCK: i64 = 100_000;
const METHODS: [&str; 5] =
    ["pm_card_visa", "pm_card_visa", "pm_card_visa", "pm_card_chargeDeclined", "pm_test_timeout_after_charge"];

/// A checkout that is asked for until it is answered, whatever happens to the server.
fn persistently(
    client: &mut Client,
    name: &str,
    order: &serde_json::Value,
    done: &AtomicBool,
) -> Option<serde_json::Value> {
    while !done.load(Ordering::Relaxed) {
        match client.checkout(name, order) {
            Ok((200 | 201, told)) => return Some(told),
            Ok((status, told)) => assert!(matches!(status, 202 | 503), "{status} {told}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    None
}

/// Kills and starts the shop again this often while shoppers go on, then looks at the books.
fn survives(on: &On, rounds: usize) {
    // A provider that does not answer is asked soon, so that the test ends soon.
    let mut shop = Shop::open_with(on, &[("PAYMENTS__PROVIDER_TIMEOUT_MS", "300"), ("PAYMENTS__RETRY_MS", "100")]);
    for number in 0..SKUS {
        let sku = format!("sku-{number}");
        let movement = format!("/v1/stock-movements/m-{number}");
        assert_eq!(shop.client().put(&movement, &receive(&sku, STOCK)).expect("an answer").0, 201);
    }
    let (done, answered, next) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let routes = shop.routes();
    let world = World::real();
    let told: Vec<(String, serde_json::Value)> = std::thread::scope(|scope| {
        let shoppers: Vec<_> = (0..SHOPPERS)
            .map(|shopper| {
                let (done, answered, next, routes) = (&done, &answered, &next, &routes);
                let mut chance = world.chance(&format!("shopper {shopper}"));
                scope.spawn(move || {
                    let (mut client, mut told) = (Client::of(routes), Vec::new());
                    while !done.load(Ordering::Relaxed) {
                        let name = format!("o-{}", next.fetch_add(1, Ordering::Relaxed));
                        let skus = [format!("sku-{}", chance.below(SKUS)), format!("sku-{}", chance.below(SKUS))];
                        let lines = [(skus[0].as_str(), chance.between(1, 3), 1_250), (skus[1].as_str(), 1, 399)];
                        let order = order(&lines, METHODS[chance.below(METHODS.len())]);
                        if let Some(answer) = persistently(&mut client, &name, &order, done) {
                            answered.fetch_add(1, Ordering::Relaxed);
                            told.push((name, answer));
                        }
                    }
                    told
                })
            })
            .collect();
        let mut chance = world.chance("kills");
        for _ in 0..rounds {
            std::thread::sleep(Duration::from_millis(u64::try_from(chance.between(20, 400)).expect("a time")));
            shop.kill();
            shop.start();
        }
        std::thread::sleep(Duration::from_millis(500));
        done.store(true, Ordering::Relaxed);
        shoppers.into_iter().flat_map(|shopper| shopper.join().expect("a shopper")).collect()
    });
    let mut client = shop.client();
    books::all_stories_end(&mut client);
    for (name, answer) in &told {
        let (_, now) = client.get(&format!("/v1/orders/{name}")).expect("an answer");
        assert_eq!(now["status"], answer["status"], "{name} was told to be {answer}, and is {now}");
    }
    let books = books::balance(&mut client);
    for number in 0..SKUS {
        books::stock_is(&mut client, &format!("sku-{number}"), STOCK, &books);
    }
    println!("{on:?}: {rounds} kills, {} orders answered; {:?}", answered.into_inner(), books.orders);
    assert!(books.orders.get("confirmed").copied().unwrap_or(0) > rounds, "the shop sold something between the kills");
    shop.stop();
}

#[test]
fn fifty_kills_on_sqlite_lose_nothing_and_double_nothing() {
    survives(&On::Sqlite, 50);
}

#[test]
fn twenty_kills_on_postgresql_lose_nothing_and_double_nothing() {
    survives(&On::Postgres(testkit::Postgres::shared().database()), 20);
}

#[test]
fn postgresql_that_is_killed_and_started_again_loses_nothing() {
    let server = testkit::Postgres::own();
    let shop = Shop::open_with(
        &On::Postgres(server.database()),
        &[("PAYMENTS__PROVIDER_TIMEOUT_MS", "300"), ("PAYMENTS__RETRY_MS", "100")],
    );
    assert_eq!(shop.client().put("/v1/stock-movements/m-1", &receive("sku", STOCK)).expect("an answer").0, 201);
    let (done, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..SHOPPERS {
            scope.spawn(|| {
                let mut client = shop.client();
                while !done.load(Ordering::Relaxed) {
                    let name = format!("o-{}", next.fetch_add(1, Ordering::Relaxed));
                    persistently(&mut client, &name, &order(&[("sku", 1, 999)], "pm_card_visa"), &done);
                }
            });
        }
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            server.kill();
            server.start();
        }
        std::thread::sleep(Duration::from_secs(2));
        done.store(true, Ordering::Relaxed);
    });
    let mut client = shop.client();
    books::all_stories_end(&mut client);
    let books = books::balance(&mut client);
    books::stock_is(&mut client, "sku", STOCK, &books);
    println!("{:?}", books.orders);
    assert!(books.orders.get("confirmed").copied().unwrap_or(0) > 20, "the shop sold something between the kills");
}

#[test]
fn ten_kills_of_all_processes_apart_lose_nothing_and_double_nothing() {
    survives(&On::Apart(testkit::Postgres::shared().database()), 10);
}

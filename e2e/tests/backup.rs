//! A copy that is taken while orders are placed, put back after a crash.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Client, On, Shop, books, order, receive};

const SHOPPERS: usize = 6;
const SKUS: usize = 4;
const STOCK: i64 = 100_000;
const METHODS: [&str; 4] = ["pm_card_visa", "pm_card_visa", "pm_card_chargeDeclined", "pm_test_timeout_after_charge"];

#[test]
fn what_was_copied_under_load_balances_when_it_is_put_back_and_every_order_ends() {
    let settings = [("PAYMENTS__PROVIDER_TIMEOUT_MS", "300"), ("PAYMENTS__RETRY_MS", "100")];
    let mut shop = Shop::open_with(&On::Sqlite, &settings);
    for number in 0..SKUS {
        let movement = format!("/v1/stock-movements/m-{number}");
        assert_eq!(shop.client().put(&movement, &receive(&format!("sku-{number}"), STOCK)).expect("an answer").0, 201);
    }
    for round in 0..3 {
        let (done, next) = (AtomicBool::new(false), AtomicUsize::new(0));
        let routes = shop.routes();
        std::thread::scope(|scope| {
            for _ in 0..SHOPPERS {
                scope.spawn(|| {
                    let mut client = Client::of(&routes);
                    while !done.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let skus = [number % SKUS, number / SKUS % SKUS].map(|sku| format!("sku-{sku}"));
                        let lines = [(skus[0].as_str(), 2, 1_250), (skus[1].as_str(), 1, 399)];
                        let order = order(&lines, METHODS[number % METHODS.len()]);
                        // The crash cuts some off.
                        drop(client.checkout(&format!("o-{round}-{number}"), &order));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(800));
            let (done_well, said) = shop.backup(&format!("backup-{round}"));
            assert!(done_well, "{said}");
            std::thread::sleep(Duration::from_millis(300));
            shop.kill();
            done.store(true, Ordering::Relaxed);
        });
        let placed = next.load(Ordering::Relaxed);
        let (restored, said) = shop.restore(&format!("backup-{round}"));
        assert!(restored, "{said}");
        shop.start();
        let mut client = shop.client();
        books::all_stories_end(&mut client);
        let (balances, said) = shop.audit();
        assert!(balances, "{said}");
        let books = books::balance(&mut client);
        for number in 0..SKUS {
            books::stock_is(&mut client, &format!("sku-{number}"), STOCK, &books);
        }
        let of_round =
            |order: &serde_json::Value| order["id"].as_str().is_some_and(|id| id.starts_with(&format!("o-{round}-")));
        let known = books::orders(&mut client).iter().filter(|order| of_round(order)).count();
        assert!(known > 20 && known < placed, "{known} of {placed} orders were placed before the copy");
        assert_eq!(books.orders.get("attention"), None);
    }
}

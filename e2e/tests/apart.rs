//! Services as processes of their own, two of orders, and a rolling restart under load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Client, On, Shop, books, order, receive};
use serde_json::{Value, json};

const SHOPPERS: usize = 6;
const STOCK: i64 = 100_000;

/// Asks for a checkout under one name until it has ended, as a client does whose server is replaced.
fn persistently(client: &mut Client, name: &str, order: &Value) -> Value {
    for _ in 0..200 {
        match client.checkout(name, order) {
            Ok((200 | 201, told)) if told["status"] != "pending" => return told,
            Ok((status, told)) => assert!(matches!(status, 200 | 202 | 503), "{status} {told}"),
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{name} has no end");
}

#[test]
fn a_rolling_restart_of_services_apart_fails_no_checkout() {
    let mut shop = Shop::open(&On::Apart(testkit::Postgres::shared().database()));
    assert_eq!(shop.client().put("/v1/stock-movements/m-1", &receive("sku", STOCK)).expect("an answer").0, 201);
    let (done, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let routes = shop.routes();
    std::thread::scope(|scope| {
        for _ in 0..SHOPPERS {
            scope.spawn(|| {
                let mut client = Client::of(&routes);
                while !done.load(Ordering::Relaxed) {
                    let name = format!("o-{}", next.fetch_add(1, Ordering::Relaxed));
                    let told = persistently(&mut client, &name, &order(&[("sku", 1, 999)], "pm_card_visa"));
                    assert_eq!(told["status"], json!("confirmed"), "{told}");
                }
            });
        }
        for _ in 0..3 {
            std::thread::sleep(Duration::from_secs(1));
            shop.restart_one_by_one();
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut client = shop.client();
    books::all_stories_end(&mut client);
    let books = books::balance(&mut client);
    books::stock_is(&mut client, "sku", STOCK, &books);
    println!("{:?}", books.orders);
    assert!(books.orders["confirmed"] > 50, "the shop sold something between the restarts");
    shop.stop();
}

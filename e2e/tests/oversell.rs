//! A flash sale: more shoppers than stock, each in a whole checkout.

use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{On, Shop, books, order, receive};

const STOCK: i64 = 100;
const SHOPPERS: usize = 1_000;
const AT_ONCE: usize = 100;

#[test]
fn a_thousand_shoppers_buy_exactly_the_hundred_pieces_that_there_are() {
    for on in On::every_way() {
        let shop = Shop::open(&on);
        assert_eq!(shop.client().put("/v1/stock-movements/m-1", &receive("flash", STOCK)).expect("an answer").0, 201);
        let (confirmed, sold_out) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    let mut client = shop.client();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= SHOPPERS {
                            return;
                        }
                        let order = order(&[("flash", 1, 4_999)], "pm_card_visa");
                        let (status, told) = client.checkout(&format!("o-{number}"), &order).expect("an answer");
                        assert_eq!(status, 201, "{told}");
                        match (told["status"].as_str(), told["reason"].as_str()) {
                            (Some("confirmed"), None) => confirmed.fetch_add(1, Ordering::Relaxed),
                            (Some("cancelled"), Some("out_of_stock")) => sold_out.fetch_add(1, Ordering::Relaxed),
                            _ => panic!("an order ended in a third way: {told}"),
                        };
                    }
                });
            }
        });
        assert_eq!((confirmed.into_inner(), sold_out.into_inner()), (100, 900), "on {on:?}");
        let books = books::balance(&mut shop.client());
        assert_eq!(books.revenue, 100 * 4_999);
        books::stock_is(&mut shop.client(), "flash", STOCK, &books);
    }
}

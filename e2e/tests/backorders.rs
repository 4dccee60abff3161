//! A preorder: whole checkouts of more than there is, then goods that come in bit by bit.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Client, On, Shop, books, order, receive};
use serde_json::{Value, json};

const STOCK: i64 = 60;
const LIMIT: i64 = 140;
const SHOPPERS: usize = 400;
const AT_ONCE: usize = 40;
const PRICE: i64 = 4_999;
/// What comes in, one after the other; together more than is owed.
const DELIVERIES: [i64; 5] = [1, 37, 50, 2, 60];

#[test]
fn what_is_there_and_what_may_be_owed_is_sold_and_goods_go_to_whoever_was_promised_them_first() {
    for on in On::both() {
        sold_out_and_served(&mut Shop::open(&on), false);
    }
}

#[test]
fn so_it_is_also_where_the_shop_is_killed_while_it_sells_and_while_it_serves() {
    let settings = [("PAYMENTS__PROVIDER_TIMEOUT_MS", "300"), ("PAYMENTS__RETRY_MS", "100")];
    sold_out_and_served(&mut Shop::open_with(&On::Sqlite, &settings), true);
}

fn sold_out_and_served(shop: &mut Shop, with_kills: bool) {
    let mut client = shop.client();
    let offer = json!({"discontinued": false, "backorder_limit": LIMIT});
    assert_eq!(client.put("/v1/skus/lamp", &offer).expect("an answer").0, 200);
    assert_eq!(client.put("/v1/stock-movements/first", &receive("lamp", STOCK)).expect("an answer").0, 201);
    sell(shop, with_kills);
    let mut client = shop.client();
    books::all_stories_end(&mut client);
    let sold = books::balance(&mut client);
    let buyers = usize::try_from(STOCK + LIMIT).expect("a number");
    let ended = BTreeMap::from([("cancelled".to_owned(), SHOPPERS - buyers), ("confirmed".to_owned(), buyers)]);
    assert_eq!(sold.orders, ended, "exactly what is there, and what may be owed");
    assert_eq!(sold.reasons, BTreeMap::from([("out_of_stock".to_owned(), SHOPPERS - buyers)]));
    assert_eq!(owed(&mut client), LIMIT);

    let promises = waiting(&mut client);
    assert_eq!(promises.len(), usize::try_from(LIMIT).expect("a number"));
    let made: Vec<_> = said(&mut client, "StockReserved").into_iter().map(|said| reservation(&said)).collect();
    if !matches!(shop.on(), On::Postgres(_)) {
        // Two writers number promises as their clocks run; one writes them down in their order.
        let in_their_order: Vec<_> = made.into_iter().filter(|made| promises.contains(made)).collect();
        assert_eq!(promises, in_their_order, "they wait in the order in which they were made");
    }
    for (number, quantity) in DELIVERIES.iter().enumerate() {
        let (path, delivery) = (format!("/v1/stock-movements/delivery-{number}"), receive("lamp", *quantity));
        if with_kills && number == 2 {
            let routes = shop.routes();
            std::thread::scope(|scope| {
                // Whoever brings it asks until somebody says that it is there.
                scope.spawn(|| persistently(&mut Client::of(&routes), |client| client.put(&path, &delivery)));
                shop.kill();
                shop.start();
            });
            client = shop.client();
        } else {
            assert_eq!(client.put(&path, &delivery).expect("an answer").0, 201);
        }
        let come: i64 = DELIVERIES[..=number].iter().sum();
        let left = usize::try_from(LIMIT - come.min(LIMIT)).expect("a number");
        assert_eq!(waiting(&mut client), promises[promises.len() - left..], "the first {come} of them were served");
    }
    let served: Vec<_> = said(&mut client, "BackorderServed").iter().map(reservation).collect();
    assert_eq!(served, promises, "each is told once that its goods have come, in that order");

    for reservation in promises {
        let path = format!("/v1/reservations/{reservation}");
        let (_, of_an_order) = client.get(&path).expect("an answer");
        assert_eq!(of_an_order["status"], "shipped", "{of_an_order}");
    }
    let books = books::balance(&mut client);
    assert_eq!((books.revenue, &books.orders), ((STOCK + LIMIT) * PRICE, &ended));
    books::stock_is(&mut client, "lamp", STOCK + DELIVERIES.iter().sum::<i64>(), &books);
    let (balances, said) = shop.audit();
    assert!(balances, "{said}");
}

/// All shoppers ask for one piece each, each until they know what became of their order.
fn sell(shop: &mut Shop, with_kills: bool) {
    let (next, routes) = (AtomicUsize::new(0), shop.routes());
    let told = Mutex::new(BTreeMap::<&str, i64>::new());
    std::thread::scope(|scope| {
        let shopper = || {
            let mut client = Client::of(&routes);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= SHOPPERS {
                    return;
                }
                let (name, order) = (format!("o-{number}"), order(&[("lamp", 1, PRICE)], "pm_card_visa"));
                let answer = persistently(&mut client, |client| client.checkout(&name, &order));
                let ended = match (answer["status"].as_str(), answer["reason"].as_str()) {
                    (Some("confirmed"), None) => "confirmed",
                    (Some("cancelled"), Some("out_of_stock")) => "sold out",
                    _ => panic!("an order ended in a third way: {answer}"),
                };
                *told.lock().expect("nobody panicked").entry(ended).or_default() += 1;
            }
        };
        let shoppers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(shopper)).collect();
        while with_kills && !shoppers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(150));
            shop.kill();
            shop.start();
        }
    });
    let told = told.into_inner().expect("nobody panicked");
    let sold_out = i64::try_from(SHOPPERS).expect("a number") - STOCK - LIMIT;
    assert_eq!(told, BTreeMap::from([("confirmed", STOCK + LIMIT), ("sold out", sold_out)]));
}

/// Asks until there is an answer, whatever happens to the server.
fn persistently(client: &mut Client, ask: impl Fn(&mut Client) -> std::io::Result<(u16, Value)>) -> Value {
    loop {
        match ask(client) {
            Ok((200 | 201, told)) => return told,
            Ok((status, told)) => assert!(matches!(status, 202 | 503), "{status} {told}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Pieces of the lamp that are promised and not there.
fn owed(client: &mut Client) -> i64 {
    client.get("/v1/stock/lamp").expect("a level").1["owed"].as_i64().expect("a number")
}

/// The reservations that wait for goods, in the order in which they will get some.
fn waiting(client: &mut Client) -> Vec<String> {
    let (status, page) = client.get("/v1/shortfalls?state=waiting&limit=500").expect("a list");
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().expect("items").iter().map(reservation).collect()
}

/// What inventory has said of this kind, in the order in which it said it.
fn said(client: &mut Client, kind: &str) -> Vec<Value> {
    let (mut events, mut path) = (Vec::new(), "/v1/events/inventory?limit=500".to_owned());
    loop {
        let (status, mut page) = client.get(&path).expect("a page");
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array_mut().expect("events");
        if items.is_empty() {
            break;
        }
        events.append(items);
        path = format!("/v1/events/inventory?limit=500&after={}", page["next"].as_str().expect("a cursor"));
    }
    events.retain(|event| event["type"] == kind);
    events.sort_by_key(|event| event["position"].as_i64());
    events.into_iter().map(|mut event| event["data"].take()).collect()
}

fn reservation(of: &Value) -> String {
    of["reservation"].as_str().expect("a name").to_owned()
}

//! Whether everything balances, from what the program answers and what the provider's own book says.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Client;

/// What the books came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Orders by status.
    pub orders: BTreeMap<String, usize>,
    /// Orders that ended, by reason.
    pub reasons: BTreeMap<String, usize>,
    /// Pieces that confirmed orders took, by SKU.
    pub sold: BTreeMap<String, i64>,
    /// What confirmed orders cost, in minor units.
    pub revenue: i64,
}

/// Reads all orders and the provider's book.
///
/// # Panics
/// When something does not balance: an order that is charged otherwise than it should be, money held
/// for an order that has ended, stock still reserved for one.
pub fn balance(client: &mut Client) -> Books {
    let mut books = Books::default();
    let mut charges = provider(client);
    for order in orders(client) {
        let status = order["status"].as_str().expect("a status").to_owned();
        let total = order["total"]["amount"].as_i64().expect("a total");
        let payment = order["payment"]["id"].as_str().expect("a payment");
        let (held, kept) = charges.remove(payment).unwrap_or_default();
        let due = if status == "confirmed" { total } else { 0 };
        assert_eq!((held, kept), (0, due), "{order} is charged {kept}, and {held} are held");
        if status == "confirmed" {
            books.revenue += total;
            for line in order["lines"].as_array().expect("lines") {
                let sku = line["sku"].as_str().expect("a SKU").to_owned();
                *books.sold.entry(sku).or_default() += line["quantity"].as_i64().expect("a quantity");
            }
        }
        if let Some(reason) = order["reason"].as_str() {
            *books.reasons.entry(reason.to_owned()).or_default() += 1;
        }
        *books.orders.entry(status).or_default() += 1;
    }
    for (payment, sums) in charges {
        assert_eq!(sums, (0, 0), "{payment} is charged and belongs to no order");
    }
    books
}

/// All orders, in the order in which they were placed.
///
/// # Panics
/// When they cannot be read.
pub fn orders(client: &mut Client) -> Vec<Value> {
    all(client, "/v1/orders?limit=500")
}

/// Stock of a SKU that came in as `received` pieces: what was sold has left it, nothing else is promised.
///
/// # Panics
/// When that is not so.
pub fn stock_is(client: &mut Client, sku: &str, received: i64, books: &Books) {
    let path = sku.bytes().fold(String::new(), |path, byte| format!("{path}%{byte:02X}"));
    let (_, level) = client.get(&format!("/v1/stock/{path}")).expect("a level");
    let sold = books.sold.get(sku).copied().unwrap_or(0);
    let number = |name: &str| level[name].as_i64().expect("a number");
    let is = (number("on_hand"), number("reserved"), number("committed"), number("owed"));
    assert_eq!(is, (received - sold, 0, 0, 0), "{sku}: {received} came in, {sold} were sold: {level}");
}

/// Waits until no order is pending any more.
///
/// # Panics
/// When some still are after two minutes.
pub fn all_stories_end(client: &mut Client) {
    for _ in 0..240 {
        let pending = client.get("/v1/orders?status=pending&limit=1").expect("a list").1;
        if pending["items"].as_array().is_some_and(Vec::is_empty) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    panic!("some orders do not come to an end: {}", client.get("/v1/orders?status=pending&limit=3").expect("a list").1);
}

/// What is held and what is kept for each payment, from the provider's own book.
fn provider(client: &mut Client) -> BTreeMap<String, (i64, i64)> {
    let mut payments: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for charge in all(client, "/v1/test-provider/charges?limit=500") {
        let key = charge["key"].as_str().expect("a key");
        let payment = key.rsplit_once('.').expect("a try").0.rsplit('/').next().expect("a payment").to_owned();
        let number = |name: &str| charge[name].as_i64().unwrap_or_else(|| panic!("{name} of {charge}"));
        let sums = payments.entry(payment).or_default();
        sums.0 += number("held");
        sums.1 += number("captured") - number("refunded");
    }
    payments
}

/// All items of a list, page by page.
fn all(client: &mut Client, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = path.to_owned();
    loop {
        let (status, page) = client.get(&next).expect("a page");
        assert_eq!(status, 200, "{next}: {page}");
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next"].as_str() {
            Some(after) => next = format!("{path}&after={after}"),
            None => return items,
        }
    }
}

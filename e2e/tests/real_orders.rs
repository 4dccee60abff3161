//! The invoices of a real shop, replayed as whole checkouts, against a sum by a script in another
//! language that shares no code with Banyan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{On, Shop, books, receive};
use serde_json::{Value, json};

const CLIENTS: usize = 32;

/// An invoice as an order: its lines as they stand, and the day that it was written.
#[derive(Default)]
struct Invoice {
    day: String,
    lines: Vec<(String, i64, i64)>,
}

#[derive(Default)]
struct Invoices {
    orders: BTreeMap<String, Invoice>,
    needed: BTreeMap<String, i64>,
    left_out: BTreeMap<String, i64>,
}

/// The folder with real data, beside the project; it is no part of it.
fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("BANYAN_REAL_DATA").map_or(beside, PathBuf::from);
    let file = folder.join("uci-online-retail.train.csv.zst");
    file.exists().then_some(file)
}

/// The file, unpacked.
fn unpacked(file: &Path) -> Vec<u8> {
    let zstd = Command::new("zstd").arg("-dc").arg(file).output();
    let zstd = zstd.expect("zstd unpacks the data: apt-get install -y zstd");
    assert!(zstd.status.success(), "{}", String::from_utf8_lossy(&zstd.stderr));
    zstd.stdout
}

/// The price in pence, or why it cannot be one.
fn pence(text: &str) -> Result<i64, &'static str> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let decimals = decimals.trim_end_matches('0');
    let negative = whole.starts_with('-');
    let number = |text: &str| text.parse::<i64>().map_err(|_| "no price");
    let pounds = number(whole)?;
    if negative || (pounds == 0 && decimals.is_empty()) {
        return Err("price not positive");
    }
    match decimals.len() {
        0 => Ok(pounds * 100),
        1 => Ok(pounds * 100 + number(decimals)? * 10),
        2 => Ok(pounds * 100 + number(decimals)?),
        _ => Err("fraction of a penny"),
    }
}

fn is_goods(code: &str) -> bool {
    let (digits, letters) = code.split_at(code.len().min(5));
    digits.len() == 5
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn line(number: &str, code: &str, quantity: i64, price: &str) -> Result<i64, &'static str> {
    match () {
        () if number.starts_with('C') => Err("cancellation"),
        () if !is_goods(code) => Err("not goods"),
        () if !number.bytes().all(|byte| byte.is_ascii_digit()) => Err("no invoice number"),
        () if quantity <= 0 => Err("quantity not positive"),
        () => pence(price),
    }
}

fn read(file: &Path) -> Invoices {
    let mut invoices = Invoices::default();
    for row in csv::Reader::from_reader(unpacked(file).as_slice()).records() {
        let row = row.expect("a row");
        let quantity: i64 = row[3].parse().expect("a quantity");
        match line(&row[0], &row[1], quantity, &row[5]) {
            Ok(price) => {
                let invoice = invoices.orders.entry(row[0].to_owned()).or_default();
                row[4][..10].clone_into(&mut invoice.day);
                invoice.lines.push((row[1].to_owned(), quantity, price));
                *invoices.needed.entry(row[1].to_owned()).or_default() += quantity;
            }
            Err(reason) => *invoices.left_out.entry(reason.to_owned()).or_default() += 1,
        }
    }
    invoices
}

/// What every SKU begins with: all that its invoices need, and half of that for every fiftieth.
fn begin_with(needed: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let scarce = |place: usize, quantity: i64| if place % 50 == 49 { quantity / 2 } else { quantity };
    needed.iter().enumerate().map(|(place, (sku, quantity))| (sku.clone(), scarce(place, *quantity))).collect()
}

/// Does something for each item, from many clients at once.
fn from_clients<T: Sync>(shop: &Shop, items: &[T], each: impl Fn(&mut e2e::Client, &T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = shop.client();
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(&mut client, item);
                }
            });
        }
    });
}

fn replay(on: &On, file: &Path, invoices: &Invoices) {
    let shop = Shop::open(on);
    let begin: Vec<(String, i64)> = begin_with(&invoices.needed).into_iter().filter(|(_, n)| *n > 0).collect();
    from_clients(&shop, &begin, |client, (sku, quantity)| {
        let answer = client.put(&format!("/v1/stock-movements/begin-{sku}"), &receive(sku, *quantity));
        assert_eq!(answer.expect("an answer").0, 201, "{sku}");
    });
    let orders: Vec<(&String, &Invoice)> = invoices.orders.iter().collect();
    from_clients(&shop, &orders, |client, (number, invoice)| {
        let line = |(sku, quantity, price): &(String, i64, i64)| json!({"sku": sku, "quantity": quantity, "unit_price": {"amount": price, "currency": "GBP"}});
        let lines: Vec<Value> = invoice.lines.iter().map(line).collect();
        let order = json!({"lines": lines, "payment": {"method": "pm_card_visa"}, "reference": invoice.day});
        let (status, told) = client.checkout(number, &order).expect("an answer");
        let is_scarce = told["reason"] == "out_of_stock";
        assert!(status == 201 && (told["status"] == "confirmed" || is_scarce), "{number}: {status} {told}");
    });
    compare(&shop, file, invoices);
}

/// What the shop says, against what the script adds up for the invoices that were confirmed.
fn compare(shop: &Shop, file: &Path, invoices: &Invoices) {
    let mut client = shop.client();
    let balanced = books::balance(&mut client);
    let (mut per_day, mut per_sku) = (BTreeMap::<String, i64>::new(), BTreeMap::<String, i64>::new());
    let mut confirmed = String::new();
    for order in books::orders(&mut client).iter().filter(|order| order["status"] == "confirmed") {
        confirmed.push_str(order["id"].as_str().expect("an id"));
        confirmed.push('\n');
        let day = order["reference"].as_str().expect("a day").to_owned();
        *per_day.entry(day).or_default() += order["total"]["amount"].as_i64().expect("a total");
        for line in order["lines"].as_array().expect("lines") {
            let number = |value: &Value| value.as_i64().expect("a number");
            let sum = number(&line["quantity"]) * number(&line["unit_price"]["amount"]);
            *per_sku.entry(line["sku"].as_str().expect("a SKU").to_owned()).or_default() += sum;
        }
    }
    let mut stock = BTreeMap::new();
    let skus: Vec<&String> = invoices.needed.keys().collect();
    for some in skus.chunks(500) {
        let (_, levels) = client.post("/v1/stock/query", &json!({"skus": some})).expect("levels");
        for level in levels["items"].as_array().expect("items") {
            let sku = level["sku"].as_str().expect("a SKU").to_owned();
            stock.insert(sku, level["on_hand"].as_i64().unwrap_or(0));
        }
    }
    let list = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(list.path(), confirmed).expect("a list");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/real_orders.py");
    let rows = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(rows.path(), unpacked(file)).expect("the rows");
    let rows = Stdio::from(rows.reopen().expect("the rows"));
    let script = Command::new("python3").arg(script).arg(list.path()).stdin(rows).output();
    let script = script.expect("python3 adds up: apt-get install -y python3");
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));
    let sums: Value = serde_json::from_slice(&script.stdout).expect("a document");
    let same = |name: &str, ours: &BTreeMap<String, i64>| {
        let theirs: BTreeMap<String, i64> = serde_json::from_value(sums[name].clone()).expect("numbers by name");
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (key, value) in ours {
            assert_eq!(Some(value), theirs.get(key), "{name} of {key}");
        }
    };
    same("per_day", &per_day);
    same("per_sku", &per_sku);
    same("stock", &stock);
    same("left_out", &invoices.left_out);
    println!(
        "{} invoices, {} confirmed, {} pence on {} days; left out: {:?}",
        invoices.orders.len(),
        balanced.orders["confirmed"],
        balanced.revenue,
        per_day.len(),
        invoices.left_out
    );
    assert!(balanced.reasons["out_of_stock"] > 0, "some SKUs were scarce");
}

#[test]
fn the_invoices_of_a_real_shop_add_up_to_the_penny_and_the_piece() {
    let Some(file) = data() else {
        println!("skipped: the invoices are not beside the project; BANYAN_REAL_DATA names their folder");
        return;
    };
    let invoices = read(&file);
    for on in On::both() {
        replay(&on, &file, &invoices);
    }
}

//! A stock to try things on, brought in through the public interface, and what to try.

use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::time::Duration;

use db::{Context, Trace};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use settings::Secret;
use web::Client;
use world::{Chance, World};

use crate::stop::Stop;

/// The seed of the stock: everybody's demo is the same.
const SEED: u64 = 20_260_101;
/// Movements that are on their way at once.
const AT_ONCE: usize = 64;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The SKU of the lines to try.
const FIRST_SKU: &str = "DEMO-000001";

/// Fills an empty shop and says what to try; where there is data already, leaves it as it is.
pub(crate) async fn show(
    address: SocketAddr,
    key: Option<Secret>,
    skus: u32,
    is_empty: bool,
    world: &World,
) -> Result<(), Stop> {
    if is_empty {
        fill(address, key, skus, world).await?;
    } else {
        eprintln!("The data folder is not empty; it is left as it is.");
    }
    eprintln!("{}", lines(address));
    Ok(())
}

async fn fill(address: SocketAddr, key: Option<Secret>, skus: u32, world: &World) -> Result<(), Stop> {
    let client = Client::new(&format!("http://{address}")).map_err(Stop::Failed)?.with_key(key);
    let by = Context::system("demo", Trace::begin(&mut world.chance("demo")));
    let bar = progress(skus);
    let mut chance = World::simulated(SEED).chance("demo stock");
    let movements = (1..=skus).map(|number| (number, movement(number, &mut chance)));
    let moved = stream::iter(movements).map(|(number, movement)| {
        let (client, by) = (&client, &by);
        async move {
            let path = format!("/v1/stock-movements/demo-{number}");
            client.put_json::<Value>(&path, &movement, by, PATIENCE).await
        }
    });
    let mut done: u32 = 0;
    let mut moved = moved.buffer_unordered(AT_ONCE);
    while let Some(_movement) = moved.try_next().await.map_err(|fault| Stop::Failed(format!("the demo: {fault}")))? {
        done += 1;
        bar.inc(1);
        if bar.is_hidden() && done.is_multiple_of((skus / 10).max(1)) {
            eprintln!("demo: {done} of {skus} SKUs");
        }
    }
    bar.finish_and_clear();
    eprintln!("A stock of {skus} SKUs is there, {FIRST_SKU} to DEMO-{skus:06}.");
    Ok(())
}

fn progress(skus: u32) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  {bar:40} {pos} of {len} SKUs, {eta} left");
    ProgressBar::new(skus.into()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Goods that came in: most SKUs have some dozens, few have many or almost none.
fn movement(number: u32, chance: &mut Chance) -> Value {
    let quantity = match chance.below(10) {
        0 => chance.between(1, 3),
        1 => chance.between(500, 5_000),
        _ => chance.between(10, 120),
    };
    let warehouse = if chance.once_in(4) { "east" } else { "main" };
    json!({
        "type": "receive", "sku": format!("DEMO-{number:06}"), "warehouse": warehouse, "quantity": quantity,
        "reference": "demo",
    })
}

/// Lines for a shell that go from nothing to an order that is confirmed and one that is declined.
fn lines(address: SocketAddr) -> String {
    let json = "-H 'content-type: application/json'";
    let put = format!("curl -s -X PUT http://{address}");
    let line =
        format!("{{\"sku\":\"{FIRST_SKU}\",\"quantity\":2,\"unit_price\":{{\"amount\":1999,\"currency\":\"GBP\"}}}}");
    let order = |name: &str, method: &str| {
        let body = format!("{{\"lines\":[{line}],\"payment\":{{\"method\":\"{method}\"}}}}");
        format!("{put}/v1/orders/{name} -H 'prefer: wait=10' {json} -d '{body}'")
    };
    let delivery = format!("{{\"type\":\"receive\",\"sku\":\"{FIRST_SKU}\",\"warehouse\":\"main\",\"quantity\":100}}");
    [
        String::new(),
        "Goods come in, an order is confirmed, another one is declined, and what happened:".to_owned(),
        String::new(),
        format!("  {put}/v1/stock-movements/delivery-1 {json} -d '{delivery}'"),
        format!("  {}", order("order-1", "pm_card_visa")),
        format!("  {}", order("order-2", "pm_card_chargeDeclined")),
        format!("  curl -s http://{address}/v1/stock/{FIRST_SKU}"),
        format!("  curl -s http://{address}/v1/orders/order-1/history"),
        String::new(),
    ]
    .join("\n")
}

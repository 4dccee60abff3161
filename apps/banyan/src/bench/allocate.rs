//! `bench allocate`: how long it takes to choose the warehouses of an order, without a database.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::inventory::{AllocateBy, Terms};
use ids::{Number, Sku, Warehouse};
use inventory::domain::{Books, Command, Line, Policy, Pool, Reserve, Settled};
use telemetry::Stopwatch;
use world::{Chance, World};

use super::spread::Spread;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Lines of an order, each of another SKU
    #[arg(long, default_value_t = 50)]
    lines: usize,
    /// Warehouses, each of which has two of three SKUs
    #[arg(long, default_value_t = 20)]
    warehouses: usize,
    /// Orders
    #[arg(long, default_value_t = 1_000)]
    orders: usize,
}

pub(super) fn run(options: &Options) {
    let Options { lines, warehouses, orders } = options;
    println!("allocate: {orders} orders of {lines} lines over {warehouses} warehouses");
    for by in [AllocateBy::Priority, AllocateBy::FewestParcels] {
        let world = World::simulated(1);
        let mut chance = world.chance("orders");
        let (mut spread, mut parcels) = (Spread::default(), 0);
        for _ in 0..*orders {
            let (took, came_from) = one(&world, &mut chance, options, by);
            spread.add(took);
            parcels += came_from;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
        let each = parcels as f64 / *orders as f64;
        println!(
            "{by:?}: {each:.1} parcels; p50 {:.3} ms, p99 {:.3} ms, slowest {:.3} ms",
            spread.percentile_ms(0.5),
            spread.percentile_ms(0.99),
            spread.percentile_ms(1.0)
        );
    }
}

/// Reserves one order in books of its own; gives the time that took and the parcels it comes in.
fn one(world: &World, chance: &mut Chance, options: &Options, by: AllocateBy) -> (Duration, usize) {
    let mut books = books(chance, options);
    let line = |number| Line { sku: sku(number), quantity: 2, warehouse: None };
    let reserve = Reserve {
        name: "order".parse().expect("a name"),
        fingerprint: "order".to_owned(),
        lines: (0..options.lines).map(line).collect(),
        hold_secs: 60,
        order: None,
        replaces: None,
        terms: Some(Terms { allocation: Some(by), ..Terms::default() }),
    };
    let command = Command::Reserve(reserve);
    let started = Stopwatch::start();
    let answer = books.carry_out("local", &command, &Policy::default(), world.now(), &|| Number::from_column(1));
    let took = started.elapsed();
    let warehouses = match &answer {
        Ok(Settled::Reservation { reservation, .. }) => {
            let parts = reservation.lines.iter().flat_map(|line| &line.allocations);
            parts.map(|part| &part.warehouse).collect::<BTreeSet<_>>().len()
        }
        _ => 0,
    };
    (took, warehouses)
}

/// Every warehouse has one to three pieces of two of three SKUs, so that hardly one has all of an order.
fn books(chance: &mut Chance, options: &Options) -> Books {
    let mut books = Books::default();
    for place in 0..options.warehouses {
        let warehouse: Warehouse = format!("warehouse-{place:03}").parse().expect("a warehouse");
        for number in 0..options.lines {
            if chance.once_in(3) {
                continue;
            }
            let on_hand = chance.between(1, 3);
            books.load_pool(sku(number), warehouse.clone(), Pool { on_hand, ..Pool::default() });
        }
    }
    books
}

fn sku(number: usize) -> Sku {
    format!("SKU-{number:04}").parse().expect("a SKU")
}

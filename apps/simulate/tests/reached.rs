//! What hardly ever happens does happen in some runs, and to more than one order.

use simulate::{Coverage, Journal, Scenario, run};

#[test]
fn in_a_sale_orders_are_paid_whose_stock_is_gone() {
    let scenario = Scenario { sales: true, ..Scenario::default() };
    let mut all = Coverage::default();
    let mut most_percent = 0;
    for seed in 0..20 {
        let coverage = run(seed, &scenario, &mut Journal::default()).coverage;
        let lost = coverage.times("an order ends: attention paid_but_no_stock");
        most_percent = most_percent.max(100 * lost / coverage.times("orders: OrderPlaced"));
        all.add(&coverage);
    }
    let (rejected, placed) = (all.times("inventory: StockCommitRejected"), all.times("orders: OrderPlaced"));
    println!(
        "of {placed} orders {rejected} had lost their stock when it was to be made firm; in one run {most_percent} % were paid"
    );
    assert!(rejected * 100 >= placed, "less than one of a hundred orders loses its stock");
    assert!(most_percent >= 5, "in no run more than {most_percent} % are paid without stock");
}

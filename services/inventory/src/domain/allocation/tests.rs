//! Which warehouses lines are taken from, by rule and by chance.

use proptest::prelude::*;

use super::*;
use crate::domain::sku::Offer;
use crate::domain::warehouse::{Site, WarehouseSettings};

fn stock(levels: &[(&str, &str, i64)]) -> Stock {
    let mut stock = Stock::new();
    for (sku, warehouse, on_hand) in levels {
        let pool = Pool { on_hand: *on_hand, ..Pool::default() };
        let entry = Entry { pool, ..Entry::default() };
        stock.entry(sku.parse().unwrap()).or_default().insert(warehouse.parse().unwrap(), entry);
    }
    stock
}

fn line(sku: &str, quantity: i64, warehouse: Option<&str>) -> Line {
    Line { sku: sku.parse().unwrap(), quantity, warehouse: warehouse.map(|name| name.parse().unwrap()) }
}

fn policy(order: &[&str], allow_split: bool) -> Policy {
    let warehouses = order.iter().map(|name| name.parse().unwrap()).collect();
    Policy { warehouses, allow_split, ..Policy::default() }
}

fn wish_for(stock: &Stock, lines: &[Line], policy: &Policy) -> Result<Vec<ReservedLine>, Unmet> {
    allocate(stock, lines, sources(policy, &Warehouses::new(), None))
}

fn taken(result: &Result<Vec<ReservedLine>, Unmet>) -> Vec<(String, i64)> {
    let lines = result.as_ref().expect("enough of all");
    let all = lines.iter().flat_map(|line| &line.allocations);
    all.map(|allocation| (allocation.warehouse.to_string(), allocation.quantity)).collect()
}

fn short(sku: &str, wanted: i64, available: i64) -> Short {
    Short { sku: sku.parse().unwrap(), wanted, available, in_transit: 0, available_from: None }
}

fn sources<'a>(policy: &'a Policy, warehouses: &'a Warehouses, terms: Option<&'a Terms>) -> Sources<'a> {
    static NOTHING_SAID: BTreeMap<Sku, SkuSettings> = BTreeMap::new();
    let now = Moment::from_micros(0);
    Sources { policy, warehouses, skus: &NOTHING_SAID, terms, backorder: true, now }
}

/// Where pieces of `a` come from of which nine may be owed: the warehouse, all, and those that are owed.
fn owed(
    levels: &[(&str, &str, i64)],
    lines: &[Line],
    policy: &Policy,
    warehouses: &Warehouses,
) -> Option<Vec<(String, i64, i64)>> {
    let offer = Offer { backorder_limit: 9, ..Offer::default() };
    let skus = BTreeMap::from([("a".parse().unwrap(), SkuSettings { offer, ..SkuSettings::default() })]);
    let sources = Sources { skus: &skus, ..sources(policy, warehouses, None) };
    let reserved = allocate(&stock(levels), lines, sources).ok()?;
    let parts = reserved.into_iter().flat_map(|line| line.allocations);
    Some(parts.map(|part| (part.warehouse.to_string(), part.quantity, part.owed)).collect())
}

fn falls_short(sku: &str, wanted: i64, available: i64) -> Result<Vec<ReservedLine>, Unmet> {
    Err(Unmet::Short(vec![short(sku, wanted, available)]))
}

#[test]
fn what_an_event_cannot_name_is_not_held() {
    let warehouses: Vec<_> = (0..1_817).map(|place| format!("{place:064}")).collect();
    let levels: Vec<_> = warehouses.iter().map(|warehouse| ("a", warehouse.as_str(), 1)).collect();
    let stock = stock(&levels);
    let result = wish_for(&stock, &[line("a", 1_816, None)], &policy(&[], true));
    assert_eq!(taken(&result).len(), 1_816);
    assert_eq!(wish_for(&stock, &[line("a", 1_817, None)], &policy(&[], true)), Err(Unmet::TooLarge));
    let skus: Vec<_> = (0..1_000).map(|number| format!("{number:04}{}", "\u{1f375}".repeat(60))).collect();
    let lines: Vec<_> = skus.iter().map(|sku| line(sku, 1, None)).collect();
    let few = &lines[..550];
    assert_eq!(wish_for(&stock, few, &policy(&[], true)).unwrap_err().short().len(), 550);
    assert_eq!(wish_for(&stock, &lines, &policy(&[], true)), Err(Unmet::TooLarge));
}

#[test]
fn warehouses_are_emptied_in_their_order() {
    let stock = stock(&[("a", "east", 5), ("a", "north", 5), ("a", "west", 5)]);
    let result = wish_for(&stock, &[line("a", 7, None)], &policy(&["north", "west"], true));
    assert_eq!(taken(&result), [("north".into(), 5), ("west".into(), 2)]);
    let result = wish_for(&stock, &[line("a", 12, None)], &policy(&["north"], true));
    assert_eq!(taken(&result), [("north".into(), 5), ("east".into(), 5), ("west".into(), 2)], "unnamed ones last");
}

#[test]
fn a_line_that_may_not_be_split_takes_the_first_warehouse_that_has_it_all() {
    let stock = stock(&[("a", "north", 5), ("a", "west", 9)]);
    let result = wish_for(&stock, &[line("a", 7, None)], &policy(&["north", "west"], false));
    assert_eq!(taken(&result), [("west".into(), 7)]);
    let result = wish_for(&stock, &[line("a", 5, None)], &policy(&["north", "west"], false));
    assert_eq!(taken(&result), [("north".into(), 5)], "all that is there");
    let result = wish_for(&stock, &[line("a", 10, None)], &policy(&["north", "west"], false));
    assert_eq!(result, falls_short("a", 10, 9));
}

#[test]
fn lines_of_one_sku_are_one_wish() {
    let stock = stock(&[("a", "north", 5)]);
    let twice = [line("a", 3, None), line("a", 3, None)];
    let result = wish_for(&stock, &twice, &policy(&[], true));
    assert_eq!(result, falls_short("a", 6, 5));
    let bound = [line("a", 2, Some("north")), line("a", 3, None)];
    assert_eq!(taken(&wish_for(&stock, &bound, &policy(&[], true))), [("north".into(), 5)]);
}

#[test]
fn a_line_that_is_bound_to_a_warehouse_can_have_all_that_is_there_and_no_more() {
    let stock = stock(&[("a", "north", 5), ("a", "west", 9)]);
    let all = wish_for(&stock, &[line("a", 5, Some("north"))], &policy(&[], true));
    assert_eq!(taken(&all), [("north".into(), 5)]);
    let more = wish_for(&stock, &[line("a", 6, Some("north"))], &policy(&[], true));
    assert_eq!(more, falls_short("a", 6, 5));
}

#[test]
fn what_could_have_been_had_counts_no_piece_twice() {
    let stock = stock(&[("a", "north", 5), ("a", "west", 3)]);
    let lines = [line("a", 2, Some("north")), line("a", 9, None)];
    for (split, available) in [(true, 8), (false, 5)] {
        let short = vec![short("a", 11, available)];
        assert_eq!(wish_for(&stock, &lines, &policy(&[], split)), Err(Unmet::Short(short)), "split: {split}");
    }
}

#[test]
fn what_more_is_bound_to_a_warehouse_than_it_has_takes_nothing_from_the_others() {
    let stock = stock(&[("a", "north", 5), ("a", "west", 3)]);
    let lines = [line("a", 6, Some("north")), line("a", 9, None)];
    assert_eq!(wish_for(&stock, &lines, &policy(&[], true)), falls_short("a", 15, 8));
}

#[test]
fn what_falls_short_tells_how_many_are_on_their_way() {
    let mut stock = stock(&[("a", "north", 5), ("a", "west", 0)]);
    for (_, entry) in stock.values_mut().flatten() {
        entry.pool.in_transit = 2;
    }
    let unmet = wish_for(&stock, &[line("a", 6, None)], &policy(&[], true)).unwrap_err();
    assert_eq!(unmet.short(), [Short { in_transit: 4, ..short("a", 6, 5) }]);
}

#[test]
fn what_lies_nowhere_is_owed_where_it_could_lie() {
    let (open, nobody) = (known(&[("west", Site { priority: Some(1), ..Site::default() })]), known(&[]));
    let closed = known(&[("west", Site { priority: Some(1), active: false, ..Site::default() })]);
    let (north, none) = (policy(&["north"], true), policy(&[], true));
    for (policy, warehouses, place) in [
        (&north, &nobody, Some("north")),
        (&none, &open, Some("west")),
        (&north, &open, Some("west")),
        (&north, &closed, Some("north")),
        (&none, &closed, None),
    ] {
        let expected = place.map(|place| vec![(place.to_owned(), 2, 2)]);
        assert_eq!(owed(&[], &[line("a", 2, None)], policy, warehouses), expected, "{warehouses:?}");
    }
    let bound = [line("a", 2, Some("west"))];
    assert_eq!(owed(&[], &bound, &north, &closed), None, "nothing comes from there");
    let offer = Offer { backorder_limit: 9, ..Offer::default() };
    let skus = BTreeMap::from([("a".parse().unwrap(), SkuSettings { offer, ..SkuSettings::default() })]);
    let refused = allocate(&stock(&[]), &bound, Sources { skus: &skus, ..sources(&north, &closed, None) });
    assert_eq!(refused, falls_short("a", 2, 0), "so none could have been had");
}

#[test]
fn a_line_that_stays_whole_waits_where_the_least_of_it_is_missing() {
    let levels = [("a", "east", 3), ("a", "north", 1), ("a", "south", 3)];
    for (first, place) in [("north", "east"), ("south", "south")] {
        let parts = owed(&levels, &[line("a", 5, None)], &policy(&[first], false), &known(&[]));
        assert_eq!(parts, Some(vec![(place.to_owned(), 5, 2)]), "{first} is emptied first");
    }
}

#[test]
fn what_is_bound_to_a_warehouse_is_not_there_for_what_is_owed() {
    let lines = |bound, anywhere| [line("a", bound, Some("north")), line("a", anywhere, None)];
    let split = owed(&[("a", "north", 3), ("a", "south", 1)], &lines(2, 3), &policy(&["north"], true), &known(&[]));
    assert_eq!(split, Some(vec![("north".to_owned(), 4, 1), ("south".to_owned(), 1, 0)]));
    let whole = owed(&[("a", "north", 4), ("a", "south", 3)], &lines(3, 4), &policy(&["north"], false), &known(&[]));
    assert_eq!(whole, Some(vec![("north".to_owned(), 3, 0), ("south".to_owned(), 4, 1)]));
}

#[test]
fn every_sku_that_falls_short_is_named_and_one_never_seen_has_none() {
    let stock = stock(&[("a", "north", 5), ("b", "north", 1)]);
    let lines = [line("a", 1, None), line("b", 2, None), line("c", 1, None), line("a", 9, Some("west"))];
    let unmet = wish_for(&stock, &lines, &policy(&[], true)).unwrap_err();
    let short: Vec<_> = unmet.short().iter().map(|short| (short.sku.as_str(), short.wanted, short.available)).collect();
    assert_eq!(short, [("a", 10, 5), ("b", 2, 1), ("c", 1, 0)]);
}

fn known(warehouses: &[(&str, Site)]) -> Warehouses {
    let settings = |site: &Site| WarehouseSettings { site: site.clone(), version: 1, ..Default::default() };
    warehouses.iter().map(|(warehouse, site)| (warehouse.parse().unwrap(), settings(site))).collect()
}

fn under(terms: &Terms, warehouses: &Warehouses, stock: &Stock, lines: &[Line]) -> Result<Vec<ReservedLine>, Unmet> {
    allocate(stock, lines, sources(&policy(&["north", "west"], true), warehouses, Some(terms)))
}

#[test]
fn a_priority_goes_before_the_setting_and_the_setting_before_the_name() {
    let stock = stock(&[("a", "east", 1), ("a", "north", 1), ("a", "south", 1), ("a", "west", 1)]);
    let warehouses = known(&[("west", Site { priority: Some(2), ..Site::default() })]);
    let result = under(&Terms::default(), &warehouses, &stock, &[line("a", 3, None)]);
    assert_eq!(taken(&result), [("west".into(), 1), ("north".into(), 1), ("east".into(), 1)]);
}

#[test]
fn nothing_is_taken_where_it_is_not_active_or_for_another_market() {
    let stock = stock(&[("a", "east", 1), ("a", "north", 2), ("a", "west", 4)]);
    let french = Site { markets: vec!["FR".parse().unwrap()], ..Site::default() };
    let warehouses = known(&[("north", Site { active: false, ..Site::default() }), ("west", french)]);
    let (anywhere, british) = (Terms::default(), Terms { market: Some("GB".parse().unwrap()), ..Terms::default() });
    let all = under(&anywhere, &warehouses, &stock, &[line("a", 5, None)]);
    assert_eq!(taken(&all), [("west".into(), 4), ("east".into(), 1)]);
    assert_eq!(under(&anywhere, &warehouses, &stock, &[line("a", 6, None)]), falls_short("a", 6, 5));
    assert_eq!(under(&british, &warehouses, &stock, &[line("a", 2, None)]), falls_short("a", 2, 1));
    assert_eq!(under(&anywhere, &warehouses, &stock, &[line("a", 1, Some("north"))]), falls_short("a", 1, 0));
}

#[test]
fn few_parcels_go_before_the_order_and_a_line_stays_whole_where_it_can() {
    let stock = stock(&[("a", "north", 2), ("a", "south", 9), ("b", "west", 2), ("b", "south", 9)]);
    let lines = [line("a", 3, None), line("b", 3, None)];
    let few = Terms { allocation: Some(AllocateBy::FewestParcels), ..Terms::default() };
    assert_eq!(taken(&under(&few, &known(&[]), &stock, &lines)), [("south".into(), 3), ("south".into(), 3)]);
    let in_order = under(&Terms::default(), &known(&[]), &stock, &lines);
    assert_eq!(parcels(&in_order.unwrap()), 3);
    let north_and_west = super::tests::stock(&[("a", "north", 2), ("a", "west", 3)]);
    let saves_none = under(&few, &known(&[]), &north_and_west, &[line("a", 4, None)]);
    assert_eq!(taken(&saves_none), [("north".into(), 2), ("west".into(), 2)], "as many parcels: in their order");
    let whole = Terms { split: Some(false), ..Terms::default() };
    assert_eq!(taken(&under(&whole, &known(&[]), &stock, &lines)), [("south".into(), 3), ("south".into(), 3)]);
}

#[test]
fn what_is_owed_is_not_left_out_for_the_sake_of_few_parcels() {
    let few = Policy { allocation: AllocateBy::FewestParcels, ..policy(&[], true) };
    let parts =
        owed(&[("a", "east", 1), ("b", "north", 1)], &[line("a", 2, None), line("b", 1, None)], &few, &known(&[]));
    assert_eq!(parts, Some(vec![("east".to_owned(), 2, 1), ("north".to_owned(), 1, 0)]));
}

fn any_stock() -> impl Strategy<Value = Vec<(usize, usize, i64)>> {
    prop::collection::vec((0_usize..4, 0_usize..6, 0_i64..6), 0..20)
}

fn any_lines() -> impl Strategy<Value = Vec<(usize, i64, Option<usize>)>> {
    prop::collection::vec((0_usize..4, 1_i64..7, prop::option::weighted(0.3, 0_usize..6)), 1..6)
}

const SKUS: [&str; 4] = ["a", "b", "c", "d"];
const WAREHOUSES: [&str; 6] = ["east", "leeds", "main", "north", "south", "west"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_wanted_all_of_it_is_taken_from_what_is_there_or_nothing(
        levels in any_stock(), wanted in any_lines(), split in any::<bool>(), closed in 0_usize..12
    ) {
        let levels: Vec<_> = levels.into_iter().map(|(a, b, free)| (SKUS[a], WAREHOUSES[b], free)).collect();
        let stock = stock(&levels);
        let lines: Vec<_> = wanted
            .into_iter()
            .map(|(sku, quantity, bound)| line(SKUS[sku], quantity, bound.map(|place| WAREHOUSES[place])))
            .collect();
        let inactive = WAREHOUSES.get(closed).map(|warehouse| (*warehouse, Site { active: false, ..Site::default() }));
        let warehouses = known(&inactive.into_iter().collect::<Vec<_>>());
        let terms = |by| Terms { allocation: Some(by), split: Some(split), ..Terms::default() };
        let in_order = under(&terms(AllocateBy::Priority), &warehouses, &stock, &lines);
        let few = under(&terms(AllocateBy::FewestParcels), &warehouses, &stock, &lines);
        if let (Ok(in_order), Ok(few)) = (&in_order, &few) {
            prop_assert!(parcels(few) <= parcels(in_order), "{few:?} are more than {in_order:?}");
        } else {
            prop_assert_eq!(&in_order, &few, "what falls short does not depend on the rule");
        }
        for reserved in [in_order, few].into_iter().flatten().flatten() {
            let of_sku = || lines.iter().filter(|line| line.sku == reserved.sku);
            let taken = |warehouse: &Warehouse| {
                let from = reserved.allocations.iter().filter(|allocation| allocation.warehouse == *warehouse);
                from.map(|allocation| allocation.quantity).sum::<i64>()
            };
            prop_assert_eq!(reserved.quantity, of_sku().map(|line| line.quantity).sum::<i64>());
            prop_assert_eq!(reserved.quantity, reserved.allocations.iter().map(|part| part.quantity).sum::<i64>());
            let mut beyond_bound = 0;
            for warehouse in WAREHOUSES.map(|warehouse| warehouse.parse::<Warehouse>().unwrap()) {
                let free = stock[&reserved.sku].get(&warehouse).map_or(0, Entry::available);
                let is_open = warehouses.get(&warehouse).is_none_or(|known| known.site.active);
                let bound = of_sku().filter(|line| line.warehouse.as_ref() == Some(&warehouse));
                let bound: i64 = bound.map(|line| line.quantity).sum();
                let most = if is_open { free } else { 0 };
                prop_assert!(taken(&warehouse) <= most, "{reserved:?} of {most} in {warehouse}");
                prop_assert!(taken(&warehouse) >= bound);
                beyond_bound += usize::from(taken(&warehouse) > bound);
            }
            prop_assert!(split || beyond_bound <= 1, "{reserved:?} was split");
        }
    }
}

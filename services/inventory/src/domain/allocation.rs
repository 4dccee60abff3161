//! Which warehouse the pieces of a line come from, and what falls short.

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory::{AllocateBy, Allocation, LINES_LIMIT_BYTES, ReservedLine, Short, Terms, check_lines};
use ids::{Sku, Warehouse};
use world::Moment;

use super::books::Policy;
use super::command::{Line, Rejection};
use super::parcels::Cover;
use super::pool::Pool;
use super::sku::SkuSettings;
use super::warehouse::Warehouses;

/// The pools of each SKU.
pub(super) type Stock = BTreeMap<Sku, Pools>;

/// The pools of one SKU, by warehouse.
pub(super) type Pools = BTreeMap<Warehouse, Entry>;

/// A pool as it stands in the books.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) pool: Pool,
    /// Pieces on the shelf of the reservation in whose place a wish is made; the pool has let them go.
    pub(super) own: i64,
    /// Whether the database has a row of it.
    pub(super) is_known: bool,
    /// Whether it was changed since it was loaded.
    pub(super) is_changed: bool,
    /// Whether the database knows that somebody is owed of it what is free.
    pub(super) was_unserved: bool,
}

impl Entry {
    /// Pieces that can be promised here: those that the wish has already, also where others wait for some.
    pub(super) fn available(&self) -> i64 {
        if self.pool.owed() > 0 { self.own } else { self.pool.free() }
    }
}

/// Why the lines of a wish cannot be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unmet {
    /// There is too little of these.
    Short(Vec<Short>),
    /// An event could not name what was taken from where.
    TooLarge,
}

impl Unmet {
    /// What falls short.
    pub(super) fn short(&self) -> &[Short] {
        match self {
            Self::Short(short) => short,
            Self::TooLarge => &[],
        }
    }
}

impl From<Unmet> for Rejection {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::Short(short) => Self::OutOfStock { short },
            Unmet::TooLarge => Self::TooLarge,
        }
    }
}

/// Where pieces may come from, and by which rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources<'a> {
    /// What the operator chose.
    pub(super) policy: &'a Policy,
    /// What was said of warehouses.
    pub(super) warehouses: &'a Warehouses,
    /// What was said of SKUs.
    pub(super) skus: &'a BTreeMap<Sku, SkuSettings>,
    /// What whoever asks has chosen.
    pub(super) terms: Option<&'a Terms>,
    /// Whether pieces may be promised that are not there, as far as their SKU allows it.
    pub(super) backorder: bool,
    /// When it is asked for.
    pub(super) now: Moment,
}

impl Sources<'_> {
    fn split(self) -> bool {
        self.terms.and_then(|terms| terms.split).unwrap_or(self.policy.allow_split)
    }

    fn by(self) -> AllocateBy {
        self.terms.and_then(|terms| terms.allocation).unwrap_or(self.policy.allocation)
    }

    /// Whether anything may be promised from a warehouse here.
    fn serves(self, warehouse: &Warehouse) -> bool {
        let market = self.terms.and_then(|terms| terms.market.as_ref());
        self.warehouses.get(warehouse).is_none_or(|known| known.site.serves(market))
    }

    /// Pieces of a warehouse that can be promised here.
    fn free(self, pools: &Pools, warehouse: &Warehouse) -> i64 {
        if self.serves(warehouse) { pools.get(warehouse).map_or(0, Entry::available) } else { 0 }
    }

    /// Pieces of a SKU that may still be promised without stock.
    fn without_stock(self, sku: &Sku, pools: &Pools) -> i64 {
        if !self.backorder || self.terms.and_then(|terms| terms.backorder) == Some(false) {
            return 0;
        }
        let limit = self.skus.get(sku).map_or(0, |settings| settings.offer.backorder_limit);
        let owed: i64 = pools.values().map(|entry| entry.pool.owed()).sum();
        (limit - owed).max(0)
    }

    /// Where pieces may be owed, in the order in which warehouses are emptied: wherever the SKU lies, or
    /// could lie by what was said of warehouses.
    fn may_owe<'a>(self, pools: &'a Pools) -> Vec<&'a Warehouse>
    where
        Self: 'a,
    {
        let known = pools.keys().chain(self.warehouses.keys()).chain(&self.policy.warehouses);
        let known: BTreeSet<&Warehouse> = known.filter(|warehouse| self.serves(warehouse)).collect();
        self.in_order(known.into_iter())
    }

    /// When more of a SKU is expected.
    fn available_from(self, sku: &Sku) -> Option<Moment> {
        self.skus.get(sku).and_then(|settings| settings.offer.available_from).filter(|from| *from > self.now)
    }

    /// Warehouses in the order in which they are emptied: by their priority, then as the setting says,
    /// then by name.
    fn in_order<'a>(self, warehouses: impl Iterator<Item = &'a Warehouse>) -> Vec<&'a Warehouse> {
        let place = |warehouse: &Warehouse| {
            let priority = self.warehouses.get(warehouse).and_then(|known| known.site.priority);
            let named = self.policy.warehouses.iter().position(|named| named == warehouse);
            (priority.unwrap_or(i64::MAX), named.unwrap_or(usize::MAX))
        };
        let mut ordered: Vec<_> = warehouses.collect();
        ordered.sort_by_cached_key(|warehouse| (place(warehouse), *warehouse));
        ordered
    }
}

/// Finds where every line can be taken from, or why not.
///
/// Lines of one SKU are one wish. Those bound to a warehouse are served first; the rest follows the
/// order of the warehouses, or takes few of them, and is split over several only if that is allowed. What
/// is not there may be promised all the same, as far as its SKU allows it, and is owed in one warehouse.
pub(super) fn allocate(stock: &Stock, lines: &[Line], sources: Sources<'_>) -> Result<Vec<ReservedLine>, Unmet> {
    let wishes = wishes(lines);
    // Then also what falls short could be more than an event can name.
    check_lines(wishes.keys().copied()).map_err(|_| Unmet::TooLarge)?;
    let mut reserved = Vec::with_capacity(wishes.len());
    let mut short = Vec::new();
    let nowhere = BTreeMap::new();
    for (sku, wish) in &wishes {
        let pools = stock.get(*sku).unwrap_or(&nowhere);
        let ordered = sources.in_order(pools.keys());
        if let Some(allocations) = wish.take(pools, &ordered, sources) {
            reserved.push(wish.reserved(sku, allocations));
            continue;
        }
        let may_be_owed = || wish.may_be_owed(pools, sources);
        let without_stock =
            Some(sources.without_stock(sku, pools)).filter(|left| *left > 0 && may_be_owed()).unwrap_or(0);
        let available_from = sources.available_from(sku);
        if without_stock > 0
            && let Some(allocations) = wish.owe(pools, without_stock, sources)
        {
            reserved.push(ReservedLine { available_from, ..wish.reserved(sku, allocations) });
        } else {
            let (sku, wanted) = ((*sku).clone(), wish.wanted());
            let available = wish.could_have(pools, sources) + without_stock;
            let in_transit = pools.values().map(|entry| entry.pool.in_transit).sum();
            short.push(Short { sku, wanted, available, in_transit, available_from });
        }
    }
    if !short.is_empty() {
        return Err(Unmet::Short(short));
    }
    let all_is_there = reserved.iter().all(|line| line.owed() == 0);
    if sources.by() == AllocateBy::FewestParcels && all_is_there && parcels(&reserved) > 1 {
        let fewer = in_few_parcels(stock, &wishes, sources);
        if parcels(&fewer) < parcels(&reserved) {
            reserved = fewer;
        }
    }
    let bytes: i64 = reserved.iter().map(ReservedLine::bytes).sum();
    if bytes > LINES_LIMIT_BYTES { Err(Unmet::TooLarge) } else { Ok(reserved) }
}

fn wishes(lines: &[Line]) -> BTreeMap<&Sku, Wish<'_>> {
    let mut wishes: BTreeMap<&Sku, Wish<'_>> = BTreeMap::new();
    for line in lines {
        let wish = wishes.entry(&line.sku).or_default();
        #[cfg(feature = "planted-bugs")]
        if world::planted::is(world::planted::Bug::LinesNotSummed) {
            *wish = Wish::default();
        }
        match &line.warehouse {
            Some(warehouse) => *wish.bound.entry(warehouse).or_default() += line.quantity,
            None => wish.anywhere += line.quantity,
        }
    }
    wishes
}

/// The warehouses that lines come from; each sends a parcel.
fn parcels(lines: &[ReservedLine]) -> usize {
    let warehouses = lines.iter().flat_map(|line| &line.allocations).map(|allocation| &allocation.warehouse);
    warehouses.collect::<BTreeSet<_>>().len()
}

/// Takes all that is wanted from few warehouses; it is known that all of it can be had.
fn in_few_parcels(stock: &Stock, wishes: &BTreeMap<&Sku, Wish<'_>>, sources: Sources<'_>) -> Vec<ReservedLine> {
    let all: BTreeSet<&Warehouse> = wishes.keys().filter_map(|sku| stock.get(*sku)).flat_map(BTreeMap::keys).collect();
    let ordered = sources.in_order(all.into_iter());
    let places: BTreeMap<&Warehouse, usize> =
        ordered.iter().enumerate().map(|(at, warehouse)| (*warehouse, at)).collect();
    let mut cover = Cover { offers: vec![Vec::new(); ordered.len()], split: sources.split(), ..Cover::default() };
    let mut given = BTreeSet::new();
    for (line, (sku, wish)) in wishes.iter().enumerate() {
        cover.wanted.push(wish.anywhere);
        given.extend(wish.bound.keys().filter_map(|warehouse| places.get(warehouse)));
        for (warehouse, _) in stock.get(*sku).into_iter().flatten() {
            let free = sources.free(&stock[*sku], warehouse) - wish.bound.get(warehouse).copied().unwrap_or(0);
            if free > 0 {
                cover.offers[places[warehouse]].push((line, free));
            }
        }
    }
    cover.given = given.into_iter().collect();
    let few: Vec<&Warehouse> = cover.few().into_iter().map(|place| ordered[place]).collect();
    let lines = wishes.iter().filter_map(|(sku, wish)| {
        let pools = stock.get(*sku)?;
        // A line is split only where none of them has all of it.
        let whole = few.iter().filter(|warehouse| wish.left(pools, warehouse, sources) >= wish.anywhere);
        let whole_first: Vec<&Warehouse> = whole.chain(&few).copied().collect();
        wish.take(pools, &whole_first, sources).map(|allocations| wish.reserved(sku, allocations))
    });
    lines.collect()
}

/// Pieces of one SKU that a reservation wants.
#[derive(Default)]
struct Wish<'a> {
    bound: BTreeMap<&'a Warehouse, i64>,
    anywhere: i64,
}

impl Wish<'_> {
    fn wanted(&self) -> i64 {
        self.anywhere + self.bound.values().sum::<i64>()
    }

    fn reserved(&self, sku: &Sku, allocations: Vec<Allocation>) -> ReservedLine {
        ReservedLine { sku: sku.clone(), quantity: self.wanted(), allocations, available_from: None }
    }

    /// Pieces of a warehouse that are left once those are taken that are wanted from it and no other.
    fn left(&self, pools: &Pools, warehouse: &Warehouse, sources: Sources<'_>) -> i64 {
        sources.free(pools, warehouse) - self.bound.get(warehouse).copied().unwrap_or(0)
    }

    /// Takes them from the pools, those that are bound to none in this order; none where it is too little.
    fn take(&self, pools: &Pools, ordered: &[&Warehouse], sources: Sources<'_>) -> Option<Vec<Allocation>> {
        if self.bound.keys().any(|warehouse| self.left(pools, warehouse, sources) < 0) {
            return None;
        }
        let mut taken = self.bound.clone();
        let mut missing = self.anywhere;
        for &warehouse in ordered {
            if missing == 0 {
                break;
            }
            let left = self.left(pools, warehouse, sources);
            let part = if sources.split() || left >= missing { left.min(missing) } else { 0 };
            if part > 0 {
                *taken.entry(warehouse).or_default() += part;
                missing -= part;
            }
        }
        let allocation = |warehouse: &&Warehouse| {
            let quantity = taken.remove(*warehouse)?;
            Some(Allocation::on_the_shelf((*warehouse).clone(), quantity))
        };
        (missing == 0).then(|| ordered.iter().filter_map(allocation).collect())
    }

    /// Whether there are warehouses in which all of it may be owed.
    fn may_be_owed(&self, pools: &Pools, sources: Sources<'_>) -> bool {
        self.bound.keys().all(|warehouse| sources.serves(warehouse))
            && (self.anywhere == 0 || !sources.may_owe(pools).is_empty())
    }

    /// Takes what is there, and is owed the rest: what is bound where it is bound to, and all other pieces in
    /// one warehouse. None where that would be more than may be promised without stock.
    fn owe(&self, pools: &Pools, without_stock: i64, sources: Sources<'_>) -> Option<Vec<Allocation>> {
        let bound = self.bound.iter().map(|(warehouse, quantity)| (*warehouse, *quantity));
        let mut wanted: BTreeMap<&Warehouse, i64> = bound.collect();
        let mut missing = self.anywhere;
        let may_owe = sources.may_owe(pools);
        if sources.split() {
            for &warehouse in &may_owe {
                let part = self.left(pools, warehouse, sources).clamp(0, missing);
                if part > 0 {
                    *wanted.entry(warehouse).or_default() += part;
                    missing -= part;
                }
            }
        }
        if missing > 0 {
            // A line that stays whole waits where the least of it is missing.
            let most = |warehouse: &&&Warehouse| self.left(pools, warehouse, sources);
            *wanted.entry(may_owe.iter().rev().max_by_key(most)?).or_default() += missing;
        }
        let allocation = |(warehouse, quantity): (&Warehouse, i64)| {
            let owed = (quantity - sources.free(pools, warehouse)).max(0);
            Allocation { owed, ..Allocation::on_the_shelf(warehouse.clone(), quantity) }
        };
        let allocations: Vec<Allocation> = wanted.into_iter().map(allocation).collect();
        let owed: i64 = allocations.iter().map(|allocation| allocation.owed).sum();
        (owed <= without_stock).then_some(allocations)
    }

    /// The most of what is there that a wish of this kind could have had.
    fn could_have(&self, pools: &Pools, sources: Sources<'_>) -> i64 {
        let free = |warehouse: &Warehouse| sources.free(pools, warehouse);
        let bound: i64 = self.bound.iter().map(|(warehouse, wanted)| free(warehouse).min(*wanted)).sum();
        if self.anywhere == 0 {
            return bound;
        }
        let rest = pools.keys().map(|warehouse| self.left(pools, warehouse, sources).max(0));
        bound + if sources.split() { rest.sum::<i64>() } else { rest.max().unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
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
        let whole =
            owed(&[("a", "north", 4), ("a", "south", 3)], &lines(3, 4), &policy(&["north"], false), &known(&[]));
        assert_eq!(whole, Some(vec![("north".to_owned(), 3, 0), ("south".to_owned(), 4, 1)]));
    }

    #[test]
    fn every_sku_that_falls_short_is_named_and_one_never_seen_has_none() {
        let stock = stock(&[("a", "north", 5), ("b", "north", 1)]);
        let lines = [line("a", 1, None), line("b", 2, None), line("c", 1, None), line("a", 9, Some("west"))];
        let unmet = wish_for(&stock, &lines, &policy(&[], true)).unwrap_err();
        let short: Vec<_> =
            unmet.short().iter().map(|short| (short.sku.as_str(), short.wanted, short.available)).collect();
        assert_eq!(short, [("a", 10, 5), ("b", 2, 1), ("c", 1, 0)]);
    }

    fn known(warehouses: &[(&str, Site)]) -> Warehouses {
        let settings = |site: &Site| WarehouseSettings { site: site.clone(), version: 1, ..Default::default() };
        warehouses.iter().map(|(warehouse, site)| (warehouse.parse().unwrap(), settings(site))).collect()
    }

    fn under(
        terms: &Terms,
        warehouses: &Warehouses,
        stock: &Stock,
        lines: &[Line],
    ) -> Result<Vec<ReservedLine>, Unmet> {
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
}

//! Which warehouse the pieces of a line come from, and what falls short.

use std::collections::BTreeMap;

use contracts::inventory::{Allocation, LINES_LIMIT_BYTES, ReservedLine, Short, check_lines};
use ids::{Sku, Warehouse};

use super::books::Policy;
use super::command::{Line, Rejection};
use super::pool::Pool;

/// The pools of each SKU.
pub(super) type Stock = BTreeMap<Sku, Pools>;

/// The pools of one SKU, by warehouse.
pub(super) type Pools = BTreeMap<Warehouse, Entry>;

/// A pool as it stands in the books.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) pool: Pool,
    /// Whether the database has a row of it.
    pub(super) is_known: bool,
    /// Whether it was changed since it was loaded.
    pub(super) is_changed: bool,
}

impl Entry {
    /// Pieces that can be promised.
    pub(super) fn available(&self) -> i64 {
        self.pool.available()
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

/// Finds where every line can be taken from, or why not.
///
/// Lines of one SKU are one wish. Those bound to a warehouse are served first; the rest follows the
/// order of the warehouses, and is split over several only if the policy allows it.
pub(super) fn allocate(stock: &Stock, lines: &[Line], policy: &Policy) -> Result<Vec<ReservedLine>, Unmet> {
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
    // Then also what falls short could be more than an event can name.
    check_lines(wishes.keys().copied()).map_err(|_| Unmet::TooLarge)?;
    let mut reserved = Vec::with_capacity(wishes.len());
    let mut short = Vec::new();
    let nowhere = BTreeMap::new();
    for (sku, wish) in wishes {
        let pools = stock.get(sku).unwrap_or(&nowhere);
        let wanted = wish.anywhere + wish.bound.values().sum::<i64>();
        match wish.take(pools, policy) {
            Ok(allocations) => reserved.push(ReservedLine { sku: sku.clone(), quantity: wanted, allocations }),
            Err(available) => short.push(Short { sku: sku.clone(), wanted, available }),
        }
    }
    if !short.is_empty() {
        return Err(Unmet::Short(short));
    }
    let bytes: i64 = reserved.iter().map(ReservedLine::bytes).sum();
    if bytes > LINES_LIMIT_BYTES { Err(Unmet::TooLarge) } else { Ok(reserved) }
}

/// Pieces of one SKU that a reservation wants.
#[derive(Default)]
struct Wish<'a> {
    bound: BTreeMap<&'a Warehouse, i64>,
    anywhere: i64,
}

impl Wish<'_> {
    /// Takes them from the pools, or says how many could have been had.
    fn take(&self, pools: &Pools, policy: &Policy) -> Result<Vec<Allocation>, i64> {
        let available = |warehouse: &Warehouse| pools.get(warehouse).map_or(0, Entry::available);
        let mut taken: BTreeMap<&Warehouse, i64> = BTreeMap::new();
        for (warehouse, wanted) in &self.bound {
            if available(warehouse) < *wanted {
                return Err(self.could_have(pools, policy));
            }
            taken.insert(warehouse, *wanted);
        }
        let mut missing = self.anywhere;
        let ordered = policy.in_order(pools.keys());
        for &warehouse in &ordered {
            if missing == 0 {
                break;
            }
            let free = available(warehouse) - taken.get(warehouse).copied().unwrap_or(0);
            let part = if policy.allow_split || free >= missing { free.min(missing) } else { 0 };
            if part > 0 {
                *taken.entry(warehouse).or_default() += part;
                missing -= part;
            }
        }
        if missing > 0 {
            return Err(self.could_have(pools, policy));
        }
        let allocation = |warehouse: &Warehouse| {
            let quantity = *taken.get(warehouse)?;
            Some(Allocation { warehouse: warehouse.clone(), quantity })
        };
        Ok(ordered.into_iter().filter_map(allocation).collect())
    }

    /// The most that a wish of this kind could have had.
    fn could_have(&self, pools: &Pools, policy: &Policy) -> i64 {
        let free = |warehouse: &Warehouse| pools.get(warehouse).map_or(0, Entry::available);
        let bound: i64 = self.bound.iter().map(|(warehouse, wanted)| free(warehouse).min(*wanted)).sum();
        if self.anywhere == 0 {
            return bound;
        }
        let rest = pools.iter().map(|(warehouse, entry)| {
            entry.available() - self.bound.get(warehouse).copied().unwrap_or(0).min(entry.available())
        });
        bound + if policy.allow_split { rest.sum::<i64>() } else { rest.max().unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn taken(result: &Result<Vec<ReservedLine>, Unmet>) -> Vec<(String, i64)> {
        let lines = result.as_ref().expect("enough of all");
        let all = lines.iter().flat_map(|line| &line.allocations);
        all.map(|allocation| (allocation.warehouse.to_string(), allocation.quantity)).collect()
    }

    fn falls_short(sku: &str, wanted: i64, available: i64) -> Result<Vec<ReservedLine>, Unmet> {
        Err(Unmet::Short(vec![Short { sku: sku.parse().unwrap(), wanted, available }]))
    }

    #[test]
    fn what_an_event_cannot_name_is_not_held() {
        let warehouses: Vec<_> = (0..2_505).map(|place| format!("{place:064}")).collect();
        let levels: Vec<_> = warehouses.iter().map(|warehouse| ("a", warehouse.as_str(), 1)).collect();
        let stock = stock(&levels);
        let result = allocate(&stock, &[line("a", 2_504, None)], &policy(&[], true));
        assert_eq!(taken(&result).len(), 2_504);
        assert_eq!(allocate(&stock, &[line("a", 2_505, None)], &policy(&[], true)), Err(Unmet::TooLarge));
        let skus: Vec<_> = (0..1_000).map(|number| format!("{number:04}{}", "\u{1f375}".repeat(60))).collect();
        let lines: Vec<_> = skus.iter().map(|sku| line(sku, 1, None)).collect();
        let few = &lines[..600];
        assert_eq!(allocate(&stock, few, &policy(&[], true)).unwrap_err().short().len(), 600);
        assert_eq!(allocate(&stock, &lines, &policy(&[], true)), Err(Unmet::TooLarge));
    }

    #[test]
    fn warehouses_are_emptied_in_their_order() {
        let stock = stock(&[("a", "east", 5), ("a", "north", 5), ("a", "west", 5)]);
        let result = allocate(&stock, &[line("a", 7, None)], &policy(&["north", "west"], true));
        assert_eq!(taken(&result), [("north".into(), 5), ("west".into(), 2)]);
        let result = allocate(&stock, &[line("a", 12, None)], &policy(&["north"], true));
        assert_eq!(taken(&result), [("north".into(), 5), ("east".into(), 5), ("west".into(), 2)], "unnamed ones last");
    }

    #[test]
    fn a_line_that_may_not_be_split_takes_the_first_warehouse_that_has_it_all() {
        let stock = stock(&[("a", "north", 5), ("a", "west", 9)]);
        let result = allocate(&stock, &[line("a", 7, None)], &policy(&["north", "west"], false));
        assert_eq!(taken(&result), [("west".into(), 7)]);
        let result = allocate(&stock, &[line("a", 10, None)], &policy(&["north", "west"], false));
        assert_eq!(result, falls_short("a", 10, 9));
    }

    #[test]
    fn lines_of_one_sku_are_one_wish() {
        let stock = stock(&[("a", "north", 5)]);
        let twice = [line("a", 3, None), line("a", 3, None)];
        let result = allocate(&stock, &twice, &policy(&[], true));
        assert_eq!(result, falls_short("a", 6, 5));
        let bound = [line("a", 2, Some("north")), line("a", 3, None)];
        assert_eq!(taken(&allocate(&stock, &bound, &policy(&[], true))), [("north".into(), 5)]);
    }

    #[test]
    fn a_line_that_is_bound_to_a_warehouse_can_have_all_that_is_there_and_no_more() {
        let stock = stock(&[("a", "north", 5), ("a", "west", 9)]);
        let all = allocate(&stock, &[line("a", 5, Some("north"))], &policy(&[], true));
        assert_eq!(taken(&all), [("north".into(), 5)]);
        let more = allocate(&stock, &[line("a", 6, Some("north"))], &policy(&[], true));
        assert_eq!(more, falls_short("a", 6, 5));
    }

    #[test]
    fn what_could_have_been_had_counts_no_piece_twice() {
        let stock = stock(&[("a", "north", 5), ("a", "west", 3)]);
        let lines = [line("a", 2, Some("north")), line("a", 9, None)];
        for (split, available) in [(true, 8), (false, 5)] {
            let short = vec![Short { sku: "a".parse().unwrap(), wanted: 11, available }];
            assert_eq!(allocate(&stock, &lines, &policy(&[], split)), Err(Unmet::Short(short)), "split: {split}");
        }
    }

    #[test]
    fn every_sku_that_falls_short_is_named_and_one_never_seen_has_none() {
        let stock = stock(&[("a", "north", 5), ("b", "north", 1)]);
        let lines = [line("a", 1, None), line("b", 2, None), line("c", 1, None), line("a", 9, Some("west"))];
        let unmet = allocate(&stock, &lines, &policy(&[], true)).unwrap_err();
        let short: Vec<_> =
            unmet.short().iter().map(|short| (short.sku.as_str(), short.wanted, short.available)).collect();
        assert_eq!(short, [("a", 10, 5), ("b", 2, 1), ("c", 1, 0)]);
    }
}

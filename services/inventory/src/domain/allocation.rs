//! Which warehouse the pieces of a line come from, and what falls short.

#[cfg(test)]
mod tests;

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
    pub(super) fn serves(self, warehouse: &Warehouse) -> bool {
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

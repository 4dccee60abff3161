//! What holds after each step of a history, and in its end.

use super::*;

impl History {
    /// Every level is what was brought and what is promised.
    pub(super) fn check(&self) {
        let mut promised: BTreeMap<Place, (i64, i64)> = BTreeMap::new();
        for reservation in self.rows.reservations.values() {
            let (held, firm) = match reservation.status {
                Status::Reserved => (1, 0),
                Status::Committed if !reservation.has_left => (0, 1),
                _ => (0, 0),
            };
            each(&reservation.lines, |place, quantity| {
                let promised = promised.entry(place).or_default();
                *promised = (promised.0 + held * quantity, promised.1 + firm * quantity);
            });
        }
        let (brought, in_transit) = (self.brought(), self.in_transit());
        for (place, pool) in &self.rows.pools {
            let Pool { on_hand, reserved, committed, owed_to_holds, owed_firmly, .. } = *pool;
            let (held, firm) = promised.get(place).copied().unwrap_or_default();
            assert!([on_hand, reserved, committed, owed_to_holds, owed_firmly].iter().all(|n| *n >= 0), "{pool:?}");
            assert!(pool.is_sound(), "{pool:?}");
            assert_eq!(self.rows.unserved.contains(place), pool.is_unserved(), "{place:?}: {pool:?}");
            assert_eq!((reserved + owed_to_holds, committed + owed_firmly), (held, firm), "{place:?}: {pool:?}");
            assert_eq!(on_hand, brought.get(place).copied().unwrap_or_default(), "{place:?}: {pool:?}");
            let on_its_way = in_transit.get(place).copied().unwrap_or_default();
            assert_eq!(pool.in_transit, on_its_way, "{place:?}: {pool:?}");
        }
        self.who_is_owed_is_known();
        self.who_was_promised_first_is_served_first();
        self.all_that_was_sent_is_somewhere();
        self.nothing_is_promised_of_what_is_sold_no_more();
        self.nothing_is_promised_from_where_it_may_not_come();
        self.what_runs_low_is_said();
    }

    /// What levels owe is what reservations are owed.
    fn who_is_owed_is_known(&self) {
        let mut owed: BTreeMap<Place, (i64, i64)> = BTreeMap::new();
        for reservation in self.rows.reservations.values().filter(|reservation| reservation.is_live()) {
            for line in &reservation.lines {
                for part in &line.allocations {
                    assert!(0 <= part.missing && part.missing <= part.owed && part.owed <= part.quantity, "{part:?}");
                    let owed = owed.entry((line.sku.clone(), part.warehouse.clone())).or_default();
                    let (held, firm) = if reservation.is_firm() { (0, part.owed) } else { (part.owed, 0) };
                    *owed = (owed.0 + held, owed.1 + firm);
                }
            }
        }
        for (place, pool) in &self.rows.pools {
            let (held, firm) = owed.get(place).copied().unwrap_or_default();
            assert_eq!((pool.owed_to_holds, pool.owed_firmly), (held, firm), "{place:?}");
        }
    }

    /// When pieces are served, nobody who was promised them before is still owed any there, and nobody takes some from
    /// the shelf who is promised them later; and no more is
    /// promised without stock than was allowed.
    fn who_was_promised_first_is_served_first(&self) {
        let mut owed: BTreeMap<Place, BTreeMap<Number, i64>> = BTreeMap::new();
        let mut limits: BTreeMap<&Sku, i64> = BTreeMap::new();
        let mut in_place_of = None;
        for (_, News { stream, event, .. }) in &self.journal {
            let mut more: Vec<(&Sku, &Warehouse, i64)> = Vec::new();
            if let Event::StockReleased(e) = event {
                in_place_of = e.replaced_by.as_ref();
            }
            match event {
                Event::SkuBackorderChanged(e) => drop(limits.insert(&e.sku, e.limit)),
                Event::StockReserved(e) => {
                    each_part(&e.lines, |sku, part| {
                        let nobody_waits =
                            owed.get(&(sku.clone(), part.warehouse.clone())).is_none_or(BTreeMap::is_empty);
                        let has_them_already = in_place_of == Some(&e.reservation);
                        assert!(nobody_waits || part.owed == part.quantity || has_them_already, "{event:?}");
                    });
                    each_part(&e.lines, |sku, part| more.push((sku, &part.warehouse, part.owed)));
                }
                Event::PromiseFellShort(e) => more.push((&e.sku, &e.warehouse, e.quantity)),
                Event::PromiseMoved(e) => more.push((&e.sku, &e.from, -e.quantity)),
                Event::BackorderServed(e) => {
                    let first = owed[&(e.sku.clone(), e.warehouse.clone())].keys().next().copied();
                    assert_eq!(first, Some(*stream), "somebody was promised them before: {event:?}");
                    more.push((&e.sku, &e.warehouse, -e.quantity));
                }
                Event::StockReleased(_) | Event::StockReservationExpired(_) | Event::StockReturned(_) => {
                    for of in owed.values_mut() {
                        of.retain(|number, _| number != stream);
                    }
                }
                _ => {}
            }
            for (sku, warehouse, quantity) in more {
                let of = owed.entry((sku.clone(), warehouse.clone())).or_default();
                *of.entry(*stream).or_default() += quantity;
                of.retain(|_, owed| *owed > 0);
            }
            let Event::StockReserved(e) = event else { continue };
            for line in e.lines.iter().filter(|line| line.owed() > 0) {
                let all = owed.iter().filter(|((sku, _), _)| *sku == line.sku).flat_map(|(_, of)| of.values());
                let (all, limit) = (all.sum::<i64>(), limits.get(&line.sku).copied().unwrap_or(0));
                assert!(all <= limit, "{all} are owed of at most {limit}: {event:?}");
            }
        }
    }

    /// What was said last of each level that somebody watches is so.
    fn what_runs_low_is_said(&self) {
        for (place, point) in &self.rows.restock {
            let pool = self.rows.pools.get(place).copied().unwrap_or_default();
            let there = pool.free() - pool.owed() + pool.in_transit;
            let is_low = point.reorder.is_some_and(|reorder| there < reorder.threshold);
            assert_eq!(point.is_low, is_low, "{place:?}: {pool:?}, {point:?}");
        }
    }

    /// What lies there by all that was said: brought and found, less what has left.
    fn brought(&self) -> BTreeMap<Place, i64> {
        let mut brought: BTreeMap<Place, i64> = BTreeMap::new();
        for (_, news) in &self.journal {
            let mut add = |place, quantity: i64| *brought.entry(place).or_default() += quantity;
            match &news.event {
                Event::SupplierShipmentReceived(e) => add((e.sku.clone(), e.warehouse.clone()), e.quantity),
                Event::StockCounted(e) => add((e.sku.clone(), e.warehouse.clone()), e.difference),
                Event::StockLevelAdjusted(e) => add((e.sku.clone(), e.warehouse.clone()), e.quantity),
                Event::StockTransferred(e) => {
                    add((e.sku.clone(), e.from.clone()), -e.quantity);
                    add((e.sku.clone(), e.to.clone()), e.quantity);
                }
                Event::StockTransferStarted(e) => add((e.sku.clone(), e.from.clone()), -e.quantity),
                Event::StockTransferArrived(e) => add((e.sku.clone(), e.to.clone()), e.quantity),
                Event::StockCommitted(e) if e.shipped => each(&e.lines, |place, quantity| add(place, -quantity)),
                Event::StockShipped(e) => each(&e.lines, |place, quantity| add(place, -quantity)),
                Event::StockReturned(e) if e.was_shipped => each(&e.lines, add),
                _ => {}
            }
        }
        brought
    }

    /// What is on its way to where, by the movements.
    fn in_transit(&self) -> BTreeMap<Place, i64> {
        let mut in_transit: BTreeMap<Place, i64> = BTreeMap::new();
        for movement in self.rows.movements.values() {
            if let Outcome::InTransit { to, sent, .. } = &movement.outcome {
                *in_transit.entry((movement.sku.clone(), to.clone())).or_default() += sent;
            }
        }
        in_transit
    }

    /// What was sent has arrived, is lost, or is on its way.
    fn all_that_was_sent_is_somewhere(&self) {
        let mut on_their_way = 0;
        for (_, news) in &self.journal {
            match &news.event {
                Event::StockTransferStarted(e) => on_their_way += e.quantity,
                Event::StockTransferArrived(e) => on_their_way -= e.quantity,
                Event::StockLostInTransit(e) => on_their_way -= e.quantity,
                _ => {}
            }
        }
        assert_eq!(on_their_way, self.in_transit().values().sum::<i64>());
    }

    /// Between the two that a SKU is discontinued and reinstated nothing of it is newly promised.
    fn nothing_is_promised_of_what_is_sold_no_more(&self) {
        let mut discontinued = BTreeSet::new();
        let sold = |discontinued: &BTreeSet<&Sku>, lines: &[ReservedLine]| {
            assert!(lines.iter().all(|line| !discontinued.contains(&line.sku)), "{lines:?} of {discontinued:?}");
        };
        for (_, news) in &self.journal {
            match &news.event {
                Event::SkuDiscontinued(e) => assert!(discontinued.insert(&e.sku), "{} is discontinued once", e.sku),
                Event::SkuReinstated(e) => assert!(discontinued.remove(&e.sku), "{} was discontinued", e.sku),
                Event::StockReserved(e) => sold(&discontinued, &e.lines),
                Event::StockCommitted(e) if e.retaken => sold(&discontinued, &e.lines),
                _ => {}
            }
        }
    }

    /// New promises come from warehouses that are active and serve the market; as long as nothing else
    /// was said of one, it does.
    fn nothing_is_promised_from_where_it_may_not_come(&self) {
        let mut closed = BTreeMap::new();
        let mut markets = BTreeMap::new();
        for (_, News { stream, event, .. }) in &self.journal {
            let promised = match event {
                Event::WarehouseChanged(e) => {
                    closed.insert(&e.warehouse, (!e.active, &e.markets));
                    continue;
                }
                Event::StockReserved(e) => {
                    markets.insert(stream, e.terms.as_ref().and_then(|terms| terms.market.as_ref()));
                    &e.lines
                }
                Event::StockCommitted(e) if e.retaken => &e.lines,
                _ => continue,
            };
            let market = markets.get(stream).copied().flatten();
            for place in promised.iter().flat_map(|line| &line.allocations) {
                let Some((is_closed, serves)) = closed.get(&place.warehouse) else { continue };
                let serves_it = market.is_none_or(|market| serves.is_empty() || serves.contains(market));
                assert!(!is_closed && serves_it, "{event:?}");
            }
        }
    }

    /// The journal alone gives the same rows, numbers the events of each thing from one, and says of each reservation
    /// whose it is.
    pub(super) fn end(&self) {
        let mut books = Books::default();
        let mut versions: BTreeMap<Number, i64> = BTreeMap::new();
        for (at, News { stream, version, owner, event }) in &self.journal {
            let reservation = self.rows.reservations.get(stream);
            assert!(reservation.is_none_or(|of| of.owner == *owner), "{event:?} of {owner}");
            let last = versions.entry(*stream).or_default();
            *last += 1;
            assert_eq!((books.apply(*stream, owner, *at, event), *version), (*last, *last), "{event:?}");
        }
        let mut rebuilt = Rows::default();
        rebuilt.save(&books);
        assert_eq!(rebuilt, self.rows, "the journal gives the rows");
        self.each_entry_says_what_it_changes();
    }

    /// What each event says of its changes adds up to the levels, and to the one that it names.
    pub(super) fn each_entry_says_what_it_changes(&self) {
        let mut pools: BTreeMap<Place, Pool> = BTreeMap::new();
        let mut sums: BTreeMap<Place, Change> = BTreeMap::new();
        let mut named: Vec<(Place, Level)> = Vec::new();
        for (at, (_, News { event, .. })) in self.journal.iter().enumerate() {
            for Changed { sku, warehouse, change, level } in changes(event) {
                let place = (sku.clone(), warehouse.clone());
                *sums.entry(place.clone()).or_default() += change;
                let pool = pools.entry(place.clone()).or_default();
                let before = *pool;
                pool.enter(change);
                assert_eq!(pool.before(change), before, "{event:?} left {pool:?}");
                named.extend(level.map(|level| (place, level)));
            }
            if self.ends.contains(&(at + 1)) {
                for (place, level) in named.drain(..) {
                    assert_eq!(level, pools[&place].level(), "a level is as it is once all has happened");
                }
            }
        }
        assert_eq!(pools, self.rows.pools);
        for (place, pool) in pools {
            assert_eq!(pool.before(sums[&place]), Pool::default(), "{place:?}");
            let Pool { on_hand, reserved, committed, owed_to_holds, owed_firmly, in_transit } = pool;
            let (held, firm) = (reserved + owed_to_holds, committed + owed_firmly);
            let change = Change { on_hand, held, firm, owed_to_holds, owed_firmly, in_transit };
            assert_eq!(sums[&place], change, "{place:?}");
        }
    }
}

//! Everything that inventory keeps, and every statement about it.
//!
//! Reading order: here what a batch loads and saves, then `rows` (the tables), `due` (what nobody asks for), `read`,
//! `journal` and `availability` (what others read), `shown` and `recent` (what was read lately).

pub(crate) mod availability;
mod due;
pub(crate) mod journal;
mod read;
pub(crate) mod recent;
mod rows;
mod shown;

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory::ReservedLine;
use db::{Failure, Query, Tx, Value};
use ids::{Number, Sku, Warehouse};
use world::Moment;

use self::due::stories;
pub(crate) use self::due::{Stories, Story, lapsed, unserved};
pub use self::read::levels;
pub(crate) use self::read::{
    Owed, Rows, all_rows, find_reservation, levels_after, low_after, offer_at, owed_after, reservations, restock,
    settings, settings_between, skus_after, stock, warehouse, warehouses, warehouses_after, warehouses_at,
};
pub(crate) use self::rows::Place;
use self::rows::{
    HOLD, MOVEMENT, OWED, RESERVATION, RESTOCK, SKU, STOCK, UNSERVED, WAREHOUSE, holds, level, movement, movement_row,
    owed_to, reservation, reservation_row, restock_point, sku_settings, warehouse_row, warehouse_settings,
};
pub(crate) use self::shown::{Shown, shown};
use crate::domain::{Books, Offer, Outcome, Reservation, Status};

/// Lapsed holds of a SKU in a warehouse that one batch clears away: as many as pieces are wanted of it, for each gives
/// one back at least, on the shelf or of what is owed; but no fewer than the first, and no more than the second.
const LAPSED_AT_ONCE: (i64, i64) = (256, 10_000);

/// Lines of reservations that several commands of a batch only name, at most, all together: a full batch of
/// reservations of 64 lines.
const LINES_AT_ONCE: usize = 16_384;

/// Promises that one batch serves, at most: with as many commands it is full too, and others wait no longer for it.
const SERVED_AT_ONCE: usize = 256;

/// What a batch touches, as far as its commands say it.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// SKUs that are moved or wanted.
    pub(crate) skus: BTreeSet<Sku>,
    /// SKUs whose settings are to be changed.
    pub(crate) edited_skus: BTreeSet<Sku>,
    /// Warehouses of which something is to be said.
    pub(crate) edited_warehouses: BTreeSet<Warehouse>,
    /// Names of reservations, with their owners.
    pub(crate) reservations: BTreeSet<String>,
    /// Names of those reservations whose SKUs the command does not say.
    pub(crate) without_skus: BTreeSet<String>,
    /// Numbers of reservations.
    pub(crate) numbers: BTreeSet<Number>,
    /// Names of movements, with their owners.
    pub(crate) movements: BTreeSet<String>,
    /// Names of those movements whose SKU the command does not say.
    pub(crate) moved_without_sku: BTreeSet<String>,
    /// What is wanted of which SKU.
    pub(crate) wanted: Vec<(Sku, i64)>,
    /// Pieces that may become free, at most: so many who are owed some may be served.
    pub(crate) freed: i64,
    /// What stock-takes have found.
    pub(crate) counted: Vec<(Sku, Warehouse, i64)>,
}

/// Loads all that a batch touches.
///
/// The stock rows are the lock: whoever changes a reservation or a movement has locked all its stock
/// before. Its SKUs never change, so they may be read before that, and its state after it.
///
/// Beside the books it gives those holds that have lapsed and are to be let go first, with their stories, for
/// these are not what the batch's commands belong to.
pub(crate) fn load(tx: &mut Tx<'_>, mut touched: Touched, is_shared: bool) -> Result<(Books, Stories), Failure> {
    let mut books = Books::default();
    books.serve_at_most(SERVED_AT_ONCE);
    look_for_skus(tx, &mut touched)?;
    lock_and_load(tx, &mut books, &touched, is_shared)?;
    if is_shared && needs_more(&books, &touched, tx.now()) {
        return Err(Failure::Conflict("what is to be changed was changed meanwhile".into()));
    }
    let counted_short = load_those_who_fall_short(tx, &mut books, &touched)?;
    let mut scarce = books.may_fall_short(touched.wanted.iter().map(|(sku, quantity)| (sku, *quantity)));
    scarce.extend(counted_short);
    let lapsed =
        if scarce.is_empty() { Stories::new() } else { load_lapsed(tx, &mut books, &mut touched, &scarce, is_shared)? };
    load_owed(tx, &mut books, touched.freed, is_shared)?;
    Ok((books, lapsed))
}

/// Looks for the SKUs of what is only named.
fn look_for_skus(tx: &mut Tx<'_>, touched: &mut Touched) -> Result<(), Failure> {
    if touched.without_skus.is_empty() && touched.numbers.is_empty() && touched.moved_without_sku.is_empty() {
        return Ok(());
    }
    let by_name = Query::by(&RESERVATION, "name", touched.without_skus.iter().map(|name| name.as_str().into()));
    let by_number = Query::by(&RESERVATION, "number", touched.numbers.iter().map(|number| (*number).into()));
    let moved = Query::by(&MOVEMENT, "name", touched.moved_without_sku.iter().map(|name| name.as_str().into()));
    let [by_name, by_number, moved] = tx.ask([by_name, by_number, moved])?;
    for row in moved {
        let movement = movement(row)?;
        if let Outcome::InTransit { sent, .. } = movement.outcome {
            touched.freed += sent;
        }
        touched.skus.insert(movement.sku);
    }
    let (named, mut lines) = (by_name.len() + by_number.len(), 0);
    for row in by_name.into_iter().chain(by_number) {
        let reservation = reservation(row)?;
        lines += reservation.lines.len();
        if named > 1 && lines > LINES_AT_ONCE {
            return Err(Failure::Conflict("so much at once would stop the desk; each runs alone".into()));
        }
        touched.freed += reservation.pieces();
        touched.skus.extend(reservation.lines.iter().map(|line| line.sku.clone()));
        touched.wanted.extend(may_want(&reservation, tx.now()).map(|(sku, quantity)| (sku.clone(), quantity)));
    }
    Ok(())
}

/// What may be wanted for a reservation from anywhere: one that has lapsed may be taken anew, and what another is
/// owed may be moved.
fn may_want(reservation: &Reservation, now: Moment) -> impl Iterator<Item = (&Sku, i64)> {
    let has_lapsed = reservation.status_at(now) == Status::Expired;
    let wanted = move |line: &ReservedLine| if has_lapsed { line.quantity } else { line.owed() };
    let wanted = reservation.lines.iter().map(move |line| (&line.sku, wanted(line)));
    wanted.filter(|(_, quantity)| *quantity > 0)
}

/// Whether what is only named needs more than was locked and loaded: another may have made or changed it after its
/// SKUs were looked for, and before its stock was locked.
fn needs_more(books: &Books, touched: &Touched, now: Moment) -> bool {
    let wanted: BTreeSet<&Sku> = touched.wanted.iter().map(|(sku, _)| sku).collect();
    let needs_more = |of: &Reservation| {
        of.lines.iter().any(|line| !touched.skus.contains(&line.sku))
            || may_want(of, now).any(|(sku, _)| !wanted.contains(sku))
    };
    let mut reservations = touched.without_skus.iter().filter_map(|name| books.reservation(name));
    let mut movements = touched.moved_without_sku.iter().filter_map(|name| books.movement(name));
    reservations.any(needs_more) || movements.any(|movement| !touched.skus.contains(&movement.sku))
}

/// Loads the promises of those levels of which a stock-take may have found less than is promised: nobody
/// knows before which of them fall short. What is owed may be served before it in the same batch, and what is
/// wanted be promised. No index leads to the promises of a SKU, so all are looked through, once for a batch.
/// It gives their SKUs.
fn load_those_who_fall_short(tx: &mut Tx<'_>, books: &mut Books, touched: &Touched) -> Result<Vec<Sku>, Failure> {
    if touched.counted.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted: BTreeMap<&Sku, i64> = BTreeMap::new();
    for (sku, quantity) in &touched.wanted {
        *wanted.entry(sku).or_default() += quantity;
    }
    let mut short = BTreeSet::new();
    for (sku, warehouse, counted) in &touched.counted {
        let pool = books.pool(sku, warehouse);
        let wanted = wanted.get(sku).copied().unwrap_or(0);
        if pool.reserved + pool.committed + pool.owed() + wanted > *counted {
            short.insert((sku, warehouse.as_str()));
        }
    }
    if short.is_empty() {
        return Ok(Vec::new());
    }
    let skus: BTreeSet<&Sku> = short.iter().map(|(sku, _)| *sku).collect();
    let sql = "SELECT reservation, sku, warehouse FROM hold WHERE sku = ANY($1)";
    let mut numbers = Vec::new();
    for row in tx.rows(Query::any_of(sql, skus.iter().map(|sku| Value::from(*sku)), []))? {
        let mut row = row.columns();
        let (number, sku, warehouse) = (row.number()?, row.parsed::<Sku>()?, row.text()?);
        if short.contains(&(&sku, warehouse.as_str())) {
            numbers.push(number);
        }
    }
    load_numbers(tx, books, numbers)?;
    Ok(skus.into_iter().cloned().collect())
}

/// Loads those who are owed pieces of what is loaded, as many of them as may be served; also from what is free
/// already, where not all could be served before.
///
/// All goods of a firm promise may leave once it is served, so its other SKUs are locked too: only now, out of
/// the order of keys, as with lapsed holds.
fn load_owed(tx: &mut Tx<'_>, books: &mut Books, freed: i64, is_shared: bool) -> Result<(), Failure> {
    let owing = books.owing_skus();
    let pieces = freed + books.unserved_pieces();
    if pieces == 0 || owing.is_empty() {
        return Ok(());
    }
    let most = pieces.min(i64::try_from(SERVED_AT_ONCE).unwrap_or(i64::MAX));
    // However many are owed, the index is read up to the last of those who may be served, and no further.
    let sql = "SELECT owed.sku, owed.warehouse, owed.reservation FROM stock CROSS JOIN owed
               WHERE stock.sku = ANY($1) AND stock.owed_to_holds + stock.owed_firmly > 0
                 AND owed.sku = stock.sku AND owed.warehouse = stock.warehouse
                 AND owed.reservation <= COALESCE(
                         (SELECT last.reservation FROM owed AS last
                          WHERE last.sku = stock.sku AND last.warehouse = stock.warehouse
                          ORDER BY last.reservation LIMIT 1 OFFSET $2 - 1), 9223372036854775807)";
    let mut lines: BTreeMap<(Sku, Warehouse), BTreeSet<Number>> = BTreeMap::new();
    for row in tx.rows(Query::any_of(sql, owing.iter().map(Value::from), [most.into()]))? {
        let mut row = row.columns();
        let place = (Sku::from_column(row.text()?), Warehouse::from_column(row.text()?));
        lines.entry(place).or_default().insert(row.number()?);
    }
    let numbers: BTreeSet<Number> = lines.values().flatten().copied().collect();
    let goes_on = |((sku, warehouse), line): ((Sku, Warehouse), BTreeSet<Number>)| {
        let last = line.last().copied().filter(|_| line.len() == usize::try_from(most).unwrap_or(usize::MAX))?;
        Some((sku, warehouse, last))
    };
    books.load_lines(lines.into_iter().filter_map(goes_on));
    load_numbers(tx, books, numbers)?;
    let skus = books.unloaded_skus_of_firm_promises();
    if skus.is_empty() {
        return Ok(());
    }
    lock_and_load(tx, books, &Touched { skus, ..Touched::default() }, is_shared)
}

/// Loads the reservations of these numbers that are not loaded yet. Their stock is locked as far as it is
/// touched, and so nobody else changes them meanwhile.
fn load_numbers(tx: &mut Tx<'_>, books: &mut Books, numbers: impl IntoIterator<Item = Number>) -> Result<(), Failure> {
    let unknown: BTreeSet<Number> = numbers.into_iter().filter(|number| !books.knows(*number)).collect();
    for row in tx.rows(Query::by(&RESERVATION, "number", unknown.into_iter().map(Value::from)))? {
        books.load_reservation(reservation(row)?);
    }
    Ok(())
}

/// Locks what was said of SKUs and warehouses and is to be changed, then stock, each in the order of its keys; and
/// loads that, and behind it what others may have changed while this one waited.
///
/// **Invariant:** whoever makes a level has locked those that its SKU had. So where there are no more than were
/// locked, none comes to them before this transaction ends. One that was made while this one waited is not locked
/// too, for somebody may hold it and wait for the others: all runs again.
fn lock_and_load(tx: &mut Tx<'_>, books: &mut Books, touched: &Touched, is_shared: bool) -> Result<(), Failure> {
    let wanted = || touched.wanted.iter().map(|(sku, _)| sku);
    let (wants, edits) = (!touched.wanted.is_empty(), !touched.edited_skus.is_empty());
    let said = if edits {
        Query::by(&SKU, "sku", touched.edited_skus.iter().chain(wanted()).map(Value::from)).locked()
    } else if is_shared && wants {
        backordered(wanted())
    } else {
        nothing()
    };
    let sites = Query::by(&WAREHOUSE, "warehouse", touched.edited_warehouses.iter().map(Value::from)).locked();
    let stock = Query::by(&STOCK, "sku", touched.skus.iter().map(Value::from)).locked();
    let levels = if is_shared && !touched.skus.is_empty() { number_of_levels(&touched.skus) } else { nothing() };
    let by_name = Query::by(&RESERVATION, "name", touched.reservations.iter().map(|name| name.as_str().into()));
    let by_number = Query::by(&RESERVATION, "number", touched.numbers.iter().map(|number| (*number).into()));
    let movements = Query::by(&MOVEMENT, "name", touched.movements.iter().map(|name| name.as_str().into()));
    let restock = restock_of(touched.skus.iter());
    let (skus, warehouses) = if wants { (settings_of(wanted()), all_warehouses()) } else { (nothing(), nothing()) };
    let asked = [said, sites, stock, levels, by_name, by_number, movements, restock, skus, warehouses];
    let [said, sites, stock, levels, by_name, by_number, movements, restock, skus, warehouses] = tx.ask(asked)?;
    if let Some(levels) = levels.into_iter().next()
        && usize::try_from(levels.columns().int()?) != Ok(stock.len())
    {
        return Err(Failure::Conflict("there is stock now where there was none".into()));
    }
    for row in said {
        let (sku, settings) = sku_settings(row)?;
        books.load_sku(sku, settings);
    }
    for row in skus {
        let (sku, settings) = sku_settings(row)?;
        if is_shared && settings.offer.backorder_limit > 0 && !books.knows_sku(&sku) {
            return Err(Failure::Conflict("it may be promised without stock since a moment".into()));
        }
        books.load_sku(sku, settings);
    }
    for row in sites.into_iter().chain(warehouses) {
        let (warehouse, settings) = warehouse_settings(row)?;
        books.load_warehouse(warehouse, settings);
    }
    for row in restock {
        let ((sku, warehouse), point) = restock_point(row)?;
        books.load_restock(sku, warehouse, point);
    }
    for row in stock {
        let (sku, warehouse, pool) = level(row)?;
        books.load_pool(sku, warehouse, pool);
    }
    for row in by_name.into_iter().chain(by_number) {
        books.load_reservation(reservation(row)?);
    }
    for row in movements {
        books.load_movement(movement(row)?);
    }
    Ok(())
}

/// A question without an answer, which is not asked.
fn nothing() -> Query {
    Query::by(&SKU, "sku", [])
}

/// The settings of those SKUs that may be promised without stock, locked: what may be owed of one is the same in all
/// its warehouses, and where it lies nowhere yet it has no level to lock. It is only asked where several write, and
/// those databases know `FOR UPDATE`.
fn backordered<'a>(skus: impl Iterator<Item = &'a Sku>) -> Query {
    let skus: BTreeSet<&Sku> = skus.collect();
    let sql = "SELECT sku, number, discontinued, backorder_limit, available_from, low_upto, version FROM sku
               WHERE sku = ANY($1) AND backorder_limit > 0 ORDER BY sku FOR UPDATE";
    Query::any_of(sql, skus.into_iter().map(Value::from), [])
}

/// In how many warehouses all these SKUs have a level.
fn number_of_levels(skus: &BTreeSet<Sku>) -> Query {
    Query::any_of("SELECT count(*) FROM stock WHERE sku = ANY($1)", skus.iter().map(Value::from), [])
}

/// The settings of those SKUs of which there are any; few have some.
fn settings_of<'a>(skus: impl Iterator<Item = &'a Sku>) -> Query {
    let skus: BTreeSet<&Sku> = skus.collect();
    let sql = "SELECT sku, number, discontinued, backorder_limit, available_from, low_upto, version FROM sku
               WHERE sku = ANY($1)";
    Query::any_of(sql, skus.into_iter().map(Value::from), [])
}

/// When more is wanted of those SKUs of which somebody wants to know.
fn restock_of<'a>(skus: impl Iterator<Item = &'a Sku>) -> Query {
    let sql = "SELECT sku, warehouse, number, threshold, target, is_low, version FROM restock
               WHERE sku = ANY($1) ORDER BY sku, warehouse";
    Query::any_of(sql, skus.map(Value::from), [])
}

/// What was said of warehouses; there are few.
fn all_warehouses() -> Query {
    Query::sql(
        "SELECT warehouse, number, name, priority, markets, active, version FROM warehouse ORDER BY warehouse",
        [],
    )
}

/// Loads the lapsed holds of scarce SKUs, which are let go so that nobody is refused for their sake, or told that
/// less was found than is promised.
///
/// Their other SKUs are locked only now, out of the order of keys; where two writers meet in that, the
/// database ends one of them as a conflict, and it runs again.
fn load_lapsed(
    tx: &mut Tx<'_>,
    books: &mut Books,
    touched: &mut Touched,
    scarce: &[Sku],
    is_shared: bool,
) -> Result<Stories, Failure> {
    let now = tx.now();
    let sql = "SELECT reservation FROM (
                   SELECT reservation,
                          row_number() OVER (PARTITION BY sku, warehouse ORDER BY expires_at, reservation) AS place
                   FROM hold WHERE expires_at <= $2 AND sku = ANY($1)
               ) AS lapsed WHERE place <= $3";
    let pieces = touched.wanted.iter().map(|(_, quantity)| quantity).sum::<i64>();
    let most = pieces.clamp(LAPSED_AT_ONCE.0, LAPSED_AT_ONCE.1);
    let lapsed = Query::any_of(sql, scarce.iter().map(Value::from), [now.into(), most.into()]);
    let numbers = tx.rows(lapsed)?.into_iter().map(|row| row.columns().number());
    let numbers: BTreeSet<Number> = numbers.collect::<Result<_, _>>()?;
    if numbers.is_empty() {
        return Ok(Stories::new());
    }
    let stories = stories(tx, &numbers)?;
    let by_number = |numbers: &BTreeSet<Number>| Query::by(&RESERVATION, "number", numbers.iter().map(|n| (*n).into()));
    let mut others = Touched::default();
    for row in tx.rows(by_number(&numbers))? {
        let reservation = reservation(row)?;
        touched.freed += reservation.pieces();
        let skus = reservation.lines.into_iter().map(|line| line.sku);
        others.skus.extend(skus.filter(|sku| !touched.skus.contains(sku)));
    }
    others.numbers.clone_from(&numbers);
    lock_and_load(tx, books, &others, is_shared)?;
    Ok(stories)
}

/// Writes what a batch has changed.
pub(crate) fn save(tx: &mut Tx<'_>, books: &Books) -> Result<(), Failure> {
    save_levels(tx, books);
    save_settings(tx, books)?;
    save_reservations(tx, books)?;
    tx.update(&MOVEMENT, books.changed_movements().map(movement_row).collect::<Result<_, _>>()?);
    tx.insert(&MOVEMENT, books.new_movements().map(movement_row).collect::<Result<_, _>>()?);
    Ok(())
}

fn save_levels(tx: &mut Tx<'_>, books: &Books) {
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (sku, warehouse, pool, is_known) in books.changed_pools() {
        let row = vec![
            sku.into(),
            warehouse.into(),
            pool.on_hand.into(),
            pool.reserved.into(),
            pool.committed.into(),
            pool.owed_to_holds.into(),
            pool.owed_firmly.into(),
            pool.in_transit.into(),
        ];
        if is_known { old.push(row) } else { new.push(row) }
    }
    tx.update(&STOCK, old);
    tx.insert(&STOCK, new);
    let (unserved, served) = books.changed_unserved().partition::<Vec<_>, _>(|(.., is_unserved)| *is_unserved);
    let level = |(sku, warehouse, _): (&Sku, &Warehouse, bool)| vec![sku.into(), warehouse.into()];
    tx.insert(&UNSERVED, unserved.into_iter().map(level).collect());
    tx.delete(&UNSERVED, served.into_iter().map(level).collect());
}

/// Writes what was said of SKUs, of warehouses and of when more is wanted.
fn save_settings(tx: &mut Tx<'_>, books: &Books) -> Result<(), Failure> {
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (sku, settings, is_known) in books.changed_skus() {
        let Offer { discontinued, backorder_limit, available_from, low_upto } = settings.offer;
        let row = vec![
            sku.into(),
            settings.number.into(),
            i64::from(discontinued).into(),
            backorder_limit.into(),
            available_from.into(),
            low_upto.into(),
            settings.version.into(),
        ];
        if is_known { old.push(row) } else { new.push(row) }
    }
    tx.update(&SKU, old);
    tx.insert(&SKU, new);

    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (warehouse, settings, is_known) in books.changed_warehouses() {
        let row = warehouse_row(warehouse, settings)?;
        if is_known { old.push(row) } else { new.push(row) }
    }
    tx.update(&WAREHOUSE, old);
    tx.insert(&WAREHOUSE, new);

    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (sku, warehouse, point, is_known) in books.changed_restock() {
        let row = vec![
            sku.into(),
            warehouse.into(),
            point.number.into(),
            point.reorder.map(|reorder| reorder.threshold).into(),
            point.reorder.map(|reorder| reorder.target).into(),
            i64::from(point.is_low).into(),
            point.version.into(),
        ];
        if is_known { old.push(row) } else { new.push(row) }
    }
    tx.update(&RESTOCK, old);
    tx.insert(&RESTOCK, new);
    Ok(())
}

/// Writes reservations, with what they keep and what they are owed.
fn save_reservations(tx: &mut Tx<'_>, books: &Books) -> Result<(), Failure> {
    let (mut new, mut old) = (Vec::new(), Vec::new());
    let (mut held, mut let_go) = (Vec::new(), Vec::new());
    let (mut owed, mut served) = (Vec::new(), Vec::new());
    for (before, after) in books.changed_reservations() {
        let (was, is) = (before.map_or_else(Vec::new, holds), holds(after));
        if was != is {
            let_go.extend(was.into_iter().map(|mut hold| hold.drain(..4).collect()));
            held.extend(is);
        }
        let (was, is) = (before.map_or_else(Vec::new, owed_to), owed_to(after));
        if was != is {
            served.extend(was.into_iter().map(|mut row| row.drain(..3).collect()));
            owed.extend(is);
        }
        let row = reservation_row(after)?;
        if before.is_some() { old.push(row) } else { new.push(row) }
    }
    tx.update(&RESERVATION, old);
    tx.insert(&RESERVATION, new);
    tx.delete(&HOLD, let_go);
    tx.insert(&HOLD, held);
    tx.delete(&OWED, served);
    tx.insert(&OWED, owed);
    Ok(())
}

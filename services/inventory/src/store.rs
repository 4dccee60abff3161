//! Everything that inventory keeps, and every statement about it.
//!
//! Reading order: here what is loaded and saved, then `journal` and `availability` (what others read), and
//! `recent` (what was read lately).

pub(crate) mod availability;
pub(crate) mod journal;
pub(crate) mod recent;

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory::Event;
use db::{Columns, Failure, Query, Read, Row, Table, Trace, Tx, Value, int, text};
use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

use crate::domain::{
    Books, MovementRecord, Offer, Outcome, Pool, Reorder, Reservation, RestockPoint, Site, SkuSettings, Status,
    WarehouseSettings, key,
};

static STOCK: Table = Table {
    name: "stock",
    key: &[text("sku"), text("warehouse")],
    rest: &[
        int("on_hand"),
        int("reserved"),
        int("committed"),
        int("owed_to_holds"),
        int("owed_firmly"),
        int("in_transit"),
    ],
};

static SKU: Table = Table {
    name: "sku",
    key: &[text("sku")],
    rest: &[int("number"), int("discontinued"), int("backorder_limit"), int("available_from"), int("version")],
};

static WAREHOUSE: Table = Table {
    name: "warehouse",
    key: &[text("warehouse")],
    rest: &[int("number"), text("name"), int("priority"), text("markets"), int("active"), int("version")],
};

static RESTOCK: Table = Table {
    name: "restock",
    key: &[text("sku"), text("warehouse")],
    rest: &[int("number"), int("threshold"), int("target"), int("is_low"), int("version")],
};

static RESERVATION: Table = Table {
    name: "reservation",
    key: &[int("number")],
    rest: &[
        text("name"),
        text("fingerprint"),
        text("status"),
        int("expires_at"),
        text("lines"),
        text("short"),
        int("discontinued"),
        text("order_name"),
        int("attempt"),
        int("has_left"),
        text("terms"),
        int("version"),
    ],
};

static HOLD: Table = Table {
    name: "hold",
    key: &[int("expires_at"), int("reservation"), text("sku"), text("warehouse")],
    rest: &[int("quantity")],
};

static OWED: Table = Table {
    name: "owed",
    key: &[text("sku"), text("warehouse"), int("reservation")],
    rest: &[int("quantity"), int("missing")],
};

static MOVEMENT: Table = Table {
    name: "movement",
    key: &[int("number")],
    rest: &[text("name"), text("fingerprint"), text("sku"), text("warehouse"), text("outcome"), int("version")],
};

/// What every event of a reservation belongs to, by its place among those of the reservation.
static EVENT: Table =
    Table { name: "event", key: &[int("stream"), int("version")], rest: &[text("trace"), text("correlation")] };

/// Lapsed holds of a SKU that one batch clears away: as many as pieces are wanted of it, for each
/// frees one at least; but no fewer than the first, and no more than the second.
const LAPSED_AT_ONCE: (i64, i64) = (256, 10_000);

/// Until when a firm promise keeps its stock.
const NEVER: Moment = Moment::from_micros(i64::MAX);

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
pub(crate) fn load(tx: &mut Tx<'_>, mut touched: Touched) -> Result<(Books, Stories), Failure> {
    let mut books = Books::default();
    if !touched.edited_skus.is_empty() {
        let edited = Query::by(&SKU, "sku", touched.edited_skus.iter().map(Value::from)).locked();
        for row in tx.rows(edited)? {
            let (sku, settings) = sku_settings(row)?;
            books.load_sku(sku, settings);
        }
    }
    if !touched.edited_warehouses.is_empty() {
        let edited = Query::by(&WAREHOUSE, "warehouse", touched.edited_warehouses.iter().map(Value::from)).locked();
        for row in tx.rows(edited)? {
            let (warehouse, settings) = warehouse_settings(row)?;
            books.load_warehouse(warehouse, settings);
        }
    }
    if !touched.without_skus.is_empty() || !touched.numbers.is_empty() || !touched.moved_without_sku.is_empty() {
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
        for row in by_name.into_iter().chain(by_number) {
            let reservation = reservation(row)?;
            touched.freed += reservation.pieces();
            touched.skus.extend(reservation.lines.iter().map(|line| line.sku.clone()));
            if reservation.status_at(tx.now()) == Status::Expired {
                touched.wanted.extend(reservation.lines.iter().map(|line| (line.sku.clone(), line.quantity)));
            }
        }
    }
    lock_and_load(tx, &mut books, &touched)?;
    load_those_who_fall_short(tx, &mut books, &touched)?;
    let scarce = books.may_fall_short(touched.wanted.iter().map(|(sku, quantity)| (sku, *quantity)));
    let lapsed = if scarce.is_empty() { Stories::new() } else { load_lapsed(tx, &mut books, &mut touched, &scarce)? };
    load_owed(tx, &mut books, touched.freed)?;
    Ok((books, lapsed))
}

/// Loads the promises of those levels of which a stock-take may have found less than is promised: nobody
/// knows before which of them fall short.
fn load_those_who_fall_short(tx: &mut Tx<'_>, books: &mut Books, touched: &Touched) -> Result<(), Failure> {
    let wanted: i64 = touched.wanted.iter().map(|(_, quantity)| quantity).sum();
    for (sku, warehouse, counted) in &touched.counted {
        let pool = books.pool(sku, warehouse);
        if pool.reserved + pool.committed + wanted > *counted {
            let sql = "SELECT reservation FROM hold WHERE sku = $1 AND warehouse = $2";
            let promises = tx.rows(Query::sql(sql, [sku.into(), warehouse.into()]))?;
            load_numbers(tx, books, promises)?;
        }
    }
    Ok(())
}

/// Loads those who are owed pieces of what is loaded, as many of them as may be served.
///
/// All goods of a firm promise may leave once it is served, so its other SKUs are locked too: only now, out of
/// the order of keys, as with lapsed holds.
fn load_owed(tx: &mut Tx<'_>, books: &mut Books, freed: i64) -> Result<(), Failure> {
    let owing = books.owing_skus();
    if freed == 0 || owing.is_empty() {
        return Ok(());
    }
    let sql = "SELECT reservation FROM (
                   SELECT reservation, row_number() OVER (PARTITION BY sku, warehouse ORDER BY reservation) AS place
                   FROM owed WHERE sku = ANY($1)
               ) AS owed WHERE place <= $2";
    let owed = tx.rows(Query::any_of(sql, owing.iter().map(Value::from), [freed.into()]))?;
    load_numbers(tx, books, owed)?;
    let skus = books.unloaded_skus_of_firm_promises();
    if skus.is_empty() {
        return Ok(());
    }
    lock_and_load(tx, books, &Touched { skus, ..Touched::default() })
}

/// Loads the reservations of these numbers that are not loaded yet. Their stock is locked as far as it is
/// touched, and so nobody else changes them meanwhile.
fn load_numbers(tx: &mut Tx<'_>, books: &mut Books, numbers: Vec<Row>) -> Result<(), Failure> {
    let numbers: BTreeSet<Number> = numbers.into_iter().map(|row| row.columns().number()).collect::<Result<_, _>>()?;
    let unknown = numbers.into_iter().filter(|number| !books.knows(*number));
    for row in tx.rows(Query::by(&RESERVATION, "number", unknown.map(Value::from)))? {
        books.load_reservation(reservation(row)?);
    }
    Ok(())
}

fn lock_and_load(tx: &mut Tx<'_>, books: &mut Books, touched: &Touched) -> Result<(), Failure> {
    let stock = Query::by(&STOCK, "sku", touched.skus.iter().map(Value::from)).locked();
    let by_name = Query::by(&RESERVATION, "name", touched.reservations.iter().map(|name| name.as_str().into()));
    let by_number = Query::by(&RESERVATION, "number", touched.numbers.iter().map(|number| (*number).into()));
    let movements = Query::by(&MOVEMENT, "name", touched.movements.iter().map(|name| name.as_str().into()));
    let skus = settings_of(touched.wanted.iter().map(|(sku, _)| sku));
    let restock = restock_of(touched.skus.iter());
    let warehouses = (!touched.wanted.is_empty()).then(|| tx.ask_along([all_warehouses()]));
    let asked = [stock, by_name, by_number, movements, skus, restock];
    let [stock, by_name, by_number, movements, skus, restock] = tx.ask(asked)?;
    for row in restock {
        let ((sku, warehouse), point) = restock_point(row)?;
        books.load_restock(sku, warehouse, point);
    }
    if let Some(warehouses) = warehouses {
        let [warehouses] = tx.answers(warehouses)?;
        for row in warehouses {
            let (warehouse, settings) = warehouse_settings(row)?;
            books.load_warehouse(warehouse, settings);
        }
    }
    for row in skus {
        let (sku, settings) = sku_settings(row)?;
        books.load_sku(sku, settings);
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

/// The settings of those SKUs of which there are any; few have some.
fn settings_of<'a>(skus: impl Iterator<Item = &'a Sku>) -> Query {
    let skus: BTreeSet<&Sku> = skus.collect();
    let sql = "SELECT sku, number, discontinued, backorder_limit, available_from, version FROM sku
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

/// Loads the lapsed holds of scarce SKUs, which are let go so that nobody is refused for their sake.
///
/// Their other SKUs are locked only now, out of the order of keys; where two writers meet in that, the
/// database ends one of them as a conflict, and it runs again.
fn load_lapsed(tx: &mut Tx<'_>, books: &mut Books, touched: &mut Touched, scarce: &[Sku]) -> Result<Stories, Failure> {
    let now = tx.now();
    let sql = "SELECT reservation FROM (
                   SELECT reservation, row_number() OVER (PARTITION BY sku ORDER BY expires_at, reservation) AS place
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
    lock_and_load(tx, books, &others)?;
    Ok(stories)
}

/// What a reservation belongs to: the trace and the story of whoever asked for it first.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) trace: Trace,
    pub(crate) correlation: String,
}

/// What reservations belong to, by their numbers.
pub(crate) type Stories = BTreeMap<Number, Story>;

fn stories(tx: &mut Tx<'_>, numbers: &BTreeSet<Number>) -> Result<Stories, Failure> {
    let mut stories = Stories::new();
    for row in tx.rows(Query::by(&EVENT, "stream", numbers.iter().map(|number| (*number).into())))? {
        let mut row = row.columns();
        let (number, version) = (row.number()?, row.int()?);
        if version == 1 {
            stories.insert(number, Story { trace: row.parsed()?, correlation: row.text()? });
        }
    }
    Ok(stories)
}

/// Writes what a batch has changed.
pub(crate) fn save(tx: &mut Tx<'_>, books: &Books) -> Result<(), Failure> {
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

    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (sku, settings, is_known) in books.changed_skus() {
        let Offer { discontinued, backorder_limit, available_from } = settings.offer;
        let row = vec![
            sku.into(),
            settings.number.into(),
            i64::from(discontinued).into(),
            backorder_limit.into(),
            available_from.into(),
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
    tx.update(&MOVEMENT, books.changed_movements().map(movement_row).collect::<Result<_, _>>()?);
    tx.insert(&MOVEMENT, books.new_movements().map(movement_row).collect::<Result<_, _>>()?);
    Ok(())
}

/// What a reservation keeps in stock, as rows: a firm promise keeps it for ever, as if it were a hold that
/// never lapses, and one that has come to an end keeps nothing.
fn holds(reservation: &Reservation) -> Vec<Vec<Value>> {
    if !reservation.is_live() {
        return Vec::new();
    }
    let until = if reservation.is_firm() { NEVER } else { reservation.expires_at };
    let of_line = |line: &contracts::inventory::ReservedLine| {
        let hold = |allocation: &contracts::inventory::Allocation| {
            vec![
                Value::from(until),
                reservation.number.into(),
                (&line.sku).into(),
                (&allocation.warehouse).into(),
                allocation.quantity.into(),
            ]
        };
        line.allocations.iter().map(hold).collect::<Vec<_>>()
    };
    reservation.lines.iter().flat_map(of_line).collect()
}

/// What a reservation is owed, as rows.
fn owed_to(reservation: &Reservation) -> Vec<Vec<Value>> {
    if !reservation.is_live() || reservation.owed() == 0 {
        return Vec::new();
    }
    let allocations = reservation.lines.iter().flat_map(|line| line.allocations.iter().map(|of| (&line.sku, of)));
    let owed = allocations.filter(|(_, allocation)| allocation.owed > 0);
    let row = |(sku, of): (&Sku, &contracts::inventory::Allocation)| {
        vec![sku.into(), (&of.warehouse).into(), reservation.number.into(), of.owed.into(), of.missing.into()]
    };
    owed.map(row).collect()
}

fn reservation_row(of: &Reservation) -> Result<Vec<Value>, Failure> {
    Ok(vec![
        of.number.into(),
        key(&of.owner, &of.name).into(),
        of.fingerprint.as_str().into(),
        of.status.as_str().into(),
        of.expires_at.into(),
        json(&of.lines)?.into(),
        if of.short.is_empty() { Value::Null } else { json(&of.short)?.into() },
        i64::from(of.discontinued).into(),
        of.order.as_ref().into(),
        of.attempt.into(),
        i64::from(of.has_left).into(),
        of.terms.as_ref().map(json).transpose()?.into(),
        of.version.into(),
    ])
}

fn warehouse_row(warehouse: &Warehouse, of: &WarehouseSettings) -> Result<Vec<Value>, Failure> {
    Ok(vec![
        warehouse.into(),
        of.number.into(),
        of.site.name.clone().into(),
        of.site.priority.into(),
        json(&of.site.markets)?.into(),
        i64::from(of.site.active).into(),
        of.version.into(),
    ])
}

fn movement_row(of: &MovementRecord) -> Result<Vec<Value>, Failure> {
    Ok(vec![
        of.number.into(),
        key(&of.owner, &of.name).into(),
        of.fingerprint.as_str().into(),
        (&of.sku).into(),
        (&of.warehouse).into(),
        json(&of.outcome)?.into(),
        of.version.into(),
    ])
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Corrupt(error.to_string()))
}

fn level(row: Row) -> Result<(Sku, Warehouse, Pool), Failure> {
    let mut row = row.columns();
    let (sku, warehouse) = (Sku::from_column(row.text()?), Warehouse::from_column(row.text()?));
    let pool = Pool {
        on_hand: row.int()?,
        reserved: row.int()?,
        committed: row.int()?,
        owed_to_holds: row.int()?,
        owed_firmly: row.int()?,
        in_transit: row.int()?,
    };
    Ok((sku, warehouse, pool))
}

fn sku_settings(row: Row) -> Result<(Sku, SkuSettings), Failure> {
    let mut row = row.columns();
    let sku = Sku::from_column(row.text()?);
    let number = row.number()?;
    let (discontinued, backorder_limit) = (row.int()? != 0, row.int()?);
    let offer = Offer { discontinued, backorder_limit, available_from: row.maybe_moment()? };
    Ok((sku, SkuSettings { number, offer, version: row.int()? }))
}

fn warehouse_settings(row: Row) -> Result<(Warehouse, WarehouseSettings), Failure> {
    let mut row = row.columns();
    let warehouse = Warehouse::from_column(row.text()?);
    let number = row.number()?;
    let site =
        Site { name: row.maybe_text()?, priority: row.maybe_int()?, markets: row.json()?, active: row.int()? != 0 };
    Ok((warehouse, WarehouseSettings { number, site, version: row.int()? }))
}

/// A SKU in a warehouse.
pub(crate) type Place = (Sku, Warehouse);

fn restock_point(row: Row) -> Result<(Place, RestockPoint), Failure> {
    let mut row = row.columns();
    let place = (Sku::from_column(row.text()?), Warehouse::from_column(row.text()?));
    let number = row.number()?;
    let (threshold, target) = (row.maybe_int()?, row.maybe_int()?);
    let reorder = threshold.zip(target).map(|(threshold, target)| Reorder { threshold, target });
    Ok((place, RestockPoint { number, reorder, is_low: row.int()? != 0, version: row.int()? }))
}

fn reservation(row: Row) -> Result<Reservation, Failure> {
    let mut row = row.columns();
    let number = row.number()?;
    let (owner, name) = owner_and_name(&mut row)?;
    Ok(Reservation {
        number,
        owner,
        name,
        fingerprint: row.text()?,
        status: row.parsed()?,
        expires_at: row.moment()?,
        lines: row.json()?,
        short: match row.maybe_text()? {
            Some(short) => serde_json::from_str(&short).map_err(|error| Failure::Corrupt(error.to_string()))?,
            None => Vec::new(),
        },
        discontinued: row.int()? != 0,
        order: row.maybe_text()?.map(Name::from_column),
        attempt: row.int()?,
        has_left: row.int()? != 0,
        terms: match row.maybe_text()? {
            Some(terms) => Some(serde_json::from_str(&terms).map_err(|error| Failure::Corrupt(error.to_string()))?),
            None => None,
        },
        version: row.int()?,
    })
}

fn movement(row: Row) -> Result<MovementRecord, Failure> {
    let mut row = row.columns();
    let number = row.number()?;
    let (owner, name) = owner_and_name(&mut row)?;
    Ok(MovementRecord {
        number,
        owner,
        name,
        fingerprint: row.text()?,
        sku: Sku::from_column(row.text()?),
        warehouse: Warehouse::from_column(row.text()?),
        outcome: row.json()?,
        version: row.int()?,
    })
}

fn owner_and_name(row: &mut Columns) -> Result<(String, Name), Failure> {
    let key = row.text()?;
    let (owner, name) = key.rsplit_once('/').ok_or_else(|| Failure::Corrupt(format!("{key:?} has no owner")))?;
    Ok((owner.to_owned(), Name::from_column(name.to_owned())))
}

/// Holds whose time has passed, those first that lapsed first, each with what it belongs to.
pub(crate) fn lapsed(tx: &mut Tx<'_>, most: usize) -> Result<Vec<(Number, Story)>, Failure> {
    let sql = "SELECT lapsed.reservation, event.trace, event.correlation
               FROM (SELECT reservation, expires_at FROM hold WHERE expires_at <= $1
                     GROUP BY expires_at, reservation ORDER BY expires_at, reservation LIMIT $2) AS lapsed
               JOIN event ON event.stream = lapsed.reservation AND event.version = 1
               ORDER BY lapsed.expires_at, lapsed.reservation";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = tx.rows(Query::sql(sql, [tx.now().into(), most.into()]))?;
    let read = |row: Row| {
        let mut row = row.columns();
        Ok((row.number()?, Story { trace: row.parsed()?, correlation: row.text()? }))
    };
    rows.into_iter().map(read).collect()
}

/// The levels of some SKUs by warehouse; nothing for those never seen.
pub fn levels(read: &mut Read<'_>, skus: &[Sku]) -> Result<Vec<(Sku, Warehouse, Pool)>, Failure> {
    let rows = read.rows(Query::by(&STOCK, "sku", skus.iter().map(Value::from)))?;
    rows.into_iter().map(level).collect()
}

/// Pieces that a promise is owed.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub(crate) sku: Sku,
    pub(crate) warehouse: Warehouse,
    pub(crate) reservation: Number,
    pub(crate) quantity: i64,
    /// Those that a stock-take has not found, and of which nobody has decided what becomes.
    pub(crate) missing: i64,
}

/// Some of those who are owed pieces after one, by SKU and warehouse, in the order in which they are served:
/// where somebody has to decide, or where nobody has.
pub(crate) fn owed_after(
    read: &mut Read<'_>,
    is_open: bool,
    after: Option<&(Sku, Warehouse, Number)>,
    limit: i64,
) -> Result<Vec<Owed>, Failure> {
    let (sku, warehouse, number) =
        after.map_or(("", "", 0), |(sku, warehouse, number)| (sku.as_str(), warehouse.as_str(), number.to_column()));
    let (columns, is_open) = (OWED.columns(), if is_open { "missing > 0" } else { "missing = 0" });
    let sql = format!(
        "SELECT {columns} FROM owed WHERE {is_open} AND (sku, warehouse, reservation) > ($1, $2, $3)
         ORDER BY sku, warehouse, reservation LIMIT $4"
    );
    let row = |row: Row| {
        let mut row = row.columns();
        let (sku, warehouse) = (Sku::from_column(row.text()?), Warehouse::from_column(row.text()?));
        Ok(Owed { sku, warehouse, reservation: row.number()?, quantity: row.int()?, missing: row.int()? })
    };
    read.rows(Query::sql(sql, [sku.into(), warehouse.into(), number.into(), limit.into()]))?
        .into_iter()
        .map(row)
        .collect()
}

/// Reservations by their numbers.
pub(crate) fn reservations(
    read: &mut Read<'_>,
    numbers: impl Iterator<Item = Number>,
) -> Result<BTreeMap<Number, Reservation>, Failure> {
    let numbers: BTreeSet<Number> = numbers.collect();
    let rows = read.rows(Query::by(&RESERVATION, "number", numbers.into_iter().map(Value::from)))?;
    rows.into_iter().map(|row| reservation(row).map(|of| (of.number, of))).collect()
}

/// What was said about some SKUs; nothing for the others.
pub(crate) fn settings<'a>(
    read: &mut Read<'_>,
    skus: impl IntoIterator<Item = &'a Sku>,
) -> Result<BTreeMap<Sku, SkuSettings>, Failure> {
    let skus: Vec<&Sku> = skus.into_iter().collect();
    // One is found sooner by its key.
    let settings = match skus[..] {
        [sku] => Query::by(&SKU, "sku", [sku.into()]),
        _ => settings_of(skus.into_iter()),
    };
    read.rows(settings)?.into_iter().map(sku_settings).collect()
}

/// What was said about SKUs after one and up to another; about some of those that follow, where no end is said.
pub(crate) fn settings_between(
    read: &mut Read<'_>,
    after: &str,
    upto: Option<&str>,
    limit: usize,
) -> Result<BTreeMap<Sku, SkuSettings>, Failure> {
    let columns = SKU.columns();
    let query = if let Some(upto) = upto {
        let sql = format!("SELECT {columns} FROM sku WHERE sku > $1 AND sku <= $2");
        Query::sql(sql, [after.into(), upto.into()])
    } else {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = format!("SELECT {columns} FROM sku WHERE sku > $1 ORDER BY sku LIMIT $2");
        Query::sql(sql, [after.into(), most.into()])
    };
    read.rows(query)?.into_iter().map(sku_settings).collect()
}

/// What had been said about a SKU by a time.
pub(crate) fn offer_at(read: &mut Read<'_>, sku: &Sku, at: Moment) -> Result<Offer, Failure> {
    let mut offer = Offer::default();
    if let Some(now) = settings(read, [sku])?.get(sku) {
        for event in read.events_of(now.number)?.into_iter().filter(|event| event.recorded_at <= at) {
            let said = Event::read(&event.kind, &event.body).map_err(|error| Failure::Corrupt(error.0))?;
            if let Some(said) = said {
                offer.enter(&said);
            }
        }
    }
    Ok(offer)
}

/// What was said of warehouses.
pub(crate) fn warehouses(read: &mut Read<'_>) -> Result<BTreeMap<Warehouse, WarehouseSettings>, Failure> {
    read.rows(all_warehouses())?.into_iter().map(warehouse_settings).collect()
}

/// What had been said of warehouses by a time.
pub(crate) fn warehouses_at(
    read: &mut Read<'_>,
    at: Moment,
) -> Result<BTreeMap<Warehouse, WarehouseSettings>, Failure> {
    let mut then = BTreeMap::new();
    for (warehouse, now) in warehouses(read)? {
        let events = read.events_of(now.number)?.into_iter().filter(|event| event.recorded_at <= at);
        let Some(last) = events.last() else { continue };
        if let Ok(Some(Event::WarehouseChanged(e))) = Event::read(&last.kind, &last.body) {
            then.insert(warehouse, WarehouseSettings { site: Site::from(e), ..now });
        }
    }
    Ok(then)
}

/// What was said of one warehouse.
pub(crate) fn warehouse(read: &mut Read<'_>, warehouse: &Warehouse) -> Result<Option<WarehouseSettings>, Failure> {
    let rows = read.rows(Query::by(&WAREHOUSE, "warehouse", [warehouse.into()]))?;
    let found = rows.into_iter().next().map(warehouse_settings).transpose()?;
    Ok(found.map(|(_, settings)| settings))
}

/// Some warehouses of which something was said, after one, in the order of their names.
pub(crate) fn warehouses_after(
    read: &mut Read<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<(Warehouse, WarehouseSettings)>, Failure> {
    let columns = WAREHOUSE.columns();
    let sql = format!("SELECT {columns} FROM warehouse WHERE warehouse > $1 ORDER BY warehouse LIMIT $2");
    let rows = read.rows(Query::sql(sql, [after.into(), limit.into()]))?;
    rows.into_iter().map(warehouse_settings).collect()
}

/// When more of some SKUs is wanted, by SKU and warehouse.
pub(crate) fn restock(read: &mut Read<'_>, skus: &[Sku]) -> Result<Vec<(Place, RestockPoint)>, Failure> {
    read.rows(restock_of(skus.iter()))?.into_iter().map(restock_point).collect()
}

/// Some of which there is less than their threshold, after one, by SKU and warehouse.
pub(crate) fn low_after(
    read: &mut Read<'_>,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<(Place, RestockPoint)>, Failure> {
    let (sku, warehouse) = after.map_or(("", ""), |(sku, warehouse)| (sku.as_str(), warehouse.as_str()));
    let columns = RESTOCK.columns();
    let sql = format!(
        "SELECT {columns} FROM restock WHERE is_low = 1 AND (sku, warehouse) > ($1, $2) ORDER BY sku, warehouse LIMIT $3"
    );
    let rows = read.rows(Query::sql(sql, [sku.into(), warehouse.into(), limit.into()]))?;
    rows.into_iter().map(restock_point).collect()
}

/// Some levels after a SKU in a warehouse, in the order of their keys.
pub(crate) fn levels_after(
    read: &mut Read<'_>,
    after: Option<&(Sku, Warehouse)>,
    limit: i64,
) -> Result<Vec<(Sku, Warehouse, Pool)>, Failure> {
    // Before all others stands a text that is none of them.
    let (sku, warehouse) = after.map_or(("", ""), |(sku, warehouse)| (sku.as_str(), warehouse.as_str()));
    let columns = STOCK.columns();
    let sql = format!("SELECT {columns} FROM stock WHERE (sku, warehouse) > ($1, $2) ORDER BY sku, warehouse LIMIT $3");
    let rows = read.rows(Query::sql(sql, [sku.into(), warehouse.into(), limit.into()]))?;
    rows.into_iter().map(level).collect()
}

/// The reservation of that name.
pub(crate) fn find_reservation(read: &mut Read<'_>, owner: &str, name: &Name) -> Result<Option<Reservation>, Failure> {
    let rows = read.rows(Query::by(&RESERVATION, "name", [key(owner, name).into()]))?;
    rows.into_iter().next().map(reservation).transpose()
}

/// The columns of rows by their tables and keys: to compare two sets of books.
pub(crate) type Rows = BTreeMap<String, Vec<(&'static str, Value)>>;

/// All rows.
pub(crate) fn all_rows(read: &mut Read<'_>) -> Result<Rows, Failure> {
    let tables = [&STOCK, &SKU, &WAREHOUSE, &RESTOCK, &RESERVATION, &HOLD, &OWED, &MOVEMENT];
    let all = |table: &'static Table| Query::sql(format!("SELECT {} FROM {}", table.columns(), table.name), []);
    let answers = read.ask(tables.map(all))?;
    let mut rows = Rows::new();
    for (table, answer) in tables.into_iter().zip(answers) {
        for row in answer {
            let mut key = row.named(table);
            let rest = key.split_off(table.key.len());
            let key: Vec<_> = key.into_iter().map(|(column, value)| format!("{column}={value}")).collect();
            rows.insert(format!("{} {}", table.name, key.join(" ")), rest);
        }
    }
    Ok(rows)
}

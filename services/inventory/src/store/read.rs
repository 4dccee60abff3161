//! What requests and the status page read.

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory::Event;
use db::{Failure, Query, Read, Row, Table, Value};
use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

use super::rows::{
    HOLD, MOVEMENT, OWED, Place, RESERVATION, RESTOCK, SKU, STOCK, UNSERVED, WAREHOUSE, level, reservation,
    restock_point, sku_settings, warehouse_settings,
};
use super::{Shown, all_warehouses, restock_of, settings_of, shown};
use crate::domain::{Offer, Pool, Reservation, RestockPoint, Site, SkuSettings, WarehouseSettings, key};

/// The levels of some SKUs by warehouse; nothing for those never seen.
pub fn levels(read: &mut Read<'_>, skus: &[Sku]) -> Result<Vec<(Sku, Warehouse, Pool)>, Failure> {
    let rows = read.rows(Query::by(&STOCK, "sku", skus.iter().map(Value::from)))?;
    rows.into_iter().map(level).collect()
}

/// The stock of those SKUs that are known, in the order of their names; in one trip.
pub(crate) fn stock(read: &mut Read<'_>, skus: &[Sku]) -> Result<Vec<(Sku, Shown)>, Failure> {
    let levels = Query::by(&STOCK, "sku", skus.iter().map(Value::from));
    let [levels, settings, warehouses] = read.ask([levels, settings_query(skus.iter()), all_warehouses()])?;
    let levels: Vec<_> = levels.into_iter().map(level).collect::<Result<_, _>>()?;
    let settings = settings.into_iter().map(sku_settings).collect::<Result<_, _>>()?;
    let sites = warehouses.into_iter().map(warehouse_settings).collect::<Result<_, _>>()?;
    Ok(shown(&levels, &settings, &sites))
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
    read.rows(settings_query(skus.into_iter()))?.into_iter().map(sku_settings).collect()
}

fn settings_query<'a>(skus: impl Iterator<Item = &'a Sku>) -> Query {
    let skus: Vec<&Sku> = skus.collect();
    match skus[..] {
        // One is found sooner by its key.
        [sku] => Query::by(&SKU, "sku", [sku.into()]),
        _ => settings_of(skus.into_iter()),
    }
}

/// What was said about some SKUs after one and up to another, where an end is said, in the order of their names.
pub(crate) fn settings_between(
    read: &mut Read<'_>,
    after: &str,
    upto: Option<&str>,
    limit: usize,
) -> Result<BTreeMap<Sku, SkuSettings>, Failure> {
    let (columns, most) = (SKU.columns(), i64::try_from(limit).unwrap_or(i64::MAX));
    let query = if let Some(upto) = upto {
        let sql = format!("SELECT {columns} FROM sku WHERE sku > $1 AND sku <= $2 ORDER BY sku LIMIT $3");
        Query::sql(sql, [after.into(), upto.into(), most.into()])
    } else {
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

/// Some SKUs of which something lies, or has lain, somewhere, after one, in the order of their names.
pub(crate) fn skus_after(read: &mut Read<'_>, after: Option<&Sku>, limit: usize) -> Result<Vec<Sku>, Failure> {
    let after = after.map_or("", Sku::as_str);
    let sql = "SELECT DISTINCT sku FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = read.rows(Query::sql(sql.to_owned(), [after.into(), limit.into()]))?;
    rows.into_iter().map(|row| Ok(Sku::from_column(row.columns().text()?))).collect()
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
    let tables = [&STOCK, &SKU, &WAREHOUSE, &RESTOCK, &RESERVATION, &HOLD, &OWED, &UNSERVED, &MOVEMENT];
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

//! The tables of inventory, and what their rows stand for.

use contracts::inventory::{Allocation, ReservedLine};
use db::{Columns, Failure, Row, Table, Value, int, text};
use ids::{Name, Sku, Warehouse};
use world::Moment;

use crate::domain::{
    MovementRecord, Offer, Pool, Reorder, Reservation, RestockPoint, Site, SkuSettings, WarehouseSettings, key,
};

pub(super) static STOCK: Table = Table {
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

pub(super) static SKU: Table = Table {
    name: "sku",
    key: &[text("sku")],
    rest: &[
        int("number"),
        int("discontinued"),
        int("backorder_limit"),
        int("available_from"),
        int("low_upto"),
        int("version"),
    ],
};

pub(super) static WAREHOUSE: Table = Table {
    name: "warehouse",
    key: &[text("warehouse")],
    rest: &[int("number"), text("name"), int("priority"), text("markets"), int("active"), int("version")],
};

pub(super) static RESTOCK: Table = Table {
    name: "restock",
    key: &[text("sku"), text("warehouse")],
    rest: &[int("number"), int("threshold"), int("target"), int("is_low"), int("version")],
};

pub(super) static RESERVATION: Table = Table {
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

pub(super) static HOLD: Table = Table {
    name: "hold",
    key: &[int("expires_at"), int("reservation"), text("sku"), text("warehouse")],
    rest: &[int("quantity")],
};

pub(super) static OWED: Table = Table {
    name: "owed",
    key: &[text("sku"), text("warehouse"), int("reservation")],
    rest: &[int("quantity"), int("missing")],
};

pub(super) static UNSERVED: Table = Table { name: "unserved", key: &[text("sku"), text("warehouse")], rest: &[] };

pub(super) static MOVEMENT: Table = Table {
    name: "movement",
    key: &[int("number")],
    rest: &[text("name"), text("fingerprint"), text("sku"), text("warehouse"), text("outcome"), int("version")],
};

/// What every event of a reservation belongs to, by its place among those of the reservation.
pub(super) static EVENT: Table =
    Table { name: "event", key: &[int("stream"), int("version")], rest: &[text("trace"), text("correlation")] };

/// Until when a firm promise keeps its stock.
const NEVER: Moment = Moment::from_micros(i64::MAX);

/// What a reservation keeps in stock, as rows: a firm promise keeps it for ever, as if it were a hold that
/// never lapses, and one that has come to an end keeps nothing.
pub(super) fn holds(reservation: &Reservation) -> Vec<Vec<Value>> {
    if !reservation.is_live() {
        return Vec::new();
    }
    let until = if reservation.is_firm() { NEVER } else { reservation.expires_at };
    let of_line = |line: &ReservedLine| {
        let hold = |allocation: &Allocation| {
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
pub(super) fn owed_to(reservation: &Reservation) -> Vec<Vec<Value>> {
    if !reservation.is_live() || reservation.owed() == 0 {
        return Vec::new();
    }
    let allocations = reservation.lines.iter().flat_map(|line| line.allocations.iter().map(|of| (&line.sku, of)));
    let owed = allocations.filter(|(_, allocation)| allocation.owed > 0);
    let row = |(sku, of): (&Sku, &Allocation)| {
        vec![sku.into(), (&of.warehouse).into(), reservation.number.into(), of.owed.into(), of.missing.into()]
    };
    owed.map(row).collect()
}

pub(super) fn reservation_row(of: &Reservation) -> Result<Vec<Value>, Failure> {
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

pub(super) fn warehouse_row(warehouse: &Warehouse, of: &WarehouseSettings) -> Result<Vec<Value>, Failure> {
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

pub(super) fn movement_row(of: &MovementRecord) -> Result<Vec<Value>, Failure> {
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

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Corrupt(error.to_string()))
}

pub(super) fn level(row: Row) -> Result<(Sku, Warehouse, Pool), Failure> {
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

pub(super) fn sku_settings(row: Row) -> Result<(Sku, SkuSettings), Failure> {
    let mut row = row.columns();
    let sku = Sku::from_column(row.text()?);
    let number = row.number()?;
    let (discontinued, backorder_limit) = (row.int()? != 0, row.int()?);
    let (available_from, low_upto) = (row.maybe_moment()?, row.maybe_int()?);
    let offer = Offer { discontinued, backorder_limit, available_from, low_upto };
    Ok((sku, SkuSettings { number, offer, version: row.int()? }))
}

pub(super) fn warehouse_settings(row: Row) -> Result<(Warehouse, WarehouseSettings), Failure> {
    let mut row = row.columns();
    let warehouse = Warehouse::from_column(row.text()?);
    let number = row.number()?;
    let site =
        Site { name: row.maybe_text()?, priority: row.maybe_int()?, markets: row.json()?, active: row.int()? != 0 };
    Ok((warehouse, WarehouseSettings { number, site, version: row.int()? }))
}

/// A SKU in a warehouse.
pub(crate) type Place = (Sku, Warehouse);

pub(super) fn restock_point(row: Row) -> Result<(Place, RestockPoint), Failure> {
    let mut row = row.columns();
    let place = (Sku::from_column(row.text()?), Warehouse::from_column(row.text()?));
    let number = row.number()?;
    let (threshold, target) = (row.maybe_int()?, row.maybe_int()?);
    let reorder = threshold.zip(target).map(|(threshold, target)| Reorder { threshold, target });
    Ok((place, RestockPoint { number, reorder, is_low: row.int()? != 0, version: row.int()? }))
}

pub(super) fn reservation(row: Row) -> Result<Reservation, Failure> {
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

pub(super) fn movement(row: Row) -> Result<MovementRecord, Failure> {
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

pub(super) fn owner_and_name(row: &mut Columns) -> Result<(String, Name), Failure> {
    let key = row.text()?;
    let (owner, name) = key.rsplit_once('/').ok_or_else(|| Failure::Corrupt(format!("{key:?} has no owner")))?;
    Ok((owner.to_owned(), Name::from_column(name.to_owned())))
}

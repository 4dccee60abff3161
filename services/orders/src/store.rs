//! Everything that orders keeps, and every statement about it.

use contracts::orders::{Event, OrderPlaced};
use db::{Columns, Envelope, Failure, Query, Read, Row, Table, Trace, Tx, Value, int, text};
use ids::{Name, Number};
use world::Moment;

use crate::domain::{Order, Status, Step};

static ORDERS: Table = Table {
    name: "orders",
    key: &[int("number")],
    rest: &[
        text("name"),
        text("placed"),
        text("customer"),
        int("placed_at"),
        text("status"),
        text("step"),
        text("reason"),
        text("reservation_status"),
        text("payment_status"),
        int("may_be_committed"),
        int("pay_until"),
        int("due_at"),
        int("updated_at"),
        int("version"),
        int("overdue"),
    ],
};

/// The same table without what never changes.
static STORY: Table = Table {
    name: "orders",
    key: &[int("number")],
    rest: &[
        text("status"),
        text("step"),
        text("reason"),
        text("reservation_status"),
        text("payment_status"),
        int("may_be_committed"),
        int("pay_until"),
        int("due_at"),
        int("updated_at"),
        int("version"),
        int("overdue"),
    ],
};

/// Orders that are read at once.
const PIECE: usize = 64;
/// Bytes of orders after which a list ends.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Whose name it is, and the name: the one key under which an order is found.
pub(crate) fn key(owner: &str, name: &Name) -> String {
    [owner, "/", name.as_str()].concat()
}

/// The orders of these names and numbers, locked in the order of their numbers, each with the moment when
/// it is looked at again.
pub(crate) fn load(
    tx: &mut Tx<'_>,
    names: impl IntoIterator<Item = String>,
    numbers: impl IntoIterator<Item = Number>,
) -> Result<Vec<(Order, Option<Moment>)>, Failure> {
    let by_name = Query::by(&ORDERS, "name", names.into_iter().map(Value::from)).locked();
    let by_number = Query::by(&ORDERS, "number", numbers.into_iter().map(Value::from)).locked();
    tx.ask([by_name, by_number])?.into_iter().flatten().map(order_and_look).collect()
}

/// Adds new orders, each with the event that began it and the time when it is looked at again.
pub(crate) fn insert(tx: &mut Tx<'_>, orders: &[(&Order, &OrderPlaced, Option<Moment>)]) -> Result<(), Failure> {
    let row = |(order, placed, due_at): &(&Order, &OrderPlaced, Option<Moment>)| {
        let placed = serde_json::to_string(placed).map_err(|error| Failure::Corrupt(error.to_string()))?;
        let mut row = vec![
            order.number.into(),
            key(&order.owner, &order.name).into(),
            placed.into(),
            Value::from(order.customer.as_deref()),
            order.placed_at.into(),
        ];
        row.extend(story(order, *due_at));
        Ok(row)
    };
    tx.insert(&ORDERS, orders.iter().map(row).collect::<Result<_, Failure>>()?);
    Ok(())
}

/// Writes how orders stand now.
pub(crate) fn update(tx: &mut Tx<'_>, orders: &[(&Order, Option<Moment>)]) {
    let row = |(order, due_at): &(&Order, Option<Moment>)| {
        let mut row = vec![order.number.into()];
        row.extend(story(order, *due_at));
        row
    };
    tx.update(&STORY, orders.iter().map(row).collect());
}

fn story(order: &Order, due_at: Option<Moment>) -> [Value; 11] {
    [
        order.status.as_str().into(),
        order.status.step().map(Step::as_str).into(),
        order.reason.map(contracts::orders::Reason::as_str).into(),
        order.reservation_status.as_str().into(),
        order.payment_status.as_str().into(),
        i64::from(order.may_be_committed).into(),
        order.pay_until.into(),
        due_at.into(),
        order.updated_at.into(),
        order.version.into(),
        order.overdue.into(),
    ]
}

fn order(row: Row) -> Result<Order, Failure> {
    order_and_look(row).map(|(order, _)| order)
}

fn order_and_look(row: Row) -> Result<(Order, Option<Moment>), Failure> {
    let mut row = row.columns();
    let (number, name) = (row.number()?, row.text()?);
    order_of(number, &name, row).map_err(|failure| failure.of(format_args!("order {name}")))
}

fn order_of(number: Number, name: &str, mut row: Columns) -> Result<(Order, Option<Moment>), Failure> {
    let (owner, _) = owner_and_name(name)?;
    let placed: OrderPlaced = row.json()?;
    let _customer = row.maybe_text()?;
    let mut order = Order::placed(number, owner, row.moment()?, &placed);
    let status = row.text()?;
    let step = row.maybe_text()?;
    order.status = parsed(step.as_deref().unwrap_or(&status))?;
    order.reason = match row.maybe_text()? {
        None => None,
        Some(word) => Some(
            serde_json::from_value(serde_json::Value::String(word))
                .map_err(|error| Failure::Corrupt(format!("an order's reason: {error}")))?,
        ),
    };
    order.reservation_status = row.parsed()?;
    order.payment_status = row.parsed()?;
    order.may_be_committed = row.int()? != 0;
    order.pay_until = row.maybe_moment()?;
    let due_at = row.maybe_moment()?;
    order.updated_at = row.moment()?;
    order.version = row.int()?;
    order.overdue = row.int()?;
    Ok((order, due_at))
}

fn parsed(text: &str) -> Result<Status, Failure> {
    text.parse().map_err(|_| Failure::Corrupt(format!("an order's status: {text:?}")))
}

/// An order whose deadline has passed.
pub(crate) struct Overdue {
    pub(crate) number: Number,
    pub(crate) name: Name,
    /// How many events it has had.
    pub(crate) version: i64,
    /// The trace in which it was placed.
    pub(crate) trace: Trace,
}

/// Orders whose deadline has passed, those first that have waited longest.
pub(crate) fn overdue(tx: &mut Tx<'_>, most: usize) -> Result<Vec<Overdue>, Failure> {
    let sql = "SELECT orders.number, orders.name, orders.version, event.trace
               FROM orders JOIN event ON event.stream = orders.number AND event.version = 1
               WHERE orders.due_at <= $1 ORDER BY orders.due_at LIMIT $2";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = tx.rows(Query::sql(sql, [tx.now().into(), most.into()]))?;
    let read = |row: Row| {
        let mut row = row.columns();
        let (number, (_, name)) = (row.number()?, owner_and_name(&row.text()?)?);
        Ok(Overdue { number, name, version: row.int()?, trace: row.parsed()? })
    };
    rows.into_iter().map(read).collect()
}

fn owner_and_name(key: &str) -> Result<(&str, Name), Failure> {
    let (owner, name) = key.rsplit_once('/').ok_or_else(|| Failure::Corrupt("its name has no owner".into()))?;
    Ok((owner, Name::from_column(name.to_owned())))
}

/// The order of that name.
pub(crate) fn find(read: &mut Read<'_>, owner: &str, name: &Name) -> Result<Option<Order>, Failure> {
    let rows = read.rows(Query::by(&ORDERS, "name", [key(owner, name).into()]))?;
    rows.into_iter().next().map(order).transpose()
}

/// Whose order it is, with a `/` behind it, as the indexes of `0003_owner.sql` have it.
const OWNER: &str = "rtrim(name, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-')";

/// Which orders a list is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) status: Option<String>,
    pub(crate) customer: Option<String>,
}

/// Orders in the order in which they were placed, of an owner or of all, after a number: as many as are wanted, or
/// fewer where these are heavy; and whether there are more.
pub(crate) fn list(
    read: &mut Read<'_>,
    owner: Option<&str>,
    filter: &Filter,
    mut after: Number,
    most: usize,
) -> Result<(Vec<Order>, bool), Failure> {
    let (mut orders, mut bytes) = (Vec::new(), 0);
    loop {
        // One more than is wanted says that there are more.
        let piece = (most - orders.len() + 1).min(PIECE);
        let rows = read.rows(listed(owner, filter, after, i64::try_from(piece).unwrap_or(i64::MAX)))?;
        let are_all = rows.len() < piece;
        for row in rows {
            if orders.len() == most || bytes >= MOST_BYTES {
                return Ok((orders, true));
            }
            bytes += row.bytes();
            let order = order(row)?;
            after = order.number;
            orders.push(order);
        }
        if are_all {
            return Ok((orders, false));
        }
    }
}

fn listed(owner: Option<&str>, filter: &Filter, after: Number, limit: i64) -> Query {
    let mut conditions = vec!["number > $1".to_owned()];
    let mut values = vec![Value::from(after)];
    // One customer has few orders. SQLite takes them for as many as those of an owner or a status, so where a
    // customer is given, neither of these is searched by.
    let looked_at = if filter.customer.is_some() { " || ''" } else { "" };
    let owner = owner.map(|owner| [owner, "/"].concat());
    let equal = [
        (OWNER, looked_at, owner.as_deref()),
        ("status", looked_at, filter.status.as_deref()),
        ("customer", "", filter.customer.as_deref()),
    ];
    for (column, looked_at, wanted) in equal {
        if let Some(wanted) = wanted {
            values.push(wanted.into());
            conditions.push(format!("{column}{looked_at} = ${}", values.len()));
        }
    }
    values.push(limit.into());
    let (columns, conditions, limit) = (ORDERS.columns(), conditions.join(" AND "), values.len());
    Query::sql(format!("SELECT {columns} FROM orders WHERE {conditions} ORDER BY number LIMIT ${limit}"), values)
}

/// Some orders of all owners after a number, in the order in which they were placed.
pub fn orders_after(read: &mut Read<'_>, after: Number, limit: i64) -> Result<Vec<Order>, Failure> {
    let sql = format!("SELECT {} FROM orders WHERE number > $1 ORDER BY number LIMIT $2", ORDERS.columns());
    read.rows(Query::sql(sql, [after.into(), limit.into()]))?.into_iter().map(order).collect()
}

/// How many orders there are of each status.
pub(crate) fn by_status(read: &mut Read<'_>) -> Result<Vec<(String, i64)>, Failure> {
    let rows = read.rows(Query::sql("SELECT status, count(*) FROM orders GROUP BY status", []))?;
    let counted = |row: Row| {
        let mut row = row.columns();
        Ok((row.text()?, row.int()?))
    };
    rows.into_iter().map(counted).collect()
}

/// Everything that happened to an order, with each event as it was published.
pub(crate) fn history(read: &mut Read<'_>, number: Number) -> Result<Vec<(Envelope, Event)>, Failure> {
    let understood = |envelope: Envelope| {
        let event = Event::read(&envelope.kind, &envelope.body).map_err(|error| Failure::Corrupt(error.0))?;
        // An event of a newer release: its story cannot be told by this one.
        let event =
            event.ok_or_else(|| Failure::Corrupt(format!("a stored event of unknown type {}", envelope.kind)))?;
        Ok((envelope, event))
    };
    read.events_of(number)?.into_iter().map(understood).collect()
}

#[cfg(test)]
mod tests {
    use contracts::orders::OrderLine;
    use db::{Database, Location, MemoryDisk, Options};
    use money::{Currency, Money};
    use world::World;

    use super::*;

    fn wait<T>(answer: impl Future<Output = Result<T, db::Refused>>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(answer).expect("the database answers")
    }

    fn open(location: Location) -> Database {
        let world = World::simulated(1);
        Database::open(crate::NAME, location, Options::default(), world, crate::MIGRATIONS).expect("it opens")
    }

    fn placed(name: &str, customer: &str) -> OrderPlaced {
        let price = Money::new(500, "GBP".parse::<Currency>().expect("a currency")).expect("a price");
        let name: Name = name.parse().expect("a name");
        OrderPlaced {
            order: name.clone(),
            fingerprint: String::new(),
            lines: vec![OrderLine { sku: "a".parse().expect("a SKU"), quantity: 1, unit_price: price }],
            total: price,
            method: "pm".to_owned(),
            customer: Some(customer.to_owned()),
            reference: None,
            reservation: name.clone(),
            payment: name,
            attempt: 1,
            hold_secs: 1,
        }
    }

    fn filters() -> [Filter; 4] {
        let (status, customer) = (Some("pending".to_owned()), Some("c-1".to_owned()));
        [
            Filter::default(),
            Filter { status: status.clone(), customer: None },
            Filter { status: None, customer: customer.clone() },
            Filter { status, customer },
        ]
    }

    #[test]
    fn a_list_of_an_owner_has_no_order_of_another() {
        let postgres = Location::Postgres(testkit::Postgres::shared().database());
        for location in [Location::Memory(MemoryDisk::empty()), postgres] {
            let database = open(location);
            wait(database.write(|tx| {
                let owners = ["a", "a-b", "A", "a.b:c_9", "b"].into_iter().cycle().take(10).zip(1..);
                for (owner, number) in owners {
                    let placed = placed(&format!("o-{number}"), if number > 5 { "c-1" } else { "c-2" });
                    let order = Order::placed(Number::from_column(number), owner, tx.now(), &placed);
                    insert(tx, &[(&order, &placed, None)])?;
                }
                Ok(())
            }));
            let numbers = |owner: &'static str, filter: Filter, after| -> Vec<i64> {
                let list = move |read: &mut Read<'_>| list(read, Some(owner), &filter, Number::from_column(after), 9);
                let (orders, are_more) = wait(database.read(list));
                assert!(!are_more);
                orders.iter().map(|order| order.number.to_column()).collect()
            };
            let [all, pending, customers, both] = filters();
            assert_eq!((numbers("a", all.clone(), 0), numbers("a", all.clone(), 1)), (vec![1, 6], vec![6]));
            assert_eq!((numbers("a-b", all.clone(), 0), numbers("a.b:c_9", all.clone(), 0)), (vec![2, 7], vec![4, 9]));
            assert_eq!((numbers("A", pending, 0), numbers("", all, 0)), (vec![3, 8], vec![]));
            assert_eq!((numbers("b", customers, 0), numbers("b", both, 0)), (vec![10], vec![10]));
        }
    }

    #[test]
    fn a_list_ends_with_as_many_as_are_wanted_or_where_it_has_become_heavy_and_says_whether_there_are_more() {
        let postgres = Location::Postgres(testkit::Postgres::shared().database());
        for location in [Location::Memory(MemoryDisk::empty()), postgres] {
            let database = open(location);
            wait(database.write(|tx| {
                for number in 1..=200 {
                    let mut placed = placed(&format!("o-{number}"), "c-1");
                    if number > 100 {
                        placed.reference = Some("x".repeat(MOST_BYTES / 10));
                    }
                    let order = Order::placed(Number::from_column(number), "a", tx.now(), &placed);
                    insert(tx, &[(&order, &placed, None)])?;
                }
                Ok(())
            }));
            let page = |after, most| {
                let list =
                    move |read: &mut Read<'_>| list(read, None, &Filter::default(), Number::from_column(after), most);
                let (orders, are_more) = wait(database.read(list));
                (orders.len(), orders.last().map(|order| order.number.to_column()), are_more)
            };
            for most in [1, PIECE - 1, PIECE, PIECE + 1, 100] {
                assert_eq!(page(0, most), (most, i64::try_from(most).ok(), true), "{most}");
            }
            assert_eq!(page(0, 500), (110, Some(110), true), "ten are heavy");
            assert_eq!((page(185, 500), page(190, 500)), ((10, Some(195), true), (10, Some(200), false)));
            assert_eq!((page(195, 5), page(200, 5)), ((5, Some(200), false), (0, None, false)));
        }
    }

    #[test]
    fn an_owner_is_what_stands_before_any_name() {
        let migration = crate::MIGRATIONS.iter().find(|migration| migration.number == 3).expect("it is there");
        assert_eq!(migration.sql.matches(OWNER).count(), 2, "the indexes are of what lists ask for");
        let of_names = OWNER.trim_start_matches("rtrim(name, '").trim_end_matches("')");
        for character in (0..=u8::MAX).map(char::from) {
            let is_of_names = format!("x{character}x").parse::<Name>().is_ok();
            assert_eq!(of_names.contains(character), is_of_names, "{character:?}");
        }
    }

    #[test]
    fn no_list_reads_orders_that_it_does_not_show_where_an_index_could_know() {
        let database = open(Location::Memory(MemoryDisk::empty()));
        let steps = |owner, filter: &Filter| {
            let Query::Sql { sql, values } = listed(owner, filter, Number::from_column(0), 9) else {
                panic!("a list is one statement");
            };
            let plan = Query::sql(format!("EXPLAIN QUERY PLAN {sql}"), values);
            let steps = wait(database.read(move |read| read.rows(plan)));
            let step = |row: Row| {
                let mut row = row.columns();
                let (_id, _parent, _notused) = (row.int()?, row.int()?, row.int()?);
                row.text()
            };
            steps.into_iter().map(step).collect::<Result<Vec<_>, Failure>>().expect("steps")
        };
        let searched = |how: &str| vec![format!("SEARCH orders USING {how}")];
        let [all, status, customer, both] = filters();
        let of_customer = searched("INDEX orders_customer (customer=? AND number>?)");
        assert_eq!(steps(Some("a"), &all), searched("INDEX orders_owner (<expr>=? AND number>?)"));
        let of_status = searched("INDEX orders_owner_status (<expr>=? AND status=? AND number>?)");
        assert_eq!(steps(Some("a"), &status), of_status);
        assert_eq!(steps(Some("a"), &customer), of_customer);
        assert_eq!(steps(Some("a"), &both), of_customer);
        assert_eq!(steps(None, &all), searched("INTEGER PRIMARY KEY (rowid>?)"));
        assert_eq!(steps(None, &status), searched("INDEX orders_status (status=? AND number>?)"));
        assert_eq!(steps(None, &customer), of_customer);
        assert_eq!(steps(None, &both), of_customer);
    }
}

//! Which messages of a stretch are sent to an endpoint again.

use db::{Failure, Query, Read};
use ids::Number;
use world::Moment;

use super::{Head, Record};

/// Messages that are read at once.
const PIECE: i64 = 512;
/// Messages that one request looks at: where few are wanted it sends few, and says where to go on.
const MOST_LOOKED_AT: usize = 20_000;

/// From the first moment to the last.
pub(crate) const EVER: (Moment, Moment) = (Moment::from_micros(i64::MIN), Moment::from_micros(i64::MAX));

/// A stretch of the messages, by number and by time, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// The first and the last number.
    pub(crate) numbers: (i64, i64),
    /// The first and the last moment.
    pub(crate) times: (Moment, Moment),
}

/// Messages of a stretch that an endpoint wants, and the number from which on there may be more.
pub(crate) fn wanted_in(
    read: &mut Read<'_>,
    record: &Record,
    stretch: Stretch,
    most: usize,
) -> Result<(Vec<Head>, Option<i64>), Failure> {
    let (mut from, last) = numbers(read, stretch)?;
    let (mut wanted, mut looked_at) = (Vec::new(), 0);
    loop {
        let rows = read.rows(piece(record.number, (from, last)))?;
        let is_last = rows.len() < usize::try_from(PIECE).unwrap_or(usize::MAX);
        looked_at += rows.len();
        for row in rows {
            let mut row = row.columns();
            let (number, subject, kind, recorded_at) = (row.int()?, row.text()?, row.text()?, row.moment()?);
            from = number + 1;
            if recorded_at < stretch.times.0 || recorded_at > stretch.times.1 {
                continue;
            }
            if wanted.len() == most {
                return Ok((wanted, Some(number)));
            }
            if record.endpoint.settings.filter.wants(&kind, &subject) {
                wanted.push(Head { number, subject, recorded_at });
            }
        }
        if is_last {
            return Ok((wanted, None));
        }
        if looked_at >= MOST_LOOKED_AT {
            return Ok((wanted, Some(from)));
        }
    }
}

/// The first and the last number of a stretch: where times are given, none lies before the first or behind the
/// last message of these times. Messages of several services have not quite the order of their times.
fn numbers(read: &mut Read<'_>, stretch: Stretch) -> Result<(i64, i64), Failure> {
    let (first, last) = stretch.numbers;
    if stretch.times == EVER {
        return Ok((first, last));
    }
    let rows = read.rows(within(stretch.times))?;
    let mut row = rows.into_iter().next().ok_or_else(|| Failure::Corrupt("a count has no row".into()))?.columns();
    let (_count, earliest, latest) = (row.int()?, row.maybe_int()?, row.maybe_int()?);
    // Where no message is of these times, the first is behind the last.
    Ok((first.max(earliest.unwrap_or(i64::MAX)), last.min(latest.unwrap_or(0))))
}

/// Asks for the numbers of the messages of a time. They are counted too, or `PostgreSQL` would look for the least
/// number among all messages.
fn within((from, to): (Moment, Moment)) -> Query {
    let sql = "SELECT count(*), min(number), max(number) FROM message WHERE recorded_at >= $1 AND recorded_at <= $2";
    Query::sql(sql, [from.into(), to.into()])
}

/// Asks for messages to an endpoint between two numbers, as many as are read at once. Their time is no condition:
/// `PostgreSQL` would search by it, and sort for each piece all that come after it.
fn piece(endpoint: Number, (first, last): (i64, i64)) -> Query {
    let sql = "SELECT number, subject, type, recorded_at FROM message
               WHERE number >= $1 AND number <= $2 AND (endpoint IS NULL OR endpoint = $3) ORDER BY number LIMIT $4";
    Query::sql(sql, [first.into(), last.into(), endpoint.into(), PIECE.into()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use db::{Database, Location, MemoryDisk, Options};
    use world::World;

    use super::*;
    use crate::MIGRATIONS;
    use crate::domain::{Endpoint, Filter, Secret, Settings};
    use crate::store::tests::steps_of;
    use crate::store::{Changes, Message, save};

    fn open(location: Location) -> Database {
        Database::open(crate::NAME, location, Options::default(), World::simulated(1), MIGRATIONS).expect("it opens")
    }

    fn message(number: i64, recorded_at: i64) -> Message {
        Message {
            number,
            id: format!("orders-1-{number}"),
            endpoint: (number == 4).then(|| Number::from_column(77)),
            subject: "a".to_owned(),
            kind: if number == 6 { "OrderConfirmed" } else { "OrderPlaced" }.to_owned(),
            recorded_at: Moment::from_micros(recorded_at),
            body: "{}".to_owned(),
        }
    }

    fn endpoint() -> Record {
        let filter = Filter { types: vec!["OrderPlaced".to_owned()], subjects: Vec::new() };
        let settings = Settings { url: "https://a".to_owned(), filter, ordered: false, enabled: true };
        let (name, now) = ("a".parse().expect("a name"), Moment::from_micros(0));
        let endpoint = Endpoint::new(name, settings, Secret::of(&[7; 32]), now);
        Record { number: Number::from_column(1), cursor: 0, version: 1, said: 0, endpoint }
    }

    #[tokio::test]
    async fn a_stretch_has_all_messages_of_its_time_whatever_their_order() {
        let postgres = Location::Postgres(testkit::Postgres::shared().database());
        for location in [Location::Memory(MemoryDisk::empty()), postgres] {
            let database = open(location);
            let times = [10, 30, 20, 30, 25, 26, 60, 40, 70];
            let messages: Vec<_> = (1..).zip(times).map(|(number, at)| message(number, at)).collect();
            let written = database.write(move |tx| {
                save(tx, Changes::default(), &messages, &BTreeMap::new());
                Ok(())
            });
            written.await.expect("it is written");
            for (numbers, (from, to), most, expected) in [
                ((0, i64::MAX), (20, 40), 9, (vec![2, 3, 5, 8], None)),
                ((0, i64::MAX), (20, 40), 2, (vec![2, 3], Some(5))),
                ((5, i64::MAX), (20, 40), 9, (vec![5, 8], None)),
                ((0, 3), (20, 40), 9, (vec![2, 3], None)),
                ((0, i64::MAX), (60, i64::MAX), 9, (vec![7, 9], None)),
                ((0, i64::MAX), (i64::MIN, 20), 9, (vec![1, 3], None)),
                ((8, i64::MAX), (i64::MIN, i64::MAX), 9, (vec![8, 9], None)),
                ((0, i64::MAX), (50, 55), 9, (vec![], None)),
                ((0, 2), (60, 70), 9, (vec![], None)),
            ] {
                let stretch = Stretch { numbers, times: (Moment::from_micros(from), Moment::from_micros(to)) };
                let found = database.read(move |read| wanted_in(read, &endpoint(), stretch, most)).await;
                let (found, next) = found.expect("it is read");
                let found: Vec<_> = found.into_iter().map(|head| head.number).collect();
                assert_eq!((found, next), expected, "{stretch:?}");
            }
        }
    }

    #[tokio::test]
    async fn one_request_looks_at_so_many_messages_and_says_where_to_go_on() {
        let database = open(Location::Memory(MemoryDisk::empty()));
        let newest = i64::try_from(MOST_LOOKED_AT).expect("a number") + 2 * PIECE;
        let kind = |number| if number == newest { "OrderPlaced" } else { "OrderConfirmed" }.to_owned();
        let messages: Vec<_> = (1..=newest).map(|number| Message { kind: kind(number), ..message(0, 0) }).collect();
        let messages: Vec<_> = (1..).zip(messages).map(|(number, message)| Message { number, ..message }).collect();
        let written = database.write(move |tx| {
            save(tx, Changes::default(), &messages, &BTreeMap::new());
            Ok(())
        });
        written.await.expect("it is written");
        let from = |first: i64| {
            let stretch = Stretch { numbers: (first, i64::MAX), times: EVER };
            database.read(move |read| wanted_in(read, &endpoint(), stretch, 9))
        };
        let (found, next) = from(0).await.expect("it is read");
        let next = next.expect("there is more");
        assert!(found.is_empty() && next > PIECE && next < newest, "{next}");
        let (found, next) = from(next).await.expect("it is read");
        let found: Vec<_> = found.into_iter().map(|head| head.number).collect();
        assert_eq!((found, next), (vec![newest], None));
    }

    #[tokio::test]
    async fn a_stretch_is_found_without_a_look_at_the_messages_of_other_times() {
        let database = open(Location::Memory(MemoryDisk::empty()));
        let mut steps = Vec::new();
        for asked in [within(EVER), piece(Number::from_column(1), (0, 0))] {
            steps.extend(steps_of(&database, asked).await);
        }
        assert_eq!(
            steps,
            [
                "SEARCH message USING COVERING INDEX message_recorded (recorded_at>? AND recorded_at<?)",
                "SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
            ]
        );
    }
}

//! No service reaches into another's database.

use db::{Database, Failure, Location, Query, Refused};
use world::World;

use crate::tally::{MIGRATIONS, everywhere, open, options, wait};

#[test]
fn a_table_of_another_service_is_refused_on_postgresql() {
    let url = testkit::Postgres::shared().database();
    let ours = open(Location::Postgres(url.clone()), options()).database;
    let theirs = Database::open("other", Location::Postgres(url), options(), World::real(), MIGRATIONS);
    drop(theirs.expect("another service opens"));
    let denied = |failure: Failure| {
        assert!(matches!(&failure, Failure::Database(text) if text.contains("permission denied")), "{failure}");
    };
    for sql in ["SELECT value FROM other.tally", "SELECT position FROM other.event"] {
        match wait(ours.read(move |read| read.rows(Query::sql(sql, [])))) {
            Err(Refused::Failed(failure)) => denied(failure),
            read => panic!("{read:?}"),
        }
    }
    for sql in ["DELETE FROM other.tally", "CREATE TABLE other.mine (a BIGINT)", "CREATE TABLE public.mine (a BIGINT)"]
    {
        match wait(ours.write(move |tx| {
            tx.execute(sql, []);
            Ok(())
        })) {
            Err(Refused::Failed(failure)) => denied(failure),
            wrote => panic!("{wrote:?}"),
        }
    }
}

#[test]
fn a_file_of_another_service_cannot_be_attached_on_sqlite() {
    let (places, folder) = everywhere();
    let other = folder.path().join("other.db");
    drop(open(Location::File(other.clone()), options()));
    let sql = format!("ATTACH DATABASE '{}' AS other", other.display());
    for (place, location) in places.into_iter().filter(|(place, _)| *place != "postgres") {
        let ours = open(location, options()).database;
        let attach = sql.clone();
        let read = wait(ours.read(move |read| read.rows(Query::sql(attach, []))));
        let attach = sql.clone();
        let written = wait(ours.write(move |tx| tx.rows(Query::sql(attach, []))));
        for refused in [read, written] {
            let said = format!("{:?}", refused.expect_err("refused"));
            assert!(said.contains("too many attached databases"), "{place}: {said}");
        }
    }
}

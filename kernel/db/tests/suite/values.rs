//! What stands in columns means the same everywhere.

use db::{Database, Failure, Query, Refused, Row, Table, Value, int, text};

use crate::tally::{NOTE, TALLY, add, everywhere, open, options, value, wait};

fn keep(database: &Database, rows: Vec<Vec<Value>>) -> Result<(), Refused> {
    wait(database.write(move |tx| {
        tx.insert(&NOTE, rows);
        Ok(())
    }))
}

fn names(rows: Vec<Row>) -> Vec<String> {
    rows.into_iter().map(|row| row.columns().text().expect("a name")).collect()
}

fn ask(database: &Database, query: Query) -> Vec<Row> {
    wait(database.read(|read| read.rows(query))).expect("a read")
}

#[test]
fn texts_compare_by_bytes() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let database = open(location, options()).database;
        let texts = ["é", "a", "Z", "B", "", "b ", "b", "aé", "e\u{301}", "\u{1F333}"];
        keep(&database, texts.iter().map(|text| vec![(*text).into(), (*text).into(), Value::Null]).collect())
            .expect("they are kept");
        let mut by_bytes: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        by_bytes.sort_unstable();
        for column in ["name", "text"] {
            let sql = format!("SELECT name FROM note ORDER BY {column}");
            assert_eq!(names(ask(&database, Query::sql(sql, []))), by_bytes, "{place}");
        }
        let lower = Query::sql("SELECT name FROM note WHERE text < $1 ORDER BY text", ["a".into()]);
        assert_eq!(names(ask(&database, lower)), ["", "B", "Z"], "{place}");
        for (text, other) in [("a", "A"), ("b", "b "), ("é", "e\u{301}")] {
            let same = Query::sql("SELECT name FROM note WHERE text = $1", [text.into()]);
            assert_eq!(names(ask(&database, same)), [text], "{place}: {text} is not {other}");
        }
    }
}

#[test]
fn values_come_back_as_they_were_given() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let database = open(location, options()).database;
        let row = |name: &str, text: Value, number: Value| vec![name.into(), text, number];
        let mut rows = vec![
            row("a", Value::Null, i64::MIN.into()),
            row("b", "".into(), i64::MAX.into()),
            row("c", "$1 '$.x' ?1 \\ \" \u{1}".into(), Value::Null),
            row("d", "x".repeat(1 << 20).into(), 0.into()),
        ];
        keep(&database, rows.clone()).expect("they are kept");
        let all = || Query::by(&NOTE, "name", ["d", "a", "c", "b", "a"].map(Value::from));
        let read = |query| ask(&database, query).into_iter().map(|row| format!("{row:?}")).collect::<Vec<_>>();
        let said = |rows: &[Vec<Value>]| rows.iter().map(|row| format!("Row({row:?})")).collect::<Vec<_>>();
        assert_eq!(read(all()), said(&rows), "{place}");
        rows[0][1] = "now".into();
        rows[1][2] = Value::Null;
        let changed = vec![rows[1].clone(), rows[0].clone()];
        wait(database.write(|tx| {
            tx.update(&NOTE, changed);
            Ok(())
        }))
        .expect("they are changed");
        assert_eq!(read(all()), said(&rows), "{place}");
        let nothing = Query::sql("SELECT name, text, number FROM note WHERE number IS NULL ORDER BY name", []);
        assert_eq!(read(nothing), said(&rows[1..3]), "{place}");
    }
}

#[test]
fn rows_come_in_the_order_of_their_key_whatever_they_are_looked_up_by() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let database = open(location, options()).database;
        let row = |name: &str, text: &str| vec![name.into(), text.into(), Value::Null];
        keep(&database, vec![row("a", "z"), row("b", "y"), row("c", "z"), row("d", "x")]).expect("they are kept");
        let found = ask(&database, Query::by(&NOTE, "text", ["y".into(), "z".into(), "x".into()]));
        assert_eq!(names(found), ["a", "b", "c", "d"], "{place}");
    }
}

/// Notes as if their text were a part of the key.
static NOTE_AND_TEXT: Table = Table { name: "note", key: &[text("name"), text("text")], rest: &[int("number")] };

#[test]
fn rows_are_found_by_all_columns_of_their_key() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let database = open(location, options()).database;
        let row = |name: &str, text: &str| vec![name.into(), text.into(), 1.into()];
        keep(&database, vec![row("a", "z"), row("b", "y"), row("c", "z"), row("d", "x")]).expect("they are kept");
        let pair = |(name, text): (&str, &str)| vec![Value::from(name), Value::from(text)];
        let keys = [("d", "x"), ("a", "y"), ("b", "y"), ("e", "x"), ("b", "y"), ("c", "x")].map(pair);
        let found = ask(&database, Query::by_primary_keys(&NOTE_AND_TEXT, keys));
        let found: Vec<_> = found.into_iter().map(|row| format!("{row:?}")).collect();
        let expected = [row("b", "y"), row("d", "x")].map(|row| format!("Row({row:?})"));
        assert_eq!(found, expected, "{place}");
    }
}

#[test]
fn no_keys_and_no_rows_are_nothing_to_do() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let database = open(location, options()).database;
        assert_eq!(ask(&database, Query::by(&NOTE, "name", [])), [], "{place}");
        assert_eq!(ask(&database, Query::by_primary_keys(&NOTE_AND_TEXT, [])), [], "{place}");
        let done = wait(database.write(|tx| {
            let none = tx.rows(Query::by(&NOTE, "name", []).locked())?;
            tx.insert(&NOTE, Vec::new());
            tx.update(&NOTE, Vec::new());
            tx.upsert(&NOTE, Vec::new());
            tx.delete(&NOTE, Vec::new());
            Ok(none.len())
        }));
        assert_eq!(done, Ok(0), "{place}");
        let done = wait(database.write(|_| Ok(())));
        assert_eq!(done, Ok(()), "{place}: nothing at all");
    }
}

#[test]
fn a_text_with_a_nul_is_refused_alone() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let mut tallies = open(location, options());
        let (_, answers) = tallies.at_once(vec![add("a", 1), add("a\0b", 1), add("a", 1)]);
        assert_eq!((answers[0].clone(), answers[2].clone()), (Ok(Ok(1)), Ok(Ok(2))), "{place}");
        let refused = keep(&tallies.database, vec![vec!["a\0".into(), Value::Null, Value::Null]]);
        for refused in [answers[1].clone().map(drop), refused] {
            let Err(Refused::Failed(Failure::Corrupt(said))) = refused else { panic!("{place}: {refused:?}") };
            assert!(said.contains("NUL"), "{place}: {said}");
        }
        assert_eq!(value(&tallies.database, "a"), 2, "{place}");
    }
}

#[test]
fn nothing_is_no_key() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let database = open(location, options()).database;
        let refused = keep(&database, vec![vec![Value::Null, Value::Null, Value::Null]]);
        assert!(matches!(refused, Err(Refused::Failed(Failure::Corrupt(_)))), "{place}: {refused:?}");
    }
}

#[test]
fn a_row_that_is_given_twice_is_a_bug_that_harms_nobody() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let database = open(location, options()).database;
        let row = |number: i64| vec!["a".into(), Value::Null, number.into()];
        let twice = wait(database.write(move |tx| {
            tx.upsert(&NOTE, vec![row(1), row(2)]);
            Ok(())
        }));
        assert!(matches!(twice, Err(Refused::Failed(Failure::Panicked(_)))), "{place}: {twice:?}");
        assert_eq!(keep(&database, vec![row(3)]), Ok(()), "{place}: the next one finds no transaction open");
    }
}

#[test]
fn a_value_that_does_not_fit_its_statement_commits_nothing() {
    let (places, _folder) = everywhere();
    for (place, location) in places {
        let database = open(location, options()).database;
        // PostgreSQL's client refuses these itself, when the statements before them are sent already.
        for (sql, argument) in [
            ("DELETE FROM note WHERE number = CAST($1 AS INT) + no_such_column", Value::Int(i64::MAX)),
            ("DELETE FROM note WHERE number = CAST($1 AS INT) AND name = raise_no_error", Value::Int(i64::MAX)),
        ] {
            let failed = wait(database.write(move |tx| {
                tx.insert(&NOTE, vec![vec!["a".into(), Value::Null, Value::Null]]);
                tx.execute(sql, [argument]);
                Ok(())
            }));
            assert!(matches!(failed, Err(Refused::Failed(_))), "{place}: {failed:?}");
            assert_eq!(ask(&database, Query::sql("SELECT name FROM note", [])), [], "{place}");
        }
        if place == "postgres" {
            for argument in [Value::Int(i64::MAX), "text".into()] {
                let failed = wait(database.write(move |tx| {
                    tx.rows(Query::by(&TALLY, "name", []))?;
                    tx.insert(&NOTE, vec![vec!["a".into(), Value::Null, Value::Null]]);
                    tx.execute("DELETE FROM note WHERE number = CAST($1 AS INT)", [argument]);
                    Ok(())
                }));
                assert!(matches!(failed, Err(Refused::Failed(Failure::Database(_)))), "{failed:?}");
                assert_eq!(ask(&database, Query::sql("SELECT name FROM note", [])), [], "{place}");
            }
        }
        assert_eq!(keep(&database, vec![vec!["a".into(), Value::Null, Value::Null]]), Ok(()), "{place}");
    }
}

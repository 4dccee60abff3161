//! Everything that is kept of keys, and every statement about it.

use std::sync::Arc;

use db::{Failure, Query, Read, Row, Table, Tx, Value, int, text};
use ids::Number;
use world::Moment;

use crate::key::{Hash, Key};

static KEYS: Table = Table {
    name: "api_key",
    key: &[int("number")],
    rest: &[
        text("name"),
        text("owner"),
        text("scopes"),
        text("secret_hash"),
        int("created_at"),
        int("expires_at"),
        int("revoked_at"),
        int("last_used_at"),
    ],
};

static NAMES: Table = Table { name: "key_name", key: &[text("name")], rest: &[int("secrets")] };

/// A key and what its secret is compared with.
pub(crate) type Kept = (Key, Hash);

/// All keys, also those that are refused.
pub(crate) fn all(read: &mut Read<'_>) -> Result<Vec<Kept>, Failure> {
    let sql = format!("SELECT {} FROM api_key ORDER BY number", KEYS.columns());
    read.rows(Query::sql(sql, []))?.into_iter().map(kept).collect()
}

/// The keys of a name in the order in which they were made, locked.
pub(crate) fn of_name(tx: &mut Tx<'_>, name: &str) -> Result<Vec<Kept>, Failure> {
    let name = || [Value::from(name)];
    let [_locks, keys] =
        tx.ask([Query::by(&NAMES, "name", name()).locked(), Query::by(&KEYS, "name", name()).locked()])?;
    keys.into_iter().map(kept).collect()
}

/// Adds the first or a further key of a name. Two that add the first at once have a conflict.
pub(crate) fn add(tx: &mut Tx<'_>, key: &Key, hash: Hash, others: usize) {
    let count = Value::from(i64::try_from(others).unwrap_or(i64::MAX - 1) + 1);
    let name = vec![vec![Value::from(&*key.name), count]];
    if others == 0 {
        tx.insert(&NAMES, name);
    } else {
        tx.update(&NAMES, name);
    }
    tx.insert(&KEYS, vec![row(key, hash)]);
}

/// Writes how keys stand now.
pub(crate) fn update(tx: &mut Tx<'_>, keys: &[Kept]) {
    tx.update(&KEYS, keys.iter().map(|(key, hash)| row(key, *hash)).collect());
}

/// Notes when keys were last used, where that is later than what is known.
pub(crate) fn note_uses(tx: &mut Tx<'_>, uses: &[(Number, Moment)]) {
    for (number, at) in uses {
        let sql =
            "UPDATE api_key SET last_used_at = $2 WHERE number = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
        tx.execute(sql, [Value::from(*number), Value::from(*at)]);
    }
}

fn row(key: &Key, hash: Hash) -> Vec<Value> {
    let Key { number, name, owner, scopes, created_at, expires_at, revoked_at, last_used_at } = key;
    vec![
        (*number).into(),
        Value::from(&**name),
        Value::from(&**owner),
        scopes.to_string().into(),
        hash.to_column().into(),
        (*created_at).into(),
        (*expires_at).into(),
        (*revoked_at).into(),
        (*last_used_at).into(),
    ]
}

fn kept(row: Row) -> Result<Kept, Failure> {
    let mut row = row.columns();
    let number = row.number()?;
    let (name, owner) = (Arc::from(row.text()?), Arc::from(row.text()?));
    let scopes = row.parsed()?;
    let hash =
        Hash::from_column(&row.text()?).ok_or_else(|| Failure::Corrupt("the hash of a secret is none".into()))?;
    let key = Key {
        number,
        name,
        owner,
        scopes,
        created_at: row.moment()?,
        expires_at: row.maybe_moment()?,
        revoked_at: row.maybe_moment()?,
        last_used_at: row.maybe_moment()?,
    };
    Ok((key, hash))
}

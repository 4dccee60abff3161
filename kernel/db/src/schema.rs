//! What tables a database has, said the same way for both.

use crate::tx::Read;
use crate::{Failure, Query, Row};

/// Columns, then keys and indexes: `name`, what it belongs to, and what it is.
const SQLITE: [&str; 2] = [
    "SELECT t.name, c.name,
        CASE c.type WHEN 'INTEGER' THEN 'BIGINT' ELSE c.type END
        || CASE WHEN c.\"notnull\" OR c.pk THEN ' NOT NULL' ELSE '' END
        || coalesce(' DEFAULT ' || c.dflt_value, '')
     FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
     WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
    "SELECT t.name, 'PRIMARY KEY', group_concat(c.name, ', ' ORDER BY c.pk)
     FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
     WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND c.pk > 0 GROUP BY t.name
     UNION ALL
     SELECT t.name,
        CASE i.origin WHEN 'u' THEN 'UNIQUE' ELSE
            CASE i.\"unique\" WHEN 1 THEN 'UNIQUE INDEX ' ELSE 'INDEX ' END || i.name END
            || CASE i.partial WHEN 1 THEN ' (partial)' ELSE '' END,
        group_concat(coalesce(c.name, '(expression)')
            || CASE c.\"desc\" WHEN 1 THEN ' DESC' ELSE '' END, ', ' ORDER BY c.seqno)
     FROM sqlite_schema AS t, pragma_index_list(t.name) AS i, pragma_index_xinfo(i.name) AS c
     WHERE t.type = 'table' AND i.origin <> 'pk' AND c.key = 1 GROUP BY t.name, i.name",
];

const POSTGRES: [&str; 2] = [
    "SELECT t.relname::text, c.attname::text,
        CASE c.atttypid WHEN 'bigint'::regtype THEN 'BIGINT' WHEN 'text'::regtype THEN 'TEXT'
            ELSE format_type(c.atttypid, c.atttypmod) END
        || CASE WHEN o.collname <> 'C' THEN ' COLLATE ' || o.collname ELSE '' END
        || CASE WHEN c.attnotnull THEN ' NOT NULL' ELSE '' END
        || coalesce(' DEFAULT ' || split_part(pg_get_expr(d.adbin, d.adrelid), '::', 1), '')
     FROM pg_class AS t JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
        LEFT JOIN pg_collation AS o ON o.oid = c.attcollation
        LEFT JOIN pg_attrdef AS d ON d.adrelid = t.oid AND d.adnum = c.attnum
     WHERE t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace",
    "SELECT t.relname::text,
        CASE WHEN i.indisprimary THEN 'PRIMARY KEY' WHEN k.oid IS NOT NULL THEN 'UNIQUE'
            WHEN i.indisunique THEN 'UNIQUE INDEX ' || n.relname ELSE 'INDEX ' || n.relname END
            || CASE WHEN i.indpred IS NOT NULL THEN ' (partial)' ELSE '' END,
        string_agg(coalesce(c.attname::text, '(expression)')
            || CASE WHEN i.indoption[p.place - 1] & 1 = 1 THEN ' DESC' ELSE '' END, ', ' ORDER BY p.place)
     FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_class AS n ON n.oid = i.indexrelid
        LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype = 'u'
        CROSS JOIN LATERAL UNNEST(i.indkey::int2[]) WITH ORDINALITY AS p (number, place)
        LEFT JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum = p.number AND p.number > 0
     WHERE t.relnamespace = current_schema()::regnamespace
     GROUP BY t.relname, n.relname, i.indisprimary, i.indisunique, i.indpred IS NOT NULL, k.oid",
];

/// The tables of a service, a line for each column, key and index, in the order of the bytes.
///
/// Both databases say the same of the same tables, so a service whose migrations differ for the two
/// compares what came of them. `CHECK`s are not told: the databases do not keep them as written.
pub fn describe(read: &mut Read<'_>) -> Result<Vec<String>, Failure> {
    let [columns, keys] = if read.is_postgres() { POSTGRES } else { SQLITE };
    let [columns, keys] = read.ask([Query::sql(columns, []), Query::sql(keys, [])])?;
    let mut lines: Vec<String> = columns.into_iter().map(column).collect::<Result<_, _>>()?;
    for row in keys {
        lines.push(key(row)?);
    }
    lines.sort_unstable();
    Ok(lines)
}

fn column(row: Row) -> Result<String, Failure> {
    let mut row = row.columns();
    Ok(format!("{}.{} {}", row.text()?, row.text()?, row.text()?))
}

fn key(row: Row) -> Result<String, Failure> {
    let mut row = row.columns();
    Ok(format!("{} {} ({})", row.text()?, row.text()?, row.text()?))
}

//! PostgreSQL: a schema and a role for each service.
//!
//! The asynchronous client runs on a small runtime that the desk's own thread owns: the questions of
//! a trip are all sent before the first answer is awaited, and the core stays synchronous.
//!
//! ```text
//! trip 1   BEGIN · transaction id · SELECT … FOR UPDATE · …
//! trip 2   INSERT/UPDATE … · lock of positions · INSERT INTO event · COMMIT
//! ```
//!
//! An error inside a trip turns its COMMIT into a silent ROLLBACK, so every answer is looked at.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::outbox::EVENT;
use crate::session::Commit;
use crate::table::{Kind, Query, Write, many};
use crate::{Failure, Row, Value};

/// A connection to one service's schema.
pub(crate) struct Postgres {
    runtime: OwnRuntime,
    config: Config,
    connected: Option<Connected>,
    /// What has to be sent in front of the next trip.
    to_begin: Option<&'static str>,
    /// The id of the transaction that is open, once the database has given one.
    transaction: Option<String>,
}

/// A runtime that may be let go anywhere, also where another runtime is at work.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("the runtime is there until it is dropped").block_on(future)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct Connected {
    client: Client,
    statements: BTreeMap<String, Statement>,
}

/// No trip of ours takes longer; beyond it the connection counts as broken.
const LONGEST_TRIP: Duration = Duration::from_secs(15);
/// How long a broken commit is asked after.
const LONGEST_INQUIRY: Duration = Duration::from_secs(5);
/// Positions are given under this advisory lock, one for each schema.
const POSITIONS_LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('positions of ' || current_schema(), 0))";

/// What every connection is opened with. A plan made while a table was empty, or planned anew for
/// each small batch, costs up to ten times the statement (`docs/decisions/0003-the-desk.md`).
const OPTIONS: &[(&str, &str)] = &[
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read\\ committed"),
    ("statement_timeout", "10s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

impl Postgres {
    /// A connection that is opened when it is first needed, and again after it broke.
    pub(crate) fn new(url: &str, service: &str) -> Result<Self, Failure> {
        let mut config = config(url)?;
        let mut options = format!("-c role={} -c search_path={service}", role(service));
        for (name, value) in OPTIONS {
            options.push_str(&format!(" -c {name}={value}"));
        }
        config.options(&options).application_name(format!("banyan {service}"));
        Self::with(config)
    }

    /// A connection as the user of the URL, for what only the owner of the database may do.
    pub(crate) fn administrator(url: &str) -> Result<Self, Failure> {
        Self::with(config(url)?)
    }

    fn with(config: Config) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Unavailable(error.to_string()))?;
        Ok(Self { runtime: OwnRuntime(Some(runtime)), config, connected: None, to_begin: None, transaction: None })
    }

    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        self.open("BEGIN")
    }

    pub(crate) fn begin_reading(&mut self) -> Result<(), Failure> {
        self.open("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    fn open(&mut self, statement: &'static str) -> Result<(), Failure> {
        self.connect()?;
        self.transaction = None;
        self.to_begin = Some(statement);
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Failure> {
        if self.connected.as_ref().is_some_and(|connected| !connected.client.is_closed()) {
            return Ok(());
        }
        self.connected = None;
        let config = &self.config;
        let client = self.runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            drop(start(connection));
            Ok::<_, tokio_postgres::Error>(client)
        });
        let client = client.map_err(|error| Failure::Unavailable(explain(&error)))?;
        self.connected = Some(Connected { client, statements: BTreeMap::new() });
        Ok(())
    }

    pub(crate) fn ask(&mut self, queries: &[Query]) -> Result<Vec<Vec<Row>>, Failure> {
        let statements: Vec<(String, Vec<Argument<'_>>)> = queries.iter().map(question).collect();
        let answers = self.trip(&statements, None)?;
        answers.iter().map(|rows| rows.iter().map(read).collect()).collect()
    }

    pub(crate) fn commit(&mut self, writes: &[Write], events: &[Vec<Value>]) -> Commit {
        let mut statements: Vec<(String, Vec<Argument<'_>>)> = writes.iter().map(change).collect();
        if !events.is_empty() {
            statements.push((POSITIONS_LOCK.to_owned(), Vec::new()));
            statements.push((insert_events(), arrays(&EVENT.rest.iter().collect::<Vec<_>>(), events)));
        }
        match self.trip(&statements, Some("COMMIT")) {
            Ok(_) if events.is_empty() => Commit::Done { first: Some(0) },
            Ok(answers) => Commit::Done { first: first_position(&answers) },
            Err(Failure::Unavailable(cause)) => self.inquire(&cause),
            Err(failure) => {
                // The COMMIT that followed the error has rolled everything back.
                Commit::Failed(failure)
            }
        }
    }

    pub(crate) fn rollback(&mut self) {
        if self.to_begin.take().is_some() {
            return; // nothing has been sent yet
        }
        let Some(connected) = &self.connected else { return };
        let ended = self.runtime.block_on(limited(connected.client.batch_execute("ROLLBACK")));
        if ended.is_err() {
            self.connected = None;
        }
    }

    pub(crate) fn write_now(&mut self, write: &Write) -> Result<(), Failure> {
        self.trip(&[change(write)], None).map(drop)
    }

    /// Runs statements that are not changes of rows: migrations.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Failure> {
        self.connect()?;
        let begin = self.to_begin.take().unwrap_or("");
        let Some(connected) = &self.connected else { return Err(closed()) };
        let script = format!("{begin};{sql}");
        self.runtime.block_on(limited(connected.client.batch_execute(&script)))
    }

    /// Sends all statements, then looks at every answer; the first error is the one that counts.
    fn trip(
        &mut self,
        statements: &[(String, Vec<Argument<'_>>)],
        last: Option<&'static str>,
    ) -> Result<Vec<Vec<tokio_postgres::Row>>, Failure> {
        let begin = self.to_begin.take();
        let writes = begin == Some("BEGIN");
        let Some(connected) = &mut self.connected else { return Err(closed()) };
        let trip = connected.trip(begin, writes, statements, last);
        let done = self.runtime.block_on(async {
            match tokio::time::timeout(LONGEST_TRIP, trip).await {
                Ok(done) => done,
                Err(_) => Err((Failure::Unavailable("no answer in time".into()), None)),
            }
        });
        match done {
            Ok((transaction, answers)) => {
                self.transaction = transaction.or(self.transaction.take());
                Ok(answers)
            }
            Err((failure, transaction)) => {
                self.transaction = transaction.or(self.transaction.take());
                if matches!(failure, Failure::Unavailable(_)) {
                    self.connected = None;
                }
                Err(failure)
            }
        }
    }

    /// Asks the database how the transaction ended whose commit got no answer.
    fn inquire(&mut self, cause: &str) -> Commit {
        let Some(transaction) = self.transaction.take() else {
            // No id was ever given back, so the connection broke before anything was written; but a
            // COMMIT may have travelled in the same trip.
            return Commit::Unknown;
        };
        let mut waited = Duration::ZERO;
        while waited < LONGEST_INQUIRY {
            match self.status_of(&transaction) {
                Ok(Some(status)) if status == "committed" => return Commit::Done { first: None },
                Ok(Some(status)) if status == "aborted" => {
                    return Commit::Failed(Failure::Unavailable(format!("{cause}; it was rolled back")));
                }
                Ok(None) => return Commit::Unknown,
                Ok(Some(_)) | Err(_) => {}
            }
            let pause = Duration::from_millis(100);
            self.runtime.block_on(tokio::time::sleep(pause));
            waited += pause;
        }
        Commit::Unknown
    }

    fn status_of(&mut self, transaction: &str) -> Result<Option<String>, Failure> {
        self.connect()?;
        let Some(connected) = &self.connected else { return Err(closed()) };
        let arguments: [&(dyn ToSql + Sync); 1] = [&transaction];
        let asked = connected.client.query_one("SELECT pg_xact_status($1::text::xid8)", &arguments);
        self.runtime.block_on(limited(asked)).and_then(|row| row.try_get(0).map_err(|error| failure(&error)))
    }
}

/// The role under which a service works.
pub(crate) fn role(service: &str) -> String {
    format!("banyan_{service}")
}

fn config(url: &str) -> Result<Config, Failure> {
    let mut config: Config =
        url.parse().map_err(|error| Failure::Unavailable(format!("the database URL cannot be read: {error}")))?;
    config
        .connect_timeout(Duration::from_secs(3))
        .keepalives_idle(Duration::from_secs(10))
        .tcp_user_timeout(LONGEST_TRIP);
    Ok(config)
}

#[expect(clippy::disallowed_methods, reason = "the connection is driven on the runtime that this thread owns")]
fn start(
    connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(
                error = explain(&error),
                "The connection to PostgreSQL broke; the next request opens another"
            );
        }
    })
}

type Asked<'a> = Pin<Box<dyn Future<Output = Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>> + 'a>>;

/// What a trip brought back: the transaction's id if it was asked for, and the rows.
type Brought = (Option<String>, Vec<Vec<tokio_postgres::Row>>);

impl Connected {
    async fn trip(
        &mut self,
        begin: Option<&'static str>,
        writes: bool,
        statements: &[(String, Vec<Argument<'_>>)],
        last: Option<&'static str>,
    ) -> Result<Brought, (Failure, Option<String>)> {
        const TRANSACTION: &str = "SELECT pg_current_xact_id()::text";
        let known = statements.iter().map(|(sql, _)| sql.as_str()).chain(writes.then_some(TRANSACTION));
        self.prepare(known).await.map_err(|error| (failure(&error), None))?;
        let client = &self.client;
        let arguments: Vec<Vec<&(dyn ToSql + Sync)>> = statements
            .iter()
            .map(|(_, arguments)| arguments.iter().map(|argument| argument as &(dyn ToSql + Sync)).collect())
            .collect();
        let mut trip: Vec<Asked<'_>> = Vec::with_capacity(statements.len() + 3);
        let simple = |statement: &'static str| -> Asked<'_> {
            Box::pin(async move { client.batch_execute(statement).await.map(|()| Vec::new()) })
        };
        trip.extend(begin.map(simple));
        if writes {
            trip.push(Box::pin(client.query(&self.statements[TRANSACTION], &[])));
        }
        for ((sql, _), arguments) in statements.iter().zip(&arguments) {
            trip.push(Box::pin(client.query(&self.statements[sql], arguments)));
        }
        trip.extend(last.map(simple));

        let mut answers = in_order(trip).await.into_iter();
        let begun = begin.and_then(|_| answers.next());
        let mut first_error = begun.and_then(Result::err);
        let mut transaction = None;
        if writes {
            match answers.next() {
                Some(Ok(rows)) => transaction = rows.first().and_then(|row| row.try_get::<_, String>(0).ok()),
                Some(Err(error)) => first_error = first_error.or(Some(error)),
                None => {}
            }
        }
        let mut all = Vec::with_capacity(statements.len());
        for answer in answers {
            match answer {
                Ok(rows) => all.push(rows),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            None => Ok((transaction, all)),
            Some(error) => Err((failure(&error), transaction)),
        }
    }

    async fn prepare(&mut self, statements: impl Iterator<Item = &str>) -> Result<(), tokio_postgres::Error> {
        for sql in statements {
            if !self.statements.contains_key(sql) {
                let statement = self.client.prepare(sql).await?;
                self.statements.insert(sql.to_owned(), statement);
            }
        }
        Ok(())
    }
}

/// Sends all in their order, which the first poll of each does, then awaits all.
async fn in_order<'a, T: 'a>(futures: Vec<Pin<Box<dyn Future<Output = T> + 'a>>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(Some).collect();
    let mut answers: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut all = true;
        for (future, answer) in waiting.iter_mut().zip(&mut answers) {
            if let Some(running) = future {
                match running.as_mut().poll(context) {
                    Poll::Ready(value) => {
                        *answer = Some(value);
                        *future = None;
                    }
                    Poll::Pending => all = false,
                }
            }
        }
        if all { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

async fn limited<T>(asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(LONGEST_TRIP, asked).await {
        Ok(answer) => answer.map_err(|error| failure(&error)),
        Err(_) => Err(Failure::Unavailable("no answer in time".into())),
    }
}

/// An argument of a statement: a value, or a column of values as an array.
#[derive(Debug)]
enum Argument<'a> {
    One(&'a Value),
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<&'a str>>),
}

fn question(query: &Query) -> (String, Vec<Argument<'_>>) {
    match query {
        Query::Sql { sql, values } => (sql.to_string(), values.iter().map(Argument::One).collect()),
        Query::ByKeys { table, column, keys, locked } => {
            let kind = table.column(column).kind;
            (many::select(table, column, *locked), vec![array(kind, keys.iter())])
        }
    }
}

fn change(write: &Write) -> (String, Vec<Argument<'_>>) {
    let sql = many::change(write);
    let arguments = match write {
        Write::Insert(table, rows) | Write::Update(table, rows) | Write::Upsert(table, rows) => {
            arrays(&table.all().collect::<Vec<_>>(), rows)
        }
        Write::Delete(table, keys) => arrays(&table.key.iter().collect::<Vec<_>>(), keys),
        Write::Sql(_, values) => values.iter().map(Argument::One).collect(),
    };
    (sql, arguments)
}

fn arrays<'a>(columns: &[&crate::Column], rows: &'a [Vec<Value>]) -> Vec<Argument<'a>> {
    let one = |(place, column): (usize, &&crate::Column)| array(column.kind, rows.iter().map(move |row| &row[place]));
    columns.iter().enumerate().map(one).collect()
}

fn array<'a>(kind: Kind, values: impl Iterator<Item = &'a Value>) -> Argument<'a> {
    match kind {
        Kind::Int => Argument::Ints(
            values
                .map(|value| match value {
                    Value::Int(value) => Some(*value),
                    _ => None,
                })
                .collect(),
        ),
        Kind::Text => Argument::Texts(
            values
                .map(|value| match value {
                    Value::Text(value) => Some(value.as_str()),
                    _ => None,
                })
                .collect(),
        ),
    }
}

impl ToSql for Argument<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::One(Value::Null) => Ok(IsNull::Yes),
            Self::One(Value::Int(value)) if *ty == Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
            Self::One(Value::Int(value)) => value.to_sql(ty, out),
            Self::One(Value::Text(value)) => value.to_sql(ty, out),
            Self::Ints(values) => values.to_sql(ty, out),
            Self::Texts(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true // each kind is checked by the statement's own casts
    }

    to_sql_checked!();
}

/// Numbers the events after the newest one. The lock was taken by a statement before this one, so
/// this one sees all that earlier holders of it have committed.
fn insert_events() -> String {
    let columns: Vec<_> = EVENT.rest.iter().collect();
    let names = columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    let arrays = columns.iter().enumerate().map(|(place, column)| format!("${}::{}", place + 1, column.kind.array()));
    let arrays = arrays.collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO event (position, {names})
         SELECT newest.position + new.place, {}
         FROM (SELECT coalesce(max(position), 0) AS position FROM event) AS newest,
              UNNEST({arrays}) WITH ORDINALITY AS new ({names}, place)
         RETURNING position",
        columns.iter().map(|column| format!("new.{}", column.name)).collect::<Vec<_>>().join(", ")
    )
}

/// The position of the first event, from the rows of the last statement. The commit has happened
/// when this is read, so what cannot be read is only not known here.
fn first_position(answers: &[Vec<tokio_postgres::Row>]) -> Option<i64> {
    let written = answers.iter().rev().find(|rows| !rows.is_empty())?;
    written.iter().map(|row| row.try_get::<_, i64>(0).ok()).min().flatten()
}

fn read(row: &tokio_postgres::Row) -> Result<Row, Failure> {
    let one = |place: usize| {
        let value = match row.columns()[place].type_() {
            &Type::INT8 => row.try_get::<_, Option<i64>>(place).map(Value::from),
            &Type::INT4 => row.try_get::<_, Option<i32>>(place).map(|value| Value::from(value.map(i64::from))),
            &Type::BOOL => row.try_get::<_, Option<bool>>(place).map(|value| Value::from(value.map(i64::from))),
            &Type::NUMERIC => {
                return Err(Failure::Corrupt(format!("column {place} is numeric; cast the sum to bigint")));
            }
            _ => row.try_get::<_, Option<String>>(place).map(Value::from),
        };
        value.map_err(|error| failure(&error))
    };
    (0..row.len()).map(one).collect::<Result<_, _>>().map(Row)
}

fn closed() -> Failure {
    Failure::Unavailable("the connection is closed".into())
}

/// The error with its causes, in one line.
fn explain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn failure(error: &tokio_postgres::Error) -> Failure {
    let text = explain(error);
    let Some(code) = error.code() else {
        // Without an answer of the server it is the connection.
        return if error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>()) {
            Failure::Unavailable(text)
        } else {
            Failure::Database(text)
        };
    };
    match *code {
        SqlState::UNIQUE_VIOLATION | SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => {
            Failure::Conflict(text)
        }
        SqlState::CHECK_VIOLATION | SqlState::NOT_NULL_VIOLATION | SqlState::FOREIGN_KEY_VIOLATION => {
            Failure::Corrupt(text)
        }
        SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => Failure::TimedOut(text),
        SqlState::DISK_FULL => Failure::DiskFull(text),
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        | SqlState::TOO_MANY_CONNECTIONS => Failure::Unavailable(text),
        _ => Failure::Database(text),
    }
}

/// Makes the schema and the role of a service where they are missing, and refuses a server that
/// would lose what it has confirmed.
pub(crate) fn make_schema(url: &str, service: &str, allow_fsync_off: bool) -> Result<(), Failure> {
    let mut admin = Postgres::administrator(url)?;
    admin.connect()?;
    let Some(connected) = &admin.connected else { return Err(closed()) };
    let client = &connected.client;
    admin.runtime.block_on(limited(async {
        let fsync: String = client.query_one("SELECT current_setting('fsync')", &[]).await?.try_get(0)?;
        if fsync == "off" && !allow_fsync_off {
            return Ok(Err(Failure::Database(
                "PostgreSQL runs with fsync=off and would lose confirmed orders in a power cut; set fsync=on".into(),
            )));
        }
        let role = role(service);
        // Roles belong to the whole cluster, so two databases may make the same one at once.
        let make_role = format!(
            "DO $$ BEGIN
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;"
        );
        client.batch_execute(&make_role).await?;
        let may = "SELECT pg_has_role(current_user, $1, 'MEMBER')";
        if !client.query_one(may, &[&role]).await?.try_get::<_, bool>(0)? {
            client.batch_execute(&format!("GRANT {role} TO CURRENT_USER")).await?;
        }
        // Under a lock, for IF NOT EXISTS alone does not keep two processes from colliding.
        client
            .batch_execute(&format!(
                "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('schema {service}', 0));
                 CREATE SCHEMA IF NOT EXISTS {service} AUTHORIZATION {role}; COMMIT"
            ))
            .await?;
        Ok(Ok(()))
    }))?
}

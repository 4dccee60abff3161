//! `PostgreSQL`: a schema and a role for each service.
//!
//! The asynchronous client runs on a small runtime that the desk's own thread owns: the questions of
//! a trip are all sent before the first answer is awaited, and the core stays synchronous.
//!
//! ```text
//! trip 1   BEGIN · transaction id · SELECT … FOR UPDATE · …
//! trip 2   INSERT/UPDATE … · lock of positions · INSERT INTO event · COMMIT
//! ```
//!
//! **Invariant:** COMMIT is sent only behind statements that have all been sent. An error that the
//! server finds turns it into a silent ROLLBACK, so every answer is looked at; an error that the
//! client finds would not, so then nothing more is sent (`in_order`).
//!
//! **Invariant:** the id of a transaction is known before its COMMIT is sent, so that a broken
//! commit can be asked after (`inquire`).

mod address;
mod errors;
mod server;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

pub(crate) use self::address::Address;
use self::errors::{closed, explain, failure, is_outdated};
pub(crate) use self::server::{make_schema, role};
use self::values::{Argument, Prepared, change, events, first_position, question, read};
use crate::meters::{count_flush, count_statements};
use crate::session::Commit;
use crate::table::{Query, Write};
use crate::{Failure, Row, Value};

/// A connection to one service's schema.
pub(crate) struct Postgres {
    runtime: OwnRuntime,
    address: Address,
    connected: Option<Connected>,
    /// What has to be sent in front of the next trip.
    to_begin: Option<Begin>,
    /// The transaction that is open, once the database has given it an id.
    transaction: Option<Transaction>,
}

/// How a transaction begins.
#[derive(Clone)]
struct Begin {
    statement: Cow<'static, str>,
    /// Whether it may write, and so needs an id.
    writes: bool,
}

/// What a broken commit is asked after by.
#[derive(Clone)]
struct Transaction {
    id: String,
    life: String,
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
    /// The life of the server: another after each crash.
    life: String,
}

/// Why a trip brought nothing back.
struct Lost {
    failure: Failure,
    /// Whether the same may work on a new connection.
    stale: bool,
}

/// No trip of ours takes longer; beyond it the connection counts as broken.
const LONGEST_TRIP: Duration = Duration::from_secs(15);
/// How long a connection to a host may take to open.
const LONGEST_CONNECT: Duration = Duration::from_secs(4);
/// How long a broken commit is asked after.
const LONGEST_INQUIRY: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const MOST_STATEMENTS: usize = 512;
/// Positions are given under this advisory lock, one for each schema. Who holds it commits in the
/// same trip and waits for nobody but the disk, so it is worth more patience than a row.
const POSITIONS_LOCK: &str = "SELECT set_config('lock_timeout', '9s', true), \
     pg_advisory_xact_lock(hashtextextended('positions of ' || current_schema(), 0))";
/// After a crash of the server the ids of transactions that had not reached its log are given out
/// again; its counters begin anew then, and tell of the crash.
const LIFE: &str = "SELECT coalesce(stats_reset, pg_postmaster_start_time())::text FROM pg_stat_bgwriter";

/// What every connection is opened with. A plan made while a table was empty, or planned anew for
/// each small batch, costs up to ten times the statement (`docs/decisions/0003-the-desk.md`).
/// Nobody of ours holds a row longer than a batch takes, so the time-out for locks is short; but it is
/// longer than the server waits before it looks for a deadlock, of which only one party should die.
const OPTIONS: &[(&str, &str)] = &[
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read\\ committed"),
    ("statement_timeout", "10s"),
    ("lock_timeout", "1500ms"),
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
        let mut address = address(url)?;
        let mut options = vec![format!("-c role={} -c search_path={service}", server::role(service))];
        options.extend(OPTIONS.iter().map(|(name, value)| format!("-c {name}={value}")));
        address.open_with(&options.join(" "), &format!("banyan {service}"));
        Self::with(address)
    }

    /// A connection as the user of the URL, for what only the owner of the database may do.
    pub(crate) fn administrator(url: &str) -> Result<Self, Failure> {
        Self::with(address(url)?)
    }

    fn with(address: Address) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Unavailable(error.to_string()))?;
        Ok(Self { runtime: OwnRuntime(Some(runtime)), address, connected: None, to_begin: None, transaction: None })
    }

    /// Begins a transaction that writes; `patience` is how long it waits for a locked row, where that
    /// is less than usual.
    pub(crate) fn begin(&mut self, patience: Option<Duration>) -> Result<(), Failure> {
        let statement = match patience {
            None => "BEGIN".into(),
            Some(patience) => format!("BEGIN; SET LOCAL lock_timeout = {}", patience.as_millis().max(1)).into(),
        };
        self.open(Begin { statement, writes: true })
    }

    pub(crate) fn begin_reading(&mut self) -> Result<(), Failure> {
        self.open(Begin { statement: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".into(), writes: false })
    }

    fn open(&mut self, begin: Begin) -> Result<(), Failure> {
        self.connect()?;
        self.transaction = None;
        self.to_begin = Some(begin);
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Failure> {
        if self.connected.as_ref().is_some_and(|connected| !connected.client.is_closed()) {
            return Ok(());
        }
        self.connected = None;
        self.connected = Some(self.runtime.block_on(Connected::open(&self.address))?);
        Ok(())
    }

    pub(crate) fn ask(&mut self, queries: &[Query]) -> Result<Vec<Vec<Row>>, Failure> {
        let statements: Vec<_> = queries.iter().filter(|query| !query.is_for_nothing()).map(question).collect();
        let mut answers = if statements.is_empty() { Vec::new() } else { self.trip(&statements)? }.into_iter();
        let mut rows = |query: &Query| {
            let rows = if query.is_for_nothing() { Vec::new() } else { answers.next().unwrap_or_default() };
            rows.iter().map(read).collect()
        };
        queries.iter().map(&mut rows).collect()
    }

    pub(crate) fn commit(&mut self, writes: &[Write], news: &[Vec<Value>]) -> Commit {
        if self.to_begin.is_some() {
            if writes.is_empty() && news.is_empty() {
                self.to_begin = None;
                return Commit::Done { first: Some(0), ticket: None };
            }
            // Nothing was read, so the transaction has no id yet, and needs one before its COMMIT.
            if let Err(failure) = self.trip(&[]) {
                return Commit::Failed(failure);
            }
        }
        let mut statements: Vec<_> = writes.iter().map(change).collect();
        if !news.is_empty() {
            statements.push((POSITIONS_LOCK.to_owned(), Vec::new()));
            statements.push(events(news));
        }
        match self.send(None, &statements, Some("COMMIT")) {
            Ok(_) if news.is_empty() => Commit::Done { first: Some(0), ticket: None },
            Ok(answers) => Commit::Done { first: first_position(&answers), ticket: None },
            Err(Lost { failure: Failure::Unavailable(cause), .. }) => self.inquire(&cause),
            Err(Lost { failure, .. }) => {
                // A COMMIT behind an error has rolled back; where none was sent this does it.
                self.rollback();
                Commit::Failed(failure)
            }
        }
    }

    pub(crate) fn rollback(&mut self) {
        if self.to_begin.take().is_some() {
            return; // nothing has been sent yet
        }
        let Some(connected) = &self.connected else { return };
        let ended = self.runtime.block_on(said(connected.client.batch_execute("ROLLBACK")));
        if ended.is_err() {
            self.connected = None;
        }
    }

    pub(crate) fn write_now(&mut self, write: &Write) -> Result<(), Failure> {
        self.trip(&[change(write)]).map(drop)
    }

    /// Runs statements that are not changes of rows: migrations, which may take their time.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), Failure> {
        self.connect()?;
        let begin = self.to_begin.take().map_or(Cow::Borrowed(""), |begin| begin.statement);
        let Some(connected) = &self.connected else { return Err(closed()) };
        let script = format!("{begin};{sql}");
        self.runtime.block_on(connected.client.batch_execute(&script)).map_err(|error| failure(&error))
    }

    /// Sends statements that are not the last ones. Where they are the first of their transaction and
    /// the connection turns out to be stale (the server was started anew, the tables have changed),
    /// nothing has happened, and they are sent again on a new one.
    fn trip(&mut self, statements: &[Prepared<'_>]) -> Result<Vec<Vec<tokio_postgres::Row>>, Failure> {
        let begin = self.to_begin.take();
        match self.send(begin.as_ref(), statements, None) {
            Err(Lost { stale: true, .. }) if begin.is_some() => {
                self.connected = None;
                self.connect()?;
                self.send(begin.as_ref(), statements, None).map_err(|lost| lost.failure)
            }
            sent => sent.map_err(|lost| lost.failure),
        }
    }

    /// Sends all statements, then looks at every answer; the first error is the one that counts.
    fn send(
        &mut self,
        begin: Option<&Begin>,
        statements: &[Prepared<'_>],
        last: Option<&'static str>,
    ) -> Result<Vec<Vec<tokio_postgres::Row>>, Lost> {
        let Some(connected) = &mut self.connected else { return Err(Lost { failure: closed(), stale: true }) };
        count_statements(statements.len() + usize::from(begin.is_some()) + usize::from(last.is_some()));
        if last.is_some() {
            count_flush();
        }
        let life = connected.life.clone();
        let trip = connected.trip(begin, statements, last);
        let silent = || Lost { failure: Failure::Unavailable("no answer in time".into()), stale: false };
        let done = self
            .runtime
            .block_on(async { tokio::time::timeout(LONGEST_TRIP, trip).await.unwrap_or_else(|_| Err(silent())) });
        match done {
            Ok((id, answers)) => {
                self.transaction = id.map(|id| Transaction { id, life }).or(self.transaction.take());
                Ok(answers)
            }
            Err(why) => {
                if why.stale || matches!(why.failure, Failure::Unavailable(_)) {
                    self.connected = None;
                }
                Err(why)
            }
        }
    }

    /// Asks the database how the transaction ended whose commit got no answer.
    fn inquire(&mut self, cause: &str) -> Commit {
        let Some(transaction) = self.transaction.take() else { return Commit::Unknown };
        let address = &self.address;
        let inquiry = async {
            loop {
                if let Ok(connected) = Connected::open(address).await
                    && let Some(fate) = connected.fate_of(&transaction).await
                {
                    return (fate, connected);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let answered = self.runtime.block_on(async { tokio::time::timeout(LONGEST_INQUIRY, inquiry).await });
        let Ok((fate, connected)) = answered else { return Commit::Unknown };
        self.connected = Some(connected);
        match fate {
            Fate::Committed => Commit::Done { first: None, ticket: None },
            Fate::RolledBack => Commit::Failed(Failure::Unavailable(format!("{cause}; it was rolled back"))),
            Fate::NotKnown => Commit::Unknown,
        }
    }
}

fn address(url: &str) -> Result<Address, Failure> {
    Address::read(url).map_err(|why| Failure::Unavailable(format!("the database URL cannot be used: {why}")))
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

/// How a transaction ended.
enum Fate {
    Committed,
    RolledBack,
    NotKnown,
}

impl Connected {
    async fn open(address: &Address) -> Result<Self, Failure> {
        let client = address.connect().await?;
        let life = async { client.query_one(LIFE, &[]).await?.try_get(0) };
        match tokio::time::timeout(LONGEST_CONNECT, life).await {
            Ok(Ok(life)) => Ok(Self { client, statements: BTreeMap::new(), life }),
            Ok(Err(error)) => Err(Failure::Unavailable(explain(&error))),
            Err(_) => Err(Failure::Unavailable("it does not answer".into())),
        }
    }

    /// How a transaction ended; none while that is still open, or if the answer does not come.
    async fn fate_of(&self, transaction: &Transaction) -> Option<Fate> {
        let arguments: [&(dyn ToSql + Sync); 1] = [&transaction.id];
        let asked = self.client.query_one("SELECT pg_xact_status($1::text::xid8)", &arguments).await;
        let status = asked.and_then(|row| row.try_get::<_, Option<String>>(0));
        let same_life = self.life == transaction.life;
        match status {
            Ok(Some(status)) if status == "aborted" => Some(Fate::RolledBack),
            Ok(Some(status)) if status == "committed" && same_life => Some(Fate::Committed),
            Ok(Some(_)) if same_life => None,
            // After a crash the id may have been given to another transaction, which committed.
            Ok(Some(status)) if status == "committed" => Some(Fate::NotKnown),
            // Or that one is under way; and ours, which did not survive the crash, is not.
            Ok(Some(_)) => Some(Fate::RolledBack),
            Ok(None) => Some(Fate::NotKnown),
            // The id lies in the future of the server: it lost the transaction in a crash.
            Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => Some(Fate::RolledBack),
            Err(_) => None,
        }
    }

    async fn trip(
        &mut self,
        begin: Option<&Begin>,
        statements: &[Prepared<'_>],
        last: Option<&'static str>,
    ) -> Result<Brought, Lost> {
        const TRANSACTION: &str = "SELECT pg_current_xact_id()::text";
        let lose = |error: &tokio_postgres::Error| {
            let failure = failure(error);
            Lost { stale: is_outdated(error) || matches!(failure, Failure::Unavailable(_)), failure }
        };
        let writes = begin.is_some_and(|begin| begin.writes);
        let known = statements.iter().map(|(sql, _)| sql.as_str()).chain(writes.then_some(TRANSACTION));
        self.prepare(known).await.map_err(|error| lose(&error))?;
        let client = &self.client;
        let arguments: Vec<Vec<&(dyn ToSql + Sync)>> = statements
            .iter()
            .map(|(_, arguments)| arguments.iter().map(|argument: &Argument<'_>| argument as _).collect())
            .collect();
        let mut trip: Vec<Asked<'_>> = Vec::with_capacity(statements.len() + 3);
        let simple = |statement| -> Asked<'_> {
            Box::pin(async move { client.batch_execute(statement).await.map(|()| Vec::new()) })
        };
        trip.extend(begin.map(|begin| simple(begin.statement.as_ref())));
        if writes {
            trip.push(Box::pin(client.query(&self.statements[TRANSACTION], &[])));
        }
        for ((sql, _), arguments) in statements.iter().zip(&arguments) {
            trip.push(Box::pin(client.query(&self.statements[sql], arguments)));
        }
        trip.extend(last.map(simple));

        let in_front = usize::from(begin.is_some());
        let mut answers = in_order(trip).await.map_err(|error| lose(&error))?;
        let mut rows: Vec<_> = answers.drain(in_front..).collect();
        let id = if writes { rows.remove(0).first().and_then(|row| row.try_get(0).ok()) } else { None };
        rows.truncate(statements.len());
        Ok((id, rows))
    }

    async fn prepare(&mut self, statements: impl Iterator<Item = &str>) -> Result<(), tokio_postgres::Error> {
        if self.statements.len() > MOST_STATEMENTS {
            self.statements.clear();
        }
        for sql in statements {
            if !self.statements.contains_key(sql) {
                let statement = self.client.prepare(sql).await?;
                self.statements.insert(sql.to_owned(), statement);
            }
        }
        Ok(())
    }
}

/// Sends all in their order, which the first poll of each does, then awaits all; the first error is
/// the one that counts.
///
/// What fails at its first poll was never sent: an argument does not fit its statement. The rest is
/// then not sent either, least of all a COMMIT.
async fn in_order(futures: Vec<Asked<'_>>) -> Result<Vec<Vec<tokio_postgres::Row>>, tokio_postgres::Error> {
    let mut waiting: Vec<_> = futures.into_iter().map(Some).collect();
    let mut answers: Vec<_> = waiting.iter().map(|_| None).collect();
    let (mut sending, mut sent) = (true, waiting.len());
    poll_fn(|context| {
        for place in 0..waiting.len() {
            if place >= sent {
                break;
            }
            let Some(running) = &mut waiting[place] else { continue };
            if let Poll::Ready(answer) = running.as_mut().poll(context) {
                if sending && answer.is_err() {
                    sent = place + 1;
                }
                (waiting[place], answers[place]) = (None, Some(answer));
            }
        }
        sending = false;
        if waiting[..sent].iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// Waits for an answer, but not for ever.
async fn limited<T>(asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let silent = || Err(Failure::Unavailable("no answer in time".into()));
    tokio::time::timeout(LONGEST_TRIP, asked).await.unwrap_or_else(|_| silent())
}

async fn said<T>(asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
    limited(async { asked.await.map_err(|error| failure(&error)) }).await
}

//! A transaction as a service sees it: reads first, then changes that wait for the commit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ids::Number;
use telemetry::otlp::{self, Kind, Span};
use world::{Moment, World};

use crate::flush::Ticket;
use crate::outbox::{BODY_LIMIT_BYTES, Envelope, NewEvent, Position, events_after, events_of, events_where};
use crate::session::{Commit, Session};
use crate::table::{Query, Table, Write};
use crate::{Context, Failure, Row, Trace, Value};

/// Work that waits for a commit.
type AfterCommit = Box<dyn FnOnce() + Send>;

/// One transaction. Changes are collected and sent together at the end, so that a batch costs two
/// trips to the database: one to read, one to write.
///
/// **Invariant:** nothing is read after the first change, so no lock is taken after it either.
pub struct Tx<'s> {
    session: &'s mut Session,
    world: &'s World,
    now: Moment,
    writes: Vec<Write>,
    news: Vec<NewEvent>,
    after: Vec<AfterCommit>,
    along: Vec<Along>,
}

/// A question that travels with others.
enum Along {
    Waits(Query),
    Answered(Vec<Row>),
    Taken,
}

/// Questions that travel with others, until their answers are taken.
#[derive(Debug)]
pub struct AskedAlong<const N: usize> {
    first: usize,
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("now", &self.now).field("writes", &self.writes.len()).finish_non_exhaustive()
    }
}

/// How a transaction ended, with what is to be told after a commit.
pub(crate) enum Ended {
    Committed(Committed),
    Failed(Failure),
    Unknown,
}

/// What a commit leaves to do.
pub(crate) struct Committed {
    /// The events that were published. None where the database could only say later that the commit had
    /// happened.
    pub(crate) news: Option<Vec<Envelope>>,
    pub(crate) after: Vec<AfterCommit>,
    /// What has to be durable before anybody is told; none where it is already.
    pub(crate) ticket: Option<Ticket>,
    /// When the commit began, its changes being sent with it.
    pub(crate) since: Moment,
}

impl<'s> Tx<'s> {
    pub(crate) fn begin(
        session: &'s mut Session,
        world: &'s World,
        patience: Option<Duration>,
    ) -> Result<Self, Failure> {
        session.begin(patience)?;
        let now = world.now();
        Ok(Self { session, world, now, writes: Vec::new(), news: Vec::new(), after: Vec::new(), along: Vec::new() })
    }

    /// The service whose database this is.
    pub fn service(&self) -> &Arc<str> {
        &self.session.source().service
    }

    /// The time at which this transaction happens; it stands while the transaction lasts.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// A new number for a thing that this transaction makes.
    pub fn number(&self) -> Number {
        self.world.number()
    }

    /// The rows that answer a question.
    pub fn rows(&mut self, query: Query) -> Result<Vec<Row>, Failure> {
        self.ask([query]).map(|[rows]| rows)
    }

    /// The answers to several questions, which travel together. They are asked one after another.
    ///
    /// # Panics
    /// When something was changed before: what a transaction needs is read first.
    pub fn ask<const N: usize>(&mut self, queries: [Query; N]) -> Result<[Vec<Row>; N], Failure> {
        assert!(self.writes.is_empty(), "a transaction reads before it writes");
        let answers = self.trip(queries.into())?;
        Ok(answers.try_into().expect("as many answers as questions"))
    }

    /// Asks something that is needed later: it costs no trip of its own, but travels in front of the
    /// next questions.
    pub fn ask_along<const N: usize>(&mut self, queries: [Query; N]) -> AskedAlong<N> {
        let first = self.along.len();
        self.along.extend(queries.map(Along::Waits));
        AskedAlong { first }
    }

    /// The answers to what was asked along. Changes may have been noted since; none has been sent.
    ///
    /// # Panics
    /// When it was asked in another transaction.
    #[expect(clippy::needless_pass_by_value, reason = "answers are taken once")]
    pub fn answers<const N: usize>(&mut self, asked: AskedAlong<N>) -> Result<[Vec<Row>; N], Failure> {
        if matches!(self.along.get(asked.first), Some(Along::Waits(_))) {
            self.trip(Vec::new())?;
        }
        let mut answers = Vec::with_capacity(N);
        for along in &mut self.along[asked.first..asked.first + N] {
            let Along::Answered(rows) = std::mem::replace(along, Along::Taken) else {
                panic!("this was asked in another transaction");
            };
            answers.push(rows);
        }
        Ok(answers.try_into().expect("as many answers as questions"))
    }

    /// One trip: what was to go along, then these questions.
    fn trip(&mut self, queries: Vec<Query>) -> Result<Vec<Vec<Row>>, Failure> {
        let waiting: Vec<_> = (0..self.along.len()).filter(|at| matches!(self.along[*at], Along::Waits(_))).collect();
        if waiting.is_empty() {
            return self.session.ask(&queries);
        }
        let mut all = Vec::with_capacity(waiting.len() + queries.len());
        for place in &waiting {
            if let Along::Waits(query) = std::mem::replace(&mut self.along[*place], Along::Taken) {
                all.push(query);
            }
        }
        all.extend(queries);
        let mut answers = self.session.ask(&all)?.into_iter();
        for place in waiting {
            self.along[place] = Along::Answered(answers.next().unwrap_or_default());
        }
        Ok(answers.collect())
    }

    /// Adds rows; a key that exists already fails the transaction as a conflict.
    ///
    /// # Panics
    /// When a row is not whole, or two have the same key.
    pub fn insert(&mut self, table: &'static Table, rows: Vec<Vec<Value>>) {
        self.change(rows, table, |rows| Write::Insert(table, rows));
    }

    /// Replaces all other columns of the rows with these keys.
    ///
    /// # Panics
    /// When a row is not whole, or two have the same key.
    pub fn update(&mut self, table: &'static Table, rows: Vec<Vec<Value>>) {
        self.change(rows, table, |rows| Write::Update(table, rows));
    }

    /// Adds rows, or replaces the other columns where the key exists.
    ///
    /// # Panics
    /// When a row is not whole, or two have the same key.
    pub fn upsert(&mut self, table: &'static Table, rows: Vec<Vec<Value>>) {
        self.change(rows, table, |rows| Write::Upsert(table, rows));
    }

    /// Deletes the rows with these keys.
    ///
    /// # Panics
    /// When a key is not whole.
    pub fn delete(&mut self, table: &'static Table, mut keys: Vec<Vec<Value>>) {
        assert!(keys.iter().all(|key| key.len() == table.key.len()), "{}: a key is not whole", table.name);
        keys.sort_unstable();
        if !keys.is_empty() {
            self.writes.push(Write::Delete(table, keys));
        }
    }

    /// Any other change, in the SQL that both databases read.
    pub fn execute(&mut self, sql: &'static str, values: impl Into<Vec<Value>>) {
        self.writes.push(Write::Sql(sql.into(), values.into()));
    }

    /// Notes a change, its rows in the order of their keys: two transactions that make the same rows
    /// then wait for each other in one direction only.
    fn change(&mut self, mut rows: Vec<Vec<Value>>, table: &Table, write: impl FnOnce(Vec<Vec<Value>>) -> Write) {
        assert!(rows.iter().all(|row| row.len() == table.all().count()), "{}: a row is not whole", table.name);
        let key = table.key.len();
        rows.sort_unstable_by(|one, other| one[..key].cmp(&other[..key]));
        // One database would take the last, the other none.
        let twice = rows.windows(2).find(|pair| pair[0][..key] == pair[1][..key]);
        assert!(twice.is_none(), "{}: a row is given twice: {:?}", table.name, twice.map(|pair| &pair[0][..key]));
        if !rows.is_empty() {
            self.writes.push(write(rows));
        }
    }

    /// Says what happened to everybody who reads this service's events, if the transaction commits.
    pub fn publish(&mut self, event: NewEvent) {
        self.news.push(event);
    }

    /// Tells a collector of traces, once the commit stands, of a step that the service takes by itself
    /// because something has become due: the step of `by`, which follows from another.
    pub fn tell_step(&mut self, by: &Context, from: Trace) {
        if otlp::is_on() {
            let (service, step, cause) = (self.service().clone(), by.trace, by.causation.clone());
            let span = move || Span {
                name: cause.to_string(),
                kind: Kind::Internal,
                service: service.to_string(),
                has_failed: false,
                attributes: Vec::new(),
            };
            self.after_commit(move || step.tell(Some(from.span_id), Duration::ZERO, span));
        }
    }

    /// Runs something after the commit and never without it: a wake-up, a call to a provider.
    pub fn after_commit(&mut self, work: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(work));
    }

    pub(crate) fn changes_nothing(&self) -> bool {
        self.writes.is_empty() && self.news.is_empty() && self.after.is_empty()
    }

    pub(crate) fn commit(self) -> Ended {
        if let Some(event) = self.news.iter().find(|event| event.body.len() > BODY_LIMIT_BYTES) {
            let failure = Failure::Corrupt(format!("a {} of {} bytes", event.kind, event.body.len()));
            self.session.rollback();
            return Ended::Failed(failure);
        }
        let rows: Vec<_> = self.news.iter().map(|event| event.columns(self.now)).collect();
        let since = self.world.now();
        match self.session.commit(&self.writes, rows) {
            Commit::Done { first, ticket } => {
                let news = first.map(|first| self.session.source().committed(self.news, first, self.now));
                Ended::Committed(Committed { news, after: self.after, ticket, since })
            }
            Commit::Failed(failure) => Ended::Failed(failure),
            Commit::Unknown => Ended::Unknown,
        }
    }

    pub(crate) fn rollback(self) {
        self.session.rollback();
    }
}

/// A consistent view for reading; it changes nothing.
pub struct Read<'s> {
    session: &'s mut Session,
    now: Moment,
    /// The position of the newest event, once somebody has asked: many may ask in one view.
    newest: Option<Position>,
}

impl fmt::Debug for Read<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'s> Read<'s> {
    pub(crate) fn begin(session: &'s mut Session, world: &World) -> Result<Self, Failure> {
        session.begin_reading()?;
        Ok(Self { session, now: world.now(), newest: None })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.session.is_postgres()
    }

    pub(crate) fn end(self) {
        self.session.end_reading();
    }

    /// The time at which this view was opened.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// The rows that answer a question.
    pub fn rows(&mut self, query: Query) -> Result<Vec<Row>, Failure> {
        self.ask([query]).map(|[rows]| rows)
    }

    /// The answers to several questions, which travel together.
    ///
    /// # Panics
    /// Never: there are as many answers as questions.
    #[expect(clippy::needless_pass_by_value, reason = "callers make the questions in the call")]
    pub fn ask<const N: usize>(&mut self, queries: [Query; N]) -> Result<[Vec<Row>; N], Failure> {
        Ok(self.session.ask(&queries)?.try_into().expect("as many answers as questions"))
    }

    /// The events of this service after a position, in their order.
    pub fn events_after(&mut self, after: Position, limit: usize) -> Result<Vec<Envelope>, Failure> {
        let rows = self.rows(events_after(after, limit))?;
        self.envelopes(rows)
    }

    /// The position of the newest event, 0 when there is none, and the first so many of those after a position:
    /// in one trip.
    pub fn news_after(&mut self, after: Position, limit: usize) -> Result<(Position, Vec<Envelope>), Failure> {
        if let Some(newest) = self.newest.filter(|newest| *newest <= after) {
            return Ok((newest, Vec::new()));
        }
        let [newest, news] = self.ask([newest_event(), events_after(after, limit)])?;
        Ok((self.learn(newest)?, self.envelopes(news)?))
    }

    /// The first so many events for which a condition holds, in their order.
    pub fn events_where(
        &mut self,
        condition: &str,
        values: Vec<Value>,
        limit: usize,
    ) -> Result<Vec<Envelope>, Failure> {
        let rows = self.rows(events_where(condition, values, limit))?;
        self.envelopes(rows)
    }

    /// The events of one thing, in their order.
    pub fn events_of(&mut self, stream: Number) -> Result<Vec<Envelope>, Failure> {
        let rows = self.rows(events_of(stream))?;
        self.envelopes(rows)
    }

    /// The position of the newest event; 0 when there is none.
    pub fn newest_event(&mut self) -> Result<Position, Failure> {
        if let Some(newest) = self.newest {
            return Ok(newest);
        }
        let newest = self.rows(newest_event())?;
        self.learn(newest)
    }

    fn learn(&mut self, newest: Vec<Row>) -> Result<Position, Failure> {
        let newest = newest.into_iter().next().map_or(Ok(0), |row| row.columns().int())?;
        self.newest = Some(newest);
        Ok(newest)
    }

    fn envelopes(&self, rows: Vec<Row>) -> Result<Vec<Envelope>, Failure> {
        let source = self.session.source();
        rows.into_iter().map(|row| source.read(row)).collect()
    }
}

fn newest_event() -> Query {
    Query::sql("SELECT coalesce(max(position), 0) FROM event", [])
}

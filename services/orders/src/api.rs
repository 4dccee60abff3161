//! The requests that orders answers: place, read, cancel, list, tell the history.

mod openapi;
pub(crate) mod overview;
pub mod problem;

use std::pin::pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contracts::inventory::check_lines;
use contracts::orders::{OrderLine, Reason};
use db::{Database, Desk};
use events::Watch;
use ids::{Name, Number, Sku};
use money::{Currency, MAX_MINOR_UNITS, Money};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use web::{
    Body, Caller, Conditions, Cursor, ETag, Faults, IdempotencyKey, Listed, Problem, Query, Routes, Scope, Segment,
    Wait, contains_card_number, fingerprint,
};
use world::Moment;

use crate::domain::{Command, Order, Place, fold};
use crate::perform::{Answer, Told};
use crate::store::{self, Filter};

/// What handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(crate) desk: Desk<Command, Answer>,
    pub(crate) database: Database,
    pub(crate) watch: Watch,
}

/// All routes of orders.
pub(crate) fn routes(counter: Counter) -> Routes {
    Routes::about("Orders")
        .put("/v1/orders/{id}", Scope::OrdersWrite, place, openapi::place())
        .get("/v1/orders/{id}", Scope::OrdersRead, order, openapi::order())
        .get("/v1/orders/{id}/history", Scope::OrdersRead, history, openapi::history())
        .post("/v1/orders/{id}/cancel", Scope::OrdersWrite, cancel, openapi::cancel())
        .get("/v1/orders", Scope::OrdersRead, list, openapi::list())
        .with_schemas(openapi::schemas())
        .with_state(Arc::new(counter))
}

type Shared = State<Arc<Counter>>;

/// Most pieces in a line.
const MOST_PIECES: i64 = 1_000_000;
/// Most lines in an order.
const MOST_LINES: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOrder {
    #[serde(default)]
    lines: Vec<RawLine>,
    #[serde(default)]
    payment: Option<RawPayment>,
    #[serde(default)]
    customer: Value,
    #[serde(default)]
    reference: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine {
    #[serde(default)]
    sku: Value,
    #[serde(default)]
    quantity: Value,
    #[serde(default)]
    unit_price: Option<RawMoney>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMoney {
    #[serde(default)]
    amount: Value,
    #[serde(default)]
    currency: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPayment {
    #[serde(default)]
    method: Value,
}

fn check(order: Name, Body(raw, mut faults): Body<RawOrder>) -> Result<Place, Problem> {
    let lines = faults.each("/lines", &raw.lines, 1..=MOST_LINES, check_line);
    let lines = lines.filter(|lines| {
        let checked = check_lines(lines.iter().map(|line| &line.sku));
        faults.at("/lines").take(checked).is_some()
    });
    let method = match &raw.payment {
        Some(payment) => faults.within("/payment", |faults| token(faults, "/method", &payment.method)),
        None => faults.at("/payment").refuse("how it is paid is expected here, as {\"method\": …}"),
    };
    let customer = label(&mut faults, "/customer", &raw.customer);
    let reference = label(&mut faults, "/reference", &raw.reference);
    let total = lines.as_deref().and_then(|lines| check_total(&mut faults, lines));
    let place = faults.finish(|| {
        Some(Place {
            order,
            fingerprint: String::new(),
            lines: lines?,
            total: total?,
            method: method?,
            customer: customer?,
            reference: reference?,
        })
    })?;
    let lines: Vec<_> = place.lines.iter().map(|line| (&line.sku, line.quantity, line.unit_price)).collect();
    let fingerprint = fingerprint(&("order", lines, &place.method, &place.customer, &place.reference));
    Ok(Place { fingerprint, ..place })
}

fn check_line(faults: &mut Faults, line: &RawLine) -> Option<OrderLine> {
    let sku = faults.at("/sku").parse::<Sku>(&line.sku);
    let quantity = faults.at("/quantity").integer(&line.quantity, 1..=MOST_PIECES);
    let unit_price = match &line.unit_price {
        Some(price) => faults.within("/unit_price", |faults| check_price(faults, price)),
        None => {
            faults.at("/unit_price").refuse("a price is expected here, as {\"amount\": 1999, \"currency\": \"GBP\"}")
        }
    };
    Some(OrderLine { sku: sku?, quantity: quantity?, unit_price: unit_price? })
}

fn check_price(faults: &mut Faults, price: &RawMoney) -> Option<Money> {
    let amount = faults.at("/amount").integer(&price.amount, 0..=MAX_MINOR_UNITS);
    let currency = faults.at("/currency").parse::<Currency>(&price.currency);
    faults.at("").take(Money::new(amount?, currency?))
}

/// Adds the lines up: quantity times price in whole minor units, so that nothing is rounded.
fn check_total(faults: &mut Faults, lines: &[OrderLine]) -> Option<Money> {
    let currency = lines.first()?.unit_price.currency();
    if let Some(place) = lines.iter().position(|line| line.unit_price.currency() != currency) {
        let pointer = format!("/lines/{place}/unit_price/currency");
        return faults.at(&pointer).refuse("all lines of an order have one currency");
    }
    let mut sums = Vec::with_capacity(lines.len());
    for (place, line) in lines.iter().enumerate() {
        let pointer = format!("/lines/{place}");
        sums.push(faults.at(&pointer).take(line.unit_price.checked_mul(line.quantity))?);
    }
    let total = faults.at("/lines").take(Money::total(currency, sums))?;
    if total.amount() == 0 {
        return faults.at("/lines").refuse("an order costs something");
    }
    Some(total)
}

/// A token for how something is paid; a card number is refused and never kept.
fn token(faults: &mut Faults, pointer: &str, value: &Value) -> Option<String> {
    let text = faults.at(pointer).text(value, 1..=100)?;
    no_card_number(faults, pointer, text)
}

/// A name of the caller's for something of theirs.
#[expect(clippy::option_option, reason = "none within is a label not given, none without is one refused")]
fn label(faults: &mut Faults, pointer: &str, value: &Value) -> Option<Option<String>> {
    match faults.at(pointer).text_if_given(value, 1..=200)? {
        Some(text) => no_card_number(faults, pointer, text).map(Some),
        None => Some(None),
    }
}

fn no_card_number(faults: &mut Faults, pointer: &str, text: String) -> Option<String> {
    if contains_card_number(&text) {
        return faults
            .at(pointer)
            .refuse("this looks like a card number; send the token that the payment provider gave for it");
    }
    Some(text)
}

/// An order as it is answered.
#[derive(Debug, Serialize)]
struct OrderDocument {
    id: Name,
    /// Whose name that is; said where the orders of others are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    total: Money,
    lines: Vec<OrderLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    payment: Part,
    reservation: Part,
    placed_at: Moment,
    updated_at: Moment,
}

#[derive(Debug, Serialize)]
struct Part {
    id: Name,
    status: &'static str,
}

impl From<Order> for OrderDocument {
    fn from(order: Order) -> Self {
        Self {
            id: order.name,
            owner: None,
            status: order.status.as_str(),
            step: order.status.step().map(crate::domain::Step::as_str),
            reason: order.reason,
            total: order.total,
            lines: order.lines,
            customer: order.customer,
            reference: order.reference,
            payment: Part { id: order.payment, status: order.payment_status.as_str() },
            reservation: Part { id: order.reservation, status: order.reservation_status.as_str() },
            placed_at: order.placed_at,
            updated_at: order.updated_at,
        }
    }
}

async fn place(
    State(counter): Shared,
    caller: Caller,
    wait: Wait,
    Segment(id): Segment<Name>,
    body: Body<RawOrder>,
) -> Result<Response, Problem> {
    let place = check(id, body)?;
    let told = with_wait(&counter, &caller, wait, Command::Place(Box::new(place))).await?;
    let status = match (told.is_new, told.order.status.has_ended()) {
        (true, true) => StatusCode::CREATED,
        (true, false) => StatusCode::ACCEPTED,
        (false, _) => StatusCode::OK,
    };
    Ok((status, Json(OrderDocument::from(*told.order))).into_response())
}

/// Asks for something, and waits for the end of the order's story as long as the caller prefers.
async fn with_wait(counter: &Counter, caller: &Caller, wait: Wait, command: Command) -> Result<Told, Problem> {
    let name = match &command {
        Command::Place(place) => place.order.clone(),
        Command::Cancel { order, .. } => order.clone(),
        Command::Hear { .. } | Command::Overdue { .. } => return Err(Problem::internal("only requests wait")),
    };
    let ended = wait.time().map(|_| counter.watch.ended(name.as_str()));
    let mut told = counter.desk.ask(caller.asks(command)).await??;
    if let Some(mut ended) = ended
        && !told.order.status.has_ended()
    {
        let mut over = pin!(wait.is_over());
        loop {
            let is_over = tokio::select! { _ = &mut ended => false, () = &mut over => true };
            // Another owner may have an order of this name: only our own one counts.
            ended = counter.watch.ended(name.as_str());
            told.order = Box::new(read(counter, caller, &name).await?);
            if is_over || told.order.status.has_ended() {
                break;
            }
        }
    }
    Ok(told)
}

async fn read(counter: &Counter, caller: &Caller, name: &Name) -> Result<Order, Problem> {
    let (owner, name) = (caller.context.owner.clone(), name.clone());
    let found = counter.database.read(move |read| store::find(read, &owner, &name)).await?;
    found.ok_or_else(|| Problem::new(&problem::UNKNOWN_ORDER))
}

async fn order(
    State(counter): Shared,
    caller: Caller,
    Segment(id): Segment<Name>,
    conditions: Conditions,
    mut query: Query,
) -> Result<Response, Problem> {
    let (at, owner) = (query.parse::<Moment>("at"), query.parse::<Name>("owner"));
    let (at, owner) = query.finish(|| Some((at?, owner?)))?;
    let caller = caller.in_the_name_of(owner)?;
    let order = match at {
        None => read(&counter, &caller, &id).await?,
        Some(at) => order_at(&counter, &caller, id, at).await?,
    };
    let tag = ETag::of_version(order.version);
    Ok(conditions.answer(tag, || Json(OrderDocument::from(order)).into_response()))
}

/// The order as it was at a time, from its events.
async fn order_at(counter: &Counter, caller: &Caller, name: Name, at: Moment) -> Result<Order, Problem> {
    let owner = caller.context.owner.clone();
    let found = counter.database.read(move |read| {
        let Some(order) = store::find(read, &owner, &name)? else { return Ok(None) };
        let events = store::history(read, order.number)?;
        let until = events.iter().take_while(|(envelope, _)| envelope.occurred_at <= at);
        Ok(fold(order.number, &owner, until.map(|(envelope, event)| (envelope.occurred_at, event))))
    });
    found
        .await?
        .ok_or_else(|| Problem::new(&problem::UNKNOWN_ORDER).detail("There was no order of this name at that time."))
}

/// One event of an order's history.
#[derive(Debug, Serialize)]
struct HistoryItem {
    id: String,
    r#type: String,
    occurred_at: Moment,
    actor: String,
    cause: String,
    data: Box<RawValue>,
}

async fn history(
    State(counter): Shared,
    caller: Caller,
    Segment(name): Segment<Name>,
    mut query: Query,
) -> Result<Response, Problem> {
    let owner = query.parse::<Name>("owner");
    let owner = caller.in_the_name_of(query.finish(|| owner)?)?.context.owner;
    let found = counter.database.read(move |read| match store::find(read, &owner, &name)? {
        Some(order) => store::history(read, order.number).map(Some),
        None => Ok(None),
    });
    let events = found.await?.ok_or_else(|| Problem::new(&problem::UNKNOWN_ORDER))?;
    let item = |(envelope, _): (db::Envelope, _)| {
        Ok(HistoryItem {
            id: envelope.id(),
            r#type: envelope.kind.to_string(),
            occurred_at: envelope.occurred_at,
            actor: envelope.by.actor.to_string(),
            cause: envelope.by.causation.to_string(),
            data: RawValue::from_string(envelope.body.to_string()).map_err(Problem::internal)?,
        })
    };
    let items: Vec<HistoryItem> = events.into_iter().map(item).collect::<Result<_, Problem>>()?;
    Ok(Json(Listed { items, next: None }).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCancellation {
    #[serde(default)]
    reason: Value,
}

async fn cancel(
    State(counter): Shared,
    caller: Caller,
    key: Option<IdempotencyKey>,
    wait: Wait,
    Segment(order): Segment<Name>,
    mut query: Query,
    Body(raw, mut faults): Body<RawCancellation>,
) -> Result<Response, Problem> {
    let owner = query.parse::<Name>("owner");
    let caller = caller.in_the_name_of(query.finish(|| owner)?)?;
    let reason = faults.at("/reason").text(&raw.reason, 1..=200);
    let reason = reason.and_then(|text| no_card_number(&mut faults, "/reason", text));
    let reason = faults.finish(|| reason)?;
    let key = key.map(|key| key.stands_for(&reason));
    let command = Command::Cancel { order, reason };
    if key.is_some() {
        // The stored answer is what the command came to; nothing later can be waited for.
        return web::ask(&counter.desk, caller.asks(command), key, |answer: Answer| Ok(cancelled(answer?))).await;
    }
    let (status, document) = cancelled(with_wait(&counter, &caller, wait, command).await?);
    Ok((status, Json(document)).into_response())
}

fn cancelled(told: Told) -> (StatusCode, OrderDocument) {
    let status = if told.order.status.has_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, OrderDocument::from(*told.order))
}

/// What stands for all owners.
const EVERYBODY: &str = "*";

/// The states that a list can be narrowed to.
const STATES: [&str; 4] = ["pending", "confirmed", "cancelled", "attention"];

async fn list(State(counter): Shared, caller: Caller, mut query: Query) -> Result<Response, Problem> {
    let status = match query.one("status") {
        Some(Some(status)) if !STATES.contains(&status.as_str()) => {
            query.refuse("status", format!("one of {} is expected", STATES.join(", ")))
        }
        other => other,
    };
    let customer = query.one("customer");
    let owner = match query.one("owner") {
        Some(Some(owner)) if owner == EVERYBODY => Some((true, None)),
        Some(Some(owner)) => match owner.parse::<Name>() {
            Ok(owner) => Some((true, Some(owner.as_str().into()))),
            Err(fault) => query.refuse("owner", format!("{fault}, or {EVERYBODY} for all")),
        },
        not_given => not_given.map(|_| (false, Some(caller.context.owner.clone()))),
    };
    let page = query.page();
    let built = query.finish(|| Some((owner?, Filter { status: status?, customer: customer? }, page?)))?;
    let ((is_named, owner), filter, page) = built;
    if is_named && !caller.is_admin && owner.as_ref() != Some(&caller.context.owner) {
        return Err(Problem::lacks(Scope::Admin));
    }
    let after = page.start::<Number>()?.unwrap_or(Number::from_column(0));
    let most = usize::from(page.limit);
    let listed = counter.database.read(move |read| store::list(read, owner.as_deref(), &filter, after, most));
    let (orders, are_more) = listed.await?;
    let next = orders.last().filter(|_| are_more).map(|last| Cursor::new(&last.number));
    let shown = |order: Order| {
        let owner = is_named.then(|| order.owner.clone());
        OrderDocument { owner, ..OrderDocument::from(order) }
    };
    let items: Vec<_> = orders.into_iter().map(shown).collect();
    Ok(Json(Listed { items, next }).into_response())
}

/// Whether an event of ours ends an order's story.
pub(crate) fn ends_a_story(event: &db::Envelope) -> bool {
    matches!(event.kind.as_ref(), "OrderConfirmed" | "OrderCancelled" | "OrderNeedsAttention")
}

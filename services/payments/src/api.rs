//! Requests that payments answers.
//!
//! ```text
//! GET  /v1/payments/{id}             the payment with its tries
//! POST /v1/payments/{id}/refund      a state to reach: what was taken is given back
//! POST /v1/payments/{id}/return      the browser is back from the bank's page
//! POST /v1/payments/webhooks/test    the provider tells something
//! ```
//!
//! **Invariant:** neither the browser nor a webhook is believed: both make payments ask the provider,
//! and only its answer changes something.

mod openapi;
pub mod problem;
pub mod test_provider;

use std::pin::pin;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use db::{Asked, Context, Database, Desk, Trace};
use events::Watch;
use ids::Name;
use money::Money;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;
use web::{Access, Body, Caller, Conditions, ETag, IdempotencyKey, Problem, Query, Routes, Scope, Segment, Wait};
use world::{Chance, Moment};

use crate::api::problem::UNKNOWN_PAYMENT;
use crate::domain::{Command, Payment, Status, Try, TryStatus};
use crate::perform::{Answer, On};
use crate::provider::test::Webhook;
use crate::store::{self, Account, Record};

/// What handlers work with.
#[derive(Clone)]
struct Counter {
    database: Database,
    desk: Desk<On, Answer>,
    watch: Watch,
}

/// The routes of payments.
pub(crate) fn routes(database: &Database, desk: &Desk<On, Answer>, watch: &Watch) -> Routes {
    Routes::about("Payments")
        .get("/v1/payments/{id}", Scope::OrdersRead, show, openapi::show())
        .post("/v1/payments/{id}/refund", Scope::OrdersWrite, refund, openapi::refund())
        .post("/v1/payments/{id}/return", Scope::OrdersWrite, come_back, openapi::come_back())
        // A provider has no key of ours; nothing that it says is believed.
        .post("/v1/payments/webhooks/test", Access::Everybody, take_webhook, openapi::take_webhook())
        .with_schemas(openapi::schemas())
        .with_state(Counter { database: database.clone(), desk: desk.clone(), watch: watch.clone() })
}

/// A payment as it is shown.
#[derive(Debug, Serialize)]
struct PaymentDocument {
    id: Name,
    order: Name,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    attempts: Vec<TryDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<NextAction>,
    created_at: Moment,
    updated_at: Moment,
}

/// A try at the provider as it is shown.
#[derive(Debug, Serialize)]
struct TryDocument {
    number: i64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    started_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Moment>,
}

/// What the customer has to do.
#[derive(Debug, Serialize)]
struct NextAction {
    r#type: &'static str,
    url: String,
}

impl From<Payment> for PaymentDocument {
    fn from(payment: Payment) -> Self {
        let action = payment.current().filter(|t| t.status == TryStatus::ActionRequired).and_then(|t| t.url.clone());
        let action = action.filter(|_| payment.status == Status::ActionRequired);
        let (amount, method) = payment.terms.clone().map(|terms| (terms.amount, terms.method)).unzip();
        Self {
            status: word(&payment),
            next_action: action.map(|url| NextAction { r#type: "redirect", url }),
            attempts: payment.tries.into_iter().map(TryDocument::from).collect(),
            id: payment.payment,
            order: payment.order,
            reason: payment.reason,
            amount,
            method,
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }
}

impl From<Try> for TryDocument {
    fn from(t: Try) -> Self {
        let status = match t.status {
            TryStatus::Asked => "pending",
            TryStatus::ActionRequired => "action_required",
            TryStatus::Unknown => "unknown",
            TryStatus::Voiding => "voiding",
            TryStatus::Authorized => "authorized",
            TryStatus::Captured => "captured",
            TryStatus::Declined => "declined",
            TryStatus::Abandoned => "voided",
            TryStatus::Refunded => "refunded",
        };
        Self { number: t.number, status, reason: t.reason, started_at: t.started_at, ended_at: t.ended_at }
    }
}

/// The word for a payment's status outside: what is under way is not yet so.
fn word(payment: &Payment) -> &'static str {
    match payment.status {
        Status::ActionRequired => "action_required",
        Status::Authorized | Status::Capturing => "authorized",
        Status::Captured | Status::Refunding => "captured",
        Status::CaptureFailed => "capture_failed",
        Status::Voiding if payment.tries.iter().any(|t| t.status == TryStatus::Authorized) => "authorized",
        Status::Authorizing | Status::Unknown | Status::Voiding => "pending",
        Status::Voided => "voided",
        Status::Declined => "declined",
        Status::Refunded => "refunded",
    }
}

/// Whoever asks, in the name of the owner whose payment it is.
fn of_owner(mut query: Query, caller: Caller) -> Result<Caller, Problem> {
    let owner = query.parse::<Name>("owner");
    caller.in_the_name_of(query.finish(|| owner)?)
}

async fn show(
    State(counter): State<Counter>,
    caller: Caller,
    Segment(id): Segment<Name>,
    conditions: Conditions,
    query: Query,
) -> Result<Response, Problem> {
    let caller = of_owner(query, caller)?;
    let record = counter.find(&Account::new(&caller.context.owner, &id)).await?;
    let tag = ETag::of_version(record.version);
    Ok(conditions.answer(tag, || Json(PaymentDocument::from(record.payment)).into_response()))
}

async fn refund(
    State(counter): State<Counter>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(id): Segment<Name>,
    wait: Wait,
    query: Query,
) -> Result<Response, Problem> {
    let caller = of_owner(query, caller)?;
    let is_done = |payment: &Payment| payment.status == Status::Refunded;
    counter.change(&caller, key, &id, Command::Refund, wait, is_done).await
}

async fn come_back(
    State(counter): State<Counter>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segment(id): Segment<Name>,
    wait: Wait,
    query: Query,
) -> Result<Response, Problem> {
    let caller = of_owner(query, caller)?;
    let is_done = |payment: &Payment| !payment.status.awaits_authorization();
    counter.change(&caller, key, &id, Command::Look { number: None }, wait, is_done).await
}

async fn take_webhook(
    State(counter): State<Counter>,
    caller: Caller,
    Body(webhook, faults): Body<Webhook>,
) -> Result<StatusCode, Problem> {
    faults.finish(|| Some(()))?;
    // Whoever tells something may be a stranger, who is not told whether there is such a payment.
    drop(counter.desk.ask(caller.asks(heard(&webhook))).await?);
    Ok(StatusCode::NO_CONTENT)
}

/// What a webhook asks for: a look at its try, whatever it says happened.
fn heard(webhook: &Webhook) -> On {
    On { account: Account::of(&webhook.key), command: Command::Look { number: Some(webhook.key.number()) } }
}

/// Takes in what the test provider tells in this process, as if it had come over the wire.
pub(crate) async fn deliver_webhooks(
    mut webhooks: UnboundedReceiver<Webhook>,
    desk: Desk<On, Answer>,
    mut chance: Chance,
) {
    while let Some(webhook) = webhooks.recv().await {
        let by = Context::system(&webhook.id, Trace::begin(&mut chance));
        match desk.ask(Asked::new(heard(&webhook), by)).await {
            Ok(Ok(_)) => {}
            Ok(Err(rejection)) => tracing::warn!(webhook = webhook.id, %rejection, "A webhook fits no payment"),
            Err(refused) => tracing::warn!(webhook = webhook.id, %refused, "A webhook was not taken in"),
        }
    }
}

impl Counter {
    async fn find(&self, account: &Account) -> Result<Record, Problem> {
        let account = account.clone();
        let found = self.database.read(move |read| store::find(read, &account)).await?;
        found.ok_or_else(|| Problem::new(&UNKNOWN_PAYMENT))
    }

    /// Asks for a change, and holds the answer until it has come about or the caller waits no longer.
    async fn change(
        &self,
        caller: &Caller,
        key: Option<IdempotencyKey>,
        id: &Name,
        command: Command,
        wait: Wait,
        is_done: impl Fn(&Payment) -> bool,
    ) -> Result<Response, Problem> {
        let account = Account::new(&caller.context.owner, id);
        if let Some(key) = key {
            // The stored answer is what the command came to; nothing later can be waited for.
            let say = |answer: Answer| Ok((StatusCode::OK, PaymentDocument::from(answer?)));
            let asked = caller.asks(On { account, command });
            return web::ask(&self.desk, asked, Some(key.stands_for(&())), say).await;
        }
        let payment = self.change_and_wait(caller, &account, id, command, wait, is_done).await?;
        Ok(Json(PaymentDocument::from(payment)).into_response())
    }

    async fn change_and_wait(
        &self,
        caller: &Caller,
        account: &Account,
        id: &Name,
        command: Command,
        wait: Wait,
        is_done: impl Fn(&Payment) -> bool,
    ) -> Result<Payment, Problem> {
        let mut over = pin!(wait.is_over());
        let mut heard = self.watch.ended(id.as_str());
        let mut payment = self.desk.ask(caller.asks(On { account: account.clone(), command })).await??;
        let mut is_over = false;
        while !is_done(&payment) && !is_over {
            is_over = tokio::select! { _ = &mut heard => false, () = &mut over => true };
            // Another owner may have a payment of this name, so it is looked at, and listened for first.
            heard = self.watch.ended(id.as_str());
            payment = self.find(account).await?.payment;
        }
        Ok(payment)
    }
}

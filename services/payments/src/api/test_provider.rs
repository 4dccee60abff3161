//! The test provider's own pages: the bank's page of a 3-D Secure step, and its book for auditors.
//!
//! They belong to the provider and not to payments; they stand here because it runs in this program.

use axum::Json;
use axum::extract::State;
use money::Money;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use web::{Access, Body, Listed, Page, Problem, Routes, Scope, Segment};

use crate::api::openapi;
use crate::api::problem::UNKNOWN_CHALLENGE;
use crate::provider::test::TestProvider;
use crate::provider::{Charge, Key, Standing};

/// The routes of the test provider.
pub(crate) fn routes(provider: &TestProvider) -> Routes {
    Routes::about("Test provider")
        // The customer's browser comes here, and has no key.
        .post("/v1/test-provider/challenges/{key}", Access::Everybody, answer_challenge, openapi::answer_challenge())
        .get("/v1/test-provider/charges", Scope::Admin, charges, openapi::charges())
        .with_state(provider.clone())
}

/// How the customer ended the step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResult {
    #[serde(default)]
    result: Value,
}

/// A charge as the provider shows it; amounts in the currency's minor units.
#[derive(Debug, Serialize)]
struct ChargeDocument {
    key: Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    authorized: i64,
    held: i64,
    captured: i64,
    voided: i64,
    refunded: i64,
    standing: Standing,
}

impl From<Charge> for ChargeDocument {
    fn from(charge: Charge) -> Self {
        Self {
            authorized: charge.authorized(),
            held: charge.held(),
            captured: charge.captured(),
            voided: charge.voided(),
            refunded: charge.refunded(),
            key: charge.key,
            amount: charge.amount,
            method: charge.method,
            standing: charge.standing,
        }
    }
}

async fn answer_challenge(
    State(provider): State<TestProvider>,
    Segment(key): Segment<Key>,
    Body(raw, mut faults): Body<RawResult>,
) -> Result<Json<Standing>, Problem> {
    let succeeded = match raw.result.as_str() {
        Some("succeed") => Some(true),
        Some("fail") => Some(false),
        _ => faults.at("/result").refuse("`succeed` or `fail` is expected here"),
    };
    let succeeded = faults.finish(|| succeeded)?;
    match provider.challenge(&key, succeeded).map_err(Problem::internal)? {
        Standing::NotFound => Err(Problem::new(&UNKNOWN_CHALLENGE)),
        standing => Ok(Json(standing)),
    }
}

async fn charges(State(provider): State<TestProvider>, page: Page) -> Result<Listed<ChargeDocument>, Problem> {
    let after: Option<Key> = page.start()?;
    let charges = provider.charges(after.as_ref(), usize::from(page.limit) + 1).map_err(Problem::internal)?;
    let items = charges.into_iter().map(Into::into).collect();
    Ok(Listed::of(items, &page, |charge: &ChargeDocument| charge.key.clone()))
}

//! Payments through its feed, its router and its provider.

mod shop;

use std::time::Duration;

use contracts::payments::Event;
use db::{Crash, Location, MemoryDisk};
use payments::domain::{Payment, Status};
use payments::provider::{Key, Standing};
use serde_json::{Value, json};

use crate::shop::Shop;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_payment_is_authorized_and_captured() {
    let mut shop = Shop::simulated();
    shop.payment_due("pay", "pm_card_visa", MINUTE).await;
    shop.settle().await;
    assert_eq!(shop.get("/v1/payments/pay").await.1["status"], "authorized");
    shop.capture_due("pay").await;
    shop.settle().await;
    let (status, document) = shop.get("/v1/payments/pay").await;
    assert_eq!((status, &document["status"]), (200, &json!("captured")));
    assert_eq!(document["amount"], json!({"amount": 1999, "currency": "GBP"}));
    assert_eq!(document["attempts"][0]["status"], "captured");
    let said = ["PaymentRequested", "AuthorizationStarted", "PaymentAuthorized", "CaptureStarted", "PaymentCaptured"];
    assert_eq!(shop.said("pay").await, said);
    assert_eq!(shop.provider.book().totals()["GBP"].captured, 1999);
}

//! A payment provider with its own book, that answers late, twice, or not at all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use payments::provider::test::TestProvider;
use payments::provider::{Answer, Authorize, Key, Provider, ProviderError, Standing};
use world::Chance;

use crate::delivery::Weather;

/// A provider that does what it is asked, but whose network is rough.
#[derive(Clone)]
pub(crate) struct RoughProvider {
    pub(crate) bank: TestProvider,
    chance: Arc<Mutex<Chance>>,
    weather: Weather,
}

enum Fault {
    None,
    LostBefore,
    LostAfter,
    Refused,
    SentTwice,
}

impl RoughProvider {
    pub(crate) fn new(chance: Chance, weather: &Weather) -> Self {
        Self { bank: TestProvider::in_memory(), chance: Arc::new(Mutex::new(chance)), weather: weather.clone() }
    }

    fn fault(&self) -> (Fault, Duration) {
        if !self.weather.is_rough() {
            return (Fault::None, Duration::ZERO);
        }
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let delay = Duration::from_millis(chance.below(400) as u64);
        let fault = match chance.below(20) {
            0 => Fault::LostBefore,
            1 => Fault::LostAfter,
            2 => Fault::Refused,
            3 => Fault::SentTwice,
            _ => Fault::None,
        };
        (fault, delay)
    }

    async fn through<'a>(&'a self, call: impl Fn() -> Answer<'a>) -> Result<Standing, ProviderError> {
        let (fault, delay) = self.fault();
        tokio::time::sleep(delay).await;
        match fault {
            Fault::None => call().await,
            Fault::Refused => Err(ProviderError::Unavailable("the line is busy".into())),
            Fault::LostBefore => Err(ProviderError::NoAnswer("the request was lost".into())),
            Fault::LostAfter => {
                drop(call().await);
                Err(ProviderError::NoAnswer("the answer was lost".into()))
            }
            Fault::SentTwice => {
                drop(call().await);
                call().await
            }
        }
    }
}

impl Provider for RoughProvider {
    fn authorize(&self, request: Authorize) -> Answer<'_> {
        Box::pin(async move { self.through(|| self.bank.authorize(request.clone())).await })
    }

    fn inquire(&self, key: Key) -> Answer<'_> {
        Box::pin(async move { self.through(|| self.bank.inquire(key.clone())).await })
    }

    fn capture(&self, key: Key) -> Answer<'_> {
        Box::pin(async move { self.through(|| self.bank.capture(key.clone())).await })
    }

    fn void(&self, key: Key) -> Answer<'_> {
        Box::pin(async move { self.through(|| self.bank.void(key.clone())).await })
    }

    fn refund(&self, key: Key) -> Answer<'_> {
        Box::pin(async move { self.through(|| self.bank.refund(key.clone())).await })
    }
}

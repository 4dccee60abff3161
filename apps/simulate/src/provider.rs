//! A payment provider with its own book, that answers late, twice, or not at all.

use std::collections::VecDeque;
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
    /// The tries that it was asked for last, also those whose request is still on its way.
    latest: Arc<Mutex<VecDeque<Key>>>,
}

/// How many of them.
const LATEST: usize = 6;

enum Fault {
    None,
    LostBefore,
    LostAfter,
    Refused,
    /// The request arrives, and this much later once more.
    ArrivesTwice(Duration),
    /// The connection breaks off, and the request arrives all the same, this much later.
    ArrivesLate(Duration),
}

impl Fault {
    fn what(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::LostBefore => Some("a request to the provider was lost"),
            Self::LostAfter => Some("an answer of the provider was lost"),
            Self::Refused => Some("the provider was busy"),
            Self::ArrivesTwice(_) => Some("a request to the provider arrived twice"),
            Self::ArrivesLate(_) => Some("a request to the provider arrived late"),
        }
    }
}

/// What the network does to one call.
struct Passage {
    fault: Fault,
    /// Until the request arrives.
    there: Duration,
    /// Until the answer arrives.
    back: Duration,
}

/// A request that can be sent again, also when nobody waits for it any more.
trait Call: Fn(TestProvider) -> Answer<'static> + Send + Sync + 'static {}

impl<T: Fn(TestProvider) -> Answer<'static> + Send + Sync + 'static> Call for T {}

impl RoughProvider {
    pub(crate) fn new(chance: Chance, weather: &Weather) -> Self {
        let (bank, chance) = (TestProvider::in_memory(), Arc::new(Mutex::new(chance)));
        Self { bank, chance, weather: weather.clone(), latest: Arc::default() }
    }

    /// The tries that it was asked for last.
    pub(crate) fn latest(&self) -> Vec<Key> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn passage(&self) -> Passage {
        if !self.weather.is_rough() {
            return Passage { fault: Fault::None, there: Duration::ZERO, back: Duration::ZERO };
        }
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let there = Duration::from_millis(chance.below(400) as u64);
        // Once in a while longer than anybody waits.
        let slow = chance.once_in(12);
        if slow {
            self.weather.went_wrong("an answer of the provider came slowly");
        }
        let slowest = if slow { 15_000 } else { 400 };
        let back = Duration::from_millis(chance.below(slowest) as u64);
        // Mostly soon, so that it meets what follows.
        let longest = 1 + chance.below(6_000);
        let late = Duration::from_millis(chance.below(longest) as u64);
        let fault = match chance.below(24) {
            0 => Fault::LostBefore,
            1 => Fault::LostAfter,
            2 => Fault::Refused,
            3 | 4 => Fault::ArrivesLate(late),
            5..=7 => Fault::ArrivesTwice(late),
            _ => Fault::None,
        };
        if let Some(what) = fault.what() {
            self.weather.went_wrong(what);
        }
        Passage { fault, there, back }
    }

    async fn through(&self, call: impl Call) -> Result<Standing, ProviderError> {
        let Passage { fault, there, back } = self.passage();
        tokio::time::sleep(there).await;
        let answer = match fault {
            Fault::None => call(self.bank.clone()).await,
            Fault::Refused => Err(ProviderError::Unavailable("the line is busy".into())),
            Fault::LostBefore => Err(ProviderError::NoAnswer("the request was lost".into())),
            Fault::LostAfter => {
                drop(call(self.bank.clone()).await);
                Err(ProviderError::NoAnswer("the answer was lost".into()))
            }
            Fault::ArrivesTwice(after) => {
                let answer = call(self.bank.clone()).await;
                self.arrives(after, call);
                answer
            }
            Fault::ArrivesLate(after) => {
                self.arrives(after, call);
                Err(ProviderError::NoAnswer("the connection broke off".into()))
            }
        };
        tokio::time::sleep(back).await;
        answer
    }

    #[expect(clippy::disallowed_methods, reason = "what is on its way is the network's, and outlives who sent it")]
    fn arrives(&self, after: Duration, call: impl Call) {
        let bank = self.bank.clone();
        drop(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            drop(call(bank).await);
        }));
    }
}

impl Provider for RoughProvider {
    fn authorize(&self, request: Authorize) -> Answer<'_> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.push_back(request.key.clone());
        if latest.len() > LATEST {
            latest.pop_front();
        }
        drop(latest);
        let call = move |bank: TestProvider| -> Answer<'static> {
            let request = request.clone();
            Box::pin(async move { bank.authorize(request).await })
        };
        Box::pin(self.through(call))
    }

    fn inquire(&self, key: Key) -> Answer<'_> {
        let call = move |bank: TestProvider| -> Answer<'static> {
            let key = key.clone();
            Box::pin(async move { bank.inquire(key).await })
        };
        Box::pin(self.through(call))
    }

    fn capture(&self, key: Key) -> Answer<'_> {
        let call = move |bank: TestProvider| -> Answer<'static> {
            let key = key.clone();
            Box::pin(async move { bank.capture(key).await })
        };
        Box::pin(self.through(call))
    }

    fn void(&self, key: Key) -> Answer<'_> {
        let call = move |bank: TestProvider| -> Answer<'static> {
            let key = key.clone();
            Box::pin(async move { bank.void(key).await })
        };
        Box::pin(self.through(call))
    }

    fn refund(&self, key: Key) -> Answer<'_> {
        let call = move |bank: TestProvider| -> Answer<'static> {
            let key = key.clone();
            Box::pin(async move { bank.refund(key).await })
        };
        Box::pin(self.through(call))
    }
}

//! What is asked of the provider after a commit, and how its answer comes back.
//!
//! ```text
//! perform ─▶ COMMIT ─▶ Calls ═▶ run: some calls at once, each within its time ─▶ Learn ─▶ desk
//! ```
//!
//! A try has one place among the calls that wait: what is decided of it later takes that place. While a call
//! waits or is made, its payment is not silent. A call that is lost here, with the process or otherwise, is found
//! by its row when that is due.

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::{Asked, Context, Desk};
use futures_util::{StreamExt, stream};
use telemetry::otlp::{Kind, Span};
use telemetry::{Meters, Stopwatch};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::NAME;
use crate::domain::{Command, Doing, Said};
use crate::perform::{Answer, On};
use crate::provider::{Authorize, Provider, ProviderError};
use crate::store::Account;

/// A call to the provider.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The payment.
    pub(crate) account: Account,
    /// What is asked.
    pub(crate) doing: Doing,
    /// The try, and what it is about.
    pub(crate) request: Authorize,
    /// On whose behalf.
    pub(crate) by: Context,
    /// The step of the trace from which it follows.
    pub(crate) parent: u64,
}

/// The calls that are to be made, and those that are; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    line: Mutex<Line>,
    /// Tells whoever makes calls that there is one.
    bell: Notify,
}

#[derive(Debug, Default)]
struct Line {
    /// Tries in the order in which their calls leave.
    order: VecDeque<(Account, i64)>,
    /// The call of each of them.
    waiting: BTreeMap<(Account, i64), Call>,
    /// Calls that are being made, of each payment.
    under_way: BTreeMap<Account, usize>,
}

impl Line {
    fn add(&mut self, call: Call) {
        let place = (call.account.clone(), call.request.key.number());
        match self.waiting.get_mut(&place) {
            // What waits will tell how the try stands.
            Some(_) if call.doing == Doing::Inquire => {}
            Some(waiting) => *waiting = call,
            None => {
                self.order.push_back(place.clone());
                self.waiting.insert(place, call);
            }
        }
    }

    fn next(&mut self) -> Option<Call> {
        let call = self.waiting.remove(&self.order.pop_front()?)?;
        *self.under_way.entry(call.account.clone()).or_default() += 1;
        Some(call)
    }

    fn ended(&mut self, account: &Account) {
        if let Some(calls) = self.under_way.get_mut(account) {
            *calls -= 1;
            if *calls == 0 {
                self.under_way.remove(account);
            }
        }
    }

    fn has(&self, account: &Account) -> bool {
        let from = (account.clone(), i64::MIN);
        let waits = self.waiting.range(from..).next().is_some_and(|((first, _), _)| first == account);
        waits || self.under_way.contains_key(account)
    }
}

impl Calls {
    /// Hands a call in.
    pub(crate) fn send(&self, call: Call) {
        self.line().add(call);
        self.0.bell.notify_one();
    }

    /// Whether a call for a payment waits or is made, so that it is no silence that nothing was heard.
    pub(crate) fn has(&self, account: &Account) -> bool {
        self.line().has(account)
    }

    /// Enters on the page of metrics how many wait.
    pub(crate) fn tell(&self, meters: &Meters) {
        let waiting = i64::try_from(self.line().waiting.len()).unwrap_or(i64::MAX);
        meters.gauge("provider_calls_waiting", "Calls to the payment provider that wait for their turn").set(waiting);
    }

    async fn next(&self) -> Call {
        loop {
            if let Some(call) = self.line().next() {
                return call;
            }
            self.0.bell.notified().await;
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes calls as long as the program runs, so many at once.
pub(crate) async fn run(
    calls: Calls,
    at_once: usize,
    within: Duration,
    provider: Arc<dyn Provider>,
    desk: Desk<On, Answer>,
) {
    let to_make = stream::unfold(calls.clone(), async |calls| {
        let call = calls.next().await;
        Some((call, calls))
    });
    let made = to_make.map(|call| see_to(call, &calls, within, provider.as_ref(), &desk));
    made.buffer_unordered(at_once.max(1)).for_each(|()| ready(())).await;
}

async fn see_to(call: Call, calls: &Calls, within: Duration, provider: &dyn Provider, desk: &Desk<On, Answer>) {
    let account = call.account.clone();
    make(call, within, provider, desk).await;
    calls.line().ended(&account);
}

async fn make(call: Call, within: Duration, provider: &dyn Provider, desk: &Desk<On, Answer>) {
    let Call { account, doing, request, by, parent } = call;
    let watch = Stopwatch::start();
    let (key, number) = (request.key.clone(), request.key.number());
    let (trace_id, request_id) = (by.trace.id(), by.correlation.clone());
    let answer = match doing {
        Doing::Authorize => provider.authorize(request),
        Doing::Inquire => provider.inquire(key.clone()),
        Doing::Capture => provider.capture(key.clone()),
        Doing::Void => provider.void(key.clone()),
        Doing::Refund => provider.refund(key.clone()),
    };
    let said = match timeout(within, answer).await {
        Ok(Ok(standing)) => Said::Stands(standing),
        Ok(Err(ProviderError::Unavailable(cause))) => Said::NotDone(cause),
        Ok(Err(ProviderError::NoAnswer(cause))) => Said::NoAnswer(cause),
        Err(_) => Said::NoAnswer(format!("no answer within {} ms", within.as_millis())),
    };
    by.trace.tell(Some(parent), watch.elapsed(), || Span {
        name: format!("{doing:?}"),
        kind: Kind::Client,
        service: NAME.to_owned(),
        has_failed: matches!(said, Said::NotDone(_) | Said::NoAnswer(_)),
        attributes: vec![("banyan.try", key.to_string().into()), ("banyan.request_id", (*request_id).into())],
    });
    tracing::debug!(service = NAME, %key, ?doing, ?said, trace_id, %request_id, "The provider was asked");
    let command = On { account, command: Command::Learn { number, doing, said } };
    match desk.ask(Asked::new(command, by)).await {
        Ok(Ok(_)) => {}
        Ok(Err(rejection)) => {
            tracing::error!(%key, %rejection, trace_id, %request_id, "An answer of the provider fits no payment");
        }
        Err(refused) => {
            let told = "An answer of the provider was not taken in; it is asked again";
            tracing::warn!(%key, %refused, trace_id, %request_id, told);
        }
    }
}

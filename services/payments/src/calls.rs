//! What is asked of the provider after a commit, and how its answer comes back.
//!
//! ```text
//! perform ─▶ COMMIT ─▶ Calls ═▶ run: some calls at once, each within its time ─▶ Learn ─▶ desk
//! ```
//!
//! A call that is lost here, with the process or otherwise, is found by its row when that is due.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use db::{Asked, Context, Desk};
use futures_util::{StreamExt, stream};
use telemetry::Stopwatch;
use telemetry::otlp::{Kind, Span};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
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

/// Where calls are handed in; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Calls(UnboundedSender<Call>);

/// Where calls are handed in, and where they come out.
pub(crate) fn channel() -> (Calls, UnboundedReceiver<Call>) {
    let (sender, receiver) = unbounded_channel();
    (Calls(sender), receiver)
}

impl Calls {
    /// Hands a call in; where nobody makes calls any more, its row stays due.
    pub(crate) fn send(&self, call: Call) {
        drop(self.0.send(call));
    }
}

/// Makes calls as long as somebody may hand some in, so many at once.
pub(crate) async fn run(
    calls: UnboundedReceiver<Call>,
    at_once: usize,
    within: Duration,
    provider: Arc<dyn Provider>,
    desk: Desk<On, Answer>,
) {
    let calls = stream::unfold(calls, async |mut calls| Some((calls.recv().await?, calls)));
    let answered = calls.map(|call| make(call, within, provider.as_ref(), &desk)).buffer_unordered(at_once.max(1));
    answered.for_each(|()| ready(())).await;
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

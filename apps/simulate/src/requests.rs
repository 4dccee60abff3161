//! What was asked, and what was heard of it, each time it was sent.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use axum::http::Method;
use serde_json::Value;

use crate::platform::{Heard, Platform, Sent};

/// One request with all that was heard of it, each time it was sent.
pub(crate) struct Exchange {
    pub(crate) sent: Sent,
    heard: Vec<Rc<RefCell<Option<Heard>>>>,
}

impl Exchange {
    /// The answers that came, in the order in which the requests were sent.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (u16, Value)> + '_ {
        self.heard.iter().filter_map(|heard| heard.borrow().clone().flatten())
    }

    /// Whether somebody still waits for an answer.
    fn is_open(&self) -> bool {
        self.heard.iter().any(|heard| heard.borrow().is_none())
    }

    /// Whether it was sent some time without an answer that came.
    pub(crate) fn is_unheard(&self) -> bool {
        self.heard.iter().any(|heard| !matches!(*heard.borrow(), Some(Some(_))))
    }

    /// Whether it was answered in a way that settles it.
    fn is_settled(&self) -> bool {
        self.heard.iter().any(|heard| matches!(*heard.borrow(), Some(Some((status, _))) if status < 500))
    }
}

/// All requests of a run, in the order in which they were first sent.
#[derive(Default)]
pub(crate) struct Requests(Vec<Exchange>);

impl Requests {
    /// A request that is about to be sent; gives back its place.
    pub(crate) fn begin(&mut self, sent: Sent) -> usize {
        self.0.push(Exchange { sent, heard: Vec::new() });
        self.0.len() - 1
    }

    /// Sends a request to one of the processes of its service.
    pub(crate) fn send(&mut self, platform: &mut Platform, place: usize, choose: usize) {
        let heard = Rc::new(RefCell::new(None));
        self.0[place].heard.push(heard.clone());
        platform.send(choose, &self.0[place].sent, heard);
    }

    /// The request at a place.
    pub(crate) fn at(&self, place: usize) -> &Exchange {
        &self.0[place]
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Exchange] {
        &self.0
    }

    /// How often something was sent.
    pub(crate) fn sent(&self) -> usize {
        self.0.iter().map(|exchange| exchange.heard.len()).sum()
    }

    /// Whether every request was answered in a way that settles it.
    pub(crate) fn all_settled(&self) -> bool {
        self.0.iter().all(Exchange::is_settled)
    }

    /// The places of what got no answer and is not under way.
    pub(crate) fn unanswered(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|place| !self.0[*place].is_settled() && !self.0[*place].is_open()).collect()
    }

    /// The names of the orders that were asked for.
    pub(crate) fn orders(&self) -> Vec<&str> {
        let placed = |exchange: &&Exchange| exchange.sent.method == Method::PUT;
        self.0.iter().filter(placed).filter_map(|exchange| exchange.sent.path.strip_prefix("/v1/orders/")).collect()
    }

    /// The names of the endpoints for webhooks that were asked for.
    pub(crate) fn endpoints(&self) -> BTreeSet<&str> {
        let put = |exchange: &&Exchange| exchange.sent.method == Method::PUT;
        self.0.iter().filter(put).filter_map(|sent| sent.sent.path.strip_prefix("/v1/webhook-endpoints/")).collect()
    }

    /// The names of reservations that shops made themselves, or tried to.
    pub(crate) fn reservations(&self) -> BTreeSet<&str> {
        let paths = self.0.iter().filter_map(|exchange| exchange.sent.path.strip_prefix("/v1/reservations/"));
        paths.map(|path| path.split('/').next().unwrap_or_default()).collect()
    }

    /// The SKUs that anything was ever moved of.
    pub(crate) fn skus(&self) -> BTreeSet<&str> {
        let moves = |exchange: &&Exchange| exchange.sent.path.starts_with("/v1/stock-movements/");
        self.0.iter().filter(moves).filter_map(|exchange| exchange.sent.body["sku"].as_str()).collect()
    }
}

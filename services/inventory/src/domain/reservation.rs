//! A promise of stock, from its reserve to its end.

use std::str::FromStr;

use contracts::inventory::{Allocation, ReservedLine, Short, Terms};
use ids::{Name, Number, Sku, Warehouse};
use world::Moment;

/// A promise of stock, or that there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Our number for it.
    pub number: Number,
    /// Whose name it is.
    pub owner: String,
    /// What the caller calls it.
    pub name: Name,
    /// What the caller sent, by meaning; empty where the name was released before it was reserved.
    pub fingerprint: String,
    /// How far it has come.
    pub status: Status,
    /// When the hold lapses, or would have.
    pub expires_at: Moment,
    /// What it promises, by SKU.
    pub lines: Vec<ReservedLine>,
    /// What fell short, where it was refused.
    pub short: Vec<Short>,
    /// Whether that was because it is sold no more.
    pub discontinued: bool,
    /// The order that it is for.
    pub order: Option<Name>,
    /// The attempt of that order; 0 without one.
    pub attempt: i64,
    /// Whether the goods have left the shelf.
    pub has_left: bool,
    /// How it may be served, where whoever asked for it has said so.
    pub terms: Option<Terms>,
    /// How many events it has had.
    pub version: i64,
}

impl Reservation {
    /// Whether it promises pieces that have not left: as a live hold, or firmly.
    pub fn is_live(&self) -> bool {
        self.status == Status::Reserved || (self.is_firm() && !self.has_left)
    }

    /// Whether it is a firm promise.
    pub fn is_firm(&self) -> bool {
        self.status == Status::Committed
    }

    /// Pieces that it was promised.
    pub fn pieces(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    /// Pieces that it was promised and that are not on the shelf.
    pub fn owed(&self) -> i64 {
        self.lines.iter().map(ReservedLine::owed).sum()
    }

    pub(super) fn allocation_mut(&mut self, sku: &Sku, warehouse: &Warehouse) -> Option<&mut Allocation> {
        let line = self.lines.iter_mut().find(|line| line.sku == *sku)?;
        line.allocations.iter_mut().find(|allocation| allocation.warehouse == *warehouse)
    }

    /// What of a SKU it was promised from a warehouse.
    pub(super) fn allocation(&self, sku: &Sku, warehouse: &Warehouse) -> Option<&Allocation> {
        let line = self.lines.iter().find(|line| line.sku == *sku)?;
        line.allocations.iter().find(|allocation| allocation.warehouse == *warehouse)
    }

    /// Whether it held until a moment that has passed; then it holds nothing.
    pub fn has_lapsed(&self, now: Moment) -> bool {
        self.status == Status::Reserved && self.expires_at <= now
    }

    /// As a caller sees it: a hold that has lapsed is expired, also before the sweep has come by.
    pub fn status_at(&self, now: Moment) -> Status {
        if self.has_lapsed(now) { Status::Expired } else { self.status }
    }
}

/// How far a reservation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Held until a moment.
    Reserved,
    /// Firmly promised.
    Committed,
    /// The goods have left.
    Shipped,
    /// Given back.
    Released,
    /// Lapsed.
    Expired,
    /// There was too little; nothing was ever held.
    Refused,
    /// Firmly promised once, and put back on the shelf.
    Returned,
}

impl Status {
    /// The word that stands for it in columns and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Shipped => "shipped",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Returned => "returned",
        }
    }
}

/// A text that is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoStatus;

impl FromStr for Status {
    type Err = NoStatus;

    fn from_str(text: &str) -> Result<Self, NoStatus> {
        let all = [
            Self::Reserved,
            Self::Committed,
            Self::Shipped,
            Self::Released,
            Self::Expired,
            Self::Refused,
            Self::Returned,
        ];
        all.into_iter().find(|status| status.as_str() == text).ok_or(NoStatus)
    }
}

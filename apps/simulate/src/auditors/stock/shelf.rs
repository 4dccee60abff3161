//! What lies in a warehouse, as the events tell of it.

use std::collections::BTreeMap;

/// One SKU in one warehouse, as the events tell of it.
#[derive(Default)]
pub(super) struct Shelf {
    /// Received, found and adjusted, less what has left.
    pub(super) on_hand: i64,
    /// What live holds keep.
    pub(super) held: i64,
    /// What is firm and has not left.
    pub(super) firm: i64,
    /// What is on its way here.
    pub(super) in_transit: i64,
    /// Who is owed pieces, in the order in which they were promised them: promised without stock, or not
    /// found by a stock-take.
    pub(super) owed: BTreeMap<usize, (String, i64)>,
}

/// When somebody wants to know that a SKU runs low in a warehouse.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) threshold: Option<i64>,
    pub(super) target: Option<i64>,
    /// Whether it was said that more is needed, and not yet that there is enough.
    pub(super) was_said: bool,
}

impl Shelf {
    pub(super) fn owes(&self) -> i64 {
        self.owed.values().map(|(_, quantity)| quantity).sum()
    }

    /// A reservation is owed more pieces, or fewer.
    pub(super) fn owe(&mut self, promised: usize, reservation: &str, quantity: i64) {
        self.owed.entry(promised).or_insert_with(|| (reservation.to_owned(), 0)).1 += quantity;
        self.owed.retain(|_, (_, quantity)| *quantity != 0);
    }

    /// Pieces for new promises, once what is on its way is there.
    pub(super) fn there(&self) -> i64 {
        self.on_hand - self.held - self.firm + self.in_transit
    }
}

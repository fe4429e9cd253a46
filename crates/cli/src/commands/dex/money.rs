//! Money as people read it: with the file's decimals and currency.

use eva_dts::{Amount, Both, Count, Currency, Minor, Reading};

use crate::commands::table::Cell;

/// How a file's amounts are written.
#[derive(Clone, Copy)]
pub(super) struct Purse<'a> {
    currency: &'a Currency<'a>,
}

impl<'a> Purse<'a> {
    pub(super) fn of(reading: &'a Reading<'_>) -> Self {
        Self::in_currency(&reading.currency)
    }

    pub(super) fn in_currency(currency: &'a Currency<'a>) -> Self {
        Self { currency }
    }

    /// `EUR`, where the file says so in letters. Many write other things into that field.
    pub(super) fn code(self) -> Option<&'a str> {
        self.currency.iso_alpha()
    }

    /// The heading of values: `EUR`, or `Value` where nobody knows of what.
    pub(super) fn heading(self) -> String {
        self.code().unwrap_or("Value").to_owned()
    }

    /// `12.50`
    pub(super) fn plain(self, minor: Minor) -> String {
        self.currency.money(minor).to_string()
    }

    /// `12.50 EUR`
    pub(super) fn full(self, minor: Minor) -> String {
        let plain = self.plain(minor);
        self.code().map_or_else(|| plain.clone(), |code| format!("{plain} {code}"))
    }

    /// Count and value since initialisation, count and value since reset.
    pub(super) fn cells(self, both: Both<Amount>) -> [Cell; 4] {
        let [vends, value] = self.pair(both.since_init);
        let [reset_vends, reset_value] = self.pair(both.since_reset);
        [vends, value, reset_vends, reset_value]
    }

    /// Count and value.
    pub(super) fn pair(self, amount: Amount) -> [Cell; 2] {
        [Cell::maybe(amount.count), self.cell(amount.value)]
    }

    pub(super) fn cell(self, minor: Option<Minor>) -> Cell {
        Cell::maybe(minor.map(|minor| self.plain(minor)))
    }
}

/// Both together; what neither knows is unknown.
pub(super) fn plus(left: Amount, right: Amount) -> Amount {
    let plus = |left: Option<Count>, right: Option<Count>| match (left, right) {
        (Some(left), Some(right)) => Some(left.saturating_add(right)),
        (one, other) => one.or(other),
    };
    Amount { count: plus(left.count, right.count), value: plus(left.value, right.value) }
}

pub(super) fn plus_both(left: Both<Amount>, right: Both<Amount>) -> Both<Amount> {
    Both {
        since_init: plus(left.since_init, right.since_init),
        since_reset: plus(left.since_reset, right.since_reset),
    }
}

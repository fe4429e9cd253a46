//! The counters of one capture, as far as sales need them.

use crate::amount::{Amount, Minor};
use crate::clock::Moment;
use crate::crc::CrcStatus;
use crate::order;
use crate::product::Product;
use crate::reading::Reading;

/// When a capture was made, and its number where it comes from: the order of a machine's captures.
/// The machine's own clock is no good for this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// When it was made by the clock of the device that read it: seconds since 1970, UTC.
    pub captured_at: i64,
    /// Its number at its source. The same number is the same capture.
    pub id: i64,
}

/// The counters of one capture since initialisation, independent of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snapshot {
    /// Its place in the order.
    pub key: Key,
    /// Why it does not count, if it does not.
    pub flaw: Option<Flaw>,
    /// ID101, where the machine has one.
    pub serial: Option<String>,
    /// EA4, where the machine has it.
    pub initialised_at: Option<Moment>,
    /// Its counters, a line a selection and counter.
    pub lines: Vec<Line>,
}

/// A counter since initialisation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The selection; `None` for the machine as a whole.
    pub selection: Option<String>,
    /// What is counted.
    pub counter: Counter,
    /// How many and how much, since initialisation.
    pub total: Amount,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// All paid vends: VA1, PA2; where there is no PA2 the sum of PA7, or of LA1.
    Vends,
    /// Paid in cash: CA2, PA7 of CA.
    Cash,
    /// Paid by card: DA2 and DB2, PA7 of DA and DB.
    Cashless,
    /// Paid by token: TA2, PA7 of TA.
    Token,
    /// Free vends: VA3, PA4.
    Free,
    /// Test vends: VA2, PA3.
    Test,
    /// Coins to the cash box, in value: CA306.
    CashBox,
    /// Bills taken, in value: CA310, or CA308.
    Bills,
}

impl Counter {
    /// The name in snake case, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Counter::Vends => "vends",
            Counter::Cash => "cash",
            Counter::Cashless => "cashless",
            Counter::Token => "token",
            Counter::Free => "free",
            Counter::Test => "test",
            Counter::CashBox => "cash_box",
            Counter::Bills => "bills",
        }
    }
}

/// Why a capture does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// Its checksum does not match.
    Mismatch,
    /// It was cut off, and no checksum vouches for what came.
    Truncated,
}

impl Flaw {
    /// The name in snake case, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Flaw::Mismatch => "mismatch",
            Flaw::Truncated => "truncated",
        }
    }
}

impl Snapshot {
    /// The counters of a reading.
    ///
    /// Of a selection that a file lists twice the first one counts: some controllers repeat lines.
    pub fn of(key: Key, reading: &Reading<'_>) -> Self {
        let totals = &reading.totals;
        let mut lines = Lines { selection: None, lines: Vec::new() };
        lines.add(Counter::Vends, totals.vends.since_init);
        lines.add(Counter::Cash, totals.cash_sales.since_init);
        lines.add(
            Counter::Cashless,
            totals.cashless_1_sales.since_init.plus(totals.cashless_2_sales.since_init),
        );
        lines.add(Counter::Token, totals.token_sales.since_init.plus(totals.value_token_sales.since_init));
        lines.add(Counter::Free, totals.free_vends.since_init);
        lines.add(Counter::Test, totals.test_vends.since_init);
        lines.add(Counter::CashBox, worth(totals.cash_in.since_init.cash_box));
        lines.add(Counter::Bills, worth(totals.cash_in.since_init.bills));
        for product in &reading.products {
            lines.add_product(product);
        }
        let mut lines = lines.lines;
        // Stable: the first of each stays the first.
        order::sort(&mut lines, |left, right| {
            (&left.selection, left.counter).cmp(&(&right.selection, right.counter))
        });
        lines.dedup_by(|again, first| again.selection == first.selection && again.counter == first.counter);
        Self {
            key,
            flaw: flaw(reading),
            serial: reading.identity.serial.as_deref().map(str::to_owned),
            initialised_at: reading.initialised_at,
            lines,
        }
    }
}

fn flaw(reading: &Reading<'_>) -> Option<Flaw> {
    match reading.crc.status {
        CrcStatus::Mismatch => Some(Flaw::Mismatch),
        status => (reading.is_truncated && !status.is_valid()).then_some(Flaw::Truncated),
    }
}

fn worth(value: Option<Minor>) -> Amount {
    Amount { count: None, value }
}

struct Lines {
    selection: Option<String>,
    lines: Vec<Line>,
}

impl Lines {
    fn add(&mut self, counter: Counter, total: Amount) {
        if total != Amount::default() {
            self.lines.push(Line { selection: self.selection.clone(), counter, total });
        }
    }

    fn add_product(&mut self, product: &Product<'_>) {
        self.selection = Some(product.selection.as_ref().to_owned());
        let by = |device: fn(&str) -> bool| {
            let payments = product.payments.iter().filter(|payment| device(&payment.device));
            payments.fold(Amount::default(), |sum, payment| sum.plus(payment.vends.since_init))
        };
        let lists = || {
            let lists = product.price_lists.iter();
            lists.fold(Amount::default(), |sum, list| {
                sum.plus(Amount { count: list.vends.since_init, value: None })
            })
        };
        let vends = [product.vends.since_init, by(|_| true), lists()];
        self.add(Counter::Vends, vends.into_iter().find(|one| *one != Amount::default()).unwrap_or_default());
        self.add(Counter::Cash, by(|device| device == "CA"));
        self.add(Counter::Cashless, by(|device| matches!(device.as_bytes(), [b'D', b'A'..=b'Z'])));
        self.add(Counter::Token, by(|device| device == "TA"));
        self.add(Counter::Free, product.free_vends.since_init);
        self.add(Counter::Test, product.test_vends.since_init);
    }
}
